/*
 * Looking up the addresses of hosts, of which an answer that is known already
 * (an address, a name of the hosts file, a cached answer) takes no step that
 * lets go of the GIL: with a busy native thread in the process each of those
 * may cost a switch interval. Other lookups park the calling greenlet.
 *
 * Arguments are taken, and errors raised, as _socket does it.
 */
#include "accel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A resolver of the engine, and the greenlets' way to it. */
typedef struct {
    PyObject_HEAD
    gcore_resolver *resolver; /* NULL before _open() */
} NamesObject;

enum { LABEL_SIZE = 63 };

static PyTypeObject *names_type;
static PyObject *gaierror;
static PyObject *no_name; /* "" */

/* ---- errors -------------------------------------------------------------- */

static void raise_lookup_error(int error)
{
    int code = gcore_dns_eai(error);
    if (code == EAI_SYSTEM) {
        errno = error > -10000 ? -error : EIO;
        PyErr_SetFromErrno(PyExc_OSError);
        return;
    }
    PyObject *args = Py_BuildValue("(is)", code, gai_strerror(code));
    if (args)
        PyErr_SetObject(gaierror, args);
    Py_XDECREF(args);
}

/* ---- arguments ----------------------------------------------------------- */

/* Whether the codec "idna" would leave a name as it is. */
static bool is_plain(const char *name, Py_ssize_t size)
{
    Py_ssize_t start = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] >= 0x80)
            return false;
        if (name[i] != '.')
            continue;
        if (i == start || i - start > LABEL_SIZE)
            return false;
        start = i + 1;
    }
    return size - start <= LABEL_SIZE;
}

/* The bytes of a text to ask for; `owner` keeps them. */
static const char *encode_text(PyObject *host, Py_ssize_t *size,
                               PyObject **owner)
{
    const char *name = PyUnicode_AsUTF8AndSize(host, size);
    if (name && is_plain(name, *size)) {
        Py_INCREF(host);
        *owner = host;
        return name;
    }
    PyErr_Clear();
    *owner = PyUnicode_AsEncodedString(host, "idna", NULL);
    char *bytes;
    if (!*owner || PyBytes_AsStringAndSize(*owner, &bytes, size) < 0)
        return NULL;
    return bytes;
}

/* As above, also of a bytes object; NULL without an exception for others. */
static const char *encode_host(PyObject *host, Py_ssize_t *size,
                               PyObject **owner)
{
    char *bytes;
    if (PyUnicode_Check(host))
        return encode_text(host, size, owner);
    if (!PyBytes_Check(host))
        return NULL;
    if (PyBytes_AsStringAndSize(host, &bytes, size) < 0)
        return NULL;
    Py_INCREF(host);
    *owner = host;
    return bytes;
}

/* A service as text, in `number` where it is one. */
static const char *service_text(PyObject *port, char *number, size_t room)
{
    if (PyLong_Check(port)) {
        long value = PyLong_AsLong(port);
        if (value == -1 && PyErr_Occurred())
            return NULL;
        snprintf(number, room, "%ld", value);
        return number;
    }
    if (PyUnicode_Check(port))
        return PyUnicode_AsUTF8AndSize(port, NULL);
    if (PyBytes_Check(port))
        return PyBytes_AsString(port);
    PyErr_SetString(PyExc_OSError, "Int or String expected");
    return NULL;
}

static int as_int(PyObject *number, int32_t *out)
{
    long value = PyLong_AsLong(number);
    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < INT32_MIN || value > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        value < 0
                            ? "signed integer is less than minimum"
                            : "signed integer is greater than maximum");
        return -1;
    }
    *out = (int32_t)value;
    return 0;
}

/* ---- looking up ---------------------------------------------------------- */

/* Park until a lookup that goes on has ended; its result, or 1 with an
 * exception. */
static int64_t wait_for(WaitObject *wait, gcore_lookup *lookup,
                        PyObject *subject)
{
    Py_XINCREF(subject);
    accel_replace(&wait->subject, subject);
    if (accel_wait_park_until(wait, GCORE_FOREVER, 1, 0) >= 0)
        return wait->result;
    gcore_lookup_cancel(lookup);
    return 1;
}

static int check_hub(const NamesObject *names, const WaitObject *wait)
{
    if (!names->resolver) {
        PyErr_SetString(PyExc_ValueError, "the resolver is not open");
        return -1;
    }
    if (gcore_resolver_hub(names->resolver) == wait->loop->engine)
        return 0;
    PyErr_SetString(accel_error("InvalidThreadUseError"),
                    "a resolver serves the hub that it was made for");
    return -1;
}

/* A lookup that ended well; NULL with an exception. */
static gcore_lookup *look_up(NamesObject *names, PyObject *subject,
                             const char *node, const char *service,
                             const gcore_dns_hints *hints)
{
    gcore_lookup *lookup = NULL;
    WaitObject *wait = accel_wait_new();
    if (!wait)
        return NULL;
    if (check_hub(names, wait) < 0) {
        Py_DECREF((PyObject *)wait);
        return NULL;
    }
    int64_t result = gcore_dns_getaddrinfo(
        names->resolver, node, service, hints, GCORE_FOREVER, GCORE_COMPLETE,
        accel_wait_argument(wait), &lookup);
    if (result == 0)
        result = wait_for(wait, lookup, subject);
    else
        result = result > 0 ? 0 : result;
    Py_DECREF((PyObject *)wait);
    if (result == 0)
        return lookup;
    gcore_lookup_unref(lookup);
    if (result < 0)
        raise_lookup_error((int)result);
    return NULL;
}

/* ---- answers ------------------------------------------------------------- */

static PyObject *address_text(const gcore_dns_address *address)
{
    size_t length = strcspn(address->text, "%"); /* as _socket: no scope */
    return PyUnicode_DecodeASCII(address->text, (Py_ssize_t)length, NULL);
}

static PyObject *socket_address(const gcore_dns_address *address)
{
    PyObject *text = address_text(address);
    if (!text)
        return NULL;
    if (address->family == AF_INET)
        return Py_BuildValue("(NH)", text, address->port);
    return Py_BuildValue("(NHII)", text, address->port, address->flow,
                         address->scope);
}

static bool same_socket_address(const gcore_dns_address *one,
                                const gcore_dns_address *other)
{
    return one->family == other->family && one->port == other->port
           && one->scope == other->scope && one->flow == other->flow
           && memcmp(one->bytes, other->bytes, one->length) == 0;
}

/* One entry; `where` is its socket address, whose reference it takes. */
static PyObject *entry(const gcore_dns_address *address, PyObject *name,
                       PyObject *where)
{
    PyObject *tuple = where ? PyTuple_New(5) : NULL;
    PyObject *family = PyLong_FromLong(address->family);
    PyObject *socktype = PyLong_FromLong(address->socktype);
    PyObject *protocol = PyLong_FromLong(address->protocol);
    if (!tuple || !family || !socktype || !protocol) {
        Py_XDECREF(tuple);
        Py_XDECREF(family);
        Py_XDECREF(socktype);
        Py_XDECREF(protocol);
        Py_XDECREF(where);
        return NULL;
    }
    Py_INCREF(name);
    PyTuple_SetItem(tuple, 0, family);
    PyTuple_SetItem(tuple, 1, socktype);
    PyTuple_SetItem(tuple, 2, protocol);
    PyTuple_SetItem(tuple, 3, name);
    PyTuple_SetItem(tuple, 4, where);
    return tuple;
}

static PyObject *entries(const gcore_dns_result *result, PyObject *canonical)
{
    const gcore_dns_address *address = result->addresses;
    PyObject *list = PyList_New((Py_ssize_t)result->address_count);
    PyObject *where = NULL; /* kept for the next entry: mostly the same */
    if (!list)
        return NULL;
    for (size_t i = 0; i < result->address_count; i++, address++) {
        if (i == 0 || !same_socket_address(address, address - 1))
            accel_replace(&where, socket_address(address));
        Py_XINCREF(where);
        PyObject *item = entry(address, i ? no_name : canonical, where);
        if (!item) {
            Py_CLEAR(list);
            break;
        }
        PyList_SetItem(list, (Py_ssize_t)i, item);
    }
    Py_XDECREF(where);
    return list;
}

static PyObject *answer_entries(gcore_lookup *lookup, int32_t flags)
{
    const gcore_dns_result *result = gcore_lookup_result(lookup);
    PyObject *canonical = NULL;
    if (flags & AI_CANONNAME && result->name) {
        canonical = PyUnicode_FromString(result->name);
        if (!canonical)
            return NULL;
    }
    PyObject *list = entries(result, canonical ? canonical : no_name);
    Py_XDECREF(canonical);
    return list;
}

/* ---- the Python type ----------------------------------------------------- */

static PyObject *names_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                           PyObject *Py_UNUSED(kwargs))
{
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    return allocate(type, 0);
}

static void unref_there(void *resolver, int64_t Py_UNUSED(result))
{
    gcore_resolver_unref(resolver);
}

/* A resolver is its hub's thread's, the object's end that of any thread. */
static void release_resolver(gcore_resolver *resolver)
{
    gcore_hub *engine = gcore_resolver_hub(resolver);
    LoopObject *loop = accel_current_loop(0);
    if ((loop && loop->engine == engine)
        || gcore_hub_post(engine, unref_there, resolver) < 0)
        gcore_resolver_unref(resolver);
}

static void names_dealloc(PyObject *self)
{
    NamesObject *names = (NamesObject *)self;
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (names->resolver)
        release_resolver(names->resolver);
    release(self);
    Py_DECREF(type);
}

static PyObject *names_open(PyObject *self, PyObject *args)
{
    NamesObject *names = (NamesObject *)self;
    PyObject *address, *loop;
    if (!PyArg_ParseTuple(args, "OO", &address, &loop))
        return NULL;
    gcore_resolver *resolver = PyLong_AsVoidPtr(address);
    if (!resolver) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "a resolver has an address");
        return NULL;
    }
    if (names->resolver) {
        PyErr_SetString(PyExc_ValueError, "the resolver is open");
        return NULL;
    }
    names->resolver = resolver;
    Py_RETURN_NONE;
}

static PyObject *names_getaddrinfo(PyObject *self, PyObject *const *args,
                                   Py_ssize_t count)
{
    gcore_dns_hints hints = {.size = sizeof hints};
    const char *node = NULL, *service = NULL;
    PyObject *owner = NULL, *list = NULL;
    Py_ssize_t size;
    char number[32];
    if (count != 6) {
        PyErr_SetString(PyExc_TypeError, "_getaddrinfo() takes 6 arguments");
        return NULL;
    }
    if (as_int(args[2], &hints.family) < 0
        || as_int(args[3], &hints.socktype) < 0
        || as_int(args[4], &hints.protocol) < 0
        || as_int(args[5], &hints.flags) < 0)
        return NULL;
    if (args[0] != Py_None) {
        node = encode_host(args[0], &size, &owner);
        if (!node) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "getaddrinfo() argument 1 "
                                                 "must be string or None");
            goto done;
        }
    }
    if (args[1] != Py_None) {
        service = service_text(args[1], number, sizeof number);
        if (!service)
            goto done;
    }
    gcore_lookup *lookup = look_up((NamesObject *)self, args[0], node,
                                   service, &hints);
    if (lookup)
        list = answer_entries(lookup, hints.flags);
    gcore_lookup_unref(lookup);
done:
    Py_XDECREF(owner);
    return list;
}

/* What is not for a name server, or no name at all: _socket's. */
static bool is_special(const char *name, Py_ssize_t size)
{
    return !size || *name == '<' || memchr(name, 0, (size_t)size) != NULL;
}

static PyObject *names_first_address(PyObject *self, PyObject *const *args,
                                     Py_ssize_t count)
{
    gcore_dns_hints hints = {.size = sizeof hints};
    PyObject *owner = NULL, *text = NULL;
    Py_ssize_t size;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError,
                        "_first_address() takes 2 arguments");
        return NULL;
    }
    if (as_int(args[1], &hints.family) < 0)
        return NULL;
    const char *node = encode_host(args[0], &size, &owner);
    if (!node && PyErr_Occurred())
        return NULL;
    if (!node || is_special(node, size)) {
        Py_XDECREF(owner);
        Py_RETURN_NONE;
    }
    gcore_lookup *lookup = look_up((NamesObject *)self, args[0], node, NULL,
                                   &hints);
    if (lookup)
        text = address_text(gcore_lookup_result(lookup)->addresses);
    gcore_lookup_unref(lookup);
    Py_DECREF(owner);
    return text;
}

static PyMethodDef names_methods[] = {
    {"_open", names_open, METH_VARARGS,
     "_open($self, address, loop, /)\n--\n\nTake over the gcore_resolver "
     "there, which serves that loop."},
    {"_getaddrinfo", (PyCFunction)(void (*)(void))names_getaddrinfo,
     METH_FASTCALL,
     "_getaddrinfo($self, host, port, family, type, proto, flags, /)\n--\n\n"
     "As _socket.getaddrinfo()."},
    {"_first_address", (PyCFunction)(void (*)(void))names_first_address,
     METH_FASTCALL,
     "_first_address($self, host, family, /)\n--\n\nAs "
     "_socket.gethostbyname(), of a family; None where that is to be asked:\n"
     "for special names and for what is no name."},
    {NULL, NULL, 0, NULL}};
static PyType_Slot names_slots[] = {
    {Py_tp_doc, "The lookups of a resolver that ought to be quick."},
    {Py_tp_new, names_new},
    {Py_tp_dealloc, names_dealloc},
    {Py_tp_methods, names_methods},
    {0, NULL}};
static PyType_Spec names_spec = {
    .name = "libgcore._accel.Names",
    .basicsize = sizeof(NamesObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = names_slots,
};

int accel_names_init(PyObject *module)
{
    no_name = PyUnicode_InternFromString("");
    gaierror = accel_import("_socket", "gaierror");
    if (!no_name || !gaierror)
        return -1;
    names_type = accel_add_type(module, &names_spec, NULL);
    return names_type ? 0 : -1;
}
