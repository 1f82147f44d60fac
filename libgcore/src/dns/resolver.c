/*
 * The life of a resolver: options, files that change, forks, closing.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"
#include "util/sized.h"

#define KNOWN_FLAGS                                                           \
    (GCORE_RESOLVER_USETCP | GCORE_RESOLVER_PRIMARY |                         \
     GCORE_RESOLVER_IGNTRUNC | GCORE_RESOLVER_NORECURSE |                     \
     GCORE_RESOLVER_STAYOPEN | GCORE_RESOLVER_NOSEARCH | 0x40 |               \
     GCORE_RESOLVER_NOCHECKRESP | 0x100 | GCORE_RESOLVER_NOEDNS |             \
     GCORE_RESOLVER_NOENV | GCORE_RESOLVER_CACHE)

#define SERVER_TEXT 64

/* Options */

static const gcore_resolver_options defaults = {
    .hosts_path = "/etc/hosts",
    .resolv_path = "/etc/resolv.conf",
    .nsswitch_path = "/etc/nsswitch.conf",
    .recheck = GCORE__NS / 10,
    .cache_ttl = 86400 * GCORE__NS,
    .negative_ttl = 900 * GCORE__NS,
    .in_flight = 256,
    .cache_size = 10000,
    .cache_bytes = 32 << 20,
    .receive_buffer = 1 << 20,
    .edns_size = 1232,
};

static bool are_valid(const gcore_resolver_options *options)
{
    const char *lookups = options->lookups ? options->lookups : "fb";

    return !(options->flags & ~(unsigned)KNOWN_FLAGS) &&
           options->timeout >= 0 && options->recheck >= 0 &&
           options->cache_ttl >= 0 && options->negative_ttl >= 0 &&
           options->tries >= 0 && options->edns_size <= UINT16_MAX &&
           options->receive_buffer <= INT32_MAX && *lookups &&
           !lookups[strspn(lookups, "fb")];
}

#define DEFAULT(member)                                                       \
    do {                                                                      \
        if (!options->member)                                                 \
            options->member = defaults.member;                                \
    } while (0)

static int read_options(gcore_resolver_options *options,
                        const gcore_resolver_options *given)
{
    if (gcore__sized_read(given, options, sizeof *options) < 0 ||
        !are_valid(options))
        return -EINVAL;
    DEFAULT(hosts_path);
    DEFAULT(resolv_path);
    DEFAULT(nsswitch_path);
    DEFAULT(recheck);
    DEFAULT(cache_ttl);
    DEFAULT(negative_ttl);
    DEFAULT(in_flight);
    DEFAULT(cache_size);
    DEFAULT(cache_bytes);
    DEFAULT(receive_buffer);
    DEFAULT(edns_size);
    return 0;
}

/* The texts are the caller's: copies them. */
static int own_texts(gcore_resolver *resolver)
{
    gcore_resolver_options *options = &resolver->options;
    const char **texts[] = {
        &options->servers,       &options->domains,     &options->lookups,
        &options->hosts_path,    &options->resolv_path, &options->local_ip,
        &options->nsswitch_path, &options->local_device};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *text = *texts[i];

        if (!text)
            continue;
        *texts[i] = gcore__arena_text(&resolver->arena, text, strlen(text));
        if (!*texts[i])
            return -ENOMEM;
    }
    resolver->hosts_file.path = options->hosts_path;
    resolver->resolv_file.path = options->resolv_path;
    resolver->nsswitch_file.path = options->nsswitch_path;
    return 0;
}

/* Files */

/* What is asked from now on goes by a new wire. */
static void renew_wire(gcore_resolver *resolver)
{
    gcore__wire *wire = resolver->wire;

    resolver->wire = NULL;
    if (wire)
        gcore__wire_retire(wire);
}

static int read_config(gcore_resolver *resolver)
{
    gcore__config *config;
    int error = gcore__config_new(&resolver->options, &config);

    if (error < 0)
        return error;
    gcore__config_free(resolver->config);
    resolver->config = config;
    if (resolver->caching)
        gcore__cache_clear(&resolver->cache);
    renew_wire(resolver);
    return 0;
}

static int read_hosts(gcore_resolver *resolver)
{
    gcore__hosts *hosts;
    int error = gcore__hosts_new(resolver->options.hosts_path, &hosts);

    if (error < 0)
        return error;
    gcore__hosts_free(resolver->hosts);
    resolver->hosts = hosts;
    return 0;
}

static int reread_changed(gcore_resolver *resolver)
{
    bool resolv = gcore__file_changed(&resolver->resolv_file);
    bool nsswitch = gcore__file_changed(&resolver->nsswitch_file);
    int error = 0;

    if (resolv || nsswitch || !resolver->config)
        error = read_config(resolver);
    if (error < 0) {
        resolver->resolv_file.known = false; /* again next time */
        return error;
    }
    if (gcore__file_changed(&resolver->hosts_file) ||
        !resolver->hosts)
        error = read_hosts(resolver);
    if (error < 0)
        resolver->hosts_file.known = false;
    return error;
}

static int reread(gcore_resolver *resolver)
{
    int64_t now = gcore_clock();
    int error;

    resolver->now = now;
    if (resolver->looked &&
        now - resolver->looked < resolver->options.recheck)
        return 0;
    error = reread_changed(resolver);
    resolver->looked = error < 0 ? 0 : now;
    return error;
}

/* Making */

void gcore__resolver_hold(gcore_resolver *resolver)
{
    atomic_fetch_add_explicit(&resolver->holds, 1, memory_order_relaxed);
}

void gcore__resolver_drop(gcore_resolver *resolver)
{
    gcore_hub *hub = resolver->hub;

    if (atomic_fetch_sub_explicit(&resolver->holds, 1,
                                  memory_order_acq_rel) != 1)
        return;
    gcore__config_free(resolver->config);
    gcore__hosts_free(resolver->hosts);
    if (resolver->caching)
        gcore__cache_free(&resolver->cache);
    gcore__questions_trim(resolver);
    gcore__table_free(&resolver->questions);
    gcore__free(resolver->server_text);
    gcore__arena_free(&resolver->arena);
    gcore__free(resolver);
    gcore__hub_drop(hub);
}

/* In a forked child; when the hub closes. */
static void forked(void *arg, int64_t result)
{
    gcore_resolver *resolver = arg;

    if (result < 0)
        gcore_resolver_close(resolver);
    else
        gcore_resolver_after_fork(resolver);
}

static int watch_forks(gcore_resolver *resolver)
{
    int error = gcore_fork_new(resolver->hub, &resolver->fork);

    if (error < 0)
        return error;
    gcore_watch_set_keepalive(resolver->fork, 0);
    gcore_watch_set_priority(resolver->fork, GCORE_PRIORITY_MAX);
    return gcore_watch_start(resolver->fork, 0, GCORE_FOREVER, forked,
                             resolver);
}

static int open_resolver(gcore_resolver *resolver,
                         const gcore_resolver_options *given)
{
    int error = read_options(&resolver->options, given);

    if (error == 0)
        error = own_texts(resolver);
    if (error == 0)
        error = gcore__table_init(&resolver->questions);
    if (error == 0 && resolver->options.flags & GCORE_RESOLVER_CACHE) {
        error = gcore__cache_init(&resolver->cache,
                                  resolver->options.cache_size,
                                  resolver->options.cache_bytes);
        resolver->caching = error == 0;
    }
    if (error == 0)
        error = reread(resolver);
    /* The wire is opened for its errors: a bad local address. */
    if (error == 0)
        error = gcore__wire_new(resolver, &resolver->wire);
    if (error == 0)
        error = watch_forks(resolver);
    return error;
}

int gcore_resolver_new(gcore_hub *hub, const gcore_resolver_options *options,
                       gcore_resolver **out)
{
    gcore_resolver *resolver;
    int error;

    if (!hub || !out)
        return -EINVAL;
    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    resolver = gcore__alloc(sizeof *resolver);
    if (!resolver)
        return -ENOMEM;
    resolver->hub = hub;
    gcore__hub_hold(hub);
    resolver->refs = 1;
    atomic_init(&resolver->holds, 1);
    resolver->generation = gcore__fork_generation();
    gcore__list_init(&resolver->wires);
    gcore__list_init(&resolver->queue);
    gcore__list_init(&resolver->spare);
    gcore__list_init(&resolver->lookups);
    error = open_resolver(resolver, options);
    if (error < 0) {
        gcore_resolver_unref(resolver);
        return error;
    }
    *out = resolver;
    return 0;
}

gcore_resolver *gcore_resolver_ref(gcore_resolver *resolver)
{
    resolver->refs++;
    return resolver;
}

void gcore_resolver_unref(gcore_resolver *resolver)
{
    if (!resolver || --resolver->refs > 0)
        return;
    gcore_resolver_close(resolver);
    gcore__resolver_drop(resolver);
}

gcore_hub *gcore_resolver_hub(gcore_resolver *resolver)
{
    return resolver->hub;
}

/* Ending */

static void cancel_all(gcore_resolver *resolver)
{
    while (!gcore__list_empty(&resolver->lookups))
        gcore__lookup_complete(
            GCORE__OF(gcore_lookup, link, resolver->lookups.next),
            -ECANCELED);
    gcore__questions_drop(resolver);
    resolver->wire = NULL;
    while (!gcore__list_empty(&resolver->wires))
        gcore__wire_free(gcore__wire_of(resolver->wires.next));
}

int gcore_resolver_close(gcore_resolver *resolver)
{
    if (resolver->closed)
        return 0;
    resolver->closed = true;
    gcore__resolver_hold(resolver); /* what ends may be its last owner */
    cancel_all(resolver);
    if (resolver->caching)
        gcore__cache_clear(&resolver->cache);
    if (resolver->fork) {
        gcore_watch_stop(resolver->fork);
        gcore_watch_unref(resolver->fork);
        resolver->fork = NULL;
    }
    gcore__resolver_drop(resolver);
    return 0;
}

int gcore_resolver_after_fork(gcore_resolver *resolver)
{
    gcore_hub *hub = resolver->hub;

    if (resolver->closed ||
        resolver->generation == gcore__fork_generation())
        return 0;
    /* Else closing sockets would reach into the parent's epoll. */
    if (hub->generation != gcore__fork_generation()) {
        int error = gcore_hub_after_fork(hub);

        if (error < 0)
            return error;
    }
    resolver->generation = gcore__fork_generation();
    resolver->closed = true; /* nothing new out of what ends */
    cancel_all(resolver);
    resolver->closed = false;
    return 0;
}

/* Using */

int gcore__resolver_enter(gcore_resolver *resolver)
{
    int error;

    if (resolver->closed || atomic_load(&resolver->hub->closed))
        return -ESHUTDOWN;
    error = gcore_resolver_after_fork(resolver);
    return error < 0 ? error : reread(resolver);
}

int gcore_resolver_set_servers(gcore_resolver *resolver, const char *servers)
{
    gcore__server parsed[GCORE__SERVERS];
    const char *copy = NULL;
    const char *before = resolver->options.servers;
    int error = gcore__resolver_enter(resolver);

    if (error < 0)
        return error;
    if (servers) {
        error = gcore__servers_parse(servers, &resolver->options, parsed);
        if (error < 0)
            return error;
        copy = gcore__arena_text(&resolver->arena, servers, strlen(servers));
        if (!copy)
            return -ENOMEM;
    }
    resolver->options.servers = copy;
    error = read_config(resolver);
    if (error < 0)
        resolver->options.servers = before;
    return error;
}

static int write_server(const gcore__server *server, char *out)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(server->family, server->bytes, text, sizeof text);
    return snprintf(out, SERVER_TEXT,
                    server->family == AF_INET ? "%s:%u" : "[%s]:%u", text,
                    server->udp_port);
}

const char *gcore_resolver_servers(gcore_resolver *resolver)
{
    const gcore__config *config;
    char *text, *at;

    if (gcore__resolver_enter(resolver) < 0)
        return NULL;
    config = resolver->config;
    text = gcore__alloc((size_t)config->server_count * SERVER_TEXT);
    if (!text)
        return NULL;
    at = text;
    for (int i = 0; i < config->server_count; i++) {
        if (i > 0)
            *at++ = ',';
        at += write_server(&config->servers[i], at);
    }
    gcore__free(resolver->server_text);
    resolver->server_text = text;
    return text;
}

int gcore_resolver_clear(gcore_resolver *resolver)
{
    if (resolver->caching)
        gcore__cache_clear(&resolver->cache);
    /* A file read at another moment is another one. */
    resolver->resolv_file.known = false;
    resolver->hosts_file.known = false;
    resolver->looked = 0;
    resolver->reachable_at = 0;
    return 0;
}

int gcore_resolver_counters(gcore_resolver *resolver,
                            gcore_resolver_stats *out)
{
    gcore_resolver_stats stats = resolver->stats;

    stats.cached = resolver->caching ? resolver->cache.table.count : 0;
    stats.cached_bytes = resolver->caching ? resolver->cache.size : 0;
    return gcore__sized_write(out, &stats, sizeof stats);
}
