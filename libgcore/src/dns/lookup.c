/*
 * Lookups: the handle of one, its deadline, being told, being cancelled.
 *
 * A pending lookup, and one that is over but not handed over, has a
 * reference of its own and keeps the hub going.
 *
 * SPDX-License-Identifier: MIT
 */
#include "dns/dns.h"

static void free_lookup(gcore_lookup *lookup)
{
    gcore_resolver *resolver = lookup->resolver;

    if (lookup->timed)
        atomic_fetch_sub(&resolver->hub->extra_timers, 1);
    gcore__shared_unref(lookup->host);
    gcore__shared_unref(lookup->answer);
    gcore__arena_free(&lookup->arena); /* itself, too */
    gcore__resolver_drop(resolver);
}

gcore_lookup *gcore_lookup_ref(gcore_lookup *lookup)
{
    atomic_fetch_add_explicit(&lookup->refs, 1, memory_order_relaxed);
    return lookup;
}

void gcore_lookup_unref(gcore_lookup *lookup)
{
    if (lookup && gcore__reference_drop(&lookup->refs))
        free_lookup(lookup);
}

static int64_t taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_lookup *lookup = GCORE__OF(gcore_lookup, ready, ready);
    int64_t result = ready->result;

    lookup->state = GCORE__OVER;
    hub->active--;
    gcore_lookup_unref(lookup);
    return result;
}

/* It waits for nothing any more. */
static void leave(gcore_lookup *lookup)
{
    gcore__ask_leave(lookup);
    gcore__timer_remove(lookup->resolver->hub, &lookup->timer);
    gcore__list_remove(&lookup->link);
    lookup->resolver->stats.pending--;
}

void gcore__lookup_complete(gcore_lookup *lookup, int result)
{
    leave(lookup);
    lookup->state = GCORE__READY;
    lookup->ready.result = result;
    gcore__ready_add(lookup->resolver->hub, &lookup->ready);
}

static void expired(gcore_hub *hub, gcore__timer *timer)
{
    (void)hub;
    gcore__lookup_complete(GCORE__OF(gcore_lookup, timer, timer), -ETIMEDOUT);
}

int gcore__lookup_new(gcore_resolver *resolver, int64_t deadline,
                      gcore_done_fn *done, void *arg, gcore_lookup **out)
{
    gcore_lookup *lookup;
    gcore__arena arena = {0};
    int error = gcore__resolver_enter(resolver);

    if (error < 0)
        return error;
    lookup = gcore__arena_alloc(&arena, sizeof *lookup);
    if (!lookup)
        return -ENOMEM;
    lookup->arena = arena;
    atomic_init(&lookup->refs, 1);
    lookup->resolver = resolver;
    lookup->deadline = deadline;
    lookup->local = deadline != GCORE_FOREVER && deadline <= resolver->now;
    lookup->ready.done = done;
    lookup->ready.arg = arg;
    lookup->ready.take = taken;
    lookup->timer.due = expired;
    lookup->result.size = sizeof lookup->result;
    gcore__list_init(&lookup->link);
    gcore__resolver_hold(resolver);
    resolver->stats.lookups++;
    *out = lookup;
    return 0;
}

static int start_timer(gcore_lookup *lookup)
{
    gcore_hub *hub = lookup->resolver->hub;

    if (lookup->deadline == GCORE_FOREVER)
        return 0;
    lookup->timed = true;
    atomic_fetch_add(&hub->extra_timers, 1);
    if (gcore__timer_reserve(hub, atomic_load(&hub->watches) +
                                      atomic_load(&hub->extra_timers)) < 0)
        return -ENOMEM;
    gcore__timer_add(hub, &lookup->timer, lookup->deadline);
    return 0;
}

int gcore__lookup_started(gcore_lookup *lookup, int result,
                          gcore_lookup **out)
{
    gcore_resolver *resolver = lookup->resolver;

    if (result == 0 && start_timer(lookup) < 0)
        result = -ENOMEM;
    if (result != 0) {
        gcore__ask_leave(lookup);
        resolver->stats.at_once++;
        lookup->state = GCORE__OVER;
        if (result < 0)
            gcore_lookup_unref(lookup);
        else
            *out = lookup;
        return result;
    }
    lookup->state = GCORE__PENDING;
    gcore__list_append(&resolver->lookups, &lookup->link);
    resolver->stats.pending++;
    resolver->hub->active++;
    /* The caller's and its own; nobody else has it yet. */
    atomic_store_explicit(&lookup->refs, 2, memory_order_relaxed);
    *out = lookup;
    return 0;
}

void gcore__lookup_resume(gcore_lookup *lookup, int result)
{
    result = lookup->step(lookup, result);
    if (result != 0)
        gcore__lookup_complete(lookup, result > 0 ? 0 : result);
}

int gcore_lookup_cancel(gcore_lookup *lookup)
{
    gcore_hub *hub = lookup->resolver->hub;

    if (lookup->state == GCORE__OVER)
        return 0;
    if (lookup->state == GCORE__PENDING)
        leave(lookup);
    gcore__ready_withdraw(hub, &lookup->ready);
    lookup->state = GCORE__OVER;
    lookup->ready.result = -ECANCELED;
    hub->active--;
    gcore_lookup_unref(lookup);
    return 0;
}

const gcore_dns_result *gcore_lookup_result(gcore_lookup *lookup)
{
    bool over = lookup->state == GCORE__OVER || lookup->state == GCORE__READY;

    return over && lookup->ready.result == 0 ? &lookup->result : NULL;
}
