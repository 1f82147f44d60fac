/* Streams under TLS. */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef GCORE_WITH_TLS

#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* Certificates: made here, for each name one that vouches for itself. */

static char folder[] = "/tmp/gcore-tls-XXXXXX";
static char paths[2][64];
static const char *const names[2] = {"localhost", "other.test"};

static void write_certificate(const char *path, const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    X509_NAME *subject = X509_get_subject_name(x509);
    X509_EXTENSION *extension;
    char text[64];
    FILE *file = fopen(path, "w");

    assert_non_null(key);
    assert_non_null(file);
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 24 * 3600);
    X509_set_pubkey(x509, key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(x509, subject);
    snprintf(text, sizeof text, "DNS:%s", name);
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, x509), 1);
    assert_int_equal(
        PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static int make_certificates(void)
{
    if (!mkdtemp(folder))
        return -1;
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%d.pem", folder, i);
        write_certificate(paths[i], names[i]);
    }
    return 0;
}

static void remove_certificates(void)
{
    unlink(paths[0]);
    unlink(paths[1]);
    rmdir(folder);
}

/* Two ends of a connection under TLS */

static gcore_tls *make_tls(const gcore_tls_options *options)
{
    gcore_tls *tls = NULL;
    int error = gcore_tls_new(options, &tls);

    if (error < 0)
        print_error("%s\n", gcore_tls_reason());
    assert_ok(error);
    return tls;
}

static gcore_tls *server_tls(unsigned flags, const char *protocols)
{
    gcore_tls_options options = {
        .size = sizeof options,
        .flags = flags,
        .certificate = paths[0],
        .authorities = paths[0],
        .protocols = protocols,
    };

    return make_tls(&options);
}

static gcore_tls *client_tls(unsigned flags, const char *protocols)
{
    gcore_tls_options options = {
        .size = sizeof options,
        .flags = flags,
        .authorities = paths[0],
        .protocols = protocols,
    };

    return make_tls(&options);
}

struct two {
    gcore_stream *server;
    gcore_stream *client;
    told told[2];
};

static void make_streams(gcore_hub *hub, struct two *it, bool small)
{
    int ends[2];

    memset(it, 0, sizeof *it);
    if (small)
        tcp_pair_small(ends);
    else
        tcp_pair(ends);
    assert_ok(gcore_stream_new(hub, ends[0], NULL, &it->server));
    assert_ok(gcore_stream_new(hub, ends[1], NULL, &it->client));
}

static void begin(struct two *it, gcore_tls *server, gcore_tls *client,
                  const char *name)
{
    assert_ok(gcore_stream_start_tls(it->server, server, GCORE_TLS_SERVER,
                                     NULL, after(PATIENCE), tell,
                                     &it->told[0]));
    assert_ok(gcore_stream_start_tls(it->client, client, GCORE_TLS_CLIENT,
                                     name, after(PATIENCE), tell,
                                     &it->told[1]));
}

static void shake(gcore_hub *hub, struct two *it, gcore_tls *server,
                  gcore_tls *client)
{
    begin(it, server, client, "localhost");
    UNTIL(hub, it->told[0].count && it->told[1].count);
    for (int i = 0; i < 2; i++)
        if (it->told[i].result < 0)
            print_error("%d: %s\n", i,
                        gcore_stream_tls_reason(i ? it->client : it->server));
    assert_int_equal(it->told[0].result, 0);
    assert_int_equal(it->told[1].result, 0);
}

static void drop_streams(struct two *it)
{
    gcore_stream_unref(it->server);
    gcore_stream_unref(it->client);
}

static void connect_two(gcore_hub *hub, struct two *it, bool small)
{
    gcore_tls *server = server_tls(0, "h2,http/1.1");
    gcore_tls *client = client_tls(0, "http/1.1");

    make_streams(hub, it, small);
    shake(hub, it, server, client);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}

/* Tests */

static void arguments_are_checked_on(gcore_hub *hub)
{
    gcore_tls_options options = {.size = 4};
    gcore_tls *tls = NULL, *server = server_tls(0, NULL);
    gcore_tls *client = client_tls(0, NULL);
    struct two it;
    told one = {0};

    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    assert_error(gcore_tls_new(NULL, NULL), -EINVAL);
    options = (gcore_tls_options){.size = sizeof options, .flags = 64};
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    options = (gcore_tls_options){.size = sizeof options,
                                  .certificate = "/no/such/file"};
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    assert_non_null(strstr(gcore_tls_reason(), "/no/such/file"));
    options.certificate = paths[0];
    options.key = paths[1];
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    assert_true(strlen(gcore_tls_reason()) > 0);
    options.key = NULL;
    options.authorities = "/no/such/file";
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    options.authorities = NULL;
    options.ciphers = "NOTHING-OF-THAT-NAME";
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    options.ciphers = NULL;
    options.protocols = "h2,,http/1.1";
    assert_error(gcore_tls_new(&options, &tls), -EINVAL);
    assert_null(tls);
    assert_error(gcore_tls_add_name(server, "", server), -EINVAL);
    assert_error(gcore_tls_add_name(server, "a.test", NULL), -EINVAL);
    assert_error(gcore_tls_add_name(server, "a.test", client), -EINVAL);
    assert_error(gcore_tls_add_name(server, "*bad", client), -EINVAL);

    make_streams(hub, &it, false);
    assert_error(gcore_stream_start_tls(it.server, NULL, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_error(gcore_stream_start_tls(it.server, server, 7, NULL,
                                        GCORE_FOREVER, tell, &one), -EINVAL);
    assert_error(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                        "name", GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_error(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, NULL, &one),
                 -EINVAL);
    assert_error(gcore_stream_start_tls(it.server, client, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_error(gcore_stream_start_tls(it.client, client, GCORE_TLS_CLIENT,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -EINVAL);
    assert_null(gcore_stream_tls_version(it.server));
    assert_null(gcore_stream_tls_protocol(it.server));
    assert_null(gcore_stream_tls_cipher(it.server));
    assert_null(gcore_stream_tls_name(it.server));
    assert_int_equal(gcore_stream_tls_resumed(it.server), 0);
    assert_string_equal(gcore_stream_tls_reason(it.server), "");
    assert_ok(gcore_stream_start(it.server, hear, NULL));
    assert_error(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -EALREADY);
    gcore_stream_stop(it.server);
    begin(&it, server, client, "localhost");
    assert_int_equal(WRITE_TEXT(it.server, "x"), -ENOTCONN);
    assert_error(gcore_stream_start(it.server, hear, NULL), -ENOTCONN);
    assert_error(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -EALREADY);
    gcore_stream_close(it.server);
    gcore_stream_close(it.client);
    UNTIL(hub, it.told[0].count && it.told[1].count);
    assert_int_equal(it.told[0].result, -ECANCELED);
    assert_int_equal(it.told[1].result, -ECANCELED);
    assert_error(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                        NULL, GCORE_FOREVER, tell, &one),
                 -ESHUTDOWN);
    drop_streams(&it);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
    gcore_tls_unref(NULL);
}
ON_EACH_BACKEND(arguments_are_checked)

static void bytes_go_both_ways_on(gcore_hub *hub)
{
    enum { LENGTH = 500000 };
    char *bytes = pattern(LENGTH);
    heard server = {0}, client = {0};
    gcore_piece pieces[3] = {
        {bytes, 10}, {bytes + 10, 20000}, {bytes + 20010, LENGTH - 20010}};
    struct two it;
    int fd;
    char none;

    connect_two(hub, &it, false);
    assert_string_equal(gcore_stream_tls_protocol(it.server), "http/1.1");
    assert_string_equal(gcore_stream_tls_protocol(it.client), "http/1.1");
    assert_string_equal(gcore_stream_tls_version(it.client), "TLSv1.3");
    assert_string_equal(gcore_stream_tls_name(it.server), "localhost");
    assert_non_null(gcore_stream_tls_cipher(it.client));
    assert_int_equal(gcore_stream_detach(it.server, &fd, &none, 1), -ENOTSUP);
    assert_ok(gcore_stream_start(it.server, hear, &server));
    assert_ok(gcore_stream_start(it.client, hear, &client));
    assert_true(gcore_stream_write(it.server, pieces, 3) >= 0);
    assert_true(gcore_stream_write(it.client, pieces, 3) >= 0);
    UNTIL(hub, server.length == LENGTH && client.length == LENGTH);
    assert_memory_equal(server.bytes, bytes, LENGTH);
    assert_memory_equal(client.bytes, bytes, LENGTH);
    /* Half close, with the other half still in use. */
    assert_ok(gcore_stream_shutdown(it.client));
    UNTIL(hub, server.ends);
    assert_int_equal(server.end, 0);
    assert_true(WRITE_TEXT(it.server, "answer") >= 0);
    UNTIL(hub, client.length == LENGTH + 6);
    assert_ok(gcore_stream_finish(it.server, after(PATIENCE)));
    UNTIL(hub, client.ends);
    assert_int_equal(client.end, 0);
    drop_streams(&it);
    heard_free(&server);
    heard_free(&client);
    free(bytes);
}
ON_EACH_BACKEND(bytes_go_both_ways)

static void small_buffers_on(gcore_hub *hub)
{
    enum { LENGTH = 300000 };
    char *bytes = pattern(LENGTH);
    heard ears = {0};
    told one = {0};
    char byte;
    struct two it;
    gcore_piece pieces[40];

    connect_two(hub, &it, true);
    for (int i = 0; i < 40; i++)
        pieces[i] = (gcore_piece){bytes + i * 7500, 7500};
    assert_true(gcore_stream_write(it.server, pieces, 40) > 0);
    for (int i = 0; i < 200; i++)
        assert_true(write_bytes(it.server, bytes + i, 1) > 0);
    assert_ok(gcore_stream_drain(it.server, 0, GCORE_FOREVER, tell, &one));
    assert_ok(gcore_stream_shutdown(it.server));
    net_settle(hub);
    assert_ok(gcore_stream_start(it.client, hear, &ears));
    UNTIL(hub, ears.ends && one.count);
    assert_int_equal(ears.end, 0);
    assert_int_equal(ears.length, LENGTH + 200);
    assert_memory_equal(ears.bytes, bytes, LENGTH);
    assert_memory_equal(ears.bytes + LENGTH, bytes, 200);
    assert_int_equal(one.result, 0);
    assert_int_equal(WRITE_TEXT(it.server, "x"), -EPIPE);
    /* One read at a time, in the other direction. */
    assert_true(WRITE_TEXT(it.client, "abc") >= 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(gcore_stream_read(it.server, &byte, 1, GCORE_FOREVER, tell,
                                    &one));
        UNTIL(hub, one.count == i + 2);
        assert_int_equal(one.result, 1);
        assert_int_equal(byte, 'a' + i);
    }
    drop_streams(&it);
    heard_free(&ears);
    free(bytes);
}
ON_EACH_BACKEND(small_buffers)

static void files_on(gcore_hub *hub)
{
    enum { LENGTH = 200000 };
    char *bytes = pattern(LENGTH);
    char path[] = "/tmp/gcore-XXXXXX";
    int fd = mkstemp(path);
    heard ears = {0};
    struct two it;

    unlink(path);
    assert_int_equal(write(fd, bytes, LENGTH), LENGTH);
    connect_two(hub, &it, true);
    assert_true(WRITE_TEXT(it.server, "head") >= 0);
    assert_true(gcore_stream_sendfile(it.server, fd, 1, LENGTH - 1) > 0);
    assert_true(WRITE_TEXT(it.server, "tail") > 0);
    close(fd);
    assert_ok(gcore_stream_start(it.client, hear, &ears));
    UNTIL(hub, ears.length == LENGTH + 7);
    assert_memory_equal(ears.bytes, "head", 4);
    assert_memory_equal(ears.bytes + 4, bytes + 1, LENGTH - 1);
    assert_memory_equal(ears.bytes + LENGTH + 3, "tail", 4);
    gcore_stream_stop(it.client);
    drop_streams(&it);
    heard_free(&ears);
    free(bytes);
}
ON_EACH_BACKEND(files)

static void sessions_are_resumed_on(gcore_hub *hub)
{
    for (int round = 0; round < 2; round++) {
        gcore_tls *server = server_tls(0, NULL);
        gcore_tls *client =
            client_tls(round ? GCORE_TLS_NO_RESUMPTION : 0, NULL);

        for (int i = 0; i < 3; i++) {
            struct two it;
            heard ears = {0};

            make_streams(hub, &it, false);
            shake(hub, &it, server, client);
            assert_int_equal(gcore_stream_tls_resumed(it.client),
                             i > 0 && !round);
            /* The ticket comes with the first bytes. */
            assert_ok(gcore_stream_start(it.client, hear, &ears));
            assert_true(WRITE_TEXT(it.server, "x") >= 0);
            UNTIL(hub, ears.length == 1);
            gcore_stream_finish(it.server, after(PATIENCE));
            UNTIL(hub, ears.ends);
            drop_streams(&it);
            heard_free(&ears);
        }
        gcore_tls_unref(server);
        gcore_tls_unref(client);
    }
}
ON_EACH_BACKEND(sessions_are_resumed)

/* The client's result, and the server's. */
static void fails(gcore_hub *hub, gcore_tls *server, gcore_tls *client,
                  const char *name)
{
    struct two it;

    make_streams(hub, &it, false);
    begin(&it, server, client, name);
    UNTIL(hub, it.told[1].count || it.told[0].result < 0);
    assert_true(it.told[0].result == -EPROTO ||
                it.told[1].result == -EPROTO);
    if (it.told[1].result == -EPROTO) {
        assert_true(strlen(gcore_stream_tls_reason(it.client)) > 0);
        assert_int_equal(WRITE_TEXT(it.client, "x"), -EPROTO);
    } else {
        assert_true(strlen(gcore_stream_tls_reason(it.server)) > 0);
        assert_int_equal(WRITE_TEXT(it.server, "x"), -EPROTO);
    }
    drop_streams(&it);
    net_settle(hub);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}

static void who_is_not_believed_on(gcore_hub *hub)
{
    gcore_tls_options system = {.size = sizeof system};

    /* A certificate for another name; from nobody we know. */
    fails(hub, server_tls(0, NULL), client_tls(0, NULL), "elsewhere.test");
    fails(hub, server_tls(0, NULL), make_tls(&system), "localhost");
    /* No protocol in common. */
    fails(hub, server_tls(0, "h2"), client_tls(0, "http/1.1"), "localhost");
}
ON_EACH_BACKEND(who_is_not_believed)

static void not_verified_on(gcore_hub *hub)
{
    gcore_tls_options options = {.size = sizeof options,
                                 .flags = GCORE_TLS_NO_VERIFY |
                                          GCORE_TLS_ONLY_1_3};
    gcore_tls *server = server_tls(0, NULL), *client = make_tls(&options);
    struct two it;

    make_streams(hub, &it, false);
    begin(&it, server, client, NULL);
    UNTIL(hub, it.told[0].count && it.told[1].count);
    assert_int_equal(it.told[0].result, 0);
    assert_int_equal(it.told[1].result, 0);
    assert_null(gcore_stream_tls_name(it.server));
    assert_null(gcore_stream_tls_protocol(it.server));
    drop_streams(&it);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}
ON_EACH_BACKEND(not_verified)

/* TLS 1.2, client certificates, ciphers. */
static void client_certificates_on(gcore_hub *hub)
{
    gcore_tls_options options = {
        .size = sizeof options,
        .certificate = paths[0],
        .authorities = paths[0],
    };
    gcore_tls *server = server_tls(GCORE_TLS_CLIENT_CERTIFICATE, NULL);
    gcore_tls *client = make_tls(&options);
    struct two it;
    heard ears = {0};

    make_streams(hub, &it, false);
    shake(hub, &it, server, client);
    drop_streams(&it);
    gcore_tls_unref(client);

    client = client_tls(0, NULL); /* shows none */
    make_streams(hub, &it, false);
    begin(&it, server, client, "localhost");
    UNTIL(hub, it.told[0].count && it.told[1].count);
    assert_int_equal(it.told[0].result, -EPROTO);
    /* In TLS 1.3 the client is told afterwards. */
    if (it.told[1].result == 0) {
        assert_ok(gcore_stream_start(it.client, hear, &ears));
        UNTIL(hub, ears.ends);
        assert_true(ears.end == -EPROTO || ears.end == -ECONNRESET);
    }
    drop_streams(&it);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}
ON_EACH_BACKEND(client_certificates)

static void names_choose_the_certificate_on(gcore_hub *hub)
{
    gcore_tls_options options = {.size = sizeof options,
                                 .certificate = paths[1]};
    gcore_tls *server = server_tls(0, NULL), *other = make_tls(&options);
    gcore_tls *client;
    struct two it;

    assert_ok(gcore_tls_add_name(server, "*.test", other));
    gcore_tls_unref(other);
    options = (gcore_tls_options){.size = sizeof options,
                                  .authorities = paths[1]};
    client = make_tls(&options);
    make_streams(hub, &it, false);
    begin(&it, server, client, "other.test");
    UNTIL(hub, it.told[0].count && it.told[1].count);
    assert_int_equal(it.told[1].result, 0);
    assert_string_equal(gcore_stream_tls_name(it.server), "other.test");
    drop_streams(&it);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}
ON_EACH_BACKEND(names_choose_the_certificate)

static void handshakes_that_do_not_end_on(gcore_hub *hub)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    gcore_tls *server = server_tls(0, NULL);
    struct { int peer; gcore_stream *stream; told told; } ones[4];

    for (int i = 0; i < 4; i++) {
        memset(&ones[i].told, 0, sizeof ones[i].told);
        ones[i].stream = stream_and_peer(hub, &ones[i].peer);
        assert_ok(gcore_stream_start_tls(
            ones[i].stream, server, GCORE_TLS_SERVER, NULL,
            after(i == 0 ? 5 * MS : PATIENCE), tell, &ones[i].told));
    }
    fd_send(hub, ones[1].peer, http, sizeof http - 1); /* not TLS */
    fd_send(hub, ones[2].peer, "\x16\x03\x01\x02", 4); /* gone half way */
    close(ones[2].peer);
    fd_reset(ones[3].peer);
    for (int i = 0; i < 4; i++)
        UNTIL(hub, ones[i].told.count);
    assert_int_equal(ones[0].told.result, -ETIMEDOUT);
    assert_int_equal(ones[1].told.result, -EPROTO);
    assert_int_equal(ones[2].told.result, -ECONNRESET);
    assert_int_equal(ones[3].told.result, -ECONNRESET);
    for (int i = 0; i < 4; i++)
        gcore_stream_unref(ones[i].stream);
    close(ones[0].peer);
    close(ones[1].peer);
    gcore_tls_unref(server);
}
ON_EACH_BACKEND(handshakes_that_do_not_end)

/* The end of the connection without the end of TLS. */
static void a_cut_connection_is_no_end_on(gcore_hub *hub)
{
    heard ears = {0};
    struct two it;

    connect_two(hub, &it, false);
    assert_ok(gcore_stream_start(it.server, hear, &ears));
    assert_true(WRITE_TEXT(it.client, "half") >= 0);
    UNTIL(hub, ears.length == 4);
    shutdown(gcore_stream_fd(it.client), SHUT_WR);
    UNTIL(hub, ears.ends);
    assert_int_equal(ears.end, -ECONNRESET);
    drop_streams(&it);
    heard_free(&ears);
}
ON_EACH_BACKEND(a_cut_connection_is_no_end)

/* The first bytes of the handshake have been read already. */
static void after_bytes_put_back_on(gcore_hub *hub)
{
    gcore_tls *server = server_tls(0, NULL), *client = client_tls(0, NULL);
    char buffer[16];
    told one = {0};
    struct two it;

    make_streams(hub, &it, false);
    assert_ok(gcore_stream_start_tls(it.client, client, GCORE_TLS_CLIENT,
                                     "localhost", after(PATIENCE), tell,
                                     &it.told[1]));
    assert_ok(gcore_stream_read(it.server, buffer, sizeof buffer,
                                after(PATIENCE), tell, &one));
    UNTIL(hub, one.count);
    assert_true(one.result > 0);
    assert_ok(gcore_stream_unread(it.server, buffer, (size_t)one.result));
    assert_ok(gcore_stream_start_tls(it.server, server, GCORE_TLS_SERVER,
                                     NULL, after(PATIENCE), tell,
                                     &it.told[0]));
    UNTIL(hub, it.told[0].count && it.told[1].count);
    assert_int_equal(it.told[0].result, 0);
    assert_int_equal(it.told[1].result, 0);
    drop_streams(&it);
    gcore_tls_unref(server);
    gcore_tls_unref(client);
}
ON_EACH_BACKEND(after_bytes_put_back)

static void closing_the_hub(void **state)
{
    gcore_hub *hub = hub_new();
    gcore_tls *server = server_tls(0, NULL);
    int peer;
    gcore_stream *stream = stream_and_peer(hub, &peer);
    told one = {0};

    (void)state;
    assert_ok(gcore_stream_start_tls(stream, server, GCORE_TLS_SERVER, NULL,
                                     after(PATIENCE), tell, &one));
    assert_ok(gcore_hub_close(hub));
    assert_int_equal(one.count, 1);
    assert_int_equal(one.result, -ECANCELED);
    gcore_stream_unref(stream);
    gcore_tls_unref(server);
    gcore_hub_unref(hub);
    close(peer);
}

static void each_allocation_fails(void **state)
{
    bool failed = true;

    (void)state;
    for (int k = 1; failed; k++) {
        gcore_hub *hub = hub_new();
        gcore_tls_options options = {.size = sizeof options,
                                     .certificate = paths[0],
                                     .protocols = "http/1.1"};
        gcore_tls *tls = NULL, *other = server_tls(0, NULL);
        int peer;
        gcore_stream *stream = stream_and_peer(hub, &peer);
        told one = {0};
        int error;

        support_fail_allocation(k);
        error = gcore_tls_new(&options, &tls);
        if (error == 0)
            error = gcore_tls_add_name(tls, "a.test", other);
        if (error == 0)
            error = gcore_stream_start_tls(stream, tls, GCORE_TLS_SERVER,
                                           NULL, after(PATIENCE), tell, &one);
        support_fail_allocation(0);
        failed = support_allocation_failed();
        assert_int_equal(error, failed ? -ENOMEM : 0);
        gcore_stream_close(stream);
        net_settle(hub);
        assert_int_equal(one.count, !failed);
        gcore_stream_unref(stream);
        gcore_tls_unref(tls);
        gcore_tls_unref(other);
        hub_end(hub);
        close(peer);
        assert_true(k < 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arguments_are_checked),
        TEST(bytes_go_both_ways),
        TEST(small_buffers),
        TEST(files),
        TEST(sessions_are_resumed),
        TEST(who_is_not_believed),
        TEST(not_verified),
        TEST(client_certificates),
        TEST(names_choose_the_certificate),
        TEST(handshakes_that_do_not_end),
        TEST(a_cut_connection_is_no_end),
        TEST(after_bytes_put_back),
        TEST(closing_the_hub),
        TEST(each_allocation_fails),
    };
    int failed;

    if (make_certificates() < 0)
        return 1;
    failed = RUN(tests);
    remove_certificates();
    return failed;
}

#else

static void without_tls(void **state)
{
    gcore_tls *tls = NULL;

    (void)state;
    assert_error(gcore_tls_new(NULL, &tls), -ENOTSUP);
    assert_true(strlen(gcore_tls_reason()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(without_tls)};

    return RUN(tests);
}

#endif
