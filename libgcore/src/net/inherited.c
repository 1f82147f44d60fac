/*
 * Sockets handed over by whoever started the process: LISTEN_FDS of them,
 * numbered from 3, for the process LISTEN_PID, named by LISTEN_FDNAMES.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gcore/server.h>

#define FIRST 3

/* The number in a variable of the environment; -1: none. */
static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    long number;

    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    number = strtol(text, &end, 10);
    return *end == '\0' ? number : -1;
}

static int count_sockets(void)
{
    long count = number_of("LISTEN_FDS");
    int usable = 0;

    if (number_of("LISTEN_PID") != (long)getpid() || count <= 0)
        return 0;
    while (usable < count && fcntl(FIRST + usable, F_GETFD) >= 0) {
        fcntl(FIRST + usable, F_SETFD, FD_CLOEXEC);
        usable++;
    }
    return usable;
}

static int find_name(const char *name, int count)
{
    const char *names = getenv("LISTEN_FDNAMES");
    size_t length = strlen(name);

    for (int i = 0; names && i < count; i++) {
        size_t part = strcspn(names, ":");

        if (part == length && memcmp(names, name, length) == 0)
            return FIRST + i;
        names = names[part] ? names + part + 1 : NULL;
    }
    return -ENOENT;
}

int gcore_inherited_sockets(const char *name)
{
    int count = count_sockets();

    return name ? find_name(name, count) : count;
}
