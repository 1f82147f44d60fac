/* Timers. */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void never_early(void **state)
{
    enum { MANY = 200 };
    gcore_hub *hub = hub_new();
    gcore_watch *watches[MANY];
    int64_t deadlines[MANY];
    gcore_completion out[MANY];
    int left = MANY;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        deadlines[i] = after(i * 137 * 1000); /* a part of a millisecond */
        assert_ok(gcore_timer_new(hub, &watches[i]));
        assert_ok(gcore_watch_start(watches[i], GCORE_ONCE, deadlines[i],
                                    GCORE_COMPLETE, &deadlines[i]));
    }
    while (left > 0) {
        int got = hub_poll_again(hub, out, MANY, after(PATIENCE));
        int64_t now = gcore_clock();

        assert_true(got > 0);
        for (int i = 0; i < got; i++) {
            assert_int_equal(out[i].result, 0);
            assert_true(now >= *(int64_t *)out[i].arg);
            assert_true(gcore_hub_now(hub) >= *(int64_t *)out[i].arg);
        }
        left -= got;
    }
    for (int i = 0; i < MANY; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void the_deadline_of_poll_is_never_early(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;

    (void)state;
    gcore_hub_retain(hub);
    for (int i = 0; i < 50; i++) {
        int64_t deadline = after(i * 53 * 1000);

        assert_int_equal(hub_poll_again(hub, &out, 1, deadline), 0);
        assert_true(gcore_clock() >= deadline);
    }
    gcore_hub_release(hub);
    hub_end(hub);
}

/* Timers that are always due must not keep a descriptor waiting, nor the
 * other way round. */
static void neither_timers_nor_io_starve(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer, *io;
    gcore_completion out[2];
    int timers = 0, ios = 0, ends[2];

    (void)state;
    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_timer_set_repeat(timer, 1));
    assert_ok(gcore_watch_start(timer, 0, GCORE_NOW, GCORE_COMPLETE, timer));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(gcore_watch_start(io, 0, GCORE_FOREVER, GCORE_COMPLETE, io));
    for (int i = 0; i < 100; i++) {
        int got = hub_poll_again(hub, out, 2, after(PATIENCE));

        assert_true(got > 0);
        for (int j = 0; j < got; j++) {
            timers += out[j].arg == timer;
            ios += out[j].arg == io;
        }
    }
    assert_true(timers >= 40);
    assert_true(ios >= 40);
    gcore_watch_stop(timer);
    gcore_watch_stop(io);
    gcore_watch_unref(timer);
    gcore_watch_unref(io);
    close_pipe(ends);
    hub_end(hub);
}

static void restart(void *arg, int64_t result)
{
    told *one = arg;

    one->count++;
    if (result == 0)
        gcore_watch_start(one->watch, GCORE_ONCE, GCORE_NOW, restart, one);
}

/* A timer that starts itself again at once gives one completion a turn: a
 * poll that shall not wait comes back, and what else is due comes too. */
static void self_restarting_timer_does_not_hold_the_turn(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *greedy, *other;
    gcore_completion out;
    told one = {0};

    (void)state;
    assert_ok(gcore_timer_new(hub, &greedy));
    assert_ok(gcore_timer_new(hub, &other));
    one.watch = greedy;
    assert_ok(
        gcore_watch_start(greedy, GCORE_ONCE, GCORE_NOW, restart, &one));
    for (int i = 1; i <= 10; i++) {
        assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
        assert_int_equal(one.count, i);
    }
    assert_ok(gcore_watch_start(other, GCORE_ONCE, after(MS), GCORE_COMPLETE,
                                other));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_ptr_equal(out.arg, other);
    gcore_watch_stop(greedy);
    gcore_watch_unref(greedy);
    gcore_watch_unref(other);
    hub_end(hub);
}

/* The deadline is absolute: work between reading the clock and the start
 * does not move it. */
static void absolute_deadline(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out;
    int64_t deadline = after(2 * MS);

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    while (gcore_clock() < deadline)
        ;
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, deadline, GCORE_COMPLETE,
                                timer));
    assert_int_equal(gcore_watch_deadline(timer), deadline);
    assert_true(gcore_hub_next_deadline(hub) <= deadline);
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 1);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void now_is_cached_and_update_refreshes_it(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    int64_t cached;

    (void)state;
    gcore_hub_poll(hub, &out, 1, GCORE_NOW);
    cached = gcore_hub_now(hub);
    assert_true(cached <= gcore_clock());
    while (gcore_clock() < cached + MS)
        ;
    assert_int_equal(gcore_hub_now(hub), cached);
    gcore_hub_update(hub);
    assert_true(gcore_hub_now(hub) >= cached + MS);
    hub_end(hub);
}

static void repeats(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out;
    int64_t start = gcore_clock();

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_int_equal(gcore_timer_repeat(timer), 0);
    assert_ok(gcore_timer_set_repeat(timer, 2 * MS));
    assert_int_equal(gcore_timer_repeat(timer), 2 * MS);
    assert_ok(gcore_watch_start(timer, 0, start + MS, GCORE_COMPLETE, timer));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
        assert_true(gcore_clock() >= start + MS + i * 2 * MS);
        assert_int_equal(gcore_watch_active(timer), 1);
    }
    assert_ok(gcore_timer_set_repeat(timer, 0));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)),
                     -GCORE_EIDLE);
    assert_int_equal(gcore_watch_active(timer), 0);
    assert_error(gcore_timer_set_repeat(timer, -1), -EINVAL);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void without_a_repeat_it_is_due_once(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(
        gcore_watch_start(timer, 0, after(MS), GCORE_COMPLETE, timer));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_int_equal(gcore_watch_active(timer), 0);
    assert_ok(
        gcore_watch_start(timer, 0, after(MS), GCORE_COMPLETE, timer));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void a_timer_for_ever_is_legal(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, GCORE_FOREVER,
                                GCORE_COMPLETE, timer));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
    assert_ok(gcore_watch_stop(timer));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, -5, GCORE_COMPLETE,
                                timer)); /* long ago is now */
    assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 1);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void stop_before_due(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(PATIENCE),
                                GCORE_COMPLETE, timer));
    assert_error(gcore_watch_start(timer, GCORE_ONCE, GCORE_NOW,
                                   GCORE_COMPLETE, timer),
                 -EALREADY);
    assert_int_equal(gcore_watch_active(timer), 1);
    assert_ok(gcore_watch_stop(timer));
    assert_ok(gcore_watch_stop(timer));
    assert_int_equal(gcore_watch_active(timer), 0);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)),
                     -GCORE_EIDLE);
    gcore_watch_unref(timer);
    hub_end(hub);
}

struct pair {
    gcore_watch *other;
    told told;
};

static void stop_other(void *arg, int64_t result)
{
    struct pair *pair = arg;

    tell(&pair->told, result);
    gcore_watch_stop(pair->other);
}

/* Both are due in one turn; the first stops the second, which was harvested
 * and must stay silent. */
static void stop_withdraws_what_is_ready(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *first, *second;
    struct pair pair = {0};
    told never = {0};

    (void)state;
    assert_ok(gcore_timer_new(hub, &first));
    assert_ok(gcore_timer_new(hub, &second));
    pair.other = second;
    assert_ok(
        gcore_watch_start(first, GCORE_ONCE, GCORE_NOW, stop_other, &pair));
    assert_ok(gcore_watch_start(second, GCORE_ONCE, GCORE_NOW, tell, &never));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(pair.told.count, 1);
    assert_int_equal(never.count, 0);
    assert_int_equal(gcore_watch_pending(second), 0);
    gcore_watch_unref(first);
    gcore_watch_unref(second);
    hub_end(hub);
}

static void start_and_stop_many_in_any_order(void **state)
{
    enum { MANY = 300 };
    gcore_hub *hub = hub_new();
    gcore_watch *watches[MANY];
    bool on[MANY] = {false};
    gcore_completion out[MANY];
    unsigned random = 12345;
    int count = 0, times = support_times(20000);

    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_ok(gcore_timer_new(hub, &watches[i]));
    for (int i = 0; i < times; i++) {
        int n;

        random = random * 1103515245u + 12345u;
        n = (int)((random >> 8) % MANY);
        if (on[n])
            assert_ok(gcore_watch_stop(watches[n]));
        else
            assert_ok(gcore_watch_start(watches[n], GCORE_ONCE,
                                        after(10 + (int)(random % 97)),
                                        GCORE_COMPLETE, &watches[n]));
        on[n] = !on[n];
    }
    for (int i = 0; i < MANY; i++)
        count += on[i];
    poll_for(hub, out, count);
    for (int i = 0; i < count; i++) {
        gcore_watch **watch = out[i].arg;

        assert_true(on[watch - watches]);
        on[watch - watches] = false;
    }
    assert_int_equal(hub_poll_again(hub, out, 1, GCORE_FOREVER),
                     -GCORE_EIDLE);
    for (int i = 0; i < MANY; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

static void no_system_call_a_timer(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_hub_stats stats;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    stats = hub_stats(hub);
    for (int i = 0; i < 1000; i++) {
        assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(SECOND),
                                    GCORE_COMPLETE, timer));
        assert_ok(gcore_watch_stop(timer));
    }
    assert_int_equal(hub_stats(hub).syscalls, stats.syscalls);
    assert_int_equal(hub_stats(hub).turns, stats.turns);
    gcore_watch_unref(timer);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(never_early),
        TEST(the_deadline_of_poll_is_never_early),
        TEST(neither_timers_nor_io_starve),
        TEST(self_restarting_timer_does_not_hold_the_turn),
        TEST(absolute_deadline),
        TEST(now_is_cached_and_update_refreshes_it),
        TEST(repeats),
        TEST(without_a_repeat_it_is_due_once),
        TEST(a_timer_for_ever_is_legal),
        TEST(stop_before_due),
        TEST(stop_withdraws_what_is_ready),
        TEST(start_and_stop_many_in_any_order),
        TEST(no_system_call_a_timer),
    };

    return RUN(tests);
}
