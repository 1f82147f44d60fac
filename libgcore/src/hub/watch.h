/*
 * The inside of a watch, shared by the files that make a kind of it.
 *
 * A started watch is linked into one list, and holds a reference to itself
 * until it is neither started nor waiting to be handed over.
 */
#ifndef GCORE__WATCH_H
#define GCORE__WATCH_H

#include "hub/hub.h"

typedef struct gcore__kind {
    int number;
    bool once; /* always as if started with GCORE_ONCE */
    /* The list that a started one is in; NULL: the hub's `others`. */
    gcore__link *(*list)(gcore_watch *watch);
    /* What else starting and stopping take; may be NULL. */
    int (*start)(gcore_watch *watch);
    void (*stop)(gcore_watch *watch);
    /* The result, asked for when it is handed over; NULL: as completed. */
    int64_t (*result)(gcore_watch *watch, int64_t result);
    /* Before the memory goes; any thread. */
    void (*free)(gcore_watch *watch);
} gcore__kind;

/* For what is told from outside the hub's thread (sent.c). `wanted` is the
 * number of the start to be told, 0 while stopped; `sent` that of the start
 * which the note on its way is for, 0 when there is none. */
typedef struct gcore__sent {
    gcore__note note;
    unsigned starts;
    atomic_uint wanted;
    atomic_uint sent;
} gcore__sent;

struct gcore_watch {
    gcore__ready ready;
    gcore__timer timer; /* when due (timer), when to give up (others) */
    gcore__link link;
    const gcore__kind *kind;
    gcore_hub *hub;
    atomic_int refs;
    atomic_bool closed;
    bool started;
    bool once;
    bool keepalive;
    unsigned events; /* io, child */
    gcore__fd *fd;   /* io, child */
    int number;      /* of the descriptor, signal or process */
    union {
        int64_t repeat; /* timer */
        struct {
            struct gcore__stat *stat;
            int64_t interval;
        };
        struct {
            gcore__sent sent; /* async, signal, child without pidfd */
            int pidfd;
            int64_t status;               /* child; GCORE__UNREAPED */
            gcore__link siblings;         /* watches of children */
            _Atomic(gcore_watch *) peer; /* the next of the same signal */
        };
    };
};

/* A watch of `kind` with the caller's reference and room in the heap. */
int gcore__watch_new(gcore_hub *hub, const gcore__kind *kind,
                     gcore_watch **out);

/* A started watch has something to tell. */
void gcore__watch_complete(gcore_watch *watch, int64_t result);

/* A started watch ends with this result, GCORE_ONCE or not. */
void gcore__watch_finish(gcore_watch *watch, int64_t result);

/* sent.c */
void gcore__sent_init(gcore_watch *watch);
int gcore__sent_start(gcore_watch *watch);
void gcore__sent_stop(gcore_watch *watch);
int gcore__sent_send(gcore_watch *watch);

#endif
