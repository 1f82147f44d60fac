/* SPDX-License-Identifier: MIT */
#include "util/table.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "util/alloc.h"

#define FIRST_ROOM 64

static uint64_t mix(uint64_t value)
{
    value ^= value >> 32;
    value *= UINT64_C(0xd6e8feb86659fd93);
    return value ^ value >> 32;
}

static uint32_t hash_of(const gcore__table *table, const void *key,
                        size_t length)
{
    const char *bytes = key;
    uint64_t hash = table->seed ^ length;
    uint64_t word;

    for (; length >= sizeof word; length -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        hash = mix(hash ^ word);
        bytes += sizeof word;
    }
    word = 0;
    if (length > 0)
        memcpy(&word, bytes, length);
    return (uint32_t)mix(hash ^ word);
}

int gcore__table_init(gcore__table *table)
{
    table->buckets = gcore__alloc(FIRST_ROOM * sizeof *table->buckets);
    if (!table->buckets)
        return -ENOMEM;
    table->room = FIRST_ROOM;
    table->count = 0;
    if (getrandom(&table->seed, sizeof table->seed, GRND_NONBLOCK) < 0)
        table->seed = (uintptr_t)table->buckets;
    return 0;
}

void gcore__table_free(gcore__table *table)
{
    gcore__free(table->buckets);
    *table = (gcore__table){0};
}

static gcore__node **bucket_of(const gcore__table *table, uint32_t hash)
{
    return &table->buckets[hash & (table->room - 1)];
}

gcore__node *gcore__table_find(const gcore__table *table, const void *key,
                               size_t length)
{
    uint32_t hash = hash_of(table, key, length);
    gcore__node *node = *bucket_of(table, hash);

    while (node && (node->hash != hash || node->length != length ||
                    memcmp(node->key, key, length) != 0))
        node = node->next;
    return node;
}

static void grow(gcore__table *table)
{
    gcore__table wider = *table;

    wider.room *= 2;
    wider.buckets = gcore__alloc(wider.room * sizeof *wider.buckets);
    if (!wider.buckets)
        return;
    for (size_t i = 0; i < table->room; i++) {
        gcore__node *node = table->buckets[i];

        while (node) {
            gcore__node *next = node->next;
            gcore__node **bucket = bucket_of(&wider, node->hash);

            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    gcore__free(table->buckets);
    *table = wider;
}

void gcore__table_add(gcore__table *table, gcore__node *node)
{
    gcore__node **bucket;

    if (table->count >= table->room)
        grow(table);
    node->hash = hash_of(table, node->key, node->length);
    bucket = bucket_of(table, node->hash);
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void gcore__table_remove(gcore__table *table, gcore__node *node)
{
    gcore__node **link = bucket_of(table, node->hash);

    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}
