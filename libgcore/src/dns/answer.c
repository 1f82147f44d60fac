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
        size_t room = answer->room ? answer->room * 2 : 2;
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

static const gcore_dns_record *find(const gcore__answer *answer,
                                    const char *name, int type)
{
    for (size_t i = 0; i < answer->count; i++)
        if (answer->records[i].type == type &&
            gcore__name_equal(answer->records[i].name, name))
            return &answer->records[i];
    return NULL;
}

/* Follows the CNAMEs. */
static int find_end(gcore__answer *answer, const char *name, int type)
{
    for (size_t hops = 0; hops <= answer->count; hops++) {
        const gcore_dns_record *alias = NULL;

        if (type != GCORE_DNS_CNAME && type != GCORE_DNS_ANY)
            alias = find(answer, name, GCORE_DNS_CNAME);
        answer->name = name;
        if (!alias)
            return 0;
        name = alias->target;
    }
    return -GCORE_EAI_FAIL;
}

/* Keeps what was asked for and what led there. */
static void sift(gcore__answer *answer, int type)
{
    size_t kept = 0;
    size_t found = 0;

    answer->ttl = UINT32_MAX;
    for (size_t i = 0; i < answer->count; i++) {
        gcore_dns_record *record = &answer->records[i];
        bool wanted = type == GCORE_DNS_ANY ||
                      (record->type == type &&
                       gcore__name_equal(record->name, answer->name));

        if (!wanted && record->type != GCORE_DNS_CNAME)
            continue;
        found += wanted;
        if (record->ttl < answer->ttl)
            answer->ttl = record->ttl;
        answer->records[kept++] = *record;
    }
    answer->count = kept;
    if (found == 0)
        answer->error = -GCORE_EAI_NODATA;
}

int gcore__answer_settle(gcore__answer *answer, const char *name, int type,
                         uint32_t negative_ttl)
{
    int error = find_end(answer, name, type);

    if (error < 0)
        return error;
    if (answer->error == 0)
        sift(answer, type);
    if (answer->error < 0)
        answer->ttl = negative_ttl;
    return 0;
}
