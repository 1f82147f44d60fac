/*
 * A system call that a test has put its own function before: NEXT(recv)(...).
 */
#ifndef SUPPORT_NEXT_H
#define SUPPORT_NEXT_H

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

static void *next_symbol(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);

    if (!found)
        abort();
    return found;
}

#define NEXT(name) ((__typeof__(&name))(uintptr_t)next_symbol(#name))

#endif
