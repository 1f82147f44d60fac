/* The run queue, between loop.c, greenlets.c, wait.c and watcher.c. */
#ifndef GCORE_ACCEL_LOOP_H
#define GCORE_ACCEL_LOOP_H

#include "accel.h"

/* The item that runs next, borrowed, or NULL: what the last poll returned
 * comes before the queue. */
PyObject *accel_loop_peek(LoopObject *loop);

/* Remove it; the caller owns the reference.  Counts it against the queue's
 * time slice. */
PyObject *accel_loop_take(LoopObject *loop);

/* Whether a greenlet may poll on behalf of the hub: nothing is to run before
 * what the poll returns, and the hub is not inside a callback. */
bool accel_loop_may_look(LoopObject *loop);

/* Poll without blocking, on behalf of the hub; how many events came back.
 * Nothing is to be queued.  Never raises: what is wrong the hub will meet. */
int accel_loop_look(LoopObject *loop);

/* Wake a worker of a task queue with the next poll, without the GIL if it
 * blocks. */
void accel_loop_wake_worker_later(LoopObject *loop, PyObject *taskqueue);

/* If the loop is blocked in a poll and has something to do: its engine, for
 * accel_loop_tell; a new reference. */
gcore_hub *accel_loop_asleep(LoopObject *loop);

/* End that poll and drop the reference to its engine; needs no GIL. */
void accel_loop_tell(LoopObject *loop, gcore_hub *engine);

/* In a function that the engine calls: have the GIL. A poll that had let go of
 * it ends with this turn, and keeps it until then. */
void accel_loop_need_gil(LoopObject *loop);

/* Append to what the next dispatch runs first. */
int accel_loop_push_ready(LoopObject *loop, PyObject *item);

/* -1 with ValueError when the loop has been destroyed. */
int accel_loop_check(LoopObject *loop);

/* Raise the exception of a negative gcore result. */
PyObject *accel_raise(int error);

/* A timer for a wait's deadline, and back again. */
gcore_watch *accel_loop_borrow_timer(LoopObject *loop);
void accel_loop_return_timer(LoopObject *loop, gcore_watch *timer);

/* Queue the start of a greenlet: a new callback that can be stopped. */
PyObject *accel_loop_run_switch(PyObject *loop, PyObject *greenlet);

/* Run one callback object, or one watcher's callback, in the hub. */
extern PyTypeObject *accel_callback_type;
void accel_callback_run(PyObject *callback, LoopObject *loop);
void accel_watcher_run(PyObject *watcher, LoopObject *loop);
void accel_watcher_complete(PyObject *watcher, int64_t result);

/* A started timer of `type`, a subtype of TimerWatcher, as loop.timer() would
 * make it; priority within -2..2. */
extern PyTypeObject *accel_timer_type;
PyObject *accel_timer_start(PyTypeObject *type, LoopObject *loop,
                            double after, bool ref, int priority,
                            PyObject *callback, PyObject *args);
/* Stop a watcher for good. */
void accel_watcher_close(PyObject *watcher);

/* A wait's time-out came back from a poll. */
void accel_wait_expire(WaitObject *wait, int64_t result);
/* The engine's operation of an accel_wait_argument() came back from a poll. */
bool accel_is_operation(const void *argument);
void accel_wait_finish(void *argument, int64_t result);
/* It has come back, and will not be told of: see accel_wait_lend(). */
void accel_wait_give_back(void *argument);
/* As accel_wait_wake, but ahead of the queue: for what a poll returned. */
int accel_wait_complete(WaitObject *wait, PyObject *value);
/* Resume a queued wait from the hub. */
void accel_wait_resume(WaitObject *wait);

#endif
