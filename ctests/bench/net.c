/*
 * TCP servers: libgcore's streams, a bare libev loop that does what must be
 * done and nothing else, and libuv's streams. The clients are a process of
 * their own, whose time is not counted.
 */
#define EV_STANDALONE 1
#define EV_USE_MONOTONIC 1
#define EV_USE_CLOCK_SYSCALL 0
#define EV_USE_SELECT 0
#define EV_USE_POLL 0
#define EV_USE_EPOLL 1
#define EV_USE_EVENTFD 1
#define EV_USE_LINUXAIO 0
#define EV_USE_IOURING 0
#define EV_USE_TIMERFD 0
#include <ev.c>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include <gcore.h>

#include "measure.h"

enum { CONNECTIONS = 50, MESSAGE = 64 };

/* ---- clients ---------------------------------------------------------------
 * They are told how many exchanges to make, and end with the server. */

static int call_server(const struct sockaddr_in *address)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void send_message(int fd)
{
    static const char message[MESSAGE];

    CHECK(send(fd, message, MESSAGE, 0) == MESSAGE);
}

static void exchange_all(int poller, const int *fds, long count)
{
    long sent = 0, received = 0;

    while (sent < count && sent < CONNECTIONS)
        send_message(fds[sent++]);
    while (received < count) {
        struct epoll_event events[CONNECTIONS];
        int ready = epoll_wait(poller, events, CONNECTIONS, -1);

        for (int i = 0; i < ready; i++) {
            char buffer[MESSAGE];

            if (recv(events[i].data.fd, buffer, MESSAGE, 0) != MESSAGE)
                return; /* the server has had enough */
            received++;
            if (sent++ < count)
                send_message(events[i].data.fd);
        }
    }
}

static void keep_connections(int control, const struct sockaddr_in *address)
{
    int poller = epoll_create1(0);
    int fds[CONNECTIONS];
    long count;

    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN};

        fds[i] = event.data.fd = call_server(address);
        CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event) == 0);
    }
    while (read(control, &count, sizeof count) == sizeof count)
        exchange_all(poller, fds, count);
}

static void connect_each_time(int control, const struct sockaddr_in *address)
{
    char buffer[MESSAGE];
    long count;

    while (read(control, &count, sizeof count) == sizeof count)
        while (count-- > 0) {
            int fd = call_server(address);

            send_message(fd);
            CHECK(recv(fd, buffer, MESSAGE, 0) == MESSAGE);
            close(fd);
        }
}

typedef void client(int control, const struct sockaddr_in *address);

struct server {
    int control; /* to the clients */
    pid_t clients;
    int listening;
    struct sockaddr_in address;
    long left; /* messages yet to be answered */
    gcore_hub *hub;
    gcore_listener *listener;
    struct ev_loop *loop;
    ev_io accepting;
    uv_loop_t uv;
    uv_tcp_t uv_listening;
};

static void listen_here(struct server *it)
{
    int on = 1;
    socklen_t length = sizeof it->address;

    it->listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    it->address.sin_family = AF_INET;
    it->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(it->listening, (struct sockaddr *)&it->address, length) == 0);
    setsockopt(it->listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CHECK(listen(it->listening, 1024) == 0);
    CHECK(getsockname(it->listening, (struct sockaddr *)&it->address,
                      &length) == 0);
}

static struct server *open_server(client *body)
{
    struct server *it = calloc(1, sizeof *it);
    int ends[2];

    CHECK(it != NULL);
    listen_here(it);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    it->clients = fork();
    CHECK(it->clients >= 0);
    if (it->clients == 0) {
        close(ends[0]);
        body(ends[1], &it->address);
        _exit(0);
    }
    close(ends[1]);
    it->control = ends[0];
    return it;
}

static void close_server(struct server *it)
{
    close(it->control);
    waitpid(it->clients, NULL, 0);
    free(it);
}

static void ask_for(struct server *it, long count)
{
    it->left = count;
    CHECK(write(it->control, &count, sizeof count) == sizeof count);
}

/* ---- gcore ---------------------------------------------------------------- */

static struct server *ours;

static void our_echo(void *arg, void *data, int64_t result)
{
    gcore_stream *stream = arg;
    gcore_piece piece = {data, (size_t)result};

    if (result <= 0) {
        gcore_stream_unref(stream);
        return;
    }
    gcore_stream_write(stream, &piece, 1);
    if (--ours->left == 0)
        gcore_hub_stop(ours->hub);
}

static void our_accepted(void *arg, gcore_stream *stream, int64_t result)
{
    (void)arg;
    (void)result;
    if (stream)
        gcore_stream_start(stream, our_echo, stream);
}

static void *our_open(client *body)
{
    gcore_hub_options options = {.size = sizeof options, .backend = "epoll"};
    struct server *it = open_server(body);

    CHECK(gcore_hub_new(&options, &it->hub) == 0);
    CHECK(gcore_listener_adopt(it->hub, it->listening, NULL, &it->listener) ==
          0);
    CHECK(gcore_listener_start(it->listener, our_accepted, it) == 0);
    return it;
}

static void *our_open_kept(void)
{
    return our_open(keep_connections);
}

static void *our_open_each(void)
{
    return our_open(connect_each_time);
}

static void our_run(void *state, long count)
{
    ours = state;
    ask_for(ours, count);
    CHECK(gcore_hub_run(ours->hub) == -GCORE_ESTOPPED);
}

static void our_close(void *state)
{
    struct server *it = state;

    gcore_hub_close(it->hub);
    gcore_listener_unref(it->listener);
    gcore_hub_unref(it->hub);
    close_server(it);
}

/* ---- libev ---------------------------------------------------------------- */

static void ev_echo(struct ev_loop *loop, ev_io *io, int events)
{
    struct server *it = io->data;
    char buffer[64 * 1024];
    ssize_t count = recv(io->fd, buffer, sizeof buffer, 0);

    (void)events;
    if (count <= 0) {
        ev_io_stop(loop, io);
        close(io->fd);
        free(io);
        return;
    }
    CHECK(send(io->fd, buffer, (size_t)count, MSG_NOSIGNAL) == count);
    if (--it->left == 0)
        ev_break(loop, EVBREAK_ONE);
}

static void ev_accepted(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    for (;;) {
        int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        ev_io *connection;

        if (fd < 0)
            return;
        connection = malloc(sizeof *connection);
        CHECK(connection != NULL);
        ev_io_init(connection, ev_echo, fd, EV_READ);
        connection->data = io->data;
        ev_io_start(loop, connection);
    }
}

static void *bare_open(client *body)
{
    struct server *it = open_server(body);

    it->loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    CHECK(it->loop != NULL);
    ev_io_init(&it->accepting, ev_accepted, it->listening, EV_READ);
    it->accepting.data = it;
    ev_io_start(it->loop, &it->accepting);
    return it;
}

static void *bare_open_kept(void)
{
    return bare_open(keep_connections);
}

static void *bare_open_each(void)
{
    return bare_open(connect_each_time);
}

static void bare_run(void *state, long count)
{
    struct server *it = state;

    ask_for(it, count);
    ev_run(it->loop, 0);
}

/* Connections that are open are left to the clients' end. */
static void bare_close(void *state)
{
    struct server *it = state;

    close(it->control);
    ev_io_stop(it->loop, &it->accepting);
    ev_run(it->loop, 0);
    ev_loop_destroy(it->loop);
    close(it->listening);
    waitpid(it->clients, NULL, 0);
    free(it);
}

/* ---- libuv ---------------------------------------------------------------- */

static char uv_buffer[64 * 1024];

static void uv_allocate(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    (void)handle;
    (void)size;
    *out = uv_buf_init(uv_buffer, sizeof uv_buffer);
}

static void uv_freed(uv_handle_t *handle)
{
    free(handle);
}

static void uv_echo(uv_stream_t *stream, ssize_t count, const uv_buf_t *data)
{
    struct server *it = stream->data;
    uv_buf_t answer = uv_buf_init(data->base, (unsigned)count);

    if (count <= 0) {
        uv_close((uv_handle_t *)stream, uv_freed);
        return;
    }
    CHECK(uv_try_write(stream, &answer, 1) == count);
    if (--it->left == 0)
        uv_stop(stream->loop);
}

static void uv_accepted(uv_stream_t *listening, int status)
{
    uv_tcp_t *connection = malloc(sizeof *connection);

    CHECK(status == 0 && connection != NULL);
    uv_tcp_init(listening->loop, connection);
    connection->data = listening->data;
    CHECK(uv_accept(listening, (uv_stream_t *)connection) == 0);
    uv_tcp_nodelay(connection, 1);
    uv_read_start((uv_stream_t *)connection, uv_allocate, uv_echo);
}

static void *uv_open(client *body)
{
    struct server *it = open_server(body);

    CHECK(uv_loop_init(&it->uv) == 0);
    CHECK(uv_tcp_init(&it->uv, &it->uv_listening) == 0);
    it->uv_listening.data = it;
    CHECK(uv_tcp_open(&it->uv_listening, it->listening) == 0);
    CHECK(uv_listen((uv_stream_t *)&it->uv_listening, 1024, uv_accepted) == 0);
    return it;
}

static void *uv_open_kept(void)
{
    return uv_open(keep_connections);
}

static void *uv_open_each(void)
{
    return uv_open(connect_each_time);
}

static void uv_run_server(void *state, long count)
{
    struct server *it = state;

    ask_for(it, count);
    uv_run(&it->uv, UV_RUN_DEFAULT);
}

static void uv_close_server(void *state)
{
    struct server *it = state;

    close(it->control);
    uv_close((uv_handle_t *)&it->uv_listening, NULL);
    uv_run(&it->uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&it->uv) == 0);
    waitpid(it->clients, NULL, 0);
    free(it);
}

static struct row rows[] = {
    {"echo of 64 bytes, 50 connections",
     {{our_open_kept, our_run, our_close},
      {bare_open_kept, bare_run, bare_close},
      {uv_open_kept, uv_run_server, uv_close_server}},
     {{0}}},
    {"connection, echo of 64 bytes, close",
     {{our_open_each, our_run, our_close},
      {bare_open_each, bare_run, bare_close},
      {uv_open_each, uv_run_server, uv_close_server}},
     {{0}}},
};

int main(int argc, char **argv)
{
    char libev_version[16];
    struct engine engines[ENGINES] = {{"gcore", gcore_version()},
                                      {"libev", libev_version},
                                      {"libuv", uv_version_string()}};

    snprintf(libev_version, sizeof libev_version, "%d.%d", ev_version_major(),
             ev_version_minor());
    return measure_main(argc, argv, engines, rows,
                        sizeof rows / sizeof *rows);
}
