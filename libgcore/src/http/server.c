/*
 * The server: its options, its requests on their way to the application, its
 * end.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "http/engine.h"
#include "net/socket.h"
#include "net/stream.h"
#include "util/sized.h"

/* The most that a limit on bytes of a head or of trailers can be. */
#define MOST_BYTES (UINT32_C(1) << 28)

#define SECONDS(n) ((n) * INT64_C(1000000000))
#define MICROSECONDS(n) ((n) * INT64_C(1000))

/* Options */

static void set_number(uint32_t *number, uint32_t usual)
{
    if (*number == 0)
        *number = usual;
}

/* Of bytes in a buffer, whose places are 32 bits wide. */
static void set_bytes(uint32_t *number, uint32_t usual)
{
    set_number(number, usual);
    if (*number > MOST_BYTES)
        *number = MOST_BYTES;
}

static void set_time(int64_t *time, int64_t usual)
{
    if (*time == 0)
        *time = usual;
}

static int read_options(const gcore_http_options *given,
                        gcore_http_options *options)
{
    const unsigned known = GCORE_HTTP_ALLOW_BOTH_LENGTHS |
                           GCORE_HTTP_ALLOW_NO_HOST |
                           GCORE_HTTP_ALLOW_FOLDED | GCORE_HTTP_REPORT |
                           GCORE_HTTP_NO_DATE | GCORE_HTTP_PROXY |
                           GCORE_HTTP_PLAIN_STATUS |
                           GCORE_HTTP_PROXY_OPTIONAL;

    if (gcore__sized_read(given, options, sizeof *options) < 0 ||
        options->flags & ~known || options->body_limit < 0 ||
        options->discard < 0)
        return -EINVAL;
    set_bytes(&options->line_limit, 8192);
    set_number(&options->field_limit, 100);
    set_bytes(&options->head_limit, 65536);
    set_number(&options->extension_limit, 8192);
    set_bytes(&options->trailer_limit, 8192);
    set_number(&options->field_bytes, UINT32_MAX);
    set_number(&options->turn, 16);
    set_number(&options->buffer, 65536);
    set_time(&options->body_limit, INT64_MAX);
    set_time(&options->body_rate, 128);
    set_time(&options->body_grace, SECONDS(30));
    set_time(&options->head_timeout, SECONDS(30));
    set_time(&options->proxy_timeout, options->head_timeout);
    set_time(&options->idle_timeout, SECONDS(75));
    set_time(&options->send_timeout, SECONDS(60));
    set_time(&options->discard, 65536);
    set_time(&options->coalesce, MICROSECONDS(200));
    return 0;
}

static gcore__http_rules rules_of(const gcore_http_options *options)
{
    return (gcore__http_rules){
        .flags = options->flags,
        .line_limit = options->line_limit,
        .field_limit = options->field_limit,
        .head_limit = options->head_limit,
        .field_bytes = options->field_bytes,
        .body_limit = options->body_limit,
    };
}

/* Requests on their way */

static int64_t count_waiting(gcore_hub *hub, gcore__ready *ready)
{
    gcore_http_server *server = GCORE__OF(gcore_http_server, notice, ready);
    int64_t waiting = (int64_t)server->stats.waiting;

    (void)hub;
    if (!server->closed)
        return waiting;
    gcore_http_server_unref(server);
    return -ECANCELED;
}

static void notify(gcore_http_server *server)
{
    if (server->watched && !server->notice.listed)
        gcore__ready_add(server->hub, &server->notice);
}

void gcore__http_hand_over(gcore_http_server *server,
                           gcore_http_request *request)
{
    if (server->handler) {
        server->handler(server->handler_arg, request);
        return;
    }
    gcore__list_append(&server->waiting, &request->link);
    server->stats.waiting++;
    notify(server);
}

static gcore_http_request *first_waiting(gcore_http_server *server)
{
    gcore_http_request *request;

    if (gcore__list_empty(&server->waiting))
        return NULL;
    request = GCORE__OF(gcore_http_request, link, server->waiting.next);
    gcore__list_remove(&request->link);
    server->stats.waiting--;
    return request;
}

int gcore_http_server_start(gcore_http_server *server,
                            gcore_http_handler_fn *handler, void *arg)
{
    gcore_http_request *request;

    if (!handler)
        return -EINVAL;
    if (server->closed)
        return -ECANCELED;
    if (server->handler || server->watched)
        return -EALREADY;
    server->handler = handler;
    server->handler_arg = arg;
    server->refs++;
    while ((request = first_waiting(server)) != NULL)
        handler(arg, request);
    gcore_http_server_unref(server);
    return 0;
}

int gcore_http_server_watch(gcore_http_server *server, gcore_done_fn *done,
                            void *arg)
{
    if (!done)
        return -EINVAL;
    if (server->closed)
        return -ECANCELED;
    if (server->handler || server->watched)
        return -EALREADY;
    server->watched = true;
    server->notice.done = done;
    server->notice.arg = arg;
    server->refs++; /* until -ECANCELED has been told */
    if (server->stats.waiting)
        notify(server);
    return 0;
}

int gcore_http_server_take(gcore_http_server *server,
                           gcore_http_request **out, int max)
{
    gcore_http_request *request;
    int count = 0;

    if (max < 1)
        return -EINVAL;
    while (count < max && (request = first_waiting(server)) != NULL)
        out[count++] = request;
    if (server->stats.waiting)
        notify(server);
    return count;
}

/* Life */

static int64_t drain_told(gcore_hub *hub, gcore__ready *ready)
{
    gcore_http_server *server = GCORE__OF(gcore_http_server, drained, ready);
    int64_t result = ready->result;

    (void)hub;
    gcore_http_server_unref(server);
    return result;
}

static void end_drain(gcore_http_server *server, int result)
{
    if (!server->drain_waits)
        return;
    server->drain_waits = false;
    gcore_watch_stop(server->drain_timer);
    gcore_watch_unref(server->drain_timer);
    server->drain_timer = NULL;
    server->drained.result = result;
    gcore__ready_add(server->hub, &server->drained);
}

static void close_connections(gcore_http_server *server)
{
    while (!gcore__list_empty(&server->conns))
        gcore__http_conn_reset(
            GCORE__OF(gcore__http_conn, link, server->conns.next),
            -ECANCELED);
}

static void on_hub_closed(void *arg, int64_t result)
{
    (void)result;
    gcore_http_server_close(arg);
}

int gcore_http_server_close(gcore_http_server *server)
{
    gcore_http_request *request;

    if (server->closed)
        return 0;
    server->closed = true;
    server->refs++;
    gcore_watch_stop(server->life);
    gcore_watch_unref(server->life);
    gcore__http_accept_close(server);
    close_connections(server);
    gcore__http_collector_end(&server->collector, server->hub);
    while ((request = first_waiting(server)) != NULL)
        gcore_http_request_unref(request);
    end_drain(server, -ECANCELED);
    notify(server);
    gcore_http_server_unref(server);
    return 0;
}

gcore_http_server *gcore_http_server_ref(gcore_http_server *server)
{
    server->refs++;
    return server;
}

void gcore_http_server_unref(gcore_http_server *server)
{
    gcore_hub *hub;

    if (!server)
        return;
    /* What waits to be told of the end has a reference of its own. */
    if (server->refs == 1 + server->watched + server->drain_waits)
        gcore_http_server_close(server);
    if (--server->refs)
        return;
    hub = server->hub;
    gcore__free(server->scratch);
    gcore__free(server);
    gcore__hub_drop(hub);
}

static int make_parts(gcore_http_server *server)
{
    int error;

    server->scratch = gcore__alloc(GCORE__HTTP_SCRATCH);
    if (!server->scratch)
        return -ENOMEM;
    error = gcore_async_new(server->hub, &server->life);
    if (error < 0)
        return error;
    gcore_watch_set_keepalive(server->life, 0);
    return gcore_watch_start(server->life, 0, GCORE_FOREVER, on_hub_closed,
                             server);
}

int gcore_http_server_new(gcore_hub *hub, const gcore_http_options *given,
                          gcore_http_server **out)
{
    gcore_http_options options;
    gcore_http_server *server;
    int error = read_options(given, &options);

    if (error < 0)
        return error;
    server = gcore__alloc(sizeof *server);
    if (!server)
        return -ENOMEM;
    server->hub = hub;
    server->refs = 1;
    server->options = options;
    server->rules = rules_of(&options);
    gcore__list_init(&server->conns);
    gcore__list_init(&server->listeners);
    gcore__list_init(&server->waiting);
    server->notice.take = count_waiting;
    server->drained.take = drain_told;
    error = make_parts(server);
    if (error < 0) {
        gcore_watch_unref(server->life);
        gcore__free(server->scratch);
        gcore__free(server);
        return error;
    }
    gcore__http_collector_init(&server->collector, options.coalesce);
    gcore__hub_hold(hub);
    *out = server;
    return 0;
}

static int adopt(gcore_http_server *server, int fd, gcore_stream *stream)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    socklen_t size = sizeof peer;

    getpeername(fd, (struct sockaddr *)&peer, &size);
    return gcore__http_conn_new(server, fd, stream, &peer);
}

int gcore_http_server_adopt(gcore_http_server *server, int fd)
{
    int error;

    if (server->closed)
        return -ECANCELED;
    error = fd < 0 ? -EBADF : gcore__socket_prepare(fd, SOCK_STREAM);
    return error < 0 ? error : adopt(server, fd, NULL);
}

int gcore_http_server_adopt_stream(gcore_http_server *server,
                                   gcore_stream *stream)
{
    if (server->closed)
        return -ECANCELED;
    if (gcore_stream_hub(stream) != server->hub)
        return -EINVAL;
    if (gcore_stream_closed(stream))
        return -ESHUTDOWN;
    if (gcore__reading(stream) || stream->queue || stream->connecting ||
        gcore_stream_unread_length(stream))
        return -EBUSY;
    return adopt(server, gcore_stream_fd(stream), stream);
}

int gcore_http_server_hang_up(gcore_http_server *server, uint64_t connection)
{
    for (gcore__link *link = server->conns.next; link != &server->conns;
         link = link->next) {
        gcore__http_conn *conn = GCORE__OF(gcore__http_conn, link, link);

        if (conn->number != connection)
            continue;
        gcore__http_conn_last(conn);
        break;
    }
    return 0;
}

/* Draining */

static void drain_timed_out(void *arg, int64_t result)
{
    (void)result;
    end_drain(arg, -ETIMEDOUT);
}

void gcore__http_left(gcore_http_server *server)
{
    if (server->closed)
        return;
    if (server->draining && !server->stats.connections)
        end_drain(server, 0);
    gcore__http_accept_adjust(server);
}

int gcore_http_server_drain(gcore_http_server *server, int64_t deadline,
                            gcore_done_fn *done, void *arg)
{
    gcore__link *link, *next;
    int error;

    if (!done)
        return -EINVAL;
    if (server->closed)
        return -ECANCELED;
    if (server->drain_waits || server->drained.listed)
        return -EALREADY;
    error = gcore_timer_new(server->hub, &server->drain_timer);
    if (error < 0)
        return error;
    gcore_watch_start(server->drain_timer, GCORE_ONCE, deadline,
                      drain_timed_out, server);
    server->drained.done = done;
    server->drained.arg = arg;
    server->drain_waits = server->draining = true;
    server->refs++;
    gcore__http_accept_adjust(server);
    for (link = server->conns.next; link != &server->conns; link = next) {
        next = link->next;
        gcore__http_conn_drain(GCORE__OF(gcore__http_conn, link, link));
    }
    gcore__http_left(server);
    return 0;
}

/* Time */

int64_t gcore__http_later(int64_t time)
{
    int64_t now = gcore_clock();

    return time < 0 || time > GCORE_FOREVER - now ? GCORE_FOREVER : now + time;
}

int gcore_http_server_rest(gcore_http_server *server)
{
    gcore__http_collector_rest(&server->collector);
    return 0;
}

/* Counters */

int gcore_http_server_counters(gcore_http_server *server,
                               gcore_http_stats *out)
{
    gcore_http_stats stats = server->stats;

    stats.idle = stats.connections - stats.active;
    stats.dropped = gcore__http_accept_dropped(server);
    return gcore__sized_write(out, &stats, sizeof stats);
}

/* Date */

const char *gcore__http_date(gcore_http_server *server, size_t *size)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct timespec now;
    struct tm tm;

    *size = sizeof "Sun, 06 Nov 1994 08:49:37 GMT" - 1;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == server->date_second)
        return server->date;
    server->date_second = now.tv_sec;
    gmtime_r(&now.tv_sec, &tm);
    /* strftime would speak the program's language. */
    strftime(server->date, sizeof server->date,
             "xxx, %d xxx %Y %H:%M:%S GMT", &tm);
    memcpy(server->date, days + 3 * tm.tm_wday, 3);
    memcpy(server->date + 8, months + 3 * tm.tm_mon, 3);
    return server->date;
}
