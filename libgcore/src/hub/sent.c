/*
 * Watches that are told from outside the hub's thread, and the async watch,
 * which is nothing else.
 *
 * A sender marks the watch as sent for its current start and, if it was not
 * marked, puts its note into the hub's inbox, with a reference. So sending
 * twice is one note, and a note that arrives for a start which is over tells
 * nobody.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/watch.h"

static void arrived(gcore_hub *hub, gcore__note *note)
{
    gcore_watch *watch = GCORE__OF(gcore_watch, sent.note, note);
    unsigned sent = atomic_exchange(&watch->sent.sent, 0);

    (void)hub;
    if (watch->started && sent == atomic_load(&watch->sent.wanted))
        gcore__watch_complete(watch, watch->number);
    gcore_watch_unref(watch);
}

void gcore__sent_init(gcore_watch *watch)
{
    watch->sent.note.arrive = arrived;
}

int gcore__sent_start(gcore_watch *watch)
{
    if (++watch->sent.starts == 0)
        watch->sent.starts = 1;
    atomic_store(&watch->sent.wanted, watch->sent.starts);
    return 0;
}

void gcore__sent_stop(gcore_watch *watch)
{
    atomic_store(&watch->sent.wanted, 0);
}

int gcore__sent_send(gcore_watch *watch)
{
    unsigned wanted = atomic_load(&watch->sent.wanted);
    int error;

    if (!wanted || atomic_exchange(&watch->sent.sent, wanted))
        return 0;
    gcore_watch_ref(watch);
    error = gcore__inbox_put(watch->hub, &watch->sent.note);
    if (error == 0)
        return 0;
    atomic_store(&watch->sent.sent, 0);
    gcore_watch_unref(watch);
    return error;
}

static const gcore__kind async_kind = {
    .number = GCORE_WATCH_ASYNC,
    .start = gcore__sent_start,
    .stop = gcore__sent_stop,
};

int gcore_async_new(gcore_hub *hub, gcore_watch **out)
{
    gcore_watch *watch;
    int error = gcore__watch_new(hub, &async_kind, &watch);

    if (error < 0)
        return error;
    gcore__sent_init(watch);
    *out = watch;
    return 0;
}

int gcore_async_send(gcore_watch *watch)
{
    if (watch->kind != &async_kind)
        return -EINVAL;
    if (atomic_load(&watch->closed))
        return -ECANCELED;
    gcore__sent_send(watch);
    return 0;
}
