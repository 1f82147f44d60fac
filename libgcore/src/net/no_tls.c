/*
 * gcore/tls.h in a library built without TLS.
 *
 * SPDX-License-Identifier: MIT
 */
#include <gcore/tls.h>

#ifndef GCORE_WITH_TLS

int gcore_tls_new(const gcore_tls_options *options, gcore_tls **out)
{
    (void)options;
    (void)out;
    return -ENOTSUP;
}

const char *gcore_tls_reason(void)
{
    return "this library was built without TLS";
}

gcore_tls *gcore_tls_ref(gcore_tls *tls)
{
    return tls;
}

void gcore_tls_unref(gcore_tls *tls)
{
    (void)tls;
}

int gcore_tls_add_name(gcore_tls *tls, const char *name, gcore_tls *other)
{
    (void)tls;
    (void)name;
    (void)other;
    return -ENOTSUP;
}

int gcore_stream_start_tls(gcore_stream *stream, gcore_tls *tls, unsigned role,
                           const char *name, int64_t deadline,
                           gcore_done_fn *done, void *arg)
{
    (void)stream;
    (void)tls;
    (void)role;
    (void)name;
    (void)deadline;
    (void)done;
    (void)arg;
    return -ENOTSUP;
}

const char *gcore_stream_tls_protocol(gcore_stream *stream)
{
    (void)stream;
    return NULL;
}

const char *gcore_stream_tls_version(gcore_stream *stream)
{
    (void)stream;
    return NULL;
}

const char *gcore_stream_tls_cipher(gcore_stream *stream)
{
    (void)stream;
    return NULL;
}

const char *gcore_stream_tls_name(gcore_stream *stream)
{
    (void)stream;
    return NULL;
}

int gcore_stream_tls_resumed(gcore_stream *stream)
{
    (void)stream;
    return 0;
}

const char *gcore_stream_tls_reason(gcore_stream *stream)
{
    (void)stream;
    return "";
}

#endif
