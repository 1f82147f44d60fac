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
#include "netio.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "buffer.h"

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
PyObject *accel_no_flags;

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

int accel_as_flags(PyObject *flags, int *out)
{
    if (flags != accel_no_flags)
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

int accel_check_count(const char *who, Py_ssize_t nargs, Py_ssize_t min,
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

PyObject *accel_sock_recv(PyObject *module, PyObject *const *args,
                           Py_ssize_t nargs)
{
    transfer t = {.run = run_recv, .may_block = !MSG_DONTWAIT};

    (void)module;
    if (accel_check_count("recv", nargs, 2, 3) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_recv);
    if (as_size(args[1], "recv", &t.size) != 0 ||
        (nargs > 2 && accel_as_flags(args[2], &t.flags) != 0) ||
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
    if (accel_check_count("recv_into", nargs, 2, 4) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_recv_into);
    if ((nargs > 2 && as_size(args[2], "recv_into", &t.size) != 0) ||
        (nargs > 3 && accel_as_flags(args[3], &t.flags) != 0) ||
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

PyObject *accel_sock_send(PyObject *module, PyObject *const *args,
                           Py_ssize_t nargs)
{
    transfer t = {.run = run_send, .may_block = !MSG_DONTWAIT};

    (void)module;
    if (accel_check_count("send", nargs, 2, 3) != 0)
        return NULL;
    if (!is_socket(args[0]))
        return call_method(args, nargs, name_send);
    if ((nargs > 2 && accel_as_flags(args[2], &t.flags) != 0) ||
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

PyObject *accel_sock_sendto(PyObject *module, PyObject *const *args,
                             Py_ssize_t nargs)
{
    transfer t = {.run = run_sendto, .may_block = !MSG_DONTWAIT};
    numeric_address to;

    (void)module;
    if (accel_check_count("sendto", nargs, 4, 4) != 0)
        return NULL;
    if (is_socket(args[0]))
        t.to_size = read_numeric(&to, args[3], family_of(args[0]));
    if (t.to_size == 0)
        return call_method(args, nargs, name_sendto);
    t.to = &to.any;
    if (accel_as_flags(args[2], &t.flags) != 0 ||
        socket_fd(args[0], &t.fd) != 0 ||
        audit_sendto(args[0], args[3]) != 0)
        return NULL;
    return give(&t, args[1]);
}

/* ---- files ---------------------------------------------------------------- */

static PyObject *fd_read(PyObject *module, PyObject *const *args,
                         Py_ssize_t nargs)
{
    transfer t = {.run = run_read, .may_block = true};

    (void)module;
    if (accel_check_count("read", nargs, 2, 2) != 0 ||
        as_int(args[0], &t.fd) != 0 || as_size(args[1], "read", &t.size) != 0)
        return NULL;
    return take(&t);
}

static PyObject *fd_write(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs)
{
    transfer t = {.run = run_write, .may_block = true};

    (void)module;
    if (accel_check_count("write", nargs, 2, 2) != 0 ||
        as_int(args[0], &t.fd) != 0)
        return NULL;
    return give(&t, args[1]);
}

#define METHOD(name, function, doc) \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, doc}

static PyMethodDef methods[] = {
    METHOD("sock_recv", accel_sock_recv,
           "sock_recv(sock, size, flags=0) -> bytes or None (would block)"),
    METHOD("sock_recv_into", sock_recv_into,
           "sock_recv_into(sock, buffer, size=0, flags=0) -> count or None"),
    METHOD("sock_send", accel_sock_send,
           "sock_send(sock, data, flags=0) -> count or None"),
    METHOD("sock_sendto", accel_sock_sendto,
           "sock_sendto(sock, data, flags, address) -> count or None"),
    METHOD("fd_read", fd_read, "fd_read(fd, size) -> bytes or None"),
    METHOD("fd_write", fd_write, "fd_write(fd, data) -> count or None"),
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
    accel_no_flags = PyLong_FromLong(0);
    name_recv = PyUnicode_InternFromString("recv");
    name_recv_into = PyUnicode_InternFromString("recv_into");
    name_send = PyUnicode_InternFromString("send");
    name_sendto = PyUnicode_InternFromString("sendto");
    name_family = PyUnicode_InternFromString("family");
    sendto_event = PyUnicode_InternFromString("socket.sendto");
    audit = PySys_GetObject("audit");
    Py_XINCREF(audit);
    return accel_no_flags && name_recv && name_recv_into && name_send &&
                   name_sendto && name_family && sendto_event && audit
               ? 0
               : -1;
}

int accel_netio_init(PyObject *module)
{
    blocking_error = PyExc_BlockingIOError;
    if (make_names() != 0 || find_socket_type() != 0)
        return -1;
    return PyModule_AddFunctions(module, methods);
}
