/*
 * New kernel objects for a hub: in a forked child, which shares them with
 * its parent, and after somebody closed them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub/hub.h"
#include "util/own_fd.h"

int gcore__wake_open(gcore_hub *hub, int fd)
{
    gcore__fd *wake;
    int error = gcore__fd_get(hub, fd, &wake);

    if (error < 0)
        return error;
    if (hub->wake)
        gcore__fd_disown(hub, hub->wake);
    hub->wake = wake;
    atomic_store(&hub->wakefd, fd);
    wake->own = gcore__inbox_woken;
    gcore__fd_want(hub, wake, GCORE_READ);
    return 0;
}

static int renew_wake(gcore_hub *hub)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int error;

    if (fd < 0)
        return -errno;
    fd = gcore__fd_replace(atomic_load(&hub->wakefd), fd, GCORE__EVENTFD);
    if (fd < 0)
        return fd;
    error = gcore__wake_open(hub, fd);
    if (error < 0)
        close(fd);
    return error;
}

int gcore__hub_renew(gcore_hub *hub)
{
    int error = renew_wake(hub);

    if (error == 0)
        error = gcore__poller_renew(&hub->poller);
    if (error < 0)
        return error;
    gcore__stat_renew(hub);
    atomic_store(&hub->asleep, hub->embedded);
    atomic_store(&hub->signalled, false);
    hub->broken = false;
    return 0;
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
    error = gcore__hub_renew(hub);
    if (error < 0)
        return error;
    hub->generation = gcore__fork_generation();
    gcore__phase_add(&hub->fork);
    return 0;
}
