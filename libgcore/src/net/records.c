/*
 * Records: bytes that leave by calls for one block each, of at most
 * GCORE__RECORD bytes, as they lie or copied together.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <unistd.h>

#include "net/stream.h"

int gcore__records_prepare(gcore_hub *hub)
{
    if (!hub->record)
        hub->record = gcore__alloc(GCORE__RECORD);
    return hub->record ? 0 : -ENOMEM;
}

/* Where a write has got to. */
struct place {
    const struct iovec *pieces;
    int count;
    size_t offset; /* in the first */
};

static void advance(struct place *place, size_t length)
{
    place->offset += length;
    while (place->count && place->offset >= place->pieces[0].iov_len) {
        place->offset -= place->pieces[0].iov_len;
        place->pieces++;
        place->count--;
    }
}

/* The next record's bytes. */
static const char *gather(gcore_stream *stream, const struct place *place,
                          size_t *length)
{
    char *record = stream->hub->record;
    size_t offset = place->offset;
    size_t first = place->pieces[0].iov_len - offset;

    if (place->count == 1 || first >= GCORE__RECORD) {
        *length = first < GCORE__RECORD ? first : GCORE__RECORD;
        return (const char *)place->pieces[0].iov_base + offset;
    }
    *length = 0;
    for (int i = 0; i < place->count && *length < GCORE__RECORD; i++) {
        size_t part = place->pieces[i].iov_len - offset;

        if (part > GCORE__RECORD - *length)
            part = GCORE__RECORD - *length;
        if (part)
            memcpy(record + *length,
                   (const char *)place->pieces[i].iov_base + offset, part);
        *length += part;
        offset = 0;
    }
    return record;
}

int64_t gcore__send_records(gcore_stream *stream, const struct iovec *pieces,
                            int count, gcore__send_record *send)
{
    struct place place = {pieces, count, 0};
    int64_t total = 0;

    advance(&place, 0);
    while (place.count) {
        size_t length;
        const char *data = gather(stream, &place, &length);
        int64_t sent = send(stream, data, length);

        if (sent <= 0)
            return total ? total : sent ? sent : -EPIPE;
        total += sent;
        advance(&place, (size_t)sent);
    }
    return total;
}

int64_t gcore__send_file_records(gcore_stream *stream, int fd, int64_t offset,
                                 size_t length, gcore__send_record *send)
{
    int64_t total = 0;

    while (length) {
        size_t most = length < GCORE__RECORD ? length : GCORE__RECORD;
        ssize_t got;
        int64_t sent;

        do
            got = pread(fd, stream->hub->record, most, offset);
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            return total ? total : got < 0 ? -errno : 0;
        sent = send(stream, stream->hub->record, (size_t)got);
        if (sent <= 0)
            return total ? total : sent ? sent : -EPIPE;
        total += sent;
        offset += sent;
        length -= (size_t)sent;
    }
    return total;
}
