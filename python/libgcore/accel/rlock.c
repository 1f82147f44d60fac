/*
 * Re-entrant locks: a semaphore of one permit, and who has it.
 *
 * Permit and ownership change in one step: a signal handler that raises
 * cannot leave a lock taken that nobody owns.
 */
#include "semaphore.h"
#include "greenlets.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *block; /* a semaphore */
    PyObject *owner; /* a greenlet while taken, else NULL */
    Py_ssize_t count;
} RLockObject;

static PyObject *str_semaphore;

/* The current greenlet, borrowed: it runs.  When the interpreter ends there
 * are no greenlets any more, and nobody else is left. */
static PyObject *current(RLockObject *self)
{
    PyObject *greenlet = accel_current_greenlet();
    if (greenlet) {
        Py_DECREF(greenlet);
        return greenlet;
    }
    PyErr_Clear();
    return self->owner ? self->owner : Py_None;
}

static bool is_mine(RLockObject *self)
{
    return self->count && self->owner == current(self);
}

static void own(RLockObject *self, PyObject *owner, Py_ssize_t count)
{
    self->count = count;
    accel_set(&self->owner, owner);
}

/* ---- taking -------------------------------------------------------------- */

/* values: blocking, timeout */
static PyObject *acquire(PyObject *object, PyObject **values)
{
    RLockObject *self = (RLockObject *)object;
    PyObject *me = current(self);
    int blocking = PyObject_IsTrue(values[0]);
    if (blocking < 0)
        return NULL;
    Py_INCREF(me);
    int taken = accel_semaphore_acquire(self->block, blocking, values[1]);
    if (taken > 0)
        own(self, me, 1);
    Py_DECREF(me);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

/* Minus one is what the standard locks call no limit. */
static int read_limit(PyObject **timeout)
{
    if (!PyLong_Check(*timeout) && !PyFloat_Check(*timeout))
        return 0;
    double seconds = PyFloat_AsDouble(*timeout);
    if (seconds == -1.0) {
        if (PyErr_Occurred())
            return -1;
        *timeout = Py_None;
    }
    return 0;
}

static PyObject *rlock_acquire(PyObject *self, PyObject *const *args,
                               Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"blocking", "timeout", NULL};
    PyObject *values[] = {Py_True, Py_None};
    if ((nargs || keywords)
        && accel_parse("acquire", names, values, args, nargs, keywords) < 0)
        return NULL;
    if (is_mine((RLockObject *)self)) {
        ((RLockObject *)self)->count++;
        return PyLong_FromLong(1);
    }
    if (read_limit(&values[1]) < 0)
        return NULL;
    return accel_call_timed(acquire, self, values, 1, Py_False);
}

static PyObject *rlock_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return rlock_acquire(self, NULL, 0, NULL);
}

/* ---- giving back --------------------------------------------------------- */

static int give_back(RLockObject *self)
{
    own(self, NULL, 0);
    return accel_semaphore_release(self->block);
}

static int release(RLockObject *self)
{
    if (!is_mine(self)) {
        PyErr_Format(PyExc_RuntimeError,
                     "cannot release un-acquired lock. Owner: %R Current: %R",
                     self->owner ? self->owner : Py_None, current(self));
        return -1;
    }
    return --self->count ? 0 : give_back(self);
}

static PyObject *rlock_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (release((RLockObject *)self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *rlock_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                            Py_ssize_t Py_UNUSED(nargs))
{
    return rlock_release(self, NULL);
}

/* ---- what conditions and threading need ---------------------------------- */

static PyObject *rlock_release_save(PyObject *object,
                                    PyObject *Py_UNUSED(ignored))
{
    RLockObject *self = (RLockObject *)object;
    if (!self->count) {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot release un-acquired lock");
        return NULL;
    }
    PyObject *saved = Py_BuildValue("nO", self->count, self->owner);
    if (saved && give_back(self) < 0)
        Py_CLEAR(saved);
    return saved;
}

static PyObject *rlock_acquire_restore(PyObject *object, PyObject *saved)
{
    RLockObject *self = (RLockObject *)object;
    PyObject *owner;
    Py_ssize_t count;
    if (!PyTuple_Check(saved)) {
        PyErr_SetString(PyExc_TypeError, "a (count, owner) tuple is needed");
        return NULL;
    }
    if (!PyArg_ParseTuple(saved, "nO", &count, &owner)
        || accel_semaphore_acquire(self->block, true, Py_None) < 0)
        return NULL;
    own(self, owner, count);
    Py_RETURN_NONE;
}

static PyObject *rlock_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_mine((RLockObject *)self));
}

static PyObject *rlock_recursion_count(PyObject *self,
                                       PyObject *Py_UNUSED(ignored))
{
    RLockObject *lock = (RLockObject *)self;
    return PyLong_FromSsize_t(is_mine(lock) ? lock->count : 0);
}

static PyObject *rlock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((RLockObject *)self)->count > 0);
}

/* ---- making -------------------------------------------------------------- */

static int make_block(RLockObject *self, PyObject *hub)
{
    PyObject *factory = PyObject_GetAttr((PyObject *)self, str_semaphore);
    PyObject *block =
        factory ? PyObject_CallFunction(factory, "iO", 1, hub) : NULL;
    Py_XDECREF(factory);
    if (block && !PyObject_TypeCheck(block, accel_semaphore_type)) {
        PyErr_Format(PyExc_TypeError, "a semaphore is needed, not %R", block);
        Py_CLEAR(block);
    }
    if (!block)
        return -1;
    accel_replace(&self->block, block);
    own(self, NULL, 0);
    return 0;
}

static int rlock_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"hub", NULL};
    PyObject *hub = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &hub))
        return -1;
    return make_block((RLockObject *)self, hub);
}

/* Whoever held it or waited for it may be gone. */
static PyObject *rlock_at_fork(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (make_block((RLockObject *)self, Py_None) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int rlock_traverse(PyObject *self, visitproc visit, void *arg)
{
    RLockObject *lock = (RLockObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(lock->block);
    Py_VISIT(lock->owner);
    return 0;
}

static int rlock_clear(PyObject *self)
{
    RLockObject *lock = (RLockObject *)self;
    Py_CLEAR(lock->block);
    Py_CLEAR(lock->owner);
    return 0;
}

static void rlock_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((RLockObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    rlock_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *rlock_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(keywords))
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = alloc(type, 0);
    if (self && make_block((RLockObject *)self, Py_None) < 0)
        Py_CLEAR(self);
    return self;
}

static PyMethodDef rlock_methods[] = {
    ACCEL_FAST("acquire", rlock_acquire,
               "acquire($self, blocking=True, timeout=None)\n--\n\nTake the "
               "lock, or take it once more; False when it is not to be "
               "had,\nat once or within `timeout` seconds (None or -1: for "
               "ever)."),
    {"release", rlock_release, METH_NOARGS,
     "release($self, /)\n--\n\nGive the lock back once; RuntimeError unless "
     "the current greenlet\nowns it."},
    {"locked", rlock_locked, METH_NOARGS,
     "locked($self, /)\n--\n\nWhether some greenlet owns it."},
    {"__enter__", rlock_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))rlock_exit, METH_FASTCALL,
     NULL},
    {"_release_save", rlock_release_save, METH_NOARGS, NULL},
    {"_acquire_restore", rlock_acquire_restore, METH_O, NULL},
    {"_is_owned", rlock_is_owned, METH_NOARGS, NULL},
    {"_recursion_count", rlock_recursion_count, METH_NOARGS, NULL},
    {"_at_fork_reinit", rlock_at_fork, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyMemberDef rlock_members[] = {
    {"_block", T_OBJECT, offsetof(RLockObject, block), READONLY, NULL},
    {"_owner", T_OBJECT, offsetof(RLockObject, owner), 0, NULL},
    {"_count", T_PYSSIZET, offsetof(RLockObject, count), 0, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(RLockObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot rlock_slots[] = {
    {Py_tp_doc, "RLock(hub=None)\n--\n\nA lock that its owner, a greenlet, may "
                "take again.  `semaphore`, of the\nclass, makes the lock "
                "inside."},
    {Py_tp_new, rlock_new},
    {Py_tp_init, rlock_init},
    {Py_tp_traverse, rlock_traverse},
    {Py_tp_clear, rlock_clear},
    {Py_tp_dealloc, rlock_dealloc},
    {Py_tp_methods, rlock_methods},
    {Py_tp_members, rlock_members},
    {0, NULL}};
static PyType_Spec rlock_spec = {
    .name = "libgcore._accel.RLock",
    .basicsize = sizeof(RLockObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = rlock_slots,
};

int accel_rlock_init(PyObject *module)
{
    str_semaphore = PyUnicode_InternFromString("semaphore");
    if (!str_semaphore)
        return -1;
    PyTypeObject *type = accel_add_type(module, &rlock_spec, NULL);
    return type ? PyObject_SetAttr((PyObject *)type, str_semaphore,
                                   (PyObject *)accel_semaphore_type)
                : -1;
}
