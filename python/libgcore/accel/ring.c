/* Rings: see ring.h. */
#include "ring.h"

#include <string.h>

#define FIRST_CAPACITY 4

int accel_ring_grow(accel_ring *ring)
{
    size_t capacity = accel_ring_capacity(ring);
    size_t larger = capacity ? capacity * 2 : FIRST_CAPACITY;
    PyObject **items = PyMem_Malloc(larger * sizeof *items);
    if (!items) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < ring->count; i++)
        items[i] = accel_ring_at(ring, i);
    PyMem_Free(ring->items);
    ring->items = items;
    ring->head = 0;
    ring->mask = larger - 1;
    return 0;
}

void accel_ring_clear(accel_ring *ring)
{
    while (ring->count)
        Py_DECREF(accel_ring_pop(ring));
    PyMem_Free(ring->items);
    memset(ring, 0, sizeof *ring);
}

int accel_ring_traverse(const accel_ring *ring, visitproc visit, void *arg)
{
    for (size_t i = 0; i < ring->count; i++)
        Py_VISIT(accel_ring_at(ring, i));
    return 0;
}
