/*
 * Buffers: see buffer.h.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <string.h>

#include "http/buffer.h"
#include "util/alloc.h"

#define LEAST_ROOM 512

int gcore__buffer_reserve(gcore__buffer *buffer, size_t more)
{
    size_t size = gcore__buffer_size(buffer);
    size_t room = buffer->room ? buffer->room : LEAST_ROOM;
    char *bytes;

    if (buffer->room - buffer->end >= more)
        return 0;
    if (buffer->begin && size)
        memmove(buffer->bytes, buffer->bytes + buffer->begin, size);
    buffer->begin = 0;
    buffer->end = size;
    if (buffer->room - size >= more)
        return 0;
    while (room - size < more)
        room *= 2;
    bytes = gcore__resize(buffer->bytes, room);
    if (!bytes)
        return -ENOMEM;
    buffer->bytes = bytes;
    buffer->room = room;
    return 0;
}

int gcore__buffer_append(gcore__buffer *buffer, const void *bytes,
                         size_t size)
{
    if (size == 0)
        return 0;
    if (gcore__buffer_reserve(buffer, size) < 0)
        return -ENOMEM;
    memcpy(buffer->bytes + buffer->end, bytes, size);
    buffer->end += size;
    return 0;
}

void gcore__buffer_use(gcore__buffer *buffer, size_t size)
{
    buffer->begin += size;
    if (buffer->begin == buffer->end)
        gcore__buffer_clear(buffer);
}

void gcore__buffer_clear(gcore__buffer *buffer)
{
    gcore__free(buffer->bytes);
    *buffer = (gcore__buffer){0};
}
