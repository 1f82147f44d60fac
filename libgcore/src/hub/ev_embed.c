/*
 * libev, compiled in from its unchanged sources, and the poller on top.
 *
 * libev is asked for one thing only: which descriptors are ready. It has no
 * timers, signals, children or wake-ups here, so it is given a clock that
 * stands still, and a turn of it costs two epoll calls at most.
 *
 * What it would abort the process for is taken care of beforehand:
 *  - It aborts when it cannot allocate. Its arrays are grown here, where
 *    failure is an error (gcore__poller_reserve), before it needs them; the
 *    two blocks that a new loop asks for are allocated ahead (stash).
 *  - It aborts when epoll_create fails in epoll_fork. The descriptor is made
 *    ahead of that (spare), or the old one stays in use (doomed).
 *  - Its assertions on bad descriptors are compiled out by NDEBUG; it then
 *    gives up on the descriptor, which is reported as an error event.
 *
 * The system calls it waits by are replaced: the timeout is the poller's, in
 * nanoseconds where the kernel can, and the poller learns of errors.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef NDEBUG
#define NDEBUG 1
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hub/hub.h"
#include "util/own_fd.h"

static int poller_epoll_create(int flags);
static int poller_epoll_ctl(struct ev_loop *loop, int epfd, int op, int fd,
                            struct epoll_event *event);
static int poller_epoll_wait(struct ev_loop *loop, int epfd,
                             struct epoll_event *events, int room);
static int poller_poll(struct ev_loop *loop, struct pollfd *fds, nfds_t count);
static int poller_select(struct ev_loop *loop, int count, fd_set *readable,
                         fd_set *writable);
static int poller_close_fd(int fd);

static int stopped_clock(struct timespec *out)
{
    *out = (struct timespec){0, 0};
    return 0;
}

#define EV_STANDALONE 1
#define EV_API_STATIC 1
#define EV_MULTIPLICITY 1
#define EV_FEATURES (1 | 2 | 8)
#define EV_NO_THREADS 1
#define EV_VERIFY 0
#define EV_MINPRI 0
#define EV_MAXPRI 0
#define EV_PERIODIC_ENABLE 0
#define EV_STAT_ENABLE 0
#define EV_PREPARE_ENABLE 0
#define EV_CHECK_ENABLE 0
#define EV_IDLE_ENABLE 0
#define EV_FORK_ENABLE 0
#define EV_CLEANUP_ENABLE 0
#define EV_SIGNAL_ENABLE 0
#define EV_CHILD_ENABLE 0
#define EV_ASYNC_ENABLE 0
#define EV_EMBED_ENABLE 0
#define EV_USE_SELECT 1
#define EV_USE_POLL 1
#define EV_USE_EPOLL 1
#define EV_USE_LINUXAIO 0
#define EV_USE_IOURING 0
#define EV_USE_PORT 0
#define EV_USE_INOTIFY 0
#define EV_USE_EVENTFD 0
#define EV_USE_SIGNALFD 0
#define EV_USE_TIMERFD 0
#define EV_USE_FLOOR 0
#define EV_USE_REALTIME 0
#define EV_USE_MONOTONIC 1
#define EV_USE_CLOCK_SYSCALL 0
#define EV_USE_NANOSLEEP 1

#define clock_gettime(id, out) stopped_clock(out)
#define epoll_create1(flags) poller_epoll_create(flags)
#define epoll_ctl(epfd, op, fd, event) \
    poller_epoll_ctl(loop, epfd, op, fd, event)
#define epoll_wait(epfd, events, room, ms) \
    ((void)(ms), poller_epoll_wait(loop, epfd, events, room))
#define poll(fds, count, ms) ((void)(ms), poller_poll(loop, fds, count))
#define select(count, readable, writable, failed, tv) \
    poller_select(loop, count, readable, writable)
#define close(fd) poller_close_fd(fd)

#include "ev.c"

#undef clock_gettime
#undef epoll_create1
#undef epoll_ctl
#undef epoll_wait
#undef poll
#undef select
#undef close

_Static_assert(sizeof(ev_io) <= sizeof(((gcore__fd *)0)->io),
               "room for libev's watcher");

#define SECOND INT64_C(1000000000)
#define MILLISECOND INT64_C(1000000)
#define FIRST_EVENTS 64 /* libev's own choice */
#define MOST_EVENTS 8192

/* The poller whose loop is being made or made anew by this thread: libev
 * passes no loop to what happens then. */
static _Thread_local gcore__poller *making;

static gcore__poller *poller_of(struct ev_loop *loop)
{
    return loop->userdata;
}

static ev_io *io_of(gcore__fd *fd)
{
    return (ev_io *)(void *)fd->io;
}

/* Memory */

/* libev's allocator: what it asks for is there already, or it frees. */
static void *give(void *block, long bytes)
{
    if (bytes == 0) {
        gcore__free(block);
        return NULL;
    }
    if (!block && making) {
        for (int i = 0; i < 2; i++) {
            block = making->stash[i];
            making->stash[i] = NULL;
            if (block)
                return block;
        }
    }
    return gcore__resize(block, (size_t)bytes);
}

static int fill_stash(gcore__poller *poller)
{
    poller->stash[0] = gcore__alloc(sizeof(struct ev_loop));
    poller->stash[1] = gcore__alloc(FIRST_EVENTS * sizeof(struct epoll_event));
    return poller->stash[0] && poller->stash[1] ? 0 : -ENOMEM;
}

static void empty_stash(gcore__poller *poller)
{
    for (int i = 0; i < 2; i++) {
        gcore__free(poller->stash[i]);
        poller->stash[i] = NULL;
    }
}

/* Grows one of libev's arrays to hold `count`; the new part is set to
 * `fill` bytes. */
static int grow(void *array, int *room, size_t bytes, int count, int fill)
{
    void *grown;
    int more;

    if (count <= *room)
        return 0;
    more = array_nextsize((int)bytes, *room, count);
    memcpy(&grown, array, sizeof grown);
    grown = gcore__resize(grown, (size_t)more * bytes);
    if (!grown)
        return -ENOMEM;
    memset((char *)grown + (size_t)*room * bytes, fill,
           (size_t)(more - *room) * bytes);
    memcpy(array, &grown, sizeof grown);
    *room = more;
    return 0;
}

/* One event a descriptor, so that one turn finds all that is ready, up to
 * a bound; and one more, for libev allocates when it sees the array full. */
static int grow_events(struct ev_loop *loop, int count)
{
    int room = loop->epoll_eventmax;
    struct epoll_event *events;

    if (count < room || room >= MOST_EVENTS)
        return 0;
    while (room <= count && room < MOST_EVENTS)
        room *= 2;
    events = gcore__alloc((size_t)room * sizeof *events);
    if (!events)
        return -ENOMEM;
    gcore__free(loop->epoll_events);
    loop->epoll_events = events;
    loop->epoll_eventmax = room;
    return 0;
}

static int reserve_epoll(struct ev_loop *loop, int count)
{
    int error = grow_events(loop, count);

    if (error < 0)
        return error;
    return grow(&loop->epoll_eperms, &loop->epoll_epermmax, sizeof(int), count,
                0);
}

static int reserve_poll(struct ev_loop *loop, int number, int count)
{
    int error = grow(&loop->pollidxs, &loop->pollidxmax, sizeof(int),
                     number + 1, 0xff);

    if (error == 0)
        error = grow(&loop->polls, &loop->pollmax, sizeof(struct pollfd),
                     count, 0);
    return error;
}

static int reserve_select(struct ev_loop *loop, int number)
{
    int words = (int)((size_t)number / (8 * sizeof(fd_mask))) + 1;
    void **sets[] = {&loop->vec_ri, &loop->vec_ro, &loop->vec_wi,
                     &loop->vec_wo};

    if (number >= FD_SETSIZE)
        return -ENOTSUP;
    if (words <= loop->vec_max)
        return 0;
    for (int i = 0; i < 4; i++) {
        int room = loop->vec_max;
        int error =
            grow(sets[i], &room, sizeof(fd_mask), words, 0);

        if (error < 0)
            return error;
    }
    loop->vec_max = words;
    return 0;
}

int gcore__poller_reserve(gcore__poller *poller, int number, int count)
{
    struct ev_loop *loop = poller->loop;
    int error = grow(&loop->anfds, &loop->anfdmax, sizeof *loop->anfds,
                     number + 1, 0);

    if (error == 0)
        error = grow(&loop->fdchanges, &loop->fdchangemax, sizeof(int), count,
                     0);
    /* One that is ready and then found bad takes two places. */
    if (error == 0)
        error = grow(&loop->pendings[0], &loop->pendingmax[0],
                     sizeof *loop->pendings[0], 2 * count, 0);
    if (error < 0)
        return error;
    switch (loop->backend) {
    case EVBACKEND_EPOLL:
        return reserve_epoll(loop, count);
    case EVBACKEND_POLL:
        return reserve_poll(loop, number, count);
    default:
        return reserve_select(loop, number);
    }
}

/* Waiting */

static int in_milliseconds(int64_t timeout)
{
    if (timeout < 0)
        return -1;
    if (timeout > (INT_MAX - 1) * MILLISECOND)
        return INT_MAX - 1;
    return (int)((timeout + MILLISECOND - 1) / MILLISECOND);
}

static struct timespec *in_timespec(int64_t timeout, struct timespec *out)
{
    if (timeout < 0)
        return NULL;
    out->tv_sec = (time_t)(timeout / SECOND);
    out->tv_nsec = (long)(timeout % SECOND);
    return out;
}

#ifdef SYS_epoll_pwait2
/* Set once the kernel, or what filters its calls, has said that it does not
 * have the call. */
static atomic_bool no_pwait2;

static int wait_precisely(int epfd, struct epoll_event *events, int room,
                          int64_t timeout)
{
    struct timespec ts;
    long count;

    if (atomic_load_explicit(&no_pwait2, memory_order_relaxed))
        return -2;
    count = syscall(SYS_epoll_pwait2, epfd, events, room,
                    in_timespec(timeout, &ts), NULL, (size_t)0);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
        return (int)count;
    atomic_store_explicit(&no_pwait2, true, memory_order_relaxed);
    return -2;
}
#endif

static int poller_epoll_wait(struct ev_loop *loop, int epfd,
                             struct epoll_event *events, int room)
{
    gcore__poller *poller = poller_of(loop);
    int64_t timeout = loop->epoll_epermcnt ? 0 : poller->timeout;
    int count = -2;

    room--; /* see grow_events */
#ifdef SYS_epoll_pwait2
    if (timeout > 0)
        count = wait_precisely(epfd, events, room, timeout);
#endif
    if (count == -2)
        count = epoll_wait(epfd, events, room, in_milliseconds(timeout));
    if (count >= 0)
        return count;
    poller->error = -errno;
    return errno == EINTR ? -1 : 0;
}

static int poller_poll(struct ev_loop *loop, struct pollfd *fds, nfds_t count)
{
    gcore__poller *poller = poller_of(loop);
    struct timespec ts;
    int ready =
        ppoll(fds, count, in_timespec(poller->timeout, &ts), NULL);

    if (ready >= 0)
        return ready;
    poller->error = -errno;
    return errno == EINTR ? -1 : 0;
}

static int poller_select(struct ev_loop *loop, int count, fd_set *readable,
                         fd_set *writable)
{
    gcore__poller *poller = poller_of(loop);
    struct timespec ts;
    int ready = pselect(count, readable, writable, NULL,
                        in_timespec(poller->timeout, &ts), NULL);

    if (ready >= 0)
        return ready;
    if (errno == EBADF)
        return -1; /* libev finds out which */
    poller->error = -errno;
    if (errno == EINTR)
        return -1;
    memset(readable, 0, (size_t)loop->vec_max * sizeof(fd_mask));
    memset(writable, 0, (size_t)loop->vec_max * sizeof(fd_mask));
    return 0;
}

/* Whether somebody has closed the epoll. */
static bool is_lost(int epfd)
{
    int saved = errno;
    bool lost =
        fcntl(epfd, F_GETFD) < 0 || gcore__fd_foreign(epfd, GCORE__EPOLL);

    errno = saved;
    return lost;
}

static int poller_epoll_ctl(struct ev_loop *loop, int epfd, int op, int fd,
                            struct epoll_event *event)
{
    ev_io *io = (ev_io *)(void *)loop->anfds[fd].head;
    int result = epoll_ctl(epfd, op, fd, event);

    poller_of(loop)->changes++;
    if (result == 0)
        return 0;
    if ((errno == EBADF || errno == EINVAL) && is_lost(epfd))
        return 0; /* the wait will find out, and all is told anew */
    if (io)
        ((gcore__fd *)io->data)->error = -errno;
    return result;
}

/* libev's array of what is ready, first to last. select looks at
 * descriptors from the highest down, so there it is last to first. */
static void collect(struct ev_loop *loop)
{
    gcore__poller *poller = poller_of(loop);
    int count = loop->pendingcnt[0];
    bool backward = loop->backend == EVBACKEND_SELECT;

    loop->pendingcnt[0] = 0;
    for (int i = 0; i < count; i++) {
        ANPENDING *pending =
            &loop->pendings[0][backward ? count - 1 - i : i];
        W watcher = pending->w;

        watcher->pending = 0;
        if (watcher == (W)&loop->pending_w)
            continue;
        gcore__fd_event(poller->hub, watcher->data,
                        pending->events & EV_ERROR
                            ? 0
                            : (unsigned)pending->events);
    }
}

/* Registrations have gone wrong (libev saw an event of a file that is closed
 * here but open elsewhere): a new epoll takes the place of the old. */
static void renew_loop(gcore__poller *poller)
{
    making = poller;
    loop_fork(poller->loop);
    making = NULL;
    if (poller->doomed != poller->loop->backend_fd) /* closed, and reused */
        gcore__fd_close(poller->doomed, GCORE__EPOLL);
    poller->doomed = -1;
    poller->spare = -1;
    if (poller->outer >= 0 && poller->loop->backend_fd >= 0) {
        struct epoll_event event = {.events = EPOLLIN};

        /* It fails with EEXIST when the old one had to stay. */
        epoll_ctl(poller->outer, EPOLL_CTL_ADD, poller->loop->backend_fd,
                  &event);
    }
}

int gcore__poller_wait(gcore__poller *poller, int64_t timeout)
{
    struct ev_loop *loop = poller->loop;

    poller->timeout = timeout;
    poller->error = 0;
    if (loop->postfork)
        renew_loop(poller);
    ev_run(loop, EVRUN_NOWAIT);
    return poller->error;
}

/* Making and unmaking */

static int poller_epoll_create(int flags)
{
    int fd;

    if (making && making->spare >= 0)
        return making->spare;
    fd = epoll_create1(flags);
    if (fd < 0 && making && making->doomed >= 0) {
        fd = making->doomed;
        making->doomed = -1;
    }
    return fd;
}

/* What libev closes while its loop is made anew is its epoll. */
static int poller_close_fd(int fd)
{
    if (making)
        making->doomed = fd;
    else
        gcore__fd_close(fd, GCORE__EPOLL);
    return 0;
}

static void say_nothing(const char *message) EV_NOEXCEPT
{
    (void)message;
}

unsigned gcore__poller_backends(void)
{
    return EVBACKEND_SELECT | EVBACKEND_POLL | EVBACKEND_EPOLL;
}

static struct ev_loop *make_loop(gcore__poller *poller, unsigned backend)
{
    static bool libev_is_set_up; /* loops of other threads read these */
    struct ev_loop *loop;

    /* libev notes for all its loops that there is a monotonic clock. */
    gcore__process_lock();
    if (!libev_is_set_up) {
        ev_set_allocator(give);
        ev_set_syserr_cb(say_nothing);
        libev_is_set_up = true;
    }
    errno = 0;
    making = poller;
    loop = ev_loop_new(backend | EVFLAG_NOENV);
    making = NULL;
    gcore__process_unlock();
    return loop;
}

static int open_backend(gcore__poller *poller, unsigned backend)
{
    int error = fill_stash(poller);

    if (error == 0) {
        poller->loop = make_loop(poller, backend);
        if (!poller->loop)
            error = errno ? -errno : -ENOTSUP;
    }
    empty_stash(poller);
    return error;
}

int gcore__poller_open(gcore__poller *poller, gcore_hub *hub,
                       unsigned backends)
{
    static const unsigned best[] = {EVBACKEND_EPOLL, EVBACKEND_POLL,
                                    EVBACKEND_SELECT};
    int error = -ENOTSUP;

    memset(poller, 0, sizeof *poller);
    poller->hub = hub;
    poller->spare = poller->doomed = poller->outer = -1;
    /* The next best only where one is missing, not where it failed. */
    for (int i = 0; i < 3 && (error == -ENOTSUP || error == -ENOSYS); i++)
        if (backends & best[i])
            error = open_backend(poller, best[i]);
    if (error < 0)
        return error;
    ev_set_userdata(poller->loop, poller);
    ev_set_invoke_pending_cb(poller->loop, collect);
    return 0;
}

void gcore__poller_close(gcore__poller *poller)
{
    gcore__fd_close(poller->outer, GCORE__EPOLL);
    poller->outer = -1;
    if (poller->loop)
        ev_loop_destroy(poller->loop);
    poller->loop = NULL;
}

unsigned gcore__poller_backend(gcore__poller *poller)
{
    return ev_backend(poller->loop);
}

void gcore__poller_init_fd(gcore__fd *fd)
{
    io_of(fd)->data = fd; /* the rest is zero, as ev_init leaves it */
}

void gcore__poller_arm(gcore__poller *poller, gcore__fd *fd, unsigned events,
                       bool fresh)
{
    ev_io *io = io_of(fd);

    ev_io_stop(poller->loop, io);
    fd->armed = events;
    if (!events)
        return;
    io->fd = fd->number;
    io->events = (int)events | (fresh ? EV__IOFDSET : 0);
    ev_io_start(poller->loop, io);
}

bool gcore__poller_changed(gcore__poller *poller)
{
    struct ev_loop *loop = poller->loop;

    return loop && (loop->fdchangecnt > 0 || loop->postfork);
}

/* A forked child's epoll is the parent's until it is made anew. */
static bool is_parents(const gcore__poller *poller)
{
    return poller->hub->generation != gcore__fork_generation();
}

void gcore__poller_forget(gcore__poller *poller, gcore__fd *fd)
{
    struct ev_loop *loop = poller->loop;
    struct epoll_event event = {0};

    gcore__poller_arm(poller, fd, 0, false);
    if (loop->backend != EVBACKEND_EPOLL || !loop->anfds[fd->number].emask)
        return;
    /* Were it left to the close, a duplicate of the descriptor, in a child
     * process for one, would keep the registration alive. */
    if (!is_parents(poller))
        epoll_ctl(loop->backend_fd, EPOLL_CTL_DEL, fd->number, &event);
    if (loop->anfds[fd->number].emask != EV_EMASK_EPERM)
        loop->anfds[fd->number].emask = 0;
    poller->changes++;
}

int gcore__poller_fd(gcore__poller *poller)
{
    struct epoll_event event = {.events = EPOLLIN};
    int fd;

    if (poller->loop->backend_fd < 0)
        return -ENOTSUP;
    if (poller->outer >= 0)
        return poller->outer;
    fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (epoll_ctl(fd, EPOLL_CTL_ADD, poller->loop->backend_fd, &event) < 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    poller->outer = fd;
    return fd;
}

/* The outer epoll is replaced under its number, so that it stays the same
 * and the parent's is left alone. */
static int renew_outer(gcore__poller *poller)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0)
        return -errno;
    fd = gcore__fd_replace(poller->outer, fd, GCORE__EPOLL);
    if (fd < 0)
        return fd;
    poller->outer = fd;
    return 0;
}

int gcore__poller_renew(gcore__poller *poller)
{
    int error;

    if (poller->loop->backend == EVBACKEND_EPOLL) {
        poller->spare = epoll_create1(EPOLL_CLOEXEC);
        if (poller->spare < 0) {
            error = -errno;
            poller->spare = -1;
            return error;
        }
        error = poller->outer >= 0 ? renew_outer(poller) : 0;
        if (error < 0) {
            close(poller->spare);
            poller->spare = -1;
            return error;
        }
    }
    poller->loop->postfork = 1;
    renew_loop(poller);
    return 0;
}
