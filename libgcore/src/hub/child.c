/*
 * Children: the end of a process, by pidfd, so that any hub can wait for any
 * child and SIGCHLD stays the program's.
 *
 * A pidfd is watched like any descriptor. The child is reaped when the
 * completion is handed over, so a watch that was stopped in time reaps
 * nothing; the status then goes to all started watches of that process.
 * Where there are no pidfds, or no descriptor is left for one, a thread waits
 * for the process without reaping it and then sends to the watch.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hub/watch.h"

#define UNREAPED INT64_MIN

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* All watches of children; under the process's lock. */
static gcore__link children = {&children, &children};

static int open_pidfd(int pid)
{
#ifdef SYS_pidfd_open
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : (int)fd;
#else
    (void)pid;
    return -ENOSYS;
#endif
}

static int64_t status_of(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 0xff) << 8;
    case CLD_DUMPED:
        return info->si_status | 0x80;
    default:
        return info->si_status;
    }
}

static int wait_for(idtype_t type, int id, siginfo_t *info, int options)
{
    int result;

    do {
        info->si_pid = 0;
        result = waitid(type, (id_t)id, info, options);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

static int64_t reap(gcore_watch *watch)
{
    siginfo_t info;
    int error = -EINVAL;

    if (watch->pidfd >= 0)
        error = wait_for(P_PIDFD, watch->pidfd, &info, WEXITED | WNOHANG);
    if (error == -EINVAL) /* without pidfds here, or in this call */
        error = wait_for(P_PID, watch->number, &info, WEXITED | WNOHANG);
    if (error < 0)
        return error;
    return info.si_pid ? status_of(&info) : -ECHILD;
}

static void tell_siblings(int pid, int64_t status)
{
    for (gcore__link *link = children.next; link != &children;
         link = link->next) {
        gcore_watch *watch = GCORE__OF(gcore_watch, siblings, link);

        if (watch->number == pid && watch->status == UNREAPED)
            watch->status = status;
    }
}

static int64_t child_result(gcore_watch *watch, int64_t result)
{
    gcore__process_lock();
    if (result >= 0) {
        if (watch->status == UNREAPED)
            tell_siblings(watch->number, reap(watch));
        result = watch->status;
    }
    gcore__process_unlock();
    return result;
}

static void child_free(gcore_watch *watch)
{
    gcore__process_lock();
    gcore__list_remove(&watch->siblings);
    gcore__process_unlock();
    if (watch->pidfd >= 0)
        close(watch->pidfd);
}

static void enlist(gcore_watch *watch)
{
    watch->status = UNREAPED;
    gcore__process_lock();
    gcore__list_append(&children, &watch->siblings);
    gcore__process_unlock();
}

/* With a pidfd */

static gcore__link *waiting(gcore_watch *watch)
{
    return &watch->fd->waiting;
}

static int child_start(gcore_watch *watch)
{
    gcore__fd_want(watch->hub, watch->fd, watch->events);
    return 0;
}

/* The pidfd may be closed next, on any thread, while the child, if it never
 * ran another program, has a copy. */
static void child_stop(gcore_watch *watch)
{
    gcore__fd_forget(watch->hub, watch->fd);
}

static const gcore__kind child_kind = {
    .number = GCORE_WATCH_CHILD,
    .once = true,
    .list = waiting,
    .start = child_start,
    .stop = child_stop,
    .result = child_result,
    .free = child_free,
};

/* Without */

static void *wait_and_send(void *arg)
{
    gcore_watch *watch = arg;
    siginfo_t info;

    wait_for(P_PID, watch->number, &info, WEXITED | WNOWAIT);
    gcore__sent_send(watch);
    gcore_watch_unref(watch);
    return NULL;
}

static int start_waiter(gcore_watch *watch)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, wait_and_send,
                           gcore_watch_ref(watch));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error)
        gcore_watch_unref(watch);
    return -error;
}

static int waited_start(gcore_watch *watch)
{
    int error;

    gcore__sent_start(watch);
    error = start_waiter(watch);
    if (error < 0)
        gcore__sent_stop(watch);
    return error;
}

static const gcore__kind waited_kind = {
    .number = GCORE_WATCH_CHILD,
    .once = true,
    .start = waited_start,
    .stop = gcore__sent_stop,
    .result = child_result,
    .free = child_free,
};

/* Either */

static int use_pidfd(gcore_watch *watch, int fd)
{
    int error = gcore__fd_get(watch->hub, fd, &watch->fd);

    if (error < 0)
        return error;
    watch->pidfd = fd;
    watch->events = GCORE_READ;
    return 0;
}

/* Whether a thread can do what there is no pidfd for. */
static bool may_be_waited(int error)
{
    return error == -ENOSYS || error == -EPERM || error == -EMFILE ||
           error == -ENFILE;
}

int gcore_child_new(gcore_hub *hub, int pid, gcore_watch **out)
{
    gcore_watch *watch;
    int fd = -ENOSYS;
    int error;

    if (pid <= 0)
        return -EINVAL;
    if (!(hub->flags & GCORE_HUB_NOPIDFD))
        fd = open_pidfd(pid);
    if (may_be_waited(fd)) {
        if (kill(pid, 0) < 0 && errno == ESRCH)
            return -ESRCH;
    } else if (fd < 0) {
        return fd == -EINVAL ? -ESRCH : fd;
    }
    error = gcore__watch_new(hub, fd < 0 ? &waited_kind : &child_kind,
                             &watch);
    if (error < 0) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    watch->number = pid;
    watch->pidfd = -1;
    enlist(watch);
    gcore__sent_init(watch);
    if (fd >= 0)
        error = use_pidfd(watch, fd);
    if (error < 0) {
        close(fd);
        gcore_watch_unref(watch);
        return error;
    }
    *out = watch;
    return 0;
}

int gcore_child_pid(gcore_watch *watch)
{
    return watch->kind == &child_kind || watch->kind == &waited_kind
               ? watch->number
               : -EINVAL;
}
