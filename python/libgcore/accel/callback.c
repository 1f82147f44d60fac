/* A function call in the run queue. */
#include "greenlets.h"
#include "loop.h"

PyTypeObject *accel_callback_type;

/* Truthy while it is queued or runs: `args` goes last. */
typedef struct {
    PyObject_HEAD
    PyObject *func; /* NULL once entered or stopped */
    PyObject *args; /* NULL once done or stopped */
    bool starts_greenlet; /* func is a greenlet to switch to */
} CallbackObject;

static PyObject *callback_make(PyObject *func, PyObject *args)
{
    CallbackObject *self = PyObject_GC_New(CallbackObject,
                                           accel_callback_type);
    if (!self)
        return NULL;
    Py_INCREF(func);
    Py_INCREF(args);
    self->func = func;
    self->args = args;
    self->starts_greenlet = false;
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

static PyObject *callback_new(PyTypeObject *Py_UNUSED(type), PyObject *args,
                              PyObject *kwargs)
{
    static char *names[] = {"callback", "args", NULL};
    PyObject *func, *call_args;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!", names, &func,
                                     &PyTuple_Type, &call_args))
        return NULL;
    return callback_make(func, call_args);
}

static int callback_traverse(PyObject *self, visitproc visit, void *arg)
{
    CallbackObject *callback = (CallbackObject *)self;
    Py_VISIT(callback->func);
    Py_VISIT(callback->args);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int callback_clear(PyObject *self)
{
    CallbackObject *callback = (CallbackObject *)self;
    Py_CLEAR(callback->func);
    Py_CLEAR(callback->args);
    return 0;
}

static void callback_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    callback_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

void accel_callback_run(PyObject *self, LoopObject *loop)
{
    CallbackObject *callback = (CallbackObject *)self;
    PyObject *func = callback->func;
    PyObject *args = callback->args;
    if (!func || !args)
        return;
    callback->func = NULL;
    Py_INCREF(args);
    if (callback->starts_greenlet && accel_plain_switch(func)) {
        accel_run_greenlet(loop, func, args, self);
    } else {
        PyObject *target = func;
        if (callback->starts_greenlet) {
            target = PyObject_GetAttrString(func, "switch");
            Py_DECREF(func);
        }
        func = target;
        PyObject *result = func ? PyObject_CallObject(func, args) : NULL;
        if (result)
            Py_DECREF(result);
        else
            accel_loop_report(loop, self);
    }
    Py_XDECREF(func);
    Py_DECREF(args);
    Py_CLEAR(callback->args);
}

static PyObject *make_checked(LoopObject *loop, PyObject *func,
                              PyObject *args)
{
    if (!PyCallable_Check(func)) {
        PyErr_Format(PyExc_TypeError, "a callback must be callable, not %R",
                     func);
        return NULL;
    }
    if (accel_loop_check(loop) < 0)
        return NULL;
    return callback_make(func, args);
}

PyObject *accel_loop_run_callback(LoopObject *loop, PyObject *func,
                                  PyObject *args)
{
    PyObject *callback = make_checked(loop, func, args);
    if (callback && accel_loop_push(loop, callback) < 0)
        Py_CLEAR(callback);
    return callback;
}

PyObject *accel_loop_queue_callback(LoopObject *loop, PyObject *func,
                                    PyObject *args)
{
    PyObject *callback = make_checked(loop, func, args);
    if (callback && accel_loop_append(loop, callback) < 0)
        Py_CLEAR(callback);
    return callback;
}

PyObject *accel_loop_run_switch(PyObject *loop, PyObject *greenlet)
{
    static PyObject *empty;
    if (!PyObject_TypeCheck(loop, accel_loop_type)) {
        PyErr_Format(PyExc_TypeError, "not an engine loop: %R", loop);
        return NULL;
    }
    if (accel_loop_check((LoopObject *)loop) < 0
        || (!empty && !(empty = PyTuple_New(0))))
        return NULL;
    PyObject *callback = callback_make(greenlet, empty);
    if (!callback)
        return NULL;
    ((CallbackObject *)callback)->starts_greenlet = true;
    if (accel_loop_push((LoopObject *)loop, callback) < 0)
        Py_CLEAR(callback);
    return callback;
}

static PyObject *run_switch(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *loop, *greenlet;
    if (!PyArg_ParseTuple(args, "OO", &loop, &greenlet))
        return NULL;
    return accel_loop_run_switch(loop, greenlet);
}

static PyObject *callback_stop(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    callback_clear(self);
    Py_RETURN_NONE;
}

static int callback_bool(PyObject *self)
{
    return ((CallbackObject *)self)->args != NULL;
}

static PyObject *callback_pending(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((CallbackObject *)self)->func != NULL);
}

static PyObject *callback_get_callback(PyObject *self,
                                       void *Py_UNUSED(closure))
{
    CallbackObject *callback = (CallbackObject *)self;
    if (callback->func && callback->starts_greenlet)
        return PyObject_GetAttrString(callback->func, "switch");
    PyObject *func = callback->func ? callback->func : Py_None;
    Py_INCREF(func);
    return func;
}

static int callback_set_callback(PyObject *self, PyObject *func,
                                 void *Py_UNUSED(closure))
{
    CallbackObject *callback = (CallbackObject *)self;
    PyObject *old = callback->func;
    callback->func = !func || func == Py_None ? NULL : func;
    callback->starts_greenlet = false;
    Py_XINCREF(callback->func);
    Py_XDECREF(old);
    return 0;
}

static PyObject *callback_get_args(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *args = ((CallbackObject *)self)->args;
    args = args ? args : Py_None;
    Py_INCREF(args);
    return args;
}

static int callback_set_args(PyObject *self, PyObject *args,
                             void *Py_UNUSED(closure))
{
    CallbackObject *callback = (CallbackObject *)self;
    if (args && args != Py_None && !PyTuple_Check(args)) {
        PyErr_Format(PyExc_TypeError, "args must be a tuple or None, not %R",
                     args);
        return -1;
    }
    PyObject *old = callback->args;
    callback->args = !args || args == Py_None ? NULL : args;
    Py_XINCREF(callback->args);
    Py_XDECREF(old);
    return 0;
}

static PyObject *callback_repr(PyObject *self)
{
    CallbackObject *callback = (CallbackObject *)self;
    if (!callback->args)
        return PyUnicode_FromFormat("<callback at %p stopped>", (void *)self);
    if (!callback->func) /* it runs */
        return PyUnicode_FromFormat("<callback at %p args=%R>", (void *)self,
                                    callback->args);
    return PyUnicode_FromFormat("<callback at %p pending callback=%R args=%R>",
                                (void *)self, callback->func, callback->args);
}

static PyMethodDef callback_methods[] = {
    {"stop", callback_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nDo not run it."},
    {"close", callback_stop, METH_NOARGS,
     "close($self, /)\n--\n\nThe same as stop()."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef callback_getset[] = {
    {"pending", callback_pending, NULL, "Whether it has yet to run.", NULL},
    {"callback", callback_get_callback, callback_set_callback,
     "The function, or None once it has been entered or stopped.", NULL},
    {"args", callback_get_args, callback_set_args,
     "Its arguments, or None once it has returned or been stopped.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot callback_slots[] = {
    {Py_tp_doc, "callback(callback, args)\n--\n\nA function call in the run "
                "queue; true while pending or executing."},
    {Py_tp_new, callback_new},
    {Py_tp_dealloc, callback_dealloc},
    {Py_tp_traverse, callback_traverse},
    {Py_tp_clear, callback_clear},
    {Py_tp_repr, callback_repr},
    {Py_nb_bool, callback_bool},
    {Py_tp_methods, callback_methods},
    {Py_tp_getset, callback_getset},
    {0, NULL}};
static PyType_Spec callback_spec = {
    .name = "libgcore._accel.callback",
    .basicsize = sizeof(CallbackObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = callback_slots,
};

static PyMethodDef functions[] = {
    {"run_switch", run_switch, METH_VARARGS,
     "run_switch($module, loop, greenlet, /)\n--\n\nQueue the start of a "
     "greenlet; a callback that can be stopped."},
    {NULL, NULL, 0, NULL}};

int accel_callback_init(PyObject *module)
{
    accel_callback_type = accel_add_type(module, &callback_spec, NULL);
    if (!accel_callback_type)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
