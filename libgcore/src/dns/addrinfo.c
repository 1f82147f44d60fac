/*
 * getaddrinfo, gethostbyname, gethostbyaddr and query.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "dns/dns.h"
#include "util/sized.h"

#define KNOWN_FLAGS                                                           \
    (AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV |            \
     AI_ADDRCONFIG | AI_V4MAPPED | AI_ALL | AI_IDN | AI_CANONIDN | 0x300)

/* Until when an order of addresses is right: routes may change. */
#define SORTED_FOR GCORE__NS

/* Families that this host has an address of, loopback aside */

enum { HAS_INET = 1, HAS_INET6 = 2 };

static unsigned families_of(const struct ifaddrs *list)
{
    unsigned families = 0;

    for (; list; list = list->ifa_next) {
        gcore_dns_address address;
        size_t length = sizeof(struct sockaddr_in6);

        if (!list->ifa_addr)
            continue;
        if (list->ifa_addr->sa_family == AF_INET)
            length = sizeof(struct sockaddr_in);
        if (gcore_dns_from_sockaddr(list->ifa_addr, length, &address) < 0)
            continue;
        if (address.family == AF_INET6 &&
            memcmp(address.bytes, &in6addr_loopback, 16) != 0)
            families |= HAS_INET6;
        if (address.family == AF_INET && address.bytes[0] != 127)
            families |= HAS_INET;
    }
    return families;
}

static unsigned reachable(gcore_resolver *resolver)
{
    int64_t now = resolver->now;
    struct ifaddrs *list;

    if (resolver->reachable_at &&
        now - resolver->reachable_at < resolver->options.recheck)
        return resolver->reachable;
    if (getifaddrs(&list) < 0)
        return HAS_INET | HAS_INET6;
    resolver->reachable = families_of(list);
    resolver->reachable_at = now;
    freeifaddrs(list);
    return resolver->reachable;
}

/* What AI_ADDRCONFIG leaves of a family. Returns it, or an error. */
static int configured(gcore_resolver *resolver, int family)
{
    unsigned has = reachable(resolver);

    if (family == AF_UNSPEC)
        return has == HAS_INET    ? AF_INET
               : has == HAS_INET6 ? AF_INET6
                                  : AF_UNSPEC;
    if ((family == AF_INET && !(has & HAS_INET)) ||
        (family == AF_INET6 && !(has & HAS_INET6)))
        return -GCORE_EAI_NONAME;
    return family;
}

/* getaddrinfo's result */

static bool has_family(const gcore__host *host, int family)
{
    for (size_t i = 0; i < host->count; i++)
        if (host->addresses[i].family == family)
            return true;
    return false;
}

static void sort(gcore__host *host, int64_t now)
{
    if ((host->sorted && now - host->sorted < SORTED_FOR) ||
        !has_family(host, AF_INET) || !has_family(host, AF_INET6))
        return;
    gcore__sort(host->addresses, host->count);
    host->sorted = now;
}

/* The host's name; one that came by DNS and is what was asked for, as it was
 * written there. Returns it, or NULL without memory. */
static const char *name_of(gcore_lookup *lookup)
{
    const gcore__host *host = lookup->host;
    const char *asked = lookup->ask.name;

    if (host->shared.expires == GCORE_FOREVER ||
        !gcore__name_equal(host->name, asked))
        return host->name;
    return gcore__arena_text(&lookup->arena, asked, strlen(host->name));
}

static int name_result(gcore_lookup *lookup)
{
    const char *name;

    if (!(lookup->flags & AI_CANONNAME))
        return 0;
    name = name_of(lookup);
    if (!name)
        return -ENOMEM;
    if (lookup->flags & AI_CANONIDN && strcasestr(name, "xn--")) {
        int error = gcore__idna_decode(name, &lookup->arena, &name);

        if (error < 0)
            return error;
    }
    lookup->result.name = gcore__arena_text(&lookup->arena, name,
                                            strlen(name));
    return lookup->result.name ? 0 : -ENOMEM;
}

/* What a host's address is to who wants a family; false: nothing. */
static bool suits(const gcore_lookup *lookup, bool with_v4,
                  gcore_dns_address *address)
{
    if (lookup->wanted != AF_INET6 || address->family == AF_INET6)
        return true;
    if (!with_v4)
        return false;
    gcore__address_map(address);
    return true;
}

/* Each address with each kind of socket. */
static int expand(gcore_lookup *lookup, const gcore__host *host)
{
    bool with_v4 = lookup->flags & AI_ALL || !has_family(host, AF_INET6);
    size_t room = host->count * (size_t)lookup->endpoint_count;
    gcore_dns_address *out = gcore__arena_alloc(&lookup->arena,
                                                room * sizeof *out);
    size_t count = 0;

    if (!out)
        return -ENOMEM;
    for (size_t i = 0; i < host->count; i++) {
        gcore_dns_address address = host->addresses[i];

        if (!suits(lookup, with_v4, &address))
            continue;
        for (int k = 0; k < lookup->endpoint_count; k++) {
            address.socktype = lookup->endpoints[k].socktype;
            address.protocol = lookup->endpoints[k].protocol;
            address.port = lookup->endpoints[k].port;
            out[count++] = address;
        }
    }
    lookup->result.addresses = out;
    lookup->result.address_count = count;
    return 0;
}

uint32_t gcore__seconds_left(const gcore_lookup *lookup, int64_t expires)
{
    int64_t left = expires - lookup->resolver->now;

    return left > 0 && expires != GCORE_FOREVER ? (uint32_t)(left / GCORE__NS)
                                                : 0;
}

static int finish_addrinfo(gcore_lookup *lookup)
{
    gcore__host *host = lookup->host;
    int error;

    if (lookup->wanted == AF_UNSPEC || lookup->flags & AI_ALL)
        sort(host, lookup->resolver->now);
    error = expand(lookup, host);
    if (error == 0)
        error = name_result(lookup);
    if (error < 0)
        return error;
    lookup->result.ttl = gcore__seconds_left(lookup, host->shared.expires);
    return 1;
}

/* getaddrinfo's cases */

static int this_host(gcore_lookup *lookup)
{
    static const uint8_t any4[4] = {0};
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    bool passive = lookup->flags & AI_PASSIVE;
    int family = lookup->wanted;
    gcore_dns_address address4, address6;

    gcore__address_set(&address4, AF_INET, passive ? any4 : loopback4, 0);
    gcore__address_set(&address6, AF_INET6,
                       passive ? &in6addr_any : &in6addr_loopback, 0);
    lookup->host = gcore__host_of("", family == AF_INET ? &address4
                                                        : &address6);
    if (!lookup->host)
        return -ENOMEM;
    if (family == AF_UNSPEC)
        lookup->host->addresses[lookup->host->count++] = address4;
    return finish_addrinfo(lookup);
}

static int literal(gcore_lookup *lookup, const char *node,
                   gcore_dns_address *address)
{
    int family = lookup->wanted;

    if (address->family == AF_INET6 && family == AF_INET) {
        if (!gcore__address_is_mapped(address))
            return -GCORE_EAI_ADDRFAMILY;
        gcore__address_unmap(address);
    }
    if (address->family == AF_INET && family == AF_INET6 &&
        !(lookup->flags & AI_V4MAPPED))
        return -GCORE_EAI_ADDRFAMILY;
    lookup->host = gcore__host_of(node, address);
    return lookup->host ? finish_addrinfo(lookup) : -ENOMEM;
}

static int named(gcore_lookup *lookup, const char *node)
{
    int family = lookup->wanted;

    if (lookup->flags & AI_NUMERICHOST || strchr(node, ':'))
        return -GCORE_EAI_NONAME;
    if (lookup->flags & AI_IDN) {
        int error = gcore__idna_encode(node, &lookup->arena, &node);

        if (error < 0)
            return error;
    }
    if (family == AF_INET6 && lookup->flags & AI_V4MAPPED)
        family = AF_UNSPEC; /* and then see */
    return gcore__host_find(lookup, node, family);
}

static int find_addresses(gcore_lookup *lookup, const char *node,
                          const char *service, const gcore_dns_hints *hints)
{
    gcore_dns_address address;
    int error;

    lookup->flags = hints->flags;
    lookup->finish = finish_addrinfo;
    lookup->wanted = hints->family;
    if (hints->flags & AI_ADDRCONFIG) {
        int family = configured(lookup->resolver, hints->family);

        if (family < 0)
            return family;
        lookup->wanted = family;
    }
    error = gcore__service_find(lookup, service, hints);
    if (error < 0)
        return error;
    if (!node)
        return this_host(lookup);
    error = gcore__address_parse(node, &address);
    if (error == 0)
        return literal(lookup, node, &address);
    if (error == -ENOENT)
        return lookup->wanted == AF_INET ? -GCORE_EAI_ADDRFAMILY
                                                 : -GCORE_EAI_NONAME;
    return named(lookup, node);
}

static int read_hints(const gcore_dns_hints *given, gcore_dns_hints *hints)
{
    int error = gcore__sized_read(given, hints, sizeof *hints);

    if (!given)
        hints->flags = AI_V4MAPPED | AI_ADDRCONFIG;
    return error;
}

static bool is_star(const char *text)
{
    return text && text[0] == '*' && text[1] == '\0';
}

int gcore_dns_getaddrinfo(gcore_resolver *resolver, const char *node,
                          const char *service, const gcore_dns_hints *given,
                          int64_t deadline, gcore_done_fn *done, void *arg,
                          gcore_lookup **out)
{
    gcore_dns_hints hints;
    gcore_lookup *lookup;
    int error = read_hints(given, &hints);

    if (error < 0 || !done || !out)
        return -EINVAL;
    if (is_star(node))
        node = NULL;
    if (is_star(service))
        service = NULL;
    if (!node && !service)
        return -GCORE_EAI_NONAME;
    if (hints.flags & ~KNOWN_FLAGS || (hints.flags & AI_CANONNAME && !node))
        return -GCORE_EAI_BADFLAGS;
    if (hints.family != AF_UNSPEC && hints.family != AF_INET &&
        hints.family != AF_INET6)
        return -GCORE_EAI_FAMILY;
    error = gcore__lookup_new(resolver, deadline, done, arg, &lookup);
    if (error < 0)
        return error;
    return gcore__lookup_started(
        lookup, find_addresses(lookup, node, service, &hints), out);
}

/* gethostbyname, gethostbyaddr */

static int finish_host(gcore_lookup *lookup)
{
    const gcore__host *host = lookup->host;
    gcore_dns_result *result = &lookup->result;

    result->name = name_of(lookup);
    if (!result->name)
        return -ENOMEM;
    result->aliases = host->aliases;
    result->alias_count = host->alias_count;
    result->addresses = host->addresses;
    result->address_count = host->count;
    result->ttl = gcore__seconds_left(lookup, host->shared.expires);
    return 1;
}

/* Of IPv4 addresses, only those of digits and dots. */
static bool is_address_of(const char *name, int family,
                          gcore_dns_address *address)
{
    if (gcore__address_parse(name, address) < 0)
        return false;
    return address->family == AF_INET6 ||
           (family == AF_INET && !name[strspn(name, "0123456789.")]);
}

static int find_host(gcore_lookup *lookup, const char *name, int family)
{
    gcore_dns_address address;

    lookup->finish = finish_host;
    if (!is_address_of(name, family, &address))
        return gcore__host_find(lookup, name, family);
    if (address.family != family)
        return -GCORE_EAI_NONAME;
    lookup->host = gcore__host_of(name, &address);
    return lookup->host ? finish_host(lookup) : -ENOMEM;
}

int gcore_dns_gethostbyname(gcore_resolver *resolver, const char *name,
                            int family, int64_t deadline, gcore_done_fn *done,
                            void *arg, gcore_lookup **out)
{
    gcore_lookup *lookup;
    int error;

    if (!name || !done || !out)
        return -EINVAL;
    if (family != AF_INET && family != AF_INET6)
        return -GCORE_EAI_FAMILY;
    error = gcore__lookup_new(resolver, deadline, done, arg, &lookup);
    if (error < 0)
        return error;
    return gcore__lookup_started(lookup, find_host(lookup, name, family), out);
}

int gcore_dns_gethostbyaddr(gcore_resolver *resolver,
                            const gcore_dns_address *address,
                            int64_t deadline, gcore_done_fn *done, void *arg,
                            gcore_lookup **out)
{
    gcore_lookup *lookup;
    int error;

    if (!address || !done || !out)
        return -EINVAL;
    if (address->family != AF_INET && address->family != AF_INET6)
        return -GCORE_EAI_FAMILY;
    error = gcore__lookup_new(resolver, deadline, done, arg, &lookup);
    if (error < 0)
        return error;
    lookup->finish = finish_host;
    return gcore__lookup_started(lookup, gcore__reverse_find(lookup, address),
                                 out);
}

/* query */

static int finish_query(gcore_lookup *lookup, int result)
{
    gcore__answer *answer;

    if (result <= 0)
        return result;
    answer = lookup->answer = lookup->ask.answers[0];
    lookup->ask.answers[0] = NULL;
    lookup->result.name = answer->name;
    lookup->result.records = answer->records;
    lookup->result.record_count = answer->count;
    lookup->result.ttl = gcore__seconds_left(lookup, answer->shared.expires);
    return 1;
}

static int find_records(gcore_lookup *lookup, const char *name, int type)
{
    gcore__ask *ask = &lookup->ask;
    int error = gcore__idna_encode(name, &lookup->arena, &ask->name);

    if (error < 0)
        return error;
    ask->types[0] = type;
    ask->count = 1;
    lookup->step = finish_query;
    return finish_query(lookup, gcore__ask_start(lookup));
}

int gcore_dns_query(gcore_resolver *resolver, const char *name, int type,
                    int64_t deadline, gcore_done_fn *done, void *arg,
                    gcore_lookup **out)
{
    gcore_lookup *lookup;
    int error;

    if (!name || !done || !out || type < 1 || type > UINT16_MAX)
        return -EINVAL;
    if (!*name)
        return -GCORE_EAI_NONAME;
    error = gcore__lookup_new(resolver, deadline, done, arg, &lookup);
    if (error < 0)
        return error;
    return gcore__lookup_started(lookup, find_records(lookup, name, type),
                                 out);
}

/* Errors */

int gcore_dns_eai(int error)
{
    int number = error < 0 ? -error : error;

    switch (number) {
    case 0:
        return 0;
    case GCORE_EAI_IDN:
        return EAI_IDN_ENCODE;
    case GCORE_EAI_BADFLAGS:
        return EAI_BADFLAGS;
    case GCORE_EAI_NONAME:
        return EAI_NONAME;
    case GCORE_EAI_AGAIN:
    case ETIMEDOUT:
        return EAI_AGAIN;
    case GCORE_EAI_FAIL:
        return EAI_FAIL;
    case GCORE_EAI_NODATA:
        return EAI_NODATA;
    case GCORE_EAI_FAMILY:
        return EAI_FAMILY;
    case GCORE_EAI_SOCKTYPE:
        return EAI_SOCKTYPE;
    case GCORE_EAI_SERVICE:
        return EAI_SERVICE;
    case GCORE_EAI_ADDRFAMILY:
        return EAI_ADDRFAMILY;
    case ENOMEM:
        return EAI_MEMORY;
    case ECANCELED:
        return EAI_CANCELED;
    default:
        return EAI_SYSTEM;
    }
}

int gcore_dns_h_errno(int error)
{
    switch (gcore_dns_eai(error)) {
    case 0:
        return NETDB_SUCCESS;
    case EAI_NONAME:
    case EAI_ADDRFAMILY:
    case EAI_IDN_ENCODE:
        return HOST_NOT_FOUND;
    case EAI_AGAIN:
        return TRY_AGAIN;
    case EAI_NODATA:
        return NO_DATA;
    case EAI_FAIL:
    case EAI_FAMILY:
        return NO_RECOVERY;
    default:
        return NETDB_INTERNAL;
    }
}
