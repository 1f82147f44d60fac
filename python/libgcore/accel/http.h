/* HTTP servers, between http.c and loop.c. */
#ifndef GCORE_ACCEL_HTTP_H
#define GCORE_ACCEL_HTTP_H

#include "accel.h"

extern PyTypeObject *accel_http_server_type;

/* A poll said that requests wait (`result` above 0), or that the server has
 * closed: its last word, after which the engine's reference is dropped. */
void accel_http_told(PyObject *server, int64_t result);

/* In the hub: hand over what waits. */
void accel_http_run(PyObject *server);

#endif
