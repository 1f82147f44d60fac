/*
 * Direct switching.
 *
 * The greenlet that blocks takes the next ready one from the run queue and
 * switches to it itself; the hub would cost a second switch.  That is sound
 * only when
 *   - the hub is parked at its dispatch point, not inside a callback (a
 *     callback must not be overtaken by what it has queued);
 *   - the next item is a wake-up: callbacks run in the hub;
 *   - the target has run before.  A new greenlet inherits stack base and
 *     recursion depth of whoever starts it, so only the hub starts them;
 *   - the target does not override switch (what is thrown always goes through
 *     the hub, by the throw method);
 *   - the queue still has its time slice: otherwise the hub must poll.
 * Everything else goes through the hub.  When nothing is queued, whoever blocks
 * looks for events itself, without blocking, and so saves the hub's turn; a
 * poll that has to block is the hub's.
 *
 * Taking the item and switching is one step: a signal handler that raised
 * between the two would lose a wake-up for ever.
 */
#include "greenlets.h"
#include "loop.h"

#include <greenlet/greenlet.h>

static PyObject *no_args;
static PyObject *str_switch, *str_switch_out, *str_context;
static PyObject *plain_switch;     /* greenlet's own descriptor */
static PyObject *plain_hub_switch; /* and HubBase's */
static Py_ssize_t dict_offset, weakrefs_offset;

static PyObject *hub_factory;
static PyObject *error_types;
static PyObject *end_hub; /* called with the hub of a thread that ends */

/* One entry per thread, owned by the thread's state dictionary so that it
 * goes when the thread does; the pointers beside it are for speed. */
#define FAST_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
static FAST_THREAD_LOCAL PyObject *thread_hub;
static FAST_THREAD_LOCAL LoopObject *thread_loop;
static PyObject *thread_key;
static PyTypeObject *slot_type;

typedef struct {
    PyObject_HEAD
    PyObject *hub;
    LoopObject *loop;
} SlotObject;

/* In the thread, which runs nothing else any more; its hub is current. */
static void end_hub_of_thread(PyObject *hub)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = PyObject_CallFunctionObjArgs(end_hub, hub, NULL);
    if (!result)
        PyErr_WriteUnraisable(hub);
    Py_XDECREF(result);
    PyErr_Restore(type, value, traceback);
}

static void slot_dealloc(PyObject *self)
{
    SlotObject *slot = (SlotObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (thread_hub && thread_hub == slot->hub) {
        /* Not when the interpreter ends: the process gives everything back. */
        if (end_hub && end_hub != Py_None && Py_IsInitialized())
            end_hub_of_thread(slot->hub);
        thread_hub = NULL;
        thread_loop = NULL;
    }
    Py_XDECREF(slot->hub);
    Py_XDECREF((PyObject *)slot->loop);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot slot_slots[] = {{Py_tp_dealloc, slot_dealloc}, {0, NULL}};
static PyType_Spec slot_spec = {
    .name = "libgcore._accel._ThreadSlot",
    .basicsize = sizeof(SlotObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slot_slots,
};

static int set_current_hub(PyObject *hub)
{
    PyObject *dict = PyThreadState_GetDict();
    if (!dict) {
        PyErr_SetString(PyExc_RuntimeError, "this thread has no state");
        return -1;
    }
    if (hub == Py_None) {
        thread_hub = NULL;
        thread_loop = NULL;
        if (PyDict_GetItemWithError(dict, thread_key))
            return PyDict_DelItem(dict, thread_key);
        return PyErr_Occurred() ? -1 : 0;
    }
    PyObject *loop = PyObject_GetAttrString(hub, "loop");
    if (!loop)
        return -1;
    SlotObject *slot =
        (SlotObject *)PyType_GenericAlloc(slot_type, 0);
    if (!slot) {
        Py_DECREF(loop);
        return -1;
    }
    Py_INCREF(hub);
    slot->hub = hub;
    if (PyObject_TypeCheck(loop, accel_loop_type))
        slot->loop = (LoopObject *)loop;
    else
        Py_DECREF(loop);
    /* Replacing the old slot runs its destructor, which takes a current hub
     * for one whose thread ends: the new pointers come after. */
    thread_hub = NULL;
    thread_loop = NULL;
    int failed = PyDict_SetItem(dict, thread_key, (PyObject *)slot);
    if (!failed) {
        thread_hub = hub;
        thread_loop = slot->loop;
    }
    Py_DECREF((PyObject *)slot);
    return failed;
}

PyObject *accel_current_hub(int create)
{
    if (thread_hub || !create)
        return thread_hub;
    if (!hub_factory) {
        PyErr_SetString(PyExc_RuntimeError,
                        "no hub factory: import gevent first");
        return NULL;
    }
    PyObject *hub = PyObject_CallObject(hub_factory, NULL);
    if (!hub)
        return NULL;
    int failed = thread_hub == hub ? 0 : set_current_hub(hub);
    Py_DECREF(hub); /* the thread's slot holds it */
    return failed ? NULL : thread_hub;
}

LoopObject *accel_current_loop(int create)
{
    if (!accel_current_hub(create))
        return NULL;
    if (!thread_loop && create)
        PyErr_SetString(PyExc_TypeError,
                        "the hub of this thread does not run on an engine "
                        "loop");
    return thread_loop;
}

PyObject *accel_error(const char *name)
{
    PyObject *type = error_types ? PyDict_GetItemString(error_types, name)
                                 : NULL;
    return type ? type : PyExc_RuntimeError;
}

PyObject *accel_current_greenlet(void)
{
    return (PyObject *)PyGreenlet_GetCurrent();
}

/* ---- who may be switched to ------------------------------------------- */

static bool type_has(PyObject *type, PyObject *name, PyObject *expected)
{
    PyObject *found = PyObject_GetAttr(type, name);
    if (!found)
        PyErr_Clear();
    Py_XDECREF(found);
    return found == expected;
}

static bool instance_has(PyObject *greenlet, PyObject *name)
{
    PyObject *dict = *(PyObject **)((char *)greenlet + dict_offset);
    return dict && PyDict_Size(dict) && PyDict_GetItemWithError(dict, name);
}

PyObject *accel_greenlet_attribute(PyObject *greenlet, PyObject *name)
{
    PyObject *value;
    if ((void *)Py_TYPE(greenlet) == (void *)&PyGreenlet_Type) {
        /* A raw one has only its dictionary: no need to raise and clear. */
        PyObject *dict = *(PyObject **)((char *)greenlet + dict_offset);
        value = dict ? PyDict_GetItemWithError(dict, name) : NULL;
        Py_XINCREF(value);
        return value;
    }
    value = PyObject_GetAttr(greenlet, name);
    if (!value && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    return value;
}

/* ---- traces -------------------------------------------------------------- */

static Py_ssize_t attributes_of(PyObject *greenlet)
{
    PyObject *dict = *(PyObject **)((char *)greenlet + dict_offset);
    return dict ? PyDict_Size(dict) : 0;
}

static bool has_context(PyObject *greenlet)
{
    PyObject *context = PyObject_GetAttr(greenlet, str_context);
    if (!context)
        PyErr_Clear();
    Py_XDECREF(context);
    return context != Py_None;
}

accel_greenlet_marks accel_greenlet_look(PyObject *greenlet)
{
    return (accel_greenlet_marks){
        .references = Py_REFCNT(greenlet),
        .attributes = attributes_of(greenlet),
    };
}

bool accel_greenlet_unmarked(PyObject *greenlet,
                             const accel_greenlet_marks *before)
{
    return Py_REFCNT(greenlet) <= before->references
           && attributes_of(greenlet) == before->attributes
           && !*(PyObject **)((char *)greenlet + weakrefs_offset)
           && !accel_task_links(greenlet) && !has_context(greenlet);
}

/* What the types of recent greenlets override.  A class may be assigned to at
 * any time, so this is forgotten with each slice of the queue; the reference
 * keeps a dead type's address from being used again meanwhile. */
typedef struct {
    PyObject *type;
    bool plain_switch;
    bool no_switch_out;
} type_facts;
#define KNOWN_TYPES 8
static type_facts known_types[KNOWN_TYPES];
static int known_type_count;

void accel_greenlets_forget_types(void)
{
    while (known_type_count) {
        PyObject *type = known_types[--known_type_count].type;
        Py_DECREF(type);
    }
}

static type_facts learn(PyObject *type)
{
    type_facts facts = {.type = type};
    facts.plain_switch = type_has(type, str_switch, plain_switch);
    facts.no_switch_out = type_has(type, str_switch_out, NULL)
                          || type_has(type, str_switch_out, Py_None);
    if (known_type_count < KNOWN_TYPES) {
        Py_INCREF(type);
        known_types[known_type_count++] = facts;
    }
    return facts;
}

static type_facts facts_of(PyObject *greenlet)
{
    PyObject *type = (PyObject *)Py_TYPE(greenlet);
    for (int i = 0; i < known_type_count; i++)
        if (known_types[i].type == type)
            return known_types[i];
    return learn(type);
}

bool accel_plain_switch(PyObject *greenlet)
{
    return facts_of(greenlet).plain_switch
           && !instance_has(greenlet, str_switch);
}

/* ---- switching ---------------------------------------------------------- */

static int call_switch_out(PyObject *current)
{
    if (facts_of(current).no_switch_out
        && !instance_has(current, str_switch_out))
        return 0;
    PyObject *method = accel_greenlet_attribute(current, str_switch_out);
    if (!method)
        return PyErr_Occurred() ? -1 : 0;
    int failed = 0;
    if (method != Py_None) {
        PyObject *result = PyObject_CallObject(method, NULL);
        failed = result ? 0 : -1;
        Py_XDECREF(result);
    }
    Py_DECREF(method);
    return failed;
}

/* Take the next item if the caller may switch to it itself. */
static WaitObject *take_wake_up(LoopObject *loop)
{
    while (loop->parked && !loop->must_poll) {
        PyObject *item = accel_loop_peek(loop);
        if (!item || (void *)Py_TYPE(item) != (void *)accel_wait_type)
            return NULL;
        WaitObject *wait = (WaitObject *)item;
        if (wait->state == WAIT_QUEUED
            && (wait->error || !accel_plain_switch(wait->greenlet)))
            return NULL;
        accel_loop_take(loop);
        if (wait->state == WAIT_QUEUED)
            return wait;
        Py_DECREF(item); /* its wait has ended meanwhile */
    }
    return NULL;
}

static WaitObject *take_direct(LoopObject *loop)
{
    WaitObject *wait = take_wake_up(loop);
    if (!wait && !loop->looked && accel_loop_may_look(loop)
        && accel_loop_look(loop) > 0)
        wait = take_wake_up(loop);
    return wait;
}

/* ---- tracers ------------------------------------------------------------- */

/* A tracer that keeps a stack for each greenlet, as a measurer of coverage
 * does, finds the right one by the calls and returns it sees.  A greenlet that
 * waits in C goes on with neither: while there is a tracer, it calls this. */
static PyObject *resumed_function, *gettrace_function;

static PyObject *make_resumed_function(void)
{
    PyObject *code = Py_CompileString("def resumed(): pass",
                                      "<greenlet resumed>", Py_file_input);
    PyObject *names = code ? PyDict_New() : NULL;
    PyObject *ran = names ? PyEval_EvalCode(code, names, names) : NULL;
    PyObject *function =
        ran ? PyDict_GetItemString(names, "resumed") : NULL;
    Py_XINCREF(function);
    Py_XDECREF(ran);
    Py_XDECREF(names);
    Py_XDECREF(code);
    return function;
}

bool accel_traced(void)
{
    PyObject *tracer = PyObject_CallObject(gettrace_function, NULL);
    if (!tracer)
        PyErr_Clear();
    Py_XDECREF(tracer);
    return tracer && tracer != Py_None;
}

/* Between a switch and its result; the tracer may raise. */
static PyObject *tell_tracer(PyObject *result)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *told = PyObject_CallObject(resumed_function, NULL);
    if (told) {
        Py_DECREF(told);
        PyErr_Restore(type, value, traceback);
        return result;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    Py_XDECREF(result);
    return NULL;
}

/* What hub.switch() does, in the greenlet `current`. */
static PyObject *switch_from(PyObject *self, PyObject *current)
{
    if (call_switch_out(current) < 0)
        return NULL;
    PyObject *result;
    WaitObject *wait =
        self == thread_hub && thread_loop ? take_direct(thread_loop) : NULL;
    if (!wait) {
        result = PyGreenlet_Switch((PyGreenlet *)self, no_args, NULL);
    } else {
        PyObject *target = wait->greenlet;
        Py_INCREF(target);
        wait->state = WAIT_RESUMED;
        Py_DECREF((PyObject *)wait);
        if (target == current) {
            Py_INCREF(Py_None);
            result = Py_None;
        } else {
            result = PyGreenlet_Switch((PyGreenlet *)target, no_args, NULL);
        }
        Py_DECREF(target);
    }
    if (thread_loop) {
        thread_loop->running = current;
        thread_loop->switches++;
        if (thread_loop->traced)
            result = tell_tracer(result);
    }
    return result;
}

static PyObject *hub_switch(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *current = accel_current_greenlet();
    if (!current)
        return NULL;
    /* It lives while it runs; a reference on its own stack would keep it
     * when all others are gone while it is parked. */
    Py_DECREF(current);
    return switch_from(self, current);
}

PyObject *accel_give_up(PyObject *hub, PyObject *current)
{
    PyObject *type = (PyObject *)Py_TYPE(hub);
    if (type_has(type, str_switch, plain_hub_switch)
        && !instance_has(hub, str_switch))
        return switch_from(hub, current);
    return PyObject_CallMethodObjArgs(hub, str_switch, NULL);
}

void accel_run_greenlet(LoopObject *loop, PyObject *greenlet, PyObject *args,
                        PyObject *context)
{
    loop->parked = true;
    loop->running = greenlet;
    loop->switches++;
    PyObject *result =
        PyGreenlet_Switch((PyGreenlet *)greenlet, args ? args : no_args, NULL);
    loop->running = NULL;
    loop->switches++;
    loop->parked = false;
    if (result)
        Py_DECREF(result);
    else
        accel_loop_report(loop, context);
}

/* ---- module ------------------------------------------------------------- */

static int read_offset(PyObject *type, const char *name, Py_ssize_t *offset)
{
    PyObject *number = PyObject_GetAttrString(type, name);
    *offset = number ? PyLong_AsSsize_t(number) : -1;
    Py_XDECREF(number);
    return *offset > 0 ? 0 : -1;
}

static PyMethodDef hub_methods[] = {
    {"switch", hub_switch, METH_NOARGS,
     "switch($self, /)\n--\n\nLet other greenlets run, through the run "
     "queue, until this one is woken."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot hub_slots[] = {{Py_tp_methods, hub_methods}, {0, NULL}};
static PyType_Spec hub_spec = {
    .name = "libgcore._accel.HubBase",
    .basicsize = 0, /* greenlet's */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = hub_slots,
};

static PyObject *py_current_hub(PyObject *Py_UNUSED(module),
                                PyObject *Py_UNUSED(ignored))
{
    PyObject *hub = accel_current_hub(1);
    Py_XINCREF(hub);
    return hub;
}

static PyObject *py_current_hub_if_exists(PyObject *Py_UNUSED(module),
                                          PyObject *Py_UNUSED(ignored))
{
    PyObject *hub = thread_hub ? thread_hub : Py_None;
    Py_INCREF(hub);
    return hub;
}

static PyObject *py_set_current_hub(PyObject *Py_UNUSED(module),
                                    PyObject *hub)
{
    if (set_current_hub(hub) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_configure(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *factory, *errors, *end = Py_None;
    if (!PyArg_ParseTuple(args, "OO!|O", &factory, &PyDict_Type, &errors,
                          &end))
        return NULL;
    Py_INCREF(end);
    accel_replace(&end_hub, end);
    Py_INCREF(factory);
    accel_replace(&hub_factory, factory);
    Py_INCREF(errors);
    accel_replace(&error_types, errors);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"get_hub", py_current_hub, METH_NOARGS,
     "get_hub($module, /)\n--\n\nThe hub of the calling thread; made on "
     "first use."},
    {"get_hub_if_exists", py_current_hub_if_exists, METH_NOARGS,
     "get_hub_if_exists($module, /)\n--\n\nThe hub of the calling thread, "
     "or None."},
    {"set_hub", py_set_current_hub, METH_O,
     "set_hub($module, hub, /)\n--\n\nMake `hub` the calling thread's; None "
     "forgets it."},
    {"configure", py_configure, METH_VARARGS,
     "configure($module, factory, errors, end_hub=None, /)\n--\n\n"
     "`factory()` makes a hub for a thread that needs one;\n`errors` maps "
     "names to the exception classes raised from here;\n`end_hub(hub)` is "
     "called by a thread that ends and has one."},
    {NULL, NULL, 0, NULL}};

int accel_greenlets_init(PyObject *module)
{
    PyGreenlet_Import();
    if (!_PyGreenlet_API)
        return -1;
    PyObject *greenlet_type = (PyObject *)&PyGreenlet_Type;
    no_args = PyTuple_New(0);
    str_switch = PyUnicode_InternFromString("switch");
    str_switch_out = PyUnicode_InternFromString("switch_out");
    str_context = PyUnicode_InternFromString("gr_context");
    thread_key = PyUnicode_InternFromString("libgcore.hub");
    if (!no_args || !str_switch || !str_switch_out || !str_context
        || !thread_key)
        return -1;
    plain_switch = PyObject_GetAttr(greenlet_type, str_switch);
    if (!plain_switch
        || read_offset(greenlet_type, "__dictoffset__", &dict_offset) < 0
        || read_offset(greenlet_type, "__weakrefoffset__",
                       &weakrefs_offset) < 0)
        return -1;
    slot_type = (PyTypeObject *)PyType_FromSpec(&slot_spec);
    PyTypeObject *hub_type = accel_add_type(module, &hub_spec, greenlet_type);
    if (!slot_type || !hub_type)
        return -1;
    plain_hub_switch = PyObject_GetAttr((PyObject *)hub_type, str_switch);
    resumed_function = make_resumed_function();
    gettrace_function = PySys_GetObject("gettrace");
    if (!plain_hub_switch || !resumed_function || !gettrace_function)
        return -1;
    Py_INCREF(gettrace_function);
    return PyModule_AddFunctions(module, functions);
}
