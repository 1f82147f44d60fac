/* Posts: what other threads send. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

enum { THREADS = 8 };

struct sender {
    gcore_hub *hub;
    int count;
    int sent;
    int expected; /* hub's thread: the next number of this sender */
    int dropped;
    bool ordered;
};

struct letter {
    struct sender *sender;
    int number;
};

static void letter_arrives(void *arg, int64_t result)
{
    struct letter *letter = arg;
    struct sender *sender = letter->sender;

    if (result == -ECANCELED)
        sender->dropped++;
    if (letter->number != sender->expected)
        sender->ordered = false;
    sender->expected++;
    free(letter);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;

    for (int i = 0; i < sender->count; i++) {
        struct letter *letter = malloc(sizeof *letter);
        int error;

        letter->sender = sender;
        letter->number = i;
        while ((error = gcore_hub_post(sender->hub, letter_arrives,
                                       letter)) == -EAGAIN)
            sched_yield();
        if (error < 0) {
            free(letter);
            break;
        }
        sender->sent++;
    }
    return NULL;
}

/* A million posts from eight threads: none is lost, each thread's arrive in
 * its order, and the waker is written to far less often. */
static void million_posts_from_eight_threads(void **state)
{
    gcore_hub *hub = hub_new();
    struct sender senders[THREADS];
    pthread_t threads[THREADS];
    int each = support_times(1000000) / THREADS;
    int64_t deadline = after(4 * PATIENCE);
    gcore_completion out;
    int all = 0;

    (void)state;
    assert_ok(gcore_hub_retain(hub));
    for (int i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){
            .hub = hub, .count = each, .ordered = true};
        threads[i] = thread_start(send_all, &senders[i]);
    }
    while (all < each * THREADS) {
        assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
        all = 0;
        for (int i = 0; i < THREADS; i++)
            all += senders[i].expected;
        assert_true(gcore_clock() < deadline);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        assert_int_equal(senders[i].sent, each);
        assert_int_equal(senders[i].expected, each);
        assert_true(senders[i].ordered);
        assert_int_equal(senders[i].dropped, 0);
    }
    assert_int_equal(hub_stats(hub).posts, each * THREADS);
    assert_true(hub_stats(hub).wakes <= hub_stats(hub).posts);
    gcore_hub_release(hub);
    hub_end(hub);
}

static void accepted_posts_are_dropped_with_notice_at_close(void **state)
{
    enum { MANY = 100 };
    gcore_hub *hub = hub_new();
    record calls = {0};
    told each[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        each[i] = (told){.record = &calls, .name = i};
        assert_ok(gcore_hub_post(hub, tell, &each[i]));
    }
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(calls.count, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(calls.names[i], i);
        assert_int_equal(calls.results[i], -ECANCELED);
    }
    assert_error(gcore_hub_post(hub, tell, &each[0]), -ESHUTDOWN);
    assert_int_equal(calls.count, MANY);
    gcore_hub_unref(hub);
}

static void completions_left_at_close_are_still_returned(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[4];
    int a, b;

    (void)state;
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &a));
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &b));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), 2);
    assert_ptr_equal(out[0].arg, &a);
    assert_ptr_equal(out[1].arg, &b);
    assert_int_equal(out[0].result, -ECANCELED);
    assert_int_equal(out[1].result, -ECANCELED);
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), -ESHUTDOWN);
    gcore_hub_unref(hub);
}

/* While eight threads post, the hub is closed: each accepted post runs or is
 * dropped with notice, none both, none neither. */
static void close_amid_posts(void **state)
{
    (void)state;
    for (int round = 0; round < support_times(50); round++) {
        gcore_hub *hub = hub_new();
        struct sender senders[THREADS];
        pthread_t threads[THREADS];
        gcore_completion out;

        assert_ok(gcore_hub_retain(hub));
        for (int i = 0; i < THREADS; i++) {
            senders[i] = (struct sender){
                .hub = hub, .count = 1 << 30, .ordered = true};
            threads[i] = thread_start(send_all, &senders[i]);
        }
        for (int i = 0; i < round % 5; i++)
            hub_poll_again(hub, &out, 1, after(MS / 10));
        assert_ok(gcore_hub_close(hub));
        for (int i = 0; i < THREADS; i++)
            thread_join(threads[i]);
        for (int i = 0; i < THREADS; i++)
            assert_int_equal(senders[i].sent, senders[i].expected);
        gcore_hub_unref(hub);
    }
}

static void bounded(void **state)
{
    gcore_hub_options options = {.size = sizeof options, .post_limit = 10};
    gcore_hub *hub;
    gcore_completion out;
    told one = {0};

    (void)state;
    assert_ok(gcore_hub_new(&options, &hub));
    for (int round = 1; round <= 3; round++) {
        for (int i = 0; i < 10; i++)
            assert_ok(gcore_hub_post(hub, tell, &one));
        assert_error(gcore_hub_post(hub, tell, &one), -EAGAIN);
        assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
        assert_int_equal(one.count, 10 * round);
    }
    assert_int_equal(hub_stats(hub).posts, 30);
    assert_int_equal(hub_stats(hub).rejected, 3);
    hub_end(hub);
}

static void wakes_are_coalesced(void **state)
{
    enum { MANY = 1000 };
    gcore_hub *hub = hub_new();
    gcore_completion out;
    told one = {0};

    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_ok(gcore_hub_post(hub, tell, &one));
    assert_true(hub_stats(hub).wakes <= 1);
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
    assert_int_equal(one.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_ok(gcore_hub_wake(hub));
    assert_true(hub_stats(hub).wakes <= 2);
    hub_end(hub);
}

struct poster {
    gcore_hub *hub;
    int left;
};

static void post_again(void *arg, int64_t result)
{
    struct poster *poster = arg;

    assert_int_equal(result, 0);
    if (poster->left-- > 0)
        assert_ok(gcore_hub_post(poster->hub, post_again, poster));
}

/* A post made by a post runs in the next turn: posts cannot hold a turn. */
static void a_post_that_posts_takes_turns(void **state)
{
    gcore_hub *hub = hub_new();
    struct poster poster = {.hub = hub, .left = 100};
    gcore_completion out;

    (void)state;
    assert_ok(gcore_hub_post(hub, post_again, &poster));
    gcore_hub_poll(hub, &out, 1, GCORE_NOW);
    assert_true(poster.left >= 98);
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(poster.left, -1);
    hub_end(hub);
}

static void bad_arguments(void **state)
{
    gcore_hub *hub = hub_new();

    (void)state;
    assert_error(gcore_hub_post(hub, NULL, NULL), -EINVAL);
    assert_int_equal(hub_stats(hub).posts, 0);
    hub_end(hub);
}

struct waker {
    gcore_hub *hub;
    int count;
    atomic_int seen;
};

static void *post_one_by_one(void *arg)
{
    struct waker *waker = arg;

    for (int i = 0; i < waker->count; i++) {
        if (gcore_hub_post(waker->hub, GCORE_COMPLETE, waker) != 0)
            return waker;
        while (atomic_load(&waker->seen) <= i)
            sched_yield();
    }
    return NULL;
}

/* Each post finds the hub asleep, or falling asleep: a lost wake-up would
 * leave both sides waiting. */
static void no_wake_up_is_lost(void **state)
{
    gcore_hub *hub = hub_new();
    struct waker waker = {.hub = hub, .count = support_times(20000)};
    gcore_completion out;
    pthread_t thread;

    (void)state;
    assert_ok(gcore_hub_retain(hub));
    thread = thread_start(post_one_by_one, &waker);
    for (int i = 0; i < waker.count; i++) {
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
        atomic_fetch_add(&waker.seen, 1);
    }
    thread_join(thread);
    gcore_hub_release(hub);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(million_posts_from_eight_threads),
        TEST(accepted_posts_are_dropped_with_notice_at_close),
        TEST(completions_left_at_close_are_still_returned),
        TEST(close_amid_posts),
        TEST(bounded),
        TEST(wakes_are_coalesced),
        TEST(a_post_that_posts_takes_turns),
        TEST(bad_arguments),
        TEST(no_wake_up_is_lost),
    };

    return RUN(tests);
}
