/* What other locks use of semaphores. */
#ifndef GCORE_ACCEL_SEMAPHORE_H
#define GCORE_ACCEL_SEMAPHORE_H

#include "links.h"

extern PyTypeObject *accel_semaphore_type;

/* 1: taken, 0: there is none, at once or within `timeout`, -1: exception. */
int accel_semaphore_acquire(PyObject *semaphore, bool blocking,
                            PyObject *timeout);
/* -1 with an exception. */
int accel_semaphore_release(PyObject *semaphore);

int accel_rlock_init(PyObject *module);

#endif
