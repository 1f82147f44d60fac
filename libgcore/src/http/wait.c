/*
 * What the application waits for: the body, an answer to be sent, a file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "http/engine.h"

static int64_t told(gcore_hub *hub, gcore__ready *ready)
{
    gcore__http_wait *wait = GCORE__OF(gcore__http_wait, ready, ready);
    int64_t result = ready->result;

    gcore__http_request_drop(wait->request);
    gcore__hub_drop(hub);
    return result;
}

void gcore__http_wait_init(gcore_http_request *request, gcore__http_wait *wait)
{
    wait->request = request;
    wait->ready.take = told;
}

int gcore__http_wait_start(gcore__http_wait *wait, int64_t deadline,
                           gcore_done_fn *done, void *arg)
{
    if (!done)
        return -EINVAL;
    if (wait->waits || wait->ready.listed)
        return -EALREADY;
    wait->ready.done = done;
    wait->ready.arg = arg;
    wait->deadline = deadline;
    wait->waits = true;
    wait->request->holds++;
    gcore__hub_hold(wait->request->hub);
    return 0;
}

void gcore__http_wait_end(gcore__http_wait *wait, int64_t result)
{
    if (!wait->waits)
        return;
    wait->waits = false;
    wait->ready.result = result;
    gcore__ready_add(wait->request->hub, &wait->ready);
}

void gcore__http_wait_cancel(gcore__http_wait *wait)
{
    gcore_hub *hub = wait->request->hub;

    if (!wait->waits && !wait->ready.listed)
        return;
    wait->waits = false;
    gcore__ready_withdraw(hub, &wait->ready);
    gcore__http_request_drop(wait->request);
    gcore__hub_drop(hub);
}
