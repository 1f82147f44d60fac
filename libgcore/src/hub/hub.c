/*
 * The life of a hub, and what can be asked of it. docs/design-hub.md tells
 * how the parts work together.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hub/watch.h"
#include "util/own_fd.h"
#include "util/sized.h"

#define DEFAULT_POST_LIMIT 65536

/* Backends by name */

static const struct {
    const char *name;
    unsigned bit;
} backend_names[] = {
    {"select", GCORE_BACKEND_SELECT},
    {"poll", GCORE_BACKEND_POLL},
    {"epoll", GCORE_BACKEND_EPOLL},
    {"kqueue", GCORE_BACKEND_KQUEUE},
};

#define BACKENDS (sizeof backend_names / sizeof *backend_names)

static unsigned bit_of(const char *name, size_t length)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (strlen(backend_names[i].name) == length &&
            strncasecmp(name, backend_names[i].name, length) == 0)
            return backend_names[i].bit;
    return 0;
}

/* The bits of names separated by commas or blanks; 0 if one is unknown. */
static unsigned bits_of(const char *names)
{
    static const char separators[] = ", \t";
    unsigned bits = 0;

    names += strspn(names, separators);
    while (*names) {
        size_t length = strcspn(names, separators);
        unsigned bit = bit_of(names, length);

        if (!bit)
            return 0;
        bits |= bit;
        names += length;
        names += strspn(names, separators);
    }
    return bits;
}

/* Which backends the caller or the environment leaves to choose from; 0 for
 * a name that does not exist. */
static unsigned choose(const gcore_hub_options *options)
{
    const char *value;
    unsigned bits;

    if (options->backend)
        return bits_of(options->backend);
    if (options->backends)
        return options->backends;
    if (options->flags & GCORE_HUB_NOENV)
        return ~0u;
    value = getenv("GEVENT_BACKEND");
    if (value && *value)
        return bits_of(value);
    value = getenv("LIBEV_FLAGS");
    bits = value ? (unsigned)strtoul(value, NULL, 0) & 0xffff : 0;
    return bits ? bits : ~0u;
}

unsigned gcore_backends(void)
{
    return gcore__poller_backends();
}

unsigned gcore_hub_backend(gcore_hub *hub)
{
    return hub->backend;
}

const char *gcore_hub_backend_name(gcore_hub *hub)
{
    for (size_t i = 0; i < BACKENDS; i++)
        if (backend_names[i].bit == hub->backend)
            return backend_names[i].name;
    return "unknown";
}

/* Making */

static int read_options(const gcore_hub_options *given,
                        gcore_hub_options *options)
{
    if (gcore__sized_read(given, options, sizeof *options) < 0 ||
        options->flags & ~(unsigned)(GCORE_HUB_NOENV | GCORE_HUB_NOPIDFD))
        return -EINVAL;
    if (!options->post_limit)
        options->post_limit = DEFAULT_POST_LIMIT;
    return 0;
}

static void init_lists(gcore_hub *hub)
{
    for (int i = 0; i < GCORE__PRIORITIES; i++) {
        gcore__list_init(&hub->ready[i]);
        gcore__list_init(&hub->idle[i]);
    }
    gcore__list_init(&hub->kept);
    gcore__list_init(&hub->prepare);
    gcore__list_init(&hub->check);
    gcore__list_init(&hub->fork);
    gcore__list_init(&hub->others);
    gcore__list_init(&hub->promises);
    gcore__list_init(&hub->stats);
    gcore__list_init(&hub->registered);
}

static int open_wake(gcore_hub *hub)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    atomic_store(&hub->wakefd, fd);
    return gcore__wake_open(hub, fd);
}

static void close_kernel_objects(gcore_hub *hub)
{
    gcore__poller_close(&hub->poller);
    for (int i = 0; i < hub->fd_room; i++)
        gcore__free(hub->fds[i]);
    gcore__free(hub->fds);
    hub->fds = NULL;
    hub->fd_room = 0;
    gcore__free(hub->timers.slots);
    hub->timers = (gcore__heap){0};
}

static void free_hub(gcore_hub *hub)
{
    gcore__thread_part(hub);
    gcore__fd_close(atomic_load(&hub->wakefd), GCORE__EVENTFD);
    pthread_mutex_destroy(&hub->thread_lock);
    gcore__free(hub->scratch);
    gcore__free(hub->record);
    gcore__free(hub);
}

void gcore__hub_hold(gcore_hub *hub)
{
    atomic_fetch_add_explicit(&hub->holds, 1, memory_order_relaxed);
}

void gcore__hub_drop(gcore_hub *hub)
{
    if (atomic_fetch_sub_explicit(&hub->holds, 1, memory_order_acq_rel) == 1)
        free_hub(hub);
}

int gcore_hub_new(const gcore_hub_options *given, gcore_hub **out)
{
    gcore_hub_options options;
    gcore_hub *hub;
    unsigned backends;
    int error = read_options(given, &options);

    if (error < 0)
        return error;
    backends = choose(&options);
    if (!backends)
        return -EINVAL;
    hub = gcore__alloc(sizeof *hub);
    if (!hub)
        return -ENOMEM;
    atomic_init(&hub->refs, 1);
    atomic_init(&hub->holds, 1);
    atomic_init(&hub->wakefd, -1);
    hub->inotify = -1;
    hub->flags = options.flags;
    hub->post_limit = options.post_limit;
    hub->generation = hub->thread_generation = gcore__fork_generation();
    init_lists(hub);
    pthread_mutex_init(&hub->thread_lock, NULL);
    gcore_hub_update(hub);
    error = gcore__poller_open(&hub->poller, hub, backends);
    if (error == 0) {
        hub->backend = gcore__poller_backend(&hub->poller);
        error = gcore__timer_reserve(hub, 1);
    }
    if (error == 0)
        error = open_wake(hub);
    if (error < 0) {
        close_kernel_objects(hub);
        free_hub(hub);
        return error;
    }
    gcore__registry_add(hub);
    *out = hub;
    return 0;
}

gcore_hub *gcore_hub_ref(gcore_hub *hub)
{
    atomic_fetch_add_explicit(&hub->refs, 1, memory_order_relaxed);
    return hub;
}

/* Closing */

static void drop_ready(gcore_hub *hub, gcore__link *list)
{
    while (!gcore__list_empty(list)) {
        gcore__ready *ready = GCORE__OF(gcore__ready, link, list->next);

        gcore__ready_withdraw(hub, ready);
        ready->take(hub, ready);
    }
}

/* There is nobody left who could poll for these. */
static void drop_all_ready(gcore_hub *hub)
{
    hub->dropping = true;
    for (int i = 0; i < GCORE__PRIORITIES; i++)
        drop_ready(hub, &hub->ready[i]);
    drop_ready(hub, &hub->kept);
}

void gcore_hub_unref(gcore_hub *hub)
{
    if (!hub ||
        atomic_fetch_sub_explicit(&hub->refs, 1, memory_order_acq_rel) != 1)
        return;
    /* Functions called by the close may take and drop references. */
    if (atomic_exchange(&hub->abandoned, true))
        return;
    gcore_hub_close(hub);
    if (!atomic_load(&hub->driver))
        drop_all_ready(hub);
    gcore__hub_drop(hub);
}

static void close_watches(gcore__link *list)
{
    while (!gcore__list_empty(list))
        gcore_watch_close(GCORE__OF(gcore_watch, link, list->next));
}

void gcore__hub_shut(gcore_hub *hub)
{
    atomic_store(&hub->closed, true);
    gcore__inbox_close(hub);
    gcore__promises_break(hub);
    for (int i = 0; i < hub->fd_room; i++)
        if (hub->fds[i])
            close_watches(&hub->fds[i]->waiting);
    for (int i = 0; i < GCORE__PRIORITIES; i++)
        close_watches(&hub->idle[i]);
    close_watches(&hub->prepare);
    close_watches(&hub->check);
    close_watches(&hub->fork);
    close_watches(&hub->others);
    gcore__ready_deliver(hub, NULL, 0);
    gcore__stat_close(hub);
    gcore__registry_remove(hub);
    close_kernel_objects(hub);
    if (atomic_load(&hub->abandoned))
        drop_all_ready(hub);
}

int gcore_hub_close(gcore_hub *hub)
{
    gcore__forget_threads(hub);
    gcore__hub_request(hub, GCORE__CLOSE);
    gcore__thread_join(hub);
    gcore__hub_close_idle(hub);
    return 0;
}

/* Asking */

int gcore_hub_retain(gcore_hub *hub)
{
    atomic_fetch_add(&hub->retains, 1);
    return 0;
}

int gcore_hub_release(gcore_hub *hub)
{
    gcore__hub_hold(hub); /* its run may end, and its owner go, now */
    atomic_fetch_sub(&hub->retains, 1);
    if (atomic_load(&hub->driver) != gcore__thread())
        gcore__hub_request(hub, GCORE__LOOK);
    gcore__hub_drop(hub);
    return 0;
}

int gcore_hub_backend_fd(gcore_hub *hub)
{
    int fd;

    if (atomic_load(&hub->closed))
        return -ESHUTDOWN;
    fd = gcore__poller_fd(&hub->poller);
    if (fd < 0)
        return fd;
    hub->embedded = true;
    atomic_store(&hub->asleep, true);
    return fd;
}

int64_t gcore_hub_next_deadline(gcore_hub *hub)
{
    if (hub->ready_count || hub->kept_count || hub->idle_count ||
        !gcore__inbox_empty(hub) || atomic_load(&hub->requests))
        return GCORE_NOW;
    if (hub->embedded && gcore__poller_changed(&hub->poller))
        return GCORE_NOW; /* the other loop's wait would miss a new watch */
    return gcore__timer_next(hub);
}

static void count(gcore_hub *hub, gcore_hub_stats *stats)
{
    stats->turns = hub->turns;
    stats->polls = hub->polls;
    stats->completions = hub->completions;
    stats->posts = atomic_load(&hub->posts);
    stats->wakes = atomic_load(&hub->wakes);
    stats->rejected = atomic_load(&hub->rejected);
    stats->syscalls = hub->poller.changes;
    stats->poll_ns = hub->poll_ns;
    stats->longest_turn_ns = hub->longest_turn;
    stats->watches = (uint64_t)atomic_load(&hub->watches);
    stats->started = (uint64_t)hub->started;
    stats->pending = (uint64_t)gcore_hub_pending(hub);
}

int gcore_hub_counters(gcore_hub *hub, gcore_hub_stats *out)
{
    gcore_hub_stats stats;

    memset(&stats, 0, sizeof stats);
    count(hub, &stats);
    return gcore__sized_write(out, &stats, sizeof stats);
}
