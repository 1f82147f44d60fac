/*
 * The PROXY protocol's header, versions 1 and 2: functions on bytes.
 */
#ifndef GCORE__HTTP_PROXY_H
#define GCORE__HTTP_PROXY_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* What it says: the addresses as text, empty where it names none. */
typedef struct gcore__http_proxy_header {
    int32_t version;
    int32_t client_port;
    int32_t target_port;
    char client[INET6_ADDRSTRLEN];
    char target[INET6_ADDRSTRLEN];
} gcore__http_proxy_header;

/* Not the beginning of a header. */
#define GCORE__HTTP_PROXY_NONE (-1)
#define GCORE__HTTP_PROXY_MALFORMED (-2)

/*
 * Reads the header that a connection begins with.
 *   out  set when the header is complete
 * Returns the header's size; 0 if more is needed; or one of these.
 */
int gcore__http_proxy_read(const char *bytes, size_t size,
                           gcore__http_proxy_header *out);

#endif
