/*
 * gcore/http.h: an HTTP/1.1 server.
 *
 * A server takes connections from listening descriptors, or one by one, and
 * reads them; the application gets requests whose head is complete and whose
 * framing is beyond doubt, and answers them:
 *
 *   static void hello(void *arg, gcore_http_request *request)
 *   {
 *       gcore_http_respond(request, 200, NULL, NULL, 0, "hello\n", 6);
 *       gcore_http_request_unref(request);
 *   }
 *
 *   gcore_http_server_new(hub, NULL, &server);
 *   gcore_http_server_start(server, hello, NULL);
 *   gcore_http_server_listen(server, fd);
 *   gcore_hub_run(hub);
 *
 * Requests of one connection are handed over one after the other, each when
 * the one before has been answered, so answers cannot change places, and a
 * peer that sends more waits in the kernel's buffers. A connection without
 * a complete head holds no request and, while quiet, no buffer.
 *
 * What the application does not say the library adds: Date, Connection,
 * Content-Length or chunked transfer. What could make two parties disagree
 * on where a request ends is refused, with an answer, and the connection is
 * closed.
 *
 * In a forked child the server goes on accepting and reading if the child
 * wants to; what waited to be sent at the fork is the parent's to send, and
 * closing there says nothing to the peers.
 *
 * All functions belong to the hub's thread unless they say otherwise.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_HTTP_H
#define GCORE_HTTP_H

#include <gcore/base.h>
#include <gcore/hub.h>
#include <gcore/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_http_server gcore_http_server;
typedef struct gcore_http_request gcore_http_request;

/*
 * gcore_http_options.flags. The first three accept what RFC 9112 lets a
 * server accept as long as it closes the connection after the answer, which
 * this one then does; without them such requests are refused.
 */
/* Content-Length beside chunked transfer: chunked counts. */
#define GCORE_HTTP_ALLOW_BOTH_LENGTHS 1
/* HTTP/1.1 without Host. */
#define GCORE_HTTP_ALLOW_NO_HOST 2
/* Fields folded over several lines: unfolded with spaces. */
#define GCORE_HTTP_ALLOW_FOLDED 4
/* Refused requests are handed over too, answered already, to be logged. */
#define GCORE_HTTP_REPORT 8
/* No Date is added to answers. */
#define GCORE_HTTP_NO_DATE 16

/* Each connection begins with a header of the PROXY protocol, version 1 or 2,
 * which tells the peer's address (before TLS it is not looked for, but within
 * it); one that does not is answered with 400 and closed. For servers that
 * only a proxy can reach. */
#define GCORE_HTTP_PROXY 32
/* What is unsupported (versions, transfer codings), and too many fields, are
 * answered with 400 like what is malformed, as older servers do. */
#define GCORE_HTTP_PLAIN_STATUS 64
/* Beside GCORE_HTTP_PROXY: a connection may begin without such a header, but
 * not with a malformed one. The application has to look whether
 * gcore_http_head.proxy may tell addresses. */
#define GCORE_HTTP_PROXY_OPTIONAL 128

/*
 * What a server should be. Zero in a member means the default, which is
 * given in parentheses; a negative time or rate means none. Limits on lines,
 * heads and trailers end at 2^28 bytes. Since 0.1.
 *   size             sizeof(gcore_http_options)
 *   flags            a sum of GCORE_HTTP_ bits
 *   line_limit       bytes of the request line (8192); beyond it: 414
 *   field_limit      header lines (100); beyond it: 431
 *   head_limit       bytes of all header lines (65536); beyond it: 431
 *   extension_limit  bytes around a body's chunks, their sizes, ends and
 *                    extensions, beyond 16 a chunk (8192); beyond it the
 *                    body is malformed
 *   trailer_limit    bytes of the trailer fields (8192), likewise
 *   body_limit       bytes of a request's body (2^63-1); beyond it: 413, or
 *                    -EMSGSIZE where the body's length was not announced
 *   body_rate        bytes a second at which a body must arrive while the
 *                    application waits for it, over each body_grace (128)
 *   body_grace       nanoseconds (30 s)
 *   head_timeout     nanoseconds from a head's first byte, or from the
 *                    connection's beginning, to the head's last (30 s);
 *                    beyond it: 408, or close where nothing has come
 *   idle_timeout     nanoseconds between two requests (75 s), then close
 *   send_timeout     nanoseconds without progress of an answer (60 s), then
 *                    the connection is reset
 *   connections      open connections (no limit); at the limit the server
 *                    takes no more from its listening descriptors, until
 *                    one closes
 *   requests         requests on a connection (no limit); the last answer
 *                    closes it
 *   turn             pipelined requests of one connection that are handed
 *                    over in a row (16), before other connections that are
 *                    ready have theirs
 *   buffer           bytes of an answer that may wait to be sent before
 *                    gcore_http_write asks to wait (65536)
 *   discard          bytes of a body that are read and thrown away to keep a
 *                    connection whose application did not read it (65536);
 *                    beyond it the connection is closed
 *   coalesce         nanoseconds for which small pieces of an answer that
 *                    follow each other quickly may wait to be sent together
 *                    (200 us), even if the hub has no turn meanwhile: see
 *                    gcore_http_write
 *   field_bytes      bytes of one header line, its end aside (no limit but
 *                    head_limit); beyond it: 431
 *   drain_idle       nanoseconds that a drain leaves to idle connections, so
 *                    that a request that is on its way is still answered
 *                    (none: they are closed at once)
 *   proxy_timeout    nanoseconds from the connection's beginning to the end
 *                    of the PROXY header (head_timeout); beyond it: as for
 *                    head_timeout, which begins then
 */
typedef struct gcore_http_options {
    size_t size;
    unsigned flags;
    uint32_t line_limit;
    uint32_t field_limit;
    uint32_t head_limit;
    uint32_t extension_limit;
    uint32_t trailer_limit;
    int64_t body_limit;
    int64_t body_rate;
    int64_t body_grace;
    int64_t head_timeout;
    int64_t idle_timeout;
    int64_t send_timeout;
    uint32_t connections;
    uint32_t requests;
    uint32_t turn;
    uint32_t buffer;
    int64_t discard;
    int64_t coalesce;
    uint32_t field_bytes;
    int64_t drain_idle;
    int64_t proxy_timeout;
} gcore_http_options;

/*
 * A header field: offsets and sizes, in bytes, within the block that it
 * belongs to. No white space surrounds the value. It is an element of arrays
 * and never grows. Since 0.1.
 */
typedef struct gcore_http_field {
    uint32_t name;
    uint32_t name_size;
    uint32_t value;
    uint32_t value_size;
} gcore_http_field;

/* gcore_http_head.flags */
/* The connection can stay open after the answer. */
#define GCORE_HTTP_KEEP 1
/* The body is chunked: its length is not known beforehand. */
#define GCORE_HTTP_CHUNKED 2
/* "100 Continue" is awaited; it is sent at the first read of the body. */
#define GCORE_HTTP_EXPECT 4
/* An Upgrade is asked for; see gcore_http_take_over. */
#define GCORE_HTTP_UPGRADE 8
/* A field came in several lines. */
#define GCORE_HTTP_FOLDED 16

/*
 * What a header of the PROXY protocol says, for reading; it lives as long as
 * the request. New members may follow in later versions. Since 0.1.
 *   size         of this structure
 *   version      of the header: 1 or 2
 *   port         of `address`
 *   address      of the proxy itself, as text, or "" if it has none
 *   target       the address that the client has connected to, as text; ""
 *                where the header names no addresses
 *   target_port  and its port, or 0
 */
typedef struct gcore_http_proxy {
    size_t size;
    int32_t version;
    int32_t port;
    const char *address;
    const char *target;
    int32_t target_port;
} gcore_http_proxy;

/*
 * A request's head, for reading; it lives as long as the request. New
 * members may follow in later versions; `size` tells which are there.
 * Since 0.1.
 *   size            of this structure
 *   block           the head's bytes as received, from the request line to
 *                   the empty line, with folded lines unfolded; a zero byte
 *                   follows
 *   fields          the header fields, in the order received
 *   block_size      bytes of `block`
 *   field_count     elements of `fields`
 *   method_size     the method is the block's first bytes
 *   target          offset of the request target in the block
 *   target_size     its bytes: none below 0x21, nor 0x7f
 *   minor           of the version: HTTP/1.minor
 *   flags           a sum of GCORE_HTTP_ bits
 *   status          0; for a refused request (GCORE_HTTP_REPORT) the status
 *                   that it was answered with, or 0 if it was not
 *   reason          NULL; for a refused request why, in English. There are no
 *                   fields then, and `block` is what was there of the head.
 *   content_length  the body's bytes; 0 without a body, -1 if chunked
 *   connection      the connection's number, unique in the server
 *   number          of the request on its connection, from 1
 *   peer            the peer's address as text, or "" if it has none; what
 *                   the proxy says with GCORE_HTTP_PROXY
 *   peer_port       and its port, or 0
 *   proxy           NULL, or what a proxy's header said (GCORE_HTTP_PROXY)
 */
typedef struct gcore_http_head {
    size_t size;
    const char *block;
    const gcore_http_field *fields;
    uint32_t block_size;
    uint32_t field_count;
    uint32_t method_size;
    uint32_t target;
    uint32_t target_size;
    uint32_t minor;
    uint32_t flags;
    int32_t status;
    const char *reason;
    int64_t content_length;
    uint64_t connection;
    uint64_t number;
    const char *peer;
    int32_t peer_port;
    const gcore_http_proxy *proxy;
} gcore_http_head;

/*
 * What a server has done. Since 0.1.
 *   size         sizeof(gcore_http_stats), set by the caller
 *   accepted     connections taken
 *   connections  of these, open at the moment
 *   idle         of these, between two requests
 *   requests     requests handed over
 *   refused      requests refused
 *   timeouts     connections closed for being slow or idle
 *   waiting      requests not yet taken (gcore_http_server_take)
 *   active       requests not yet answered, those included
 *   dropped      connections let go because descriptors or memory ran out
 */
typedef struct gcore_http_stats {
    size_t size;
    uint64_t accepted;
    uint64_t connections;
    uint64_t idle;
    uint64_t requests;
    uint64_t refused;
    uint64_t timeouts;
    uint64_t waiting;
    uint64_t active;
    uint64_t dropped;
} gcore_http_stats;

/*
 * Handles a request; the reference is its own from then on. It may answer at
 * once or later, and close anything. Runs on the hub's thread. Since 0.1.
 */
typedef void gcore_http_handler_fn(void *arg, gcore_http_request *request);

/*
 * Makes a server; it does nothing yet.
 *   options  NULL for the defaults; read during the call only
 *   out      set to the server, one reference of the caller's
 * Returns 0; -EINVAL for a bad size, flag or limit; -ENOMEM; -ESHUTDOWN when
 * the hub is closed. Since 0.1.
 */
GCORE_API int gcore_http_server_new(gcore_hub *hub,
                                    const gcore_http_options *options,
                                    gcore_http_server **out);

/* Adds a reference and returns the server. Any thread. Since 0.1. */
GCORE_API gcore_http_server *gcore_http_server_ref(gcore_http_server *server);

/* Drops a reference (NULL is ignored); the last one closes the server. Hub's
 * thread. Since 0.1. */
GCORE_API void gcore_http_server_unref(gcore_http_server *server);

/*
 * Closes the server: it takes no more connections, closes those it has, and
 * drops the requests that were not taken; what waits completes with
 * -ECANCELED. Requests in the application's hands stay valid, and every
 * function that would use their connection returns -ECANCELED.
 * Returns 0, also when closed already. Since 0.1.
 */
GCORE_API int gcore_http_server_close(gcore_http_server *server);

/*
 * Hands requests to a function, from within the hub's turns.
 *   handler  called with each
 *   arg      handed to it
 * Returns 0; -EINVAL; -EALREADY after this call or gcore_http_server_watch;
 * -ECANCELED when closed. Since 0.1.
 */
GCORE_API int gcore_http_server_start(gcore_http_server *server,
                                      gcore_http_handler_fn *handler,
                                      void *arg);

/*
 * Collects requests for gcore_http_server_take, and says when there are some:
 * `done` is told how many wait, once a turn at most, whenever some have come
 * or were left by the last take; and -ECANCELED, at last, when the server is
 * closed.
 *   done  told on the hub's thread, or GCORE_COMPLETE
 *   arg   handed to it; must live until -ECANCELED has been told
 * Returns 0; -EINVAL; -EALREADY; -ECANCELED when closed. Since 0.1.
 */
GCORE_API int gcore_http_server_watch(gcore_http_server *server,
                                      gcore_done_fn *done, void *arg);

/*
 * Takes requests in the order in which their heads were complete.
 *   out  filled with requests, a reference of the caller's each
 *   max  how many fit
 * Returns how many there were; -EINVAL. Since 0.1.
 */
GCORE_API int gcore_http_server_take(gcore_http_server *server,
                                     gcore_http_request **out, int max);

/*
 * Accepts connections from a listening descriptor, several in a turn. When
 * the process has no descriptors left it tries again by and by; when that
 * goes on for more than a second the connections that wait are let go, so
 * that their peers learn. May be called for several descriptors.
 *   fd  listening and non-blocking (it is made so), such as that of a
 *       gcore_listener which is not started; not taken over: it is to stay
 *       open until gcore_http_server_forget or close
 * Returns 0; -EBADF, -ENOTSOCK; -EINVAL when it does not listen; -EMFILE,
 * -ENFILE (a descriptor is held in reserve); -ENOMEM; -ECANCELED when closed.
 * Since 0.1.
 */
GCORE_API int gcore_http_server_listen(gcore_http_server *server, int fd);

/* Accepts no more from that descriptor, which is about to be closed or used
 * by others. Returns 0; -ENOENT when it was not listened on. Since 0.1. */
GCORE_API int gcore_http_server_forget(gcore_http_server *server, int fd);

/* Stops accepting, and goes on; connections that are open stay. No harm if
 * it is so already. Return 0; -ECANCELED when closed. Since 0.1. */
GCORE_API int gcore_http_server_pause(gcore_http_server *server);
GCORE_API int gcore_http_server_resume(gcore_http_server *server);

/*
 * Ends a connection: an answer that is not finished yet is its last, otherwise
 * it closes once what was answered has been sent. For who learns after an
 * answer that another one would not be right.
 *   connection  gcore_http_head.connection of a request
 * Returns 0, also when that connection has gone. Since 0.1.
 */
GCORE_API int gcore_http_server_hang_up(gcore_http_server *server,
                                        uint64_t connection);

/*
 * Serves a connected socket.
 *   fd  made non-blocking; taken over on success
 * Returns 0; -EBADF, -ENOTSOCK, -EINVAL for what is no stream socket; -EMFILE;
 * -ENOMEM; -ECANCELED when closed. Since 0.1.
 */
GCORE_API int gcore_http_server_adopt(gcore_http_server *server, int fd);

/*
 * Serves a stream, such as one under TLS whose handshake is over.
 *   stream  of the server's hub, with nothing being read or queued; the
 *           caller's reference is taken over on success, and others are not
 *           to be used
 * Returns 0; -EBUSY while it is read, connecting or has bytes queued or put
 * back; -EINVAL for another hub; -ESHUTDOWN when the stream is closed;
 * -ENOMEM; -ECANCELED when the server is. Since 0.1.
 */
GCORE_API int gcore_http_server_adopt_stream(gcore_http_server *server,
                                             gcore_stream *stream);

/*
 * Drains the server: it accepts no more, closes idle connections, at once or
 * after `drain_idle`, and answers what it has, or what has reached it by then,
 * with "Connection: close".
 *   deadline  until when to wait for the answers
 *   done      told 0 when the last connection is gone; -ETIMEDOUT when the
 *             deadline passed first: then close the server to reset the
 *             rest; -ECANCELED when it was closed
 * Returns 0; -EALREADY; -EINVAL; -ECANCELED when closed. Since 0.1.
 */
GCORE_API int gcore_http_server_drain(gcore_http_server *server,
                                      int64_t deadline, gcore_done_fn *done,
                                      void *arg);

/* Ends the thread that the server has for small pieces of answers, if it has
 * one, until it is needed again: for a process that forks and should have no
 * other thread then. Returns 0. Since 0.1. */
GCORE_API int gcore_http_server_rest(gcore_http_server *server);

/* Fills in the counters; out->size is set by the caller. Returns 0; -EINVAL.
 * Since 0.1. */
GCORE_API int gcore_http_server_counters(gcore_http_server *server,
                                         gcore_http_stats *out);

/* Adds a reference and returns the request. Hub's thread. Since 0.1. */
GCORE_API gcore_http_request *
gcore_http_request_ref(gcore_http_request *request);

/*
 * Drops a reference (NULL is ignored). When the last one goes: a request
 * that was not answered is answered with 500, an answer that was not
 * finished ends with a reset of the connection. Since 0.1.
 */
GCORE_API void gcore_http_request_unref(gcore_http_request *request);

/* The head. It lives as long as the request. Since 0.1. */
GCORE_API const gcore_http_head *
gcore_http_request_head(gcore_http_request *request);

/*
 * Finds a header field by name, ignoring case.
 *   name  ends with a zero byte
 *   size  set to the value's bytes; may be NULL
 * Returns the value (no zero byte follows) of the first one of that name, or
 * NULL. Since 0.1.
 */
GCORE_API const char *gcore_http_request_field(gcore_http_request *request,
                                               const char *name, size_t *size);

/*
 * The connection's descriptor, to be asked for addresses and options only:
 * it stays the server's. Returns it; -ECANCELED when the connection is gone.
 * Since 0.1.
 */
GCORE_API int gcore_http_request_fd(gcore_http_request *request);

/*
 * The connection's stream, to be asked for what it knows of its transport
 * (gcore_stream_tls_name, gcore_stream_transport_arg, and the like): it stays
 * the server's. Returns it; NULL for a connection that is none, or gone.
 * Since 0.1.
 */
GCORE_API gcore_stream *
gcore_http_request_stream(gcore_http_request *request);

/*
 * Reads what has come of the body. The first read sends "100 Continue" to a
 * peer that awaits it.
 *   buffer  filled
 *   size    how much fits, above 0
 * Returns the number of bytes;
 *   0            at the body's end
 *   -EAGAIN      nothing there: see gcore_http_wait_body
 *   -EBADMSG     malformed; this and the next two are told again by each
 *                read, and the connection closes after the answer
 *   -EMSGSIZE    beyond the limit
 *   -ETIMEDOUT   too slow
 *   -ECONNRESET  the peer closed before the body's end, or reset; an answer
 *                may still reach it
 *   -EALREADY    the answer is finished
 *   -ENOMEM      may be tried again
 *   -ECANCELED   the connection is gone
 * Since 0.1.
 */
GCORE_API int64_t gcore_http_read(gcore_http_request *request, void *buffer,
                                  size_t size);

/*
 * Waits until gcore_http_read has something to return. Sends "100 Continue"
 * like a read.
 *   done  told 0 then; -ETIMEDOUT at the deadline; -ECANCELED
 * Returns 0; -EALREADY while another one waits, or when the answer is
 * finished; -EINVAL; -ECANCELED, or another error, when the connection is
 * gone. Since 0.1.
 */
GCORE_API int gcore_http_wait_body(gcore_http_request *request,
                                   int64_t deadline, gcore_done_fn *done,
                                   void *arg);

/* Ends the wait: it does not complete. No harm if there is none. Since 0.1. */
GCORE_API void gcore_http_cancel_body(gcore_http_request *request);

/*
 * The trailer fields of a chunked body that was read to its end.
 *   block   set to the bytes that offsets are within; lives with the request
 *   fields  set to the fields
 * Returns how many; -EAGAIN before the end. Since 0.1.
 */
GCORE_API int gcore_http_trailers(gcore_http_request *request,
                                  const char **block,
                                  const gcore_http_field **fields);

/*
 * Answers a request in one go: head and body leave by one call of the
 * kernel if it takes them; else what is left is copied. The connection then
 * goes on to its next request, or closes.
 *   status        100 to 999; 101 and what has no body (204, 304, and any
 *                 answer to HEAD) send none. Other 1xx do not end a request:
 *                 see gcore_http_start.
 *   reason        text after the number, ending with a zero byte; NULL for
 *                 the status's usual one
 *   headers       lines "Name: value" ending with CR LF each. Of these
 *                 Connection, Content-Length and Date are looked at, and are
 *                 not added where given; "Connection: close" closes.
 *                 Transfer-Encoding is the library's to say: -EINVAL.
 *   headers_size  bytes
 *   body          may be NULL when body_size is 0
 *   body_size     bytes
 * Returns 0; -EINVAL for a bad status, reason or header line (nothing was
 * sent, try again); -EMSGSIZE when Content-Length is given and differs from
 * body_size, unless there is no body to send; -EALREADY when an answer has
 * begun; -ENOMEM; -EPIPE, -ECONNRESET when the peer is gone; -ECANCELED.
 * Since 0.1.
 */
GCORE_API int gcore_http_respond(gcore_http_request *request, int status,
                                 const char *reason, const char *headers,
                                 size_t headers_size, const void *body,
                                 size_t body_size);

/*
 * Begins an answer whose body follows by gcore_http_write, _send_data and
 * _send_file, and ends with gcore_http_finish. The head leaves
 * with the body's first bytes. Without a Content-Length among the headers
 * the body is chunked (HTTP/1.1) or ends with the connection (1.0).
 * Parameters and results as gcore_http_respond; a status of 1xx (not 101)
 * sends an interim answer, at once, and the request is as before.
 * Since 0.1.
 */
GCORE_API int gcore_http_start(gcore_http_request *request, int status,
                               const char *reason, const char *headers,
                               size_t headers_size);

/*
 * Sends a piece of the body; what the kernel does not take at once is copied.
 * Where the answer has no body (HEAD, 204, 304), it is dropped. An empty
 * piece sends the head, if it has not left.
 * When several small pieces have followed each other within a quarter of the
 * server's `coalesce`, the next ones are collected: they leave together, with
 * what makes them 16 KiB, with the answer's end, in the hub's next turn, or
 * by a thread of the server's after `coalesce`. An error that they meet is
 * told by a later call.
 * Returns 0; 1 when so much waits to be sent that the caller should do so
 * too, see gcore_http_wait_sent; -EINVAL when no answer has begun; -EALREADY
 * when it is finished; -EMSGSIZE when it would exceed the Content-Length
 * (nothing of it is sent); -EBUSY while a file or data is being sent; -ENOMEM;
 * -EPIPE, -ECONNRESET, -ETIMEDOUT; -ECANCELED. Since 0.1.
 */
GCORE_API int gcore_http_write(gcore_http_request *request, const void *data,
                               size_t size);

/*
 * Sends a part of a file as a piece of the body, by the kernel where it can.
 *   fd      of a regular file; stays the caller's, and open until told
 *   offset  where the part begins
 *   count   bytes; above 0
 *   done    told 0 when all has left, or a negative error: -EBADMSG when the
 *           file was shorter (the connection is reset); others as
 *           gcore_http_write
 * Returns 0 or a negative error, as gcore_http_write. Since 0.1.
 */
GCORE_API int gcore_http_send_file(gcore_http_request *request, int fd,
                                   int64_t offset, int64_t count,
                                   gcore_done_fn *done, void *arg);

/*
 * Sends bytes as a piece of the body, without copying what the kernel does
 * not take at once: for large pieces. They are sent before the hub's next
 * turn as far as the kernel takes them, a megabyte at most, and then when it
 * takes more.
 *   data  stays the caller's, and as it is, until told
 *   size  bytes; above 0
 *   done  told 0 when all has left, or a negative error, as gcore_http_write
 * Returns 0; 1 when all has left already, and nothing is told; or a negative
 * error, as gcore_http_write. Since 0.1.
 */
GCORE_API int gcore_http_send_data(gcore_http_request *request,
                                   const void *data, size_t size,
                                   gcore_done_fn *done, void *arg);

/* Gives up a file, or data, that is being sent: it does not complete, the file
 * or data is not looked at any more, and the connection is reset. No harm if
 * there is none. Since 0.1. */
GCORE_API void gcore_http_cancel_file(gcore_http_request *request);

/*
 * Waits until little of the answer waits to be sent: a quarter of the
 * server's `buffer`; of one with status 101, or before an answer has begun,
 * nothing, so that the connection can be taken over.
 *   done  told 0 then, perhaps in the next turn; -ETIMEDOUT at the deadline;
 *         -EPIPE, -ECONNRESET; -ECANCELED
 * Returns 0; -EALREADY while another one waits; -EINVAL; -ECANCELED; or the
 * connection's error. Since 0.1.
 */
GCORE_API int gcore_http_wait_sent(gcore_http_request *request,
                                   int64_t deadline, gcore_done_fn *done,
                                   void *arg);

/* Ends the wait: it does not complete. No harm if there is none. Since 0.1. */
GCORE_API void gcore_http_cancel_sent(gcore_http_request *request);

/*
 * Ends the answer: the last chunk where it is chunked. A body shorter than
 * its Content-Length ends with a close of the connection, so that the peer
 * notices.
 * Returns 0; errors as gcore_http_write. Since 0.1.
 */
GCORE_API int gcore_http_finish(gcore_http_request *request);

/*
 * Ends an answer that cannot be completed: what was written is sent, and then
 * the connection closes, so that the peer sees that the rest is missing: by
 * the body's framing, or under TLS by the lack of TLS's own end.
 * Returns 0; errors as gcore_http_write. Since 0.1.
 */
GCORE_API int gcore_http_cut(gcore_http_request *request);

/* Resets the connection. What waits completes with -ECANCELED. Since 0.1. */
GCORE_API void gcore_http_abort(gcore_http_request *request);

/*
 * Takes the connection out of the server, for another protocol: before an
 * answer has begun (then the caller sends it), or after one with status 101.
 * What had come after the head is handed over too.
 *   bytes  set to it; lives as long as the request
 *   size   set to how much it is
 * Returns the descriptor, non-blocking, the caller's from now on; -ENOTSUP
 * for a stream (see gcore_http_take_over_stream); -EALREADY when an answer has
 * begun; -EAGAIN while an answer waits to be sent, see
 * gcore_http_wait_sent; -EPIPE, -ECONNRESET; -ECANCELED. Since 0.1.
 */
GCORE_API int gcore_http_take_over(gcore_http_request *request,
                                   const void **bytes, size_t *size);

/*
 * The same for a connection that is a stream (gcore_http_server_adopt_stream).
 * What had come after the head has been put back into it.
 *   out  set to the stream, one reference of the caller's
 * Returns 0; -ENOTSUP for a connection that is none; -EINVAL; -ENOMEM; others
 * as gcore_http_take_over. Since 0.1.
 */
GCORE_API int gcore_http_take_over_stream(gcore_http_request *request,
                                          gcore_stream **out);

/* The usual reason of a status ("Not Found"), or "Unknown". Any thread.
 * Since 0.1. */
GCORE_API const char *gcore_http_reason(int status);

#ifdef __cplusplus
}
#endif

#endif
