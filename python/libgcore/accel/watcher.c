/*
 * Watchers: gevent's protocol (start(callback, *args), stop, close) over the
 * engine's watches, all as completions.
 *
 * A started watcher keeps itself alive.  A completion is recorded and queued
 * as "ready"; stop() forgets the record, so that what was harvested but not
 * yet dispatched is suppressed.  wait() parks the calling greenlet on the
 * watcher with one deadline-carrying start.
 */
#include "greenlets.h"
#include "loop.h"

enum watcher_kind {
    KIND_NONE,
    KIND_IO,
    KIND_TIMER,
    KIND_SIGNAL,
    KIND_CHILD,
    KIND_STAT,
    KIND_ASYNC,
    KIND_IDLE,
    KIND_PREPARE,
    KIND_CHECK,
    KIND_FORK
};

#define IO_MASK (GCORE_READ | GCORE_WRITE)
#define IO_FRESH 0x80 /* shown in io.events until the first start */

typedef struct {
    PyObject_HEAD
    LoopObject *loop;
    gcore_watch *watch; /* NULL for prepare and check, and once closed */
    PyObject *callback;
    PyObject *args;
    WaitObject *waiter; /* who is parked in wait(), borrowed */
    PyObject *dict;
    PyObject *weakrefs;
    int64_t after, repeat; /* timer, ns */
    int64_t result;
    uint8_t kind;
    int8_t priority;
    bool ref;
    bool active;
    bool pending;
    bool completed; /* an event has come back since it was made */
    bool fresh; /* io: never started since fd or events were set */
} WatcherObject;

PyTypeObject *accel_timer_type;
static PyTypeObject *watcher_type;
static PyObject *events_marker;

/* ---- making and closing -------------------------------------------------- */

static PyObject *watcher_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                             PyObject *Py_UNUSED(kwargs))
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    WatcherObject *self = (WatcherObject *)alloc(type, 0);
    if (self)
        self->ref = true;
    return (PyObject *)self;
}

static int set_priority(WatcherObject *self, PyObject *priority)
{
    if (!priority || priority == Py_None)
        return 0;
    long value = PyLong_AsLong(priority);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < GCORE_PRIORITY_MIN)
        value = GCORE_PRIORITY_MIN;
    if (value > GCORE_PRIORITY_MAX)
        value = GCORE_PRIORITY_MAX;
    self->priority = (int8_t)value;
    if (self->watch)
        gcore_watch_set_priority(self->watch, (int)value);
    return 0;
}

static int check_loop(WatcherObject *self, PyObject *loop)
{
    if (!PyObject_TypeCheck(loop, accel_loop_type)) {
        PyErr_Format(PyExc_TypeError, "a watcher is made for a loop, not %R",
                     loop);
        return -1;
    }
    if (self->loop) {
        PyErr_SetString(PyExc_ValueError, "the watcher is made already");
        return -1;
    }
    return accel_loop_check((LoopObject *)loop);
}

/* Take what the kind's own part has made. */
static int adopt(WatcherObject *self, PyObject *loop, enum watcher_kind kind,
                 int error, gcore_watch *watch, int ref, PyObject *priority)
{
    if (error < 0) {
        accel_raise(error);
        return -1;
    }
    Py_INCREF(loop);
    self->loop = (LoopObject *)loop;
    self->watch = watch;
    self->kind = (uint8_t)kind;
    self->ref = ref;
    if (watch)
        gcore_watch_set_keepalive(watch, ref);
    return set_priority(self, priority);
}

static int io_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "fd", "events", "ref", "priority", NULL};
    PyObject *loop, *priority = Py_None;
    int fd, events, ref = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Oii|pO", names, &loop,
                                     &fd, &events, &ref, &priority)
        || check_loop((WatcherObject *)self, loop) < 0)
        return -1;
    if (fd < 0) {
        PyErr_Format(PyExc_ValueError, "fd must be non-negative: %d", fd);
        return -1;
    }
    if (events & ~(IO_MASK | IO_FRESH)) {
        PyErr_Format(PyExc_ValueError, "illegal event mask: %d", events);
        return -1;
    }
    gcore_watch *watch = NULL;
    int error = gcore_io_new(((LoopObject *)loop)->engine, fd,
                             (unsigned)events & IO_MASK, &watch);
    ((WatcherObject *)self)->fresh = true;
    return adopt((WatcherObject *)self, loop, KIND_IO, error, watch, ref,
                 priority);
}

static int to_ns(double seconds, int64_t *out)
{
    if (!(seconds > -9.0e9 && seconds < 9.0e9)) {
        if (seconds != seconds) {
            PyErr_SetString(PyExc_ValueError, "seconds must be a number");
            return -1;
        }
        seconds = seconds < 0 ? 0 : 9.0e9;
    }
    *out = (int64_t)(seconds * 1e9);
    return 0;
}

static int timer_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "after", "repeat", "ref", "priority",
                            NULL};
    WatcherObject *self = (WatcherObject *)object;
    PyObject *loop, *priority = Py_None;
    double after = 0, repeat = 0;
    int ref = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|ddpO", names, &loop,
                                     &after, &repeat, &ref, &priority)
        || check_loop(self, loop) < 0)
        return -1;
    if (repeat < 0) {
        PyErr_Format(PyExc_ValueError,
                     "repeat must be positive or zero: %S",
                     PyTuple_Size(args) > 2 ? PyTuple_GetItem(args, 2)
                                            : Py_None);
        return -1;
    }
    if (to_ns(after, &self->after) < 0 || to_ns(repeat, &self->repeat) < 0)
        return -1;
    gcore_watch *watch = NULL;
    int error = gcore_timer_new(((LoopObject *)loop)->engine, &watch);
    if (!error)
        gcore_timer_set_repeat(watch, self->repeat);
    return adopt(self, loop, KIND_TIMER, error, watch, ref, priority);
}

/* open(kind, loop, value, ref, priority): the kinds that need no speed. */
static PyObject *watcher_open(PyObject *object, PyObject *args)
{
    WatcherObject *self = (WatcherObject *)object;
    PyObject *loop, *value, *priority;
    int kind, ref;
    double interval = 0;
    if (!PyArg_ParseTuple(args, "iOOpO|d", &kind, &loop, &value, &ref,
                          &priority, &interval)
        || check_loop(self, loop) < 0)
        return NULL;
    gcore_hub *engine = ((LoopObject *)loop)->engine;
    gcore_watch *watch = NULL;
    int error = 0;
    int64_t interval_ns;
    PyObject *path = NULL;
    switch (kind) {
    case KIND_SIGNAL:
    case KIND_CHILD: {
        int number;
        if (!PyArg_Parse(value, "i", &number))
            return NULL;
        error = kind == KIND_SIGNAL
                    ? gcore_signal_new(engine, number, &watch)
                    : gcore_child_new(engine, number, &watch);
        break;
    }
    case KIND_STAT:
        if (!PyUnicode_FSConverter(value, &path))
            return NULL;
        if (to_ns(interval, &interval_ns) < 0) {
            Py_DECREF(path);
            return NULL;
        }
        error = gcore_stat_new(engine, PyBytes_AsString(path), interval_ns,
                               &watch);
        Py_DECREF(path);
        break;
    case KIND_ASYNC:
        error = gcore_async_new(engine, &watch);
        break;
    case KIND_IDLE:
        error = gcore_idle_new(engine, &watch);
        break;
    case KIND_FORK:
        error = gcore_fork_new(engine, &watch);
        break;
    case KIND_PREPARE:
    case KIND_CHECK:
        break;
    default:
        PyErr_Format(PyExc_ValueError, "no such kind of watcher: %d", kind);
        return NULL;
    }
    if (adopt(self, loop, (enum watcher_kind)kind, error, watch, ref,
              priority) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static bool is_open(WatcherObject *self)
{
    return self->loop && self->loop->engine
           && (self->watch || self->kind == KIND_PREPARE
               || self->kind == KIND_CHECK);
}

static int check_open(WatcherObject *self)
{
    if (!self->loop) {
        PyErr_SetString(PyExc_ValueError, "the watcher has no loop");
        return -1;
    }
    if (accel_loop_check(self->loop) < 0)
        return -1;
    if (is_open(self))
        return 0;
    PyErr_SetString(PyExc_ValueError, "operation on a closed watcher");
    return -1;
}

/* ---- starting and stopping ----------------------------------------------- */

static PyObject *around_poll_list(WatcherObject *self)
{
    return self->kind == KIND_PREPARE ? self->loop->prepares
                                      : self->loop->checks;
}

static int start_around_poll(WatcherObject *self)
{
    if (PyList_Append(around_poll_list(self), (PyObject *)self) < 0)
        return -1;
    if (self->ref)
        gcore_hub_retain(self->loop->engine);
    return 0;
}

static void stop_around_poll(WatcherObject *self)
{
    PyObject *list = around_poll_list(self);
    Py_ssize_t count = PyList_Size(list);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (PyList_GetItem(list, i) != (PyObject *)self)
            continue;
        PyList_SetSlice(list, i, i + 1, NULL);
        break;
    }
    if (self->ref && self->loop->engine)
        gcore_hub_release(self->loop->engine);
}

/* The engine part of a start; the watcher holds itself while active. */
static int activate(WatcherObject *self, unsigned flags, int64_t deadline)
{
    if (self->watch) {
        int error = gcore_watch_start(self->watch, flags, deadline,
                                      GCORE_COMPLETE, self);
        if (error < 0) {
            accel_raise(error);
            return -1;
        }
    } else if (start_around_poll(self) < 0) {
        return -1;
    }
    self->active = true;
    self->fresh = false;
    self->loop->active++;
    Py_INCREF((PyObject *)self);
    return 0;
}

static void deactivate(WatcherObject *self)
{
    self->pending = false;
    if (!self->active)
        return;
    self->active = false;
    self->loop->active--;
    if (self->watch)
        gcore_watch_stop(self->watch);
    else
        stop_around_poll(self);
    Py_DECREF((PyObject *)self);
}

static void stop(WatcherObject *self)
{
    Py_INCREF((PyObject *)self);
    deactivate(self);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->args);
    Py_DECREF((PyObject *)self);
}

static int set_call(WatcherObject *self, PyObject *callback, PyObject *args)
{
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "Expected callable, not %R", callback);
        return -1;
    }
    Py_INCREF(callback);
    accel_replace(&self->callback, callback);
    Py_INCREF(args);
    accel_replace(&self->args, args);
    return 0;
}

static int check_free(WatcherObject *self)
{
    if (!self->waiter)
        return 0;
    PyErr_Format(accel_error("ConcurrentObjectUseError"),
                 "This %s is already used by another greenlet: %R",
                 self->kind == KIND_IO ? "socket" : "watcher",
                 self->waiter->greenlet);
    return -1;
}

static int64_t start_deadline(WatcherObject *self)
{
    if (self->kind != KIND_TIMER)
        return GCORE_FOREVER;
    return gcore_clock() + self->after;
}

static bool pops(PyObject *kwargs, const char *name, PyObject **value)
{
    *value = kwargs ? PyDict_GetItemString(kwargs, name) : NULL;
    return *value != NULL;
}

/* (EVENTS, *args) */
static PyObject *with_marker(PyObject *args)
{
    Py_ssize_t count = PyTuple_Size(args);
    PyObject *marked = PyTuple_New(count + 1);
    if (!marked)
        return NULL;
    Py_INCREF(events_marker);
    PyTuple_SetItem(marked, 0, events_marker);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GetItem(args, i);
        Py_INCREF(item);
        PyTuple_SetItem(marked, i + 1, item);
    }
    return marked;
}

static PyObject *start_with(WatcherObject *self, PyObject *args,
                            PyObject *kwargs, bool again)
{
    Py_ssize_t count = PyTuple_Size(args);
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "start() needs a callback");
        return NULL;
    }
    if (check_open(self) < 0 || check_free(self) < 0)
        return NULL;
    PyObject *call_args = PyTuple_GetSlice(args, 1, count);
    if (!call_args)
        return NULL;
    PyObject *option;
    if (self->kind == KIND_IO && pops(kwargs, "pass_events", &option)) {
        int marks = PyObject_IsTrue(option);
        PyObject *marked = marks > 0 ? with_marker(call_args) : NULL;
        if (marks) {
            Py_DECREF(call_args);
            call_args = marked;
        }
        if (!call_args)
            return NULL;
    }
    int failed = set_call(self, PyTuple_GetItem(args, 0), call_args);
    Py_DECREF(call_args);
    if (failed)
        return NULL;
    if (again) {
        deactivate(self);
        if (!self->repeat) {
            stop(self);
            Py_RETURN_NONE;
        }
    }
    if (!self->active) {
        int64_t deadline = again ? gcore_clock() + self->repeat
                                 : start_deadline(self);
        if (activate(self, 0, deadline) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *watcher_start(PyObject *self, PyObject *args,
                               PyObject *kwargs)
{
    return start_with((WatcherObject *)self, args, kwargs, false);
}

static PyObject *timer_again(PyObject *self, PyObject *args, PyObject *kwargs)
{
    return start_with((WatcherObject *)self, args, kwargs, true);
}

static PyObject *watcher_stop(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    stop((WatcherObject *)self);
    Py_RETURN_NONE;
}

void accel_watcher_close(PyObject *object)
{
    WatcherObject *self = (WatcherObject *)object;
    stop(self);
    if (self->watch) {
        gcore_watch_close(self->watch);
        gcore_watch_unref(self->watch);
        self->watch = NULL;
    }
    self->kind = KIND_NONE;
}

static PyObject *watcher_close(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    accel_watcher_close(object);
    Py_RETURN_NONE;
}

PyObject *accel_timer_start(PyTypeObject *type, LoopObject *loop,
                            double after, bool ref, int priority,
                            PyObject *callback, PyObject *args)
{
    WatcherObject *self = (WatcherObject *)watcher_new(type, NULL, NULL);
    gcore_watch *watch = NULL;
    if (!self || accel_loop_check(loop) < 0
        || to_ns(after, &self->after) < 0)
        goto failed;
    int error = gcore_timer_new(loop->engine, &watch);
    if (adopt(self, (PyObject *)loop, KIND_TIMER, error, watch, ref, NULL) < 0)
        goto failed;
    self->priority = (int8_t)priority;
    gcore_watch_set_priority(watch, priority);
    if (set_call(self, callback, args) < 0
        || activate(self, 0, start_deadline(self)) < 0)
        goto failed;
    return (PyObject *)self;

failed:
    Py_XDECREF((PyObject *)self);
    return NULL;
}

/* Pretend the event has happened. */
static PyObject *watcher_feed(PyObject *object, PyObject *args)
{
    WatcherObject *self = (WatcherObject *)object;
    Py_ssize_t count = PyTuple_Size(args);
    if (count < 2) {
        PyErr_SetString(PyExc_TypeError,
                        "feed() needs events and a callback");
        return NULL;
    }
    long events = PyLong_AsLong(PyTuple_GetItem(args, 0));
    if ((events == -1 && PyErr_Occurred()) || check_open(self) < 0)
        return NULL;
    PyObject *call_args = PyTuple_GetSlice(args, 2, count);
    if (!call_args)
        return NULL;
    int failed = set_call(self, PyTuple_GetItem(args, 1), call_args);
    Py_DECREF(call_args);
    if (failed)
        return NULL;
    accel_watcher_complete(object, events);
    Py_RETURN_NONE;
}

/* ---- dispatch ------------------------------------------------------------ */

void accel_watcher_complete(PyObject *watcher, int64_t result)
{
    WatcherObject *self = (WatcherObject *)watcher;
    self->completed = true;
    if (self->waiter) {
        self->result = result;
        if (accel_wait_complete(self->waiter, NULL) < 0)
            accel_loop_report(self->loop, watcher);
        return;
    }
    if (self->pending) {
        if (self->kind == KIND_IO && result > 0 && self->result > 0)
            self->result |= result;
        else
            self->result = result;
        return;
    }
    self->result = result;
    if (accel_loop_push_ready(self->loop, watcher) < 0)
        accel_loop_report(self->loop, watcher);
    else
        self->pending = true;
}

static bool still_started(WatcherObject *self)
{
    switch (self->kind) {
    case KIND_TIMER:
        return self->repeat != 0;
    case KIND_CHILD:
        return false;
    default:
        return true;
    }
}

/* The arguments with EVENTS replaced by what happened. */
static PyObject *call_arguments(WatcherObject *self)
{
    PyObject *args = self->args;
    if (!PyTuple_Size(args) || PyTuple_GetItem(args, 0) != events_marker) {
        Py_INCREF(args);
        return args;
    }
    PyObject *tail = PyTuple_GetSlice(args, 1, PyTuple_Size(args));
    PyObject *full = tail ? with_marker(tail) : NULL;
    Py_XDECREF(tail);
    /* An error makes both directions ready: the next call tells it. */
    PyObject *events =
        PyLong_FromLongLong(self->result < 0 ? IO_MASK : self->result);
    if (!full || !events) {
        Py_XDECREF(full);
        Py_XDECREF(events);
        return NULL;
    }
    PyTuple_SetItem(full, 0, events);
    return full;
}

void accel_watcher_run(PyObject *watcher, LoopObject *loop)
{
    WatcherObject *self = (WatcherObject *)watcher;
    if (!self->pending)
        return;
    self->pending = false;
    if (self->active && !still_started(self)) {
        Py_INCREF(watcher);
        deactivate(self);
        Py_DECREF(watcher);
    }
    PyObject *callback = self->callback;
    if (!callback)
        return;
    PyObject *args = Py_None;
    Py_INCREF(args);
    if (self->args) {
        Py_DECREF(args);
        args = call_arguments(self);
    }
    Py_INCREF(callback);
    PyObject *result = NULL;
    if (args)
        result = PyObject_CallObject(callback, args == Py_None ? NULL : args);
    if (!result) {
        accel_loop_report(loop, watcher);
        if (self->kind == KIND_IO && self->callback == callback)
            stop(self); /* or it would fail again at once, for ever */
    }
    if (!self->active && !self->pending && self->callback == callback) {
        Py_CLEAR(self->callback);
        Py_CLEAR(self->args);
    }
    Py_XDECREF(result);
    Py_XDECREF(args);
    Py_DECREF(callback);
}

/* ---- waiting ------------------------------------------------------------- */

static int wait_parked(WatcherObject *self, int64_t deadline, bool *at_once)
{
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return -1;
    if (wait->loop != self->loop) {
        PyErr_SetString(accel_error("InvalidThreadUseError"),
                        "this watcher belongs to another thread's loop");
        Py_DECREF((PyObject *)wait);
        return -1;
    }
    Py_INCREF((PyObject *)self);
    wait->subject = (PyObject *)self;
    int64_t due = self->kind == KIND_TIMER ? start_deadline(self) : deadline;
    self->waiter = wait;
    int result = -1;
    if (activate(self, GCORE_ONCE, due) == 0) {
        if (at_once)
            result = accel_wait_look_and_park(wait, at_once);
        else /* A timer's own deadline is its event: the limit is the wait's. */
            result = accel_wait_park_until(
                wait, self->kind == KIND_TIMER ? deadline : GCORE_FOREVER, 1,
                -1);
        self->waiter = NULL;
        deactivate(self);
    }
    self->waiter = NULL;
    Py_DECREF((PyObject *)wait);
    return result;
}

/* 1: it happened, 0: the timeout ran out, -1: exception. */
static int wait_within(WatcherObject *self, PyObject *timeout, bool *at_once)
{
    if (check_free(self) < 0)
        return -1;
    if (self->active) {
        PyErr_Format(accel_error("ConcurrentObjectUseError"),
                     "This watcher is already used by %R", self->callback);
        return -1;
    }
    int64_t deadline = GCORE_FOREVER;
    if (timeout != Py_None) {
        deadline = accel_deadline(timeout);
        if (deadline < 0)
            return -1;
    }
    Py_INCREF((PyObject *)self);
    int result = wait_parked(self, deadline, at_once);
    int64_t outcome = self->result;
    Py_DECREF((PyObject *)self);
    if (result <= 0)
        return result;
    if (outcome == -ETIMEDOUT)
        return 0;
    if (outcome >= 0)
        return 1;
    accel_raise((int)outcome);
    return -1;
}

bool accel_watcher_is_ours(PyObject *watcher)
{
    if (!PyObject_TypeCheck(watcher, watcher_type))
        return false;
    WatcherObject *self = (WatcherObject *)watcher;
    return is_open(self) && self->loop == accel_current_loop(0);
}

int accel_watcher_wait(PyObject *watcher, PyObject *timeout)
{
    return wait_within((WatcherObject *)watcher, timeout, NULL);
}

bool accel_watcher_may_look(PyObject *watcher)
{
    WatcherObject *self = (WatcherObject *)watcher;
    return !self->waiter && !self->active && accel_loop_may_look(self->loop);
}

int accel_watcher_look_and_wait(PyObject *watcher, PyObject *timeout,
                                bool *at_once)
{
    return wait_within((WatcherObject *)watcher, timeout, at_once);
}

static PyObject *watcher_wait(PyObject *object, PyObject *args,
                              PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &timeout)
        || check_open((WatcherObject *)object) < 0)
        return NULL;
    int result = wait_within((WatcherObject *)object, timeout, NULL);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

/* ---- attributes ---------------------------------------------------------- */

static int check_inactive(WatcherObject *self, const char *name)
{
    if (!self->active)
        return check_open(self);
    PyErr_Format(PyExc_AttributeError,
                 "'%s' is read-only while the watcher is active", name);
    return -1;
}

static PyObject *get_active(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((WatcherObject *)self)->active);
}

static PyObject *get_pending(PyObject *object, void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    return PyBool_FromLong(
        self->pending || (self->watch && gcore_watch_pending(self->watch)));
}

static PyObject *get_ref(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((WatcherObject *)self)->ref);
}

static int set_ref(PyObject *object, PyObject *value,
                   void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    int ref = value ? PyObject_IsTrue(value) : 1;
    if (ref < 0 || check_open(self) < 0)
        return -1;
    if (self->watch)
        gcore_watch_set_keepalive(self->watch, ref);
    else if (self->active && self->ref != (bool)ref) {
        if (ref)
            gcore_hub_retain(self->loop->engine);
        else
            gcore_hub_release(self->loop->engine);
    }
    self->ref = ref;
    return 0;
}

static PyObject *get_priority(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((WatcherObject *)self)->priority);
}

static int set_priority_attribute(PyObject *object, PyObject *value,
                                  void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    if (check_inactive(self, "priority") < 0)
        return -1;
    return set_priority(self, value);
}

static PyObject *get_callback(PyObject *object, void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    PyObject *callback = self->callback;
    if (!callback)
        callback = self->waiter ? (PyObject *)self->waiter : Py_None;
    Py_INCREF(callback);
    return callback;
}

static int set_callback(PyObject *object, PyObject *value,
                        void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    if (value && value != Py_None && !PyCallable_Check(value)) {
        PyErr_Format(PyExc_TypeError, "Expected callable, not %R", value);
        return -1;
    }
    PyObject *old = self->callback;
    self->callback = value == Py_None ? NULL : value;
    Py_XINCREF(self->callback);
    Py_XDECREF(old);
    return 0;
}

static PyObject *get_args(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *args = ((WatcherObject *)object)->args;
    args = args ? args : Py_None;
    Py_INCREF(args);
    return args;
}

static int set_args(PyObject *object, PyObject *value,
                    void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    if (value && value != Py_None && !PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "args must be a tuple or None, not %R",
                     value);
        return -1;
    }
    PyObject *old = self->args;
    self->args = value == Py_None ? NULL : value;
    Py_XINCREF(self->args);
    Py_XDECREF(old);
    return 0;
}

static PyObject *get_loop(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *loop = (PyObject *)((WatcherObject *)object)->loop;
    loop = loop ? loop : Py_None;
    Py_INCREF(loop);
    return loop;
}

static PyObject *get_waiter(PyObject *object, void *Py_UNUSED(closure))
{
    PyObject *waiter = (PyObject *)((WatcherObject *)object)->waiter;
    waiter = waiter ? waiter : Py_None;
    Py_INCREF(waiter);
    return waiter;
}

static PyObject *get_open(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_open((WatcherObject *)object));
}

static PyObject *get_result(PyObject *object, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(((WatcherObject *)object)->result);
}

static PyObject *get_completed(PyObject *object, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((WatcherObject *)object)->completed);
}

static PyObject *get_fd(PyObject *object, void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    return PyLong_FromLong(self->watch ? gcore_io_fd(self->watch) : -1);
}

static PyObject *get_events(PyObject *object, void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    unsigned events = self->watch ? gcore_io_events(self->watch) : 0;
    return PyLong_FromUnsignedLong(events | (self->fresh ? IO_FRESH : 0));
}

static int io_change(WatcherObject *self, const char *name, PyObject *value,
                     bool is_fd)
{
    if (check_inactive(self, name) < 0)
        return -1;
    if (!value) {
        PyErr_Format(PyExc_AttributeError, "'%s' cannot be deleted", name);
        return -1;
    }
    int number;
    if (!PyArg_Parse(value, "i", &number))
        return -1;
    int fd = is_fd ? number : gcore_io_fd(self->watch);
    unsigned events = is_fd ? gcore_io_events(self->watch)
                            : (unsigned)number & IO_MASK;
    int error = gcore_io_set(self->watch, fd, events);
    if (error < 0) {
        accel_raise(error);
        return -1;
    }
    self->fresh = true;
    return 0;
}

static int set_fd(PyObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    return io_change((WatcherObject *)self, "fd", value, true);
}

static int set_events(PyObject *self, PyObject *value,
                      void *Py_UNUSED(closure))
{
    return io_change((WatcherObject *)self, "events", value, false);
}

static PyObject *get_at(PyObject *object, void *Py_UNUSED(closure))
{
    WatcherObject *self = (WatcherObject *)object;
    int64_t at = self->watch && self->active
                     ? gcore_watch_deadline(self->watch)
                           + self->loop->wall_offset
                     : self->after;
    return PyFloat_FromDouble((double)at / 1e9);
}

static PyObject *async_send(PyObject *object, PyObject *Py_UNUSED(ignored))
{
    WatcherObject *self = (WatcherObject *)object;
    if (check_open(self) < 0)
        return NULL;
    int error = gcore_async_send(self->watch);
    if (error < 0)
        return accel_raise(error);
    Py_RETURN_NONE;
}

/* (mode, inode, device, links, user, group, length, accessed, modified,
 * changed) as os.stat_result wants it, or None when there is no such file */
static PyObject *stat_info(PyObject *object, PyObject *previous)
{
    WatcherObject *self = (WatcherObject *)object;
    gcore_file_info info = {.size = sizeof info};
    if (check_open(self) < 0)
        return NULL;
    int error = PyObject_IsTrue(previous)
                    ? gcore_stat_previous(self->watch, &info)
                    : gcore_stat_last(self->watch, &info);
    if (error < 0)
        return accel_raise(error);
    if (!info.links)
        Py_RETURN_NONE;
    return Py_BuildValue(
        "KKKKKKLLLL", (unsigned long long)info.mode,
        (unsigned long long)info.inode, (unsigned long long)info.device,
        (unsigned long long)info.links, (unsigned long long)info.user,
        (unsigned long long)info.group, (long long)info.length,
        (long long)(info.accessed / 1000000000),
        (long long)(info.modified / 1000000000),
        (long long)(info.changed / 1000000000));
}

/* ---- types --------------------------------------------------------------- */

static int watcher_traverse(PyObject *object, visitproc visit, void *arg)
{
    WatcherObject *self = (WatcherObject *)object;
    Py_VISIT((PyObject *)self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->args);
    Py_VISIT(self->dict);
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static int watcher_clear(PyObject *object)
{
    WatcherObject *self = (WatcherObject *)object;
    Py_CLEAR(self->callback);
    Py_CLEAR(self->args);
    Py_CLEAR(self->dict);
    return 0;
}

static void watcher_dealloc(PyObject *object)
{
    WatcherObject *self = (WatcherObject *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->weakrefs)
        PyObject_ClearWeakRefs(object);
    if (self->watch)
        gcore_watch_unref(self->watch);
    watcher_clear(object);
    Py_XDECREF((PyObject *)self->loop);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef watcher_methods[] = {
    {"_open", watcher_open, METH_VARARGS,
     "_open(kind, loop, value, ref, priority[, interval])"},
    {"start", (PyCFunction)(void (*)(void))watcher_start,
     METH_VARARGS | METH_KEYWORDS,
     "start($self, callback, *args, **options)\n--\n\nCall callback(*args) in "
     "the hub when the event happens."},
    {"stop", watcher_stop, METH_NOARGS,
     "stop($self, /)\n--\n\nForget the callback, and what has happened "
     "already."},
    {"close", watcher_close, METH_NOARGS,
     "close($self, /)\n--\n\nStop for good."},
    {"feed", watcher_feed, METH_VARARGS,
     "feed($self, revents, callback, /, *args)\n--\n\nPretend that it has "
     "happened."},
    {"wait", (PyCFunction)(void (*)(void))watcher_wait,
     METH_VARARGS | METH_KEYWORDS,
     "wait($self, timeout=None)\n--\n\nPark the calling greenlet until the "
     "event: True; False when `timeout` seconds\nran out."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef watcher_getset[] = {
    {"active", get_active, NULL, "Whether it is started.", NULL},
    {"pending", get_pending, NULL,
     "Whether it has happened and the callback has not run yet.", NULL},
    {"ref", get_ref, set_ref, "Whether it keeps the loop alive.", NULL},
    {"priority", get_priority, set_priority_attribute,
     "-2 (late) to 2 (early); read-only while active.", NULL},
    {"callback", get_callback, set_callback, "What is called.", NULL},
    {"args", get_args, set_args, "With which arguments.", NULL},
    {"loop", get_loop, NULL, "The loop it was made for.", NULL},
    {"waiter", get_waiter, NULL, "The Wait parked on it, or None.", NULL},
    {"is_open", get_open, NULL, "False once closed.", NULL},
    {"completed", get_completed, NULL,
     "Whether an event has come back since it was made.", NULL},
    {"result", get_result, NULL, "The engine's last result.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef watcher_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(WatcherObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(WatcherObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot watcher_slots[] = {
    {Py_tp_doc, "What all watchers have."},
    {Py_tp_new, watcher_new},
    {Py_tp_dealloc, watcher_dealloc},
    {Py_tp_traverse, watcher_traverse},
    {Py_tp_clear, watcher_clear},
    {Py_tp_methods, watcher_methods},
    {Py_tp_getset, watcher_getset},
    {Py_tp_members, watcher_members},
    {0, NULL}};
static PyType_Spec watcher_spec = {
    .name = "libgcore._accel.Watcher",
    .basicsize = sizeof(WatcherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = watcher_slots,
};

static PyGetSetDef io_getset[] = {
    {"fd", get_fd, set_fd, "The descriptor; read-only while active.", NULL},
    {"events", get_events, set_events,
     "READ, WRITE or both; read-only while active.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot io_slots[] = {
    {Py_tp_doc, "IoWatcher(loop, fd, events, ref=True, priority=None)\n--\n\n"},
    {Py_tp_init, io_init},
    {Py_tp_getset, io_getset},
    {0, NULL}};
static PyType_Spec io_spec = {
    .name = "libgcore._accel.IoWatcher",
    .basicsize = sizeof(WatcherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = io_slots,
};

static PyMethodDef timer_methods[] = {
    {"again", (PyCFunction)(void (*)(void))timer_again,
     METH_VARARGS | METH_KEYWORDS,
     "again($self, callback, *args, **options)\n--\n\nStart anew, due after "
     "the repeat."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef timer_getset[] = {
    {"at", get_at, NULL, "When it is due, in the loop's time.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot timer_slots[] = {
    {Py_tp_doc, "TimerWatcher(loop, after=0.0, repeat=0.0, ref=True, "
                "priority=None)\n--\n\n"},
    {Py_tp_init, timer_init},
    {Py_tp_methods, timer_methods},
    {Py_tp_getset, timer_getset},
    {0, NULL}};
static PyType_Spec timer_spec = {
    .name = "libgcore._accel.TimerWatcher",
    .basicsize = sizeof(WatcherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = timer_slots,
};

static PyMethodDef async_methods[] = {
    {"send", async_send, METH_NOARGS,
     "send($self, /)\n--\n\nMake it happen, from any thread."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot async_slots[] = {
    {Py_tp_doc, "An event another thread makes."},
    {Py_tp_methods, async_methods},
    {0, NULL}};
static PyType_Spec async_spec = {
    .name = "libgcore._accel.AsyncWatcher",
    .basicsize = sizeof(WatcherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = async_slots,
};

static PyMethodDef stat_methods[] = {
    {"_info", stat_info, METH_O, "_info(previous) -> tuple or None"},
    {NULL, NULL, 0, NULL}};
static PyType_Slot stat_slots[] = {
    {Py_tp_doc, "A change of a file's attributes."},
    {Py_tp_methods, stat_methods},
    {0, NULL}};
static PyType_Spec stat_spec = {
    .name = "libgcore._accel.StatWatcher",
    .basicsize = sizeof(WatcherObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = stat_slots,
};

static PyObject *set_events_marker(PyObject *Py_UNUSED(module),
                                   PyObject *marker)
{
    Py_INCREF(marker);
    accel_replace(&events_marker, marker);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"set_events_marker", set_events_marker, METH_O,
     "set_events_marker($module, marker, /)\n--\n\nThe first argument that "
     "is replaced by the events."},
    {NULL, NULL, 0, NULL}};

int accel_watcher_init(PyObject *module)
{
    Py_INCREF(Py_Ellipsis);
    events_marker = Py_Ellipsis;
    watcher_type = accel_add_type(module, &watcher_spec, NULL);
    PyObject *base = (PyObject *)watcher_type;
    if (!base || !accel_add_type(module, &io_spec, base)
        || !(accel_timer_type = accel_add_type(module, &timer_spec, base))
        || !accel_add_type(module, &async_spec, base)
        || !accel_add_type(module, &stat_spec, base))
        return -1;
    return PyModule_AddFunctions(module, functions);
}
