/*
 * Datagram sockets. One recvmmsg a readiness; what is left makes the socket
 * readable again in the next turn.
 *
 * The buffers are one block, made when first started and never written but
 * by datagrams: what they do not reach takes no memory.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gcore/udp.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gcore/server.h>
#include <gcore/watch.h>

#include "hub/hub.h"
#include "net/socket.h"
#include "util/sized.h"

#define BATCH 16
#define MOST_BATCH 1024
#define MOST_BYTES (64 * 1024)
#define MOST_SENT 64

_Static_assert(GCORE_UDP_REUSEPORT == GCORE_LISTEN_REUSEPORT &&
                   GCORE_UDP_V6ONLY == GCORE_LISTEN_V6ONLY &&
                   GCORE_UDP_REPLACE == GCORE_LISTEN_REPLACE,
               "gcore__socket_bound knows one set of flags");

struct gcore_udp {
    gcore_hub *hub;
    gcore_watch *readable;
    gcore_watch *writable;
    gcore__ready input; /* of a started socket: its end */
    gcore__ready room;  /* the wait's result */
    gcore_udp_fn *fn;
    void *arg;
    gcore_udp_options options;
    gcore__socket_file file;
    gcore_datagram *datagrams; /* `batch` of each of these three */
    struct mmsghdr *messages;
    struct iovec *pieces;
    char *buffers;
    atomic_int refs;
    int fd;
    int untold; /* 0, or an error of sending for the next call to tell */
    bool started;
    bool waiting;
    bool closed;
};

static bool shut_down(gcore_udp *udp)
{
    return udp->closed || atomic_load(&udp->hub->closed);
}

/* Receiving */

static void end(gcore_udp *udp)
{
    if (!udp->closed)
        gcore_watch_stop(udp->readable);
    udp->started = false;
}

static void told_end(void *arg, int64_t result)
{
    gcore_udp *udp = arg;

    end(udp);
    udp->fn(udp->arg, NULL, result);
    gcore_udp_unref(udp);
}

static int64_t input_taken(gcore_hub *hub, gcore__ready *ready)
{
    (void)hub;
    return ready->result;
}

static int make_buffers(gcore_udp *udp)
{
    size_t batch = udp->options.batch;

    if (udp->buffers)
        return 0;
    if (!udp->datagrams)
        udp->datagrams = gcore__alloc(batch * sizeof *udp->datagrams);
    if (!udp->messages)
        udp->messages = gcore__alloc(batch * sizeof *udp->messages);
    if (!udp->pieces)
        udp->pieces = gcore__alloc(batch * sizeof *udp->pieces);
    if (!udp->datagrams || !udp->messages || !udp->pieces)
        return -ENOMEM;
    udp->buffers = gcore__resize(NULL, batch * udp->options.datagram);
    return udp->buffers ? 0 : -ENOMEM;
}

static void prepare(gcore_udp *udp)
{
    for (size_t i = 0; i < udp->options.batch; i++) {
        struct msghdr *header = &udp->messages[i].msg_hdr;

        udp->pieces[i].iov_base = udp->buffers + i * udp->options.datagram;
        udp->pieces[i].iov_len = udp->options.datagram;
        memset(header, 0, sizeof *header);
        header->msg_iov = &udp->pieces[i];
        header->msg_iovlen = 1;
        header->msg_name = udp->datagrams[i].address.bytes;
        header->msg_namelen = sizeof udp->datagrams[i].address.bytes;
    }
}

static void describe(gcore_udp *udp, int count)
{
    for (int i = 0; i < count; i++) {
        const struct mmsghdr *message = &udp->messages[i];
        gcore_datagram *datagram = &udp->datagrams[i];

        datagram->data = udp->pieces[i].iov_base;
        datagram->length = message->msg_len;
        datagram->flags = message->msg_hdr.msg_flags & MSG_TRUNC
                              ? GCORE_DATAGRAM_TRUNCATED
                              : 0;
        datagram->address.length = message->msg_hdr.msg_namelen;
    }
}

static void receive(gcore_udp *udp)
{
    int count;

    prepare(udp);
    do
        count = recvmmsg(udp->fd, udp->messages, udp->options.batch,
                         MSG_DONTWAIT, NULL);
    while (count < 0 && errno == EINTR);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (count > 0)
        describe(udp, count);
    gcore_udp_ref(udp); /* the function may drop the last */
    if (count < 0)
        udp->fn(udp->arg, NULL, -errno);
    else if (count > 0)
        udp->fn(udp->arg, udp->datagrams, count);
    gcore_udp_unref(udp);
}

static void readable(void *arg, int64_t result)
{
    if (result > 0)
        receive(arg);
    else
        told_end(arg, result);
}

int gcore_udp_start(gcore_udp *udp, gcore_udp_fn *fn, void *arg)
{
    int error;

    if (!fn)
        return -EINVAL;
    if (shut_down(udp))
        return -ESHUTDOWN;
    if (udp->started)
        return -EALREADY;
    error = make_buffers(udp);
    if (error < 0)
        return error;
    udp->fn = fn;
    udp->arg = arg;
    udp->started = true;
    gcore_udp_ref(udp);
    return gcore_watch_start(udp->readable, 0, GCORE_FOREVER, readable, udp);
}

int gcore_udp_stop(gcore_udp *udp)
{
    if (!udp->started)
        return 0;
    end(udp);
    gcore__ready_withdraw(udp->hub, &udp->input);
    gcore_udp_unref(udp);
    return 0;
}

/* Sending */

static void address_message(const gcore_datagram *datagram,
                            struct iovec *piece, struct msghdr *header)
{
    memset(header, 0, sizeof *header);
    piece->iov_base = datagram->data;
    piece->iov_len = datagram->length;
    header->msg_iov = piece;
    header->msg_iovlen = 1;
    if (datagram->address.length) {
        header->msg_name = (void *)(uintptr_t)datagram->address.bytes;
        header->msg_namelen = (socklen_t)datagram->address.length;
    }
}

static int send_some(gcore_udp *udp, const gcore_datagram *datagrams,
                     int count)
{
    struct mmsghdr messages[MOST_SENT];
    struct iovec pieces[MOST_SENT];
    int sent;

    for (int i = 0; i < count; i++)
        address_message(&datagrams[i], &pieces[i], &messages[i].msg_hdr);
    do
        sent = sendmmsg(udp->fd, messages, (unsigned)count, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return sent;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static bool can_be_sent(const gcore_datagram *datagram)
{
    return (datagram->data || !datagram->length) && !datagram->flags &&
           datagram->address.length <= sizeof datagram->address.bytes;
}

static int take_untold(gcore_udp *udp)
{
    int error = udp->untold;

    udp->untold = 0;
    return error;
}

int gcore_udp_send(gcore_udp *udp, const gcore_datagram *datagrams, int count)
{
    int total = 0;

    if (count < 0 || (count && !datagrams))
        return -EINVAL;
    if (shut_down(udp))
        return -ESHUTDOWN;
    for (int i = 0; i < count; i++)
        if (!can_be_sent(&datagrams[i]))
            return -EINVAL;
    if (count && udp->untold)
        return take_untold(udp);
    while (total < count) {
        int part = count - total < MOST_SENT ? count - total : MOST_SENT;
        int sent = send_some(udp, datagrams + total, part);

        if (sent < 0 && total == 0)
            return sent;
        if (sent < 0) {
            /* The system may have told it for the only time. */
            udp->untold = sent == -EAGAIN ? 0 : sent;
            break;
        }
        total += sent;
        if (sent < part)
            break;
    }
    return total;
}

static void tell_room(gcore_udp *udp, int64_t result)
{
    udp->room.result = result;
    gcore__ready_add(udp->hub, &udp->room);
}

static int64_t room_taken(gcore_hub *hub, gcore__ready *ready)
{
    gcore_udp *udp = GCORE__OF(gcore_udp, room, ready);
    int64_t result = ready->result;

    (void)hub;
    udp->waiting = false;
    gcore_udp_unref(udp);
    return result;
}

static void writable(void *arg, int64_t result)
{
    tell_room(arg, result > 0 ? 0 : result);
}

int gcore_udp_wait(gcore_udp *udp, int64_t deadline, gcore_done_fn *done,
                   void *arg)
{
    int error = 0;

    if (!done)
        return -EINVAL;
    if (shut_down(udp))
        return -ESHUTDOWN;
    if (udp->waiting)
        return -EALREADY;
    if (!udp->writable)
        error = gcore_io_new(udp->hub, udp->fd, GCORE_WRITE, &udp->writable);
    if (error < 0)
        return error;
    udp->waiting = true;
    udp->room.done = done;
    udp->room.arg = arg;
    gcore_udp_ref(udp);
    return gcore_watch_start(udp->writable, GCORE_ONCE, deadline, writable,
                             udp);
}

/* Making */

static int read_options(const gcore_udp_options *given, gcore_udp_options *out)
{
    unsigned known = GCORE_UDP_REUSEPORT | GCORE_UDP_V6ONLY |
                     GCORE_UDP_REPLACE | GCORE_UDP_BROADCAST;

    if (gcore__sized_read(given, out, sizeof *out) < 0 ||
        out->flags & ~known || out->batch > MOST_BATCH ||
        out->datagram > MOST_BYTES)
        return -EINVAL;
    if (!out->batch)
        out->batch = BATCH;
    if (!out->datagram)
        out->datagram = MOST_BYTES;
    return 0;
}

static int make(gcore_hub *hub, int fd, const gcore_udp_options *options,
                gcore_udp **out)
{
    gcore_udp *udp = gcore__alloc(sizeof *udp);
    int error;

    if (!udp)
        return -ENOMEM;
    error = gcore_io_new(hub, fd, GCORE_READ, &udp->readable);
    if (error < 0) {
        gcore__free(udp);
        return error;
    }
    gcore__hub_hold(hub);
    udp->hub = hub;
    udp->fd = fd;
    udp->options = *options;
    udp->input.take = input_taken;
    udp->input.done = told_end;
    udp->input.arg = udp;
    udp->room.take = room_taken;
    atomic_init(&udp->refs, 1);
    *out = udp;
    return 0;
}

static int make_socket(const gcore_address *address,
                       const gcore_udp_options *options,
                       gcore__socket_file *file)
{
    gcore__bind how = {
        .type = SOCK_DGRAM,
        .flags = options->flags,
        .mode = options->mode,
    };
    int on = 1;
    int fd = gcore__socket_bound(address, &how);

    if (fd < 0)
        return fd;
    gcore__socket_file_find(address, file);
    if (options->flags & GCORE_UDP_BROADCAST)
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
    return fd;
}

int gcore_udp_new(gcore_hub *hub, const gcore_address *address,
                  const gcore_udp_options *given, gcore_udp **out)
{
    gcore_udp_options options;
    gcore__socket_file file;
    int error = hub && out ? read_options(given, &options) : -EINVAL;
    int fd;

    if (error < 0)
        return error;
    fd = make_socket(address, &options, &file);
    if (fd < 0)
        return fd;
    error = make(hub, fd, &options, out);
    if (error < 0) {
        gcore__socket_file_remove(&file);
        close(fd);
        return error;
    }
    (*out)->file = file;
    return 0;
}

int gcore_udp_adopt(gcore_hub *hub, int fd, const gcore_udp_options *given,
                    gcore_udp **out)
{
    gcore_udp_options options;
    int error = hub && out ? read_options(given, &options) : -EINVAL;

    if (error == 0)
        error = gcore__socket_prepare(fd, SOCK_DGRAM);
    if (error < 0)
        return error;
    return make(hub, fd, &options, out);
}

gcore_udp *gcore_udp_ref(gcore_udp *udp)
{
    atomic_fetch_add_explicit(&udp->refs, 1, memory_order_relaxed);
    return udp;
}

void gcore_udp_unref(gcore_udp *udp)
{
    gcore_hub *hub;

    if (!udp || atomic_fetch_sub_explicit(&udp->refs, 1,
                                          memory_order_acq_rel) != 1)
        return;
    hub = udp->hub;
    gcore_udp_close(udp); /* nothing is pending: no reference is taken */
    gcore__free(udp->datagrams);
    gcore__free(udp->messages);
    gcore__free(udp->pieces);
    gcore__free(udp->buffers);
    gcore__free(udp);
    gcore__hub_drop(hub);
}

int gcore_udp_close(gcore_udp *udp)
{
    if (udp->closed)
        return 0;
    udp->closed = true;
    gcore_watch_stop(udp->readable);
    if (udp->started) {
        udp->input.result = -ECANCELED;
        gcore__ready_add(udp->hub, &udp->input);
    }
    if (udp->waiting && !udp->room.listed) {
        gcore_watch_stop(udp->writable);
        tell_room(udp, -ECANCELED);
    }
    gcore_watch_unref(udp->readable);
    gcore_watch_unref(udp->writable);
    udp->readable = udp->writable = NULL;
    gcore_hub_forget_fd(udp->hub, udp->fd, -ECANCELED);
    gcore__socket_file_remove(&udp->file);
    close(udp->fd);
    udp->fd = -1;
    return 0;
}

/* Asking and telling the system */

int gcore_udp_connect(gcore_udp *udp, const gcore_address *address)
{
    static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    const void *bytes = &nobody;
    socklen_t length = sizeof nobody;

    if (!address)
        return -EINVAL;
    if (shut_down(udp))
        return -ESHUTDOWN;
    if (address->length) {
        if (gcore__address_family(address) < 0)
            return -EINVAL;
        bytes = address->bytes;
        length = (socklen_t)address->length;
    }
    return connect(udp->fd, bytes, length) < 0 ? -errno : 0;
}

int gcore_udp_fd(gcore_udp *udp)
{
    return udp->closed ? -ESHUTDOWN : udp->fd;
}

int gcore_udp_address(gcore_udp *udp, gcore_address *out)
{
    return udp->closed ? -ESHUTDOWN : gcore__socket_name(udp->fd, out);
}
