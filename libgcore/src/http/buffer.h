/*
 * Bytes that wait: appended at the end, used up from the beginning. Empty
 * ones hold no memory.
 */
#ifndef GCORE__HTTP_BUFFER_H
#define GCORE__HTTP_BUFFER_H

#include <stddef.h>

typedef struct gcore__buffer {
    char *bytes;
    size_t begin;
    size_t end;
    size_t room;
} gcore__buffer;

static inline size_t gcore__buffer_size(const gcore__buffer *buffer)
{
    return buffer->end - buffer->begin;
}

static inline char *gcore__buffer_first(const gcore__buffer *buffer)
{
    return buffer->bytes + buffer->begin;
}

/* Room for `more` bytes behind the last one; 0 or -ENOMEM. */
int gcore__buffer_reserve(gcore__buffer *buffer, size_t more);

/* 0 or -ENOMEM; then nothing has changed. */
int gcore__buffer_append(gcore__buffer *buffer, const void *bytes,
                         size_t size);

void gcore__buffer_use(gcore__buffer *buffer, size_t size);
void gcore__buffer_clear(gcore__buffer *buffer);

#endif
