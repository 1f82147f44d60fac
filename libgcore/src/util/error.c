/* SPDX-License-Identifier: MIT */
#include <gcore/base.h>

#define OWN_NAME(name, number, text) \
    case number:                     \
        return #name;
#define OWN_TEXT(name, number, text) \
    case number:                     \
        return text;
#define SYSTEM_NAME(name, text) \
    case name:                  \
        return #name;
#define SYSTEM_TEXT(name, text) \
    case name:                  \
        return text;

/* The sign is dropped without overflow for INT_MIN. */
static unsigned number_of(int error)
{
    return error < 0 ? 0U - (unsigned)error : (unsigned)error;
}

const char *gcore_error_name(int error)
{
    switch (number_of(error)) {
    case 0:
        return "OK";
        GCORE_OWN_ERRORS(OWN_NAME)
        GCORE_SYSTEM_ERRORS(SYSTEM_NAME)
    default:
        return "UNKNOWN";
    }
}

const char *gcore_error_text(int error)
{
    switch (number_of(error)) {
    case 0:
        return "no error";
        GCORE_OWN_ERRORS(OWN_TEXT)
        GCORE_SYSTEM_ERRORS(SYSTEM_TEXT)
    default:
        return "unknown error";
    }
}
