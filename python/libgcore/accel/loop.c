/*
 * The run queue of one hub.
 *
 * Order: what a poll returned (`ready`, by priority) runs before callbacks
 * left over by a forced poll; the queue is a strict FIFO, and what is queued
 * while it drains runs in the same drain.  Every SLICE items the clock is
 * read against sys.getswitchinterval(): past it the queue must wait for a
 * poll, so that `while True: sleep(0)` starves neither timers nor I/O.
 *
 * A poll first looks without letting go of the GIL; only one that has to
 * block releases it.  With a CPU-bound native thread about, each release
 * costs up to a switch interval.
 */
#include "chunks.h"
#include "greenlets.h"
#include "loop.h"
#include "http.h"
#include "taskqueue.h"

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define SLICE 50
#define BATCH 256
#define GUEST_TIME 20000            /* ns */
#define IDLE_CHUNKS 64               /* frame chunks kept by an idle hub */
#define IDLE_AFTER 1000000000        /* ns */

PyTypeObject *accel_loop_type;

static unsigned fork_count; /* forks this process descends from */

static void count_fork(void)
{
    fork_count++;
}

/* ---- the queue ----------------------------------------------------------- */

int accel_loop_check(LoopObject *loop)
{
    if (loop->engine)
        return 0;
    PyErr_SetString(PyExc_ValueError, "operation on destroyed loop");
    return -1;
}

int accel_loop_append(LoopObject *loop, PyObject *item)
{
    return accel_ring_push(&loop->queue, item);
}

int accel_loop_push(LoopObject *loop, PyObject *item)
{
    if (accel_ring_push(&loop->queue, item) < 0)
        return -1;
    if (loop->polling && loop->engine)
        gcore_hub_wake(loop->engine);
    return 0;
}

int accel_loop_push_ready(LoopObject *loop, PyObject *item)
{
    return accel_ring_push(&loop->ready, item);
}

PyObject *accel_loop_peek(LoopObject *loop)
{
    accel_ring *ring = loop->ready.count ? &loop->ready : &loop->queue;
    return ring->count ? ring->items[ring->head] : NULL;
}

static int64_t switch_interval(void)
{
    PyObject *function = PySys_GetObject("getswitchinterval");
    PyObject *seconds = function ? PyObject_CallObject(function, NULL) : NULL;
    double value = seconds ? PyFloat_AsDouble(seconds) : 0.005;
    Py_XDECREF(seconds);
    if (PyErr_Occurred())
        PyErr_Clear();
    return (int64_t)(value * 1e9);
}

PyObject *accel_loop_take(LoopObject *loop)
{
    if (loop->ready.count)
        return accel_ring_pop(&loop->ready);
    if (!loop->queue.count)
        return NULL;
    PyObject *item = accel_ring_pop(&loop->queue);
    loop->taken++;
    if (Py_TYPE(item) == accel_wait_type)
        ((WaitObject *)item)->listed = false;
    if (++loop->counter >= SLICE) {
        loop->counter = 0;
        if (gcore_clock() - loop->drain_start > switch_interval())
            loop->must_poll = true;
    }
    return item;
}

/* The hub is being destroyed: that is no error to report, it ends run(). */
static bool is_end_of_hub(PyObject *type)
{
    PyObject *end = accel_error("HubDestroyed");
    return end != PyExc_RuntimeError
           && PyErr_GivenExceptionMatches(type, end);
}

static void end_run(LoopObject *loop, PyObject *error)
{
    loop->broken = 2;
    accel_replace(&loop->end, error);
}

static void report_failed_report(LoopObject *loop)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (is_end_of_hub(type)) {
        end_run(loop, value);
        Py_DECREF(type);
        Py_XDECREF(traceback);
        return;
    }
    PyErr_Restore(type, value, traceback);
    PyErr_WriteUnraisable((PyObject *)loop);
}

void accel_loop_report(LoopObject *loop, PyObject *context)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    if (is_end_of_hub(type)) {
        end_run(loop, value);
        value = NULL;
        Py_DECREF(type);
        Py_XDECREF(traceback);
        return;
    }
    PyObject *result = PyObject_CallMethod(
        (PyObject *)loop, "handle_error", "OOOO", context ? context : Py_None,
        type, value, traceback ? traceback : Py_None);
    if (result)
        Py_DECREF(result);
    else
        report_failed_report(loop);
    Py_DECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static void run_item(LoopObject *loop, PyObject *item)
{
    PyTypeObject *type = Py_TYPE(item);
    if (type == accel_wait_type)
        accel_wait_resume((WaitObject *)item);
    else if (type == accel_callback_type)
        accel_callback_run(item, loop);
    else if (type == accel_http_server_type)
        accel_http_run(item);
    else
        accel_watcher_run(item, loop);
    Py_DECREF(item);
}

static void drain_ready(LoopObject *loop)
{
    while (loop->ready.count)
        run_item(loop, accel_ring_pop(&loop->ready));
}

static void drain(LoopObject *loop)
{
    loop->must_poll = false;
    loop->counter = 0;
    loop->drain_start = gcore_clock();
    accel_greenlets_forget_types();
    for (;;) {
        if (loop->broken || (loop->must_poll && !loop->ready.count))
            return;
        PyObject *item = accel_loop_take(loop);
        if (!item)
            return;
        loop->looked = false;
        run_item(loop, item);
    }
}

/* ---- polling ------------------------------------------------------------- */

PyObject *accel_raise(int error)
{
    switch (error) {
    case -ENOMEM:
        return PyErr_NoMemory();
    case -EINVAL:
        PyErr_SetString(PyExc_ValueError, gcore_error_text(error));
        return NULL;
    default:
        errno = -error;
        if (error > -10000)
            return PyErr_SetFromErrno(PyExc_OSError);
        PyErr_Format(PyExc_OSError, "%s: %s", gcore_error_name(error),
                     gcore_error_text(error));
        return NULL;
    }
}

static void harvest(LoopObject *loop, int count)
{
    for (int i = 0; i < count; i++) {
        PyObject *target = loop->batch[i].arg;
        if (accel_is_operation(target))
            accel_wait_finish(target, loop->batch[i].result);
        else if (Py_TYPE(target) == accel_wait_type)
            accel_wait_expire((WaitObject *)target, loop->batch[i].result);
        else if (Py_TYPE(target) == accel_http_server_type)
            accel_http_told(target, loop->batch[i].result);
        else
            accel_watcher_complete(target, loop->batch[i].result);
    }
}

static void begin_slice(LoopObject *loop)
{
    loop->must_poll = false;
    loop->counter = 0;
    loop->drain_start = gcore_hub_now(loop->engine);
    accel_greenlets_forget_types();
    loop->traced = accel_traced();
}

/* ---- workers that are woken with the next poll --------------------------- */

static void wake_worker(LoopObject *loop)
{
    PyObject *queue = loop->owed;
    if (!queue)
        return;
    loop->owed = NULL;
    accel_taskqueue_wake(queue);
    Py_DECREF(queue);
}

void accel_loop_wake_worker_later(LoopObject *loop, PyObject *taskqueue)
{
    if (loop->owed == taskqueue)
        return;
    wake_worker(loop);
    Py_INCREF(taskqueue);
    loop->owed = taskqueue;
}

gcore_hub *accel_loop_asleep(LoopObject *loop)
{
    return loop->polling && loop->queue.count && loop->engine
               ? gcore_hub_ref(loop->engine)
               : NULL;
}

void accel_loop_tell(LoopObject *loop, gcore_hub *engine)
{
    atomic_store(&loop->told, true);
    gcore_hub_wake(engine);
    gcore_hub_unref(engine);
}

/* What a poll may return: all of it must find room, or wake-ups were lost. */
static int ready_room(LoopObject *loop)
{
    accel_ring *ring = &loop->ready;
    size_t room = accel_ring_capacity(ring) - ring->count;
    while (room < BATCH && accel_ring_grow(ring) == 0)
        room = accel_ring_capacity(ring) - ring->count;
    if (room >= BATCH)
        return BATCH;
    PyErr_Clear();
    return (int)room;
}

/* While another thread is within a call of the engine, which let go of the GIL
 * for a transport, the engine is as it was: it must not be driven. */
static void wait_for_guests(LoopObject *loop)
{
    const struct timespec moment = {0, GUEST_TIME};
    while (loop->guests) {
        Py_BEGIN_ALLOW_THREADS
        nanosleep(&moment, NULL);
        Py_END_ALLOW_THREADS
    }
}

/* A poll that keeps the GIL. */
static int look(LoopObject *loop)
{
    int room, count = 0;
    loop->polling = true; /* for whom a transport lets run */
    wait_for_guests(loop);
    room = ready_room(loop);
    if (room && loop->engine)
        count = gcore_hub_poll(loop->engine, loop->batch, room, GCORE_NOW);
    loop->polling = false;
    if (loop->dropped)
        accel_http_drop(loop);
    if (count > 0)
        harvest(loop, count);
    return count;
}

bool accel_loop_may_look(LoopObject *loop)
{
    return loop->parked && !loop->must_poll && !loop->transports &&
           !accel_loop_peek(loop);
}

int accel_loop_look(LoopObject *loop)
{
    if (!loop->engine || loop->fork_generation != fork_count
        || PyList_Size(loop->prepares) || PyList_Size(loop->checks))
        return 0;
    int count = look(loop);
    if (count)
        wake_worker(loop);
    loop->iteration++;
    loop->looked = count == 0;
    begin_slice(loop);
    return count;
}

/* Whether the interpreter ends; found at run time, as its name differs. */
static int (*is_finalizing)(void);

static void find_is_finalizing(void)
{
    void *symbol = dlsym(RTLD_DEFAULT, "Py_IsFinalizing");
    if (!symbol)
        symbol = dlsym(RTLD_DEFAULT, "_Py_IsFinalizing");
    *(void **)&is_finalizing = symbol;
}

/* A daemon thread that asks for the GIL of an interpreter that ends is ended
 * by pthread_exit(), which unwinds the stack; that of a greenlet cannot be
 * unwound.  So it waits for the end of the process instead. */
static void stay_out_of_the_end(void)
{
    while (is_finalizing && is_finalizing())
        pause();
}

/* After a poll that let go of it; no harm if that has been done. */
static void take_gil(LoopObject *loop)
{
    if (!loop->released)
        return;
    stay_out_of_the_end();
    PyEval_RestoreThread(loop->released);
    loop->released = NULL;
}

void accel_loop_need_gil(LoopObject *loop)
{
    if (!loop->released)
        return;
    take_gil(loop);
    if (loop->engine)
        gcore_hub_wake(loop->engine);
}

/* A poll that may block, without the GIL. */
static int wait_for_events(LoopObject *loop)
{
    gcore_hub *engine = gcore_hub_ref(loop->engine);
    bool trim = accel_chunks_cached() > IDLE_CHUNKS;
    int64_t deadline = trim ? gcore_clock() + IDLE_AFTER : GCORE_FOREVER;
    PyObject *owed = loop->owed;
    int count = 0, room;
    loop->owed = NULL;
    loop->polling = true;
    wait_for_guests(loop);
    room = ready_room(loop);
    atomic_store(&loop->told, false);
    loop->released = PyEval_SaveThread();
    if (owed) {
        accel_taskqueue_wake(owed);
        accel_spin(&loop->spins, &loop->told);
    }
    if (room)
        count = gcore_hub_poll(engine, loop->batch, room, deadline);
    take_gil(loop);
    loop->polling = false;
    if (loop->dropped)
        accel_http_drop(loop);
    Py_XDECREF(owed);
    if (trim && count == 0 && gcore_clock() >= deadline)
        accel_chunks_trim(IDLE_CHUNKS);
    gcore_hub_unref(engine);
    if (count > 0)
        harvest(loop, count);
    return count;
}

static int poll_engine(LoopObject *loop, bool block)
{
    /* Whoever gave up to the hub may just have looked. */
    int count = block && loop->looked ? 0 : look(loop);
    loop->looked = false;
    /* Functions of the engine's may have let other threads run. */
    if (count == 0 && block && !loop->queue.count && !loop->ready.count)
        return wait_for_events(loop);
    wake_worker(loop);
    return count;
}

static void after_fork(LoopObject *loop)
{
    if (loop->fork_generation == fork_count)
        return;
    loop->fork_generation = fork_count;
    loop->guests = 0; /* they stayed behind */
    gcore_hub_after_fork(loop->engine);
}

/* Prepare and check watchers run around the poll; the engine's own would
 * come back only with the poll's completions. */
static void run_around_poll(PyObject *watchers, LoopObject *loop)
{
    Py_ssize_t count = PyList_Size(watchers);
    if (count <= 0)
        return;
    PyObject *snapshot = PyList_GetSlice(watchers, 0, count);
    if (!snapshot) {
        accel_loop_report(loop, NULL);
        return;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        accel_watcher_complete(PyList_GetItem(snapshot, i), 0);
    Py_DECREF(snapshot);
    drain_ready(loop);
}

/* One turn.  1: go on, 0: nothing left to wait for, -1: exception. */
static int turn(LoopObject *loop, bool nowait)
{
    if (PyErr_CheckSignals() < 0)
        accel_loop_report(loop, Py_None);
    if (!loop->engine)
        return 0;
    after_fork(loop);
    loop->iteration++;
    drain(loop);
    if (loop->broken || !loop->engine)
        return 1;
    run_around_poll(loop->prepares, loop);
    if (!loop->engine)
        return 0;
    bool block = !nowait && !loop->queue.count && !loop->broken;
    int count = poll_engine(loop, block);
    if (!loop->engine)
        return 0;
    if (count == -GCORE_EIDLE)
        return loop->queue.count > 0;
    if (count < 0 && count != -EINTR) {
        accel_raise(count);
        return -1;
    }
    begin_slice(loop);
    if (PyList_Size(loop->checks) > 0)
        run_around_poll(loop->checks, loop);
    return 1;
}

static PyObject *loop_run(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"nowait", "once", NULL};
    int nowait = 0, once = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|pp", names, &nowait,
                                     &once))
        return NULL;
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    loop->depth++;
    int more;
    do {
        more = turn(loop, nowait);
        if (nowait || once) {
            drain_ready(loop);
            break;
        }
    } while (more > 0 && !loop->broken);
    loop->depth--;
    if (loop->broken != 2 || !loop->depth)
        loop->broken = 0;
    if (loop->end) {
        PyObject *end = loop->end;
        loop->end = NULL;
        PyErr_SetObject((PyObject *)Py_TYPE(end), end);
        Py_DECREF(end);
        return NULL;
    }
    return more < 0 ? NULL : PyBool_FromLong(more);
}

/* ---- timers for waits ---------------------------------------------------- */

gcore_watch *accel_loop_borrow_timer(LoopObject *loop)
{
    if (loop->timer_count)
        return loop->timers[--loop->timer_count];
    gcore_watch *timer;
    int error = gcore_timer_new(loop->engine, &timer);
    if (error < 0) {
        accel_raise(error);
        return NULL;
    }
    return timer;
}

void accel_loop_return_timer(LoopObject *loop, gcore_watch *timer)
{
    gcore_watch_stop(timer);
    if (loop->engine && loop->timer_count == loop->timer_capacity
        && loop->timer_capacity < 4096) {
        size_t capacity = loop->timer_capacity ? loop->timer_capacity * 2 : 16;
        gcore_watch **timers =
            PyMem_Realloc(loop->timers, capacity * sizeof *timers);
        if (timers) {
            loop->timers = timers;
            loop->timer_capacity = capacity;
        }
    }
    if (loop->engine && loop->timer_count < loop->timer_capacity)
        loop->timers[loop->timer_count++] = timer;
    else
        gcore_watch_unref(timer);
}

/* ---- life ---------------------------------------------------------------- */

static int64_t wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static PyObject *loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(kwargs))
{
    static uint64_t serials;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    LoopObject *loop = (LoopObject *)alloc(type, 0);
    if (!loop)
        return NULL;
    loop->serial = ++serials;
    loop->prepares = PyList_New(0);
    loop->checks = PyList_New(0);
    loop->batch = PyMem_Malloc(BATCH * sizeof *loop->batch);
    if (!loop->prepares || !loop->checks || !loop->batch) {
        Py_DECREF((PyObject *)loop);
        return PyErr_NoMemory();
    }
    return (PyObject *)loop;
}

static PyObject *loop_open(PyObject *self, PyObject *args)
{
    LoopObject *loop = (LoopObject *)self;
    unsigned int backend;
    if (!PyArg_ParseTuple(args, "I", &backend))
        return NULL;
    if (loop->engine) {
        PyErr_SetString(PyExc_ValueError, "the loop is open");
        return NULL;
    }
    gcore_hub_options options = {.size = sizeof options};
    options.backends = backend;
    int error = gcore_hub_new(&options, &loop->engine);
    if (error < 0)
        return accel_raise(error);
    loop->fork_generation = fork_count;
    loop->wall_offset = wall_clock() - gcore_clock();
    Py_RETURN_NONE;
}

/* What would hold the engine, and its descriptor, as long as somebody is
 * parked. */
static void drop_timers(LoopObject *loop)
{
    for (WaitObject *wait = loop->waits; wait; wait = wait->next) {
        if (wait->timer)
            gcore_watch_unref(wait->timer);
        wait->timer = NULL;
    }
    while (loop->timer_count)
        gcore_watch_unref(loop->timers[--loop->timer_count]);
    PyMem_Free(loop->timers);
    loop->timers = NULL;
    loop->timer_capacity = 0;
}

static void drop_watcher(PyObject *watcher)
{
    Py_INCREF(watcher);
    accel_watcher_close(watcher);
    Py_DECREF(watcher);
}

/* A started watcher holds itself; a closed engine says of each that it has
 * ended. */
static void drop_watchers(gcore_hub *engine)
{
    gcore_completion batch[32];
    int count;
    while ((count = gcore_hub_poll(engine, batch, 32, GCORE_NOW)) > 0)
        for (int i = 0; i < count; i++)
            if (accel_is_operation(batch[i].arg))
                accel_wait_give_back(batch[i].arg);
            else if (Py_TYPE(batch[i].arg) == accel_wait_type)
                continue;
            else if (Py_TYPE(batch[i].arg) == accel_http_server_type)
                accel_http_told(batch[i].arg, batch[i].result);
            else
                drop_watcher(batch[i].arg);
}

static void close_engine(LoopObject *loop)
{
    gcore_hub *engine = loop->engine;
    if (!engine)
        return;
    loop->engine = NULL;
    wake_worker(loop);
    drop_timers(loop);
    gcore_hub_close(engine);
    drop_watchers(engine);
    gcore_hub_unref(engine);
    accel_ring_clear(&loop->queue);
    accel_ring_clear(&loop->ready);
    PyList_SetSlice(loop->prepares, 0, PyList_Size(loop->prepares), NULL);
    PyList_SetSlice(loop->checks, 0, PyList_Size(loop->checks), NULL);
}

static PyObject *loop_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    close_engine((LoopObject *)self);
    Py_RETURN_NONE;
}

static int loop_traverse(PyObject *self, visitproc visit, void *arg)
{
    LoopObject *loop = (LoopObject *)self;
    Py_VISIT(loop->hub);
    Py_VISIT(loop->error_handler);
    Py_VISIT(loop->dict);
    Py_VISIT(loop->prepares);
    Py_VISIT(loop->checks);
    Py_VISIT(Py_TYPE(self));
    int stop = accel_ring_traverse(&loop->ready, visit, arg);
    return stop ? stop : accel_ring_traverse(&loop->queue, visit, arg);
}

static int loop_clear(PyObject *self)
{
    LoopObject *loop = (LoopObject *)self;
    Py_CLEAR(loop->hub);
    Py_CLEAR(loop->error_handler);
    Py_CLEAR(loop->end);
    Py_CLEAR(loop->owed);
    Py_CLEAR(loop->dict);
    accel_ring_clear(&loop->ready);
    accel_ring_clear(&loop->queue);
    return 0;
}

static void loop_dealloc(PyObject *self)
{
    LoopObject *loop = (LoopObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (loop->weakrefs)
        PyObject_ClearWeakRefs(self);
    close_engine(loop);
    loop_clear(self);
    Py_CLEAR(loop->prepares);
    Py_CLEAR(loop->checks);
    PyMem_Free(loop->batch);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- methods ------------------------------------------------------------- */

typedef PyObject *queue_fn(LoopObject *loop, PyObject *func, PyObject *args);

static PyObject *queue_call(PyObject *self, PyObject *const *args,
                            Py_ssize_t count, queue_fn *queue)
{
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError,
                        "run_callback() needs a function to call");
        return NULL;
    }
    PyObject *call_args = PyTuple_New(count - 1);
    if (!call_args)
        return NULL;
    for (Py_ssize_t i = 1; i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(call_args, i - 1, args[i]);
    }
    PyObject *callback = queue((LoopObject *)self, args[0], call_args);
    Py_DECREF(call_args);
    return callback;
}

static PyObject *loop_run_callback(PyObject *self, PyObject *const *args,
                                   Py_ssize_t count)
{
    return queue_call(self, args, count, accel_loop_run_callback);
}

static PyObject *loop_queue_callback(PyObject *self, PyObject *const *args,
                                     Py_ssize_t count)
{
    return queue_call(self, args, count, accel_loop_queue_callback);
}

static PyObject *loop_ref(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    gcore_hub_retain(loop->engine);
    Py_RETURN_NONE;
}

static PyObject *loop_unref(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    int error = gcore_hub_release(loop->engine);
    if (error < 0)
        return accel_raise(error);
    Py_RETURN_NONE;
}

static PyObject *loop_break(PyObject *self, PyObject *args,
                            PyObject *keywords)
{
    static char *names[] = {"how", NULL};
    int how = 1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|i", names, &how))
        return NULL;
    ((LoopObject *)self)->broken = how;
    Py_RETURN_NONE;
}

static PyObject *loop_now(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    int64_t now = gcore_hub_now(loop->engine) + loop->wall_offset;
    return PyFloat_FromDouble((double)now / 1e9);
}

static PyObject *loop_update_now(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    gcore_hub_update(loop->engine);
    Py_RETURN_NONE;
}

static PyObject *loop_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    after_fork(loop);
    Py_RETURN_NONE;
}

static PyObject *loop_wake(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (loop->engine)
        gcore_hub_wake(loop->engine);
    Py_RETURN_NONE;
}

static PyObject *loop_poll_next(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    ((LoopObject *)self)->must_poll = true;
    Py_RETURN_NONE;
}

static PyObject *loop_forget_fd(PyObject *self, PyObject *args)
{
    LoopObject *loop = (LoopObject *)self;
    int fd;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    if (accel_loop_check(loop) < 0)
        return NULL;
    int error = gcore_hub_forget_fd(loop->engine, fd, -EBADF);
    if (error < 0)
        return accel_raise(error);
    return PyBool_FromLong(error > 0);
}

static PyObject *loop_waits(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    WaitObject *wait = ((LoopObject *)self)->waits;
    for (; list && wait; wait = wait->next)
        if (wait->state != WAIT_ENDED
            && PyList_Append(list, (PyObject *)wait) < 0)
            Py_CLEAR(list);
    if (list && PyList_Reverse(list) < 0)
        Py_CLEAR(list);
    return list;
}

static PyObject *loop_abandon(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    PyObject *greenlets = PyList_New(0);
    WaitObject *wait;
    for (wait = loop->waits; greenlets && wait; wait = wait->next)
        if (PyList_Append(greenlets, wait->greenlet) < 0)
            Py_CLEAR(greenlets);
    if (!greenlets)
        return NULL;
    for (wait = loop->waits; wait; wait = wait->next)
        accel_wait_discard(wait);
    PyObject *item;
    while (loop->queue.count && (item = accel_ring_pop(&loop->queue))) {
        if (Py_TYPE(item) == accel_wait_type)
            ((WaitObject *)item)->listed = false;
        Py_DECREF(item);
    }
    return greenlets;
}

static PyObject *loop_backend_fd(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    int fd = gcore_hub_backend_fd(loop->engine);
    if (fd < 0)
        Py_RETURN_NONE;
    return PyLong_FromLong(fd);
}

static PyMethodDef loop_methods[] = {
    {"_open", loop_open, METH_VARARGS,
     "_open(backend)\n\nMake the engine hub; `backend` is 0 or one of the "
     "BACKEND bits."},
    {"_close", loop_close, METH_NOARGS,
     "_close()\n\nStop everything; idempotent."},
    {"run", (PyCFunction)(void (*)(void))loop_run,
     METH_VARARGS | METH_KEYWORDS,
     "run($self, nowait=False, once=False)\n--\n\nRun until nothing keeps "
     "the loop alive; `once`: one turn; `nowait`: one that\ndoes not block."},
    {"run_callback", (PyCFunction)(void (*)(void))loop_run_callback,
     METH_FASTCALL,
     "run_callback($self, func, /, *args)\n--\n\nQueue a call; returns it "
     "as an object with stop() and pending."},
    {"run_callback_threadsafe",
     (PyCFunction)(void (*)(void))loop_run_callback, METH_FASTCALL,
     "run_callback_threadsafe($self, func, /, *args)\n--\n\nrun_callback(), "
     "from any thread."},
    {"queue_callback",
     (PyCFunction)(void (*)(void))loop_queue_callback, METH_FASTCALL,
     "queue_callback($self, func, /, *args)\n--\n\n"
     "run_callback_threadsafe(), but whoever calls it also sees to it that "
     "the\nloop wakes up: a worker does, when it waits for its next task."},
    {"ref", loop_ref, METH_NOARGS,
     "ref($self, /)\n--\n\nKeep the loop alive."},
    {"unref", loop_unref, METH_NOARGS,
     "unref($self, /)\n--\n\nUndo one ref()."},
    {"break_", (PyCFunction)(void (*)(void))loop_break,
     METH_VARARGS | METH_KEYWORDS,
     "break_($self, how=1)\n--\n\nLeave the innermost run() (1), or all "
     "(2)."},
    {"now", loop_now, METH_NOARGS,
     "now($self, /)\n--\n\nThe loop's time, seconds."},
    {"update_now", loop_update_now, METH_NOARGS,
     "update_now($self, /)\n--\n\nRead the clock."},
    {"update", loop_update_now, METH_NOARGS,
     "update($self, /)\n--\n\nRead the clock."},
    {"reinit", loop_reinit, METH_NOARGS,
     "reinit($self, /)\n--\n\nMake the loop work in a forked child."},
    {"wake", loop_wake, METH_NOARGS,
     "wake($self, /)\n--\n\nEnd a blocked poll, from any thread."},
    {"poll_next", loop_poll_next, METH_NOARGS,
     "poll_next($self, /)\n--\n\nLook for events before anything else that is "
     "queued runs."},
    {"forget_fd", loop_forget_fd, METH_VARARGS,
     "forget_fd($self, fd, /)\n--\n\nThe descriptor is about to be closed: "
     "its watchers complete with an error."},
    {"waits", loop_waits, METH_NOARGS,
     "waits($self, /)\n--\n\nThe waits that are parked, oldest first."},
    {"abandon", loop_abandon, METH_NOARGS,
     "abandon($self, /)\n--\n\nIn the child of a fork: drop what is queued "
     "and end all waits, so that of the\ngreenlets only the running one goes "
     "on.  The others are returned; they must be\nkept, as a greenlet that "
     "is forgotten is run to its end."},
    {"fileno", loop_backend_fd, METH_NOARGS,
     "fileno($self, /)\n--\n\nThe backend's descriptor, or None."},
    {NULL, NULL, 0, NULL}};

static PyObject *loop_get_iteration(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((LoopObject *)self)->iteration);
}

static PyObject *loop_get_depth(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((LoopObject *)self)->depth);
}

static PyObject *loop_get_backend(PyObject *self, void *Py_UNUSED(closure))
{
    LoopObject *loop = (LoopObject *)self;
    if (accel_loop_check(loop) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(gcore_hub_backend(loop->engine));
}

static PyObject *loop_get_pending(PyObject *self, void *Py_UNUSED(closure))
{
    LoopObject *loop = (LoopObject *)self;
    return PyLong_FromSize_t(loop->ready.count + loop->queue.count);
}

static PyObject *loop_get_active(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((LoopObject *)self)->active);
}

static PyObject *loop_get_progress(PyObject *self, void *Py_UNUSED(closure))
{
    LoopObject *loop = (LoopObject *)self;
    return PyLong_FromUnsignedLongLong(loop->switches + loop->taken
                                       + loop->iteration);
}

static PyObject *loop_get_running(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr((void *)((LoopObject *)self)->running);
}

static PyObject *loop_get_asleep(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((LoopObject *)self)->polling);
}

static PyObject *loop_get_open(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((LoopObject *)self)->engine != NULL);
}

static PyObject *loop_get_engine(PyObject *self, void *Py_UNUSED(closure))
{
    LoopObject *loop = (LoopObject *)self;
    return PyLong_FromVoidPtr(loop->engine);
}

static PyGetSetDef loop_getset[] = {
    {"iteration", loop_get_iteration, NULL, "Turns so far.", NULL},
    {"depth", loop_get_depth, NULL, "Nested run() calls.", NULL},
    {"backend_int", loop_get_backend, NULL, "The BACKEND bit in use.", NULL},
    {"pendingcnt", loop_get_pending, NULL, "Items in the run queue.", NULL},
    {"activecnt", loop_get_active, NULL, "Started watchers.", NULL},
    {"progress", loop_get_progress, NULL,
     "A number that grows as long as nothing that runs keeps the rest from "
     "running:\nswitches, items run, turns.", NULL},
    {"running_id", loop_get_running, NULL,
     "The id() of the greenlet that was last switched to so; 0: the loop "
     "itself runs.\nIt may have gone.", NULL},
    {"asleep", loop_get_asleep, NULL, "Whether it is blocked in a poll.",
     NULL},
    {"is_open", loop_get_open, NULL, "False once destroyed.", NULL},
    {"engine", loop_get_engine, NULL,
     "The address of the gcore_hub, for C code that shares it.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef loop_members[] = {
    {"hub", T_OBJECT, offsetof(LoopObject, hub), 0, "The hub greenlet."},
    {"error_handler", T_OBJECT, offsetof(LoopObject, error_handler), 0,
     "Whose handle_error() is told of errors."},
    {"__dictoffset__", T_PYSSIZET, offsetof(LoopObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(LoopObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};
static PyType_Slot loop_slots[] = {
    {Py_tp_doc, "The run queue of one hub and the engine hub that feeds it."},
    {Py_tp_new, loop_new},
    {Py_tp_dealloc, loop_dealloc},
    {Py_tp_traverse, loop_traverse},
    {Py_tp_clear, loop_clear},
    {Py_tp_methods, loop_methods},
    {Py_tp_getset, loop_getset},
    {Py_tp_members, loop_members},
    {0, NULL}};
static PyType_Spec loop_spec = {
    .name = "libgcore._accel.Loop",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = loop_slots,
};

int accel_loop_init(PyObject *module)
{
    if (pthread_atfork(NULL, NULL, count_fork)) {
        PyErr_NoMemory();
        return -1;
    }
    find_is_finalizing();
    accel_loop_type = accel_add_type(module, &loop_spec, NULL);
    return accel_loop_type ? 0 : -1;
}
