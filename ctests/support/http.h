/*
 * What the tests of the HTTP server share: a server whose application echoes,
 * and peers made of socket pairs, in one thread. Nothing waits for time: a
 * turn of the hub that finds nothing means that nothing is to come.
 */
#ifndef SUPPORT_HTTP_H
#define SUPPORT_HTTP_H

#include "support.h"

typedef struct echo_server {
    gcore_hub *hub;
    gcore_http_server *server;
    int handled; /* requests */
    int reports; /* refused ones that were handed over */
    char reason[128];
} echo_server;

/* A server that answers each request with 200 and "METHOD TARGET BODY", or,
 * when the body is malformed, 400 and the error's name. */
void echo_open(echo_server *it, const gcore_http_options *options);
void echo_close(echo_server *it);

/* The counters. */
gcore_http_stats stats_of(const echo_server *it);

/* The application's function alone. */
void echo_handle(void *arg, gcore_http_request *request);

typedef struct peer {
    int fd;
    char got[1 << 20];
    size_t size;
    bool closed; /* the server sends no more */
    bool reset;
} peer;

void peer_open(peer *it, echo_server *server);
/* The same where there may be no memory: its fd is -1 then. */
void peer_open_if(peer *it, echo_server *server);
void peer_send(peer *it, const void *bytes, size_t size);
void peer_close(peer *it);

void peer_say(peer *it, const char *text);

/* Settles and asserts that exactly this came, the Date lines aside, since the
 * last time; "closed" at its end if the server has closed. */
void expect(echo_server *server, peer *it, const char *text);

/* Turns the hub until nothing happens any more, receiving. */
void settle(echo_server *server, peer *it);

/* The answers that came: "200 BODY|400 BODY|", with "closed" at the end of
 * them if the server has closed. The texts of refusals are left out. */
const char *answers(const peer *it);

/* A server whose requests the test takes itself, one after the other. */
void taking_open(echo_server *it, const gcore_http_options *options);

/* The next one, which is there; settles first. */
gcore_http_request *take(echo_server *it, peer *from);

#endif
