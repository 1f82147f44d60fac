/*
 * Structures whose size the caller sets: base.h, 5. The one place that reads
 * and writes them.
 */
#ifndef GCORE__SIZED_H
#define GCORE__SIZED_H

#include <stddef.h>

/*
 * Reads what a caller gives, which may be older or newer than this library.
 *   given  NULL: nothing but defaults
 *   out    of `known` bytes; set, what is not given to zero, with that size
 * Returns 0; -EINVAL for a bad size, or for what the library does not know.
 */
int gcore__sized_read(const void *given, void *out, size_t known);

/*
 * Fills in what a caller has made room for: the rest of it with zeros.
 *   from  of `known` bytes
 * Returns 0; -EINVAL for a bad size.
 */
int gcore__sized_write(void *out, const void *from, size_t known);

#endif
