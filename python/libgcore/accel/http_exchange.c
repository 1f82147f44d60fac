/*
 * Exchanges: an application runs on a request, and what it says becomes the
 * answer.
 *
 * Here is what every exchange does, from the environment to the last byte; it
 * runs no Python code but the application's.  What is rare is a subclass's, in
 * gevent._pywsgi_engine: errors, logs, files.
 */
#include "http.h"
#include "links.h"
#include "loop.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    JOIN_LIMIT = 1 << 16,
    /* Of a piece: what the kernel does not take of it at once is copied, for
     * as long as the client makes us wait. Larger ones are not. */
    COPY_LIMIT = 1 << 16,
};

/* Bytes of lines that the engine adds to a head. */
enum {
    DATE_SIZE = sizeof "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" - 1,
    LENGTH_SIZE = sizeof "Content-Length: \r\n" - 1,
    CHUNKED_SIZE = sizeof "Transfer-Encoding: chunked\r\n" - 1,
    CLOSE_SIZE = sizeof "Connection: close\r\n" - 1,
    KEEP_SIZE = sizeof "Connection: keep-alive\r\n" - 1,
    LAST_CHUNK_SIZE = sizeof "0\r\n\r\n" - 1,
    FRAME_SIZE = sizeof "HTTP/1.1 \r\n\r\n" - 1,
};

/* ExchangeObject.length, where it is no number. */
enum { NOT_ANNOUNCED = -1, MALFORMED = -2 };

typedef struct {
    PyObject_HEAD
    PyObject *server;  /* the WSGIServer */
    PyObject *request; /* an HttpRequest */
    PyObject *environ; /* NULL before and after */
    PyObject *input;   /* wsgi.input, likewise */
    PyObject *status;  /* as the application gave it; NULL: not yet */
    PyObject *line;    /* the same in bytes */
    PyObject *block;   /* its headers as they are sent, bytes */
    double started, finished; /* seconds since the epoch */
    int64_t length;    /* Content-Length as announced, or see above */
    int64_t left;      /* of it, once the head has begun; -1: no such limit */
    int64_t sent;      /* bytes of the answer */
    int64_t body;      /* of these, the body's */
    int code;
    char headers_sent;
    bool dated, says_connection, plain;
} ExchangeObject;

static PyTypeObject *exchange_type;

/* What subclasses and servers are asked for. */
static struct {
    PyObject *application, *body_timeout, *close, *end, *environ,
        *environ_class, *fail, *file_class, *find_application, *get_environ,
        *hint, *in_hub, *input, *input_class, *input_failure, *join, *log,
        *metrics, *quiet_log, *refuse_body, *send_file, *start_response,
        *terminated, *write;
} names;

static const gcore_http_head *head_of(const ExchangeObject *self)
{
    return gcore_http_request_head(accel_http_request(self->request));
}

static bool is_head(const ExchangeObject *self)
{
    const gcore_http_head *head = head_of(self);

    return head->method_size == 4 && memcmp(head->block, "HEAD", 4) == 0;
}

static bool is_bodiless(const ExchangeObject *self)
{
    return self->code == 204 || self->code == 304;
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* -1 with an exception unless start_response() has been called. */
static int check_said(const ExchangeObject *self)
{
    if (self->line != NULL)
        return 0;
    PyErr_SetString(PyExc_AssertionError,
                    "The application did not call start_response()");
    return -1;
}

static int failed(int result)
{
    if (result >= 0)
        return 0;
    accel_raise(result);
    return -1;
}

/* ---- start_response ------------------------------------------------------- */

/* The number that a status begins with; -1 with an exception. */
static int code_of(const char *line)
{
    char *end;
    long code = strtol(line, &end, 10);

    if (end == line || (*end != ' ' && *end != '\0') || code < 0 ||
        code > 999) {
        PyErr_Format(PyExc_ValueError,
                     "A status must begin with a number, not %s", line);
        return -1;
    }
    return (int)code;
}

static const char *reason_of(const ExchangeObject *self)
{
    const char *space = strchr(PyBytes_AsString(self->line), ' ');

    return space ? space + 1 : "";
}

static int64_t announced_by(PyObject *length)
{
    const char *text = length ? PyUnicode_AsUTF8AndSize(length, NULL) : NULL;
    char *end;
    long long number;

    if (length == NULL)
        return NOT_ANNOUNCED;
    if (text == NULL) {
        PyErr_Clear();
        return MALFORMED;
    }
    number = strtoll(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' ? number : MALFORMED;
}

/* Takes over what was said, which is beyond doubt. */
static int say(ExchangeObject *self, PyObject *status, PyObject *headers)
{
    PyObject *line = accel_http_line(status, "status"), *block;
    int code = line ? code_of(PyBytes_AsString(line)) : -1;
    accel_http_said said;
    int64_t length;

    if (code < 0) {
        Py_XDECREF(line);
        return -1;
    }
    block = accel_http_lines(headers, &said);
    length = block ? announced_by(said.length) : NOT_ANNOUNCED;
    if (block && (code == 204 || code == 304) && length != NOT_ANNOUNCED &&
        length != 0) {
        PyErr_Format(PyExc_AssertionError,
                     "Invalid Content-Length for %d response: %R (must be "
                     "absent or zero)", code, said.length);
        Py_CLEAR(block);
    }
    Py_XDECREF(said.length);
    if (block == NULL) {
        Py_DECREF(line);
        return -1;
    }
    Py_INCREF(status);
    accel_replace(&self->status, status);
    accel_replace(&self->line, line);
    accel_replace(&self->block, block);
    self->code = code;
    self->length = length;
    self->says_connection = said.connection;
    self->dated = said.date;
    return 0;
}

/* The head has left: the error that comes with `exc_info` is raised. */
static void raise_late(PyObject *exc_info)
{
    PyObject *error = PySequence_GetItem(exc_info, 1);
    PyObject *traceback = error ? PySequence_GetItem(exc_info, 2) : NULL;

    if (traceback && !PyExceptionInstance_Check(error))
        PyErr_Format(PyExc_TypeError, "exc_info tells of no exception: %R",
                     exc_info);
    else if (traceback && PyException_SetTraceback(error, traceback) == 0)
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    Py_XDECREF(traceback);
    Py_XDECREF(error);
}

static PyObject *exchange_start_response(PyObject *object,
                                         PyObject *const *args,
                                         Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const arguments[] = {"status", "headers", "exc_info",
                                            NULL};
    ExchangeObject *self = (ExchangeObject *)object;
    PyObject *values[] = {NULL, NULL, Py_None}, *headers;
    int result;

    if (accel_parse("start_response", arguments, values, args, nargs,
                    keywords) < 0)
        return NULL;
    if (values[2] != Py_None && self->headers_sent) {
        raise_late(values[2]);
        return NULL;
    }
    headers = PyList_CheckExact(values[1]) ? values[1]
                                           : PySequence_List(values[1]);
    if (headers == NULL)
        return NULL;
    result = say(self, values[0], headers);
    if (headers != values[1])
        Py_DECREF(headers);
    return result < 0 ? NULL : PyObject_GetAttr(object, names.write);
}

/* ---- sending -------------------------------------------------------------- */

static int digits(uint64_t number, unsigned base)
{
    int count = 1;

    while (number /= base)
        count++;
    return count;
}

/* Bytes of the head with what the engine adds, but for framing. `ends`:
 * the body's end is the connection's. */
static int64_t head_size(const ExchangeObject *self, bool ends)
{
    const gcore_http_head *head = head_of(self);
    int64_t size = FRAME_SIZE + PyBytes_Size(self->line) +
                   PyBytes_Size(self->block);

    if (strchr(PyBytes_AsString(self->line), ' ') == NULL)
        size++; /* the space after the number */
    if (!self->dated)
        size += DATE_SIZE;
    if (self->says_connection)
        return size;
    if (ends || !(head->flags & GCORE_HTTP_KEEP))
        return size + CLOSE_SIZE;
    return head->minor ? size : size + KEEP_SIZE;
}

static int add_line(ExchangeObject *self, const char *line)
{
    PyObject *block = PyBytes_FromFormat(
        "%s%s", PyBytes_AsString(self->block), line);

    if (block == NULL)
        return -1;
    accel_replace(&self->block, block);
    return 0;
}

/* Say how long the body is, unless the application has. */
static int announce(ExchangeObject *self, int64_t length)
{
    char line[64];

    if (check_said(self) < 0)
        return -1;
    if (self->length != NOT_ANNOUNCED || is_bodiless(self))
        return 0;
    self->length = length;
    snprintf(line, sizeof line, "Content-Length: %lld\r\n", (long long)length);
    return add_line(self, line);
}

static bool is_chunked(const ExchangeObject *self)
{
    return self->left < 0 && head_of(self)->minor > 0;
}

/* -1 with an exception if the engine did not take the head. One that is
 * malformed has not been sent: another answer may be. */
static int begun(ExchangeObject *self, int result)
{
    self->headers_sent = result != -EINVAL;
    if (self->headers_sent)
        return failed(result);
    PyErr_Format(PyExc_ValueError,
                 "The status or a header of the response is malformed: %R, "
                 "%R", self->line, self->block);
    return -1;
}

static int start(ExchangeObject *self)
{
    gcore_http_request *request = accel_http_request(self->request);
    bool measured, chunked;
    int result = -EINVAL;

    if (check_said(self) < 0)
        return -1;
    measured = self->length >= 0 || is_bodiless(self) || is_head(self);
    chunked = !measured && head_of(self)->minor > 0;
    /* The engine would take other 1xx for answers before the answer. */
    if (self->code >= 200 || self->code == 101)
        result = gcore_http_start(request, self->code, reason_of(self),
                                  PyBytes_AsString(self->block),
                                  (size_t)PyBytes_Size(self->block));
    if (begun(self, result) < 0)
        return -1;
    self->sent += head_size(self, !measured && !chunked);
    if (self->length >= 0)
        self->left = self->length;
    if (chunked)
        self->sent += CHUNKED_SIZE;
    return 0;
}

/* How much of a piece is to be sent; what is beyond the announced length is
 * not. */
static Py_ssize_t count_piece(ExchangeObject *self, Py_ssize_t size)
{
    if (size == 0 || is_head(self))
        return 0;
    if (self->left >= 0) {
        if (size > self->left)
            size = (Py_ssize_t)self->left;
        self->left -= size;
    } else if (is_chunked(self)) {
        self->sent += digits((uint64_t)size, 16) + 4;
    }
    self->sent += size;
    self->body += size;
    return size;
}

static int finish(ExchangeObject *self)
{
    if (is_chunked(self) && !is_head(self) && !is_bodiless(self))
        self->sent += LAST_CHUNK_SIZE;
    return failed(gcore_http_finish(accel_http_request(self->request)));
}

/* A piece of the body as bytes, new reference. */
static PyObject *checked(const ExchangeObject *self, PyObject *data)
{
    PyObject *bytes;

    if (check_said(self) < 0)
        return NULL;
    if (PyUnicode_Check(data)) {
        PyErr_SetString(PyExc_TypeError,
                        "The body of a response is made of bytes");
        return NULL;
    }
    if (PyBytes_CheckExact(data))
        Py_INCREF(bytes = data);
    else
        bytes = PyObject_Bytes(data);
    if (bytes && PyBytes_Size(bytes) && is_bodiless(self)) {
        PyErr_Format(PyExc_AssertionError,
                     "The %d response must have no body", self->code);
        Py_CLEAR(bytes);
    }
    return bytes;
}

static int write_piece(ExchangeObject *self, PyObject *bytes)
{
    const char *first = PyBytes_AsString(bytes);
    bool begins = !self->headers_sent;
    Py_ssize_t size;

    if (begins && start(self) < 0)
        return -1;
    size = count_piece(self, PyBytes_Size(bytes));
    if (size > COPY_LIMIT)
        return accel_http_send_large(self->request, first, size);
    return begins || size ? accel_http_send(self->request, first, size) : 0;
}

static PyObject *exchange_write(PyObject *object, PyObject *data)
{
    ExchangeObject *self = (ExchangeObject *)object;
    PyObject *bytes;
    int result;

    if (accel_http_is_elsewhere(self->request))
        return PyObject_CallMethodObjArgs(object, names.in_hub, names.write,
                                          data, NULL);
    bytes = checked(self, data);
    result = bytes ? write_piece(self, bytes) : -1;

    Py_XDECREF(bytes);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int send_large(ExchangeObject *self, PyObject *bytes)
{
    return write_piece(self, bytes) < 0 ? -1 : finish(self);
}

/* A body that is not as long as announced: what is beyond must not pass for
 * the next response, what is missing ends the connection. */
static int send_misfit(ExchangeObject *self, PyObject *bytes)
{
    if (self->length < PyBytes_Size(bytes) && !self->says_connection) {
        self->says_connection = true;
        if (add_line(self, "Connection: close\r\n") < 0)
            return -1;
    }
    return send_large(self, bytes);
}

/* The whole answer at once. */
static int send_whole(ExchangeObject *self, PyObject *bytes)
{
    Py_ssize_t size = PyBytes_Size(bytes);
    bool head = is_head(self);
    int64_t line = 0;

    if (self->length >= 0 && self->length != size && !head)
        return send_misfit(self, bytes);
    if (size > COPY_LIMIT && !head)
        return announce(self, size) < 0 ? -1 : send_large(self, bytes);
    if (head) {
        if (announce(self, size) < 0)
            return -1;
        size = 0;
    } else if (self->length == NOT_ANNOUNCED && !is_bodiless(self)) {
        line = LENGTH_SIZE + digits((uint64_t)size, 10);
    }
    if (begun(self, gcore_http_respond(
                        accel_http_request(self->request), self->code,
                        reason_of(self), PyBytes_AsString(self->block),
                        (size_t)PyBytes_Size(self->block),
                        PyBytes_AsString(bytes), (size_t)size)) < 0)
        return -1;
    self->sent += head_size(self, false) + line + size;
    if (line != 0)
        self->length = size;
    self->body += size;
    return 0;
}

static int send_only(ExchangeObject *self, PyObject *data)
{
    PyObject *bytes = checked(self, data);
    int result = bytes ? send_whole(self, bytes) : -1;

    Py_XDECREF(bytes);
    return result;
}

/* All pieces of a list or tuple joined, new reference. */
static PyObject *joined(const ExchangeObject *self, PyObject *pieces)
{
    PyObject *list = PyList_New(0), *nothing, *result = NULL;

    for (Py_ssize_t i = 0; list && i < PySequence_Size(pieces); i++) {
        PyObject *piece = PySequence_GetItem(pieces, i);
        PyObject *bytes = piece ? checked(self, piece) : NULL;

        if (bytes == NULL || PyList_Append(list, bytes) < 0)
            Py_CLEAR(list);
        Py_XDECREF(bytes);
        Py_XDECREF(piece);
    }
    nothing = list ? PyBytes_FromStringAndSize(NULL, 0) : NULL;
    if (nothing != NULL)
        result = PyObject_CallMethodObjArgs(nothing, names.join, list, NULL);
    Py_XDECREF(nothing);
    Py_XDECREF(list);
    return result;
}

static bool has_length(PyObject *result)
{
    return PyType_GetSlot(Py_TYPE(result), Py_sq_length) != NULL ||
           PyType_GetSlot(Py_TYPE(result), Py_mp_length) != NULL;
}

/* The bytes of all items of a result that has a length; -1: it has none, or
 * gives its items only once, as a queue does; -2 with an exception. */
static int64_t total_size(PyObject *result)
{
    PyObject *iterator, *item;
    int64_t total = 0;

    if (!has_length(result))
        return -1;
    iterator = PyObject_GetIter(result);
    if (iterator == result) {
        Py_DECREF(iterator);
        return -1;
    }
    while (iterator && (item = PyIter_Next(iterator))) {
        Py_ssize_t size = PyObject_Size(item);

        Py_DECREF(item);
        if (size < 0)
            break;
        total += size;
    }
    Py_XDECREF(iterator);
    return PyErr_Occurred() ? -2 : total;
}

static int write_item(ExchangeObject *self, PyObject *item)
{
    int result = PyObject_IsTrue(item);
    PyObject *bytes;

    if (result <= 0)
        return result;
    bytes = checked(self, item);
    result = bytes ? write_piece(self, bytes) : -1;
    Py_XDECREF(bytes);
    return result;
}

static int write_items(ExchangeObject *self, PyObject *result)
{
    PyObject *iterator = PyObject_GetIter(result), *item;

    while (iterator && (item = PyIter_Next(iterator))) {
        int written = write_item(self, item);

        Py_DECREF(item);
        if (written < 0)
            break;
    }
    Py_XDECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

/* Nothing was said, so nothing is answered. */
static int leave(ExchangeObject *self)
{
    gcore_http_request *request = accel_http_request(self->request);
    gcore_stream *stream;
    const void *bytes;
    size_t size;
    int result = gcore_http_take_over(request, &bytes, &size);

    if (result >= 0) {
        close(result);
    } else if (result == -ENOTSUP) {
        result = gcore_http_take_over_stream(request, &stream);
        if (result == 0)
            gcore_stream_unref(stream);
    }
    return failed(result);
}

/* 1: it has been sent; 0: it is to be sent in pieces; -1: exception. */
static int send_sized(ExchangeObject *self, PyObject *result)
{
    int64_t size = total_size(result);
    bool plain = PyList_CheckExact(result) || PyTuple_CheckExact(result);

    if (size < 0)
        return size == -1 ? 0 : -1;
    if (plain && size <= JOIN_LIMIT) {
        PyObject *bytes = joined(self, result);
        int sent = bytes ? send_whole(self, bytes) : -1;

        Py_XDECREF(bytes);
        return sent < 0 ? -1 : 1;
    }
    return announce(self, size);
}

static int send_pieces(ExchangeObject *self, PyObject *result)
{
    if (self->status && !self->headers_sent) {
        int sent = send_sized(self, result);

        if (sent != 0)
            return sent < 0 ? -1 : 0;
    }
    if (write_items(self, result) < 0)
        return -1;
    if (self->status == NULL)
        return leave(self);
    if (!self->headers_sent && start(self) < 0)
        return -1;
    return finish(self);
}

/* 1: it was a file's, and has been sent; 0: not; -1: exception. */
static int send_file(ExchangeObject *self, PyObject *result)
{
    PyObject *class = PyObject_GetAttr((PyObject *)self, names.file_class);
    bool is_file = class == (PyObject *)Py_TYPE(result);
    PyObject *sent = NULL;
    int done;

    Py_XDECREF(class);
    if (class == NULL)
        return -1;
    if (!is_file || self->status == NULL || is_bodiless(self))
        return 0;
    sent = PyObject_CallMethodObjArgs((PyObject *)self, names.send_file,
                                      result, NULL);
    done = sent ? PyObject_IsTrue(sent) : -1;
    Py_XDECREF(sent);
    return done;
}

static int send_result(ExchangeObject *self, PyObject *result)
{
    int sent;

    if (PyList_CheckExact(result)) {
        if (PyList_Size(result) == 1 && !self->headers_sent)
            return send_only(self, PyList_GetItem(result, 0));
        return send_pieces(self, result);
    }
    sent = send_file(self, result);
    if (sent != 0)
        return sent < 0 ? -1 : 0;
    return send_pieces(self, result);
}

/* ---- running -------------------------------------------------------------- */

static PyObject *new_environ(const ExchangeObject *self)
{
    PyObject *class, *template, *environ = NULL;

    if (!self->plain)
        return PyObject_CallMethodObjArgs(self->server, names.get_environ,
                                          NULL);
    class = PyObject_GetAttr(self->server, names.environ_class);
    template = class ? PyObject_GetAttr(self->server, names.environ) : NULL;
    if (template != NULL)
        environ = class == (PyObject *)&PyDict_Type
                          && PyDict_CheckExact(template)
                      ? PyDict_Copy(template)
                      : PyObject_CallFunctionObjArgs(class, template, NULL);
    Py_XDECREF(template);
    Py_XDECREF(class);
    return environ;
}

static PyObject *new_input(ExchangeObject *self)
{
    PyObject *class =
        PyObject_GetAttr((PyObject *)self, names.input_class);
    PyObject *timeout =
        class ? PyObject_GetAttr(self->server, names.body_timeout) : NULL;
    PyObject *input = timeout ? PyObject_CallFunctionObjArgs(
                                    class, self->request, timeout, NULL)
                              : NULL;

    Py_XDECREF(timeout);
    Py_XDECREF(class);
    return input;
}

static int prepare(ExchangeObject *self)
{
    self->environ = new_environ(self);
    if (self->environ == NULL)
        return -1;
    if (!PyDict_Check(self->environ)) {
        PyErr_SetString(PyExc_TypeError, "an environment must be a dict");
        return -1;
    }
    if (accel_http_fill(self->environ, head_of(self)) != 0)
        return -1;
    if (head_of(self)->content_length > 0 && is_head(self)) {
        Py_XDECREF(PyObject_CallMethodObjArgs((PyObject *)self,
                                              names.refuse_body, NULL));
        return -1;
    }
    self->input = new_input(self);
    if (self->input == NULL ||
        PyObject_SetItem(self->environ, names.input, self->input) < 0)
        return -1;
    return PyObject_SetItem(self->environ, names.terminated, Py_True);
}

static PyObject *find_application(ExchangeObject *self)
{
    if (self->plain)
        return PyObject_GetAttr(self->server, names.application);
    return PyObject_CallMethodObjArgs((PyObject *)self, names.find_application,
                                      NULL);
}

/* An exception that is being handled, as in an except or finally clause: it is
 * current meanwhile, and the context of what is raised. */
typedef struct {
    PyObject *type, *value, *traceback;
    PyObject *outer_type, *outer_value, *outer_traceback;
} handling;

/* Begin with the exception that is on its way, if any. */
static void handle(handling *it)
{
    PyErr_Fetch(&it->type, &it->value, &it->traceback);
    if (it->type == NULL)
        return;
    PyErr_NormalizeException(&it->type, &it->value, &it->traceback);
    if (it->traceback != NULL)
        PyException_SetTraceback(it->value, it->traceback);
    PyErr_GetExcInfo(&it->outer_type, &it->outer_value, &it->outer_traceback);
    Py_INCREF(it->type);
    Py_INCREF(it->value);
    Py_XINCREF(it->traceback);
    PyErr_SetExcInfo(it->type, it->value, it->traceback);
}

/* The end of an except clause. */
static void handled(handling *it)
{
    if (it->type == NULL)
        return;
    PyErr_SetExcInfo(it->outer_type, it->outer_value, it->outer_traceback);
    Py_DECREF(it->type);
    Py_DECREF(it->value);
    Py_XDECREF(it->traceback);
}

/* The end of a finally clause: what was on its way goes on, unless something
 * else has been raised; -1 if there is an exception. */
static int go_on(handling *it)
{
    if (it->type != NULL && !PyErr_Occurred()) {
        PyErr_SetExcInfo(it->outer_type, it->outer_value,
                         it->outer_traceback);
        PyErr_Restore(it->type, it->value, it->traceback);
        return -1;
    }
    handled(it);
    return PyErr_Occurred() ? -1 : 0;
}

/* Also where an exception is on its way. */
static int close_result(PyObject *result)
{
    PyObject *method, *closed = NULL;
    handling error;

    if (PyList_CheckExact(result) || PyTuple_CheckExact(result))
        return PyErr_Occurred() ? -1 : 0;
    handle(&error);
    method = PyObject_GetAttr(result, names.close);
    if (method != NULL && method != Py_None)
        closed = PyObject_CallObject(method, NULL);
    else if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError))
        PyErr_Clear();
    Py_XDECREF(method);
    Py_XDECREF(closed);
    return go_on(&error);
}

/* A malformed body that the application has not heard of, or caught. */
static int check_input(const ExchangeObject *self)
{
    PyObject *failure;

    if (accel_http_input_has_no_file(self->input))
        return 0;
    failure = PyObject_GetAttr(self->input, names.input_failure);
    if (failure != NULL && failure != Py_None)
        PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
    Py_XDECREF(failure);
    return PyErr_Occurred() ? -1 : 0;
}

static int answer(ExchangeObject *self)
{
    PyObject *application, *begin, *result = NULL;
    int sent;

    if (prepare(self) < 0)
        return -1;
    application = find_application(self);
    begin = application ? PyObject_GetAttr((PyObject *)self,
                                           names.start_response)
                        : NULL;
    if (begin != NULL)
        result = PyObject_CallFunctionObjArgs(application, self->environ,
                                              begin, NULL);
    Py_XDECREF(begin);
    Py_XDECREF(application);
    if (result == NULL)
        return -1;
    sent = send_result(self, result);
    if (close_result(result) < 0)
        sent = -1;
    Py_DECREF(result);
    return sent < 0 ? -1 : check_input(self);
}

/* The current exception is the application's, or says that the client has
 * gone: a subclass deals with it. */
static int fail(ExchangeObject *self)
{
    PyObject *result;
    handling error;

    handle(&error);
    result = PyObject_CallMethodObjArgs((PyObject *)self, names.fail,
                                        error.value, NULL);
    handled(&error);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* Whether anybody wants to know about the exchange. */
static int is_logged(ExchangeObject *self)
{
    PyObject *log = PyObject_GetAttr(self->server, names.log);
    PyObject *quiet =
        log ? PyObject_GetAttr((PyObject *)self, names.quiet_log) : NULL;
    PyObject *metrics =
        quiet ? PyObject_GetAttr(self->server, names.metrics) : NULL;
    int result = metrics == NULL
                     ? -1
                     : metrics != Py_None || quiet != (PyObject *)Py_TYPE(log);

    Py_XDECREF(metrics);
    Py_XDECREF(quiet);
    Py_XDECREF(log);
    return result;
}

/* Also where an exception is on its way. */
static int end(ExchangeObject *self)
{
    PyObject *type, *value, *traceback;
    handling error;

    handle(&error);
    if (is_logged(self) > 0) {
        self->finished = now();
        Py_XDECREF(PyObject_CallMethodObjArgs((PyObject *)self, names.end,
                                              NULL));
    }
    go_on(&error);
    PyErr_Fetch(&type, &value, &traceback); /* out of destructors' way */
    Py_CLEAR(self->environ);
    Py_CLEAR(self->input);
    PyErr_Restore(type, value, traceback);
    return type ? -1 : 0;
}

/* Nobody has dealt with an error, of which a traceback may hold the request:
 * the client is not to wait for that. */
static void give_up(ExchangeObject *self)
{
    static const char headers[] =
        "Content-Type: text/plain\r\nConnection: close\r\n";
    static const char text[] = "Internal Server Error";
    gcore_http_request *request = accel_http_request(self->request);

    if (self->headers_sent)
        gcore_http_cut(request);
    else
        gcore_http_respond(request, 500, NULL, headers, sizeof headers - 1,
                           text, sizeof text - 1);
}

int accel_http_exchange_run(PyObject *object)
{
    ExchangeObject *self = (ExchangeObject *)object;
    int result = 0;

    self->started = now();
    if (answer(self) < 0)
        result = fail(self);
    if (end(self) < 0)
        result = -1;
    if (result < 0)
        give_up(self);
    return result;
}

PyObject *accel_http_exchange_new(PyTypeObject *type, PyObject *server,
                                  PyObject *request, bool plain)
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    ExchangeObject *self = (ExchangeObject *)allocate(type, 0);

    if (self == NULL)
        return NULL;
    Py_INCREF(server);
    self->server = server;
    Py_INCREF(request);
    self->request = request;
    self->plain = plain;
    self->length = NOT_ANNOUNCED;
    self->left = -1;
    return (PyObject *)self;
}

/* ---- for subclasses ------------------------------------------------------- */

static PyObject *exchange_answer_whole(PyObject *object, PyObject *data)
{
    if (send_only((ExchangeObject *)object, data) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *exchange_announce(PyObject *object, PyObject *number)
{
    long long length = PyLong_AsLongLong(number);

    if ((length == -1 && PyErr_Occurred()) ||
        announce((ExchangeObject *)object, length) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int hint(ExchangeObject *self, PyObject *headers)
{
    PyObject *list = PySequence_List(headers), *block = NULL;
    accel_http_said said = {0};
    int result = -1;

    if (list != NULL)
        block = accel_http_lines(list, &said);
    if (block != NULL)
        result = failed(gcore_http_start(
            accel_http_request(self->request), 103, "Early Hints",
            PyBytes_AsString(block), (size_t)PyBytes_Size(block)));
    Py_XDECREF(said.length);
    Py_XDECREF(block);
    Py_XDECREF(list);
    return result;
}

static PyObject *exchange_hint(PyObject *object, PyObject *headers)
{
    ExchangeObject *self = (ExchangeObject *)object;

    if (accel_http_is_elsewhere(self->request))
        return PyObject_CallMethodObjArgs(object, names.in_hub, names.hint,
                                          headers, NULL);
    if (!self->headers_sent && head_of(self)->minor > 0 &&
        hint(self, headers) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *exchange_start(PyObject *object, PyObject *Py_UNUSED(none))
{
    if (start((ExchangeObject *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *exchange_count(PyObject *object, PyObject *number)
{
    Py_ssize_t size = PyLong_AsSsize_t(number);

    if (size == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromSsize_t(count_piece((ExchangeObject *)object, size));
}

static PyObject *exchange_finish(PyObject *object, PyObject *Py_UNUSED(none))
{
    if (finish((ExchangeObject *)object) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- types ---------------------------------------------------------------- */

static PyObject *exchange_new(PyTypeObject *type, PyObject *args,
                              PyObject *Py_UNUSED(keywords))
{
    PyObject *server, *request;

    if (!PyArg_ParseTuple(args, "OO", &server, &request) ||
        accel_http_request(request) == NULL)
        return NULL;
    return accel_http_exchange_new(type, server, request, false);
}

static int exchange_clear(PyObject *object)
{
    ExchangeObject *self = (ExchangeObject *)object;

    Py_CLEAR(self->server);
    Py_CLEAR(self->environ);
    Py_CLEAR(self->input);
    Py_CLEAR(self->status);
    return 0;
}

static int exchange_traverse(PyObject *object, visitproc visit, void *arg)
{
    ExchangeObject *self = (ExchangeObject *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->server);
    Py_VISIT(self->environ);
    Py_VISIT(self->input);
    Py_VISIT(self->status);
    return 0;
}

static void exchange_dealloc(PyObject *object)
{
    ExchangeObject *self = (ExchangeObject *)object;
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    exchange_clear(object);
    Py_XDECREF(self->request);
    Py_XDECREF(self->line);
    Py_XDECREF(self->block);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

static PyMemberDef exchange_members[] = {
    {"server", T_OBJECT, offsetof(ExchangeObject, server), READONLY,
     "The WSGIServer."},
    {"request", T_OBJECT, offsetof(ExchangeObject, request), READONLY,
     "The HttpRequest."},
    {"environ", T_OBJECT, offsetof(ExchangeObject, environ), 0,
     "None before and after."},
    {"status", T_OBJECT, offsetof(ExchangeObject, status), 0,
     "As the application gave it, or None."},
    {"_orig_status", T_OBJECT, offsetof(ExchangeObject, status), 0, NULL},
    {"block", T_OBJECT, offsetof(ExchangeObject, block), READONLY,
     "The headers of the application as they are sent, or None."},
    {"code", T_INT, offsetof(ExchangeObject, code), 0,
     "The number of the status, or 0."},
    {"headers_sent", T_BOOL, offsetof(ExchangeObject, headers_sent), READONLY,
     "Whether the answer has begun."},
    {"response_length", T_LONGLONG, offsetof(ExchangeObject, sent), READONLY,
     "Bytes of the answer."},
    {"length", T_LONGLONG, offsetof(ExchangeObject, length), READONLY,
     "Of the body as announced, in bytes; negative: not announced."},
    {"body_length", T_LONGLONG, offsetof(ExchangeObject, body), READONLY,
     "Bytes of its body, without chunks' frames."},
    {"time_start", T_DOUBLE, offsetof(ExchangeObject, started), 0,
     "Seconds since the epoch."},
    {"time_finish", T_DOUBLE, offsetof(ExchangeObject, finished), 0,
     "Seconds since the epoch."},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef exchange_methods[] = {
    ACCEL_FAST("start_response", exchange_start_response,
               "start_response(status, headers, exc_info=None)\n--\n\n"
               "See WSGI; returns `write`."),
    {"write", exchange_write, METH_O,
     "write(data)\n--\n\n"
     "Send a piece of the body (bytes), and the head before the first."},
    {"answer_whole", exchange_answer_whole, METH_O,
     "answer_whole(body)\n--\n\nSend head and body (bytes)."},
    {"announce", exchange_announce, METH_O,
     "announce(length)\n--\n\n"
     "Say how long the body is, unless the application has."},
    {"hint", exchange_hint, METH_O,
     "hint(headers)\n--\n\n"
     "Send 103 Early Hints, unless the answer has begun, or to HTTP/1.0."},
    {"start", exchange_start, METH_NOARGS, "start()\n--\n\nBegin the answer."},
    {"count", exchange_count, METH_O,
     "count(size)\n--\n\n"
     "How much of a piece is to be sent, which is taken as sent."},
    {"finish", exchange_finish, METH_NOARGS, "finish()\n--\n\nEnd the answer."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot exchange_slots[] = {
    {Py_tp_doc, "HttpExchange(server, request)\n--\n\n"
                "An application's answer to a request."},
    {Py_tp_new, exchange_new},
    {Py_tp_traverse, exchange_traverse},
    {Py_tp_clear, exchange_clear},
    {Py_tp_dealloc, exchange_dealloc},
    {Py_tp_members, exchange_members},
    {Py_tp_methods, exchange_methods},
    {0, NULL},
};

static PyType_Spec exchange_spec = {
    .name = "libgcore._accel.HttpExchange",
    .basicsize = sizeof(ExchangeObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = exchange_slots,
};

static int make_names(void)
{
    static const struct {
        PyObject **place;
        const char *text;
    } all[] = {
        {&names.application, "application"},
        {&names.body_timeout, "body_timeout"},
        {&names.close, "close"},
        {&names.end, "end"},
        {&names.environ, "environ"},
        {&names.environ_class, "environ_class"},
        {&names.fail, "fail"},
        {&names.file_class, "file_class"},
        {&names.find_application, "find_application"},
        {&names.get_environ, "get_environ"},
        {&names.hint, "hint"},
        {&names.in_hub, "in_hub"},
        {&names.input, "wsgi.input"},
        {&names.input_class, "input_class"},
        {&names.input_failure, "failure"},
        {&names.join, "join"},
        {&names.log, "log"},
        {&names.metrics, "metrics"},
        {&names.quiet_log, "quiet_log"},
        {&names.refuse_body, "refuse_body"},
        {&names.send_file, "send_file"},
        {&names.start_response, "start_response"},
        {&names.terminated, "wsgi.input_terminated"},
        {&names.write, "write"},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].place = PyUnicode_InternFromString(all[i].text);
        if (*all[i].place == NULL)
            return -1;
    }
    return 0;
}

int accel_http_exchange_init(PyObject *module)
{
    exchange_type = accel_add_type(module, &exchange_spec, NULL);
    return exchange_type == NULL ? -1 : make_names();
}
