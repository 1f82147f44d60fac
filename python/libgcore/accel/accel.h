/*
 * The C accelerator of the Python side: what must be one step, or must not
 * let go of the GIL.
 *
 * All state here is guarded by the GIL, but for what is atomic.  A function
 * that can switch greenlets (accel_wait_park and whatever calls it) keeps
 * nothing on its C stack that the heap points into: greenlet moves slices of
 * the stack.
 */
#ifndef GCORE_ACCEL_H
#define GCORE_ACCEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>
#include <stdint.h>

#include <gcore.h>

#include "ring.h"
#include "spin.h"

typedef struct WaitObject WaitObject;

/* The run queue of one hub, and the engine hub that feeds it. */
typedef struct {
    PyObject_HEAD
    gcore_hub *engine;   /* NULL once destroyed */
    PyObject *hub;       /* the hub greenlet, or NULL */
    PyObject *error_handler;
    PyObject *end;       /* what ended the hub while run() was on */
    PyObject *dict;
    PyObject *weakrefs;
    accel_ring ready;    /* what the last poll returned */
    accel_ring queue;    /* callbacks and wake-ups, strict FIFO */
    gcore_watch **timers; /* idle timers of ended waits, for the next ones */
    size_t timer_count, timer_capacity;
    gcore_completion *batch;
    PyThreadState *released; /* of a poll that has let go of the GIL, or NULL */
    const void *running; /* the greenlet that runs, as far as the loop knows:
                            an address, for reports */
    PyObject *owed;      /* a task queue with a worker to wake, or NULL */
    WaitObject *waits;   /* the parked ones, newest first, borrowed */
    void *dropped;       /* see accel_http_drop() */
    PyObject *prepares, *checks; /* started watchers, in start order */
    int64_t drain_start; /* when the queue began to drain, ns */
    int64_t wall_offset; /* wall clock minus engine clock, ns */
    uint64_t serial;     /* no other loop has or had it */
    uint64_t switches;   /* of greenlets, by giving up and by the loop */
    uint64_t taken;      /* items taken from `queue` so far */
    unsigned long iteration;
    unsigned fork_generation;
    unsigned counter;    /* items run since the clock was last read */
    int depth;           /* nested run() calls */
    int broken;          /* leave run(): 1 this one, 2 all of them */
    long active;         /* started watchers */
    long guests;         /* other threads within transports */
    long transports;     /* whose functions run Python code within a poll,
                            which only the hub may make then */
    bool parked;   /* the hub waits at its dispatch point */
    bool must_poll; /* the queue has had its time slice */
    bool looked;    /* a poll that found nothing has just been made */
    bool polling;   /* in a poll, perhaps blocked and without the GIL */
    bool traced;    /* sys.settrace() was in use when the slice began */
    atomic_bool told; /* a worker has queued a result since it was woken */
    accel_spin_record spins; /* of polls that wait for a worker */
} LoopObject;

enum accel_wait_state {
    WAIT_NEW,     /* not parked yet */
    WAIT_PARKED,  /* its greenlet has given up */
    WAIT_QUEUED,  /* a wake-up or a time-out stands in the run queue */
    WAIT_RESUMED, /* the wake-up has been taken; its greenlet runs */
    WAIT_ENDED    /* park() has been left: nothing can wake it any more */
};

/* One wait of one greenlet. */
struct WaitObject {
    PyObject_HEAD
    LoopObject *loop;
    WaitObject *previous, *next; /* in loop->waits */
    PyObject *greenlet; /* while parked */
    PyObject *value;    /* what wake() brought */
    PyObject *error;    /* what throw() brought */
    PyObject *subject;  /* what is waited for, for reports; may be set */
    gcore_watch *timer; /* while parked with a timeout */
    int64_t since;      /* engine time when it was parked, ns */
    int64_t result;     /* of the engine's operation that it waited for */
    uint8_t state;
    bool woken;     /* wake() or throw() was accepted */
    bool listed;    /* stands in the run queue, perhaps without effect */
    bool timed_out;
    bool abandoned; /* ended while its greenlet was parked: that one is not
                     * resumed */
    bool lent;      /* the engine's operation has a reference to it */
};

extern PyTypeObject *accel_wait_type, *accel_loop_type;

/* The hub greenlet of this thread, borrowed; made when there is none and
 * `create`.  NULL without an exception when there is none and not `create`. */
PyObject *accel_current_hub(int create);
LoopObject *accel_current_loop(int create);

/* A new wait for the calling thread's hub; NULL with an exception. */
WaitObject *accel_wait_new(void);

/* What an operation of the engine that completes by GCORE_COMPLETE is given as
 * its argument, to wake the wait and leave its result in `result`.  The wait
 * must live until the operation has ended or is cancelled. */
void *accel_wait_argument(WaitObject *wait);

/* Have it live until then by itself, for an operation that cannot be
 * cancelled. */
void accel_wait_lend(WaitObject *wait);

/* End a wait that was not parked: nothing can wake it any more. */
void accel_wait_discard(WaitObject *wait);

/* Park the calling greenlet until woken.  `timeout`: seconds as a number, or
 * Py_None or NULL for none.  `ref`: keep the loop alive meanwhile.
 * Returns 1 when woken, 0 when the timeout ran out, -1 with an exception.
 * The wait is over afterwards, however it ended. */
int accel_wait_park(WaitObject *wait, PyObject *timeout, int ref);

/* As above, to an absolute engine time, at a timer priority of -2..2. */
int accel_wait_park_until(WaitObject *wait, int64_t deadline, int ref,
                          int priority);

/* Park, without switching if a poll that may be made shows that the wait is
 * over: then *at_once is true. */
int accel_wait_look_and_park(WaitObject *wait, bool *at_once);

/* Wake from any thread.  `value` may be NULL for None.  Returns 1 when
 * accepted, 0 when the wait is over or was woken before, -1 with an
 * exception (out of memory). */
int accel_wait_wake(WaitObject *wait, PyObject *value);

/* In a callback of the hub: wake and let the greenlet run right now.  Where
 * that cannot be (another thread's), as accel_wait_wake. */
int accel_wait_run(WaitObject *wait);

/* There, too: let the greenlet run right now if it has been woken already and
 * its turn has not come; false when that is not so. */
bool accel_wait_run_queued(WaitObject *wait);

/* Take back a wake-up whose greenlet has not run yet; false when too late.
 * The wait can be woken again, and keeps its place in the run queue then. */
bool accel_wait_unwake(WaitObject *wait);

/* True after an accepted wake, even if park was then left by an exception:
 * what the waker handed over must then be given back. */
static inline bool accel_wait_woken(const WaitObject *wait)
{
    return wait->woken;
}

/* Whether a watcher is open and of the calling thread's loop. */
bool accel_watcher_is_ours(PyObject *watcher);

/* Park the calling greenlet on such a watcher: 1 when its event happened, 0
 * when `timeout` (seconds or Py_None) ran out, -1 with an exception. */
int accel_watcher_wait(PyObject *watcher, PyObject *timeout);
/* Whether such a watcher, which nobody uses, may look first. */
bool accel_watcher_may_look(PyObject *watcher);
/* Then: the same as accel_watcher_wait(), but *at_once says that nobody else
 * ran. */
int accel_watcher_look_and_wait(PyObject *watcher, PyObject *timeout,
                                bool *at_once);

/* Of what a call has returned only whether it has: 0, -1 with an exception. */
static inline int accel_ignore(PyObject *result)
{
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Put `value`, whose reference is taken over, into a slot; the old one goes
 * last, as its destructor may look at the slot. */
static inline void accel_replace(PyObject **slot, PyObject *value)
{
    PyObject *old = *slot;
    *slot = value;
    Py_XDECREF(old);
}

/* Let everything run that is queued already; -1 with an exception.  `then`,
 * if not NULL, is woken to run right behind the caller. */
int accel_pause(WaitObject *then);

/* Append to a loop's run queue from any thread; steals no reference. */
int accel_loop_push(LoopObject *loop, PyObject *item);
/* The same, without ending a poll in which the loop is blocked. */
int accel_loop_append(LoopObject *loop, PyObject *item);

/* The place in the queue that the next item gets: it runs when `taken` is one
 * more than this. */
static inline uint64_t accel_loop_position(const LoopObject *loop)
{
    return loop->taken + loop->queue.count;
}

/* Queue func(*args) on a loop; a new Callback object. */
PyObject *accel_loop_run_callback(LoopObject *loop, PyObject *func,
                                  PyObject *args);

/* The same, without ending a poll in which the loop is blocked. */
PyObject *accel_loop_queue_callback(LoopObject *loop, PyObject *func,
                                    PyObject *args);

/* Report the current exception through the loop's handle_error. */
void accel_loop_report(LoopObject *loop, PyObject *context);

/* Deadline `seconds` from now; -1 with an exception for a bad number. */
int64_t accel_deadline(PyObject *seconds);

/* An exception class of gevent.exceptions by its name, for raising here. */
PyObject *accel_error(const char *name);

/* A module's attribute, imported; a new reference. */
PyObject *accel_import(const char *module, const char *name);

/* Make a heap type from a spec and add it to the module. */
PyTypeObject *accel_add_type(PyObject *module, PyType_Spec *spec,
                             PyObject *base);

/* The concept files; each adds its types and functions. */
int accel_greenlets_init(PyObject *module);
int accel_callback_init(PyObject *module);
int accel_wait_init(PyObject *module);
int accel_loop_init(PyObject *module);
int accel_watcher_init(PyObject *module);
int accel_task_init(PyObject *module);
int accel_chunks_init(PyObject *module);
int accel_event_init(PyObject *module);
int accel_semaphore_init(PyObject *module);
int accel_queue_init(PyObject *module);
int accel_local_init(PyObject *module);
int accel_timeout_init(PyObject *module);
int accel_taskqueue_init(PyObject *module);
int accel_names_init(PyObject *module);
int accel_netio_init(PyObject *module);
int accel_socket_init(PyObject *module);
int accel_http_init(PyObject *module);

#endif
