/* SPDX-License-Identifier: MIT */
#include "dns/dns.h"

void *gcore__shared_new(size_t bytes)
{
    gcore__arena arena = {0};
    gcore__shared *shared = gcore__arena_alloc(&arena, bytes);

    if (!shared)
        return NULL;
    shared->arena = arena;
    atomic_init(&shared->refs, 1);
    shared->expires = GCORE_FOREVER;
    return shared;
}

void *gcore__shared_ref(void *object)
{
    gcore__shared *shared = object;

    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void gcore__shared_unref(void *object)
{
    gcore__shared *shared = object;

    if (shared && gcore__reference_drop(&shared->refs))
        gcore__arena_free(&shared->arena);
}
