/* Small pieces of an answer that follow each other quickly: they leave by few
 * calls of the kernel, in order and whole, and are on their way also while the
 * application computes on.
 *
 * The calls that send are counted, and can be made to fail. `HOUR` makes any
 * piece quick, however slow the machine is, and keeps the thread from being
 * due; `SOON` has it due at once, but a slow machine may then find no piece
 * quick and send all directly. */
#include "http.h"
#include "next.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_OLD "GET / HTTP/1.0\r\n\r\n"
#define HOUR (3600 * SECOND)
#define SOON (100 * MS)

/* Pieces that are sent at once, whatever follows. */
enum { FIRST = 5 };

static atomic_int sends; /* since the last look */
static atomic_int send_error; /* of the next, if not 0 */
static atomic_int threadless; /* none can be started */

static int next_error(void)
{
    atomic_fetch_add(&sends, 1);
    errno = atomic_exchange(&send_error, 0);
    return errno;
}

#pragma GCC visibility push(default)

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    bool own = flags & MSG_DONTWAIT; /* the tests' */

    return !own && next_error() ? -1 : NEXT(send)(fd, bytes, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return next_error() ? -1 : NEXT(sendmsg)(fd, message, flags);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*body)(void *), void *arg)
{
    if (atomic_load(&threadless))
        return EAGAIN;
    return NEXT(pthread_create)(thread, attributes, body, arg);
}

#pragma GCC visibility pop

static peer one;

/* An answer being given, and what the peer is to get of it. */
typedef struct answer {
    echo_server it;
    gcore_http_request *request;
    char all[1 << 20];
    size_t size;
    int pieces;
} answer;

static answer the;

static void start(int64_t coalesce, const char *ask)
{
    gcore_http_options options = {.size = sizeof options,
                                  .coalesce = coalesce};

    taking_open(&the.it, &options);
    peer_open(&one, &the.it);
    peer_say(&one, ask);
    the.request = take(&the.it, &one);
    the.size = 0;
    the.pieces = 0;
    atomic_store(&send_error, 0);
    atomic_store(&sends, 0);
    assert_ok(gcore_http_start(the.request, 200, NULL, NULL, 0));
}

/* The next piece, of so many bytes; each begins otherwise. */
static int piece(size_t size)
{
    char *bytes = the.all + the.size;

    memset(bytes, 'a' + the.pieces++ % 26, size);
    the.size += size;
    return gcore_http_write(the.request, bytes, size);
}

/* As many as are sent at once, and so many more. */
static void pieces(int count)
{
    for (int i = 0; i < FIRST + count; i++)
        assert_ok(piece(1));
}

static int count_sends(void)
{
    return atomic_exchange(&sends, 0);
}

/* What came of a body that ends with the connection. */
static size_t body_size(void)
{
    const char *body = strstr(one.got, "\r\n\r\n");

    return body ? one.size - (size_t)(body + 4 - one.got) : 0;
}

static void expect_body(void)
{
    const char *body = strstr(one.got, "\r\n\r\n");

    assert_non_null(body);
    assert_int_equal(body_size(), the.size);
    assert_memory_equal(body + 4, the.all, the.size);
}

static void end(void)
{
    gcore_http_request_unref(the.request);
    peer_close(&one);
    settle(&the.it, &one);
    echo_close(&the.it);
}

static void finish_and_end(void)
{
    assert_ok(gcore_http_finish(the.request));
    settle(&the.it, &one);
    expect_body();
    end();
}

/* Without turns of the hub, until the peer has as much of the body. */
static void receive_body(size_t size)
{
    struct pollfd ready = {.fd = one.fd, .events = POLLIN};

    while (body_size() < size) {
        ssize_t got;

        assert_int_equal(poll(&ready, 1, (int)(PATIENCE / MS)), 1);
        got = recv(one.fd, one.got + one.size, sizeof one.got - one.size - 1,
                   MSG_DONTWAIT);
        assert_true(got > 0);
        one.size += (size_t)got;
        one.got[one.size] = 0;
    }
}

static void few_calls(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(1000);
    assert_int_equal(count_sends(), FIRST);
    finish_and_end();
    assert_int_equal(count_sends(), 1);
}

static void chunks(void **state)
{
    char expected[64 + (FIRST + 20) * 6 + 5];
    size_t size = (size_t)sprintf(
        expected, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

    (void)state;
    start(HOUR, GET);
    pieces(20);
    assert_ok(gcore_http_finish(the.request));
    assert_int_equal(count_sends(), FIRST + 1);
    for (int i = 0; i < FIRST + 20; i++)
        size += (size_t)sprintf(expected + size, "1\r\n%c\r\n", the.all[i]);
    memcpy(expected + size, "0\r\n\r\n", 6);
    expect(&the.it, &one, expected);
    end();
}

/* One that makes them enough, and one that is large, take the others along. */
static void much(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(1);
    for (int i = 0; i < 20; i++)
        piece(4000);
    assert_in_range(count_sends(), FIRST + 4, FIRST + 5);
    piece(10);
    piece(100000);
    assert_int_equal(count_sends(), 1);
    finish_and_end();
}

/* A new answer of the same connection begins anew. */
static void first_piece_of_the_next(void **state)
{
    (void)state;
    start(HOUR, GET);
    pieces(1);
    assert_ok(gcore_http_finish(the.request));
    gcore_http_request_unref(the.request);
    peer_say(&one, GET_OLD);
    the.request = take(&the.it, &one);
    count_sends();
    the.size = one.size = 0;
    assert_ok(gcore_http_start(the.request, 200, NULL, NULL, 0));
    piece(1);
    assert_int_equal(count_sends(), 1);
    finish_and_end();
}

static void hub_turn(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    settle(&the.it, &one);
    expect_body();
    pieces(10); /* and again */
    settle(&the.it, &one);
    expect_body();
    finish_and_end();
}

static void waiting_for_room(void **state)
{
    gcore_completion out;

    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    assert_ok(gcore_http_wait_sent(the.request, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL));
    poll_for(the.it.hub, &out, 1);
    assert_int_equal(out.result, 0);
    finish_and_end();
}

static void file_behind(void **state)
{
    int file = memfd_create("part", MFD_CLOEXEC);
    told sent = {0};

    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    assert_int_equal(write(file, "file", 4), 4);
    memcpy(the.all + the.size, "file", 4);
    the.size += 4;
    assert_ok(gcore_http_send_file(the.request, file, 0, 4, tell, &sent));
    settle(&the.it, &one);
    assert_int_equal(sent.count, 1);
    assert_int_equal(sent.result, 0);
    finish_and_end();
    close(file);
}

/* Of the thread */

static void without_a_turn(void **state)
{
    (void)state;
    start(SOON, GET_OLD);
    for (int i = 0; i < 5; i++) {
        pieces(10);
        receive_body(the.size);
        expect_body();
    }
    finish_and_end();
}

/* The thread sends while pieces are added, and the hub has turns. */
static void both_at_once(void **state)
{
    (void)state;
    start(MS, GET_OLD);
    for (int i = 0; i < support_times(5000); i++) {
        int64_t until = after(i % 7 * (MS / 50));

        assert_in_range(piece(1 + (size_t)i % 90), 0, 1);
        while (gcore_clock() < until)
            ;
        if (i % 100 == 99)
            settle(&the.it, &one);
    }
    finish_and_end();
}

/* More than the kernel takes while nobody reads. */
static void peer_that_does_not_read(void **state)
{
    bool full = false;

    (void)state;
    start(2 * MS, GET_OLD);
    while (!full && the.size < sizeof the.all - 100)
        full = piece(100) == 1;
    assert_true(full);
    settle(&the.it, &one);
    expect_body();
    pieces(10);
    finish_and_end();
}

/* The thread meets an error: a later call is told. */
static void error_of_the_thread(void **state)
{
    int error = 0;

    (void)state;
    start(SOON, GET_OLD);
    pieces(1);
    atomic_store(&send_error, EPIPE);
    for (int64_t until = after(PATIENCE); !error && gcore_clock() < until;) {
        poll(NULL, 0, 1);
        error = piece(1);
    }
    assert_int_equal(error, -EPIPE);
    assert_int_equal(piece(1), -EPIPE);
    assert_int_equal(gcore_http_finish(the.request), -EPIPE);
    end();
}

/* The hub's turn meets it, and the application only afterwards. */
static void error_of_the_turn(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(1);
    atomic_store(&send_error, ECONNRESET);
    settle(&the.it, &one);
    assert_int_equal(piece(1), -ECONNRESET);
    end();
}

static void error_at_the_end(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(1);
    atomic_store(&send_error, EPIPE);
    assert_int_equal(gcore_http_finish(the.request), -EPIPE);
    end();
}

static void no_thread_to_be_had(void **state)
{
    (void)state;
    atomic_store(&threadless, 1);
    start(HOUR, GET_OLD);
    pieces(10);
    assert_int_equal(count_sends(), FIRST + 10);
    atomic_store(&threadless, 0);
    finish_and_end();
}

static void no_thread_needed(void **state)
{
    int threads = support_threads();

    (void)state;
    start(HOUR, GET_OLD);
    pieces(0);
    assert_int_equal(support_threads(), threads);
    pieces(1);
    assert_int_equal(support_threads(), threads + 1);
    finish_and_end();
}

/* Its thread ends, having sent all, until it is needed again. */
static void rest(void **state)
{
    int threads = support_threads();

    (void)state;
    start(HOUR, GET_OLD);
    for (int i = 0; i < 3; i++) {
        pieces(5);
        assert_ok(gcore_http_server_rest(the.it.server));
        while (support_threads() != threads) /* joined, but still listed */
            sched_yield();
        receive_body(the.size);
        assert_ok(gcore_http_server_rest(the.it.server));
    }
    finish_and_end();
}

static void switched_off(void **state)
{
    int threads = support_threads();

    (void)state;
    start(-1, GET_OLD);
    pieces(100);
    assert_int_equal(count_sends(), FIRST + 100);
    assert_int_equal(support_threads(), threads);
    finish_and_end();
}

/* Ends */

static void settle_and_expect_reset(void)
{
    settle(&the.it, &one);
    expect_body();
    assert_true(one.closed);
    end();
}

/* What was written has left, as if nothing were collected. */
static void aborted(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    gcore_http_abort(the.request);
    assert_int_equal(piece(1), -ECANCELED);
    the.size--;
    settle_and_expect_reset();
}

static void cut(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    assert_ok(gcore_http_cut(the.request));
    settle_and_expect_reset();
}

static void server_closed(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    assert_ok(gcore_http_server_close(the.it.server));
    settle_and_expect_reset();
}

static void hub_closed(void **state)
{
    (void)state;
    start(HOUR, GET_OLD);
    pieces(10);
    assert_ok(gcore_hub_close(the.it.hub));
    assert_int_equal(piece(1), -ECANCELED);
    end();
}

static void peer_gone(void **state)
{
    int error = 0;

    (void)state;
    start(SOON, GET_OLD);
    pieces(10);
    shutdown(one.fd, SHUT_RDWR);
    for (int64_t until = after(PATIENCE); !error && gcore_clock() < until;) {
        poll(NULL, 0, 1);
        error = piece(1);
    }
    assert_int_equal(error, -EPIPE);
    end();
}

/* A forked child sends nothing of what was collected, and has a thread of its
 * own for what it serves itself. */
static void child(void *arg)
{
    (void)arg;
    CHILD_CHECK(piece(1) == -ECANCELED);
    gcore_http_request_unref(the.request);
    peer_open(&one, &the.it);
    peer_say(&one, GET_OLD);
    the.request = take(&the.it, &one);
    count_sends();
    the.size = 0;
    CHILD_CHECK(gcore_http_start(the.request, 200, NULL, NULL, 0) == 0);
    pieces(10);
    CHILD_CHECK(support_threads() == 2);
    CHILD_CHECK(count_sends() == FIRST);
    settle(&the.it, &one);
    expect_body();
    CHILD_CHECK(gcore_http_server_close(the.it.server) == 0);
}

static void after_a_fork(void **state)
{
    (void)state;
    if (support_under_tsan())
        skip(); /* no threads after a fork */
    start(HOUR, GET_OLD);
    pieces(10);
    in_child(child, NULL);
    settle(&the.it, &one);
    expect_body();
    finish_and_end();
}

int main(void)
{
    const struct CMUnitTest collecting[] = {
        TEST(few_calls),
        TEST(chunks),
        TEST(much),
        TEST(first_piece_of_the_next),
        TEST(hub_turn),
        TEST(waiting_for_room),
        TEST(file_behind),
        TEST(without_a_turn),
        TEST(both_at_once),
        TEST(peer_that_does_not_read),
        TEST(error_of_the_thread),
        TEST(error_of_the_turn),
        TEST(error_at_the_end),
        TEST(no_thread_to_be_had),
        TEST(no_thread_needed),
        TEST(rest),
        TEST(switched_off),
        TEST(aborted),
        TEST(cut),
        TEST(server_closed),
        TEST(hub_closed),
        TEST(peer_gone),
        TEST(after_a_fork),
    };

    return RUN(collecting);
}
