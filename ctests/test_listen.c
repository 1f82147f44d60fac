/* Listeners: accepting, limits, the lack of descriptors, ends. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 12000 };

/* What a listener has handed over. */
struct door {
    gcore_stream *streams[MOST];
    int count;
    int errors;
    int64_t error;
    int ends;
    int64_t end;
};

static void enter(void *arg, gcore_stream *stream, int64_t result)
{
    struct door *door = arg;

    if (stream) {
        assert_int_equal(result, 0);
        assert_true(door->count < MOST);
        door->streams[door->count++] = stream;
    } else if (result == -EMFILE || result == -ENOMEM) {
        door->errors++;
        door->error = result;
    } else {
        door->ends++;
        door->end = result;
    }
}

static void let_out(struct door *door)
{
    for (int i = 0; i < door->count; i++)
        gcore_stream_unref(door->streams[i]);
    door->count = 0;
}

static gcore_listener *listen_with(gcore_hub *hub,
                                   const gcore_listener_options *options,
                                   gcore_address *address)
{
    gcore_listener *listener;

    *address = local_address("127.0.0.1:0");
    assert_ok(gcore_listener_new(hub, address, options, &listener));
    assert_ok(gcore_listener_address(listener, address));
    return listener;
}

static int call_on(const gcore_address *address)
{
    int family = address->length == sizeof(struct sockaddr_in) ? AF_INET
                                                               : AF_UNIX;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const void *)address->bytes,
                             (socklen_t)address->length), 0);
    return fd;
}

static gcore_listener_stats stats_of(gcore_listener *listener)
{
    gcore_listener_stats stats = {.size = sizeof stats};

    assert_ok(gcore_listener_counters(listener, &stats));
    return stats;
}

static void arguments_are_checked_on(gcore_hub *hub)
{
    gcore_listener_options options = {.size = 5};
    gcore_stream_options stream = {.size = sizeof stream, .flags = 8};
    gcore_listener_stats stats = {.size = 3};
    gcore_address address = local_address("127.0.0.1:0");
    gcore_listener *listener = NULL, *other = NULL;
    told one = {0};
    int ends[2];

    assert_error(gcore_listener_new(hub, NULL, NULL, &listener), -EINVAL);
    assert_error(gcore_listener_new(hub, &address, &options, &listener),
                 -EINVAL);
    options = (gcore_listener_options){.size = sizeof options, .flags = 128};
    assert_error(gcore_listener_new(hub, &address, &options, &listener),
                 -EINVAL);
    options = (gcore_listener_options){.size = sizeof options, .rest = -1};
    assert_error(gcore_listener_new(hub, &address, &options, &listener),
                 -EINVAL);
    options = (gcore_listener_options){.size = sizeof options,
                                       .stream = &stream};
    assert_error(gcore_listener_new(hub, &address, &options, &listener),
                 -EINVAL);
    address.length = 0;
    assert_error(gcore_listener_new(hub, &address, NULL, &listener), -EINVAL);
    address = local_address("192.0.2.1:0"); /* nobody's */
    assert_error(gcore_listener_new(hub, &address, NULL, &listener),
                 -EADDRNOTAVAIL);
    assert_null(listener);
    listener = listen_with(hub, NULL, &address);
    assert_error(gcore_listener_new(hub, &address, NULL, &other),
                 -EADDRINUSE);
    assert_error(gcore_listener_start(listener, NULL, NULL), -EINVAL);
    assert_error(gcore_listener_accept(listener, GCORE_NOW, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_listener_drain(listener, GCORE_NOW, NULL, NULL),
                 -EINVAL);
    assert_error(gcore_listener_counters(listener, &stats), -EINVAL);

    assert_error(gcore_listener_adopt(hub, -1, NULL, &other), -EINVAL);
    tcp_pair(ends);
    assert_error(gcore_listener_adopt(hub, ends[0], NULL, &other), -EINVAL);
    close_pipe(ends);
    assert_error(gcore_listener_adopt(hub, ends[0], NULL, &other), -EBADF);
    assert_null(other);

    assert_ok(gcore_listener_close(listener));
    assert_ok(gcore_listener_close(listener));
    assert_error(gcore_listener_start(listener, enter, NULL), -ESHUTDOWN);
    assert_error(gcore_listener_accept(listener, GCORE_NOW, tell, &one),
                 -ESHUTDOWN);
    assert_error(gcore_listener_drain(listener, GCORE_NOW, tell, &one),
                 -ESHUTDOWN);
    assert_error(gcore_listener_fd(listener), -ESHUTDOWN);
    assert_error(gcore_listener_address(listener, &address), -ESHUTDOWN);
    assert_ok(gcore_listener_stop(listener));
    gcore_listener_unref(listener);
    gcore_listener_unref(NULL);
}
ON_EACH_BACKEND(arguments_are_checked)

/* What is stopped is not told, not even that it was closed. */
static void stopping_what_is_closed_on(gcore_hub *hub)
{
    static struct door door;
    told accept = {0};
    gcore_address address;
    gcore_listener *started = listen_with(hub, NULL, &address);
    gcore_listener *accepting = listen_with(hub, NULL, &address);

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(started, enter, &door));
    assert_ok(gcore_listener_accept(accepting, GCORE_FOREVER, tell, &accept));
    gcore_listener_close(started);
    gcore_listener_close(accepting);
    assert_ok(gcore_listener_stop(started));
    assert_ok(gcore_listener_stop(accepting));
    gcore_listener_unref(started);
    gcore_listener_unref(accepting);
    net_settle(hub);
    assert_int_equal(door.ends, 0);
    assert_int_equal(accept.count, 0);
}
ON_EACH_BACKEND(stopping_what_is_closed)

static void connections_are_handed_over_on(gcore_hub *hub)
{
    enum { MANY = 30 };
    gcore_listener_options options = {.size = sizeof options, .batch = 4};
    static struct door door;
    gcore_address address, found;
    gcore_listener *listener = listen_with(hub, &options, &address);
    int fds[MANY];

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    assert_error(gcore_listener_start(listener, enter, &door), -EALREADY);
    for (int i = 0; i < MANY; i++)
        fds[i] = call_on(&address);
    UNTIL(hub, door.count == MANY);
    assert_int_equal(stats_of(listener).accepted, MANY);
    assert_int_equal(stats_of(listener).connections, MANY);
    assert_ok(gcore_stream_peer(door.streams[0], &found));
    assert_int_equal(WRITE_TEXT(door.streams[0], "hello"), 0);
    fd_expect(hub, fds[0], "hello", 5);
    /* Stopped, it leaves them in the kernel. */
    assert_ok(gcore_listener_stop(listener));
    close(fds[0]);
    fds[0] = call_on(&address);
    net_settle(hub);
    assert_int_equal(door.count, MANY);
    assert_ok(gcore_listener_start(listener, enter, &door));
    UNTIL(hub, door.count == MANY + 1);
    let_out(&door);
    assert_int_equal(stats_of(listener).connections, 0);
    assert_int_equal(stats_of(listener).peak, MANY + 1);
    assert_ok(gcore_listener_close(listener));
    UNTIL(hub, door.ends);
    assert_int_equal(door.ends, 1);
    assert_int_equal(door.end, -ECANCELED);
    gcore_listener_unref(listener);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}
ON_EACH_BACKEND(connections_are_handed_over)

static void one_accept_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    gcore_completion out;
    told one = {0};
    int fd;

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_accept(listener, after(MS), tell, &one));
    assert_error(gcore_listener_accept(listener, GCORE_NOW, tell, &one),
                 -EALREADY);
    assert_error(gcore_listener_start(listener, enter, NULL), -EALREADY);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, -ETIMEDOUT);
    fd = call_on(&address);
    assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, GCORE_COMPLETE,
                                    &out));
    poll_for(hub, &out, 1);
    assert_true(out.result >= 0);
    fd_send(NULL, fd, "hi", 2);
    fd_expect(NULL, (int)out.result, "hi", 2);
    assert_true(fcntl((int)out.result, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl((int)out.result, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(stats_of(listener).connections, 0);
    close((int)out.result);
    close(fd);
    assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, tell, &one));
    gcore_listener_unref(listener);
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, -ECANCELED);
}
ON_EACH_BACKEND(one_accept)

/* The run that found the connection had nobody to hand it to. */
static void an_accept_nobody_polls_for(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    int fd = call_on(&address);

    (void)state;
    assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, GCORE_COMPLETE,
                                    NULL));
    assert_ok(gcore_hub_run(hub));
    assert_int_equal(stats_of(listener).accepted, 1);
    gcore_listener_unref(listener);
    gcore_hub_unref(hub);
    close(fd);
}

struct stopper {
    gcore_listener *listener;
    bool stopped;
};

/* The accept's entry is left over, for the array given to poll has room for
 * one and another entry comes first; then it is stopped. */
static void accept_and_stop(gcore_hub *hub, gcore_listener *listener)
{
    uint64_t accepted = stats_of(listener).accepted;
    gcore_completion out;
    int ends[2];
    gcore_watch *first;

    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &first));
    assert_ok(gcore_watch_set_priority(first, 1));
    assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, GCORE_COMPLETE,
                                    listener));
    assert_ok(gcore_watch_start(first, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                first));
    while (stats_of(listener).accepted == accepted) {
        assert_int_equal(hub_poll_again(hub, &out, 1, after(PATIENCE)), 1);
        assert_ptr_equal(out.arg, first);
    }
    assert_ok(gcore_listener_stop(listener));
    gcore_watch_stop(first);
    gcore_watch_unref(first);
    gcore_hub_forget_fd(hub, ends[0], -EBADF);
    close_pipe(ends);
}

/* What was accepted for an accept that is stopped before it was told is
 * there for the next one. */
static void a_stopped_accept_loses_nothing_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    told one = {0};
    int fd = call_on(&address);

    memset(&door, 0, sizeof door);
    fd_send(NULL, fd, "me", 2);
    accept_and_stop(hub, listener);
    assert_ok(gcore_listener_accept(listener, GCORE_FOREVER, tell, &one));
    UNTIL(hub, one.count);
    assert_true(one.result >= 0);
    fd_expect(NULL, (int)one.result, "me", 2);
    close((int)one.result);
    close(fd);

    fd = call_on(&address);
    accept_and_stop(hub, listener);
    assert_ok(gcore_listener_start(listener, enter, &door));
    UNTIL(hub, door.count == 1);
    let_out(&door);
    close(fd);
    gcore_listener_stop(listener);

    /* Closed, it is not leaked. */
    fd = call_on(&address);
    accept_and_stop(hub, listener);
    gcore_listener_unref(listener);
    assert_int_equal(fd_end(hub, fd), 0);
    close(fd);
}
ON_EACH_BACKEND(a_stopped_accept_loses_nothing)

static void the_limit_holds_on(gcore_hub *hub)
{
    enum { MANY = 9, LIMIT = 3 };
    gcore_listener_options options = {.size = sizeof options,
                                      .connections = LIMIT};
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, &options, &address);
    int fds[MANY];

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    for (int i = 0; i < MANY; i++)
        fds[i] = call_on(&address);
    for (int round = 1; round <= MANY / LIMIT; round++) {
        UNTIL(hub, door.count == LIMIT);
        net_settle(hub);
        assert_int_equal(door.count, LIMIT);
        let_out(&door);
    }
    assert_int_equal(stats_of(listener).accepted, MANY);
    assert_int_equal(stats_of(listener).peak, LIMIT);
    assert_true(stats_of(listener).limited >= 2);
    gcore_listener_unref(listener);
    UNTIL(hub, door.ends);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}
ON_EACH_BACKEND(the_limit_holds)

/* The limit is reached when the hub is closed: still told. */
static void closing_the_hub_at_the_limit(void **state)
{
    gcore_listener_options options = {.size = sizeof options,
                                      .connections = 1};
    static struct door door;
    gcore_hub *hub = hub_new();
    gcore_address address;
    gcore_listener *listener = listen_with(hub, &options, &address);
    int fds[2];

    (void)state;
    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    fds[0] = call_on(&address);
    fds[1] = call_on(&address);
    UNTIL(hub, door.count == 1 && stats_of(listener).limited);
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(door.ends, 1);
    assert_int_equal(door.end, -ECANCELED);
    assert_error(gcore_listener_start(listener, enter, &door), -ESHUTDOWN);
    let_out(&door);
    gcore_listener_unref(listener);
    gcore_hub_unref(hub);
    close(fds[0]);
    close(fds[1]);
}

/* The lack of descriptors */

static struct rlimit limit_descriptors(rlim_t most)
{
    struct rlimit before, now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void out_of_descriptors_on(gcore_hub *hub)
{
    enum { MANY = 6 };
    /* Valgrind plays the limit itself, and closes what it accepts above it. */
    bool played = support_under_valgrind();
    gcore_listener_options options = {.size = sizeof options,
                                      .rest = 2 * MS};
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, &options, &address);
    struct rlimit before;
    int fds[MANY], last, turned_away = 0;

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    net_settle(hub);
    if (played) {
        gcore_listener_stop(listener);
        gcore_listener_unref(listener);
        return;
    }
    for (int i = 0; i < MANY; i++)
        fds[i] = call_on(&address);
    /* Room for two more. */
    last = fcntl(0, F_DUPFD, 0);
    close(last);
    before = limit_descriptors((rlim_t)last + 2);
    UNTIL(hub, door.errors > 0);
    assert_int_equal(door.error, -EMFILE);
    assert_true(door.count < MANY);
    UNTIL(hub, stats_of(listener).dropped + (uint64_t)door.count == MANY);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    /* The peers that were let go know it. */
    for (int i = 0; i < MANY; i++) {
        char byte;

        if (recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0)
            turned_away++;
        close(fds[i]);
    }
    assert_int_equal(turned_away + door.count, MANY);
    /* It goes on by itself. */
    fds[0] = call_on(&address);
    last = door.count;
    UNTIL(hub, door.count > last);
    close(fds[0]);
    let_out(&door);
    gcore_listener_unref(listener);
    UNTIL(hub, door.ends);
}
ON_EACH_BACKEND(out_of_descriptors)

/* As many connections as the limit allows, up to ten thousand. */
static void ten_thousand_connections(void **state)
{
    static struct door door;
    static int fds[10000];
    struct rlimit before, now;
    gcore_hub *hub = hub_new_backend("epoll");
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    static heard heards[10000];
    int many = support_times(10000) > 1000 ? 10000 : 1000;

    (void)state;
    memset(&door, 0, sizeof door);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &now);
    getrlimit(RLIMIT_NOFILE, &now);
    if (now.rlim_cur < 2 * (rlim_t)many + 100)
        many = ((int)now.rlim_cur - 100) / 2;
    print_message("%d connections\n", many);
    assert_ok(gcore_listener_start(listener, enter, &door));
    for (int i = 0; i < many; i++) {
        fds[i] = call_on(&address);
        if (i % 256 == 255)
            UNTIL(hub, door.count == i + 1);
    }
    UNTIL(hub, door.count == many);
    for (int i = 0; i < many; i++)
        assert_ok(gcore_stream_start(door.streams[i], hear, &heards[i]));
    net_settle(hub);
    for (int i = 0; i < many; i++)
        fd_send(NULL, fds[i], "x", 1);
    for (int i = 0; i < many; i++)
        UNTIL(hub, heards[i].length == 1);
    for (int i = 0; i < many; i++) {
        gcore_stream_stop(door.streams[i]);
        heard_free(&heards[i]);
        close(fds[i]);
    }
    let_out(&door);
    gcore_listener_stop(listener);
    gcore_listener_unref(listener);
    hub_end(hub);
    setrlimit(RLIMIT_NOFILE, &before);
}

/* Draining */

static void drain_waits_for_the_streams_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    told one = {0};
    int fds[3], fd;

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    for (int i = 0; i < 3; i++)
        fds[i] = call_on(&address);
    UNTIL(hub, door.count == 3);
    assert_ok(gcore_listener_drain(listener, GCORE_FOREVER, tell, &one));
    assert_error(gcore_listener_drain(listener, GCORE_FOREVER, tell, &one),
                 -EALREADY);
    UNTIL(hub, door.ends);
    assert_int_equal(door.end, -ECANCELED);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const void *)address.bytes,
                             (socklen_t)address.length), -1);
    close(fd);
    assert_int_equal(WRITE_TEXT(door.streams[0], "still"), 0);
    fd_expect(hub, fds[0], "still", 5);
    gcore_stream_close(door.streams[0]);
    assert_ok(gcore_stream_finish(door.streams[1], after(PATIENCE)));
    {
        int detached;
        char none[1];

        assert_int_equal(gcore_stream_detach(door.streams[2], &detached, none,
                                             0), 0);
        close(detached);
    }
    net_settle(hub);
    assert_int_equal(one.count, 0);
    close(fds[1]);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 0);
    let_out(&door);
    gcore_listener_unref(listener);
    close(fds[0]);
    close(fds[2]);
}
ON_EACH_BACKEND(drain_waits_for_the_streams)

static void drain_closes_at_the_deadline_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    heard it = {0};
    told one = {0}, two = {0};
    int fds[3];

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    for (int i = 0; i < 3; i++)
        fds[i] = call_on(&address);
    UNTIL(hub, door.count == 3);
    assert_ok(gcore_stream_start(door.streams[1], hear, &it));
    gcore_stream_close(door.streams[0]);
    assert_ok(gcore_listener_drain(listener, after(MS), tell, &one));
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 2);
    UNTIL(hub, it.ends);
    assert_int_equal(it.end, -ECANCELED);
    assert_int_equal(fd_end(hub, fds[2]), 0);
    let_out(&door);
    gcore_listener_unref(listener);
    for (int i = 0; i < 3; i++)
        close(fds[i]);

    /* With nothing to wait for; and closed meanwhile. */
    listener = listen_with(hub, NULL, &address);
    assert_ok(gcore_listener_drain(listener, GCORE_FOREVER, tell, &one));
    gcore_listener_unref(listener);
    UNTIL(hub, one.count == 2);
    assert_int_equal(one.result, 0);
    listener = listen_with(hub, NULL, &address);
    door.ends = 0;
    assert_ok(gcore_listener_start(listener, enter, &door));
    fds[0] = call_on(&address);
    UNTIL(hub, door.count == 1);
    assert_ok(gcore_listener_drain(listener, GCORE_FOREVER, tell, &two));
    gcore_listener_unref(listener);
    UNTIL(hub, two.count && door.ends);
    assert_int_equal(two.result, -ECANCELED);
    let_out(&door);
    net_settle(hub);
    assert_int_equal(two.count, 1);
    close(fds[0]);
}
ON_EACH_BACKEND(drain_closes_at_the_deadline)

static void closing_the_hub_while_draining(void **state)
{
    static struct door door;
    gcore_hub *hub = hub_new();
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);
    told one = {0};
    int fd;

    (void)state;
    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    fd = call_on(&address);
    UNTIL(hub, door.count == 1);
    assert_ok(gcore_listener_drain(listener, GCORE_FOREVER, tell, &one));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    assert_int_equal(door.ends, 1);
    let_out(&door);
    gcore_listener_unref(listener);
    gcore_hub_unref(hub);
    close(fd);
}

/* Closing from inside */

static void close_listener(void *arg, gcore_stream *stream, int64_t result)
{
    struct stopper *it = arg;

    if (!stream) {
        assert_int_equal(result, -ECANCELED);
        it->stopped = true;
        return;
    }
    gcore_stream_unref(stream);
    gcore_listener_unref(it->listener);
    it->listener = NULL;
}

static void closing_inside_a_callback_on(gcore_hub *hub)
{
    gcore_address address;
    struct stopper it = {listen_with(hub, NULL, &address), false};
    int fds[3];

    assert_ok(gcore_listener_start(it.listener, close_listener, &it));
    for (int i = 0; i < 3; i++)
        fds[i] = call_on(&address);
    UNTIL(hub, it.stopped);
    assert_null(it.listener);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}
ON_EACH_BACKEND(closing_inside_a_callback)

/* Unix sockets, inherited ones */

static void unix_sockets_on(gcore_hub *hub)
{
    gcore_listener_options options = {.size = sizeof options, .mode = 0600};
    static struct door door;
    gcore_listener *listener, *other = NULL;
    gcore_address address;
    char folder[] = "/tmp/gcore-XXXXXX", text[64], *path = text + 5;
    struct stat about;
    int fd;

    memset(&door, 0, sizeof door);
    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, "unix:%s/s", folder);
    address = local_address(text);
    assert_ok(gcore_listener_new(hub, &address, &options, &listener));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_ok(gcore_listener_start(listener, enter, &door));
    fd = call_on(&address);
    UNTIL(hub, door.count == 1);
    let_out(&door);
    close(fd);
    /* Somebody listens: it is not taken. */
    options.flags = GCORE_LISTEN_REPLACE;
    assert_error(gcore_listener_new(hub, &address, &options, &other),
                 -EADDRINUSE);
    gcore_listener_unref(listener);
    UNTIL(hub, door.ends);
    assert_int_equal(stat(path, &about), -1);
    /* Left over by one that has died. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const void *)address.bytes,
                          (socklen_t)address.length), 0);
    close(fd);
    options.flags = 0;
    assert_error(gcore_listener_new(hub, &address, &options, &other),
                 -EADDRINUSE);
    options.flags = GCORE_LISTEN_REPLACE;
    assert_ok(gcore_listener_new(hub, &address, &options, &other));
    /* One that has been replaced by another's file leaves that alone. */
    assert_int_equal(unlink(path), 0);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    gcore_listener_unref(other);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}
ON_EACH_BACKEND(unix_sockets)

static void close_inherited(void *arg)
{
    gcore_listener_close(arg);
}

static void a_child_leaves_the_file_alone(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_listener *listener;
    gcore_address address;
    char folder[] = "/tmp/gcore-XXXXXX", text[64];
    struct stat about;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(text, sizeof text, "unix:%s/s", folder);
    address = local_address(text);
    assert_ok(gcore_listener_new(hub, &address, NULL, &listener));
    in_child(close_inherited, listener);
    assert_int_equal(stat(text + 5, &about), 0);
    close(call_on(&address));
    gcore_listener_unref(listener);
    hub_end(hub);
    assert_int_equal(rmdir(folder), 0);
}

static void adopted_sockets_on(gcore_hub *hub)
{
    static struct door door;
    gcore_listener *listener;
    gcore_address address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), caller;

    memset(&door, 0, sizeof door);
    address = local_address("127.0.0.1:0");
    assert_int_equal(bind(fd, (const void *)address.bytes,
                          (socklen_t)address.length), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_ok(gcore_listener_adopt(hub, fd, NULL, &listener));
    assert_ok(gcore_listener_address(listener, &address));
    assert_ok(gcore_listener_start(listener, enter, &door));
    caller = call_on(&address);
    UNTIL(hub, door.count == 1);
    let_out(&door);
    close(caller);
    gcore_listener_unref(listener);
    UNTIL(hub, door.ends);
}
ON_EACH_BACKEND(adopted_sockets)

static void look_for_sockets(void *arg)
{
    char pid[32];
    int fds[2];

    (void)arg;
    for (int fd = 3; fd < 200; fd++)
        close(fd);
    CHILD_CHECK(gcore_inherited_sockets(NULL) == 0);
    CHILD_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    CHILD_CHECK(fds[0] == 3 && fds[1] == 4);
    setenv("LISTEN_FDS", "2", 1);
    setenv("LISTEN_PID", "1", 1);
    CHILD_CHECK(gcore_inherited_sockets(NULL) == 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    CHILD_CHECK(gcore_inherited_sockets(NULL) == 2);
    CHILD_CHECK(fcntl(3, F_GETFD) & FD_CLOEXEC);
    CHILD_CHECK(gcore_inherited_sockets("http") == -ENOENT);
    setenv("LISTEN_FDNAMES", "https:http", 1);
    CHILD_CHECK(gcore_inherited_sockets("http") == 4);
    CHILD_CHECK(gcore_inherited_sockets("https") == 3);
    CHILD_CHECK(gcore_inherited_sockets("htt") == -ENOENT);
    setenv("LISTEN_FDS", "5", 1); /* more than there are */
    CHILD_CHECK(gcore_inherited_sockets(NULL) == 2);
    setenv("LISTEN_FDS", "x", 1);
    CHILD_CHECK(gcore_inherited_sockets(NULL) == 0);
}

static void inherited_sockets(void **state)
{
    (void)state;
    in_child(look_for_sockets, NULL);
}

static void a_shared_port_on(gcore_hub *hub)
{
    gcore_listener_options options = {.size = sizeof options,
                                      .flags = GCORE_LISTEN_REUSEPORT};
    static struct door doors[2];
    gcore_listener *listeners[2];
    gcore_address address;
    int fds[20];

    memset(doors, 0, sizeof doors);
    listeners[0] = listen_with(hub, &options, &address);
    assert_ok(gcore_listener_new(hub, &address, &options, &listeners[1]));
    for (int i = 0; i < 2; i++)
        assert_ok(gcore_listener_start(listeners[i], enter, &doors[i]));
    for (int i = 0; i < 20; i++)
        fds[i] = call_on(&address);
    UNTIL(hub, doors[0].count + doors[1].count == 20);
    for (int i = 0; i < 2; i++) {
        let_out(&doors[i]);
        gcore_listener_unref(listeners[i]);
        UNTIL(hub, doors[i].ends);
    }
    for (int i = 0; i < 20; i++)
        close(fds[i]);
}
ON_EACH_BACKEND(a_shared_port)

static void every_address_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address = local_address(":0"), v4;
    gcore_listener *listener;
    char text[GCORE_ADDRESS_TEXT];
    int fd;

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_new(hub, &address, NULL, &listener));
    assert_ok(gcore_listener_address(listener, &address));
    snprintf(text, sizeof text, "127.0.0.1:%d", gcore_address_port(&address));
    v4 = local_address(text);
    assert_ok(gcore_listener_start(listener, enter, &door));
    fd = call_on(&v4);
    UNTIL(hub, door.count == 1);
    let_out(&door);
    close(fd);
    gcore_listener_stop(listener);
    gcore_listener_unref(listener);
}
ON_EACH_BACKEND(every_address)

static void accept_in_the_child(void *arg)
{
    static struct door door;
    gcore_listener *listener = arg;
    gcore_address address;

    CHILD_CHECK(gcore_listener_address(listener, &address) == 0);
    CHILD_CHECK(gcore_listener_stop(listener) == 0);
    CHILD_CHECK(gcore_listener_start(listener, enter, &door) == 0);
    close(call_on(&address));
    while (door.count == 0)
        net_turn(gcore_hub_current());
    let_out(&door);
    gcore_listener_stop(listener);
}

static void a_forked_child_accepts_on(gcore_hub *hub)
{
    static struct door door;
    gcore_address address;
    gcore_listener *listener = listen_with(hub, NULL, &address);

    memset(&door, 0, sizeof door);
    assert_ok(gcore_listener_start(listener, enter, &door));
    net_settle(hub);
    in_child(accept_in_the_child, listener);
    close(call_on(&address));
    UNTIL(hub, door.count == 1);
    let_out(&door);
    gcore_listener_stop(listener);
    gcore_listener_unref(listener);
}
ON_EACH_BACKEND(a_forked_child_accepts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(stopping_what_is_closed),
        TEST(connections_are_handed_over),
        TEST(one_accept),
        TEST(an_accept_nobody_polls_for),
        TEST(a_stopped_accept_loses_nothing),
        TEST(the_limit_holds),
        TEST(closing_the_hub_at_the_limit),
        TEST(out_of_descriptors),
        TEST(ten_thousand_connections),
        TEST(drain_waits_for_the_streams),
        TEST(drain_closes_at_the_deadline),
        TEST(closing_the_hub_while_draining),
        TEST(closing_inside_a_callback),
        TEST(unix_sockets),
        TEST(a_child_leaves_the_file_alone),
        TEST(adopted_sockets),
        TEST(inherited_sockets),
        TEST(a_shared_port),
        TEST(every_address),
        TEST(a_forked_child_accepts),
    };

    return RUN(tests);
}
