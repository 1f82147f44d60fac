/* Peers that are slow to take their answers, or send on meanwhile: an answer
 * that was given arrives whole, and nobody else pays for the wait. */
#include "http.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* More than the kernel takes for a peer that does not read. */
enum { MUCH = 4 << 20 };
static char much[MUCH];

static peer one;

static void answer_much(gcore_http_request *request)
{
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, much, MUCH));
    gcore_http_request_unref(request);
}

/* The server has turns for so long. */
static void turn_for(echo_server *it, int64_t time)
{
    int64_t until = after(time);
    gcore_completion out;

    while (gcore_clock() < until)
        hub_poll_again(it->hub, &out, 1, until);
}

/* Receives all there is; how much it was. */
static size_t take_all(echo_server *it)
{
    size_t all = 0;

    do {
        one.size = 0;
        settle(it, &one);
        all += one.size;
    } while (one.size);
    return all;
}

static void expect_much(echo_server *it)
{
    assert_in_range(take_all(it), MUCH + 1, MUCH + 1000);
}

/* The time between two requests begins when the answer has left. */
static void slow_is_not_idle(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .idle_timeout = 20 * MS};
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, GET);
    answer_much(take(&it, &one));
    turn_for(&it, 60 * MS);
    assert_int_equal(stats_of(&it).connections, 1);
    expect_much(&it);
    turn_for(&it, 40 * MS);
    settle(&it, &one);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

/* A peer that has asked all it wants may say so and still be answered. */
static void half_closed(void **state)
{
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET);
    shutdown(one.fd, SHUT_WR);
    answer_much(take(&it, &one));
    turn_for(&it, MS);
    expect_much(&it);
    assert_true(one.closed && !one.reset);
    peer_close(&one);
    echo_close(&it);
}

/* The request's body does not end in time; the answer has been given. */
static void slow_body(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .head_timeout = 20 * MS};
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n.");
    answer_much(take(&it, &one));
    turn_for(&it, 60 * MS);
    assert_int_equal(stats_of(&it).timeouts, 1);
    expect_much(&it);
    assert_true(one.closed && !one.reset);
    peer_close(&one);
    echo_close(&it);
}

/* Answers that nobody takes cost no more memory than `buffer` and one answer,
 * however the requests come. */
static void one_request_at_a_time(void **state)
{
    gcore_http_request *request;
    gcore_completion out;
    echo_server it;
    int answered = 0;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    for (int i = 0; i < 20; i++) {
        peer_say(&one, GET);
        for (int turns = 0; turns < 4; turns++)
            gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
        if (gcore_http_server_take(it.server, &request, 1) == 0)
            continue;
        answer_much(request);
        answered++;
    }
    assert_int_equal(answered, 1);
    expect_much(&it);
    for (; gcore_http_server_take(it.server, &request, 1) == 1; answered++) {
        answer_much(request);
        expect_much(&it);
    }
    assert_int_equal(answered, 20);
    peer_close(&one);
    echo_close(&it);
}

/* A connection that ends before its answer does is reset: the peer must not
 * take what it got for all of it, where only the end tells. */
static void cut_by_the_end(void **state)
{
    gcore_http_request *request;
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, "GET / HTTP/1.0\r\n\r\n");
    request = take(&it, &one);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    assert_true(gcore_http_write(request, much, MUCH) >= 0);
    assert_ok(gcore_http_finish(request));
    gcore_http_request_unref(request);
    assert_int_equal(stats_of(&it).connections, 1);
    assert_ok(gcore_http_server_close(it.server));
    assert_true(take_all(&it) < MUCH);
    assert_true(one.closed);
    peer_close(&one);
    echo_close(&it);
}

/* A drain answers what has been asked before it, read or not. */
static void drained_with_a_request(void **state)
{
    told told_of = {0};
    echo_server it;

    (void)state;
    echo_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nGET / ");
    peer_say(&one, GET);
    assert_ok(gcore_http_server_drain(it.server, GCORE_FOREVER, tell,
                                      &told_of));
    expect(&it, &one, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                      "Content-Length: 6\r\n\r\nGET / closed");
    assert_int_equal(told_of.count, 1);
    peer_close(&one);
    echo_close(&it);
}

/* The longest times and largest limits that can be said. */
static void without_bounds(void **state)
{
    gcore_http_options options = {
        .size = sizeof options,
        .line_limit = UINT32_MAX,
        .field_limit = UINT32_MAX,
        .head_limit = UINT32_MAX,
        .extension_limit = UINT32_MAX,
        .trailer_limit = UINT32_MAX,
        .body_limit = INT64_MAX,
        .body_rate = INT64_MAX,
        .body_grace = INT64_MAX,
        .head_timeout = INT64_MAX,
        .idle_timeout = INT64_MAX,
        .send_timeout = INT64_MAX,
        .connections = UINT32_MAX,
        .requests = UINT32_MAX,
        .turn = UINT32_MAX,
        .buffer = UINT32_MAX,
        .discard = INT64_MAX,
    };
    echo_server it;

    (void)state;
    echo_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhel");
    settle(&it, &one);
    peer_say(&one, "lo\r\n0\r\nA: b\r\n\r\n");
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nPOST / hello");
    peer_close(&one);
    echo_close(&it);
}

/* What follows a request cannot be kept: the request is not lost, it fails
 * with its connection, and nothing is left of it. */
static void no_memory_for_what_follows(void **state)
{
    bool failed = true;

    (void)state;
    for (int k = 1; failed; k++) {
        gcore_http_request *request;
        echo_server it;

        taking_open(&it, NULL);
        peer_open(&one, &it);
        support_fail_allocation(k);
        peer_say(&one, GET GET);
        settle(&it, &one);
        while (gcore_http_server_take(it.server, &request, 1) == 1) {
            gcore_http_respond(request, 200, NULL, NULL, 0, "x", 1);
            gcore_http_request_unref(request);
            settle(&it, &one);
        }
        support_fail_allocation(0);
        failed = support_allocation_failed();
        if (!failed) /* the texts of refusals begin like this one */
            assert_string_equal(answers(&one), "200|200|");
        settle(&it, &one);
        peer_close(&one);
        echo_close(&it);
        assert_true(k < 100);
    }
}

/* What has been read already is told of at once, not when more comes. */
static void read_ahead(void **state)
{
    gcore_http_request *request;
    told told_of = {0};
    echo_server it;
    char byte;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n");
    request = take(&it, &one);
    assert_int_equal(gcore_http_read(request, &byte, 1), -EAGAIN);
    peer_say(&one, "2\r\nxy\r\n0\r\n\r\n");
    assert_int_equal(gcore_http_read(request, &byte, 1), 1);
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    settle(&it, &one);
    assert_int_equal(told_of.count, 1);
    assert_int_equal(told_of.result, 0);
    gcore_http_abort(request);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

/* The time in which the application does not wait for the body is not the
 * peer's. */
static void slow_application(void **state)
{
    const struct timespec long_time = {.tv_nsec = 60 * MS};
    gcore_http_options options = {.size = sizeof options,
                                  .body_rate = 1000,
                                  .body_grace = 50 * MS};
    gcore_http_request *request;
    told told_of = {0};
    echo_server it;
    char byte;
    int64_t begun, told_at, again;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    request = take(&it, &one);
    assert_int_equal(gcore_http_read(request, &byte, 1), -EAGAIN);
    begun = gcore_clock();
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    peer_say(&one, "x");
    settle(&it, &one);
    told_at = gcore_clock();
    assert_int_equal(told_of.count, 1);
    assert_int_equal(gcore_http_read(request, &byte, 1), 1);
    nanosleep(&long_time, NULL);
    assert_int_equal(gcore_http_read(request, &byte, 1), -EAGAIN);
    again = gcore_clock();
    assert_ok(gcore_http_wait_body(request, GCORE_FOREVER, tell, &told_of));
    assert_true(gcore_hub_next_deadline(it.hub) - again >=
                50 * MS - (told_at - begun));
    gcore_http_abort(request);
    gcore_http_request_unref(request);
    settle(&it, &one);
    peer_close(&one);
    echo_close(&it);
}

/* An application that computes for long takes nothing of the time that its
 * peers have for the next request. */
static void long_computation(void **state)
{
    const struct timespec long_time = {.tv_nsec = 30 * MS};
    gcore_http_options options = {.size = sizeof options,
                                  .idle_timeout = 20 * MS};
    gcore_http_request *request;
    int64_t answered;
    echo_server it;

    (void)state;
    taking_open(&it, &options);
    peer_open(&one, &it);
    peer_say(&one, GET);
    request = take(&it, &one);
    nanosleep(&long_time, NULL);
    answered = gcore_clock();
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, NULL, 0));
    gcore_http_request_unref(request);
    assert_true(gcore_hub_next_deadline(it.hub) >= answered + 20 * MS);
    peer_close(&one);
    echo_close(&it);
}

typedef struct taker {
    gcore_http_request *request;
    int tries;
    int fd;
} taker;

static void try_to_take(void *arg, int64_t result)
{
    taker *it = arg;
    const void *bytes;
    size_t size;

    assert_int_equal(result, 0);
    assert_true(++it->tries < 10);
    it->fd = gcore_http_take_over(it->request, &bytes, &size);
    if (it->fd == -EAGAIN)
        assert_ok(gcore_http_wait_sent(it->request, GCORE_FOREVER,
                                       try_to_take, it));
}

/* Who waits for what stands before a take-over waits for all of it. */
static void taken_over_behind_an_answer(void **state)
{
    const int little = 1;
    gcore_http_request *request;
    gcore_completion out;
    taker it_takes = {.fd = -1};
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    peer_say(&one, GET GET);
    gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    assert_int_equal(gcore_http_server_take(it.server, &request, 1), 1);
    setsockopt(gcore_http_request_fd(request), SOL_SOCKET, SO_SNDBUF, &little,
               sizeof little);
    assert_ok(gcore_http_respond(request, 200, NULL, NULL, 0, much, 15000));
    gcore_http_request_unref(request);
    gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    assert_int_equal(gcore_http_server_take(it.server, &it_takes.request, 1),
                     1);
    try_to_take(&it_takes, 0);
    assert_int_equal(it_takes.fd, -EAGAIN);
    gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    assert_int_equal(it_takes.tries, 1);
    assert_true(take_all(&it) > 15000);
    assert_true(it_takes.fd >= 0);
    close(it_takes.fd);
    gcore_http_request_unref(it_takes.request);
    peer_close(&one);
    echo_close(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_ahead),
        TEST(slow_application),
        TEST(long_computation),
        TEST(taken_over_behind_an_answer),
        TEST(slow_is_not_idle),
        TEST(half_closed),
        TEST(slow_body),
        TEST(one_request_at_a_time),
        TEST(cut_by_the_end),
        TEST(drained_with_a_request),
        TEST(without_bounds),
        TEST(no_memory_for_what_follows),
    };

    return RUN(tests);
}
