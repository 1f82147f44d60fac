/*
 * An HTTP server that greets:
 *
 *     cc http_hello.c $(pkg-config --cflags --libs gcore) -o http_hello
 *     ./http_hello 7777
 *
 * Without a port it serves one request of its own and ends.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
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

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(fd, SOMAXCONN) < 0) {
        perror("http_hello");
        exit(1);
    }
    return fd;
}

/* A peer within the program: asks, and says whether the answer was right. */
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
        return 1;
    gcore_hub_poll(hub, &none, 1, GCORE_NOW);
    while ((got = read(ends[1], answer + size, sizeof answer - size)) > 0)
        size += (size_t)got;
    close(ends[1]);
    printf("%.*s", (int)size, answer);
    return size < 6 || memcmp(answer + size - 6, "hello\n", 6) != 0;
}

int main(int count, char **arguments)
{
    gcore_hub *hub;
    gcore_http_server *server;
    int status = 0;

    if (gcore_hub_new(NULL, &hub) < 0 ||
        gcore_http_server_new(hub, NULL, &server) < 0)
        return 1;
    gcore_http_server_start(server, hello, NULL);
    if (count > 1) {
        gcore_http_server_listen(server, listen_on(atoi(arguments[1])));
        status = gcore_hub_run(hub) < 0;
    } else {
        status = ask(hub, server);
    }
    gcore_http_server_unref(server);
    gcore_hub_unref(hub);
    return status;
}
