/*
 * Answers: records, and what they say about the question.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "dns/dns.h"

gcore__answer *gcore__answer_new(void)
{
    return gcore__shared_new(sizeof(gcore__answer));
}

gcore_dns_record *gcore__answer_add(gcore__answer *answer)
{
    if (answer->count == answer->room) {
        size_t room = answer->count ? answer->count * 2 : 1;
        gcore_dns_record *records = gcore__arena_alloc(
            &answer->shared.arena, room * sizeof *records);

        if (!records)
            return NULL;
        if (answer->count > 0)
            memcpy(records, answer->records, answer->count * sizeof *records);
        answer->records = records;
        answer->room = room;
    }
    return &answer->records[answer->count++];
}

/* More CNAMEs than that in a row are a mistake, or an attack. */
#define LONGEST_CHAIN 64

/* The place of a name's first CNAME; the count without one. */
static size_t find_alias(const gcore__answer *answer, const char *name)
{
    size_t i = 0;

    while (i < answer->count &&
           (answer->records[i].type != GCORE_DNS_CNAME ||
            !gcore__name_equal(answer->records[i].name, name)))
        i++;
    return i;
}

/* Puts a record before those from a place on. */
static void move(gcore__answer *answer, size_t from, size_t to)
{
    gcore_dns_record *records = answer->records;
    gcore_dns_record record = records[from];

    if (from == to)
        return;
    memmove(&records[to + 1], &records[to], (from - to) * sizeof *records);
    records[to] = record;
}

/* Follows the CNAMEs, which come first then. Returns how many there are, or
 * -GCORE_EAI_FAIL when they have no end. */
static int find_end(gcore__answer *answer, const char *name, int type)
{
    answer->name = name;
    if (type == GCORE_DNS_CNAME || type == GCORE_DNS_ANY)
        return 0;
    for (size_t hops = 0; hops <= LONGEST_CHAIN; hops++) {
        size_t alias = find_alias(answer, answer->name);

        if (alias == answer->count)
            return (int)hops;
        if (alias < hops)
            break; /* they go round */
        answer->name = answer->records[alias].target;
        move(answer, alias, hops);
    }
    return -GCORE_EAI_FAIL;
}

/* Keeps what was asked for, and the first ones, which led there. */
static void sift(gcore__answer *answer, int type, size_t hops)
{
    size_t kept = 0;

    answer->ttl = UINT32_MAX;
    for (size_t i = 0; i < answer->count; i++) {
        gcore_dns_record *record = &answer->records[i];

        if (i >= hops && type != GCORE_DNS_ANY &&
            (record->type != type ||
             !gcore__name_equal(record->name, answer->name)))
            continue;
        if (record->ttl < answer->ttl)
            answer->ttl = record->ttl;
        answer->records[kept++] = *record;
    }
    answer->count = kept;
    if (kept == hops)
        answer->error = -GCORE_EAI_NODATA;
}

int gcore__answer_settle(gcore__answer *answer, const char *name, int type,
                         uint32_t negative_ttl)
{
    int hops = find_end(answer, name, type);

    if (hops < 0)
        return hops;
    if (answer->error == 0)
        sift(answer, type, (size_t)hops);
    if (answer->error < 0)
        answer->ttl = negative_ttl;
    return 0;
}
