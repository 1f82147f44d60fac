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

/* True when switch() is greenlet's own for this greenlet. */
bool accel_plain_switch(PyObject *greenlet);

/* Look at the greenlets' classes anew. */
void accel_greenlets_forget_types(void);

/* An attribute, new reference; NULL without an exception when it has none. */
PyObject *accel_greenlet_attribute(PyObject *greenlet, PyObject *name);

PyObject *accel_current_greenlet(void); /* new reference */

/* Throw into a greenlet; new reference or NULL, as a switch. */
PyObject *accel_throw(PyObject *greenlet, PyObject *error);

#endif
