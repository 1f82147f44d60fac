/*
 * Signals: any number of watches a signal, on any hubs.
 *
 * The handler walks the list of the signal's started watches, which is
 * changed under the process's lock, and sends to each, which is safe in a
 * handler. Who takes a watch out of the list waits until no handler is
 * walking any more, so a handler never meets a watch that is being freed.
 * With the last watch of a signal the program's own handler comes back,
 * unless the program has replaced ours meanwhile; then the next watch that is
 * started replaces it in turn.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sched.h>
#include <signal.h>

#include "hub/watch.h"

static struct {
    _Atomic(gcore_watch *) first;
    struct sigaction before;
} signals[NSIG];

static atomic_int walking;

static void handle(int number)
{
    gcore_watch *watch;

    atomic_fetch_add(&walking, 1);
    for (watch = atomic_load(&signals[number].first); watch;
         watch = atomic_load(&watch->peer))
        gcore__sent_send(watch);
    atomic_fetch_sub(&walking, 1);
}

/* Other threads' handlers are not in the child. */
void gcore__signal_after_fork(void)
{
    atomic_store(&walking, 0);
}

static bool installed(int number)
{
    struct sigaction now;

    return sigaction(number, NULL, &now) == 0 && now.sa_handler == handle;
}

static int install(int number)
{
    struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};

    if (installed(number))
        return 0;
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, &signals[number].before) < 0 ? -errno
                                                                   : 0;
}

static void uninstall(int number)
{
    if (installed(number))
        sigaction(number, &signals[number].before, NULL);
}

static int signal_start(gcore_watch *watch)
{
    int number = watch->number;
    gcore_watch *first;
    int error;

    gcore__sent_start(watch);
    gcore__process_lock();
    error = install(number);
    if (error == 0) {
        first = atomic_load(&signals[number].first);
        atomic_store(&watch->peer, first);
        atomic_store(&signals[number].first, watch);
    }
    gcore__process_unlock();
    if (error < 0)
        gcore__sent_stop(watch);
    return error;
}

static void signal_stop(gcore_watch *watch)
{
    int number = watch->number;
    _Atomic(gcore_watch *) *at = &signals[number].first;

    gcore__sent_stop(watch);
    gcore__process_lock();
    while (atomic_load(at) != watch)
        at = &atomic_load(at)->peer;
    atomic_store(at, atomic_load(&watch->peer));
    if (!atomic_load(&signals[number].first))
        uninstall(number);
    gcore__process_unlock();
    while (atomic_load(&walking) > 0)
        sched_yield();
}

static const gcore__kind signal_kind = {
    .number = GCORE_WATCH_SIGNAL,
    .start = signal_start,
    .stop = signal_stop,
};

int gcore_signal_new(gcore_hub *hub, int number, gcore_watch **out)
{
    struct sigaction action;
    gcore_watch *watch;
    int error;

    if (number < 1 || number >= NSIG || number == SIGKILL ||
        number == SIGSTOP || sigaction(number, NULL, &action) < 0)
        return -EINVAL;
    error = gcore__watch_new(hub, &signal_kind, &watch);
    if (error < 0)
        return error;
    gcore__sent_init(watch);
    watch->number = number;
    *out = watch;
    return 0;
}

int gcore_signal_number(gcore_watch *watch)
{
    return watch->kind == &signal_kind ? watch->number : -EINVAL;
}
