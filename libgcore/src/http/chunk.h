/*
 * Chunked bodies: functions on bytes, without any input or output.
 */
#ifndef GCORE__HTTP_CHUNK_H
#define GCORE__HTTP_CHUNK_H

#include "http/head.h"

/* What the next byte of the chunks belongs to. */
typedef enum gcore__http_place {
    GCORE__CHUNK_BEGIN,     /* a size's first digit */
    GCORE__CHUNK_SIZE,      /* more of it, or what follows it */
    GCORE__CHUNK_GAP,       /* white space before a semicolon */
    GCORE__CHUNK_EXTENSION, /* what follows one */
    GCORE__CHUNK_LINE_FEED,
    GCORE__CHUNK_DATA,
    GCORE__CHUNK_DATA_CR,
    GCORE__CHUNK_DATA_LF,
    GCORE__CHUNK_OVER, /* the last chunk's line has been read */
    GCORE__CHUNK_WRONG,
} gcore__http_place;

typedef struct gcore__http_chunks {
    gcore__http_place place;
    int64_t left; /* bytes of the chunk's data to come */
    gcore__http_rules trailer_rules;
    gcore__http_scan trailer; /* the search for the trailers' end */
    int64_t overhead; /* bytes of chunks' frames that may yet come */
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
