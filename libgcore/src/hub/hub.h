/*
 * The inside of the hub, shared by the files of this folder and by what
 * completes on a hub (pools).
 *
 * Everything a hub hands over is a gcore__ready: watches, posts, pool jobs
 * embed one, so that handing over never allocates. What comes from other
 * threads and from signal handlers is a gcore__note in the hub's inbox,
 * which makes its own gcore__ready ready when the hub takes it in.
 */
#ifndef GCORE__HUB_H
#define GCORE__HUB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <gcore/hub.h>
#include <gcore/watch.h>

#include "hub/poller.h"
#include "util/alloc.h"
#include "util/list.h"

#define GCORE__PRIORITIES (GCORE_PRIORITY_MAX - GCORE_PRIORITY_MIN + 1)

/* ready.c: what is over and not yet handed over. */
typedef struct gcore__ready {
    gcore__link link;
    gcore_done_fn *done;
    void *arg;
    int64_t result;
    /* Called when handed over, before `done`: returns the result. What it
     * is part of may be freed by then. */
    int64_t (*take)(gcore_hub *hub, struct gcore__ready *ready);
    int priority;
    bool listed;
    bool kept; /* among hub->kept */
} gcore__ready;

/* Puts it last among those of its priority. Hub's thread. */
void gcore__ready_add(gcore_hub *hub, gcore__ready *ready);
void gcore__ready_withdraw(gcore_hub *hub, gcore__ready *ready);

/* Hands over what is ready. `out` NULL keeps completions for a later call.
 * Returns how many were put into `out`. */
int gcore__ready_deliver(gcore_hub *hub, gcore_completion *out, int max);

/* inbox.c: what other threads send. */
typedef struct gcore__note {
    struct gcore__note *next;
    /* Called on the hub's thread; `hub->closed` may be true. */
    void (*arrive)(gcore_hub *hub, struct gcore__note *note);
} gcore__note;

/* 0, or -ESHUTDOWN: then the note is still the caller's. Never blocks, never
 * allocates. The caller holds a reference to the hub. Any thread, signal
 * handler. */
int gcore__inbox_put(gcore_hub *hub, gcore__note *note);
bool gcore__inbox_empty(gcore_hub *hub);
void gcore__inbox_take(gcore_hub *hub);
void gcore__inbox_close(gcore_hub *hub);

/* When the wake-up descriptor is readable. */
void gcore__inbox_woken(gcore_hub *hub, gcore__fd *fd);

/* What can be asked of a hub from outside, `requests`. */
#define GCORE__WAKE 1u
#define GCORE__STOP 2u
#define GCORE__CLOSE 4u
#define GCORE__LOOK 8u /* only look again at what is left */
void gcore__hub_request(gcore_hub *hub, unsigned request);

/* timer.c: moments to come, by moment, then by order of start. */
typedef struct gcore__timer {
    int64_t at;
    int place; /* in the heap, from 1; 0 when not there */
    void (*due)(gcore_hub *hub, struct gcore__timer *timer);
} gcore__timer;

typedef struct gcore__slot {
    int64_t at;
    uint64_t sequence;
    gcore__timer *timer;
} gcore__slot;

typedef struct gcore__heap {
    gcore__slot *slots;
    int count;
    int room;
    uint64_t sequence;
} gcore__heap;

int gcore__timer_reserve(gcore_hub *hub, int count);
void gcore__timer_add(gcore_hub *hub, gcore__timer *timer, int64_t at);
void gcore__timer_remove(gcore_hub *hub, gcore__timer *timer);
int64_t gcore__timer_next(gcore_hub *hub);
void gcore__timer_expire(gcore_hub *hub);

/* fd.c */
int gcore__fd_get(gcore_hub *hub, int number, gcore__fd **out);
void gcore__fd_want(gcore_hub *hub, gcore__fd *fd, unsigned events);

/* It is to be closed. */
void gcore__fd_forget(gcore_hub *hub, gcore__fd *fd);

/* It is no longer one of the hub's own. */
void gcore__fd_disown(gcore_hub *hub, gcore__fd *fd);

/* Owners have references, and the last to go closes the hub. What only needs
 * its memory (watches, promises, its thread) holds it, and the last of these
 * frees it. */
struct gcore_hub {
    atomic_int refs;
    atomic_int holds;
    atomic_uint requests;
    atomic_bool closed;
    atomic_uintptr_t driver; /* gcore__thread() of who drives it; 0 nobody */

    /* The inbox. */
    _Atomic(gcore__note *) inbox;
    atomic_bool asleep;    /* a note must be followed by a wake-up */
    atomic_bool signalled; /* one is on its way */
    bool embedded;         /* another loop waits: always asleep */
    atomic_int wakefd;
    gcore__fd *wake;
    bool broken; /* the library's own descriptors have been closed */

    gcore__poller poller;
    gcore__fd **fds; /* by number; NULL where there is no record */
    int fd_room;
    int fd_count;

    gcore__heap timers;
    int64_t now;

    gcore__link ready[GCORE__PRIORITIES];
    int64_t ready_count; /* in `ready` */
    gcore__link kept;    /* completions that run could not hand over */
    int64_t kept_count;
    bool leftover; /* the last poll's array was too small */
    bool dropping; /* entries are taken for nobody: what they own is let go */

    gcore__link idle[GCORE__PRIORITIES];
    int idle_count;
    gcore__link prepare;
    gcore__link check;
    gcore__link fork;
    gcore__link others; /* started watches of all other kinds but io */
    bool prepared;      /* this turn's prepare watches have been told */

    int64_t active;               /* started watches with keepalive */
    atomic_int_least64_t retains; /* from any thread */
    atomic_int watches;
    atomic_int extra_timers; /* room in the heap besides one a watch */
    int64_t started;

    uint32_t post_limit;
    atomic_uint posted; /* accepted and not yet run */
    atomic_uint_least64_t posts;
    atomic_uint_least64_t rejected;
    atomic_uint_least64_t wakes;
    uint64_t turns;
    uint64_t polls;
    uint64_t completions;
    int64_t poll_ns;
    int64_t longest_turn;
    int64_t waited; /* when the last wait ended */

    void *scratch; /* what its streams read into; made with the first */
    void *record;  /* what those under TLS gather a record in; likewise */

    unsigned flags;
    /* gcore__fork_generation when its kernel objects and what it knows of
     * threads were last right. */
    unsigned generation;
    unsigned thread_generation;
    gcore__link promises; /* promise.c: made and not told */
    gcore__link stats;    /* started stat watches */
    int inotify;          /* a descriptor; -1 none */
    gcore__link registered; /* in the list of all hubs */
    uint64_t serial;
    unsigned backend;
    atomic_bool abandoned; /* by its last owner */

    pthread_mutex_t thread_lock; /* guards the next two */
    pthread_t thread;
    bool threaded;
    atomic_bool thread_over;
};

/* hub.c */
void gcore__hub_hold(gcore_hub *hub);
void gcore__hub_drop(gcore_hub *hub);

/* Closes it; the caller drives it. */
void gcore__hub_shut(gcore_hub *hub);

/* current.c: threads, the process's hubs. */
uintptr_t gcore__thread(void);
void gcore__current_set(gcore_hub *hub);
void gcore__registry_add(gcore_hub *hub);
void gcore__registry_remove(gcore_hub *hub);

/* The one lock of the process, for what all hubs share; taken for short
 * times only, held across fork. */
void gcore__process_lock(void);
void gcore__process_unlock(void);

/* Goes up in each forked child. */
unsigned gcore__fork_generation(void);

/* poll.c */
/* Closes a hub that is asked to close, unless somebody drives it. */
void gcore__hub_close_idle(gcore_hub *hub);

#define GCORE__ENDLESS 1u /* go on while nothing is referenced */
int gcore__hub_drive(gcore_hub *hub, gcore_completion *out, int max,
                     int64_t deadline, unsigned how);

/* phase.c */
/* All started watches of a list complete. */
void gcore__phase_add(gcore__link *watches);
void gcore__idle_add(gcore_hub *hub);

/* promise.c */
void gcore__promises_break(gcore_hub *hub);

/* thread.c */
/* Joins it, unless it is the caller; whether it did. */
bool gcore__thread_join(gcore_hub *hub);

/* Before the hub is freed, perhaps by its own thread. */
void gcore__thread_part(gcore_hub *hub);

/* In a forked child that the thread is not in. */
void gcore__thread_forget(gcore_hub *hub);

/* fork.c: the wake-up descriptor is `fd` from now on. */
int gcore__wake_open(gcore_hub *hub, int fd);

/* New kernel objects all round; nothing has changed on error. */
int gcore__hub_renew(gcore_hub *hub);

/* In a forked child the parent's other threads do not run or drive
 * the hub. Does nothing elsewhere. */
void gcore__forget_threads(gcore_hub *hub);

/* stat.c, signal.c */
void gcore__stat_close(gcore_hub *hub);
void gcore__stat_renew(gcore_hub *hub);
void gcore__signal_after_fork(void);

#endif
