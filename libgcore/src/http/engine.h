/*
 * The inside of the HTTP server, shared by the files of this folder.
 *
 * A server has connections; a connection has at most one request, from the
 * moment its head is complete until it is answered and its body is used up.
 * The application's references keep a request's memory; the connection is
 * taken from it (request->conn becomes NULL) when the two part.
 *
 * What waits completes through a gcore__ready of the request's.
 */
#ifndef GCORE__HTTP_ENGINE_H
#define GCORE__HTTP_ENGINE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "http/buffer.h"
#include "http/chunk.h"
#include "http/head.h"
#include "http/proxy.h"
#include "hub/hub.h"
#include "util/list.h"

typedef struct gcore__http_conn gcore__http_conn;

/* Where the connection's input comes from on its first way. */
#define GCORE__HTTP_SCRATCH 65536

/* What was collected to be sent together, and the thread that sends it if
 * nobody else does: collect.c. */
typedef struct gcore__http_collector {
    gcore__link conns;
    int64_t time;       /* nanoseconds that a piece may wait; 0 or less: none */
    gcore__ready turn;  /* sends all in the hub's next turn */
    unsigned generation; /* gcore__fork_generation, of the lock and thread */
    bool running;
    bool asleep; /* until it is woken */
    bool over;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
} gcore__http_collector;

/* A connection's part of it. */
typedef struct gcore__http_collected {
    gcore__link link;
    int64_t due;  /* GCORE_FOREVER: nothing is */
    int64_t sent; /* by the thread: bytes of `out`, or an error */
    int64_t last; /* when a piece was written */
    uint8_t streak; /* pieces that have followed quickly */
    bool listed;
} gcore__http_collected;

struct gcore_http_server {
    gcore_hub *hub;
    int refs; /* the application's, and one a call in progress */
    bool closed;
    bool paused;
    bool draining;
    gcore_http_options options;
    gcore__http_rules rules;
    char *scratch;
    gcore__link conns;     /* open ones */
    gcore__link listeners; /* accept.c */
    gcore_watch *life;     /* tells when the hub is closed */
    uint64_t serial;
    gcore_http_stats stats;

    gcore_http_handler_fn *handler;
    void *handler_arg;
    gcore__link waiting;  /* requests for gcore_http_server_take */
    gcore__ready notice;  /* that there are some */
    bool watched;

    gcore__ready drained;
    gcore_watch *drain_timer;
    bool drain_waits;

    gcore__http_collector collector;

    int64_t date_second;
    char date[40];
};

/* Something the application waits for; its request is held while it does
 * and until it has been told. */
typedef struct gcore__http_wait {
    gcore__ready ready;
    gcore_http_request *request;
    int64_t deadline;
    bool waits;
} gcore__http_wait;

typedef enum gcore__http_state {
    GCORE__HTTP_OPEN,     /* reading heads, or answering */
    GCORE__HTTP_CLOSING,  /* closes once what waits has been sent */
    GCORE__HTTP_LINGERING /* sent all; reads what the peer still sends */
} gcore__http_state;

/* What a proxy said, kept by its connection and the requests of that. */
typedef struct gcore__http_proxied {
    int refs;
    gcore_http_proxy told;
    gcore__http_proxy_header header;
    char address[INET6_ADDRSTRLEN];
} gcore__http_proxied;

struct gcore__http_conn {
    gcore__link link;
    gcore_http_server *server;
    gcore_http_request *request;
    int fd; /* -1 once closed */
    gcore_stream *stream; /* if it has one, which owns `fd` then */
    gcore__http_state state;
    int busy;     /* how many of its functions are running */
    bool blocked; /* the kernel takes no more for now */
    bool linger;  /* the peer may be sending still */
    bool awaits_proxy; /* a PROXY header is to come first, or may */
    bool more;    /* there may be input that the kernel does not tell of */
    bool crossed; /* TLS has to write before it reads on */
    bool cut;     /* the last answer is not whole, which TLS must not deny */
    gcore_watch *input;
    gcore_watch *output; /* made when first blocked */
    gcore__buffer in;
    gcore__buffer out; /* see collect.c for who may touch it */
    gcore__http_collected collected;
    gcore__http_scan scan;
    gcore__ready again; /* more heads may be in `in` */
    int64_t deadline;   /* when the head, or the idle peer, is too late */
    int64_t stalled;    /* when the answer is */
    int64_t lingered;   /* bytes thrown away */
    uint64_t number;
    uint64_t requests;
    unsigned generation; /* gcore__fork_generation when it was made */
    uint32_t turn; /* requests handed over in the current turn */
    gcore__http_proxied *proxied; /* NULL without such a header */
    int32_t peer_port;
    char peer[INET6_ADDRSTRLEN];
};

/* A file's part, or bytes, that is a piece of the body; it is left where it
 * is until the kernel takes it. */
typedef struct gcore__http_source {
    int file;
    const char *data; /* NULL: it is the file's */
    int64_t offset;
    int64_t left;
} gcore__http_source;

/* How the end of the answer's body shows. */
typedef enum gcore__http_mode {
    GCORE__HTTP_BODILESS,
    GCORE__HTTP_LENGTH_KNOWN,
    GCORE__HTTP_CHUNKS,
    GCORE__HTTP_UNTIL_CLOSE,
} gcore__http_mode;

struct gcore_http_request {
    gcore_http_head head;
    int refs;     /* the application's, or the queue's */
    int holds;    /* its connection's, and one a wait */
    gcore__link link; /* in server->waiting */
    gcore_hub *hub;
    gcore__http_conn *conn;
    int error; /* why there is no connection */

    /* The body. */
    gcore__http_chunks *chunks; /* NULL unless chunked */
    int64_t left;      /* bytes to come; of a chunk's piece, if chunked */
    int64_t body_seen; /* bytes read */
    int body_error;
    bool body_over;
    bool starved;   /* a read found nothing */
    bool continued; /* "100 Continue" has been sent, or need not be */
    int64_t rate_end;
    int64_t rate_paused; /* since when nobody waits; 0: never yet, or waits */
    int64_t rate_seen;
    char *trailer_block;
    gcore_http_field *trailer_fields;
    uint32_t trailer_count;

    /* The answer. */
    gcore__http_mode mode;
    int status;
    bool begun;
    bool finished;
    bool keep;
    int64_t to_send; /* of the length announced */
    bool sending;    /* `source` */
    gcore__http_source source;

    gcore__http_wait body_wait;
    gcore__http_wait sent_wait;
    gcore__http_wait source_wait;

    gcore__buffer taken; /* input handed over by take_over */
    gcore__http_proxied *proxied;
    char peer[INET6_ADDRSTRLEN];

    gcore_http_field fields[]; /* and the block behind them */
};

/* conn.c */
int gcore__http_conn_new(gcore_http_server *server, int fd,
                         gcore_stream *stream,
                         const struct sockaddr_storage *peer);

/* Ends it at once; its request fails with `error`. Where the peer would take
 * a part of an answer for the whole, with a reset. */
void gcore__http_conn_close(gcore__http_conn *conn, int error);

/* The same, always with a reset. */
void gcore__http_conn_reset(gcore__http_conn *conn, int error);

/* Takes the descriptor out, to be somebody else's. */
int gcore__http_conn_detach(gcore__http_conn *conn, int error);

/* Whether this process is a forked child, which shares the connection: it
 * must not disturb what the parent says. */
bool gcore__http_conn_inherited(const gcore__http_conn *conn);

/* Brackets around whatever may end the connection under its user. */
void gcore__http_conn_enter(gcore__http_conn *conn);
void gcore__http_conn_leave(gcore__http_conn *conn);

/* The request has been answered. */
void gcore__http_conn_answered(gcore__http_conn *conn);

/* What waited to be sent has become less. */
void gcore__http_conn_sent(gcore__http_conn *conn);

/* The server drains: an idle connection ends. */
void gcore__http_conn_drain(gcore__http_conn *conn);

/* No more answers than the one that is being given. */
void gcore__http_conn_last(gcore__http_conn *conn);

/* Closes, once what waits has been sent. */
void gcore__http_conn_end(gcore__http_conn *conn, bool linger);

/* output.c: sends pieces behind what waits; 0 or the error with which the
 * connection has been closed. */
int gcore__http_send(gcore__http_conn *conn, struct iovec *pieces, int count);

/* Sends nothing yet: the next send goes with it. */
int gcore__http_cork(gcore__http_conn *conn, struct iovec *pieces, int count);
int gcore__http_flush(gcore__http_conn *conn);

/* Ends the connection for an error of sending; returns that. */
int gcore__http_lose(gcore__http_conn *conn, int error);
void gcore__http_output_close(gcore__http_conn *conn);

/* Sends the request's source behind what waits. */
void gcore__http_source_begin(gcore__http_conn *conn);

/* Bytes that wait to be sent, a source's aside. */
size_t gcore__http_unsent(const gcore__http_conn *conn);

/* collect.c: sends pieces of a body whose next piece may follow soon. */
int gcore__http_send_on(gcore__http_conn *conn, struct iovec *pieces,
                        int count);

/* A new answer begins. */
void gcore__http_collected_begin(gcore__http_conn *conn);

/* Before `out` is used: it is the hub's thread's alone then. 0, or the error
 * that sending it has met. */
int gcore__http_reclaim(gcore__http_conn *conn);

void gcore__http_collector_init(gcore__http_collector *it, int64_t time);
/* Ends the thread, until it is needed again. */
void gcore__http_collector_rest(gcore__http_collector *it);
void gcore__http_collector_end(gcore__http_collector *it, gcore_hub *hub);

/* body.c */
int gcore__http_body_begin(const gcore_http_server *server,
                           gcore_http_request *request);

/* The input has something, or its time is up (-ETIMEDOUT). */
void gcore__http_body_input(gcore_http_request *request, int64_t result);

/* Throws away what is there, up to a turn's part; whether that was the rest.
 * Negative: it is not worth the connection. */
int gcore__http_body_discard(gcore_http_request *request);

/* request.c */
/* NULL is ignored. */
void gcore__http_proxied_unref(gcore__http_proxied *proxied);

/* With room for so many fields, and a copy of the head's bytes. */
gcore_http_request *gcore__http_request_new(const gcore__http_conn *conn,
                                            uint32_t fields,
                                            const char *block, size_t size);

/* Its connection and it go their ways; `error` is what the application is
 * told from then on. */
void gcore__http_request_part(gcore_http_request *request, int error);

/* wait.c */
void gcore__http_wait_init(gcore_http_request *request,
                           gcore__http_wait *wait);
int gcore__http_wait_start(gcore__http_wait *wait, int64_t deadline,
                           gcore_done_fn *done, void *arg);
void gcore__http_wait_end(gcore__http_wait *wait, int64_t result);
void gcore__http_wait_cancel(gcore__http_wait *wait);

void gcore__http_request_drop(gcore_http_request *request);

/* answer.c */
/* Answers what cannot become a request, and ends the connection.
 *   bytes  what there is of the head
 */
void gcore__http_refuse(gcore__http_conn *conn, gcore__http_refusal refusal,
                        const char *bytes, size_t size);

/* Ends the answer of a request that the application has dropped. */
void gcore__http_abandoned(gcore_http_request *request);

/* A source has been sent, or not (`error`). */
void gcore__http_source_sent(gcore_http_request *request, int error);

/* server.c */
void gcore__http_hand_over(gcore_http_server *server,
                           gcore_http_request *request);
void gcore__http_left(gcore_http_server *server);
/* So many nanoseconds from now; for ever if that is negative, or past the
 * end of time. By the clock, for the application may have computed for long
 * since the hub has read it. */
int64_t gcore__http_later(int64_t time);
const char *gcore__http_date(gcore_http_server *server, size_t *size);

/* accept.c */
void gcore__http_accept_adjust(gcore_http_server *server);
void gcore__http_accept_close(gcore_http_server *server);
uint64_t gcore__http_accept_dropped(const gcore_http_server *server);

#endif
