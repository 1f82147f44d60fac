"""What `names.py` measures: each prints the seconds that one lookup takes.

    python name_workloads.py WORKLOAD [--busy]

``--busy``: with one native thread computing in the process.
"""
import _thread
import os
import sys
import time

import gevent
from gevent import socket

HOSTS_NAME = "this-machine"
DNS_NAME = "www.example.test"
STREAM = 1
LOOKUPS = {"hosts": 20000, "dns": 6000, "busy": 400,
           "fresh": 4000}


def look_up(name, count):
    for _ in range(count):
        socket.getaddrinfo(name, 80, 0, STREAM)


def seconds_each(count, work):
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) / count


def one_greenlet(name, count):
    look_up(name, count // 20 + 1)  # what is done once
    return seconds_each(count, lambda: look_up(name, count))


def many_greenlets(names, count):
    def work():
        gevent.joinall([gevent.spawn(look_up, name, count // len(names))
                        for name in names])
    look_up(names[0], 10)
    return seconds_each(count // len(names) * len(names), work)


def look_up_fresh(greenlet, count):
    for number in range(count):
        name = f"f{number}.n{greenlet}.example.test"
        socket.getaddrinfo(name, 80, 0, STREAM)


def fresh_names(greenlets, count):
    """The processor time of lookups that nobody can know the answer of: the
    name server, which takes longer for them, does not count."""
    look_up(DNS_NAME, 10)
    begin = time.process_time()
    gevent.joinall([gevent.spawn(look_up_fresh, index, count // greenlets)
                    for index in range(greenlets)])
    return (time.process_time() - begin) / (count // greenlets * greenlets)


def dns_names(number):
    # Different ones: the same question is asked but once at a time.
    return [f"n{index}.example.test" for index in range(number)]


WORKLOADS = {
    "hosts_one": lambda: one_greenlet(HOSTS_NAME, LOOKUPS["hosts"]),
    "hosts_64": lambda: many_greenlets([HOSTS_NAME] * 64, LOOKUPS["hosts"]),
    "hosts_busy": lambda: one_greenlet(HOSTS_NAME, LOOKUPS["busy"]),
    "dns_one": lambda: one_greenlet(DNS_NAME, LOOKUPS["dns"]),
    "dns_64": lambda: many_greenlets(dns_names(64), LOOKUPS["dns"]),
    "dns_busy": lambda: many_greenlets(dns_names(64), LOOKUPS["busy"] * 4),
    "fresh_one": lambda: fresh_names(1, LOOKUPS["fresh"]),
    "fresh_64": lambda: fresh_names(64, LOOKUPS["fresh"]),
    "cached": lambda: one_greenlet(DNS_NAME, 200000),
    "cached_million": lambda: one_greenlet(DNS_NAME, 1000000),
}


def compute_for_ever():
    while True:
        pass


def main(arguments):
    if "--busy" in arguments:
        arguments.remove("--busy")
        _thread.start_new_thread(compute_for_ever, ())
    name, = arguments
    print(WORKLOADS[name](), type(gevent.get_hub().resolver).__module__,
          flush=True)
    os._exit(0)  # the busy thread does not end


if __name__ == "__main__":
    main(sys.argv[1:])
