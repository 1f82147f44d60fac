/*
 * A connection: from bytes to requests, one after the other.
 *
 * Input is received into the server's one scratch buffer. What a complete
 * head leaves of it, or what there is of an incomplete one, is kept in a
 * buffer of the connection's own; a quiet connection has none.
 *
 * Every entry is bracketed by conn_enter and conn_leave. The last leave
 * decides what the connection waits for now, in one place (settle), or frees
 * a connection that was closed meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <string.h>

#include "http/wire.h"

/* After the last answer, what the peer still sends is read for so long and
 * so much: a close before would reset the connection, and the peer might
 * lose the answer. */
#define LINGER_TIME INT64_C(2000000000)
#define LINGER_BYTES (1 << 20)

/* Received with a head: what of it is body is copied, where later receives go
 * straight to the application. */
#define MOST_AHEAD 16384

static void on_input(void *arg, int64_t result);
static void on_again(void *arg, int64_t result);

/* The input's watch */

/* It is to run until `deadline`. */
static int listen_until(gcore__http_conn *conn, int64_t deadline)
{
    unsigned events = conn->crossed ? GCORE_WRITE : GCORE_READ;
    bool turns = gcore_io_events(conn->input) != events;
    int error = 0;

    if (gcore_watch_active(conn->input)) {
        if (!turns && gcore_watch_deadline(conn->input) <= deadline)
            return 0; /* looked at again then */
        gcore_watch_stop(conn->input);
    }
    if (turns)
        error = gcore_io_set(conn->input, conn->fd, events);
    if (error < 0)
        return error;
    return gcore_watch_start(conn->input, 0, deadline, on_input, conn);
}

static void ignore(gcore__http_conn *conn)
{
    gcore_watch_stop(conn->input);
}

/* The beginning and the end */

static void set_peer(gcore__http_conn *conn,
                     const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)peer;

        inet_ntop(AF_INET, &in->sin_addr, conn->peer, sizeof conn->peer);
        conn->peer_port = ntohs(in->sin_port);
    } else if (peer->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)peer;

        inet_ntop(AF_INET6, &in6->sin6_addr, conn->peer, sizeof conn->peer);
        conn->peer_port = ntohs(in6->sin6_port);
    }
}

static int64_t again_taken(gcore_hub *hub, gcore__ready *ready)
{
    (void)hub;
    return ready->result;
}

int gcore__http_conn_new(gcore_http_server *server, int fd,
                         gcore_stream *stream,
                         const struct sockaddr_storage *peer)
{
    gcore__http_conn *conn = gcore__alloc(sizeof *conn);
    int error, yes = 1;

    if (!conn)
        return -ENOMEM;
    error = gcore_io_new(server->hub, fd, GCORE_READ, &conn->input);
    if (error < 0) {
        gcore__free(conn);
        return error;
    }
    if (peer->ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    set_peer(conn, peer);
    conn->server = server;
    conn->fd = fd;
    conn->stream = stream;
    conn->awaits_proxy = server->options.flags & GCORE_HTTP_PROXY;
    conn->number = ++server->serial;
    conn->generation = gcore__fork_generation();
    conn->again.done = on_again;
    conn->again.arg = conn;
    conn->again.take = again_taken;
    gcore__list_append(&server->conns, &conn->link);
    server->stats.accepted++;
    server->stats.connections++;
    conn->deadline = gcore__http_later(conn->awaits_proxy
                                           ? server->options.proxy_timeout
                                           : server->options.head_timeout);
    /* The request is often there already: no need to wait for it. */
    gcore__ready_add(server->hub, &conn->again);
    return 0;
}

/* Its request, if any, is not its any more. */
static void let_go(gcore__http_conn *conn, int error)
{
    if (!conn->request)
        return;
    conn->server->stats.active--;
    gcore__http_request_part(conn->request, error);
}

/* Nothing is waited for, nothing kept. */
static void stop(gcore__http_conn *conn)
{
    gcore_http_server *server = conn->server;

    gcore__list_remove(&conn->link);
    server->stats.connections--;
    gcore__ready_withdraw(server->hub, &conn->again);
    gcore_watch_stop(conn->input);
    gcore_watch_unref(conn->input);
    gcore__http_output_close(conn);
    gcore__buffer_clear(&conn->in);
    gcore__buffer_clear(&conn->out);
}

int gcore__http_conn_detach(gcore__http_conn *conn, int error)
{
    int fd = conn->fd;

    gcore__http_conn_enter(conn);
    stop(conn);
    gcore_hub_forget_fd(conn->server->hub, fd, -ECANCELED);
    conn->fd = -1;
    let_go(conn, error);
    gcore__http_left(conn->server);
    gcore__http_conn_leave(conn);
    return fd;
}

/* Whether the peer would miss a part of an answer. */
static bool owes(const gcore__http_conn *conn)
{
    const gcore_http_request *request = conn->request;

    return gcore__http_unsent(conn) ||
           (request && request->begun && !request->finished);
}

static void end(gcore__http_conn *conn, int error, bool reset)
{
    if (conn->fd < 0)
        return;
    gcore__http_conn_enter(conn);
    reset |= owes(conn);
    stop(conn);
    gcore__wire_close(conn, reset);
    conn->fd = -1;
    let_go(conn, error);
    gcore__http_left(conn->server);
    gcore__http_conn_leave(conn);
}

void gcore__http_conn_close(gcore__http_conn *conn, int error)
{
    end(conn, error, false);
}

void gcore__http_conn_reset(gcore__http_conn *conn, int error)
{
    end(conn, error, true);
}

bool gcore__http_conn_inherited(const gcore__http_conn *conn)
{
    return conn->generation != gcore__fork_generation();
}

static void sent_all(gcore__http_conn *conn)
{
    if (!conn->linger || gcore__http_conn_inherited(conn) ||
        gcore__wire_shut(conn) < 0) {
        gcore__http_conn_close(conn, -ECANCELED);
        return;
    }
    conn->state = GCORE__HTTP_LINGERING;
    conn->deadline = gcore__http_later(LINGER_TIME);
    conn->lingered = 0;
}

void gcore__http_conn_end(gcore__http_conn *conn, bool linger)
{
    conn->state = GCORE__HTTP_CLOSING;
    conn->linger = linger;
    if (!gcore__http_unsent(conn))
        sent_all(conn);
}

/* Heads */

/* Bytes that were not searched for a head's end. */
static bool unseen(const gcore__http_conn *conn)
{
    return !conn->awaits_proxy &&
           gcore__buffer_size(&conn->in) > conn->scan.seen;
}

/* The request is the connection's and the application's. */
static void begin_request(gcore__http_conn *conn, gcore_http_request *request)
{
    gcore_http_server *server = conn->server;

    conn->request = request;
    conn->requests++;
    conn->turn++;
    conn->lingered = 0;
    conn->scan = (gcore__http_scan){0};
    request->conn = conn;
    request->holds++;
    request->keep = request->head.flags & GCORE_HTTP_KEEP &&
                    !(server->options.requests &&
                      conn->requests >= server->options.requests);
    server->stats.active++;
    server->stats.requests++;
}

/* Makes a request of a complete head; false when it is refused. */
static bool read_request(gcore__http_conn *conn, const char *bytes,
                         size_t end)
{
    const gcore__http_scan *scan = &conn->scan;
    size_t size = end - scan->begin;
    gcore__http_refusal refusal = GCORE__HTTP_MEMORY;
    gcore_http_request *request = gcore__http_request_new(
        conn, scan->lines, bytes + scan->begin, size);

    if (request) {
        gcore__http_found found = {.fields = request->fields,
                                   .room = scan->lines};

        refusal = gcore__http_read_head(
            (char *)(request->fields + scan->lines), size,
            scan->fields - scan->begin, &conn->server->rules, &found,
            &request->head);
    }
    if (!refusal && gcore__http_body_begin(conn->server, request) < 0)
        refusal = GCORE__HTTP_MEMORY;
    if (!refusal) {
        begin_request(conn, request);
        return true;
    }
    gcore_http_request_unref(request);
    gcore__http_refuse(conn, refusal, bytes, end);
    return false;
}

/* Looks for a head at the beginning of what has come. Returns how much of it
 * that used up: 0 if it is not complete, or refused. */
static size_t next_head(gcore__http_conn *conn, const char *bytes, size_t size)
{
    bool first = conn->scan.seen == 0 && conn->requests > 0;
    gcore__http_refusal refusal;
    size_t end;

    refusal = gcore__http_scan_head(&conn->scan, &conn->server->rules, bytes,
                                    size, &end);
    if (refusal) {
        gcore__http_refuse(conn, refusal, bytes, size);
        return 0;
    }
    if (!end) {
        if (first)
            conn->deadline =
                gcore__http_later(conn->server->options.head_timeout);
        return 0;
    }
    return read_request(conn, bytes, end) ? end : 0;
}

/* So many answers wait to be sent that nothing more is read. */
static bool is_behind(const gcore__http_conn *conn)
{
    return gcore__http_unsent(conn) > conn->server->options.buffer;
}

static bool may_go_on(const gcore__http_conn *conn)
{
    return conn->fd >= 0 && conn->state == GCORE__HTTP_OPEN &&
           !conn->request && unseen(conn) && !is_behind(conn) &&
           conn->turn < conn->server->options.turn;
}

/* Hands over the requests that `in` holds, as long as each is answered at
 * once. */
static void advance(gcore__http_conn *conn)
{
    while (may_go_on(conn)) {
        size_t used = next_head(conn, gcore__buffer_first(&conn->in),
                                gcore__buffer_size(&conn->in));

        if (!used)
            return;
        gcore__buffer_use(&conn->in, used);
        gcore__http_hand_over(conn->server, conn->request);
    }
}

/* From now on the proxy's client is the peer, if it is named. */
static int become_proxied(gcore__http_conn *conn,
                          const gcore__http_proxy_header *header)
{
    gcore__http_proxied *proxied = gcore__alloc(sizeof *proxied);

    if (!proxied)
        return -ENOMEM;
    proxied->refs = 1;
    proxied->header = *header;
    memcpy(proxied->address, conn->peer, sizeof proxied->address);
    proxied->told = (gcore_http_proxy){
        .size = sizeof proxied->told,
        .version = header->version,
        .port = conn->peer_port,
        .address = proxied->address,
        .target = proxied->header.target,
        .target_port = header->target_port,
    };
    conn->proxied = proxied;
    if (*header->client) {
        memcpy(conn->peer, header->client, sizeof conn->peer);
        conn->peer_port = header->client_port;
    }
    return 0;
}

/* A head is to come next. */
static void go_without_proxy(gcore__http_conn *conn)
{
    conn->awaits_proxy = false;
    conn->deadline = gcore__http_later(conn->server->options.head_timeout);
}

/* What begins like a request may be one: that is for its head to tell. */
static bool needs_no_proxy(const gcore__http_conn *conn, int error)
{
    return error == GCORE__HTTP_PROXY_NONE &&
           conn->server->options.flags & GCORE_HTTP_PROXY_OPTIONAL;
}

/* What comes before the first head. */
static void read_proxy(gcore__http_conn *conn)
{
    gcore__http_proxy_header header;
    int used = gcore__http_proxy_read(gcore__buffer_first(&conn->in),
                                      gcore__buffer_size(&conn->in), &header);

    if (used < 0 && !needs_no_proxy(conn, used)) {
        gcore__http_refuse(conn, GCORE__HTTP_PROXY_HEADER,
                           gcore__buffer_first(&conn->in),
                           gcore__buffer_size(&conn->in));
    } else if (used > 0 && become_proxied(conn, &header) < 0) {
        gcore__http_conn_close(conn, -ENOMEM);
    } else if (used) {
        go_without_proxy(conn);
        gcore__buffer_use(&conn->in, used > 0 ? (size_t)used : 0);
    }
}

/* `in` is empty: the head is read where it was received, and only what it
 * leaves is kept. */
static void take_received(gcore__http_conn *conn, const char *bytes,
                          size_t size)
{
    gcore_http_request *request;
    size_t used = 0;

    if (!conn->awaits_proxy && !gcore__buffer_size(&conn->in))
        used = next_head(conn, bytes, size);
    if (conn->fd < 0 || conn->state != GCORE__HTTP_OPEN)
        return;
    request = conn->request;
    if (gcore__buffer_append(&conn->in, bytes + used, size - used) < 0) {
        gcore__http_conn_close(conn, -ENOMEM);
        gcore_http_request_unref(request);
        return;
    }
    if (used)
        gcore__http_hand_over(conn->server, request);
    else if (conn->awaits_proxy)
        read_proxy(conn);
}

static void receive(gcore__http_conn *conn)
{
    char *scratch = conn->server->scratch;
    int64_t got = gcore__wire_receive(conn, scratch, MOST_AHEAD);

    if (got > 0) {
        take_received(conn, scratch, (size_t)got);
        advance(conn);
    } else if (got == 0) {
        gcore__http_conn_end(conn, false);
    } else if (got != -EAGAIN) {
        gcore__http_conn_close(conn, (int)got);
    }
}

static void linger(gcore__http_conn *conn)
{
    int64_t got = gcore__wire_receive(conn, conn->server->scratch,
                                      GCORE__HTTP_SCRATCH);

    conn->lingered += got > 0 ? got : 0;
    if ((got <= 0 && got != -EAGAIN) || conn->lingered > LINGER_BYTES)
        gcore__http_conn_close(conn, -ECANCELED);
}

/* How long the peer may take for the next head. While it is still getting
 * the answer before, only the sending has a time limit. */
static void set_deadline(gcore__http_conn *conn)
{
    const gcore_http_options *options = &conn->server->options;

    if (gcore__http_unsent(conn))
        conn->deadline = GCORE_FOREVER;
    else
        conn->deadline = gcore__http_later(gcore__buffer_size(&conn->in)
                                               ? options->head_timeout
                                               : options->idle_timeout);
}

static void look_again(gcore__http_conn *conn)
{
    if (!conn->again.listed)
        gcore__ready_add(conn->server->hub, &conn->again);
}

/* Between two requests. */
static void next_request(gcore__http_conn *conn)
{
    let_go(conn, -EALREADY);
    set_deadline(conn);
    if (conn->server->draining)
        look_again(conn);
}

/* The rest of an answered request's body is not worth the connection. */
static void give_up(gcore__http_conn *conn)
{
    let_go(conn, -EALREADY);
    gcore__http_conn_end(conn, true);
}

/* The rest of an answered request's body is not wanted. */
static void discard(gcore__http_conn *conn)
{
    int rest = gcore__http_body_discard(conn->request);

    if (rest > 0)
        next_request(conn);
    else if (rest < 0)
        give_up(conn);
}

void gcore__http_conn_answered(gcore__http_conn *conn)
{
    gcore_http_request *request = conn->request;

    if (request->status == 101)
        return; /* for take_over */
    if (!request->keep) {
        /* Nothing tells the peer of a cut answer how much there was. */
        bool more = conn->cut || !request->body_over ||
                    gcore__buffer_size(&conn->in);

        let_go(conn, -EALREADY);
        gcore__http_conn_end(conn, more);
        return;
    }
    if (request->body_over) {
        next_request(conn);
        return;
    }
    conn->deadline = gcore__http_later(conn->server->options.head_timeout);
    discard(conn);
}

void gcore__http_conn_last(gcore__http_conn *conn)
{
    gcore_http_request *request = conn->request;

    gcore__http_conn_enter(conn);
    if (request && (!request->finished || request->status == 101))
        request->keep = false;
    else if (conn->state == GCORE__HTTP_OPEN)
        give_up(conn);
    gcore__http_conn_leave(conn);
}

void gcore__http_conn_sent(gcore__http_conn *conn)
{
    if (gcore__http_unsent(conn))
        return;
    if (conn->state == GCORE__HTTP_CLOSING)
        sent_all(conn);
    else if (!conn->request && conn->deadline == GCORE_FOREVER)
        set_deadline(conn);
}

static bool is_idle(const gcore__http_conn *conn)
{
    return conn->state == GCORE__HTTP_OPEN && !conn->request &&
           !gcore__buffer_size(&conn->in);
}

/* A request that the peer has sent already is still answered. */
void gcore__http_conn_drain(gcore__http_conn *conn)
{
    if (is_idle(conn))
        look_again(conn);
}

static void take_input(gcore__http_conn *conn)
{
    if (conn->state == GCORE__HTTP_LINGERING)
        linger(conn);
    else if (conn->request)
        discard(conn);
    else
        receive(conn);
}

static void timed_out(gcore__http_conn *conn)
{
    if (conn->deadline > gcore_hub_now(conn->server->hub)) {
        if (conn->more)
            take_input(conn);
        return;
    }
    if (conn->state == GCORE__HTTP_LINGERING) {
        gcore__http_conn_close(conn, -ECANCELED);
        return;
    }
    conn->server->stats.timeouts++;
    if (conn->request)
        give_up(conn);
    else if (is_idle(conn))
        gcore__http_conn_close(conn, -ETIMEDOUT);
    else
        gcore__http_refuse(conn, GCORE__HTTP_HEAD_SLOW,
                           gcore__buffer_first(&conn->in),
                           gcore__buffer_size(&conn->in));
}

/* Entries */

static void on_input(void *arg, int64_t result)
{
    gcore__http_conn *conn = arg;

    gcore__http_conn_enter(conn);
    conn->turn = 0;
    if (conn->request && conn->request->body_wait.waits)
        gcore__http_body_input(conn->request, result);
    else if (result == -ETIMEDOUT)
        timed_out(conn);
    else if (result < 0)
        gcore__http_conn_close(conn, (int)result);
    else
        take_input(conn);
    gcore__http_conn_leave(conn);
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* No request is to be expected any more, but for one on its way. */
static void end_soon(gcore__http_conn *conn)
{
    int64_t rest = conn->server->options.drain_idle;

    if (rest > 0)
        conn->deadline = sooner(conn->deadline, gcore__http_later(rest));
    else
        gcore__http_conn_end(conn, false);
}

static void on_again(void *arg, int64_t result)
{
    gcore__http_conn *conn = arg;

    (void)result;
    gcore__http_conn_enter(conn);
    conn->turn = 0;
    if (unseen(conn))
        advance(conn);
    else if (!conn->request && conn->state == GCORE__HTTP_OPEN)
        receive(conn);
    if (conn->fd >= 0 && conn->server->draining && is_idle(conn))
        end_soon(conn);
    gcore__http_conn_leave(conn);
}

/* Until when the input is waited for: where the kernel does not tell of all,
 * until the next turn, so that others have theirs. */
static int64_t next_look(const gcore__http_conn *conn)
{
    return conn->more ? GCORE_NOW : conn->deadline;
}

/* What it waits for while the application has a request. */
static int settle_request(gcore__http_conn *conn)
{
    gcore_http_request *request = conn->request;

    if (request->body_wait.waits)
        return listen_until(
            conn, sooner(request->body_wait.deadline, request->rate_end));
    if (request->finished && request->status != 101)
        return listen_until(conn, next_look(conn));
    ignore(conn);
    return 0;
}

static int settle_open(gcore__http_conn *conn)
{
    if (conn->request)
        return settle_request(conn);
    if (!unseen(conn) && !is_behind(conn))
        return listen_until(conn, next_look(conn));
    ignore(conn);
    if (!is_behind(conn))
        look_again(conn);
    return 0;
}

static void settle(gcore__http_conn *conn)
{
    int error = 0;

    if (conn->state == GCORE__HTTP_OPEN)
        error = settle_open(conn);
    else if (conn->state == GCORE__HTTP_LINGERING)
        error = listen_until(conn, next_look(conn));
    else
        ignore(conn);
    if (error < 0)
        gcore__http_conn_close(conn, error);
}

void gcore__http_conn_enter(gcore__http_conn *conn)
{
    conn->busy++;
}

void gcore__http_conn_leave(gcore__http_conn *conn)
{
    if (conn->busy == 1 && conn->fd >= 0)
        settle(conn);
    if (--conn->busy || conn->fd >= 0)
        return;
    gcore__http_proxied_unref(conn->proxied);
    gcore__free(conn);
}
