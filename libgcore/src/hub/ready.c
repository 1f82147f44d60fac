/*
 * What is over and not yet handed over: one list a priority.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/hub.h"

void gcore_complete(void *arg, int64_t result)
{
    (void)arg;
    (void)result;
}

void gcore__ready_add(gcore_hub *hub, gcore__ready *ready)
{
    gcore__list_append(&hub->ready[ready->priority - GCORE_PRIORITY_MIN],
                       &ready->link);
    ready->listed = true;
    hub->ready_count++;
}

void gcore__ready_withdraw(gcore_hub *hub, gcore__ready *ready)
{
    if (!ready->listed)
        return;
    gcore__list_remove(&ready->link);
    ready->listed = false;
    if (ready->kept)
        hub->kept_count--;
    else
        hub->ready_count--;
    ready->kept = false;
}

static gcore__ready *first_of(gcore__link *list)
{
    return gcore__list_empty(list) ? NULL
                                   : GCORE__OF(gcore__ready, link, list->next);
}

static gcore__ready *first_ready(gcore_hub *hub, bool with_kept)
{
    gcore__ready *ready = with_kept ? first_of(&hub->kept) : NULL;

    if (ready || hub->ready_count == 0)
        return ready;
    for (int i = GCORE__PRIORITIES - 1; i >= 0 && !ready; i--)
        ready = first_of(&hub->ready[i]);
    return ready;
}

/* run has nobody to give a completion to: a later poll returns it. */
static void keep(gcore_hub *hub, gcore__ready *ready)
{
    gcore__ready_withdraw(hub, ready);
    gcore__list_append(&hub->kept, &ready->link);
    ready->listed = ready->kept = true;
    hub->kept_count++;
}

int gcore__ready_deliver(gcore_hub *hub, gcore_completion *out, int max)
{
    gcore__ready *ready;
    int count = 0;

    hub->leftover = false;
    while ((ready = first_ready(hub, out != NULL)) != NULL) {
        gcore_done_fn *done = ready->done;
        void *arg = ready->arg;
        int64_t result;

        if (done == GCORE_COMPLETE && !out) {
            keep(hub, ready);
            continue;
        }
        if (done == GCORE_COMPLETE && count == max) {
            hub->leftover = true;
            break;
        }
        gcore__ready_withdraw(hub, ready);
        hub->completions++;
        result = ready->take(hub, ready);
        if (done == GCORE_COMPLETE)
            out[count++] = (gcore_completion){arg, result};
        else
            done(arg, result);
    }
    return count;
}
