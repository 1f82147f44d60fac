/* What the run queue knows of task queues. */
#ifndef GCORE_ACCEL_TASKQUEUE_H
#define GCORE_ACCEL_TASKQUEUE_H

#include "accel.h"

/* Wake a worker, if one is idle; needs no GIL. */
void accel_taskqueue_wake(PyObject *queue);

#endif
