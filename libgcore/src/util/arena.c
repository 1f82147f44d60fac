/* SPDX-License-Identifier: MIT */
#include "util/arena.h"

#include <stdint.h>
#include <string.h>

#include "util/alloc.h"

#define FIRST_CHUNK 512
#define LARGEST_CHUNK 65536
#define SPARE 128 /* at least, in a chunk for something large: more follows */

struct gcore__chunk {
    struct gcore__chunk *next;
    size_t room;
};

#define HEADER                                                                \
    ((sizeof(struct gcore__chunk) + _Alignof(max_align_t) - 1) /              \
     _Alignof(max_align_t) * _Alignof(max_align_t))

static int grow(gcore__arena *arena, size_t bytes)
{
    size_t room = arena->chunks ? arena->chunks->room * 2 : FIRST_CHUNK;
    struct gcore__chunk *chunk;

    if (room > LARGEST_CHUNK)
        room = LARGEST_CHUNK;
    if (bytes > SIZE_MAX / 2)
        return -1;
    if (room < bytes + HEADER + SPARE)
        room = (bytes + HEADER + 2 * SPARE - 1) / SPARE * SPARE;
    chunk = gcore__resize(NULL, room);
    if (!chunk)
        return -1;
    chunk->next = arena->chunks;
    chunk->room = room;
    arena->chunks = chunk;
    arena->next = (char *)chunk + HEADER;
    arena->left = room - HEADER;
    return 0;
}

/* Not zeroed: what lies in a chunk behind it is not touched before it is
 * needed. */
static void *take(gcore__arena *arena, size_t bytes)
{
    size_t aligned = (bytes + _Alignof(max_align_t) - 1) &
                     ~(_Alignof(max_align_t) - 1);
    void *piece;

    if (aligned < bytes || (arena->left < aligned && grow(arena, aligned) < 0))
        return NULL;
    piece = arena->next;
    arena->next += aligned;
    arena->left -= aligned;
    return piece;
}

void *gcore__arena_alloc(gcore__arena *arena, size_t bytes)
{
    void *piece = take(arena, bytes);

    return piece ? memset(piece, 0, bytes) : NULL;
}

char *gcore__arena_text(gcore__arena *arena, const char *text, size_t length)
{
    char *copy = take(arena, length + 1);

    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

size_t gcore__arena_size(const gcore__arena *arena)
{
    size_t size = 0;

    for (struct gcore__chunk *chunk = arena->chunks; chunk;
         chunk = chunk->next)
        size += chunk->room;
    return size;
}

void gcore__arena_free(gcore__arena *arena)
{
    struct gcore__chunk *chunk = arena->chunks;

    while (chunk) {
        struct gcore__chunk *next = chunk->next;

        gcore__free(chunk); /* the arena may lie in it */
        chunk = next;
    }
}
