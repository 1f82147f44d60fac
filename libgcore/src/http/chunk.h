/*
 * Chunked bodies: functions on bytes, without any input or output.
 */
#ifndef GCORE__HTTP_CHUNK_H
#define GCORE__HTTP_CHUNK_H

#include <llhttp.h>

#include "http/head.h"

typedef struct gcore__http_chunks {
    llhttp_t parser;
    gcore__http_rules trailer_rules;
    gcore__http_scan trailer; /* the search for the trailers' end */
    int64_t overhead; /* bytes of chunks' frames that may yet come */
    bool over;        /* all chunks have been read */
    const char *data; /* found by the last step */
    size_t size;
} gcore__http_chunks;

/* What a step found. */
typedef enum gcore__http_step {
    GCORE__HTTP_MORE,      /* nothing; more input is needed */
    GCORE__HTTP_DATA,      /* `data` and `size`, within the input */
    GCORE__HTTP_END,       /* the body's end; `data` and `size` are the
                              trailer lines, the empty one included */
    GCORE__HTTP_MALFORMED,
} gcore__http_step;

/* extension and trailer limits as in gcore_http_options. */
void gcore__http_chunks_init(gcore__http_chunks *chunks,
                             uint32_t extension_limit,
                             uint32_t trailer_limit, uint32_t field_limit);

/*
 * Reads on.
 *   bytes  input; where the last step did not use it up, what it left and
 *          perhaps more
 *   used   set to how much of it is done with
 */
gcore__http_step gcore__http_chunks_read(gcore__http_chunks *chunks,
                                         const char *bytes, size_t size,
                                         size_t *used);

#endif
