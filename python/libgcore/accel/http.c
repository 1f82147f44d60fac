/*
 * HTTP servers of the engine.
 *
 * The engine collects requests whose head is complete, and says so by one
 * completion a turn; the hub then takes them all, and calls the server's
 * function with each. An environment is filled in one go from the head's block;
 * an answer is one call. Waits for a body or for room are the engine's
 * operations, which wake a greenlet's Wait.
 */
#include "http.h"

#include <errno.h>
#include <string.h>

#include "loop.h"

enum { TAKEN_AT_ONCE = 64, LONGEST_NAME = 256, LARGEST_PIECE = 1 << 18,
       SMALL_PIECE = 4096 };

typedef struct {
    PyObject_HEAD
    LoopObject *loop;
    gcore_http_server *server;
    PyObject *function;
    bool pending; /* stands in the run queue */
} ServerObject;

typedef struct {
    PyObject_HEAD
    gcore_http_request *request;
} RequestObject;

PyTypeObject *accel_http_server_type;
static PyTypeObject *request_type;

static struct {
    PyObject *method, *path, *query, *protocol, *address, *port, *type, *length,
        *cookie, *http_1_0, *http_1_1, *get, *root, *empty, *comma, *semicolon;
} names;

/* ---- text ---------------------------------------------------------------- */

static PyObject *latin1(const char *bytes, size_t size)
{
    return PyUnicode_DecodeLatin1(bytes, (Py_ssize_t)size, NULL);
}

static int put(PyObject *dict, PyObject *key, PyObject *value)
{
    int result = key && value ? PyObject_SetItem(dict, key, value) : -1;

    Py_XDECREF(value);
    return result;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Text without percent escapes, each byte a character. */
static PyObject *unquoted(const char *text, size_t size)
{
    PyObject *result;
    char *bytes;
    size_t count = 0;

    if (size == 1 && *text == '/') {
        Py_INCREF(names.root);
        return names.root;
    }
    if (memchr(text, '%', size) == NULL)
        return latin1(text, size);
    bytes = PyMem_Malloc(size);
    if (bytes == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0; i < size; i++) {
        int high, low;

        if (text[i] == '%' && i + 2 < size &&
            (high = hex_digit(text[i + 1])) >= 0 &&
            (low = hex_digit(text[i + 2])) >= 0) {
            bytes[count++] = (char)(high * 16 + low);
            i += 2;
        } else {
            bytes[count++] = text[i];
        }
    }
    result = latin1(bytes, count);
    PyMem_Free(bytes);
    return result;
}

/* ---- environments --------------------------------------------------------- */

static int put_target(PyObject *environ, const gcore_http_head *head)
{
    const char *target = head->block + head->target;
    const char *mark = memchr(target, '?', head->target_size);
    size_t path = mark ? (size_t)(mark - target) : head->target_size;

    if (put(environ, names.path, unquoted(target, path)) != 0)
        return -1;
    if (mark == NULL)
        return PyObject_SetItem(environ, names.query, names.empty);
    return put(environ, names.query,
               latin1(mark + 1, head->target_size - path - 1));
}

static int put_peer(PyObject *environ, const gcore_http_head *head)
{
    if (*head->peer == '\0')
        return 0;
    if (put(environ, names.address,
            latin1(head->peer, strlen(head->peer))) != 0)
        return -1;
    return put(environ, names.port,
               PyUnicode_FromFormat("%d", (int)head->peer_port));
}

/* The name of a header's variable; NULL without an exception for one that an
 * underscore would make pass for another, and for what is not in HTTP_. */
static PyObject *variable(const char *name, size_t size)
{
    char text[LONGEST_NAME + 5] = "HTTP_";

    if (size > LONGEST_NAME)
        return NULL;
    for (size_t i = 0; i < size; i++) {
        char c = name[i];

        if (c == '_')
            return NULL;
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        text[5 + i] = c == '-' ? '_' : c;
    }
    return latin1(text, size + 5);
}

static bool is_name(const gcore_http_head *head, const gcore_http_field *field,
                    const char *name, size_t size)
{
    const char *text = head->block + field->name;

    if (field->name_size != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != name[i])
            return false;
    return true;
}

/* Beside what is there already, which is a value of the same header. */
static PyObject *joined(PyObject *key, PyObject *before, PyObject *value)
{
    int is_cookie = PyObject_RichCompareBool(key, names.cookie, Py_EQ);
    PyObject *start, *result;

    if (is_cookie < 0)
        return NULL;
    start = PyUnicode_Concat(before, is_cookie ? names.semicolon : names.comma);
    if (start == NULL)
        return NULL;
    result = PyUnicode_Concat(start, value);
    Py_DECREF(start);
    return result;
}

/* A folded value: the line ends within it became spaces, three or more with
 * those that began the next line. */
static PyObject *unfolded(const char *text, size_t size)
{
    char *bytes = PyMem_Malloc(size + 1);
    PyObject *result;
    size_t count = 0;

    if (bytes == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0; i < size; i++) {
        size_t end = i;

        while (end < size && (text[end] == ' ' || text[end] == '\t'))
            end++;
        if (end - i > 2) {
            bytes[count++] = ' ';
            i = end - 1;
        } else {
            bytes[count++] = text[i];
        }
    }
    result = latin1(bytes, count);
    PyMem_Free(bytes);
    return result;
}

static int put_header(PyObject *environ, const gcore_http_head *head,
                      const gcore_http_field *field)
{
    PyObject *key = variable(head->block + field->name, field->name_size);
    PyObject *value, *before;
    int result = -1;

    if (key == NULL)
        return PyErr_Occurred() ? -1 : 0;
    value = head->flags & GCORE_HTTP_FOLDED
                ? unfolded(head->block + field->value, field->value_size)
                : latin1(head->block + field->value, field->value_size);
    before = value ? PyDict_GetItemWithError(environ, key) : NULL;
    if (before != NULL) {
        PyObject *both = joined(key, before, value);

        Py_DECREF(value);
        value = both;
    }
    if (value != NULL && !PyErr_Occurred())
        result = PyObject_SetItem(environ, key, value);
    Py_XDECREF(value);
    Py_DECREF(key);
    return result;
}

static int put_field(PyObject *environ, const gcore_http_head *head,
                     const gcore_http_field *field)
{
    const char *value = head->block + field->value;

    if (is_name(head, field, "content-type", 12)) {
        int known = PyMapping_HasKey(environ, names.type);

        return known ? 0
                     : put(environ, names.type,
                           latin1(value, field->value_size));
    }
    if (is_name(head, field, "content-length", 14)) {
        while (field->value_size && *value == '0' && value[1] >= '0' &&
               value[1] <= '9')
            value++;
        return put(environ, names.length,
                   latin1(value, field->value_size -
                                     (size_t)(value - head->block -
                                              field->value)));
    }
    return put_header(environ, head, field);
}

static int fill(PyObject *environ, const gcore_http_head *head)
{
    PyObject *method = head->method_size == 3 &&
                               memcmp(head->block, "GET", 3) == 0
                           ? names.get
                           : NULL;
    int result = method
                     ? PyObject_SetItem(environ, names.method, method)
                     : put(environ, names.method,
                           latin1(head->block, head->method_size));

    if (result != 0 || put_target(environ, head) != 0 ||
        put_peer(environ, head) != 0)
        return -1;
    result = head->minor < 2
                 ? PyObject_SetItem(environ, names.protocol,
                                    head->minor ? names.http_1_1
                                                : names.http_1_0)
                 : put(environ, names.protocol,
                       PyUnicode_FromFormat("HTTP/1.%d", (int)head->minor));
    for (uint32_t i = 0; result == 0 && i < head->field_count; i++)
        result = put_field(environ, head, &head->fields[i]);
    return result;
}

/* ---- headers of answers --------------------------------------------------- */

typedef struct {
    PyObject *length;     /* the Content-Length, text or NULL */
    PyObject *connection; /* the Connection, text or NULL */
    bool date;
} header_facts;

static bool same(PyObject *name, const char *other)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(name, &size);

    if (text == NULL) {
        PyErr_Clear();
        return false;
    }
    if ((size_t)size != strlen(other))
        return false;
    for (Py_ssize_t i = 0; i < size; i++)
        if ((text[i] | 0x20) != other[i])
            return false;
    return true;
}

static PyObject *encoded(PyObject *text, const char *what)
{
    PyObject *bytes;
    const unsigned char *at;

    if (!PyUnicode_Check(text))
        return PyErr_Format(PyExc_TypeError,
                            "The %s of a header or status must be text, not "
                            "%R", what, text);
    bytes = PyUnicode_AsLatin1String(text);
    if (bytes == NULL)
        return NULL;
    at = (const unsigned char *)PyBytes_AsString(bytes);
    for (Py_ssize_t i = 0, size = PyBytes_Size(bytes); i < size; i++)
        if ((at[i] < 0x20 && at[i] != '\t') || at[i] == 0x7f) {
            Py_DECREF(bytes);
            return PyErr_Format(PyExc_ValueError,
                                "carriage return or newline in header %s: %R",
                                what, text);
        }
    return bytes;
}

static void note(header_facts *said, PyObject *name, PyObject *value)
{
    if (same(name, "content-length"))
        said->length = value;
    else if (same(name, "connection"))
        said->connection = value;
    else if (same(name, "date"))
        said->date = true;
}

/* Append a line to `lines`, a list of bytes. */
static int add_line(PyObject *lines, PyObject *header, header_facts *said)
{
    PyObject *name, *value, *name_bytes, *value_bytes, *line = NULL;
    int result = -1;

    if (!PyTuple_Check(header) || PyTuple_Size(header) != 2) {
        PyErr_Format(PyExc_TypeError,
                     "A header must be a tuple of name and value, not %R",
                     header);
        return -1;
    }
    name = PyTuple_GetItem(header, 0);
    value = PyTuple_GetItem(header, 1);
    name_bytes = encoded(name, "name");
    value_bytes = name_bytes ? encoded(value, "value") : NULL;
    if (value_bytes != NULL) {
        note(said, name, value);
        if (same(name, "transfer-encoding")) { /* framing is the server's */
            result = 0;
        } else {
            line = PyBytes_FromFormat("%s: %s\r\n",
                                      PyBytes_AsString(name_bytes),
                                      PyBytes_AsString(value_bytes));
            result = line ? PyList_Append(lines, line) : -1;
        }
    }
    Py_XDECREF(line);
    Py_XDECREF(name_bytes);
    Py_XDECREF(value_bytes);
    return result;
}

static PyObject *or_none(PyObject *object)
{
    return object ? object : Py_None;
}

static PyObject *http_headers(PyObject *module, PyObject *headers)
{
    PyObject *lines = PyList_New(0), *block = NULL, *result = NULL;
    header_facts said = {0};
    Py_ssize_t size = PyList_Check(headers) ? PyList_Size(headers) : -1;

    (void)module;
    if (size < 0)
        PyErr_SetString(PyExc_TypeError, "The headers must be a list");
    for (Py_ssize_t i = 0; lines && i < size; i++)
        if (add_line(lines, PyList_GetItem(headers, i), &said) != 0)
            size = -1;
    if (lines && size >= 0) {
        PyObject *nothing = PyBytes_FromStringAndSize(NULL, 0);

        block = nothing ? PyObject_CallMethod(nothing, "join", "O", lines)
                        : NULL;
        Py_XDECREF(nothing);
    }
    if (block != NULL)
        result = PyTuple_Pack(4, block, or_none(said.length),
                              or_none(said.connection),
                              said.date ? Py_True : Py_False);
    Py_XDECREF(block);
    Py_XDECREF(lines);
    return result;
}

/* ---- requests ------------------------------------------------------------ */

static PyObject *request_new(gcore_http_request *request)
{
    RequestObject *self = PyObject_New(RequestObject, request_type);

    if (self == NULL) {
        gcore_http_request_unref(request);
        return NULL;
    }
    self->request = request;
    return (PyObject *)self;
}

static void request_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    gcore_http_request_unref(((RequestObject *)object)->request);
    PyObject_Free(object);
    Py_DECREF(type);
}

static const gcore_http_head *head_of(PyObject *self)
{
    return gcore_http_request_head(((RequestObject *)self)->request);
}

static PyObject *request_fill(PyObject *self, PyObject *environ)
{
    if (!PyDict_Check(environ)) {
        PyErr_SetString(PyExc_TypeError, "an environment must be a dict");
        return NULL;
    }
    if (fill(environ, head_of(self)) != 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *done_or_raise(int result)
{
    return result < 0 ? accel_raise(result) : PyLong_FromLong(result);
}

/* status, reason, header block and body, if any */
static PyObject *request_respond(PyObject *self, PyObject *args)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    const char *reason, *headers, *body;
    Py_ssize_t headers_size, body_size;
    int status;

    if (!PyArg_ParseTuple(args, "iyy#y#", &status, &reason, &headers,
                          &headers_size, &body, &body_size))
        return NULL;
    return done_or_raise(gcore_http_respond(request, status, reason, headers,
                                            (size_t)headers_size, body,
                                            (size_t)body_size));
}

static PyObject *request_start(PyObject *self, PyObject *args)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    const char *reason, *headers;
    Py_ssize_t headers_size;
    int status;

    if (!PyArg_ParseTuple(args, "iyy#", &status, &reason, &headers,
                          &headers_size))
        return NULL;
    return done_or_raise(gcore_http_start(request, status, reason, headers,
                                          (size_t)headers_size));
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
    WaitObject *wait = accel_wait_new();

    if (wait == NULL)
        return -1;
    return park_for(request, wait,
                    start(request, deadline, GCORE_COMPLETE,
                          accel_wait_argument(wait)),
                    cancel);
}

static PyObject *request_wait_sent(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (wait_for(self, GCORE_FOREVER, gcore_http_wait_sent,
                 gcore_http_cancel_sent) != 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *request_write(PyObject *self, PyObject *data)
{
    gcore_http_request *request = ((RequestObject *)self)->request;
    char *bytes;
    Py_ssize_t size;
    int result;

    if (PyBytes_AsStringAndSize(data, &bytes, &size) != 0)
        return NULL;
    result = gcore_http_write(request, bytes, (size_t)size);
    if (result == 1)
        return request_wait_sent(self, NULL);
    if (result < 0)
        return accel_raise(result);
    Py_RETURN_NONE;
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

static PyObject *request_finish(PyObject *self, PyObject *Py_UNUSED(none))
{
    return done_or_raise(
        gcore_http_finish(((RequestObject *)self)->request));
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
    *count = gcore_http_read(request, bytes, (size_t)size);
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
    for (;;) {
        count = 0;
        data = read_piece(request, size, &count);
        if (count != -EAGAIN)
            return data;
        if (timeout != Py_None && (deadline = accel_deadline(timeout)) < 0)
            return NULL;
        if (wait_for(self, deadline, gcore_http_wait_body,
                     gcore_http_cancel_body) != 0)
            return NULL;
    }
}

/* (descriptor, bytes that had come after the head) */
static PyObject *request_take_over(PyObject *self, PyObject *Py_UNUSED(none))
{
    const void *bytes = NULL;
    size_t size = 0;
    int fd = gcore_http_take_over(((RequestObject *)self)->request, &bytes,
                                  &size);

    if (fd < 0)
        return accel_raise(fd);
    return Py_BuildValue("iy#", fd, bytes, (Py_ssize_t)size);
}

static PyObject *get_line(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_head *head = head_of(self);
    size_t size = 0;

    while (size < head->block_size && head->block[size] != '\r' &&
           head->block[size] != '\n')
        size++;
    return latin1(head->block, size);
}

static PyObject *get_block(PyObject *self, void *Py_UNUSED(closure))
{
    const gcore_http_head *head = head_of(self);

    return PyBytes_FromStringAndSize(head->block, head->block_size);
}

static PyObject *get_flags(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(head_of(self)->flags);
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

static PyGetSetDef request_getset[] = {
    {"line", get_line, NULL, "The first line, without its end.", NULL},
    {"block", get_block, NULL, "The head as it came, folded lines unfolded.",
     NULL},
    {"flags", get_flags, NULL, "HTTP_KEEP and others.", NULL},
    {"minor", get_minor, NULL, "Of the version: HTTP/1.minor.", NULL},
    {"status", get_status, NULL, "0, or what a refused one was answered.",
     NULL},
    {"reason", get_reason, NULL, "None, or why it was refused.", NULL},
    {"content_length", get_length, NULL, "Bytes of the body; -1: chunked.",
     NULL},
    {"peer", get_peer, NULL, "Address and port.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef request_methods[] = {
    {"fill", request_fill, METH_O,
     "fill(environ)\n--\n\nAdd what WSGI tells of the request."},
    {"respond", request_respond, METH_VARARGS,
     "respond(status, reason, headers, body)\n--\n\nAnswer in one go."},
    {"start", request_start, METH_VARARGS,
     "start(status, reason, headers)\n--\n\nBegin an answer."},
    {"write", request_write, METH_O,
     "write(data)\n--\n\nSend a piece of the body; waits for room."},
    {"send_file", request_send_file, METH_VARARGS,
     "send_file(fd, offset, count)\n--\n\n"
     "Send a part of a file as a piece of the body; waits until it is sent."},
    {"wait_sent", request_wait_sent, METH_NOARGS,
     "wait_sent()\n--\n\nWait until little is left to send."},
    {"finish", request_finish, METH_NOARGS, "finish()\n--\n\nEnd the answer."},
    {"cut", request_cut, METH_NOARGS,
     "cut()\n--\n\nClose, after what was sent of the answer."},
    {"abort", request_abort, METH_NOARGS,
     "abort()\n--\n\nReset the connection."},
    {"read", request_read, METH_VARARGS,
     "read(size, timeout)\n--\n\n"
     "A piece of the body; an empty one at its end."},
    {"take_over", request_take_over, METH_NOARGS,
     "take_over()\n--\n\nThe descriptor, and what came after the head."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot request_slots[] = {
    {Py_tp_doc, "A request whose head is complete."},
    {Py_tp_dealloc, request_dealloc},
    {Py_tp_methods, request_methods},
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

void accel_http_told(PyObject *object, int64_t result)
{
    ServerObject *self = (ServerObject *)object;

    if (result < 0) {
        Py_DECREF(object);
        return;
    }
    if (self->pending)
        return;
    if (accel_loop_push_ready(self->loop, object) < 0)
        accel_loop_report(self->loop, object);
    else
        self->pending = true;
}

static void hand_over(ServerObject *self, gcore_http_request *request)
{
    PyObject *object = request_new(request);
    PyObject *result =
        object ? PyObject_CallFunctionObjArgs(self->function, object, NULL)
               : NULL;

    if (result == NULL)
        accel_loop_report(self->loop, (PyObject *)self);
    Py_XDECREF(result);
    Py_XDECREF(object);
}

void accel_http_run(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;
    gcore_http_request *taken[TAKEN_AT_ONCE];
    int count = self->server
                    ? gcore_http_server_take(self->server, taken, TAKEN_AT_ONCE)
                    : 0;

    self->pending = false;
    for (int i = 0; i < count; i++)
        hand_over(self, taken[i]);
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
    COUNT(buffer)
    AMOUNT(body_limit)
    AMOUNT(body_rate)
    AMOUNT(body_grace)
    AMOUNT(head_timeout)
    AMOUNT(idle_timeout)
    AMOUNT(send_timeout)
    AMOUNT(discard)
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
    PyObject *function;
    LoopObject *loop = accel_current_loop(1);
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ServerObject *self;
    int result;

    if (loop == NULL || accel_loop_check(loop) < 0 ||
        !PyArg_ParseTuple(args, "O", &function) ||
        read_options(&options, keywords) != 0)
        return NULL;
    self = (ServerObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF((PyObject *)loop);
    self->loop = loop;
    Py_INCREF(function);
    self->function = function;
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

    Py_CLEAR(self->function);
    return 0;
}

static int server_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((ServerObject *)object)->function);
    return 0;
}

static void server_dealloc(PyObject *object)
{
    ServerObject *self = (ServerObject *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    server_clear(object);
    gcore_http_server_unref(self->server);
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

static PyObject *server_adopt(PyObject *self, PyObject *fd)
{
    return with_fd(self, fd, gcore_http_server_adopt);
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
    Py_INCREF((PyObject *)wait); /* the drain cannot be cancelled */
    result = gcore_http_server_drain(((ServerObject *)self)->server, deadline,
                                     GCORE_COMPLETE, accel_wait_argument(wait));
    if (result < 0) {
        accel_wait_discard(wait);
        Py_DECREF((PyObject *)wait);
        Py_DECREF((PyObject *)wait);
        return accel_raise(result);
    }
    if (accel_wait_park(wait, NULL, 1) < 0) {
        gcore_http_server_close(((ServerObject *)self)->server);
        Py_DECREF((PyObject *)wait); /* the other stays with the engine */
        return NULL;
    }
    result = (int)wait->result;
    Py_DECREF((PyObject *)wait);
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
        "{sKsKsKsKsKsKsKsK}", "accepted", (unsigned long long)stats.accepted,
        "connections", (unsigned long long)stats.connections, "idle",
        (unsigned long long)stats.idle, "requests",
        (unsigned long long)stats.requests, "refused",
        (unsigned long long)stats.refused, "timeouts",
        (unsigned long long)stats.timeouts, "waiting",
        (unsigned long long)stats.waiting, "active",
        (unsigned long long)stats.active);
}

static PyMethodDef server_methods[] = {
    {"listen", server_listen, METH_O,
     "listen(fd)\n--\n\nAccept from a listening descriptor."},
    {"forget", server_forget, METH_O,
     "forget(fd)\n--\n\nAccept no more from it."},
    {"adopt", server_adopt, METH_O,
     "adopt(fd)\n--\n\nServe a connected descriptor; it is taken over."},
    {"pause", server_pause, METH_NOARGS, "pause()\n--\n\nAccept no more."},
    {"resume", server_resume, METH_NOARGS, "resume()\n--\n\nAccept again."},
    {"close", server_close, METH_NOARGS,
     "close()\n--\n\nClose all connections."},
    {"drain", server_drain, METH_O,
     "drain(timeout)\n--\n\nWait for the answers; False if time ran out."},
    {"counters", server_counters, METH_NOARGS,
     "counters()\n--\n\nWhat the server has done, a dict."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot server_slots[] = {
    {Py_tp_doc, "HttpServer(function, **options)\n--\n\n"
                "Calls *function*, in the hub, with each request."},
    {Py_tp_new, server_new},
    {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_methods, server_methods},
    {0, NULL},
};

static PyType_Spec server_spec = {
    .name = "libgcore._accel.HttpServer",
    .basicsize = sizeof(ServerObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = server_slots,
};

/* ---- the module ----------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"http_headers", http_headers, METH_O,
     "http_headers(list)\n--\n\n"
     "(block, Content-Length or None, Connection or None, whether Date is "
     "there)"},
    {NULL, NULL, 0, NULL},
};

static int make_names(void)
{
    static const struct {
        PyObject **place;
        const char *text;
    } all[] = {
        {&names.method, "REQUEST_METHOD"},   {&names.path, "PATH_INFO"},
        {&names.query, "QUERY_STRING"},      {&names.protocol, "SERVER_PROTOCOL"},
        {&names.address, "REMOTE_ADDR"},     {&names.port, "REMOTE_PORT"},
        {&names.type, "CONTENT_TYPE"},       {&names.length, "CONTENT_LENGTH"},
        {&names.cookie, "HTTP_COOKIE"},      {&names.http_1_0, "HTTP/1.0"},
        {&names.http_1_1, "HTTP/1.1"},       {&names.get, "GET"},
        {&names.root, "/"},                  {&names.empty, ""},
        {&names.comma, ","},                 {&names.semicolon, "; "},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].place = PyUnicode_InternFromString(all[i].text);
        if (*all[i].place == NULL)
            return -1;
    }
    return 0;
}

static int add_numbers(PyObject *module)
{
    return PyModule_AddIntConstant(module, "HTTP_KEEP", GCORE_HTTP_KEEP) ||
           PyModule_AddIntConstant(module, "HTTP_UPGRADE",
                                   GCORE_HTTP_UPGRADE) ||
           PyModule_AddIntConstant(module, "HTTP_LENIENT",
                                   GCORE_HTTP_ALLOW_BOTH_LENGTHS |
                                       GCORE_HTTP_ALLOW_NO_HOST |
                                       GCORE_HTTP_ALLOW_FOLDED) ||
           PyModule_AddIntConstant(module, "HTTP_REPORT",
                                   GCORE_HTTP_REPORT |
                                       GCORE_HTTP_PLAIN_STATUS)
               ? -1
               : 0;
}

int accel_http_init(PyObject *module)
{
    request_type = accel_add_type(module, &request_spec, NULL);
    accel_http_server_type = accel_add_type(module, &server_spec, NULL);
    if (request_type == NULL || accel_http_server_type == NULL ||
        make_names() != 0 || add_numbers(module) != 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
