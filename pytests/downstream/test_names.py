"""Every name that some project out there uses, ``names.txt``, resolves; and
where a call of it is plain, the call does what it should."""
import importlib
import os
import socket
import ssl
import subprocess
from pathlib import Path

import gevent
import pytest

NAMES = (Path(__file__).parent / "names.txt").read_text().split()

# Not there on purpose.
ABSENT = {
    "gevent.core.read_event": "before libev; projects fall back",
    "gevent.core.write_event": "before libev; projects fall back",
    "gevent.__datadog_patch": "put there by the project itself",
    "gevent.kill.assert_called_once": "of a mock in tests",
    "greenlet.exc_info": "of greenlet for Python 2",
    "greenlet.greenlet.__nonzero__": "of greenlet for Python 2",
}


def resolve(path):
    """Import the longest part that is a module; the rest are attributes."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ImportError(path)


@pytest.mark.parametrize("name", NAMES)
def test_resolves(name):
    if name in ABSENT:
        with pytest.raises((AttributeError, ImportError)):
            resolve(name)
    else:
        resolve(name)


def greenlet():
    return gevent.spawn(lambda: 7)


def equal(value):
    return lambda found: found == value


def a(kind):
    return lambda found: isinstance(found, kind)


# name: (arguments, what is true of the result)
CALLS = {
    "gevent.spawn": (lambda: [int, "7"], lambda g: g.get() == 7),
    "gevent.spawn_later": (lambda: [0, int], lambda g: g.get() == 0),
    "gevent.spawn_raw": (lambda: [int], lambda g: g.parent is not None),
    "gevent.greenlet.Greenlet.spawn": (
        lambda: [int, "7"], lambda g: g.get() == 7),
    "gevent.greenlet.Greenlet.spawn_later": (
        lambda: [0, int], lambda g: g.get() == 0),
    "gevent.Greenlet": (lambda: [int], lambda g: not g.started),
    "gevent.sleep": (lambda: [0], equal(None)),
    "gevent.hub.sleep": (lambda: [0], equal(None)),
    "gevent.idle": (lambda: [], equal(None)),
    "gevent.wait": (lambda: [[greenlet()]], lambda done: done[0].value == 7),
    "gevent.iwait": (
        lambda: [[greenlet()]], lambda done: next(iter(done)).value == 7),
    "gevent.joinall": (lambda: [[greenlet()]], lambda d: d[0].value == 7),
    "gevent.kill": (lambda: [greenlet()], equal(None)),
    "gevent.killall": (lambda: [[greenlet()]], equal(None)),
    "gevent.with_timeout": (lambda: [30, int, "7"], equal(7)),
    "gevent.getcurrent": (lambda: [], lambda g: not g.dead),
    "gevent.get_hub": (lambda: [], lambda h: h is gevent.get_hub()),
    "gevent.hub.get_hub": (lambda: [], lambda h: h is gevent.get_hub()),
    "gevent.hub.Waiter": (lambda: [], lambda w: not w.ready()),
    "gevent.hub.spawn_raw": (lambda: [int], lambda g: g.parent is not None),
    "gevent.core.time": (lambda: [], a(float)),
    "gevent.time.time": (lambda: [], a(float)),
    "gevent.Timeout": (lambda: [1], lambda t: t.seconds == 1),
    "gevent.event.Event": (lambda: [], lambda e: not e.is_set()),
    "gevent.event.AsyncResult": (lambda: [], lambda r: not r.ready()),
    "gevent.local.local": (lambda: [], lambda found: not vars(found)),
    "gevent.lock.Semaphore": (lambda: [2], lambda s: s.acquire()),
    "gevent.lock.BoundedSemaphore": (lambda: [2], lambda s: s.acquire()),
    "gevent.lock.DummySemaphore": (lambda: [], lambda s: s.acquire()),
    "gevent.lock.RLock": (lambda: [], lambda lock: lock.acquire()),
    "gevent.thread.allocate_lock": (lambda: [], lambda lock: lock.acquire()),
    "gevent.thread.get_ident": (
        lambda: [], lambda ident: ident == id(gevent.getcurrent())),
    "gevent.threading.Lock": (lambda: [], lambda lock: lock.acquire()),
    "gevent.queue.Queue": (lambda: [1], lambda q: q.empty()),
    "gevent.queue.JoinableQueue": (lambda: [1], lambda q: q.join()),
    "gevent.queue.LifoQueue": (lambda: [1], lambda q: q.empty()),
    "gevent.queue.Channel": (lambda: [], lambda q: q.empty()),
    "gevent.pool.Group": (lambda: [], lambda g: len(g) == 0),
    "gevent.pool.Pool": (lambda: [3], lambda p: p.free_count() == 3),
    "gevent.threadpool.ThreadPool": (
        lambda: [1], lambda p: p.apply(int, ("7",)) == 7),
    "gevent.monkey.is_module_patched": (lambda: ["socket"], equal(False)),
    "gevent.monkey.is_object_patched": (
        lambda: ["threading", "local"], equal(False)),
    "gevent.monkey.get_original": (
        lambda: ["socket", "socket"], equal(socket.socket)),
    "gevent.select.select": (lambda: [[], [], [], 0], equal(([], [], []))),
    "gevent.select.poll": (lambda: [], lambda p: p.poll(0) == []),
    "gevent.selectors.DefaultSelector": (
        lambda: [], lambda s: s.select(0) == []),
    "gevent.signal.getsignal": (lambda: [10], equal(0)),
    "gevent.socket.gethostbyname": (
        lambda: ["127.0.0.1"], equal("127.0.0.1")),
    "gevent.socket.getaddrinfo": (
        lambda: ["127.0.0.1", 80, 0, socket.SOCK_STREAM],
        lambda found: found[0][4] == ("127.0.0.1", 80)),
    "gevent.socket.gethostname": (lambda: [], equal(socket.gethostname())),
    "gevent.socket.getfqdn": (lambda: ["localhost"], a(str)),
    "gevent.ssl.SSLContext": (
        lambda: [ssl.PROTOCOL_TLS_CLIENT], a(ssl.SSLContext)),
    "gevent.ssl.create_default_context": (lambda: [], a(ssl.SSLContext)),
    "gevent.ssl._create_unverified_context": (
        lambda: [], lambda c: c.verify_mode == ssl.CERT_NONE),
    "gevent.subprocess.run": (
        lambda: [["true"]], lambda done: done.returncode == 0),
    "gevent.subprocess.check_call": (lambda: [["true"]], equal(0)),
    "gevent.subprocess.check_output": (
        lambda: [["echo", "7"]], equal(b"7\n")),
    "gevent.subprocess.CompletedProcess": (
        lambda: [[], 0], a(subprocess.CompletedProcess)),
    "gevent.util.format_run_info": (lambda: [], a(list)),
    "gevent.util.assert_switches": (lambda: [], lambda s: s.tracer is None),
    "gevent.os.tp_read": (lambda: [reader(), 1], equal(b"x")),
    "gevent.os.nb_read": (lambda: [nonblocking_reader(), 1], equal(b"x")),
}


def reader():
    """A descriptor to read b"x" from."""
    here, there = os.pipe()
    os.write(there, b"x")
    DESCRIPTORS.extend([here, there])
    return here


def nonblocking_reader():
    here = reader()
    gevent.os.make_nonblocking(here)
    return here


DESCRIPTORS = []


@pytest.fixture
def tidy():
    """Closes what a call opened, and forgets its children."""
    yield
    while DESCRIPTORS:
        os.close(DESCRIPTORS.pop())
    try:
        while gevent.os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def test_calls_are_of_names_that_are_used():
    assert set(CALLS) <= set(NAMES)


@pytest.mark.parametrize("name", CALLS)
def test_call(name, tidy):
    arguments, is_right = CALLS[name]
    found = resolve(name)(*arguments())
    assert is_right(found)
    finish = getattr(found, "close", getattr(found, "kill", None))
    if finish and not isinstance(found, type):
        finish()
    gevent.sleep(0)
