/*
 * Structures whose size the caller sets.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "util/sized.h"

/* No structure is that large: a size beyond was never set. */
#define LARGEST 4096

static size_t size_of(const void *structure)
{
    size_t size;

    memcpy(&size, structure, sizeof size);
    return size;
}

static bool is_size(size_t size)
{
    return size > sizeof size && size % sizeof size == 0 && size <= LARGEST;
}

static bool is_zero(const void *structure, size_t from, size_t to)
{
    const char *bytes = structure;

    for (size_t i = from; i < to; i++)
        if (bytes[i])
            return false;
    return true;
}

int gcore__sized_read(const void *given, void *out, size_t known)
{
    size_t size = given ? size_of(given) : sizeof size;

    memset(out, 0, known);
    if (given && (!is_size(size) || !is_zero(given, known, size)))
        return -EINVAL;
    if (given)
        memcpy(out, given, size < known ? size : known);
    memcpy(out, &known, sizeof known);
    return 0;
}

int gcore__sized_write(void *out, const void *from, size_t known)
{
    size_t size = size_of(out);

    if (!is_size(size))
        return -EINVAL;
    memset(out, 0, size);
    memcpy(out, from, size < known ? size : known);
    memcpy(out, &size, sizeof size);
    return 0;
}
