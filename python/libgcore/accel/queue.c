/*
 * Queues.
 *
 * An item stays in the queue until a getter that runs takes it, and enters
 * when its putter runs: nothing is handed over, so a getter or putter that is
 * killed loses nothing.  put() tells getters and get() tells putters to look,
 * as many as there are items or free places.
 *
 * queueitems.h tells how items are kept.  `_put`, `_get`, `_peek` and `_qsize`
 * are called as methods where a subclass has overridden them.
 */
#include "queue.h"
#include "queueitems.h"

#include <string.h>

PyObject *accel_empty_error, *accel_full_error;
static PyObject *shutdown_error;
static PyObject *str_get, *str_hook_get, *str_hook_init, *str_hook_peek,
    *str_hook_put, *str_hook_qsize, *str_put;
static PyTypeObject *simple_type;

enum hook {
    HOOK_QSIZE = 1,
    HOOK_PUT = 2,
    HOOK_GET = 4,
    HOOK_PEEK = 8,
    METHOD_PUT = 16, /* put() or get() itself is overridden */
    METHOD_GET = 32
};

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *hub;
    accel_items items;
    Py_ssize_t maxsize; /* -1: unlimited */
    Py_ssize_t unfinished;
    accel_links getters, putters, joiners;
    uint8_t hooks;
    bool tracks_tasks;
    bool is_shutdown;
} QueueObject;

/* ---- the items, as a subclass may keep them ------------------------------- */

static Py_ssize_t qsize(QueueObject *self)
{
    if (!(self->hooks & HOOK_QSIZE))
        return accel_items_count(&self->items);
    PyObject *size =
        PyObject_CallMethodObjArgs((PyObject *)self, str_hook_qsize, NULL);
    Py_ssize_t value = size ? PyNumber_AsSsize_t(size, NULL) : -1;
    Py_XDECREF(size);
    return value < 0 && !PyErr_Occurred() ? 0 : value;
}

static int put_item(QueueObject *self, PyObject *item)
{
    if (self->hooks & HOOK_PUT)
        return accel_ignore(PyObject_CallMethodObjArgs(
            (PyObject *)self, str_hook_put, item, NULL));
    return accel_items_put(&self->items, item);
}

static PyObject *get_item(QueueObject *self)
{
    if (self->hooks & HOOK_GET)
        return PyObject_CallMethodObjArgs((PyObject *)self, str_hook_get,
                                          NULL);
    return accel_items_get(&self->items);
}

static PyObject *peek_item(QueueObject *self)
{
    if (self->hooks & HOOK_PEEK)
        return PyObject_CallMethodObjArgs((PyObject *)self, str_hook_peek,
                                          NULL);
    return accel_items_peek(&self->items);
}

/* 1 full, 0 not, -1 exception. */
static int is_full(QueueObject *self)
{
    if (self->maxsize < 0)
        return 0;
    Py_ssize_t size = qsize(self);
    return size < 0 ? -1 : size >= self->maxsize;
}

/* ---- telling ------------------------------------------------------------- */

static int tell_getters(QueueObject *self)
{
    if (!accel_links_any_untold(&self->getters))
        return 0;
    Py_ssize_t size = self->is_shutdown ? PY_SSIZE_T_MAX : qsize(self);
    if (size <= 0)
        return (int)size;
    return accel_links_tell_until(&self->getters, (PyObject *)self, size);
}

static int tell_putters(QueueObject *self)
{
    if (!accel_links_any_untold(&self->putters))
        return 0;
    Py_ssize_t room = PY_SSIZE_T_MAX;
    if (self->maxsize >= 0 && !self->is_shutdown) {
        Py_ssize_t size = qsize(self);
        if (size < 0)
            return -1;
        room = self->maxsize - size;
    }
    return room <= 0 ? 0
                     : accel_links_tell_until(&self->putters,
                                              (PyObject *)self, room);
}

static int tell_joiners(QueueObject *self)
{
    return accel_links_tell_all(&self->joiners, (PyObject *)self);
}

/* A waiter that was told has been killed: tell others instead. */
static void pass_on(QueueObject *self, int (*tell)(QueueObject *))
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (tell(self) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    PyErr_Restore(type, value, traceback);
}

/* ---- waiting ------------------------------------------------------------- */

static void start_waiting(accel_waiting *waiting, QueueObject *self,
                          accel_links *links, int64_t deadline)
{
    *waiting = (accel_waiting){.links = links,
                               .subject = (PyObject *)self,
                               .deadline = deadline};
}

/* 1 told, 0 time is up, -1 exception. */
static int wait_until_told(accel_waiting *waiting, QueueObject *self,
                           int (*tell)(QueueObject *))
{
    if (!accel_current_hub(1))
        return -1;
    accel_bind_hub(&self->hub);
    enum accel_park_result result = accel_waiting_park(waiting);
    if (result == PARK_FAILED && waiting->told)
        pass_on(self, tell);
    return (int)result;
}

static PyObject *raise_empty(void)
{
    PyErr_SetNone(accel_empty_error);
    return NULL;
}

static PyObject *raise_full(void)
{
    PyErr_SetNone(accel_full_error);
    return NULL;
}

static PyObject *raise_shutdown(void)
{
    PyErr_SetNone(shutdown_error);
    return NULL;
}

/* As accel_optional_deadline, but ValueError for negative seconds. */
static int64_t queue_deadline(PyObject *timeout)
{
    if (timeout == Py_None)
        return GCORE_FOREVER;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "'timeout' must be a non-negative number");
        return -1;
    }
    return accel_deadline(timeout);
}

/* ---- put ----------------------------------------------------------------- */

static PyObject *put_now(QueueObject *self, PyObject *item)
{
    if (put_item(self, item) < 0)
        return NULL;
    if (self->tracks_tasks)
        self->unfinished++;
    if (self->getters.count && tell_getters(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *put_waiting(QueueObject *self, PyObject *item,
                             int64_t deadline)
{
    accel_waiting waiting;
    start_waiting(&waiting, self, &self->putters, deadline);
    for (;;) {
        int told = wait_until_told(&waiting, self, tell_putters);
        if (told < 0)
            return NULL;
        if (!told)
            return raise_full();
        int full = self->is_shutdown ? 0 : is_full(self);
        if (full > 0)
            continue;
        PyObject *result = NULL;
        if (self->is_shutdown)
            raise_shutdown();
        else if (!full)
            result = put_now(self, item);
        accel_waiting_leave(&waiting);
        pass_on(self, tell_putters);
        return result;
    }
}

/* In the hub: let getters that can go on make room. */
static int make_room(QueueObject *self)
{
    int full = 1;
    for (Py_ssize_t n = self->getters.count; full > 0 && n > 0; n--) {
        if (tell_getters(self) < 0)
            return -1;
        if (!accel_links_run_one(&self->getters))
            break;
        full = is_full(self);
    }
    return full;
}

/* values: item, block, timeout */
static PyObject *put(PyObject *object, PyObject **values)
{
    QueueObject *self = (QueueObject *)object;
    if (self->is_shutdown)
        return raise_shutdown();
    int block = values[1] == Py_True ? 1 : PyObject_IsTrue(values[1]);
    int64_t deadline = GCORE_FOREVER;
    if (block && values[2] != Py_None)
        deadline = queue_deadline(values[2]);
    if (block < 0 || deadline < 0)
        return NULL;
    int full = is_full(self);
    if (full > 0 && accel_in_hub()) {
        full = make_room(self);
        block = 0;
    }
    if (full < 0)
        return NULL;
    if (!full)
        return put_now(self, values[0]);
    return block ? put_waiting(self, values[0], deadline) : raise_full();
}

static PyObject *queue_put(PyObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"item", "block", "timeout", NULL};
    PyObject *values[] = {NULL, Py_True, Py_None};
    if (accel_parse("put", names, values, args, nargs, keywords) < 0)
        return NULL;
    return accel_call_timed(put, self, values, 2, NULL);
}

static PyObject *queue_put_nowait(PyObject *self, PyObject *const *args,
                                  Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *item =
        accel_parse_one("put_nowait", "item", args, nargs, keywords);
    if (!item)
        return NULL;
    if (((QueueObject *)self)->hooks & METHOD_PUT)
        return PyObject_CallMethodObjArgs(self, str_put, item, Py_False,
                                          NULL);
    PyObject *values[] = {item, Py_False, Py_None};
    return put(self, values);
}

/* ---- get and peek -------------------------------------------------------- */

typedef PyObject *take_fn(QueueObject *self);

static PyObject *get_now(QueueObject *self)
{
    PyObject *item = get_item(self);
    if (item && self->putters.count)
        pass_on(self, tell_putters);
    return item;
}

static PyObject *take_waiting(QueueObject *self, take_fn *take,
                              int64_t deadline)
{
    accel_waiting waiting;
    start_waiting(&waiting, self, &self->getters, deadline);
    for (;;) {
        int told = wait_until_told(&waiting, self, tell_getters);
        if (told < 0)
            return NULL;
        if (!told)
            return raise_empty();
        Py_ssize_t size = qsize(self);
        if (size == 0 && !self->is_shutdown)
            continue;
        PyObject *item = NULL;
        if (size > 0)
            item = take(self);
        else if (size == 0)
            raise_shutdown();
        accel_waiting_leave(&waiting);
        pass_on(self, tell_getters);
        return item;
    }
}

/* In the hub: let putters that wait bring an item. */
static Py_ssize_t fetch_item(QueueObject *self)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t n = self->putters.count; !size && n > 0; n--) {
        if (tell_putters(self) < 0)
            return -1;
        if (!accel_links_run_one(&self->putters))
            break;
        size = qsize(self);
    }
    return size;
}

static PyObject *take(QueueObject *self, take_fn *take_item,
                      PyObject **values)
{
    int block = values[0] == Py_True ? 1 : PyObject_IsTrue(values[0]);
    Py_ssize_t size = block < 0 ? -1 : qsize(self);
    if (!size && self->is_shutdown)
        return raise_shutdown();
    if (!size && accel_in_hub()) {
        size = fetch_item(self);
        block = 0;
    }
    if (size < 0)
        return NULL;
    if (size)
        return take_item(self);
    if (!block)
        return raise_empty();
    int64_t deadline = queue_deadline(values[1]);
    return deadline < 0 ? NULL : take_waiting(self, take_item, deadline);
}

/* values: block, timeout */
static PyObject *get(PyObject *self, PyObject **values)
{
    return take((QueueObject *)self, get_now, values);
}

static PyObject *peek(PyObject *self, PyObject **values)
{
    return take((QueueObject *)self, peek_item, values);
}

static PyObject *take_method(const char *name, accel_method_fn *method,
                             PyObject *self, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"block", "timeout", NULL};
    PyObject *values[] = {Py_True, Py_None};
    if ((nargs || keywords)
        && accel_parse(name, names, values, args, nargs, keywords) < 0)
        return NULL;
    return accel_call_timed(method, self, values, 1, NULL);
}

static PyObject *queue_get(PyObject *self, PyObject *const *args,
                           Py_ssize_t nargs, PyObject *keywords)
{
    return take_method("get", get, self, args, nargs, keywords);
}

static PyObject *queue_peek(PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *keywords)
{
    return take_method("peek", peek, self, args, nargs, keywords);
}

static PyObject *queue_get_nowait(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (((QueueObject *)self)->hooks & METHOD_GET)
        return PyObject_CallMethodObjArgs(self, str_get, Py_False, NULL);
    PyObject *values[] = {Py_False, Py_None};
    return get(self, values);
}

static PyObject *queue_peek_nowait(PyObject *self,
                                   PyObject *Py_UNUSED(ignored))
{
    PyObject *values[] = {Py_False, Py_None};
    return peek(self, values);
}

/* Iteration ends at an item that is the StopIteration class. */
static PyObject *queue_next(PyObject *self)
{
    PyObject *values[] = {Py_True, Py_None};
    PyObject *item = ((QueueObject *)self)->hooks & METHOD_GET
                         ? PyObject_CallMethodObjArgs(self, str_get, NULL)
                         : get(self, values);
    if (item == PyExc_StopIteration)
        Py_CLEAR(item);
    return item;
}

/* ---- tasks --------------------------------------------------------------- */

static PyObject *queue_task_done(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    QueueObject *queue = (QueueObject *)self;
    if (queue->unfinished <= 0) {
        PyErr_SetString(PyExc_ValueError,
                        "task_done() called too many times");
        return NULL;
    }
    if (--queue->unfinished == 0 && tell_joiners(queue) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *join(PyObject *self, PyObject **values)
{
    QueueObject *queue = (QueueObject *)self;
    int64_t deadline = accel_optional_deadline(values[0]);
    if (deadline < 0)
        return NULL;
    accel_waiting waiting;
    start_waiting(&waiting, queue, &queue->joiners, deadline);
    int told = wait_until_told(&waiting, queue, tell_joiners);
    if (told < 0)
        return NULL;
    if (told)
        accel_waiting_leave(&waiting);
    return PyBool_FromLong(told || queue->unfinished <= 0);
}

static PyObject *queue_join(PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"timeout", NULL};
    PyObject *values[] = {Py_None};
    if (accel_parse("join", names, values, args, nargs, keywords) < 0)
        return NULL;
    if (((QueueObject *)self)->unfinished <= 0)
        Py_RETURN_TRUE;
    return accel_call_timed(join, self, values, 0, Py_False);
}

/* Drop what is queued; its tasks count as done. */
static int drain(QueueObject *self)
{
    Py_ssize_t size;
    while ((size = qsize(self)) > 0) {
        PyObject *item = get_item(self);
        if (!item)
            return -1;
        Py_DECREF(item);
        if (self->unfinished > 0)
            self->unfinished--;
    }
    return size < 0 ? -1 : 0;
}

static PyObject *queue_shutdown(PyObject *self, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"immediate", NULL};
    PyObject *immediate = Py_False;
    QueueObject *queue = (QueueObject *)self;
    if (accel_parse("shutdown", names, &immediate, args, nargs, keywords) < 0)
        return NULL;
    int now = PyObject_IsTrue(immediate);
    if (now < 0)
        return NULL;
    queue->is_shutdown = true;
    if (now && drain(queue) < 0)
        return NULL;
    if (queue->unfinished <= 0 && tell_joiners(queue) < 0)
        return NULL;
    if (tell_getters(queue) < 0 || tell_putters(queue) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- for condition objects on top ---------------------------------------- */

static accel_links *links_named(QueueObject *self, const char *name)
{
    if (strcmp(name, "getters") == 0)
        return &self->getters;
    if (strcmp(name, "putters") == 0)
        return &self->putters;
    if (strcmp(name, "joiners") == 0)
        return &self->joiners;
    PyErr_Format(PyExc_ValueError, "no such waiters: %s", name);
    return NULL;
}

static int tell_nobody(QueueObject *Py_UNUSED(self))
{
    return 0;
}

static PyObject *queue_wait_with(PyObject *self, PyObject *args)
{
    const char *name;
    PyObject *timeout = Py_None;
    QueueObject *queue = (QueueObject *)self;
    if (!PyArg_ParseTuple(args, "s|O", &name, &timeout))
        return NULL;
    accel_links *links = links_named(queue, name);
    int64_t deadline = links ? accel_optional_deadline(timeout) : -1;
    if (deadline < 0)
        return NULL;
    accel_waiting waiting;
    start_waiting(&waiting, queue, links, deadline);
    int told = wait_until_told(&waiting, queue,
                               links == &queue->getters   ? tell_getters
                               : links == &queue->putters ? tell_putters
                                                          : tell_nobody);
    if (told < 0)
        return NULL;
    if (told)
        accel_waiting_leave(&waiting);
    return PyBool_FromLong(told);
}

static PyObject *queue_tell(PyObject *self, PyObject *args)
{
    const char *name;
    Py_ssize_t count = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTuple(args, "s|n", &name, &count))
        return NULL;
    accel_links *links = links_named((QueueObject *)self, name);
    int result = links ? 1 : -1;
    while (result > 0 && count-- > 0)
        result = accel_links_tell_one(links, self);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- hooks that subclasses extend ---------------------------------------- */

static PyObject *hook_qsize(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = accel_items_count(&((QueueObject *)self)->items);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static PyObject *hook_put(PyObject *self, PyObject *item)
{
    if (accel_items_put(&((QueueObject *)self)->items, item) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *hook_get(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return accel_items_get(&((QueueObject *)self)->items);
}

static PyObject *hook_peek(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return accel_items_peek(&((QueueObject *)self)->items);
}

static PyObject *hook_init(PyObject *self, PyObject *args)
{
    PyObject *maxsize, *items = NULL;
    if (!PyArg_UnpackTuple(args, "_init", 1, 2, &maxsize, &items)
        || accel_items_fill(&((QueueObject *)self)->items, items) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- making -------------------------------------------------------------- */

static PyObject *make(PyTypeObject *type, enum accel_items_kind kind,
                      bool tracks_tasks)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    QueueObject *self = (QueueObject *)alloc(type, 0);
    if (!self)
        return NULL;
    self->items.kind = (uint8_t)kind;
    self->tracks_tasks = tracks_tasks;
    self->maxsize = -1;
    return (PyObject *)self;
}

static PyObject *simple_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(keywords))
{
    return make(type, ITEMS_FIFO, false);
}

static PyObject *queue_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(keywords))
{
    return make(type, ITEMS_FIFO, true);
}

static PyObject *lifo_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(keywords))
{
    return make(type, ITEMS_LIFO, true);
}

static PyObject *priority_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                              PyObject *Py_UNUSED(keywords))
{
    return make(type, ITEMS_HEAP, true);
}

static int overrides(PyObject *self, PyObject *name)
{
    PyObject *own = PyObject_GetAttr((PyObject *)simple_type, name);
    PyObject *found = PyObject_GetAttr((PyObject *)Py_TYPE(self), name);
    int result = own && found ? own != found : -1;
    Py_XDECREF(own);
    Py_XDECREF(found);
    return result;
}

static int find_hooks(QueueObject *self)
{
    struct {
        PyObject *name;
        uint8_t bit;
    } const table[] = {{str_hook_qsize, HOOK_QSIZE}, {str_hook_put, HOOK_PUT},
                       {str_hook_get, HOOK_GET},     {str_hook_peek, HOOK_PEEK},
                       {str_put, METHOD_PUT},        {str_get, METHOD_GET}};
    self->hooks = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int overridden = overrides((PyObject *)self, table[i].name);
        if (overridden < 0)
            return -1;
        if (overridden)
            self->hooks |= table[i].bit;
    }
    return 0;
}

static int set_maxsize(QueueObject *self, PyObject *maxsize)
{
    Py_ssize_t limit = -1;
    if (maxsize && maxsize != Py_None) {
        limit = PyNumber_AsSsize_t(maxsize, PyExc_OverflowError);
        if (limit == -1 && PyErr_Occurred())
            return -1;
        if (limit == 0
            && PyErr_WarnEx(PyExc_DeprecationWarning,
                            "Queue(0) now equivalent to Queue(None); if you "
                            "want a channel, use Channel",
                            1) < 0)
            return -1;
    }
    self->maxsize = limit > 0 ? limit : -1;
    return 0;
}

static PyObject *get_maxsize(PyObject *self, void *Py_UNUSED(closure))
{
    QueueObject *queue = (QueueObject *)self;
    if (queue->maxsize < 0)
        Py_RETURN_NONE;
    return PyLong_FromSsize_t(queue->maxsize);
}

static int call_init(QueueObject *self, PyObject *items)
{
    PyObject *maxsize = get_maxsize((PyObject *)self, NULL);
    if (!maxsize)
        return -1;
    int has_items = items ? PyObject_IsTrue(items) : 0;
    int overridden = overrides((PyObject *)self, str_hook_init);
    int failed = -1;
    if (has_items >= 0 && overridden == 0)
        failed = accel_items_fill(&self->items, has_items ? items : NULL);
    else if (has_items >= 0 && overridden > 0)
        failed = accel_ignore(PyObject_CallMethodObjArgs(
            (PyObject *)self, str_hook_init, maxsize,
            has_items ? items : NULL, NULL));
    Py_DECREF(maxsize);
    return failed;
}

static int simple_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"maxsize", "items", "_warn_depth", NULL};
    PyObject *maxsize = Py_None, *items = NULL, *depth = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OOO", names, &maxsize,
                                     &items, &depth))
        return -1;
    QueueObject *queue = (QueueObject *)self;
    if (find_hooks(queue) < 0 || set_maxsize(queue, maxsize) < 0)
        return -1;
    return call_init(queue, items);
}

static int queue_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"maxsize", "items", "unfinished_tasks", NULL};
    PyObject *maxsize = Py_None, *items = NULL, *unfinished = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OOO", names, &maxsize,
                                     &items, &unfinished))
        return -1;
    QueueObject *queue = (QueueObject *)self;
    if (find_hooks(queue) < 0 || set_maxsize(queue, maxsize) < 0
        || call_init(queue, items) < 0)
        return -1;
    queue->unfinished = 0;
    int given = PyObject_IsTrue(unfinished);
    if (given > 0)
        queue->unfinished = PyNumber_AsSsize_t(unfinished, NULL);
    else if (items && !given)
        queue->unfinished = qsize(queue);
    return PyErr_Occurred() ? -1 : 0;
}

static int queue_traverse(PyObject *self, visitproc visit, void *arg)
{
    QueueObject *queue = (QueueObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(queue->hub);
    int stop = accel_items_traverse(&queue->items, visit, arg);
    if (stop)
        return stop;
    accel_links *const lists[] = {&queue->getters, &queue->putters,
                                  &queue->joiners};
    for (int i = 0; i < 3 && !stop; i++)
        stop = accel_links_traverse(lists[i], visit, arg);
    return stop;
}

static int queue_clear(PyObject *self)
{
    QueueObject *queue = (QueueObject *)self;
    Py_CLEAR(queue->hub);
    accel_items_clear(&queue->items);
    accel_links_clear(&queue->getters);
    accel_links_clear(&queue->putters);
    accel_links_clear(&queue->joiners);
    return 0;
}

static void queue_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((QueueObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    queue_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- attributes ---------------------------------------------------------- */

static PyObject *queue_qsize(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = qsize((QueueObject *)self);
    return size < 0 ? NULL : PyLong_FromSsize_t(size);
}

static Py_ssize_t queue_length(PyObject *self)
{
    return qsize((QueueObject *)self);
}

static int queue_bool(PyObject *Py_UNUSED(self))
{
    return 1;
}

static PyObject *queue_empty(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_ssize_t size = qsize((QueueObject *)self);
    return size < 0 ? NULL : PyBool_FromLong(size == 0);
}

static PyObject *queue_full(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int full = is_full((QueueObject *)self);
    return full < 0 ? NULL : PyBool_FromLong(full);
}

static int put_maxsize(PyObject *self, PyObject *maxsize,
                       void *Py_UNUSED(closure))
{
    QueueObject *queue = (QueueObject *)self;
    return set_maxsize(queue, maxsize) < 0 ? -1 : tell_putters(queue);
}

static PyObject *get_queue(PyObject *self, void *Py_UNUSED(closure))
{
    return accel_items_shown(&((QueueObject *)self)->items);
}

static int set_queue(PyObject *self, PyObject *container,
                     void *Py_UNUSED(closure))
{
    accel_items_use(&((QueueObject *)self)->items, container);
    return 0;
}

static PyObject *get_hub(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *hub = ((QueueObject *)self)->hub;
    hub = hub ? hub : Py_None;
    Py_INCREF(hub);
    return hub;
}

static int set_hub(PyObject *self, PyObject *hub, void *Py_UNUSED(closure))
{
    accel_set(&((QueueObject *)self)->hub, hub == Py_None ? NULL : hub);
    return 0;
}

static PyObject *get_getters(PyObject *self, void *Py_UNUSED(closure))
{
    return accel_links_as_deque(&((QueueObject *)self)->getters);
}

static PyObject *get_putters(PyObject *self, void *Py_UNUSED(closure))
{
    return accel_links_as_deque(&((QueueObject *)self)->putters);
}

static PyObject *get_unfinished(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((QueueObject *)self)->unfinished);
}

static int set_unfinished(PyObject *self, PyObject *value,
                          void *Py_UNUSED(closure))
{
    Py_ssize_t count = value ? PyNumber_AsSsize_t(value, NULL) : 0;
    if (count == -1 && PyErr_Occurred())
        return -1;
    QueueObject *queue = (QueueObject *)self;
    queue->unfinished = count;
    return count > 0 ? 0 : tell_joiners(queue);
}

static PyMethodDef simple_methods[] = {
    ACCEL_FAST("put", queue_put,
               "put($self, item, block=True, timeout=None)\n--\n\nPut an "
               "item in; Full when there is no room, at once or "
               "after\n`timeout` seconds."),
    ACCEL_FAST("get", queue_get,
               "get($self, block=True, timeout=None)\n--\n\nTake an item "
               "out; Empty when there is none, at once or after\n`timeout` "
               "seconds."),
    ACCEL_FAST("peek", queue_peek,
               "peek($self, block=True, timeout=None)\n--\n\nAs get(), but "
               "leave the item in the queue."),
    ACCEL_FAST("put_nowait", queue_put_nowait,
               "put_nowait($self, item)\n--\n\nput(item, False)"),
    {"get_nowait", queue_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nget(False)"},
    {"peek_nowait", queue_peek_nowait, METH_NOARGS,
     "peek_nowait($self, /)\n--\n\npeek(False)"},
    {"qsize", queue_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturns int."},
    {"empty", queue_empty, METH_NOARGS,
     "empty($self, /)\n--\n\nReturns bool."},
    {"full", queue_full, METH_NOARGS,
     "full($self, /)\n--\n\nAlways false without a maxsize."},
    {"_init", hook_init, METH_VARARGS,
     "_init(maxsize, items=())\n\nMake the storage; may be overridden."},
    {"_qsize", hook_qsize, METH_NOARGS, "_qsize()\n\nMay be overridden."},
    {"_put", hook_put, METH_O, "_put(item)\n\nMay be overridden."},
    {"_get", hook_get, METH_NOARGS, "_get()\n\nMay be overridden."},
    {"_peek", hook_peek, METH_NOARGS, "_peek()\n\nMay be overridden."},
    {"_wait_with", queue_wait_with, METH_VARARGS,
     "_wait_with(who, timeout=None) -> bool\n\nWait among 'getters', "
     "'putters' or 'joiners' until told."},
    {"_tell", queue_tell, METH_VARARGS,
     "_tell(who, count=all)\n\nLet that many of them look again."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef simple_getset[] = {
    {"maxsize", get_maxsize, put_maxsize,
     "How many items fit; None for any number.", NULL},
    {"queue", get_queue, set_queue, "The items: a deque, or a list.", NULL},
    {"hub", get_hub, set_hub,
     "The hub of the first greenlet that waited, or None.", NULL},
    {"getters", get_getters, NULL, "Who waits for items, oldest first.",
     NULL},
    {"putters", get_putters, NULL, "Who waits for room, oldest first.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef simple_members[] = {
    {"is_shutdown", T_BOOL, offsetof(QueueObject, is_shutdown), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(QueueObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot simple_slots[] = {
    {Py_tp_doc, "SimpleQueue(maxsize=None, items=())\n--\n\n"},
    {Py_tp_new, simple_new},
    {Py_tp_init, simple_init},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, queue_next},
    {Py_sq_length, queue_length},
    {Py_nb_bool, queue_bool},
    {Py_tp_methods, simple_methods},
    {Py_tp_getset, simple_getset},
    {Py_tp_members, simple_members},
    {0, NULL}};

static PyMethodDef queue_methods[] = {
    {"task_done", queue_task_done, METH_NOARGS,
     "task_done($self, /)\n--\n\nSay that an item taken out has been dealt "
     "with; ValueError when\nmore often than items were put in."},
    ACCEL_FAST("join", queue_join,
               "join($self, timeout=None)\n--\n\nWait until all items have "
               "been dealt with."),
    ACCEL_FAST("shutdown", queue_shutdown,
               "shutdown($self, immediate=False)\n--\n\nLet put() raise "
               "ShutDown, and get() once the queue is empty;\n`immediate` "
               "empties it."),
    {NULL, NULL, 0, NULL}};
static PyGetSetDef queue_getset[] = {
    {"unfinished_tasks", get_unfinished, set_unfinished,
     "How many items have not been dealt with.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot queue_slots[] = {
    {Py_tp_doc, "Queue(maxsize=None, items=(), unfinished_tasks=None)\n--\n\n"},
    {Py_tp_new, queue_new},
    {Py_tp_init, queue_init},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {Py_tp_methods, queue_methods},
    {Py_tp_getset, queue_getset},
    {0, NULL}};
/* What differs in these two is decided by the constructor. */
static PyType_Slot lifo_slots[] = {
    {Py_tp_doc, "LifoQueue(maxsize=None, items=(), "
                "unfinished_tasks=None)\n--\n\n"},
    {Py_tp_new, lifo_new},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {0, NULL}};
static PyType_Slot priority_slots[] = {
    {Py_tp_doc, "PriorityQueue(maxsize=None, items=(), "
                "unfinished_tasks=None)\n--\n\n"},
    {Py_tp_new, priority_new},
    {Py_tp_traverse, queue_traverse},
    {Py_tp_clear, queue_clear},
    {Py_tp_dealloc, queue_dealloc},
    {0, NULL}};

#define QUEUE_SPEC(type_name, type_slots)                                     \
    {                                                                         \
        .name = "libgcore._accel." type_name,                                 \
        .basicsize = sizeof(QueueObject),                                     \
        .flags =                                                              \
            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,    \
        .slots = type_slots                                                   \
    }
static PyType_Spec simple_spec = QUEUE_SPEC("SimpleQueue", simple_slots);
static PyType_Spec queue_spec = QUEUE_SPEC("Queue", queue_slots);
static PyType_Spec lifo_spec = QUEUE_SPEC("LifoQueue", lifo_slots);
static PyType_Spec priority_spec = QUEUE_SPEC("PriorityQueue", priority_slots);

/* ---- module -------------------------------------------------------------- */

static int intern_names(void)
{
    struct {
        PyObject **target;
        const char *text;
    } const table[] = {
        {&str_get, "get"},
        {&str_hook_get, "_get"},
        {&str_hook_init, "_init"},
        {&str_hook_peek, "_peek"},
        {&str_hook_put, "_put"},
        {&str_hook_qsize, "_qsize"},
        {&str_put, "put"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *table[i].target = PyUnicode_InternFromString(table[i].text);
        if (!*table[i].target)
            return -1;
    }
    return 0;
}

/* The standard library has it since 3.13. */
static PyObject *shutdown_class(void)
{
    PyObject *found = accel_import("queue", "ShutDown");
    if (found)
        return found;
    PyErr_Clear();
    return PyErr_NewExceptionWithDoc(
        "queue.ShutDown", "put() or get() of a queue that was shut down.",
        NULL, NULL);
}

static int find_errors(void)
{
    accel_empty_error = accel_import("queue", "Empty");
    accel_full_error = accel_import("queue", "Full");
    shutdown_error = shutdown_class();
    return accel_empty_error && accel_full_error && shutdown_error ? 0 : -1;
}

int accel_queue_init(PyObject *module)
{
    if (accel_links_init(module) < 0 || accel_items_init() < 0
        || intern_names() < 0 || find_errors() < 0)
        return -1;
    Py_INCREF(shutdown_error);
    if (PyModule_AddObject(module, "ShutDown", shutdown_error) < 0)
        return -1;
    simple_type = accel_add_type(module, &simple_spec, NULL);
    if (!simple_type)
        return -1;
    PyTypeObject *queue_type =
        accel_add_type(module, &queue_spec, (PyObject *)simple_type);
    if (!queue_type
        || !accel_add_type(module, &lifo_spec, (PyObject *)queue_type)
        || !accel_add_type(module, &priority_spec, (PyObject *)queue_type))
        return -1;
    return accel_channel_init(module);
}
