/*
 * Bytes from a peer to the HTTP server, its application an echo.
 *
 * The input's first byte chooses the leniencies, whether a PROXY header may
 * come first, and how the rest is cut into pieces. Whatever the bytes are: the
 * answers are the same when they come whole and in pieces, each answer is well
 * formed, nothing follows a refusal, and nothing is left behind. A second
 * peer, whose requests come between these pieces a byte at a time, gets its
 * own answers and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gcore.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 1 << 20 };

static void check(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

/* The application answers with the head and the body, once it has them. */

typedef struct echo {
    gcore_http_request *request;
    size_t size;
    char text[4096];
} echo;

static void echo_end(echo *it, const char *text, size_t size)
{
    gcore_http_respond(it->request, 200, NULL, NULL, 0, text, size);
    gcore_http_request_unref(it->request);
    free(it);
}

static void echo_read(void *arg, int64_t result)
{
    echo *it = arg;

    do {
        result = gcore_http_read(it->request, it->text + it->size,
                                 sizeof it->text - it->size);
        it->size += result > 0 ? (size_t)result : 0;
    } while (result > 0);
    if (result == -EAGAIN &&
        gcore_http_wait_body(it->request, GCORE_FOREVER, echo_read, it) == 0)
        return;
    if (memcmp(it->text, "HEAD ", 5) == 0)
        echo_end(it, NULL, 0); /* its length would be one of no body */
    else if (result == 0)
        echo_end(it, it->text, it->size);
    else
        echo_end(it, "bad", 3);
}

static void check_head(const gcore_http_head *head)
{
    check(head->block[head->block_size] == 0, "a zero byte ends the block");
    check(head->method_size > 0 && head->target_size > 0, "a request line");
    check(head->target + head->target_size <= head->block_size, "a target");
    check(head->content_length >= 0 || head->flags & GCORE_HTTP_CHUNKED,
          "a length");
    for (uint32_t i = 0; i < head->field_count; i++) {
        const gcore_http_field *field = &head->fields[i];
        const char *value = head->block + field->value;

        check(field->name_size > 0, "a name");
        check(field->name + field->name_size < field->value, "in order");
        check(field->value + field->value_size <= head->block_size,
              "within the block");
        for (uint32_t at = 0; at < field->value_size; at++)
            check(value[at] != '\r' && value[at] != '\n' && value[at],
                  "no line ends in a value");
    }
}

static void serve(void *arg, gcore_http_request *request)
{
    const gcore_http_head *head = gcore_http_request_head(request);
    echo *it = malloc(sizeof *it);

    (void)arg;
    check_head(head);
    check(it != NULL && head->block_size < sizeof it->text / 2, "room");
    it->request = request;
    it->size = head->block_size;
    memcpy(it->text, head->block, head->block_size);
    echo_read(it, 0);
}

/* The peer */

#define OTHER_HEAD                                                            \
    "POST /other HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Over and over. */
static const char other_request[] = OTHER_HEAD "5\r\nother\r\n0\r\n\r\n";

typedef struct exchange {
    gcore_hub *hub;
    gcore_http_server *server;
    int fd;
    int other;
    size_t other_sent;
    size_t other_came;
    char *answer;
    size_t size;
    bool closed;
} exchange;

static bool receive(exchange *it)
{
    ssize_t got = recv(it->fd, it->answer + it->size, LONGEST - it->size, 0);

    if (got > 0) {
        it->size += (size_t)got;
        return true;
    }
    it->closed = got == 0 || errno != EAGAIN;
    return false;
}

static uint64_t progress(exchange *it)
{
    gcore_hub_stats stats = {.size = sizeof stats};

    gcore_hub_counters(it->hub, &stats);
    return stats.completions;
}

static void settle(exchange *it)
{
    gcore_completion out;
    uint64_t before;

    do {
        before = progress(it);
        gcore_hub_poll(it->hub, &out, 1, GCORE_NOW);
    } while (receive(it) || progress(it) != before);
}

static void other_peer(exchange *it)
{
    static const size_t all = sizeof other_request - 1;
    char wanted[200], came[400];
    int length = snprintf(wanted, sizeof wanted,
                          "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                          sizeof OTHER_HEAD - 1 + 5, OTHER_HEAD "other");
    ssize_t got;

    send(it->other, other_request + it->other_sent++ % all, 1, MSG_NOSIGNAL);
    settle(it);
    while ((got = recv(it->other, came, sizeof came, MSG_DONTWAIT)) > 0)
        for (ssize_t i = 0; i < got; i++, it->other_came++)
            check(came[i] == wanted[it->other_came % (size_t)length],
                  "the other peer's answers are its own");
    check(it->other_came == it->other_sent / all * (size_t)length,
          "the other peer is answered");
}

static int connect_peer(exchange *it)
{
    int ends[2];

    check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "sockets");
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    check(gcore_http_server_adopt(it->server, ends[0]) == 0, "an adoption");
    return ends[1];
}

static void begin(exchange *it, unsigned flags)
{
    gcore_http_options options = {
        .size = sizeof options,
        .flags = flags | GCORE_HTTP_NO_DATE,
        .line_limit = 200,
        .head_limit = 400,
        .field_bytes = 200,
        .field_limit = 10,
        .extension_limit = 50,
        .trailer_limit = 50,
        .body_limit = 1000,
    };

    it->size = 0;
    it->closed = false;
    check(gcore_hub_new(NULL, &it->hub) == 0, "a hub");
    check(gcore_http_server_new(it->hub, &options, &it->server) == 0,
          "a server");
    check(gcore_http_server_start(it->server, serve, NULL) == 0, "a start");
    it->fd = connect_peer(it);
    it->other = connect_peer(it);
}

static void end(exchange *it)
{
    gcore_http_stats stats = {.size = sizeof stats};

    close(it->fd);
    close(it->other);
    it->fd = -1;
    settle(it);
    gcore_http_server_counters(it->server, &stats);
    check(stats.connections == 0 && stats.active == 0, "all have ended");
    gcore_http_server_unref(it->server);
    gcore_hub_unref(it->hub);
    check(gcore_allocator_live() == 0, "nothing is left");
    it->answer[it->size] = 0;
}

static void converse(exchange *it, const uint8_t *bytes, size_t size,
                     size_t piece)
{
    for (size_t at = 0; at < size && !it->closed; at += piece) {
        size_t left = size - at;

        send(it->fd, bytes + at, left < piece ? left : piece, MSG_NOSIGNAL);
        settle(it);
        other_peer(it);
    }
    settle(it);
}

/* How long the answers to requests are: up to the refusal, which ends the
 * connection. */
static size_t accepted(const exchange *it)
{
    const char *at = it->answer, *end = it->answer + it->size;

    while (at < end) {
        const char *body = strstr(at, "\r\n\r\n");
        const char *length = strstr(at, "Content-Length: ");

        check(strncmp(at, "HTTP/1.1 ", 9) == 0 && body, "an answer");
        body += 4;
        if (length > body)
            length = NULL;
        if (strncmp(at + 9, "200", 3) != 0 &&
            strncmp(at + 9, "100", 3) != 0) {
            check(it->closed && strstr(at, "Connection: close\r\n"),
                  "a refusal ends the connection");
            check(length && body + atol(length + 16) == end,
                  "nothing follows a refusal");
            break;
        }
        at = body + (length ? atol(length + 16) : 0);
    }
    return (size_t)(at - it->answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole_answer[LONGEST + 1], cut_answer[LONGEST + 1];
    exchange whole = {.answer = whole_answer}, cut = {.answer = cut_answer};
    size_t length;
    unsigned flags;

    if (size < 1 || size > 4096)
        return 0;
    flags = data[0] & 7u;
    if (data[0] & 0x80)
        flags |= GCORE_HTTP_PROXY | GCORE_HTTP_PROXY_OPTIONAL;
    begin(&whole, flags);
    converse(&whole, data + 1, size - 1, size);
    end(&whole);
    begin(&cut, flags);
    converse(&cut, data + 1, size - 1, 1 + (data[0] >> 3 & 15));
    end(&cut);
    length = accepted(&whole);
    check(length == accepted(&cut) &&
              memcmp(whole_answer, cut_answer, length) == 0,
          "the same answers whole and in pieces");
    check(whole.closed == cut.closed, "closed or not, likewise");
    return 0;
}
