/*
 * Descriptors and the io watch.
 *
 * There is one record a descriptor number, with the started watches on it.
 * What libev watches a descriptor for (`armed`) is widened when a watch
 * starts, and narrowed only when something turns up that nobody waits for:
 * a program that reads what is there and waits again costs no system call.
 *
 * A number may be closed and used again behind the hub's back, and the
 * kernel then has no registration for it. So the first start after a watch
 * was made on a number tells the kernel again (`fresh`).
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <string.h>

#include "hub/watch.h"

static int make_room(gcore_hub *hub, int number)
{
    int room = hub->fd_room ? hub->fd_room : 64;
    gcore__fd **fds;

    if (number < hub->fd_room)
        return 0;
    while (room <= number)
        room *= 2;
    fds = gcore__resize(hub->fds, (size_t)room * sizeof *fds);
    if (!fds)
        return -ENOMEM;
    memset(fds + hub->fd_room, 0,
           (size_t)(room - hub->fd_room) * sizeof *fds);
    hub->fds = fds;
    hub->fd_room = room;
    return 0;
}

static gcore__fd *find(gcore_hub *hub, int number)
{
    return number >= 0 && number < hub->fd_room ? hub->fds[number] : NULL;
}

int gcore__fd_get(gcore_hub *hub, int number, gcore__fd **out)
{
    gcore__fd *fd = find(hub, number);

    if (!fd) {
        int error = make_room(hub, number);

        if (error == 0)
            error = gcore__poller_reserve(&hub->poller, number,
                                          hub->fd_count + 1);
        if (error < 0)
            return error;
        fd = gcore__alloc(sizeof *fd);
        if (!fd)
            return -ENOMEM;
        fd->number = number;
        gcore__list_init(&fd->waiting);
        gcore__poller_init_fd(fd);
        hub->fds[number] = fd;
        hub->fd_count++;
    }
    fd->fresh = true;
    *out = fd;
    return 0;
}

void gcore__fd_want(gcore_hub *hub, gcore__fd *fd, unsigned events)
{
    if (!fd->fresh && !(events & ~fd->armed))
        return;
    gcore__poller_arm(&hub->poller, fd, fd->armed | events, fd->fresh);
    fd->fresh = false;
}

/* Ends all started watches on `fd`; returns how many. */
static int finish_all(gcore__fd *fd, int error)
{
    int count = 0;

    for (; !gcore__list_empty(&fd->waiting); count++)
        gcore__watch_finish(GCORE__OF(gcore_watch, link, fd->waiting.next),
                            error);
    return count;
}

static void given_up(gcore_hub *hub, gcore__fd *fd)
{
    int error = fd->error ? fd->error : -EBADF;

    gcore__poller_arm(&hub->poller, fd, 0, false);
    fd->error = 0;
    fd->fresh = true;
    finish_all(fd, error);
}

void gcore__fd_event(gcore_hub *hub, gcore__fd *fd, unsigned events)
{
    unsigned waited_for = 0;
    gcore__link *link = fd->waiting.next;

    if (fd->own) {
        if (events)
            fd->own(hub, fd);
        else
            hub->broken = true;
        return;
    }
    if (!events) {
        given_up(hub, fd);
        return;
    }
    while (link != &fd->waiting) {
        gcore_watch *watch = GCORE__OF(gcore_watch, link, link);

        link = link->next; /* a GCORE_ONCE one leaves the list */
        waited_for |= watch->events;
        if (watch->events & events)
            gcore__watch_complete(watch, watch->events & events);
    }
    if (events & ~waited_for)
        gcore__poller_arm(&hub->poller, fd, fd->armed & waited_for, false);
}

void gcore__fd_disown(gcore_hub *hub, gcore__fd *fd)
{
    fd->own = NULL;
    gcore__poller_arm(&hub->poller, fd, 0, false);
}

void gcore__fd_forget(gcore_hub *hub, gcore__fd *fd)
{
    gcore__poller_forget(&hub->poller, fd);
    fd->fresh = true;
}

int gcore_hub_forget_fd(gcore_hub *hub, int number, int reason)
{
    gcore__fd *fd = find(hub, number);

    if (number < 0 || reason >= 0)
        return -EINVAL;
    if (!fd || fd->own)
        return 0;
    gcore__fd_forget(hub, fd);
    return finish_all(fd, reason);
}

/* The io watch */

static gcore__link *waiting(gcore_watch *watch)
{
    return &watch->fd->waiting;
}

static int io_start(gcore_watch *watch)
{
    gcore__fd_want(watch->hub, watch->fd, watch->events);
    return 0;
}

static const gcore__kind io_kind = {
    .number = GCORE_WATCH_IO,
    .list = waiting,
    .start = io_start,
};

static int check(int fd, unsigned events)
{
    if (fd < 0 || !events || events & ~(unsigned)(GCORE_READ | GCORE_WRITE))
        return -EINVAL;
    return fcntl(fd, F_GETFD) < 0 ? -EBADF : 0;
}

int gcore_io_new(gcore_hub *hub, int fd, unsigned events, gcore_watch **out)
{
    gcore_watch *watch;
    int error = check(fd, events);

    if (error == 0)
        error = gcore__watch_new(hub, &io_kind, &watch);
    if (error < 0)
        return error;
    error = gcore__fd_get(hub, fd, &watch->fd);
    if (error < 0) {
        gcore_watch_unref(watch);
        return error;
    }
    watch->events = events;
    watch->number = fd;
    *out = watch;
    return 0;
}

int gcore_io_set(gcore_watch *watch, int fd, unsigned events)
{
    int error;

    if (watch->kind != &io_kind)
        return -EINVAL;
    if (watch->started || watch->ready.listed)
        return -EALREADY;
    if (atomic_load(&watch->hub->closed))
        return -ESHUTDOWN;
    error = check(fd, events);
    if (error == 0)
        error = gcore__fd_get(watch->hub, fd, &watch->fd);
    if (error == 0) {
        watch->events = events;
        watch->number = fd;
    }
    return error;
}

int gcore_io_fd(gcore_watch *watch)
{
    return watch->kind == &io_kind ? watch->number : -EINVAL;
}

unsigned gcore_io_events(gcore_watch *watch)
{
    return watch->kind == &io_kind ? watch->events : 0;
}
