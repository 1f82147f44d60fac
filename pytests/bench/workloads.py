"""The workloads of `core.py`; both interpreters run this file.

``workloads.py ROW [--busy]`` measures one row in this process and prints
one number: seconds an operation takes, or bytes a greenlet takes.  With
``--busy`` a native thread computes all the while.  ``workloads.py --about``
prints what is measured here, as JSON.
"""
import _thread
import sys
import time

ENOUGH = 0.3  # seconds a timing should last
ROWS = {}


def row(unit=1):
    """Add ``function(n)``, which does n operations, n a multiple of *unit*."""
    def add(function):
        ROWS[function.__name__] = lambda: seconds_each(function, unit)
        return function
    return add


def once(function):
    """Add ``function()``, which returns the figure itself."""
    ROWS[function.__name__] = function
    return function


def seconds_each(function, unit):
    function(unit)  # imports what it needs
    count, taken = unit, timed(function, unit)
    while taken < ENOUGH / 2:
        grown = min(count * 10, int(count * ENOUGH / taken))
        count = max(count + unit, grown // unit * unit)
        taken = timed(function, count)
    return taken / count


def timed(function, count):
    begun = time.perf_counter()
    function(count)
    return time.perf_counter() - begun


# -- switching ---------------------------------------------------------------------

@row()
def sleep0_one(n):
    from gevent import sleep
    for _ in range(n):
        sleep(0)


@row(unit=10)
def sleep0_ten(n):
    import gevent
    sleep = gevent.sleep

    def work():
        for _ in range(n // 10):
            sleep(0)
    gevent.joinall([gevent.spawn(work) for _ in range(10)])


@row()
def spawn_join(n):
    import gevent
    spawn = gevent.spawn
    for _ in range(n):
        spawn(nothing).join()


@row(unit=10000)
def spawn_10000_joinall(n):
    import gevent
    spawn = gevent.spawn
    for _ in range(n // 10000):
        gevent.joinall([spawn(nothing) for _ in range(10000)])


def nothing():
    pass


# -- waiting for each other -----------------------------------------------------------

def both(first, second):
    import gevent
    gevent.joinall([gevent.spawn(first), gevent.spawn(second)],
                   raise_error=True)


@row()
def event_ping_pong(n):
    from gevent.event import Event
    ping, pong = Event(), Event()

    def left():
        for _ in range(n):
            ping.set()
            pong.wait()
            pong.clear()

    def right():
        for _ in range(n):
            ping.wait()
            ping.clear()
            pong.set()
    both(left, right)


def ping_pong(there, back, n):
    def left():
        for _ in range(n):
            there.put(1)
            back.get()

    def right():
        for _ in range(n):
            back.put(there.get())
    both(left, right)


@row()
def queue_ping_pong(n):
    from gevent.queue import Queue
    ping_pong(Queue(1), Queue(1), n)


@row()
def channel_ping_pong(n):
    from gevent.queue import Channel
    ping_pong(Channel(), Channel(), n)


@row(unit=10)
def semaphore_contended(n):
    import gevent
    from gevent.lock import Semaphore
    semaphore = Semaphore(1)
    sleep = gevent.sleep

    def work():
        for _ in range(n // 10):
            with semaphore:
                sleep(0)
    gevent.joinall([gevent.spawn(work) for _ in range(10)])


@row()
def timeout_unused(n):
    from gevent import Timeout
    for _ in range(n):
        with Timeout(10):
            pass


@row()
def socketpair_echo(n):
    from gevent import socket
    here, there = socket.socketpair()

    def client():
        for _ in range(n):
            here.send(b"x")
            here.recv(1)

    def server():
        for _ in range(n):
            there.send(there.recv(1))
    both(client, server)
    here.close()
    there.close()


# -- pools and links ---------------------------------------------------------------------

def same(item):
    return item


def over_hundreds(mapping, n):
    for _ in range(n // 100):
        for _ in mapping(same, range(100)):
            pass


@row(unit=100)
def pool_map(n):
    from gevent.pool import Pool
    over_hundreds(Pool(10).map, n)


@row(unit=100)
def pool_imap(n):
    from gevent.pool import Pool
    over_hundreds(Pool(10).imap, n)


@row(unit=100)
def pool_imap_unordered(n):
    from gevent.pool import Pool
    over_hundreds(Pool(10).imap_unordered, n)


@row()
def pool_apply(n):
    from gevent.pool import Pool
    apply = Pool(10).apply
    for _ in range(n):
        apply(same, (1,))


@row()
def threadpool_apply(n):
    from gevent.threadpool import ThreadPool
    pool = ThreadPool(4)
    for _ in range(n):
        pool.apply(same, (1,))
    pool.kill()


@row(unit=100)
def threadpool_map(n):
    from gevent.threadpool import ThreadPool
    pool = ThreadPool(4)
    over_hundreds(pool.map, n)
    pool.kill()


@row(unit=100)
def run_callback(n):
    import gevent
    queue = gevent.get_hub().loop.run_callback
    for _ in range(n // 100):
        for _ in range(100):
            queue(same, 1)
        gevent.sleep(0)


@row(unit=10)
def greenlet_link(n):
    import gevent
    for _ in range(n // 10):
        greenlet = gevent.Greenlet(nothing)
        for _ in range(10):
            greenlet.link(same)
        greenlet.start()
        greenlet.join()
        gevent.sleep(0)


@row(unit=1000)
def wait_1000(n):
    import gevent
    from gevent.event import Event
    for _ in range(n // 1000):
        events = [Event() for _ in range(1000)]
        waiting = gevent.spawn(gevent.wait, events)
        gevent.sleep(0)
        for event in events:
            event.set()
        waiting.join()


@row(unit=10)
def sleep0_traced(n):
    from gevent._tracer import GreenletTracer
    tracer = GreenletTracer()
    sleep0_ten(n)
    tracer.kill()


@row(unit=10)
def sleep0_monitored(n):
    import warnings

    import gevent
    warnings.simplefilter("ignore")  # the memory is not of interest here
    gevent.config.monitor_thread = True
    gevent.get_hub().start_periodic_monitoring_thread()
    sleep0_ten(n)


# -- the kernel's part --------------------------------------------------------------------

@row()
def hub_wait_ready(n):
    import os

    import gevent
    read_end, write_end = os.pipe()
    os.write(write_end, b"x")
    hub = gevent.get_hub()
    with hub.loop.io(read_end, 1) as watcher:
        for _ in range(n):
            hub.wait(watcher)
    os.close(read_end)
    os.close(write_end)


@row()
def sendall_50_mb(n):
    from gevent import socket
    from gevent.server import StreamServer
    data = bytes(50_000_000)

    def serve(connection, _address):
        connection.sendall(data)

    server = StreamServer(("127.0.0.1", 0), serve)
    server.start()
    for _ in range(n):
        with socket.create_connection(server.address) as client:
            while client.recv(65536):
                pass
    server.stop()


@row()
def udp_sendto(n):
    from gevent import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        receiver.bind(("127.0.0.1", 0))
        address = receiver.getsockname()
        for _ in range(n):
            sender.sendto(b"x", address)


@row()
def popen_wait(n):
    from gevent.subprocess import Popen
    for _ in range(n):
        Popen(["/bin/true"]).wait()


@row()
def native_popen_wait(n):
    from subprocess import Popen
    for _ in range(n):
        Popen(["/bin/true"]).wait()


# -- without waiting ---------------------------------------------------------------------

@row()
def semaphore_free(n):
    from gevent.lock import Semaphore
    semaphore = Semaphore(1)
    for _ in range(n):
        semaphore.acquire()
        semaphore.release()


@row()
def queue_put_get(n):
    from gevent.queue import Queue
    queue = Queue()
    for _ in range(n):
        queue.put(1)
        queue.get()


@row()
def local_get_set(n):
    from gevent.local import local
    here = local()
    for _ in range(n):
        here.value = 1
        here.value


@row()
def local_new(n):
    import gevent
    from gevent.local import local

    class Counted(local):
        def __init__(self):
            self.value = 1

    here = Counted()

    def use():
        here.value += 1
    for _ in range(n):
        gevent.spawn(use).join()


# -- start and size ---------------------------------------------------------------------

@once
def import_gevent():
    begun = time.perf_counter()
    import gevent
    return time.perf_counter() - begun


@once
def patch_all():
    from gevent import monkey
    begun = time.perf_counter()
    monkey.patch_all()
    return time.perf_counter() - begun


@once
def blocked_greenlet_bytes():
    import gevent
    from gevent.event import Event
    count = 20000
    event = Event()
    warm = [gevent.spawn(event.wait) for _ in range(10)]
    gevent.sleep(0)
    before = resident_bytes()
    greenlets = [gevent.spawn(event.wait) for _ in range(count)]
    gevent.sleep(0)
    figure = (resident_bytes() - before) / count
    event.set()
    gevent.joinall(warm + greenlets)
    return figure


def resident_bytes():
    import gc
    import resource
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


# -- the process --------------------------------------------------------------------------

def about():
    """Return what is measured here; `compiled` tells whether gevent's loop is
    the class of an extension module named ``gevent.libev.corecext``."""
    import importlib.machinery
    import platform

    import gevent
    import greenlet
    loop_class = type(gevent.get_hub().loop)
    module = sys.modules[loop_class.__module__]
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return {
        "gevent": gevent.__version__,
        "greenlet": greenlet.__version__,
        "python": sys.version,
        "machine": f"{platform.platform()}, {processor()}",
        "loop": f"{loop_class.__module__}.{loop_class.__qualname__}",
        "compiled": (module.__name__ == "gevent.libev.corecext"
                     and (module.__file__ or "").endswith(suffixes)),
    }


def processor():
    import os
    name = ""
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                name = " " + line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} x{name}"


def compute_for_ever():
    while True:
        pass


def main(arguments):
    if arguments == ["--about"]:
        import json
        print(json.dumps(about()))
        return
    if "--busy" in arguments:
        arguments.remove("--busy")
        _thread.start_new_thread(compute_for_ever, ())
    name, = arguments
    print(ROWS[name](), flush=True)
    if "os" in sys.modules:
        sys.modules["os"]._exit(0)  # the busy thread does not end


if __name__ == "__main__":
    main(sys.argv[1:])
