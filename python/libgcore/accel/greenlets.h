/* greenlet's C API, and the scheduler's part in switching. */
#ifndef GCORE_ACCEL_GREENLETS_H
#define GCORE_ACCEL_GREENLETS_H

#include "accel.h"

/* Give up: `hub.switch()` in the greenlet `current`.  Looks the method up on
 * each call, so that whoever wraps it sees every give-up.  New reference or
 * NULL. */
PyObject *accel_give_up(PyObject *hub, PyObject *current);

/* From the hub's dispatch point: let `greenlet` run until control is back in
 * the hub.  An exception that ends up in the hub is reported. */
void accel_run_greenlet(LoopObject *loop, PyObject *greenlet, PyObject *args,
                        PyObject *context);

/* Whether the calling thread has a sys.settrace() function. */
bool accel_traced(void);

/* True when switch() is greenlet's own for this greenlet. */
bool accel_plain_switch(PyObject *greenlet);

/* Look at the greenlets' classes anew. */
void accel_greenlets_forget_types(void);

/* An attribute, new reference; NULL without an exception when it has none. */
PyObject *accel_greenlet_attribute(PyObject *greenlet, PyObject *name);

PyObject *accel_current_greenlet(void); /* new reference */

/* What a greenlet looks like before it does something, to see afterwards
 * whether that has left traces: attributes, links, a context, or references
 * by which others may come back to it. */
typedef struct {
    Py_ssize_t references;
    Py_ssize_t attributes;
} accel_greenlet_marks;

accel_greenlet_marks accel_greenlet_look(PyObject *greenlet);
/* In that greenlet.  Never raises. */
bool accel_greenlet_unmarked(PyObject *greenlet,
                             const accel_greenlet_marks *before);

/* How many links a Task has; 0 for other greenlets. */
Py_ssize_t accel_task_links(PyObject *greenlet);

#endif
