/*
 * Moments to come: a heap of four children a node, ordered by moment and
 * then by start, and the timer watch.
 *
 * Each watch of the hub may be in the heap once (its deadline), so room is
 * made when a watch is made, and starting one cannot fail.
 *
 * SPDX-License-Identifier: MIT
 */
#include "hub/watch.h"

#define CHILDREN 4

static bool before(const gcore__slot *a, const gcore__slot *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

/* Places are counted from 1, slots from 0. */
static void put(gcore__heap *heap, int place, gcore__slot slot)
{
    heap->slots[place - 1] = slot;
    slot.timer->place = place;
}

static void rise(gcore__heap *heap, int place, gcore__slot slot)
{
    while (place > 1) {
        int parent = (place - 2) / CHILDREN + 1;

        if (!before(&slot, &heap->slots[parent - 1]))
            break;
        put(heap, place, heap->slots[parent - 1]);
        place = parent;
    }
    put(heap, place, slot);
}

static int least_child(const gcore__heap *heap, int place)
{
    int first = (place - 1) * CHILDREN + 2;
    int last = first + CHILDREN - 1;
    int least = first;

    if (last > heap->count)
        last = heap->count;
    for (int child = first + 1; child <= last; child++)
        if (before(&heap->slots[child - 1], &heap->slots[least - 1]))
            least = child;
    return least;
}

static void sink(gcore__heap *heap, int place, gcore__slot slot)
{
    for (;;) {
        int child = least_child(heap, place);

        if (child > heap->count ||
            !before(&heap->slots[child - 1], &slot))
            break;
        put(heap, place, heap->slots[child - 1]);
        place = child;
    }
    put(heap, place, slot);
}

int gcore__timer_reserve(gcore_hub *hub, int count)
{
    gcore__heap *heap = &hub->timers;
    int room = heap->room ? heap->room : 64;
    gcore__slot *slots;

    while (room < count)
        room *= 2;
    if (room == heap->room)
        return 0;
    slots = gcore__resize(heap->slots, (size_t)room * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    heap->slots = slots;
    heap->room = room;
    return 0;
}

void gcore__timer_add(gcore_hub *hub, gcore__timer *timer, int64_t at)
{
    gcore__heap *heap = &hub->timers;

    timer->at = at;
    rise(heap, ++heap->count,
         (gcore__slot){at, heap->sequence++, timer});
}

void gcore__timer_remove(gcore_hub *hub, gcore__timer *timer)
{
    gcore__heap *heap = &hub->timers;
    int place = timer->place;
    gcore__slot last;

    if (!place)
        return;
    timer->place = 0;
    last = heap->slots[--heap->count];
    if (place > heap->count)
        return;
    if (place > 1 &&
        before(&last, &heap->slots[(place - 2) / CHILDREN]))
        rise(heap, place, last);
    else
        sink(heap, place, last);
}

int64_t gcore__timer_next(gcore_hub *hub)
{
    return hub->timers.count ? hub->timers.slots[0].at : GCORE_FOREVER;
}

void gcore__timer_expire(gcore_hub *hub)
{
    while (gcore__timer_next(hub) <= hub->now) {
        gcore__timer *timer = hub->timers.slots[0].timer;

        gcore__timer_remove(hub, timer);
        timer->due(hub, timer);
    }
}

/* The timer watch: its deadline is when it is due. */

static const gcore__kind timer_kind = {.number = GCORE_WATCH_TIMER};

/* Not before the next turn, also when it is late by more than a repeat. */
static int64_t next_due(gcore_watch *watch, int64_t now)
{
    int64_t at = watch->timer.at;

    if (at > now - watch->repeat)
        return at + watch->repeat;
    return now + 1;
}

static void timer_due(gcore_hub *hub, gcore__timer *timer)
{
    gcore_watch *watch = GCORE__OF(gcore_watch, timer, timer);

    if (watch->once || !watch->repeat) {
        gcore__watch_finish(watch, 0);
        return;
    }
    gcore__timer_add(hub, timer, next_due(watch, hub->now));
    gcore__watch_complete(watch, 0);
}

int gcore_timer_new(gcore_hub *hub, gcore_watch **out)
{
    gcore_watch *watch;
    int error = gcore__watch_new(hub, &timer_kind, &watch);

    if (error < 0)
        return error;
    watch->timer.due = timer_due;
    *out = watch;
    return 0;
}

int gcore_timer_set_repeat(gcore_watch *watch, int64_t interval)
{
    if (watch->kind != &timer_kind || interval < 0)
        return -EINVAL;
    watch->repeat = interval;
    return 0;
}

int64_t gcore_timer_repeat(gcore_watch *watch)
{
    return watch->kind == &timer_kind ? watch->repeat : -EINVAL;
}
