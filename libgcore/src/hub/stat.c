/*
 * The stat watch: a file is looked at again and again, and, where the kernel
 * can report changes (inotify), right after one.
 *
 * inotify only says when to look, so missing or superfluous events do no
 * harm, nor does not having it at all. A hub has one inotify descriptor,
 * made with its first stat watch. A file that does not exist is waited for
 * in the nearest folder that does.
 *
 * SPDX-License-Identifier: MIT
 */
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hub/watch.h"
#include "util/own_fd.h"
#include "util/sized.h"

#define SECOND INT64_C(1000000000)
#define DEFAULT_INTERVAL (SECOND * 5 + SECOND / 134)
#define LEAST_INTERVAL (SECOND / 10)

#define EVENTS                                                           \
    (IN_ATTRIB | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_TO |       \
     IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_DONT_FOLLOW |    \
     IN_MASK_ADD)

typedef struct gcore__stat {
    gcore_watch *watch;
    int64_t interval;
    gcore__timer look;
    gcore__link link; /* in the hub's `stats` while started */
    int notices;      /* inotify's number; -1 none */
    gcore_file_info last;
    gcore_file_info previous;
    char path[];
} stat_part;

static int64_t in_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static void look_at(const char *path, gcore_file_info *info)
{
    struct stat st;

    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    if (lstat(path, &st) < 0)
        return;
    info->device = st.st_dev;
    info->inode = st.st_ino;
    info->mode = st.st_mode;
    info->links = st.st_nlink ? st.st_nlink : 1;
    info->user = st.st_uid;
    info->group = st.st_gid;
    info->special_device = st.st_rdev;
    info->length = st.st_size;
    info->block_size = st.st_blksize;
    info->blocks = st.st_blocks;
    info->accessed = in_ns(st.st_atim);
    info->modified = in_ns(st.st_mtim);
    info->changed = in_ns(st.st_ctim);
}

/* inotify */

static bool add_notices(stat_part *part, const char *path)
{
    part->notices =
        inotify_add_watch(part->watch->hub->inotify, path, EVENTS);
    return part->notices >= 0;
}

/* On the file or, if it is not there, the nearest folder above it. */
static void seek_notices(stat_part *part)
{
    char path[PATH_MAX];
    size_t length = strlen(part->path);
    char *slash;

    if (part->watch->hub->inotify < 0 || add_notices(part, part->path) ||
        length >= sizeof path)
        return;
    memcpy(path, part->path, length + 1);
    while ((slash = strrchr(path, '/')) != NULL && slash != path) {
        *slash = '\0';
        if (add_notices(part, path))
            return;
    }
    add_notices(part, slash ? "/" : ".");
}

static void drop_notices(stat_part *part)
{
    gcore_hub *hub = part->watch->hub;
    int notices = part->notices;

    part->notices = -1;
    if (notices < 0)
        return;
    for (gcore__link *link = hub->stats.next; link != &hub->stats;
         link = link->next)
        if (GCORE__OF(stat_part, link, link)->notices == notices)
            return;
    inotify_rm_watch(hub->inotify, notices);
}

static void look_again(gcore_hub *hub, stat_part *part);

static void noticed(gcore_hub *hub, int notices)
{
    gcore__link *link = hub->stats.next;

    while (link != &hub->stats) {
        stat_part *part = GCORE__OF(stat_part, link, link);

        link = link->next; /* a GCORE_ONCE one leaves the list */
        if (part->notices != notices && notices >= 0)
            continue;
        drop_notices(part);
        seek_notices(part);
        look_again(hub, part);
    }
}

static void read_notices(gcore_hub *hub, gcore__fd *fd)
{
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t length = read(fd->number, buffer, sizeof buffer);

    if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
        hub->broken = true; /* somebody else's by now */
    for (ssize_t at = 0; at < length;) {
        struct inotify_event *event = (void *)(buffer + at);

        noticed(hub, event->wd); /* -1, an overflow: look at all */
        at += (ssize_t)(sizeof *event + event->len);
    }
}

static void open_inotify(gcore_hub *hub)
{
    gcore__fd *fd;

    if (hub->inotify >= 0)
        return;
    hub->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (hub->inotify < 0)
        return;
    if (gcore__fd_get(hub, hub->inotify, &fd) < 0) {
        close(hub->inotify);
        hub->inotify = -1;
        return;
    }
    fd->own = read_notices;
    gcore__fd_want(hub, fd, GCORE_READ);
}

void gcore__stat_close(gcore_hub *hub)
{
    if (hub->inotify < 0)
        return;
    gcore__fd_disown(hub, hub->fds[hub->inotify]);
    gcore__fd_close(hub->inotify, GCORE__INOTIFY);
    hub->inotify = -1;
}

/* The old one is the parent's, or closed. */
void gcore__stat_renew(gcore_hub *hub)
{
    if (hub->inotify < 0)
        return;
    gcore__stat_close(hub);
    open_inotify(hub);
    for (gcore__link *link = hub->stats.next; link != &hub->stats;
         link = link->next)
        seek_notices(GCORE__OF(stat_part, link, link));
}

/* The watch */

static void look_again(gcore_hub *hub, stat_part *part)
{
    gcore_file_info now;

    (void)hub;
    look_at(part->path, &now);
    if (memcmp(&now, &part->last, sizeof now) == 0)
        return;
    part->previous = part->last;
    part->last = now;
    gcore__watch_complete(part->watch, 0);
}

static void time_to_look(gcore_hub *hub, gcore__timer *timer)
{
    stat_part *part = GCORE__OF(stat_part, look, timer);

    gcore__timer_add(hub, timer, hub->now + part->interval);
    if (part->notices < 0)
        seek_notices(part);
    look_again(hub, part);
}

static int stat_start(gcore_watch *watch)
{
    stat_part *part = watch->stat;

    seek_notices(part);
    look_at(part->path, &part->last);
    part->previous = part->last;
    gcore__list_append(&watch->hub->stats, &part->link);
    gcore__timer_add(watch->hub, &part->look,
                     watch->hub->now + part->interval);
    return 0;
}

static void stat_stop(gcore_watch *watch)
{
    stat_part *part = watch->stat;

    gcore__timer_remove(watch->hub, &part->look);
    gcore__list_remove(&part->link);
    drop_notices(part);
}

static void stat_free(gcore_watch *watch)
{
    gcore__free(watch->stat);
    atomic_fetch_sub(&watch->hub->extra_timers, 1);
}

static const gcore__kind stat_kind = {
    .number = GCORE_WATCH_STAT,
    .start = stat_start,
    .stop = stat_stop,
    .free = stat_free,
};

static stat_part *part_new(const char *path, int64_t interval)
{
    size_t length = strlen(path) + 1;
    stat_part *part = gcore__alloc(sizeof *part + length);

    if (!part)
        return NULL;
    memcpy(part->path, path, length);
    part->interval = interval == 0               ? DEFAULT_INTERVAL
                     : interval < LEAST_INTERVAL ? LEAST_INTERVAL
                                                 : interval;
    part->look.due = time_to_look;
    part->notices = -1;
    gcore__list_init(&part->link);
    return part;
}

int gcore_stat_new(gcore_hub *hub, const char *path, int64_t interval,
                   gcore_watch **out)
{
    gcore_watch *watch;
    stat_part *part;
    int error;

    if (!path || !*path || interval < 0)
        return -EINVAL;
    part = part_new(path, interval);
    if (!part)
        return -ENOMEM;
    atomic_fetch_add(&hub->extra_timers, 1);
    error = gcore__watch_new(hub, &stat_kind, &watch);
    if (error < 0) {
        atomic_fetch_sub(&hub->extra_timers, 1);
        gcore__free(part);
        return error;
    }
    watch->stat = part;
    watch->interval = interval;
    part->watch = watch;
    open_inotify(hub);
    *out = watch;
    return 0;
}

const char *gcore_stat_path(gcore_watch *watch)
{
    return watch->kind == &stat_kind ? watch->stat->path : NULL;
}

int64_t gcore_stat_interval(gcore_watch *watch)
{
    return watch->kind == &stat_kind ? watch->interval : -EINVAL;
}

int gcore_stat_last(gcore_watch *watch, gcore_file_info *out)
{
    if (watch->kind != &stat_kind)
        return -EINVAL;
    return gcore__sized_write(out, &watch->stat->last, sizeof *out);
}

int gcore_stat_previous(gcore_watch *watch, gcore_file_info *out)
{
    if (watch->kind != &stat_kind)
        return -EINVAL;
    return gcore__sized_write(out, &watch->stat->previous, sizeof *out);
}
