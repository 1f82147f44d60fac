/* HTTP servers: http.c and its parts, and what loop.c knows of them. */
#ifndef GCORE_ACCEL_HTTP_H
#define GCORE_ACCEL_HTTP_H

#include "accel.h"

/* ---- servers: http.c ------------------------------------------------------ */

extern PyTypeObject *accel_http_server_type;

/* A poll said that requests wait (`result` above 0), or that the server has
 * closed: its last word, after which the engine's reference is dropped. */
void accel_http_told(PyObject *server, int64_t result);

/* In the hub: hand over what waits. */
void accel_http_run(PyObject *server);

/* After a poll: let go of the requests that other threads have dropped
 * meanwhile, loop->dropped. */
void accel_http_drop(LoopObject *loop);

/* ---- requests: http.c ----------------------------------------------------- */

/* The engine's request of an HttpRequest. */
gcore_http_request *accel_http_request(PyObject *request);

/* Whether the calling thread must not use it, but have its hub do so. */
bool accel_http_is_elsewhere(PyObject *request);

/* Whether the calling thread is its hub's. */
bool accel_http_is_ours(PyObject *request);

/* The whole body, whose length is known and of which nothing has been read;
 * waits for it at most `timeout` seconds a piece (None: for ever). */
PyObject *accel_http_read_whole(PyObject *request, PyObject *timeout);

/* Send a piece of the body, and wait for room; -1 with an exception. */
int accel_http_send(PyObject *request, const char *bytes, Py_ssize_t size);

/* The same for a large piece, which is not copied; it is not to change. */
int accel_http_send_large(PyObject *request, const char *bytes,
                          Py_ssize_t size);

/* ---- connections under TLS: http_tls.c ------------------------------------ */

/* A stream by the objects of a TLS connection whose handshake is over: what
 * stands for it elsewhere, its socket of _socket and its object of _ssl.  It
 * has the descriptor from then on.  The hub calls `gone`, unless NULL, when
 * the stream is no more.  NULL with an exception. */
gcore_stream *accel_http_tls_stream(LoopObject *loop, PyObject *whole,
                                    PyObject *socket, PyObject *object,
                                    PyObject *gone);

/* What stands for such a stream, a new reference. */
PyObject *accel_http_tls_whole(gcore_stream *stream);

/* Ends such a stream, whose reference is taken over, but not the connection:
 * `whole`, a new reference.  What had been put back into it in `bytes`. */
PyObject *accel_http_tls_leave(gcore_stream *stream, PyObject **bytes);

int accel_http_tls_init(void);

/* ---- environments: http_environ.c ----------------------------------------- */

/* Add what WSGI tells of a request to a dict; -1 with an exception. */
int accel_http_fill(PyObject *environ, const gcore_http_head *head);

int accel_http_environ_init(PyObject *module);

/* ---- headers of answers: http_answer.c ------------------------------------ */

/* What they say. */
typedef struct {
    PyObject *length; /* the Content-Length as given, a reference, or NULL */
    bool connection;
    bool date;
} accel_http_said;

/* Text without control characters in Latin-1, bytes; `what` is for messages. */
PyObject *accel_http_line(PyObject *text, const char *what);

/* A list of pairs as the lines that are sent, bytes. */
PyObject *accel_http_lines(PyObject *headers, accel_http_said *said);

/* ---- bodies of requests: http_input.c ------------------------------------- */

/* Whether it is an HttpInput of which nothing needed the file. */
bool accel_http_input_has_no_file(PyObject *input);

int accel_http_input_init(PyObject *module);

/* ---- exchanges: http_exchange.c ------------------------------------------- */

/* An exchange for a request, of a subtype of HttpExchange.  `plain`: the
 * environment is a copy of the server's `environ`, and the application its
 * `application`; else both are asked for. */
PyObject *accel_http_exchange_new(PyTypeObject *type, PyObject *server,
                                  PyObject *request, bool plain);

/* Run the application and answer; -1 with an exception that was not the
 * application's. */
int accel_http_exchange_run(PyObject *exchange);

int accel_http_exchange_init(PyObject *module);

#endif
