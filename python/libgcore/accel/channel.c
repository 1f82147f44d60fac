/*
 * Channels: queues without room.  put() gives its item to a getter or waits
 * for one.
 *
 * Here items are handed over: to a getter as the value of its wake-up, from a
 * putter by taking its offer.  If the receiver is killed before it runs, the
 * item goes to the next getter, or back in front as an offer of nobody.
 */
#include "queue.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    PyObject *hub;
    accel_links getters; /* waits */
    accel_links putters; /* (item, wait or None) */
} ChannelObject;

/* ---- handing over -------------------------------------------------------- */

/* 1: a getter has it, 0: nobody waits, -1: exception. */
static int give(ChannelObject *self, PyObject *item)
{
    PyObject *first;
    while ((first = accel_links_first(&self->getters)) != NULL) {
        int result = accel_wait_wake((WaitObject *)first, item);
        if (result < 0)
            return -1;
        accel_links_remove(&self->getters, first);
        if (result)
            return 1;
    }
    return 0;
}

/* An item whose receiver was killed; the exception stays set. */
static void give_back(ChannelObject *self, PyObject *item)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    int result = give(self, item);
    if (!result) {
        PyObject *offer = PyTuple_Pack(2, item, Py_None);
        result = offer ? accel_links_prepend(&self->putters, offer) : -1;
        Py_XDECREF(offer);
    }
    if (result < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    PyErr_Restore(type, value, traceback);
}

/* The first offer that still stands, taken out of the list: a new reference;
 * NULL when there is none. */
static PyObject *take_offer(ChannelObject *self)
{
    PyObject *offer;
    while ((offer = accel_links_first(&self->putters)) != NULL) {
        Py_INCREF(offer);
        accel_links_remove(&self->putters, offer);
        PyObject *putter = PyTuple_GetItem(offer, 1);
        if (putter == Py_None || ((WaitObject *)putter)->state == WAIT_PARKED)
            return offer;
        Py_DECREF(offer); /* its putter has given up */
    }
    return NULL;
}

static WaitObject *new_wait(ChannelObject *self)
{
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return NULL;
    Py_INCREF((PyObject *)self);
    wait->subject = (PyObject *)self;
    accel_bind_hub(&self->hub);
    return wait;
}

/* ---- put ----------------------------------------------------------------- */

static PyObject *put_waiting(ChannelObject *self, PyObject *item,
                             int64_t deadline)
{
    WaitObject *wait = new_wait(self);
    PyObject *offer =
        wait ? PyTuple_Pack(2, item, (PyObject *)wait) : NULL;
    int result = -1;
    if (offer && accel_links_append(&self->putters, offer) == 0)
        result = accel_wait_park_until(wait, deadline, 1, -1);
    if (offer && !(wait->woken))
        accel_links_remove(&self->putters, offer);
    Py_XDECREF(offer);
    Py_XDECREF((PyObject *)wait);
    if (result < 0)
        return NULL;
    if (!result) {
        PyErr_SetNone(accel_full_error);
        return NULL;
    }
    Py_RETURN_NONE;
}

/* values: item, block, timeout */
static PyObject *put(PyObject *object, PyObject **values)
{
    ChannelObject *self = (ChannelObject *)object;
    int block = PyObject_IsTrue(values[1]);
    int64_t deadline = accel_optional_deadline(values[2]);
    if (block < 0 || deadline < 0)
        return NULL;
    int given = give(self, values[0]);
    if (given < 0)
        return NULL;
    if (given) {
        /* The getter runs first. */
        if (!accel_in_hub() && accel_pause(NULL) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    if (block && !accel_in_hub())
        return put_waiting(self, values[0], deadline);
    PyErr_SetNone(accel_full_error);
    return NULL;
}

static PyObject *channel_put(PyObject *self, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"item", "block", "timeout", NULL};
    PyObject *values[] = {NULL, Py_True, Py_None};
    if (accel_parse("put", names, values, args, nargs, keywords) < 0)
        return NULL;
    return accel_call_timed(put, self, values, 2, NULL);
}

static PyObject *channel_put_nowait(PyObject *self, PyObject *const *args,
                                    Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *item =
        accel_parse_one("put_nowait", "item", args, nargs, keywords);
    if (!item)
        return NULL;
    PyObject *values[] = {item, Py_False, Py_None};
    return put(self, values);
}

/* ---- get ----------------------------------------------------------------- */

/* The putter runs behind us, we behind what is queued already. */
static PyObject *accept_offer(ChannelObject *self, PyObject *offer)
{
    PyObject *item = PyTuple_GetItem(offer, 0);
    PyObject *putter = PyTuple_GetItem(offer, 1);
    int failed = 0;
    if (putter == Py_None)
        failed = 0;
    else if (accel_in_hub())
        failed = accel_wait_wake((WaitObject *)putter, NULL) < 0;
    else
        failed = accel_pause((WaitObject *)putter) < 0;
    if (failed)
        give_back(self, item);
    else
        Py_INCREF(item);
    Py_DECREF(offer);
    return failed ? NULL : item;
}

static PyObject *get_waiting(ChannelObject *self, int64_t deadline)
{
    WaitObject *wait = new_wait(self);
    if (!wait)
        return NULL;
    int result = -1;
    if (accel_links_append(&self->getters, (PyObject *)wait) == 0)
        result = accel_wait_park_until(wait, deadline, 1, -1);
    accel_links_remove(&self->getters, (PyObject *)wait);
    PyObject *item = NULL;
    if (result > 0 && wait->value) {
        item = wait->value;
        Py_INCREF(item);
    } else if (result < 0 && wait->woken && wait->value) {
        give_back(self, wait->value);
    } else if (result >= 0) {
        PyErr_SetNone(accel_empty_error);
    }
    Py_DECREF((PyObject *)wait);
    return item;
}

/* values: block, timeout */
static PyObject *get(PyObject *object, PyObject **values)
{
    ChannelObject *self = (ChannelObject *)object;
    int block = PyObject_IsTrue(values[0]);
    int64_t deadline = accel_optional_deadline(values[1]);
    if (block < 0 || deadline < 0)
        return NULL;
    PyObject *offer = take_offer(self);
    if (offer)
        return accept_offer(self, offer);
    if (block && !accel_in_hub())
        return get_waiting(self, deadline);
    PyErr_SetNone(accel_empty_error);
    return NULL;
}

static PyObject *channel_get(PyObject *self, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const names[] = {"block", "timeout", NULL};
    PyObject *values[] = {Py_True, Py_None};
    if ((nargs || keywords)
        && accel_parse("get", names, values, args, nargs, keywords) < 0)
        return NULL;
    return accel_call_timed(get, self, values, 1, NULL);
}

static PyObject *channel_get_nowait(PyObject *self,
                                    PyObject *Py_UNUSED(ignored))
{
    PyObject *values[] = {Py_False, Py_None};
    return get(self, values);
}

static PyObject *channel_next(PyObject *self)
{
    PyObject *values[] = {Py_True, Py_None};
    PyObject *item = get(self, values);
    if (item == PyExc_StopIteration)
        Py_CLEAR(item);
    return item;
}

/* ---- the type ------------------------------------------------------------ */

static PyObject *channel_qsize(PyObject *Py_UNUSED(self),
                               PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(0);
}

static PyObject *channel_true(PyObject *Py_UNUSED(self),
                              PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static int channel_init(PyObject *Py_UNUSED(self), PyObject *args,
                        PyObject *keywords)
{
    static char *names[] = {"maxsize", NULL};
    Py_ssize_t maxsize = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|n", names, &maxsize))
        return -1;
    if (maxsize == 1)
        return 0;
    PyErr_SetString(PyExc_ValueError, "Channels have a maxsize of 1");
    return -1;
}

static int channel_traverse(PyObject *self, visitproc visit, void *arg)
{
    ChannelObject *channel = (ChannelObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(channel->hub);
    int result = accel_links_traverse(&channel->getters, visit, arg);
    return result ? result
                  : accel_links_traverse(&channel->putters, visit, arg);
}

static int channel_clear(PyObject *self)
{
    ChannelObject *channel = (ChannelObject *)self;
    Py_CLEAR(channel->hub);
    accel_links_clear(&channel->getters);
    accel_links_clear(&channel->putters);
    return 0;
}

static void channel_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((ChannelObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    channel_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *get_balance(PyObject *self, void *Py_UNUSED(closure))
{
    ChannelObject *channel = (ChannelObject *)self;
    return PyLong_FromSsize_t(channel->putters.count
                              - channel->getters.count);
}

static PyObject *get_getters(PyObject *self, void *Py_UNUSED(closure))
{
    return accel_links_as_deque(&((ChannelObject *)self)->getters);
}

static PyObject *get_putters(PyObject *self, void *Py_UNUSED(closure))
{
    return accel_links_as_deque(&((ChannelObject *)self)->putters);
}

static PyObject *get_hub(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *hub = ((ChannelObject *)self)->hub;
    hub = hub ? hub : Py_None;
    Py_INCREF(hub);
    return hub;
}

static int set_hub(PyObject *self, PyObject *hub, void *Py_UNUSED(closure))
{
    accel_set(&((ChannelObject *)self)->hub, hub == Py_None ? NULL : hub);
    return 0;
}

static PyMethodDef channel_methods[] = {
    ACCEL_FAST("put", channel_put,
               "put($self, item, block=True, timeout=None)\n--\n\nGive an "
               "item to a getter; Full when none comes, at once or "
               "within\n`timeout` seconds."),
    ACCEL_FAST("get", channel_get,
               "get($self, block=True, timeout=None)\n--\n\nTake an item "
               "from a putter; Empty when none comes, at once or "
               "within\n`timeout` seconds."),
    ACCEL_FAST("put_nowait", channel_put_nowait,
               "put_nowait($self, item)\n--\n\nput(item, False)"),
    {"get_nowait", channel_get_nowait, METH_NOARGS,
     "get_nowait($self, /)\n--\n\nget(False)"},
    {"qsize", channel_qsize, METH_NOARGS,
     "qsize($self, /)\n--\n\nReturns 0."},
    {"empty", channel_true, METH_NOARGS,
     "empty($self, /)\n--\n\nReturns True."},
    {"full", channel_true, METH_NOARGS,
     "full($self, /)\n--\n\nReturns True."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef channel_getset[] = {
    {"balance", get_balance, NULL, "Waiting putters minus waiting getters.",
     NULL},
    {"getters", get_getters, NULL, "Who waits for items, oldest first.",
     NULL},
    {"putters", get_putters, NULL, "(item, wait) of each putter.", NULL},
    {"hub", get_hub, set_hub,
     "The hub of the first greenlet that waited, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef channel_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ChannelObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot channel_slots[] = {
    {Py_tp_doc, "Channel(maxsize=1)\n--\n\nA queue in which put() waits until "
                "somebody gets the item."},
    {Py_tp_init, channel_init},
    {Py_tp_traverse, channel_traverse},
    {Py_tp_clear, channel_clear},
    {Py_tp_dealloc, channel_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, channel_next},
    {Py_tp_methods, channel_methods},
    {Py_tp_getset, channel_getset},
    {Py_tp_members, channel_members},
    {0, NULL}};
static PyType_Spec channel_spec = {
    .name = "libgcore._accel.Channel",
    .basicsize = sizeof(ChannelObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = channel_slots,
};

int accel_channel_init(PyObject *module)
{
    return accel_add_type(module, &channel_spec, NULL) ? 0 : -1;
}
