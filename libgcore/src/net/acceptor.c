/*
 * Accepting: see acceptor.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/acceptor.h"

#include <fcntl.h>
#include <unistd.h>

bool gcore__acceptor_exhausted(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
           error == -ENOMEM;
}

bool gcore__acceptor_fatal(int error)
{
    return error == -EBADF || error == -ENOTSOCK || error == -EINVAL ||
           error == -EOPNOTSUPP || error == -EFAULT;
}

/* Starting and stopping */

bool gcore__acceptor_active(const gcore__acceptor *self)
{
    return gcore_watch_active(self->readable) ||
           gcore_watch_active(self->pause);
}

void gcore__acceptor_stop(gcore__acceptor *self)
{
    gcore_watch_stop(self->readable);
    gcore_watch_stop(self->pause);
}

void gcore__acceptor_start(gcore__acceptor *self)
{
    gcore__acceptor_stop(self);
    gcore_watch_start(self->readable, 0, GCORE_FOREVER, self->use->ready,
                      self->owner);
}

static void paused(void *arg, int64_t result)
{
    gcore__acceptor *self = arg;

    if (result < 0)
        self->use->ready(self->owner, result);
    else
        gcore__acceptor_start(self);
}

void gcore__acceptor_pause(gcore__acceptor *self, int64_t moment)
{
    gcore__acceptor_stop(self);
    gcore_watch_start(self->pause, GCORE_ONCE, moment, paused, self);
}

/* Shortage */

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void turn_away(gcore__acceptor *self)
{
    if (self->reserve >= 0)
        close(self->reserve);
    for (uint32_t i = 0; i < self->batch; i++) {
        int fd = gcore__acceptor_accept(self, NULL);

        if (fd < 0)
            break;
        close(fd);
        self->dropped++;
    }
    self->reserve = open_reserve();
}

static void rest(gcore__acceptor *self, int error)
{
    int64_t now = gcore_clock();

    if (!self->rest)
        self->rest = self->first_rest;
    else
        self->rest = self->rest > self->longest_rest / 2 ? self->longest_rest
                                                         : self->rest * 2;
    if ((error == -EMFILE || error == -ENFILE) &&
        self->rest >= self->longest_rest)
        turn_away(self);
    gcore__acceptor_pause(self, self->rest > GCORE_FOREVER - now
                                    ? GCORE_FOREVER
                                    : now + self->rest);
    if (self->use->lack)
        self->use->lack(self->owner, error);
}

/* Accepting */

int gcore__acceptor_accept(gcore__acceptor *self,
                           struct sockaddr_storage *peer)
{
    socklen_t size = sizeof *peer;
    int fd;

    do
        fd = accept4(self->fd, (struct sockaddr *)peer, peer ? &size : NULL,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

bool gcore__acceptor_give(gcore__acceptor *self, int fd,
                          const struct sockaddr_storage *peer)
{
    int error = self->use->take(self->owner, fd, peer);

    if (error == 0) {
        self->rest = 0;
        return true;
    }
    close(fd);
    self->dropped++;
    /* A number too big for the backend is one descriptor too many. */
    rest(self, error == -ENOTSUP ? -EMFILE : error);
    return false;
}

/* Whether to go on with the batch. */
static bool take_one(gcore__acceptor *self)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    int fd = gcore__acceptor_accept(self, &peer);

    if (fd >= 0)
        return gcore__acceptor_give(self, fd, &peer);
    if (fd == -EAGAIN)
        return false;
    if (gcore__acceptor_exhausted(fd)) {
        rest(self, fd);
        return false;
    }
    if (gcore__acceptor_fatal(fd)) {
        gcore__acceptor_stop(self);
        self->use->ready(self->owner, fd);
        return false;
    }
    self->failed++;
    return true;
}

void gcore__acceptor_batch(gcore__acceptor *self)
{
    for (uint32_t i = 0; i < self->batch; i++)
        if (!self->use->room(self->owner) || !take_one(self))
            break;
}

/* Life */

int gcore__acceptor_open(gcore__acceptor *self, int fd)
{
    int error;

    self->fd = fd;
    self->reserve = open_reserve();
    error = self->reserve < 0
                ? -errno
                : gcore_io_new(self->hub, fd, GCORE_READ, &self->readable);
    if (error == 0)
        error = gcore_timer_new(self->hub, &self->pause);
    if (error < 0)
        gcore__acceptor_close(self);
    return error;
}

void gcore__acceptor_close(gcore__acceptor *self)
{
    if (self->readable)
        gcore_watch_stop(self->readable);
    if (self->pause)
        gcore_watch_stop(self->pause);
    gcore_watch_unref(self->readable);
    gcore_watch_unref(self->pause);
    self->readable = self->pause = NULL;
    if (self->reserve >= 0)
        close(self->reserve);
    self->reserve = -1;
}
