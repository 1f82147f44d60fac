/*
 * Any bytes as a DNS message. The first two say which type was asked for;
 * the question is the message's own. What is read must hang together: each
 * name and each part is there to its last byte, and nothing is left over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/dns.h"

#define REQUIRE(condition)                                                    \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,  \
                    #condition);                                              \
            abort();                                                          \
        }                                                                     \
    } while (0)

static void check_record(const gcore_dns_record *record)
{
    REQUIRE(record->name && strlen(record->name) < GCORE__NAME_ROOM);
    if (record->target && record->type != GCORE_DNS_URI)
        REQUIRE(strlen(record->target) < GCORE__NAME_ROOM);
    for (size_t i = 0; i < record->part_count; i++)
        REQUIRE(record->parts[i].data[record->parts[i].length] == 0);
    gcore__name_is_host(record->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gcore__answer *answer = NULL;
    int error, type;

    if (size < 2)
        return 0;
    type = data[0] << 8 | data[1];
    error = gcore__message_read(data + 2, size - 2, "a.test", type, &answer);
    if (error == 0) {
        REQUIRE(answer->name);
        REQUIRE(answer->error <= 0);
        for (size_t i = 0; i < answer->count; i++)
            check_record(&answer->records[i]);
        gcore__shared_unref(answer);
    } else {
        REQUIRE(error == -GCORE_EAI_FAIL || error == GCORE__UNWILLING);
    }
    REQUIRE(gcore_allocator_live() == 0);
    return 0;
}
