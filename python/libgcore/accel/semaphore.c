/*
 * Semaphores.
 *
 * A free permit goes to whoever asks first: release() only tells the oldest
 * waiter to look.  Waiters keep their order among themselves, one that finds
 * the permit gone stays where it was, and one that was told and then killed
 * passes the word on.
 */
#include "semaphore.h"
#include "greenlets.h"

PyTypeObject *accel_semaphore_type;
static PyObject *str_over_release;

typedef struct {
    LinkableObject base;
    Py_ssize_t counter;
    Py_ssize_t initial; /* of a bounded one */
    const void *holder; /* who took the last permit; an address, for reports */
} SemaphoreObject;

static int notify(LinkableObject *self)
{
    SemaphoreObject *semaphore = (SemaphoreObject *)self;
    if (semaphore->counter <= 0 || !self->links.count)
        return 0;
    return accel_links_tell_until(&self->links, (PyObject *)self,
                                  semaphore->counter);
}

static bool is_open(LinkableObject *self)
{
    return ((SemaphoreObject *)self)->counter > 0;
}

static const accel_linkable_ops ops = {notify, is_open, notify};

static PyObject *semaphore_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                               PyObject *Py_UNUSED(keywords))
{
    SemaphoreObject *self =
        (SemaphoreObject *)accel_linkable_new(type, &ops);
    if (self)
        self->counter = self->initial = 1;
    return (PyObject *)self;
}

static int semaphore_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"value", "hub", NULL};
    PyObject *value = NULL, *hub = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OO", names, &value,
                                     &hub))
        return -1;
    SemaphoreObject *semaphore = (SemaphoreObject *)self;
    Py_ssize_t counter = 1;
    if (value) {
        PyObject *whole = PyNumber_Check(value) ? PyNumber_Long(value) : NULL;
        if (!whole) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "an integer is required");
            return -1;
        }
        counter = PyLong_AsSsize_t(whole);
        Py_DECREF(whole);
        if (counter == -1 && PyErr_Occurred())
            return -1;
    }
    if (counter < 0) {
        PyErr_SetString(PyExc_ValueError,
                        "semaphore initial value must be >= 0");
        return -1;
    }
    semaphore->counter = semaphore->initial = counter;
    if (hub != Py_None)
        accel_set(&semaphore->base.hub, hub);
    return 0;
}

/* ---- acquiring ----------------------------------------------------------- */

static void count_taken(SemaphoreObject *self)
{
    if (--self->counter)
        return;
    const LoopObject *loop = accel_current_loop(0);
    self->holder = loop ? loop->running : NULL;
}

/* After a failure: whoever comes next is told instead. */
static void pass_on(SemaphoreObject *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (notify(&self->base) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    PyErr_Restore(type, value, traceback);
}

/* 1: there was a permit (and it was taken, if asked), 0: time ran out. */
static int await_permit(SemaphoreObject *self, int64_t deadline, bool take)
{
    accel_waiting waiting = {.links = &self->base.links,
                             .subject = (PyObject *)self,
                             .deadline = deadline,
                             .is_lock = true};
    do {
        enum accel_park_result result = accel_waiting_park(&waiting);
        if (result == PARK_FAILED) {
            if (waiting.told)
                pass_on(self);
            return -1;
        }
        if (result == PARK_TIMED_OUT)
            return 0;
        accel_bind_hub(&self->base.hub);
    } while (self->counter <= 0);
    if (take)
        count_taken(self);
    accel_waiting_leave(&waiting);
    return notify(&self->base) < 0 ? -1 : 1;
}

static bool take(SemaphoreObject *self)
{
    if (self->counter <= 0)
        return false;
    count_taken(self);
    /* Whoever was told of this permit need not look. */
    if (self->base.links.told_waits)
        accel_links_untell_beyond(&self->base.links, self->counter);
    return true;
}

static int acquire_waiting(SemaphoreObject *self, PyObject *timeout)
{
    int64_t deadline = accel_optional_deadline(timeout);
    if (deadline < 0)
        return -1;
    accel_bind_hub(&self->base.hub);
    return await_permit(self, deadline, true);
}

int accel_semaphore_acquire(PyObject *semaphore, bool blocking,
                            PyObject *timeout)
{
    SemaphoreObject *self = (SemaphoreObject *)semaphore;
    if (take(self))
        return 1;
    return blocking ? acquire_waiting(self, timeout) : 0;
}

static PyObject *timed_acquire(PyObject *self, PyObject **values)
{
    int result = acquire_waiting((SemaphoreObject *)self, values[1]);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *args,
                                   Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"blocking", "timeout", NULL};
    PyObject *values[] = {Py_True, Py_None};
    if ((nargs || keywords)
        && accel_parse("acquire", names, values, args, nargs, keywords) < 0)
        return NULL;
    int blocking = PyObject_IsTrue(values[0]);
    if (blocking < 0)
        return NULL;
    if (take((SemaphoreObject *)self))
        Py_RETURN_TRUE;
    if (!blocking)
        Py_RETURN_FALSE;
    return accel_call_timed(timed_acquire, self, values, 1, Py_False);
}

static PyObject *get_counter(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(((SemaphoreObject *)self)->counter);
}

static PyObject *wait_for_permit(PyObject *self, PyObject **values)
{
    SemaphoreObject *semaphore = (SemaphoreObject *)self;
    int64_t deadline = accel_optional_deadline(values[0]);
    if (deadline < 0)
        return NULL;
    accel_bind_hub(&semaphore->base.hub);
    if (await_permit(semaphore, deadline, false) < 0)
        return NULL;
    return get_counter(self, NULL);
}

static PyObject *semaphore_wait(PyObject *self, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"timeout", NULL};
    PyObject *values[] = {Py_None};
    if (accel_parse("wait", names, values, args, nargs, keywords) < 0)
        return NULL;
    if (((SemaphoreObject *)self)->counter > 0)
        return get_counter(self, NULL);
    return accel_call_timed(wait_for_permit, self, values, 0, Py_False);
}

static PyObject *semaphore_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (accel_semaphore_acquire(self, true, Py_None) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- releasing ----------------------------------------------------------- */

static int release(SemaphoreObject *self)
{
    self->counter++;
    return self->base.links.count ? notify(&self->base) : 0;
}

int accel_semaphore_release(PyObject *semaphore)
{
    return release((SemaphoreObject *)semaphore);
}

static PyObject *semaphore_release(PyObject *self,
                                   PyObject *Py_UNUSED(ignored))
{
    if (release((SemaphoreObject *)self) < 0)
        return NULL;
    return PyLong_FromSsize_t(((SemaphoreObject *)self)->counter);
}

static PyObject *semaphore_exit(PyObject *self,
                                PyObject *const *Py_UNUSED(args),
                                Py_ssize_t nargs)
{
    if (nargs != 3) {
        PyErr_Format(PyExc_TypeError,
                     "__exit__() takes exactly 3 arguments (%zd given)",
                     nargs);
        return NULL;
    }
    if (release((SemaphoreObject *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int release_bounded(SemaphoreObject *self)
{
    if (self->counter >= self->initial) {
        PyObject *error =
            PyObject_GetAttr((PyObject *)self, str_over_release);
        if (error)
            PyErr_SetString(error, "Semaphore released too many times");
        Py_XDECREF(error);
        return -1;
    }
    if (release(self) < 0)
        return -1;
    if (self->counter == self->initial && !self->base.links.count)
        Py_CLEAR(self->base.hub);
    return 0;
}

static PyObject *bounded_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (release_bounded((SemaphoreObject *)self) < 0)
        return NULL;
    return PyLong_FromSsize_t(((SemaphoreObject *)self)->counter);
}

static PyObject *bounded_release_lock(PyObject *self,
                                      PyObject *Py_UNUSED(ignored))
{
    if (release_bounded((SemaphoreObject *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *bounded_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                              Py_ssize_t Py_UNUSED(nargs))
{
    if (release_bounded((SemaphoreObject *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- the rest ------------------------------------------------------------ */

static PyObject *semaphore_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((SemaphoreObject *)self)->counter <= 0);
}

static PyObject *semaphore_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((SemaphoreObject *)self)->counter > 0);
}

/* As id() would be; it may have gone meanwhile. */
static PyObject *get_holder(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr((void *)((SemaphoreObject *)self)->holder);
}

/* Pools grow by `counter += n`: who waits has to hear of it. */
static int set_counter(PyObject *self, PyObject *value,
                       void *Py_UNUSED(closure))
{
    if (!value) {
        PyErr_SetString(PyExc_TypeError, "cannot delete the counter");
        return -1;
    }
    Py_ssize_t counter = PyLong_AsSsize_t(value);
    if (counter == -1 && PyErr_Occurred())
        return -1;
    ((SemaphoreObject *)self)->counter = counter;
    return notify((LinkableObject *)self);
}

static PyMethodDef semaphore_methods[] = {
    ACCEL_FAST("acquire", semaphore_acquire,
               "acquire($self, blocking=True, timeout=None)\n--\n\nTake a "
               "permit; False when there is none and `blocking` is "
               "false,\nor none came within `timeout` seconds."),
    ACCEL_FAST("wait", semaphore_wait,
               "wait($self, timeout=None)\n--\n\nWait until there is a "
               "permit, without taking it, and return how many\nthere are."),
    {"release", semaphore_release, METH_NOARGS,
     "release($self, /)\n--\n\nGive a permit; returns how many there are."},
    {"locked", semaphore_locked, METH_NOARGS,
     "locked($self, /)\n--\n\nWhether acquire() would wait."},
    {"ready", semaphore_ready, METH_NOARGS,
     "ready($self, /)\n--\n\nWhether acquire() would not wait."},
    {"__enter__", semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))semaphore_exit, METH_FASTCALL,
     NULL},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef semaphore_getset[] = {
    {"counter", get_counter, set_counter, "How many permits there are.",
     NULL},
    {"_holder", get_holder, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, "Semaphore(value=1, hub=None)\n--\n\nPermits to be taken and "
                "given by greenlets of any thread."},
    {Py_tp_new, semaphore_new},
    {Py_tp_init, semaphore_init},
    {Py_tp_traverse, accel_linkable_traverse},
    {Py_tp_clear, accel_linkable_clear},
    {Py_tp_dealloc, accel_linkable_dealloc},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_getset, semaphore_getset},
    {0, NULL}};
static PyType_Spec semaphore_spec = {
    .name = "libgcore._accel.Semaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = semaphore_slots,
};

static PyMethodDef bounded_methods[] = {
    {"release", bounded_release, METH_NOARGS,
     "release($self, /)\n--\n\nAs Semaphore's, but raises ValueError above "
     "the initial value."},
    {"_release_lock", bounded_release_lock, METH_NOARGS,
     "_release_lock($self, /)\n--\n\nAs release(), but returns None, as "
     "locks do."},
    {"__exit__", (PyCFunction)(void (*)(void))bounded_exit, METH_FASTCALL,
     NULL},
    {NULL, NULL, 0, NULL}};
static PyMemberDef bounded_members[] = {
    {"_initial_value", T_PYSSIZET, offsetof(SemaphoreObject, initial), 0,
     NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, "BoundedSemaphore(value=1, hub=None)\n--\n\nA semaphore that "
                "refuses more releases than acquires."},
    {Py_tp_traverse, accel_linkable_traverse},
    {Py_tp_clear, accel_linkable_clear},
    {Py_tp_dealloc, accel_linkable_dealloc},
    {Py_tp_methods, bounded_methods},
    {Py_tp_members, bounded_members},
    {0, NULL}};
static PyType_Spec bounded_spec = {
    .name = "libgcore._accel.BoundedSemaphore",
    .basicsize = sizeof(SemaphoreObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = bounded_slots,
};

int accel_semaphore_init(PyObject *module)
{
    if (accel_links_init(module) < 0)
        return -1;
    str_over_release = PyUnicode_InternFromString("_OVER_RELEASE_ERROR");
    accel_semaphore_type = accel_add_type(module, &semaphore_spec,
                                          (PyObject *)accel_linkable_type);
    if (!str_over_release || !accel_semaphore_type)
        return -1;
    PyTypeObject *bounded_type = accel_add_type(
        module, &bounded_spec, (PyObject *)accel_semaphore_type);
    if (!bounded_type
        || PyObject_SetAttr((PyObject *)bounded_type, str_over_release,
                            PyExc_ValueError) < 0)
        return -1;
    return accel_rlock_init(module);
}
