/*
 * DNS messages (RFC 1035): writes a question, reads an answer.
 *
 * Nothing in what is read is believed: each read is checked against the end of
 * the message or of the record, and a compressed name must point ever
 * further back, so that it comes to an end, and not too often.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "dns/dns.h"

#define HEADER 12
#define CLASS_IN 1
#define OPT 41
#define REPLY 0x8000
#define LONGEST_NAME 255 /* in a message, with the last 0 */
#define LONGEST_LABEL 63
#define MOST_POINTERS 127 /* in a name: one a label */

/* What a server says of the question. */
enum { NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED };

/* Writing */

static uint8_t *put16(uint8_t *out, unsigned number)
{
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
    return out + 2;
}

static bool is_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

/* What stands behind a backslash: a byte, perhaps as three digits. Returns
 * what follows. */
static const char *get_quoted(const char *text, uint8_t *byte)
{
    if (is_digit(text[0]) && is_digit(text[1]) && is_digit(text[2])) {
        *byte = (uint8_t)((text[0] - '0') * 100 + (text[1] - '0') * 10 +
                          text[2] - '0');
        return text + 3;
    }
    *byte = (uint8_t)*text;
    return text + 1;
}

/* Returns its end, or NULL. */
static uint8_t *put_name(uint8_t *out, const char *name)
{
    const uint8_t *last = out + LONGEST_NAME - 1;

    if (name[0] == '.' && !name[1])
        name++;
    while (*name) {
        uint8_t *length = out++;

        for (; *name && *name != '.'; out++) {
            if (out >= last)
                return NULL;
            if (*name == '\\' && name[1])
                name = get_quoted(name + 1, out);
            else
                *out = (uint8_t)*name++;
        }
        *length = (uint8_t)(out - length - 1);
        if (*length == 0 || *length > LONGEST_LABEL)
            return NULL;
        name += *name == '.';
    }
    *out++ = 0;
    return out;
}

size_t gcore__message_write(uint8_t out[GCORE__QUESTION_ROOM], uint16_t id,
                            bool recurse, const char *name, int type,
                            unsigned edns)
{
    uint8_t *at = out;

    at = put16(at, id);
    at = put16(at, recurse ? 0x0100 : 0);
    at = put16(at, 1);
    at = put16(at, 0);
    at = put16(at, 0);
    at = put16(at, edns ? 1 : 0);
    at = put_name(at, name);
    if (!at)
        return 0;
    at = put16(at, (unsigned)type);
    at = put16(at, CLASS_IN);
    if (edns) {
        *at++ = 0;
        at = put16(at, OPT);
        at = put16(at, edns);
        memset(at, 0, 6);
        at += 6;
    }
    return (size_t)(at - out);
}

/* Reading */

struct reader {
    const uint8_t *start;
    const uint8_t *next;
    const uint8_t *end;
    gcore__answer *answer;
    bool bad;      /* ran over the end, or nonsense */
    bool no_room;  /* no memory */
};

/* Numbers; 0 once the end was run over. */

static bool has(struct reader *in, size_t bytes)
{
    if (!in->bad && (size_t)(in->end - in->next) >= bytes)
        return true;
    in->bad = true;
    return false;
}

static uint8_t read8(struct reader *in)
{
    return has(in, 1) ? *in->next++ : 0;
}

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint16_t read16(struct reader *in)
{
    if (!has(in, 2))
        return 0;
    in->next += 2;
    return get16(in->next - 2);
}

static uint32_t read32(struct reader *in)
{
    if (!has(in, 4))
        return 0;
    in->next += 4;
    return get32(in->next - 4);
}

static void *take(struct reader *in, size_t bytes)
{
    void *piece = gcore__arena_alloc(&in->answer->shared.arena, bytes);

    if (!piece)
        in->no_room = in->bad = true;
    return piece;
}

/* Names */

/* Nearly all of a name: a bit for each of letters, digits, "-" and "_". */
static bool is_plain(uint8_t byte)
{
    static const uint32_t plain[8] = {0, 0x03ff2000, 0x87fffffe, 0x07fffffe};

    return plain[byte >> 5] >> (byte & 31) & 1;
}

static size_t put_byte(char *out, uint8_t byte)
{
    if (byte == '.' || byte == '\\' || byte == '"' || byte == ';' ||
        byte == '(' || byte == ')' || byte == '@' || byte == '$') {
        out[0] = '\\';
        out[1] = (char)byte;
        return 2;
    }
    if (byte > 0x20 && byte < 0x7f) {
        out[0] = (char)byte;
        return 1;
    }
    out[0] = '\\';
    out[1] = (char)('0' + byte / 100);
    out[2] = (char)('0' + byte / 10 % 10);
    out[3] = (char)('0' + byte % 10);
    return 4;
}

/* One label; returns its length as text. */
static size_t put_label(char *out, const uint8_t *label, size_t length)
{
    size_t plain = 0;
    size_t at;

    for (; plain < length && is_plain(label[plain]); plain++)
        out[plain] = (char)label[plain];
    at = plain;
    for (size_t i = plain; i < length; i++)
        at += put_byte(out + at, label[i]);
    return at;
}

/* The name at `at`, as text; *after is where it ends there. 0, or -1. */
static int expand(const struct reader *in, const uint8_t *at, char *out,
                  const uint8_t **after)
{
    const uint8_t *lowest = at;
    int pointers = 0;
    size_t bytes = 0;
    size_t length = 0;

    *after = NULL;
    for (;;) {
        uint8_t size;

        if (at >= in->end)
            return -1;
        size = *at++;
        if (size == 0)
            break;
        if ((size & 0xc0) == 0xc0) {
            size_t offset;

            if (at >= in->end)
                return -1;
            offset = (size_t)(size & 0x3f) << 8 | *at++;
            if (!*after)
                *after = at;
            if (in->start + offset >= lowest || ++pointers > MOST_POINTERS)
                return -1;
            lowest = at = in->start + offset;
            continue;
        }
        bytes += 1u + size;
        if (size > LONGEST_LABEL || bytes >= LONGEST_NAME ||
            (size_t)(in->end - at) < size)
            return -1;
        if (length > 0)
            out[length++] = '.';
        length += put_label(out + length, at, size);
        at += size;
    }
    if (!*after)
        *after = at;
    if (length == 0)
        out[length++] = '.';
    out[length] = '\0';
    return (int)length;
}

static const char *read_name(struct reader *in)
{
    char text[GCORE__NAME_ROOM];
    const uint8_t *after;
    const char *copy;
    int length = in->bad ? -1 : expand(in, in->next, text, &after);

    if (length < 0) {
        in->bad = true;
        return NULL;
    }
    in->next = after;
    copy = gcore__arena_text(&in->answer->shared.arena, text, (size_t)length);
    if (!copy)
        in->no_room = in->bad = true;
    return copy;
}

static void skip_name(struct reader *in)
{
    char text[GCORE__NAME_ROOM];
    const uint8_t *after;

    if (in->bad || expand(in, in->next, text, &after) < 0)
        in->bad = true;
    else
        in->next = after;
}

/* Data */

static void read_bytes(struct reader *in, gcore_dns_bytes *out, size_t length)
{
    char *copy;

    if (!has(in, length))
        return;
    copy = gcore__arena_text(&in->answer->shared.arena,
                             (const char *)in->next, length);
    if (!copy)
        in->no_room = in->bad = true;
    out->data = (const uint8_t *)copy;
    out->length = (uint32_t)length;
    in->next += length;
}

/* A length in one byte and the bytes. */
static void read_string(struct reader *in, gcore_dns_bytes *out)
{
    read_bytes(in, out, read8(in));
}

static gcore_dns_bytes *take_parts(struct reader *in, gcore_dns_record *record,
                                   size_t count)
{
    gcore_dns_bytes *parts =
        in->bad ? NULL : take(in, (count ? count : 1) * sizeof *parts);

    record->parts = parts;
    record->part_count = parts ? count : 0;
    return parts;
}

/* All that is left of the record. */
static size_t left(const struct reader *in)
{
    return (size_t)(in->end - in->next);
}

static void read_address(struct reader *in, gcore_dns_record *record,
                         int family, size_t length)
{
    struct {
        gcore_dns_bytes part;
        uint8_t bytes[17]; /* and a NUL */
        char text[];
    } *address;

    if (left(in) != length) {
        in->bad = true;
        return;
    }
    address = take(in, sizeof *address + (length == 4 ? INET_ADDRSTRLEN
                                                      : INET6_ADDRSTRLEN));
    if (!address)
        return;
    memcpy(address->bytes, in->next, length);
    gcore__address_text(family, in->next, address->text);
    address->part.data = address->bytes;
    address->part.length = (uint32_t)length;
    record->target = address->text;
    record->parts = &address->part;
    record->part_count = 1;
    in->next += length;
}

static void read_soa(struct reader *in, gcore_dns_record *record)
{
    record->target = read_name(in);
    record->mailbox = read_name(in);
    record->serial = read32(in);
    record->refresh = read32(in);
    record->retry = read32(in);
    record->expire = read32(in);
    record->minimum = read32(in);
}

static void read_srv(struct reader *in, gcore_dns_record *record)
{
    record->priority = read16(in);
    record->weight = read16(in);
    record->port = read16(in);
    record->target = read_name(in);
}

static void read_txt(struct reader *in, gcore_dns_record *record)
{
    const uint8_t *first = in->next;
    size_t count = 0;
    gcore_dns_bytes *parts;

    for (; in->next < in->end && has(in, 1u + *in->next); count++)
        in->next += 1u + *in->next;
    in->next = first;
    parts = take_parts(in, record, count);
    for (size_t i = 0; i < count && parts; i++)
        read_string(in, &parts[i]);
}

static void read_caa(struct reader *in, gcore_dns_record *record)
{
    gcore_dns_bytes *parts = take_parts(in, record, 2);

    if (!parts)
        return;
    record->flags = read8(in);
    read_string(in, &parts[0]);
    read_bytes(in, &parts[1], left(in));
}

static void read_naptr(struct reader *in, gcore_dns_record *record)
{
    gcore_dns_bytes *parts = take_parts(in, record, 3);

    if (!parts)
        return;
    record->priority = read16(in);
    record->weight = read16(in);
    for (int i = 0; i < 3; i++)
        read_string(in, &parts[i]);
    record->target = read_name(in);
}

static void read_uri(struct reader *in, gcore_dns_record *record)
{
    gcore_dns_bytes uri = {0};

    record->priority = read16(in);
    record->weight = read16(in);
    read_bytes(in, &uri, left(in));
    record->target = (const char *)uri.data;
}

static void read_svcb(struct reader *in, gcore_dns_record *record)
{
    const uint8_t *first;
    size_t count = 0;
    gcore_dns_bytes *parts;

    record->priority = read16(in);
    record->target = read_name(in);
    first = in->next;
    for (; !in->bad && in->next < in->end; count++) {
        size_t length;

        read16(in);
        length = read16(in);
        if (has(in, length))
            in->next += length;
    }
    in->next = first;
    parts = take_parts(in, record, count);
    for (size_t i = 0; i < count && parts && !in->bad; i++) {
        parts[i].key = read16(in);
        read_bytes(in, &parts[i], read16(in));
    }
}

static void read_other(struct reader *in, gcore_dns_record *record)
{
    gcore_dns_bytes *part = take_parts(in, record, 1);

    if (part)
        read_bytes(in, part, left(in));
}

/* The data of a record; `in` ends with it. */
static void read_data(struct reader *in, gcore_dns_record *record)
{
    switch (record->type) {
    case GCORE_DNS_A:
        read_address(in, record, AF_INET, 4);
        break;
    case GCORE_DNS_AAAA:
        read_address(in, record, AF_INET6, 16);
        break;
    case GCORE_DNS_NS:
    case GCORE_DNS_CNAME:
    case GCORE_DNS_PTR:
        record->target = read_name(in);
        break;
    case GCORE_DNS_MX:
        record->priority = read16(in);
        record->target = read_name(in);
        break;
    case GCORE_DNS_SOA:
        read_soa(in, record);
        break;
    case GCORE_DNS_TXT:
        read_txt(in, record);
        break;
    case GCORE_DNS_SRV:
        read_srv(in, record);
        break;
    case GCORE_DNS_NAPTR:
        read_naptr(in, record);
        break;
    case GCORE_DNS_SVCB:
    case GCORE_DNS_HTTPS:
        read_svcb(in, record);
        break;
    case GCORE_DNS_URI:
        read_uri(in, record);
        break;
    case GCORE_DNS_CAA:
        read_caa(in, record);
        break;
    default:
        read_other(in, record);
    }
}

/* Records */

struct head {
    const char *name;
    uint16_t type;
    uint16_t dns_class;
    uint32_t ttl;
    size_t length;
};

/* What comes before the data; its name is `known` where it points to the
 * question's. */
static struct head read_head(struct reader *in, const char *known)
{
    static const uint8_t to_question[2] = {0xc0, HEADER};
    struct head head = {0};

    if (known && left(in) >= 2 && memcmp(in->next, to_question, 2) == 0) {
        in->next += 2;
        head.name = known;
    } else {
        head.name = read_name(in);
    }
    if (!has(in, 10))
        return head;
    head.type = get16(in->next);
    head.dns_class = get16(in->next + 2);
    head.ttl = get32(in->next + 4);
    if (head.ttl > INT32_MAX)
        head.ttl = 0;
    head.length = get16(in->next + 8);
    in->next += 10;
    has(in, head.length);
    return head;
}

static void read_record(struct reader *in, const char *known)
{
    struct head head = read_head(in, known);
    const uint8_t *end = in->end;
    gcore_dns_record *record;

    if (in->bad)
        return;
    if (head.dns_class != CLASS_IN) {
        in->next += head.length;
        return;
    }
    record = gcore__answer_add(in->answer);
    if (!record) {
        in->no_room = in->bad = true;
        return;
    }
    record->name = head.name;
    record->type = head.type;
    record->ttl = head.ttl;
    in->end = in->next + head.length;
    read_data(in, record);
    if (in->next != in->end)
        in->bad = true;
    in->end = end;
}

/* How long it may be remembered that there is nothing (RFC 2308): 0 without
 * an SOA among the authorities. */
static uint32_t read_negative_ttl(struct reader *in, unsigned count)
{
    while (count-- > 0 && !in->bad) {
        struct head head = read_head(in, NULL);
        const uint8_t *data = in->next;
        uint32_t minimum;

        if (in->bad)
            return 0;
        if (head.type != GCORE_DNS_SOA) {
            in->next += head.length;
            continue;
        }
        if (head.length < 4)
            return 0;
        in->next = data + head.length - 4;
        minimum = read32(in);
        return minimum < head.ttl ? minimum : head.ttl;
    }
    return 0;
}

static bool has_type(const gcore__answer *answer, int type)
{
    for (size_t i = 0; i < answer->count; i++)
        if (type == GCORE_DNS_ANY || answer->records[i].type == type)
            return true;
    return false;
}

static int error_of(unsigned code)
{
    switch (code) {
    case NOERROR:
    case NXDOMAIN:
        return 0;
    case SERVFAIL:
    case NOTIMP:
    case REFUSED:
        return GCORE__UNWILLING;
    default:
        return -GCORE_EAI_FAIL;
    }
}

static int read_answer(struct reader *in, const char *name, int type)
{
    uint32_t negative_ttl = 0;
    const char *known = NULL; /* the question's name */
    unsigned flags, questions, answers, authorities;
    int error;

    if (!has(in, HEADER))
        return -GCORE_EAI_FAIL;
    flags = get16(in->next + 2);
    questions = get16(in->next + 4);
    answers = get16(in->next + 6);
    authorities = get16(in->next + 8);
    in->next += HEADER;
    error = flags & REPLY ? error_of(flags & 0xf) : -GCORE_EAI_FAIL;
    if (error < 0)
        return error;
    for (unsigned i = 0; i < questions && !in->bad; i++) {
        if (i == 0)
            known = read_name(in);
        else
            skip_name(in);
        read32(in);
    }
    for (unsigned i = 0; i < answers && !in->bad; i++)
        read_record(in, known);
    if (in->no_room)
        return -ENOMEM;
    if (in->bad)
        return -GCORE_EAI_FAIL;
    if ((flags & 0xf) == NXDOMAIN)
        in->answer->error = -GCORE_EAI_NONAME;
    if (in->answer->error < 0 || !has_type(in->answer, type))
        negative_ttl = read_negative_ttl(in, authorities);
    if (in->no_room)
        return -ENOMEM;
    if (!known)
        known = gcore__arena_text(&in->answer->shared.arena, name,
                                  gcore__name_length(name));
    return known ? gcore__answer_settle(in->answer, known, type, negative_ttl)
                 : -ENOMEM;
}

int gcore__message_read(const uint8_t *bytes, size_t length, const char *name,
                        int type, gcore__answer **out)
{
    struct reader in = {.start = bytes,
                        .next = bytes,
                        .end = bytes + length,
                        .answer = gcore__answer_new()};
    int error;

    if (!in.answer)
        return -ENOMEM;
    error = read_answer(&in, name, type);
    if (error < 0) {
        gcore__shared_unref(in.answer);
        return error;
    }
    *out = in.answer;
    return 0;
}
