/*
 * A program that closes every descriptor it does not know of closes the
 * hub's: the hub makes new ones, and leaves alone whatever has got the
 * numbers meanwhile. Each case runs in a child, whose descriptors are its
 * own to close.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HIGH 100 /* where the descriptors are that are kept */

typedef struct robbery {
    const char *backend;
    bool after_a_turn; /* else before the first */
    bool reuse;        /* the numbers are somebody else's then */
} robbery;

typedef struct stage {
    gcore_hub *hub;
    gcore_watch *io;
    gcore_watch *stat;
    char path[64];
    dev_t device;
    ino_t inode;
} stage;

static void set_up(stage *scene, const char *backend)
{
    int ends[2];

    make_pipe(ends);
    CHILD_CHECK(dup2(ends[0], HIGH) == HIGH);
    CHILD_CHECK(dup2(ends[1], HIGH + 1) == HIGH + 1);
    close_pipe(ends);
    strcpy(scene->path, "/tmp/gcore-test-XXXXXX");
    close(mkstemp(scene->path));
    scene->hub = hub_new_backend(backend);
    CHILD_CHECK(gcore_io_new(scene->hub, HIGH, GCORE_READ, &scene->io) == 0);
    CHILD_CHECK(gcore_watch_start(scene->io, 0, GCORE_FOREVER,
                                  GCORE_COMPLETE, scene->io) == 0);
    CHILD_CHECK(gcore_stat_new(scene->hub, scene->path, 0, &scene->stat) ==
                0);
    CHILD_CHECK(gcore_watch_start(scene->stat, 0, GCORE_FOREVER,
                                  GCORE_COMPLETE, scene->stat) == 0);
}

static void rob(stage *scene, bool reuse)
{
    struct stat st;
    int lost = 0;

    for (int fd = 3; fd < HIGH; fd++)
        lost += close(fd) == 0;
    for (int i = 0; reuse && i <= lost; i++)
        CHILD_CHECK(open(scene->path, O_RDONLY) >= 0);
    CHILD_CHECK(stat(scene->path, &st) == 0);
    scene->device = st.st_dev;
    scene->inode = st.st_ino;
}

static void *wake(void *arg)
{
    gcore_hub_wake(arg);
    return NULL;
}

/* Woken, told of a descriptor, told of a file: all go on. */
static void check(stage *scene)
{
    gcore_completion out;
    int ends[2] = {HIGH, HIGH + 1};
    pthread_t thread;
    int fd;

    CHILD_CHECK(gcore_hub_poll(scene->hub, &out, 1, GCORE_NOW) == 0);
    if (!support_under_tsan()) {
        thread = thread_start(wake, scene->hub);
        CHILD_CHECK(hub_poll_again(scene->hub, &out, 1, after(PATIENCE)) ==
                    0);
        thread_join(thread);
    }
    make_ready(ends);
    CHILD_CHECK(hub_poll_again(scene->hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == scene->io && out.result == GCORE_READ);
    drain(ends);
    fd = open(scene->path, O_WRONLY);
    CHILD_CHECK(write(fd, "changed", 7) == 7);
    close(fd);
    CHILD_CHECK(hub_poll_again(scene->hub, &out, 1, after(PATIENCE)) == 1);
    CHILD_CHECK(out.arg == scene->stat);
}

static void robbed(void *arg)
{
    const robbery *how = arg;
    gcore_completion out;
    struct stat st;
    stage scene;
    int strangers = 0;

    set_up(&scene, how->backend);
    if (how->after_a_turn)
        CHILD_CHECK(gcore_hub_poll(scene.hub, &out, 1, GCORE_NOW) == 0);
    rob(&scene, how->reuse);
    for (int fd = 3; fd < HIGH; fd++)
        strangers += fcntl(fd, F_GETFD) >= 0;
    check(&scene);
    gcore_watch_unref(scene.io);
    gcore_watch_unref(scene.stat);
    gcore_hub_unref(scene.hub);
    unlink(scene.path);
    for (int fd = 3; fd < HIGH; fd++)
        if (fstat(fd, &st) == 0) {
            CHILD_CHECK(st.st_dev == scene.device &&
                        st.st_ino == scene.inode);
            strangers--;
        }
    CHILD_CHECK(strangers == 0);
    CHILD_CHECK(gcore_allocator_live() == 0);
}

static void on_each_backend(bool after_a_turn, bool reuse)
{
    static const char *const backends[] = {"epoll", "poll", "select"};

    for (int i = 0; i < 3; i++) {
        robbery how = {backends[i], after_a_turn, reuse};

        in_child(robbed, &how);
    }
}

static void closed(void **state)
{
    (void)state;
    on_each_backend(true, false);
}

static void closed_before_the_first_turn(void **state)
{
    (void)state;
    on_each_backend(false, false);
}

static void closed_and_reused(void **state)
{
    (void)state;
    on_each_backend(true, true);
    on_each_backend(false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(closed),
        TEST(closed_before_the_first_turn),
        TEST(closed_and_reused),
    };

    return RUN(tests);
}
