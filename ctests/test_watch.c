/* The kinds of watches that have no file of their own: stat, async, idle,
 * prepare and check. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gcore_watch *started(gcore_watch *watch)
{
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, GCORE_COMPLETE,
                                watch));
    return watch;
}

/* idle, prepare, check */

static void idle_comes_when_nothing_else_does(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[4];
    gcore_watch *idle;
    int mark;

    (void)state;
    assert_ok(gcore_idle_new(hub, &idle));
    started(idle);
    for (int i = 0; i < 3; i++) { /* the hub does not wait */
        assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
        assert_ptr_equal(out[0].arg, idle);
    }
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &mark));
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, &mark);
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, idle);
    end_watch(idle);
    hub_end(hub);
}

static void idle_yields_to_its_own_priority_and_above(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[4];
    gcore_watch *high, *low;
    int mark;

    (void)state;
    assert_ok(gcore_idle_new(hub, &high));
    assert_ok(gcore_idle_new(hub, &low));
    assert_ok(gcore_watch_set_priority(high, 1));
    assert_ok(gcore_watch_set_priority(low, -1));
    started(high);
    started(low);
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &mark)); /* priority 0 */
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 2);
    assert_ptr_equal(out[0].arg, high);
    assert_ptr_equal(out[1].arg, &mark);
    end_watch(high);
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, low);
    end_watch(low);
    hub_end(hub);
}

static void the_priority_of_a_started_watch_can_change(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[2];
    gcore_watch *idle;
    int mark;

    (void)state;
    assert_ok(gcore_idle_new(hub, &idle));
    started(idle);
    assert_ok(gcore_watch_set_priority(idle, 2));
    assert_ok(gcore_hub_post(hub, GCORE_COMPLETE, &mark));
    assert_int_equal(hub_poll_again(hub, out, 1, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, idle);
    assert_int_equal(hub_poll_again(hub, out, 1, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, &mark);
    end_watch(idle);
    hub_end(hub);
}

static void not_while_a_completion_is_ready(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    gcore_watch *first, *second;

    (void)state;
    assert_ok(gcore_prepare_new(hub, &first));
    assert_ok(gcore_prepare_new(hub, &second));
    started(first);
    started(second);
    assert_int_equal(hub_poll_again(hub, &out, 1, GCORE_FOREVER), 1);
    assert_ptr_equal(out.arg, first);
    assert_int_equal(gcore_watch_pending(second), 1);
    assert_error(gcore_watch_set_priority(second, 1), -EALREADY);
    assert_int_equal(hub_poll_again(hub, &out, 1, GCORE_FOREVER), 1);
    assert_ptr_equal(out.arg, second);
    assert_ok(gcore_watch_set_priority(second, 1));
    end_watch(first);
    end_watch(second);
    hub_end(hub);
}

static void prepare_before_and_check_after_the_wait(void **state)
{
    gcore_hub *hub = hub_new();
    record calls = {0};
    told prepared = {.record = &calls, .name = 1};
    told checked = {.record = &calls, .name = 2};
    told ready = {.record = &calls, .name = 3};
    gcore_watch *prepare, *check, *io;
    gcore_completion out;
    int ends[2];

    (void)state;
    make_pipe(ends);
    make_ready(ends);
    assert_ok(gcore_prepare_new(hub, &prepare));
    assert_ok(gcore_check_new(hub, &check));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(
        gcore_watch_start(io, 0, GCORE_FOREVER, tell, &ready));
    assert_ok(
        gcore_watch_start(check, 0, GCORE_FOREVER, tell, &checked));
    assert_ok(
        gcore_watch_start(prepare, 0, GCORE_FOREVER, tell, &prepared));
    for (int i = 0; i < 3; i++)
        assert_int_equal(gcore_hub_poll(hub, &out, 1, GCORE_NOW), 0);
    assert_int_equal(calls.count, 9);
    for (int i = 0; i < 9; i++)
        assert_int_equal(calls.names[i], 1 + i % 3);
    end_watch(prepare);
    end_watch(check);
    end_watch(io);
    hub_end(hub);
    close_pipe(ends);
}

static void make_ready_before_the_wait(void *arg, int64_t result)
{
    (void)result;
    make_ready(arg);
}

/* What a prepare watch starts or makes ready is seen by the same turn. */
static void prepare_can_make_something_ready(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out;
    gcore_watch *prepare, *io;
    int ends[2];

    (void)state;
    make_pipe(ends);
    assert_ok(gcore_prepare_new(hub, &prepare));
    assert_ok(gcore_io_new(hub, ends[0], GCORE_READ, &io));
    assert_ok(gcore_watch_start(prepare, GCORE_ONCE, GCORE_FOREVER,
                                make_ready_before_the_wait, ends));
    started(io);
    assert_int_equal(hub_poll_again(hub, &out, 1, GCORE_FOREVER), 1);
    assert_ptr_equal(out.arg, io);
    gcore_watch_unref(prepare);
    end_watch(io);
    hub_end(hub);
    close_pipe(ends);
}

/* async */

static void async_is_told_once_however_often_sent(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[4];
    gcore_watch *async, *timer;

    (void)state;
    assert_ok(gcore_timer_new(hub, &timer));
    assert_error(gcore_async_send(timer), -EINVAL);
    gcore_watch_unref(timer);
    assert_ok(gcore_async_new(hub, &async));
    assert_ok(gcore_async_send(async)); /* not started: ignored */
    started(async);
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), 0);
    for (int i = 0; i < 5; i++)
        assert_ok(gcore_async_send(async));
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
    assert_ptr_equal(out[0].arg, async);
    assert_int_equal(out[0].result, 0);
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), 0);
    /* Sent, stopped, started: the old sending is not told. */
    assert_ok(gcore_async_send(async));
    assert_ok(gcore_watch_stop(async));
    started(async);
    assert_int_equal(gcore_hub_poll(hub, out, 4, GCORE_NOW), 0);
    assert_ok(gcore_async_send(async));
    assert_int_equal(hub_poll_again(hub, out, 4, GCORE_FOREVER), 1);
    assert_ok(gcore_watch_close(async));
    assert_error(gcore_async_send(async), -ECANCELED);
    poll_for(hub, out, 1);
    assert_int_equal(out[0].result, -ECANCELED);
    gcore_watch_unref(async);
    hub_end(hub);
}

struct ping {
    gcore_watch *watch;
    atomic_int seen;
    int count;
};

static void *send_and_wait(void *arg)
{
    struct ping *ping = arg;

    for (int i = 0; i < ping->count; i++) {
        if (gcore_async_send(ping->watch) < 0)
            break;
        while (atomic_load(&ping->seen) <= i)
            ;
    }
    return NULL;
}

static void async_from_another_thread(void **state)
{
    gcore_hub *hub = hub_new();
    struct ping ping = {.count = support_times(5000)};
    gcore_completion out;
    pthread_t thread;

    (void)state;
    assert_ok(gcore_async_new(hub, &ping.watch));
    started(ping.watch);
    thread = thread_start(send_and_wait, &ping);
    for (int i = 0; i < ping.count; i++) {
        poll_for(hub, &out, 1);
        atomic_fetch_add(&ping.seen, 1);
    }
    thread_join(thread);
    end_watch(ping.watch);
    hub_end(hub);
}

static void *send_until(void *arg)
{
    struct ping *ping = arg;

    while (!atomic_load(&ping->seen))
        gcore_async_send(ping->watch);
    return NULL;
}

/* The sender holds a reference of its own and does not stop for anything. */
static void async_while_stopped_started_and_closed(void **state)
{
    (void)state;
    for (int i = 0; i < support_times(100); i++) {
        gcore_hub *hub = hub_new();
        struct ping ping = {0};
        gcore_completion out[2];
        pthread_t thread;

        assert_ok(gcore_async_new(hub, &ping.watch));
        thread = thread_start(send_until, &ping);
        for (int j = 0; j < 50; j++) {
            started(ping.watch);
            gcore_hub_poll(hub, out, 2, GCORE_NOW);
            gcore_watch_stop(ping.watch);
        }
        started(ping.watch);
        hub_end(hub);
        atomic_store(&ping.seen, 1);
        thread_join(thread);
        gcore_watch_unref(ping.watch);
    }
}

/* stat */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void folder_make(void)
{
    strcpy(folder, "/tmp/gcore-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void folder_remove(void)
{
    unlink(in_folder("file"));
    assert_int_equal(rmdir(folder), 0);
}

static void write_file(const char *text)
{
    FILE *file = fopen(in_folder("file"), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Polls until the watch has told and the condition holds: a change of a file
 * is several changes (created, written). */
#define poll_until(hub, condition)                                            \
    do {                                                                      \
        gcore_completion one_;                                                \
                                                                              \
        poll_for(hub, &one_, 1);                                              \
        assert_int_equal(one_.result, 0);                                     \
    } while (!(condition))

static gcore_file_info last(gcore_watch *watch)
{
    gcore_file_info info = {.size = sizeof info};

    assert_ok(gcore_stat_last(watch, &info));
    return info;
}

static gcore_file_info previous(gcore_watch *watch)
{
    gcore_file_info info = {.size = sizeof info};

    assert_ok(gcore_stat_previous(watch, &info));
    return info;
}

static void stat_arguments(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_file_info info = {.size = sizeof info};
    gcore_watch *watch = NULL;

    (void)state;
    assert_error(gcore_stat_new(hub, NULL, 0, &watch), -EINVAL);
    assert_error(gcore_stat_new(hub, "", 0, &watch), -EINVAL);
    assert_error(gcore_stat_new(hub, "/", -1, &watch), -EINVAL);
    assert_null(watch);
    assert_ok(gcore_stat_new(hub, "/", 7 * SECOND, &watch));
    assert_string_equal(gcore_stat_path(watch), "/");
    assert_int_equal(gcore_stat_interval(watch), 7 * SECOND);
    info.size = 0;
    assert_error(gcore_stat_last(watch, &info), -EINVAL);
    gcore_watch_unref(watch);
    assert_ok(gcore_timer_new(hub, &watch));
    info.size = sizeof info;
    assert_error(gcore_stat_last(watch, &info), -EINVAL);
    assert_error(gcore_stat_previous(watch, &info), -EINVAL);
    gcore_watch_unref(watch);
    hub_end(hub);
}

static void stat_sees_a_file_come_change_and_go(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch;
    struct stat real;

    (void)state;
    folder_make();
    assert_ok(gcore_stat_new(hub, in_folder("file"), 100 * MS, &watch));
    started(watch);
    assert_int_equal(last(watch).links, 0);

    write_file("abc");
    poll_until(hub, last(watch).length == 3);
    assert_int_equal(stat(in_folder("file"), &real), 0);
    assert_int_equal(last(watch).links, 1);
    assert_int_equal(last(watch).inode, real.st_ino);
    assert_int_equal(last(watch).device, real.st_dev);
    assert_int_equal(last(watch).mode, real.st_mode);
    assert_int_equal(last(watch).user, real.st_uid);
    assert_int_equal(last(watch).group, real.st_gid);
    assert_int_equal(last(watch).modified,
                     real.st_mtim.tv_sec * SECOND + real.st_mtim.tv_nsec);

    write_file("abcdef");
    poll_until(hub, last(watch).length == 6);
    assert_true(previous(watch).length < 6);

    assert_int_equal(unlink(in_folder("file")), 0);
    poll_until(hub, last(watch).links == 0);
    assert_int_equal(previous(watch).links, 1);
    assert_int_equal(last(watch).length, 0);

    end_watch(watch);
    folder_remove();
    hub_end(hub);
}

static void stat_on_several_hubs_and_watches(void **state)
{
    gcore_hub *hubs[2] = {hub_new(), hub_new()};
    gcore_watch *watches[4];

    (void)state;
    folder_make();
    for (int i = 0; i < 4; i++) {
        assert_ok(gcore_stat_new(hubs[i / 2], in_folder("file"), 100 * MS,
                                 &watches[i]));
        started(watches[i]);
    }
    write_file("x");
    for (int i = 0; i < 4; i += 2)
        poll_until(hubs[i / 2], last(watches[i]).length == 1 &&
                                    last(watches[i + 1]).length == 1);
    for (int i = 0; i < 4; i++)
        end_watch(watches[i]);
    folder_remove();
    hub_end(hubs[0]);
    hub_end(hubs[1]);
}

static void stat_of_a_relative_path_looks_again_and_again(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_watch *watch;
    gcore_completion out;
    char before[256];

    (void)state;
    folder_make();
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_ok(gcore_stat_new(hub, "file", 100 * MS, &watch));
    started(watch);
    assert_int_equal(hub_poll_again(hub, &out, 1, after(250 * MS)), 0);
    write_file("x");
    poll_until(hub, last(watch).length == 1);
    end_watch(watch);
    assert_int_equal(chdir(before), 0);
    folder_remove();
    hub_end(hub);
}

struct seen {
    gcore_hub *hub;
    gcore_watch *watch;
};

static void stat_in_child(void *arg)
{
    struct seen *seen = arg;

    write_file("child");
    poll_until(seen->hub, last(seen->watch).length == 5);
}

static void stat_after_a_fork(void **state)
{
    struct seen seen = {.hub = hub_new()};

    (void)state;
    folder_make();
    assert_ok(gcore_stat_new(seen.hub, in_folder("file"), 100 * MS,
                             &seen.watch));
    started(seen.watch);
    in_child(stat_in_child, &seen);
    poll_until(seen.hub, last(seen.watch).length == 5);
    end_watch(seen.watch);
    folder_remove();
    hub_end(seen.hub);
}

/* deadlines of any kind */

static void each_kind_gives_up_at_its_deadline(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_completion out[3];
    gcore_watch *watches[3];

    (void)state;
    assert_ok(gcore_async_new(hub, &watches[0]));
    assert_ok(gcore_stat_new(hub, "/", 0, &watches[1]));
    assert_ok(gcore_fork_new(hub, &watches[2]));
    for (int i = 0; i < 3; i++)
        assert_ok(gcore_watch_start(watches[i], 0, after(MS), GCORE_COMPLETE,
                                    watches[i]));
    poll_for(hub, out, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(out[i].result, -ETIMEDOUT);
    assert_error(hub_poll_again(hub, out, 1, GCORE_FOREVER), -GCORE_EIDLE);
    for (int i = 0; i < 3; i++)
        gcore_watch_unref(watches[i]);
    hub_end(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(idle_comes_when_nothing_else_does),
        TEST(idle_yields_to_its_own_priority_and_above),
        TEST(the_priority_of_a_started_watch_can_change),
        TEST(not_while_a_completion_is_ready),
        TEST(prepare_before_and_check_after_the_wait),
        TEST(prepare_can_make_something_ready),
        TEST(async_is_told_once_however_often_sent),
        TEST(async_from_another_thread),
        TEST(async_while_stopped_started_and_closed),
        TEST(stat_arguments),
        TEST(stat_sees_a_file_come_change_and_go),
        TEST(stat_on_several_hubs_and_watches),
        TEST(stat_of_a_relative_path_looks_again_and_again),
        TEST(stat_after_a_fork),
        TEST(each_kind_gives_up_at_its_deadline),
    };

    return RUN(tests);
}
