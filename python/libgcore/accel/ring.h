/* A first-in first-out queue of owned references. */
#ifndef GCORE_ACCEL_RING_H
#define GCORE_ACCEL_RING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>

/* All zero is an empty one. */
typedef struct {
    PyObject **items;
    size_t head; /* index of the oldest item */
    size_t count;
    size_t mask; /* capacity - 1; the capacity is a power of two */
} accel_ring;

/* Doubles the capacity; -1 with MemoryError. */
int accel_ring_grow(accel_ring *ring);

/* Drops all items, and the memory. */
void accel_ring_clear(accel_ring *ring);
int accel_ring_traverse(const accel_ring *ring, visitproc visit, void *arg);

static inline size_t accel_ring_capacity(const accel_ring *ring)
{
    return ring->items ? ring->mask + 1 : 0;
}

/* -1 with MemoryError. */
static inline int accel_ring_push(accel_ring *ring, PyObject *item)
{
    if (ring->count == accel_ring_capacity(ring) && accel_ring_grow(ring) < 0)
        return -1;
    Py_INCREF(item);
    ring->items[(ring->head + ring->count++) & ring->mask] = item;
    return 0;
}

/* The item at a place, the oldest at 0; borrowed. */
static inline PyObject *accel_ring_at(const accel_ring *ring, size_t place)
{
    return ring->items[(ring->head + place) & ring->mask];
}

/* The oldest item, of which there must be one; the caller's. */
static inline PyObject *accel_ring_pop(accel_ring *ring)
{
    PyObject *item = ring->items[ring->head];
    ring->head = (ring->head + 1) & ring->mask;
    ring->count--;
    return item;
}

#endif
