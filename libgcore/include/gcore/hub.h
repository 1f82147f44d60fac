/*
 * gcore/hub.h: the hub, an event loop.
 *
 * A hub is driven by one thread at a time, in one of four ways:
 *   gcore_hub_run     calls the done functions until nothing is left
 *   gcore_hub_poll    gives a batch of completions to the caller, who calls
 *                     again; done functions other than GCORE_COMPLETE are
 *                     called inside
 *   gcore_hub_start   a background thread of the hub's own
 *   gcore_hub_backend_fd and gcore_hub_next_deadline   another event loop
 *                     waits, and calls gcore_hub_poll with GCORE_NOW
 *
 * A turn: prepare watches become ready; the hub waits for descriptors, its
 * next timer or a wake-up; check watches, ready descriptors (among them, what
 * other threads sent) and expired timers become ready, in this order; if
 * nothing else of their priority or above is ready, so do idle watches. What
 * is ready is then handed over by priority, highest first, and within one
 * priority in the order in which it became ready.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_HUB_H
#define GCORE_HUB_H

#include <gcore/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_hub gcore_hub;

/* Ways to learn of ready descriptors; the numbers are libev's. */
#define GCORE_BACKEND_SELECT 1
#define GCORE_BACKEND_POLL 2
#define GCORE_BACKEND_EPOLL 4
#define GCORE_BACKEND_KQUEUE 8

/* gcore_hub_options.flags */
/* Do not look at GEVENT_BACKEND and LIBEV_FLAGS. */
#define GCORE_HUB_NOENV 1
/* Watch children by a waiting thread even where there are pidfds. */
#define GCORE_HUB_NOPIDFD 2

/*
 * What a hub should be; zero in a member means the default. Since 0.1.
 *   size        sizeof(gcore_hub_options)
 *   backend     names, separated by commas: "epoll", "poll", "select",
 *               "kqueue"; the best one of them is taken
 *   backends    the same as a sum of GCORE_BACKEND_ bits; used where
 *               `backend` is NULL. Where both are unset, the environment's
 *               GEVENT_BACKEND (names) or else LIBEV_FLAGS (a number, its
 *               low 16 bits) decides; where that is unset too, the
 *               platform's best.
 *   flags       a sum of GCORE_HUB_ bits
 *   post_limit  how many posts may be accepted and not yet run (65536)
 */
typedef struct gcore_hub_options {
    size_t size;
    const char *backend;
    unsigned backends;
    unsigned flags;
    uint32_t post_limit;
} gcore_hub_options;

/*
 * One thing that is over, as gcore_hub_poll returns it: what GCORE_COMPLETE
 * was given for. It is an element of arrays, whose stride is part of the
 * interface, so it has no size member and never grows. Since 0.1.
 */
typedef struct gcore_completion {
    void *arg;
    int64_t result;
} gcore_completion;

/*
 * What a hub has done since it was made. Since 0.1.
 *   size             sizeof(gcore_hub_stats), set by the caller
 *   turns            turns, each of which asked the kernel once
 *   polls            calls of gcore_hub_poll
 *   completions      results handed over, to done functions and to poll
 *   posts            posts accepted
 *   wakes            writes to the hub's wake-up descriptor: fewer than
 *                    wake-ups, for these are coalesced
 *   rejected         posts refused because the queue was full
 *   syscalls         changes of the backend's interest (epoll_ctl)
 *   poll_ns          nanoseconds spent waiting in the kernel
 *   longest_turn_ns  the longest time between two waits, in nanoseconds
 *   watches          watches that exist at the moment
 *   started          of these, started ones
 *   pending          completions not yet handed over at the moment
 */
typedef struct gcore_hub_stats {
    size_t size;
    uint64_t turns;
    uint64_t polls;
    uint64_t completions;
    uint64_t posts;
    uint64_t wakes;
    uint64_t rejected;
    uint64_t syscalls;
    int64_t poll_ns;
    int64_t longest_turn_ns;
    uint64_t watches;
    uint64_t started;
    uint64_t pending;
} gcore_hub_stats;

/*
 * Makes a hub.
 *   options  NULL for the defaults; read during the call only
 *   out      set to the hub, one reference of the caller's; untouched on
 *            error
 * Returns 0; -EINVAL for a bad size, flag or backend name; -ENOTSUP when
 * none of the backends asked for is there; -EMFILE, -ENFILE, -ENOMEM.
 * Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_new(const gcore_hub_options *options, gcore_hub **out);

/*
 * Adds a reference and returns the hub. Any thread, signal handler.
 * Since 0.1.
 */
GCORE_API gcore_hub *gcore_hub_ref(gcore_hub *hub);

/*
 * Drops a reference (NULL is ignored); the last one closes the hub, if that
 * has not happened, and frees it. A watch holds one on its hub. Any thread.
 * Since 0.1.
 */
GCORE_API void gcore_hub_unref(gcore_hub *hub);

/*
 * Closes the hub. Its watches are closed and complete with -ECANCELED, as do
 * posts that have not run: done functions are called inside this call,
 * entries asked for by GCORE_COMPLETE are still returned by gcore_hub_poll.
 * The background thread is stopped and joined. When another thread, or a
 * caller further up, drives the hub, that one closes it at the end of its
 * turn, and its run or poll returns -ESHUTDOWN; this call does not wait for
 * it.
 * Returns 0, also when the hub is closed already. Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_close(gcore_hub *hub);

/*
 * The hub that the calling thread drives or was the last to drive or, if it
 * has driven none, to make. Returns NULL when there is none or it is closed;
 * no reference is added. Any thread. Since 0.1.
 */
GCORE_API gcore_hub *gcore_hub_current(void);

/*
 * Turns the hub until there is something to hand over, and does so.
 *   out       filled with completions: by priority, highest first, and
 *             within one priority in the order in which they became ready
 *   max       how many fit, at least 1; what does not fit comes first next
 *             time
 *   deadline  until when to wait; GCORE_NOW: one turn that does not wait
 * Done functions are called inside, in their place of the same order.
 * Returns the number of completions, or
 *   0                the deadline passed, gcore_hub_wake was called, or
 *                    (GCORE_NOW) there was nothing
 *   -EINTR           a signal handler ran during the wait
 *   -GCORE_EIDLE     nothing is pending and nothing referenced is left to
 *                    wait for, with the deadline still to come
 *   -GCORE_ESTOPPED  gcore_hub_stop was called (told once)
 *   -EBUSY           the hub is being driven already
 *   -EINVAL          max below 1
 *   -ESHUTDOWN       the hub is closed and all completions were returned
 *   others           the kernel's error when waiting
 * Hub's thread; hold no lock that a done function or another thread's post
 * needs. Since 0.1.
 */
GCORE_API int gcore_hub_poll(gcore_hub *hub, gcore_completion *out, int max,
                             int64_t deadline);

/*
 * Turns the hub, calling done functions, until nothing referenced is left.
 * Entries asked for by GCORE_COMPLETE are kept for a later gcore_hub_poll.
 * Returns 0 when nothing is left; -GCORE_ESTOPPED after gcore_hub_stop;
 * -EBUSY, -ESHUTDOWN and others as gcore_hub_poll. Goes on after signals.
 * Hub's thread. Since 0.1.
 */
GCORE_API int gcore_hub_run(gcore_hub *hub);

/*
 * Ends the run or poll in progress, or else the next one, when its current
 * turn is over; it returns -GCORE_ESTOPPED. Where the hub has a background
 * thread and the caller is another one, waits until that thread has ended.
 * Returns 0; -ESHUTDOWN when the hub is closed. Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_stop(gcore_hub *hub);

/*
 * Makes the poll in progress, or else the next one, return instead of
 * waiting: with 0 if there is nothing to hand over. A run goes on. Several
 * calls before that count as one.
 * Returns 0; -ESHUTDOWN when the hub is closed. Any thread, signal handler.
 * Since 0.1.
 */
GCORE_API int gcore_hub_wake(gcore_hub *hub);

/*
 * Has fn(arg, 0) called on the hub's thread, in the next turn, after what
 * the same thread posted before. An accepted post runs exactly once; if the
 * hub is closed first, fn(arg, -ECANCELED) is called instead by the closing
 * thread. A post that has not run keeps the hub going.
 *   fn   the function, or GCORE_COMPLETE for an entry {arg, 0}
 *   arg  handed over; the caller's
 * Returns 0; -EAGAIN when the queue is full; -ENOMEM; -EINVAL when fn is
 * NULL; -ESHUTDOWN when the hub is closed. Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_post(gcore_hub *hub, gcore_done_fn *fn, void *arg);

/*
 * Starts a background thread that drives the hub until gcore_hub_stop or
 * gcore_hub_close, also while nothing is referenced. All signals are
 * blocked in it. From now on watches may only be touched from functions
 * that run there (gcore_hub_post, gcore_hub_call).
 * Returns 0; -EALREADY when it runs; -EBUSY when the hub is being driven;
 * -EAGAIN when there can be no more threads; -ESHUTDOWN. Any thread.
 * Since 0.1.
 */
GCORE_API int gcore_hub_start(gcore_hub *hub);

/* A function for gcore_hub_call; its return value is handed back. */
typedef int64_t gcore_call_fn(void *arg);

/*
 * Runs fn(arg) on the hub's thread and waits for what it returns. Called on
 * that very thread, while it drives the hub, it runs fn at once.
 *   result    set to what fn returned; may be NULL
 *   deadline  until when to wait for fn to begin; once begun it is waited
 *             for to its end
 * Returns 0; -ETIMEDOUT when the deadline passed, then fn has not run and
 * never will; -ECANCELED when the hub was closed first, likewise; -EINVAL,
 * -ENOMEM, -ESHUTDOWN. Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_call(gcore_hub *hub, gcore_call_fn *fn, void *arg,
                             int64_t deadline, int64_t *result);

/*
 * The hub's time: the clock as read at the end of the last wait or by
 * gcore_hub_update. Returns nanoseconds. Hub's thread. Since 0.1.
 */
GCORE_API int64_t gcore_hub_now(gcore_hub *hub);

/* Reads the clock into the hub's time. Hub's thread. Since 0.1. */
GCORE_API void gcore_hub_update(gcore_hub *hub);

/*
 * Keeps the hub going, as one more started watch would, until the same
 * number of gcore_hub_release. More releases than retains make up for that
 * many started watches. Return 0. Any thread. Since 0.1.
 */
GCORE_API int gcore_hub_retain(gcore_hub *hub);
GCORE_API int gcore_hub_release(gcore_hub *hub);

/*
 * What keeps the hub going at the moment: started watches with keepalive
 * plus retains minus releases. Hub's thread. Since 0.1.
 */
GCORE_API int64_t gcore_hub_active(gcore_hub *hub);

/*
 * Completions that are ready and not yet handed over, accepted posts that
 * the hub has seen included. Hub's thread. Since 0.1.
 */
GCORE_API int64_t gcore_hub_pending(gcore_hub *hub);

/* Backends compiled in and usable here, as a sum of bits. Any thread.
 * Since 0.1. */
GCORE_API unsigned gcore_backends(void);

/* The backend's bit, and its name ("epoll"). Any thread. Since 0.1. */
GCORE_API unsigned gcore_hub_backend(gcore_hub *hub);
GCORE_API const char *gcore_hub_backend_name(gcore_hub *hub);

/*
 * A descriptor that is readable when the hub has work to do, for another
 * event loop to watch, together with gcore_hub_next_deadline. It stays the
 * same for the hub's life, is the hub's, and must not be closed.
 * Returns it; -ENOTSUP where the backend has none (select, poll); -EMFILE,
 * -ENFILE, -ENOMEM; -ESHUTDOWN. Hub's thread. Since 0.1.
 */
GCORE_API int gcore_hub_backend_fd(gcore_hub *hub);

/*
 * The moment at which the hub has to be polled even if its descriptor stays
 * quiet: GCORE_NOW when something is ready or newly watched, GCORE_FOREVER
 * when there is no timer. Hub's thread. Since 0.1.
 */
GCORE_API int64_t gcore_hub_next_deadline(gcore_hub *hub);

/*
 * Makes the hub usable in a forked child: new kernel objects, every watched
 * descriptor registered again, fork watches complete; a background thread
 * of the parent's is forgotten (start it again). The parent's hub notices
 * nothing. gcore_hub_poll and gcore_hub_run do this by themselves in a child
 * made by fork(); call it after other ways to fork, or to do it at once.
 * Returns 0; -EMFILE, -ENFILE, -ENOMEM: nothing has changed, call again.
 * Hub's thread (in the child, the only one). Since 0.1.
 */
GCORE_API int gcore_hub_after_fork(gcore_hub *hub);

/*
 * Says that a descriptor is about to be closed. Its started io watches stop
 * and complete with `reason`; the next watch on that number registers with
 * the kernel afresh. Close the descriptor after this call.
 *   fd      the descriptor
 *   reason  a negative error, such as -EBADF
 * Returns the number of watches it ended; -EINVAL for a bad reason or a
 * negative fd. Hub's thread. Since 0.1.
 */
GCORE_API int gcore_hub_forget_fd(gcore_hub *hub, int fd, int reason);

/*
 * Fills in the counters.
 *   out  its size member is set by the caller; only that much is written
 * Returns 0; -EINVAL when the size is not one of any version. Hub's thread.
 * Since 0.1.
 */
GCORE_API int gcore_hub_counters(gcore_hub *hub, gcore_hub_stats *out);

#ifdef __cplusplus
}
#endif

#endif
