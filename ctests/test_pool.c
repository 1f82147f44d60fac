/* The worker pool. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A gate that jobs wait at, so that a test decides when they end. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int waiting;
    int passed;
    bool open;
};

#define GATE {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, false}

static int64_t pass_gate(void *arg)
{
    struct gate *gate = arg;
    int number;

    pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open)
        pthread_cond_wait(&gate->changed, &gate->lock);
    number = gate->passed++;
    pthread_mutex_unlock(&gate->lock);
    return number;
}

static void gate_open(struct gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

static void gate_await(struct gate *gate, int count)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->waiting < count)
        pthread_cond_wait(&gate->changed, &gate->lock);
    pthread_mutex_unlock(&gate->lock);
}

static int64_t answer(void *arg)
{
    return *(int *)arg;
}

static gcore_pool *pool_new(uint32_t threads)
{
    gcore_pool_options options = {.size = sizeof options, .threads = threads};
    gcore_pool *pool = NULL;

    assert_ok(gcore_pool_new(&options, &pool));
    return pool;
}

static void pool_end(gcore_pool *pool)
{
    assert_ok(gcore_pool_close(pool));
    assert_ok(gcore_pool_join(pool, after(PATIENCE)));
    gcore_pool_unref(pool);
}

static gcore_pool_stats pool_stats(gcore_pool *pool)
{
    gcore_pool_stats stats = {.size = sizeof stats};

    assert_ok(gcore_pool_counters(pool, &stats));
    return stats;
}

static void submit(gcore_pool *pool, gcore_hub *hub, gcore_job_fn *fn,
                   void *fn_arg, void *arg)
{
    assert_ok(gcore_pool_submit(pool, hub, fn, fn_arg, GCORE_FOREVER,
                                GCORE_COMPLETE, arg, NULL));
}

/* Submits with a deadline that comes soon, but not before the call returns;
 * returns it. */
static int64_t submit_for_soon(gcore_pool *pool, gcore_hub *hub, int *value)
{
    int64_t soon = 2 * MS, deadline;
    int error;

    do {
        deadline = after(soon);
        error = gcore_pool_submit(pool, hub, answer, value, deadline,
                                  GCORE_COMPLETE, value, NULL);
        soon *= 2;
    } while (error == -ETIMEDOUT);
    assert_ok(error);
    return deadline;
}

static void arguments_are_checked(void **state)
{
    gcore_pool_options options = {0};
    gcore_hub *hub = hub_new();
    gcore_pool_stats stats = {0};
    gcore_pool *pool = NULL;
    int one = 1;

    (void)state;
    assert_error(gcore_pool_new(&options, &pool), -EINVAL);
    options.size = sizeof options;
    options.idle = -1;
    assert_error(gcore_pool_new(&options, &pool), -EINVAL);
    options.idle = 0;
    options.stack = 1;
    assert_error(gcore_pool_new(&options, &pool), -EINVAL);
    assert_error(gcore_pool_new(NULL, NULL), -EINVAL);
    assert_null(pool);
    assert_ok(gcore_pool_new(NULL, &pool));
    assert_error(gcore_pool_submit(NULL, hub, answer, &one, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_pool_submit(pool, NULL, answer, &one, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_pool_submit(pool, hub, NULL, &one, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_pool_submit(pool, hub, answer, &one, GCORE_FOREVER,
                                   NULL, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_pool_submit(pool, hub, answer, &one, GCORE_NOW,
                                   GCORE_COMPLETE, NULL, NULL),
                 -ETIMEDOUT);
    assert_error(gcore_pool_set_threads(pool, 0), -EINVAL);
    assert_error(gcore_pool_join(pool, GCORE_NOW), -EINVAL);
    assert_error(gcore_pool_counters(pool, &stats), -EINVAL);
    assert_int_equal(pool_stats(pool).threads_started, 0);
    gcore_pool_unref(pool);
    gcore_pool_unref(NULL);
    gcore_job_unref(NULL);
    hub_end(hub);
}

static void results_reach_the_hub(void **state)
{
    enum { MANY = 200 };
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(4);
    gcore_completion out[MANY];
    int values[MANY];
    bool seen[MANY] = {false};

    (void)state;
    for (int i = 0; i < MANY; i++) {
        values[i] = i;
        submit(pool, hub, answer, &values[i], &values[i]);
    }
    poll_for(hub, out, MANY);
    for (int i = 0; i < MANY; i++) {
        int value = *(int *)out[i].arg;

        assert_int_equal(out[i].result, value);
        assert_false(seen[value]);
        seen[value] = true;
    }
    assert_int_equal(pool_stats(pool).submitted, MANY);
    assert_int_equal(pool_stats(pool).finished, MANY);
    assert_true(pool_stats(pool).threads_peak <= 4);
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    pool_end(pool);
    hub_end(hub);
}

static void done_functions_run_on_the_hubs_thread(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    told one = {0};
    int value = 42;

    (void)state;
    assert_ok(gcore_pool_submit(pool, hub, answer, &value, GCORE_FOREVER, tell,
                                &one, NULL));
    assert_ok(gcore_hub_run(hub)); /* a pending job keeps it going */
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, 42);
    pool_end(pool);
    hub_end(hub);
}

static void one_thread_keeps_the_order(void **state)
{
    enum { MANY = 100 };
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[MANY];
    int values[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++) {
        values[i] = i;
        submit(pool, hub, answer, &values[i], &values[i]);
    }
    poll_for(hub, out, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(out[i].result, i);
    pool_end(pool);
    hub_end(hub);
}

static void threads_start_on_demand_up_to_the_limit(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(3);
    gcore_completion out[8];
    struct gate gate = GATE;

    (void)state;
    for (uint32_t i = 1; i <= 3; i++) {
        submit(pool, hub, pass_gate, &gate, &gate);
        gate_await(&gate, (int)i);
        assert_int_equal(pool_stats(pool).threads, i);
    }
    for (int i = 0; i < 5; i++)
        submit(pool, hub, pass_gate, &gate, &gate);
    assert_int_equal(pool_stats(pool).threads, 3);
    assert_int_equal(pool_stats(pool).running, 3);
    assert_int_equal(pool_stats(pool).queued, 5);
    assert_int_equal(pool_stats(pool).queued_peak, 5);
    gate_open(&gate);
    poll_for(hub, out, 8);
    assert_int_equal(pool_stats(pool).threads_started, 3);
    pool_end(pool);
    assert_int_equal(gate.passed, 8);
    hub_end(hub);
}

static void an_idle_thread_is_used_again(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(10);
    gcore_completion out;
    int value = 1;

    (void)state;
    for (int i = 0; i < 50; i++) {
        submit(pool, hub, answer, &value, &value);
        poll_for(hub, &out, 1);
        while (pool_stats(pool).idle < 1)
            sched_yield();
    }
    assert_int_equal(pool_stats(pool).threads_started, 1);
    pool_end(pool);
    hub_end(hub);
}

static void idle_threads_end(void **state)
{
    gcore_pool_options options = {
        .size = sizeof options, .threads = 4, .idle = MS};
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_completion out[4];
    struct gate gate = GATE;
    int64_t deadline = after(PATIENCE);

    (void)state;
    assert_ok(gcore_pool_new(&options, &pool));
    for (int round = 0; round < 3; round++) {
        gate = (struct gate)GATE;
        for (int i = 0; i < 4; i++)
            submit(pool, hub, pass_gate, &gate, &gate);
        gate_await(&gate, 4);
        gate_open(&gate);
        poll_for(hub, out, 4);
        while (pool_stats(pool).threads > 0)
            assert_true(gcore_clock() < deadline);
    }
    assert_int_equal(pool_stats(pool).threads_started, 12);
    pool_end(pool);
    hub_end(hub);
}

static void threads_may_stay_for_ever(void **state)
{
    gcore_pool_options options = {
        .size = sizeof options, .threads = 1, .idle = GCORE_FOREVER};
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_completion out;
    int value = 2;

    (void)state;
    assert_ok(gcore_pool_new(&options, &pool));
    for (int i = 0; i < 3; i++) {
        submit(pool, hub, answer, &value, &value);
        poll_for(hub, &out, 1);
        while (pool_stats(pool).idle < 1)
            sched_yield();
    }
    assert_int_equal(pool_stats(pool).threads_started, 1);
    assert_ok(gcore_pool_close(pool));
    assert_ok(gcore_pool_join(pool, GCORE_FOREVER));
    gcore_pool_unref(pool);
    hub_end(hub);
}

static void each_pool_has_its_own_queue(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *slow = pool_new(1), *fast = pool_new(1);
    gcore_completion out;
    struct gate gate = GATE;
    int value = 5;

    (void)state;
    submit(slow, hub, pass_gate, &gate, &gate);
    submit(slow, hub, pass_gate, &gate, &gate);
    submit(fast, hub, answer, &value, &value);
    poll_for(hub, &out, 1);
    assert_ptr_equal(out.arg, &value);
    gate_open(&gate);
    poll_for(hub, &out, 1);
    poll_for(hub, &out, 1);
    pool_end(slow);
    pool_end(fast);
    hub_end(hub);
}

static void a_full_queue_refuses(void **state)
{
    gcore_pool_options options = {
        .size = sizeof options, .threads = 1, .queued = 2};
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_completion out[3];
    struct gate gate = GATE;

    (void)state;
    assert_ok(gcore_pool_new(&options, &pool));
    submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    submit(pool, hub, pass_gate, &gate, &gate);
    submit(pool, hub, pass_gate, &gate, &gate);
    assert_error(gcore_pool_submit(pool, hub, pass_gate, &gate, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL, NULL),
                 -EAGAIN);
    gate_open(&gate);
    poll_for(hub, out, 3);
    assert_int_equal(pool_stats(pool).submitted, 3);
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    pool_end(pool);
    hub_end(hub);
}

static void no_thread_can_be_started(void **state)
{
    gcore_pool_options options = {
        .size = sizeof options, .stack = SIZE_MAX / 4};
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_job *job = NULL;
    gcore_completion out;

    (void)state;
    assert_ok(gcore_pool_new(&options, &pool));
    for (int i = 0; i < 3; i++)
        assert_error(gcore_pool_submit(pool, hub, answer, &out,
                                       i ? after(PATIENCE) : GCORE_FOREVER,
                                       GCORE_COMPLETE, &out, &job),
                     -EAGAIN);
    assert_null(job);
    assert_int_equal(pool_stats(pool).submitted, 0);
    assert_int_equal(pool_stats(pool).threads, 0);
    assert_error(hub_poll_again(hub, &out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    pool_end(pool);
    hub_end(hub);
}

static void queued_jobs_can_be_cancelled(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[3];
    struct gate gate = GATE;
    gcore_job *running, *first, *second;

    (void)state;
    assert_ok(gcore_pool_submit(pool, hub, pass_gate, &gate, GCORE_FOREVER,
                                GCORE_COMPLETE, &running, &running));
    gate_await(&gate, 1);
    assert_ok(gcore_pool_submit(pool, hub, pass_gate, &gate, GCORE_FOREVER,
                                GCORE_COMPLETE, &first, &first));
    assert_ok(gcore_pool_submit(pool, hub, pass_gate, &gate, after(PATIENCE),
                                GCORE_COMPLETE, &second, &second));
    assert_error(gcore_job_cancel(running), -EALREADY);
    assert_ok(gcore_job_cancel(second));
    assert_error(gcore_job_cancel(second), -EALREADY);
    assert_int_equal(hub_poll_again(hub, out, 3, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, &second);
    assert_int_equal(out[0].result, -ECANCELED);
    gate_open(&gate);
    poll_for(hub, out, 2);
    assert_ptr_equal(out[0].arg, &running);
    assert_ptr_equal(out[1].arg, &first);
    assert_int_equal(out[1].result, 1);
    assert_error(gcore_job_cancel(first), -EALREADY);
    assert_int_equal(pool_stats(pool).canceled, 1);
    pool_end(pool);
    /* Handles outlive the pool. */
    assert_error(gcore_job_cancel(gcore_job_ref(first)), -EALREADY);
    gcore_job_unref(first);
    gcore_job_unref(first);
    gcore_job_unref(second);
    gcore_job_unref(running);
    hub_end(hub);
}

static void not_started_by_its_deadline(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[2];
    struct gate gate = GATE;
    int late = 1, early = 2;
    int64_t deadline;

    (void)state;
    submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    deadline = submit_for_soon(pool, hub, &late);
    assert_ok(gcore_pool_submit(pool, hub, answer, &early, after(PATIENCE),
                                GCORE_COMPLETE, &early, NULL));
    /* Told at the deadline, while the only thread is still busy. */
    assert_int_equal(hub_poll_again(hub, out, 2, after(PATIENCE)), 1);
    assert_ptr_equal(out[0].arg, &late);
    assert_int_equal(out[0].result, -ETIMEDOUT);
    assert_true(gcore_clock() >= deadline);
    gate_open(&gate);
    poll_for(hub, out, 2);
    assert_ptr_equal(out[1].arg, &early);
    assert_int_equal(out[1].result, 2);
    assert_int_equal(pool_stats(pool).expired, 1);
    assert_int_equal(hub_stats(hub).started, 0); /* no timer is left */
    pool_end(pool);
    hub_end(hub);
}

/* A worker that comes before the hub looks at the clock itself. */
static void late_jobs_do_not_run(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[2];
    struct gate gate = GATE;
    int64_t deadline;
    int late = 1;

    (void)state;
    submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    deadline = submit_for_soon(pool, hub, &late);
    while (gcore_clock() <= deadline)
        ;
    gate_open(&gate);
    while (pool_stats(pool).queued > 0)
        sched_yield();
    poll_for(hub, out, 2);
    assert_ptr_equal(out[1].arg, &late);
    assert_int_equal(out[1].result, -ETIMEDOUT);
    pool_end(pool);
    hub_end(hub);
}

static void closing_the_pool_cancels_what_waits(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[5];
    struct gate gate = GATE;
    gcore_job *job = NULL;
    int marks[4];

    (void)state;
    submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    for (int i = 0; i < 4; i++)
        submit(pool, hub, answer, &marks[i], &marks[i]);
    assert_ok(gcore_pool_close(pool));
    assert_ok(gcore_pool_close(pool));
    assert_error(gcore_pool_join(pool, after(MS)), -ETIMEDOUT);
    assert_error(gcore_pool_submit(pool, hub, answer, marks, after(PATIENCE),
                                   GCORE_COMPLETE, NULL, &job),
                 -ESHUTDOWN);
    assert_null(job);
    assert_error(gcore_pool_submit(pool, hub, answer, marks, GCORE_FOREVER,
                                   GCORE_COMPLETE, NULL, NULL),
                 -ESHUTDOWN);
    poll_for(hub, out, 4);
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(out[i].arg, &marks[i]);
        assert_int_equal(out[i].result, -ECANCELED);
    }
    gate_open(&gate); /* what runs ends as usual */
    poll_for(hub, out, 1);
    assert_ptr_equal(out[0].arg, &gate);
    assert_int_equal(out[0].result, 0);
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    assert_int_equal(pool_stats(pool).canceled, 4);
    pool_end(pool);
    hub_end(hub);
}

static void the_last_owner_closes(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[2];
    struct gate gate = GATE;
    int value = 0;

    (void)state;
    submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    submit(pool, hub, answer, &value, &value);
    gcore_pool_unref(gcore_pool_ref(pool));
    gcore_pool_unref(pool); /* the running job holds its memory */
    poll_for(hub, out, 1);
    assert_int_equal(out[0].result, -ECANCELED);
    gate_open(&gate);
    poll_for(hub, out, 1);
    assert_ptr_equal(out[0].arg, &gate);
    hub_end(hub);
}

static void closing_the_hub_cancels_its_jobs(void **state)
{
    gcore_hub *hub = hub_new(), *other = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out;
    struct gate gate = GATE;
    told running = {0}, queued = {0};
    int value = 8, mark;

    (void)state;
    assert_ok(gcore_pool_submit(pool, hub, pass_gate, &gate, GCORE_FOREVER,
                                tell, &running, NULL));
    gate_await(&gate, 1);
    assert_ok(gcore_pool_submit(pool, hub, answer, &value, after(PATIENCE),
                                tell, &queued, NULL));
    submit(pool, other, answer, &value, &mark);
    hub_end(hub);
    assert_int_equal(running.count, 1);
    assert_int_equal(running.result, -ECANCELED);
    assert_int_equal(queued.count, 1);
    assert_int_equal(queued.result, -ECANCELED);
    gate_open(&gate);
    poll_for(other, &out, 1); /* the other hub's job runs */
    assert_int_equal(out.result, 8);
    assert_int_equal(pool_stats(pool).finished + pool_stats(pool).canceled,
                     3);
    pool_end(pool);
    assert_int_equal(running.count, 1);
    assert_int_equal(queued.count, 1);
    hub_end(other);
}

static void a_closed_hub_refuses(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    told one = {0};
    int value = 1;

    (void)state;
    assert_ok(gcore_hub_close(hub));
    assert_error(gcore_pool_submit(pool, hub, answer, &value, GCORE_FOREVER,
                                   tell, &one, NULL),
                 -ESHUTDOWN);
    assert_error(gcore_pool_submit(pool, hub, answer, &value,
                                   after(PATIENCE), tell, &one, NULL),
                 -ESHUTDOWN);
    assert_int_equal(one.count, 0);
    gcore_hub_unref(hub);
    pool_end(pool);
}

/* Hubs are closed while workers hand results to them. */
static void close_amid_results(void **state)
{
    (void)state;
    for (int round = 0; round < support_times(200); round++) {
        enum { MANY = 20 };
        gcore_hub *hub = hub_new();
        gcore_pool *pool = pool_new(4);
        told each[MANY] = {{0}};
        gcore_completion out;
        int value = 3;

        for (int i = 0; i < MANY; i++)
            assert_ok(gcore_pool_submit(pool, hub, answer, &value,
                                        i % 2 ? GCORE_FOREVER
                                              : after(PATIENCE),
                                        tell, &each[i], NULL));
        for (int i = 0; i < round % 4; i++)
            gcore_hub_poll(hub, &out, 1, GCORE_NOW);
        hub_end(hub);
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(each[i].count, 1);
            assert_true(each[i].result == 3 || each[i].result == -ECANCELED);
        }
        pool_end(pool);
    }
}

/* And pools, while they work. */
static void close_the_pool_amid_work(void **state)
{
    (void)state;
    for (int round = 0; round < support_times(200); round++) {
        enum { MANY = 20 };
        gcore_hub *hub = hub_new();
        gcore_pool *pool = pool_new(4);
        told each[MANY] = {{0}};
        int value = 3;

        for (int i = 0; i < MANY; i++)
            assert_ok(gcore_pool_submit(pool, hub, answer, &value,
                                        GCORE_FOREVER, tell, &each[i],
                                        NULL));
        for (int i = 0; i < round % 7; i++)
            sched_yield();
        if (round % 2)
            pool_end(pool);
        else
            gcore_pool_unref(pool);
        assert_ok(gcore_hub_run(hub));
        for (int i = 0; i < MANY; i++) {
            assert_int_equal(each[i].count, 1);
            assert_true(each[i].result == 3 || each[i].result == -ECANCELED);
        }
        hub_end(hub);
    }
}

struct user {
    gcore_pool *pool;
    int count;
    int wrong;
};

static void *use_pool(void *arg)
{
    struct user *user = arg;
    gcore_hub *hub = hub_new();
    gcore_completion out[16];
    int values[16];

    for (int i = 0; i < user->count; i++) {
        for (int j = 0; j < 16; j++) {
            values[j] = i + j;
            user->wrong += gcore_pool_submit(user->pool, hub, answer,
                                             &values[j], GCORE_FOREVER,
                                             GCORE_COMPLETE, &values[j],
                                             NULL) != 0;
        }
        for (int got = 0; got < 16;) {
            int count = hub_poll_again(hub, out, 16, after(PATIENCE));

            if (count <= 0) {
                user->wrong++;
                break;
            }
            for (int j = 0; j < count; j++)
                user->wrong += out[j].result != *(int *)out[j].arg;
            got += count;
        }
    }
    gcore_hub_close(hub);
    gcore_hub_unref(hub);
    return NULL;
}

static void hubs_of_several_threads_share_a_pool(void **state)
{
    enum { THREADS = 4 };
    gcore_pool *pool = pool_new(3);
    struct user users[THREADS];
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        users[i] = (struct user){.pool = pool, .count = support_times(500)};
        threads[i] = thread_start(use_pool, &users[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(threads[i]);
        assert_int_equal(users[i].wrong, 0);
    }
    pool_end(pool);
}

static void the_number_of_threads_can_change(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out[6];
    struct gate gate = GATE;
    int64_t deadline = after(PATIENCE);

    (void)state;
    for (int i = 0; i < 6; i++)
        submit(pool, hub, pass_gate, &gate, &gate);
    gate_await(&gate, 1);
    assert_int_equal(pool_stats(pool).threads, 1);
    assert_ok(gcore_pool_set_threads(pool, 4));
    gate_await(&gate, 4);
    assert_int_equal(pool_stats(pool).threads, 4);
    assert_ok(gcore_pool_set_threads(pool, 2));
    gate_open(&gate);
    poll_for(hub, out, 6);
    while (pool_stats(pool).threads > 2)
        assert_true(gcore_clock() < deadline);
    pool_end(pool);
    hub_end(hub);
}

static void workers_take_no_signals(void **state)
{
    gcore_pool_options options = {
        .size = sizeof options, .stack = 256 * 1024};
    gcore_hub *hub = hub_new();
    gcore_pool *pool;
    gcore_completion out;
    sigset_t set;

    (void)state;
    assert_ok(gcore_pool_new(&options, &pool));
    submit(pool, hub, blocked_signals, NULL, NULL);
    poll_for(hub, &out, 1);
    assert_int_equal(out.result, 1);
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_false(sigismember(&set, SIGUSR1));
    pool_end(pool);
    hub_end(hub);
}

static int64_t join_itself(void *arg)
{
    gcore_pool_close(arg);
    return gcore_pool_join(arg, GCORE_FOREVER);
}

static void a_worker_cannot_join_itself(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(1);
    gcore_completion out;

    (void)state;
    submit(pool, hub, join_itself, pool, NULL);
    poll_for(hub, &out, 1);
    assert_int_equal(out.result, -EDEADLK);
    pool_end(pool);
    hub_end(hub);
}

struct chain {
    gcore_pool *pool;
    gcore_hub *hub;
    int left;
};

static int64_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void submit_next(void *arg, int64_t result)
{
    struct chain *chain = arg;

    assert_int_equal(result, 0);
    if (chain->left-- > 0)
        assert_ok(gcore_pool_submit(chain->pool, chain->hub, nothing, NULL,
                                    GCORE_FOREVER, submit_next, chain,
                                    NULL));
}

static void a_done_function_submits(void **state)
{
    struct chain chain = {
        .pool = pool_new(2), .hub = hub_new(), .left = 500};

    (void)state;
    submit_next(&chain, 0);
    assert_ok(gcore_hub_run(chain.hub));
    assert_int_equal(chain.left, -1);
    pool_end(chain.pool);
    hub_end(chain.hub);
}

static void cancel_races_with_the_start(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_pool *pool = pool_new(2);
    int cancelled = 0;

    (void)state;
    for (int i = 0; i < support_times(3000); i++) {
        gcore_completion out;
        gcore_job *job;
        int error;

        assert_ok(gcore_pool_submit(pool, hub, nothing, NULL, GCORE_FOREVER,
                                    GCORE_COMPLETE, NULL, &job));
        if (i % 3)
            sched_yield();
        error = gcore_job_cancel(job);
        assert_true(error == 0 || error == -EALREADY);
        poll_for(hub, &out, 1);
        assert_int_equal(out.result, error == 0 ? -ECANCELED : 0);
        cancelled += error == 0;
        gcore_job_unref(job);
    }
    assert_int_equal(pool_stats(pool).canceled, cancelled);
    pool_end(pool);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(results_reach_the_hub),
        TEST(done_functions_run_on_the_hubs_thread),
        TEST(one_thread_keeps_the_order),
        TEST(threads_start_on_demand_up_to_the_limit),
        TEST(an_idle_thread_is_used_again),
        TEST(idle_threads_end),
        TEST(threads_may_stay_for_ever),
        TEST(each_pool_has_its_own_queue),
        TEST(a_full_queue_refuses),
        TEST(no_thread_can_be_started),
        TEST(queued_jobs_can_be_cancelled),
        TEST(not_started_by_its_deadline),
        TEST(late_jobs_do_not_run),
        TEST(closing_the_pool_cancels_what_waits),
        TEST(the_last_owner_closes),
        TEST(closing_the_hub_cancels_its_jobs),
        TEST(a_closed_hub_refuses),
        TEST(close_amid_results),
        TEST(close_the_pool_amid_work),
        TEST(hubs_of_several_threads_share_a_pool),
        TEST(the_number_of_threads_can_change),
        TEST(workers_take_no_signals),
        TEST(a_worker_cannot_join_itself),
        TEST(a_done_function_submits),
        TEST(cancel_races_with_the_start),
    };

    return RUN(tests);
}
