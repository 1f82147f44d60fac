/*
 * An HTTP server that greets:
 *
 *     cc http_hello.c $(pkg-config --cflags --libs gcore) -o http_hello
 *     ./http_hello 127.0.0.1:7777
 *
 * Without an address it serves one request of its own and ends.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gcore.h>

static void hello(void *arg, gcore_http_request *request)
{
    static const char type[] = "Content-Type: text/plain\r\n";

    (void)arg;
    gcore_http_respond(request, 200, NULL, type, sizeof type - 1, "hello\n",
                       6);
    gcore_http_request_unref(request);
}

/* The listener has the socket; it is the server that accepts. */
static int listen_on(gcore_hub *hub, gcore_http_server *server,
                     const char *text, gcore_listener **out)
{
    gcore_address address;
    int error = gcore_address_parse(text, &address);

    if (error == 0)
        error = gcore_listener_new(hub, &address, NULL, out);
    if (error == 0)
        error = gcore_http_server_listen(server, gcore_listener_fd(*out));
    return error;
}

/* A peer within the program: asks, and sees whether the answer is right. */
static int ask(gcore_hub *hub, gcore_http_server *server)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    gcore_completion none;
    char answer[1024];
    size_t size = 0;
    ssize_t got;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 ||
        gcore_http_server_adopt(server, ends[0]) < 0 ||
        write(ends[1], request, sizeof request - 1) < 0)
        return -EIO;
    gcore_hub_poll(hub, &none, 1, GCORE_NOW);
    while ((got = read(ends[1], answer + size, sizeof answer - size)) > 0)
        size += (size_t)got;
    close(ends[1]);
    printf("%.*s", (int)size, answer);
    return size < 6 || memcmp(answer + size - 6, "hello\n", 6) != 0 ? -EPROTO
                                                                    : 0;
}

int main(int argc, char **argv)
{
    gcore_hub *hub = NULL;
    gcore_http_server *server = NULL;
    gcore_listener *listener = NULL;
    int error = gcore_hub_new(NULL, &hub);

    if (error == 0)
        error = gcore_http_server_new(hub, NULL, &server);
    if (error == 0)
        error = gcore_http_server_start(server, hello, NULL);
    if (error == 0 && argc < 2)
        error = ask(hub, server);
    if (error == 0 && argc > 1)
        error = listen_on(hub, server, argv[1], &listener);
    if (error == 0 && argc > 1)
        error = gcore_hub_run(hub);
    if (error < 0)
        fprintf(stderr, "%s\n", gcore_error_text(error));
    gcore_http_server_unref(server);
    gcore_listener_unref(listener);
    gcore_hub_unref(hub);
    return error == 0 ? 0 : 1;
}
