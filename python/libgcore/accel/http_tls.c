/*
 * Connections under TLS: the transport of a stream by Python's _ssl.
 *
 * The engine reads and writes when the socket is ready; the C object of _ssl
 * makes bytes of records, and records of bytes, as it does for a socket that
 * does not block.  So whatever a context is set to holds here too.
 *
 * The functions run within a poll, perhaps without the GIL, or within a call
 * of ours, perhaps with an exception on its way.  The object of _ssl may let
 * other threads run, signal handlers and the garbage collector.
 */
#include "http.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "loop.h"

enum { RECORD = 16384 };

typedef struct {
    LoopObject *loop;
    PyObject *whole;
    PyObject *socket; /* of _socket: it holds the descriptor, too */
    PyObject *object; /* of _ssl */
    PyObject *gone;   /* called when the engine has let go of it, or NULL */
    int fd;
    bool full;  /* a read has filled its room */
    bool ended; /* the peer was told that no more comes */
    bool left;  /* the descriptor is somebody else's */
} Connection;

static struct {
    PyObject *read, *write, *pending, *shutdown, *detach, *fileno;
    PyObject *record; /* a number */
} names;

/* Exceptions of ssl, found when first needed. */
static PyObject *want_read, *want_write, *zero_return, *eof, *ssl_error;

/* ---- calls ---------------------------------------------------------------- */

/* Around whatever is called by the engine, mostly in its own thread. */
typedef struct {
    PyObject *type, *value, *traceback;
    LoopObject *guest_of;
} Before;

static void enter(Connection *self, Before *before)
{
    LoopObject *loop = self->loop;

    accel_loop_need_gil(loop);
    PyErr_Fetch(&before->type, &before->value, &before->traceback);
    before->guest_of = accel_current_loop(0) == loop ? NULL : loop;
    if (before->guest_of != NULL) {
        Py_INCREF((PyObject *)loop);
        loop->guests++;
    }
}

static int64_t leave(const Before *before, int64_t result)
{
    LoopObject *loop = before->guest_of;

    if (loop != NULL) {
        loop->guests--;
        Py_DECREF((PyObject *)loop);
    }
    PyErr_Restore(before->type, before->value, before->traceback);
    return result;
}

/* What is no error of the connection (a signal handler's, say) the hub is to
 * raise when it has polled. */
static void raise_later(Connection *self)
{
    PyObject *type, *value, *traceback, *report, *args = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    report = PyObject_GetAttrString((PyObject *)self->loop, "handle_error");
    if (report != NULL)
        args = Py_BuildValue("(OOOO)", Py_None, type, value,
                             traceback ? traceback : Py_None);
    if (args != NULL)
        Py_XDECREF(accel_loop_queue_callback(self->loop, report, args));
    if (PyErr_Occurred())
        PyErr_WriteUnraisable(value);
    Py_XDECREF(args);
    Py_XDECREF(report);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static int number_of(PyObject *error)
{
    PyObject *number = PyObject_GetAttrString(error, "errno");
    long value = number ? PyLong_AsLong(number) : -1;

    Py_XDECREF(number);
    PyErr_Clear();
    return value > 0 ? -(int)value : -EIO;
}

static int system_error(void)
{
    PyObject *type, *value, *traceback;
    int result;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    result = number_of(value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    return result;
}

/* The current exception, as the engine's result.  `want` is the one that says
 * to wait.  TLS that has to write before it reads on (the peer has asked for
 * new keys, and does not read) is waited for; that it has to read before it
 * writes comes of renegotiation by a client alone, which OpenSSL refuses. */
static int64_t error_of(Connection *self, PyObject *want)
{
    int64_t result = -EPROTO;

    if (PyErr_ExceptionMatches(want))
        result = -EAGAIN;
    else if (want == want_read && PyErr_ExceptionMatches(want_write))
        result = -EINPROGRESS;
    else if (PyErr_ExceptionMatches(zero_return) ||
             PyErr_ExceptionMatches(eof))
        result = want == want_read ? 0 : -EPIPE;
    else if (PyErr_ExceptionMatches(PyExc_MemoryError))
        result = -ENOMEM;
    else if (PyErr_ExceptionMatches(PyExc_OSError) &&
             !PyErr_ExceptionMatches(ssl_error))
        return system_error();
    else if (!PyErr_ExceptionMatches(ssl_error)) {
        raise_later(self);
        return -ECANCELED;
    }
    PyErr_Clear();
    return result;
}

/* ---- the transport -------------------------------------------------------- */

/* What the object of _ssl returns from a read of that many bytes. */
static PyObject *read_bytes(Connection *self, size_t most)
{
    PyObject *number = most == RECORD ? Py_NewRef(names.record)
                                      : PyLong_FromSize_t(most);
    PyObject *bytes = NULL;

    if (number != NULL)
        bytes = PyObject_CallMethodObjArgs(self->object, names.read, number,
                                           NULL);
    Py_XDECREF(number);
    if (bytes == NULL || (PyBytes_Check(bytes) &&
                          (size_t)PyBytes_Size(bytes) <= most))
        return bytes;
    PyErr_Format(PyExc_TypeError, "at most %zu bytes are needed, not %R", most,
                 bytes);
    Py_DECREF(bytes);
    return NULL;
}

static int64_t read_record(Connection *self, char *buffer, size_t room)
{
    size_t most = room < RECORD ? room : RECORD;
    PyObject *bytes = read_bytes(self, most);
    Py_ssize_t size;

    if (bytes == NULL)
        return error_of(self, want_read);
    size = PyBytes_Size(bytes);
    memcpy(buffer, PyBytes_AsString(bytes), (size_t)size);
    self->full = (size_t)size == most;
    Py_DECREF(bytes);
    return size;
}

static int64_t receive(void *arg, void *buffer, size_t room)
{
    Connection *self = arg;
    Before before;
    ssize_t count;

    if (self->ended) { /* it is thrown away, so nobody need make bytes of it */
        self->full = false;
        count = recv(self->fd, buffer, room, 0);
        return count < 0 ? -errno : count;
    }
    enter(self, &before);
    return leave(&before, read_record(self, buffer, room));
}

static int64_t write_record(Connection *self, const char *data, size_t length)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)length);
    PyObject *sent = NULL;
    int64_t result = -1;

    if (bytes != NULL)
        sent = PyObject_CallMethodObjArgs(self->object, names.write, bytes,
                                          NULL);
    if (sent != NULL)
        result = PyLong_AsLongLong(sent);
    if (result > (int64_t)length)
        PyErr_Format(PyExc_ValueError, "%R of %zu bytes written", sent, length);
    if (PyErr_Occurred())
        result = error_of(self, want_write);
    Py_XDECREF(sent);
    Py_XDECREF(bytes);
    return result;
}

static int64_t send_record(void *arg, const void *data, size_t length)
{
    Connection *self = arg;
    Before before;

    enter(self, &before);
    return leave(&before, write_record(self, data, length));
}

/* Without a full read there is nothing: a record ends with a read of it. */
static int pending(void *arg)
{
    Connection *self = arg;
    PyObject *size;
    Before before;
    int result;

    if (!self->full)
        return 0;
    enter(self, &before);
    size = PyObject_CallMethodObjArgs(self->object, names.pending, NULL);
    result = size != NULL && PyLong_AsLong(size) > 0;
    if (size == NULL)
        error_of(self, want_read);
    Py_XDECREF(size);
    leave(&before, 0);
    return result;
}

static void shut(void *arg)
{
    Connection *self = arg;
    PyObject *result;
    Before before;

    enter(self, &before);
    self->ended = true;
    result = PyObject_CallMethodObjArgs(self->object, names.shutdown, NULL);
    if (result == NULL) /* the peer's own end, which is not waited for */
        error_of(self, want_read);
    Py_XDECREF(result);
    leave(&before, 0);
}

static void drop(Connection *self)
{
    self->loop->transports--;
    Py_XDECREF(self->gone);
    Py_DECREF(self->whole);
    Py_DECREF(self->socket);
    Py_DECREF(self->object);
    Py_DECREF((PyObject *)self->loop);
    PyMem_Free(self);
}

/* The hub is to call `gone`. */
static void tell_gone(Connection *self)
{
    PyObject *args = PyTuple_New(0);
    PyObject *callback =
        args ? accel_loop_queue_callback(self->loop, self->gone, args) : NULL;

    if (callback == NULL)
        PyErr_WriteUnraisable(self->gone);
    Py_XDECREF(callback);
    Py_XDECREF(args);
}

/* The descriptor has been closed, or is somebody else's. */
static void release(void *arg)
{
    Connection *self = arg;
    PyObject *fd;
    Before before;

    enter(self, &before);
    if (!self->left) {
        fd = PyObject_CallMethodObjArgs(self->socket, names.detach, NULL);
        if (fd == NULL)
            raise_later(self);
        Py_XDECREF(fd);
    }
    if (self->gone != NULL)
        tell_gone(self);
    drop(self);
    leave(&before, 0);
}

static const gcore_transport transport = {
    .size = sizeof transport,
    .receive = receive,
    .send = send_record,
    .pending = pending,
    .shut = shut,
    .release = release,
};

/* ---- coming and going ------------------------------------------------------ */

static int find_exceptions(void)
{
    PyObject *ssl;

    if (ssl_error != NULL)
        return 0;
    ssl = PyImport_ImportModule("ssl");
    if (ssl == NULL)
        return -1;
    accel_replace(&want_read,
                  PyObject_GetAttrString(ssl, "SSLWantReadError"));
    accel_replace(&want_write,
                  PyObject_GetAttrString(ssl, "SSLWantWriteError"));
    accel_replace(&zero_return,
                  PyObject_GetAttrString(ssl, "SSLZeroReturnError"));
    accel_replace(&eof, PyObject_GetAttrString(ssl, "SSLEOFError"));
    if (want_read && want_write && zero_return && eof)
        ssl_error = PyObject_GetAttrString(ssl, "SSLError");
    Py_DECREF(ssl);
    return ssl_error != NULL ? 0 : -1;
}

static int descriptor_of(PyObject *socket)
{
    PyObject *number = PyObject_CallMethodObjArgs(socket, names.fileno, NULL);
    int fd = number ? (int)PyLong_AsLong(number) : -1;

    Py_XDECREF(number);
    return fd;
}

static Connection *connection_new(LoopObject *loop, PyObject *whole,
                                  PyObject *socket, PyObject *object)
{
    int fd = descriptor_of(socket);
    Connection *self;

    if (PyErr_Occurred() || find_exceptions() != 0)
        return NULL;
    self = PyMem_Calloc(1, sizeof *self);
    if (self == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    self->loop = (LoopObject *)Py_NewRef((PyObject *)loop);
    self->whole = Py_NewRef(whole);
    self->socket = Py_NewRef(socket);
    self->object = Py_NewRef(object);
    self->fd = fd;
    loop->transports++;
    return self;
}

gcore_stream *accel_http_tls_stream(LoopObject *loop, PyObject *whole,
                                    PyObject *socket, PyObject *object,
                                    PyObject *gone)
{
    Connection *self = connection_new(loop, whole, socket, object);
    gcore_stream *stream;
    int fd, error;

    if (self == NULL)
        return NULL;
    error = gcore_stream_new(loop->engine, self->fd, NULL, &stream);
    if (error == 0) {
        error = gcore_stream_set_transport(stream, &transport, self);
        if (error == 0) {
            self->gone = Py_XNewRef(gone);
            return stream;
        }
        gcore_stream_detach(stream, &fd, NULL, 0);
        gcore_stream_unref(stream);
    }
    drop(self);
    accel_raise(error);
    return NULL;
}

PyObject *accel_http_tls_whole(gcore_stream *stream)
{
    return Py_NewRef(((Connection *)gcore_stream_transport_arg(stream))->whole);
}

PyObject *accel_http_tls_leave(gcore_stream *stream, PyObject **bytes)
{
    Connection *self = gcore_stream_transport_arg(stream);
    size_t size = gcore_stream_unread_length(stream);
    PyObject *whole = Py_NewRef(self->whole);
    int64_t error = -ENOMEM;
    int fd;

    *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (*bytes != NULL)
        error = gcore_stream_detach(stream, &fd, PyBytes_AsString(*bytes),
                                    size);
    self->left = error >= 0;
    gcore_stream_unref(stream);
    if (error >= 0)
        return whole;
    Py_DECREF(whole);
    Py_CLEAR(*bytes);
    accel_raise((int)error);
    return NULL;
}

int accel_http_tls_init(void)
{
    names.read = PyUnicode_InternFromString("read");
    names.write = PyUnicode_InternFromString("write");
    names.pending = PyUnicode_InternFromString("pending");
    names.shutdown = PyUnicode_InternFromString("shutdown");
    names.detach = PyUnicode_InternFromString("detach");
    names.fileno = PyUnicode_InternFromString("fileno");
    names.record = PyLong_FromLong(RECORD);
    return PyErr_Occurred() ? -1 : 0;
}
