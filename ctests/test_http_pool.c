/* Requests as completions, their answers made by a pool's threads, whose jobs
 * complete in the same ring: what a binding does. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PEERS = 4, REQUESTS = 40, BATCH = 8 };

typedef struct job {
    gcore_http_request *request;
    char text[64];
} job;

static peer peers[PEERS];
static int token; /* of the server's completions */
static int jobs;  /* that have not completed */

/* Runs on a thread of the pool; the head lives as long as the request. */
static int64_t work(void *arg)
{
    job *it = arg;
    const gcore_http_head *head = gcore_http_request_head(it->request);

    return snprintf(it->text, sizeof it->text, "Answer to %.*s",
                    (int)head->target_size, head->block + head->target);
}

static void submit_all(echo_server *it, gcore_pool *pool)
{
    gcore_http_request *requests[BATCH];
    int count;

    while ((count = gcore_http_server_take(it->server, requests, BATCH)) > 0)
        for (int i = 0; i < count; i++, jobs++) {
            job *made = calloc(1, sizeof *made);

            made->request = requests[i];
            assert_ok(gcore_pool_submit(pool, it->hub, work, made,
                                        GCORE_FOREVER, GCORE_COMPLETE, made,
                                        NULL));
        }
}

static void answer(job *it, int64_t size)
{
    int error = 0;

    if (size > 0)
        error = gcore_http_respond(it->request, 200, NULL, NULL, 0, it->text,
                                   (size_t)size);
    assert_true(error == 0 || error == -EPIPE || error == -ECONNRESET ||
                error == -ECANCELED);
    gcore_http_request_unref(it->request);
    free(it);
    jobs--;
}

/* One turn: requests become jobs, jobs become answers. */
static void turn(echo_server *it, gcore_pool *pool)
{
    gcore_completion out[BATCH];
    int count = hub_poll_again(it->hub, out, BATCH, after(MS));

    for (int i = 0; i < count; i++) {
        if (out[i].arg != &token)
            answer(out[i].arg, out[i].result);
        else if (out[i].result > 0)
            submit_all(it, pool);
    }
}

static void ask(peer *it, echo_server *server, int number)
{
    char text[100];

    peer_open(it, server);
    for (int k = 0; k < REQUESTS; k++) {
        snprintf(text, sizeof text, "GET /%d/%d HTTP/1.1\r\nHost: a\r\n\r\n",
                 number, k);
        peer_say(it, text);
    }
}

/* Whether all of its answers have come. */
static bool complete(peer *it, int number)
{
    char last[32];
    ssize_t got = recv(it->fd, it->got + it->size,
                       sizeof it->got - it->size - 1, MSG_DONTWAIT);

    snprintf(last, sizeof last, "Answer to /%d/%d", number, REQUESTS - 1);
    it->size += got > 0 ? (size_t)got : 0;
    it->got[it->size] = 0;
    return strstr(it->got, last) != NULL;
}

static void expect_in_order(const peer *it, int number)
{
    static char all[REQUESTS * 40];
    size_t size = 0;

    for (int k = 0; k < REQUESTS; k++)
        size += (size_t)snprintf(all + size, sizeof all - size,
                                 "200 Answer to /%d/%d|", number, k);
    assert_string_equal(answers(it), all);
}

/* Two of the peers go away in the middle, one without a word. */
static void answers_by_a_pool(void **state)
{
    gcore_pool *pool;
    echo_server it;
    int64_t deadline = after(PATIENCE);

    (void)state;
    taking_open(&it, NULL);
    assert_ok(gcore_pool_new(NULL, &pool));
    assert_ok(gcore_http_server_watch(it.server, GCORE_COMPLETE, &token));
    for (int i = 0; i < PEERS; i++)
        ask(&peers[i], &it, i);
    turn(&it, pool);
    shutdown(peers[0].fd, SHUT_WR);
    peer_close(&peers[1]);
    for (int left = 1; left;) {
        turn(&it, pool);
        left = jobs;
        for (int i = 0; i < PEERS; i++)
            left += peers[i].fd >= 0 && !complete(&peers[i], i);
        assert_true(gcore_clock() < deadline);
    }
    for (int i = 0; i < PEERS; i++) {
        if (peers[i].fd < 0)
            continue;
        expect_in_order(&peers[i], i);
        peer_close(&peers[i]);
    }
    gcore_pool_unref(pool);
    echo_close(&it);
}

/* The server closes while jobs run: their requests are still there. */
static void closed_under_the_jobs(void **state)
{
    gcore_pool *pool;
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    assert_ok(gcore_pool_new(NULL, &pool));
    assert_ok(gcore_http_server_watch(it.server, GCORE_COMPLETE, &token));
    for (int i = 0; i < PEERS; i++)
        ask(&peers[i], &it, i);
    while (jobs == 0)
        turn(&it, pool);
    assert_ok(gcore_http_server_close(it.server));
    while (jobs)
        turn(&it, pool);
    for (int i = 0; i < PEERS; i++)
        peer_close(&peers[i]);
    gcore_pool_unref(pool);
    echo_close(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_by_a_pool),
        TEST(closed_under_the_jobs),
    };

    return RUN(tests);
}
