/* Sockets, for the tests of streams, listeners, UDP and TLS. */
#ifndef SUPPORT_NET_H
#define SUPPORT_NET_H

#include "support.h"

/* Runs a test on a hub of each backend. */
#define ON_EACH_BACKEND(name)                                                 \
    static void name(void **state)                                            \
    {                                                                         \
        static const char *const backends[] = {"epoll", "poll", "select"};    \
                                                                              \
        (void)state;                                                          \
        for (int b = 0; b < 3; b++) {                                         \
            gcore_hub *hub = hub_new_backend(backends[b]);                    \
            name##_on(hub);                                                   \
            hub_end(hub);                                                     \
        }                                                                     \
    }

/* Turns the hub until the condition holds. */
#define UNTIL(hub, condition)                                                 \
    do {                                                                      \
        int64_t until_ = after(PATIENCE);                                     \
                                                                              \
        while (!(condition)) {                                                \
            net_turn(hub);                                                    \
            assert_true(gcore_clock() < until_);                              \
        }                                                                     \
    } while (0)
void net_turn(gcore_hub *hub);

/* Some turns, after which what must not happen would have happened. */
void net_settle(gcore_hub *hub);

/* Two connected TCP sockets that do not block. */
void tcp_pair(int ends[2]);
/* And small kernel buffers. */
void tcp_pair_small(int ends[2]);

/* A stream of one of two connected sockets, and the other one. */
gcore_stream *stream_and_peer(gcore_hub *hub, int *peer);
gcore_stream *stream_and_slow_peer(gcore_hub *hub, int *peer);

/* What a started stream hears: a gcore_stream_fn and its argument. */
typedef struct heard {
    char *bytes;
    size_t length;
    int calls;
    int ends; /* times told 0 or an error */
    int64_t end;
    gcore_stream *stream; /* if set, closed and dropped at the end */
} heard;
void hear(void *arg, void *data, int64_t result);
void heard_free(heard *it);

/* Bytes that tell their place. */
char *pattern(size_t length);

/* Peers: all of it, or the test fails; the hub, if any, is turned. */
void fd_send(gcore_hub *hub, int fd, const void *data, size_t length);
void fd_expect(gcore_hub *hub, int fd, const void *data, size_t length);
/* The end, or a reset: 0 or -ECONNRESET. */
int fd_end(gcore_hub *hub, int fd);
/* Closes it so that the other side gets a reset. */
void fd_reset(int fd);

/* One piece. */
int64_t write_bytes(gcore_stream *stream, const void *data, size_t length);
#define WRITE_TEXT(stream, text) write_bytes(stream, text, sizeof text - 1)

gcore_address local_address(const char *text);

#endif
