/* Files through streams. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <signal.h>
#include <unistd.h>

static int file_of(const char *bytes, size_t length)
{
    char path[] = "/tmp/gcore-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(write(fd, bytes, length), length);
    return fd;
}

static void arguments_are_checked_on(gcore_hub *hub)
{
    int peer, file = file_of("0123456789", 10), ends[2];
    gcore_stream *stream = stream_and_peer(hub, &peer);

    make_pipe(ends);
    assert_int_equal(gcore_stream_sendfile(stream, file, -1, 1), -EINVAL);
    assert_int_equal(gcore_stream_sendfile(stream, file, 0, -1), -EINVAL);
    assert_int_equal(gcore_stream_sendfile(stream, file, 1, INT64_MAX),
                     -EINVAL);
    assert_int_equal(gcore_stream_sendfile(stream, ends[0], 0, 1), -EINVAL);
    assert_int_equal(gcore_stream_sendfile(stream, -1, 0, 1), -EBADF);
    assert_int_equal(gcore_stream_sendfile(stream, file, 0, 0), 0);
    assert_int_equal(gcore_stream_sendfile(stream, file, 3, 4), 0);
    fd_expect(hub, peer, "3456", 4);
    gcore_stream_close(stream);
    assert_int_equal(gcore_stream_sendfile(stream, file, 0, 1), -ESHUTDOWN);
    gcore_stream_unref(stream);
    close(peer);
    close(file);
    close_pipe(ends);
}
ON_EACH_BACKEND(arguments_are_checked)

/* Between bytes, in order, the descriptor closed before it has gone out. */
static void files_keep_their_place_on(gcore_hub *hub)
{
    enum { LENGTH = 700000, SKIP = 12345 };
    char *bytes = pattern(LENGTH);
    int peer, file = file_of(bytes, LENGTH);
    gcore_stream *stream = stream_and_slow_peer(hub, &peer);
    told one = {0};

    assert_true(WRITE_TEXT(stream, "head") >= 0);
    assert_true(gcore_stream_sendfile(stream, file, SKIP, LENGTH - SKIP) > 0);
    assert_true(WRITE_TEXT(stream, "between") > 0);
    assert_true(gcore_stream_sendfile(stream, file, 0, 100) > 0);
    assert_true(WRITE_TEXT(stream, "tail") > 0);
    close(file);
    assert_ok(gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one));
    fd_expect(hub, peer, "head", 4);
    fd_expect(hub, peer, bytes + SKIP, LENGTH - SKIP);
    fd_expect(hub, peer, "between", 7);
    fd_expect(hub, peer, bytes, 100);
    fd_expect(hub, peer, "tail", 4);
    UNTIL(hub, one.count);
    assert_int_equal(one.result, 0);
    gcore_stream_unref(stream);
    close(peer);
    free(bytes);
}
ON_EACH_BACKEND(files_keep_their_place)

static void a_short_file_ends_the_writing_on(gcore_hub *hub)
{
    int peer, file = file_of("0123456789", 10);
    gcore_stream *stream = stream_and_peer(hub, &peer);
    told one = {0};
    int64_t result = gcore_stream_sendfile(stream, file, 5, 10);

    fd_expect(hub, peer, "56789", 5);
    if (result > 0) {
        if (gcore_stream_drain(stream, 0, GCORE_FOREVER, tell, &one) == 0) {
            UNTIL(hub, one.count);
            assert_int_equal(one.result, -ENODATA);
        }
    } else {
        assert_int_equal(result, -ENODATA);
    }
    assert_int_equal(WRITE_TEXT(stream, "x"), -ENODATA);
    gcore_stream_unref(stream);
    assert_int_equal(fd_end(hub, peer), 0);
    close(peer);
    close(file);
}
ON_EACH_BACKEND(a_short_file_ends_the_writing)

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* No SIGPIPE, and one that the program has blocked itself stays as it is. */
static void a_peer_that_is_gone_on(gcore_hub *hub)
{
    char *bytes = pattern(100000);
    int peer, file = file_of(bytes, 100000);
    gcore_stream *stream;
    int64_t result;
    int64_t deadline = after(PATIENCE);

    signal(SIGPIPE, count_signal);
    stream = stream_and_peer(hub, &peer);
    close(peer);
    do {
        result = gcore_stream_sendfile(stream, file, 0, 100000);
        if (result >= 0)
            net_turn(hub);
        assert_true(gcore_clock() < deadline);
    } while (result >= 0);
    assert_true(result == -EPIPE || result == -ECONNRESET);
    assert_true(WRITE_TEXT(stream, "x") < 0);
    assert_int_equal(signals, 0);
    signal(SIGPIPE, SIG_IGN);
    gcore_stream_unref(stream);
    close(file);
    free(bytes);
}
ON_EACH_BACKEND(a_peer_that_is_gone)

static void closing_drops_the_file_on(gcore_hub *hub)
{
    enum { LENGTH = 900000 };
    char *bytes = pattern(LENGTH);
    int peer, file = file_of(bytes, LENGTH);
    gcore_stream *stream = stream_and_slow_peer(hub, &peer);

    assert_true(gcore_stream_sendfile(stream, file, 0, LENGTH) > 0);
    assert_true(gcore_stream_sendfile(stream, file, 0, LENGTH) > 0);
    gcore_stream_close(stream);
    gcore_stream_unref(stream);
    close(peer);
    close(file);
    free(bytes);
}
ON_EACH_BACKEND(closing_drops_the_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),      TEST(files_keep_their_place),
        TEST(a_short_file_ends_the_writing), TEST(a_peer_that_is_gone),
        TEST(closing_drops_the_file),
    };

    return RUN(tests);
}
