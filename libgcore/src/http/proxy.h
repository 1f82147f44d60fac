/*
 * The PROXY protocol's header, versions 1 and 2: functions on bytes.
 */
#ifndef GCORE__HTTP_PROXY_H
#define GCORE__HTTP_PROXY_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the header that a connection begins with.
 *   peer  room for INET6_ADDRSTRLEN bytes; set, with `port`, to the client's
 *         address where the header tells it, else left
 * Returns the header's size; 0 if more is needed; -1 if it is none.
 */
int gcore__http_proxy_read(const char *bytes, size_t size, char *peer,
                           int32_t *port);

#endif
