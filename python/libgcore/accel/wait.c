/*
 * One wait of one greenlet.
 *
 * A wake-up names the wait, not the greenlet: once park() has been left, by
 * a time-out or an exception, a late wake-up finds the wait ended and cannot
 * resume whatever the greenlet waits for next.
 */
#include "greenlets.h"
#include "links.h"
#include "loop.h"

#include <math.h>

PyTypeObject *accel_wait_type;

/* Ended waits, for the next ones. */
#define SPARE_WAITS 64
static WaitObject *spare_waits[SPARE_WAITS];
static int spare_wait_count;

static WaitObject *wait_for_loop(LoopObject *loop)
{
    WaitObject *wait;
    if (spare_wait_count) {
        wait = spare_waits[--spare_wait_count];
        PyObject_Init((PyObject *)wait, accel_wait_type);
    } else {
        wait = PyObject_New(WaitObject, accel_wait_type);
        if (!wait)
            return NULL;
    }
    Py_INCREF((PyObject *)loop);
    wait->loop = loop;
    wait->previous = wait->next = NULL;
    wait->greenlet = wait->value = wait->error = wait->subject = NULL;
    wait->timer = NULL;
    wait->since = wait->result = 0;
    wait->state = WAIT_NEW;
    wait->woken = wait->listed = wait->timed_out = wait->abandoned = false;
    wait->lent = false;
    return wait;
}

WaitObject *accel_wait_new(void)
{
    LoopObject *loop = accel_current_loop(1);
    if (!loop || accel_loop_check(loop) < 0)
        return NULL;
    return wait_for_loop(loop);
}

/* The arguments of operations are told from those of timers and watches by
 * their lowest bit: all are addresses of objects. */
enum { OPERATION = 1 };

void *accel_wait_argument(WaitObject *wait)
{
    return (void *)((uintptr_t)wait | OPERATION);
}

static WaitObject *wait_of(void *argument)
{
    uintptr_t address = (uintptr_t)argument - OPERATION;
    return (WaitObject *)address;
}

void accel_wait_lend(WaitObject *wait)
{
    Py_INCREF((PyObject *)wait);
    wait->lent = true;
}

void accel_wait_give_back(void *argument)
{
    WaitObject *wait = wait_of(argument);
    if (!wait->lent)
        return;
    wait->lent = false;
    Py_DECREF((PyObject *)wait);
}

bool accel_is_operation(const void *argument)
{
    return (uintptr_t)argument & OPERATION;
}

static void wait_dealloc(PyObject *self)
{
    WaitObject *wait = (WaitObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(wait->greenlet);
    Py_XDECREF(wait->value);
    Py_XDECREF(wait->error);
    Py_XDECREF(wait->subject);
    Py_DECREF((PyObject *)wait->loop);
    if (spare_wait_count < SPARE_WAITS)
        spare_waits[spare_wait_count++] = wait;
    else
        PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- parking ------------------------------------------------------------ */

static void enlist(WaitObject *wait)
{
    LoopObject *loop = wait->loop;
    wait->next = loop->waits;
    if (loop->waits)
        loop->waits->previous = wait;
    loop->waits = wait;
}

static void delist(WaitObject *wait)
{
    if (wait->next)
        wait->next->previous = wait->previous;
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        wait->loop->waits = wait->next;
    wait->next = wait->previous = NULL;
}

static int arm_timer(WaitObject *wait, int64_t deadline, int ref,
                     int priority)
{
    gcore_watch *timer = accel_loop_borrow_timer(wait->loop);
    if (!timer)
        return -1;
    gcore_watch_set_priority(timer, priority);
    gcore_watch_set_keepalive(timer, ref);
    int error = gcore_watch_start(timer, GCORE_ONCE, deadline, GCORE_COMPLETE,
                                  wait);
    if (error < 0) {
        accel_loop_return_timer(wait->loop, timer);
        accel_raise(error);
        return -1;
    }
    wait->timer = timer;
    return 0;
}

static void disarm_timer(WaitObject *wait)
{
    if (!wait->timer)
        return;
    accel_loop_return_timer(wait->loop, wait->timer);
    wait->timer = NULL;
}

void accel_wait_discard(WaitObject *wait)
{
    /* In the list of those that are parked it stays: its greenlet's stack has
     * it, and would take it out. */
    if (wait->state < WAIT_RESUMED) {
        wait->abandoned = wait->state != WAIT_NEW;
        wait->state = WAIT_ENDED;
    }
    disarm_timer(wait);
}

static void raise_invalid_switch(WaitObject *wait, PyObject *got)
{
    PyErr_Format(accel_error("InvalidSwitchError"),
                 "Invalid switch into %R: got %R while waiting for %R",
                 wait->greenlet, got,
                 wait->subject ? wait->subject : (PyObject *)wait);
}

/* Give up until the wait's wake-up has been taken. */
static int give_up_until_resumed(WaitObject *wait)
{
    PyObject *hub = wait->loop->hub;
    Py_INCREF(hub);
    PyObject *got = accel_give_up(hub, wait->greenlet);
    Py_DECREF(hub);
    if (!got)
        return -1;
    if (wait->state != WAIT_RESUMED)
        raise_invalid_switch(wait, got);
    Py_DECREF(got);
    return wait->state == WAIT_RESUMED ? 0 : -1;
}

/* Park with what is armed already; ends the wait. */
static int park(WaitObject *wait)
{
    Py_INCREF((PyObject *)wait);
    wait->since = gcore_hub_now(wait->loop->engine);
    enlist(wait);
    int failed = give_up_until_resumed(wait);
    delist(wait);
    wait->state = WAIT_ENDED;
    disarm_timer(wait);
    Py_CLEAR(wait->greenlet);
    Py_CLEAR(wait->subject); /* the hub may keep the wait until its next turn */
    int result = failed ? -1 : wait->woken;
    Py_DECREF((PyObject *)wait);
    return result;
}

static int begin(WaitObject *wait)
{
    if (wait->state != WAIT_NEW) {
        PyErr_SetString(accel_error("ConcurrentObjectUseError"),
                        "a wait can be parked only once");
        return -1;
    }
    if (accel_loop_check(wait->loop) < 0)
        return -1;
    if (wait->loop != accel_current_loop(0)) {
        PyErr_SetString(accel_error("InvalidThreadUseError"),
                        "a wait is parked by the thread that made it");
        return -1;
    }
    if (wait->woken) {
        wait->state = WAIT_ENDED;
        return 1;
    }
    wait->greenlet = accel_current_greenlet();
    if (!wait->greenlet)
        return -1;
    wait->state = WAIT_PARKED;
    return 0;
}

static int fail_to_park(WaitObject *wait)
{
    wait->state = WAIT_ENDED;
    Py_CLEAR(wait->greenlet);
    return -1;
}

int accel_wait_park_until(WaitObject *wait, int64_t deadline, int ref,
                          int priority)
{
    int begun = begin(wait);
    if (begun)
        return begun;
    if (deadline != GCORE_FOREVER
        && arm_timer(wait, deadline, ref, priority) < 0)
        return fail_to_park(wait);
    return park(wait);
}

int accel_wait_look_and_park(WaitObject *wait, bool *at_once)
{
    int begun = begin(wait);
    if (begun)
        return begun;
    *at_once = accel_loop_may_look(wait->loop)
               && accel_loop_look(wait->loop) > 0
               && wait->state == WAIT_QUEUED;
    if (!*at_once)
        return park(wait);
    wait->state = WAIT_ENDED; /* its place in the queue is passed over */
    Py_CLEAR(wait->greenlet);
    return 1;
}

int accel_wait_park(WaitObject *wait, PyObject *timeout, int ref)
{
    int64_t deadline = GCORE_FOREVER;
    if (timeout && timeout != Py_None) {
        deadline = accel_deadline(timeout);
        if (deadline < 0)
            return -1;
    }
    if (!ref)
        return accel_wait_park_until(wait, deadline, 1, -1);
    LoopObject *loop = wait->loop;
    if (accel_loop_check(loop) < 0)
        return -1;
    gcore_hub_retain(loop->engine);
    int result = accel_wait_park_until(wait, deadline, 1, -1);
    if (loop->engine)
        gcore_hub_release(loop->engine);
    return result;
}

/* ---- waking -------------------------------------------------------------- */

int accel_wait_wake(WaitObject *wait, PyObject *value)
{
    if (wait->woken || wait->state > WAIT_PARKED || !wait->loop->engine)
        return 0;
    if (wait->state == WAIT_PARKED) {
        if (!wait->listed
            && accel_loop_push(wait->loop, (PyObject *)wait) < 0)
            return -1;
        wait->listed = true;
        wait->state = WAIT_QUEUED;
    }
    wait->woken = true;
    if (value) {
        Py_INCREF(value);
        accel_replace(&wait->value, value);
    }
    return 1;
}

/* Let its greenlet go on out of a callback of the hub. */
static void run_now(WaitObject *wait)
{
    LoopObject *loop = wait->loop;
    PyObject *greenlet = wait->greenlet;
    Py_INCREF(greenlet);
    wait->state = WAIT_RESUMED; /* the run queue passes over it */
    PyObject *result = PyObject_CallMethod(greenlet, "switch", NULL);
    if (!result)
        accel_loop_report(loop, greenlet);
    Py_XDECREF(result);
    Py_DECREF(greenlet);
}

int accel_wait_run(WaitObject *wait)
{
    if (wait->state != WAIT_PARKED || wait->woken
        || wait->loop != accel_current_loop(0) || !accel_in_hub())
        return accel_wait_wake(wait, NULL);
    wait->woken = true;
    run_now(wait);
    return 1;
}

bool accel_wait_run_queued(WaitObject *wait)
{
    if (wait->state != WAIT_QUEUED || wait->error
        || wait->loop != accel_current_loop(0))
        return false;
    run_now(wait);
    return true;
}

bool accel_wait_unwake(WaitObject *wait)
{
    if (!wait->woken || wait->state != WAIT_QUEUED || wait->error)
        return false;
    wait->woken = false;
    wait->state = WAIT_PARKED;
    Py_CLEAR(wait->value);
    return true;
}

int accel_wait_complete(WaitObject *wait, PyObject *value)
{
    if (wait->woken || wait->state != WAIT_PARKED)
        return 0;
    if (accel_loop_push_ready(wait->loop, (PyObject *)wait) < 0)
        return -1;
    wait->state = WAIT_QUEUED;
    wait->woken = true;
    Py_XINCREF(value);
    accel_replace(&wait->value, value);
    return 1;
}

void accel_wait_finish(void *argument, int64_t result)
{
    WaitObject *wait = wait_of(argument);
    wait->result = result;
    if (wait->state == WAIT_NEW)
        wait->woken = true;
    else if (accel_wait_complete(wait, NULL) < 0)
        accel_loop_report(wait->loop, (PyObject *)wait);
    accel_wait_give_back(argument);
}

void accel_wait_expire(WaitObject *wait, int64_t Py_UNUSED(result))
{
    if (wait->state != WAIT_PARKED)
        return;
    wait->timed_out = true;
    if (accel_loop_push_ready(wait->loop, (PyObject *)wait) < 0) {
        accel_loop_report(wait->loop, (PyObject *)wait);
        return;
    }
    wait->state = WAIT_QUEUED;
}

void accel_wait_resume(WaitObject *wait)
{
    if (wait->state != WAIT_QUEUED)
        return;
    LoopObject *loop = wait->loop;
    PyObject *greenlet = wait->greenlet;
    Py_INCREF(greenlet);
    Py_INCREF((PyObject *)loop);
    if (!wait->error && accel_plain_switch(greenlet)) {
        wait->state = WAIT_RESUMED;
        accel_run_greenlet(loop, greenlet, NULL, greenlet);
    } else {
        PyObject *result;
        if (wait->error) {
            result = PyObject_CallMethod(greenlet, "throw", "O", wait->error);
        } else {
            wait->state = WAIT_RESUMED;
            result = PyObject_CallMethod(greenlet, "switch", NULL);
        }
        if (result)
            Py_DECREF(result);
        else
            accel_loop_report(loop, greenlet);
    }
    Py_DECREF((PyObject *)loop);
    Py_DECREF(greenlet);
}

/* ---- time ---------------------------------------------------------------- */

int64_t accel_deadline(PyObject *seconds)
{
    double value = PyFloat_AsDouble(seconds);
    if (value == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(value)) {
        PyErr_SetString(PyExc_ValueError, "a timeout must be a number of "
                                          "seconds, not nan");
        return -1;
    }
    int64_t now = gcore_clock();
    if (value <= 0)
        return now;
    if (value >= 9.0e9) /* 285 years */
        return GCORE_FOREVER - 1;
    return now + (int64_t)(value * 1e9);
}

int accel_pause(WaitObject *then)
{
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return -1;
    int result = begin(wait);
    if (result == 0) {
        result = accel_wait_wake(wait, NULL);
        if (result > 0 && then && accel_wait_wake(then, NULL) < 0)
            result = -1;
        result = result < 0 ? fail_to_park(wait) : park(wait);
    }
    Py_DECREF((PyObject *)wait);
    return result < 0 ? -1 : 0;
}

static int yield_now(void)
{
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return -1;
    int result = begin(wait);
    if (result == 0) {
        result = accel_wait_wake(wait, NULL);
        result = result < 0 ? fail_to_park(wait) : park(wait);
    }
    Py_DECREF((PyObject *)wait);
    return result;
}

static int sleep_for(PyObject *seconds, int ref)
{
    int64_t deadline = accel_deadline(seconds);
    if (deadline < 0)
        return -1;
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return -1;
    int result = accel_wait_park_until(wait, deadline, ref, 0);
    Py_DECREF((PyObject *)wait);
    return result;
}

/* A hub whose loop attribute was replaced sleeps on what stands there. */
static int sleep_on_replaced_loop(PyObject *hub, PyObject *loop,
                                  PyObject *seconds, int ref)
{
    PyObject *updated = PyObject_CallMethod(loop, "update_now", NULL);
    PyObject *timer =
        updated ? PyObject_CallMethod(loop, "timer", "OdO", seconds, 0.0,
                                      ref ? Py_True : Py_False)
                : NULL;
    PyObject *waited =
        timer ? PyObject_CallMethod(hub, "wait", "O", timer) : NULL;
    PyObject *closed =
        waited ? PyObject_CallMethod(timer, "close", NULL) : NULL;
    int failed = closed ? 0 : -1;
    Py_XDECREF(updated);
    Py_XDECREF(timer);
    Py_XDECREF(waited);
    Py_XDECREF(closed);
    return failed;
}

static int sleep_in_hub(PyObject *seconds, int ref)
{
    PyObject *hub = accel_current_hub(1);
    PyObject *loop = hub ? PyObject_GetAttrString(hub, "loop") : NULL;
    if (!loop)
        return -1;
    int failed = (PyObject *)accel_current_loop(0) == loop
                     ? sleep_for(seconds, ref)
                     : sleep_on_replaced_loop(hub, loop, seconds, ref);
    Py_DECREF(loop);
    return failed;
}

static PyObject *pause_python(PyObject *Py_UNUSED(self),
                              PyObject *Py_UNUSED(ignored))
{
    if (yield_now() < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* Whether a number is above zero: 1 or 0, -1 with an exception. */
static int is_positive(PyObject *number)
{
    static PyObject *zero;
    if (!zero && !(zero = PyLong_FromLong(0)))
        return -1;
    return number == zero ? 0 : PyObject_RichCompareBool(number, zero, Py_GT);
}

static PyObject *sleep_python(PyObject *self, PyObject *const *args,
                              Py_ssize_t count, PyObject *names)
{
    PyObject *given[2] = {NULL, NULL}; /* seconds, ref */
    if (count > 2)
        goto usage;
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; names && i < PyTuple_Size(names); i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int index = PyUnicode_CompareWithASCIIString(name, "seconds") == 0
                        ? 0
                    : PyUnicode_CompareWithASCIIString(name, "ref") == 0 ? 1
                                                                         : -1;
        if (index < 0 || given[index])
            goto usage;
        given[index] = args[count + i];
    }
    int ref = given[1] ? PyObject_IsTrue(given[1]) : 1;
    int positive = given[0] ? is_positive(given[0]) : 0;
    if (ref < 0 || positive < 0)
        return NULL;
    if (!positive)
        return pause_python(self, NULL);
    if (sleep_in_hub(given[0], ref) < 0)
        return NULL;
    Py_RETURN_NONE;
usage:
    PyErr_SetString(PyExc_TypeError,
                    "sleep() takes seconds=0 and ref=True, once each");
    return NULL;
}

/* ---- the Python type ----------------------------------------------------- */

static PyObject *wait_new(PyTypeObject *Py_UNUSED(type), PyObject *args,
                          PyObject *kwargs)
{
    static char *names[] = {"subject", NULL};
    PyObject *subject = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &subject))
        return NULL;
    WaitObject *wait = accel_wait_new();
    if (wait && subject) {
        Py_INCREF(subject);
        wait->subject = subject;
    }
    return (PyObject *)wait;
}

static PyObject *wait_park(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", "ref", NULL};
    PyObject *timeout = Py_None;
    int ref = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|Op", names, &timeout,
                                     &ref))
        return NULL;
    int result = accel_wait_park((WaitObject *)self, timeout, ref);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *wait_wake(PyObject *self, PyObject *args)
{
    PyObject *value = NULL;
    if (!PyArg_UnpackTuple(args, "wake", 0, 1, &value))
        return NULL;
    int result = accel_wait_wake((WaitObject *)self, value);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *wait_call(PyObject *self, PyObject *args,
                           PyObject *Py_UNUSED(kwargs))
{
    return wait_wake(self, args);
}

static PyObject *wait_throw(PyObject *self, PyObject *error)
{
    WaitObject *wait = (WaitObject *)self;
    PyObject *instance = error;
    if (PyExceptionClass_Check(error)) {
        instance = PyObject_CallObject(error, NULL);
        if (!instance)
            return NULL;
    } else {
        Py_INCREF(instance);
    }
    if (!PyExceptionInstance_Check(instance)) {
        PyErr_Format(PyExc_TypeError, "an exception is thrown, not %R",
                     error);
        Py_DECREF(instance);
        return NULL;
    }
    int result = 0;
    if (wait->state == WAIT_PARKED) {
        result = accel_wait_wake(wait, NULL);
        if (result > 0) {
            Py_INCREF(instance);
            accel_replace(&wait->error, instance);
        }
    }
    Py_DECREF(instance);
    return result < 0 ? NULL : PyBool_FromLong(result);
}

static PyObject *or_none(PyObject *object)
{
    object = object ? object : Py_None;
    Py_INCREF(object);
    return object;
}

static PyObject *wait_get_hub(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((WaitObject *)self)->loop->hub);
}

static PyObject *wait_get_greenlet(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((WaitObject *)self)->greenlet);
}

static PyObject *wait_get_value(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((WaitObject *)self)->value);
}

static PyObject *wait_get_subject(PyObject *self, void *Py_UNUSED(closure))
{
    return or_none(((WaitObject *)self)->subject);
}

static int wait_set_subject(PyObject *self, PyObject *subject,
                            void *Py_UNUSED(closure))
{
    Py_XINCREF(subject);
    accel_replace(&((WaitObject *)self)->subject, subject);
    return 0;
}

static PyObject *wait_discard(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    accel_wait_discard((WaitObject *)self);
    Py_RETURN_NONE;
}

static PyObject *wait_get_argument(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(accel_wait_argument((WaitObject *)self));
}

static PyObject *wait_get_result(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(((WaitObject *)self)->result);
}

static PyObject *wait_get_since(PyObject *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble((double)((WaitObject *)self)->since / 1e9);
}

static PyObject *wait_get_woken(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((WaitObject *)self)->woken);
}

static PyObject *wait_get_over(PyObject *self, void *Py_UNUSED(closure))
{
    WaitObject *wait = (WaitObject *)self;
    return PyBool_FromLong(wait->woken || wait->state > WAIT_PARKED);
}

static PyMethodDef wait_methods[] = {
    {"park", (PyCFunction)(void (*)(void))wait_park,
     METH_VARARGS | METH_KEYWORDS,
     "park($self, timeout=None, ref=False)\n--\n\nGive up until woken: "
     "True; False when `timeout` seconds ran out.\n`ref` keeps the loop "
     "alive meanwhile.  Raises what is thrown into the greenlet."},
    {"wake", wait_wake, METH_VARARGS,
     "wake($self, value=None, /)\n--\n\nResume the greenlet, from any "
     "thread; False when this wait is over\nor was woken before."},
    {"throw", wait_throw, METH_O,
     "throw($self, error, /)\n--\n\nAs wake(), but park() raises `error`."},
    {"discard", wait_discard, METH_NOARGS,
     "discard($self, /)\n--\n\nEnd the wait: nothing wakes it from now on."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef wait_getset[] = {
    {"hub", wait_get_hub, NULL, "The hub of the thread that made it.", NULL},
    {"greenlet", wait_get_greenlet, NULL, "Who is parked, or None.", NULL},
    {"value", wait_get_value, NULL, "What wake() brought.", NULL},
    {"subject", wait_get_subject, wait_set_subject,
     "What is waited for, shown in reports.", NULL},
    {"since", wait_get_since, NULL, "When it was parked, monotonic seconds.",
     NULL},
    {"argument", wait_get_argument, NULL,
     "What an operation of the engine that completes by GCORE_COMPLETE is "
     "given as\nits argument (an address), so that its end wakes this wait.  "
     "It must have ended\nor be cancelled when the wait goes.", NULL},
    {"result", wait_get_result, NULL, "That operation's result.", NULL},
    {"woken", wait_get_woken, NULL, "Whether a wake-up was accepted.", NULL},
    {"over", wait_get_over, NULL, "Whether a wake-up would be refused.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyType_Slot wait_slots[] = {
    {Py_tp_doc, "Wait(subject=None)\n--\n\nOne wait of the calling greenlet."},
    {Py_tp_new, wait_new},
    {Py_tp_dealloc, wait_dealloc},
    {Py_tp_call, wait_call},
    {Py_tp_methods, wait_methods},
    {Py_tp_getset, wait_getset},
    {0, NULL}};
static PyType_Spec wait_spec = {
    .name = "libgcore._accel.Wait",
    .basicsize = sizeof(WaitObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = wait_slots,
};

static PyMethodDef functions[] = {
    {"pause", pause_python, METH_NOARGS,
     "pause($module, /)\n--\n\nLet everything run that is queued already."},
    {"sleep", (PyCFunction)(void (*)(void))sleep_python,
     METH_FASTCALL | METH_KEYWORDS,
     "sleep($module, seconds=0, ref=True)\n--\n\nLet others run, for at "
     "least `seconds`.\n\nWith 0 (or less) what is queued already runs "
     "before the caller goes on.\n`ref` says whether the loop stays alive "
     "for the sake of this sleep alone."},
    {NULL, NULL, 0, NULL}};

int accel_wait_init(PyObject *module)
{
    accel_wait_type = accel_add_type(module, &wait_spec, NULL);
    if (!accel_wait_type)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
