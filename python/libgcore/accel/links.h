/*
 * Who waits for an object, oldest first: parked waits, threads that have no
 * hub, and linked callbacks.
 *
 * A link that is told to look again stays in the list until its greenlet has
 * run, or its callback is about to: then it takes what it came for and
 * leaves, or goes back to waiting in the same place.  So nothing is handed
 * over that might have to be handed back; a waiter that was told and then
 * killed only passes the word on.
 *
 * All functions are called with the GIL held.  A list may change during any
 * call that can run Python code: telling a callback, dropping a reference.
 */
#ifndef GCORE_ACCEL_LINKS_H
#define GCORE_ACCEL_LINKS_H

#include "accel.h"
#include "arguments.h"

typedef struct {
    PyObject *what; /* a wait, a native wait or a Link; owned */
    bool told;
} accel_link;

typedef struct {
    accel_link *items; /* the oldest is items[head] */
    Py_ssize_t head, count, capacity;
    Py_ssize_t told;       /* how many have been told */
    Py_ssize_t told_waits; /* those that are not callbacks */
    Py_ssize_t untold;     /* all before this position have been told */
} accel_links;

void accel_links_clear(accel_links *links);
int accel_links_traverse(const accel_links *links, visitproc visit,
                         void *arg);

/* Append; -1 with MemoryError. */
int accel_links_append(accel_links *links, PyObject *what);
int accel_links_prepend(accel_links *links, PyObject *what);
/* The oldest, borrowed, or NULL. */
static inline PyObject *accel_links_first(const accel_links *links)
{
    return links->count ? links->items[links->head].what : NULL;
}
/* A new deque of them, to be looked at. */
PyObject *accel_links_as_deque(const accel_links *links);
/* False when it was not there. */
bool accel_links_remove(accel_links *links, const PyObject *what);

static inline bool accel_links_any_untold(const accel_links *links)
{
    return links->told < links->count;
}

/* Tell the oldest link that has not been told; `owner` goes to callbacks.
 * 1: told one, 0: there is none, -1: the exception of a callback's loop. */
int accel_links_tell_one(accel_links *links, PyObject *owner);
/* Tell every link there is; a first exception is raised at the end. */
int accel_links_tell_all(accel_links *links, PyObject *owner);
/* Tell, in order, until `enough` waits are told; callbacks and those whose hub
 * is gone do not count. */
int accel_links_tell_until(accel_links *links, PyObject *owner,
                           Py_ssize_t enough);

/* Let waits that were told last wait on, until only `enough` of them are
 * told. */
void accel_links_untell_beyond(accel_links *links, Py_ssize_t enough);

/* In the hub, which cannot wait: let one that was told run right now.  False
 * when there is none that could. */
bool accel_links_run_one(accel_links *links);

/* ---- waiting in a list --------------------------------------------------- */

typedef struct {
    accel_links *links;
    PyObject *subject; /* what is waited for, for reports; borrowed */
    int64_t deadline;
    bool is_lock; /* wait even where the hub has nothing to do, or is none */
    bool told;    /* after a failure: pass the word on */
    PyObject *link; /* the caller's link, NULL outside the list; owned */
} accel_waiting;

enum accel_park_result {
    PARK_FAILED = -1, /* with an exception; out of the list */
    PARK_TIMED_OUT,   /* out of the list */
    PARK_TOLD         /* still in the list: look, then leave or park again */
};

/* Wait until told.  Parking again keeps the place in the list. */
enum accel_park_result accel_waiting_park(accel_waiting *waiting);
void accel_waiting_leave(accel_waiting *waiting);

/* ---- objects with links -------------------------------------------------- */

typedef struct LinkableObject LinkableObject;

typedef struct {
    /* Tell as many links as the state allows. */
    int (*notify)(LinkableObject *self);
    /* Whether a told callback may still run; NULL: always. */
    bool (*open)(LinkableObject *self);
    /* After a told link has left without taking anything; may be NULL. */
    int (*passed)(LinkableObject *self);
} accel_linkable_ops;

struct LinkableObject {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *hub; /* whose greenlet waited first, or NULL */
    accel_links links;
    const accel_linkable_ops *ops;
};

extern PyTypeObject *accel_linkable_type;
int accel_links_init(PyObject *module);

LinkableObject *accel_linkable_new(PyTypeObject *type,
                                   const accel_linkable_ops *ops);
int accel_linkable_traverse(PyObject *self, visitproc visit, void *arg);
int accel_linkable_clear(PyObject *self);
void accel_linkable_dealloc(PyObject *self);
/* Wait until told once: as accel_waiting_park, and out of the list. */
enum accel_park_result accel_linkable_wait(LinkableObject *self,
                                           int64_t deadline);

/* Remember the hub of the first greenlet that waits for an object. */
void accel_bind_hub(PyObject **hub);
/* True in the hub greenlet itself, which can never wait. */
bool accel_in_hub(void);

/* ---- references ---------------------------------------------------------- */

/* Replace an owned reference; `object` may be NULL, and is not stolen. */
static inline void accel_set(PyObject **target, PyObject *object)
{
    PyObject *old = *target;
    Py_XINCREF(object);
    *target = object;
    Py_XDECREF(old);
}

#endif
