/* A server on a background hub, and clients in threads, over TCP: each gets
 * its own answers, whatever the others do. */
#include "http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, LARGEST = 200000 };

static uint16_t port;

static int64_t open_server(void *arg)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    echo_server *it = arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);
    assert_ok(gcore_http_server_new(it->hub, NULL, &it->server));
    assert_ok(gcore_http_server_start(it->server, echo_handle, it));
    assert_ok(gcore_http_server_listen(it->server, fd));
    return fd;
}

static int64_t close_server(void *arg)
{
    echo_server *it = arg;

    gcore_http_server_unref(it->server);
    return 0;
}

/* Threads */

typedef struct client {
    int number;
    int fd;
    unsigned seed;
    char *body;
    char *answer;
    const char *wrong; /* what was, if anything */
} client;

static unsigned any(client *it, unsigned below)
{
    it->seed = it->seed * 1103515245 + 12345;
    return (it->seed >> 8) % below;
}

static bool dial(client *it)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    it->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return connect(it->fd, (struct sockaddr *)&address, sizeof address) == 0;
}

static void say(client *it, const char *bytes, size_t size)
{
    while (size > 0 && !it->wrong) {
        size_t piece = 1 + any(it, (unsigned)size);
        ssize_t sent = send(it->fd, bytes, piece, MSG_NOSIGNAL);

        if (sent <= 0) {
            it->wrong = "send";
            return;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

/* A body in chunks of any size. */
static void say_chunks(client *it, const char *bytes, size_t size)
{
    char frame[32];

    while (size > 0) {
        size_t piece = 1 + any(it, (unsigned)size);

        say(it, frame, (size_t)snprintf(frame, sizeof frame, "%zx\r\n",
                                        piece));
        say(it, bytes, piece);
        say(it, "\r\n", 2);
        bytes += piece;
        size -= piece;
    }
    say(it, "0\r\n\r\n", 5);
}

/* Reads one answer; its body, or NULL. */
static const char *hear(client *it, size_t *size)
{
    const char *end = NULL, *length;
    size_t have = 0, whole = 0;

    while (!end || have < whole) {
        ssize_t got = recv(it->fd, it->answer + have,
                           LARGEST + 1000 - have, 0);

        if (got <= 0)
            return NULL;
        have += (size_t)got;
        it->answer[have] = 0;
        if (!end && (end = strstr(it->answer, "\r\n\r\n")) != NULL) {
            length = strstr(it->answer, "Content-Length: ");
            *size = length ? (size_t)atol(length + 16) : 0;
            end += 4;
            whole = (size_t)(end - it->answer) + *size;
        }
    }
    return strncmp(it->answer, "HTTP/1.1 200", 12) == 0 ? end : NULL;
}

static void exchange(client *it, int count)
{
    size_t size = any(it, 3) ? any(it, 100) : any(it, LARGEST - 100);
    bool chunked = any(it, 2), last = any(it, 10) == 0;
    char head[300], expected[100];
    const char *body;
    size_t came, before;

    for (size_t i = 0; i < size; i++)
        it->body[i] = (char)('a' + (i + (size_t)count) % 26);
    snprintf(head, sizeof head,
             "POST /%d/%d HTTP/1.1\r\nHost: a\r\nConnection: %s\r\n",
             it->number, count, last ? "close" : "keep-alive");
    snprintf(head + strlen(head), 100,
             chunked ? "Transfer-Encoding: chunked\r\n\r\n"
                     : "Content-Length: %zu\r\n\r\n", size);
    say(it, head, strlen(head));
    if (chunked)
        say_chunks(it, it->body, size);
    else
        say(it, it->body, size);
    body = hear(it, &came);
    before = (size_t)snprintf(expected, sizeof expected, "POST /%d/%d ",
                              it->number, count);
    if (!body || came != before + size ||
        memcmp(body, expected, before) != 0 ||
        memcmp(body + before, it->body, size) != 0)
        it->wrong = "answer";
    if (last) {
        if (recv(it->fd, it->answer, 1, 0) != 0)
            it->wrong = "end";
        close(it->fd);
        if (!dial(it))
            it->wrong = "connect";
    }
}

static void *run(void *arg)
{
    client *it = arg;

    if (!dial(it))
        it->wrong = "connect";
    for (int i = 0; i < support_times(300) && !it->wrong; i++)
        exchange(it, i);
    close(it->fd);
    return NULL;
}

static void clients_in_threads(void **state)
{
    client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    echo_server it = {.hub = hub_new()};
    int64_t fd;

    (void)state;
    assert_ok(gcore_hub_start(it.hub));
    assert_ok(gcore_hub_call(it.hub, open_server, &it, GCORE_FOREVER, &fd));
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (client){.number = i,
                              .seed = (unsigned)i * 7919,
                              .body = malloc(LARGEST),
                              .answer = malloc(LARGEST + 1001)};
        threads[i] = thread_start(run, &clients[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        thread_join(threads[i]);
        if (clients[i].wrong)
            print_error("client %d: %s\n", i, clients[i].wrong);
        assert_null(clients[i].wrong);
        free(clients[i].body);
        free(clients[i].answer);
    }
    assert_ok(gcore_hub_call(it.hub, close_server, &it, GCORE_FOREVER, NULL));
    close((int)fd);
    hub_end(it.hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(clients_in_threads),
    };

    return RUN(tests);
}
