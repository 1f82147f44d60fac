/* What peers and the machine can do to the server: requests in pieces of all
 * sizes, resets at every byte, no memory, very many connections. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char conversation[] =
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello\r\n\r\nyo"
    "GET /2 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;x=y\r\nhello\r\n6\r\n, you!\r\n0\r\nA: b\r\n\r\n"
    "GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

enum { SIZE = sizeof conversation - 1 };

static const char expected[] =
    "200 POST /1 hello\r\n\r\nyo|200 GET /2 |200 POST /3 hello, you!|"
    "200 GET /4 |closed";

static peer one;
static unsigned seed = 12345;

static unsigned any(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
}

/* Sends `size` bytes of the conversation in pieces of at most `most`. */
static void converse(echo_server *server, size_t size, unsigned most)
{
    size_t piece;

    for (size_t at = 0; at < size; at += piece) {
        piece = 1 + any(most);
        if (piece > size - at)
            piece = size - at;
        peer_send(&one, conversation + at, piece);
        settle(server, &one);
    }
}

static void in_two_pieces(void **state)
{
    echo_server server;

    (void)state;
    echo_open(&server, NULL);
    for (size_t at = 1; at < SIZE; at++) {
        peer_open(&one, &server);
        peer_send(&one, conversation, at);
        settle(&server, &one);
        peer_send(&one, conversation + at, SIZE - at);
        settle(&server, &one);
        assert_string_equal(answers(&one), expected);
        peer_close(&one);
    }
    echo_close(&server);
}

static void in_random_pieces(void **state)
{
    echo_server server;

    (void)state;
    echo_open(&server, NULL);
    for (int i = 0; i < support_times(200); i++) {
        peer_open(&one, &server);
        converse(&server, SIZE, 1 + any(60));
        assert_string_equal(answers(&one), expected);
        peer_close(&one);
    }
    echo_close(&server);
}

/* The peer goes away after each byte: by a close, by a reset, and by saying
 * that it sends no more. */
static void ends_at_every_byte(void **state)
{
    echo_server server;

    (void)state;
    echo_open(&server, NULL);
    for (size_t size = 0; size <= SIZE; size++) {
        for (int how = 0; how < 3; how++) {
            struct linger reset = {.l_onoff = 1, .l_linger = 0};
            gcore_http_stats stats = {.size = sizeof stats};

            peer_open(&one, &server);
            converse(&server, size, SIZE);
            if (how == 1)
                setsockopt(one.fd, SOL_SOCKET, SO_LINGER, &reset,
                           sizeof reset);
            if (how == 2) {
                shutdown(one.fd, SHUT_WR);
                settle(&server, &one);
                assert_true(one.closed);
                assert_memory_equal(one.got, "HTTP/1.1 ",
                                    one.size ? 9 : 0);
            }
            peer_close(&one);
            settle(&server, &one);
            assert_ok(gcore_http_server_counters(server.server, &stats));
            assert_int_equal(stats.connections, 0);
            assert_int_equal(stats.active, 0);
        }
    }
    echo_close(&server);
}

/* No memory */

static void without_memory(void **state)
{
    int answered = 0;

    (void)state;
    for (int k = 1; answered < 2; k++) {
        echo_server server;
        gcore_http_stats stats = {.size = sizeof stats};

        echo_open(&server, NULL);
        support_fail_allocation(k);
        peer_open_if(&one, &server);
        if (one.fd >= 0)
            converse(&server, SIZE, 20);
        support_fail_allocation(0);
        if (!support_allocation_failed())
            answered++;
        if (!support_allocation_failed())
            assert_string_equal(answers(&one), expected);
        if (one.fd >= 0)
            peer_close(&one);
        settle(&server, &one);
        assert_ok(gcore_http_server_counters(server.server, &stats));
        assert_int_equal(stats.connections, 0);
        /* It goes on when there is memory. */
        peer_open(&one, &server);
        converse(&server, SIZE, SIZE);
        assert_string_equal(answers(&one), expected);
        peer_close(&one);
        echo_close(&server);
        assert_true(k < 1000);
    }
}

/* The same for an answer in pieces, of which one is a file, to a peer that
 * does not read until later. */

typedef struct streamed {
    gcore_http_request *request;
    int file;
    int told;
} streamed;

static void file_sent(void *arg, int64_t result)
{
    streamed *it = arg;

    (void)result;
    it->told++;
}

static void stream_answer(void *arg, gcore_http_request *request)
{
    static char piece[300000];
    streamed *it = arg;
    int error = gcore_http_start(request, 200, NULL, NULL, 0);

    it->request = request;
    if (error == 0)
        error = gcore_http_write(request, piece, sizeof piece);
    if (error >= 0)
        error = gcore_http_send_file(request, it->file, 0, 1000, file_sent,
                                     it);
    if (error < 0)
        it->told++;
}

static void streaming_without_memory(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int successes = 0;

    (void)state;
    for (int k = 1; successes < 1; k++) {
        streamed it = {.file = memfd_create("part", MFD_CLOEXEC)};
        echo_server server;

        assert_int_equal(ftruncate(it.file, 1000), 0);
        taking_open(&server, NULL);
        assert_ok(gcore_http_server_start(server.server, stream_answer,
                                          &it));
        peer_open(&one, &server);
        support_fail_allocation(k);
        peer_send(&one, get, sizeof get - 1);
        settle(&server, &one);
        if (it.request && gcore_http_finish(it.request) == 0)
            settle(&server, &one);
        support_fail_allocation(0);
        settle(&server, &one);
        if (it.request)
            assert_int_equal(it.told, 1);
        if (!support_allocation_failed()) {
            assert_true(one.size > 301000);
            assert_memory_equal(one.got + one.size - 5, "0\r\n\r\n", 5);
            successes++;
        }
        gcore_http_request_unref(it.request);
        peer_close(&one);
        echo_close(&server);
        close(it.file);
        assert_true(k < 100);
    }
}

static void a_server_without_memory(void **state)
{
    gcore_hub *hub = hub_new();

    (void)state;
    for (int k = 1;; k++) {
        gcore_http_server *server = NULL;
        int error;

        support_fail_allocation(k);
        error = gcore_http_server_new(hub, NULL, &server);
        if (error == 0)
            error = gcore_http_server_listen(server, 0);
        support_fail_allocation(0);
        if (!support_allocation_failed()) {
            gcore_http_server_unref(server);
            break;
        }
        assert_error(error, -ENOMEM);
        gcore_http_server_unref(server);
        assert_true(k < 100);
    }
    hub_end(hub);
}

/* Very many idle connections, each asked once before. */

static size_t room_for_descriptors(size_t wanted)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max - 100 < wanted ? limit.rlim_max - 100 : wanted;
}

static void many_idle(void **state)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t count = room_for_descriptors(2 * 10000) / 2;
    gcore_http_stats stats = {.size = sizeof stats};
    int *ends = malloc(count * sizeof *ends);
    echo_server server;
    int64_t blocks;
    char got[200];

    (void)state;
    if (support_times(100) < 100)
        count /= 20;
    echo_open(&server, NULL);
    blocks = gcore_allocator_live();
    for (size_t i = 0; i < count; i++) {
        peer_open(&one, &server);
        ends[i] = one.fd;
        peer_send(&one, get, i % 2 ? sizeof get - 1 : 10);
        settle(&server, &one);
    }
    assert_ok(gcore_http_server_counters(server.server, &stats));
    assert_int_equal(stats.connections, count);
    /* A connection, its watch, the descriptor's record, and what there is of
     * a head; nothing else. */
    assert_true(gcore_allocator_live() - blocks <= (int64_t)count * 4 + 10);
    for (size_t i = 1; i < count; i += 2) {
        assert_int_equal(send(ends[i], get, sizeof get - 1, 0),
                         sizeof get - 1);
        gcore_hub_poll(server.hub, &(gcore_completion){0}, 1, GCORE_NOW);
        assert_true(recv(ends[i], got, sizeof got, MSG_DONTWAIT) > 0);
    }
    for (size_t i = 0; i < count; i++)
        close(ends[i]);
    echo_close(&server);
    free(ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_two_pieces),
        TEST(in_random_pieces),
        TEST(ends_at_every_byte),
        TEST(without_memory),
        TEST(streaming_without_memory),
        TEST(a_server_without_memory),
        TEST(many_idle),
    };

    return RUN(tests);
}
