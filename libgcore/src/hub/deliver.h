/*
 * hub/deliver.h: promises: results that another thread will hand to a hub.
 *
 * Whoever works for a hub on a thread of his own makes a promise first,
 * which can fail, and keeps it later, which cannot: the promise is part of
 * the caller's own object and nothing is allocated for it. Until it is kept
 * it keeps the hub going. A hub that is closed meanwhile tells -ECANCELED
 * instead; keeping the promise is then a no-op, so it is told exactly once.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_HUB_DELIVER_H
#define GCORE_HUB_DELIVER_H

#include <gcore/hub.h>

typedef struct gcore__promise gcore__promise;

/* Called once the result was handed over, on the hub's thread or, when the
 * hub is closed, on the closing one. The hub does not touch the promise
 * again, but its maker may still have to keep it. */
typedef void gcore__promise_over_fn(gcore__promise *promise);

struct gcore__promise {
    gcore_hub *hub;
    gcore__promise *next;
    gcore__promise *previous;
    gcore_done_fn *done;
    void *arg;
    int64_t result;
    gcore__promise_over_fn *over;
    int state; /* guarded by the hub's lock for what other threads send */
};

/* Fill in done, arg and over first. 0; -ESHUTDOWN. Any thread. */
int gcore__promise_make(gcore__promise *promise, gcore_hub *hub);

/* Hand over the result. Any thread, once for each promise made. */
void gcore__promise_keep(gcore__promise *promise, int64_t result);

/* 1 if nobody waits for the result any more: the hub was closed. */
int gcore__promise_void(gcore__promise *promise);

#endif
