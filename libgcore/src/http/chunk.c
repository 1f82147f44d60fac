/*
 * Chunks, read byte by byte but for their data; trailers, read as header
 * fields are.
 *
 * A chunk's line is hexadecimal digits and CR LF. Between them there may be
 * a semicolon, with white space before it (RFC 9112, 7.1.1), and then any text,
 * which is passed over; no other line end, so that nobody can take a part of
 * it for something else.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http/chunk.h"

#include "http/bytes.h"

/* A size, CR LF twice, and what a hexadecimal number takes. */
#define CHUNK_FRAME 16

void gcore__http_chunks_init(gcore__http_chunks *chunks,
                             uint32_t extension_limit,
                             uint32_t trailer_limit, uint32_t field_limit)
{
    *chunks = (gcore__http_chunks){
        .trailer_rules = {.field_limit = field_limit,
                          .head_limit = trailer_limit,
                          .field_bytes = UINT32_MAX},
        .overhead = (int64_t)extension_limit + CHUNK_FRAME,
    };
}

/* Lines */

static int digit_of(char byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static gcore__http_place add_digit(gcore__http_chunks *self, int digit)
{
    if (digit < 0 || self->left > INT64_MAX >> 4)
        return GCORE__CHUNK_WRONG;
    self->left = self->left << 4 | digit;
    return GCORE__CHUNK_SIZE;
}

static gcore__http_place behind_size(char byte)
{
    switch (byte) {
    case ';': return GCORE__CHUNK_EXTENSION;
    case '\r': return GCORE__CHUNK_LINE_FEED;
    case ' ':
    case '\t': return GCORE__CHUNK_GAP;
    default: return GCORE__CHUNK_WRONG;
    }
}

static gcore__http_place in_extension(char byte)
{
    if (byte == '\r')
        return GCORE__CHUNK_LINE_FEED;
    return gcore__http_all(&byte, 1, GCORE__BYTE_TEXT)
               ? GCORE__CHUNK_EXTENSION
               : GCORE__CHUNK_WRONG;
}

static gcore__http_place end_of_line(gcore__http_chunks *self)
{
    self->overhead += CHUNK_FRAME;
    return self->left ? GCORE__CHUNK_DATA : GCORE__CHUNK_OVER;
}

static gcore__http_place either(bool holds, gcore__http_place place)
{
    return holds ? place : GCORE__CHUNK_WRONG;
}

/* What comes behind `byte`. */
static gcore__http_place next_place(gcore__http_chunks *self, char byte)
{
    int digit = digit_of(byte);

    switch (self->place) {
    case GCORE__CHUNK_BEGIN:
        return add_digit(self, digit);
    case GCORE__CHUNK_SIZE:
        return digit < 0 ? behind_size(byte) : add_digit(self, digit);
    case GCORE__CHUNK_GAP:
        return either(byte != '\r', behind_size(byte));
    case GCORE__CHUNK_EXTENSION:
        return in_extension(byte);
    case GCORE__CHUNK_LINE_FEED:
        return byte == '\n' ? end_of_line(self) : GCORE__CHUNK_WRONG;
    case GCORE__CHUNK_DATA_CR:
        return either(byte == '\r', GCORE__CHUNK_DATA_LF);
    case GCORE__CHUNK_DATA_LF:
        return either(byte == '\n', GCORE__CHUNK_BEGIN);
    default:
        return GCORE__CHUNK_WRONG;
    }
}

/* Reads up to data or the last chunk's end; returns how far. */
static size_t read_frame(gcore__http_chunks *self, const char *bytes,
                         size_t size)
{
    size_t done = 0;

    while (done < size && self->place < GCORE__CHUNK_OVER &&
           self->place != GCORE__CHUNK_DATA)
        self->place = next_place(self, bytes[done++]);
    self->overhead -= (int64_t)done;
    if (self->overhead < 0)
        self->place = GCORE__CHUNK_WRONG;
    return done;
}

static void find_data(gcore__http_chunks *self, const char *bytes, size_t size)
{
    if ((uint64_t)self->left < size)
        size = (size_t)self->left;
    self->data = bytes;
    self->size = size;
    self->left -= (int64_t)size;
    if (self->left == 0)
        self->place = GCORE__CHUNK_DATA_CR;
}

/* The whole */

static gcore__http_step read_trailers(gcore__http_chunks *self,
                                      const char *bytes, size_t size,
                                      size_t *used)
{
    size_t end;

    if (gcore__http_scan_fields(&self->trailer, &self->trailer_rules, bytes,
                                size, &end))
        return GCORE__HTTP_MALFORMED;
    if (!end)
        return GCORE__HTTP_MORE;
    self->data = bytes;
    self->size = end;
    *used += end;
    return GCORE__HTTP_END;
}

gcore__http_step gcore__http_chunks_read(gcore__http_chunks *self,
                                         const char *bytes, size_t size,
                                         size_t *used)
{
    size_t done = read_frame(self, bytes, size);

    *used = done;
    if (self->place == GCORE__CHUNK_WRONG)
        return GCORE__HTTP_MALFORMED;
    if (self->place == GCORE__CHUNK_OVER)
        return read_trailers(self, bytes + done, size - done, used);
    if (self->place != GCORE__CHUNK_DATA || done == size)
        return GCORE__HTTP_MORE;
    find_data(self, bytes + done, size - done);
    *used += self->size;
    return GCORE__HTTP_DATA;
}
