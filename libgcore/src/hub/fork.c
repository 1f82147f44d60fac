/*
 * A hub in a forked child: it gets kernel objects of its own.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub/hub.h"

/* A new descriptor under the number of the one shared with the parent. */
static int renew_wake(gcore_hub *hub)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (dup3(fd, atomic_load(&hub->wakefd), O_CLOEXEC) < 0)
        error = -errno;
    close(fd);
    return error;
}

void gcore__forget_threads(gcore_hub *hub)
{
    if (hub->thread_generation == gcore__fork_generation())
        return;
    hub->thread_generation = gcore__fork_generation();
    gcore__thread_forget(hub);
    if (atomic_load(&hub->driver) &&
        atomic_load(&hub->driver) != gcore__thread()) {
        atomic_store(&hub->driver, 0);
        gcore__hub_drop(hub); /* it held it while driving */
    }
}

int gcore_hub_after_fork(gcore_hub *hub)
{
    int error;

    if (atomic_load(&hub->closed))
        return 0;
    gcore__forget_threads(hub);
    error = renew_wake(hub);
    if (error == 0)
        error = gcore__poller_after_fork(&hub->poller);
    if (error < 0)
        return error;
    gcore__stat_after_fork(hub);
    atomic_store(&hub->asleep, hub->embedded);
    atomic_store(&hub->signalled, false);
    hub->generation = gcore__fork_generation();
    gcore__phase_add(&hub->fork);
    return 0;
}
