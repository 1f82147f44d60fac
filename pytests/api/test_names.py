"""Names that programs reach for without importing them, and names that
programs of old, and tutorials, use."""
import signal
import sys

import gevent
import pytest

# After ``import gevent``.
BOUND_BY_IMPORT = [
    "event", "exceptions", "greenlet", "hub", "libev", "os", "signal",
    "timeout", "_abstract_linkable", "_compat", "_config",
    "_greenlet_primitives", "_hub_local", "_hub_primitives", "_ident",
    "_interfaces", "_tblib", "_util", "_waiter",
]
# After ``monkey.patch_all()``, in addition.
BOUND_BY_PATCHING = [
    "event", "events", "local", "lock", "monkey", "queue", "select",
    "selectors", "signal", "socket", "ssl", "subprocess", "thread",
    "threading", "time",
]
# Modules that freezers are told of, that libraries import.
MODULES = [
    "gevent.libev.corecext", "gevent.libev.corecffi", "gevent.libev.watcher",
    "gevent.libuv.loop", "gevent.libuv.watcher", "gevent._ffi.loop",
    "gevent._ffi.watcher", "gevent._ffi.callback", "gevent._socket3",
    "gevent._ssl3", "gevent._socketcommon", "gevent._fileobjectcommon",
    "gevent._fileobjectposix", "gevent._imap", "gevent._monitor",
    "gevent._patcher", "gevent._semaphore", "gevent._threading",
    "gevent._tracer", "gevent.ares", "gevent.builtins", "gevent.core",
    "gevent.resolver.thread", "gevent.resolver.blocking",
    "gevent.resolver.dnspython", "gevent.resolver.ares",
    "gevent.resolver.cares", "gevent.resolver_thread",
    "gevent.resolver_ares", "gevent.win32util",
]

SHOW = """
import gevent{setup}
print(*[name for name in {names!r} if not hasattr(gevent, name)])
import gevent.libev
gevent.libev.corecext.loop
"""


@pytest.mark.parametrize("setup, names", [
    ("", BOUND_BY_IMPORT),
    ("; import gevent.monkey; gevent.monkey.patch_all()",
     BOUND_BY_IMPORT + BOUND_BY_PATCHING),
], ids=["import", "patching"])
def test_modules_are_bound(run_program, setup, names):
    done = run_program(SHOW.format(setup=setup, names=names))
    assert done.stdout.strip() == "", done.stdout


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_importable(name, run_program):
    run_program(f"import {name}; assert {name}.__name__ == {name!r}")


def test_uwsgi_finds_its_names_in_dictionaries(run_program):
    run_program("""
        import gevent
        names = "version_info spawn signal_handler sleep get_hub getcurrent"
        assert set(names.split()) <= set(gevent.__dict__)
        import gevent.monkey
        assert "patch_all" in gevent.monkey.__dict__
    """)


def test_import_leaves_out_what_few_programs_need(run_program):
    run_program("""
        import sys
        before = set(sys.modules)
        import gevent
        from libgcore import _engine
        unneeded = {"gevent.queue", "gevent.signal"}
        if _engine.ACCELERATED:  # the plain twin needs them
            unneeded |= {"queue", "threading"}
        assert not unneeded & set(sys.modules) - before
        assert gevent.signal.__name__ == "gevent.signal"
        from gevent.queue import Empty, Queue, ShutDown
        import queue
        assert Empty is queue.Empty
        assert ShutDown is getattr(queue, "ShutDown", ShutDown)
    """)


def test_signal_is_a_module_and_callable():
    assert gevent.signal is sys.modules["gevent.signal"]
    assert gevent.signal.SIGUSR1 is signal.SIGUSR1
    seen = gevent.event.AsyncResult()
    handler = gevent.signal(signal.SIGUSR1, seen.set, "told")
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert seen.get(timeout=30) == "told"
    finally:
        handler.cancel()


def test_signal_is_still_a_module_once_patched(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, signal
        ended = gevent.event.Event()
        gevent.signal(signal.SIGUSR1, ended.set)
        signal.raise_signal(signal.SIGUSR1)
        print(ended.wait(30), gevent.signal.getsignal is signal.getsignal)
    """)
    assert done.stdout == "True True\n"


@pytest.mark.parametrize("where", ["in main", "in a greenlet", "by signal"])
def test_shutdown(run_program, where):
    done = run_program(f"""
        import os, signal, gevent
        where = {where!r}
        try:
            if where == "in main":
                gevent.shutdown()
            elif where == "in a greenlet":
                gevent.spawn(gevent.shutdown)
            else:
                gevent.signal(signal.SIGQUIT, gevent.shutdown)
                os.kill(os.getpid(), signal.SIGQUIT)
            gevent.spawn(gevent.sleep, 1000).join()
        finally:
            print("cleaned up")
    """, status=0)
    assert done.stdout == "cleaned up\n"


def test_coros():
    from gevent import coros, lock
    for name in coros.__all__:
        assert getattr(coros, name) is getattr(lock, name)


def test_wsgi():
    from gevent import pywsgi, wsgi
    assert wsgi.WSGIServer is pywsgi.WSGIServer
    assert wsgi.WSGIHandler is pywsgi.WSGIHandler


def test_whatever_a_c_socket_has_stands_in_the_class():
    """No ``__getattr__`` has to look it up in ``_sock``."""
    import _socket
    from gevent import socket
    missing = {name for name in dir(_socket.socket)
               if not hasattr(socket.socket, name)}
    assert missing <= {"__del__"}
