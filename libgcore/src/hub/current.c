/*
 * What all hubs of the process share: the list of them, the lock, the count
 * of forks; and the hub of each thread.
 *
 * A thread notes its hub as a pointer with the hub's serial number, and
 * gcore_hub_current looks that up among the hubs that live, so a hub that
 * was closed elsewhere is never returned.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/hub.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gcore__link hubs = {&hubs, &hubs};
static uint64_t serials;
static atomic_uint generation;

static _Thread_local gcore_hub *current;
static _Thread_local uint64_t current_serial;

void gcore__process_lock(void)
{
    pthread_mutex_lock(&lock);
}

void gcore__process_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

unsigned gcore__fork_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

static void in_child(void)
{
    atomic_fetch_add(&generation, 1);
    gcore__signal_after_fork();
    gcore__process_unlock();
}

/* Before any pool's handlers, so that fork takes this lock after theirs, the
 * order in which they are nested. */
__attribute__((constructor)) static void handle_fork(void)
{
    pthread_atfork(gcore__process_lock, gcore__process_unlock, in_child);
}

uintptr_t gcore__thread(void)
{
    return (uintptr_t)&current;
}

void gcore__current_set(gcore_hub *hub)
{
    current = hub;
    current_serial = hub->serial;
}

gcore_hub *gcore_hub_current(void)
{
    gcore_hub *found = NULL;

    if (!current)
        return NULL;
    gcore__process_lock();
    for (gcore__link *link = hubs.next; link != &hubs; link = link->next) {
        gcore_hub *hub = GCORE__OF(gcore_hub, registered, link);

        if (hub == current && hub->serial == current_serial)
            found = hub;
    }
    gcore__process_unlock();
    return found;
}

void gcore__registry_add(gcore_hub *hub)
{
    gcore__process_lock();
    hub->serial = ++serials;
    gcore__list_append(&hubs, &hub->registered);
    gcore__process_unlock();
    if (!gcore_hub_current())
        gcore__current_set(hub);
}

void gcore__registry_remove(gcore_hub *hub)
{
    gcore__process_lock();
    gcore__list_remove(&hub->registered);
    gcore__process_unlock();
}
