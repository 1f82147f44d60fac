/* The hub's own background thread, and calls into it. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

static int64_t thread_id(void *arg)
{
    *(pthread_t *)arg = pthread_self();
    return 7;
}

static void start_call_stop(void **state)
{
    gcore_hub *hub = hub_new();
    pthread_t thread;
    int64_t result = 0;

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_ok(gcore_hub_start(hub));
        assert_error(gcore_hub_start(hub), -EALREADY);
        assert_ok(gcore_hub_call(hub, thread_id, &thread, after(PATIENCE),
                                 &result));
        assert_int_equal(result, 7);
        assert_false(pthread_equal(thread, pthread_self()));
        assert_ok(gcore_hub_stop(hub));
    }
    hub_end(hub);
}

static void it_runs_while_nothing_is_referenced(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    pthread_t thread;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    for (int i = 0; i < 100; i++)
        assert_ok(gcore_hub_call(hub, thread_id, &thread, GCORE_FOREVER,
                                 NULL));
    assert_error(gcore_hub_poll(hub, &out, 1, GCORE_NOW), -EBUSY);
    assert_error(gcore_hub_run(hub), -EBUSY);
    hub_end(hub); /* close stops and joins */
}

static int64_t count_up(void *arg)
{
    return ++*(int *)arg;
}

struct caller {
    gcore_hub *hub;
    int *number;
    int count;
    int wrong;
};

static void *call_often(void *arg)
{
    struct caller *caller = arg;

    for (int i = 0; i < caller->count; i++) {
        int64_t result = 0;

        caller->wrong += gcore_hub_call(caller->hub, count_up, caller->number,
                                        GCORE_FOREVER, &result) != 0 ||
                         result <= 0;
    }
    return NULL;
}

static void calls_come_from_several_threads(void **state)
{
    enum { THREADS = 4 };
    gcore_hub *hub = hub_new();
    struct caller callers[THREADS];
    pthread_t threads[THREADS];
    int number = 0, each = support_times(2000);

    (void)state;
    assert_ok(gcore_hub_start(hub));
    for (int i = 0; i < THREADS; i++) {
        callers[i] =
            (struct caller){.hub = hub, .number = &number, .count = each};
        threads[i] = thread_start(call_often, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        assert_int_equal(callers[i].wrong, 0);
    }
    assert_int_equal(number, THREADS * each);
    hub_end(hub);
}

struct hold {
    atomic_int inside;
    atomic_int open;
};

static int64_t hold_the_hub(void *arg)
{
    struct hold *hold = arg;

    atomic_store(&hold->inside, 1);
    while (!atomic_load(&hold->open))
        sched_yield();
    return 0;
}

static void held(void *arg, int64_t result)
{
    assert_int_equal(result, 0);
    hold_the_hub(arg);
}

static void a_call_that_cannot_begin_in_time_never_runs(void **state)
{
    gcore_hub *hub = hub_new();
    struct hold hold = {0};
    int number = 0;
    int64_t result = 0;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_post(hub, held, &hold));
    while (!atomic_load(&hold.inside))
        sched_yield();
    assert_error(gcore_hub_call(hub, count_up, &number, after(2 * MS), NULL),
                 -ETIMEDOUT);
    assert_error(gcore_hub_call(hub, count_up, &number, GCORE_NOW, NULL),
                 -ETIMEDOUT);
    atomic_store(&hold.open, 1);
    assert_ok(gcore_hub_call(hub, count_up, &number, after(PATIENCE),
                             &result));
    assert_int_equal(result, 1); /* the first of all */
    hub_end(hub);
}

static int64_t call_within(void *arg)
{
    int64_t result = 0;
    int number = 4;

    if (gcore_hub_call(arg, count_up, &number, GCORE_NOW, &result) != 0)
        return -1;
    return result;
}

static void a_call_on_the_hubs_thread_runs_at_once(void **state)
{
    gcore_hub *hub = hub_new();
    int64_t result = 0;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(
        gcore_hub_call(hub, call_within, hub, after(PATIENCE), &result));
    assert_int_equal(result, 5);
    hub_end(hub);
}

static void calls_to_a_closed_hub(void **state)
{
    gcore_hub *hub = hub_new();
    int number = 0;

    (void)state;
    assert_error(gcore_hub_call(hub, NULL, NULL, GCORE_FOREVER, NULL),
                 -EINVAL);
    assert_ok(gcore_hub_close(hub));
    assert_error(gcore_hub_call(hub, count_up, &number, GCORE_FOREVER, NULL),
                 -ESHUTDOWN);
    assert_int_equal(number, 0);
    gcore_hub_unref(hub);
}

struct closed_call {
    gcore_hub *hub;
    int error;
    int number;
};

static void *call_it(void *arg)
{
    struct closed_call *call = arg;

    call->error = gcore_hub_call(call->hub, count_up, &call->number,
                                 GCORE_FOREVER, NULL);
    return NULL;
}

/* A call that waits for a hub nobody drives is refused when it closes. */
static void closing_refuses_waiting_calls(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        gcore_hub *hub = hub_new();
        struct closed_call call = {.hub = hub};
        pthread_t thread = thread_start(call_it, &call);

        while (i % 2 && gcore_hub_next_deadline(hub) != GCORE_NOW)
            sched_yield();
        assert_ok(gcore_hub_close(hub));
        thread_join(thread);
        assert_true(call.error == -ECANCELED || call.error == -ESHUTDOWN);
        assert_int_equal(call.number, 0);
        gcore_hub_unref(hub);
    }
}

static int64_t close_it(void *arg)
{
    return gcore_hub_close(arg);
}

static int64_t stop_it(void *arg)
{
    return gcore_hub_stop(arg);
}

static void its_own_functions_may_stop_and_close_it(void **state)
{
    gcore_hub *hub = hub_new();
    pthread_t thread;
    told one = {0};
    int error;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_call(hub, stop_it, hub, GCORE_FOREVER, NULL));
    assert_ok(gcore_hub_stop(hub)); /* joins what ended */
    assert_ok(gcore_hub_start(hub));
    error = gcore_hub_call(hub, thread_id, &thread, GCORE_FOREVER, NULL);
    assert_true(error == 0);
    assert_ok(gcore_hub_call(hub, close_it, hub, GCORE_FOREVER, NULL));
    assert_ok(gcore_hub_close(hub));
    assert_error(gcore_hub_post(hub, tell, &one), -ESHUTDOWN);
    gcore_hub_unref(hub);
}

static void start_within(void *arg, int64_t result)
{
    (void)result;
    assert_error(gcore_hub_start(arg), -EBUSY);
}

static void not_while_another_drives_it(void **state)
{
    gcore_hub *hub = hub_new();

    (void)state;
    assert_ok(gcore_hub_post(hub, start_within, hub));
    assert_ok(gcore_hub_run(hub));
    hub_end(hub);
}

struct last {
    gcore_hub *hub;
    atomic_int dropped;
};

static void drop_last(void *arg, int64_t result)
{
    struct last *last = arg;

    (void)result;
    gcore_hub_unref(last->hub);
    atomic_store(&last->dropped, 1);
}

/* Then the thread ends by itself, and frees the hub. */
static void its_own_function_drops_the_last_reference(void **state)
{
    struct last last = {.hub = hub_new()};

    (void)state;
    assert_ok(gcore_hub_start(last.hub));
    assert_ok(gcore_hub_post(last.hub, drop_last, &last));
    while (!atomic_load(&last.dropped))
        sched_yield();
}

struct timed {
    gcore_hub *hub;
    gcore_watch *timer;
    atomic_int count;
};

static void timer_due(void *arg, int64_t result)
{
    struct timed *timed = arg;

    if (result == 0)
        atomic_fetch_add(&timed->count, 1);
}

static int64_t start_timer(void *arg)
{
    struct timed *timed = arg;
    int error = gcore_timer_new(timed->hub, &timed->timer);

    if (error == 0)
        error = gcore_timer_set_repeat(timed->timer, MS);
    if (error == 0)
        error = gcore_watch_start(timed->timer, 0, after(MS), timer_due,
                                  timed);
    return error;
}

static int64_t stop_timer(void *arg)
{
    struct timed *timed = arg;

    gcore_watch_stop(timed->timer);
    gcore_watch_unref(timed->timer);
    return 0;
}

static void watches_run_in_it(void **state)
{
    gcore_hub *hub = hub_new();
    struct timed timed = {.hub = hub};
    int64_t result = -1;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_call(hub, start_timer, &timed, GCORE_FOREVER,
                             &result));
    assert_int_equal(result, 0);
    while (atomic_load(&timed.count) < 5)
        sched_yield();
    assert_ok(
        gcore_hub_call(hub, stop_timer, &timed, GCORE_FOREVER, &result));
    hub_end(hub);
}

static void it_takes_no_signals(void **state)
{
    gcore_hub *hub = hub_new();
    int64_t result = 0;

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_call(hub, blocked_signals, NULL, GCORE_FOREVER,
                             &result));
    assert_int_equal(result, 1);
    hub_end(hub);
}

static void dropping_the_last_reference_ends_it(void **state)
{
    gcore_hub *hub = hub_new();
    told one = {0};

    (void)state;
    assert_ok(gcore_hub_start(hub));
    assert_ok(gcore_hub_post(hub, tell, &one));
    gcore_hub_unref(hub);
    assert_int_equal(one.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(start_call_stop),
        TEST(it_runs_while_nothing_is_referenced),
        TEST(calls_come_from_several_threads),
        TEST(a_call_that_cannot_begin_in_time_never_runs),
        TEST(a_call_on_the_hubs_thread_runs_at_once),
        TEST(calls_to_a_closed_hub),
        TEST(closing_refuses_waiting_calls),
        TEST(its_own_functions_may_stop_and_close_it),
        TEST(not_while_another_drives_it),
        TEST(its_own_function_drops_the_last_reference),
        TEST(watches_run_in_it),
        TEST(it_takes_no_signals),
        TEST(dropping_the_last_reference_ends_it),
    };

    return RUN(tests);
}
