/*
 * Framing: where a request ends, and what becomes of its connection
 * (RFC 9112, sections 3.2, 6 and 9).
 *
 * The table of what counts:
 *
 *   Transfer-Encoding   Content-Length   body
 *   none                none             none
 *   none                one number       so many bytes
 *   "chunked"           none             chunked
 *   "chunked"           one number       refused, or chunked and close
 *   anything else       any              refused
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <strings.h>

#include "http/bytes.h"
#include "http/head.h"

/* What the fields say that framing needs. */
typedef struct said {
    const gcore_http_field *length;
    const gcore_http_field *coding;
    const gcore_http_field *host;
    bool close;
    bool keep;
    bool upgrade;      /* among Connection's options */
    bool upgrade_to;   /* there is an Upgrade */
    bool expect;
} said;

static bool is(const char *bytes, size_t size, const char *text)
{
    return size == strlen(text) && strncasecmp(bytes, text, size) == 0;
}

/* Connection is a list, and may come several times. */
static void read_connection(said *it, const char *value, size_t size)
{
    const char *end = value + size;

    while (value < end) {
        const char *comma = memchr(value, ',', (size_t)(end - value));
        const char *last = comma ? comma : end;
        const char *next = comma ? comma + 1 : end;

        while (value < last && (*value == ' ' || *value == '\t'))
            value++;
        while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        size = (size_t)(last - value);
        if (is(value, size, "close"))
            it->close = true;
        else if (is(value, size, "keep-alive"))
            it->keep = true;
        else if (is(value, size, "upgrade"))
            it->upgrade = true;
        value = next;
    }
}

/* Whether what follows a host's name is nothing, or a port. */
static bool is_port(const char *at, const char *end)
{
    if (at == end)
        return true;
    if (*at != ':')
        return false;
    while (++at < end && *at >= '0' && *at <= '9')
        continue;
    return at == end;
}

/* uri-host [ ":" port ], RFC 9112, 3.2; what a name means is the
 * application's business. */
static bool is_host(const char *value, size_t size)
{
    const char *at = value, *end = value + size;
    bool bracketed = size && *value == '[';

    if (!gcore__http_all(value, size, GCORE__BYTE_HOST))
        return false;
    at += bracketed;
    while (at < end && *at != '[' && *at != ']' && (bracketed || *at != ':'))
        at++;
    if (!bracketed)
        return is_port(at, end);
    return at < end && *at == ']' && is_port(at + 1, end);
}

static gcore__http_refusal read_field(said *it, const char *block,
                                      const gcore_http_field *field)
{
    const char *name = block + field->name, *value = block + field->value;

    switch (field->name_size) {
    case 4:
        if (!is(name, 4, "host"))
            break;
        if (it->host)
            return GCORE__HTTP_HOST_MANY;
        it->host = field;
        return is_host(value, field->value_size) ? GCORE__HTTP_FINE
                                                 : GCORE__HTTP_HOST;
    case 6:
        if (is(name, 6, "expect"))
            it->expect = is(value, field->value_size, "100-continue");
        break;
    case 7:
        if (is(name, 7, "upgrade"))
            it->upgrade_to = true;
        break;
    case 10:
        if (is(name, 10, "connection"))
            read_connection(it, value, field->value_size);
        break;
    case 14:
        if (!is(name, 14, "content-length"))
            break;
        if (it->length)
            return GCORE__HTTP_LENGTH_MANY;
        it->length = field;
        break;
    case 17:
        if (!is(name, 17, "transfer-encoding"))
            break;
        if (it->coding)
            return GCORE__HTTP_CODING;
        it->coding = field;
        break;
    default:
        break;
    }
    return GCORE__HTTP_FINE;
}

/* Digits alone, and no more than the number holds; -1 otherwise. */
static int64_t read_length(const char *value, size_t size)
{
    int64_t length = 0;

    if (size == 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -1;
        if (length > (INT64_MAX - (value[i] - '0')) / 10)
            return -1;
        length = length * 10 + (value[i] - '0');
    }
    return length;
}

/* A list of codings that ends with chunked is one we do not know; anything
 * else tells nobody where the body ends. */
static gcore__http_refusal read_coding(const char *value, size_t size)
{
    const char *comma;

    if (is(value, size, "chunked"))
        return GCORE__HTTP_FINE;
    comma = memrchr(value, ',', size);
    if (!comma)
        return GCORE__HTTP_CODING;
    size = (size_t)(value + size - comma - 1);
    for (value = comma + 1; size > 0 && *value == ' '; value++)
        size--;
    return is(value, size, "chunked") ? GCORE__HTTP_CODING_OTHER
                                      : GCORE__HTTP_CODING;
}

static gcore__http_refusal frame_coding(const gcore__http_rules *rules,
                                        const said *it, gcore_http_head *head)
{
    const gcore_http_field *coding = it->coding;
    gcore__http_refusal refusal =
        read_coding(head->block + coding->value, coding->value_size);

    if (refusal)
        return refusal;
    if (head->minor == 0)
        return GCORE__HTTP_CODING_OLD;
    head->content_length = -1;
    head->flags |= GCORE_HTTP_CHUNKED;
    if (!it->length)
        return GCORE__HTTP_FINE;
    head->flags &= ~(uint32_t)GCORE_HTTP_KEEP;
    return rules->flags & GCORE_HTTP_ALLOW_BOTH_LENGTHS
               ? GCORE__HTTP_FINE
               : GCORE__HTTP_LENGTH_CHUNKED;
}

static gcore__http_refusal frame_body(const gcore__http_rules *rules,
                                      const said *it, gcore_http_head *head)
{
    head->content_length = 0;
    if (it->length) {
        head->content_length = read_length(head->block + it->length->value,
                                           it->length->value_size);
        if (head->content_length < 0)
            return GCORE__HTTP_LENGTH;
    }
    if (it->coding)
        return frame_coding(rules, it, head);
    return head->content_length > rules->body_limit ? GCORE__HTTP_BODY_LONG
                                                    : GCORE__HTTP_FINE;
}

static gcore__http_refusal frame_host(const gcore__http_rules *rules,
                                      const said *it, gcore_http_head *head)
{
    if (it->host || head->minor == 0)
        return GCORE__HTTP_FINE;
    head->flags &= ~(uint32_t)GCORE_HTTP_KEEP;
    return rules->flags & GCORE_HTTP_ALLOW_NO_HOST ? GCORE__HTTP_FINE
                                                   : GCORE__HTTP_HOST_NONE;
}

static gcore__http_refusal frame_folded(const gcore__http_rules *rules,
                                        gcore_http_head *head)
{
    head->flags &= ~(uint32_t)GCORE_HTTP_KEEP;
    return rules->flags & GCORE_HTTP_ALLOW_FOLDED ? GCORE__HTTP_FINE
                                                  : GCORE__HTTP_FOLDED;
}

/* What follows a success is a tunnel's to whoever stands between. */
static bool is_connect(const gcore_http_head *head)
{
    return head->method_size == 7 && memcmp(head->block, "CONNECT", 7) == 0;
}

gcore__http_refusal gcore__http_frame(const gcore__http_rules *rules,
                                      bool folded, gcore_http_head *head)
{
    said it = {0};
    gcore__http_refusal refusal;

    for (uint32_t i = 0; i < head->field_count; i++) {
        refusal = read_field(&it, head->block, &head->fields[i]);
        if (refusal)
            return refusal;
    }
    head->flags = 0;
    if (!it.close && (head->minor > 0 || it.keep) && !is_connect(head))
        head->flags |= GCORE_HTTP_KEEP;
    refusal = frame_body(rules, &it, head);
    if (!refusal)
        refusal = frame_host(rules, &it, head);
    if (folded)
        head->flags |= GCORE_HTTP_FOLDED;
    if (!refusal && folded)
        refusal = frame_folded(rules, head);
    if (refusal)
        return refusal;
    if (it.expect && head->minor > 0 && head->content_length != 0)
        head->flags |= GCORE_HTTP_EXPECT;
    if (it.upgrade && it.upgrade_to && head->minor > 0)
        head->flags |= GCORE_HTTP_UPGRADE;
    return GCORE__HTTP_FINE;
}
