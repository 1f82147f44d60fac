/* What queues and channels share. */
#ifndef GCORE_ACCEL_QUEUE_H
#define GCORE_ACCEL_QUEUE_H

#include "links.h"

extern PyObject *accel_empty_error, *accel_full_error;

int accel_channel_init(PyObject *module);

#endif
