/* SPDX-License-Identifier: MIT */
#include "util/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <gcore/base.h>

static void *allocate_from_c(void *context, void *block, size_t bytes)
{
    (void)context;
    if (bytes > 0)
        return realloc(block, bytes);
    free(block);
    return NULL;
}

static gcore_allocate_fn *allocate = allocate_from_c;
static void *allocate_context;
static atomic_int_least64_t live;

int gcore_allocator_set(gcore_allocate_fn *fn, void *context)
{
    if (gcore_allocator_live() != 0)
        return -EBUSY;
    allocate = fn ? fn : allocate_from_c;
    allocate_context = context;
    return 0;
}

int64_t gcore_allocator_live(void)
{
    return atomic_load(&live);
}

void *gcore__resize(void *block, size_t bytes)
{
    void *resized = allocate(allocate_context, block, bytes);

    if (!block && resized)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return resized;
}

void *gcore__new(size_t bytes)
{
    void *block = gcore__resize(NULL, bytes);

    return block ? memset(block, 0, bytes) : NULL;
}

void gcore__free(void *block)
{
    if (!block)
        return;
    allocate(allocate_context, block, 0);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}
