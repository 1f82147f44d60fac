/*
 * What every cooperative socket has: the C socket, who waits for it, and the
 * calls that programs make most often.
 *
 * A call is tried, and waits if it would block.  A recv() that finds nothing
 * costs a system call, and of a connection that answers requests nearly every
 * one finds nothing.  Once the last few had to wait, it begins otherwise:
 *
 *   - when nobody else is ready the poller is asked first: the poll has to be
 *     made anyway, and tells of all other sockets, too.  A wrong guess costs a
 *     poll, and no switch;
 *   - when others are ready, and the last recv() took less than it asked for
 *     a moment ago, it waits.  No greenlet has run and no other socket has sent
 *     since, so that only another thread or process can have sent something in
 *     that moment: it counts as sent a moment later.
 */
#include "arguments.h"
#include "loop.h"
#include "netio.h"

#include <sys/socket.h>

/* How recv() begins. */
enum beginning { TRY, ASK, WAIT };

enum kind { UNKNOWN, STREAM, OTHER };

typedef struct {
    PyObject_HEAD
    PyObject *sock;
    PyObject *reader, *writer; /* watchers, or None */
    PyObject *timeout;         /* seconds, or None */
    PyObject *hub;
    PyObject *weakrefs;
    unsigned dry;      /* how many times in a row recv() found nothing */
    unsigned guesses;  /* how often it waited without a try */
    enum kind kind;    /* of socket */
    int64_t emptied;   /* when recv() took all there was; 0: it did not */
    uint64_t switches; /* of the loop, then */
    uint64_t sends;    /* `all_sends`, then, and what it has sent since */
} SocketObject;

typedef PyObject *transfer_function(PyObject *, PyObject *const *,
                                    Py_ssize_t);

static PyObject *name_wait_readable;
static PyObject *name_wait_writable;
static PyObject *name_send;
static PyObject *name_send_rest;
static PyObject *name_type;
static PyObject *plain_send; /* SocketBase.send */

static uint64_t all_sends; /* of all sockets */

static bool is_zero(PyObject *timeout)
{
    double seconds;

    if (timeout == Py_None)
        return false;
    seconds = PyFloat_AsDouble(timeout);
    PyErr_Clear(); /* what is no number is complained about by who waits */
    return seconds == 0.0;
}

static bool may_wait_for(PyObject *watcher, PyObject *timeout)
{
    return watcher != NULL && !is_zero(timeout) &&
           accel_watcher_is_ours(watcher);
}

/* -1 with an exception. */
static int check_wait(int happened)
{
    if (happened == 0)
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    return happened == 1 ? 0 : -1;
}

static int wait_by_method(SocketObject *self, PyObject *name_wait,
                          PyObject *timeout)
{
    PyObject *result = PyObject_CallMethodObjArgs((PyObject *)self, name_wait,
                                                  timeout, NULL);

    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Wait within `timeout` until a transfer may go on; -1 with an exception. Who
 * closes the socket meanwhile replaces its watchers. */
static int wait_to_go_on(SocketObject *self, PyObject *watcher,
                         PyObject *timeout, PyObject *name_wait)
{
    int failed;

    if (!may_wait_for(watcher, timeout))
        return wait_by_method(self, name_wait, timeout);
    Py_INCREF(watcher);
    failed = check_wait(accel_watcher_wait(watcher, timeout));
    Py_DECREF(watcher);
    return failed;
}

/* `run` with the C socket as its first argument. */
static PyObject *try_once(const SocketObject *self, transfer_function *run,
                          PyObject *operand, PyObject *flags,
                          PyObject *address)
{
    PyObject *args[] = {self->sock, operand, flags, address};
    PyObject *result;

    if (args[0] == NULL) {
        PyErr_SetString(PyExc_AttributeError, "_sock");
        return NULL;
    }
    Py_INCREF(args[0]);
    result = run(NULL, args, address == NULL ? 3 : 4);
    Py_DECREF(args[0]);
    return result;
}

static void note_send(SocketObject *self)
{
    self->sends++;
    all_sends++;
}

/* The same until it gets through. */
static PyObject *when_possible(SocketObject *self, transfer_function *run,
                               PyObject *operand, PyObject *flags,
                               PyObject *address, PyObject *timeout,
                               PyObject **watcher, PyObject *name_wait,
                               unsigned *waits)
{
    for (;; ++*waits) {
        PyObject *result = try_once(self, run, operand, flags, address);

        if (result != Py_None)
            return result;
        Py_DECREF(result);
        if (wait_to_go_on(self, *watcher, timeout, name_wait) != 0)
            return NULL;
    }
}

/* How long a call with `flags` may wait, a new reference. */
static PyObject *time_to_wait(PyObject *timeout, PyObject *flags)
{
    int bits = 0;

    if (accel_as_flags(flags, &bits) != 0)
        return NULL;
    if (bits & MSG_DONTWAIT)
        return PyFloat_FromDouble(0.0);
    if (timeout == NULL) {
        PyErr_SetString(PyExc_AttributeError, "timeout");
        return NULL;
    }
    Py_INCREF(timeout);
    return timeout;
}

/* ---- recv() -------------------------------------------------------------- */

/* After so many in a row that found nothing, recv() begins otherwise. */
enum { DRY = 4 };

/* How long a stream that was emptied counts as empty, in ns. */
enum { MOMENT = 20000 };

/* One of so many guesses is a try, to find out when things have changed. */
enum { CHECKED = 16 };

static bool is_positive(PyObject *size)
{
    long value = PyLong_CheckExact(size) ? PyLong_AsLong(size) : 0;

    if (value < 0)
        PyErr_Clear(); /* recv() itself complains */
    return value > 0;
}

static bool was_just_emptied(const SocketObject *self, const LoopObject *loop)
{
    return self->emptied != 0 && self->switches == loop->switches &&
           self->sends == all_sends &&
           gcore_clock() - self->emptied < MOMENT;
}

/* What recv() may refuse is always tried. */
static enum beginning choose(SocketObject *self, PyObject *size,
                             PyObject *flags, PyObject *timeout)
{
    LoopObject *loop;
    bool idle;

    if (self->dry < DRY || flags != accel_no_flags)
        return TRY;
    loop = accel_current_loop(0);
    if (loop == NULL)
        return TRY;
    idle = accel_loop_may_look(loop);
    if ((!idle && !was_just_emptied(self, loop)) || !is_positive(size) ||
        !may_wait_for(self->reader, timeout))
        return TRY;
    if (idle)
        return accel_watcher_may_look(self->reader) ? ASK : TRY;
    return ++self->guesses % CHECKED != 0 ? WAIT : TRY;
}

/* -1 with an exception. */
static int ask_first(SocketObject *self, PyObject *timeout)
{
    PyObject *watcher = self->reader;
    bool at_once = false;
    int happened;

    Py_INCREF(watcher);
    happened = accel_watcher_look_and_wait(watcher, timeout, &at_once);
    Py_DECREF(watcher);
    if (at_once)
        self->dry = 0;
    return check_wait(happened);
}

/* Of datagrams, one that is shorter than the buffer says nothing. */
static bool is_stream(SocketObject *self)
{
    PyObject *type;

    if (self->kind == UNKNOWN && self->sock != NULL) {
        type = PyObject_GetAttr(self->sock, name_type);
        self->kind = type != NULL && PyLong_Check(type) &&
                             PyLong_AsLong(type) == SOCK_STREAM
                         ? STREAM
                         : OTHER;
        Py_XDECREF(type);
        PyErr_Clear();
    }
    return self->kind == STREAM;
}

/* Remember whether a recv(size) that returned `data` took all there was. */
static void note_emptied(SocketObject *self, PyObject *data, PyObject *size,
                         PyObject *flags)
{
    LoopObject *loop;

    self->emptied = 0;
    if (self->dry < DRY || flags != accel_no_flags || !PyBytes_Check(data) ||
        PyBytes_Size(data) == 0 || PyBytes_Size(data) >= PyLong_AsLong(size) ||
        !is_stream(self))
        return;
    loop = accel_current_loop(0);
    if (loop == NULL)
        return;
    self->switches = loop->switches;
    self->sends = all_sends;
    self->emptied = gcore_clock();
}

static PyObject *receive(SocketObject *self, PyObject *size, PyObject *flags,
                         PyObject *timeout)
{
    enum beginning beginning = choose(self, size, flags, timeout);
    PyObject *result;
    unsigned waits = 0;

    if ((beginning == ASK && ask_first(self, timeout) != 0) ||
        (beginning == WAIT && wait_to_go_on(self, self->reader, timeout,
                                            name_wait_readable) != 0))
        return NULL;
    result = when_possible(self, accel_sock_recv, size, flags, NULL, timeout,
                           &self->reader, name_wait_readable, &waits);
    if (beginning == TRY)
        self->dry = waits == 0 ? 0 : self->dry + 1;
    if (result != NULL)
        note_emptied(self, result, size, flags);
    return result;
}

static PyObject *socket_recv(PyObject *object, PyObject *const *args,
                             Py_ssize_t nargs)
{
    SocketObject *self = (SocketObject *)object;
    PyObject *flags = nargs > 1 ? args[1] : accel_no_flags;
    PyObject *timeout, *result;

    if (accel_check_count("recv", nargs, 1, 2) != 0)
        return NULL;
    timeout = time_to_wait(self->timeout, flags);
    if (timeout == NULL)
        return NULL;
    result = receive(self, args[0], flags, timeout);
    Py_DECREF(timeout);
    return result;
}

/* ---- sending ------------------------------------------------------------- */

/* The optional arguments of send() by name: flags and timeout. */
static int send_keywords(PyObject *const *values, PyObject *names,
                         Py_ssize_t nargs, PyObject **flags,
                         PyObject **timeout)
{
    Py_ssize_t count = names == NULL ? 0 : PyTuple_Size(names);

    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GetItem(names, i);

        if (nargs < 2 &&
            PyUnicode_CompareWithASCIIString(name, "flags") == 0) {
            *flags = values[i];
        } else if (nargs < 3 &&
                   PyUnicode_CompareWithASCIIString(name, "timeout") == 0) {
            *timeout = values[i];
        } else {
            PyErr_Format(PyExc_TypeError,
                         "send() got an unexpected keyword argument %R", name);
            return -1;
        }
    }
    return 0;
}

static PyObject *socket_send(PyObject *object, PyObject *const *args,
                             Py_ssize_t nargs, PyObject *names)
{
    SocketObject *self = (SocketObject *)object;
    PyObject *flags = nargs > 1 ? args[1] : accel_no_flags;
    PyObject *timeout = nargs > 2 ? args[2] : Py_Ellipsis;
    PyObject *result;
    unsigned waits = 0;

    if (accel_check_count("send", nargs, 1, 3) != 0 ||
        (names != NULL &&
         send_keywords(args + nargs, names, nargs, &flags, &timeout) != 0))
        return NULL;
    timeout = time_to_wait(timeout == Py_Ellipsis ? self->timeout : timeout,
                           flags);
    if (timeout == NULL)
        return NULL;
    note_send(self);
    result = when_possible(self, accel_sock_send, args[0], flags, NULL, timeout,
                           &self->writer, name_wait_writable, &waits);
    Py_DECREF(timeout);
    return result;
}

/* Whether send() is the one here; -1 with an exception. A subclass's own,
 * which encrypts, say, must not be passed by. */
static int sends_plainly(PyObject *object)
{
    PyObject *method =
        PyObject_GetAttr((PyObject *)Py_TYPE(object), name_send);

    Py_XDECREF(method);
    return method == NULL ? -1 : method == plain_send;
}

/* One try to send `data`: how much of it went, or -1 with an exception. */
static Py_ssize_t send_once(SocketObject *self, PyObject *data,
                            PyObject *flags)
{
    PyObject *result = try_once(self, accel_sock_send, data, flags, NULL);
    Py_ssize_t sent = 0;

    note_send(self);
    if (result == NULL)
        return -1;
    if (result != Py_None)
        sent = PyLong_AsSsize_t(result);
    Py_DECREF(result);
    return sent;
}

static PyObject *socket_sendall(PyObject *object, PyObject *const *args,
                                Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const arguments[] = {"data", "flags", NULL};
    SocketObject *self = (SocketObject *)object;
    PyObject *values[] = {NULL, accel_no_flags};
    PyObject *count, *result;
    Py_ssize_t sent = 0;
    int plain;

    if (accel_parse("sendall", arguments, values, args, nargs, keywords) < 0)
        return NULL;
    plain = sends_plainly(object);
    if (plain > 0)
        sent = send_once(self, values[0], values[1]);
    if (plain < 0 || sent < 0)
        return NULL;
    if (plain > 0 && PyBytes_CheckExact(values[0]) &&
        sent == PyBytes_Size(values[0]))
        Py_RETURN_NONE;
    count = PyLong_FromSsize_t(sent);
    result = count == NULL ? NULL
                           : PyObject_CallMethodObjArgs(
                                 object, name_send_rest, values[0], count,
                                 values[1], NULL);
    Py_XDECREF(count);
    return result;
}

/* Greenlets that send a datagram each in one turn would overflow the buffer of
 * a receiver in this process, which gets its turn now and then. */
static void let_a_receiver_run(void)
{
    enum { DATAGRAMS = 16 };
    static unsigned sent;
    LoopObject *loop = ++sent % DATAGRAMS == 0 ? accel_current_loop(0) : NULL;

    if (loop != NULL)
        loop->must_poll = true;
}

static PyObject *socket_sendto(PyObject *object, PyObject *const *args,
                               Py_ssize_t nargs)
{
    SocketObject *self = (SocketObject *)object;
    PyObject *flags = nargs > 2 ? args[1] : accel_no_flags;
    PyObject *timeout, *result;
    unsigned waits = 0;

    if (accel_check_count("sendto", nargs, 2, 3) != 0)
        return NULL;
    timeout = time_to_wait(self->timeout, flags);
    if (timeout == NULL)
        return NULL;
    note_send(self);
    let_a_receiver_run();
    result = when_possible(self, accel_sock_sendto, args[0], flags,
                           args[nargs - 1], timeout, &self->writer,
                           name_wait_writable, &waits);
    Py_DECREF(timeout);
    return result;
}

/* ---- the type ------------------------------------------------------------ */

static int socket_traverse(PyObject *object, visitproc visit, void *arg)
{
    SocketObject *self = (SocketObject *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->sock);
    Py_VISIT(self->reader);
    Py_VISIT(self->writer);
    Py_VISIT(self->timeout);
    Py_VISIT(self->hub);
    return 0;
}

static int socket_clear(PyObject *object)
{
    SocketObject *self = (SocketObject *)object;

    Py_CLEAR(self->sock);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    Py_CLEAR(self->timeout);
    Py_CLEAR(self->hub);
    return 0;
}

static void socket_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    if (((SocketObject *)object)->weakrefs != NULL)
        PyObject_ClearWeakRefs(object);
    socket_clear(object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMethodDef socket_methods[] = {
    {"recv", (PyCFunction)(void (*)(void))socket_recv, METH_FASTCALL,
     "recv($self, bufsize, flags=0, /)\n--\n\n"
     "Receive up to *bufsize* bytes; none of them at the end of the stream."},
    {"send", (PyCFunction)(void (*)(void))socket_send,
     METH_FASTCALL | METH_KEYWORDS,
     "send($self, data, flags=0, timeout=...)\n--\n\n"
     "Send what the kernel takes of *data*; the number of bytes is returned."
     "\n\n:param timeout: seconds to wait at most, in place of the socket's "
     "own."},
    {"sendall", (PyCFunction)(void (*)(void))socket_sendall,
     METH_FASTCALL | METH_KEYWORDS,
     "sendall($self, data, flags=0)\n--\n\n"
     "Send all of *data*; the timeout is for the whole of it.\n\n"
     ":raise socket.timeout: if some of it is left when the timeout is over. "
     "How much was sent is not known then."},
    {"sendto", (PyCFunction)(void (*)(void))socket_sendto, METH_FASTCALL,
     "sendto($self, /, *args)\n--\n\n"
     "sendto(data[, flags], address): send a datagram; the number of bytes is "
     "returned."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef socket_members[] = {
    {"_sock", T_OBJECT_EX, offsetof(SocketObject, sock), 0, NULL},
    {"_reader", T_OBJECT_EX, offsetof(SocketObject, reader), 0, NULL},
    {"_writer", T_OBJECT_EX, offsetof(SocketObject, writer), 0, NULL},
    {"timeout", T_OBJECT_EX, offsetof(SocketObject, timeout), 0,
     "Seconds that an operation may wait; None: no limit."},
    {"hub", T_OBJECT_EX, offsetof(SocketObject, hub), 0,
     "The hub of the thread that made the socket."},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(SocketObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot socket_slots[] = {
    {Py_tp_doc, "What every cooperative socket has."},
    {Py_tp_traverse, socket_traverse},
    {Py_tp_clear, socket_clear},
    {Py_tp_dealloc, socket_dealloc},
    {Py_tp_methods, socket_methods},
    {Py_tp_members, socket_members},
    {0, NULL},
};

static PyType_Spec socket_spec = {
    .name = "libgcore._accel.SocketBase",
    .basicsize = sizeof(SocketObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = socket_slots,
};

static int make_names(void)
{
    name_wait_readable = PyUnicode_InternFromString("_wait_readable");
    name_wait_writable = PyUnicode_InternFromString("_wait_writable");
    name_send = PyUnicode_InternFromString("send");
    name_send_rest = PyUnicode_InternFromString("_send_rest");
    name_type = PyUnicode_InternFromString("type");
    return name_wait_readable && name_wait_writable && name_send &&
                   name_send_rest && name_type
               ? 0
               : -1;
}

int accel_socket_init(PyObject *module)
{
    PyTypeObject *base;

    if (make_names() != 0)
        return -1;
    base = accel_add_type(module, &socket_spec, NULL);
    plain_send = base ? PyObject_GetAttr((PyObject *)base, name_send) : NULL;
    return plain_send == NULL ? -1 : 0;
}
