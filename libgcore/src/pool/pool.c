/*
 * The worker pool.
 *
 * One lock a pool guards everything in it. A job is in the list of queued
 * jobs, then in that of running ones, then in none; whoever takes it out of
 * a list keeps the promise it made to its hub (hub/promise.h), still under
 * the lock. So a fork, which takes all these locks, finds each job either in
 * a list or told, and the child can tell those the parent goes on with.
 *
 * A job is referenced by the list it is in, by its promise and by its owner.
 * A pool has owners, the last of whom closes it, and holders (jobs, threads)
 * besides, the last of whom frees it.
 *
 * A thread that ends is joined by the next one to end, the last one by
 * gcore_pool_join or when the pool is freed: no thread outlives its pool.
 *
 * A job's deadline is a timer of its hub, which has to turn anyway for the
 * job to complete; a worker that comes first looks at the clock itself.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <gcore/pool.h>
#include <gcore/watch.h>

#include "hub/promise.h"
#include "util/alloc.h"
#include "util/sized.h"

#define SECOND INT64_C(1000000000)
#define DEFAULT_THREADS 10
#define DEFAULT_IDLE (10 * SECOND)

enum { QUEUED, RUNNING, OVER };

struct gcore_job {
    gcore__promise promise;
    atomic_uint refs;
    gcore_pool *pool;
    gcore_job *next;
    gcore_job *previous;
    int state;
    gcore_job_fn *fn;
    void *fn_arg;
    int64_t deadline;
    gcore_watch *timer; /* the deadline's; NULL without one */
};

struct list {
    gcore_job *first;
    gcore_job *last;
    uint32_t length;
};

struct gcore_pool {
    atomic_uint owners;
    atomic_uint holders; /* all the owners together are one */
    gcore_pool *next;    /* in the list of all pools */
    gcore_pool *previous;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t ended;
    struct list queue;
    struct list running;
    gcore_pool_options options;
    gcore_pool_stats stats;
    pthread_t last_ended;
    int has_ended;
    int closed;
    unsigned generation;
};

static _Thread_local gcore_pool *working_for;

/* All pools, for fork. */

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static gcore_pool *pools;

static void lock_all(void)
{
    pthread_mutex_lock(&pools_lock);
    for (gcore_pool *pool = pools; pool; pool = pool->next)
        pthread_mutex_lock(&pool->lock);
}

static void unlock_all(void)
{
    for (gcore_pool *pool = pools; pool; pool = pool->next)
        pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pools_lock);
}

static int fork_handled;

static void handle_fork(void)
{
    fork_handled = pthread_atfork(lock_all, unlock_all, unlock_all) == 0;
}

static void enlist(gcore_pool *pool)
{
    pthread_mutex_lock(&pools_lock);
    pool->next = pools;
    if (pools)
        pools->previous = pool;
    pools = pool;
    pthread_mutex_unlock(&pools_lock);
}

static void delist(gcore_pool *pool)
{
    pthread_mutex_lock(&pools_lock);
    if (pool->next)
        pool->next->previous = pool->previous;
    if (pool->previous)
        pool->previous->next = pool->next;
    else
        pools = pool->next;
    pthread_mutex_unlock(&pools_lock);
}

/* Waiting */

static int condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error != 0)
        return error;
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

/* Returns 0, also for no reason at all, or ETIMEDOUT. */
static int wait_until(gcore_pool *pool, pthread_cond_t *condition,
                      int64_t deadline)
{
    struct timespec time = {.tv_sec = (time_t)(deadline / SECOND),
                            .tv_nsec = (long)(deadline % SECOND)};

    if (deadline == GCORE_FOREVER)
        return pthread_cond_wait(condition, &pool->lock);
    return pthread_cond_timedwait(condition, &pool->lock, &time);
}

/* Lists of jobs */

static void append(struct list *list, gcore_job *job)
{
    job->next = NULL;
    job->previous = list->last;
    if (list->last)
        list->last->next = job;
    else
        list->first = job;
    list->last = job;
    list->length++;
}

static void take_out(struct list *list, gcore_job *job)
{
    if (job->next)
        job->next->previous = job->previous;
    else
        list->last = job->previous;
    if (job->previous)
        job->previous->next = job->next;
    else
        list->first = job->next;
    list->length--;
}

/* References */

static void hold(gcore_pool *pool)
{
    atomic_fetch_add_explicit(&pool->holders, 1, memory_order_relaxed);
}

static void let_go(gcore_pool *pool)
{
    if (atomic_fetch_sub(&pool->holders, 1) != 1)
        return;
    delist(pool);
    if (pool->has_ended) {
        if (pthread_equal(pool->last_ended, pthread_self()))
            pthread_detach(pool->last_ended);
        else
            pthread_join(pool->last_ended, NULL);
    }
    pthread_cond_destroy(&pool->ended);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    gcore__free(pool);
}

gcore_job *gcore_job_ref(gcore_job *job)
{
    atomic_fetch_add_explicit(&job->refs, 1, memory_order_relaxed);
    return job;
}

void gcore_job_unref(gcore_job *job)
{
    if (job == NULL || atomic_fetch_sub(&job->refs, 1) != 1)
        return;
    gcore_watch_unref(job->timer);
    let_go(job->pool);
    gcore__free(job);
}

/* The end of a job */

static void job_told(gcore__promise *promise)
{
    gcore_job *job = GCORE__OF(gcore_job, promise, promise);

    if (!job->timer)
        return;
    gcore_watch_stop(job->timer);
    gcore_watch_close(job->timer);
}

static void job_over(gcore__promise *promise)
{
    gcore_job_unref(GCORE__OF(gcore_job, promise, promise));
}

/* With the lock held and the job just taken out of its list. */
static void conclude(gcore_job *job, int64_t result)
{
    job->state = OVER;
    gcore__promise_keep(&job->promise, result);
    gcore_job_unref(job);
}

static void end_unstarted(gcore_pool *pool, gcore_job *job, int error)
{
    take_out(&pool->queue, job);
    if (error == -ETIMEDOUT)
        pool->stats.expired++;
    else
        pool->stats.canceled++;
    conclude(job, error);
}

static void job_expired(void *arg, int64_t result)
{
    gcore_job *job = arg;
    gcore_pool *pool = job->pool;

    if (result < 0)
        return;
    pthread_mutex_lock(&pool->lock);
    if (job->state == QUEUED)
        end_unstarted(pool, job, -ETIMEDOUT);
    pthread_mutex_unlock(&pool->lock);
}

/* Fork */

static void forget_parents_jobs(gcore_pool *pool)
{
    while (pool->running.first) {
        gcore_job *job = pool->running.first;

        take_out(&pool->running, job);
        conclude(job, -ECANCELED);
    }
    while (pool->queue.first)
        end_unstarted(pool, pool->queue.first, -ECANCELED);
}

static void enter(gcore_pool *pool)
{
    uint32_t threads;

    pthread_mutex_lock(&pool->lock);
    if (pool->generation == gcore__fork_generation())
        return;
    pool->generation = gcore__fork_generation();
    condition_init(&pool->work); /* the parent's threads wait on the old */
    condition_init(&pool->ended);
    pool->has_ended = 0;
    threads = pool->stats.threads;
    pool->stats.threads = 0;
    pool->stats.idle = 0;
    forget_parents_jobs(pool);
    while (threads-- > 0)
        let_go(pool);
}

static void leave(gcore_pool *pool)
{
    pthread_mutex_unlock(&pool->lock);
}

/* Workers */

static int is_late(const gcore_job *job)
{
    return job->deadline != GCORE_FOREVER && job->deadline <= gcore_clock();
}

/* The next job that is to run, or NULL. */
static gcore_job *take_job(gcore_pool *pool)
{
    gcore_job *job;

    while ((job = pool->queue.first) != NULL) {
        if (gcore__promise_broken(&job->promise)) {
            end_unstarted(pool, job, -ECANCELED);
        } else if (is_late(job)) {
            end_unstarted(pool, job, -ETIMEDOUT);
        } else {
            take_out(&pool->queue, job);
            append(&pool->running, job);
            job->state = RUNNING;
            return job;
        }
    }
    return NULL;
}

static int64_t idle_deadline(const gcore_pool *pool)
{
    int64_t now = gcore_clock();

    return pool->options.idle > GCORE_FOREVER - now
               ? GCORE_FOREVER
               : now + pool->options.idle;
}

/* The next job, or NULL when the thread is to end. */
static gcore_job *wait_for_job(gcore_pool *pool)
{
    int64_t deadline = idle_deadline(pool);
    int error = 0;

    while (pool->stats.threads <= pool->options.threads) {
        gcore_job *job = take_job(pool);

        if (job != NULL || pool->closed || error == ETIMEDOUT)
            return job;
        pool->stats.idle++;
        error = wait_until(pool, &pool->work, deadline);
        pool->stats.idle--;
    }
    return NULL;
}

static void run_job(gcore_pool *pool, gcore_job *job)
{
    int64_t result;

    pthread_mutex_unlock(&pool->lock);
    result = job->fn(job->fn_arg);
    pthread_mutex_lock(&pool->lock);
    take_out(&pool->running, job);
    pool->stats.finished++;
    conclude(job, result);
}

/* With the lock held, which is given up. */
static void end_thread(gcore_pool *pool)
{
    pthread_t previous = pool->last_ended;
    int has_previous = pool->has_ended;

    pool->last_ended = pthread_self();
    pool->has_ended = 1;
    if (--pool->stats.threads == 0)
        pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    if (has_previous)
        pthread_join(previous, NULL);
    let_go(pool);
}

static void *work(void *arg)
{
    gcore_pool *pool = arg;
    gcore_job *job;

    working_for = pool;
    pthread_mutex_lock(&pool->lock);
    while ((job = wait_for_job(pool)) != NULL)
        run_job(pool, job);
    end_thread(pool);
    return NULL;
}

static int create_thread(gcore_pool *pool)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);

    if (error != 0)
        return -error;
    if (pool->options.stack != 0)
        error = pthread_attr_setstacksize(&attributes, pool->options.stack);
    if (error == 0) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&thread, &attributes, work, pool);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    return -error;
}

static int start_thread(gcore_pool *pool)
{
    int error;

    hold(pool);
    pool->stats.threads++;
    error = create_thread(pool);
    if (error < 0) {
        pool->stats.threads--;
        let_go(pool);
        return error;
    }
    pool->stats.threads_started++;
    if (pool->stats.threads > pool->stats.threads_peak)
        pool->stats.threads_peak = pool->stats.threads;
    return 0;
}

/* Sees to it that there is a thread for one more job. */
static int find_thread(gcore_pool *pool)
{
    int error = 0;

    if (pool->queue.length >= pool->stats.idle &&
        pool->stats.threads < pool->options.threads)
        error = start_thread(pool);
    return error < 0 && pool->stats.threads == 0 ? -EAGAIN : 0;
}

/* The pool */

static int read_options(const gcore_pool_options *given,
                        gcore_pool_options *options)
{
    if (gcore__sized_read(given, options, sizeof *options) < 0 ||
        options->idle < 0 ||
        (options->stack != 0 && options->stack < (size_t)PTHREAD_STACK_MIN))
        return -EINVAL;
    if (options->threads == 0)
        options->threads = DEFAULT_THREADS;
    if (options->queued == 0)
        options->queued = UINT32_MAX;
    if (options->idle == 0)
        options->idle = DEFAULT_IDLE;
    return 0;
}

static int init_locks(gcore_pool *pool)
{
    if (pthread_mutex_init(&pool->lock, NULL) != 0)
        return -ENOMEM;
    if (condition_init(&pool->work) != 0)
        goto no_work;
    if (condition_init(&pool->ended) != 0)
        goto no_ended;
    return 0;

no_ended:
    pthread_cond_destroy(&pool->work);
no_work:
    pthread_mutex_destroy(&pool->lock);
    return -ENOMEM;
}

int gcore_pool_new(const gcore_pool_options *options, gcore_pool **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    gcore_pool_options chosen;
    gcore_pool *pool;

    if (out == NULL || read_options(options, &chosen) < 0)
        return -EINVAL;
    pthread_once(&once, handle_fork);
    if (!fork_handled)
        return -ENOMEM;
    pool = gcore__alloc(sizeof *pool);
    if (!pool)
        return -ENOMEM;
    if (init_locks(pool) < 0) {
        gcore__free(pool);
        return -ENOMEM;
    }
    pool->options = chosen;
    pool->generation = gcore__fork_generation();
    atomic_init(&pool->owners, 1);
    atomic_init(&pool->holders, 1);
    enlist(pool);
    *out = pool;
    return 0;
}

gcore_pool *gcore_pool_ref(gcore_pool *pool)
{
    atomic_fetch_add_explicit(&pool->owners, 1, memory_order_relaxed);
    return pool;
}

void gcore_pool_unref(gcore_pool *pool)
{
    if (pool == NULL || atomic_fetch_sub(&pool->owners, 1) != 1)
        return;
    gcore_pool_close(pool);
    let_go(pool);
}

int gcore_pool_close(gcore_pool *pool)
{
    enter(pool);
    pool->closed = 1;
    while (pool->queue.first)
        end_unstarted(pool, pool->queue.first, -ECANCELED);
    pthread_cond_broadcast(&pool->work);
    leave(pool);
    return 0;
}

int gcore_pool_join(gcore_pool *pool, int64_t deadline)
{
    pthread_t thread;
    int error = 0;
    int has_thread = 0;

    if (working_for == pool)
        return -EDEADLK;
    enter(pool);
    if (!pool->closed)
        error = EINVAL;
    while (error == 0 && pool->stats.threads > 0)
        error = wait_until(pool, &pool->ended, deadline);
    if (error == 0 || pool->stats.threads == 0) {
        has_thread = pool->has_ended;
        thread = pool->last_ended;
        pool->has_ended = 0;
    }
    leave(pool);
    if (has_thread)
        pthread_join(thread, NULL);
    return -error;
}

int gcore_pool_set_threads(gcore_pool *pool, uint32_t threads)
{
    if (threads == 0)
        return -EINVAL;
    enter(pool);
    pool->options.threads = threads;
    while (!pool->closed && pool->stats.threads < threads &&
           pool->queue.length > pool->stats.idle && start_thread(pool) == 0)
        ;
    pthread_cond_broadcast(&pool->work);
    leave(pool);
    return 0;
}

int gcore_pool_after_fork(gcore_pool *pool)
{
    enter(pool);
    leave(pool);
    return 0;
}

int gcore_pool_counters(gcore_pool *pool, gcore_pool_stats *out)
{
    gcore_pool_stats stats;

    enter(pool);
    stats = pool->stats;
    stats.queued = pool->queue.length;
    stats.running = pool->running.length;
    leave(pool);
    return gcore__sized_write(out, &stats, sizeof stats);
}

/* Submitting */

static gcore_job *job_new(gcore_pool *pool, gcore_job_fn *fn, void *fn_arg,
                          int64_t deadline)
{
    gcore_job *job = gcore__alloc(sizeof *job);

    if (!job)
        return NULL;
    hold(pool);
    job->pool = pool;
    job->fn = fn;
    job->fn_arg = fn_arg;
    job->deadline = deadline;
    atomic_init(&job->refs, 1);
    return job;
}

static int start_timer(gcore_job *job, gcore_hub *hub)
{
    int error;

    if (job->deadline == GCORE_FOREVER)
        return 0;
    error = gcore_timer_new(hub, &job->timer);
    if (error < 0)
        return error;
    gcore_watch_set_keepalive(job->timer, 0);
    return gcore_watch_start(job->timer, GCORE_ONCE, job->deadline,
                             job_expired, job);
}

static int enqueue(gcore_pool *pool, gcore_job *job, gcore_hub *hub,
                   gcore_done_fn *done, void *arg)
{
    int error;

    if (pool->closed)
        return -ESHUTDOWN;
    if (pool->queue.length >= pool->options.queued)
        return -EAGAIN;
    error = find_thread(pool);
    if (error < 0)
        return error;
    job->promise.told = job_told;
    job->promise.over = job_over;
    error = gcore__promise_make(&job->promise, hub, done, arg);
    if (error < 0)
        return error;
    append(&pool->queue, gcore_job_ref(job));
    pool->stats.submitted++;
    if (pool->queue.length > pool->stats.queued_peak)
        pool->stats.queued_peak = pool->queue.length;
    pthread_cond_signal(&pool->work);
    return 0;
}

int gcore_pool_submit(gcore_pool *pool, gcore_hub *hub, gcore_job_fn *fn,
                      void *fn_arg, int64_t deadline, gcore_done_fn *done,
                      void *arg, gcore_job **out)
{
    gcore_job *job;
    int error;

    if (pool == NULL || hub == NULL || fn == NULL || done == NULL)
        return -EINVAL;
    if (deadline != GCORE_FOREVER && deadline <= gcore_clock())
        return -ETIMEDOUT;
    job = job_new(pool, fn, fn_arg, deadline);
    if (!job)
        return -ENOMEM;
    error = start_timer(job, hub);
    if (error < 0)
        goto failed;
    if (out)
        gcore_job_ref(job);
    enter(pool);
    error = enqueue(pool, job, hub, done, arg);
    leave(pool);
    if (error == 0) {
        if (out)
            *out = job;
        return 0;
    }
    if (out)
        gcore_job_unref(job);

failed:
    if (job->timer)
        gcore_watch_stop(job->timer);
    gcore_job_unref(job);
    return error;
}

int gcore_job_cancel(gcore_job *job)
{
    gcore_pool *pool = job->pool;
    int error = -EALREADY;

    enter(pool);
    if (job->state == QUEUED) {
        end_unstarted(pool, job, -ECANCELED);
        error = 0;
    }
    leave(pool);
    return error;
}
