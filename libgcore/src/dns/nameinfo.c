/*
 * getnameinfo.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns.h"

#define KNOWN_FLAGS                                                           \
    (NI_NUMERICHOST | NI_NUMERICSERV | NI_NOFQDN | NI_NAMEREQD | NI_DGRAM |   \
     NI_IDN | 0xc0)

static const char *copy(gcore_lookup *lookup, const char *text, size_t length)
{
    return gcore__arena_text(&lookup->arena, text, length);
}

static int finish_service(gcore_lookup *lookup)
{
    char name[NI_MAXSERV] = "";
    int port = lookup->port;

    if (!(lookup->flags & NI_NUMERICSERV))
        gcore__service_name(port, lookup->flags & NI_DGRAM, name,
                            sizeof name);
    if (!*name)
        snprintf(name, sizeof name, "%d", port);
    lookup->result.service = copy(lookup, name, strlen(name));
    return lookup->result.service ? 1 : -ENOMEM;
}

/* The domain of this host as the hosts file knows it; "" for none. */
static const char *own_domain(gcore_lookup *lookup, char *name, size_t room)
{
    const char *dot;
    gcore__host *host = NULL;

    if (gethostname(name, room) < 0)
        return "";
    name[room - 1] = '\0';
    dot = strchr(name, '.');
    if (!dot && gcore__hosts_by_name(lookup->resolver->hosts, name, AF_UNSPEC,
                                     &host) == 0 && host)
        dot = strchr(host->name, '.');
    return dot ? dot + 1 : "";
}

/* Of a name in this host's domain, NI_NOFQDN leaves the first part. */
static size_t length_of(gcore_lookup *lookup, const char *name)
{
    const char *dot = strchr(name, '.');
    char own[256];

    if (lookup->flags & NI_NOFQDN && dot &&
        gcore__name_equal(dot + 1, own_domain(lookup, own, sizeof own)))
        return (size_t)(dot - name);
    return strlen(name);
}

static int finish(gcore_lookup *lookup)
{
    const char *name = lookup->host->name;

    if (lookup->flags & NI_IDN && strcasestr(name, "xn--")) {
        int error = gcore__idna_decode(name, &lookup->arena, &name);

        if (error < 0)
            return error;
    }
    lookup->result.name = copy(lookup, name, length_of(lookup, name));
    if (!lookup->result.name)
        return -ENOMEM;
    lookup->result.ttl = gcore__seconds_left(lookup,
                                             lookup->host->shared.expires);
    return finish_service(lookup);
}

/* An address without a name goes by its number. */
static int failed(gcore_lookup *lookup, int error)
{
    if (error == -GCORE_EAI_NODATA)
        error = -GCORE_EAI_NONAME;
    if (lookup->flags & NI_NAMEREQD || error != -GCORE_EAI_NONAME)
        return error;
    return finish_service(lookup);
}

static int find_name(gcore_lookup *lookup, const gcore_dns_address *address,
                     int flags)
{
    gcore_dns_address own;

    gcore__address_set(&own, address->family, address->bytes, address->scope);
    lookup->flags = flags;
    lookup->port = address->port;
    lookup->finish = finish;
    lookup->failed = failed;
    /* Until there is a better one. */
    lookup->result.name = copy(lookup, own.text, strlen(own.text));
    if (!lookup->result.name)
        return -ENOMEM;
    if (!(flags & NI_NUMERICHOST))
        return gcore__reverse_find(lookup, address);
    if (flags & NI_NAMEREQD)
        return -GCORE_EAI_NONAME;
    return finish_service(lookup);
}

int gcore_dns_getnameinfo(gcore_resolver *resolver,
                          const gcore_dns_address *address, int flags,
                          int64_t deadline, gcore_done_fn *done, void *arg,
                          gcore_lookup **out)
{
    gcore_lookup *lookup;
    int error;

    if (!address || !done || !out)
        return -EINVAL;
    if (flags & ~KNOWN_FLAGS)
        return -GCORE_EAI_BADFLAGS;
    if (address->family != AF_INET && address->family != AF_INET6)
        return -GCORE_EAI_FAMILY;
    error = gcore__lookup_new(resolver, deadline, done, arg, &lookup);
    if (error < 0)
        return error;
    return gcore__lookup_started(lookup, find_name(lookup, address, flags),
                                 out);
}
