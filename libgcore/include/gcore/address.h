/*
 * gcore/address.h: addresses of sockets, and their form as text:
 *
 *     127.0.0.1:8000   [::1]:8000   [fe80::1%eth0]:8000   :8000
 *     unix:/run/app.sock   unix:@name (Linux's abstract names)
 *
 * ":8000" is that port on every address of the host, IPv4 and IPv6. Names of
 * hosts are not addresses: see gcore/dns.h.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_ADDRESS_H
#define GCORE_ADDRESS_H

#include <gcore/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sockaddr;

/* Room for any address as text, the ending zero included. */
#define GCORE_ADDRESS_TEXT 128

/*
 * A socket address. Part of arrays and other structures, so it has no size
 * member and never grows. Since 0.1.
 *   length  bytes used; 0: no address
 *   bytes   a struct sockaddr of any family
 */
typedef struct gcore_address {
    uint64_t length;
    uint64_t bytes[16];
} gcore_address;

/*
 * Reads an address.
 *   text  as above
 *   out   set to it; untouched on error
 * Returns 0; -EINVAL when the text is no address; -ENAMETOOLONG for a long
 * path. Any thread. Since 0.1.
 */
GCORE_API int gcore_address_parse(const char *text, gcore_address *out);

/*
 * Writes an address as text that gcore_address_parse reads.
 *   room  bytes at `text`; GCORE_ADDRESS_TEXT is always enough
 * Returns the text's length; -EINVAL for an unknown family; -ENOSPC. A
 * socket without a name is "unix:". Any thread. Since 0.1.
 */
GCORE_API int gcore_address_format(const gcore_address *address, char *text,
                                   size_t room);

/*
 * The port, or -EINVAL for an address that has none. Any thread. Since 0.1.
 */
GCORE_API int gcore_address_port(const gcore_address *address);

#ifdef __cplusplus
}
#endif

#endif
