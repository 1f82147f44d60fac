/*
 * Listeners.
 *
 * The accepting itself is the acceptor's. A started listener has it started
 * or, with as many streams as there may be, paused until one leaves: so it
 * always hears of a hub that closes.
 *
 * Owners have references, and the last to go closes the listener; its
 * streams only hold its memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/acceptor.h"
#include "net/socket.h"
#include "net/stream.h"
#include "util/sized.h"

#define BATCH 64
#define BACKLOG 1024
#define REST INT64_C(100000000)

/* Results of `input` for a started listener: look again. */
#define LOOK 1

enum mode { IDLE, STARTED, ONE_ACCEPT };

struct gcore_listener {
    gcore_hub *hub;
    gcore__acceptor acceptor;
    gcore_watch *deadline; /* the drain's */
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
    int kept; /* accepted for an accept that was stopped; or -1 */
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
    if (!listener->closed)
        gcore__acceptor_stop(&listener->acceptor);
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

    if (listener->mode == ONE_ACCEPT) {
        listener->mode = IDLE;
        if (hub->dropping && result >= 0)
            close((int)result);
        drop(listener);
    }
    return result;
}

/* Accepting */

static void go_on(gcore_listener *listener)
{
    listener->limited = false;
    gcore__acceptor_start(&listener->acceptor);
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

static int take(void *owner, int fd, const struct sockaddr_storage *peer)
{
    gcore_listener *listener = owner;
    gcore_stream *stream;
    int error = gcore__stream_make(listener->hub, fd,
                                   &listener->stream_options, &stream);

    (void)peer;
    if (error < 0)
        return error;
    listener->stats.accepted++;
    count_stream(listener, stream);
    listener->fn(listener->arg, stream, 0);
    return 0;
}

static bool at_limit(gcore_listener *listener)
{
    uint32_t limit = listener->options.connections;

    if (!limit || listener->stats.connections < limit)
        return false;
    if (!listener->limited)
        listener->stats.limited++;
    listener->limited = true;
    gcore__acceptor_pause(&listener->acceptor, GCORE_FOREVER);
    return true;
}

static bool room(void *owner)
{
    gcore_listener *listener = owner;

    return listener->mode == STARTED && !listener->closed &&
           !at_limit(listener);
}

static void lack(void *owner, int error)
{
    gcore_listener *listener = owner;

    listener->fn(listener->arg, NULL, error);
}

/* One that was accepted for an accept that was stopped; whether to go on. */
static bool take_kept(gcore_listener *listener)
{
    const struct sockaddr_storage unknown = {.ss_family = AF_UNSPEC};
    int fd = listener->kept;

    if (fd < 0)
        return true;
    if (!room(listener))
        return false;
    listener->kept = -1;
    return gcore__acceptor_give(&listener->acceptor, fd, &unknown);
}

static void take_batch(gcore_listener *listener)
{
    hold(listener);
    if (take_kept(listener))
        gcore__acceptor_batch(&listener->acceptor);
    drop(listener);
}

static void ready(void *owner, int64_t result)
{
    if (result > 0)
        take_batch(owner);
    else
        tell_end(owner, result);
}

static const gcore__acceptor_use use = {
    .ready = ready,
    .room = room,
    .take = take,
    .lack = lack,
};

/* One accept: what fails for one connection alone is tried again. */
static void take_for_accept(gcore_listener *listener)
{
    gcore__acceptor *acceptor = &listener->acceptor;
    int fd;

    do
        fd = gcore__acceptor_accept(acceptor, NULL);
    while (fd < 0 && fd != -EAGAIN && !gcore__acceptor_exhausted(fd) &&
           !gcore__acceptor_fatal(fd) && ++acceptor->failed);
    if (fd == -EAGAIN)
        return;
    if (fd >= 0)
        listener->stats.accepted++;
    gcore__acceptor_stop(acceptor);
    schedule(listener, fd);
}

static void ready_for_accept(void *arg, int64_t result)
{
    if (result > 0)
        take_for_accept(arg);
    else
        schedule(arg, result);
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
    gcore_watch_unref(listener->deadline);
    listener->deadline = NULL;
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
            gcore_watch_active(listener->deadline)) {
            gcore_watch_stop(listener->deadline);
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

    if (gcore__sized_read(given, options, sizeof *options) < 0 ||
        options->flags & ~known || options->rest < 0)
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
    listener->fd = listener->kept = -1;
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
    int error;

    listener->acceptor = (gcore__acceptor){
        .use = &use,
        .owner = listener,
        .hub = listener->hub,
        .batch = listener->options.batch,
        .first_rest = listener->options.rest,
        .longest_rest = listener->options.rest,
    };
    error = gcore_timer_new(listener->hub, &listener->deadline);
    if (error == 0)
        error = gcore__acceptor_open(&listener->acceptor, fd);
    if (error < 0)
        return error;
    /* Connections inherit it. */
    if (!(listener->stream_options.flags & GCORE_STREAM_NAGLE))
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    listener->fd = fd;
    return 0;
}

/* One that could not be equipped. */
static void discard(gcore_listener *listener)
{
    listener->closed = true;
    gcore_watch_unref(listener->deadline);
    listener->deadline = NULL;
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

int gcore_listener_adopt(gcore_hub *hub, int fd,
                         const gcore_listener_options *options,
                         gcore_listener **out)
{
    gcore_listener *listener;
    int error;

    if (!hub || !out)
        return -EINVAL;
    error = gcore__socket_prepare_listening(fd);
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
    gcore__acceptor_close(&listener->acceptor);
    listener->limited = false;
    listener->closed = true;
    cancel(listener);
    gcore_hub_forget_fd(listener->hub, listener->fd, -ECANCELED);
    gcore__socket_file_remove(&listener->file);
    close(listener->fd);
    if (listener->kept >= 0)
        close(listener->kept);
    listener->fd = listener->kept = -1;
}

int gcore_listener_close(gcore_listener *listener)
{
    if (!listener->closed) {
        close_socket(listener);
        gcore_watch_unref(listener->deadline);
        listener->deadline = NULL;
    } else if (listener->draining && listener->deadline) {
        gcore_watch_stop(listener->deadline);
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
        gcore_watch_start(listener->deadline, GCORE_ONCE, deadline,
                          drain_ended, listener);
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
    return gcore_watch_start(listener->acceptor.readable, 0, deadline,
                             ready_for_accept, listener);
}

/* For the next accept or start, if there can be one. */
static void keep(gcore_listener *listener, int fd)
{
    if (listener->closed)
        close(fd);
    else
        listener->kept = fd;
}

int gcore_listener_stop(gcore_listener *listener)
{
    if (listener->mode == IDLE)
        return 0;
    if (listener->mode == ONE_ACCEPT && listener->input.listed &&
        listener->input.result >= 0)
        keep(listener, (int)listener->input.result);
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

    stats.dropped = listener->acceptor.dropped;
    stats.failed = listener->acceptor.failed;
    return gcore__sized_write(out, &stats, sizeof stats);
}
