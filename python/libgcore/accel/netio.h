/* One transfer each, in which "would block" is the answer None. */
#ifndef GCORE_ACCEL_NETIO_H
#define GCORE_ACCEL_NETIO_H

#include "accel.h"

/* The integer 0; flags that are this object need not be converted. */
extern PyObject *accel_no_flags;

int accel_as_flags(PyObject *flags, int *out); /* -1 with an exception */

/* TypeError and -1 if `who` was not given `min` to `max` arguments. */
int accel_check_count(const char *who, Py_ssize_t nargs, Py_ssize_t min,
                      Py_ssize_t max);

/* Functions of the module, called with the arguments that their documentation
 * there names. */
PyObject *accel_sock_recv(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs);
PyObject *accel_sock_send(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs);
PyObject *accel_sock_sendto(PyObject *module, PyObject *const *args,
                            Py_ssize_t nargs);

#endif
