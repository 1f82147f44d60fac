/*
 * Answers and hosts kept for their time to live; when there are too many, or
 * they are too large together, the one that was not used for the longest time
 * goes. A server decides how large an answer is: by TCP, some megabytes once
 * it is read.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "dns/dns.h"

struct entry {
    gcore__node node;
    gcore__link link; /* in `used` */
    gcore__shared *shared;
    size_t size; /* of itself and what is shared, in bytes */
    char key[];
};

bool gcore__key_set(gcore__key *key, char kind, int number, const char *name)
{
    size_t length = 0;

    for (; name[length]; length++) {
        if (length + 1 >= sizeof key->bytes.name)
            return false;
        key->bytes.name[length] = gcore__lower(name[length]);
    }
    key->bytes.name[length] = '\0';
    key->bytes.kind = (uint8_t)kind;
    key->bytes.number[0] = (uint8_t)(number >> 8);
    key->bytes.number[1] = (uint8_t)number;
    key->length = offsetof(gcore__key, bytes.name) -
                  offsetof(gcore__key, bytes) + length;
    return true;
}

int gcore__cache_init(gcore__cache *cache, size_t most, size_t most_bytes)
{
    cache->most = most;
    cache->most_bytes = most_bytes;
    gcore__list_init(&cache->used);
    return gcore__table_init(&cache->table);
}

static void drop(gcore__cache *cache, struct entry *entry)
{
    gcore__table_remove(&cache->table, &entry->node);
    gcore__list_remove(&entry->link);
    cache->size -= entry->size;
    gcore__shared_unref(entry->shared);
    gcore__free(entry);
}

void gcore__cache_clear(gcore__cache *cache)
{
    while (!gcore__list_empty(&cache->used))
        drop(cache, GCORE__OF(struct entry, link, cache->used.next));
}

void gcore__cache_free(gcore__cache *cache)
{
    gcore__cache_clear(cache);
    gcore__table_free(&cache->table);
}

static struct entry *find(gcore__cache *cache, const gcore__key *key)
{
    gcore__node *node = gcore__table_find(&cache->table, &key->bytes,
                                          key->length);

    return node ? GCORE__OF(struct entry, node, node) : NULL;
}

void *gcore__cache_find(gcore__cache *cache, const gcore__key *key,
                        int64_t now)
{
    struct entry *entry = find(cache, key);

    if (!entry)
        return NULL;
    if (entry->shared->expires <= now) {
        drop(cache, entry);
        return NULL;
    }
    gcore__list_remove(&entry->link);
    gcore__list_append(&cache->used, &entry->link);
    return entry->shared;
}

/* Lets old ones go until so many bytes more can be kept. */
static void make_room(gcore__cache *cache, size_t bytes)
{
    while (cache->table.count >= cache->most ||
           cache->size > cache->most_bytes - bytes)
        drop(cache, GCORE__OF(struct entry, link, cache->used.next));
}

void gcore__cache_keep(gcore__cache *cache, const gcore__key *key,
                       void *object)
{
    gcore__shared *shared = object;
    struct entry *entry = find(cache, key);
    size_t own = sizeof *entry + key->length;
    size_t size = own + gcore__arena_size(&shared->arena);

    if (entry)
        drop(cache, entry);
    if (size > cache->most_bytes)
        return;
    make_room(cache, size);
    entry = gcore__alloc(own);
    if (!entry)
        return; /* it is asked for again */
    memcpy(entry->key, &key->bytes, key->length);
    entry->node.key = entry->key;
    entry->node.length = (uint32_t)key->length;
    entry->shared = gcore__shared_ref(shared);
    entry->size = size;
    cache->size += size;
    gcore__list_append(&cache->used, &entry->link);
    gcore__table_add(&cache->table, &entry->node);
}
