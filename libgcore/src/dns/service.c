/*
 * What a service means: for which kinds of sockets, and on which port.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dns/dns.h"

struct kind {
    int socktype;
    int protocol;
    const char *name; /* in the services file; NULL: has no ports */
    bool common;      /* given where nothing is asked for */
};

static const struct kind kinds[] = {
    {SOCK_STREAM, IPPROTO_TCP, "tcp", true},
    {SOCK_DGRAM, IPPROTO_UDP, "udp", true},
    {SOCK_DCCP, IPPROTO_DCCP, "dccp", false},
    {SOCK_DGRAM, IPPROTO_UDPLITE, "udplite", false},
    {SOCK_STREAM, IPPROTO_SCTP, "sctp", false},
    {SOCK_SEQPACKET, IPPROTO_SCTP, "sctp", false},
    {SOCK_RAW, 0, NULL, true}, /* any protocol */
};

#define KINDS (sizeof kinds / sizeof *kinds)

static const struct kind *find_kind(const gcore_dns_hints *hints)
{
    for (size_t i = 0; i < KINDS; i++) {
        const struct kind *kind = &kinds[i];

        if ((hints->socktype == 0 || hints->socktype == kind->socktype) &&
            (hints->protocol == 0 || !kind->name ||
             hints->protocol == kind->protocol))
            return kind;
    }
    return NULL;
}

/* Whether it is a number as strtoul reads it; what is negative as an int is
 * looked for as a name, as libc does. */
static bool is_number(const char *service, int *port)
{
    char *end;

    *port = (int)strtoul(service, &end, 10);
    return !*end;
}

static void add(gcore_lookup *lookup, const struct kind *kind, int protocol,
                int port)
{
    lookup->endpoints[lookup->endpoint_count++] = (gcore__endpoint){
        .protocol = kind->name ? kind->protocol : protocol,
        .socktype = (uint16_t)kind->socktype,
        .port = (uint16_t)port};
}

/* The port of a name for one kind; -1 where there is none. */
static int named_port(const char *service, const struct kind *kind)
{
    struct servent entry, *found;
    char buffer[2048];

    if (getservbyname_r(service, kind->name, &entry, buffer, sizeof buffer,
                        &found) != 0 || !found)
        return -1;
    return ntohs((uint16_t)found->s_port);
}

static int find_named(gcore_lookup *lookup, const char *service,
                      const struct kind *only)
{
    for (size_t i = 0; i < KINDS; i++) {
        int port;

        if (!kinds[i].name || (only && only != &kinds[i]))
            continue;
        port = named_port(service, &kinds[i]);
        if (port >= 0)
            add(lookup, &kinds[i], 0, port);
    }
    return lookup->endpoint_count > 0 ? 0 : -GCORE_EAI_SERVICE;
}

int gcore__service_find(gcore_lookup *lookup, const char *service,
                        const gcore_dns_hints *hints)
{
    const struct kind *only = NULL;
    int port = 0;
    bool named = false;

    if (service && !*service)
        service = NULL;
    if (service && !is_number(service, &port)) {
        if (hints->flags & AI_NUMERICSERV)
            return -GCORE_EAI_NONAME;
        named = true;
    }
    if (hints->socktype != 0 || hints->protocol != 0) {
        only = find_kind(hints);
        if (!only)
            return hints->socktype != 0 ? -GCORE_EAI_SOCKTYPE
                                        : -GCORE_EAI_SERVICE;
        if (service && !only->name)
            return -GCORE_EAI_SERVICE;
    }
    if (named || port < 0)
        return find_named(lookup, service, only);
    for (size_t i = 0; i < KINDS; i++)
        if (only ? only == &kinds[i] : kinds[i].common)
            add(lookup, &kinds[i], hints->protocol, port);
    return 0;
}

void gcore__service_name(int port, bool datagram, char *out, size_t room)
{
    struct servent entry, *found;
    char buffer[2048];

    out[0] = '\0';
    if (getservbyport_r(htons((uint16_t)port), datagram ? "udp" : "tcp",
                        &entry, buffer, sizeof buffer, &found) == 0 && found)
        snprintf(out, room, "%s", found->s_name);
}
