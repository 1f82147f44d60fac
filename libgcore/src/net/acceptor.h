/*
 * Taking connections from a listening socket, several in a turn, for whoever
 * makes something of them: listeners and the HTTP server.
 *
 * When descriptors or memory run out an acceptor rests and tries again, after
 * twice the time each time. Once it rests for the longest time and descriptors
 * are what is lacking, it gives up the one that it holds in reserve, accepts
 * and closes those that wait, so that their peers learn.
 *
 * It is a part of its owner, which keeps it in memory while `take` and `lack`
 * run and sees to the socket.
 */
#ifndef GCORE__ACCEPTOR_H
#define GCORE__ACCEPTOR_H

#include <sys/socket.h>

#include "hub/hub.h"

/* What the owner does. */
typedef struct gcore__acceptor_use {
    /* There is something to accept: the owner calls gcore__acceptor_batch.
     * Negative: nothing more will come, for this reason. */
    gcore_done_fn *ready;
    /* Whether another may be taken. */
    bool (*room)(void *owner);
    /* Takes a connection over: 0, or the error why not. */
    int (*take)(void *owner, int fd, const struct sockaddr_storage *peer);
    /* It rests, for lack of this. May be NULL. */
    void (*lack)(void *owner, int error);
} gcore__acceptor_use;

typedef struct gcore__acceptor {
    const gcore__acceptor_use *use;
    void *owner;
    gcore_hub *hub;
    gcore_watch *readable;
    gcore_watch *pause;
    int fd;
    int reserve; /* a descriptor to be had when there are no more; or -1 */
    uint32_t batch;
    int64_t first_rest;
    int64_t longest_rest;
    int64_t rest;     /* the last one, or 0 */
    uint64_t dropped; /* let go because descriptors or memory ran out */
    uint64_t failed;  /* gone before they could be accepted, and the like */
} gcore__acceptor;

/* `hub`, `use`, `owner`, `batch` and the rests are set, the others zero. 0 or
 * an error; then there is nothing to close. */
int gcore__acceptor_open(gcore__acceptor *self, int fd);
/* All but the socket; `pause` if it was taken out stays. */
void gcore__acceptor_close(gcore__acceptor *self);

void gcore__acceptor_start(gcore__acceptor *self);
void gcore__acceptor_stop(gcore__acceptor *self);
/* Goes on at that moment; `ready` hears of a hub that closes before. */
void gcore__acceptor_pause(gcore__acceptor *self, int64_t moment);
bool gcore__acceptor_active(const gcore__acceptor *self);

/* Takes what there is, up to a batch. */
void gcore__acceptor_batch(gcore__acceptor *self);

/* Lets the owner take this one: whether it did. */
bool gcore__acceptor_give(gcore__acceptor *self, int fd,
                          const struct sockaddr_storage *peer);

/* Accepts one: its descriptor, -EAGAIN, or an error. */
int gcore__acceptor_accept(gcore__acceptor *self,
                           struct sockaddr_storage *peer);

/* Of what may come to an end; of the socket itself, not of a connection. */
bool gcore__acceptor_exhausted(int error);
bool gcore__acceptor_fatal(int error);

#endif
