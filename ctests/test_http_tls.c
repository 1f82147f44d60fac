/* The HTTP server on streams, plain and under TLS: everything that depends on
 * how bytes go in and out. */
#include "http.h"
#include "net.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef GCORE_WITH_TLS

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static char path[] = "/tmp/gcore-http-XXXXXX";

/* A certificate that vouches for itself, and its key, in one file. */
static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    FILE *file = fdopen(mkstemp(path), "w");

    assert_non_null(file);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, x509), 1);
    assert_int_equal(
        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
}

/* A connection: the server's end is served, the client's is a stream. */

typedef struct line {
    echo_server server;
    gcore_stream *client;
    char got[2 << 20];
    size_t size;
    int ended;
    int64_t end;
} line;

static line it; /* too big for the stack */

static void collect(void *arg, void *data, int64_t result)
{
    (void)arg;
    if (result <= 0) {
        it.end = result;
        it.ended++;
        return;
    }
    assert_true(it.size + (size_t)result < sizeof it.got);
    memcpy(it.got + it.size, data, (size_t)result);
    it.size += (size_t)result;
}

static void shake(gcore_stream *served)
{
    gcore_tls_options options = {.size = sizeof options, .certificate = path};
    gcore_tls *server, *client;
    told ends[2] = {{0}};

    assert_ok(gcore_tls_new(&options, &server));
    options = (gcore_tls_options){.size = sizeof options,
                                  .flags = GCORE_TLS_NO_VERIFY};
    assert_ok(gcore_tls_new(&options, &client));
    assert_ok(gcore_stream_start_tls(served, server, GCORE_TLS_SERVER, NULL,
                                     after(PATIENCE), tell, &ends[0]));
    assert_ok(gcore_stream_start_tls(it.client, client, GCORE_TLS_CLIENT,
                                     NULL, after(PATIENCE), tell, &ends[1]));
    UNTIL(it.server.hub, ends[0].count && ends[1].count);
    assert_int_equal(ends[0].result, 0);
    assert_int_equal(ends[1].result, 0);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}

static gcore_stream *open_line(bool tls)
{
    gcore_stream *served;
    int ends[2];

    it.size = 0;
    it.ended = 0;
    tcp_pair(ends);
    assert_ok(gcore_stream_new(it.server.hub, ends[0], NULL, &served));
    assert_ok(gcore_stream_new(it.server.hub, ends[1], NULL, &it.client));
    if (tls)
        shake(served);
    assert_ok(gcore_stream_start(it.client, collect, NULL));
    return served;
}

static void connect_line(bool tls)
{
    gcore_stream *served = open_line(tls);

    assert_ok(gcore_http_server_adopt_stream(it.server.server, served));
}

static void say(const char *text, size_t size)
{
    gcore_piece piece = {text, size};

    assert_true(gcore_stream_write(it.client, &piece, 1) >= 0);
}

/* Until the answers that came end with that text. */
static void await_end(const char *text)
{
    size_t size = strlen(text);

    UNTIL(it.server.hub, it.size >= size &&
                             memcmp(it.got + it.size - size, text, size) == 0);
}

static void hang_up(void)
{
    gcore_stream_close(it.client);
    gcore_stream_unref(it.client);
}

static void echoes(bool tls)
{
    static char large[300000];
    static const char get[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char last[] = "GET /3 HTTP/1.1\r\nHost: a\r\n"
                               "Connection: close\r\n\r\n";
    char head[100];

    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '!';
    echo_open(&it.server, NULL);
    connect_line(tls);
    say(get, sizeof get - 1);
    await_end("GET /2 ");
    snprintf(head, sizeof head,
             "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
             sizeof large);
    say(head, strlen(head));
    say(large, sizeof large);
    await_end("x!");
    assert_true(it.size > sizeof large);
    say(last, sizeof last - 1);
    await_end("GET /3 ");
    UNTIL(it.server.hub, it.ended);
    hang_up();
    echo_close(&it.server);
}

/* One byte a record. */
static void byte_by_byte(bool tls)
{
    static const char post[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n";

    echo_open(&it.server, NULL);
    connect_line(tls);
    for (size_t i = 0; i < sizeof post - 1; i++)
        say(post + i, 1);
    await_end("POST / hello");
    say("GARBAGE\r\n", 9);
    await_end("request line is not method, target, version\n");
    UNTIL(it.server.hub, it.ended);
    hang_up();
    echo_close(&it.server);
}

/* The end of a body and the next request, of which under TLS the kernel
 * knows nothing any more once the body has been read. */
static void behind_a_body(bool tls)
{
    static const char head[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n.";
    static const char rest[] = "body!"
                               "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

    echo_open(&it.server, NULL);
    connect_line(tls);
    say(head, sizeof head - 1);
    UNTIL(it.server.hub, it.server.handled == 1);
    say(rest, sizeof rest - 1);
    await_end("GET /2 ");
    hang_up();
    echo_close(&it.server);
}

static void files(bool tls)
{
    static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static char much[1 << 19];
    gcore_http_request *request = NULL;
    int fd = memfd_create("file", MFD_CLOEXEC);
    const void *bytes;
    told sent = {0};
    size_t size;

    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    taking_open(&it.server, NULL);
    connect_line(tls);
    say(get, sizeof get - 1);
    UNTIL(it.server.hub,
          gcore_http_server_take(it.server.server, &request, 1) == 1);
    assert_error(gcore_http_take_over(request, &bytes, &size), -ENOTSUP);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    assert_ok(gcore_http_send_file(request, fd, 0, 1 << 20, tell, &sent));
    UNTIL(it.server.hub, sent.count);
    assert_int_equal(sent.result, 0);
    if (gcore_http_send_data(request, much, sizeof much, tell, &sent) == 0)
        UNTIL(it.server.hub, sent.count == 2);
    assert_int_equal(sent.result, 0);
    assert_ok(gcore_http_finish(request));
    gcore_http_request_unref(request);
    await_end("\r\n0\r\n\r\n");
    assert_true(it.size > (1 << 20) + sizeof much);
    close(fd);
    hang_up();
    echo_close(&it.server);
}

static bool has_come(const char *text)
{
    return memmem(it.got, it.size, text, strlen(text)) != NULL;
}

/* The k-th allocation fails: the connection ends, or all is answered. */
static void without_memory(bool tls)
{
    static const char asked[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n";
    gcore_piece piece = {asked, sizeof asked - 1};
    bool failed = true;

    for (int k = 1; failed; k++) {
        gcore_stream *served;
        bool adopted, sent;

        echo_open(&it.server, NULL);
        served = open_line(tls);
        support_fail_allocation(k);
        adopted = gcore_http_server_adopt_stream(it.server.server,
                                                 served) == 0;
        sent = gcore_stream_write(it.client, &piece, 1) >= 0;
        if (adopted && sent)
            UNTIL(it.server.hub, it.ended || has_come("GET /last "));
        support_fail_allocation(0);
        failed = support_allocation_failed();
        assert_true(failed || has_come("POST / hello"));
        if (!adopted)
            gcore_stream_unref(served);
        hang_up();
        echo_close(&it.server);
        assert_true(k < 100);
    }
}

/* An answer that ends with the connection and is given up in the middle must
 * not look whole: no end in TLS, no end of the socket, but a reset. */
static void cut_answers(bool tls)
{
    static const char get[] = "GET / HTTP/1.0\r\n\r\n";
    gcore_http_request *request = NULL;

    taking_open(&it.server, NULL);
    connect_line(tls);
    say(get, sizeof get - 1);
    UNTIL(it.server.hub,
          gcore_http_server_take(it.server.server, &request, 1) == 1);
    assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
    assert_true(gcore_http_write(request, "half", 4) >= 0);
    UNTIL(it.server.hub, it.size > 4);
    gcore_http_request_unref(request);
    UNTIL(it.server.hub, it.ended);
    assert_int_equal(it.end, -ECONNRESET);
    hang_up();
    echo_close(&it.server);
}

/* What there is of it is sent; TLS says then that it was not all. */
static void cut_politely(bool tls)
{
    static const char *const heads[] = {
        "GET / HTTP/1.0\r\n\r\n",
        /* after which the server reads on before it closes */
        "POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\n",
    };
    gcore_http_request *request = NULL;

    for (int i = 0; i < 2; i++) {
        taking_open(&it.server, NULL);
        connect_line(tls);
        say(heads[i], strlen(heads[i]));
        UNTIL(it.server.hub,
              gcore_http_server_take(it.server.server, &request, 1) == 1);
        assert_ok(gcore_http_start(request, 200, NULL, NULL, 0));
        assert_true(gcore_http_write(request, "half", 4) >= 0);
        assert_ok(gcore_http_cut(request));
        gcore_http_request_unref(request);
        UNTIL(it.server.hub, it.ended);
        assert_memory_equal(it.got + it.size - 4, "half", 4);
        assert_int_equal(it.end, tls ? -ECONNRESET : 0);
        hang_up();
        echo_close(&it.server);
    }
}

static void plain_cut_politely(void **state)
{
    (void)state;
    cut_politely(false);
}

static void tls_cut_politely(void **state)
{
    (void)state;
    cut_politely(true);
}

static void plain_cut_answers(void **state)
{
    (void)state;
    cut_answers(false);
}

static void tls_cut_answers(void **state)
{
    (void)state;
    cut_answers(true);
}

static void plain_echoes(void **state)
{
    (void)state;
    echoes(false);
}

static void tls_echoes(void **state)
{
    (void)state;
    echoes(true);
}

static void plain_bytes(void **state)
{
    (void)state;
    byte_by_byte(false);
}

static void tls_bytes(void **state)
{
    (void)state;
    byte_by_byte(true);
}

static void plain_behind_a_body(void **state)
{
    (void)state;
    behind_a_body(false);
}

static void tls_behind_a_body(void **state)
{
    (void)state;
    behind_a_body(true);
}

static void plain_files(void **state)
{
    (void)state;
    files(false);
}

static void tls_files(void **state)
{
    (void)state;
    files(true);
}

static void plain_without_memory(void **state)
{
    (void)state;
    without_memory(false);
}

static void tls_without_memory(void **state)
{
    (void)state;
    without_memory(true);
}

/* A client that asks for new keys again and again, and does not read: in the
 * end the server cannot tell that it has them. */

enum { UPDATES = 500 };

static SSL *raw_client(int fd)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);

    SSL_CTX_free(context);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_connect_state(ssl);
    return ssl;
}

static SSL *raw_line(int *fd)
{
    gcore_tls_options options = {.size = sizeof options, .certificate = path};
    int ends[2], plenty = 1 << 20;
    told shaken = {0};
    gcore_stream *served;
    gcore_tls *tls;
    SSL *ssl;

    tcp_pair_small(ends); /* this way only: */
    setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &plenty, sizeof plenty);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &plenty, sizeof plenty);
    assert_ok(gcore_stream_new(it.server.hub, ends[0], NULL, &served));
    assert_ok(gcore_tls_new(&options, &tls));
    assert_ok(gcore_stream_start_tls(served, tls, GCORE_TLS_SERVER, NULL,
                                     after(PATIENCE), tell, &shaken));
    gcore_tls_unref(tls);
    ssl = raw_client(ends[1]);
    UNTIL(it.server.hub, SSL_do_handshake(ssl) == 1 && shaken.count);
    assert_int_equal(shaken.result, 0);
    assert_ok(gcore_http_server_adopt_stream(it.server.server, served));
    *fd = ends[1];
    return ssl;
}

static void count_turn(void *arg, int64_t result)
{
    if (result >= 0)
        ++*(int *)arg;
}

/* The hub has nothing to do. */
static void assert_quiet(void)
{
    int turns = 0;
    gcore_watch *watch;
    gcore_completion out;

    net_settle(it.server.hub);
    assert_ok(gcore_check_new(it.server.hub, &watch));
    assert_ok(gcore_watch_start(watch, 0, GCORE_FOREVER, count_turn, &turns));
    hub_poll_again(it.server.hub, &out, 1, after(50 * MS));
    gcore_watch_stop(watch);
    gcore_watch_unref(watch);
    assert_in_range(turns, 0, 20);
}

static void new_keys(void **state)
{
    static const char get[] = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    int fd, size = (int)sizeof get - 1, got;
    SSL *ssl;

    (void)state;
    echo_open(&it.server, NULL);
    ssl = raw_line(&fd);
    for (int i = 0; i < UPDATES; i++) {
        assert_int_equal(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
        net_turn(it.server.hub);
    }
    assert_int_equal(SSL_write(ssl, get, size), size);
    assert_quiet();
    assert_int_equal(it.server.handled, 0);
    UNTIL(it.server.hub, (got = SSL_read(ssl, it.got, sizeof it.got)) > 0);
    assert_memory_equal(it.got, "HTTP/1.1 200 OK\r\n", 17);
    assert_memory_equal(it.got + got - 7, "GET /1 ", 7);
    SSL_free(ssl);
    close(fd);
    echo_close(&it.server);
}

static void busy_streams(void **state)
{
    gcore_stream *stream;
    gcore_hub *other = hub_new();
    int ends[2];

    (void)state;
    echo_open(&it.server, NULL);
    tcp_pair(ends);
    assert_ok(gcore_stream_new(it.server.hub, ends[0], NULL, &stream));
    assert_ok(gcore_stream_start(stream, collect, NULL));
    assert_error(gcore_http_server_adopt_stream(it.server.server, stream),
                 -EBUSY);
    gcore_stream_stop(stream);
    gcore_stream_close(stream);
    assert_error(gcore_http_server_adopt_stream(it.server.server, stream),
                 -ESHUTDOWN);
    gcore_stream_unref(stream);
    assert_ok(gcore_stream_new(other, ends[1], NULL, &stream));
    assert_error(gcore_http_server_adopt_stream(it.server.server, stream),
                 -EINVAL);
    gcore_stream_unref(stream);
    hub_end(other);
    echo_close(&it.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_echoes), TEST(tls_echoes), TEST(plain_bytes),
        TEST(tls_bytes),    TEST(plain_behind_a_body),
        TEST(tls_behind_a_body), TEST(plain_files), TEST(tls_files),
        TEST(plain_cut_answers), TEST(tls_cut_answers),
        TEST(plain_without_memory), TEST(tls_without_memory), TEST(new_keys),
        TEST(plain_cut_politely), TEST(tls_cut_politely), TEST(busy_streams),
    };
    int failed;

    make_certificate();
    failed = RUN(tests);
    unlink(path);
    return failed;
}

#else

int main(void)
{
    return 0;
}

#endif
