/*
 * What wsgi.input is made of.
 *
 * A body that is read whole, as most are, is received straight into the bytes
 * that read() returns.  For all other ways of reading there is a file, which
 * the subclass in gevent._pywsgi_engine makes when it is first asked for.
 */
#include "arguments.h"
#include "http.h"

#include <stddef.h>

/* Room made for a body that is only announced. */
enum { READ_AHEAD = 1 << 22 };

typedef struct {
    PyObject_HEAD
    PyObject *request;
    PyObject *timeout; /* seconds for the next piece, or None */
    PyObject *file;    /* that reads the body; NULL: not asked for yet */
    bool begun;        /* reading, without a file */
} InputObject;

static PyTypeObject *input_type;
static PyObject *name_failed;
static PyObject *name_read_file;

static PyObject *input_new(PyTypeObject *type, PyObject *args,
                           PyObject *Py_UNUSED(keywords))
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *request, *timeout;
    InputObject *self;

    if (!PyArg_ParseTuple(args, "OO", &request, &timeout))
        return NULL;
    self = (InputObject *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    Py_INCREF(request);
    self->request = request;
    Py_INCREF(timeout);
    self->timeout = timeout;
    return (PyObject *)self;
}

static void input_dealloc(PyObject *object)
{
    InputObject *self = (InputObject *)object;
    PyTypeObject *type = Py_TYPE(object);

    Py_XDECREF(self->request);
    Py_XDECREF(self->timeout);
    Py_XDECREF(self->file);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF(type);
}

/* Whether a read of so much is one of the whole body, which needs no file. */
static bool takes_whole(const InputObject *self, PyObject *length)
{
    int64_t whole = gcore_http_request_head(accel_http_request(self->request))
                        ->content_length;
    Py_ssize_t most = -1;

    if (self->file || self->begun || whole < 0 || whole > READ_AHEAD ||
        !accel_http_is_ours(self->request))
        return false;
    if (length != Py_None)
        most = PyLong_AsSsize_t(length);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return most < 0 || most >= whole;
}

/* The engine's error on its way becomes what the subclass makes of it. */
static void name_failure(PyObject *input)
{
    PyObject *type, *value, *traceback;

    if (!PyErr_ExceptionMatches(PyExc_OSError))
        return;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(PyObject_CallMethodObjArgs(input, name_failed, value, NULL));
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

static PyObject *input_read(PyObject *object, PyObject *const *args,
                            Py_ssize_t nargs, PyObject *keywords)
{
    static const char *const arguments[] = {"length", NULL};
    InputObject *self = (InputObject *)object;
    PyObject *length = Py_None, *data;

    if (accel_parse("read", arguments, &length, args, nargs, keywords) < 0)
        return NULL;
    if (!takes_whole(self, length))
        return PyObject_CallMethodObjArgs(object, name_read_file, length,
                                          NULL);
    self->begun = true;
    data = accel_http_read_whole(self->request, self->timeout);
    if (data == NULL)
        name_failure(object);
    return data;
}

static PyMethodDef input_methods[] = {
    ACCEL_FAST("read", input_read,
               "read(length=None)\n--\n\n"
               "Up to *length* bytes (all without it); nothing at the end."),
    {NULL, NULL, 0, NULL},
};

static PyMemberDef input_members[] = {
    {"_request", T_OBJECT, offsetof(InputObject, request), READONLY, NULL},
    {"_timeout", T_OBJECT, offsetof(InputObject, timeout), READONLY, NULL},
    {"_file", T_OBJECT, offsetof(InputObject, file), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot input_slots[] = {
    {Py_tp_doc, "HttpInput(request, timeout)\n--\n\nWhat wsgi.input is made "
                "of."},
    {Py_tp_new, input_new},
    {Py_tp_dealloc, input_dealloc},
    {Py_tp_members, input_members},
    {Py_tp_methods, input_methods},
    {0, NULL},
};

static PyType_Spec input_spec = {
    .name = "libgcore._accel.HttpInput",
    .basicsize = sizeof(InputObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = input_slots,
};

bool accel_http_input_has_no_file(PyObject *input)
{
    return PyObject_TypeCheck(input, input_type) &&
           ((InputObject *)input)->file == NULL;
}

int accel_http_input_init(PyObject *module)
{
    name_failed = PyUnicode_InternFromString("_failed");
    name_read_file = PyUnicode_InternFromString("_read_file");
    if (name_failed == NULL || name_read_file == NULL)
        return -1;
    input_type = accel_add_type(module, &input_spec, NULL);
    return input_type == NULL ? -1 : 0;
}
