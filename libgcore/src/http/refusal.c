/*
 * Refusals: statuses and texts, from the one table.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stddef.h>

#include "http/refusal.h"

static const struct {
    int status;
    const char *text;
} table[] = {
    {0, NULL},
#define ROW(name, status, text) {status, text},
    GCORE__HTTP_REFUSALS(ROW)
#undef ROW
};

int gcore__http_refusal_status(gcore__http_refusal refusal)
{
    return table[refusal].status;
}

const char *gcore__http_refusal_text(gcore__http_refusal refusal)
{
    return table[refusal].text;
}
