/*
 * Task: a greenlet that is started through the run queue and keeps how it
 * ended.  gevent's Greenlet is this and names, links and killing on top.
 *
 * The fields stand behind greenlet's own object, at the size greenlet says
 * it has: nothing here knows greenlet's layout.
 */
#include "greenlets.h"
#include "links.h"
#include "loop.h"

#include <greenlet/greenlet.h>

typedef struct {
    PyObject *function; /* NULL: the _run method */
    PyObject *args;
    PyObject *kwargs; /* NULL for none */
    PyObject *value;
    PyObject *exc_info; /* a tuple of three once it has ended */
    PyObject *links;    /* list, NULL while there was none */
    PyObject *notifier; /* the callback that tells the links */
    PyObject *start_event;
    PyObject *formatted_info;
    PyObject *name;
    PyObject *spawning_greenlet;  /* a weak reference */
    PyObject *spawn_tree_locals;
    PyObject *spawning_stack; /* (code, instruction, code, ...) */
} task_fields;

#define FIELD_COUNT (sizeof(task_fields) / sizeof(PyObject *))

static Py_ssize_t fields_offset;
static destructor greenlet_dealloc;
static traverseproc greenlet_traverse;
static inquiry greenlet_clear;
static PyTypeObject *task_type;

static PyObject *event_started, *event_cancelled; /* used-up start events */
static PyObject *success;   /* (None, None, None) */
static PyObject *no_args;
static PyObject *spawn_callback; /* called with what is started, or NULL */
static PyTypeObject *gather_type;
static PyObject *greenlet_throw; /* greenlet's own descriptor */
static PyObject *exit_type;      /* GreenletExit */
static bool tracking = true;
static PyObject *context_source; /* copies the spawner's context, or NULL */

static PyObject *str_run, *str_loop, *str_tree, *str_limit, *str_back,
    *str_lasti, *str_start, *str_notify_links, *str_handle_own_error,
    *str_throw_inactive, *str_run_callback, *str_context;

static inline task_fields *fields(PyObject *self)
{
    return (task_fields *)((char *)self + fields_offset);
}

/* ---- memory -------------------------------------------------------------- */

static int task_traverse(PyObject *self, visitproc visit, void *arg)
{
    PyObject **slots = (PyObject **)fields(self);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        Py_VISIT(slots[i]);
    return greenlet_traverse(self, visit, arg);
}

static void clear_fields(PyObject *self)
{
    PyObject **slots = (PyObject **)fields(self);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        Py_CLEAR(slots[i]);
}

static int task_clear(PyObject *self)
{
    clear_fields(self);
    return greenlet_clear(self);
}

static void task_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    clear_fields(self);
    greenlet_dealloc(self); /* ends it first if it is still active */
    Py_DECREF(type);
}

/* ---- where it was spawned ------------------------------------------------ */

static int append_frame(PyObject *captured, PyObject *frame)
{
    PyObject *code = (PyObject *)PyFrame_GetCode((PyFrameObject *)frame);
    PyObject *lasti = PyObject_GetAttr(frame, str_lasti);
    int failed = !code || !lasti || PyList_Append(captured, code) < 0
                 || PyList_Append(captured, lasti) < 0;
    Py_XDECREF(code);
    Py_XDECREF(lasti);
    return failed ? -1 : 0;
}

/* The innermost `limit` callers; lines are worked out when asked for.  A
 * tuple of these is soon nothing to the garbage collector. */
static PyObject *capture_stack(long limit)
{
    PyObject *captured = PyList_New(0);
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    Py_XINCREF(frame);
    while (captured && frame && frame != Py_None && limit-- > 0) {
        PyObject *back = NULL;
        if (append_frame(captured, frame) < 0
            || !(back = PyObject_GetAttr(frame, str_back)))
            Py_CLEAR(captured);
        Py_DECREF(frame);
        frame = back;
    }
    Py_XDECREF(frame);
    PyObject *stack = captured ? PyList_AsTuple(captured) : NULL;
    Py_XDECREF(captured);
    return stack;
}

/* The dictionary that a tree of greenlets shares.  The children of a
 * thread's root greenlet each begin a tree of their own. */
static PyObject *tree_of(PyObject *spawner)
{
    PyObject *tree;
    bool task = PyObject_TypeCheck(spawner, task_type);
    if (task) {
        tree = fields(spawner)->spawn_tree_locals;
        Py_XINCREF(tree);
    } else {
        tree = accel_greenlet_attribute(spawner, str_tree);
    }
    if (tree && tree != Py_None)
        return tree;
    Py_XDECREF(tree);
    if (PyErr_Occurred() || !(tree = PyDict_New()))
        return NULL;
    PyGreenlet *parent = PyGreenlet_GetParent((PyGreenlet *)spawner);
    if (!parent)
        return tree;
    Py_DECREF((PyObject *)parent);
    if (PyObject_SetAttr(spawner, str_tree, tree) < 0)
        Py_CLEAR(tree);
    return tree;
}

static int track(PyObject *self)
{
    task_fields *task = fields(self);
    PyObject *spawner = accel_current_greenlet();
    if (!spawner)
        return -1;
    accel_replace(&task->spawning_greenlet, PyWeakref_NewRef(spawner, NULL));
    accel_replace(&task->spawn_tree_locals, tree_of(spawner));
    Py_DECREF(spawner);
    if (!task->spawning_greenlet || !task->spawn_tree_locals)
        return -1;
    PyObject *limit = PyObject_GetAttr(self, str_limit);
    if (!limit)
        return -1;
    long number = PyLong_AsLong(limit);
    Py_DECREF(limit);
    if (number == -1 && PyErr_Occurred())
        return -1;
    accel_replace(&task->spawning_stack, capture_stack(number));
    return task->spawning_stack ? 0 : -1;
}

/* ---- making -------------------------------------------------------------- */

static int check_function(PyObject *self, PyObject *function)
{
    bool own = function != NULL;
    if (!own && !(function = PyObject_GetAttr(self, str_run)))
        return -1;
    int callable = PyCallable_Check(function);
    if (!own)
        Py_DECREF(function);
    if (callable)
        return 0;
    PyErr_SetString(PyExc_TypeError,
                    "The run argument or self._run must be callable");
    return -1;
}

static int take_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    task_fields *task = fields(self);
    Py_ssize_t count = PyTuple_Size(args);
    PyObject *function = count ? PyTuple_GetItem(args, 0) : NULL;
    PyObject *rest = NULL;
    if (kwargs && PyDict_Size(kwargs)) {
        rest = PyDict_Copy(kwargs);
        PyObject *named =
            rest && !function ? PyDict_GetItemString(rest, "run") : NULL;
        if (named) {
            accel_replace(&task->function, named);
            Py_INCREF(named);
            PyDict_DelItemString(rest, "run");
        }
        if (!rest)
            return -1;
    }
    if (function && function != Py_None) {
        Py_INCREF(function);
        accel_replace(&task->function, function);
    } else if (task->function == Py_None) {
        Py_CLEAR(task->function);
    }
    accel_replace(&task->kwargs, rest);
    PyObject *tail = no_args;
    if (count > 1)
        tail = PyTuple_GetSlice(args, 1, count);
    else
        Py_INCREF(tail);
    accel_replace(&task->args, tail);
    return tail ? check_function(self, task->function) : -1;
}

static int take_context(PyObject *self)
{
    PyObject *context = PyObject_CallObject(context_source, NULL);
    int failed = context ? PyObject_SetAttr(self, str_context, context) : -1;
    Py_XDECREF(context);
    return failed;
}

static int task_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *hub = accel_current_hub(1);
    if (!hub
        || PyGreenlet_SetParent((PyGreenlet *)self, (PyGreenlet *)hub) < 0
        || take_call(self, args, kwargs) < 0
        || (context_source && take_context(self) < 0))
        return -1;
    return tracking ? track(self) : 0;
}

/* ---- starting ------------------------------------------------------------ */

/* The loop of the parent: new reference. */
static PyObject *parent_loop(PyObject *self)
{
    PyObject *parent = (PyObject *)PyGreenlet_GetParent((PyGreenlet *)self);
    if (!parent) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_AttributeError,
                            "the greenlet has no parent, so no hub");
        return NULL;
    }
    PyObject *loop;
    if (parent == accel_current_hub(0) && accel_current_loop(0)) {
        loop = (PyObject *)accel_current_loop(0);
        Py_INCREF(loop);
    } else {
        loop = PyObject_GetAttr(parent, str_loop);
    }
    Py_DECREF(parent);
    return loop;
}

static PyObject *task_start(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    task_fields *task = fields(self);
    if (task->start_event)
        Py_RETURN_NONE;
    PyObject *loop = parent_loop(self);
    if (!loop)
        return NULL;
    PyObject *event = accel_loop_run_switch(loop, self);
    Py_DECREF(loop);
    if (!event)
        return NULL;
    accel_replace(&task->start_event, event);
    if (spawn_callback) {
        PyObject *result =
            PyObject_CallFunctionObjArgs(spawn_callback, self, NULL);
        Py_XDECREF(result);
        if (!result)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *task_spawn(PyObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *self = PyObject_Call(type, args, kwargs);
    if (!self)
        return NULL;
    PyObject *started = PyObject_CallMethodObjArgs(self, str_start, NULL);
    Py_XDECREF(started);
    if (!started)
        Py_CLEAR(self);
    return self;
}

/* ---- running ------------------------------------------------------------- */

static int use_up_start_event(PyObject *self)
{
    task_fields *task = fields(self);
    PyObject *event = task->start_event;
    Py_INCREF(event_started);
    task->start_event = event_started;
    if (!event || event == event_started || event == event_cancelled) {
        Py_XDECREF(event);
        return 0;
    }
    PyObject *stopped = PyObject_CallMethod(event, "close", NULL);
    Py_XDECREF(stopped);
    Py_DECREF(event);
    return stopped ? 0 : -1;
}

static PyObject *call_function(PyObject *self)
{
    task_fields *task = fields(self);
    PyObject *function = task->function;
    if (function)
        Py_INCREF(function);
    else if (!(function = PyObject_GetAttr(self, str_run)))
        return NULL;
    PyObject *args = task->args ? task->args : no_args;
    PyObject *kwargs = task->kwargs;
    Py_INCREF(args);
    Py_XINCREF(kwargs);
    PyObject *result = PyObject_Call(function, args, kwargs);
    Py_DECREF(function);
    Py_DECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

static void drop_call(PyObject *self)
{
    task_fields *task = fields(self);
    Py_CLEAR(task->function);
    Py_CLEAR(task->args);
    Py_CLEAR(task->kwargs);
}

/* A link that keeps its sources and wakes a wait once there are enough. */
typedef struct {
    PyObject_HEAD
    PyObject *done;
    WaitObject *wait;
    Py_ssize_t missing;
    Py_ssize_t announced; /* sources that have ended and will tell it later */
} GatherObject;

/* A link that runs no foreign code may be called by whoever ends, unless that
 * would overtake another source of the same gathering. */
static bool is_direct_link(PyObject *link)
{
    return Py_TYPE(link) == accel_wait_type
           || (Py_TYPE(link) == gather_type
               && !((GatherObject *)link)->announced);
}

static void announce(PyObject *links)
{
    for (Py_ssize_t i = 0; i < PyList_Size(links); i++) {
        PyObject *link = PyList_GetItem(links, i);
        if (Py_TYPE(link) == gather_type)
            ((GatherObject *)link)->announced++;
    }
}

static PyObject *pop_link(PyObject *links)
{
    PyObject *link = PyList_GetItem(links, 0);
    Py_INCREF(link);
    PyList_SetSlice(links, 0, 1, NULL);
    return link;
}

/* A joiner is told nothing but that: its wait may outlast the greenlet. */
static int wake_link(PyObject *link, PyObject *self)
{
    if (Py_TYPE(link) == accel_wait_type)
        return accel_wait_wake((WaitObject *)link, NULL) < 0 ? -1 : 0;
    PyObject *told = PyObject_CallFunctionObjArgs(link, self, NULL);
    Py_XDECREF(told);
    return told ? 0 : -1;
}

static int schedule_links(PyObject *self)
{
    task_fields *task = fields(self);
    if (!task->links || PyList_Size(task->links) == 0 || task->notifier)
        return 0;
    /* The usual case, one join: no need to go through the hub. */
    if (PyList_Size(task->links) == 1
        && is_direct_link(PyList_GetItem(task->links, 0))) {
        PyObject *link = pop_link(task->links);
        int failed = wake_link(link, self);
        Py_DECREF(link);
        return failed;
    }
    PyObject *loop = parent_loop(self);
    PyObject *notify =
        loop ? PyObject_GetAttr(self, str_notify_links) : NULL;
    PyObject *callback = NULL;
    if (notify && loop == (PyObject *)accel_current_loop(0))
        callback =
            accel_loop_run_callback((LoopObject *)loop, notify, no_args);
    else if (notify)
        callback =
            PyObject_CallMethodObjArgs(loop, str_run_callback, notify, NULL);
    Py_XDECREF(notify);
    Py_XDECREF(loop);
    if (!callback)
        return -1;
    announce(task->links);
    accel_replace(&task->notifier, callback);
    return 0;
}

/* 1: it is what was missing, 0: it is not, -1: exception. */
static int gather_add(GatherObject *gather, PyObject *source)
{
    if (PyList_Append(gather->done, source) < 0)
        return -1;
    return --gather->missing == 0;
}

/* A joiner runs in its place among the links. */
static int tell_link(PyObject *link, PyObject *self)
{
    if (Py_TYPE(link) == accel_wait_type)
        return accel_wait_run((WaitObject *)link);
    if (Py_TYPE(link) == gather_type) {
        int complete = gather_add((GatherObject *)link, self);
        if (((GatherObject *)link)->announced)
            ((GatherObject *)link)->announced--;
        return complete > 0 ? accel_wait_run(((GatherObject *)link)->wait)
                            : complete;
    }
    return wake_link(link, self);
}

Py_ssize_t accel_task_links(PyObject *greenlet)
{
    return PyObject_TypeCheck(greenlet, task_type) && fields(greenlet)->links
               ? PyList_Size(fields(greenlet)->links)
               : 0;
}

/* In the hub.  Links may remove later ones, so the list is looked at anew. */
static PyObject *task_notify_links(PyObject *self,
                                   PyObject *Py_UNUSED(ignored))
{
    task_fields *task = fields(self);
    while (task->links && PyList_Size(task->links)) {
        PyObject *link = pop_link(task->links);
        if (tell_link(link, self) < 0) {
            PyObject *context = PyTuple_Pack(2, link, self);
            LoopObject *loop = accel_current_loop(0);
            if (loop)
                accel_loop_report(loop, context);
            else
                PyErr_WriteUnraisable(self);
            Py_XDECREF(context);
        }
        Py_DECREF(link);
    }
    Py_CLEAR(task->notifier);
    Py_RETURN_NONE;
}

static PyObject *task_schedule_links(PyObject *self,
                                     PyObject *Py_UNUSED(ignored))
{
    if (schedule_links(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int report_result(PyObject *self, PyObject *result)
{
    task_fields *task = fields(self);
    Py_INCREF(success);
    accel_replace(&task->exc_info, success);
    Py_INCREF(result);
    accel_replace(&task->value, result);
    return schedule_links(self);
}

/* The links are told before any Python code runs: a signal handler that
 * raises in it must not leave anyone waiting. */
static int report_exc_info(PyObject *self, PyObject *exc_info)
{
    task_fields *task = fields(self);
    PyObject *error = PyTuple_GetItem(exc_info, 1);
    if (PyObject_IsInstance(error, exit_type) > 0)
        return report_result(self, error);
    Py_INCREF(exc_info);
    accel_replace(&task->exc_info, exc_info);
    if (schedule_links(self) < 0)
        return -1;
    PyObject *result =
        PyObject_CallMethodObjArgs(self, str_handle_own_error, exc_info, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int report_error(PyObject *self)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    PyObject *exc_info = PyTuple_Pack(3, type, value,
                                      traceback ? traceback : Py_None);
    int failed = exc_info ? report_exc_info(self, exc_info) : -1;
    Py_XDECREF(exc_info);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return failed;
}

static PyObject *task_report_error(PyObject *self, PyObject *exc_info)
{
    if (!PyTuple_Check(exc_info) || PyTuple_Size(exc_info) != 3) {
        PyErr_SetString(PyExc_TypeError, "exc_info must be a tuple of three");
        return NULL;
    }
    if (report_exc_info(self, exc_info) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *task_run(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (use_up_start_event(self) < 0)
        return NULL;
    PyObject *result = call_function(self);
    int failed = result ? report_result(self, result) : report_error(self);
    Py_XDECREF(result);
    drop_call(self);
    if (failed)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *task_report_result(PyObject *self, PyObject *result)
{
    if (report_result(self, result) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- being ended --------------------------------------------------------- */

static PyObject *task_throw(PyObject *self, PyObject *args)
{
    if (!PyGreenlet_ACTIVE((PyGreenlet *)self)) {
        PyObject *method = PyObject_GetAttr(self, str_throw_inactive);
        PyObject *result = method ? PyObject_CallObject(method, args) : NULL;
        Py_XDECREF(method);
        return result;
    }
    Py_ssize_t count = PyTuple_Size(args);
    PyObject *full = PyTuple_New(count + 1);
    if (!full)
        return NULL;
    Py_INCREF(self);
    PyTuple_SetItem(full, 0, self);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GetItem(args, i);
        Py_INCREF(item);
        PyTuple_SetItem(full, i + 1, item);
    }
    PyObject *result = PyObject_CallObject(greenlet_throw, full);
    Py_DECREF(full);
    return result;
}

static bool has_ended(PyObject *greenlet)
{
    return !PyGreenlet_ACTIVE((PyGreenlet *)greenlet)
           && PyGreenlet_STARTED((PyGreenlet *)greenlet);
}

/* throw_into(greenlets, args, wait): in the hub, one step. */
static PyObject *throw_into(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *greenlets, *throw_args, *wait;
    if (!PyArg_ParseTuple(args, "O!O!O", &PyList_Type, &greenlets,
                          &PyTuple_Type, &throw_args, &wait))
        return NULL;
    LoopObject *loop = accel_current_loop(1);
    if (!loop)
        return NULL;
    for (Py_ssize_t i = 0; i < PyList_Size(greenlets); i++) {
        PyObject *target = PyList_GetItem(greenlets, i);
        if (!PyObject_TypeCheck(target, &PyGreenlet_Type)
            || has_ended(target))
            continue;
        Py_INCREF(target);
        PyObject *method = PyObject_GetAttrString(target, "throw");
        PyObject *result =
            method ? PyObject_CallObject(method, throw_args) : NULL;
        Py_XDECREF(method);
        if (!result)
            accel_loop_report(loop, target);
        Py_XDECREF(result);
        Py_DECREF(target);
    }
    if (Py_TYPE(wait) == accel_wait_type
        && accel_wait_run((WaitObject *)wait) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- collecting those that end ------------------------------------------- */

static PyObject *gather_new(PyTypeObject *type, PyObject *args,
                            PyObject *Py_UNUSED(kwargs))
{
    PyObject *wait;
    Py_ssize_t missing;
    if (!PyArg_ParseTuple(args, "O!n", accel_wait_type, &wait, &missing))
        return NULL;
    GatherObject *gather = PyObject_New(GatherObject, type);
    if (!gather)
        return NULL;
    Py_INCREF(wait);
    gather->wait = (WaitObject *)wait;
    gather->missing = missing;
    gather->announced = 0;
    gather->done = PyList_New(0);
    if (!gather->done) {
        Py_DECREF((PyObject *)gather);
        return NULL;
    }
    return (PyObject *)gather;
}

static void gather_dealloc(PyObject *self)
{
    GatherObject *gather = (GatherObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(gather->done);
    Py_DECREF((PyObject *)gather->wait);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *gather_call(PyObject *self, PyObject *args,
                             PyObject *Py_UNUSED(kwargs))
{
    GatherObject *gather = (GatherObject *)self;
    PyObject *source;
    int complete = PyArg_UnpackTuple(args, "gather", 1, 1, &source)
                       ? gather_add(gather, source)
                       : -1;
    if (complete < 0
        || (complete && accel_wait_wake(gather->wait, NULL) < 0))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *gather_done(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *done = ((GatherObject *)self)->done;
    Py_INCREF(done);
    return done;
}

static PyGetSetDef gather_getset[] = {
    {"done", gather_done, NULL, "The sources, in the order they ended.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot gather_slots[] = {
    {Py_tp_doc, "Gather(wait, count)\n--\n\nA link that keeps its sources and "
                "wakes `wait` once there are `count`."},
    {Py_tp_new, gather_new},
    {Py_tp_dealloc, gather_dealloc},
    {Py_tp_call, gather_call},
    {Py_tp_getset, gather_getset},
    {0, NULL}};
static PyType_Spec gather_spec = {
    .name = "libgcore._accel.Gather",
    .basicsize = sizeof(GatherObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = gather_slots,
};

/* ---- states -------------------------------------------------------------- */

static bool is_active(PyObject *self)
{
    return PyGreenlet_ACTIVE((PyGreenlet *)self);
}

/* Ended, or killed before it ran. */
static bool is_dead(PyObject *self)
{
    if (is_active(self))
        return false;
    return PyGreenlet_STARTED((PyGreenlet *)self)
           || fields(self)->start_event == event_cancelled;
}

static bool is_ready(PyObject *self)
{
    return fields(self)->exc_info || is_dead(self);
}

static PyObject *task_dead(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_dead(self));
}

static PyObject *task_ready(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_ready(self));
}

static PyObject *ended_with(PyObject *self)
{
    PyObject *exc_info = fields(self)->exc_info;
    return exc_info ? PyTuple_GetItem(exc_info, 1) : NULL;
}

static PyObject *task_successful(PyObject *self,
                                 PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(ended_with(self) == Py_None);
}

static PyObject *task_exception(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *error = ended_with(self);
    error = error ? error : Py_None;
    Py_INCREF(error);
    return error;
}

static int task_bool(PyObject *self)
{
    task_fields *task = fields(self);
    return task->start_event && !task->exc_info;
}

static PyObject *task_started(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(task_bool(self));
}

/* ---- waiting for its end ------------------------------------------------- */

static PyObject *links_of(PyObject *self)
{
    task_fields *task = fields(self);
    if (!task->links)
        task->links = PyList_New(0);
    return task->links;
}

static void remove_link(PyObject *self, PyObject *link)
{
    PyObject *links = fields(self)->links;
    Py_ssize_t count = links ? PyList_Size(links) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyList_GetItem(links, i) != link)
            continue;
        PyList_SetSlice(links, i, i + 1, NULL);
        return;
    }
}

static PyObject *task_rawlink(PyObject *self, PyObject *const *args,
                              Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *callback =
        accel_parse_one("rawlink", "callback", args, nargs, keywords);
    if (!callback)
        return NULL;
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "Expected callable: %R", callback);
        return NULL;
    }
    PyObject *links = links_of(self);
    if (!links || PyList_Append(links, callback) < 0
        || (is_ready(self) && schedule_links(self) < 0))
        return NULL;
    Py_RETURN_NONE;
}

static int wait_for_end(PyObject *self, PyObject *timeout)
{
    PyObject *links = links_of(self);
    WaitObject *wait = links ? accel_wait_new() : NULL;
    if (!wait)
        return -1;
    Py_INCREF(self);
    wait->subject = self;
    int result = -1;
    if (PyList_Append(links, (PyObject *)wait) == 0) {
        result = accel_wait_park(wait, timeout, 0);
        if (!accel_wait_woken(wait)) {
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            remove_link(self, (PyObject *)wait);
            PyErr_Restore(type, value, traceback);
        }
    }
    Py_DECREF((PyObject *)wait);
    return result;
}

static PyObject *task_wait_for_end(PyObject *self, PyObject *timeout)
{
    int result = wait_for_end(self, timeout);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *task_join(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    if ((PyTuple_Size(args) || kwargs)
        && !PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &timeout))
        return NULL;
    if (is_ready(self))
        Py_RETURN_NONE;
    if (timeout != Py_None && !PyFloat_Check(timeout)
        && !PyLong_Check(timeout))
        return PyObject_CallMethod(self, "_join_within", "O", timeout);
    if (wait_for_end(self, timeout) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- attributes ---------------------------------------------------------- */

static PyObject *get_args(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *args = fields(self)->args;
    args = args ? args : no_args;
    Py_INCREF(args);
    return args;
}

static int set_args(PyObject *self, PyObject *value,
                    void *Py_UNUSED(closure))
{
    if (!value || !PyTuple_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "args must be a tuple");
        return -1;
    }
    Py_INCREF(value);
    accel_replace(&fields(self)->args, value);
    return 0;
}

static PyObject *get_kwargs(PyObject *self, void *Py_UNUSED(closure))
{
    task_fields *task = fields(self);
    if (!task->kwargs)
        return PyDict_New();
    Py_INCREF(task->kwargs);
    return task->kwargs;
}

static int set_kwargs(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    if (!value || !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "kwargs must be a dict");
        return -1;
    }
    Py_INCREF(value);
    accel_replace(&fields(self)->kwargs, value);
    return 0;
}

static PyObject *get_links(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *links = links_of(self);
    Py_XINCREF(links);
    return links;
}

/* A field that is shown as None while it is NULL, and may be set. */
static PyObject *get_field(PyObject *self, void *offset)
{
    PyObject *value =
        *(PyObject **)((char *)fields(self) + (intptr_t)offset);
    value = value ? value : Py_None;
    Py_INCREF(value);
    return value;
}

static int set_field(PyObject *self, PyObject *value, void *offset)
{
    PyObject *stored = value == Py_None ? NULL : value;
    Py_XINCREF(stored);
    accel_replace((PyObject **)((char *)fields(self) + (intptr_t)offset),
                  stored);
    return 0;
}

#define FIELD(name, member, doc)                                             \
    {name, get_field, set_field, doc, (void *)offsetof(task_fields, member)}

static PyGetSetDef task_getset[] = {
    FIELD("value", value, "What it returned; None unless it did."),
    FIELD("_function", function, NULL),
    FIELD("_exc_info", exc_info, NULL),
    FIELD("_notifier", notifier, NULL),
    FIELD("_start_event", start_event, NULL),
    FIELD("_formatted_info", formatted_info, NULL),
    FIELD("_name", name, NULL),
    FIELD("spawning_greenlet", spawning_greenlet,
          "A weak reference to who spawned it, or None."),
    FIELD("spawn_tree_locals", spawn_tree_locals,
          "A dictionary shared by a tree of greenlets, or None."),
    FIELD("_spawning_stack", spawning_stack, NULL),
    {"args", get_args, set_args, "What it is called with.", NULL},
    {"kwargs", get_kwargs, set_kwargs, "What it is called with.", NULL},
    {"_links", get_links, NULL, NULL, NULL},
    {"dead", task_dead, NULL,
     "Whether it has ended, or was killed before it ran.", NULL},
    {"started", task_started, NULL,
     "Whether it has been started and has not ended.", NULL},
    {"exception", task_exception, NULL, "The error it ended with, or None.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMethodDef task_methods[] = {
    {"start", task_start, METH_NOARGS,
     "start($self, /)\n--\n\nHave it run when the caller gives up; once."},
    {"spawn", (PyCFunction)(void (*)(void))task_spawn,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "spawn($type, *args, **kwargs)\n--\n\nMake one and start it."},
    {"run", task_run, METH_NOARGS,
     "run($self, /)\n--\n\nCall the function and keep how that ended."},
    {"join", (PyCFunction)(void (*)(void))task_join,
     METH_VARARGS | METH_KEYWORDS,
     "join($self, timeout=None)\n--\n\nWait for its end, or `timeout` "
     "seconds."},
    {"ready", task_ready, METH_NOARGS,
     "ready($self, /)\n--\n\nWhether it has ended."},
    {"successful", task_successful, METH_NOARGS,
     "successful($self, /)\n--\n\nWhether it has ended without an "
     "error.\n\nBeing killed by GreenletExit is a success."},
    ACCEL_FAST("rawlink", task_rawlink,
               "rawlink($self, callback)\n--\n\nCall ``callback(self)`` in "
               "the hub at its end.\n\nNothing may block there; prefer "
               "link().  Raises TypeError when `callback` is\nnot callable."),
    {"_wait_for_end", task_wait_for_end, METH_O, NULL},
    {"throw", task_throw, METH_VARARGS,
     "throw($self, /, *args)\n--\n\nRaise in it at once, as greenlet.throw; "
     "one that has not run yet ends."},
    {"_report_result", task_report_result, METH_O, NULL},
    {"_report_error", task_report_error, METH_O, NULL},
    {"_schedule_links", task_schedule_links, METH_NOARGS, NULL},
    {"_notify_links", task_notify_links, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};
static PyType_Slot task_slots[] = {
    {Py_tp_doc, "Task(run=None, *args, **kwargs)\n--\n\nA greenlet that keeps "
                "how it ended."},
    {Py_tp_init, task_init},
    {Py_tp_dealloc, task_dealloc},
    {Py_tp_traverse, task_traverse},
    {Py_tp_clear, task_clear},
    {Py_nb_bool, task_bool},
    {Py_tp_methods, task_methods},
    {Py_tp_getset, task_getset},
    {0, NULL}};
static PyType_Spec task_spec = {
    .name = "libgcore._accel.Task",
    .basicsize = 0, /* filled in */
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = task_slots,
};

/* ---- module -------------------------------------------------------------- */

static PyObject *configure_tasks(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *started, *cancelled, *ended;
    if (!PyArg_ParseTuple(args, "OOO", &started, &cancelled, &ended))
        return NULL;
    Py_INCREF(started);
    accel_replace(&event_started, started);
    Py_INCREF(cancelled);
    accel_replace(&event_cancelled, cancelled);
    Py_INCREF(ended);
    accel_replace(&success, ended);
    Py_RETURN_NONE;
}

static PyObject *set_tracking(PyObject *Py_UNUSED(module), PyObject *value)
{
    int wanted = PyObject_IsTrue(value);
    if (wanted < 0)
        return NULL;
    tracking = wanted;
    Py_RETURN_NONE;
}

static PyObject *set_or_clear(PyObject **slot, PyObject *callable)
{
    callable = callable == Py_None ? NULL : callable;
    Py_XINCREF(callable);
    accel_replace(slot, callable);
    Py_RETURN_NONE;
}

static PyObject *set_spawn_callback(PyObject *Py_UNUSED(module),
                                    PyObject *callback)
{
    return set_or_clear(&spawn_callback, callback);
}

static PyObject *set_context_source(PyObject *Py_UNUSED(module),
                                    PyObject *source)
{
    return set_or_clear(&context_source, source);
}

static PyMethodDef functions[] = {
    {"configure_tasks", configure_tasks, METH_VARARGS,
     "configure_tasks($module, started, cancelled, success, /)\n--\n\nThe "
     "objects that stand for used-up start events, and the exc_info of a "
     "success."},
    {"throw_into", throw_into, METH_VARARGS,
     "throw_into($module, greenlets, args, wait, /)\n--\n\nIn the hub: "
     "throw into each greenlet of the list, then wake `wait` (or None)."},
    {"set_tracking", set_tracking, METH_O,
     "set_tracking($module, wanted, /)\n--\n\nWhether tasks remember who "
     "spawned them."},
    {"set_context_source", set_context_source, METH_O,
     "set_context_source($module, source, /)\n--\n\nCalled for the context "
     "of each task that is made; None: they get\nempty ones."},
    {"set_spawn_callback", set_spawn_callback, METH_O,
     "set_spawn_callback($module, callback, /)\n--\n\nCalled with each task "
     "that starts; None for nothing."},
    {NULL, NULL, 0, NULL}};

static int make_names(void)
{
    struct {
        PyObject **slot;
        const char *text;
    } names[] = {
        {&str_run, "_run"},
        {&str_loop, "loop"},
        {&str_tree, "spawn_tree_locals"},
        {&str_limit, "spawning_stack_limit"},
        {&str_back, "f_back"},
        {&str_lasti, "f_lasti"},
        {&str_start, "start"},
        {&str_notify_links, "_notify_links"},
        {&str_handle_own_error, "_handle_own_error"},
        {&str_throw_inactive, "_throw_inactive"},
        {&str_run_callback, "run_callback"},
        {&str_context, "gr_context"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(*names[i].slot = PyUnicode_InternFromString(names[i].text)))
            return -1;
    return 0;
}

int accel_task_init(PyObject *module)
{
    PyGreenlet_Import();
    if (!_PyGreenlet_API)
        return -1;
    PyTypeObject *greenlet = &PyGreenlet_Type;
    PyObject *size =
        PyObject_GetAttrString((PyObject *)greenlet, "__basicsize__");
    if (!size)
        return -1;
    fields_offset = PyLong_AsSsize_t(size);
    Py_DECREF(size);
    task_spec.basicsize =
        (int)(fields_offset + (Py_ssize_t)sizeof(task_fields));
    greenlet_dealloc = (destructor)PyType_GetSlot(greenlet, Py_tp_dealloc);
    greenlet_traverse = (traverseproc)PyType_GetSlot(greenlet, Py_tp_traverse);
    greenlet_clear = (inquiry)PyType_GetSlot(greenlet, Py_tp_clear);
    no_args = PyTuple_New(0);
    Py_INCREF(Py_None);
    event_started = Py_None;
    Py_INCREF(Py_None);
    event_cancelled = Py_None;
    success = PyTuple_Pack(3, Py_None, Py_None, Py_None);
    if (!no_args || !success || make_names() < 0)
        return -1;
    greenlet_throw = PyObject_GetAttrString((PyObject *)greenlet, "throw");
    exit_type = PyExc_GreenletExit;
    task_type = accel_add_type(module, &task_spec, (PyObject *)greenlet);
    gather_type = accel_add_type(module, &gather_spec, NULL);
    if (!task_type || !gather_type || !greenlet_throw)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
