/*
 * gcore/tls.h: TLS for streams, by OpenSSL 3.
 *
 * A gcore_tls holds what one side of connections has in common: certificate,
 * authorities, protocols. A stream is put under TLS by gcore_stream_start_tls;
 * from then on all of gcore/stream.h works on it as before, but for
 * gcore_stream_detach. TLS 1.2 and 1.3 are spoken; there is no compression
 * and no renegotiation; sessions are resumed by tickets.
 *
 * A peer that ends the connection without saying so in TLS is told as
 * -ECONNRESET, for somebody else may have cut it; one that breaks the
 * protocol as -EPROTO.
 *
 * In a library built without TLS (GCORE_TLS=OFF) gcore_tls_new returns
 * -ENOTSUP.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_TLS_H
#define GCORE_TLS_H

#include <gcore/base.h>
#include <gcore/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gcore_tls gcore_tls;

/* gcore_tls_options.flags */
/* Client: do not check who the server is. Of no use against an attacker. */
#define GCORE_TLS_NO_VERIFY 1
/* Server: clients must show a certificate of one of the authorities. */
#define GCORE_TLS_CLIENT_CERTIFICATE 2
/* No TLS 1.2. */
#define GCORE_TLS_ONLY_1_3 4
/* No session is resumed. */
#define GCORE_TLS_NO_RESUMPTION 8

/*
 * What one side should be; zero in a member means the default. Strings are
 * read during the call only. Since 0.1.
 *   size         sizeof(gcore_tls_options)
 *   flags        a sum of GCORE_TLS_ bits
 *   certificate  a PEM file: the certificate, then those that vouch for it;
 *                servers need one
 *   key          a PEM file with its key (the same file as the certificate)
 *   authorities  a PEM file of those who are believed (the system's)
 *   protocols    for ALPN, best first, separated by commas: "http/1.1"; a
 *                peer that speaks ALPN and none of them is refused
 *   ciphers      in OpenSSL's notation, for TLS 1.2 (OpenSSL's choice)
 */
typedef struct gcore_tls_options {
    size_t size;
    unsigned flags;
    const char *certificate;
    const char *key;
    const char *authorities;
    const char *protocols;
    const char *ciphers;
} gcore_tls_options;

/*
 * Makes one.
 *   options  NULL for the defaults, which serve a client
 *   out      set to it, one reference of the caller's
 * Returns 0; -EINVAL for bad options, unreadable files or a key that is not
 * the certificate's: gcore_tls_reason tells which; -ENOMEM; -ENOTSUP.
 * Any thread. Since 0.1.
 */
GCORE_API int gcore_tls_new(const gcore_tls_options *options, gcore_tls **out);

/*
 * Why the calling thread's last gcore_tls_new or gcore_tls_add_name failed:
 * a string that lives until the thread's next such call. Since 0.1.
 */
GCORE_API const char *gcore_tls_reason(void);

/* Adds a reference and returns it. Any thread. Since 0.1. */
GCORE_API gcore_tls *gcore_tls_ref(gcore_tls *tls);

/* Drops a reference (NULL is ignored); streams under it hold one. Any thread.
 * Since 0.1. */
GCORE_API void gcore_tls_unref(gcore_tls *tls);

/*
 * Server: clients that ask for `name` get the certificate and the protocols
 * of `other`.
 *   name   a host's name, or "*.example.org" for each one right below it
 *   other  a reference is added
 * Returns 0; -EINVAL; -ENOMEM; -ENOTSUP. Before `tls` is used for a stream;
 * any thread. Since 0.1.
 */
GCORE_API int gcore_tls_add_name(gcore_tls *tls, const char *name,
                                 gcore_tls *other);

/* gcore_stream_start_tls, role */
#define GCORE_TLS_SERVER 1
#define GCORE_TLS_CLIENT 2

/*
 * Puts a stream under TLS. Nothing may be read or queued at the time; bytes
 * that gcore_stream_unread has put back belong to the handshake.
 *   tls       what this side is; a reference is added
 *   role      GCORE_TLS_SERVER or GCORE_TLS_CLIENT
 *   name      client: the server's name, sent to it and checked against its
 *             certificate; may be NULL with GCORE_TLS_NO_VERIFY. Server: NULL
 *   deadline  when the handshake must be over
 *   done      told 0; -EPROTO: the handshake failed, gcore_stream_tls_reason
 *             tells why; -ETIMEDOUT; -ECONNRESET; -ECANCELED; or
 *             GCORE_COMPLETE
 *   arg       handed to it; the caller's
 * Until then the stream can neither be read nor written (-ENOTCONN).
 * Returns 0; -EALREADY when it is under TLS, read or connecting; -EAGAIN
 * while bytes are queued; -EINVAL; -ENOMEM; -ESHUTDOWN. Hub's thread.
 * Since 0.1.
 */
GCORE_API int gcore_stream_start_tls(gcore_stream *stream, gcore_tls *tls,
                                     unsigned role, const char *name,
                                     int64_t deadline, gcore_done_fn *done,
                                     void *arg);

/*
 * Of a stream under TLS: the ALPN protocol agreed on, the version
 * ("TLSv1.3"), the cipher; each lives as long as the stream, and is NULL
 * where there is none. Hub's thread. Since 0.1.
 */
GCORE_API const char *gcore_stream_tls_protocol(gcore_stream *stream);
GCORE_API const char *gcore_stream_tls_version(gcore_stream *stream);
GCORE_API const char *gcore_stream_tls_cipher(gcore_stream *stream);

/* Server: the name that the client asked for, likewise. Since 0.1. */
GCORE_API const char *gcore_stream_tls_name(gcore_stream *stream);

/* Whether a session was resumed: 1, else 0. Hub's thread. Since 0.1. */
GCORE_API int gcore_stream_tls_resumed(gcore_stream *stream);

/*
 * What went wrong last in TLS, in OpenSSL's words; "" if nothing has. Lives as
 * long as the stream. Hub's thread. Since 0.1.
 */
GCORE_API const char *gcore_stream_tls_reason(gcore_stream *stream);

#ifdef __cplusplus
}
#endif

#endif
