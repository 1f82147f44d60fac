/*
 * TLS of one stream: a transport whose bytes go through OpenSSL.
 *
 * OpenSSL reads and writes the socket by a BIO of ours, which never raises
 * SIGPIPE, takes bytes that were put back before the handshake, and notes the
 * system's error. While OpenSSL waits for the socket on its own account (the
 * handshake; the end that the peer is to be told), `wait` is started.
 *
 * Writing goes by records (records.c). One that the kernel did not take whole
 * is OpenSSL's; the same bytes must come first in the next write, which they
 * do, for they are first in the queue.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/tls.h"

#ifdef GCORE_WITH_TLS

#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#include "net/stream.h"

struct connection {
    SSL *ssl;
    gcore_tls *tls;
    gcore_watch *wait;
    int64_t deadline; /* of the handshake */
    int error;        /* of the system, met by the BIO */
    bool agreed; /* the handshake is over */
    bool owing;  /* the peer is yet to be told of the end */
    char protocol[64];
    char reason[120];
};

/* The BIO */

static struct connection *connection_of(gcore_stream *stream)
{
    return stream->tls;
}

static int bio_read(BIO *bio, char *buffer, int room)
{
    gcore_stream *stream = BIO_get_data(bio);
    int64_t count;

    BIO_clear_retry_flags(bio);
    if (gcore_stream_unread_length(stream))
        return (int)gcore__take_unread(stream, buffer, (size_t)room);
    count = gcore__plain.receive(stream, buffer, (size_t)room);
    if (count == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (count < 0)
        connection_of(stream)->error = (int)count;
    return count < 0 ? -1 : (int)count;
}

static int bio_write(BIO *bio, const char *data, int length)
{
    gcore_stream *stream = BIO_get_data(bio);
    struct iovec piece = {(void *)(uintptr_t)data, (size_t)length};
    int64_t count = gcore__plain.send(stream, &piece, 1);

    BIO_clear_retry_flags(bio);
    if (count == -EAGAIN)
        BIO_set_retry_write(bio);
    else if (count < 0)
        connection_of(stream)->error = (int)count;
    return count < 0 ? -1 : (int)count;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(
        BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gcore stream");

    if (made && BIO_meth_set_read(made, bio_read) &&
        BIO_meth_set_write(made, bio_write) &&
        BIO_meth_set_ctrl(made, bio_control))
        method = made;
    else
        BIO_meth_free(made);
}

static bool set_bio(SSL *ssl, gcore_stream *stream)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, make_method);
    bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return false;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

/* Errors */

static void explain(struct connection *it)
{
    long verified = SSL_get_verify_result(it->ssl);

    gcore__tls_explain(it->reason, sizeof it->reason);
    if (!it->agreed && verified != X509_V_OK)
        snprintf(it->reason, sizeof it->reason, "the certificate: %s",
                 X509_verify_cert_error_string(verified));
}

/* What a call of OpenSSL that returned `result`, below 1, comes to. */
static int64_t error_of(struct connection *it, int result)
{
    unsigned long first = ERR_peek_error();

    switch (SSL_get_error(it->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
        ERR_clear_error();
        return it->error ? it->error : -ECONNRESET;
    default: break;
    }
    explain(it);
    if (ERR_GET_LIB(first) == ERR_LIB_SSL &&
        ERR_GET_REASON(first) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return -ECONNRESET;
    return it->error ? it->error : -EPROTO;
}

/* The transport */

static void unblocked(void *arg, int64_t result);

/* OpenSSL has something to write before it goes on. */
static void wait_to_write(gcore_stream *stream)
{
    gcore_watch *wait = connection_of(stream)->wait;

    if (!gcore_watch_active(wait) && !gcore_watch_pending(wait) &&
        gcore_io_set(wait, stream->fd, GCORE_WRITE) == 0)
        gcore_watch_start(wait, GCORE_ONCE, GCORE_FOREVER, unblocked, stream);
}

static int64_t receive(gcore_stream *stream, void *buffer, size_t room)
{
    struct connection *it = stream->tls;
    int64_t result;
    int count;

    ERR_clear_error();
    count = SSL_read(it->ssl, buffer, room < GCORE__RECORD ? (int)room
                                                      : GCORE__RECORD);
    if (count > 0)
        return count;
    result = error_of(it, count);
    return result == -EAGAIN && SSL_want_write(it->ssl) ? -EINPROGRESS
                                                        : result;
}

static int64_t send_record(gcore_stream *stream, const void *data,
                           size_t length)
{
    struct connection *it = stream->tls;
    int count;

    ERR_clear_error();
    count = SSL_write(it->ssl, data, (int)length);
    return count > 0 ? count : error_of(it, count);
}

static int64_t send_pieces(gcore_stream *stream, const struct iovec *pieces,
                           int count)
{
    return gcore__send_records(stream, pieces, count, send_record);
}

static int64_t send_file(gcore_stream *stream, int fd, int64_t offset,
                         size_t length)
{
    return gcore__send_file_records(stream, fd, offset, length, send_record);
}

static bool pending(gcore_stream *stream)
{
    return SSL_has_pending(connection_of(stream)->ssl);
}

/* The end in TLS, then the socket's. */
static int shut(gcore_stream *stream)
{
    struct connection *it = stream->tls;

    ERR_clear_error();
    if (SSL_shutdown(it->ssl) < 0 && SSL_want_write(it->ssl)) {
        it->owing = true;
        wait_to_write(stream);
        return 0;
    }
    ERR_clear_error();
    it->owing = false;
    return gcore__plain.shut(stream);
}

static void unblocked(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    if (result > 0 && !stream->closed && connection_of(stream)->owing)
        shut(stream);
}

static void closing(gcore_stream *stream)
{
    struct connection *it = stream->tls;
    bool ours = stream->generation == gcore__fork_generation();

    gcore_watch_stop(it->wait);
    ERR_clear_error();
    /* What the peer got is all there was. */
    if (ours && it->agreed && !stream->queue && !stream->write_error &&
        !stream->shut)
        SSL_shutdown(it->ssl);
    ERR_clear_error();
}

static void release(gcore_stream *stream)
{
    struct connection *it = stream->tls;

    SSL_free(it->ssl);
    gcore_tls_unref(it->tls);
    gcore_watch_unref(it->wait);
    gcore__free(it);
    stream->tls = NULL;
    stream->transport = &gcore__plain;
}

static const gcore__transport transport = {
    .receive = receive,
    .send = send_pieces,
    .send_file = send_file,
    .pending = pending,
    .shut = shut,
    .close = closing,
    .release = release,
};

/* The handshake */

static void shake(gcore_stream *stream);

static void shaken(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    if (result > 0)
        shake(stream);
    else
        gcore__connect_over(stream, result);
}

static int shake_later(gcore_stream *stream, unsigned events)
{
    struct connection *it = stream->tls;
    int error = gcore_io_set(it->wait, stream->fd, events);

    if (error == 0)
        error = gcore_watch_start(it->wait, GCORE_ONCE, it->deadline, shaken,
                                  stream);
    return error;
}

static void shake(gcore_stream *stream)
{
    struct connection *it = stream->tls;
    int64_t result;
    int done;

    ERR_clear_error();
    done = SSL_do_handshake(it->ssl);
    if (done == 1) {
        it->agreed = true;
        gcore__connect_over(stream, 0);
        return;
    }
    result = error_of(it, done);
    if (result == -EAGAIN)
        result = shake_later(stream, SSL_want_write(it->ssl) ? GCORE_WRITE
                                                             : GCORE_READ);
    else if (result == 0)
        result = -ECONNRESET;
    if (result < 0)
        gcore__connect_over(stream, result);
}

static int set_server(struct connection *it)
{
    SSL_set_accept_state(it->ssl);
    if (!(it->tls->flags & GCORE_TLS_CLIENT_CERTIFICATE))
        SSL_set_verify(it->ssl, SSL_VERIFY_NONE, NULL);
    return it->tls->certified ? 0 : -EINVAL;
}

static int set_client(struct connection *it, const char *name)
{
    SSL_SESSION *session;

    SSL_set_connect_state(it->ssl);
    if (!name)
        return it->tls->flags & GCORE_TLS_NO_VERIFY ? 0 : -EINVAL;
    if (SSL_set1_host(it->ssl, name) != 1 ||
        SSL_set_tlsext_host_name(it->ssl, name) != 1)
        return -ENOMEM;
    session = gcore__tls_session(it->tls, name);
    if (session)
        SSL_set_session(it->ssl, session);
    SSL_SESSION_free(session);
    return 0;
}

static int make(gcore_stream *stream, gcore_tls *tls, unsigned role,
                const char *name)
{
    struct connection *it = gcore__alloc(sizeof *it);
    int error;

    if (!it)
        return -ENOMEM;
    stream->tls = it;
    it->tls = gcore_tls_ref(tls);
    it->ssl = SSL_new(tls->context);
    error = it->ssl && set_bio(it->ssl, stream) ? 0 : -ENOMEM;
    if (error == 0)
        error = gcore__records_prepare(stream->hub);
    if (error == 0)
        error = gcore_io_new(stream->hub, stream->fd, GCORE_READ, &it->wait);
    if (error == 0)
        error = role == GCORE_TLS_SERVER ? set_server(it)
                                         : set_client(it, name);
    ERR_clear_error();
    if (error < 0)
        release(stream);
    else
        stream->transport = &transport;
    return error;
}

int gcore_stream_start_tls(gcore_stream *stream, gcore_tls *tls, unsigned role,
                           const char *name, int64_t deadline,
                           gcore_done_fn *done, void *arg)
{
    int error;

    if (!tls || !done ||
        (role != GCORE_TLS_SERVER && role != GCORE_TLS_CLIENT) ||
        (role == GCORE_TLS_SERVER && name))
        return -EINVAL;
    if (gcore_stream_closed(stream) || stream->finishing)
        return -ESHUTDOWN;
    if (stream->tls || stream->custom || stream->connecting ||
        stream->draining || gcore__reading(stream))
        return -EALREADY;
    if (stream->queued)
        return -EAGAIN;
    if (stream->write_error)
        return stream->write_error;
    error = make(stream, tls, role, name);
    if (error < 0)
        return error;
    connection_of(stream)->deadline = deadline;
    gcore__connect_begin(stream, done, arg);
    shake(stream);
    return 0;
}

/* Asking */

static SSL *agreed(gcore_stream *stream)
{
    struct connection *it = stream->tls;

    return it && it->agreed ? it->ssl : NULL;
}

const char *gcore_stream_tls_protocol(gcore_stream *stream)
{
    SSL *ssl = agreed(stream);
    struct connection *it = stream->tls;
    const unsigned char *name = NULL;
    unsigned length = 0;

    if (ssl)
        SSL_get0_alpn_selected(ssl, &name, &length);
    if (!length || length >= sizeof it->protocol)
        return NULL;
    memcpy(it->protocol, name, length);
    it->protocol[length] = '\0';
    return it->protocol;
}

const char *gcore_stream_tls_version(gcore_stream *stream)
{
    SSL *ssl = agreed(stream);

    return ssl ? SSL_get_version(ssl) : NULL;
}

const char *gcore_stream_tls_cipher(gcore_stream *stream)
{
    SSL *ssl = agreed(stream);

    return ssl ? SSL_get_cipher_name(ssl) : NULL;
}

const char *gcore_stream_tls_name(gcore_stream *stream)
{
    SSL *ssl = agreed(stream);

    return ssl ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
}

int gcore_stream_tls_resumed(gcore_stream *stream)
{
    SSL *ssl = agreed(stream);

    return ssl ? SSL_session_reused(ssl) : 0;
}

const char *gcore_stream_tls_reason(gcore_stream *stream)
{
    struct connection *it = stream->tls;

    return it ? it->reason : "";
}

#endif
