/*
 * Header and trailer fields, read by llhttp.
 *
 * llhttp reads whole requests. It is given a request line of ours, once, and
 * each reading begins with a copy of the parser in that state. What it makes
 * of the fields' meaning is not used.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>
#include <string.h>

#include <llhttp.h>

#include "http/head.h"

typedef struct reading {
    gcore__http_found *found;
    char *block;
    bool complete;
} reading;

static reading *reading_of(llhttp_t *parser)
{
    return parser->data;
}

static gcore_http_field *current(reading *self)
{
    return &self->found->fields[self->found->count - 1];
}

static int on_name(llhttp_t *parser, const char *at, size_t size)
{
    reading *self = reading_of(parser);

    if (size == 0 || self->found->count == self->found->room)
        return -1;
    self->found->fields[self->found->count++] = (gcore_http_field){
        .name = (uint32_t)(at - self->block),
        .name_size = (uint32_t)size,
    };
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    reading *self = reading_of(parser);
    gcore_http_field *field = current(self);
    uint32_t begin = (uint32_t)(at - self->block);

    if (!field->value)
        field->value = begin;
    field->value_size = begin + (uint32_t)size - field->value;
    return 0;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static int on_value_end(llhttp_t *parser)
{
    reading *self = reading_of(parser);
    gcore_http_field *field = current(self);
    const char *value = self->block + field->value;

    if (!field->value)
        field->value = field->name + field->name_size + 1;
    while (field->value_size > 0 && is_blank(value[field->value_size - 1]))
        field->value_size--;
    return 0;
}

static int on_end(llhttp_t *parser)
{
    reading_of(parser)->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_end,
    .on_headers_complete = on_end,
};

static llhttp_t beginning;

static void begin_once(void)
{
    static const char line[] = "POST / HTTP/1.1\r\n";

    llhttp_init(&beginning, HTTP_REQUEST, &settings);
    /* Framing is ours: what llhttp refuses there it need not. */
    llhttp_set_lenient_chunked_length(&beginning, 1);
    llhttp_execute(&beginning, line, sizeof line - 1);
}

/* White space becomes such as llhttp takes it anywhere. Lines that begin with
 * it belong to the line before: their ends become spaces. So do tabs at a
 * line's end, behind a length for one. Whether lines were folded. */
static bool even_out(char *block, size_t begin, size_t end)
{
    bool folded = false;
    char *line = block + begin, *at = line;

    while ((at = memchr(at, '\n', (size_t)(block + end - at))) != NULL &&
           ++at < block + end) {
        for (char *last = at - 3; last >= line && is_blank(*last); last--)
            *last = ' ';
        line = at;
        if (!is_blank(*at))
            continue;
        at[-2] = at[-1] = ' ';
        folded = true;
    }
    return folded;
}

static gcore__http_refusal refusal_of(llhttp_errno_t error)
{
    switch (error) {
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return GCORE__HTTP_LENGTH_MANY;
    case HPE_INVALID_CONTENT_LENGTH:
        return GCORE__HTTP_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING:
        return GCORE__HTTP_CODING;
    default:
        return GCORE__HTTP_FIELD;
    }
}

gcore__http_refusal gcore__http_read_fields(char *block, size_t begin,
                                            size_t end,
                                            gcore__http_found *found)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    reading self = {.found = found, .block = block};
    llhttp_t parser;

    pthread_once(&once, begin_once);
    /* White space before the first field belongs to nothing. */
    if (is_blank(block[begin]))
        return GCORE__HTTP_FIELD;
    found->folded = even_out(block, begin, end);
    parser = beginning;
    parser.data = &self;
    llhttp_execute(&parser, block + begin, end - begin);
    if (!self.complete)
        return refusal_of(llhttp_get_errno(&parser));
    return llhttp_get_error_pos(&parser) == block + end ? GCORE__HTTP_FINE
                                                        : GCORE__HTTP_FIELD;
}
