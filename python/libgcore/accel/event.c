/* Events, and results that are set once somewhere and awaited elsewhere. */
#include "links.h"

static PyTypeObject *event_type, *result_type;
static PyObject *unset; /* a result's value before there is one */

/* ---- Event --------------------------------------------------------------- */

typedef struct {
    LinkableObject base;
    bool flag;
    uint64_t set_in; /* the loop where set() last told someone; 0: none */
    uint64_t set_position; /* and at which place of its queue */
} EventObject;

static int event_notify(LinkableObject *self)
{
    return accel_links_tell_all(&self->links, (PyObject *)self);
}

static const accel_linkable_ops event_ops = {event_notify, NULL, NULL};

static PyObject *event_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(keywords))
{
    return (PyObject *)accel_linkable_new(type, &event_ops);
}

static PyObject *event_is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(((EventObject *)self)->flag);
}

/* set() wakes everyone who waits by the time its turn in the queue comes, also
 * when clear() follows at once: who begins to wait before that is woken. */
static bool set_is_underway(const EventObject *event)
{
    const LoopObject *loop = accel_current_loop(0);
    return loop && loop->serial == event->set_in
           && loop->taken <= event->set_position;
}

static PyObject *event_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    EventObject *event = (EventObject *)self;
    event->flag = true;
    if (!event->base.links.count)
        Py_RETURN_NONE;
    if (!set_is_underway(event)) {
        const LoopObject *loop = accel_current_loop(0);
        event->set_in = loop ? loop->serial : 0;
        if (loop)
            event->set_position = accel_loop_position(loop);
    }
    if (event_notify(&event->base) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((EventObject *)self)->flag = false;
    Py_RETURN_NONE;
}

static PyObject *wait_for(PyObject *self, PyObject **values)
{
    EventObject *event = (EventObject *)self;
    int64_t deadline = accel_optional_deadline(values[0]);
    if (deadline < 0)
        return NULL;
    enum accel_park_result result =
        accel_linkable_wait(&event->base, deadline);
    if (result == PARK_FAILED)
        return NULL;
    return PyBool_FromLong(result == PARK_TOLD || event->flag);
}

static PyObject *event_wait(PyObject *self, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"timeout", NULL};
    PyObject *values[] = {Py_None};
    EventObject *event = (EventObject *)self;
    if ((nargs || keywords)
        && accel_parse("wait", names, values, args, nargs, keywords) < 0)
        return NULL;
    if (event->flag || set_is_underway(event)) {
        /* Those who were told already run first, and without the flag each
         * wait takes its turn. */
        if ((event->base.links.told_waits || !event->flag)
            && accel_current_hub(0) && !accel_in_hub()
            && accel_pause(NULL) < 0)
            return NULL;
        Py_RETURN_TRUE;
    }
    return accel_call_timed(wait_for, self, values, 0, Py_False);
}

static PyMethodDef event_methods[] = {
    {"is_set", event_is_set, METH_NOARGS,
     "is_set($self, /)\n--\n\nWhether the flag is set."},
    {"isSet", event_is_set, METH_NOARGS,
     "isSet($self, /)\n--\n\nAs is_set()."},
    {"ready", event_is_set, METH_NOARGS,
     "ready($self, /)\n--\n\nAs is_set()."},
    {"set", event_set, METH_NOARGS,
     "set($self, /)\n--\n\nSet the flag; wake everyone who waits now."},
    {"clear", event_clear, METH_NOARGS,
     "clear($self, /)\n--\n\nReset the flag.  Who was woken by set() still "
     "returns."},
    ACCEL_FAST("wait", event_wait,
               "wait($self, timeout=None)\n--\n\nWait until the flag is set; "
               "False when `timeout` seconds ran out."),
    {NULL, NULL, 0, NULL}};
static PyType_Slot event_slots[] = {
    {Py_tp_doc, "Event()\n--\n\nA flag that greenlets, of any thread, wait "
                "for."},
    {Py_tp_new, event_new},
    {Py_tp_traverse, accel_linkable_traverse},
    {Py_tp_clear, accel_linkable_clear},
    {Py_tp_dealloc, accel_linkable_dealloc},
    {Py_tp_methods, event_methods},
    {0, NULL}};
static PyType_Spec event_spec = {
    .name = "libgcore._accel.Event",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = event_slots,
};

/* ---- Result -------------------------------------------------------------- */

typedef struct {
    LinkableObject base;
    PyObject *value;    /* `unset` until there is one */
    PyObject *exc_info; /* (type, value, traceback), or () */
} ResultObject;

static PyObject *result_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                            PyObject *Py_UNUSED(keywords))
{
    PyObject *nothing = PyTuple_New(0);
    if (!nothing)
        return NULL;
    ResultObject *self =
        (ResultObject *)accel_linkable_new(type, &event_ops);
    if (!self) {
        Py_DECREF(nothing);
        return NULL;
    }
    Py_INCREF(unset);
    self->value = unset;
    self->exc_info = nothing;
    return (PyObject *)self;
}

static int result_traverse(PyObject *self, visitproc visit, void *arg)
{
    ResultObject *result = (ResultObject *)self;
    Py_VISIT(result->value);
    Py_VISIT(result->exc_info);
    return accel_linkable_traverse(self, visit, arg);
}

static int result_clear(PyObject *self)
{
    ResultObject *result = (ResultObject *)self;
    Py_CLEAR(result->value);
    Py_CLEAR(result->exc_info);
    return accel_linkable_clear(self);
}

static void result_dealloc(PyObject *self)
{
    ResultObject *result = (ResultObject *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(result->value);
    Py_CLEAR(result->exc_info);
    accel_linkable_dealloc(self);
}

static bool is_ready(const ResultObject *result)
{
    return result->value != unset
           || (result->exc_info && PyTuple_Size(result->exc_info) > 0);
}

static PyObject *result_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_ready((ResultObject *)self));
}

static PyObject *store(ResultObject *self, PyObject **member,
                       PyObject *object)
{
    PyObject *old = *member;
    Py_INCREF(object);
    *member = object;
    int failed =
        self->base.links.count ? event_notify(&self->base) : 0;
    Py_XDECREF(old);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *result_settle(PyObject *self, PyObject *value)
{
    ResultObject *result = (ResultObject *)self;
    return store(result, &result->value, value);
}

static PyObject *result_fail(PyObject *self, PyObject *exc_info)
{
    ResultObject *result = (ResultObject *)self;
    if (!PyTuple_Check(exc_info)) {
        PyErr_SetString(PyExc_TypeError,
                        "exc_info must be a (type, value, traceback) tuple");
        return NULL;
    }
    return store(result, &result->exc_info, exc_info);
}

static PyMethodDef result_methods[] = {
    {"ready", result_ready, METH_NOARGS,
     "ready($self, /)\n--\n\nWhether there is a value or an exception."},
    {"_settle", result_settle, METH_O,
     "_settle(value)\n\nStore the value and wake everyone."},
    {"_fail", result_fail, METH_O,
     "_fail(exc_info)\n\nStore the exception and wake everyone."},
    {NULL, NULL, 0, NULL}};
static PyMemberDef result_members[] = {
    {"_value", T_OBJECT_EX, offsetof(ResultObject, value), 0, NULL},
    {"_exc_info", T_OBJECT_EX, offsetof(ResultObject, exc_info), 0, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot result_slots[] = {
    {Py_tp_doc, "Result()\n--\n\nA value or an exception, awaited by many."},
    {Py_tp_new, result_new},
    {Py_tp_traverse, result_traverse},
    {Py_tp_clear, result_clear},
    {Py_tp_dealloc, result_dealloc},
    {Py_tp_methods, result_methods},
    {Py_tp_members, result_members},
    {0, NULL}};
static PyType_Spec result_spec = {
    .name = "libgcore._accel.Result",
    .basicsize = sizeof(ResultObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = result_slots,
};

int accel_event_init(PyObject *module)
{
    if (accel_links_init(module) < 0)
        return -1;
    unset = PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type);
    if (!unset || PyModule_AddObject(module, "UNSET", unset) < 0)
        return -1;
    Py_INCREF(unset);
    event_type =
        accel_add_type(module, &event_spec, (PyObject *)accel_linkable_type);
    result_type =
        accel_add_type(module, &result_spec, (PyObject *)accel_linkable_type);
    return event_type && result_type ? 0 : -1;
}
