/*
 * The HTTP tests' server and peers.
 */
#include "http.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The application */

typedef struct echo {
    gcore_http_request *request;
    char *text;
    size_t size;
} echo;

static void echo_end(echo *it, int status, const char *text, size_t size)
{
    gcore_http_respond(it->request, status, NULL, NULL, 0, text, size);
    gcore_http_request_unref(it->request);
    free(it->text);
    free(it);
}

static void echo_read(void *arg, int64_t result)
{
    echo *it = arg;
    char piece[1000];

    while (result >= 0) {
        result = gcore_http_read(it->request, piece, sizeof piece);
        if (result == -EAGAIN) {
            assert_ok(gcore_http_wait_body(it->request, GCORE_FOREVER,
                                           echo_read, it));
            return;
        }
        if (result == 0) {
            echo_end(it, 200, it->text, it->size);
            return;
        }
        if (result < 0)
            break;
        it->text = realloc(it->text, it->size + (size_t)result);
        memcpy(it->text + it->size, piece, (size_t)result);
        it->size += (size_t)result;
    }
    echo_end(it, 400, gcore_error_name((int)result),
             strlen(gcore_error_name((int)result)));
}

void echo_handle(void *arg, gcore_http_request *request)
{
    echo_server *server = arg;
    const gcore_http_head *head = gcore_http_request_head(request);
    echo *it;

    if (head->reason) {
        server->reports++;
        snprintf(server->reason, sizeof server->reason, "%d %s", head->status,
                 head->reason);
        gcore_http_request_unref(request);
        return;
    }
    server->handled++;
    it = calloc(1, sizeof *it);
    it->request = request;
    it->size = head->method_size + head->target_size + 2;
    it->text = malloc(it->size + 1);
    snprintf(it->text, it->size + 1, "%.*s %.*s ", (int)head->method_size,
             head->block, (int)head->target_size, head->block + head->target);
    echo_read(it, 0);
}

void echo_open(echo_server *it, const gcore_http_options *options)
{
    *it = (echo_server){.hub = hub_new()};
    assert_ok(gcore_http_server_new(it->hub, options, &it->server));
    assert_ok(gcore_http_server_start(it->server, echo_handle, it));
}

void taking_open(echo_server *it, const gcore_http_options *options)
{
    *it = (echo_server){.hub = hub_new()};
    assert_ok(gcore_http_server_new(it->hub, options, &it->server));
}

gcore_http_request *take(echo_server *it, peer *from)
{
    gcore_http_request *request = NULL;

    settle(it, from);
    assert_int_equal(gcore_http_server_take(it->server, &request, 1), 1);
    return request;
}

void echo_close(echo_server *it)
{
    gcore_http_server_unref(it->server);
    hub_end(it->hub);
}

gcore_http_stats stats_of(const echo_server *it)
{
    gcore_http_stats stats = {.size = sizeof stats};

    assert_ok(gcore_http_server_counters(it->server, &stats));
    return stats;
}

/* Peers */

void peer_open_if(peer *it, echo_server *server)
{
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                     0);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    it->fd = ends[1];
    it->size = 0;
    it->closed = it->reset = false;
    if (gcore_http_server_adopt(server->server, ends[0]) == 0)
        return;
    close(ends[0]);
    close(ends[1]);
    it->fd = -1;
}

void peer_open(peer *it, echo_server *server)
{
    peer_open_if(it, server);
    assert_true(it->fd >= 0);
}

void peer_send(peer *it, const void *bytes, size_t size)
{
    /* A server that has closed is for the answer to show. */
    (void)!send(it->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void peer_say(peer *it, const char *text)
{
    peer_send(it, text, strlen(text));
}

/* Without the lines that change with the time. */
static void drop_dates(char *text)
{
    char *date, *end;

    while ((date = strstr(text, "Date: ")) != NULL) {
        end = strstr(date, "\r\n");
        assert_non_null(end);
        memmove(date, end + 2, strlen(end + 2) + 1);
    }
}

void expect(echo_server *server, peer *it, const char *text)
{
    settle(server, it);
    drop_dates(it->got);
    if (it->closed)
        strcat(it->got, "closed");
    assert_string_equal(it->got, text);
    it->size = 0;
    it->got[0] = 0;
}

void peer_close(peer *it)
{
    close(it->fd);
    it->fd = -1;
}

static bool receive(peer *it)
{
    ssize_t got;

    if (it->fd < 0 || it->size == sizeof it->got - 1)
        return false;
    got = recv(it->fd, it->got + it->size, sizeof it->got - it->size - 1,
               MSG_DONTWAIT);
    if (got > 0) {
        it->size += (size_t)got;
        return true;
    }
    if (got == 0 || errno != EAGAIN) {
        it->reset = got < 0;
        it->closed = true;
    }
    return false;
}

void settle(echo_server *server, peer *it)
{
    gcore_completion out;
    int quiet = 0;

    while (quiet < 3) {
        uint64_t before = hub_stats(server->hub).completions;

        assert_true(gcore_hub_poll(server->hub, &out, 1, GCORE_NOW) <= 0);
        if (receive(it) || hub_stats(server->hub).completions != before)
            quiet = 0;
        else
            quiet++;
    }
    it->got[it->size] = 0;
}

static const char *body_of(const char *text, size_t *size)
{
    const char *length = strstr(text, "Content-Length: ");
    const char *body = strstr(text, "\r\n\r\n");

    if (!body)
        return NULL;
    *size = length && length < body ? (size_t)atol(length + 16) : 0;
    return body + 4;
}

const char *answers(const peer *it)
{
    static char text[1 << 20];
    const char *at = it->got;
    size_t used = 0, size;

    while (strncmp(at, "HTTP/1.1 ", 9) == 0) {
        const char *body = body_of(at, &size);
        bool refused = body && size && islower((unsigned char)*body);

        if (!body)
            break;
        used += (size_t)snprintf(text + used, sizeof text - used, "%.3s%s%.*s|",
                                 at + 9, refused || !size ? "" : " ",
                                 refused ? 0 : (int)size, body);
        at = body + size;
    }
    snprintf(text + used, sizeof text - used, "%s%s", at,
             it->closed ? "closed" : "");
    return text;
}
