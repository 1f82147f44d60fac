/* Buffers of other objects. */
#ifndef GCORE_ACCEL_BUFFER_H
#define GCORE_ACCEL_BUFFER_H

#include "accel.h"

#if defined(Py_LIMITED_API) && Py_LIMITED_API + 0 < 0x030b0000
/* The buffer protocol entered the limited API in 3.11, with the layout and
   the functions that every earlier 3.x already had. */
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;
#define PyBUF_SIMPLE 0
#define PyBUF_WRITABLE 1
PyAPI_FUNC(int) PyObject_GetBuffer(PyObject *, Py_buffer *, int);
PyAPI_FUNC(void) PyBuffer_Release(Py_buffer *);
#endif

#endif
