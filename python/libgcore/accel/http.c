/*
 * HTTP servers of the engine.
 *
 * The engine collects requests whose head is complete, and says so by one
 * completion a turn.  The hub then takes them all and starts a greenlet, which
 * answers one after the other: a new greenlet would cost as much as the rest.
 * It stops after one that has left something on it (see work()) or has taken
 * long; what it leaves, or has not come to because the application waits, the
 * hub gives to another one.
 *
 * Waits for a body or for room are the engine's operations, which wake a
 * greenlet's Wait.
 *
 * The engine belongs to the hub's thread, which lets go of the GIL while it
 * polls.  Another thread, to which an application may have given a request,
 * uses the engine only meanwhile that is not so; else, and to wait, it has the
 * hub do it (see accel_http_is_elsewhere()).
 */
#include "http.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "greenlets.h"
#include "loop.h"

enum {
    TAKEN_AT_ONCE = 64,
    LARGEST_PIECE = 1 << 18,
    SMALL_PIECE = 4096,
    SLICE = 1000000, /* ns that a greenlet may answer requests for */
};

typedef struct {
    PyObject_HEAD
    LoopObject *loop;
    gcore_http_server *server;
    PyObject *owner; /* the WSGIServer */
    PyTypeObject *exchange;
    gcore_http_request *taken[TAKEN_AT_ONCE]; /* not yet answered */
    int first, count;   /* of these */
    bool plain;         /* see accel_http_exchange_new() */
    bool pending;       /* stands in the run queue */
} ServerObject;

typedef struct RequestObject {
    PyObject_HEAD
    struct RequestObject *next; /* in loop->dropped */
    gcore_http_request *request;
    LoopObject *loop;
    long long received; /* bytes of the body that have been read */
} RequestObject;

PyTypeObject *accel_http_server_type;
static PyTypeObject *request_type;
static PyObject *str_take_request, *str_start_work, *str_work;

/* ---- requests ------------------------------------------------------------ */

static PyObject *request_new(LoopObject *loop, gcore_http_request *request)
{
    RequestObject *self = PyObject_New(RequestObject, request_type);

    if (self == NULL) {
        gcore_http_request_unref(request);
        return NULL;
    }
    self->next = NULL;
    self->request = request;
    Py_INCREF((PyObject *)loop);
    self->loop = loop;
    self->received = 0;
    return (PyObject *)self;
}

static bool is_ours(const RequestObject *self)
{
    return self->loop == accel_current_loop(0);
}

/* The engine may be at work, in its own thread. */
static bool is_busy(const RequestObject *self)
{
    return self->loop->polling && !is_ours(self);
}

bool accel_http_is_elsewhere(PyObject *object)
{
    return is_busy((RequestObject *)object);
}

bool accel_http_is_ours(PyObject *object)
{
    return is_ours((RequestObject *)object);
}

static int64_t raise_elsewhere(void)
{
    PyErr_SetString(accel_error("InvalidThreadUseError"),
                    "a request belongs to the thread of its hub");
    return -1;
}

static void request_free(RequestObject *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);

    gcore_http_request_unref(self->request);
    Py_DECREF((PyObject *)self->loop);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* While the engine is busy it waits, as memory alone, for the poll's end. */
static void request_dealloc(PyObject *object)
{
    RequestObject *self = (RequestObject *)object;
    LoopObject *loop = self->loop;

    if (loop->engine == NULL || !is_busy(self)) {
        request_free(self);
        return;
    }
    self->next = loop->dropped;
    loop->dropped = self;
    gcore_hub_wake(loop->engine);
}

void accel_http_drop(LoopObject *loop)
{
    RequestObject *self;

    while ((self = loop->dropped) != NULL) {
        loop->dropped = self->next;
        request_free(self);
    }
}

static const gcore_http_head *head_of(PyObject *self)
{
    return gcore_http_request_head(((RequestObject *)self)->request);
}

gcore_http_request *accel_http_request(PyObject *object)
{
    if (Py_TYPE(object) == request_type)
        return ((RequestObject *)object)->request;
    PyErr_Format(PyExc_TypeError, "an HttpRequest is needed, not %R", object);
    return NULL;
}

static PyObject *done_or_raise(int result)
{
    return result < 0 ? accel_raise(result) : PyLong_FromLong(result);
}

/* Park until an operation has ended, whose start had this `result`: 0, or -1
 * with an exception. What it ends with is raised, if it is below 0. */
static int park_for(gcore_http_request *request, WaitObject *wait, int result,
                    void (*cancel)(gcore_http_request *))
{
    if (result < 0) {
        accel_wait_discard(wait);
        accel_raise(result);
    } else if ((result = accel_wait_park(wait, NULL, 1)) < 0) {
        cancel(request);
    } else if ((result = (int)wait->result) < 0) {
        accel_raise(result);
    }
    Py_DECREF((PyObject *)wait);
    return result < 0 ? -1 : 0;
}

static int wait_for(PyObject *self, int64_t deadline,
                    int (*start)(gcore_http_request *, int64_t,
                                 gcore_done_fn *, void *),
                    void (*cancel)(gcore_http_request *))
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    WaitObject *wait;

    if (!is_ours((RequestObject *)self))
        return (int)raise_elsewhere();
    wait = accel_wait_new();
    if (wait == NULL)
        return -1;
    return park_for(request, wait,
                    start(request, deadline, GCORE_COMPLETE,
                          accel_wait_argument(wait)),
                    cancel);
}

int accel_http_send(PyObject *object, const char *bytes, Py_ssize_t size)
{
    int result = gcore_http_write(((RequestObject *)object)->request, bytes,
                                  (size_t)size);

    /* Another thread does not wait. */
    if (result == 1 && !is_ours((RequestObject *)object))
        return 0;
    if (result == 1)
        return wait_for(object, GCORE_FOREVER, gcore_http_wait_sent,
                        gcore_http_cancel_sent);
    if (result < 0)
        accel_raise(result);
    return result;
}

int accel_http_send_large(PyObject *object, const char *bytes, Py_ssize_t size)
{
    gcore_http_request *request = ((RequestObject *)object)->request;
    WaitObject *wait;
    int result;

    if (!is_ours((RequestObject *)object))
        return accel_http_send(object, bytes, size);
    wait = accel_wait_new();
    if (wait == NULL)
        return -1;
    result = gcore_http_send_data(request, bytes, (size_t)size, GCORE_COMPLETE,
                                  accel_wait_argument(wait));
    if (result != 1)
        return park_for(request, wait, result, gcore_http_cancel_file);
    accel_wait_discard(wait);
    Py_DECREF((PyObject *)wait);
    return 0;
}

/* send_file(fd, offset, count): the file is not looked at afterwards */
static PyObject *request_send_file(PyObject *self, PyObject *args)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    long long offset, count;
    WaitObject *wait;
    int fd;

    if (!PyArg_ParseTuple(args, "iLL", &fd, &offset, &count))
        return NULL;
    wait = accel_wait_new();
    if (wait == NULL)
        return NULL;
    if (park_for(request, wait,
                 gcore_http_send_file(request, fd, offset, count,
                                      GCORE_COMPLETE,
                                      accel_wait_argument(wait)),
                 gcore_http_cancel_file) != 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *request_cut(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(gcore_http_cut(((RequestObject *)self)->request));
}

static PyObject *request_abort(PyObject *self, PyObject *Py_UNUSED(none))
{
    gcore_http_abort(((RequestObject *)self)->request);
    Py_RETURN_NONE;
}

/* As gcore_http_read(); but when the answer is finished, the body is. */
static int64_t read_some(gcore_http_request *request, void *bytes,
                         size_t room)
{
    int64_t count = gcore_http_read(request, bytes, room);

    return count == -EALREADY ? 0 : count;
}

/* A piece of the body, at most `size` bytes, or an empty one at its end; the
 * result of the read in `count`. */
static PyObject *read_piece(gcore_http_request *request, Py_ssize_t size,
                            int64_t *count)
{
    char small[SMALL_PIECE];
    char *bytes = size <= SMALL_PIECE ? small : PyMem_Malloc((size_t)size);
    PyObject *data = NULL;

    if (bytes == NULL)
        return PyErr_NoMemory();
    *count = read_some(request, bytes, (size_t)size);
    if (*count >= 0)
        data = PyBytes_FromStringAndSize(bytes, (Py_ssize_t)*count);
    else if (*count != -EAGAIN)
        accel_raise((int)*count);
    if (bytes != small)
        PyMem_Free(bytes);
    return data;
}

static PyObject *request_read(PyObject *self, PyObject *args)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    int64_t count, deadline = GCORE_FOREVER;
    PyObject *timeout, *data;
    Py_ssize_t size;

    if (!PyArg_ParseTuple(args, "nO", &size, &timeout))
        return NULL;
    if (size <= 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    if (size > LARGEST_PIECE)
        size = LARGEST_PIECE;
    if (is_busy((RequestObject *)self)) {
        raise_elsewhere();
        return NULL;
    }
    for (;;) {
        count = 0;
        data = read_piece(request, size, &count);
        if (count > 0)
            ((RequestObject *)self)->received += count;
        if (count != -EAGAIN)
            return data;
        if (timeout != Py_None && (deadline = accel_deadline(timeout)) < 0)
            return NULL;
        if (wait_for(self, deadline, gcore_http_wait_body,
                     gcore_http_cancel_body) != 0)
            return NULL;
    }
}

/* Read into `room` bytes, waiting for them; 0 at the body's end, -1 with an
 * exception. */
static int64_t read_into(PyObject *self, char *bytes, Py_ssize_t room,
                         PyObject *timeout)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    int64_t count, deadline = GCORE_FOREVER;

    while ((count = read_some(request, bytes, (size_t)room)) == -EAGAIN) {
        if (timeout != Py_None && (deadline = accel_deadline(timeout)) < 0)
            return -1;
        if (wait_for(self, deadline, gcore_http_wait_body,
                     gcore_http_cancel_body) != 0)
            return -1;
    }
    if (count < 0) {
        accel_raise((int)count);
        return -1;
    }
    ((RequestObject *)self)->received += count;
    return count;
}

PyObject *accel_http_read_whole(PyObject *self, PyObject *timeout)
{
    int64_t length = head_of(self)->content_length, size = 0, count = 0;
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);

    while (data && size < length) {
        count = read_into(self, PyBytes_AsString(data) + size,
                          (Py_ssize_t)(length - size), timeout);
        if (count == 0 && size == 0) { /* the answer is finished */
            Py_DECREF(data);
            return PyBytes_FromStringAndSize(NULL, 0);
        }
        if (count == 0)
            accel_raise(-EALREADY);
        if (count <= 0)
            Py_CLEAR(data);
        size += count;
    }
    return data;
}

/* Without a copy, and without memory of its own, which for each piece anew
 * would be the system's work. */
static PyObject *request_readinto(PyObject *self, PyObject *args)
{
    PyObject *buffer, *timeout;
    int64_t count = 0;
    Py_buffer view;

    if (!PyArg_ParseTuple(args, "OO", &buffer, &timeout))
        return NULL;
    if (is_busy((RequestObject *)self)) {
        raise_elsewhere();
        return NULL;
    }
    if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) != 0)
        return NULL;
    if (view.len > 0)
        count = read_into(self, view.buf, view.len, timeout);
    PyBuffer_Release(&view);
    return count < 0 ? NULL : PyLong_FromLongLong(count);
}

static PyObject *request_fileno(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(
        gcore_http_request_fd(((RequestObject *)self)->request));
}

static PyObject *take_over_tls(gcore_http_request *request)
{
    gcore_stream *stream;
    PyObject *bytes, *whole;
    int error = gcore_http_take_over_stream(request, &stream);

    if (error < 0)
        return accel_raise(error);
    whole = accel_http_tls_leave(stream, &bytes);
    return whole ? Py_BuildValue("NN", whole, bytes) : NULL;
}

/* (descriptor or TLS connection, bytes that had come after the head) */
static PyObject *request_take_over(PyObject *self, PyObject *Py_UNUSED(none))
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    const void *bytes = NULL;
    size_t size = 0;
    int fd = gcore_http_take_over(request, &bytes, &size);
    PyObject *result;

    if (fd == -ENOTSUP)
        return take_over_tls(request);
    if (fd < 0)
        return accel_raise(fd);
    result = Py_BuildValue("iy#", fd, bytes, (Py_ssize_t)size);
    if (result == NULL)
        close(fd);
    return result;
}

static PyObject *get_line(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_head *head = head_of(self);
    size_t size = 0;

    while (size < head->block_size && head->block[size] != '\r' &&
           head->block[size] != '\n')
        size++;
    return PyUnicode_DecodeLatin1(head->block, (Py_ssize_t)size, NULL);
}

static PyObject *get_block(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_head *head = head_of(self);

    return PyBytes_FromStringAndSize(head->block, head->block_size);
}

static PyObject *get_minor(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(head_of(self)->minor);
}

static PyObject *get_status(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(head_of(self)->status);
}

static PyObject *get_reason(PyObject *self, void *Py_UNUSED(closure))
{
    const char *reason = head_of(self)->reason;

    if (reason == NULL)
        Py_RETURN_NONE;
    return PyUnicode_FromString(reason);
}

static PyObject *get_length(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLongLong(head_of(self)->content_length);
}

static PyObject *get_peer(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_head *head = head_of(self);

    return Py_BuildValue("si", head->peer, (int)head->peer_port);
}

static PyObject *get_proxy(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_proxy *proxy = head_of(self)->proxy;

    if (proxy == NULL)
        Py_RETURN_NONE;
    return Py_BuildValue("isisi", (int)proxy->version, proxy->address,
                         (int)proxy->port, proxy->target,
                         (int)proxy->target_port);
}

static PyObject *get_tls(PyObject *self, void *Py_UNUSED(closure))
{
    gcore_stream *stream =
        gcore_http_request_stream(((RequestObject *)self)->request);

    if (stream == NULL)
        Py_RETURN_NONE;
    return accel_http_tls_whole(stream);
}

static PyMemberDef request_members[] = {
    {"loop", T_OBJECT, offsetof(RequestObject, loop), READONLY,
     "Of the hub that it belongs to."},
    {"received", T_LONGLONG, offsetof(RequestObject, received), READONLY,
     "Bytes of the body that have been read."},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef request_getset[] = {
    {"line", get_line, NULL, "The first line, without its end.", NULL},
    {"block", get_block, NULL, "The head as it came, folded lines unfolded.",
     NULL},
    {"minor", get_minor, NULL, "Of the version: HTTP/1.minor.", NULL},
    {"status", get_status, NULL, "0, or what a refused one was answered.",
     NULL},
    {"reason", get_reason, NULL, "None, or why it was refused.", NULL},
    {"content_length", get_length, NULL, "Bytes of the body; -1: chunked.",
     NULL},
    {"peer", get_peer, NULL, "Address and port.", NULL},
    {"proxy", get_proxy, NULL,
     "None, or what a PROXY header said: its version, the proxy's own address "
     "and port, and those that the client has connected to.", NULL},
    {"tls", get_tls, NULL,
     "None, or what was given to adopt_tls(), while the engine serves it.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef request_methods[] = {
    {"send_file", request_send_file, METH_VARARGS,
     "send_file(fd, offset, count)\n--\n\n"
     "Send a part of a file as a piece of the body; waits until it is sent."},
    {"cut", request_cut, METH_NOARGS,
     "cut()\n--\n\nClose, after what was sent of the answer."},
    {"abort", request_abort, METH_NOARGS,
     "abort()\n--\n\nReset the connection."},
    {"read", request_read, METH_VARARGS,
     "read(size, timeout)\n--\n\n"
     "A piece of the body; an empty one at its end."},
    {"readinto", request_readinto, METH_VARARGS,
     "readinto(buffer, timeout)\n--\n\n"
     "Fill *buffer*; how many bytes, 0 at the body's end."},
    {"fileno", request_fileno, METH_NOARGS,
     "fileno()\n--\n\nThe connection's descriptor, which stays the "
     "engine's."},
    {"take_over", request_take_over, METH_NOARGS,
     "take_over()\n--\n\nThe descriptor, or what was given to adopt_tls(); and "
     "what came after the head."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "A request whose head is complete."},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
    {Py_tp_members, request_members},
    {Py_tp_getset, request_getset},
    {0, NULL},
};

static PyType_Spec request_spec = {
    .name = "libgcore._accel.HttpRequest",
    .basicsize = sizeof(RequestObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = request_slots,
};

/* ---- servers -------------------------------------------------------------- */

static gcore_http_request *next_request(ServerObject *self)
{
    self->count--;
    return self->taken[self->first++];
}

/* Drop what nobody will come to: the engine answers. */
static void drop_all(ServerObject *self)
{
    gcore_http_request *request;

    while (self->count)
        gcore_http_request_unref(next_request(self));
    while (self->server &&
           gcore_http_server_take(self->server, &request, 1) == 1)
        gcore_http_request_unref(request);
}

/* Stand in the run queue. */
static void come_back(ServerObject *self,
                      int (*push)(LoopObject *, PyObject *))
{
    self->pending = push(self->loop, (PyObject *)self) == 0;
    if (self->pending)
        return;
    accel_loop_report(self->loop, (PyObject *)self);
    drop_all(self);
}

void accel_http_told(PyObject *object, int64_t result)
{
    ServerObject *self = (ServerObject *)object;

    if (result < 0) {
        Py_DECREF(object);
        return;
    }
    if (!self->pending)
        come_back(self, accel_loop_push_ready);
}

/* What is no usual request: refused, or asking for another protocol. */
static void hand_over(ServerObject *self, gcore_http_request *request)
{
    PyObject *object = request_new(self->loop, request);
    PyObject *result =
        object ? PyObject_CallMethodObjArgs(self->owner, str_take_request,
                                            object, NULL)
               : NULL;

    if (result == NULL)
        accel_loop_report(self->loop, (PyObject *)self);
    Py_XDECREF(result);
    Py_XDECREF(object);
}

static void take(ServerObject *self)
{
    gcore_http_request *taken[TAKEN_AT_ONCE];
    int count = self->server
                    ? gcore_http_server_take(self->server, taken, TAKEN_AT_ONCE)
                    : 0;

    self->first = 0;
    for (int i = 0; i < count; i++) {
        const gcore_http_head *head = gcore_http_request_head(taken[i]);

        if (head->reason == NULL && !(head->flags & GCORE_HTTP_UPGRADE))
            self->taken[self->count++] = taken[i];
        else
            hand_over(self, taken[i]);
    }
}

/* Have a greenlet answer what was taken. */
static void start_work(ServerObject *self)
{
    PyObject *work = PyObject_GetAttr((PyObject *)self, str_work);
    PyObject *result =
        work ? PyObject_CallMethodObjArgs(self->owner, str_start_work, work,
                                          NULL)
             : NULL;

    Py_XDECREF(work);
    Py_XDECREF(result);
    if (result != NULL)
        return;
    accel_loop_report(self->loop, (PyObject *)self);
    if (self->count)
        gcore_http_request_unref(next_request(self));
}

void accel_http_run(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;

    self->pending = false;
    if (self->count == 0)
        take(self);
    if (self->count == 0)
        return;
    start_work(self);
    if (self->count && !self->pending)
        come_back(self, accel_loop_append);
}

/* Run the application on the next request; -1 with an exception. */
static int answer_next(ServerObject *self)
{
    PyObject *request = request_new(self->loop, next_request(self));
    PyObject *exchange =
        request ? accel_http_exchange_new(self->exchange, self->owner, request,
                                          self->plain)
                : NULL;
    int result = exchange ? accel_http_exchange_run(exchange) : -1;

    Py_XDECREF(exchange);
    Py_XDECREF(request);
    return result;
}

/* The greenlet is as good as new if nothing that a request's application did
 * to it can show in the next one, nor a late kill() reach that. */
static PyObject *server_work(PyObject *object, PyObject *Py_UNUSED(none))
{
    ServerObject *self = (ServerObject *)object;
    PyObject *greenlet = accel_current_greenlet();
    accel_greenlet_marks marks;
    int64_t end;
    int result = 0;

    if (greenlet == NULL)
        return NULL;
    marks = accel_greenlet_look(greenlet);
    end = gcore_clock() + SLICE;
    while (self->count) {
        result = answer_next(self);
        if (result < 0 || !accel_greenlet_unmarked(greenlet, &marks))
            break;
        if (gcore_clock() > end) {
            self->loop->must_poll = true;
            break;
        }
    }
    Py_DECREF(greenlet);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int read_option(gcore_http_options *options, const char *name,
                       PyObject *value)
{
    long long number = PyLong_AsLongLong(value);

#define COUNT(member)                                                         \
    if (strcmp(name, #member) == 0) {                                         \
        options->member = (uint32_t)number;                                   \
        return 0;                                                             \
    }
#define AMOUNT(member)                                                        \
    if (strcmp(name, #member) == 0) {                                         \
        options->member = (int64_t)number;                                    \
        return 0;                                                             \
    }
    if (number == -1 && PyErr_Occurred())
        return -1;
    COUNT(line_limit)
    COUNT(field_limit)
    COUNT(head_limit)
    COUNT(field_bytes)
    COUNT(buffer)
    COUNT(connections)
    COUNT(requests)
    AMOUNT(body_limit)
    AMOUNT(body_rate)
    AMOUNT(body_grace)
    AMOUNT(head_timeout)
    AMOUNT(idle_timeout)
    AMOUNT(send_timeout)
    AMOUNT(discard)
    AMOUNT(coalesce)
    AMOUNT(drain_idle)
    AMOUNT(proxy_timeout)
    if (strcmp(name, "flags") == 0) {
        options->flags = (unsigned)number;
        return 0;
    }
#undef COUNT
#undef AMOUNT
    PyErr_Format(PyExc_TypeError, "unknown option %s", name);
    return -1;
}

static int read_options(gcore_http_options *options, PyObject *given)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;

    while (given && PyDict_Next(given, &position, &key, &value)) {
        const char *name = PyUnicode_AsUTF8AndSize(key, NULL);

        if (name == NULL || read_option(options, name, value) != 0)
            return -1;
    }
    return 0;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args,
                            PyObject *keywords)
{
    gcore_http_options options = {.size = sizeof options};
    PyObject *owner, *exchange;
    int plain;
    LoopObject *loop = accel_current_loop(1);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ServerObject *self;
    int result;

    if (loop == NULL || accel_loop_check(loop) < 0 ||
        !PyArg_ParseTuple(args, "OO!p", &owner, &PyType_Type, &exchange,
                          &plain) ||
        read_options(&options, keywords) != 0)
        return NULL;
    self = (ServerObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF((PyObject *)loop);
    self->loop = loop;
    Py_INCREF(owner);
    self->owner = owner;
    Py_INCREF(exchange);
    self->exchange = (PyTypeObject *)exchange;
    self->plain = plain;
    result = gcore_http_server_new(loop->engine, &options, &self->server);
    if (result == 0) {
        result = gcore_http_server_watch(self->server, GCORE_COMPLETE, self);
        if (result == 0)
            Py_INCREF((PyObject *)self); /* until the engine's last word */
    }
    if (result == 0)
        return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    return accel_raise(result);
}

static int server_clear(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;

    Py_CLEAR(self->owner);
    return 0;
}

static int server_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((ServerObject *)object)->owner);
    return 0;
}

static void server_dealloc(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    server_clear(object);
    while (self->count)
        gcore_http_request_unref(next_request(self));
    gcore_http_server_unref(self->server);
    Py_XDECREF((PyObject *)self->exchange);
    Py_XDECREF((PyObject *)self->loop);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyObject *with_fd(PyObject *self, PyObject *number,
                         int (*call)(gcore_http_server *, int))
{
    int fd = (int)PyLong_AsLong(number);

    if (fd == -1 && PyErr_Occurred())
        return NULL;
    return done_or_raise(call(((ServerObject *)self)->server, fd));
}

static PyObject *server_listen(PyObject *self, PyObject *fd)
{
    return with_fd(self, fd, gcore_http_server_listen);
}

static PyObject *server_forget(PyObject *self, PyObject *fd)
{
    return with_fd(self, fd, gcore_http_server_forget);
}

static PyObject *server_hang_up(PyObject *self, PyObject *request)
{
    if (accel_http_request(request) == NULL)
        return NULL;
    return done_or_raise(gcore_http_server_hang_up(
        ((ServerObject *)self)->server, head_of(request)->connection));
}

static PyObject *server_adopt_tls(PyObject *object, PyObject *args)
{
    ServerObject *self = (ServerObject *)object;
    PyObject *whole, *socket, *tls, *gone = NULL, *bytes;
    gcore_stream *stream;
    int error;

    if (!PyArg_ParseTuple(args, "OOO|O", &whole, &socket, &tls, &gone))
        return NULL;
    stream = accel_http_tls_stream(self->loop, whole, socket, tls, gone);
    if (stream == NULL)
        return NULL;
    error = gcore_http_server_adopt_stream(self->server, stream);
    if (error == 0)
        Py_RETURN_NONE;
    Py_XDECREF(accel_http_tls_leave(stream, &bytes));
    Py_XDECREF(bytes);
    return accel_raise(error);
}

static PyObject *server_pause(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(
        gcore_http_server_pause(((ServerObject *)self)->server));
}

static PyObject *server_resume(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(
        gcore_http_server_resume(((ServerObject *)self)->server));
}

static PyObject *server_rest(PyObject *object, PyObject *Py_UNUSED(none))
{
    ServerObject *self = (ServerObject *)object;

    if (self->loop == accel_current_loop(0))
        gcore_http_server_rest(self->server);
    Py_RETURN_NONE;
}

static PyObject *server_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(
        gcore_http_server_close(((ServerObject *)self)->server));
}

/* drain(timeout): True when the last connection has gone */
static PyObject *server_drain(PyObject *self, PyObject *timeout)
{
    int64_t deadline = GCORE_FOREVER;
    WaitObject *wait;
    int result;

    if (timeout != Py_None && (deadline = accel_deadline(timeout)) < 0)
        return NULL;
    wait = accel_wait_new();
    if (wait == NULL)
        return NULL;
    result = gcore_http_server_drain(((ServerObject *)self)->server, deadline,
                                     GCORE_COMPLETE, accel_wait_argument(wait));
    if (result < 0) {
        accel_wait_discard(wait);
        Py_DECREF((PyObject *)wait);
        return accel_raise(result);
    }
    accel_wait_lend(wait); /* a drain cannot be cancelled */
    if (accel_wait_park(wait, NULL, 1) < 0) {
        gcore_http_server_close(((ServerObject *)self)->server);
        Py_DECREF((PyObject *)wait);
        return NULL;
    }
    result = (int)wait->result;
    Py_DECREF((PyObject *)wait);
    return PyBool_FromLong(result == 0);
}

static PyObject *server_counters(PyObject *self, PyObject *Py_UNUSED(none))
{
    gcore_http_stats stats = {.size = sizeof stats};
    int result = gcore_http_server_counters(((ServerObject *)self)->server,
                                            &stats);

    if (result < 0)
        return accel_raise(result);
    return Py_BuildValue(
        "{sKsKsKsKsKsKsKsKsK}", "accepted", (unsigned long long)stats.accepted,
        "connections", (unsigned long long)stats.connections, "idle",
        (unsigned long long)stats.idle, "requests",
        (unsigned long long)stats.requests, "refused",
        (unsigned long long)stats.refused, "timeouts",
        (unsigned long long)stats.timeouts, "waiting",
        (unsigned long long)stats.waiting, "active",
        (unsigned long long)stats.active, "dropped",
        (unsigned long long)stats.dropped);
}

static PyMethodDef server_methods[] = {
    {"work", server_work, METH_NOARGS,
     "work()\n--\n\nAnswer requests, in the current greenlet."},
    {"listen", server_listen, METH_O,
     "listen(fd)\n--\n\nAccept from a listening descriptor."},
    {"forget", server_forget, METH_O,
     "forget(fd)\n--\n\nAccept no more from it."},
    {"hang_up", server_hang_up, METH_O,
     "hang_up(request)\n--\n\n"
     "Close that request's connection, after what is being answered."},
    {"adopt_tls", server_adopt_tls, METH_VARARGS,
     "adopt_tls(whole, socket, object[, gone])\n--\n\n"
     "Serve a TLS connection, by its socket of _socket and its object of "
     "_ssl; *whole* stands for it in take_over(). The hub calls *gone* when "
     "it has ended or left."},
    {"pause", server_pause, METH_NOARGS, "pause()\n--\n\nAccept no more."},
    {"resume", server_resume, METH_NOARGS, "resume()\n--\n\nAccept again."},
    {"rest", server_rest, METH_NOARGS,
     "rest()\n--\n\nEnd its thread, until it needs one again; nothing in "
     "other threads than its hub's."},
    {"close", server_close, METH_NOARGS,
     "close()\n--\n\nClose all connections."},
    {"drain", server_drain, METH_O,
     "drain(timeout)\n--\n\nWait for the answers; False if time ran out."},
    {"counters", server_counters, METH_NOARGS,
     "counters()\n--\n\nWhat the server has done, a dict."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef server_members[] = {
    {"plain", T_BOOL, offsetof(ServerObject, plain), 0,
     "Whether environments and application are as set."},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc, "HttpServer(server, exchange, plain, **options)\n--\n\n"
                "Takes requests for a WSGIServer, and has them answered by "
                "the class *exchange*."},
    {Py_tp_new, server_new},
    {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {Py_tp_members, server_members},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "libgcore._accel.HttpServer",
    .basicsize = sizeof(ServerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = server_slots,
};

/* ---- the module ----------------------------------------------------------- */

static int add_numbers(PyObject *module)
{
    return PyModule_AddIntConstant(module, "HTTP_LENIENT",
                                   GCORE_HTTP_ALLOW_BOTH_LENGTHS |
                                       GCORE_HTTP_ALLOW_NO_HOST |
                                       GCORE_HTTP_ALLOW_FOLDED) ||
           PyModule_AddIntConstant(module, "HTTP_PROXY", GCORE_HTTP_PROXY) ||
           PyModule_AddIntConstant(module, "HTTP_MAY_PROXY",
                                   GCORE_HTTP_PROXY |
                                       GCORE_HTTP_PROXY_OPTIONAL) ||
           PyModule_AddIntConstant(module, "HTTP_REPORT",
                                   GCORE_HTTP_REPORT) ||
           PyModule_AddIntConstant(module, "HTTP_PLAIN_STATUS",
                                   GCORE_HTTP_PLAIN_STATUS)
               ? -1
               : 0;
}

int accel_http_init(PyObject *module)
{
    request_type = accel_add_type(module, &request_spec, NULL);
    accel_http_server_type = accel_add_type(module, &server_spec, NULL);
    str_take_request = PyUnicode_InternFromString("_take_request");
    str_start_work = PyUnicode_InternFromString("_start_work");
    str_work = PyUnicode_InternFromString("work");
    if (request_type == NULL || accel_http_server_type == NULL ||
        !str_take_request || !str_start_work || !str_work ||
        add_numbers(module) != 0 || accel_http_environ_init(module) != 0 ||
        accel_http_tls_init() != 0 || accel_http_input_init(module) != 0)
        return -1;
    return accel_http_exchange_init(module);
}
