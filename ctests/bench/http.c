/*
 * An HTTP server that greets, in C: the library's, plain and under TLS, a
 * bare loop of libev and llhttp, and libevent's evhttp.
 *
 *   http [CONNECTIONS [SECONDS [RUNS]]]
 *
 * Each server is a process of its own, on the first processor; wrk runs on
 * the second. Runs are interleaved, the median counts. Where wrk is the limit
 * the requests a second say little: the server's processor time does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define EV_STANDALONE 1
#define EV_API_STATIC 1
#define EV_MULTIPLICITY 1
#define EV_USE_EPOLL 1
#define EV_USE_SELECT 0
#define EV_USE_POLL 0
#define EV_USE_KQUEUE 0
#define EV_USE_INOTIFY 0
#define EV_SIGNAL_ENABLE 0
#define EV_CHILD_ENABLE 0
#include <ev.c>

#include <event2/buffer.h>
#include <event2/http.h>
#include <llhttp.h>

#include <gcore.h>

#ifdef GCORE_WITH_TLS
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#endif

/* Not by event2/event.h: its names are libev's with other meanings. */
struct event_base *event_base_new(void);
int event_base_dispatch(struct event_base *base);

#define BODY "Hello, world!"

enum { MOST_RUNS = 21 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void pin(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    sched_setaffinity(0, sizeof set, &set); /* one is enough to go on */
}

/* The library */

static void greet(void *arg, gcore_http_request *request)
{
    static const char type[] = "Content-Type: text/plain\r\n";

    (void)arg;
    gcore_http_respond(request, 200, NULL, type, sizeof type - 1, BODY,
                       sizeof BODY - 1);
    gcore_http_request_unref(request);
}

static gcore_hub *open_gcore(int fd, gcore_http_server **server)
{
    gcore_hub *hub;

    if (gcore_hub_new(NULL, &hub) < 0 ||
        gcore_http_server_new(hub, NULL, server) < 0 ||
        gcore_http_server_listen(*server, fd) < 0)
        fail("gcore");
    return hub;
}

static void serve_gcore(int fd)
{
    gcore_http_server *server;
    gcore_hub *hub = open_gcore(fd, &server);

    gcore_http_server_start(server, greet, NULL);
    gcore_hub_run(hub);
}

/* The way of a binding: requests are fetched after each poll. */
static void serve_completions(int fd)
{
    enum { BATCH = 64 };
    gcore_http_request *requests[BATCH];
    gcore_completion out[BATCH];
    gcore_http_server *server;
    gcore_hub *hub = open_gcore(fd, &server);
    int count;

    gcore_http_server_watch(server, GCORE_COMPLETE, NULL);
    while (gcore_hub_poll(hub, out, BATCH, GCORE_FOREVER) >= 0) {
        while ((count = gcore_http_server_take(server, requests, BATCH)) > 0)
            for (int i = 0; i < count; i++)
                greet(NULL, requests[i]);
    }
}

#ifdef GCORE_WITH_TLS

/* Over TLS: connections are the server's once their handshakes are over. */

static char certificate[] = "/tmp/gcore-bench-XXXXXX";

static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    FILE *file = fdopen(mkstemp(certificate), "w");

    if (!key || !x509 || !file)
        fail(certificate);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, key);
    X509_sign(x509, key, EVP_sha256());
    PEM_write_X509(file, x509);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static struct {
    gcore_http_server *server;
    gcore_tls *tls;
} secure;

static void shaken(void *arg, int64_t result)
{
    gcore_stream *stream = arg;

    if (result < 0 ||
        gcore_http_server_adopt_stream(secure.server, stream) < 0)
        gcore_stream_unref(stream);
}

static void shake(void *arg, gcore_stream *stream, int64_t result)
{
    (void)arg;
    (void)result;
    if (stream && gcore_stream_start_tls(stream, secure.tls, GCORE_TLS_SERVER,
                                         NULL, GCORE_FOREVER, shaken,
                                         stream) < 0)
        gcore_stream_unref(stream);
}

static void serve_tls(int fd)
{
    gcore_tls_options options = {.size = sizeof options,
                                 .certificate = certificate};
    gcore_listener *listener;
    gcore_hub *hub;

    if (gcore_hub_new(NULL, &hub) < 0 ||
        gcore_http_server_new(hub, NULL, &secure.server) < 0 ||
        gcore_tls_new(&options, &secure.tls) < 0 ||
        gcore_listener_adopt(hub, fd, NULL, &listener) < 0)
        fail("gcore");
    gcore_http_server_start(secure.server, greet, NULL);
    gcore_listener_start(listener, shake, NULL);
    gcore_hub_run(hub);
}

#endif

/* libev and llhttp */

typedef struct bare {
    ev_io io;
    llhttp_t parser;
} bare;

static llhttp_settings_t bare_settings;

static int bare_answer(llhttp_t *parser)
{
    static const char answer[] =
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\n" BODY;
    bare *it = parser->data;

    return send(it->io.fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0 ? -1
                                                                       : 0;
}

static void bare_read(struct ev_loop *loop, ev_io *io, int events)
{
    static char buffer[65536];
    bare *it = (bare *)io;
    ssize_t got = recv(io->fd, buffer, sizeof buffer, 0);

    (void)events;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got > 0 &&
        llhttp_execute(&it->parser, buffer, (size_t)got) == HPE_OK)
        return;
    ev_io_stop(loop, io);
    close(io->fd);
    free(it);
}

static void bare_accept(struct ev_loop *loop, ev_io *io, int events)
{
    int fd, yes = 1;

    (void)events;
    while ((fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        bare *it = calloc(1, sizeof *it);

        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        llhttp_init(&it->parser, HTTP_REQUEST, &bare_settings);
        it->parser.data = it;
        ev_io_init(&it->io, bare_read, fd, EV_READ);
        ev_io_start(loop, &it->io);
    }
}

static void serve_bare(int fd)
{
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    ev_io io;

    llhttp_settings_init(&bare_settings);
    bare_settings.on_message_complete = bare_answer;
    ev_io_init(&io, bare_accept, fd, EV_READ);
    ev_io_start(loop, &io);
    ev_run(loop, 0);
}

/* libevent */

static void evhttp_greet(struct evhttp_request *request, void *arg)
{
    struct evbuffer *body = evbuffer_new();

    (void)arg;
    evbuffer_add(body, BODY, sizeof BODY - 1);
    evhttp_add_header(evhttp_request_get_output_headers(request),
                      "Content-Type", "text/plain");
    evhttp_send_reply(request, 200, "OK", body);
    evbuffer_free(body);
}

static void serve_evhttp(int fd)
{
    struct event_base *base = event_base_new();
    struct evhttp *http = evhttp_new(base);

    evhttp_set_gencb(http, evhttp_greet, NULL);
    evhttp_accept_socket(http, fd);
    event_base_dispatch(base);
}

/* Measuring */

typedef struct subject {
    const char *name;
    void (*serve)(int fd);
    const char *scheme;
    pid_t process;
    int port;
    double rates[MOST_RUNS];
    double costs[MOST_RUNS]; /* microseconds a request */
} subject;

static subject subjects[] = {
    {.name = "libev + llhttp", .serve = serve_bare, .scheme = "http"},
    {.name = "libgcore", .serve = serve_gcore, .scheme = "http"},
    {.name = "the same, completions", .serve = serve_completions,
     .scheme = "http"},
    {.name = "evhttp", .serve = serve_evhttp, .scheme = "http"},
#ifdef GCORE_WITH_TLS
    {.name = "libgcore, TLS", .serve = serve_tls, .scheme = "https"},
#endif
};

enum { SERVERS = sizeof subjects / sizeof *subjects };

static void start(subject *it)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, size) < 0 ||
        listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        fail("listen");
    it->port = ntohs(address.sin_port);
    it->process = fork();
    if (it->process == 0) {
        pin(0);
        it->serve(fd);
        _exit(0);
    }
    close(fd);
}

/* Processor time that the process has used, in seconds. */
static double used(pid_t process)
{
    unsigned long user, system;
    char path[64], text[1024], *at;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "r");
    if (!file || !fgets(text, sizeof text, file))
        fail(path);
    fclose(file);
    at = strrchr(text, ')');
    if (sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
               &user, &system) != 2)
        fail(path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void run(subject *it, int at, int connections, int seconds)
{
    double before = used(it->process), requests = 0, spent;
    char command[200], line[200];
    FILE *wrk;

    snprintf(command, sizeof command,
             "wrk -t1 -c%d -d%ds %s://127.0.0.1:%d/ 2>&1", connections,
             seconds, it->scheme, it->port);
    wrk = popen(command, "r");
    while (wrk && fgets(line, sizeof line, wrk)) {
        sscanf(line, " %lf requests in", &requests);
        sscanf(line, "Requests/sec: %lf", &it->rates[at]);
    }
    if (!wrk || pclose(wrk) != 0 || requests == 0)
        fail("wrk");
    spent = used(it->process) - before;
    it->costs[at] = spent / requests * 1e6;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(const double *values, int count)
{
    double sorted[MOST_RUNS];

    memcpy(sorted, values, (size_t)count * sizeof *values);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    return sorted[count / 2];
}

int main(int count, char **arguments)
{
    int connections = count > 1 ? atoi(arguments[1]) : 50;
    int seconds = count > 2 ? atoi(arguments[2]) : 1;
    int runs = count > 3 ? atoi(arguments[3]) : 5;

    if (connections < 1 || seconds < 1 || runs < 1 || runs > MOST_RUNS) {
        fprintf(stderr, "http [CONNECTIONS [SECONDS [RUNS]]]\n");
        return 2;
    }
#ifdef GCORE_WITH_TLS
    make_certificate();
#endif
    for (int i = 0; i < SERVERS; i++)
        start(&subjects[i]);
    pin(1);
    for (int at = 0; at < runs; at++)
        for (int i = 0; i < SERVERS; i++)
            run(&subjects[i], at, connections, seconds);
    printf("hello, %d connections: requests a second, server's time\n",
           connections);
    for (int i = 0; i < SERVERS; i++) {
        double cost = median(subjects[i].costs, runs);

        printf("  %-22s %8.0f /s  %6.2f us  (libev + llhttp / this: %.2f)\n",
               subjects[i].name, median(subjects[i].rates, runs), cost,
               median(subjects[0].costs, runs) / cost);
        kill(subjects[i].process, SIGKILL);
        waitpid(subjects[i].process, NULL, 0);
    }
#ifdef GCORE_WITH_TLS
    unlink(certificate);
#endif
    return 0;
}
