/* Reading the arguments of functions: see arguments.h. */
#include "arguments.h"

int64_t accel_optional_deadline(PyObject *seconds)
{
    return seconds == Py_None ? GCORE_FOREVER : accel_deadline(seconds);
}

int accel_parse(const char *function, const char *const *names,
                PyObject **values, PyObject *const *args, Py_ssize_t nargs,
                PyObject *keywords)
{
    Py_ssize_t count = 0;
    while (names[count])
        count++;
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %zd arguments (%zd given)", function,
                     count, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++)
        values[i] = args[i];
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t k = 0; k < named; k++) {
        PyObject *name = PyTuple_GetItem(keywords, k);
        Py_ssize_t i = 0;
        while (i < count
               && PyUnicode_CompareWithASCIIString(name, names[i]) != 0)
            i++;
        if (i == count || i < nargs) {
            PyErr_Format(PyExc_TypeError,
                         i == count ? "%s() got an unexpected keyword "
                                      "argument '%U'"
                                    : "%s() got multiple values for "
                                      "argument '%U'",
                         function, name);
            return -1;
        }
        values[i] = args[nargs + k];
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!values[i]) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument '%s'", function,
                         names[i]);
            return -1;
        }
    }
    return 0;
}

PyObject *accel_parse_one(const char *function, const char *name,
                          PyObject *const *args, Py_ssize_t nargs,
                          PyObject *keywords)
{
    if (nargs == 1 && !keywords)
        return args[0];
    const char *names[] = {name, NULL};
    PyObject *value = NULL;
    int failed = accel_parse(function, names, &value, args, nargs, keywords);
    return failed ? NULL : value;
}
