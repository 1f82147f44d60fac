/*
 * Listening descriptors, each with an acceptor (net/acceptor.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "http/engine.h"
#include "net/acceptor.h"
#include "net/socket.h"

/* Connections taken in one turn. */
#define BATCH 64

#define FIRST_REST INT64_C(10000000)
#define LONGEST_REST INT64_C(1000000000)

typedef struct listener {
    gcore__link link;
    gcore_http_server *server;
    gcore__acceptor acceptor;
} listener;

static bool may_accept(const gcore_http_server *server)
{
    uint32_t limit = server->options.connections;

    return !server->paused && !server->draining &&
           (!limit || server->stats.connections < limit);
}

/* Started or not, as things are. */
static void adjust(listener *self)
{
    if (!may_accept(self->server))
        gcore__acceptor_stop(&self->acceptor);
    else if (!gcore__acceptor_active(&self->acceptor))
        gcore__acceptor_start(&self->acceptor);
}

static bool room(void *owner)
{
    const listener *self = owner;

    return may_accept(self->server);
}

static int take(void *owner, int fd, const struct sockaddr_storage *peer)
{
    listener *self = owner;

    return gcore__http_conn_new(self->server, fd, NULL, peer);
}

static void ready(void *owner, int64_t result)
{
    listener *self = owner;

    if (result < 0)
        return;
    gcore__acceptor_batch(&self->acceptor);
    if (!may_accept(self->server))
        gcore__acceptor_stop(&self->acceptor);
}

static const gcore__acceptor_use use = {
    .ready = ready,
    .room = room,
    .take = take,
};

int gcore_http_server_listen(gcore_http_server *server, int fd)
{
    listener *self;
    int error;

    if (server->closed)
        return -ECANCELED;
    error = fd < 0 ? -EBADF : gcore__socket_prepare_listening(fd);
    if (error < 0)
        return error;
    self = gcore__alloc(sizeof *self);
    if (!self)
        return -ENOMEM;
    self->server = server;
    self->acceptor = (gcore__acceptor){
        .use = &use,
        .owner = self,
        .hub = server->hub,
        .batch = BATCH,
        .first_rest = FIRST_REST,
        .longest_rest = LONGEST_REST,
    };
    error = gcore__acceptor_open(&self->acceptor, fd);
    if (error < 0) {
        gcore__free(self);
        return error;
    }
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
    gcore_http_server *server = self->server;
    int fd = self->acceptor.fd;

    gcore__list_remove(&self->link);
    gcore__acceptor_close(&self->acceptor);
    server->stats.dropped += self->acceptor.dropped;
    gcore__free(self);
    gcore_hub_forget_fd(server->hub, fd, -ECANCELED);
}

int gcore_http_server_forget(gcore_http_server *server, int fd)
{
    for (gcore__link *link = &server->listeners;
         link->next != &server->listeners; link = link->next) {
        listener *self = next_of(link);

        if (self->acceptor.fd != fd)
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

uint64_t gcore__http_accept_dropped(const gcore_http_server *server)
{
    uint64_t dropped = server->stats.dropped;

    for (const gcore__link *link = &server->listeners;
         link->next != &server->listeners; link = link->next)
        dropped += next_of(link)->acceptor.dropped;
    return dropped;
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
