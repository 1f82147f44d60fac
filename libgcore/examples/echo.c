/*
 * An echo server:
 *
 *     cc echo.c $(pkg-config --cflags --libs gcore) -o echo
 *     ./echo 127.0.0.1:7777
 *
 * Without an address it serves one client of its own and ends.
 */
#include <stdio.h>
#include <string.h>

#include <gcore.h>

static const char greeting[] = "hello";
static char answer[sizeof greeting];
static gcore_listener *listener;
static gcore_stream *client;

static void echo(void *arg, void *data, int64_t result)
{
    gcore_stream *stream = arg;
    gcore_piece piece = {data, result > 0 ? (size_t)result : 0};

    if (result > 0 && gcore_stream_write(stream, &piece, 1) >= 0)
        return;
    gcore_stream_close(stream);
    gcore_stream_unref(stream);
}

static void accepted(void *arg, gcore_stream *stream, int64_t result)
{
    (void)arg;
    if (!stream)
        fprintf(stderr, "accept: %s\n", gcore_error_text((int)result));
    else if (gcore_stream_start(stream, echo, stream) < 0)
        gcore_stream_unref(stream);
}

static void answered(void *arg, int64_t result)
{
    (void)arg;
    printf("%lld bytes: %s\n", (long long)result, answer);
    gcore_stream_close(client);
    gcore_listener_stop(listener);
}

static void connected(void *arg, int64_t result)
{
    gcore_piece piece = {greeting, sizeof greeting};

    (void)arg;
    if (result < 0 || gcore_stream_write(client, &piece, 1) < 0 ||
        gcore_stream_read(client, answer, sizeof answer, GCORE_FOREVER,
                          answered, NULL) < 0)
        gcore_listener_stop(listener);
}

static int greet(gcore_hub *hub)
{
    gcore_address address;
    int error = gcore_listener_address(listener, &address);

    if (error < 0)
        return error;
    return gcore_stream_connect(hub, &address, NULL, GCORE_FOREVER, connected,
                                NULL, &client);
}

int main(int argc, char **argv)
{
    gcore_hub *hub = NULL;
    gcore_address address;
    int error = gcore_address_parse(argc > 1 ? argv[1] : "127.0.0.1:0",
                                    &address);

    if (error == 0)
        error = gcore_hub_new(NULL, &hub);
    if (error == 0)
        error = gcore_listener_new(hub, &address, NULL, &listener);
    if (error == 0)
        error = gcore_listener_start(listener, accepted, NULL);
    if (error == 0 && argc < 2)
        error = greet(hub);
    if (error == 0)
        error = gcore_hub_run(hub);
    if (error < 0)
        fprintf(stderr, "%s\n", gcore_error_text(error));
    gcore_stream_unref(client);
    gcore_listener_unref(listener);
    gcore_hub_unref(hub);
    return error == 0 && (argc > 1 || strcmp(answer, greeting) == 0) ? 0 : 1;
}
