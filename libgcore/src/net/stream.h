/*
 * The inside of a stream, shared by the files of this folder.
 *
 * A stream holds a reference to itself for each thing that is going on: a
 * read that has not been told its end, a queue that is not empty, a drain or
 * connect that has not been told.
 *
 * Done functions are called from watches' done functions and ready entries
 * only, never inside a call of the stream's user. So whatever the user does
 * in them is safe, if who called them holds a reference and looks at the
 * stream anew.
 */
#ifndef GCORE__STREAM_H
#define GCORE__STREAM_H

#include <sys/uio.h>

#include <gcore/server.h>
#include <gcore/stream.h>
#include <gcore/watch.h>

#include "hub/hub.h"

/* How bytes go in and out: plain, under TLS, or as the application says.
 * Results are as those of the public calls; -EAGAIN: not now. */
typedef struct gcore__transport {
    /* -EINPROGRESS: not until the socket is writable. */
    int64_t (*receive)(gcore_stream *stream, void *buffer, size_t room);
    int64_t (*send)(gcore_stream *stream, const struct iovec *pieces,
                    int count);
    int64_t (*send_file)(gcore_stream *stream, int fd, int64_t offset,
                         size_t length);
    /* Bytes are there that the kernel does not know of. */
    bool (*pending)(gcore_stream *stream);
    /* No more will be sent. */
    int (*shut)(gcore_stream *stream);
    /* The descriptor is about to be closed. */
    void (*close)(gcore_stream *stream);
    /* The stream is about to be freed. */
    void (*release)(gcore_stream *stream);
} gcore__transport;

extern const gcore__transport gcore__plain;

/* What the kernel takes of the pieces, without SIGPIPE; `flags` are those of
 * send. */
int64_t gcore__plain_send(int socket, const struct iovec *pieces, int count,
                          int flags);

/* sendfile to a socket, without SIGPIPE. */
int64_t gcore__plain_send_file(int socket, int fd, int64_t offset,
                               size_t length);

/* records.c: what leaves by one call a record. The hub's room for one is made
 * beforehand. Results as of the transport's functions. */
#define GCORE__RECORD (16 * 1024)

typedef int64_t gcore__send_record(gcore_stream *stream, const void *data,
                                   size_t length);

int gcore__records_prepare(gcore_hub *hub);
int64_t gcore__send_records(gcore_stream *stream, const struct iovec *pieces,
                            int count, gcore__send_record *send);
int64_t gcore__send_file_records(gcore_stream *stream, int fd, int64_t offset,
                                 size_t length, gcore__send_record *send);

/* Who reads. */
enum gcore__reader {
    GCORE__NOBODY,
    GCORE__STARTED, /* gcore_stream_start */
    GCORE__ONE_READ, /* gcore_stream_read */
    GCORE__DISCARD,  /* gcore_stream_finish */
};

/* A part of the write queue: bytes, or a part of a file. */
typedef struct gcore__chunk {
    struct gcore__chunk *next;
    int file; /* -1: bytes */
    int64_t offset;
    int64_t length; /* what is left of it, from `offset` on */
    char bytes[];
} gcore__chunk;

struct gcore_stream {
    gcore_hub *hub;
    gcore_watch *readable;
    gcore_watch *writable; /* NULL until it is first needed */
    const gcore__transport *transport;
    void *tls;
    struct gcore__custom *custom; /* transport.c */
    gcore__timer timer; /* the least of the deadlines, or earlier */
    int64_t read_deadline;
    int64_t write_deadline;
    int64_t drain_deadline;

    gcore__ready input; /* a result of reading that waits to be told */
    gcore_stream_fn *fn;
    void *fn_arg;
    void *buffer; /* of gcore_stream_read */
    size_t room;
    char *unread; /* put back: bytes from unread_start to unread_end */
    size_t unread_start;
    size_t unread_end;

    gcore__chunk *queue;
    gcore__chunk **queue_end;
    int64_t queued;
    size_t high_water;
    gcore__ready drained; /* the drain, or the connect */
    size_t drain_level;

    gcore_listener *listener; /* that counts it, or NULL */
    gcore__link siblings;     /* among the listener's streams */

    atomic_int refs;
    int fd;
    uint32_t read_size;
    unsigned generation;       /* fork generation when it was made */
    unsigned queue_generation; /* and when what is queued was */
    int input_end;             /* 1: open; 0: no more; negative: the error */
    int write_error;           /* 0, or why nothing can be written */
    unsigned awaited;          /* what `readable` is for */
    uint8_t reader;
    bool closed;
    bool connecting;
    bool draining;
    bool shutting; /* to be shut once the queue is empty */
    bool shut;
    bool finishing;
    bool late; /* the read deadline has passed, and bytes were there */
    bool looks; /* in the next turn, for what the kernel does not tell of */
};

/* stream.c */
/* A stream of a socket that does not block; as gcore_stream_new. */
int gcore__stream_make(gcore_hub *hub, int fd,
                       const gcore_stream_options *options,
                       gcore_stream **out);
int gcore__stream_read_options(const gcore_stream_options *given,
                               gcore_stream_options *out);

/* After a deadline was set or has begun to count. */
void gcore__stream_arm(gcore_stream *stream);

/* Sent, shut and heard the end: see gcore_stream_finish. */
void gcore__stream_finished(gcore_stream *stream);

/* read.c */
void gcore__read_init(gcore_stream *stream);
void gcore__read_cancel(gcore_stream *stream);
void gcore__read_expired(gcore_stream *stream);
void gcore__read_discard(gcore_stream *stream);
/* Something may be there that the kernel does not tell of. */
void gcore__read_look(gcore_stream *stream);
int64_t gcore__take_unread(gcore_stream *stream, void *buffer, size_t room);
bool gcore__reading(const gcore_stream *stream);

/* write.c */
void gcore__write_init(gcore_stream *stream);
int gcore__write_watch(gcore_stream *stream);
void gcore__write_fail(gcore_stream *stream, int error);
void gcore__write_drained(gcore_stream *stream, int64_t result);

/* connect.c: until it is over the stream can be neither read nor written. */
void gcore__connect_begin(gcore_stream *stream, gcore_done_fn *done,
                          void *arg);
void gcore__connect_over(gcore_stream *stream, int64_t result);
void gcore__connect_cancel(gcore_stream *stream);

/* listener.c: one of its streams is closed or detached. */
void gcore__listener_left(gcore_listener *listener, gcore_stream *stream);

#endif
