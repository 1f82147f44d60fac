/* Waiting a moment for another thread before going to sleep. */
#ifndef GCORE_ACCEL_SPIN_H
#define GCORE_ACCEL_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>

/* How it went the last times, zero at first.  Used by one thread at a time. */
typedef struct {
    unsigned failures; /* in a row */
    unsigned skip;     /* how many waits go to sleep at once */
} accel_spin_record;

/* Look at `flag` until it is set or SPIN_NS have passed; whether it is set.
 * Without the GIL.  Where it has been in vain, later calls do nothing. */
bool accel_spin(accel_spin_record *record, const atomic_bool *flag);

#endif
