/* SPDX-License-Identifier: MIT */
#include "util/slab.h"

#include <stdint.h>
#include <string.h>

#include "util/alloc.h"

#define STEP 32 /* between sizes */
#define LARGEST (STEP * GCORE__SLAB_SIZES)

struct header {
    gcore__slab *slab; /* NULL: nobody's */
    size_t room;
};

_Static_assert(sizeof(struct header) % _Alignof(max_align_t) == 0,
               "what follows a header is aligned");

static void **spare_of(gcore__slab *slab, size_t room)
{
    return &slab->spare[room / STEP - 1];
}

static struct header *header_of(void *block)
{
    return (struct header *)block - 1;
}

static void *take_new(gcore__slab *slab, size_t room)
{
    struct header *header = gcore__arena_alloc(&slab->arena,
                                               sizeof *header + room);

    if (!header)
        return NULL;
    header->slab = slab;
    header->room = room;
    return header + 1;
}

static void *resize_lent(struct header *header, size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof *header)
        return NULL;
    header = gcore__lend(header, sizeof *header + bytes);
    if (!header)
        return NULL;
    header->slab = NULL;
    header->room = bytes;
    return header + 1;
}

void *gcore__slab_take(gcore__slab *slab, size_t bytes)
{
    size_t room = bytes ? (bytes + STEP - 1) / STEP * STEP : STEP;
    void **spare;
    void *block;

    if (!slab || bytes > LARGEST)
        return resize_lent(NULL, bytes);
    spare = spare_of(slab, room);
    block = *spare;
    if (!block)
        return take_new(slab, room);
    memcpy(spare, block, sizeof *spare);
    return block;
}

void *gcore__slab_resize(gcore__slab *slab, void *block, size_t bytes)
{
    struct header *header;
    void *moved;

    if (!block)
        return gcore__slab_take(slab, bytes);
    header = header_of(block);
    if (!header->slab)
        return resize_lent(header, bytes);
    if (bytes <= header->room)
        return block;
    moved = gcore__slab_take(header->slab, bytes);
    if (!moved)
        return NULL;
    memcpy(moved, block, header->room);
    gcore__slab_give(block);
    return moved;
}

void gcore__slab_give(void *block)
{
    struct header *header;
    void **spare;

    if (!block)
        return;
    header = header_of(block);
    if (!header->slab) {
        gcore__take_back(header);
        return;
    }
    spare = spare_of(header->slab, header->room);
    memcpy(block, spare, sizeof *spare);
    *spare = block;
}

void gcore__slab_free(gcore__slab *slab)
{
    gcore__arena_free(&slab->arena);
    *slab = (gcore__slab){0};
}
