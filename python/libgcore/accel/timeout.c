/*
 * The base of timeouts: an exception with a timer.
 *
 * Most timeouts never fire, so what is to be quick is making one, starting it
 * and closing it.  The timer is made by the start, or when somebody asks for
 * it; where loop.timer() is the loop class's own, without a Python call.
 */
#include "greenlets.h"
#include "links.h"
#include "loop.h"

/* What follows the base exception's fields, whose size is known only at run
 * time. */
typedef struct {
    PyObject *seconds;
    PyObject *exception;
    PyObject *timer; /* NULL: not made yet */
    double after;
    int priority;
    bool ref;
    bool one_shot;
} timeout_fields;

static Py_ssize_t fields_offset;
static PyTypeObject *timeout_type;
static PyObject *no_timer;
static destructor base_dealloc;
static traverseproc base_traverse;
static inquiry base_clear;
static initproc base_init;
static PyObject *no_args;
static PyObject *str_active, *str_close, *str_expire, *str_loop,
    *str_pending, *str_start, *str_stop, *str_timer;
static PyObject *with_update; /* {"update": True} */

/* What loop.timer() of `loop_type` is and makes: both owned. */
static struct {
    PyObject *loop_type, *method, *timer_type;
} known;

static timeout_fields *fields_of(PyObject *self)
{
    return (timeout_fields *)((char *)self + fields_offset);
}

/* ---- no timer ------------------------------------------------------------ */

static PyObject *no_timer_start(PyObject *Py_UNUSED(self),
                                PyObject *Py_UNUSED(args),
                                PyObject *Py_UNUSED(keywords))
{
    PyErr_SetString(PyExc_AssertionError,
                    "non-expiring timer cannot be started");
    return NULL;
}

static PyObject *no_timer_stop(PyObject *Py_UNUSED(self),
                               PyObject *Py_UNUSED(args))
{
    Py_RETURN_NONE;
}

static PyObject *no_timer_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    return self;
}

static PyObject *no_timer_is(PyObject *Py_UNUSED(self),
                             void *Py_UNUSED(closure))
{
    Py_RETURN_FALSE;
}

static PyMethodDef no_timer_methods[] = {
    {"start", (PyCFunction)(void (*)(void))no_timer_start,
     METH_VARARGS | METH_KEYWORDS,
     "start($self, *args, **kwargs)\n--\n\nRaises AssertionError."},
    {"stop", no_timer_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nNothing to stop."},
    {"cancel", no_timer_stop, METH_NOARGS,
     "cancel($self, /)\n--\n\nNothing to stop."},
    {"close", no_timer_stop, METH_NOARGS,
     "close($self, /)\n--\n\nNothing to close."},
    {"__enter__", no_timer_enter, METH_NOARGS, NULL},
    {"__exit__", no_timer_stop, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef no_timer_getset[] = {
    {"active", no_timer_is, NULL, "False.", NULL},
    {"pending", no_timer_is, NULL, "False.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot no_timer_slots[] = {
    {Py_tp_doc, "The timer of a timeout that never fires."},
    {Py_tp_methods, no_timer_methods},
    {Py_tp_getset, no_timer_getset},
    {0, NULL}};
static PyType_Spec no_timer_spec = {
    .name = "libgcore._accel.NoTimer",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = no_timer_slots,
};

/* ---- the timer ----------------------------------------------------------- */

static PyObject *current_loop(void)
{
    PyObject *hub = accel_current_hub(1);
    return hub ? PyObject_GetAttr(hub, str_loop) : NULL;
}

static PyObject *make_timer(timeout_fields *fields, PyObject *loop)
{
    PyObject *method = PyObject_GetAttr(loop, str_timer);
    PyObject *args =
        Py_BuildValue("(O)", fields->seconds ? fields->seconds : Py_None);
    PyObject *keywords =
        Py_BuildValue("{s:O,s:i}", "ref", fields->ref ? Py_True : Py_False,
                      "priority", fields->priority);
    PyObject *timer = method && args && keywords
                          ? PyObject_Call(method, args, keywords)
                          : NULL;
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(keywords);
    return timer;
}

/* Remember how timers of this loop class are made. */
static void learn(PyObject *loop, PyObject *timer)
{
    if (!PyObject_TypeCheck(loop, accel_loop_type)
        || !PyObject_TypeCheck(timer, accel_timer_type))
        return;
    PyObject *type = (PyObject *)Py_TYPE(loop);
    PyObject *method = PyObject_GetAttr(type, str_timer);
    if (!method) {
        PyErr_Clear();
        return;
    }
    accel_set(&known.loop_type, type);
    accel_set(&known.timer_type, (PyObject *)Py_TYPE(timer));
    accel_replace(&known.method, method);
}

static bool is_known(PyObject *loop)
{
    PyObject *type = (PyObject *)Py_TYPE(loop);
    if (type != known.loop_type)
        return false;
    PyObject *method = PyObject_GetAttr(type, str_timer);
    if (!method)
        PyErr_Clear();
    Py_XDECREF(method);
    return method == known.method;
}

static PyObject *get_timer(PyObject *self, void *Py_UNUSED(closure))
{
    timeout_fields *fields = fields_of(self);
    if (!fields->timer) {
        PyObject *loop = current_loop();
        fields->timer = loop ? make_timer(fields, loop) : NULL;
        Py_XDECREF(loop);
    }
    Py_XINCREF(fields->timer);
    return fields->timer;
}

static int set_timer(PyObject *self, PyObject *timer,
                     void *Py_UNUSED(closure))
{
    accel_set(&fields_of(self)->timer, timer ? timer : no_timer);
    return 0;
}

/* 1, 0, or -1 with an exception. */
static int is_true(PyObject *object, PyObject *attribute)
{
    PyObject *value = PyObject_GetAttr(object, attribute);
    int truth = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return truth;
}

static int is_pending(PyObject *self)
{
    PyObject *timer = fields_of(self)->timer;
    if (!timer || timer == no_timer)
        return 0;
    int active = is_true(timer, str_active);
    return active ? active : is_true(timer, str_pending);
}

/* ---- starting ------------------------------------------------------------ */

/* (greenlet, what to throw into it) */
static PyObject *expiration_args(PyObject *self)
{
    PyObject *thrown = fields_of(self)->exception;
    if (!thrown || thrown == Py_None || thrown == Py_False
        || PyUnicode_Check(thrown))
        thrown = self;
    PyObject *greenlet = accel_current_greenlet();
    PyObject *args = greenlet ? PyTuple_Pack(2, greenlet, thrown) : NULL;
    Py_XDECREF(greenlet);
    return args;
}

static int start_timer(PyObject *timer, PyObject *callback, PyObject *args)
{
    PyObject *method = PyObject_GetAttr(timer, str_start);
    PyObject *call_args = Py_BuildValue("(OOO)", callback,
                                        PyTuple_GetItem(args, 0),
                                        PyTuple_GetItem(args, 1));
    /* The loop's idea of now is what it was when this greenlet got control. */
    PyObject *done = method && call_args
                         ? PyObject_Call(method, call_args, with_update)
                         : NULL;
    Py_XDECREF(method);
    Py_XDECREF(call_args);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int start_new_timer(timeout_fields *fields, PyObject *loop,
                           PyObject *callback, PyObject *args)
{
    if (is_known(loop)) {
        PyObject *timer = accel_timer_start(
            (PyTypeObject *)known.timer_type, (LoopObject *)loop,
            fields->after, fields->ref, fields->priority, callback, args);
        if (!timer)
            return -1;
        accel_replace(&fields->timer, timer);
        return 0;
    }
    PyObject *timer = make_timer(fields, loop);
    if (!timer)
        return -1;
    learn(loop, timer);
    accel_replace(&fields->timer, timer);
    return start_timer(timer, callback, args);
}

static int start(PyObject *self)
{
    timeout_fields *fields = fields_of(self);
    int pending = is_pending(self);
    if (pending > 0)
        PyErr_Format(PyExc_AssertionError,
                     "%R is already started; to restart it, cancel it first",
                     self);
    if (pending)
        return -1;
    if (!fields->seconds || fields->seconds == Py_None)
        return 0;
    PyObject *callback = PyObject_GetAttr(self, str_expire);
    PyObject *args = callback ? expiration_args(self) : NULL;
    PyObject *loop = args && !fields->timer ? current_loop() : NULL;
    int failed = -1;
    if (args && fields->timer)
        failed = start_timer(fields->timer, callback, args);
    else if (loop)
        failed = start_new_timer(fields, loop, callback, args);
    Py_XDECREF(callback);
    Py_XDECREF(args);
    Py_XDECREF(loop);
    return failed;
}

static PyObject *timeout_start(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (start(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* What the timer calls, in the hub. */
static PyObject *timeout_expire(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *greenlet, *thrown;
    if (!PyArg_ParseTuple(args, "OO", &greenlet, &thrown))
        return NULL;
    return PyObject_CallMethod(greenlet, "throw", "O", thrown);
}

/* ---- stopping ------------------------------------------------------------ */

static int call(PyObject *object, PyObject *method)
{
    PyObject *done = PyObject_CallMethodObjArgs(object, method, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static int close_timer(PyObject *self)
{
    timeout_fields *fields = fields_of(self);
    PyObject *timer = fields->timer;
    if (timer == no_timer)
        return 0;
    Py_INCREF(no_timer);
    fields->timer = no_timer;
    int failed = 0;
    if (timer && PyObject_TypeCheck(timer, accel_timer_type))
        accel_watcher_close(timer);
    else if (timer)
        failed = call(timer, str_stop) | call(timer, str_close);
    Py_XDECREF(timer);
    return failed;
}

static PyObject *timeout_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (close_timer(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *timeout_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    timeout_fields *fields = fields_of(self);
    if (fields->one_shot)
        return timeout_close(self, NULL);
    if (fields->timer && fields->timer != no_timer
        && call(fields->timer, str_stop) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- as a time limit ------------------------------------------------------ */

static bool is_the_exception(PyObject *error)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    bool same = value == error;
    PyErr_Restore(type, value, traceback);
    return same;
}

static PyObject *call_within(PyObject *timeout, accel_method_fn *method,
                             PyObject *self, PyObject **values,
                             PyObject *expired)
{
    int pending = is_pending(timeout);
    if (pending < 0 || (!pending && call(timeout, str_start) < 0))
        return NULL;
    PyObject *result = method(self, values);
    if (!result && expired && is_the_exception(timeout)) {
        PyErr_Clear();
        Py_INCREF(expired);
        result = expired;
    }
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *cancelled = timeout_cancel(timeout, NULL);
    if (!cancelled)
        PyErr_WriteUnraisable(timeout);
    Py_XDECREF(cancelled);
    PyErr_Restore(type, value, traceback);
    return result;
}

PyObject *accel_call_timed(accel_method_fn *method, PyObject *self,
                           PyObject **values, int limit, PyObject *expired)
{
    PyObject *timeout = values[limit];
    if (timeout == Py_None || PyFloat_Check(timeout) || PyLong_Check(timeout)
        || !PyObject_TypeCheck(timeout, timeout_type))
        return method(self, values);
    values[limit] = Py_None;
    return call_within(timeout, method, self, values, expired);
}

/* ---- the with statement -------------------------------------------------- */

static PyObject *timeout_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    int pending = is_pending(self);
    if (pending < 0 || (!pending && call(self, str_start) < 0))
        return NULL;
    Py_INCREF(self);
    return self;
}

/* Only its own expiration is kept from leaving the block. */
static PyObject *timeout_exit(PyObject *self, PyObject *const *args,
                              Py_ssize_t count)
{
    if (close_timer(self) < 0)
        return NULL;
    return PyBool_FromLong(count > 1 && args[1] == self
                           && fields_of(self)->exception == Py_False);
}

/* ---- the type ------------------------------------------------------------ */

static int timeout_init(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"seconds", "exception", "ref",
                            "priority", "_one_shot", NULL};
    PyObject *seconds = Py_None, *exception = Py_None;
    int ref = 1, priority = -1, one_shot = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|OOpip", names,
                                     &seconds, &exception, &ref, &priority,
                                     &one_shot))
        return -1;
    /* Its args are no message. */
    if (base_init(self, no_args, NULL) < 0)
        return -1;
    timeout_fields *fields = fields_of(self);
    double after = 0;
    if (seconds != Py_None) {
        after = PyFloat_AsDouble(seconds);
        if (after == -1.0 && PyErr_Occurred())
            return -1;
    }
    fields->after = after;
    fields->priority = priority < GCORE_PRIORITY_MIN   ? GCORE_PRIORITY_MIN
                       : priority > GCORE_PRIORITY_MAX ? GCORE_PRIORITY_MAX
                                                       : priority;
    fields->ref = ref;
    fields->one_shot = one_shot;
    accel_set(&fields->seconds, seconds);
    accel_set(&fields->exception, exception);
    accel_set(&fields->timer, seconds == Py_None ? no_timer : NULL);
    return 0;
}

static int timeout_traverse(PyObject *self, visitproc visit, void *arg)
{
    timeout_fields *fields = fields_of(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(fields->seconds);
    Py_VISIT(fields->exception);
    Py_VISIT(fields->timer);
    return base_traverse(self, visit, arg);
}

static int timeout_clear(PyObject *self)
{
    timeout_fields *fields = fields_of(self);
    Py_CLEAR(fields->seconds);
    Py_CLEAR(fields->exception);
    Py_CLEAR(fields->timer);
    return base_clear(self);
}

static void timeout_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    timeout_fields *fields = fields_of(self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(fields->seconds);
    Py_CLEAR(fields->exception);
    Py_CLEAR(fields->timer);
    PyObject_GC_Track(self); /* as the base expects it */
    base_dealloc(self);
    Py_DECREF(type);
}

static PyObject *get_seconds(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *seconds = fields_of(self)->seconds;
    seconds = seconds ? seconds : Py_None;
    Py_INCREF(seconds);
    return seconds;
}

static int set_seconds(PyObject *self, PyObject *seconds,
                       void *Py_UNUSED(closure))
{
    accel_set(&fields_of(self)->seconds, seconds);
    return 0;
}

static PyObject *get_exception(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *exception = fields_of(self)->exception;
    exception = exception ? exception : Py_None;
    Py_INCREF(exception);
    return exception;
}

static int set_exception(PyObject *self, PyObject *exception,
                         void *Py_UNUSED(closure))
{
    accel_set(&fields_of(self)->exception, exception);
    return 0;
}

static PyObject *get_pending(PyObject *self, void *Py_UNUSED(closure))
{
    int pending = is_pending(self);
    return pending < 0 ? NULL : PyBool_FromLong(pending);
}

static PyMethodDef timeout_methods[] = {
    {"start", timeout_start, METH_NOARGS,
     "start($self, /)\n--\n\nStart the timer, for the current greenlet; "
     "AssertionError when it\nis running."},
    {"cancel", timeout_cancel, METH_NOARGS,
     "cancel($self, /)\n--\n\nStop the timer; the timeout may be started "
     "again."},
    {"close", timeout_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop the timer and free it; the timeout cannot "
     "be used again."},
    {"_on_expiration", timeout_expire, METH_VARARGS,
     "_on_expiration(greenlet, exception)\n\nCalled in the hub when the time "
     "has run out: throws."},
    {"__enter__", timeout_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))timeout_exit, METH_FASTCALL,
     NULL},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef timeout_getset[] = {
    {"seconds", get_seconds, set_seconds, "When it fires; None for never.",
     NULL},
    {"exception", get_exception, set_exception,
     "What it throws, if not itself.", NULL},
    {"timer", get_timer, set_timer, "Its timer.", NULL},
    {"pending", get_pending, NULL, "Whether the timer is running.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot timeout_slots[] = {
    {Py_tp_doc, "Timeout(seconds=None, exception=None, ref=True, "
                "priority=-1)\n--\n\nAn exception with a timer that throws "
                "it."},
    {Py_tp_init, timeout_init},
    {Py_tp_traverse, timeout_traverse},
    {Py_tp_clear, timeout_clear},
    {Py_tp_dealloc, timeout_dealloc},
    {Py_tp_methods, timeout_methods},
    {Py_tp_getset, timeout_getset},
    {0, NULL}};
static PyType_Spec timeout_spec = {
    .name = "libgcore._accel.Timeout",
    .basicsize = 0, /* set below */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = timeout_slots,
};

/* ---- module -------------------------------------------------------------- */

static int intern_names(void)
{
    struct {
        PyObject **target;
        const char *text;
    } const table[] = {
        {&str_active, "active"},   {&str_close, "close"},
        {&str_loop, "loop"},       {&str_expire, "_on_expiration"},
        {&str_pending, "pending"}, {&str_start, "start"},
        {&str_stop, "stop"},       {&str_timer, "timer"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        *table[i].target = PyUnicode_InternFromString(table[i].text);
        if (!*table[i].target)
            return -1;
    }
    return 0;
}

static int learn_base(void)
{
    PyTypeObject *base = (PyTypeObject *)PyExc_BaseException;
    PyObject *size = PyObject_GetAttrString(PyExc_BaseException,
                                            "__basicsize__");
    if (!size)
        return -1;
    Py_ssize_t align = (Py_ssize_t)_Alignof(timeout_fields);
    fields_offset = (PyLong_AsSsize_t(size) + align - 1) / align * align;
    Py_DECREF(size);
    timeout_spec.basicsize =
        (int)(fields_offset + (Py_ssize_t)sizeof(timeout_fields));
    base_dealloc = (destructor)PyType_GetSlot(base, Py_tp_dealloc);
    base_traverse = (traverseproc)PyType_GetSlot(base, Py_tp_traverse);
    base_clear = (inquiry)PyType_GetSlot(base, Py_tp_clear);
    base_init = (initproc)PyType_GetSlot(base, Py_tp_init);
    return 0;
}

int accel_timeout_init(PyObject *module)
{
    no_args = PyTuple_New(0);
    with_update = Py_BuildValue("{s:O}", "update", Py_True);
    if (!no_args || !with_update || intern_names() < 0 || learn_base() < 0)
        return -1;
    PyTypeObject *no_timer_type =
        accel_add_type(module, &no_timer_spec, NULL);
    no_timer = no_timer_type
                   ? PyObject_CallNoArgs((PyObject *)no_timer_type)
                   : NULL;
    if (!no_timer)
        return -1;
    Py_INCREF(no_timer);
    if (PyModule_AddObject(module, "NO_TIMER", no_timer) < 0)
        return -1;
    timeout_type =
        accel_add_type(module, &timeout_spec, PyExc_BaseException);
    return timeout_type ? 0 : -1;
}
