/* The items of a queue: see queueitems.h. */
#include "queueitems.h"

#include "links.h"

static PyObject *deque_type, *heapify, *heappush, *heappop;
static PyObject *str_append, *str_pop, *str_popleft;

static PyObject *ring_as_list(const accel_ring *ring)
{
    PyObject *list = PyList_New((Py_ssize_t)ring->count);
    for (size_t i = 0; list && i < ring->count; i++) {
        PyObject *item = accel_ring_at(ring, i);
        Py_INCREF(item);
        PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    return list;
}

static int move_to_deque(accel_items *items)
{
    PyObject *list = ring_as_list(&items->ring);
    PyObject *deque =
        list ? PyObject_CallFunctionObjArgs(deque_type, list, NULL) : NULL;
    Py_XDECREF(list);
    if (!deque)
        return -1;
    items->container = deque;
    accel_ring_clear(&items->ring);
    return 0;
}

PyObject *accel_items_shown(accel_items *items)
{
    if (!items->container && move_to_deque(items) < 0)
        return NULL;
    Py_INCREF(items->container);
    return items->container;
}

void accel_items_use(accel_items *items, PyObject *container)
{
    accel_set(&items->container, container);
    accel_ring_clear(&items->ring);
}

int accel_items_put_shown(accel_items *items, PyObject *item)
{
    if (items->kind == ITEMS_HEAP)
        return accel_ignore(PyObject_CallFunctionObjArgs(
            heappush, items->container, item, NULL));
    return accel_ignore(PyObject_CallMethodObjArgs(items->container,
                                                   str_append, item, NULL));
}

PyObject *accel_items_get_shown(accel_items *items)
{
    if (!items->container) {
        PyErr_SetString(PyExc_IndexError, "pop from an empty queue");
        return NULL;
    }
    if (items->kind == ITEMS_HEAP)
        return PyObject_CallFunctionObjArgs(heappop, items->container, NULL);
    return PyObject_CallMethodObjArgs(
        items->container, items->kind == ITEMS_LIFO ? str_pop : str_popleft,
        NULL);
}

PyObject *accel_items_peek(accel_items *items)
{
    if (items->container)
        return PySequence_GetItem(items->container,
                                  items->kind == ITEMS_LIFO ? -1 : 0);
    if (!items->ring.count) {
        PyErr_SetString(PyExc_IndexError, "peek into an empty queue");
        return NULL;
    }
    PyObject *item = accel_ring_at(&items->ring, 0);
    Py_INCREF(item);
    return item;
}

static int fill_ring(accel_items *items, PyObject *list)
{
    int failed = 0;
    Py_CLEAR(items->container);
    for (Py_ssize_t i = 0; !failed && i < PyList_Size(list); i++)
        failed = accel_ring_push(&items->ring, PyList_GetItem(list, i));
    return failed;
}

static int fill_list(accel_items *items, PyObject *list)
{
    if (items->kind == ITEMS_HEAP
        && accel_ignore(PyObject_CallFunctionObjArgs(heapify, list, NULL)) < 0)
        return -1;
    accel_set(&items->container, list);
    return 0;
}

int accel_items_fill(accel_items *items, PyObject *iterable)
{
    accel_ring_clear(&items->ring);
    PyObject *list = iterable ? PySequence_List(iterable) : PyList_New(0);
    if (!list)
        return -1;
    int failed = items->kind == ITEMS_FIFO ? fill_ring(items, list)
                                           : fill_list(items, list);
    Py_DECREF(list);
    return failed;
}

void accel_items_clear(accel_items *items)
{
    Py_CLEAR(items->container);
    accel_ring_clear(&items->ring);
}

int accel_items_traverse(const accel_items *items, visitproc visit, void *arg)
{
    Py_VISIT(items->container);
    return accel_ring_traverse(&items->ring, visit, arg);
}

/* ---- module -------------------------------------------------------------- */

int accel_items_init(void)
{
    str_append = PyUnicode_InternFromString("append");
    str_pop = PyUnicode_InternFromString("pop");
    str_popleft = PyUnicode_InternFromString("popleft");
    if (!str_append || !str_pop || !str_popleft)
        return -1;
    if (!(deque_type = accel_import("collections", "deque"))
        || !(heapify = accel_import("heapq", "heapify"))
        || !(heappush = accel_import("heapq", "heappush"))
        || !(heappop = accel_import("heapq", "heappop")))
        return -1;
    return 0;
}
