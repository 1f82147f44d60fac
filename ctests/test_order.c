/* In which order results are handed over. */
#include "support.h"

#include <errno.h>
#include <unistd.h>

enum { PIPES = 6, TIMERS = 12 };

static const char *const backends[] = {"epoll", "poll", "select"};
enum { BACKENDS = 3 };

/* Six pipes made readable before one turn, in an order that is not that of
 * their numbers nor of their starts. Only epoll tells what became ready
 * first; poll and select know no order but that of the numbers. */
static void pipes_arrive_in_order_of_readiness(void **state)
{
    const int order[PIPES] = {3, 0, 5, 1, 4, 2};
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_completion out[PIPES];
    gcore_watch *watches[PIPES];
    int pipes[PIPES][2];

    (void)state;
    for (int i = 0; i < PIPES; i++) {
        make_pipe(pipes[i]);
        assert_ok(
            gcore_io_new(hub, pipes[i][0], GCORE_READ, &watches[i]));
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, GCORE_FOREVER,
                                    GCORE_COMPLETE, pipes[i]));
    }
    assert_int_equal(gcore_hub_poll(hub, out, PIPES, GCORE_NOW), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PIPES; i++)
            make_ready(pipes[order[i]]);
        assert_int_equal(hub_poll_again(hub, out, PIPES, after(PATIENCE)),
                         PIPES);
        for (int i = 0; i < PIPES; i++) {
            assert_ptr_equal(out[i].arg, pipes[order[i]]);
            assert_int_equal(out[i].result, GCORE_READ);
        }
        for (int i = 0; i < PIPES; i++) {
            drain(pipes[i]);
            assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, GCORE_FOREVER,
                                        GCORE_COMPLETE, pipes[i]));
        }
    }
    for (int i = 0; i < PIPES; i++) {
        gcore_watch_stop(watches[i]);
        gcore_watch_unref(watches[i]);
        close_pipe(pipes[i]);
    }
    hub_end(hub);
}

static void small_batches_keep_the_order(void **state)
{
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_completion out[PIPES];
    gcore_watch *watches[PIPES];
    int pipes[PIPES][2];

    (void)state;
    for (int i = 0; i < PIPES; i++) {
        make_pipe(pipes[i]);
        assert_ok(
            gcore_io_new(hub, pipes[i][0], GCORE_READ, &watches[i]));
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, GCORE_FOREVER,
                                    GCORE_COMPLETE, pipes[i]));
    }
    assert_int_equal(gcore_hub_poll(hub, out, PIPES, GCORE_NOW), 0);
    for (int i = PIPES - 1; i >= 0; i--)
        make_ready(pipes[i]);
    for (int i = PIPES - 1; i >= 0; i--) {
        assert_int_equal(hub_poll_again(hub, out, 1, after(PATIENCE)), 1);
        assert_ptr_equal(out[0].arg, pipes[i]);
    }
    for (int i = 0; i < PIPES; i++) {
        gcore_watch_unref(watches[i]);
        close_pipe(pipes[i]);
    }
    hub_end(hub);
}

static void waiters_of_one_descriptor_in_start_order(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        gcore_hub *hub = hub_new_backend(backends[b]);
        gcore_completion out[PIPES];
        gcore_watch *watches[PIPES];
        int ends[2];

        make_pipe(ends);
        make_ready(ends);
        for (int i = 0; i < PIPES; i++) {
            assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &watches[i]));
            assert_ok(gcore_watch_start(watches[i], GCORE_ONCE,
                                        GCORE_FOREVER, GCORE_COMPLETE,
                                        watches[i]));
        }
        assert_int_equal(hub_poll_again(hub, out, PIPES, after(PATIENCE)),
                         PIPES);
        for (int i = 0; i < PIPES; i++) {
            assert_ptr_equal(out[i].arg, watches[i]);
            gcore_watch_unref(watches[i]);
        }
        close_pipe(ends);
        hub_end(hub);
    }
}

static void equal_timers_in_start_order(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[TIMERS];
    gcore_watch *watches[TIMERS];
    int64_t deadline = after(2 * MS);

    (void)state;
    for (int i = 0; i < TIMERS; i++)
        assert_ok(gcore_timer_new(hub, &watches[i]));
    for (int i = 0; i < TIMERS; i++) /* not the order of their making */
        assert_ok(gcore_watch_start(watches[(i * 5) % TIMERS], GCORE_ONCE,
                                    deadline, GCORE_COMPLETE,
                                    &watches[(i * 5) % TIMERS]));
    poll_for(hub, out, TIMERS);
    for (int i = 0; i < TIMERS; i++)
        assert_ptr_equal(out[i].arg, &watches[(i * 5) % TIMERS]);
    for (int i = 0; i < TIMERS; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void timers_by_deadline(void **state)
{
    enum { MANY = 500 };
    gcore_hub *hub = hub_new();
    gcore_completion out[MANY];
    gcore_watch *watches[MANY];
    int64_t deadlines[MANY];
    int64_t start = gcore_clock();
    int64_t last = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        deadlines[i] = start + (int64_t)((i * 7919) % MANY) * MS / 100;
        assert_ok(gcore_timer_new(hub, &watches[i]));
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, deadlines[i],
                                    GCORE_COMPLETE, &deadlines[i]));
    }
    poll_for(hub, out, MANY);
    for (int i = 0; i < MANY; i++) {
        int64_t deadline = *(int64_t *)out[i].arg;

        assert_true(last <= deadline);
        last = deadline;
    }
    for (int i = 0; i < MANY; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void stopping_one_timer_keeps_the_order_of_the_others(void **state)
{
    enum { MANY = 100 };
    gcore_hub *hub = hub_new();
    gcore_completion out[MANY];
    gcore_watch *watches[MANY];
    int64_t deadline = after(MS);
    int left = 0;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        assert_ok(gcore_timer_new(hub, &watches[i]));
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, deadline,
                                    GCORE_COMPLETE, &watches[i]));
    }
    for (int i = 0; i < MANY; i += 3)
        gcore_watch_stop(watches[i]);
    for (int i = 0; i < MANY; i++)
        left += i % 3 != 0;
    poll_for(hub, out, left);
    for (int i = 0, n = 0; i < MANY; i++)
        if (i % 3 != 0)
            assert_ptr_equal(out[n++].arg, &watches[i]);
    for (int i = 0; i < MANY; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void higher_priorities_first(void **state)
{
    enum { LEVELS = GCORE_PRIORITY_MAX - GCORE_PRIORITY_MIN + 1 };
    gcore_hub *hub = hub_new();
    gcore_completion out[LEVELS];
    gcore_watch *watches[LEVELS];

    (void)state;
    for (int i = 0; i < LEVELS; i++) {
        assert_ok(gcore_timer_new(hub, &watches[i]));
        assert_ok(
            gcore_watch_set_priority(watches[i], GCORE_PRIORITY_MIN + i));
        assert_int_equal(gcore_watch_priority(watches[i]),
                         GCORE_PRIORITY_MIN + i);
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, GCORE_NOW,
                                    GCORE_COMPLETE, watches[i]));
    }
    assert_int_equal(hub_poll_again(hub, out, LEVELS, after(PATIENCE)),
                     LEVELS);
    for (int i = 0; i < LEVELS; i++)
        assert_ptr_equal(out[i].arg, watches[LEVELS - 1 - i]);
    assert_error(gcore_watch_set_priority(watches[0], GCORE_PRIORITY_MAX + 1),
                 -EINVAL);
    assert_error(gcore_watch_set_priority(watches[0], GCORE_PRIORITY_MIN - 1),
                 -EINVAL);
    for (int i = 0; i < LEVELS; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void io_before_timers_of_the_same_turn(void **state)
{
    (void)state;
    for (int b = 0; b < BACKENDS; b++) {
        gcore_hub *hub = hub_new_backend(backends[b]);
        gcore_completion out[3];
        gcore_watch *timer, *io;
        int ends[2];

        make_pipe(ends);
        make_ready(ends);
        assert_ok(gcore_timer_new(hub, &timer));
        assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
        assert_ok(gcore_watch_start(timer, GCORE_ONCE, GCORE_NOW,
                                    GCORE_COMPLETE, timer));
        assert_ok(gcore_watch_start(io, GCORE_ONCE, GCORE_FOREVER,
                                    GCORE_COMPLETE, io));
        assert_int_equal(hub_poll_again(hub, out, 3, after(PATIENCE)), 2);
        assert_ptr_equal(out[0].arg, io);
        assert_ptr_equal(out[1].arg, timer);
        gcore_watch_unref(timer);
        gcore_watch_unref(io);
        close_pipe(ends);
        hub_end(hub);
    }
}

/* Done functions and completions share one order: the functions that come
 * before an entry have been called when the entry is returned. */
static void functions_in_their_place_among_completions(void **state)
{
    gcore_hub *hub = hub_new();
    record calls = {0};
    told first = {.record = &calls, .name = 1};
    told third = {.record = &calls, .name = 3};
    gcore_completion out[4];

    (void)state;
    assert_ok(gcore_hub_post(hub, tell, &first));
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &calls));
    assert_ok(gcore_hub_post(hub, tell, &third));
    assert_int_equal(hub_poll_again(hub, out, 4, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, &calls);
    assert_int_equal(out[0].result, 0);
    assert_int_equal(calls.count, 2);
    assert_int_equal(calls.names[0], 1);
    assert_int_equal(calls.names[1], 3);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pipes_arrive_in_order_of_readiness),
        TEST(small_batches_keep_the_order),
        TEST(waiters_of_one_descriptor_in_start_order),
        TEST(equal_timers_in_start_order),
        TEST(timers_by_deadline),
        TEST(stopping_one_timer_keeps_the_order_of_the_others),
        TEST(higher_priorities_first),
        TEST(io_before_timers_of_the_same_turn),
        TEST(functions_in_their_place_among_completions),
    };

    return RUN(tests);
}
