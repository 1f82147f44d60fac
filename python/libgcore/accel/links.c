/* Lists of waiters, and the base type of what can be waited for. */
#include "links.h"
#include "greenlets.h"

#include <pthread.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <unistd.h>

PyTypeObject *accel_linkable_type;
static PyTypeObject *link_type, *native_wait_type;
static PyObject *str_handle_error, *str_loop, *str_ready, *str_run_callback,
    *str_run_callback_threadsafe;

typedef struct {
    PyObject_HEAD
    PyObject *callback;
    PyObject *hub; /* of the thread that linked it, or NULL */
} LinkObject;

typedef struct {
    PyObject_HEAD
    PyThread_type_lock lock; /* held until told */
    bool told;
} NativeWaitObject;

/* ---- the list ------------------------------------------------------------ */

static accel_link *at(const accel_links *links, Py_ssize_t position)
{
    return &links->items[links->head + position];
}

static bool is_wait(const PyObject *what)
{
    return Py_TYPE(what) == accel_wait_type;
}

static bool is_callback(const PyObject *what)
{
    return Py_TYPE(what) == link_type;
}

static Py_ssize_t find(const accel_links *links, const PyObject *what)
{
    for (Py_ssize_t i = 0; i < links->count; i++) {
        if (at(links, i)->what == what)
            return i;
    }
    return -1;
}

static int make_room(accel_links *links)
{
    if (links->head > links->capacity / 2) {
        memmove(links->items, at(links, 0),
                (size_t)links->count * sizeof *links->items);
        links->head = 0;
        return 0;
    }
    Py_ssize_t capacity = links->capacity ? links->capacity * 2 : 2;
    accel_link *items =
        PyMem_Realloc(links->items, (size_t)capacity * sizeof *items);
    if (!items) {
        PyErr_NoMemory();
        return -1;
    }
    links->items = items;
    links->capacity = capacity;
    return 0;
}

int accel_links_append(accel_links *links, PyObject *what)
{
    if (links->head + links->count == links->capacity
        && make_room(links) < 0)
        return -1;
    Py_INCREF(what);
    *at(links, links->count++) = (accel_link){what, false};
    return 0;
}

int accel_links_prepend(accel_links *links, PyObject *what)
{
    if (accel_links_append(links, what) < 0)
        return -1;
    memmove(at(links, 1), at(links, 0),
            (size_t)(links->count - 1) * sizeof *links->items);
    *at(links, 0) = (accel_link){what, false};
    links->untold = 0;
    return 0;
}

PyObject *accel_links_as_deque(const accel_links *links)
{
    PyObject *list = PyList_New(links->count);
    for (Py_ssize_t i = 0; list && i < links->count; i++) {
        PyObject *what = at(links, i)->what;
        Py_INCREF(what);
        PyList_SetItem(list, i, what);
    }
    PyObject *type = list ? accel_import("collections", "deque") : NULL;
    PyObject *deque =
        type ? PyObject_CallFunctionObjArgs(type, list, NULL) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(list);
    return deque;
}

static void count_told(accel_links *links, const accel_link *link, int change)
{
    links->told += change;
    if (!is_callback(link->what))
        links->told_waits += change;
}

static void untell(accel_links *links, Py_ssize_t position)
{
    accel_link *link = at(links, position);
    if (link->told) {
        count_told(links, link, -1);
        link->told = false;
    }
    if (links->untold > position)
        links->untold = position;
}

static void remove_at(accel_links *links, Py_ssize_t position)
{
    accel_link *link = at(links, position);
    PyObject *what = link->what;
    if (link->told)
        count_told(links, link, -1);
    if (links->untold > position)
        links->untold--;
    links->count--;
    if (position == 0)
        links->head = links->count ? links->head + 1 : 0;
    else
        memmove(link, link + 1,
                (size_t)(links->count - position) * sizeof *link);
    Py_DECREF(what);
}

bool accel_links_remove(accel_links *links, const PyObject *what)
{
    Py_ssize_t position = find(links, what);
    if (position < 0)
        return false;
    remove_at(links, position);
    return true;
}

void accel_links_clear(accel_links *links)
{
    while (links->count)
        remove_at(links, links->count - 1);
    PyMem_Free(links->items);
    memset(links, 0, sizeof *links);
}

int accel_links_traverse(const accel_links *links, visitproc visit, void *arg)
{
    for (Py_ssize_t i = 0; i < links->count; i++)
        Py_VISIT(at(links, i)->what);
    return 0;
}

/* ---- telling ------------------------------------------------------------- */

static bool loop_is_gone(PyObject *loop)
{
    return loop == Py_None
           || (PyObject_TypeCheck(loop, accel_loop_type)
               && !((LoopObject *)loop)->engine);
}

/* The loop a callback runs on: its hub's, or the caller's when that hub has
 * been destroyed. */
static PyObject *loop_of(LinkObject *link, bool *foreign)
{
    PyObject *hub = link->hub ? link->hub : accel_current_hub(1);
    PyObject *loop = hub ? PyObject_GetAttr(hub, str_loop) : NULL;
    if (loop && link->hub && loop_is_gone(loop)) {
        Py_DECREF(loop);
        hub = accel_current_hub(1);
        loop = hub ? PyObject_GetAttr(hub, str_loop) : NULL;
    }
    *foreign = hub != accel_current_hub(0);
    return loop;
}

static int schedule(LinkObject *link, PyObject *owner)
{
    bool foreign;
    PyObject *loop = loop_of(link, &foreign);
    if (!loop)
        return -1;
    PyObject *callback = PyObject_CallMethodObjArgs(
        loop, foreign ? str_run_callback_threadsafe : str_run_callback,
        (PyObject *)link, owner, NULL);
    Py_DECREF(loop);
    if (!callback)
        return -1;
    Py_DECREF(callback);
    return 0;
}

/* 1: told, 0: cannot be told any more, -1: exception. */
static int tell(PyObject *what, PyObject *owner)
{
    if (is_wait(what))
        return accel_wait_wake((WaitObject *)what, NULL);
    if (Py_TYPE(what) == native_wait_type) {
        NativeWaitObject *wait = (NativeWaitObject *)what;
        wait->told = true;
        PyThread_release_lock(wait->lock);
        return 1;
    }
    return schedule((LinkObject *)what, owner) < 0 ? -1 : 1;
}

int accel_links_tell_one(accel_links *links, PyObject *owner)
{
    while (links->untold < links->count) {
        accel_link *link = at(links, links->untold);
        if (link->told) {
            links->untold++;
            continue;
        }
        /* Told before it is: a callback may run on another thread before
         * its scheduling returns. */
        PyObject *what = link->what;
        Py_INCREF(what);
        link->told = true;
        count_told(links, link, 1);
        int result = tell(what, owner);
        if (result <= 0) {
            Py_ssize_t position = find(links, what);
            if (position >= 0 && result < 0)
                untell(links, position);
            else if (position >= 0)
                remove_at(links, position);
        }
        Py_DECREF(what);
        if (result)
            return result;
    }
    return 0;
}

int accel_links_tell_all(accel_links *links, PyObject *owner)
{
    PyObject *type = NULL, *value, *traceback;
    int result;
    while ((result = accel_links_tell_one(links, owner)) != 0) {
        if (result > 0)
            continue;
        /* The one that failed stays untold; go on behind it. */
        links->untold++;
        if (type)
            PyErr_Clear();
        else
            PyErr_Fetch(&type, &value, &traceback);
    }
    if (!type)
        return 0;
    for (Py_ssize_t i = 0; i < links->count; i++) {
        if (!at(links, i)->told) {
            links->untold = i;
            break;
        }
    }
    PyErr_Restore(type, value, traceback);
    return -1;
}

static bool is_lost(const accel_link *link)
{
    if (!link->told || !is_wait(link->what))
        return false;
    const WaitObject *wait = (WaitObject *)link->what;
    return wait->abandoned || !wait->loop->engine;
}

static void drop_lost(accel_links *links)
{
    for (Py_ssize_t i = links->count - 1; i >= 0; i--) {
        if (i < links->count && is_lost(at(links, i)))
            remove_at(links, i);
    }
}

static const accel_link *next_untold(accel_links *links)
{
    while (links->untold < links->count && at(links, links->untold)->told)
        links->untold++;
    return links->untold < links->count ? at(links, links->untold) : NULL;
}

int accel_links_tell_until(accel_links *links, PyObject *owner,
                           Py_ssize_t enough)
{
    const accel_link *next;
    while ((next = next_untold(links)) != NULL) {
        if (!is_callback(next->what) && links->told_waits >= enough) {
            drop_lost(links);
            if (links->told_waits >= enough)
                return 0;
        }
        int result = accel_links_tell_one(links, owner);
        if (result <= 0)
            return result;
    }
    return 0;
}

void accel_links_untell_beyond(accel_links *links, Py_ssize_t enough)
{
    for (Py_ssize_t i = links->count - 1;
         i >= 0 && links->told_waits > enough; i--) {
        accel_link *link = at(links, i);
        if (link->told && is_wait(link->what)
            && accel_wait_unwake((WaitObject *)link->what))
            untell(links, i);
    }
}

bool accel_links_run_one(accel_links *links)
{
    for (Py_ssize_t i = 0; i < links->count; i++) {
        PyObject *what = at(links, i)->what;
        if (is_wait(what) && accel_wait_run_queued((WaitObject *)what))
            return true;
    }
    return false;
}

/* ---- threads without a hub ----------------------------------------------- */

static void native_wait_dealloc(PyObject *self)
{
    NativeWaitObject *wait = (NativeWaitObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (wait->lock) {
        if (!wait->told)
            PyThread_release_lock(wait->lock);
        PyThread_free_lock(wait->lock);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot native_wait_slots[] = {
    {Py_tp_dealloc, native_wait_dealloc}, {0, NULL}};
static PyType_Spec native_wait_spec = {
    .name = "libgcore._accel._NativeWait",
    .basicsize = sizeof(NativeWaitObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = native_wait_slots,
};

static NativeWaitObject *native_wait_new(void)
{
    NativeWaitObject *wait = PyObject_New(NativeWaitObject, native_wait_type);
    if (!wait)
        return NULL;
    wait->told = false;
    wait->lock = PyThread_allocate_lock();
    if (!wait->lock) {
        Py_DECREF((PyObject *)wait);
        PyErr_NoMemory();
        return NULL;
    }
    PyThread_acquire_lock(wait->lock, 1);
    return wait;
}

/* 1 when told, 0 at the deadline, -1 when a signal handler raised. */
static int native_wait_park(NativeWaitObject *wait, int64_t deadline)
{
    PyLockStatus status;
    do {
        PY_TIMEOUT_T left = -1;
        if (deadline < GCORE_FOREVER - 1) {
            left = (deadline - gcore_clock()) / 1000;
            left = left > 0 ? left : 0;
        }
        Py_BEGIN_ALLOW_THREADS
        status = PyThread_acquire_lock_timed(wait->lock, left, 1);
        Py_END_ALLOW_THREADS
        if (status == PY_LOCK_INTR && PyErr_CheckSignals() < 0)
            return -1;
    } while (status == PY_LOCK_INTR);
    return wait->told;
}

static unsigned fork_count;

static void count_fork(void)
{
    fork_count++;
}

/* The process's first thread, or the one that forked. */
static bool in_main_thread(void)
{
    static __thread unsigned known_at = UINT32_MAX;
    static __thread bool is_main;
    if (known_at != fork_count) {
#ifdef __linux__
        is_main = getpid() == (pid_t)syscall(SYS_gettid);
#else
        is_main = pthread_main_np() != 0;
#endif
        known_at = fork_count;
    }
    return is_main;
}

/* ---- waiting in a list --------------------------------------------------- */

static int enter(accel_waiting *waiting, PyObject *link)
{
    accel_links *links = waiting->links;
    Py_ssize_t position =
        waiting->link ? find(links, waiting->link) : -1;
    if (position < 0) {
        if (accel_links_append(links, link) < 0)
            return -1;
    } else {
        untell(links, position);
        accel_set(&at(links, position)->what, link);
    }
    accel_set(&waiting->link, link);
    return 0;
}

void accel_waiting_leave(accel_waiting *waiting)
{
    if (waiting->link)
        accel_links_remove(waiting->links, waiting->link);
    accel_set(&waiting->link, NULL);
}

/* Out of the list after anything but having been told. */
static enum accel_park_result give_up_waiting(accel_waiting *waiting,
                                              enum accel_park_result result)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    Py_ssize_t position =
        waiting->link ? find(waiting->links, waiting->link) : -1;
    waiting->told = position >= 0 && at(waiting->links, position)->told;
    accel_waiting_leave(waiting);
    PyErr_Restore(type, value, traceback);
    return result;
}

static int park_natively(accel_waiting *waiting)
{
    NativeWaitObject *wait = native_wait_new();
    int result = -1;
    if (wait && enter(waiting, (PyObject *)wait) == 0)
        result = native_wait_park(wait, waiting->deadline);
    Py_XDECREF((PyObject *)wait);
    return result;
}

static int park_greenlet(accel_waiting *waiting)
{
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return -1;
    Py_INCREF(waiting->subject);
    wait->subject = waiting->subject;
    LoopObject *loop = wait->loop;
    int result = -1;
    if (enter(waiting, (PyObject *)wait) == 0) {
        /* Another thread may hold the lock: that this hub has nothing else
         * to do is no deadlock.  The main thread's LoopExit stays. */
        bool keep = waiting->is_lock && !in_main_thread();
        Py_INCREF((PyObject *)loop);
        if (keep)
            gcore_hub_retain(loop->engine);
        result = accel_wait_park_until(wait, waiting->deadline, 1, -1);
        if (keep && loop->engine)
            gcore_hub_release(loop->engine);
        Py_DECREF((PyObject *)loop);
    }
    Py_DECREF((PyObject *)wait);
    return result;
}

enum accel_park_result accel_waiting_park(accel_waiting *waiting)
{
    bool natively =
        waiting->is_lock && !accel_current_hub(0) && !in_main_thread();
    int result = natively ? park_natively(waiting) : park_greenlet(waiting);
    if (result > 0)
        return PARK_TOLD;
    return give_up_waiting(waiting,
                           result < 0 ? PARK_FAILED : PARK_TIMED_OUT);
}

/* ---- callbacks ----------------------------------------------------------- */

static int link_traverse(PyObject *self, visitproc visit, void *arg)
{
    LinkObject *link = (LinkObject *)self;
    Py_VISIT(link->callback);
    Py_VISIT(link->hub);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int link_clear(PyObject *self)
{
    LinkObject *link = (LinkObject *)self;
    Py_CLEAR(link->callback);
    Py_CLEAR(link->hub);
    return 0;
}

static void link_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    link_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static void report(LinkObject *link, PyObject *callback, PyObject *owner)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *hub = link->hub ? link->hub : accel_current_hub(1);
    PyObject *context = hub ? PyTuple_Pack(2, callback, owner) : NULL;
    PyObject *done = NULL;
    if (context) {
        Py_INCREF(hub);
        done = PyObject_CallMethodObjArgs(
            hub, str_handle_error, context, type, value ? value : Py_None,
            traceback ? traceback : Py_None, NULL);
        Py_DECREF(hub);
    }
    if (!done)
        PyErr_WriteUnraisable(callback);
    Py_XDECREF(done);
    Py_XDECREF(context);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* One notification reaches a callback once, however often it was linked. */
static void untell_links_to(accel_links *links, const PyObject *callback)
{
    for (Py_ssize_t i = links->count - 1; i >= 0; i--) {
        accel_link *link = at(links, i);
        if (link->told && is_callback(link->what)
            && ((LinkObject *)link->what)->callback == callback)
            untell(links, i);
    }
}

/* What the loop calls: link(owner). */
static PyObject *link_call(PyObject *self, PyObject *args,
                           PyObject *Py_UNUSED(keywords))
{
    PyObject *object;
    if (!PyArg_ParseTuple(args, "O!", accel_linkable_type, &object))
        return NULL;
    LinkableObject *owner = (LinkableObject *)object;
    LinkObject *link = (LinkObject *)self;
    Py_ssize_t position = find(&owner->links, self);
    if (position < 0 || !at(&owner->links, position)->told)
        Py_RETURN_NONE;
    if (owner->ops->open && !owner->ops->open(owner)) {
        untell(&owner->links, position);
        Py_RETURN_NONE;
    }
    PyObject *callback = link->callback;
    Py_INCREF(callback);
    untell_links_to(&owner->links, callback);
    accel_links_remove(&owner->links, self);
    PyObject *result = PyObject_CallFunctionObjArgs(callback, object, NULL);
    if (!result)
        report(link, callback, object);
    Py_XDECREF(result);
    Py_DECREF(callback);
    if (owner->ops->passed && owner->ops->passed(owner) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyType_Slot link_slots[] = {{Py_tp_traverse, link_traverse},
                                   {Py_tp_clear, link_clear},
                                   {Py_tp_dealloc, link_dealloc},
                                   {Py_tp_call, link_call},
                                   {0, NULL}};
static PyType_Spec link_spec = {
    .name = "libgcore._accel._Link",
    .basicsize = sizeof(LinkObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = link_slots,
};

static PyObject *link_new(PyObject *callback)
{
    LinkObject *link = PyObject_GC_New(LinkObject, link_type);
    if (!link)
        return NULL;
    Py_INCREF(callback);
    link->callback = callback;
    link->hub = accel_current_hub(0);
    Py_XINCREF(link->hub);
    PyObject_GC_Track((PyObject *)link);
    return (PyObject *)link;
}

/* ---- objects with links -------------------------------------------------- */

static int notify_all(LinkableObject *self)
{
    return accel_links_tell_all(&self->links, (PyObject *)self);
}

static const accel_linkable_ops notify_all_ops = {notify_all, NULL, NULL};

LinkableObject *accel_linkable_new(PyTypeObject *type,
                                   const accel_linkable_ops *ops)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    LinkableObject *self = (LinkableObject *)alloc(type, 0);
    if (self)
        self->ops = ops ? ops : &notify_all_ops;
    return self;
}

static PyObject *linkable_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                              PyObject *Py_UNUSED(keywords))
{
    return (PyObject *)accel_linkable_new(type, NULL);
}

int accel_linkable_traverse(PyObject *self, visitproc visit, void *arg)
{
    LinkableObject *linkable = (LinkableObject *)self;
    Py_VISIT(linkable->hub);
    Py_VISIT(Py_TYPE(self));
    return accel_links_traverse(&linkable->links, visit, arg);
}

int accel_linkable_clear(PyObject *self)
{
    LinkableObject *linkable = (LinkableObject *)self;
    Py_CLEAR(linkable->hub);
    accel_links_clear(&linkable->links);
    return 0;
}

void accel_linkable_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (((LinkableObject *)self)->weakrefs)
        PyObject_ClearWeakRefs(self);
    accel_linkable_clear(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

bool accel_in_hub(void)
{
    PyObject *hub = accel_current_hub(0);
    if (!hub)
        return false;
    PyObject *current = accel_current_greenlet();
    Py_XDECREF(current);
    return current == hub;
}

void accel_bind_hub(PyObject **hub)
{
    if (*hub)
        return;
    *hub = accel_current_hub(0);
    Py_XINCREF(*hub);
}

enum accel_park_result accel_linkable_wait(LinkableObject *self,
                                           int64_t deadline)
{
    if (!accel_current_hub(1))
        return PARK_FAILED;
    accel_bind_hub(&self->hub);
    accel_waiting waiting = {.links = &self->links,
                             .subject = (PyObject *)self,
                             .deadline = deadline};
    enum accel_park_result result = accel_waiting_park(&waiting);
    if (result == PARK_TOLD)
        accel_waiting_leave(&waiting);
    return result;
}

static PyObject *linkable_linkcount(PyObject *self,
                                    PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSsize_t(((LinkableObject *)self)->links.count);
}

static PyObject *linkable_notify(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LinkableObject *linkable = (LinkableObject *)self;
    if (linkable->links.count && linkable->ops->notify(linkable) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *linkable_check_and_notify(PyObject *self,
                                           PyObject *Py_UNUSED(ignored))
{
    PyObject *ready = PyObject_CallMethodObjArgs(self, str_ready, NULL);
    if (!ready)
        return NULL;
    int truth = PyObject_IsTrue(ready);
    Py_DECREF(ready);
    if (truth < 0)
        return NULL;
    if (truth)
        return linkable_notify(self, NULL);
    Py_RETURN_NONE;
}

static PyObject *linkable_rawlink(PyObject *self, PyObject *const *args,
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
    PyObject *link = link_new(callback);
    if (!link)
        return NULL;
    int failed = accel_links_append(&((LinkableObject *)self)->links, link);
    Py_DECREF(link);
    return failed ? NULL : linkable_check_and_notify(self, NULL);
}

static PyObject *linkable_unlink(PyObject *self, PyObject *const *args,
                                 Py_ssize_t nargs, PyObject *keywords)
{
    PyObject *callback =
        accel_parse_one("unlink", "callback", args, nargs, keywords);
    if (!callback)
        return NULL;
    LinkableObject *linkable = (LinkableObject *)self;
    accel_links *links = &linkable->links;
    for (Py_ssize_t i = 0; i < links->count; i++) {
        PyObject *what = at(links, i)->what;
        if (!is_callback(what))
            continue;
        Py_INCREF(what);
        int equal = PyObject_RichCompareBool(((LinkObject *)what)->callback,
                                             callback, Py_EQ);
        bool removed = equal > 0 && accel_links_remove(links, what);
        Py_DECREF(what);
        if (equal < 0)
            return NULL;
        if (!removed)
            continue;
        if (linkable->ops->passed && linkable->ops->passed(linkable) < 0)
            return NULL;
        break;
    }
    Py_RETURN_NONE;
}

static PyObject *wait_once(PyObject *self, PyObject **values)
{
    int64_t deadline = accel_optional_deadline(values[0]);
    if (deadline < 0)
        return NULL;
    enum accel_park_result result =
        accel_linkable_wait((LinkableObject *)self, deadline);
    return result == PARK_FAILED ? NULL
                                 : PyBool_FromLong(result == PARK_TOLD);
}

static PyObject *linkable_wait(PyObject *self, PyObject *args)
{
    PyObject *values[] = {Py_None};
    if (!PyArg_UnpackTuple(args, "_wait", 0, 1, &values[0]))
        return NULL;
    return accel_call_timed(wait_once, self, values, 0, NULL);
}

static PyObject *linkable_at_fork(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(((LinkableObject *)self)->hub);
    Py_RETURN_NONE;
}

static PyObject *linkable_get_hub(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *hub = ((LinkableObject *)self)->hub;
    hub = hub ? hub : Py_None;
    Py_INCREF(hub);
    return hub;
}

static int linkable_set_hub(PyObject *self, PyObject *hub,
                            void *Py_UNUSED(closure))
{
    accel_set(&((LinkableObject *)self)->hub, hub == Py_None ? NULL : hub);
    return 0;
}

static PyMethodDef linkable_methods[] = {
    {"linkcount", linkable_linkcount, METH_NOARGS,
     "linkcount($self, /)\n--\n\nHow many greenlets wait and callbacks are "
     "linked."},
    ACCEL_FAST("rawlink", linkable_rawlink,
               "rawlink($self, callback)\n--\n\nCall callback(self) in the hub "
               "once this is ready."),
    ACCEL_FAST("unlink", linkable_unlink,
               "unlink($self, callback)\n--\n\nRemove what rawlink() added, if "
               "it is there."),
    {"_notify", linkable_notify, METH_NOARGS,
     "_notify()\n\nWake who waits and run what is linked."},
    {"_check_and_notify", linkable_check_and_notify, METH_NOARGS,
     "_check_and_notify()\n\n_notify() if ready()."},
    {"_wait", linkable_wait, METH_VARARGS,
     "_wait(timeout=None) -> bool\n\nWait for one notification; False when "
     "`timeout` seconds ran out."},
    {"_at_fork_reinit", linkable_at_fork, METH_NOARGS,
     "_at_fork_reinit()\n\nForget the hub, after a fork."},
    {NULL, NULL, 0, NULL}};
static PyGetSetDef linkable_getset[] = {
    {"hub", linkable_get_hub, linkable_set_hub,
     "The hub of the first greenlet that waited, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef linkable_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LinkableObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot linkable_slots[] = {
    {Py_tp_doc, "Linkable()\n--\n\nWhat greenlets can wait for."},
    {Py_tp_new, linkable_new},
    {Py_tp_traverse, accel_linkable_traverse},
    {Py_tp_clear, accel_linkable_clear},
    {Py_tp_dealloc, accel_linkable_dealloc},
    {Py_tp_methods, linkable_methods},
    {Py_tp_getset, linkable_getset},
    {Py_tp_members, linkable_members},
    {0, NULL}};
static PyType_Spec linkable_spec = {
    .name = "libgcore._accel.Linkable",
    .basicsize = sizeof(LinkableObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = linkable_slots,
};

/* ---- module -------------------------------------------------------------- */

int accel_links_init(PyObject *module)
{
    if (accel_linkable_type)
        return 0;
    pthread_atfork(NULL, NULL, count_fork);
    str_handle_error = PyUnicode_InternFromString("handle_error");
    str_loop = PyUnicode_InternFromString("loop");
    str_ready = PyUnicode_InternFromString("ready");
    str_run_callback = PyUnicode_InternFromString("run_callback");
    str_run_callback_threadsafe =
        PyUnicode_InternFromString("run_callback_threadsafe");
    link_type = (PyTypeObject *)PyType_FromSpec(&link_spec);
    native_wait_type = (PyTypeObject *)PyType_FromSpec(&native_wait_spec);
    if (!str_handle_error || !str_loop || !str_ready || !str_run_callback
        || !str_run_callback_threadsafe || !link_type || !native_wait_type)
        return -1;
    accel_linkable_type = accel_add_type(module, &linkable_spec, NULL);
    return accel_linkable_type ? 0 : -1;
}
