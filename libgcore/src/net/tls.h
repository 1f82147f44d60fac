/* The inside of TLS: what one side has in common, and one connection. */
#ifndef GCORE__TLS_H
#define GCORE__TLS_H

#ifdef GCORE_WITH_TLS

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <gcore/tls.h>

/* A certificate for a name. */
typedef struct gcore__tls_name {
    struct gcore__tls_name *next;
    gcore_tls *tls;
    char name[];
} gcore__tls_name;

struct gcore_tls {
    atomic_int refs;
    SSL_CTX *context;
    unsigned flags;
    bool certified;
    gcore__tls_name *names;
    unsigned char *protocols; /* as ALPN has them: lengths and names */
    unsigned protocols_length;
    pthread_mutex_t lock; /* guards the next two */
    SSL_SESSION *session; /* client: the last one */
    char *session_name;   /* whose it is */
};

/* The session to resume with that server, or NULL; the caller's. */
SSL_SESSION *gcore__tls_session(gcore_tls *tls, const char *name);

/* Puts OpenSSL's oldest error of the thread into words. */
void gcore__tls_explain(char *text, size_t room);

#endif

#endif
