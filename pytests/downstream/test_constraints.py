"""What widely used projects need of this package, one by one.

Each test names in its docstring the constraint, by number and who imposes it.
"""
import gc
import importlib.metadata
import os
import re
import socket
import sys
import threading
import weakref
from pathlib import Path

import gevent
import gevent.core
import gevent.pool
import greenlet
import pytest
from gevent import event, monkey, pywsgi, queue, threadpool
from gevent.pool import Pool

HOW_MANY = 20


def test_each_constraint_has_a_test():
    text = "".join(path.read_text()
                   for path in Path(__file__).parent.glob("test_*.py"))
    named = {int(number) for number in
             re.findall(r'"""Constraint (\d+)[:,]', text)}
    assert named == set(range(1, HOW_MANY + 1))


def test_version():
    """Constraint 1: gunicorn, celery, dramatiq, sentry, pydevd, kazoo."""
    major, minor = map(int, gevent.__version__.split(".")[:2])
    assert (major, minor) >= (26, 4)
    assert not gevent.__version__.startswith("0.")
    first = re.split(r"[ab.]|rc", gevent.__version__)[:2]
    assert tuple(map(int, first)) == (major, minor)


def test_version_info():
    """Constraint 2: uWSGI, zerorpc."""
    assert isinstance(gevent.version_info, tuple)
    assert gevent.version_info[0] >= 1
    assert gevent.version_info[:2] == tuple(
        map(int, gevent.__version__.split(".")[:2]))


def test_names_in_the_dictionary_of_the_module(run_program):
    """Constraint 3: uWSGI, which does not call ``__getattr__``."""
    run_program("""
        import gevent
        names = "version_info spawn signal_handler sleep get_hub getcurrent"
        assert set(names.split()) <= set(gevent.__dict__)
        import gevent.monkey
        assert "patch_all" in gevent.monkey.__dict__
    """)


@pytest.mark.parametrize("program", [
    "import gevent, gevent.pool; gevent.hub.Hub; gevent.pool.Pool",
    "import gevent; gevent.hub.Hub.handle_error",
    "import gevent.monkey; gevent.monkey.patch_all(); gevent.ssl.SSLError",
    "import gevent.monkey; gevent.monkey.patch_all(); gevent.socket.socket",
    "import gevent; gevent._interfaces.ILoop; gevent._compat.PYPY",
    "import gevent; gevent.libev.corecext.loop",
])
def test_names_without_an_import(program, run_program):
    """Constraint 4: grpc, ddtrace, locust, execnet."""
    run_program(program)


def test_saved(run_program):
    """Constraint 5: dramatiq, pydevd, asyncio-gevent, cassandra-driver."""
    done = run_program("""
        import logging
        from gevent import monkey
        print(type(monkey.saved) is dict, bool(monkey.saved))
        monkey.patch_all()
        print(bool(monkey.saved))
        wanted = ("os _thread threading logging _threading_local time socket "
                  "select selectors ssl subprocess signal queue "
                  "_gevent_saved_patch_all_module_settings")
        print(set(wanted.split()) - set(monkey.saved))
        import select, threading, time
        assert monkey.saved["time"]["sleep"] is not time.sleep
        monkey.saved.get("select", {}).get("poll")
        assert "_CRLock" in monkey.saved["threading"]
        time.sleep = monkey.saved["time"]["sleep"]
        monkey.saved.clear()
        print(monkey.is_module_patched("time"))
    """)
    assert done.stdout == "True False\nTrue\nset()\nFalse\n"


def test_what_is_patched(run_program):
    """Constraint 6: psycopg, python-socketio, huey, sentry, ddtrace."""
    run_program("""
        from gevent import monkey
        import select, socket, threading, time
        originals = socket.socket, time.sleep, select.select, threading.local
        assert not monkey.is_module_patched("select")
        assert not monkey.is_object_patched("threading", "local")
        monkey.patch_all()
        for name in "select socket threading _thread".split():
            assert monkey.is_module_patched(name), name
        assert monkey.is_object_patched("threading", "local")
        assert not monkey.is_object_patched("threading", "no_such_thing")
        assert originals == (
            monkey.get_original("socket", "socket"),
            monkey.get_original("time", "sleep"),
            monkey.get_original("select", "select"),
            monkey.get_original("threading", "local"))
        assert monkey.get_original("time", ["sleep", "time"]) == [
            originals[1], time.time]
    """)


def test_am_i_patched(run_program):
    """Constraint 7: kombu, pymongo, cassandra-driver."""
    run_program("""
        import gevent.socket, socket
        assert socket.socket is not gevent.socket.socket
        from gevent import monkey; monkey.patch_all()
        assert socket.socket is gevent.socket.socket
    """)


def test_names_of_classes(run_program):
    """Constraint 8: locust, RelStorage, gunicorn, pyzmq."""
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import socket, threading
        assert socket.socket.__module__ == "gevent._socket3"
        assert "gevent" in repr(socket.socket)
        with socket.socket() as made:
            assert "gevent._socket3.socket" in repr(made), repr(made)
        assert threading.Thread.__module__.startswith("gevent")
        assert type(threading.Lock()).__module__ == "gevent.thread"
    """)


@pytest.mark.parametrize("make", [
    lambda f: gevent.spawn(f, "argument"), gevent.spawn_raw,
    lambda f: gevent.spawn_later(0, f),
], ids=["spawn", "spawn_raw", "spawn_later"])
def test_greenlets_are_open(make):
    """Constraint 9: uWSGI, celery, yappi, locust, ddtrace, pydevd."""
    made = make(lambda *args: gevent.sleep(0))
    made.uwsgi_wsgi_req = made.terminate = 1
    assert weakref.ref(made)() is made
    assert isinstance(made, greenlet.greenlet)
    assert greenlet.greenlet.dead.__get__(made) is False
    gevent.sleep(0.001)
    assert made.gr_frame is None or made.gr_frame.f_code
    if isinstance(made, gevent.Greenlet):
        made.join()
        assert made.dead and not made.exc_info


def test_greenlets_tell_about_themselves(errors):
    """Constraint 9: locust, celery."""
    def fail(argument):
        gevent.sleep(0)
        raise ValueError(argument)

    failed = gevent.spawn(fail, 7)
    assert failed.args == (7,) and failed.name
    assert failed.minimal_ident >= 0
    told = []
    failed.link(told.append)
    failed.link_exception(told.append)
    failed.link_value(told.append)
    failed.rawlink(told.append)
    failed.join()
    gevent.sleep(0)
    assert told == [failed] * 3
    assert failed.exc_info[0] is ValueError


def test_each_switch_is_traced():
    """Constraint 10: ddtrace, pydevd, mrq, raiden, viztracer."""
    traced = []

    def tracer(kind, arguments):
        traced.append((kind, *arguments))

    waiting, ready = event.Event(), queue.Queue()

    def waits():
        waiting.wait()
        ready.get()

    gr = gevent.spawn(waits)
    previous = greenlet.settrace(tracer)
    try:
        gevent.sleep(0)
        waiting.set()
        gevent.sleep(0)
        ready.put(1)
        gr.join()
    finally:
        greenlet.settrace(previous)
    assert all(kind in ("switch", "throw") for kind, *_ in traced)
    # Each goes on from where the one before it went.
    for (_, _, target), (_, origin, _) in zip(traced, traced[1:]):
        assert origin is target
    assert sum(target is gr for _, _, target in traced) == 3


ASSIGNED = {
    gevent: ["Greenlet", "spawn", "spawn_later", "joinall", "wait", "iwait"],
    gevent.greenlet: ["Greenlet"],
    gevent.pool: ["Greenlet", "IMap", "IMapUnordered"],
    gevent.pool.Group: ["greenlet_class"],
    gevent._imap: ["Greenlet", "IMap", "IMapUnordered"],
    gevent.hub: ["spawn_raw"],
    gevent.hub.Hub: ["switch", "handle_error", "print_exception",
                     "NOT_ERROR", "SYSTEM_ERROR"],
    gevent.Greenlet: ["spawn", "spawn_later", "run", "_run", "kill", "join"],
    gevent.Timeout: ["start", "cancel"],
    event.Event: ["wait", "set"],
    queue.Queue: ["get", "put"],
    monkey: ["patch_all", "patch_thread"],
    pywsgi.WSGIServer: ["__init__"],
    gevent.socket.socket: ["connect", "send", "recv"],
}


@pytest.mark.parametrize(
    "owner, name",
    [(owner, name) for owner in ASSIGNED for name in ASSIGNED[owner]],
    ids=lambda value: getattr(value, "__name__", value))
def test_what_is_wrapped_is_assignable(owner, name, monkeypatch):
    """Constraint 11: ddtrace, newrelic, raiden, ZeroNet, parallel-ssh."""
    monkeypatch.setattr(owner, name, getattr(owner, name))


def test_what_is_wrapped_is_called(monkeypatch, errors):
    """Constraint 11: wrappers put there are used."""
    seen = []

    def wrap(owner, name):
        wrapped = getattr(owner, name)

        def wrapper(*args, **kwargs):
            seen.append(name)
            return wrapped(*args, **kwargs)
        monkeypatch.setattr(owner, name, wrapper)

    class Traced(gevent.Greenlet):
        def __init__(self, *args, **kwargs):
            seen.append("Traced")
            super().__init__(*args, **kwargs)

    wrap(gevent.hub.Hub, "switch")
    monkeypatch.setattr(gevent.pool.Group, "greenlet_class", Traced)
    gevent.pool.Group().spawn(gevent.sleep, 0).join()
    assert "Traced" in seen and "switch" in seen
    monkeypatch.setattr(gevent.hub.Hub, "NOT_ERROR", (Exception,))
    # Of a new hub: this thread's may have a resolver, which adds to them.
    thread = threading.Thread(
        target=lambda: seen.append(gevent.get_hub().NOT_ERROR))
    thread.start()
    thread.join()
    assert seen[-1] == (Exception,)


def test_classes_are_replaced_by_traced_ones(run_program):
    """Constraint 11: ddtrace, which puts subclasses in their places."""
    done = run_program("""
        import gevent, gevent._imap, gevent.greenlet, gevent.pool

        def traced(base):
            class Traced(Mixin, base):
                "Tells of each that is made."
            return Traced

        class Mixin:
            def __init__(self, *args, **kwargs):
                made.append(type(self).__bases__[1].__name__)
                super().__init__(*args, **kwargs)

        made = []
        replaced = traced(gevent.Greenlet)
        maps = traced(gevent.pool.IMap), traced(gevent.pool.IMapUnordered)
        for module in (gevent, gevent.greenlet, gevent.pool, gevent._imap):
            module.Greenlet = replaced
        gevent.pool.Group.greenlet_class = replaced
        gevent.spawn, gevent.spawn_later = (
            replaced.spawn, replaced.spawn_later)
        for module in (gevent.pool, gevent._imap):
            module.IMap, module.IMapUnordered = maps
        pool = gevent.pool.Pool(2)
        assert pool.map(str, [1, 2]) == ["1", "2"]
        assert set(pool.imap_unordered(str, [1, 2])) == {"1", "2"}
        gevent.joinall([gevent.spawn(int), gevent.spawn_later(0, int),
                        pool.apply_async(int)])
        gevent.killall([gevent.spawn(gevent.sleep, 10)])
        gevent.kill(gevent.spawn(gevent.sleep, 10))
        print(*sorted(set(made)))
    """)
    assert done.stdout == "Greenlet IMap IMapUnordered\n"


def test_watchers(hub):
    """Constraint 12: uWSGI, pyzmq, pika, gipc, RelStorage."""
    loop = hub.loop
    assert loop.default is True
    here, there = socket.socketpair()
    told = event.AsyncResult()
    with here, there:
        readable = loop.io(here.fileno(), 1)
        assert readable.active is False and readable.callback is None
        readable.start(told.set, "readable")
        assert readable.active is True and callable(readable.callback)
        there.sendall(b"x")
        assert told.get(timeout=30) == "readable"
        readable.stop()
        assert readable.active is False
        readable.close()
    woken = event.Event()
    with loop.async_() as watcher:
        watcher.start(woken.set)
        watcher.send()
        assert woken.wait(30)
    called = queue.Queue()
    loop.run_callback(called.put, "callback")
    loop.run_callback_threadsafe(called.put, "from a thread")
    timer = loop.timer(0.001, 0.001)
    timer.start(called.put, "timer")
    assert [called.get(timeout=30) for _ in range(4)] == [
        "callback", "from a thread", "timer", "timer"]
    timer.stop()
    timer.close()
    loop.install_sigchld()
    child = loop.child(os.getpid())
    assert child.active is False
    child.close()


def test_loops_are_destroyed(run_program):
    """Constraint 12: gipc, in children."""
    run_program("""
        import gevent
        hub = gevent.get_hub()
        gevent.sleep(0)
        hub.destroy(destroy_loop=True)
        assert gevent.get_hub() is not hub
        gevent.sleep(0.001)
    """)


def test_pools_grow_and_shrink():
    """Constraint 13: celery, gunicorn."""
    pool = Pool(1)
    go = event.Event()
    pool.spawn(go.wait)
    assert (pool.free_count(), pool.size, len(pool)) == (0, 1, 1)
    pool._semaphore.counter += 2
    pool.size += 2
    assert pool.free_count() == 2
    pool.spawn(go.wait)
    pool.spawn(go.wait)
    assert pool.free_count() == 0 and len(list(pool)) == 3
    pool._semaphore.counter -= 1
    pool.size -= 1
    go.set()
    pool.join()
    assert pool.free_count() == 2
    assert pool.greenlet_class is gevent.Greenlet


def test_hubs_are_open(hub):
    """Constraint 14: sentry, grpc, gipc, gunicorn, pika, uWSGI."""
    assert isinstance(hub.thread_ident, int)
    assert isinstance(hub.threadpool, threadpool.ThreadPool)
    timer = hub.loop.timer(0)
    hub.wait(timer)
    timer.close()
    timer = hub.loop.timer(0)
    timer.start(gevent.getcurrent().switch)
    hub.switch()
    timer.close()
    waiter = gevent.hub.Waiter()
    hub.loop.run_callback(waiter.switch, 7)
    assert waiter.get() == 7


def test_hubs_are_replaced(run_program):
    """Constraint 14: sentry, grpc, gipc, gunicorn."""
    run_program("""
        import gevent, os
        from gevent.hub import set_hub
        hub = gevent.get_hub()
        hub.threadpool.apply(int)
        del hub.threadpool
        hub._threadpool = None
        assert hub.threadpool.apply(int) == 0
        set_hub(None)
        assert gevent.get_hub() is not hub
        gevent.sleep(0.001)
        child = os.fork()
        if not child:
            gevent.reinit()
            gevent.sleep(0.001)
            gevent.get_hub().join(timeout=30)
            os._exit(0)
        assert os.waitpid(child, 0) == (child, 0)
    """)


HANDLER = """
environ application status _orig_status code headers_sent response_headers response_length response_use_chunked provided_date
provided_content_length close_connection request_version requestline path
command headers rfile socket client_address server result time_start
time_finish wsgi_input
handle handle_one_request handle_one_response run_application process_result
start_response write finalize_headers get_environ log_request format_request
log_error read_request read_requestline
""".split()
SERVER = """
handler_class log error_log environ application base_env max_accept pool
address server_host server_port started handle init_socket start
start_accepting stop_accepting stop close serve_forever get_listener set_spawn
update_environ
""".split()


def test_pywsgi_is_open():
    """Constraint 15: gevent-websocket, ws4py, engineio, calibre-web."""
    missing = []

    class Handler(pywsgi.WSGIHandler):
        def run_application(self):
            missing.extend(n for n in HANDLER if not hasattr(self, n))
            missing.extend(n for n in SERVER if not hasattr(self.server, n))
            super().run_application()

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    server = pywsgi.WSGIServer(("127.0.0.1", 0), application, log=None,
                               handler_class=Handler)
    server.clients = {}
    server.start()
    with gevent.socket.create_connection(
            ("127.0.0.1", server.server_port)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"\r\n\r\nx")
    server.stop()
    assert not missing


def test_pywsgi_is_taken_over():
    """Constraint 15: gevent-websocket, which talks on the socket itself."""
    class Handler(pywsgi.WSGIHandler):
        def run_application(self):
            if self.environ.get("HTTP_UPGRADE") != "websocket":
                return super().run_application()
            self.result = self.application(self.environ, self.start_response)
            self.rfile.close()

        def start_response(self, status, headers, exc_info=None):
            writer = super().start_response(status, headers, exc_info)
            self.provided_content_length = False
            self.response_use_chunked = False
            self.close_connection = True
            self.provided_date = True
            self.write(b"")
            return writer

    def application(environ, start_response):
        handler = environ["handler"]
        start_response("101 Switching Protocols",
                       [("Upgrade", "websocket"), ("Connection", "Upgrade")])
        data = handler.rfile.read(5)
        handler.socket.sendall(b"<" + data + b">")
        return []

    class WithHandler(Handler):
        def get_environ(self):
            return dict(super().get_environ(), handler=self)

    server = pywsgi.WSGIServer(("127.0.0.1", 0), application, log=None,
                               handler_class=WithHandler)
    server.start()
    with gevent.socket.create_connection(
            ("127.0.0.1", server.server_port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                       b"Connection: Upgrade\r\n\r\nhello")
        answer = client.makefile("rb").read()
    server.stop()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"hunked" not in head and b"Content-Length" not in head
    assert body == b"<hello>"


def test_plugins_of_other_distributions(tmp_path, run_program):
    """Constraint 16: RelStorage, geventmp, ddtrace."""
    groups = ["will_patch_all", "will_patch_module", "did_patch_module",
              "did_patch_builtins", "did_patch_all"]
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join(
        f"[gevent.plugins.monkey.{group}]\nx = plugin:{group}"
        for group in groups))
    (tmp_path / "plugin.py").write_text("\n".join(
        f"def {group}(event):\n    seen.append('{group}')"
        for group in groups) + "\nseen = []\n")
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import plugin
        print(*dict.fromkeys(plugin.seen))
    """, PYTHONPATH=str(tmp_path))
    assert done.stdout.split() == groups


def test_distribution():
    """Constraint 17: PyInstaller's hook; what requires gevent."""
    distribution = importlib.metadata.distribution("gevent")
    assert distribution.version == gevent.__version__
    assert distribution.metadata["Name"] == "gevent"


def test_extras():
    """Constraint 18: ``gevent[recommended]`` in files of requirements."""
    provided = importlib.metadata.metadata("gevent").get_all("Provides-Extra")
    assert {"recommended", "monitor", "dnspython", "events", "docs",
            "test"} <= set(provided)


def test_locks_made_before_patching(run_program):
    """Constraint 19: gunicorn's tests; such a lock stays what it is."""
    run_program("""
        import concurrent.futures.thread as futures
        from gevent import monkey; monkey.patch_all()
        lock = futures._global_shutdown_lock
        assert type(lock).__module__ == "_thread", type(lock)
    """)


def test_interfaces():
    """Constraint 20: pika, asyncio-gevent, a reactor of Twisted's."""
    from gevent._interfaces import ICallback, ILoop, IWatcher
    from zope.interface import implementer
    from zope.interface.verify import verifyObject

    @implementer(ILoop)
    class Loop:
        """Somebody else's."""

    assert ILoop.implementedBy(Loop)
    hub = gevent.get_hub()
    verifyObject(ILoop, hub.loop)
    callback = hub.loop.run_callback(int)
    verifyObject(ICallback, callback)
    callback.stop()
    watcher = hub.loop.timer(1)
    verifyObject(IWatcher, watcher)
    watcher.close()


def test_loop_is_known_by_its_name():
    """Constraint 4, of settings: ``"libev" not in str(config.loop)``."""
    assert "libev" in str(gevent.config.loop)
    assert "libev" in repr(gevent.core.loop)
    assert gc.isenabled() and sys.modules["gevent.core"]
