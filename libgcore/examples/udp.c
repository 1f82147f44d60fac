/*
 * A UDP server that sends back what it gets, in capitals:
 *
 *     cc udp.c $(pkg-config --cflags --libs gcore) -o udp
 *     ./udp 127.0.0.1:7777
 *
 * Without an address it answers one datagram of its own and ends.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <gcore.h>

static gcore_udp *server, *client;
static char answer[64];

static void shout(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
}

/* Changed where they lie, and sent back to where they came from. */
static void serve(void *arg, gcore_datagram *datagrams, int64_t result)
{
    gcore_udp *udp = arg;

    for (int64_t i = 0; i < result; i++) {
        shout(datagrams[i].data, datagrams[i].length);
        datagrams[i].flags = 0;
    }
    if (result > 0)
        gcore_udp_send(udp, datagrams, (int)result);
}

static void answered(void *arg, gcore_datagram *datagrams, int64_t result)
{
    (void)arg;
    if (result < 1)
        return;
    snprintf(answer, sizeof answer, "%.*s", (int)datagrams[0].length,
             (const char *)datagrams[0].data);
    printf("%s\n", answer);
    gcore_udp_stop(client);
    gcore_udp_stop(server);
}

static int ask(gcore_hub *hub)
{
    gcore_datagram question = {.data = "hello", .length = 5};
    gcore_address any;
    int error = gcore_address_parse("127.0.0.1:0", &any);

    if (error == 0)
        error = gcore_udp_new(hub, &any, NULL, &client);
    if (error == 0)
        error = gcore_udp_start(client, answered, NULL);
    if (error == 0)
        error = gcore_udp_address(server, &question.address);
    if (error == 0)
        error = gcore_udp_send(client, &question, 1);
    return error < 0 ? error : 0;
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
        error = gcore_udp_new(hub, &address, NULL, &server);
    if (error == 0)
        error = gcore_udp_start(server, serve, server);
    if (error == 0 && argc < 2)
        error = ask(hub);
    if (error == 0)
        error = gcore_hub_run(hub);
    if (error < 0)
        fprintf(stderr, "%s\n", gcore_error_text(error));
    gcore_udp_unref(client);
    gcore_udp_unref(server);
    gcore_hub_unref(hub);
    return error == 0 && (argc > 1 || strcmp(answer, "HELLO") == 0) ? 0 : 1;
}
