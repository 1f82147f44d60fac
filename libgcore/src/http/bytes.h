/*
 * Bytes of HTTP, by what they may be part of.
 */
#ifndef GCORE__HTTP_BYTES_H
#define GCORE__HTTP_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#define GCORE__BYTE_TOKEN 1u  /* a token (RFC 9110) */
#define GCORE__BYTE_TEXT 2u   /* a field's value: no control character but a
                                 tab */
#define GCORE__BYTE_TARGET 4u /* a request target: no space either */
#define GCORE__BYTE_HOST 8u   /* Host: reg-name, IPv4, [IPv6], port */

extern const unsigned char gcore__http_classes[256];

/* Whether all bytes are of the class. */
static inline bool gcore__http_all(const char *bytes, size_t size,
                                   unsigned kind)
{
    unsigned common = kind;

    for (size_t i = 0; i < size; i++)
        common &= gcore__http_classes[(unsigned char)bytes[i]];
    return common != 0;
}

#endif
