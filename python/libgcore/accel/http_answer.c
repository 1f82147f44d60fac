/*
 * Headers of answers: what applications give as pairs of text becomes the
 * lines that are sent.
 */
#include "http.h"

#include <string.h>

enum { SMALL = 1024 };

/* Lines being made: in `small` as long as they fit. */
typedef struct {
    char *bytes;
    size_t size, room;
    char small[SMALL];
} lines;

static void lines_begin(lines *it)
{
    it->bytes = it->small;
    it->size = 0;
    it->room = SMALL;
}

static void lines_end(lines *it)
{
    if (it->bytes != it->small)
        PyMem_Free(it->bytes);
}

static int make_room(lines *it, size_t size)
{
    size_t room = 2 * (it->size + size);
    char *bytes;

    if (it->room - it->size >= size)
        return 0;
    bytes = PyMem_Malloc(room);
    if (bytes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(bytes, it->bytes, it->size);
    lines_end(it);
    it->bytes = bytes;
    it->room = room;
    return 0;
}

static int add(lines *it, const char *bytes, size_t size)
{
    if (make_room(it, size) != 0)
        return -1;
    memcpy(it->bytes + it->size, bytes, size);
    it->size += size;
    return 0;
}

/* The bytes of text in Latin-1; `*owner` is to be released afterwards. ASCII,
 * the usual case, is not copied. */
static const char *latin1_of(PyObject *text, size_t *size, PyObject **owner)
{
    Py_ssize_t count;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &count);

    *owner = NULL;
    if (bytes == NULL)
        PyErr_Clear();
    if (bytes == NULL || count != PyUnicode_GetLength(text)) {
        *owner = PyUnicode_AsLatin1String(text);
        if (*owner == NULL)
            return NULL;
        bytes = PyBytes_AsString(*owner);
        count = PyBytes_Size(*owner);
    }
    *size = (size_t)count;
    return bytes;
}

static bool in_line(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Adds text that is a part of a line. */
static int add_text(lines *it, PyObject *text, const char *what)
{
    PyObject *owner;
    const char *bytes;
    size_t size;
    int result = -1;

    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_UnicodeError,
                     "A status, names and values of headers must be text; "
                     "the %s is %R",
                     what, text);
        return -1;
    }
    bytes = latin1_of(text, &size, &owner);
    if (bytes == NULL)
        return -1;
    if (in_line(bytes, size))
        result = add(it, bytes, size);
    else
        PyErr_Format(PyExc_ValueError,
                     "carriage return or newline in header %s: %R", what,
                     text);
    Py_XDECREF(owner);
    return result;
}

PyObject *accel_http_line(PyObject *text, const char *what)
{
    PyObject *result = NULL;
    lines it;

    lines_begin(&it);
    if (add_text(&it, text, what) == 0)
        result = PyBytes_FromStringAndSize(it.bytes, (Py_ssize_t)it.size);
    lines_end(&it);
    return result;
}

static bool same(const char *name, size_t size, const char *other)
{
    if (size != strlen(other))
        return false;
    for (size_t i = 0; i < size; i++)
        if ((name[i] | 0x20) != other[i])
            return false;
    return true;
}

static void note(accel_http_said *said, const char *name, size_t size,
                 PyObject *value)
{
    if (same(name, size, "content-length")) {
        Py_INCREF(value);
        accel_replace(&said->length, value);
    } else if (same(name, size, "connection")) {
        said->connection = true;
    } else if (same(name, size, "date")) {
        said->date = true;
    }
}

static int add_pair(lines *it, PyObject *header, accel_http_said *said)
{
    size_t start = it->size, name_size;
    PyObject *value;

    if (PyTuple_Size(header) != 2) {
        PyErr_Format(PyExc_TypeError,
                     "A header must be a tuple of name and value, not %R",
                     header);
        return -1;
    }
    value = PyTuple_GetItem(header, 1);
    if (add_text(it, PyTuple_GetItem(header, 0), "name") != 0)
        return -1;
    name_size = it->size - start;
    if (add(it, ": ", 2) != 0 || add_text(it, value, "value") != 0 ||
        add(it, "\r\n", 2) != 0)
        return -1;
    note(said, it->bytes + start, name_size, value);
    if (same(it->bytes + start, name_size, "transfer-encoding"))
        it->size = start; /* framing is the server's */
    return 0;
}

/* A header is a tuple, or a list, of name and value. */
static int add_header(lines *it, PyObject *header, accel_http_said *said)
{
    PyObject *pair = NULL;
    int result;

    if (PyTuple_Check(header))
        Py_INCREF(pair = header);
    else if (PyList_Check(header))
        pair = PyList_AsTuple(header);
    else
        PyErr_Format(PyExc_TypeError,
                     "A header must be a tuple of name and value, not %R",
                     header);
    result = pair ? add_pair(it, pair, said) : -1;
    Py_XDECREF(pair);
    return result;
}

/* What is told of a bad header may run Python code, which may change the
 * list. */
static int add_item(lines *it, PyObject *headers, Py_ssize_t i,
                    accel_http_said *said)
{
    PyObject *header = PySequence_GetItem(headers, i);
    int result = header ? add_header(it, header, said) : -1;

    Py_XDECREF(header);
    return result;
}

PyObject *accel_http_lines(PyObject *headers, accel_http_said *said)
{
    PyObject *result = NULL;
    Py_ssize_t i = 0;
    lines it;

    *said = (accel_http_said){0};
    lines_begin(&it);
    while (i < PyList_Size(headers) &&
           add_item(&it, headers, i, said) == 0)
        i++;
    if (!PyErr_Occurred())
        result = PyBytes_FromStringAndSize(it.bytes, (Py_ssize_t)it.size);
    lines_end(&it);
    return result;
}
