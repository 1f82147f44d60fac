/*
 * The request as an object, and what can be asked of it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <strings.h>

#include "http/engine.h"

void gcore__http_proxied_unref(gcore__http_proxied *proxied)
{
    if (proxied && --proxied->refs == 0)
        gcore__free(proxied);
}

gcore_http_request *gcore__http_request_new(const gcore__http_conn *conn,
                                            uint32_t fields,
                                            const char *block, size_t size)
{
    gcore_http_request *request = gcore__alloc(
        sizeof *request + fields * sizeof *request->fields + size + 1);

    if (!request)
        return NULL;
    request->hub = conn->server->hub;
    request->refs = 1;
    memcpy(request->peer, conn->peer, sizeof request->peer);
    request->head = (gcore_http_head){
        .size = sizeof request->head,
        .block = memcpy(request->fields + fields, block, size),
        .block_size = (uint32_t)size,
        .fields = request->fields,
        .connection = conn->number,
        .number = conn->requests + 1,
        .peer = request->peer,
        .peer_port = conn->peer_port,
    };
    if (conn->proxied) {
        conn->proxied->refs++;
        request->proxied = conn->proxied;
        request->head.proxy = &conn->proxied->told;
    }
    gcore__list_init(&request->link);
    gcore__http_wait_init(request, &request->body_wait);
    gcore__http_wait_init(request, &request->sent_wait);
    gcore__http_wait_init(request, &request->source_wait);
    return request;
}

static void free_if_unused(gcore_http_request *request)
{
    if (request->refs || request->holds)
        return;
    gcore__free(request->chunks);
    gcore__free(request->trailer_block);
    gcore__free(request->trailer_fields);
    gcore__buffer_clear(&request->taken);
    gcore__http_proxied_unref(request->proxied);
    gcore__free(request);
}

void gcore__http_request_drop(gcore_http_request *request)
{
    request->holds--;
    free_if_unused(request);
}

void gcore__http_request_part(gcore_http_request *request, int error)
{
    request->conn->request = NULL;
    request->conn = NULL;
    request->error = error;
    gcore__http_wait_end(&request->body_wait, error);
    gcore__http_wait_end(&request->sent_wait, error);
    if (request->sending)
        gcore__http_source_sent(request, error);
    gcore__http_request_drop(request);
}

gcore_http_request *gcore_http_request_ref(gcore_http_request *request)
{
    request->refs++;
    return request;
}

void gcore_http_request_unref(gcore_http_request *request)
{
    if (!request || --request->refs)
        return;
    request->holds++;
    gcore__http_wait_end(&request->body_wait, -ECANCELED);
    gcore__http_wait_end(&request->sent_wait, -ECANCELED);
    if (request->conn && (!request->finished || request->status == 101))
        gcore__http_abandoned(request);
    gcore__http_request_drop(request);
}

const gcore_http_head *gcore_http_request_head(gcore_http_request *request)
{
    return &request->head;
}

const char *gcore_http_request_field(gcore_http_request *request,
                                     const char *name, size_t *size)
{
    const gcore_http_head *head = &request->head;
    size_t length = strlen(name);

    for (uint32_t i = 0; i < head->field_count; i++) {
        const gcore_http_field *field = &head->fields[i];

        if (field->name_size != length ||
            strncasecmp(head->block + field->name, name, length) != 0)
            continue;
        if (size)
            *size = field->value_size;
        return head->block + field->value;
    }
    return NULL;
}

int gcore_http_request_fd(gcore_http_request *request)
{
    return request->conn ? request->conn->fd : -ECANCELED;
}

gcore_stream *gcore_http_request_stream(gcore_http_request *request)
{
    return request->conn ? request->conn->stream : NULL;
}

void gcore_http_abort(gcore_http_request *request)
{
    if (request->conn)
        gcore__http_conn_reset(request->conn, -ECANCELED);
}

static bool has_agreed(const gcore_http_request *request)
{
    return !request->begun || (request->status == 101 && request->finished);
}

/* Whether the connection can be somebody else's, of that kind. */
static int may_leave(const gcore_http_request *request, bool as_stream)
{
    const gcore__http_conn *conn = request->conn;

    if (!conn)
        return request->error;
    if (!has_agreed(request))
        return -EALREADY;
    if (as_stream != (conn->stream != NULL))
        return -ENOTSUP;
    return gcore__http_unsent(conn) ? -EAGAIN : 0;
}

int gcore_http_take_over(gcore_http_request *request, const void **bytes,
                         size_t *size)
{
    gcore__http_conn *conn = request->conn;
    int fd, error = may_leave(request, false);

    if (error < 0)
        return error;
    request->taken = conn->in;
    conn->in = (gcore__buffer){0};
    fd = gcore__http_conn_detach(conn, -ECANCELED);
    *bytes = request->taken.bytes ? gcore__buffer_first(&request->taken) : "";
    *size = gcore__buffer_size(&request->taken);
    return fd;
}

int gcore_http_take_over_stream(gcore_http_request *request,
                                gcore_stream **out)
{
    gcore__http_conn *conn = request->conn;
    int error = out ? may_leave(request, true) : -EINVAL;

    if (error == 0 && gcore__buffer_size(&conn->in))
        error = gcore_stream_unread(conn->stream,
                                    gcore__buffer_first(&conn->in),
                                    gcore__buffer_size(&conn->in));
    if (error < 0)
        return error;
    *out = conn->stream;
    conn->stream = NULL;
    gcore__http_conn_detach(conn, -ECANCELED);
    return 0;
}
