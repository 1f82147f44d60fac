/*
 * A hub's own background thread.
 *
 * It drives the hub until it is asked to stop or close, and holds its
 * memory. Whoever asks from another thread joins it; when it ends
 * by itself (closed by one of its own functions) the next start, stop or
 * close joins it, or, if the hub is freed first, nobody does: it detaches.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>

#include "hub/hub.h"

static void *main_of_thread(void *arg)
{
    gcore_hub *hub = arg;

    gcore__hub_drive(hub, NULL, 0, GCORE_FOREVER, GCORE__ENDLESS);
    atomic_store(&hub->thread_over, true);
    gcore__hub_drop(hub);
    return NULL;
}

static int create(gcore_hub *hub)
{
    sigset_t all;
    sigset_t before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    atomic_store(&hub->thread_over, false);
    gcore__hub_hold(hub);
    error = pthread_create(&hub->thread, NULL, main_of_thread, hub);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        gcore__hub_drop(hub);
    return -error;
}

int gcore_hub_start(gcore_hub *hub)
{
    int error;

    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    gcore__forget_threads(hub);
    if (atomic_load(&hub->thread_over))
        gcore__thread_join(hub);
    pthread_mutex_lock(&hub->thread_lock);
    if (hub->threaded)
        error = -EALREADY;
    else if (atomic_load(&hub->driver))
        error = -EBUSY;
    else
        error = create(hub);
    if (error == 0)
        hub->threaded = true;
    pthread_mutex_unlock(&hub->thread_lock);
    return error;
}

bool gcore__thread_join(gcore_hub *hub)
{
    bool join;
    pthread_t thread;

    pthread_mutex_lock(&hub->thread_lock);
    join = hub->threaded && !pthread_equal(hub->thread, pthread_self());
    thread = hub->thread;
    if (join)
        hub->threaded = false;
    pthread_mutex_unlock(&hub->thread_lock);
    if (join)
        pthread_join(thread, NULL);
    return join;
}

void gcore__thread_part(gcore_hub *hub)
{
    gcore__thread_join(hub);
    if (hub->threaded)
        pthread_detach(pthread_self());
}

void gcore__thread_forget(gcore_hub *hub)
{
    pthread_mutex_init(&hub->thread_lock, NULL);
    if (!hub->threaded || pthread_equal(hub->thread, pthread_self()))
        return;
    hub->threaded = false;
    if (!atomic_exchange(&hub->thread_over, false))
        gcore__hub_drop(hub);
}
