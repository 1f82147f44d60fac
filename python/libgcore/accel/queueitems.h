/*
 * The items of a queue.
 *
 * They are kept in a ring until somebody asks to see them: then they move to
 * a deque, which is the queue from there on.  Stacks and heaps keep a list.
 */
#ifndef GCORE_ACCEL_QUEUEITEMS_H
#define GCORE_ACCEL_QUEUEITEMS_H

#include "accel.h"

enum accel_items_kind { ITEMS_FIFO, ITEMS_LIFO, ITEMS_HEAP };

/* All zero is an empty FIFO. */
typedef struct {
    PyObject *container; /* NULL: they are in the ring */
    accel_ring ring;
    uint8_t kind;
} accel_items;

/* Forgets what there is and takes those of an iterable, or of NULL. */
int accel_items_fill(accel_items *items, PyObject *iterable);

/* The container, made if need be; a new reference. */
PyObject *accel_items_shown(accel_items *items);
/* Keep them in another one from now on, which may have some. */
void accel_items_use(accel_items *items, PyObject *container);

void accel_items_clear(accel_items *items);
int accel_items_traverse(const accel_items *items, visitproc visit,
                         void *arg);

/* For the functions below. */
int accel_items_put_shown(accel_items *items, PyObject *item);
PyObject *accel_items_get_shown(accel_items *items);

static inline Py_ssize_t accel_items_count(const accel_items *items)
{
    return items->container ? PyObject_Size(items->container)
                            : (Py_ssize_t)items->ring.count;
}

static inline int accel_items_put(accel_items *items, PyObject *item)
{
    return items->container ? accel_items_put_shown(items, item)
                            : accel_ring_push(&items->ring, item);
}

/* Take the next one out; IndexError when there is none. */
static inline PyObject *accel_items_get(accel_items *items)
{
    return items->container || !items->ring.count
               ? accel_items_get_shown(items)
               : accel_ring_pop(&items->ring);
}

/* The next one, which stays; likewise. */
PyObject *accel_items_peek(accel_items *items);

int accel_items_init(void);

#endif
