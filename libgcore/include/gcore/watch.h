/*
 * gcore/watch.h: watches, the things a hub waits for.
 *
 * A watch is made for one hub (gcore_io_new, gcore_timer_new ...), then
 * started, any number of times, with who is to be told. One started without
 * GCORE_ONCE stays started and completes again; it has at most one
 * completion that is not yet handed over.
 *
 * A started watch and one whose completion is not yet handed over live on
 * without their owner's reference: one may start a GCORE_ONCE watch and
 * drop it. All allocation happens in _new, so a start cannot run out of
 * memory, nor can what was started fail to complete for lack of it.
 *
 * All functions here belong to the hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_WATCH_H
#define GCORE_WATCH_H

#include <gcore/base.h>
#include <gcore/hub.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_watch gcore_watch;

/* Readiness of a descriptor: asked for, and as the result of an io watch. */
#define GCORE_READ 1
#define GCORE_WRITE 2

/* gcore_watch_start, flags: stop by itself before completing. */
#define GCORE_ONCE 1

#define GCORE_PRIORITY_MIN -2
#define GCORE_PRIORITY_MAX 2

/* Kinds of watches. */
#define GCORE_WATCH_IO 1
#define GCORE_WATCH_TIMER 2
#define GCORE_WATCH_SIGNAL 3
#define GCORE_WATCH_CHILD 4
#define GCORE_WATCH_STAT 5
#define GCORE_WATCH_ASYNC 6
#define GCORE_WATCH_IDLE 7
#define GCORE_WATCH_PREPARE 8
#define GCORE_WATCH_CHECK 9
#define GCORE_WATCH_FORK 10

/*
 * Starts a watch.
 *   flags     0 or GCORE_ONCE
 *   deadline  timer: when it is due (GCORE_NOW: in the next turn). Other
 *             kinds: when to give up; the watch then stops and completes
 *             with -ETIMEDOUT. GCORE_FOREVER: never.
 *   done      told the result, or GCORE_COMPLETE
 *   arg       handed to it; the caller's, must live until told or stopped
 * Results: io, the ready directions (GCORE_READ | GCORE_WRITE), or the
 * error that made waiting impossible; timer, prepare, check, idle, async,
 * fork and stat, 0; signal, its number; child, its wait status, or -ECHILD;
 * any, -ECANCELED when it is closed while started.
 * Returns 0; -EALREADY when it is started or its last completion is not yet
 * handed over; -ECANCELED when it is closed; -EINVAL for a bad flag or a
 * NULL done. Some kinds add errors, see their _new. Since 0.1.
 */
GCORE_API int gcore_watch_start(gcore_watch *watch, unsigned flags,
                                int64_t deadline, gcore_done_fn *done,
                                void *arg);

/*
 * Stops a watch; what was started does not complete, also when it was ready
 * and only waiting to be handed over. No harm if it is not started.
 * Returns 0. Since 0.1.
 */
GCORE_API int gcore_watch_stop(gcore_watch *watch);

/*
 * Closes a watch for good. A started one completes with -ECANCELED in the
 * next turn; a GCORE_ONCE completion that is ready is handed over as it is.
 * Returns 0, also when it is closed already. Since 0.1.
 */
GCORE_API int gcore_watch_close(gcore_watch *watch);

/* Adds a reference and returns the watch. Any thread. Since 0.1. */
GCORE_API gcore_watch *gcore_watch_ref(gcore_watch *watch);

/* Drops a reference (NULL is ignored), the last frees. Any thread.
 * Since 0.1. */
GCORE_API void gcore_watch_unref(gcore_watch *watch);

/*
 * Sets the priority, -2 (lowest) to 2 (highest); 0 when made.
 * Returns 0; -EINVAL out of range; -EALREADY while a completion is ready.
 * Since 0.1.
 */
GCORE_API int gcore_watch_set_priority(gcore_watch *watch, int priority);
GCORE_API int gcore_watch_priority(gcore_watch *watch);

/*
 * Says whether the watch, while started, keeps run and poll going (yes when
 * made). May be called at any time. Returns 0. Since 0.1.
 */
GCORE_API int gcore_watch_set_keepalive(gcore_watch *watch, int keepalive);
GCORE_API int gcore_watch_keepalive(gcore_watch *watch);

/* Returns 1 while started, else 0. Since 0.1. */
GCORE_API int gcore_watch_active(gcore_watch *watch);

/* Returns 1 while a completion is not yet handed over, else 0. Since 0.1. */
GCORE_API int gcore_watch_pending(gcore_watch *watch);

/* Returns 1 once closed, else 0. Since 0.1. */
GCORE_API int gcore_watch_closed(gcore_watch *watch);

/* The kind, a GCORE_WATCH_ number. Any thread. Since 0.1. */
GCORE_API int gcore_watch_kind(gcore_watch *watch);

/* The hub; no reference is added. Any thread. Since 0.1. */
GCORE_API gcore_hub *gcore_watch_hub(gcore_watch *watch);

/*
 * Makes a watch on a descriptor's readiness. It is level-triggered: one that
 * stays started completes in each turn while the descriptor is ready. Any
 * number of watches may share a descriptor. Tell gcore_hub_forget_fd before
 * closing the descriptor; a number that was reused without that is safe to
 * watch with a new watch.
 *   fd      an open descriptor; not taken over
 *   events  GCORE_READ, GCORE_WRITE or both
 *   out     set to the watch, one reference of the caller's
 * Returns 0; -EBADF when fd is not open; -EINVAL for a bad mask or a
 * negative fd; -ENOMEM; -ENOTSUP when the number is too big for the backend
 * (select); -ESHUTDOWN when the hub is closed. Since 0.1.
 */
GCORE_API int gcore_io_new(gcore_hub *hub, int fd, unsigned events,
                           gcore_watch **out);

/*
 * Changes what a stopped io watch is for.
 * Returns 0; -EALREADY while started or pending; otherwise as gcore_io_new.
 * Since 0.1.
 */
GCORE_API int gcore_io_set(gcore_watch *watch, int fd, unsigned events);

/* What an io watch is for; -EINVAL or 0 for other kinds. Since 0.1. */
GCORE_API int gcore_io_fd(gcore_watch *watch);
GCORE_API unsigned gcore_io_events(gcore_watch *watch);

/*
 * Makes a timer. Started without GCORE_ONCE and with a repeat set, it is due
 * again every `repeat`; without a repeat it is due once and stops. Timers
 * are handed over by deadline and, when equal, in the order started; never
 * early.
 * Returns 0; -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_timer_new(gcore_hub *hub, gcore_watch **out);

/*
 * Sets the repeat; takes effect when the timer is due next.
 *   interval  nanoseconds, 0 for none
 * Returns 0; -EINVAL when negative or not a timer. Since 0.1.
 */
GCORE_API int gcore_timer_set_repeat(gcore_watch *watch, int64_t interval);
GCORE_API int64_t gcore_timer_repeat(gcore_watch *watch);

/*
 * When a started watch is due (timer) or gives up (others).
 * Returns the moment; GCORE_FOREVER when there is none. Since 0.1.
 */
GCORE_API int64_t gcore_watch_deadline(gcore_watch *watch);

/*
 * Makes a watch on a signal. Any number may watch one signal, on any hubs,
 * and all are told. While one is started the library handles the signal;
 * what the program had set is put back when the last stops, unless the
 * program has set something else meanwhile. Signals that arrive faster than
 * they are handed over count as one.
 *   signum  the signal's number
 * Returns 0; -EINVAL for a signal that cannot be handled; -ENOMEM;
 * -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_signal_new(gcore_hub *hub, int signum, gcore_watch **out);
GCORE_API int gcore_signal_number(gcore_watch *watch);

/*
 * Makes a watch on the end of a child process. It completes once, with the
 * status as waitpid gives it, and stops. The child is reaped when the
 * completion is handed over, not before; several watches of one child all
 * get its status. Completes with -ECHILD when someone else has reaped it,
 * and for a process that is not a child. SIGCHLD is not touched; other
 * children are not waited for.
 *   pid  the process id, above 0
 * Returns 0; -EINVAL; -ESRCH when there is no such process; -ENOMEM;
 * -ESHUTDOWN. Where the system has no pidfds, or no descriptor left for one,
 * start adds -EAGAIN when there can be no more threads. Since 0.1.
 */
GCORE_API int gcore_child_new(gcore_hub *hub, int pid, gcore_watch **out);
GCORE_API int gcore_child_pid(gcore_watch *watch);

/*
 * What stat told of a file. Since 0.1.
 *   size      sizeof(gcore_file_info), set by the caller
 *   links     0 when there was no such file; then the rest is 0
 *   length    bytes
 *   accessed, modified, changed   nanoseconds since 1970 (wall clock)
 * The others are as in struct stat.
 */
typedef struct gcore_file_info {
    size_t size;
    uint64_t device;
    uint64_t inode;
    uint64_t mode;
    uint64_t links;
    uint64_t user;
    uint64_t group;
    uint64_t special_device;
    int64_t length;
    int64_t block_size;
    int64_t blocks;
    int64_t accessed;
    int64_t modified;
    int64_t changed;
} gcore_file_info;

/*
 * Makes a watch on a file's attributes: it completes when a stat differs
 * from the one before. The path need not exist. Symbolic links are looked
 * at themselves, not followed.
 *   path      copied
 *   interval  nanoseconds between two looks; 0 for the default, about five
 *             seconds, and never less than a tenth of a second. Where the
 *             system reports changes, they are seen at once.
 * Returns 0; -EINVAL for a NULL or empty path or a negative interval;
 * -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_stat_new(gcore_hub *hub, const char *path,
                             int64_t interval, gcore_watch **out);

/* The path and the interval (nanoseconds, as given). Since 0.1. */
GCORE_API const char *gcore_stat_path(gcore_watch *watch);
GCORE_API int64_t gcore_stat_interval(gcore_watch *watch);

/*
 * The attributes as last seen, and as seen before the last change.
 *   out  its size member is set by the caller
 * Return 0; -EINVAL for a bad size or another kind of watch. Since 0.1.
 */
GCORE_API int gcore_stat_last(gcore_watch *watch, gcore_file_info *out);
GCORE_API int gcore_stat_previous(gcore_watch *watch, gcore_file_info *out);

/*
 * Makes a watch that completes after gcore_async_send.
 * Returns 0; -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_async_new(gcore_hub *hub, gcore_watch **out);

/*
 * Completes a started async watch in the hub's next turn; several calls
 * before that count as one, and one that is not started ignores it. The
 * caller holds a reference.
 * Returns 0; -EINVAL for another kind; -ECANCELED when it is closed. Any
 * thread, signal handler. Since 0.1.
 */
GCORE_API int gcore_async_send(gcore_watch *watch);

/*
 * Makes a watch that completes in each turn in which nothing of its priority
 * or above is ready; the hub does not wait while one is started.
 * Returns 0; -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_idle_new(gcore_hub *hub, gcore_watch **out);

/*
 * Makes a watch that completes in each turn before the hub waits (prepare)
 * or right after (check, ahead of what the wait found).
 * Return 0; -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_prepare_new(gcore_hub *hub, gcore_watch **out);
GCORE_API int gcore_check_new(gcore_hub *hub, gcore_watch **out);

/*
 * Makes a watch that completes in a forked child (gcore_hub_after_fork).
 * Returns 0; -ENOMEM; -ESHUTDOWN. Since 0.1.
 */
GCORE_API int gcore_fork_new(gcore_hub *hub, gcore_watch **out);

#ifdef __cplusplus
}
#endif

#endif
