/*
 * Watches on the phases of a turn: idle, prepare, check, and fork.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/watch.h"

void gcore__phase_add(gcore__link *watches)
{
    gcore__link *link = watches->next;

    while (link != watches) {
        gcore_watch *watch = GCORE__OF(gcore_watch, link, link);

        link = link->next; /* a GCORE_ONCE one leaves the list */
        gcore__watch_complete(watch, 0);
    }
}

void gcore__idle_add(gcore_hub *hub)
{
    for (int i = GCORE__PRIORITIES - 1; i >= 0; i--) {
        if (!gcore__list_empty(&hub->ready[i]))
            return;
        if (!gcore__list_empty(&hub->idle[i])) {
            gcore__phase_add(&hub->idle[i]);
            return;
        }
    }
}

static gcore__link *idle_list(gcore_watch *watch)
{
    return &watch->hub->idle[watch->ready.priority - GCORE_PRIORITY_MIN];
}

static int idle_start(gcore_watch *watch)
{
    watch->hub->idle_count++;
    return 0;
}

static void idle_stop(gcore_watch *watch)
{
    watch->hub->idle_count--;
}

static gcore__link *prepare_list(gcore_watch *watch)
{
    return &watch->hub->prepare;
}

static gcore__link *check_list(gcore_watch *watch)
{
    return &watch->hub->check;
}

static gcore__link *fork_list(gcore_watch *watch)
{
    return &watch->hub->fork;
}

static const gcore__kind idle_kind = {
    .number = GCORE_WATCH_IDLE,
    .list = idle_list,
    .start = idle_start,
    .stop = idle_stop,
};

static const gcore__kind prepare_kind = {
    .number = GCORE_WATCH_PREPARE,
    .list = prepare_list,
};

static const gcore__kind check_kind = {
    .number = GCORE_WATCH_CHECK,
    .list = check_list,
};

static const gcore__kind fork_kind = {
    .number = GCORE_WATCH_FORK,
    .list = fork_list,
};

int gcore_idle_new(gcore_hub *hub, gcore_watch **out)
{
    return gcore__watch_new(hub, &idle_kind, out);
}

int gcore_prepare_new(gcore_hub *hub, gcore_watch **out)
{
    return gcore__watch_new(hub, &prepare_kind, out);
}

int gcore_check_new(gcore_hub *hub, gcore_watch **out)
{
    return gcore__watch_new(hub, &check_kind, out);
}

int gcore_fork_new(gcore_hub *hub, gcore_watch **out)
{
    return gcore__watch_new(hub, &fork_kind, out);
}
