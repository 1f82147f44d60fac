/* Answers: what is added, how bodies are framed, streaming, files, and what
 * becomes of the connection. */
#include "http.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_OLD "GET / HTTP/1.0\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"

static peer one;

static int respond(gcore_http_request *request, int status,
                   const char *headers, const char *body)
{
    return gcore_http_respond(request, status, NULL, headers, strlen(headers),
                              body, strlen(body));
}

static gcore_http_request *ask(echo_server *it, const char *text)
{
    peer_say(&one, text);
    return take(it, &one);
}

/* One request, answered in one go; then what came. */
static void answer(echo_server *it, const char *question, int status,
                   const char *headers, const char *body, const char *came)
{
    gcore_http_request *request;

    peer_open(&one, it);
    request = ask(it, question);
    assert_ok(respond(request, status, headers, body));
    gcore_http_request_unref(request);
    expect(it, &one, came);
    peer_close(&one);
}

static void in_one_go(void **state)
{
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    answer(&it, GET, 200, "", "hello",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    answer(&it, GET, 200, "A: b\r\nC:d\r\n", "",
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: b\r\nC:d\r\n\r\n");
    answer(&it, GET, 200, "content-length: 5\r\n", "hello",
           "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    answer(&it, GET, 299, "", "x",
           "HTTP/1.1 299 Unknown\r\nContent-Length: 1\r\n\r\nx");
    answer(&it, GET, 200, "Connection: close\r\n", "x",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n"
           "\r\nxclosed");
    answer(&it, GET_OLD, 200, "", "x",
           "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n"
           "\r\nxclosed");
    answer(&it, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "",
           "x",
           "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
           "Content-Length: 1\r\n\r\nx");
    echo_close(&it);
}

static void without_a_body(void **state)
{
    echo_server it;

    (void)state;
    taking_open(&it, NULL);
    answer(&it, HEAD, 200, "", "hello",
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    answer(&it, HEAD, 200, "", "", "HTTP/1.1 200 OK\r\n\r\n");
    answer(&it, HEAD, 200, "Content-Length: 7\r\n", "",
           "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    answer(&it, GET, 204, "", "", "HTTP/1.1 204 No Content\r\n\r\n");
    answer(&it, GET, 204, "", "dropped", "HTTP/1.1 204 No Content\r\n\r\n");
    answer(&it, GET, 304, "Content-Length: 7\r\n", "",
           "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n");
    echo_close(&it);
}

/* What cannot be sent is refused, and something else may be tried. */
static void wrong_answers(void **state)
{
    static const char *const headers[] = {
        "A: b", "A: b\n", "A: b\r", "A b\r\n", ": b\r\n", "A : b\r\n",
        "A: b\rc\r\n", "A: b\nc\r\n", "A: \x01\r\n", "\r\n",
        "A: b\r\n\r\nevil", "Content-Length: x\r\n", "Content-Length: -1\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
    };
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    request = ask(&it, GET);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_error(respond(request, 200, headers[i], "x"), -EINVAL);
    assert_error(respond(request, 99, "", ""), -EINVAL);
    assert_error(respond(request, 1000, "", ""), -EINVAL);
    assert_error(respond(request, 100, "", ""), -EINVAL);
    assert_error(gcore_http_respond(request, 200, "O\r\nK", NULL, 0, "", 0),
                 -EINVAL);
    assert_error(respond(request, 200, "Content-Length: 2\r\n", "x"),
                 -EMSGSIZE);
    assert_error(gcore_http_write(request, "x", 1), -EINVAL);
    assert_error(gcore_http_finish(request), -EINVAL);
    expect(&it, &one, "");
    assert_ok(respond(request, 200, "", "x"));
    assert_error(respond(request, 200, "", "x"), -EALREADY);
    assert_error(gcore_http_write(request, "x", 1), -EALREADY);
    assert_error(gcore_http_finish(request), -EALREADY);
    gcore_http_request_unref(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    peer_close(&one);
    echo_close(&it);
}

/* Streaming */

static gcore_http_request *begin(echo_server *it, const char *question,
                                 const char *headers)
{
    gcore_http_request *request;

    peer_open(&one, it);
    request = ask(it, question);
    assert_ok(gcore_http_start(request, 200, NULL, headers, strlen(headers)));
    expect(it, &one, "");
    return request;
}

static void write_text(gcore_http_request *request, const char *text)
{
    assert_ok(gcore_http_write(request, text, strlen(text)));
}

static void end(gcore_http_request *request)
{
    assert_ok(gcore_http_finish(request));
    gcore_http_request_unref(request);
}

static void chunked(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET, "");
    write_text(request, "hello");
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nhello\r\n");
    write_text(request, "");
    expect(&it, &one, "");
    write_text(request, "0123456789abcdef");
    end(request);
    expect(&it, &one, "10\r\n0123456789abcdef\r\n0\r\n\r\n");
    /* The connection goes on. */
    request = ask(&it, GET);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    end(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    peer_close(&one);
    echo_close(&it);
}

static void with_a_length(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET, "Content-Length: 5\r\n");
    write_text(request, "he");
    assert_error(gcore_http_write(request, "llo!", 4), -EMSGSIZE);
    write_text(request, "llo");
    end(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    peer_close(&one);

    /* The peer sees that something is missing. */
    request = begin(&it, GET, "Content-Length: 5\r\n");
    write_text(request, "he");
    end(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nheclosed");
    peer_close(&one);
    echo_close(&it);
}

static void until_close(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                    "");
    write_text(request, "hello");
    expect(&it, &one, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    end(request);
    expect(&it, &one, "closed");
    peer_close(&one);
    echo_close(&it);
}

static void streamed_without_a_body(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, HEAD, "");
    write_text(request, "dropped");
    expect(&it, &one, "HTTP/1.1 200 OK\r\n\r\n");
    end(request);
    expect(&it, &one, "");
    peer_close(&one);
    echo_close(&it);
}

static void interim(void **state)
{
    static const char link[] = "Link: </x>\r\n";
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    request = ask(&it, GET);
    assert_ok(gcore_http_start(request, 103, NULL, link, sizeof link - 1));
    expect(&it, &one, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_ok(respond(request, 200, "", "x"));
    gcore_http_request_unref(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    peer_close(&one);
    echo_close(&it);
}

/* A peer that does not read for a while: writes say so, and it all comes. */
static void back_pressure(void **state)
{
    enum { PIECE = 100000 };
    static char piece[PIECE];
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    size_t sent = 0, came = 0, size;
    gcore_completion out;

    (void)state;
    memset(piece, 'x', PIECE);
    taking_open(&it, NULL);
    request = begin(&it, GET_OLD, "");
    for (int full = 0; !full; sent += PIECE) {
        full = gcore_http_write(request, piece, PIECE);
        assert_true(full == 0 || full == 1);
        assert_true(sent < 100 << 20);
    }
    assert_ok(gcore_http_wait_sent(request, GCORE_FOREVER, tell, &end_of));
    assert_error(gcore_http_wait_sent(request, GCORE_FOREVER, tell, &end_of),
                 -EALREADY);
    gcore_hub_poll(it.hub, &out, 1, GCORE_NOW);
    assert_int_equal(end_of.count, 0);
    while (end_of.count == 0) {
        settle(&it, &one);
        came += one.size;
        one.size = 0;
    }
    assert_int_equal(end_of.result, 0);
    end(request);
    do {
        settle(&it, &one);
        size = one.size;
        came += size;
        one.size = 0;
    } while (size);
    assert_true(one.closed);
    assert_true(came > sent && came < sent + 200);
    peer_close(&one);
    echo_close(&it);
}

/* The wait for a peer that does not read ends at its deadline. */
static void waiting_in_vain(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    static char piece[1 << 20];
    gcore_completion out;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET_OLD, "");
    while (gcore_http_write(request, piece, sizeof piece) == 0)
        ;
    assert_ok(gcore_http_wait_sent(request, after(MS), tell, &end_of));
    while (end_of.count == 0)
        assert_int_equal(hub_poll_again(it.hub, &out, 1, after(MS)), 0);
    assert_int_equal(end_of.result, -ETIMEDOUT);
    assert_ok(gcore_http_wait_sent(request, GCORE_FOREVER, tell, &end_of));
    gcore_http_cancel_sent(request);
    gcore_http_abort(request);
    assert_error(gcore_http_wait_sent(request, GCORE_FOREVER, tell, &end_of),
                 -ECANCELED);
    gcore_http_request_unref(request);
    assert_int_equal(end_of.count, 1);
    peer_close(&one);
    echo_close(&it);
}

/* Files */

static int make_file(size_t size)
{
    int fd = memfd_create("part", MFD_CLOEXEC);

    for (size_t i = 0; i < size; i++) {
        char byte = (char)('a' + i % 26);

        assert_int_equal(pwrite(fd, &byte, 1, (off_t)i), 1);
    }
    return fd;
}

static void files(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    int fd = make_file(100);

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET, "Content-Length: 12\r\n");
    write_text(request, "<");
    assert_ok(gcore_http_send_file(request, fd, 27, 10, tell, &end_of));
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<bcdefghijk");
    assert_int_equal(end_of.count, 1);
    assert_int_equal(end_of.result, 0);
    write_text(request, ">");
    assert_error(gcore_http_send_file(request, fd, 0, 1, tell, &end_of),
                 -EMSGSIZE);
    assert_error(gcore_http_send_file(request, fd, 0, 0, tell, &end_of),
                 -EINVAL);
    end(request);
    expect(&it, &one, ">");
    peer_close(&one);

    request = begin(&it, GET, "");
    assert_ok(gcore_http_send_file(request, fd, 0, 17, tell, &end_of));
    settle(&it, &one);
    assert_int_equal(end_of.count, 2);
    end(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "11\r\nabcdefghijklmnopq\r\n0\r\n\r\n");
    peer_close(&one);

    /* Nothing of it for HEAD. */
    request = begin(&it, HEAD, "Content-Length: 17\r\n");
    assert_ok(gcore_http_send_file(request, fd, 0, 17, tell, &end_of));
    settle(&it, &one);
    assert_int_equal(end_of.count, 3);
    end(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n");
    peer_close(&one);

    /* A file shorter than it was announced. */
    request = begin(&it, GET, "Content-Length: 1000\r\n");
    assert_ok(gcore_http_send_file(request, fd, 0, 1000, tell, &end_of));
    settle(&it, &one);
    assert_int_equal(end_of.count, 4);
    assert_int_equal(end_of.result, -EBADMSG);
    assert_true(one.closed);
    assert_error(gcore_http_finish(request), -EBADMSG);
    gcore_http_request_unref(request);
    peer_close(&one);
    close(fd);
    echo_close(&it);
}

/* A file that takes many turns, to a peer that reads slowly. */
static void a_large_file(void **state)
{
    enum { SIZE = 5000000 };
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    int fd = memfd_create("large", MFD_CLOEXEC);
    size_t came = 0, size;

    (void)state;
    assert_int_equal(ftruncate(fd, SIZE), 0);
    taking_open(&it, NULL);
    request = begin(&it, GET_OLD, "Content-Length: 5000000\r\n");
    assert_ok(gcore_http_send_file(request, fd, 0, SIZE, tell, &end_of));
    assert_error(gcore_http_write(request, "x", 1), -EBUSY);
    assert_error(gcore_http_finish(request), -EBUSY);
    while (end_of.count == 0) {
        settle(&it, &one);
        came += one.size;
        one.size = 0;
    }
    assert_int_equal(end_of.result, 0);
    end(request);
    do {
        settle(&it, &one);
        size = one.size;
        came += size;
        one.size = 0;
    } while (size);
    assert_true(came > SIZE && came < SIZE + 200);
    close(fd);
    peer_close(&one);
    echo_close(&it);
}

static void a_file_given_up(void **state)
{
    enum { SIZE = 50000000 };
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    int fd = memfd_create("given up", MFD_CLOEXEC);

    (void)state;
    assert_int_equal(ftruncate(fd, SIZE), 0);
    taking_open(&it, NULL);
    request = begin(&it, GET_OLD, "Content-Length: 50000000\r\n");
    gcore_http_cancel_file(request); /* there is none yet */
    assert_ok(gcore_http_send_file(request, fd, 0, SIZE, tell, &end_of));
    gcore_http_cancel_file(request);
    gcore_http_cancel_file(request);
    close(fd);
    assert_error(gcore_http_finish(request), -ECANCELED);
    settle(&it, &one);
    assert_true(one.closed);
    assert_int_equal(end_of.count, 0);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

/* Bytes that are not copied */

enum { LARGE = 5000000 };

static const char *large(void)
{
    static char bytes[LARGE];

    for (size_t i = 0; !bytes[0] && i < LARGE; i++)
        bytes[i] = (char)(1 + i % 127);
    return bytes;
}

static void small_data(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET, "Content-Length: 7\r\n");
    assert_error(gcore_http_send_data(request, "x", 0, tell, &end_of),
                 -EINVAL);
    assert_error(gcore_http_send_data(request, NULL, 1, tell, &end_of),
                 -EINVAL);
    assert_error(gcore_http_send_data(request, "x", 1, NULL, NULL), -EINVAL);
    assert_int_equal(gcore_http_send_data(request, "abc", 3, tell, &end_of),
                     1);
    write_text(request, "<");
    assert_int_equal(gcore_http_send_data(request, "de", 2, tell, &end_of),
                     1);
    write_text(request, ">");
    assert_error(gcore_http_send_data(request, "x", 1, tell, &end_of),
                 -EMSGSIZE);
    end(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabc<de>");
    peer_close(&one);

    request = begin(&it, GET, "");
    assert_int_equal(gcore_http_send_data(request, "abc", 3, tell, &end_of),
                     1);
    end(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n0\r\n\r\n");
    peer_close(&one);

    request = begin(&it, HEAD, "Content-Length: 3\r\n");
    assert_int_equal(gcore_http_send_data(request, "abc", 3, tell, &end_of),
                     1);
    end(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    peer_close(&one);
    assert_int_equal(end_of.count, 0);
    echo_close(&it);
}

/* What came since the last time is a part of `large`, from `*place` on. */
static void take_part(echo_server *it, size_t *place)
{
    settle(it, &one);
    assert_memory_equal(one.got, large() + *place, one.size);
    *place += one.size;
    one.size = 0;
}

static gcore_http_request *begin_large(echo_server *it, told *end_of)
{
    gcore_http_request *request =
        begin(it, GET_OLD, "Content-Length: 5000000\r\n");
    const char *body;

    assert_int_equal(
        gcore_http_send_data(request, large(), LARGE, tell, end_of), 0);
    assert_error(gcore_http_send_data(request, "x", 1, tell, end_of), -EBUSY);
    assert_error(gcore_http_write(request, "x", 1), -EBUSY);
    assert_error(gcore_http_finish(request), -EBUSY);
    assert_int_equal(end_of->count, 0);
    one.size = (size_t)recv(one.fd, one.got, 1000, 0);
    body = memmem(one.got, one.size, "\r\n\r\n", 4);
    assert_non_null(body);
    one.size -= (size_t)(body + 4 - one.got);
    memmove(one.got, body + 4, one.size);
    return request;
}

static void large_data(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;
    size_t place = 0, before;

    (void)state;
    taking_open(&it, NULL);
    request = begin_large(&it, &end_of);
    while (end_of.count == 0)
        take_part(&it, &place);
    assert_int_equal(end_of.result, 0);
    end(request);
    do {
        before = place;
        take_part(&it, &place);
    } while (place > before);
    assert_int_equal(place, LARGE);
    peer_close(&one);
    echo_close(&it);
}

static void data_given_up(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin_large(&it, &end_of);
    gcore_http_cancel_file(request);
    gcore_http_cancel_file(request);
    assert_error(gcore_http_finish(request), -ECANCELED);
    settle(&it, &one);
    assert_true(one.closed);
    assert_int_equal(end_of.count, 0);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

static void data_for_nobody(void **state)
{
    gcore_http_options options = {.size = sizeof options,
                                  .send_timeout = MS};
    echo_server it;
    told end_of[2] = {{0}, {0}};
    gcore_http_request *request;
    gcore_completion out;

    (void)state;
    taking_open(&it, &options);
    request = begin_large(&it, &end_of[0]);
    while (end_of[0].count == 0)
        assert_true(hub_poll_again(it.hub, &out, 1, after(MS)) <= 0);
    assert_int_equal(end_of[0].result, -ETIMEDOUT);
    gcore_http_request_unref(request);
    peer_close(&one);

    request = begin_large(&it, &end_of[1]);
    peer_close(&one);
    settle(&it, &one);
    assert_int_equal(end_of[1].count, 1);
    assert_true(end_of[1].result < 0);
    gcore_http_request_unref(request);
    echo_close(&it);
}

/* A forked child sends nothing of it. */
static void child_turns(void *arg)
{
    echo_server *it = arg;
    size_t place = 0, before;

    do {
        before = place;
        take_part(it, &place);
    } while (place > before);
    CHILD_CHECK(place > 0 && place < LARGE / 2);
}

static void data_after_a_fork(void **state)
{
    echo_server it;
    told end_of = {0};
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin_large(&it, &end_of);
    in_child(child_turns, &it);
    assert_int_equal(end_of.count, 0);
    gcore_http_abort(request);
    gcore_http_request_unref(request);
    peer_close(&one);
    settle(&it, &one);
    echo_close(&it);
}

/* An answer that cannot be completed: what there is arrives, and no end. */
static void cut_short(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    request = begin(&it, GET, "");
    write_text(request, "half");
    assert_ok(gcore_http_cut(request));
    assert_error(gcore_http_cut(request), -EALREADY);
    gcore_http_request_unref(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "4\r\nhalf\r\nclosed");
    peer_close(&one);
    peer_open(&one, &it);
    request = ask(&it, GET);
    assert_error(gcore_http_cut(request), -EINVAL);
    gcore_http_abort(request);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

/* Dropped requests */

static void dropped(void **state)
{
    echo_server it;
    gcore_http_request *request;

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    gcore_http_request_unref(ask(&it, GET));
    expect(&it, &one,
           "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n"
           "Content-Length: 22\r\nContent-Type: text/plain\r\n\r\n"
           "Internal Server Error\nclosed");
    peer_close(&one);

    request = begin(&it, GET, "");
    write_text(request, "half");
    gcore_http_request_unref(request);
    settle(&it, &one);
    assert_true(one.closed);
    assert_null(strstr(one.got, "0\r\n\r\n"));
    peer_close(&one);
    echo_close(&it);
}

/* A body that the application does not read does not become a request. */
static void unread_bodies(void **state)
{
    static const char small[] = "POST / HTTP/1.1\r\nHost: a\r\n"
                                "Content-Length: 28\r\n\r\n"
                                "GET /evil HTTP/1.1\r\n";
    static const char chunks[] = "POST / HTTP/1.1\r\nHost: a\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n"
                                 "1c\r\nGET /evil HTTP/1.1\r\n";
    static const char large[] = "POST / HTTP/1.1\r\nHost: a\r\n"
                                "Content-Length: 100000\r\n\r\nx";
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
    echo_server it;
    gcore_http_request *request;
    char buffer[10];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    for (int i = 0; i < 2; i++) {
        request = ask(&it, i ? chunks : small);
        assert_ok(respond(request, 200, "", "x"));
        assert_int_equal(gcore_http_read(request, buffer, 10), -EALREADY);
        gcore_http_request_unref(request);
        expect(&it, &one, ok);
        peer_say(&one, i ? "A: b\r\n\r\n\r\n0\r\n\r\n" GET
                         : "A: b\r\n\r\n" GET);
        request = take(&it, &one);
        assert_int_equal(gcore_http_request_head(request)->target_size, 1);
        assert_ok(respond(request, 200, "", "x"));
        gcore_http_request_unref(request);
        expect(&it, &one, ok);
    }
    peer_close(&one);

    peer_open(&one, &it);
    request = ask(&it, large);
    assert_ok(respond(request, 200, "", "x"));
    gcore_http_request_unref(request);
    expect(&it, &one,
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxclosed");
    peer_close(&one);
    echo_close(&it);
}

/* Expect: 100-continue */

#define EXPECT "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n" \
               "Expect: 100-Continue\r\n\r\n"

static void expect_continue(void **state)
{
    echo_server it;
    gcore_http_request *request;
    char buffer[10];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    request = ask(&it, EXPECT);
    expect(&it, &one, "");
    assert_int_equal(gcore_http_read(request, buffer, 10), -EAGAIN);
    assert_int_equal(gcore_http_read(request, buffer, 10), -EAGAIN);
    expect(&it, &one, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_say(&one, "abc");
    assert_int_equal(gcore_http_read(request, buffer, 10), 3);
    assert_int_equal(gcore_http_read(request, buffer, 10), 0);
    assert_ok(respond(request, 200, "", "x"));
    gcore_http_request_unref(request);
    expect(&it, &one, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");

    /* Answered without asking for the body: it may or may not come. */
    request = ask(&it, EXPECT);
    assert_ok(respond(request, 417, "", "x"));
    gcore_http_request_unref(request);
    expect(&it, &one,
           "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\n"
           "Content-Length: 1\r\n\r\nxclosed");
    peer_close(&one);

    /* One that has come already need not be asked for. */
    peer_open(&one, &it);
    request = ask(&it, "POST / HTTP/1.0\r\nContent-Length: 3\r\n"
                       "Expect: 100-continue\r\n\r\n");
    assert_int_equal(gcore_http_read(request, buffer, 10), -EAGAIN);
    expect(&it, &one, "");
    gcore_http_abort(request);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

static void trailers(void **state)
{
    echo_server it;
    gcore_http_request *request;
    const gcore_http_field *fields;
    const char *block;
    char buffer[10];

    (void)state;
    taking_open(&it, NULL);
    peer_open(&one, &it);
    request = ask(&it, "POST / HTTP/1.1\r\nHost: a\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n"
                       "3\r\nabc\r\n0\r\nX-Sum: 1 2 \r\nY:\r\n\r\n");
    assert_error(gcore_http_trailers(request, &block, &fields), -EAGAIN);
    assert_int_equal(gcore_http_read(request, buffer, 10), 3);
    assert_int_equal(gcore_http_read(request, buffer, 10), 0);
    assert_int_equal(gcore_http_trailers(request, &block, &fields), 2);
    assert_int_equal(fields[0].name_size, 5);
    assert_memory_equal(block + fields[0].name, "X-Sum", 5);
    assert_int_equal(fields[0].value_size, 3);
    assert_memory_equal(block + fields[0].value, "1 2", 3);
    assert_int_equal(fields[1].value_size, 0);
    gcore_http_request_unref(request);
    peer_close(&one);
    echo_close(&it);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_one_go),
        TEST(without_a_body),
        TEST(wrong_answers),
        TEST(chunked),
        TEST(with_a_length),
        TEST(until_close),
        TEST(streamed_without_a_body),
        TEST(interim),
        TEST(back_pressure),
        TEST(waiting_in_vain),
        TEST(files),
        TEST(a_large_file),
        TEST(a_file_given_up),
        TEST(small_data),
        TEST(large_data),
        TEST(data_given_up),
        TEST(data_for_nobody),
        TEST(data_after_a_fork),
        TEST(cut_short),
        TEST(dropped),
        TEST(unread_bodies),
        TEST(expect_continue),
        TEST(trailers),
    };

    return RUN(tests);
}
