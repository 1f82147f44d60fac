/* SPDX-License-Identifier: MIT */
#include "util/own_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool gcore__fd_foreign(int fd, const char *kind)
{
    char link[32];
    char target[64];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, target, sizeof target);
    if (length < 0) /* closed, or there is no /proc */
        return false;
    return (size_t)length != strlen(kind) ||
           memcmp(target, kind, (size_t)length) != 0;
}

void gcore__fd_close(int fd, const char *kind)
{
    if (fd >= 0 && !gcore__fd_foreign(fd, kind))
        close(fd);
}

int gcore__fd_replace(int number, int fd, const char *kind)
{
    int result;

    if (fd == number || gcore__fd_foreign(number, kind))
        return fd;
    result = dup3(fd, number, O_CLOEXEC);
    if (result < 0)
        result = -errno;
    close(fd);
    return result;
}
