/* Sockets that listen or are bound, for listeners and UDP. */
#ifndef GCORE__SOCKET_H
#define GCORE__SOCKET_H

#include <gcore/address.h>

/* AF_INET and so on; -EINVAL for no address. */
int gcore__address_family(const gcore_address *address);

/* What else than the defaults: the flags of gcore_listener_options. */
typedef struct gcore__bind {
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    unsigned flags;
    unsigned mode; /* of a Unix socket's file; 0: as the umask says */
} gcore__bind;

/* A socket that does not block and is bound to `address`; or an error. */
int gcore__socket_bound(const gcore_address *address, const gcore__bind *how);

/* Checks that `fd` is of `type`, and makes it not block. 0 or an error. */
int gcore__socket_prepare(int fd, int type);

/* The same for a stream socket, which must be listening. */
int gcore__socket_prepare_listening(int fd);

/* Its own address. 0 or an error. */
int gcore__socket_name(int fd, gcore_address *out);

/* Which file a Unix socket is bound to, to be removed later. */
typedef struct gcore__socket_file {
    char path[112]; /* empty: none */
    uint64_t device;
    uint64_t inode;
    unsigned generation; /* of the process that made it */
} gcore__socket_file;

void gcore__socket_file_find(const gcore_address *address,
                             gcore__socket_file *out);

/* Unless it has become another one, or this is a child. */
void gcore__socket_file_remove(const gcore__socket_file *file);

#endif
