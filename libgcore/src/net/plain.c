/*
 * Bytes in and out of a socket as they are.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>

#include "net/stream.h"

/* To copy so many bytes costs less than to have the kernel read a list of
 * pieces. */
#define ROW 2048

static int64_t result_of(ssize_t count)
{
    if (count >= 0)
        return count;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static int64_t receive(gcore_stream *stream, void *buffer, size_t room)
{
    ssize_t count;

    do
        count = recv(stream->fd, buffer, room, 0);
    while (count < 0 && errno == EINTR);
    return result_of(count);
}

/* The pieces as one, if there is only one or few bytes; else an empty one. */
static struct iovec as_one(char row[ROW], const struct iovec *pieces,
                           int count)
{
    size_t size = 0;

    if (count == 1)
        return pieces[0];
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > ROW - size)
            return (struct iovec){0};
        if (pieces[i].iov_len)
            memcpy(row + size, pieces[i].iov_base, pieces[i].iov_len);
        size += pieces[i].iov_len;
    }
    return (struct iovec){row, size};
}

int64_t gcore__plain_send(int socket, const struct iovec *pieces, int count,
                          int flags)
{
    struct msghdr message = {
        .msg_iov = (struct iovec *)(uintptr_t)pieces,
        .msg_iovlen = (size_t)count,
    };
    char row[ROW];
    struct iovec one = as_one(row, pieces, count);
    ssize_t sent;

    flags |= MSG_NOSIGNAL;
    do
        sent = one.iov_len
                   ? send(socket, one.iov_base, one.iov_len, flags)
                   : sendmsg(socket, &message, flags);
    while (sent < 0 && errno == EINTR);
    return result_of(sent);
}

static int64_t send_pieces(gcore_stream *stream, const struct iovec *pieces,
                           int count)
{
    return gcore__plain_send(stream->fd, pieces, count, 0);
}

/* sendfile has no MSG_NOSIGNAL. The signal of a peer that is gone, raised
 * after a part was sent too, is this thread's alone: it is blocked, and taken
 * out again unless one was waiting before. */
int64_t gcore__plain_send_file(int socket, int fd, int64_t offset,
                               size_t length)
{
    static const struct timespec at_once;
    off_t from = offset;
    sigset_t pipe, before, waiting;
    int64_t result;
    ssize_t sent;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    sigpending(&waiting);
    do
        sent = sendfile(socket, fd, &from, length);
    while (sent < 0 && errno == EINTR);
    result = result_of(sent);
    if (sent != (ssize_t)length && !sigismember(&waiting, SIGPIPE))
        sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static int64_t send_file(gcore_stream *stream, int fd, int64_t offset,
                         size_t length)
{
    return gcore__plain_send_file(stream->fd, fd, offset, length);
}

static bool pending(gcore_stream *stream)
{
    (void)stream;
    return false;
}

static int shut(gcore_stream *stream)
{
    return shutdown(stream->fd, SHUT_WR) < 0 ? -errno : 0;
}

static void nothing(gcore_stream *stream)
{
    (void)stream;
}

const gcore__transport gcore__plain = {
    .receive = receive,
    .send = send_pieces,
    .send_file = send_file,
    .pending = pending,
    .shut = shut,
    .close = nothing,
    .release = nothing,
};
