/*
 * What all kinds of watches share.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/watch.h"

static void unref(gcore_watch *watch)
{
    gcore_hub *hub = watch->hub;

    if (atomic_fetch_sub_explicit(&watch->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (watch->kind->free)
        watch->kind->free(watch);
    gcore__free(watch);
    atomic_fetch_sub_explicit(&hub->watches, 1, memory_order_relaxed);
    gcore__hub_drop(hub);
}

gcore_watch *gcore_watch_ref(gcore_watch *watch)
{
    atomic_fetch_add_explicit(&watch->refs, 1, memory_order_relaxed);
    return watch;
}

void gcore_watch_unref(gcore_watch *watch)
{
    if (watch)
        unref(watch);
}

/* Out of the lists of started ones; the caller sees to the reference. */
static void end(gcore_watch *watch)
{
    gcore_hub *hub = watch->hub;

    if (watch->kind->stop)
        watch->kind->stop(watch);
    gcore__timer_remove(hub, &watch->timer);
    gcore__list_remove(&watch->link);
    watch->started = false;
    hub->started--;
    if (watch->keepalive)
        hub->active--;
}

static void make_ready(gcore_watch *watch, int64_t result)
{
    watch->ready.result = result;
    gcore__ready_add(watch->hub, &watch->ready);
}

void gcore__watch_complete(gcore_watch *watch, int64_t result)
{
    if (watch->once)
        end(watch);
    if (!watch->ready.listed)
        make_ready(watch, result);
    else if (watch->kind->number == GCORE_WATCH_IO)
        watch->ready.result |= result;
}

void gcore__watch_finish(gcore_watch *watch, int64_t result)
{
    end(watch);
    if (watch->ready.listed)
        watch->ready.result = result;
    else
        make_ready(watch, result);
}

static int64_t taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_watch *watch = GCORE__OF(gcore_watch, ready, ready);
    int64_t result = ready->result;

    (void)hub;
    if (watch->kind->result)
        result = watch->kind->result(watch, result);
    if (!watch->started)
        unref(watch);
    return result;
}

/* The deadline of any watch but a timer. What is ready comes first: then
 * the deadline is looked at again once that is handed over. */
static void give_up(gcore_hub *hub, gcore__timer *timer)
{
    gcore_watch *watch = GCORE__OF(gcore_watch, timer, timer);

    if (watch->ready.listed)
        gcore__timer_add(hub, timer, hub->now + 1);
    else
        gcore__watch_finish(watch, -ETIMEDOUT);
}

int gcore__watch_new(gcore_hub *hub, const gcore__kind *kind,
                     gcore_watch **out)
{
    gcore_watch *watch;
    int watches;

    if (atomic_load_explicit(&hub->closed, memory_order_relaxed))
        return -ESHUTDOWN;
    watches = atomic_fetch_add_explicit(&hub->watches, 1,
                                        memory_order_relaxed) + 1;
    if (gcore__timer_reserve(hub, watches + hub->extra_timers) < 0)
        goto failed;
    watch = gcore__alloc(sizeof *watch);
    if (!watch)
        goto failed;
    watch->kind = kind;
    watch->hub = hub;
    gcore__hub_hold(hub);
    watch->keepalive = true;
    watch->ready.take = taken;
    watch->timer.due = give_up;
    gcore__list_init(&watch->link);
    atomic_init(&watch->refs, 1);
    *out = watch;
    return 0;

failed:
    atomic_fetch_sub_explicit(&hub->watches, 1, memory_order_relaxed);
    return -ENOMEM;
}

int gcore_watch_start(gcore_watch *watch, unsigned flags, int64_t deadline,
                      gcore_done_fn *done, void *arg)
{
    gcore_hub *hub = watch->hub;
    const gcore__kind *kind = watch->kind;

    if (flags & ~(unsigned)GCORE_ONCE || !done)
        return -EINVAL;
    if (atomic_load_explicit(&watch->closed, memory_order_relaxed) ||
        atomic_load_explicit(&hub->closed, memory_order_relaxed))
        return -ECANCELED;
    if (watch->started || watch->ready.listed)
        return -EALREADY;
    if (kind->start) {
        int error = kind->start(watch);

        if (error < 0)
            return error;
    }
    watch->started = true;
    watch->once = kind->once || flags & GCORE_ONCE;
    watch->ready.done = done;
    watch->ready.arg = arg;
    gcore__list_append(kind->list ? kind->list(watch) : &hub->others,
                       &watch->link);
    if (deadline != GCORE_FOREVER)
        gcore__timer_add(hub, &watch->timer,
                         deadline == GCORE_NOW ? hub->now : deadline);
    hub->started++;
    if (watch->keepalive)
        hub->active++;
    gcore_watch_ref(watch);
    return 0;
}

int gcore_watch_stop(gcore_watch *watch)
{
    if (!watch->started && !watch->ready.listed)
        return 0;
    if (watch->started)
        end(watch);
    gcore__ready_withdraw(watch->hub, &watch->ready);
    unref(watch);
    return 0;
}

int gcore_watch_close(gcore_watch *watch)
{
    if (atomic_exchange(&watch->closed, true))
        return 0;
    if (watch->started)
        gcore__watch_finish(watch, -ECANCELED);
    return 0;
}

int gcore_watch_set_priority(gcore_watch *watch, int priority)
{
    if (priority < GCORE_PRIORITY_MIN || priority > GCORE_PRIORITY_MAX)
        return -EINVAL;
    if (watch->ready.listed)
        return -EALREADY;
    watch->ready.priority = priority;
    if (watch->started && watch->kind->list) {
        gcore__list_remove(&watch->link);
        gcore__list_append(watch->kind->list(watch), &watch->link);
    }
    return 0;
}

int gcore_watch_priority(gcore_watch *watch)
{
    return watch->ready.priority;
}

int gcore_watch_set_keepalive(gcore_watch *watch, int keepalive)
{
    if (watch->started)
        watch->hub->active += (keepalive != 0) - watch->keepalive;
    watch->keepalive = keepalive != 0;
    return 0;
}

int gcore_watch_keepalive(gcore_watch *watch)
{
    return watch->keepalive;
}

int gcore_watch_active(gcore_watch *watch)
{
    return watch->started;
}

int gcore_watch_pending(gcore_watch *watch)
{
    return watch->ready.listed;
}

int gcore_watch_closed(gcore_watch *watch)
{
    return atomic_load(&watch->closed) || atomic_load(&watch->hub->closed);
}

int gcore_watch_kind(gcore_watch *watch)
{
    return watch->kind->number;
}

gcore_hub *gcore_watch_hub(gcore_watch *watch)
{
    return watch->hub;
}

int64_t gcore_watch_deadline(gcore_watch *watch)
{
    return watch->timer.place ? watch->timer.at : GCORE_FOREVER;
}
