/*
 * The arguments of METH_FASTCALL functions, of which most are called without
 * names: to read them costs no tuple and no dictionary.
 */
#ifndef GCORE_ACCEL_ARGUMENTS_H
#define GCORE_ACCEL_ARGUMENTS_H

#include "accel.h"

/* Seconds or None as an engine deadline; -1 with an exception. */
int64_t accel_optional_deadline(PyObject *seconds);

/* A method after its arguments have been read. */
typedef PyObject *accel_method_fn(PyObject *self, PyObject **values);

/* timeout.c: call it.  Where the time limit, values[limit], is a Timeout
 * object, that one runs meanwhile and None is passed; when it expires,
 * `expired` is returned if not NULL. */
PyObject *accel_call_timed(accel_method_fn *method, PyObject *self,
                           PyObject **values, int limit, PyObject *expired);

/* Read the arguments of a METH_FASTCALL | METH_KEYWORDS function into
 * `values`, which hold the defaults; NULL means required. */
int accel_parse(const char *function, const char *const *names,
                PyObject **values, PyObject *const *args, Py_ssize_t nargs,
                PyObject *keywords);

/* The argument of a function that takes one, as above; borrowed, or NULL. */
PyObject *accel_parse_one(const char *function, const char *name,
                          PyObject *const *args, Py_ssize_t nargs,
                          PyObject *keywords);

/* The method entry of such a function. */
#define ACCEL_FAST(name, function, doc)                                     \
    {name, (PyCFunction)(void (*)(void))(function),                         \
     METH_FASTCALL | METH_KEYWORDS, doc}

#endif
