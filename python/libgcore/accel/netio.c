/*
 * Transfers on non-blocking descriptors in which "would block" is an answer,
 * None, and not an exception: greenlets that wait for data meet it on nearly
 * every call, and an exception object costs as much as the system call.
 *
 * Small transfers of sockets keep the GIL. Giving it up around a copy of a few
 * kilobytes costs more than the copy, and with a busy native thread in the
 * process it costs a switch interval. Large ones release it, and so does what
 * would block if its descriptor was left in blocking mode: a file or a pipe,
 * for which there is no MSG_DONTWAIT.
 *
 * Sockets are passed as objects, not as numbers: a number may name another
 * file by the time it is used. What is not a _socket.socket (the stand-in of
 * a closed socket, an object of a test) has its own method called.
 */
#include "accel.h"

#include <errno.h>
#include <limits.h>
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

enum { SMALL = 16 * 1024 };

static PyTypeObject *socket_type;
static PyObject *blocking_error;
static PyObject *fileno_method;
static PyObject *name_recv;
static PyObject *name_recv_into;
static PyObject *name_send;

/* One transfer, described so that the four system calls share the rest. */
typedef struct transfer transfer;
struct transfer {
    ssize_t (*run)(const transfer *);
    int fd;
    int flags;
    bool may_block;
    void *data;
    size_t size;
};

static ssize_t run_recv(const transfer *t)
{
    return recv(t->fd, t->data, t->size, t->flags | MSG_DONTWAIT);
}

static ssize_t run_send(const transfer *t)
{
    return send(t->fd, t->data, t->size, t->flags | MSG_DONTWAIT);
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

        if (t->size <= SMALL && !t->may_block) {
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

static PyObject *take(transfer *t)
{
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

static int as_size(PyObject *number, const char *who, size_t *out)
{
    Py_ssize_t value = PyNumber_AsSsize_t(number, PyExc_OverflowError);

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
    PyObject *number = PyObject_CallFunctionObjArgs(fileno_method, sock, NULL);
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
        (nargs > 2 && as_int(args[2], &t.flags) != 0) ||
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
        (nargs > 3 && as_int(args[3], &t.flags) != 0) ||
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
    if ((nargs > 2 && as_int(args[2], &t.flags) != 0) ||
        socket_fd(args[0], &t.fd) != 0)
        return NULL;
    return give(&t, args[1]);
}

/* Wait within a socket's timeout until a transfer may go on.  1: try again,
 * 0: the caller must see to it in Python, -1: exception. */
static int wait_to_go_on(PyObject *watcher, PyObject *timeout)
{
    if (timeout != Py_None) {
        double seconds = PyFloat_AsDouble(timeout);

        if (seconds == -1.0 && PyErr_Occurred())
            return -1;
        if (seconds == 0.0)
            return 0;
    }
    if (!accel_watcher_is_ours(watcher))
        return 0;
    switch (accel_watcher_wait(watcher, timeout)) {
    case 1:
        return 1;
    case 0:
        PyErr_SetString(PyExc_TimeoutError, "timed out");
    }
    return -1;
}

/* (sock, what, flags, watcher, timeout): `transfer` until it gets through. */
static PyObject *when_possible(PyObject *module, PyObject *const *args,
                               Py_ssize_t nargs, const char *who,
                               PyObject *(*transfer_of)(PyObject *,
                                                        PyObject *const *,
                                                        Py_ssize_t))
{
    PyObject *result;
    int flags, again = 1;

    if (check_count(who, nargs, 5, 5) != 0 || as_int(args[2], &flags) != 0)
        return NULL;
    do {
        result = transfer_of(module, args, 3);
        if (result != Py_None || flags & MSG_DONTWAIT)
            return result;
        again = wait_to_go_on(args[3], args[4]);
        if (again != 0)
            Py_DECREF(result);
    } while (again > 0);
    return again < 0 ? NULL : result;
}

static PyObject *sock_recv_waiting(PyObject *module, PyObject *const *args,
                                   Py_ssize_t nargs)
{
    return when_possible(module, args, nargs, "recv", sock_recv);
}

static PyObject *sock_send_waiting(PyObject *module, PyObject *const *args,
                                   Py_ssize_t nargs)
{
    return when_possible(module, args, nargs, "send", sock_send);
}

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
    METHOD(sock_recv_waiting,
           "sock_recv_waiting(sock, size, flags, watcher, timeout) -> bytes\n\n"
           "None where waiting is not for this function: no timeout to wait "
           "for, or a\nwatcher that is not of this thread."),
    METHOD(sock_send_waiting,
           "sock_send_waiting(sock, data, flags, watcher, timeout) -> count\n\n"
           "None as with sock_recv_waiting()."),
    METHOD(fd_read, "fd_read(fd, size) -> bytes or None"),
    METHOD(fd_write, "fd_write(fd, data) -> count or None"),
    {NULL, NULL, 0, NULL},
};

static int find_socket_type(void)
{
    PyObject *module = PyImport_ImportModule("_socket");
    PyObject *type;

    if (module == NULL)
        return -1;
    type = PyObject_GetAttrString(module, "socket");
    Py_DECREF(module);
    if (type == NULL)
        return -1;
    fileno_method = PyObject_GetAttrString(type, "fileno");
    if (fileno_method == NULL) {
        Py_DECREF(type);
        return -1;
    }
    if (!PyType_Check(type)) {
        Py_DECREF(type);
        PyErr_SetString(PyExc_TypeError, "_socket.socket is not a type");
        return -1;
    }
    socket_type = (PyTypeObject *)type;
    return 0;
}

int netio_init(PyObject *module)
{
    blocking_error = PyExc_BlockingIOError;
    name_recv = PyUnicode_InternFromString("recv");
    name_recv_into = PyUnicode_InternFromString("recv_into");
    name_send = PyUnicode_InternFromString("send");
    if (name_recv == NULL || name_recv_into == NULL || name_send == NULL ||
        find_socket_type() != 0)
        return -1;
    return PyModule_AddFunctions(module, methods);
}
