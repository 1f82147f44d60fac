/*
 * The hosts file, read as libc reads it: all lines of a name count, in their
 * order; the first one gives the canonical name. What can be asked of a line
 * depends on the family: see address_for.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "dns/dns.h"

struct line {
    gcore_dns_address address;
    const char **names; /* the canonical one first */
    size_t count;
};

/* A line in the list of a name's. */
struct use {
    struct use *next;
    const struct line *line;
};

enum { ANY, INET, INET6, FAMILIES };

struct name {
    gcore__node node;
    struct use *first;
    struct use *last;
    gcore__host *hosts[FAMILIES]; /* made when first asked for */
};

struct by_address {
    gcore__node node;
    gcore_dns_address address; /* the key */
    const struct line *line;
    gcore__host *hosts[FAMILIES];
};

struct gcore__hosts {
    gcore__arena arena;
    gcore__table names;
    gcore__table addresses;
};

/* Reading */

static bool read_address(const char *word, gcore_dns_address *address)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, word, bytes) == 1)
        gcore__address_set(address, AF_INET, bytes, 0);
    else if (inet_pton(AF_INET6, word, bytes) == 1)
        gcore__address_set(address, AF_INET6, bytes, 0);
    else
        return false;
    return true;
}

static size_t count_words(const char *text)
{
    size_t count = 0;

    while (*(text += strspn(text, " \t\r\v\f"))) {
        text += strcspn(text, " \t\r\v\f");
        count++;
    }
    return count;
}

static struct name *find_name(gcore__hosts *hosts, const char *name)
{
    gcore__node *node = gcore__table_find(&hosts->names, name, strlen(name));

    return node ? GCORE__OF(struct name, node, node) : NULL;
}

static char *lower(gcore__arena *arena, const char *name)
{
    char *copy = gcore__arena_text(arena, name, strlen(name));

    for (char *at = copy; at && *at; at++)
        *at = gcore__lower(*at);
    return copy;
}

static int add_use(gcore__hosts *hosts, const char *text,
                   const struct line *line)
{
    struct use *use = gcore__arena_alloc(&hosts->arena, sizeof *use);
    char *key = lower(&hosts->arena, text);
    struct name *name;

    if (!use || !key)
        return -ENOMEM;
    use->line = line;
    name = find_name(hosts, key);
    if (!name) {
        name = gcore__arena_alloc(&hosts->arena, sizeof *name);
        if (!name)
            return -ENOMEM;
        name->node.key = key;
        name->node.length = (uint32_t)strlen(key);
        gcore__table_add(&hosts->names, &name->node);
        name->first = name->last = use;
        return 0;
    }
    if (name->last->line == line) /* named twice there */
        return 0;
    name->last->next = use;
    name->last = use;
    return 0;
}

static int add_address(gcore__hosts *hosts, const struct line *line)
{
    gcore_dns_address address = line->address;
    struct by_address *entry;

    if (gcore__address_is_mapped(&address))
        gcore__address_unmap(&address);
    if (gcore__table_find(&hosts->addresses, address.bytes, address.length))
        return 0;
    entry = gcore__arena_alloc(&hosts->arena, sizeof *entry);
    if (!entry)
        return -ENOMEM;
    entry->address = address;
    entry->line = line;
    entry->node.key = entry->address.bytes;
    entry->node.length = entry->address.length;
    gcore__table_add(&hosts->addresses, &entry->node);
    return 0;
}

static int add_line(gcore__hosts *hosts, char *text)
{
    char *word = gcore__file_word(&text);
    gcore_dns_address address;
    struct line *line;
    size_t count;
    int error = 0;

    if (!word || !read_address(word, &address))
        return 0;
    count = count_words(text);
    line = gcore__arena_alloc(&hosts->arena, sizeof *line);
    if (!line)
        return -ENOMEM;
    line->address = address;
    line->names = gcore__arena_alloc(&hosts->arena,
                                     (count + 1) * sizeof *line->names);
    if (!line->names)
        return -ENOMEM;
    while (error == 0 && (word = gcore__file_word(&text)) != NULL) {
        char *name = gcore__arena_text(&hosts->arena, word, strlen(word));

        line->names[line->count++] = name;
        error = name ? add_use(hosts, name, line) : -ENOMEM;
    }
    if (count == 0) /* by its address it is known all the same */
        line->names[line->count++] = "";
    return error < 0 ? error : add_address(hosts, line);
}

int gcore__hosts_new(const char *path, gcore__hosts **out)
{
    gcore__hosts *hosts;
    char *text, *rest, *line;
    int error = gcore__file_read(path, &text);

    if (error < 0)
        return error;
    hosts = gcore__alloc(sizeof *hosts);
    if (!hosts) {
        gcore__free(text);
        return -ENOMEM;
    }
    error = gcore__table_init(&hosts->names);
    if (error == 0)
        error = gcore__table_init(&hosts->addresses);
    rest = text;
    while (error == 0 && gcore__file_line(&rest, "#", &line))
        error = add_line(hosts, line);
    gcore__free(text);
    if (error < 0) {
        gcore__hosts_free(hosts);
        return error;
    }
    *out = hosts;
    return 0;
}

static void free_made(gcore__hosts *hosts)
{
    for (size_t i = 0; i < hosts->names.room; i++)
        for (gcore__node *node = hosts->names.buckets[i]; node;
             node = node->next)
            for (int k = 0; k < FAMILIES; k++)
                gcore__shared_unref(
                    GCORE__OF(struct name, node, node)->hosts[k]);
    for (size_t i = 0; i < hosts->addresses.room; i++)
        for (gcore__node *node = hosts->addresses.buckets[i]; node;
             node = node->next)
            for (int k = 0; k < FAMILIES; k++)
                gcore__shared_unref(
                    GCORE__OF(struct by_address, node, node)->hosts[k]);
}

void gcore__hosts_free(gcore__hosts *hosts)
{
    if (!hosts)
        return;
    free_made(hosts);
    gcore__table_free(&hosts->names);
    gcore__table_free(&hosts->addresses);
    gcore__arena_free(&hosts->arena);
    gcore__free(hosts);
}

/* Finding */

/* What a line's address is to who asks for a family; false: nothing. */
static bool address_for(const struct line *line, int family,
                        gcore_dns_address *out)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};

    *out = line->address;
    if (family == AF_UNSPEC || out->family == family)
        return true;
    if (family != AF_INET)
        return false;
    if (gcore__address_is_mapped(out))
        gcore__address_unmap(out);
    else if (memcmp(out->bytes, &in6addr_loopback, 16) == 0)
        gcore__address_set(out, AF_INET, loopback, 0);
    else
        return false;
    return true;
}

struct sizes {
    size_t lines;
    size_t names;
};

static struct sizes measure(const struct use *use)
{
    struct sizes sizes = {0};

    for (; use; use = use->next) {
        sizes.lines++;
        sizes.names += use->line->count;
    }
    return sizes;
}

static int add_alias(gcore__host *host, const char *name)
{
    const char *copy = gcore__arena_text(&host->shared.arena, name,
                                         strlen(name));

    if (!copy)
        return -ENOMEM;
    host->aliases[host->alias_count++] = copy;
    return 0;
}

/* Libc's order: of a later line the name comes last, if it is another. */
static int add_names(gcore__host *host, const struct line *line)
{
    const char *name = line->names[0];
    int error = 0;

    for (size_t i = 1; i < line->count && error == 0; i++)
        error = add_alias(host, line->names[i]);
    if (error < 0)
        return error;
    if (host->name)
        return strcmp(host->name, name) == 0 ? 0 : add_alias(host, name);
    host->name = gcore__arena_text(&host->shared.arena, name, strlen(name));
    return host->name ? 0 : -ENOMEM;
}

/* NULL without memory; a host without addresses when no line suits. */
static gcore__host *make(const struct use *use, int family)
{
    struct sizes sizes = measure(use);
    gcore__host *host = gcore__shared_new(sizeof *host);
    gcore__arena *arena;

    if (!host)
        return NULL;
    arena = &host->shared.arena;
    host->aliases = gcore__arena_alloc(arena,
                                       sizes.names * sizeof *host->aliases);
    host->addresses = gcore__arena_alloc(
        arena, sizes.lines * sizeof *host->addresses);
    if (!host->aliases || !host->addresses)
        goto failed;
    for (; use; use = use->next) {
        if (!address_for(use->line, family, &host->addresses[host->count]))
            continue;
        host->count++;
        if (add_names(host, use->line) < 0)
            goto failed;
    }
    return host;

failed:
    gcore__shared_unref(host);
    return NULL;
}

int gcore__hosts_by_name(gcore__hosts *hosts, const char *text, int family,
                         gcore__host **out)
{
    int which = family == AF_INET ? INET : family == AF_INET6 ? INET6 : ANY;
    struct name *name = find_name(hosts, text);

    *out = NULL;
    if (!name)
        return 0;
    if (!name->hosts[which])
        name->hosts[which] = make(name->first, family);
    if (!name->hosts[which])
        return -ENOMEM;
    if (name->hosts[which]->count > 0)
        *out = name->hosts[which];
    return 0;
}

int gcore__hosts_by_address(gcore__hosts *hosts,
                            const gcore_dns_address *address, int family,
                            gcore__host **out)
{
    int which = family == AF_INET ? INET : ANY;
    gcore__node *node = gcore__table_find(&hosts->addresses, address->bytes,
                                          address->length);
    struct by_address *entry;

    *out = NULL;
    if (!node)
        return 0;
    entry = GCORE__OF(struct by_address, node, node);
    if (family == AF_INET6 && entry->line->address.family != AF_INET6)
        return 0; /* asked for in IPv6's form, it must stand there so */
    if (!entry->hosts[which]) {
        struct use use = {.line = entry->line};

        entry->hosts[which] = make(&use, which == INET ? AF_INET : AF_UNSPEC);
    }
    *out = entry->hosts[which];
    return *out ? 0 : -ENOMEM;
}
