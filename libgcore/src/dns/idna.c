/*
 * International names, by libidn2. It is loaded when the first such name
 * comes, as libc does: a program that has none needs no libidn2.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <idn2.h>

#include "dns/dns.h"

static struct {
    int (*encode)(const char *input, char **output, int flags);
    int (*decode)(const char *input, char **output, int flags);
    void (*free)(void *text);
} idn2;

static void *symbol(void *library, const char *name)
{
    return library ? dlsym(library, name) : NULL;
}

/* A function's address is no object's: copied byte by byte. */
#define TAKE(member, library, name)                                           \
    do {                                                                      \
        void *address = symbol(library, name);                                \
        memcpy(&idn2.member, &address, sizeof address);                       \
    } while (0)

static void load(void)
{
    void *library = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL);

    TAKE(encode, library, "idn2_to_ascii_8z");
    TAKE(decode, library, "idn2_to_unicode_8z8z");
    TAKE(free, library, "idn2_free");
}

static bool is_loaded(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return idn2.encode && idn2.decode && idn2.free;
}

static bool is_ascii(const char *text)
{
    while (*text && !(*text & 0x80))
        text++;
    return !*text;
}

static int convert(int (*function)(const char *, char **, int), int flags,
                   const char *name, gcore__arena *arena, const char **out)
{
    char *converted = NULL;
    int status = function(name, &converted, flags);

    if (status != IDN2_OK)
        return status == IDN2_MALLOC ? -ENOMEM : -GCORE_EAI_IDN;
    *out = gcore__arena_text(arena, converted, strlen(converted));
    idn2.free(converted);
    return *out ? 0 : -ENOMEM;
}

int gcore__idna_encode(const char *name, gcore__arena *arena,
                       const char **out)
{
    if (is_ascii(name)) {
        *out = gcore__arena_text(arena, name, strlen(name));
        return *out ? 0 : -ENOMEM;
    }
    if (!is_loaded())
        return -GCORE_EAI_IDN;
    return convert(idn2.encode, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL, name,
                   arena, out);
}

int gcore__idna_decode(const char *name, gcore__arena *arena,
                       const char **out)
{
    if (!is_loaded())
        return -GCORE_EAI_IDN;
    return convert(idn2.decode, 0, name, arena, out);
}
