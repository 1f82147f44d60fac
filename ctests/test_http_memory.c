/* The HTTP server's whole interface while the k-th allocation fails, for each
 * k: an error is returned or told, the connection ends or goes on, nothing is
 * left behind, nothing is told twice. */
#include "http.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: a\r\n"
#define PROXY "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"

static peer one;
static char much[1 << 20];

/* What the application has begun, and been told. */
typedef struct scene {
    echo_server it;
    gcore_http_request *request;
    int file;
    int waits; /* started */
    int told;
} scene;

static void note(void *arg, int64_t result)
{
    scene *at = arg;

    (void)result;
    at->told++;
}

static void next(scene *at)
{
    settle(&at->it, &one);
    gcore_http_server_take(at->it.server, &at->request, 1);
}

static void let_go(scene *at)
{
    gcore_http_request_unref(at->request);
    at->request = NULL;
}

/* Steps: each does what it can with the request that there is. */

static void trailers(scene *at)
{
    const gcore_http_field *fields;
    const char *block;
    char buffer[4];
    int64_t got = 1;

    if (gcore_http_wait_body(at->request, GCORE_FOREVER, note, at) == 0)
        at->waits++;
    settle(&at->it, &one);
    peer_say(&one, "5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n");
    settle(&at->it, &one);
    while (got > 0)
        got = gcore_http_read(at->request, buffer, sizeof buffer);
    if (got == 0)
        assert_int_equal(gcore_http_trailers(at->request, &block, &fields),
                         2);
    gcore_http_start(at->request, 103, NULL, NULL, 0);
    gcore_http_respond(at->request, 200, NULL, "A: b\r\n", 6, "x", 1);
}

static void streaming(scene *at)
{
    if (gcore_http_start(at->request, 200, NULL, NULL, 0) < 0)
        return;
    for (int i = 0; i < 20; i++)
        gcore_http_write(at->request, much, 1);
    gcore_http_write(at->request, much, sizeof much);
    if (gcore_http_wait_sent(at->request, GCORE_FOREVER, note, at) == 0)
        at->waits++;
    settle(&at->it, &one);
    one.size = 0;
    if (gcore_http_send_data(at->request, much, sizeof much, note, at) == 0)
        at->waits++;
    settle(&at->it, &one);
    if (gcore_http_send_file(at->request, at->file, 0, 1000, note, at) == 0)
        at->waits++;
    settle(&at->it, &one);
    gcore_http_finish(at->request);
}

static void taking_over(scene *at)
{
    const void *bytes;
    size_t size;
    int fd = gcore_http_take_over(at->request, &bytes, &size);

    if (fd >= 0)
        close(fd);
}

static void play(scene *at)
{
    static const char *const requests[] = {
        PROXY "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
              "Expect: 100-continue\r\n\r\n",
        PROXY "GET / HTTP/1.1\r\n" HOST "X: folded\r\n too\r\n\r\n",
        PROXY "GET / HTTP/1.1\r\n" HOST "Upgrade: x\r\n"
              "Connection: upgrade\r\n\r\nearly",
        PROXY "GET / HTTP/1.1\r\n" HOST HOST "\r\n",
    };
    static void (*const steps[])(scene *at) = {trailers, streaming,
                                               taking_over, NULL};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        peer_open_if(&one, &at->it);
        if (one.fd < 0)
            continue;
        peer_say(&one, requests[i]);
        next(at);
        if (at->request && steps[i])
            steps[i](at);
        let_go(at);
        settle(&at->it, &one);
        if (i + 1 < sizeof steps / sizeof *steps)
            peer_close(&one);
    }
    if (gcore_http_server_drain(at->it.server, GCORE_FOREVER, note, at) == 0)
        at->waits++;
    if (one.fd >= 0)
        peer_close(&one);
    settle(&at->it, &one);
}

static void everything(void **state)
{
    gcore_http_options options = {
        .size = sizeof options,
        .flags = GCORE_HTTP_PROXY | GCORE_HTTP_REPORT |
                 GCORE_HTTP_ALLOW_FOLDED,
        .coalesce = 3600 * SECOND,
    };
    bool failed = true;
    int k;

    (void)state;
    for (k = 1; failed; k++) {
        scene at = {.file = memfd_create("part", MFD_CLOEXEC)};

        assert_int_equal(ftruncate(at.file, 1000), 0);
        one = (peer){.fd = -1};
        taking_open(&at.it, &options);
        support_fail_allocation(k);
        play(&at);
        support_fail_allocation(0);
        failed = support_allocation_failed();
        settle(&at.it, &one);
        assert_int_equal(at.told, at.waits);
        if (!failed)
            assert_int_equal(at.waits, 5);
        echo_close(&at.it);
        close(at.file);
        assert_true(k < 1000);
    }
    assert_true(k > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything),
    };

    return RUN(tests);
}
