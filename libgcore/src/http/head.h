/*
 * Request heads: functions on bytes, without any input or output.
 *
 * A head is searched for its end while it comes (scan), and read once it is
 * complete (read): the request line here, the fields by llhttp, and then the
 * framing, which is decided here alone.
 */
#ifndef GCORE__HTTP_HEAD_H
#define GCORE__HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <gcore/http.h>

#include "http/refusal.h"

/* What a head may be; members as in gcore_http_options. */
typedef struct gcore__http_rules {
    unsigned flags;
    uint32_t line_limit;
    uint32_t field_limit;
    uint32_t head_limit;
    uint32_t field_bytes;
    int64_t body_limit;
} gcore__http_rules;

/* How far the search has come; zeroed at first. */
typedef struct gcore__http_scan {
    uint32_t seen;   /* bytes without a line's end behind `line` */
    uint32_t line;   /* where the current line begins */
    uint32_t lines;  /* complete header lines */
    uint32_t begin;  /* where the request line begins */
    uint32_t fields; /* where the header lines begin */
} gcore__http_scan;

/*
 * Looks for the empty line that ends a head.
 *   scan   of the same bytes so far
 *   bytes  all that has come, from the head's beginning
 *   end    set to the head's size, the empty line included; 0 if more is
 *          needed
 */
gcore__http_refusal gcore__http_scan_head(gcore__http_scan *scan,
                                          const gcore__http_rules *rules,
                                          const char *bytes, size_t size,
                                          size_t *end);

/* The same for fields alone, as trailers are. */
gcore__http_refusal gcore__http_scan_fields(gcore__http_scan *scan,
                                            const gcore__http_rules *rules,
                                            const char *bytes, size_t size,
                                            size_t *end);

/* What a read found. */
typedef struct gcore__http_found {
    gcore_http_field *fields;
    uint32_t room;  /* elements of `fields` */
    uint32_t count; /* of these, filled */
    bool folded;
} gcore__http_found;

/*
 * Reads a complete head.
 *   block   its bytes, from the request line's; folded lines are unfolded
 *   line    bytes of the request line, its end included
 *   found   with room for a field a line
 *   head    filled but for the members about the connection
 */
gcore__http_refusal gcore__http_read_head(char *block, size_t size,
                                          size_t line,
                                          const gcore__http_rules *rules,
                                          gcore__http_found *found,
                                          gcore_http_head *head);

/* fields.c: reads field lines, the empty line included, with llhttp; offsets
 * are from `block`. */
gcore__http_refusal gcore__http_read_fields(char *block, size_t begin,
                                            size_t end,
                                            gcore__http_found *found);

/* framing.c: decides on the body's length and the connection's future. */
gcore__http_refusal gcore__http_frame(const gcore__http_rules *rules,
                                      bool folded, gcore_http_head *head);

#endif
