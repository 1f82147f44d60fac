/*
 * Names and texts of errors, made from the tables in gcore/base.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gcore/base.h"

struct entry {
    int number;
    const char *name;
    const char *text;
};

#define OWN(name, number, text) {number, #name, text},
#define SYSTEM(name, text) {name, #name, text},

static const struct entry table[] = {GCORE_OWN_ERRORS(OWN)
                                         GCORE_SYSTEM_ERRORS(SYSTEM)};

static const struct entry *find(int error)
{
    int negative = error < 0 ? error : -error;

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (-table[i].number == negative)
            return &table[i];
    return NULL;
}

const char *gcore_error_name(int error)
{
    const struct entry *entry = find(error);

    return entry != NULL ? entry->name : "UNKNOWN";
}

const char *gcore_error_text(int error)
{
    const struct entry *entry = find(error);

    return entry != NULL ? entry->text : "unknown error";
}
