/*
 * Chunks, read by llhttp; trailers, read as header fields are.
 *
 * llhttp is given the head of a chunked request, once, and each body begins
 * with a copy of the parser in that state. It is stopped at each piece of
 * data and at the last chunk.
 *
 * SPDX-License-Identifier: MIT
 */
#include <pthread.h>

#include "http/chunk.h"

/* A size, CR LF twice, and what a hexadecimal number takes. */
#define CHUNK_FRAME 16

static int on_data(llhttp_t *parser, const char *at, size_t size)
{
    gcore__http_chunks *self = parser->data;

    self->data = at;
    self->size = size;
    return size ? HPE_PAUSED : 0;
}

static int on_chunk(llhttp_t *parser)
{
    gcore__http_chunks *self = parser->data;

    self->overhead += CHUNK_FRAME;
    self->over = parser->content_length == 0;
    return self->over ? HPE_PAUSED : 0;
}

static const llhttp_settings_t settings = {
    .on_body = on_data,
    .on_chunk_header = on_chunk,
};

static llhttp_t beginning;

static void begin_once(void)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

    llhttp_init(&beginning, HTTP_REQUEST, &settings);
    llhttp_execute(&beginning, head, sizeof head - 1);
}

void gcore__http_chunks_init(gcore__http_chunks *chunks,
                             uint32_t extension_limit,
                             uint32_t trailer_limit, uint32_t field_limit)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin_once);
    *chunks = (gcore__http_chunks){
        .parser = beginning,
        .trailer_rules = {.field_limit = field_limit,
                          .head_limit = trailer_limit},
        .overhead = (int64_t)extension_limit + CHUNK_FRAME,
    };
}

static gcore__http_step read_trailers(gcore__http_chunks *self,
                                      const char *bytes, size_t size,
                                      size_t *used)
{
    size_t end;

    *used = 0;
    if (gcore__http_scan_fields(&self->trailer, &self->trailer_rules, bytes,
                                size, &end))
        return GCORE__HTTP_MALFORMED;
    if (!end)
        return GCORE__HTTP_MORE;
    self->data = bytes;
    self->size = *used = end;
    return GCORE__HTTP_END;
}

/* Lets llhttp read up to the next piece of data or the last chunk; returns
 * how far it came, or -1. */
static int64_t read_frames(gcore__http_chunks *self, const char *bytes,
                           size_t size)
{
    llhttp_errno_t error;
    size_t done = size;

    self->size = 0;
    self->parser.data = self;
    error = llhttp_execute(&self->parser, bytes, size);
    if (error != HPE_OK && error != HPE_PAUSED)
        return -1;
    if (error == HPE_PAUSED) {
        done = (size_t)(llhttp_get_error_pos(&self->parser) - bytes);
        llhttp_resume(&self->parser);
    }
    self->overhead -= (int64_t)(done - self->size);
    return self->overhead < 0 ? -1 : (int64_t)done;
}

gcore__http_step gcore__http_chunks_read(gcore__http_chunks *self,
                                         const char *bytes, size_t size,
                                         size_t *used)
{
    gcore__http_step step = GCORE__HTTP_MORE;
    int64_t done = 0;

    *used = 0;
    if (!self->over) {
        done = read_frames(self, bytes, size);
        if (done < 0)
            return GCORE__HTTP_MALFORMED;
        if (self->size)
            step = GCORE__HTTP_DATA;
    }
    if (self->over)
        step = read_trailers(self, bytes + done, size - (size_t)done, used);
    *used += (size_t)done;
    return step;
}
