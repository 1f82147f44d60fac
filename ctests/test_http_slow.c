/* Peers that are slow to take their answers, or send on meanwhile: an answer
 * that was given arrives whole, and nobody else pays for the wait. */
#include "http.h"

#include <string.h>
#include <sys/socket.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
