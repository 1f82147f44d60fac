/* Memory that is taken in pieces and given back as a whole. */
#ifndef GCORE__ARENA_H
#define GCORE__ARENA_H

#include <stddef.h>

/* All zero is an empty one. */
typedef struct gcore__arena {
    struct gcore__chunk *chunks;
    char *next;
    size_t left;
} gcore__arena;

/* A zeroed piece, aligned for any object; or NULL. */
void *gcore__arena_alloc(gcore__arena *arena, size_t bytes);

/* A copy with a NUL at its end; or NULL. */
char *gcore__arena_text(gcore__arena *arena, const char *text, size_t length);

/* The bytes that it holds, used or not. */
size_t gcore__arena_size(const gcore__arena *arena);

void gcore__arena_free(gcore__arena *arena);

#endif
