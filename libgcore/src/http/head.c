/*
 * The end of a head, and its request line.
 *
 * Each line must end with CR LF; a lone CR within a line is left to the
 * readers of the line, none of which takes a control character.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "http/bytes.h"
#include "http/head.h"

/* The request line as far as it has come: the peer may speak another
 * protocol, and no line end ever come. */
static gcore__http_refusal check_beginning(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (byte < 0x20 && !(byte == '\r' && i + 1 == size))
            return GCORE__HTTP_LINE_BYTES;
    }
    return GCORE__HTTP_FINE;
}

/* Whether the fields, up to `size`, are too much; the last has so many bytes,
 * its end aside. */
static gcore__http_refusal check_limits(const gcore__http_scan *scan,
                                        const gcore__http_rules *rules,
                                        size_t size, size_t last)
{
    if (size - scan->fields > rules->head_limit || last > rules->field_bytes)
        return GCORE__HTTP_FIELDS_LONG;
    return scan->lines > rules->field_limit ? GCORE__HTTP_FIELDS_MANY
                                            : GCORE__HTTP_FINE;
}

/* Goes on to the next line's end; 0 if it has not come. */
static size_t next_line(gcore__http_scan *scan, const char *bytes, size_t size)
{
    const char *found = NULL;

    if (size > scan->seen)
        found = memchr(bytes + scan->seen, '\n', size - scan->seen);
    scan->seen = (uint32_t)size;
    if (!found)
        return 0;
    scan->seen = (uint32_t)(found + 1 - bytes);
    return scan->seen;
}

gcore__http_refusal gcore__http_scan_fields(gcore__http_scan *scan,
                                            const gcore__http_rules *rules,
                                            const char *bytes, size_t size,
                                            size_t *end)
{
    size_t next, last;

    *end = 0;
    while ((next = next_line(scan, bytes, size)) != 0) {
        size_t length = next - scan->line;
        gcore__http_refusal refusal;

        if (length < 2 || bytes[next - 2] != '\r')
            return GCORE__HTTP_LINE_END;
        if (length == 2) {
            *end = next;
            return GCORE__HTTP_FINE;
        }
        scan->line = (uint32_t)next;
        scan->lines++;
        refusal = check_limits(scan, rules, next, length - 2);
        if (refusal)
            return refusal;
    }
    /* Of an unfinished line the end may have come in part. */
    last = size - scan->line;
    return check_limits(scan, rules, size, last ? last - 1 : 0);
}

static gcore__http_refusal read_version(const char *text, size_t size,
                                        gcore_http_head *head)
{
    if (size != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' ||
        text[5] < '0' || text[5] > '9' || text[7] < '0' || text[7] > '9')
        return GCORE__HTTP_VERSION;
    if (text[5] != '1')
        return GCORE__HTTP_VERSION_OTHER;
    head->minor = (uint32_t)(text[7] - '0');
    return GCORE__HTTP_FINE;
}

static gcore__http_refusal read_line(const char *line, size_t size,
                                     gcore_http_head *head)
{
    const char *target, *version, *end = line + size;
    const char *space = memchr(line, ' ', size);

    if (!space)
        return GCORE__HTTP_LINE_SHAPE;
    target = space + 1;
    version = memchr(target, ' ', (size_t)(end - target));
    if (!version || memchr(version + 1, ' ', (size_t)(end - version - 1)))
        return GCORE__HTTP_LINE_SHAPE;
    if (space == line ||
        !gcore__http_all(line, (size_t)(space - line), GCORE__BYTE_TOKEN))
        return GCORE__HTTP_METHOD;
    if (version == target ||
        !gcore__http_all(target, (size_t)(version - target),
                         GCORE__BYTE_TARGET))
        return GCORE__HTTP_TARGET;
    head->method_size = (uint32_t)(space - line);
    head->target = (uint32_t)(target - line);
    head->target_size = (uint32_t)(version - target);
    return read_version(version + 1, (size_t)(end - version - 1), head);
}

gcore__http_refusal gcore__http_scan_head(gcore__http_scan *scan,
                                          const gcore__http_rules *rules,
                                          const char *bytes, size_t size,
                                          size_t *end)
{
    gcore__http_refusal refusal;
    gcore_http_head unused;
    size_t next;

    *end = 0;
    if (scan->fields)
        return gcore__http_scan_fields(scan, rules, bytes, size, end);
    next = next_line(scan, bytes, size);
    if (next == 2 && bytes[0] == '\r') { /* one empty line may come before */
        scan->begin = 2;
        next = next_line(scan, bytes, size);
    }
    if (!next && size - scan->begin > rules->line_limit)
        return GCORE__HTTP_LINE_LONG;
    if (!next)
        return check_beginning(bytes + scan->begin, size - scan->begin);
    if (next < 2 || bytes[next - 2] != '\r')
        return GCORE__HTTP_LINE_END;
    if (next - scan->begin - 2 > rules->line_limit)
        return GCORE__HTTP_LINE_LONG;
    scan->fields = scan->line = (uint32_t)next;
    refusal = gcore__http_scan_fields(scan, rules, bytes, size, end);
    if (refusal || *end)
        return refusal;
    /* What cannot become a request need not be waited for. */
    return read_line(bytes + scan->begin, next - scan->begin - 2, &unused);
}

gcore__http_refusal gcore__http_read_head(char *block, size_t size,
                                          size_t line,
                                          const gcore__http_rules *rules,
                                          gcore__http_found *found,
                                          gcore_http_head *head)
{
    gcore__http_refusal refusal = read_line(block, line - 2, head);

    if (!refusal)
        refusal = gcore__http_read_fields(block, line, size, found);
    if (refusal)
        return refusal;
    head->block = block;
    head->block_size = (uint32_t)size;
    head->fields = found->fields;
    head->field_count = found->count;
    return gcore__http_frame(rules, found->folded, head);
}
