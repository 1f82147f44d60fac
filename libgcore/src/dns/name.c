/*
 * Names as text. Letters are ASCII's, whatever the program's locale says:
 * a Turkish "I" must not hide a host.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "dns/dns.h"

/* A last dot makes no difference. */
size_t gcore__name_length(const char *name)
{
    size_t length = strlen(name);

    if (length > 1 && name[length - 1] == '.' && name[length - 2] != '\\')
        length--;
    return length;
}

bool gcore__text_equal(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (a[i] != b[i] && gcore__lower(a[i]) != gcore__lower(b[i]))
            return false;
    return true;
}

bool gcore__name_equal(const char *a, const char *b)
{
    size_t length;

    if (a == b)
        return true;
    length = gcore__name_length(a);
    return length == gcore__name_length(b) && gcore__text_equal(a, b, length);
}

static bool is_host_letter(char letter)
{
    letter = gcore__lower(letter);
    return (letter >= 'a' && letter <= 'z') ||
           (letter >= '0' && letter <= '9') || letter == '-' ||
           letter == '_' || letter == '.';
}

bool gcore__name_is_host(const char *name)
{
    if (*name == '-' || *name == '\0')
        return false;
    while (is_host_letter(*name))
        name++;
    return !*name;
}
