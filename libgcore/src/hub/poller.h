/*
 * The hub's view of libev, which only ev_embed.c sees: descriptors in,
 * ready descriptors out, in the kernel's order.
 */
#ifndef GCORE__POLLER_H
#define GCORE__POLLER_H

#include <stdbool.h>
#include <stdint.h>

#include <gcore/hub.h>

#include "util/list.h"

struct ev_loop;

/*
 * A descriptor number that the hub has been asked about. There is one record
 * a number, made when first needed and kept for the hub's life.
 */
typedef struct gcore__fd {
    int number;
    unsigned armed;      /* what libev watches it for */
    bool fresh;          /* register anew: the number may have been reused */
    int error;           /* why the kernel refused it; negative */
    gcore__link waiting; /* started io watches */
    /* For one of the hub's own: what to do when it is readable. */
    void (*own)(gcore_hub *hub, struct gcore__fd *fd);
    uint64_t io[8];      /* libev's ev_io */
} gcore__fd;

typedef struct gcore__poller {
    struct ev_loop *loop;
    gcore_hub *hub;
    int64_t timeout; /* of the coming wait, nanoseconds; below 0 no limit */
    int error;       /* how it ended: 0 or negative */
    int spare;       /* a descriptor for the next epoll; -1 none */
    int doomed;      /* the epoll being replaced; -1 none */
    int outer;       /* the epoll given out; -1 none */
    uint64_t changes;
    void *stash[2]; /* memory for ev_loop_new, in its order of asking */
} gcore__poller;

unsigned gcore__poller_backends(void);

/* The best of `backends`. */
int gcore__poller_open(gcore__poller *poller, gcore_hub *hub,
                       unsigned backends);
void gcore__poller_close(gcore__poller *poller);
unsigned gcore__poller_backend(gcore__poller *poller);

/* Makes sure that libev need not allocate for descriptor `number`, nor for
 * `count` descriptors altogether. */
int gcore__poller_reserve(gcore__poller *poller, int number, int count);
void gcore__poller_init_fd(gcore__fd *fd);

/* Has libev watch for `events` (0: nothing). `fresh` tells the kernel even
 * if nothing seems to have changed. Takes effect in the next wait. */
void gcore__poller_arm(gcore__poller *poller, gcore__fd *fd, unsigned events,
                       bool fresh);

/* The descriptor is about to be closed: the kernel forgets it now. */
void gcore__poller_forget(gcore__poller *poller, gcore__fd *fd);

/* Waits once and calls gcore__fd_event for what is ready. Returns 0 or the
 * error of the wait. */
int gcore__poller_wait(gcore__poller *poller, int64_t timeout);

int gcore__poller_fd(gcore__poller *poller);

/* Whether the kernel is yet to hear of changes, which the next wait tells. */
bool gcore__poller_changed(gcore__poller *poller);

/* A new epoll, and all descriptors told to it. */
int gcore__poller_renew(gcore__poller *poller);

/* The hub's part, in fd.c: `events` are ready; 0 means that libev has given
 * up on the descriptor for fd->error. */
void gcore__fd_event(gcore_hub *hub, gcore__fd *fd, unsigned events);

#endif
