/*
 * Environments: what WSGI tells of a request.
 *
 * Filled in one go from the head's block. Headers are the same few in nearly
 * all requests, so the names of their variables are kept.
 */
#include "http.h"

#include <string.h>

enum { SHORT_NAME = 256, KEPT_NAME = 32, KEPT_NAMES = 128 };

static struct {
    PyObject *method, *path, *query, *protocol, *address, *port, *type, *length,
        *cookie, *raw_uri, *http_1_0, *http_1_1, *get, *root, *empty, *comma,
        *semicolon;
} names;

/* Variables by the header names that they came from, as those were spelt. */
static struct kept {
    PyObject *variable;
    unsigned char size;
    char name[KEPT_NAME];
} kept[KEPT_NAMES];

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

/* A number from 0 on. */
static PyObject *decimal(unsigned number)
{
    char digits[12];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    return latin1(digits + at, sizeof digits - at);
}

/* ---- variables ------------------------------------------------------------ */

static int put_target(PyObject *environ, const gcore_http_head *head)
{
    const char *target = head->block + head->target;
    const char *mark = memchr(target, '?', head->target_size);
    size_t path = mark ? (size_t)(mark - target) : head->target_size;

    int has_raw = PyDict_Contains(environ, names.raw_uri);

    if (has_raw < 0 || put(environ, names.path, unquoted(target, path)) != 0)
        return -1;
    if (has_raw && put(environ, names.raw_uri,
                       latin1(target, head->target_size)) != 0)
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
               decimal((unsigned)head->peer_port));
}

/* The name of a header's variable; NULL without an exception for one that an
 * underscore would make pass for another, and for what is not in HTTP_. */
static PyObject *make_variable(const char *name, size_t size)
{
    char shorter[SHORT_NAME + 5];
    char *text = size <= SHORT_NAME ? shorter : PyMem_Malloc(size + 5);
    PyObject *result = NULL;

    if (text == NULL)
        return PyErr_NoMemory();
    memcpy(text, "HTTP_", 5);
    if (memchr(name, '_', size) == NULL) {
        for (size_t i = 0; i < size; i++) {
            char c = name[i];

            if (c >= 'a' && c <= 'z')
                c = (char)(c - 'a' + 'A');
            text[5 + i] = c == '-' ? '_' : c;
        }
        result = latin1(text, size + 5);
    }
    if (text != shorter)
        PyMem_Free(text);
    return result;
}

static struct kept *place_of(const char *name, size_t size)
{
    unsigned hash = (unsigned)size;

    for (size_t i = 0; i < size; i++)
        hash = hash * 31 + (unsigned char)name[i];
    return &kept[hash % KEPT_NAMES];
}

/* As make_variable(). */
static PyObject *variable(const char *name, size_t size)
{
    struct kept *place;
    PyObject *made;

    if (size > KEPT_NAME)
        return make_variable(name, size);
    place = place_of(name, size);
    if (place->variable && place->size == size &&
        memcmp(place->name, name, size) == 0) {
        Py_INCREF(place->variable);
        return place->variable;
    }
    made = make_variable(name, size);
    if (made == NULL)
        return NULL;
    PyUnicode_InternInPlace(&made);
    Py_INCREF(made);
    accel_replace(&place->variable, made);
    place->size = (unsigned char)size;
    memcpy(place->name, name, size);
    return made;
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

int accel_http_fill(PyObject *environ, const gcore_http_head *head)
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

/* ---- the module ----------------------------------------------------------- */

int accel_http_environ_init(PyObject *module)
{
    static const struct {
        PyObject **place;
        const char *text;
    } all[] = {
        {&names.method, "REQUEST_METHOD"},   {&names.path, "PATH_INFO"},
        {&names.query, "QUERY_STRING"},
        {&names.protocol, "SERVER_PROTOCOL"},
        {&names.address, "REMOTE_ADDR"},     {&names.port, "REMOTE_PORT"},
        {&names.type, "CONTENT_TYPE"},       {&names.length, "CONTENT_LENGTH"},
        {&names.raw_uri, "RAW_URI"},
        {&names.cookie, "HTTP_COOKIE"},      {&names.http_1_0, "HTTP/1.0"},
        {&names.http_1_1, "HTTP/1.1"},       {&names.get, "GET"},
        {&names.root, "/"},                  {&names.empty, ""},
        {&names.comma, ","},                 {&names.semicolon, "; "},
    };

    (void)module;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        *all[i].place = PyUnicode_InternFromString(all[i].text);
        if (*all[i].place == NULL)
            return -1;
    }
    return 0;
}
