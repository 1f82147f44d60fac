/* Hash tables whose nodes lie in what they find. */
#ifndef GCORE__TABLE_H
#define GCORE__TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef struct gcore__node {
    struct gcore__node *next;
    const void *key; /* lives as long as the node is in a table */
    uint32_t length;
    uint32_t hash;
} gcore__node;

typedef struct gcore__table {
    gcore__node **buckets;
    size_t room; /* a power of two */
    size_t count;
    uint64_t seed; /* keys come from outside */
} gcore__table;

int gcore__table_init(gcore__table *table);

/* Nodes are their owners'. */
void gcore__table_free(gcore__table *table);

/* NULL when there is none. */
gcore__node *gcore__table_find(const gcore__table *table, const void *key,
                               size_t length);

/* `node` names its key, which is not in the table yet. Cannot fail: without
 * memory to grow, finding takes longer. */
void gcore__table_add(gcore__table *table, gcore__node *node);
void gcore__table_remove(gcore__table *table, gcore__node *node);

#endif
