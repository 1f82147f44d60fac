/*
 * gcore/pool.h: worker threads for what would block a hub.
 *
 * A pool is a queue of jobs and the threads that work on it. Threads start
 * when there is work and none is free, up to a limit, and end after a time
 * without work. Each pool has its own queue, so that slow work of one kind
 * (files) does not delay another (name lookups): make one pool a kind.
 *
 * A job runs on a worker thread; its result is handed over on the hub it was
 * submitted for, exactly once, whatever becomes of it:
 *   what its function returned   it ran
 *   -ETIMEDOUT   its deadline passed before it was started
 *   -ECANCELED   before it was started it was cancelled, or the pool was
 *                closed; or the hub was closed before it ended; or a fork
 *                left it behind in the parent
 * A job that has started runs to its end: no thread is ever killed.
 *
 * A forked child has the queue but no threads. What was queued or running
 * stays the parent's, which goes on with it; in the child each such job
 * completes with -ECANCELED, so that none is done twice. New work starts new
 * threads there.
 *
 * Worker threads have all signals blocked: the program's handlers run in the
 * program's own threads.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_POOL_H
#define GCORE_POOL_H

#include <gcore/base.h>
#include <gcore/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_pool gcore_pool;
typedef struct gcore_job gcore_job;

/*
 * The work of a job. Runs on a worker thread and may call what is for any
 * thread. Returns the completion's result. Since 0.1.
 */
typedef int64_t gcore_job_fn(void *arg);

/*
 * What a pool should be; zero in a member means the default. Since 0.1.
 *   size     sizeof(gcore_pool_options)
 *   threads  the most threads at a time (10)
 *   queued   the most jobs that wait for a thread (no limit)
 *   idle     a thread ends after so many nanoseconds without work (ten
 *            seconds); GCORE_FOREVER: it stays
 *   stack    bytes of a thread's stack (the system's default)
 */
typedef struct gcore_pool_options {
    size_t size;
    uint32_t threads;
    uint32_t queued;
    int64_t idle;
    size_t stack;
} gcore_pool_options;

/*
 * What a pool has done since it was made. Since 0.1.
 *   size             sizeof(gcore_pool_stats), set by the caller
 *   threads          threads at the moment
 *   idle             of these, the ones without work
 *   queued           jobs that wait at the moment
 *   running          jobs that run at the moment
 *   threads_peak     the most threads there were at a time
 *   queued_peak      the most jobs that waited at a time
 *   threads_started  threads started
 *   submitted        jobs accepted
 *   finished         jobs that ran to their end
 *   canceled         jobs that ended with -ECANCELED before they ran
 *   expired          jobs that ended with -ETIMEDOUT before they ran
 */
typedef struct gcore_pool_stats {
    size_t size;
    uint32_t threads;
    uint32_t idle;
    uint32_t queued;
    uint32_t running;
    uint32_t threads_peak;
    uint32_t queued_peak;
    uint64_t threads_started;
    uint64_t submitted;
    uint64_t finished;
    uint64_t canceled;
    uint64_t expired;
} gcore_pool_stats;

/*
 * Makes a pool. No thread is started yet.
 *   options  NULL for the defaults; read during the call only
 *   out      set to the pool, one reference of the caller's; untouched on
 *            error
 * Returns 0; -EINVAL for a bad size, idle time or stack; -ENOMEM. Any
 * thread. Since 0.1.
 */
GCORE_API int gcore_pool_new(const gcore_pool_options *options,
                             gcore_pool **out);

/* Adds a reference and returns the pool. Any thread. Since 0.1. */
GCORE_API gcore_pool *gcore_pool_ref(gcore_pool *pool);

/* Drops a reference (NULL is ignored); the last one closes the pool. Any
 * thread. Since 0.1. */
GCORE_API void gcore_pool_unref(gcore_pool *pool);

/*
 * Closes the pool: queued jobs complete with -ECANCELED, running ones as
 * usual, then the threads end. Does not wait for them.
 * Returns 0, also when the pool is closed already. Any thread. Since 0.1.
 */
GCORE_API int gcore_pool_close(gcore_pool *pool);

/*
 * Waits until the threads of a closed pool have ended.
 *   deadline  until when to wait
 * Returns 0; -ETIMEDOUT when some still ran at the deadline; -EINVAL when
 * the pool is open; -EDEADLK when one of its own threads asks. Any thread.
 * Since 0.1.
 */
GCORE_API int gcore_pool_join(gcore_pool *pool, int64_t deadline);

/*
 * Queues a job. Until it completes it keeps the hub going.
 *   hub       gets the completion
 *   fn        the work
 *   fn_arg    handed to fn; must live until fn has returned, which can be
 *             after a completion with -ECANCELED if the hub was closed
 *             while the job ran
 *   deadline  when the job must have been started; GCORE_FOREVER: any time
 *   done      told the result, or GCORE_COMPLETE
 *   arg       handed to it; the caller's
 *   job       NULL, or set to the job, one reference of the caller's
 * Returns 0; -EAGAIN when the queue is full or no thread can be started;
 * -ETIMEDOUT when the deadline has passed already; -ESHUTDOWN when the pool
 * or the hub is closed; -EINVAL for a NULL; -ENOMEM. Hub's thread.
 * Since 0.1.
 */
GCORE_API int gcore_pool_submit(gcore_pool *pool, gcore_hub *hub,
                                gcore_job_fn *fn, void *fn_arg,
                                int64_t deadline, gcore_done_fn *done,
                                void *arg, gcore_job **job);

/*
 * Changes the most threads at a time. Missing ones start when there is work
 * for them; surplus ones end as soon as they are without a job.
 * Returns 0; -EINVAL for none. Any thread. Since 0.1.
 */
GCORE_API int gcore_pool_set_threads(gcore_pool *pool, uint32_t threads);

/*
 * Makes the pool usable in a forked child, where its jobs complete with
 * -ECANCELED. Every other call on the pool does this by itself in a child
 * made by fork(); call it, after gcore_hub_after_fork, to have it done at
 * once. Returns 0. Since 0.1.
 */
GCORE_API int gcore_pool_after_fork(gcore_pool *pool);

/*
 * Fills in the counters.
 *   out  its size member is set by the caller; only that much is written
 * Returns 0; -EINVAL when the size is not one of any version. Any thread.
 * Since 0.1.
 */
GCORE_API int gcore_pool_counters(gcore_pool *pool, gcore_pool_stats *out);

/*
 * Cancels a job that waits for a thread: it completes with -ECANCELED.
 * Returns 0; -EALREADY when it has been started or is over: it completes as
 * it would have. Any thread. Since 0.1.
 */
GCORE_API int gcore_job_cancel(gcore_job *job);

/* Adds a reference and returns the job. Any thread. Since 0.1. */
GCORE_API gcore_job *gcore_job_ref(gcore_job *job);

/* Drops a reference (NULL is ignored); the job goes on. Any thread.
 * Since 0.1. */
GCORE_API void gcore_job_unref(gcore_job *job);

#ifdef __cplusplus
}
#endif

#endif
