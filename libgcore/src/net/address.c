/*
 * Socket addresses and their form as text.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

_Static_assert(sizeof(struct sockaddr_storage) <=
                   sizeof((gcore_address *)0)->bytes,
               "gcore_address holds any socket address");

static const char unix_prefix[] = "unix:";

static void set(gcore_address *out, const void *bytes, size_t length)
{
    memset(out, 0, sizeof *out);
    memcpy(out->bytes, bytes, length);
    out->length = length;
}

static int parse_unix(const char *path, gcore_address *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    size_t head = offsetof(struct sockaddr_un, sun_path);
    bool named = path[0] == '@';

    if (length == 0 || memchr(path, '\0', length))
        return -EINVAL;
    if (length >= sizeof un.sun_path)
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, length);
    if (named)
        un.sun_path[0] = '\0';
    /* A path ends with a zero, an abstract name with its length. */
    set(out, &un, head + length + !named);
    return 0;
}

static int parse_port(const char *text)
{
    char *end;
    long port;

    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    port = strtol(text, &end, 10);
    return *end == '\0' && port <= 65535 ? (int)port : -EINVAL;
}

static int parse_v4(const char *host, int port, gcore_address *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    in.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return -EINVAL;
    set(out, &in, sizeof in);
    return 0;
}

/* "%eth0" or "%2" at the end of a link-local address. */
static int parse_scope(const char *scope, uint32_t *out)
{
    char *end;

    *out = if_nametoindex(scope);
    if (*out)
        return 0;
    *out = (uint32_t)strtoul(scope, &end, 10);
    return scope[0] >= '0' && scope[0] <= '9' && *end == '\0' ? 0 : -EINVAL;
}

static int parse_v6(char *host, int port, gcore_address *out)
{
    struct sockaddr_in6 in = {.sin6_family = AF_INET6};
    char *scope = strchr(host, '%');

    in.sin6_port = htons((uint16_t)port);
    if (scope) {
        *scope++ = '\0';
        if (parse_scope(scope, &in.sin6_scope_id) < 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, host, &in.sin6_addr) != 1)
        return -EINVAL;
    set(out, &in, sizeof in);
    return 0;
}

int gcore_address_parse(const char *text, gcore_address *out)
{
    char host[GCORE_ADDRESS_TEXT];
    const char *colon;
    size_t length;
    int port;

    if (!text || !out)
        return -EINVAL;
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        return parse_unix(text + sizeof unix_prefix - 1, out);
    colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return -EINVAL;
    port = parse_port(colon + 1);
    if (port < 0)
        return port;
    length = (size_t)(colon - text);
    memcpy(host, text, length);
    host[length] = '\0';
    if (length == 0)
        return parse_v6(strcpy(host, "::"), port, out);
    if (host[0] != '[')
        return parse_v4(host, port, out);
    if (length < 2 || host[length - 1] != ']')
        return -EINVAL;
    host[length - 1] = '\0';
    return parse_v6(host + 1, port, out);
}

/* Copies out of `address`, whose bytes need not be aligned for the type. */
#define READ_AS(type, name, address)                                          \
    struct type name;                                                         \
    memset(&name, 0, sizeof name);                                            \
    memcpy(&name, (address)->bytes,                                           \
           (address)->length < sizeof name ? (size_t)(address)->length        \
                                           : sizeof name)

static int format_unix(const gcore_address *address, char *text, size_t room)
{
    READ_AS(sockaddr_un, un, address);
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t length = address->length > head ? address->length - head : 0;

    if (length > sizeof un.sun_path)
        length = sizeof un.sun_path;
    if (length && un.sun_path[0] == '\0')
        un.sun_path[0] = '@';
    else
        length = strnlen(un.sun_path, length);
    return snprintf(text, room, "unix:%.*s", (int)length, un.sun_path);
}

static int format_v4(const gcore_address *address, char *text, size_t room)
{
    READ_AS(sockaddr_in, in, address);
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
    return snprintf(text, room, "%s:%d", host, ntohs(in.sin_port));
}

static int format_v6(const gcore_address *address, char *text, size_t room)
{
    READ_AS(sockaddr_in6, in, address);
    char host[INET6_ADDRSTRLEN];
    char scope[16] = "";

    inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host);
    if (in.sin6_scope_id)
        snprintf(scope, sizeof scope, "%%%u", in.sin6_scope_id);
    return snprintf(text, room, "[%s%s]:%d", host, scope,
                    ntohs(in.sin6_port));
}

int gcore__address_family(const gcore_address *address)
{
    READ_AS(sockaddr, any, address);

    if (address->length < sizeof any.sa_family ||
        address->length > sizeof address->bytes)
        return -EINVAL;
    return any.sa_family;
}

int gcore_address_format(const gcore_address *address, char *text, size_t room)
{
    int length;

    switch (gcore__address_family(address)) {
    case AF_UNIX: length = format_unix(address, text, room); break;
    case AF_INET: length = format_v4(address, text, room); break;
    case AF_INET6: length = format_v6(address, text, room); break;
    default: return -EINVAL;
    }
    return (size_t)length < room ? length : -ENOSPC;
}

int gcore_address_port(const gcore_address *address)
{
    /* The port stands at the same place for both families. */
    READ_AS(sockaddr_in, in, address);

    if (in.sin_family != AF_INET && in.sin_family != AF_INET6)
        return -EINVAL;
    return ntohs(in.sin_port);
}
