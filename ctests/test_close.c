/* Closing: what is pending completes with -ECANCELED, once. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KINDS = 10 };

/* One started watch of each kind, which nothing makes ready. */
static void start_each_kind(gcore_hub *hub, int ends[2], pid_t child,
                            gcore_done_fn *done, gcore_watch *watches[KINDS],
                            told *each)
{
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &watches[0]));
    assert_ok(gcore_timer_new(hub, &watches[1]));
    assert_ok(gcore_signal_new(hub, SIGUSR1, &watches[2]));
    assert_ok(gcore_child_new(hub, child, &watches[3]));
    assert_ok(gcore_stat_new(hub, "/proc/self/exe", 0, &watches[4]));
    assert_ok(gcore_async_new(hub, &watches[5]));
    assert_ok(gcore_idle_new(hub, &watches[6]));
    assert_ok(gcore_prepare_new(hub, &watches[7]));
    assert_ok(gcore_check_new(hub, &watches[8]));
    assert_ok(gcore_fork_new(hub, &watches[9]));
    for (int i = 0; i < KINDS; i++) {
        each[i].name = i;
        assert_int_equal(gcore_watch_kind(watches[i]), i + 1);
        assert_ok(gcore_watch_start(watches[i], 0, after(10 * PATIENCE), done,
                                    &each[i]));
    }
}

static pid_t child_start(int *hold)
{
    int ends[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[1]);
        if (read(ends[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    close(ends[0]);
    *hold = ends[1];
    return child;
}

static void child_end(pid_t child, int hold)
{
    close(hold);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void closing_the_hub_tells_each_kind(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watches[KINDS];
    told each[KINDS] = {{0}};
    int ends[2], hold;
    pid_t child = child_start(&hold);

    (void)state;
    make_pipe(ends);
    start_each_kind(hub, ends, child, tell, watches, each);
    assert_ok(gcore_hub_close(hub));
    for (int i = 0; i < KINDS; i++) {
        assert_int_equal(each[i].count, 1);
        assert_int_equal(each[i].result, -ECANCELED);
        assert_int_equal(gcore_watch_closed(watches[i]), 1);
        gcore_watch_unref(watches[i]);
    }
    gcore_hub_unref(hub);
    close_pipe(ends);
    child_end(child, hold);
}

static void closing_each_watch_tells_it(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watches[KINDS];
    told each[KINDS] = {{0}};
    gcore_completion out[KINDS];
    int ends[2], hold, got = 0;
    pid_t child = child_start(&hold);

    (void)state;
    make_pipe(ends);
    start_each_kind(hub, ends, child, GCORE_COMPLETE, watches, each);
    for (int i = 0; i < KINDS; i++)
        assert_ok(gcore_watch_close(watches[i]));
    while (got < KINDS) {
        int count =
            hub_poll_again(hub, out, KINDS - got, after(PATIENCE));

        assert_true(count > 0);
        for (int i = 0; i < count; i++) {
            ((told *)out[i].arg)->count++;
            assert_int_equal(out[i].result, -ECANCELED);
        }
        got += count;
    }
    for (int i = 0; i < KINDS; i++) {
        assert_int_equal(each[i].count, 1);
        gcore_watch_unref(watches[i]);
    }
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    hub_end(hub);
    close_pipe(ends);
    child_end(child, hold);
}

/* Closed without ever having been started, and dropped while started. */
static void watches_need_no_order_at_the_end(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watches[KINDS];
    told each[KINDS] = {{0}};
    int ends[2], hold;
    pid_t child = child_start(&hold);

    (void)state;
    make_pipe(ends);
    start_each_kind(hub, ends, child, tell, watches, each);
    for (int i = 0; i < KINDS; i++)
        gcore_watch_unref(watches[i]);
    gcore_hub_unref(hub); /* the last of ours: closes */
    for (int i = 0; i < KINDS; i++) {
        assert_int_equal(each[i].count, 1);
        assert_int_equal(each[i].result, -ECANCELED);
    }
    close_pipe(ends);
    child_end(child, hold);
}

static void stopping_each_watch_tells_nothing(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watches[KINDS];
    told each[KINDS] = {{0}};
    int ends[2], hold;
    pid_t child = child_start(&hold);

    (void)state;
    make_pipe(ends);
    for (int round = 0; round < 3; round++) {
        start_each_kind(hub, ends, child, tell, watches, each);
        for (int i = 0; i < KINDS; i++)
            assert_ok(gcore_watch_stop(watches[i]));
        assert_ok(gcore_hub_run(hub));
        for (int i = 0; i < KINDS; i++) {
            assert_int_equal(each[i].count, 0);
            gcore_watch_unref(watches[i]);
        }
    }
    hub_end(hub);
    close_pipe(ends);
    child_end(child, hold);
}

struct waiting {
    gcore_hub *hub;
    int result;
    bool run;
};

static void *wait_in_it(void *arg)
{
    struct waiting *waiting = arg;
    gcore_completion out;

    do /* busy while the other thread looks whether this one is in it */
        waiting->result =
            waiting->run
                ? gcore_hub_run(waiting->hub)
                : hub_poll_again(waiting->hub, &out, 1, GCORE_FOREVER);
    while (waiting->result == -EBUSY);
    return NULL;
}

static void wait_until_driven(gcore_hub *hub)
{
    gcore_completion out;

    while (gcore_hub_poll(hub, &out, 1, GCORE_NOW) != -EBUSY)
        sched_yield();
}

/* Another thread closes the hub while one waits in it. */
static void close_during_a_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        gcore_hub *hub = hub_new();
        struct waiting waiting = {.hub = hub, .run = i % 2};
        pthread_t thread;
        told one = {0};

        gcore_hub_retain(hub);
        thread = thread_start(wait_in_it, &waiting);
        wait_until_driven(hub);
        assert_ok(gcore_hub_post(hub, tell, &one));
        assert_ok(gcore_hub_close(hub));
        thread_join(thread);
        assert_int_equal(waiting.result, -ESHUTDOWN);
        assert_int_equal(one.count, 1);
        gcore_hub_unref(hub);
    }
}

static void close_hub(void *arg, int64_t result)
{
    (void)result;
    gcore_hub_close(arg);
}

static void close_from_within(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;
    gcore_completion out[2];
    told one = {0};

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_watch_start(timer, 0, after(PATIENCE), tell, &one));
    assert_ok(gcore_hub_post(hub, close_hub, hub));
    assert_error(hub_poll_again(hub, out, 2, after(PATIENCE)), -ESHUTDOWN);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    gcore_watch_unref(timer);
    gcore_hub_unref(hub);
}

struct closer {
    gcore_watch *mine;
    gcore_watch *other;
    int count;
};

static void close_both(void *arg, int64_t result)
{
    struct closer *closer = arg;

    (void)result;
    closer->count++;
    gcore_watch_close(closer->mine);
    gcore_watch_close(closer->other);
    gcore_watch_unref(closer->mine);
    gcore_watch_unref(closer->other);
}

/* A done function may close and drop the watch that it is told of. */
static void a_done_function_drops_its_watch(void **state)
{
    gcore_hub *hub = hub_new();
    struct closer closer = {0};
    told other = {0};
    int ends[2];

    (void)state;
    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &closer.mine));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &closer.other));
    assert_ok(gcore_watch_start(closer.mine, GCORE_ONCE, GCORE_FOREVER,
                                close_both, &closer));
    assert_ok(gcore_watch_start(closer.other, GCORE_ONCE, GCORE_FOREVER, tell,
                                &other));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(closer.count, 1);
    /* Ready already when it was closed: handed over as it is. */
    assert_int_equal(other.count, 1);
    assert_int_equal(other.result, GCORE_READ);
    hub_end(hub);
    close_pipe(ends);
}

static void starts_again(void *arg, int64_t result)
{
    told *one = arg;

    one->count++;
    if (result == -ECANCELED)
        assert_error(gcore_watch_start(one->watch, 0, GCORE_NOW, tell, one),
                     -ECANCELED);
}

static void a_done_function_cannot_restart_at_close(void **state)
{
    gcore_hub *hub = hub_new();
    told one = {0};

    (void)state;
    assert_ok(gcore_timer_new(hub, &one.watch));
    assert_ok(gcore_watch_start(one.watch, 0, after(PATIENCE), starts_again,
                                &one));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(one.count, 1);
    gcore_watch_unref(one.watch);
    gcore_hub_unref(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closing_the_hub_tells_each_kind),
        TEST(closing_each_watch_tells_it),
        TEST(watches_need_no_order_at_the_end),
        TEST(stopping_each_watch_tells_nothing),
        TEST(close_during_a_wait),
        TEST(close_from_within),
        TEST(a_done_function_drops_its_watch),
        TEST(a_done_function_cannot_restart_at_close),
    };

    return RUN(tests);
}
