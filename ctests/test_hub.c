/* The hub itself: options, ways to drive it, references, counters. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void options_are_checked(void **state)
{
    gcore_hub_options options = {0};
    gcore_hub *hub = NULL;

    (void)state;
    assert_error(gcore_hub_new(&options, &hub), -EINVAL);
    options.size = sizeof options;
    options.backend = "nonsense";
    assert_error(gcore_hub_new(&options, &hub), -EINVAL);
    options.backend = NULL;
    options.flags = 1u << 30;
    assert_error(gcore_hub_new(&options, &hub), -EINVAL);
    options.flags = 0;
    options.backends = GCORE_BACKEND_KQUEUE;
    if ((gcore_backends() & GCORE_BACKEND_KQUEUE) == 0)
        assert_error(gcore_hub_new(&options, &hub), -ENOTSUP);
    assert_null(hub);
    options.backends = 0;
    assert_ok(gcore_hub_new(&options, &hub));
    hub_end(hub);
}

static void options_of_a_later_version(void **state)
{
    struct {
        gcore_hub_options options;
        char later[64];
    } larger;
    gcore_hub *hub = NULL;

    (void)state;
    memset(&larger, 0, sizeof larger);
    larger.options.size = sizeof larger;
    assert_ok(gcore_hub_new(&larger.options, &hub));
    hub_end(hub);
}

static void idle_hub_has_nothing_to_wait_for(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;

    (void)state;
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    assert_error(hub_poll_again(hub, &out, 1, after(PATIENCE)), -GCORE_EIDLE);
    assert_ok(gcore_hub_run(hub));
    assert_error(gcore_hub_poll(hub, &out, 0, GCORE_NOW), -EINVAL);
    assert_error(gcore_hub_poll(hub, &out, -1, GCORE_NOW), -EINVAL);
    hub_end(hub);
}

static void now_means_one_turn(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;

    (void)state;
    gcore_hub_retain(hub);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
        assert_int_equal(hub_stats(hub).turns, i);
        assert_int_equal(hub_stats(hub).polls, i);
    }
    gcore_hub_release(hub);
    hub_end(hub);
}

static void retain_and_release(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    gcore_watch *timer;

    (void)state;
    assert_int_equal(gcore_hub_active(hub), 0);
    assert_ok(gcore_hub_retain(hub));
    assert_int_equal(gcore_hub_active(hub), 1);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
    assert_ok(gcore_hub_release(hub));
    assert_error(hub_poll_again(hub, &out, 1, after(PATIENCE)), -GCORE_EIDLE);

    /* One release too many makes up for one started watch. */
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(PATIENCE),
                                GCORE_COMPLETE, NULL));
    assert_int_equal(gcore_hub_active(hub), 1);
    assert_ok(gcore_hub_release(hub));
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    assert_ok(gcore_hub_retain(hub));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void a_watch_without_keepalive_does_not_hold_the_hub(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    gcore_watch *timer;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_int_equal(gcore_watch_keepalive(timer), 1);
    assert_ok(gcore_watch_set_keepalive(timer, 0));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(PATIENCE),
                                GCORE_COMPLETE, NULL));
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    assert_ok(gcore_watch_set_keepalive(timer, 1)); /* while started */
    assert_int_equal(gcore_hub_active(hub), 1);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
    assert_ok(gcore_watch_set_keepalive(timer, 0));
    assert_ok(gcore_watch_set_keepalive(timer, 0));
    assert_int_equal(gcore_hub_active(hub), 0);
    assert_ok(gcore_watch_stop(timer));
    assert_int_equal(gcore_hub_active(hub), 0);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void *wake_it(void *arg)
{
    gcore_hub *hub = arg;
    gcore_completion out;

    /* -EBUSY: the other thread is in its poll. */
    while (gcore_hub_poll(hub, &out, 1, GCORE_NOW) != -EBUSY)
        ;
    gcore_hub_wake(hub);
    return NULL;
}

static void wake_ends_a_wait(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;

    (void)state;
    gcore_hub_retain(hub);
    for (int i = 0; i < 20; i++) {
        /* A wake-up that comes first is not lost either. */
        assert_ok(gcore_hub_wake(hub));
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 0);
    }
    gcore_hub_release(hub);
    hub_end(hub);
}

struct busy {
    gcore_hub *hub;
    int inside;
};

static void drive_within(void *arg, int64_t result)
{
    struct busy *busy = arg;
    gcore_completion out;

    (void)result;
    busy->inside = gcore_hub_poll(busy->hub, &out, 1, GCORE_NOW);
    assert_error(gcore_hub_run(busy->hub), -EBUSY);
}

static void a_hub_is_driven_by_one_at_a_time(void **state)
{
    gcore_hub *hub = hub_new();
    struct busy busy = {.hub = hub};

    (void)state;
    assert_ok(gcore_hub_post(hub, drive_within, &busy));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(busy.inside, -EBUSY);
    hub_end(hub);
}

static void *poll_long(void *arg)
{
    gcore_completion out;
    int got;

    do /* busy while the other thread looks whether this one is in it */
        got = hub_poll_again(arg, &out, 1, after(PATIENCE));
    while (got == -EBUSY);
    return (void *)(intptr_t)got;
}

static void another_thread_is_refused(void **state)
{
    gcore_hub *hub = hub_new();
    pthread_t thread;
    void *result;

    (void)state;
    gcore_hub_retain(hub);
    thread = thread_start(poll_long, hub);
    wake_it(hub);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, 0);
    gcore_hub_release(hub);
    hub_end(hub);
}

static void stop_hub(void *arg, int64_t result)
{
    (void)result;
    gcore_hub_stop(arg);
}

static void stop_ends_a_run(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;

    (void)state;
    gcore_hub_retain(hub);
    assert_ok(gcore_hub_post(hub, stop_hub, hub));
    assert_error(gcore_hub_run(hub), -GCORE_ESTOPPED);
    assert_ok(gcore_hub_stop(hub));
    assert_error(hub_poll_again(hub, &out, 1, after(PATIENCE)),
                 -GCORE_ESTOPPED);
    /* Told once. */
    assert_int_equal(hub_poll_again(hub, &out, 1, after(MS)), 0);
    gcore_hub_release(hub);
    assert_ok(gcore_hub_run(hub));
    hub_end(hub);
}

static void nothing(int signum)
{
    (void)signum;
}

static void *signal_until(void *arg)
{
    atomic_int *over = arg;

    while (!atomic_load(over)) {
        kill(getpid(), SIGUSR1);
        usleep(1000);
    }
    return NULL;
}

static void interrupt(gcore_hub *hub)
{
    gcore_completion out;
    gcore_watch *timer;
    told one = {0};

    gcore_hub_retain(hub);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gcore_hub_poll(hub, &out, 1, after(PATIENCE)),
                         -EINTR);
    gcore_hub_release(hub);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(
        gcore_watch_start(timer, GCORE_ONCE, after(20 * MS), tell, &one));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(one.count, 1);
    gcore_watch_unref(timer);
}

/* A handler of the program's ends a poll with -EINTR, and a run goes on. */
static void a_signal_handler_ends_a_poll(void **state)
{
    const char *const backends[] = {"epoll", "poll", "select"};
    struct sigaction action = {.sa_handler = nothing}, old;
    atomic_int over = 0;
    sigset_t set, before;
    pthread_t thread;

    (void)state;
    sigaction(SIGUSR1, &action, &old);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before); /* only this thread gets it */
    thread = thread_start(signal_until, &over);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (int b = 0; b < 3; b++) {
        gcore_hub *hub;

        /* Its pselect fails with EFAULT when a signal comes. */
        if (b == 2 && support_under_valgrind())
            break;
        hub = hub_new_backend(backends[b]);
        interrupt(hub);
        hub_end(hub);
    }
    atomic_store(&over, 1);
    thread_join(thread);
    sigaction(SIGUSR1, &old, NULL);
}

static void one_completion_more_than_fits(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[3];
    int marks[7];

    (void)state;
    for (int i = 0; i < 7; i++)
        assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &marks[i]));
    for (int i = 0; i < 7;) {
        int got = hub_poll_again(hub, out, 3, after(PATIENCE));

        assert_int_equal(got, i < 6 ? 3 : 1);
        for (int j = 0; j < got; j++)
            assert_ptr_equal(out[j].arg, &marks[i++]);
    }
    assert_error(hub_poll_again(hub, out, 3, GCORE_FOREVER), -GCORE_EIDLE);
    hub_end(hub);
}

static void run_keeps_completions_for_a_poll(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[2];
    told one = {0};
    int mark;

    (void)state;
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &mark));
    assert_ok(gcore_hub_post(hub, tell, &one));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(one.count, 1);
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, &mark);
    hub_end(hub);
}

static void current(void **state)
{
    gcore_hub *a, *b;
    gcore_completion out;

    (void)state;
    a = hub_new();
    assert_ptr_equal(gcore_hub_current(), a);
    b = hub_new();
    gcore_hub_poll(b, &out, 1, GCORE_NOW);
    assert_ptr_equal(gcore_hub_current(), b);
    gcore_hub_poll(a, &out, 1, GCORE_NOW);
    assert_ptr_equal(gcore_hub_current(), a);
    hub_end(a);
    assert_true(gcore_hub_current() != a);
    hub_end(b);
    assert_null(gcore_hub_current());
}

static void references(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer;

    (void)state;
    assert_ptr_equal(gcore_hub_ref(hub), hub);
    gcore_hub_unref(hub);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ptr_equal(gcore_watch_hub(timer), hub);
    assert_int_equal(gcore_watch_kind(timer), GCORE_WATCH_TIMER);
    assert_int_equal(hub_stats(hub).watches, 1);
    gcore_hub_close(hub);
    gcore_hub_close(hub);
    gcore_hub_unref(hub); /* the watch still holds it */
    assert_int_equal(gcore_watch_closed(timer), 1);
    gcore_watch_unref(timer);
    gcore_hub_unref(NULL);
    gcore_watch_unref(NULL);
}

static void the_last_reference_closes(void **state)
{
    gcore_hub *hub = hub_new();
    told one = {0};

    (void)state;
    assert_ok(gcore_hub_post(hub, tell, &one));
    gcore_hub_unref(hub);
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
}

static void a_closed_hub_refuses(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *timer, *late = NULL;
    gcore_completion out;
    int ends[2];

    (void)state;
    make_pipe(ends);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_hub_close(hub));
    assert_error(gcore_hub_poll(hub, &out, 1, GCORE_NOW), -ESHUTDOWN);
    assert_error(gcore_hub_run(hub), -ESHUTDOWN);
    assert_error(gcore_hub_start(hub), -ESHUTDOWN);
    assert_error(gcore_hub_stop(hub), -ESHUTDOWN);
    assert_error(gcore_hub_wake(hub), -ESHUTDOWN);
    assert_error(gcore_hub_backend_fd(hub), -ESHUTDOWN);
    assert_error(gcore_timer_new(hub, &late), -ESHUTDOWN);
    assert_error(gcore_io_new(hub, ends[0], GCORE_READ, &late), -ESHUTDOWN);
    assert_error(gcore_signal_new(hub, SIGUSR1, &late), -ESHUTDOWN);
    assert_error(gcore_child_new(hub, (int)getpid(), &late), -ESHUTDOWN);
    assert_error(gcore_stat_new(hub, "/", 0, &late), -ESHUTDOWN);
    assert_error(gcore_async_new(hub, &late), -ESHUTDOWN);
    assert_error(gcore_idle_new(hub, &late), -ESHUTDOWN);
    assert_error(gcore_prepare_new(hub, &late), -ESHUTDOWN);
    assert_error(gcore_check_new(hub, &late), -ESHUTDOWN);
    assert_error(gcore_fork_new(hub, &late), -ESHUTDOWN);
    assert_null(late);
    assert_error(gcore_watch_start(timer, 0, GCORE_NOW, tell, NULL),
                 -ECANCELED);
    gcore_watch_unref(timer);
    gcore_hub_unref(hub);
    close_pipe(ends);
}

static void counters(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_hub_stats stats = {0};
    gcore_watch *timer;
    gcore_completion out;

    (void)state;
    assert_error(gcore_hub_counters(hub, &stats), -EINVAL);
    assert_ok(gcore_timer_new(hub, &timer));
    assert_ok(gcore_watch_start(timer, GCORE_ONCE, after(5 * MS),
                                GCORE_COMPLETE, NULL));
    stats = hub_stats(hub);
    assert_int_equal(stats.watches, 1);
    assert_int_equal(stats.started, 1);
    assert_int_equal(stats.pending, 0);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, NULL));
    assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
    stats = hub_stats(hub);
    assert_int_equal(stats.started, 0);
    assert_int_equal(stats.completions, 2);
    assert_int_equal(stats.posts, 1);
    assert_int_equal(stats.polls, 2);
    assert_true(stats.turns >= 2);
    assert_true(stats.poll_ns > 0);
    assert_true(stats.longest_turn_ns >= 0);
    gcore_watch_unref(timer);
    hub_end(hub);
}

static void two_hubs_in_one_thread(void **state)
{
    gcore_hub *a = hub_new(), *b = hub_new();
    gcore_completion out;
    int mark_a, mark_b;

    (void)state;
    assert_ok(gcore_hub_post(a, GCORE_COMPLETE, &mark_a));
    assert_ok(gcore_hub_post(b, GCORE_COMPLETE, &mark_b));
    assert_int_equal(gcore_hub_poll(b, &out, 1, GCORE_NOW), 1);
    assert_ptr_equal(out.arg, &mark_b);
    assert_int_equal(gcore_hub_poll(a, &out, 1, GCORE_NOW), 1);
    assert_ptr_equal(out.arg, &mark_a);
    hub_end(a);
    hub_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_are_checked),
        TEST(options_of_a_later_version),
        TEST(idle_hub_has_nothing_to_wait_for),
        TEST(now_means_one_turn),
        TEST(retain_and_release),
        TEST(a_watch_without_keepalive_does_not_hold_the_hub),
        TEST(wake_ends_a_wait),
        TEST(a_hub_is_driven_by_one_at_a_time),
        TEST(another_thread_is_refused),
        TEST(stop_ends_a_run),
        TEST(a_signal_handler_ends_a_poll),
        TEST(one_completion_more_than_fits),
        TEST(run_keeps_completions_for_a_poll),
        TEST(current),
        TEST(references),
        TEST(the_last_reference_closes),
        TEST(a_closed_hub_refuses),
        TEST(counters),
        TEST(two_hubs_in_one_thread),
    };

    return RUN(tests);
}
