/*
 * The allocator hook and the count of live blocks.
 *
 * SPDX-License-Identifier: MIT
 */
#include "util/alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gcore/base.h"

static void *system_allocate(void *context, void *block, size_t bytes)
{
    (void)context;
    if (bytes == 0) {
        free(block);
        return NULL;
    }
    return block != NULL ? realloc(block, bytes) : malloc(bytes);
}

static struct {
    gcore_allocate_fn *allocate;
    void *context;
} hook = {system_allocate, NULL};

static _Atomic int64_t live;

static void *allocate(void *block, size_t bytes)
{
    return hook.allocate(hook.context, block, bytes);
}

void *gcore__alloc(size_t bytes)
{
    void *block = allocate(NULL, bytes ? bytes : 1);

    if (block == NULL)
        return NULL;
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return memset(block, 0, bytes);
}

void *gcore__resize(void *block, size_t bytes)
{
    void *moved = allocate(block, bytes);

    if (moved != NULL && block == NULL)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return moved;
}

void gcore__free(void *block)
{
    if (block == NULL)
        return;
    allocate(block, 0);
    atomic_fetch_sub_explicit(&live, 1, memory_order_release);
}

void *gcore__lend(void *block, size_t bytes)
{
    return allocate(block, bytes);
}

void gcore__take_back(void *block)
{
    if (block != NULL)
        allocate(block, 0);
}

int gcore_allocator_set(gcore_allocate_fn *allocate_fn, void *context)
{
    if (gcore_allocator_live() != 0)
        return -EBUSY;
    hook.allocate = allocate_fn != NULL ? allocate_fn : system_allocate;
    hook.context = allocate_fn != NULL ? context : NULL;
    return 0;
}

int64_t gcore_allocator_live(void)
{
    return atomic_load_explicit(&live, memory_order_acquire);
}
