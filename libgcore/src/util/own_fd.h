/*
 * Descriptors of the library's own, which a program that closes everything
 * it does not know (a daemon's start) may have closed: their numbers may
 * then be somebody else's.
 */
#ifndef GCORE__OWN_FD_H
#define GCORE__OWN_FD_H

#include <stdbool.h>

#define GCORE__EVENTFD "anon_inode:[eventfd]"
#define GCORE__EPOLL "anon_inode:[eventpoll]"
#define GCORE__INOTIFY "anon_inode:inotify"

/* Whether `fd` is open and, for certain, not of `kind`. */
bool gcore__fd_foreign(int fd, const char *kind);

/* Closes it unless it is foreign. */
void gcore__fd_close(int fd, const char *kind);

/* Puts `fd` under the number `number`, which is of `kind`, or, where that is
 * foreign, leaves it where it is. Returns the number it is under, or an
 * error; `fd` is then closed. */
int gcore__fd_replace(int number, int fd, const char *kind);

#endif
