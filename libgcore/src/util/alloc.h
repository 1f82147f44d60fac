/*
 * util/alloc.h: the library's memory, through the allocator that
 * gcore_allocator_set named. Every failure is an error to be handled; each
 * live block is counted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_UTIL_ALLOC_H
#define GCORE_UTIL_ALLOC_H

#include <stddef.h>

/* A zeroed block, or NULL. */
void *gcore__alloc(size_t bytes);

/* As realloc; bytes > 0; what is added is not zeroed. */
void *gcore__resize(void *block, size_t bytes);

/* NULL is allowed. */
void gcore__free(void *block);

/* As gcore__resize and gcore__free, but not counted: for another library's
 * many small blocks, all of which end with a block that is counted. */
void *gcore__lend(void *block, size_t bytes);
void gcore__take_back(void *block);

#endif
