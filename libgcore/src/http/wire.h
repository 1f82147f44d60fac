/*
 * How a connection's bytes go in and out: by its descriptor, or by its stream
 * (TLS). Results are byte counts or negative errors; -EAGAIN: not now.
 */
#ifndef GCORE__HTTP_WIRE_H
#define GCORE__HTTP_WIRE_H

#include "http/engine.h"

/* 0: the peer sends no more. Sets conn->more and conn->crossed. */
int64_t gcore__wire_receive(gcore__http_conn *conn, void *buffer,
                            size_t size);
/* `more`: something follows at once, that may share a packet. */
int64_t gcore__wire_send(gcore__http_conn *conn, struct iovec *pieces,
                         int count, bool more);
/* 0: the file has no more. */
int64_t gcore__wire_send_file(gcore__http_conn *conn, int file,
                              int64_t offset, size_t most);

/* Tells the peer that no more will come. */
int gcore__wire_shut(gcore__http_conn *conn);

/* Closes it; with a reset if asked. */
void gcore__wire_close(gcore__http_conn *conn, bool reset);

#endif
