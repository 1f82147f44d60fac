/* SPDX-License-Identifier: MIT */
#include <gcore/base.h>

#include <time.h>

#define DIGITS(number) #number
#define DOTTED(a, b, c) DIGITS(a) "." DIGITS(b) "." DIGITS(c)

const char *gcore_version(void)
{
    return DOTTED(GCORE_VERSION_MAJOR, GCORE_VERSION_MINOR,
                  GCORE_VERSION_PATCH);
}

int gcore_version_number(void)
{
    return GCORE_VERSION_MAJOR * 10000 + GCORE_VERSION_MINOR * 100 +
           GCORE_VERSION_PATCH;
}

int64_t gcore_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void gcore_complete(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}
