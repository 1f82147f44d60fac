/*
 * From an address to a host.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"

/* 32 digits, each with a dot, and ip6.arpa: the longest. */
#define NAME_ROOM 80

static void write_name4(const uint8_t bytes[4], char *out)
{
    snprintf(out, NAME_ROOM, "%u.%u.%u.%u.in-addr.arpa", bytes[3], bytes[2],
             bytes[1], bytes[0]);
}

static void write_name6(const uint8_t bytes[16], char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 15; i >= 0; i--) {
        *out++ = digits[bytes[i] & 0xf];
        *out++ = '.';
        *out++ = digits[bytes[i] >> 4];
        *out++ = '.';
    }
    memcpy(out, "ip6.arpa", 9);
}

/* The first name that can be a host's; as with libc there are no aliases.
 * NULL without memory. */
static gcore__host *host_from(const gcore__answer *answer,
                              const gcore_dns_address *address)
{
    gcore__host *host = gcore__host_of("", address);

    if (!host)
        return NULL;
    host->shared.expires = answer->shared.expires;
    host->name = NULL;
    for (size_t i = 0; i < answer->count; i++) {
        const gcore_dns_record *record = &answer->records[i];

        if (record->type != GCORE_DNS_PTR ||
            !gcore__name_is_host(record->target))
            continue;
        host->name = gcore__arena_text(&host->shared.arena, record->target,
                                       strlen(record->target));
        if (host->name)
            break;
        gcore__shared_unref(host);
        return NULL;
    }
    return host;
}

static int ask_servers(gcore_lookup *lookup)
{
    gcore__ask *ask = &lookup->ask;
    char name[NAME_ROOM];

    if (lookup->address->family == AF_INET)
        write_name4(lookup->address->bytes, name);
    else
        write_name6(lookup->address->bytes, name);
    ask->name = gcore__arena_text(&lookup->arena, name, strlen(name));
    if (!ask->name)
        return -ENOMEM;
    ask->types[0] = GCORE_DNS_PTR;
    ask->count = 1;
    return gcore__ask_start(lookup);
}

static int in_file(gcore_lookup *lookup)
{
    int error = gcore__hosts_by_address(lookup->resolver->hosts,
                                        lookup->address, lookup->family,
                                        &lookup->host);

    if (lookup->host)
        gcore__shared_ref(lookup->host);
    return error;
}

static int next_source(gcore_lookup *lookup);

/* Servers that do not help leave it to the next source. */
static int heard(gcore_lookup *lookup, int result)
{
    gcore__host *host;

    if (result == 0)
        return 0;
    if (result > 0) {
        host = host_from(lookup->ask.answers[0], lookup->address);
        if (!host)
            return -ENOMEM;
        if (host->name) {
            lookup->host = host;
            return lookup->finish(lookup);
        }
        gcore__shared_unref(host);
        result = -GCORE_EAI_NONAME;
    }
    lookup->failure = result;
    return next_source(lookup);
}

static int next_source(gcore_lookup *lookup)
{
    int error;

    for (;;) {
        switch (lookup->resolver->config->sources[lookup->source++]) {
        case 'f':
            error = in_file(lookup);
            if (error < 0)
                return error;
            if (lookup->host)
                return lookup->finish(lookup);
            break;
        case 'b':
            return heard(lookup, ask_servers(lookup));
        default:
            return lookup->failure;
        }
    }
}

static int step(gcore_lookup *lookup, int result)
{
    result = heard(lookup, result);
    return result < 0 && lookup->failed ? lookup->failed(lookup, result)
                                        : result;
}

int gcore__reverse_find(gcore_lookup *lookup, const gcore_dns_address *address)
{
    int result;

    lookup->address = gcore__arena_alloc(&lookup->arena,
                                         sizeof *lookup->address);
    if (!lookup->address)
        return -ENOMEM;
    gcore__address_set(lookup->address, address->family, address->bytes,
                       address->scope);
    if (gcore__address_is_mapped(lookup->address))
        gcore__address_unmap(lookup->address);
    lookup->family = address->family;
    lookup->failure = -GCORE_EAI_NONAME;
    lookup->step = step;
    result = next_source(lookup);
    return result < 0 && lookup->failed ? lookup->failed(lookup, result)
                                        : result;
}
