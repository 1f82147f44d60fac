/*
 * libgcore: hubs, watches, worker pools and names behind one stable C
 * interface.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef GCORE_H
#define GCORE_H

#include <gcore/base.h>
#include <gcore/hub.h>
#include <gcore/watch.h>
#include <gcore/pool.h>
#include <gcore/http.h>
#include <gcore/dns.h>
#include <gcore/address.h>
#include <gcore/stream.h>
#include <gcore/server.h>
#include <gcore/tls.h>
#include <gcore/udp.h>

#endif
