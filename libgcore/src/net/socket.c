/*
 * Sockets that listen or are bound.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <gcore/server.h>

#include "hub/hub.h"

static const struct sockaddr *bytes_of(const gcore_address *address)
{
    return (const struct sockaddr *)(const void *)address->bytes;
}

static int set_on(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

static int set_options(int fd, int family, const gcore__bind *how)
{
    int error = 0;

    if (family == AF_UNIX)
        return 0;
    if (how->type == SOCK_STREAM)
        error = set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && how->flags & GCORE_LISTEN_REUSEPORT)
        error = set_on(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0 && family == AF_INET6)
        error = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                       (how->flags & GCORE_LISTEN_V6ONLY) != 0);
    return error;
}

/* Whether the path is a socket's that nobody listens on any more. */
static bool deserted(const gcore_address *address, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool refused;

    if (fd < 0)
        return false;
    refused = connect(fd, bytes_of(address), (socklen_t)address->length) < 0 &&
              errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int take_over(int fd, const gcore_address *address,
                     const gcore__bind *how)
{
    gcore__socket_file file;

    gcore__socket_file_find(address, &file);
    if (!file.path[0] || !deserted(address, how->type))
        return -EADDRINUSE;
    if (unlink(file.path) < 0 ||
        bind(fd, bytes_of(address), (socklen_t)address->length) < 0)
        return -errno;
    return 0;
}

static int bind_to(int fd, const gcore_address *address,
                   const gcore__bind *how)
{
    gcore__socket_file file;
    int error = 0;

    if (bind(fd, bytes_of(address), (socklen_t)address->length) < 0)
        error = -errno;
    if (error == -EADDRINUSE && how->flags & GCORE_LISTEN_REPLACE)
        error = take_over(fd, address, how);
    if (error < 0 || !how->mode)
        return error;
    /* Nobody can connect before it listens. */
    gcore__socket_file_find(address, &file);
    if (file.path[0] && chmod(file.path, how->mode) < 0) {
        error = -errno;
        unlink(file.path);
    }
    return error;
}

static int bound(const gcore_address *address, const gcore__bind *how)
{
    int family = gcore__address_family(address);
    int fd = socket(family, how->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    error = set_options(fd, family, how);
    if (error == 0)
        error = bind_to(fd, address, how);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* Every address of a host without IPv6. */
static bool every_v4(const gcore_address *address, gcore_address *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6;

    if (address->length < sizeof in6)
        return false;
    memcpy(&in6, address->bytes, sizeof in6);
    if (in6.sin6_family != AF_INET6 ||
        !IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr))
        return false;
    in.sin_port = in6.sin6_port;
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, &in, sizeof in);
    out->length = sizeof in;
    return true;
}

int gcore__socket_bound(const gcore_address *address, const gcore__bind *how)
{
    gcore_address v4;
    int fd;

    if (!address || gcore__address_family(address) < 0)
        return -EINVAL;
    fd = bound(address, how);
    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) &&
        !(how->flags & GCORE_LISTEN_V6ONLY) && every_v4(address, &v4))
        fd = bound(&v4, how);
    return fd;
}

int gcore__socket_prepare(int fd, int type)
{
    int found;
    int flags;
    socklen_t length = sizeof found;

    if (fd < 0)
        return -EINVAL;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &found, &length) < 0)
        return -errno;
    if (found != type)
        return -EINVAL;
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 ||
        (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return 0;
}

int gcore__socket_prepare_listening(int fd)
{
    int error = gcore__socket_prepare(fd, SOCK_STREAM);
    int listening = 0;
    socklen_t length = sizeof listening;

    if (error < 0)
        return error;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
        return -errno;
    return listening ? 0 : -EINVAL;
}

int gcore__socket_name(int fd, gcore_address *out)
{
    gcore_address address = {.length = 0};
    socklen_t length = sizeof address.bytes;

    if (getsockname(fd, (struct sockaddr *)(void *)address.bytes, &length) < 0)
        return -errno;
    address.length = length;
    *out = address;
    return 0;
}

void gcore__socket_file_find(const gcore_address *address,
                             gcore__socket_file *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNSPEC};
    struct stat about;

    memset(out, 0, sizeof *out);
    memcpy(&un, address->bytes,
           address->length < sizeof un ? address->length : sizeof un);
    if (un.sun_family != AF_UNIX)
        return;
    memcpy(out->path, un.sun_path, sizeof un.sun_path);
    if (stat(out->path, &about) < 0 || !S_ISSOCK(about.st_mode)) {
        out->path[0] = '\0';
        return;
    }
    out->device = about.st_dev;
    out->inode = about.st_ino;
    out->generation = gcore__fork_generation();
}

void gcore__socket_file_remove(const gcore__socket_file *file)
{
    struct stat about;

    if (file->path[0] && file->generation == gcore__fork_generation() &&
        stat(file->path, &about) == 0 && about.st_dev == file->device &&
        about.st_ino == file->inode)
        unlink(file->path);
}
