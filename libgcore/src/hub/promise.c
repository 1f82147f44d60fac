/*
 * Promises: see promise.h. Until the result arrives the promise is in
 * the hub's list, which a closing hub goes through to tell -ECANCELED; a
 * result that arrives takes it out. Both happen on the hub's thread, so only
 * one of them does. The maker's thread touches nothing but the note.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/promise.h"

#include <errno.h>

static void part_over(gcore__promise *promise)
{
    gcore_hub *hub = promise->hub;

    if (atomic_fetch_sub(&promise->parts, 1) != 1)
        return;
    promise->over(promise);
    gcore__hub_drop(hub);
}

static int64_t take(gcore_hub *hub, gcore__ready *ready)
{
    gcore__promise *promise = GCORE__OF(gcore__promise, ready, ready);
    int64_t result = ready->result;

    gcore_hub_release(hub);
    promise->told(promise);
    part_over(promise);
    return result;
}

static void tell(gcore__promise *promise, int64_t result)
{
    gcore__list_remove(&promise->link);
    promise->ready.result = result;
    gcore__ready_add(promise->hub, &promise->ready);
}

static void arrive(gcore_hub *hub, gcore__note *note)
{
    gcore__promise *promise = GCORE__OF(gcore__promise, note, note);

    (void)hub;
    if (!gcore__promise_broken(promise))
        tell(promise, promise->result);
    part_over(promise);
}

void gcore__promises_break(gcore_hub *hub)
{
    while (!gcore__list_empty(&hub->promises)) {
        gcore__promise *promise =
            GCORE__OF(gcore__promise, link, hub->promises.next);

        atomic_store(&promise->broken, true);
        tell(promise, -ECANCELED);
    }
}

int gcore__promise_make(gcore__promise *promise, gcore_hub *hub,
                        gcore_done_fn *done, void *arg)
{
    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    promise->hub = hub;
    gcore__hub_hold(hub);
    promise->note.arrive = arrive;
    promise->ready.done = done;
    promise->ready.arg = arg;
    promise->ready.take = take;
    atomic_init(&promise->parts, 2);
    gcore_hub_retain(hub);
    gcore__list_append(&hub->promises, &promise->link);
    return 0;
}

void gcore__promise_keep(gcore__promise *promise, int64_t result)
{
    gcore_hub *hub = promise->hub;

    gcore__hub_hold(hub); /* for the wake-up */
    promise->result = result;
    if (gcore__inbox_put(hub, &promise->note) < 0)
        part_over(promise);
    gcore__hub_drop(hub);
}

bool gcore__promise_broken(gcore__promise *promise)
{
    return atomic_load(&promise->broken);
}
