/*
 * From a name to a host: the sources, one after the other, until one of them
 * knows it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <string.h>

#include "dns/dns.h"

/* Hosts */

gcore__host *gcore__host_of(const char *name,
                            const gcore_dns_address *address)
{
    gcore__host *host = gcore__shared_new(sizeof *host);
    gcore__arena *arena;

    if (!host)
        return NULL;
    arena = &host->shared.arena;
    host->name = gcore__arena_text(arena, name, strlen(name));
    host->addresses = gcore__arena_alloc(arena, 2 * sizeof *host->addresses);
    if (!host->name || !host->addresses) {
        gcore__shared_unref(host);
        return NULL;
    }
    host->addresses[0] = *address;
    host->count = 1;
    return host;
}

static size_t count_records(const gcore__ask *ask)
{
    size_t count = 0;

    for (int i = 0; i < ask->count; i++)
        count += ask->answers[i] ? ask->answers[i]->count : 0;
    return count;
}

static void add_address(gcore__host *host, const gcore_dns_record *record)
{
    gcore_dns_address *address = &host->addresses[host->count];

    address->family = record->type == GCORE_DNS_A ? AF_INET : AF_INET6;
    address->length = (uint16_t)record->parts->length;
    memcpy(address->bytes, record->parts->data, record->parts->length);
    strcpy(address->text, record->target);
    address->ttl = record->ttl;
    host->count++;
}

static int add_alias(gcore__host *host, const char *name)
{
    for (size_t i = 0; i < host->alias_count; i++)
        if (gcore__name_equal(host->aliases[i], name))
            return 0;
    name = gcore__arena_text(&host->shared.arena, name, strlen(name));
    if (!name)
        return -ENOMEM;
    host->aliases[host->alias_count++] = name;
    return 0;
}

static int add_records(gcore__host *host, const gcore__answer *answer)
{
    int error = 0;

    for (size_t i = 0; i < answer->count && error == 0; i++) {
        const gcore_dns_record *record = &answer->records[i];

        if (record->type != GCORE_DNS_CNAME)
            add_address(host, record);
        else if (gcore__name_is_host(record->name))
            error = add_alias(host, record->name);
    }
    return error;
}

/* The first answer names the host. */
static int add_answer(gcore__host *host, const gcore__answer *answer)
{
    if (answer->ttl < host->ttl)
        host->ttl = answer->ttl;
    if (answer->shared.expires < host->shared.expires)
        host->shared.expires = answer->shared.expires;
    if (!host->name) {
        host->name = gcore__arena_text(&host->shared.arena, answer->name,
                                       strlen(answer->name));
        if (!host->name)
            return -ENOMEM;
    }
    return add_records(host, answer);
}

/* NULL without memory. */
static gcore__host *host_from(const gcore__ask *ask)
{
    size_t count = count_records(ask);
    gcore__host *host = gcore__shared_new(sizeof *host);
    int error = 0;

    if (!host)
        return NULL;
    host->ttl = UINT32_MAX;
    host->aliases = gcore__arena_alloc(&host->shared.arena,
                                       count * sizeof *host->aliases);
    host->addresses = gcore__arena_alloc(&host->shared.arena,
                                         count * sizeof *host->addresses);
    if (!host->aliases || !host->addresses)
        error = -ENOMEM;
    for (int i = 0; i < ask->count && error == 0; i++)
        if (ask->answers[i])
            error = add_answer(host, ask->answers[i]);
    if (error == 0)
        return host;
    gcore__shared_unref(host);
    return NULL;
}

/* localhost, and what lies below it, never leaves the machine (RFC 6761). */
static bool is_localhost(const char *name)
{
    static const char localhost[] = "localhost";
    size_t length = strlen(name);
    size_t tail = sizeof localhost - 1;

    if (length > 0 && name[length - 1] == '.')
        length--;
    return length >= tail &&
           gcore__text_equal(name + length - tail, localhost, tail) &&
           (length == tail || name[length - tail - 1] == '.');
}

static gcore__host *localhost(const char *name, int family)
{
    static const uint8_t loopback4[4] = {127, 0, 0, 1};
    gcore_dns_address address4, address6;
    gcore__host *host;

    gcore__address_set(&address4, AF_INET, loopback4, 0);
    gcore__address_set(&address6, AF_INET6, &in6addr_loopback, 0);
    host = gcore__host_of(name, family == AF_INET ? &address4 : &address6);
    if (host && family == AF_UNSPEC)
        host->addresses[host->count++] = address4;
    return host;
}

/* Sources */

static int found(gcore_lookup *lookup, gcore__host *host)
{
    if (!host)
        return -ENOMEM;
    lookup->host = host;
    return lookup->finish(lookup);
}

static bool is_cacheable(const gcore_resolver *resolver)
{
    return resolver->caching && !resolver->closed;
}

static void keep(gcore_lookup *lookup, gcore__host *host)
{
    gcore_resolver *resolver = lookup->resolver;
    gcore__key key;

    if (is_cacheable(resolver) && host->shared.expires > resolver->now &&
        gcore__key_set(&key, 'h', lookup->family, lookup->ask.name))
        gcore__cache_keep(&resolver->cache, &key, host);
}

static gcore__host *find_kept(gcore_lookup *lookup)
{
    gcore_resolver *resolver = lookup->resolver;
    gcore__host *host;
    gcore__key key;

    if (!is_cacheable(resolver) ||
        !gcore__key_set(&key, 'h', lookup->family, lookup->ask.name))
        return NULL;
    host = gcore__cache_find(&resolver->cache, &key, resolver->now);
    if (!host)
        return NULL;
    resolver->stats.hits++;
    return gcore__shared_ref(host);
}

static int in_file(gcore_lookup *lookup, gcore__host **host)
{
    gcore__key key;
    int error;

    if (!gcore__key_set(&key, 'f', lookup->family, lookup->ask.name))
        return 0;
    error = gcore__hosts_by_name(lookup->resolver->hosts, key.bytes.name,
                                 lookup->family, host);
    if (*host)
        gcore__shared_ref(*host);
    return error;
}

static int ask_servers(gcore_lookup *lookup)
{
    gcore__ask *ask = &lookup->ask;

    ask->count = 0;
    if (lookup->family != AF_INET6)
        ask->types[ask->count++] = GCORE_DNS_A;
    if (lookup->family != AF_INET && !lookup->resolver->config->no_aaaa)
        ask->types[ask->count++] = GCORE_DNS_AAAA;
    ask->search = true;
    if (ask->count == 0)
        return -GCORE_EAI_NODATA;
    return gcore__ask_start(lookup);
}

/* Goes on with the next source. */
static int next_source(gcore_lookup *lookup)
{
    for (;;) {
        gcore__host *host = NULL;
        int result;

        switch (lookup->resolver->config->sources[lookup->source++]) {
        case 'f':
            result = in_file(lookup, &host);
            if (!host && result == 0 && is_localhost(lookup->ask.name))
                host = localhost(lookup->ask.name, lookup->family);
            if (host || result < 0)
                return found(lookup, host);
            break;
        case 'b':
            host = find_kept(lookup);
            if (host)
                return found(lookup, host);
            result = ask_servers(lookup);
            if (result >= 0)
                return result;
            lookup->failure = result;
            break;
        default:
            return lookup->failure;
        }
    }
}

/* The servers have answered, or failed. */
static int step(gcore_lookup *lookup, int result)
{
    gcore__host *host;

    if (result < 0) {
        lookup->failure = result;
        result = next_source(lookup);
        if (result <= 0)
            return result;
    }
    if (lookup->host)
        return 1;
    host = host_from(&lookup->ask);
    if (host)
        keep(lookup, host);
    return found(lookup, host);
}

int gcore__host_find(gcore_lookup *lookup, const char *name, int family)
{
    size_t length = strlen(name);
    int result;

    if (length == 0 || length >= GCORE__NAME_ROOM)
        return -GCORE_EAI_NONAME;
    lookup->ask.name = gcore__arena_text(&lookup->arena, name, length);
    if (!lookup->ask.name)
        return -ENOMEM;
    lookup->family = family;
    lookup->failure = -GCORE_EAI_NONAME;
    lookup->step = step;
    result = next_source(lookup);
    return result > 0 ? step(lookup, result) : result;
}
