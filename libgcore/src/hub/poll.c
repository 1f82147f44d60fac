/*
 * Driving a hub: turns, and handing over what they find.
 *
 * Who drives a hub is noted in hub->driver, so that a second one is refused
 * and a close from elsewhere is left to the driver.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/hub.h"

/* Returned by turn(): only the prepare watches have been told. */
#define PREPARED 1

static bool begin(gcore_hub *hub)
{
    uintptr_t nobody = 0;

    return atomic_compare_exchange_strong(&hub->driver, &nobody,
                                          gcore__thread());
}

/* Between here and the next begin, gcore_hub_close finds nobody driving and
 * closes by itself; one that came earlier has left a request. */
static void end(gcore_hub *hub)
{
    atomic_store(&hub->driver, 0);
    if (atomic_load(&hub->requests) & GCORE__CLOSE)
        gcore__hub_close_idle(hub);
}

void gcore__hub_close_idle(gcore_hub *hub)
{
    if (atomic_load(&hub->closed) || !begin(hub))
        return;
    if (!atomic_load(&hub->closed))
        gcore__hub_shut(hub);
    atomic_store(&hub->driver, 0);
}

static bool requested(gcore_hub *hub, unsigned request)
{
    if (!(atomic_load_explicit(&hub->requests, memory_order_acquire) &
          request))
        return false;
    return atomic_fetch_and(&hub->requests, ~request) & request;
}

int64_t gcore_hub_active(gcore_hub *hub)
{
    return hub->active + atomic_load(&hub->retains);
}

int64_t gcore_hub_pending(gcore_hub *hub)
{
    return hub->ready_count + hub->kept_count;
}

static bool nothing_left(gcore_hub *hub)
{
    return gcore_hub_active(hub) <= 0 && hub->ready_count == 0 &&
           gcore__inbox_empty(hub);
}

/* How long the coming wait may take, in nanoseconds; below 0: no limit. */
static int64_t time_to_wait(gcore_hub *hub, int64_t deadline, int64_t now)
{
    int64_t next = gcore__timer_next(hub);

    if (next < deadline)
        deadline = next;
    if (deadline == GCORE_FOREVER)
        return -1;
    return deadline > now ? deadline - now : 0;
}

/* See inbox.c for why the order matters. */
static int wait(gcore_hub *hub, int64_t timeout)
{
    int error;

    if (timeout == 0)
        return gcore__poller_wait(&hub->poller, 0);
    atomic_store(&hub->asleep, true);
    if (!gcore__inbox_empty(hub) || atomic_load(&hub->requests))
        timeout = 0;
    error = gcore__poller_wait(&hub->poller, timeout);
    if (!hub->embedded)
        atomic_store(&hub->asleep, false);
    return error;
}

/* `before` is when the wait began: now, if it was none. */
static void count_turn(gcore_hub *hub, int64_t before)
{
    if (before - hub->waited > hub->longest_turn && hub->turns)
        hub->longest_turn = before - hub->waited;
    hub->poll_ns += hub->now - before;
    hub->waited = hub->now;
    hub->turns++;
}

static int turn(gcore_hub *hub, int64_t deadline)
{
    int64_t before = 0;
    int64_t timeout = 0;
    int error;

    if (!hub->prepared && !gcore__list_empty(&hub->prepare)) {
        hub->prepared = true;
        gcore__phase_add(&hub->prepare);
        return PREPARED;
    }
    hub->prepared = false;
    if (!hub->ready_count && !hub->idle_count && deadline != GCORE_NOW) {
        before = gcore_clock();
        timeout = time_to_wait(hub, deadline, before);
    }
    gcore__phase_add(&hub->check); /* ahead of what the wait finds */
    error = wait(hub, timeout);
    hub->now = gcore_clock();
    count_turn(hub, before ? before : hub->now);
    /* An epoll that is not there, or is something else. */
    if (error == -EBADF || error == -EINVAL || hub->broken)
        error = gcore__hub_renew(hub);
    gcore__inbox_take(hub);
    gcore__timer_expire(hub);
    if (hub->idle_count)
        gcore__idle_add(hub);
    return error;
}

/* Turns until there is a reason to return. `idle` is looked at before the
 * turn, so watches that do not count still get one. */
static int turn_until(gcore_hub *hub, gcore_completion *out, int max,
                      int64_t deadline, unsigned how)
{
    bool woken = false;

    for (;;) {
        bool idle = !(how & GCORE__ENDLESS) && nothing_left(hub);
        int count;
        int result;

        if (requested(hub, GCORE__STOP))
            return -GCORE_ESTOPPED;
        if (atomic_load(&hub->requests) & GCORE__CLOSE)
            return -ESHUTDOWN;
        requested(hub, GCORE__LOOK);
        woken |= requested(hub, GCORE__WAKE);
        result = turn(hub, woken || idle ? GCORE_NOW : deadline);
        count = gcore__ready_deliver(hub, out, max);
        if (count)
            return count;
        if (result == PREPARED)
            continue;
        if (result < 0 && !(result == -EINTR && !out))
            return result;
        if (out && (woken || requested(hub, GCORE__WAKE)))
            return 0;
        if (deadline <= hub->now)
            return 0;
        woken = false;
        if (idle && nothing_left(hub))
            return -GCORE_EIDLE;
    }
}

static int poll_closed(gcore_hub *hub, gcore_completion *out, int max)
{
    int count = out ? gcore__ready_deliver(hub, out, max) : 0;

    return count ? count : -ESHUTDOWN;
}

static int drive(gcore_hub *hub, gcore_completion *out, int max,
                 int64_t deadline, unsigned how)
{
    int result;

    hub->polls += out != NULL;
    if (atomic_load(&hub->closed))
        return poll_closed(hub, out, max);
    if (hub->generation != gcore__fork_generation()) {
        result = gcore_hub_after_fork(hub);
        if (result < 0)
            return result;
    }
    if (hub->leftover || (out && hub->kept_count)) {
        result = gcore__ready_deliver(hub, out, max);
        if (result)
            return result;
    }
    result = turn_until(hub, out, max, deadline, how);
    if (result != -ESHUTDOWN)
        return result;
    gcore__hub_shut(hub);
    return poll_closed(hub, out, max);
}

int gcore__hub_drive(gcore_hub *hub, gcore_completion *out, int max,
                     int64_t deadline, unsigned how)
{
    int result;

    gcore__forget_threads(hub);
    if (!begin(hub))
        return -EBUSY;
    gcore__hub_hold(hub); /* its last owner may go meanwhile */
    gcore__current_set(hub);
    result = drive(hub, out, max, deadline, how);
    end(hub);
    gcore__hub_drop(hub);
    return result;
}

int gcore_hub_poll(gcore_hub *hub, gcore_completion *out, int max,
                   int64_t deadline)
{
    if (!out || max < 1)
        return -EINVAL;
    return gcore__hub_drive(hub, out, max, deadline, 0);
}

int gcore_hub_run(gcore_hub *hub)
{
    int result = gcore__hub_drive(hub, NULL, 0, GCORE_FOREVER, 0);

    return result == -GCORE_EIDLE ? 0 : result;
}

int gcore_hub_stop(gcore_hub *hub)
{
    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    gcore__forget_threads(hub);
    gcore__hub_request(hub, GCORE__STOP);
    if (gcore__thread_join(hub)) /* it may have ended before the request */
        requested(hub, GCORE__STOP);
    return 0;
}

int gcore_hub_wake(gcore_hub *hub)
{
    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    gcore__hub_request(hub, GCORE__WAKE);
    return 0;
}

int64_t gcore_hub_now(gcore_hub *hub)
{
    return hub->now;
}

void gcore_hub_update(gcore_hub *hub)
{
    hub->now = gcore_clock();
}
