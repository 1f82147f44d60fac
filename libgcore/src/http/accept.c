/*
 * Listening descriptors.
 *
 * When the process or the system has no descriptors or memory left, a
 * listener rests for a while, longer each time, and tries again.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/engine.h"

/* Connections taken in one turn. */
#define BATCH 64

#define FIRST_REST INT64_C(10000000)
#define LONGEST_REST INT64_C(1000000000)

typedef struct listener {
    gcore__link link;
    gcore_http_server *server;
    int fd;
    gcore_watch *watch;
    gcore_watch *timer;
    int64_t rest;
} listener;

static void on_acceptable(void *arg, int64_t result);

static bool full(const gcore_http_server *server)
{
    uint32_t limit = server->options.connections;

    return limit && server->stats.connections >= limit;
}

/* Started or not, as things are. */
static void adjust(listener *self)
{
    const gcore_http_server *server = self->server;

    if (server->paused || server->draining || full(server) ||
        gcore_watch_active(self->timer)) {
        gcore_watch_stop(self->watch);
    } else if (!gcore_watch_active(self->watch)) {
        gcore_watch_stop(self->watch);
        gcore_watch_start(self->watch, 0, GCORE_FOREVER, on_acceptable, self);
    }
}

static void on_rested(void *arg, int64_t result)
{
    (void)result;
    adjust(arg);
}

static void rest(listener *self)
{
    self->rest = self->rest ? self->rest * 2 : FIRST_REST;
    if (self->rest > LONGEST_REST)
        self->rest = LONGEST_REST;
    gcore_watch_start(self->timer, GCORE_ONCE,
                      gcore_hub_now(self->server->hub) + self->rest,
                      on_rested, self);
    adjust(self);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS ||
           error == ENOMEM;
}

/* Nothing more will come from this descriptor. */
static bool is_fatal(int error)
{
    return error == EBADF || error == EINVAL || error == ENOTSOCK ||
           error == EOPNOTSUPP;
}

/* 1 when a connection was taken, 0 when there is none, or -errno. */
static int accept_one(listener *self)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    socklen_t size = sizeof peer;
    int error, fd = accept4(self->fd, (struct sockaddr *)&peer, &size,
                            SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return errno == EAGAIN ? 0 : -errno;
    error = gcore__http_conn_new(self->server, fd, NULL, &peer);
    if (error == 0)
        return 1;
    close(fd);
    return error;
}

/* Takes a batch; the last error, or 0. */
static int accept_some(listener *self)
{
    int result = 1;

    for (int i = 0; i < BATCH && result && !full(self->server); i++) {
        result = accept_one(self);
        if (is_shortage(-result) || is_fatal(-result))
            return result;
        if (result > 0)
            self->rest = 0;
    }
    return 0;
}

static void on_acceptable(void *arg, int64_t result)
{
    listener *self = arg;
    int error = result < 0 ? (int)result : accept_some(self);

    if (is_shortage(-error))
        rest(self);
    else if (error < 0)
        gcore_watch_stop(self->watch);
    else
        adjust(self);
}

static void free_listener(listener *self)
{
    gcore_watch_stop(self->watch);
    gcore_watch_unref(self->watch);
    gcore_watch_stop(self->timer);
    gcore_watch_unref(self->timer);
    gcore__free(self);
}

static int make_listener(gcore_http_server *server, int fd, listener **out)
{
    listener *self = gcore__alloc(sizeof *self);
    int error;

    if (!self)
        return -ENOMEM;
    *out = self;
    self->server = server;
    self->fd = fd;
    gcore__list_init(&self->link);
    error = gcore_io_new(server->hub, fd, GCORE_READ, &self->watch);
    if (error == 0)
        error = gcore_timer_new(server->hub, &self->timer);
    if (error == 0)
        return 0;
    gcore_watch_unref(self->watch);
    gcore__free(self);
    return error;
}

int gcore_http_server_listen(gcore_http_server *server, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    listener *self;
    int error;

    if (server->closed)
        return -ECANCELED;
    if (flags < 0 || (!(flags & O_NONBLOCK) &&
                      fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -EBADF;
    error = make_listener(server, fd, &self);
    if (error < 0)
        return error;
    gcore__list_append(&server->listeners, &self->link);
    adjust(self);
    return 0;
}

static listener *next_of(const gcore__link *link)
{
    return GCORE__OF(listener, link, link->next);
}

static void drop(listener *self)
{
    gcore_hub *hub = self->server->hub;
    int fd = self->fd;

    gcore__list_remove(&self->link);
    free_listener(self);
    gcore_hub_forget_fd(hub, fd, -ECANCELED);
}

int gcore_http_server_forget(gcore_http_server *server, int fd)
{
    for (gcore__link *link = &server->listeners;
         link->next != &server->listeners; link = link->next) {
        listener *self = next_of(link);

        if (self->fd != fd)
            continue;
        drop(self);
        return 0;
    }
    return -ENOENT;
}

void gcore__http_accept_adjust(gcore_http_server *server)
{
    for (gcore__link *link = &server->listeners;
         link->next != &server->listeners; link = link->next)
        adjust(next_of(link));
}

void gcore__http_accept_close(gcore_http_server *server)
{
    while (!gcore__list_empty(&server->listeners))
        drop(next_of(&server->listeners));
}

int gcore_http_server_pause(gcore_http_server *server)
{
    if (server->closed)
        return -ECANCELED;
    server->paused = true;
    gcore__http_accept_adjust(server);
    return 0;
}

int gcore_http_server_resume(gcore_http_server *server)
{
    if (server->closed)
        return -ECANCELED;
    server->paused = false;
    gcore__http_accept_adjust(server);
    return 0;
}
