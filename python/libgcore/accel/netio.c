/*
 * Transfers on non-blocking descriptors in which "would block" is an answer,
 * None, and not an exception: greenlets that wait for data meet it on nearly
 * every call, and an exception object costs as much as the system call.
 *
 * Small transfers of sockets keep the GIL. Giving it up around a copy of a few
 * kilobytes costs more than the copy, and with a busy native thread in the
 * process some 30 us on average, more than the copy of 64 KiB. Larger ones
 * release it, and so does what would block if its descriptor was left in
 * blocking mode: a file or a pipe, for which there is no MSG_DONTWAIT.
 *
 * Sockets are passed as objects, not as numbers: a number may name another
 * file by the time it is used. What is not a _socket.socket (the stand-in of
 * a closed socket, an object of a test) has its own method called.
 */
#include "accel.h"
#include "links.h"
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#if defined(Py_LIMITED_API) && Py_LIMITED_API + 0 < 0x030b0000
/* The buffer protocol entered the limited API in 3.11, with the layout and
   the functions that every earlier 3.x already had. */
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;
#define PyBUF_SIMPLE 0
#define PyBUF_WRITABLE 1
PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *, Py_buffer *, int);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *);
#endif

#ifndef MSG_DONTWAIT
#define MSG_DONTWAIT 0
#endif

enum {
    SMALL = 16 * 1024,    /* bytes received onto the stack first */
    KEEP_GIL = 64 * 1024, /* bytes that are moved without releasing the GIL */
    LARGE = 64 * 1024     /* bytes worth asking how many there are */
};

static PyTypeObject *socket_type;
static PyObject *blocking_error;
static PyCFunction fileno_of; /* what socket.fileno() runs */
static PyObject *name_recv;
static PyObject *name_recv_into;
static PyObject *name_send;
static PyObject *name_sendto;
static PyObject *name_family;
static PyObject *audit;
static PyObject *sendto_event;
static PyObject *no_flags; /* 0 */

/* One transfer, described so that the system calls share the rest. */
typedef struct transfer transfer;
struct transfer {
    ssize_t (*run)(const transfer *);
    int fd;
    int flags;
    bool may_block;
    void *data;
    size_t size;
    const struct sockaddr *to; /* of a datagram */
    socklen_t to_size;
};

static ssize_t run_recv(const transfer *t)
{
    return recv(t->fd, t->data, t->size, t->flags | MSG_DONTWAIT);
}

static ssize_t run_send(const transfer *t)
{
    return send(t->fd, t->data, t->size, t->flags | MSG_DONTWAIT);
}

static ssize_t run_sendto(const transfer *t)
{
    return sendto(t->fd, t->data, t->size, t->flags | MSG_DONTWAIT, t->to,
                  t->to_size);
}

static ssize_t run_read(const transfer *t)
{
    return read(t->fd, t->data, t->size);
}

static ssize_t run_write(const transfer *t)
{
    return write(t->fd, t->data, t->size);
}

enum { WOULD_BLOCK = -1, FAILED = -2 };

/* The byte count, WOULD_BLOCK, or FAILED with an exception set. */
static Py_ssize_t transfer_run(const transfer *t)
{
    for (;;) {
        ssize_t n;
        int error;

        if (t->size <= KEEP_GIL && !t->may_block) {
            n = t->run(t);
            error = errno;
        } else {
            Py_BEGIN_ALLOW_THREADS
            n = t->run(t);
            error = errno;
            Py_END_ALLOW_THREADS
        }
        if (n >= 0)
            return (Py_ssize_t)n;
        if (error == EAGAIN || error == EWOULDBLOCK)
            return WOULD_BLOCK;
        if (error != EINTR) {
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
            return FAILED;
        }
        if (PyErr_CheckSignals() != 0)
            return FAILED;
    }
}

static PyObject *none(void)
{
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *count_or_none(Py_ssize_t n)
{
    if (n == FAILED)
        return NULL;
    return n == WOULD_BLOCK ? none() : PyLong_FromSsize_t(n);
}

/* For the limited stack of a C caller: kept out of the common frame. */
#if defined(__GNUC__)
__attribute__((noinline))
#endif
static PyObject *take_small(transfer *t)
{
    char data[SMALL];
    Py_ssize_t n;

    t->data = data;
    n = transfer_run(t);
    if (n == FAILED)
        return NULL;
    return n == WOULD_BLOCK ? none() : PyBytes_FromStringAndSize(data, n);
}

static PyObject *take_large(transfer *t)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)t->size);
    PyObject *result;
    Py_ssize_t n;

    if (bytes == NULL)
        return NULL;
    t->data = PyBytes_AsString(bytes);
    n = transfer_run(t);
    if (n == (Py_ssize_t)t->size)
        return bytes;
    if (n == FAILED)
        result = NULL;
    else if (n == WOULD_BLOCK)
        result = none();
    else
        result = PyBytes_FromStringAndSize(t->data, n);
    Py_DECREF(bytes);
    return result;
}

/* How many bytes a stream socket has, or -1. */
static int bytes_there(int fd)
{
    int type, there;
    socklen_t size = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0
        || type != SOCK_STREAM || ioctl(fd, FIONREAD, &there) != 0)
        return -1;
    return there;
}

/* Make room for what is there and no more. What a large buffer has too much
 * is copied away, and costs pages that are mapped and unmapped each time. */
static void fit(transfer *t)
{
    int there = t->flags ? -1 : bytes_there(t->fd);

    if (there >= 0 && (size_t)there < t->size)
        t->size = there > SMALL ? (size_t)there : SMALL;
}

static PyObject *take(transfer *t)
{
    if (t->size > LARGE && t->run == run_recv)
        fit(t);
    return t->size <= SMALL ? take_small(t) : take_large(t);
}

static int as_int(PyObject *number, int *out)
{
    long value = PyLong_AsLong(number);

    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < INT_MIN || value > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        return -1;
    }
    *out = (int)value;
    return 0;
}

static int as_flags(PyObject *flags, int *out)
{
    if (flags != no_flags)
        return as_int(flags, out);
    *out = 0;
    return 0;
}

static int as_size(PyObject *number, const char *who, size_t *out)
{
    Py_ssize_t value = PyLong_CheckExact(number)
                           ? PyLong_AsSsize_t(number)
                           : PyNumber_AsSsize_t(number, PyExc_OverflowError);

    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0) {
        PyErr_Format(PyExc_ValueError, "negative buffersize in %s", who);
        return -1;
    }
    *out = (size_t)value;
    return 0;
}

static int check_count(const char *who, Py_ssize_t nargs, Py_ssize_t min,
                       Py_ssize_t max)
{
    if (nargs >= min && nargs <= max)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments (%zd given)",
                 who, min, max, nargs);
    return -1;
}

static int is_socket(PyObject *object)
{
    static PyTypeObject *known; /* the subclass seen last; kept alive */
    PyTypeObject *type = Py_TYPE(object);

    if (type == known)
        return 1;
    if (!PyType_IsSubtype(type, socket_type))
        return 0;
    Py_INCREF((PyObject *)type);
    accel_replace((PyObject **)&known, (PyObject *)type);
    return 1;
}

static int socket_fd(PyObject *sock, int *out)
{
    PyObject *number = fileno_of(sock, NULL);
    int result;

    if (number == NULL)
        return -1;
    result = as_int(number, out);
    Py_DECREF(number);
    return result;
}

/* `sock.name(*args)` for what is no plain socket: blocking becomes None. */
static PyObject *call_method(PyObject *const *args, Py_ssize_t nargs,
                             PyObject *name)
{
    PyObject *result = PyObject_CallMethodObjArgs(
        args[0], name, nargs > 1 ? args[1] : NULL, nargs > 2 ? args[2] : NULL,
        nargs > 3 ? args[3] : NULL, NULL);

    if (result == NULL && PyErr_ExceptionMatches(blocking_error)) {
        PyErr_Clear();
        return none();
    }
    return result;
}

static PyObject *sock_recv(PyObject *module, PyObject *const *args,
                           Py_ssize_t nargs)
{
    transfer t = {.run = run_recv, .may_block = !MSG_DONTWAIT};

    (void)module;
    if (check_count("recv", nargs, 2, 3) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_recv);
    if (as_size(args[1], "recv", &t.size) != 0 ||
        (nargs > 2 && as_flags(args[2], &t.flags) != 0) ||
        socket_fd(args[0], &t.fd) != 0)
        return NULL;
    return take(&t);
}

static int get_writable(PyObject *buffer, Py_buffer *view)
{
    if (PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE) == 0)
        return 0;
    if (PyErr_ExceptionMatches(PyExc_BufferError))
        PyErr_SetString(PyExc_TypeError, "recv_into() argument 1 must be "
                                         "read-write bytes-like object");
    return -1;
}

static PyObject *sock_recv_into(PyObject *module, PyObject *const *args,
                                Py_ssize_t nargs)
{
    transfer t = {.run = run_recv, .may_block = !MSG_DONTWAIT};
    PyObject *result = NULL;
    Py_buffer view;

    (void)module;
    if (check_count("recv_into", nargs, 2, 4) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_recv_into);
    if ((nargs > 2 && as_size(args[2], "recv_into", &t.size) != 0) ||
        (nargs > 3 && as_flags(args[3], &t.flags) != 0) ||
        socket_fd(args[0], &t.fd) != 0 ||
        get_writable(args[1], &view) != 0)
        return NULL;
    t.data = view.buf;
    if (t.size == 0)
        t.size = (size_t)view.len;
    if (t.size > (size_t)view.len)
        PyErr_SetString(PyExc_ValueError,
                        "buffer too small for requested bytes");
    else
        result = count_or_none(transfer_run(&t));
    PyBuffer_Release(&view);
    return result;
}

static PyObject *give(transfer *t, PyObject *data)
{
    PyObject *result;
    Py_buffer view;

    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    t->data = view.buf;
    t->size = (size_t)view.len;
    result = count_or_none(transfer_run(t));
    PyBuffer_Release(&view);
    return result;
}

static PyObject *sock_send(PyObject *module, PyObject *const *args,
                           Py_ssize_t nargs)
{
    transfer t = {.run = run_send, .may_block = !MSG_DONTWAIT};

    (void)module;
    if (check_count("send", nargs, 2, 3) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_send);
    if ((nargs > 2 && as_flags(args[2], &t.flags) != 0) ||
        socket_fd(args[0], &t.fd) != 0)
        return NULL;
    return give(&t, args[1]);
}

/* ---- datagrams ------------------------------------------------------------ */

typedef union {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
} numeric_address;

/* The family of a C socket, AF_UNSPEC where it has none. */
static int family_of(PyObject *sock)
{
    PyObject *number = PyObject_GetAttr(sock, name_family);
    int family = AF_UNSPEC;

    if (number == NULL || as_int(number, &family) != 0)
        PyErr_Clear();
    Py_XDECREF(number);
    return family;
}

/* Read (number of a host, port), as there is no more to it for most packets;
 * 0, with no exception, if `address` is anything else. */
static socklen_t read_numeric(numeric_address *out, PyObject *address,
                              int family)
{
    const char *host;
    Py_ssize_t length;
    long port;

    if (!PyTuple_CheckExact(address) || PyTuple_Size(address) != 2 ||
        !PyUnicode_CheckExact(PyTuple_GetItem(address, 0)) ||
        !PyLong_CheckExact(PyTuple_GetItem(address, 1)))
        return 0;
    host = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(address, 0), &length);
    port = PyLong_AsLong(PyTuple_GetItem(address, 1));
    if (host == NULL || strlen(host) != (size_t)length || port < 0 ||
        port > 65535) {
        PyErr_Clear();
        return 0;
    }
    memset(out, 0, sizeof *out);
    out->any.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        out->ip4.sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &out->ip4.sin_addr) == 1)
            return sizeof out->ip4;
    } else if (family == AF_INET6) {
        out->ip6.sin6_port = htons((uint16_t)port);
        if (inet_pton(AF_INET6, host, &out->ip6.sin6_addr) == 1)
            return sizeof out->ip6;
    }
    return 0;
}

/* Tell the audit hooks of the interpreter, as _socket does. */
static int audit_sendto(PyObject *sock, PyObject *address)
{
    PyObject *result = PyObject_CallFunctionObjArgs(audit, sendto_event, sock,
                                                    address, NULL);

    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static PyObject *sock_sendto(PyObject *module, PyObject *const *args,
                             Py_ssize_t nargs)
{
    transfer t = {.run = run_sendto, .may_block = !MSG_DONTWAIT};
    numeric_address to;

    (void)module;
    if (check_count("sendto", nargs, 4, 4) != 0)
        return NULL;
    if (is_socket(args[0]))
        t.to_size = read_numeric(&to, args[3], family_of(args[0]));
    if (t.to_size == 0)
        return call_method(args, nargs, name_sendto);
    t.to = &to.any;
    if (as_flags(args[2], &t.flags) != 0 || socket_fd(args[0], &t.fd) != 0 ||
        audit_sendto(args[0], args[3]) != 0)
        return NULL;
    return give(&t, args[1]);
}

/* ---- cooperative sockets -------------------------------------------------- */

/* What every cooperative socket has: the C socket, who waits for it, and the
 * calls that programs make most often. */
typedef struct {
    PyObject_HEAD
    PyObject *sock;
    PyObject *reader, *writer; /* watchers, or None */
    PyObject *timeout;         /* seconds, or None */
    PyObject *hub;
    PyObject *weakrefs;
    unsigned dry; /* how many times in a row recv() found nothing at first */
} SocketObject;

typedef PyObject *transfer_function(PyObject *, PyObject *const *,
                                    Py_ssize_t);

static PyObject *name_wait_readable;
static PyObject *name_wait_writable;
static PyObject *name_send_rest;
static PyObject *plain_send; /* SocketBase.send */

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

/* Wait within `timeout` until a transfer may go on; -1 with an exception. */
static int wait_to_go_on(PyObject *self, PyObject *watcher, PyObject *timeout,
                         PyObject *name_wait)
{
    PyObject *result;

    if (may_wait_for(watcher, timeout)) {
        int happened = accel_watcher_wait(watcher, timeout);

        if (happened == 0)
            PyErr_SetString(PyExc_TimeoutError, "timed out");
        return happened == 1 ? 0 : -1;
    }
    result = PyObject_CallMethodObjArgs(self, name_wait, timeout, NULL);
    if (result == NULL)
        return -1;
    Py_DECREF(result);
    return 0;
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

/* The same until it gets through. Who closes the socket meanwhile replaces
 * what it refers to. */
static PyObject *when_possible(SocketObject *self, transfer_function *run,
                               PyObject *operand, PyObject *flags,
                               PyObject *address, PyObject *timeout,
                               PyObject **watcher, PyObject *name_wait,
                               unsigned *waits)
{
    for (;; ++*waits) {
        PyObject *result = try_once(self, run, operand, flags, address);
        PyObject *waiting;
        int failed;

        if (result != Py_None)
            return result;
        Py_DECREF(result);
        waiting = *watcher;
        Py_XINCREF(waiting);
        failed = wait_to_go_on((PyObject *)self, waiting, timeout, name_wait);
        Py_XDECREF(waiting);
        if (failed)
            return NULL;
    }
}

/* How long a call with `flags` may wait, a new reference. */
static PyObject *time_to_wait(PyObject *timeout, PyObject *flags)
{
    int bits = 0;

    if (as_flags(flags, &bits) != 0)
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

/* After so many that found nothing, the next recv() asks the poller first:
 * the poll has to be made anyway, and says of the other sockets, too, whether
 * there is something. A wrong guess costs a poll, and no switch. */
enum { DRY = 4 };

static bool is_positive(PyObject *size)
{
    long value = PyLong_CheckExact(size) ? PyLong_AsLong(size) : 0;

    if (value < 0)
        PyErr_Clear(); /* recv() itself complains */
    return value > 0;
}

/* Whether the poller may be asked: nobody else is ready. */
static bool may_ask(void)
{
    LoopObject *loop = accel_current_loop(0);

    return loop != NULL && accel_loop_may_look(loop);
}

/* Whether recv(size) asks first; for what it may refuse it is tried first. */
static bool expects_nothing(const SocketObject *self, PyObject *size,
                            PyObject *flags, PyObject *timeout)
{
    return self->dry >= DRY && flags == no_flags && may_ask() &&
           is_positive(size) &&
           may_wait_for(self->reader, timeout) &&
           accel_watcher_may_look(self->reader);
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
    if (happened == 0)
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    return happened == 1 ? 0 : -1;
}

static PyObject *receive(SocketObject *self, PyObject *size, PyObject *flags,
                         PyObject *timeout)
{
    bool asks = expects_nothing(self, size, flags, timeout);
    PyObject *result;
    unsigned waits = 0;

    if (asks && ask_first(self, timeout) != 0)
        return NULL;
    result = when_possible(self, sock_recv, size, flags, NULL, timeout,
                           &self->reader, name_wait_readable, &waits);
    if (!asks)
        self->dry = waits == 0 ? 0 : self->dry + 1;
    return result;
}

static PyObject *socket_recv(PyObject *object, PyObject *const *args,
                             Py_ssize_t nargs)
{
    SocketObject *self = (SocketObject *)object;
    PyObject *flags = nargs > 1 ? args[1] : no_flags;
    PyObject *timeout, *result;

    if (check_count("recv", nargs, 1, 2) != 0)
        return NULL;
    timeout = time_to_wait(self->timeout, flags);
    if (timeout == NULL)
        return NULL;
    result = receive(self, args[0], flags, timeout);
    Py_DECREF(timeout);
    return result;
}

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
    PyObject *flags = nargs > 1 ? args[1] : no_flags;
    PyObject *timeout = nargs > 2 ? args[2] : Py_Ellipsis;
    PyObject *result;
    unsigned waits = 0;

    if (check_count("send", nargs, 1, 3) != 0 ||
        (names != NULL &&
         send_keywords(args + nargs, names, nargs, &flags, &timeout) != 0))
        return NULL;
    timeout = time_to_wait(timeout == Py_Ellipsis ? self->timeout : timeout,
                           flags);
    if (timeout == NULL)
        return NULL;
    result = when_possible(self, sock_send, args[0], flags, NULL, timeout,
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
    PyObject *result = try_once(self, sock_send, data, flags, NULL);
    Py_ssize_t sent = 0;

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
    PyObject *values[] = {NULL, no_flags};
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
        return none();
    count = PyLong_FromSsize_t(sent);
    result = count == NULL ? NULL
                           : PyObject_CallMethodObjArgs(
                                 object, name_send_rest, values[0], count,
                                 values[1], NULL);
    Py_XDECREF(count);
    return result;
}

static PyObject *socket_sendto(PyObject *object, PyObject *const *args,
                               Py_ssize_t nargs)
{
    SocketObject *self = (SocketObject *)object;
    PyObject *flags = nargs > 2 ? args[1] : no_flags;
    PyObject *timeout, *result;
    unsigned waits = 0;

    if (check_count("sendto", nargs, 2, 3) != 0)
        return NULL;
    timeout = time_to_wait(self->timeout, flags);
    if (timeout == NULL)
        return NULL;
    result = when_possible(self, sock_sendto, args[0], flags, args[nargs - 1],
                           timeout, &self->writer, name_wait_writable, &waits);
    Py_DECREF(timeout);
    return result;
}

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

/* ---- files ---------------------------------------------------------------- */

static PyObject *fd_read(PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs)
{
    transfer t = {.run = run_read, .may_block = true};

    (void)module;
    if (check_count("read", nargs, 2, 2) != 0 ||
        as_int(args[0], &t.fd) != 0 || as_size(args[1], "read", &t.size) != 0)
        return NULL;
    return take(&t);
}

static PyObject *fd_write(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs)
{
    transfer t = {.run = run_write, .may_block = true};

    (void)module;
    if (check_count("write", nargs, 2, 2) != 0 || as_int(args[0], &t.fd) != 0)
        return NULL;
    return give(&t, args[1]);
}

#define METHOD(name, doc) \
    {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, doc}

static PyMethodDef methods[] = {
    METHOD(sock_recv,
           "sock_recv(sock, size, flags=0) -> bytes or None (would block)"),
    METHOD(sock_recv_into,
           "sock_recv_into(sock, buffer, size=0, flags=0) -> count or None"),
    METHOD(sock_send, "sock_send(sock, data, flags=0) -> count or None"),
    METHOD(sock_sendto,
           "sock_sendto(sock, data, flags, address) -> count or None"),
    METHOD(fd_read, "fd_read(fd, size) -> bytes or None"),
    METHOD(fd_write, "fd_write(fd, data) -> count or None"),
    {NULL, NULL, 0, NULL},
};

/* The function behind a method of every C socket without arguments, which
 * costs less than calling the method. */
static int find_fileno(PyObject *type)
{
    PyObject *make = PyObject_GetAttrString(type, "__new__");
    PyObject *sock =
        make ? PyObject_CallFunctionObjArgs(make, type, NULL) : NULL;
    PyObject *method = sock ? PyObject_GetAttrString(sock, "fileno") : NULL;

    if (method != NULL) {
        if (PyCFunction_GetFlags(method) == METH_NOARGS)
            fileno_of = PyCFunction_GetFunction(method);
        else if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "_socket.socket.fileno takes "
                                             "arguments");
    }
    Py_XDECREF(method);
    Py_XDECREF(sock);
    Py_XDECREF(make);
    return fileno_of == NULL ? -1 : 0;
}

static int find_socket_type(void)
{
    PyObject *type = accel_import("_socket", "socket");

    if (type == NULL)
        return -1;
    if (!PyType_Check(type)) {
        Py_DECREF(type);
        PyErr_SetString(PyExc_TypeError, "_socket.socket is not a type");
        return -1;
    }
    socket_type = (PyTypeObject *)type;
    return find_fileno(type);
}

static int make_names(void)
{
    no_flags = PyLong_FromLong(0);
    name_recv = PyUnicode_InternFromString("recv");
    name_recv_into = PyUnicode_InternFromString("recv_into");
    name_send = PyUnicode_InternFromString("send");
    name_sendto = PyUnicode_InternFromString("sendto");
    name_family = PyUnicode_InternFromString("family");
    sendto_event = PyUnicode_InternFromString("socket.sendto");
    audit = PySys_GetObject("audit");
    Py_XINCREF(audit);
    name_wait_readable = PyUnicode_InternFromString("_wait_readable");
    name_wait_writable = PyUnicode_InternFromString("_wait_writable");
    name_send_rest = PyUnicode_InternFromString("_send_rest");
    return no_flags && name_recv && name_recv_into && name_send &&
                   name_sendto && name_family && sendto_event && audit &&
                   name_wait_readable && name_wait_writable && name_send_rest
               ? 0
               : -1;
}

static int add_socket_base(PyObject *module)
{
    PyTypeObject *base = accel_add_type(module, &socket_spec, NULL);

    plain_send = base ? PyObject_GetAttr((PyObject *)base, name_send) : NULL;
    return plain_send == NULL ? -1 : 0;
}

int netio_init(PyObject *module)
{
    blocking_error = PyExc_BlockingIOError;
    if (make_names() != 0 || find_socket_type() != 0 ||
        add_socket_base(module) != 0)
        return -1;
    return PyModule_AddFunctions(module, methods);
}
