/*
 * What other threads and signal handlers send to a hub: notes.
 *
 * The inbox is a stack that anyone pushes onto and the hub takes whole; it
 * then turns it round, so each sender's notes arrive in the order sent. A
 * closed hub's inbox holds the one note `shut` for ever, which makes pushing
 * fail, so each note either arrives or is refused.
 *
 * A sender wakes the hub only when it is asleep (or another loop waits for
 * it), and of several senders one does: the hub says that it is going to
 * sleep and then looks at the inbox, a sender pushes and then looks whether
 * the hub sleeps, all sequentially consistent, so one of them sees the
 * other.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <unistd.h>

#include "hub/hub.h"

static gcore__note shut;

static void wake_up(gcore_hub *hub)
{
    static const uint64_t one = 1;
    int saved = errno;

    if (!atomic_load(&hub->asleep) || atomic_exchange(&hub->signalled, true))
        return;
    atomic_fetch_add_explicit(&hub->wakes, 1, memory_order_relaxed);
    while (write(atomic_load(&hub->wakefd), &one, sizeof one) < 0 &&
           errno == EINTR)
        ;
    errno = saved;
}

int gcore__inbox_put(gcore_hub *hub, gcore__note *note)
{
    gcore__note *top = atomic_load(&hub->inbox);

    do {
        if (top == &shut)
            return -ESHUTDOWN;
        note->next = top;
    } while (!atomic_compare_exchange_weak(&hub->inbox, &top, note));
    wake_up(hub);
    return 0;
}

void gcore__hub_request(gcore_hub *hub, unsigned request)
{
    atomic_fetch_or(&hub->requests, request);
    wake_up(hub);
}

bool gcore__inbox_empty(gcore_hub *hub)
{
    gcore__note *top = atomic_load(&hub->inbox);

    return !top || top == &shut;
}

static gcore__note *turned_round(gcore__note *note)
{
    gcore__note *first = NULL;

    while (note) {
        gcore__note *next = note->next;

        note->next = first;
        first = note;
        note = next;
    }
    return first;
}

static void arrive_all(gcore_hub *hub, gcore__note *notes)
{
    gcore__note *note = turned_round(notes);

    while (note) {
        gcore__note *next = note->next; /* may be sent again, or freed */

        note->arrive(hub, note);
        note = next;
    }
}

void gcore__inbox_take(gcore_hub *hub)
{
    if (!gcore__inbox_empty(hub))
        arrive_all(hub, atomic_exchange(&hub->inbox, NULL));
}

void gcore__inbox_close(gcore_hub *hub)
{
    gcore__note *top = atomic_exchange(&hub->inbox, &shut);

    if (top != &shut)
        arrive_all(hub, top);
}

void gcore__inbox_woken(gcore_hub *hub, gcore__fd *fd)
{
    uint64_t count;
    ssize_t length;

    do
        length = read(fd->number, &count, sizeof count);
    while (length < 0 && errno == EINTR);
    if (length != sizeof count && !(length < 0 && errno == EAGAIN))
        hub->broken = true; /* somebody else's by now */
    atomic_store(&hub->signalled, false);
    gcore__inbox_take(hub);
}
