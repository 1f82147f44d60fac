/* Memory for small blocks that one thread takes and gives back over and
 * over: those given back wait in lists, by size. */
#ifndef GCORE__SLAB_H
#define GCORE__SLAB_H

#include <stddef.h>

#include "util/arena.h"

#define GCORE__SLAB_SIZES 16

/* All zero is an empty one. */
typedef struct gcore__slab {
    gcore__arena arena;
    void *spare[GCORE__SLAB_SIZES];
} gcore__slab;

/* Not zeroed; NULL without memory. What is large is nobody's and not counted,
 * as everything without a slab. */
void *gcore__slab_take(gcore__slab *slab, size_t bytes);

/* As realloc; bytes > 0. A block stays whose it is. */
void *gcore__slab_resize(gcore__slab *slab, void *block, size_t bytes);

/* NULL is allowed. */
void gcore__slab_give(void *block);

/* All blocks that are its own end. */
void gcore__slab_free(gcore__slab *slab);

#endif
