/*
 * The monotonic clock.
 *
 * SPDX-License-Identifier: MIT
 */
#include <time.h>

#include "gcore/base.h"

int64_t gcore_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
