/*
 * Addresses: text, bytes, socket addresses.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/dns.h"

static bool is_link_local(const uint8_t bytes[16])
{
    return (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) ||
           (bytes[0] == 0xff && ((bytes[1] & 0xf) == 1 ||
                                 (bytes[1] & 0xf) == 2));
}

/* Text */

static char *put_decimal(char *out, uint8_t number)
{
    if (number >= 100)
        *out++ = (char)('0' + number / 100);
    if (number >= 10)
        *out++ = (char)('0' + number / 10 % 10);
    *out++ = (char)('0' + number % 10);
    return out;
}

static char *put_text4(char *out, const uint8_t *bytes)
{
    for (int i = 0; i < 4; i++) {
        out = put_decimal(out, bytes[i]);
        *out++ = '.';
    }
    *--out = '\0';
    return out;
}

static char *put_hex(char *out, unsigned number)
{
    static const char digits[] = "0123456789abcdef";

    for (int shift = 12; shift > 0; shift -= 4)
        if (number >> shift)
            *out++ = digits[number >> shift & 0xf];
    *out++ = digits[number & 0xf];
    return out;
}

static unsigned group_of(const uint8_t *bytes, int i)
{
    return (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
}

/* The first of the longest runs of zeros, if it is of two or more. */
static int find_zeros(const uint8_t *bytes, int *count)
{
    int first = -1;
    int run = 0;

    *count = 1;
    for (int i = 0; i < 8; i++) {
        run = group_of(bytes, i) == 0 ? run + 1 : 0;
        if (run > *count) {
            *count = run;
            first = i - run + 1;
        }
    }
    return first;
}

/* As inet_ntop writes it. */
static char *put_text6(char *out, const uint8_t *bytes)
{
    int count;
    int first = find_zeros(bytes, &count);
    bool has_v4 = first == 0 &&
                  (count == 6 || (count == 5 && group_of(bytes, 5) == 0xffff));

    for (int i = 0; i < 8; i++) {
        if (i == first) {
            *out++ = ':';
            i += count - 1;
            if (i == 7)
                *out++ = ':';
            continue;
        }
        if (i > 0)
            *out++ = ':';
        if (i == 6 && has_v4)
            return put_text4(out, bytes + 12);
        out = put_hex(out, group_of(bytes, i));
    }
    *out = '\0';
    return out;
}

size_t gcore__address_text(int family, const uint8_t *bytes, char *out)
{
    char *end = family == AF_INET ? put_text4(out, bytes)
                                  : put_text6(out, bytes);

    return (size_t)(end - out);
}

static void add_scope(gcore_dns_address *address, size_t length)
{
    char name[IF_NAMESIZE];
    char *end = address->text + length;
    size_t room = sizeof address->text - length;

    if (is_link_local(address->bytes) && if_indextoname(address->scope, name))
        snprintf(end, room, "%%%s", name);
    else
        snprintf(end, room, "%%%u", address->scope);
}

void gcore__address_set(gcore_dns_address *address, int family,
                        const void *bytes, uint32_t scope)
{
    size_t length;

    memset(address, 0, sizeof *address);
    address->family = family;
    address->length = family == AF_INET ? 4 : 16;
    address->scope = scope;
    memcpy(address->bytes, bytes, address->length);
    length = gcore__address_text(family, address->bytes, address->text);
    if (scope != 0 && family == AF_INET6)
        add_scope(address, length);
}

/* inet_aton takes whatever follows a blank. */
static bool parse4(const char *text, uint8_t bytes[4])
{
    struct in_addr parsed;

    if (!isdigit((unsigned char)*text) || strpbrk(text, " \t\n\v\f\r") ||
        !inet_aton(text, &parsed))
        return false;
    memcpy(bytes, &parsed, 4);
    return true;
}

static int parse_scope(const uint8_t bytes[16], const char *text,
                       uint32_t *scope)
{
    unsigned long number;
    char *end;

    if (is_link_local(bytes)) {
        *scope = if_nametoindex(text);
        if (*scope != 0)
            return 0;
    }
    number = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || number > UINT32_MAX)
        return -EINVAL;
    *scope = (uint32_t)number;
    return 0;
}

static int parse6(const char *text, gcore_dns_address *out)
{
    const char *percent = strchr(text, '%');
    size_t length = percent ? (size_t)(percent - text) : strlen(text);
    char plain[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    uint32_t scope = 0;

    if (length >= sizeof plain)
        return -EINVAL;
    memcpy(plain, text, length);
    plain[length] = '\0';
    if (inet_pton(AF_INET6, plain, bytes) != 1)
        return -EINVAL;
    if (percent && parse_scope(bytes, percent + 1, &scope) < 0)
        return -ENOENT;
    gcore__address_set(out, AF_INET6, bytes, scope);
    return 0;
}

int gcore__address_parse(const char *text, gcore_dns_address *out)
{
    uint8_t bytes[4];

    if (parse4(text, bytes)) {
        gcore__address_set(out, AF_INET, bytes, 0);
        return 0;
    }
    return strchr(text, ':') ? parse6(text, out) : -EINVAL;
}

int gcore_dns_parse_address(const char *text, gcore_dns_address *out)
{
    return gcore__address_parse(text, out) < 0 ? -EINVAL : 0;
}

/* IPv4 in IPv6 */

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

bool gcore__address_is_mapped(const gcore_dns_address *address)
{
    return address->family == AF_INET6 &&
           memcmp(address->bytes, mapped, sizeof mapped) == 0;
}

void gcore__address_map(gcore_dns_address *address)
{
    uint32_t ttl = address->ttl;
    uint8_t bytes[16];

    memcpy(bytes, mapped, sizeof mapped);
    memcpy(bytes + sizeof mapped, address->bytes, 4);
    gcore__address_set(address, AF_INET6, bytes, 0);
    address->ttl = ttl;
}

void gcore__address_unmap(gcore_dns_address *address)
{
    uint8_t bytes[4];

    memcpy(bytes, address->bytes + sizeof mapped, 4);
    gcore__address_set(address, AF_INET, bytes, 0);
}

/* Socket addresses */

static int to_sockaddr4(const gcore_dns_address *address,
                        struct sockaddr *out, size_t room)
{
    struct sockaddr_in socket = {.sin_family = AF_INET,
                                 .sin_port = htons(address->port)};

    if (room < sizeof socket)
        return -EINVAL;
    memcpy(&socket.sin_addr, address->bytes, 4);
    memcpy(out, &socket, sizeof socket);
    return (int)sizeof socket;
}

static int to_sockaddr6(const gcore_dns_address *address,
                        struct sockaddr *out, size_t room)
{
    struct sockaddr_in6 socket = {.sin6_family = AF_INET6,
                                  .sin6_port = htons(address->port),
                                  .sin6_flowinfo = htonl(address->flow),
                                  .sin6_scope_id = address->scope};

    if (room < sizeof socket)
        return -EINVAL;
    memcpy(&socket.sin6_addr, address->bytes, 16);
    memcpy(out, &socket, sizeof socket);
    return (int)sizeof socket;
}

int gcore_dns_to_sockaddr(const gcore_dns_address *address,
                          struct sockaddr *out, size_t room)
{
    switch (address->family) {
    case AF_INET:
        return to_sockaddr4(address, out, room);
    case AF_INET6:
        return to_sockaddr6(address, out, room);
    default:
        return -EINVAL;
    }
}

int gcore_dns_from_sockaddr(const struct sockaddr *from, size_t length,
                            gcore_dns_address *out)
{
    struct sockaddr_in socket4;
    struct sockaddr_in6 socket6;
    sa_family_t family;

    if (length < sizeof socket4)
        return -EINVAL;
    memcpy(&socket4, from, sizeof socket4);
    family = socket4.sin_family;
    if (family == AF_INET) {
        gcore__address_set(out, AF_INET, &socket4.sin_addr, 0);
        out->port = ntohs(socket4.sin_port);
        return 0;
    }
    if (family != AF_INET6 || length < sizeof socket6)
        return -EINVAL;
    memcpy(&socket6, from, sizeof socket6);
    gcore__address_set(out, AF_INET6, &socket6.sin6_addr,
                       socket6.sin6_scope_id);
    out->port = ntohs(socket6.sin6_port);
    out->flow = ntohl(socket6.sin6_flowinfo);
    return 0;
}
