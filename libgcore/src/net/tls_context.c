/*
 * What one side of TLS connections has in common.
 *
 * SPDX-License-Identifier: MIT
 */
#include "net/tls.h"

#ifdef GCORE_WITH_TLS

#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#include "util/alloc.h"
#include "util/sized.h"

static _Thread_local char reason[240];

void gcore__tls_explain(char *text, size_t room)
{
    unsigned long error = ERR_get_error();
    const char *words = error ? ERR_reason_error_string(error) : NULL;

    if (words)
        snprintf(text, room, "%s", words);
    else if (error)
        ERR_error_string_n(error, text, room);
    else
        text[0] = '\0';
    ERR_clear_error();
}

const char *gcore_tls_reason(void)
{
    return reason;
}

/* `what` and why. */
static int refuse(const char *what, const char *which)
{
    char why[120];

    gcore__tls_explain(why, sizeof why);
    snprintf(reason, sizeof reason, "%s %.60s: %s", what, which, why);
    return -EINVAL;
}

/* ALPN */

static int read_protocols(gcore_tls *tls, const char *text)
{
    size_t length = strlen(text);
    unsigned char *out = gcore__alloc(length + 1);

    if (!out)
        return -ENOMEM;
    tls->protocols = out;
    tls->protocols_length = (unsigned)length + 1;
    while (text) {
        size_t part = strcspn(text, ",");

        if (part == 0 || part > 255) {
            snprintf(reason, sizeof reason, "bad list of protocols");
            return -EINVAL;
        }
        *out++ = (unsigned char)part;
        memcpy(out, text, part);
        out += part;
        text = text[part] ? text + part + 1 : NULL;
    }
    return 0;
}

static int choose_protocol(SSL *ssl, const unsigned char **out,
                           unsigned char *out_length, const unsigned char *in,
                           unsigned in_length, void *arg)
{
    gcore_tls *tls = arg;
    unsigned char *found;

    (void)ssl;
    if (SSL_select_next_proto(&found, out_length, tls->protocols,
                              tls->protocols_length, in,
                              in_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

/* Names */

static bool matches(const char *pattern, const char *name)
{
    const char *dot;

    if (pattern[0] != '*')
        return strcasecmp(pattern, name) == 0;
    dot = strchr(name, '.');
    return dot && dot != name && strcasecmp(pattern + 1, dot) == 0;
}

static int choose_name(SSL *ssl, int *alert, void *arg)
{
    gcore_tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    for (gcore__tls_name *one = name ? tls->names : NULL; one;
         one = one->next) {
        if (!matches(one->name, name))
            continue;
        SSL_set_SSL_CTX(ssl, one->tls->context);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_OK;
}

int gcore_tls_add_name(gcore_tls *tls, const char *name, gcore_tls *other)
{
    gcore__tls_name *one;
    size_t length = name ? strlen(name) : 0;

    if (!length || !other || !other->certified || other == tls ||
        (name[0] == '*' && name[1] != '.')) {
        snprintf(reason, sizeof reason, "a name and a certificate are needed");
        return -EINVAL;
    }
    one = gcore__alloc(sizeof *one + length + 1);
    if (!one)
        return -ENOMEM;
    memcpy(one->name, name, length + 1);
    one->tls = gcore_tls_ref(other);
    one->next = tls->names;
    tls->names = one;
    return 0;
}

/* Sessions of a client: one is kept, the last. */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    gcore_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t length = name ? strlen(name) + 1 : 0;
    char *copy = length ? gcore__alloc(length) : NULL;

    if (!copy) /* it could do without */
        return 0;
    memcpy(copy, name, length);
    pthread_mutex_lock(&tls->lock);
    SSL_SESSION_free(tls->session);
    gcore__free(tls->session_name);
    tls->session = session;
    tls->session_name = copy;
    pthread_mutex_unlock(&tls->lock);
    return 1;
}

SSL_SESSION *gcore__tls_session(gcore_tls *tls, const char *name)
{
    SSL_SESSION *session = NULL;

    pthread_mutex_lock(&tls->lock);
    if (name && tls->session && strcmp(tls->session_name, name) == 0) {
        session = tls->session;
        SSL_SESSION_up_ref(session);
    }
    pthread_mutex_unlock(&tls->lock);
    return session;
}

static void set_sessions(gcore_tls *tls)
{
    static const unsigned char id[] = "gcore";

    SSL_CTX_set_session_id_context(tls->context, id, sizeof id - 1);
    if (tls->flags & GCORE_TLS_NO_RESUMPTION) {
        SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_options(tls->context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(tls->context, 0);
        return;
    }
    /* A server's are in its tickets, not in its memory. */
    SSL_CTX_set_session_cache_mode(
        tls->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->context, keep_session);
}

/* Making */

static int set_certificate(gcore_tls *tls, const gcore_tls_options *options)
{
    const char *key = options->key ? options->key : options->certificate;

    if (!options->certificate)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(tls->context,
                                           options->certificate) != 1)
        return refuse("the certificate", options->certificate);
    if (SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1)
        return refuse("the key", key);
    if (SSL_CTX_check_private_key(tls->context) != 1)
        return refuse("the key is not the certificate's", key);
    tls->certified = true;
    return 0;
}

static int set_verification(gcore_tls *tls, const gcore_tls_options *options)
{
    int mode = SSL_VERIFY_PEER; /* a server that asks for nothing: none */

    if (options->authorities) {
        STACK_OF(X509_NAME) *names;

        if (SSL_CTX_load_verify_file(tls->context, options->authorities) != 1)
            return refuse("the authorities", options->authorities);
        names = SSL_load_client_CA_file(options->authorities);
        SSL_CTX_set_client_CA_list(tls->context, names);
    } else {
        SSL_CTX_set_default_verify_paths(tls->context);
    }
    if (tls->flags & GCORE_TLS_CLIENT_CERTIFICATE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (tls->flags & GCORE_TLS_NO_VERIFY)
        mode = SSL_VERIFY_NONE;
    SSL_CTX_set_verify(tls->context, mode, NULL);
    return 0;
}

static int set_protocols(gcore_tls *tls, const gcore_tls_options *options)
{
    int error;

    if (!options->protocols)
        return 0;
    error = read_protocols(tls, options->protocols);
    if (error < 0)
        return error;
    SSL_CTX_set_alpn_select_cb(tls->context, choose_protocol, tls);
    return SSL_CTX_set_alpn_protos(tls->context, tls->protocols,
                                   tls->protocols_length) == 0
               ? 0
               : -ENOMEM;
}

static int configure(gcore_tls *tls, const gcore_tls_options *options)
{
    int version = tls->flags & GCORE_TLS_ONLY_1_3 ? TLS1_3_VERSION
                                                  : TLS1_2_VERSION;
    int error;

    SSL_CTX_set_app_data(tls->context, tls);
    SSL_CTX_set_min_proto_version(tls->context, version);
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION |
                                          SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls->context, 1);
    SSL_CTX_set_tlsext_servername_callback(tls->context, choose_name);
    SSL_CTX_set_tlsext_servername_arg(tls->context, tls);
    if (options->ciphers &&
        SSL_CTX_set_cipher_list(tls->context, options->ciphers) != 1)
        return refuse("the ciphers", options->ciphers);
    set_sessions(tls);
    error = set_certificate(tls, options);
    if (error == 0)
        error = set_verification(tls, options);
    if (error == 0)
        error = set_protocols(tls, options);
    return error;
}

static int read_options(const gcore_tls_options *given, gcore_tls_options *out)
{
    unsigned known = GCORE_TLS_NO_VERIFY | GCORE_TLS_CLIENT_CERTIFICATE |
                     GCORE_TLS_ONLY_1_3 | GCORE_TLS_NO_RESUMPTION;

    if (gcore__sized_read(given, out, sizeof *out) < 0 || out->flags & ~known)
        return -EINVAL;
    return 0;
}

int gcore_tls_new(const gcore_tls_options *given, gcore_tls **out)
{
    gcore_tls_options options;
    gcore_tls *tls;
    int error = out ? read_options(given, &options) : -EINVAL;

    if (error < 0) {
        snprintf(reason, sizeof reason, "bad size or flags");
        return error;
    }
    reason[0] = '\0';
    tls = gcore__alloc(sizeof *tls);
    if (!tls)
        return -ENOMEM;
    atomic_init(&tls->refs, 1);
    pthread_mutex_init(&tls->lock, NULL);
    tls->flags = options.flags;
    ERR_clear_error();
    tls->context = SSL_CTX_new(TLS_method());
    error = tls->context ? configure(tls, &options) : -ENOMEM;
    ERR_clear_error();
    if (error < 0) {
        gcore_tls_unref(tls);
        return error;
    }
    *out = tls;
    return 0;
}

gcore_tls *gcore_tls_ref(gcore_tls *tls)
{
    atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void gcore_tls_unref(gcore_tls *tls)
{
    if (!tls ||
        atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (tls->names) {
        gcore__tls_name *one = tls->names;

        tls->names = one->next;
        gcore_tls_unref(one->tls);
        gcore__free(one);
    }
    SSL_SESSION_free(tls->session);
    gcore__free(tls->session_name);
    gcore__free(tls->protocols);
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    gcore__free(tls);
}

#endif
