/*
 * The PROXY protocol: a proxy says whom it speaks for, by a line (version 1)
 * or a block (version 2) ahead of everything else.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "http/proxy.h"

#define LONGEST_LINE 107

/* Signature, version and command, family, length. */
#define BLOCK_HEAD 16
#define LONGEST_BLOCK 4096

static const char signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                   '\n', 'Q',  'U',  'I',  'T', '\n'};

static bool begins_with(const char *bytes, size_t size, const char *text,
                        size_t length)
{
    return memcmp(bytes, text, size < length ? size : length) == 0;
}

/* Takes a word off a line; its length, 0 for none. */
static size_t next_word(const char **line, const char *end, const char **word)
{
    const char *space = memchr(*line, ' ', (size_t)(end - *line));
    const char *last = space ? space : end;

    *word = *line;
    *line = space ? space + 1 : end;
    return (size_t)(last - *word);
}

/* A number of a port, without zeros ahead; -1 otherwise. */
static int32_t read_port(const char *digits, size_t size)
{
    int32_t port = 0;

    if (size == 0 || size > 5 || (digits[0] == '0' && size > 1))
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return -1;
        port = port * 10 + (digits[i] - '0');
    }
    return port > 65535 ? -1 : port;
}

/* An address in the form that the system writes; whether it is one. */
static bool read_address(int family, const char *text, size_t size, char *out)
{
    struct in6_addr address;
    char copy[INET6_ADDRSTRLEN];

    if (size >= sizeof copy)
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    return inet_pton(family, copy, &address) == 1 &&
           inet_ntop(family, &address, out, INET6_ADDRSTRLEN);
}

/* "TCP4 source destination port port" */
static bool read_words(const char *line, const char *end,
                       gcore__http_proxy_header *out)
{
    const char *words[5];
    size_t sizes[5];
    int family;

    sizes[0] = next_word(&line, end, &words[0]);
    if (sizes[0] == 7 && memcmp(words[0], "UNKNOWN", 7) == 0)
        return true;
    for (int i = 1; i < 5; i++)
        sizes[i] = next_word(&line, end, &words[i]);
    if (words[4] + sizes[4] != end || sizes[0] != 4 ||
        memcmp(words[0], "TCP", 3) != 0 ||
        (words[0][3] != '4' && words[0][3] != '6'))
        return false;
    family = words[0][3] == '4' ? AF_INET : AF_INET6;
    out->client_port = read_port(words[3], sizes[3]);
    out->target_port = read_port(words[4], sizes[4]);
    return out->client_port >= 0 && out->target_port >= 0 &&
           read_address(family, words[1], sizes[1], out->client) &&
           read_address(family, words[2], sizes[2], out->target);
}

static int read_line(const char *bytes, size_t size,
                     gcore__http_proxy_header *out)
{
    const char *end = memchr(bytes, '\n', size);

    if (!end)
        return size > LONGEST_LINE ? GCORE__HTTP_PROXY_MALFORMED : 0;
    if (end - bytes >= LONGEST_LINE || end - bytes < 7 || end[-1] != '\r' ||
        !read_words(bytes + 6, end - 1, out))
        return GCORE__HTTP_PROXY_MALFORMED;
    out->version = 1;
    return (int)(end + 1 - bytes);
}

static uint16_t read_number(const char *bytes)
{
    return (uint16_t)((unsigned char)bytes[0] << 8 | (unsigned char)bytes[1]);
}

/* Two addresses of `width` bytes, and then two ports. */
static void read_binary(int family, const char *bytes, size_t width,
                        gcore__http_proxy_header *out)
{
    inet_ntop(family, bytes, out->client, sizeof out->client);
    inet_ntop(family, bytes + width, out->target, sizeof out->target);
    out->client_port = read_number(bytes + 2 * width);
    out->target_port = read_number(bytes + 2 * width + 2);
}

static int read_block(const char *bytes, size_t size,
                      gcore__http_proxy_header *out)
{
    const char *addresses = bytes + BLOCK_HEAD;
    unsigned length;

    if (size < BLOCK_HEAD)
        return 0;
    length = read_number(bytes + 14);
    if (((unsigned char)bytes[12] & 0xf0) != 0x20 || bytes[12] > 0x21 ||
        length > LONGEST_BLOCK)
        return GCORE__HTTP_PROXY_MALFORMED;
    if (size < BLOCK_HEAD + length)
        return 0;
    out->version = 2;
    if (bytes[12] == 0x20) /* the proxy speaks for itself */
        return (int)(BLOCK_HEAD + length);
    if (bytes[13] == 0x11 && length >= 12)
        read_binary(AF_INET, addresses, 4, out);
    else if (bytes[13] == 0x21 && length >= 36)
        read_binary(AF_INET6, addresses, 16, out);
    else if (bytes[13] == 0x11 || bytes[13] == 0x21)
        return GCORE__HTTP_PROXY_MALFORMED;
    return (int)(BLOCK_HEAD + length);
}

int gcore__http_proxy_read(const char *bytes, size_t size,
                           gcore__http_proxy_header *out)
{
    memset(out, 0, sizeof *out);
    if (size == 0)
        return 0;
    if (begins_with(bytes, size, "PROXY ", 6))
        return size < 6 ? 0 : read_line(bytes, size, out);
    if (begins_with(bytes, size, signature, sizeof signature))
        return read_block(bytes, size, out);
    return GCORE__HTTP_PROXY_NONE;
}
