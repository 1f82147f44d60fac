/*
 * hub/promise.h: results that another thread will hand to a hub.
 *
 * Who works for a hub on a thread of its own makes a promise first, which
 * can fail, and keeps it later, which cannot: the promise is part of the
 * maker's own object and nothing is allocated for it. Until it is told it
 * keeps the hub going. A hub that is closed meanwhile tells -ECANCELED
 * instead, and the result that comes later is dropped: each promise is told
 * exactly once, and must be kept exactly once.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE__PROMISE_H
#define GCORE__PROMISE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "hub/hub.h"

typedef struct gcore__promise {
    gcore_hub *hub;
    gcore__link link; /* in the hub's `promises` until told */
    gcore__note note;
    gcore__ready ready;
    int64_t result;
    atomic_bool broken;
    atomic_int parts; /* of two: told, kept */
    /* The result is being handed over. Hub's thread. */
    void (*told)(struct gcore__promise *promise);
    /* It was told and kept: nobody looks at the promise again. Any thread. */
    void (*over)(struct gcore__promise *promise);
} gcore__promise;

/* 0; -ESHUTDOWN. Hub's thread. */
int gcore__promise_make(gcore__promise *promise, gcore_hub *hub,
                        gcore_done_fn *done, void *arg);

/* Hands over the result. Any thread. */
void gcore__promise_keep(gcore__promise *promise, int64_t result);

/* Whether the hub was closed, so that nobody waits for the result. Any
 * thread. */
bool gcore__promise_broken(gcore__promise *promise);

#endif
