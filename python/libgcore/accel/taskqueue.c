/*
 * A queue between a hub and the worker threads that it gives tasks to.
 *
 * What costs most in handing a task to another thread and its result back is
 * not the queue but the switches between threads: one that is woken while the
 * waker still holds the GIL wakes up only to wait again.  So a worker waits
 * here without the GIL, and either side puts off waking the other until it
 * lets go of the GIL itself: a hub until it blocks in its next poll (`_put`
 * with a loop), a worker until it waits for its next task (`_get` with the
 * loop that its last result went to).
 *
 * Of several idle workers one at a time is woken.  Once it has the GIL, it
 * wakes the next if there is more to do; often it has done all by then.
 *
 * One of the idle workers, and a hub that waits for a result, look a moment
 * before they sleep; see spin.c.
 */
#include "loop.h"
#include "taskqueue.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static PyTypeObject *taskqueue_type;

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    accel_ring items; /* guarded by the GIL */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    size_t idle; /* workers that wait, or are about to; guarded by `lock` */
    atomic_bool waking; /* one of them has been woken and has not come yet;
                           changed under `lock` */
    bool spinning; /* one of them has not gone to sleep yet; so, too */
    accel_spin_record spins; /* that one's */
} TaskQueueObject;

/* The oldest item, or NULL. */
static PyObject *take(TaskQueueObject *queue)
{
    return queue->items.count ? accel_ring_pop(&queue->items) : NULL;
}

/* ---- waking workers ------------------------------------------------------ */

void accel_taskqueue_wake(PyObject *self)
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    pthread_mutex_lock(&queue->lock);
    bool wake = queue->idle && !queue->waking;
    bool sleeps = !queue->spinning;
    if (wake)
        queue->waking = true;
    pthread_mutex_unlock(&queue->lock);
    if (wake && sleeps)
        pthread_cond_signal(&queue->woken);
}

static struct timespec moment(double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    if (seconds > 1e9)
        seconds = 1e9;
    until.tv_sec += (time_t)seconds;
    until.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

/* Counted while the GIL is still held, so that no item can be put in between
 * looking for one and waiting for one. */
static void become_idle(TaskQueueObject *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->idle++;
    pthread_mutex_unlock(&queue->lock);
}

/* With the lock, which it lets go of meanwhile. */
static void spin(TaskQueueObject *queue)
{
    queue->spinning = true;
    pthread_mutex_unlock(&queue->lock);
    accel_spin(&queue->spins, &queue->waking);
    pthread_mutex_lock(&queue->lock);
    queue->spinning = false;
}

/* Wait `seconds`, or for ever if negative; false when they have passed. */
static bool wait_until_woken(TaskQueueObject *queue, double seconds)
{
    struct timespec until = moment(seconds > 0 ? seconds : 0);
    int error = 0;
    pthread_mutex_lock(&queue->lock);
    if (!queue->spinning)
        spin(queue);
    while (!queue->waking && !error)
        error = seconds < 0
                    ? pthread_cond_wait(&queue->woken, &queue->lock)
                    : pthread_cond_timedwait(&queue->woken, &queue->lock,
                                             &until);
    bool woken = queue->waking;
    queue->waking = false;
    queue->idle--;
    pthread_mutex_unlock(&queue->lock);
    return woken;
}

/* ---- the Python type ----------------------------------------------------- */

static PyObject *taskqueue_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                               PyObject *Py_UNUSED(kwargs))
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    TaskQueueObject *queue = (TaskQueueObject *)alloc(type, 0);
    if (!queue)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return (PyObject *)queue;
}

static int taskqueue_traverse(PyObject *self, visitproc visit, void *arg)
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    Py_VISIT(Py_TYPE(self));
    return accel_ring_traverse(&queue->items, visit, arg);
}

static int taskqueue_clear(PyObject *self)
{
    accel_ring_clear(&((TaskQueueObject *)self)->items);
    return 0;
}

static void taskqueue_dealloc(PyObject *self)
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (queue->weakrefs)
        PyObject_ClearWeakRefs(self);
    taskqueue_clear(self);
    /* In a forked child, the parent's workers wait there for ever. */
    if (!queue->idle)
        pthread_cond_destroy(&queue->woken);
    pthread_mutex_destroy(&queue->lock);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *taskqueue_put(PyObject *self, PyObject *args)
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    PyObject *item, *loop = Py_None;
    if (!PyArg_UnpackTuple(args, "_put", 1, 2, &item, &loop)
        || accel_ring_push(&queue->items, item) < 0)
        return NULL;
    if (loop != Py_None && PyObject_TypeCheck(loop, accel_loop_type))
        accel_loop_wake_worker_later((LoopObject *)loop, self);
    else
        accel_taskqueue_wake(self);
    Py_RETURN_NONE;
}

static PyObject *taskqueue_get(PyObject *self, PyObject *args)
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    double seconds;
    PyObject *loop, *otherwise;
    if (!PyArg_ParseTuple(args, "dOO", &seconds, &loop, &otherwise))
        return NULL;
    gcore_hub *engine = NULL;
    if (PyObject_TypeCheck(loop, accel_loop_type))
        engine = accel_loop_asleep((LoopObject *)loop);
    bool woken = true;
    while (!queue->items.count && woken) {
        become_idle(queue);
        Py_BEGIN_ALLOW_THREADS
        if (engine)
            accel_loop_tell((LoopObject *)loop, engine);
        woken = wait_until_woken(queue, seconds);
        Py_END_ALLOW_THREADS
        engine = NULL;
    }
    if (engine)
        accel_loop_tell((LoopObject *)loop, engine);
    PyObject *item = take(queue);
    if (queue->items.count)
        accel_taskqueue_wake(self);
    if (!item) {
        Py_INCREF(otherwise);
        item = otherwise;
    }
    return item;
}

static PyObject *taskqueue_drain(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    TaskQueueObject *queue = (TaskQueueObject *)self;
    PyObject *items = NULL;
    size_t count;
    do { /* making a list may collect garbage, and that run code */
        Py_XDECREF(items);
        count = queue->items.count;
        items = PyList_New((Py_ssize_t)count);
    } while (items && count != queue->items.count);
    for (size_t i = 0; items && i < count; i++)
        PyList_SetItem(items, (Py_ssize_t)i, accel_ring_pop(&queue->items));
    return items;
}

static PyObject *taskqueue_qsize(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(((TaskQueueObject *)self)->items.count);
}

static PyMethodDef taskqueue_methods[] = {
    {"_put", taskqueue_put, METH_VARARGS,
     "_put(item, loop=None)\n\nPut `item` in.  With a loop, the calling "
     "thread's, a worker is told only\nwhen that loop polls next."},
    {"_get", taskqueue_get, METH_VARARGS,
     "_get(seconds, loop, otherwise)\n\nTake an item, waiting `seconds` (for "
     "ever if negative); `otherwise` when\nthere was none.  If what `loop` "
     "has to do is not known to it yet, it is\ntold first."},
    {"drain", taskqueue_drain, METH_NOARGS, "drain()\n\nTake out all items."},
    {"qsize", taskqueue_qsize, METH_NOARGS,
     "qsize()\n\nHow many items there are."},
    {NULL, NULL, 0, NULL}};
static PyMemberDef taskqueue_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TaskQueueObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot taskqueue_slots[] = {
    {Py_tp_doc, "TaskQueue()\n\nA queue between a hub and worker threads."},
    {Py_tp_new, taskqueue_new},
    {Py_tp_traverse, taskqueue_traverse},
    {Py_tp_clear, taskqueue_clear},
    {Py_tp_dealloc, taskqueue_dealloc},
    {Py_tp_methods, taskqueue_methods},
    {Py_tp_members, taskqueue_members},
    {0, NULL}};
static PyType_Spec taskqueue_spec = {
    .name = "libgcore._accel.TaskQueue",
    .basicsize = sizeof(TaskQueueObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = taskqueue_slots,
};

int accel_taskqueue_init(PyObject *module)
{
    taskqueue_type = accel_add_type(module, &taskqueue_spec, NULL);
    return taskqueue_type ? 0 : -1;
}
