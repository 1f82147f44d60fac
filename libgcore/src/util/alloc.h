/* The library's own way to memory; see gcore_allocator_set. */
#ifndef GCORE__ALLOC_H
#define GCORE__ALLOC_H

#include <stddef.h>

/* Zeroed memory, or NULL. Any thread. */
void *gcore__new(size_t bytes);

/* Resizes `block` (NULL allocates); what is added is not zeroed. NULL when
 * there is no memory, and then `block` is untouched. Any thread. */
void *gcore__resize(void *block, size_t bytes);

/* NULL is ignored. Any thread. */
void gcore__free(void *block);

#endif
