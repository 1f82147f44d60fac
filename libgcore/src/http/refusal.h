/*
 * Why a request is refused, and with which status.
 */
#ifndef GCORE__HTTP_REFUSAL_H
#define GCORE__HTTP_REFUSAL_H

/* X(name, status, text) */
#define GCORE__HTTP_REFUSALS(X)                                               \
    X(PROXY_HEADER, 400, "no PROXY header, or a malformed one")               \
    X(LINE_LONG, 414, "request line too long")                                \
    X(LINE_END, 400, "line does not end with CR LF")                          \
    X(LINE_BYTES, 400, "control character in the request line")               \
    X(LINE_SHAPE, 400, "request line is not method, target, version")         \
    X(METHOD, 400, "method is not a token")                                   \
    X(TARGET, 400, "invalid byte in the request target")                      \
    X(VERSION, 400, "malformed HTTP version")                                 \
    X(VERSION_OTHER, 505, "unsupported HTTP version")                         \
    X(FIELDS_MANY, 431, "too many header fields")                             \
    X(FIELDS_LONG, 431, "header fields too long")                             \
    X(FIELD, 400, "malformed header field")                                   \
    X(FOLDED, 400, "folded header field")                                     \
    X(HOST_NONE, 400, "no Host in an HTTP/1.1 request")                       \
    X(HOST_MANY, 400, "more than one Host")                                   \
    X(HOST, 400, "malformed Host")                                            \
    X(LENGTH, 400, "malformed Content-Length")                                \
    X(LENGTH_MANY, 400, "more than one Content-Length")                       \
    X(LENGTH_CHUNKED, 400, "length beside a transfer coding")                 \
    X(CODING, 400, "malformed or misplaced transfer coding")                  \
    X(CODING_OTHER, 501, "unsupported transfer coding")                       \
    X(CODING_OLD, 400, "transfer coding in an HTTP/1.0 request")              \
    X(BODY_LONG, 413, "body too long")                                        \
    X(HEAD_SLOW, 408, "head came too slowly")                                 \
    X(MEMORY, 503, "out of memory")

#define GCORE__ENUMERATOR(name, status, text) GCORE__HTTP_##name,
typedef enum gcore__http_refusal {
    GCORE__HTTP_FINE = 0,
    GCORE__HTTP_REFUSALS(GCORE__ENUMERATOR)
} gcore__http_refusal;
#undef GCORE__ENUMERATOR

int gcore__http_refusal_status(gcore__http_refusal refusal);
const char *gcore__http_refusal_text(gcore__http_refusal refusal);

#endif
