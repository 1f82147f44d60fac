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

#endif
