/* Circular doubly linked lists whose links lie in what they link. */
#ifndef GCORE__LIST_H
#define GCORE__LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct gcore__link {
    struct gcore__link *next;
    struct gcore__link *prev;
} gcore__link;

/* The object that `link` is the member `member` of. */
#define GCORE__OF(type, member, link) \
    ((type *)(void *)((char *)(link) - offsetof(type, member)))

static inline void gcore__list_init(gcore__link *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool gcore__list_empty(const gcore__link *list)
{
    return list->next == list;
}

static inline void gcore__list_append(gcore__link *list, gcore__link *link)
{
    link->next = list;
    link->prev = list->prev;
    list->prev->next = link;
    list->prev = link;
}

/* Leaves `link` a list of its own, so removing it again does no harm. */
static inline void gcore__list_remove(gcore__link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    gcore__list_init(link);
}

/* Moves all of `from` to the end of `list`. */
static inline void gcore__list_splice(gcore__link *list, gcore__link *from)
{
    if (gcore__list_empty(from))
        return;
    from->next->prev = list->prev;
    list->prev->next = from->next;
    from->prev->next = list;
    list->prev = from->prev;
    gcore__list_init(from);
}

#endif
