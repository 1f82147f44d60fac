/*
 * The version of the library that runs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gcore/base.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *gcore_version(void)
{
    return TEXT(GCORE_VERSION_MAJOR) "." TEXT(GCORE_VERSION_MINOR) "." TEXT(
        GCORE_VERSION_PATCH);
}

int gcore_version_number(void)
{
    return GCORE_VERSION_MAJOR * 10000 + GCORE_VERSION_MINOR * 100 +
           GCORE_VERSION_PATCH;
}
