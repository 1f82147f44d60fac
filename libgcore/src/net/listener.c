/*
 * Listeners.
 *
 * A started listener has one of two watches started: `readable` while it
 * accepts; `pause` while it does not, for descriptors ran out (until a moment)
 * or there are as many streams as there may be (until one leaves). So it
 * always hears of a hub that closes. A drain starts `pause` too, for its
 * deadline; by then the listening socket is closed.
 *
 * Owners have references, and the last to go closes the listener; its
 * streams only hold its memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"
#include "net/stream.h"

#define BATCH 64
#define BACKLOG 1024
#define REST INT64_C(100000000)

/* Results of `input` for a started listener: look again. */
#define LOOK 1

enum mode { IDLE, STARTED, ONE_ACCEPT };

struct gcore_listener {
    gcore_hub *hub;
    gcore_watch *readable;
    gcore_watch *pause;
    gcore__ready input;   /* an accept's result; of a start, its end */
    gcore__ready drained; /* the drain's result */
    gcore__link streams;
    gcore_accepted_fn *fn;
    void *arg;
    gcore_listener_options options;
    gcore_stream_options stream_options;
    gcore_listener_stats stats;
    gcore__socket_file file;
    atomic_int refs;
    atomic_int holds;
    enum mode mode;
    int fd;
    int reserve; /* a descriptor to be had when there are no more; or -1 */
    int kept;    /* accepted for an accept that was stopped; or -1 */
    bool closed;
    bool draining;
    bool limited;
};

/* References */

static void hold(gcore_listener *listener)
{
    atomic_fetch_add_explicit(&listener->holds, 1, memory_order_relaxed);
}

static void drop(gcore_listener *listener)
{
    gcore_hub *hub = listener->hub;

    if (atomic_fetch_sub_explicit(&listener->holds, 1,
                                  memory_order_acq_rel) != 1)
        return;
    gcore__free(listener);
    gcore__hub_drop(hub);
}

gcore_listener *gcore_listener_ref(gcore_listener *listener)
{
    atomic_fetch_add_explicit(&listener->refs, 1, memory_order_relaxed);
    return listener;
}

void gcore_listener_unref(gcore_listener *listener)
{
    if (!listener || atomic_fetch_sub_explicit(&listener->refs, 1,
                                               memory_order_acq_rel) != 1)
        return;
    gcore_listener_close(listener);
    drop(listener);
}

/* Telling */

static void schedule(gcore_listener *listener, int64_t result)
{
    listener->input.result = result;
    if (!listener->input.listed)
        gcore__ready_add(listener->hub, &listener->input);
}

/* Neither started nor accepting; the caller sees to the hold. */
static void end(gcore_listener *listener)
{
    listener->mode = IDLE;
    listener->limited = false;
    if (listener->closed)
        return;
    gcore_watch_stop(listener->readable);
    gcore_watch_stop(listener->pause);
}

static void tell_end(gcore_listener *listener, int64_t result)
{
    end(listener);
    listener->fn(listener->arg, NULL, result);
    drop(listener);
}

static int64_t taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_listener *listener = GCORE__OF(gcore_listener, input, ready);
    int64_t result = ready->result;

    (void)hub;
    if (listener->mode == ONE_ACCEPT) {
        listener->mode = IDLE;
        drop(listener);
    }
    return result;
}

/* Accepting */

static void readable(void *arg, int64_t result);
static void paused(void *arg, int64_t result);

static void pause_until(gcore_listener *listener, int64_t moment)
{
    gcore_watch_stop(listener->readable);
    gcore_watch_start(listener->pause, GCORE_ONCE, moment, paused, listener);
}

static void go_on(gcore_listener *listener)
{
    listener->limited = false;
    gcore_watch_stop(listener->pause);
    gcore_watch_start(listener->readable, 0, GCORE_FOREVER, readable,
                      listener);
}

static int accept_one(gcore_listener *listener)
{
    int fd;

    do
        fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static bool exhausted(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS ||
           error == -ENOMEM;
}

/* Of the listening socket itself, not of a connection. */
static bool fatal(int error)
{
    return error == -EBADF || error == -ENOTSOCK || error == -EINVAL ||
           error == -EOPNOTSUPP || error == -EFAULT;
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Lets those go that wait: their peers learn at once. */
static void turn_away(gcore_listener *listener)
{
    if (listener->reserve >= 0)
        close(listener->reserve);
    for (uint32_t i = 0; i < listener->options.batch; i++) {
        int fd = accept_one(listener);

        if (fd < 0)
            break;
        close(fd);
        listener->stats.dropped++;
    }
    listener->reserve = open_reserve();
}

static void ran_out(gcore_listener *listener, int error)
{
    if (error == -EMFILE || error == -ENFILE)
        turn_away(listener);
    pause_until(listener, gcore_clock() + listener->options.rest);
    listener->fn(listener->arg, NULL, error);
}

static void count_stream(gcore_listener *listener, gcore_stream *stream)
{
    gcore_listener_stats *stats = &listener->stats;

    stream->listener = listener;
    hold(listener);
    gcore__list_append(&listener->streams, &stream->siblings);
    stats->connections++;
    if (stats->connections > stats->peak)
        stats->peak = stats->connections;
}

/* Whether more can be taken. */
static bool hand_over(gcore_listener *listener, int fd)
{
    gcore_stream *stream;
    int error = gcore__stream_make(listener->hub, fd,
                                   &listener->stream_options, &stream);

    if (error < 0) {
        close(fd);
        listener->stats.dropped++;
        /* A number too big for the backend is one descriptor too many. */
        ran_out(listener, error == -ENOTSUP ? -EMFILE : error);
        return false;
    }
    listener->stats.accepted++;
    count_stream(listener, stream);
    listener->fn(listener->arg, stream, 0);
    return listener->mode == STARTED && !listener->closed;
}

static bool at_limit(gcore_listener *listener)
{
    uint32_t limit = listener->options.connections;

    if (!limit || listener->stats.connections < limit)
        return false;
    if (!listener->limited)
        listener->stats.limited++;
    listener->limited = true;
    pause_until(listener, GCORE_FOREVER);
    return true;
}

/* Whether to go on with the batch. */
static bool take_one(gcore_listener *listener)
{
    int fd;

    if (at_limit(listener))
        return false;
    fd = listener->kept >= 0 ? listener->kept : accept_one(listener);
    listener->kept = -1;
    if (fd >= 0)
        return hand_over(listener, fd);
    if (fd == -EAGAIN)
        return false;
    if (exhausted(fd)) {
        ran_out(listener, fd);
        return false;
    }
    if (fatal(fd)) {
        tell_end(listener, fd);
        return false;
    }
    listener->stats.failed++;
    return true;
}

static void take_batch(gcore_listener *listener)
{
    hold(listener);
    for (uint32_t i = 0; i < listener->options.batch; i++)
        if (!take_one(listener))
            break;
    drop(listener);
}

/* One accept: what fails for one connection alone is tried again. */
static void take_for_accept(gcore_listener *listener)
{
    int fd;

    do
        fd = accept_one(listener);
    while (fd < 0 && fd != -EAGAIN && !exhausted(fd) && !fatal(fd) &&
           ++listener->stats.failed);
    if (fd == -EAGAIN)
        return;
    if (fd >= 0)
        listener->stats.accepted++;
    gcore_watch_stop(listener->readable);
    schedule(listener, fd);
}

static void readable(void *arg, int64_t result)
{
    gcore_listener *listener = arg;

    if (listener->mode == ONE_ACCEPT) {
        if (result > 0)
            take_for_accept(listener);
        else
            schedule(listener, result);
    } else if (result > 0) {
        take_batch(listener);
    } else {
        tell_end(listener, result);
    }
}

static void paused(void *arg, int64_t result)
{
    gcore_listener *listener = arg;

    if (result < 0)
        tell_end(listener, result);
    else
        go_on(listener);
}

/* Of a started listener: what `input` was listed for. */
static void look(void *arg, int64_t result)
{
    gcore_listener *listener = arg;

    if (listener->closed || atomic_load(&listener->hub->closed))
        tell_end(listener, -ECANCELED);
    else if (result == LOOK)
        take_batch(listener);
    else
        tell_end(listener, result);
}

/* The streams */

static void drain_over(gcore_listener *listener, int64_t result)
{
    gcore_watch_unref(listener->pause);
    listener->pause = NULL;
    listener->drained.result = result;
    gcore__ready_add(listener->hub, &listener->drained);
}

static int64_t drain_taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_listener *listener = GCORE__OF(gcore_listener, drained, ready);
    int64_t result = ready->result;

    (void)hub;
    listener->draining = false;
    drop(listener);
    return result;
}

static void drain_ended(void *arg, int64_t result)
{
    gcore_listener *listener = arg;
    int64_t closed = 0;

    hold(listener);
    listener->limited = true; /* not told by the last stream to leave */
    while (result == 0 && !gcore__list_empty(&listener->streams)) {
        gcore_stream_close(
            GCORE__OF(gcore_stream, siblings, listener->streams.next));
        closed++;
    }
    drain_over(listener, result < 0 ? result : closed);
    drop(listener);
}

void gcore__listener_left(gcore_listener *listener, gcore_stream *stream)
{
    stream->listener = NULL;
    gcore__list_remove(&stream->siblings);
    listener->stats.connections--;
    if (listener->draining) {
        if (!listener->limited && listener->stats.connections == 0 &&
            gcore_watch_active(listener->pause)) {
            gcore_watch_stop(listener->pause);
            drain_over(listener, 0);
        }
    } else if (listener->limited && !atomic_load(&listener->hub->closed)) {
        go_on(listener);
    }
    drop(listener);
}

/* Making */

static int read_options(const gcore_listener_options *given,
                        gcore_listener *listener)
{
    gcore_listener_options *options = &listener->options;
    unsigned known = GCORE_LISTEN_REUSEPORT | GCORE_LISTEN_V6ONLY |
                     GCORE_LISTEN_REPLACE;
    int error;

    if (given) {
        size_t size = given->size;

        if (size < offsetof(gcore_listener_options, batch) || size % 8)
            return -EINVAL;
        memcpy(options, given, size < sizeof *options ? size
                                                      : sizeof *options);
    }
    if (options->flags & ~known || options->rest < 0)
        return -EINVAL;
    error = gcore__stream_read_options(options->stream,
                                       &listener->stream_options);
    options->stream = NULL; /* the caller's */
    if (!options->backlog)
        options->backlog = BACKLOG;
    if (!options->batch)
        options->batch = BATCH;
    if (!options->rest)
        options->rest = REST;
    return error;
}

static int make(gcore_hub *hub, const gcore_listener_options *options,
                gcore_listener **out)
{
    gcore_listener *listener = gcore__alloc(sizeof *listener);
    int error;

    if (!listener)
        return -ENOMEM;
    atomic_init(&listener->refs, 1);
    atomic_init(&listener->holds, 1);
    listener->hub = hub;
    listener->fd = listener->reserve = listener->kept = -1;
    listener->input.take = taken;
    listener->drained.take = drain_taken;
    gcore__list_init(&listener->streams);
    error = read_options(options, listener);
    if (error < 0) {
        gcore__free(listener);
        return error;
    }
    gcore__hub_hold(hub);
    *out = listener;
    return 0;
}

/* Takes the socket over, if it succeeds. */
static int equip(gcore_listener *listener, int fd)
{
    int on = 1;
    int error = gcore_io_new(listener->hub, fd, GCORE_READ,
                             &listener->readable);

    if (error == 0)
        error = gcore_timer_new(listener->hub, &listener->pause);
    if (error < 0)
        return error;
    listener->reserve = open_reserve();
    if (listener->reserve < 0)
        return -errno;
    /* Connections inherit it. */
    if (!(listener->stream_options.flags & GCORE_STREAM_NAGLE))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listener->fd = fd;
    return 0;
}

static void dismantle(gcore_listener *listener)
{
    gcore_watch_unref(listener->readable);
    listener->readable = NULL;
    if (listener->reserve >= 0)
        close(listener->reserve);
    if (listener->kept >= 0)
        close(listener->kept);
    listener->reserve = listener->kept = -1;
}

static void discard(gcore_listener *listener)
{
    listener->closed = true;
    dismantle(listener);
    gcore_watch_unref(listener->pause);
    gcore_listener_unref(listener);
}

static int make_socket(gcore_listener *listener, const gcore_address *address)
{
    gcore__bind how = {
        .type = SOCK_STREAM,
        .flags = listener->options.flags,
        .mode = listener->options.mode,
    };
    int fd = gcore__socket_bound(address, &how);

    if (fd < 0)
        return fd;
    gcore__socket_file_find(address, &listener->file);
    if (listen(fd, (int)listener->options.backlog) < 0) {
        int error = -errno;

        gcore__socket_file_remove(&listener->file);
        close(fd);
        return error;
    }
    return fd;
}

int gcore_listener_new(gcore_hub *hub, const gcore_address *address,
                       const gcore_listener_options *options,
                       gcore_listener **out)
{
    gcore_listener *listener;
    int error;
    int fd;

    if (!hub || !address || !out)
        return -EINVAL;
    error = make(hub, options, &listener);
    if (error < 0)
        return error;
    fd = make_socket(listener, address);
    error = fd < 0 ? fd : equip(listener, fd);
    if (error < 0) {
        if (fd >= 0) {
            gcore__socket_file_remove(&listener->file);
            close(fd);
        }
        discard(listener);
        return error;
    }
    *out = listener;
    return 0;
}

static int check_listening(int fd)
{
    int listening = 0;
    socklen_t length = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
        return -errno;
    return listening ? 0 : -EINVAL;
}

int gcore_listener_adopt(gcore_hub *hub, int fd,
                         const gcore_listener_options *options,
                         gcore_listener **out)
{
    gcore_listener *listener;
    int error;

    if (!hub || !out)
        return -EINVAL;
    error = gcore__socket_prepare(fd, SOCK_STREAM);
    if (error == 0)
        error = check_listening(fd);
    if (error == 0)
        error = make(hub, options, &listener);
    if (error < 0)
        return error;
    error = equip(listener, fd);
    if (error < 0) {
        discard(listener);
        return error;
    }
    *out = listener;
    return 0;
}

/* Closing */

static void cancel(gcore_listener *listener)
{
    if (listener->mode == STARTED || 
        (listener->mode == ONE_ACCEPT && !listener->input.listed))
        schedule(listener, -ECANCELED);
}

/* The listening socket; a drain goes on. */
static void close_socket(gcore_listener *listener)
{
    gcore_watch_stop(listener->readable);
    gcore_watch_stop(listener->pause);
    listener->limited = false;
    listener->closed = true;
    cancel(listener);
    gcore_hub_forget_fd(listener->hub, listener->fd, -ECANCELED);
    gcore__socket_file_remove(&listener->file);
    close(listener->fd);
    listener->fd = -1;
    dismantle(listener);
}

int gcore_listener_close(gcore_listener *listener)
{
    if (!listener->closed) {
        close_socket(listener);
        gcore_watch_unref(listener->pause);
        listener->pause = NULL;
    } else if (listener->draining && listener->pause) {
        gcore_watch_stop(listener->pause);
        drain_over(listener, -ECANCELED);
    }
    return 0;
}

int gcore_listener_drain(gcore_listener *listener, int64_t deadline,
                         gcore_done_fn *done, void *arg)
{
    if (!done)
        return -EINVAL;
    if (listener->draining)
        return -EALREADY;
    if (listener->closed || atomic_load(&listener->hub->closed))
        return -ESHUTDOWN;
    close_socket(listener);
    listener->draining = true;
    listener->drained.done = done;
    listener->drained.arg = arg;
    hold(listener);
    if (listener->stats.connections == 0)
        drain_over(listener, 0);
    else
        gcore_watch_start(listener->pause, GCORE_ONCE, deadline, drain_ended,
                          listener);
    return 0;
}

/* Starting and stopping */

static int begin(gcore_listener *listener, enum mode mode,
                 gcore_done_fn *done, void *arg)
{
    if (listener->closed || atomic_load(&listener->hub->closed))
        return -ESHUTDOWN;
    if (listener->mode != IDLE)
        return -EALREADY;
    listener->mode = mode;
    listener->input.done = done;
    listener->input.arg = arg;
    hold(listener);
    return 0;
}

int gcore_listener_start(gcore_listener *listener, gcore_accepted_fn *fn,
                         void *arg)
{
    int error = fn ? begin(listener, STARTED, look, listener) : -EINVAL;

    if (error < 0)
        return error;
    listener->fn = fn;
    listener->arg = arg;
    go_on(listener);
    if (listener->kept >= 0)
        schedule(listener, LOOK);
    return 0;
}

int gcore_listener_accept(gcore_listener *listener, int64_t deadline,
                          gcore_done_fn *done, void *arg)
{
    int error = done ? begin(listener, ONE_ACCEPT, done, arg) : -EINVAL;

    if (error < 0)
        return error;
    if (listener->kept >= 0) {
        schedule(listener, listener->kept);
        listener->kept = -1;
        return 0;
    }
    return gcore_watch_start(listener->readable, 0, deadline, readable,
                             listener);
}

int gcore_listener_stop(gcore_listener *listener)
{
    if (listener->mode == IDLE || listener->closed)
        return 0;
    if (listener->mode == ONE_ACCEPT && listener->input.listed &&
        listener->input.result >= 0)
        listener->kept = (int)listener->input.result;
    end(listener);
    gcore__ready_withdraw(listener->hub, &listener->input);
    drop(listener);
    return 0;
}

/* Asking */

int gcore_listener_fd(gcore_listener *listener)
{
    return listener->closed ? -ESHUTDOWN : listener->fd;
}

int gcore_listener_address(gcore_listener *listener, gcore_address *out)
{
    return listener->closed ? -ESHUTDOWN
                            : gcore__socket_name(listener->fd, out);
}

int gcore_listener_counters(gcore_listener *listener,
                            gcore_listener_stats *out)
{
    gcore_listener_stats stats = listener->stats;
    size_t size = out->size;

    if (size < offsetof(gcore_listener_stats, dropped) || size % 8)
        return -EINVAL;
    stats.size = size;
    memset(out, 0, size);
    memcpy(out, &stats, size < sizeof stats ? size : sizeof stats);
    return 0;
}
