"""One instance of each class whose instance attributes the inventory names.

They are made as a program would get them; a class without a maker of its own
uses its base's.
"""
import functools
import io
import os
import tempfile

import gevent
from gevent import (
    backdoor, baseserver, event, events, exceptions, fileobject, greenlet, hub,
    lock, pool, pywsgi, queue, select, server, socket, ssl, subprocess,
    threadpool, timeout, util,
)
from gevent.events import (
    EventLoopBlocked, GeventDidPatchAllEvent, GeventDidPatchEvent,
    GeventDidPatchModuleEvent, GeventPatchEvent, GeventWillPatchAllEvent,
    GeventWillPatchEvent, GeventWillPatchModuleEvent,
)

__all__ = ["instance"]


def handler():
    """A handler of pywsgi's, in the middle of no request."""
    here, there = socket.socketpair()
    return pywsgi.WSGIHandler(here, ("127.0.0.1", 1), wsgi_server(), there)


def wsgi_server():
    return pywsgi.WSGIServer(("127.0.0.1", 0), lambda environ, start: [])


def finished_child():
    child = subprocess.Popen(["true"])
    child.wait()
    gevent.os.waitpid(child.pid, 0)  # nobody else's
    return child


def a_file():
    return tempfile.TemporaryFile(buffering=0)


def worked_pool():
    """A thread pool that has workers."""
    made = threadpool.ThreadPool(1)
    made.apply(int)
    return made


def tls_socket():
    return ssl.SSLSocket(socket.socket(), do_handshake_on_connect=False)


def tls_server(cls, *arguments):
    return cls(("127.0.0.1", 0), *arguments,
               ssl_context=ssl.create_default_context())


def watcher(kind):
    arguments = {"io": (0, 1), "timer": (1,), "signal": (10,),
                 "child": (os.getpid(),), "stat": ("/",)}
    return getattr(gevent.get_hub().loop, kind)(*arguments.get(kind, ()))


def nothing(*arguments):
    """A callback."""


MAKERS = {
    greenlet.Greenlet: lambda: gevent.spawn(nothing),
    timeout.Timeout: lambda: timeout.Timeout(1),
    hub.signal: lambda: gevent.signal_handler(10, nothing),
    hub.Hub: gevent.get_hub,
    hub.Waiter: hub.Waiter,
    hub.linkproxy: lambda: hub.linkproxy(nothing, None),
    backdoor.BackdoorServer: lambda: tls_server(backdoor.BackdoorServer),
    baseserver.BaseServer:
        lambda: server.StreamServer(("127.0.0.1", 0), nothing),
    server.StreamServer: lambda: tls_server(server.StreamServer, nothing),
    server.DatagramServer:
        lambda: server.DatagramServer(("127.0.0.1", 0), nothing),
    pywsgi.WSGIServer: lambda: tls_server(pywsgi.WSGIServer, nothing),
    pywsgi.WSGIHandler: handler,
    pywsgi.Input: lambda: pywsgi.Input(io.BytesIO(), 0),
    pywsgi.OldMessage: pywsgi.OldMessage,
    pywsgi.SecureEnviron: pywsgi.SecureEnviron,
    event.Event: event.Event,
    event.AsyncResult: event.AsyncResult,
    EventLoopBlocked: lambda: EventLoopBlocked(None, 1, []),
    GeventPatchEvent: lambda: GeventPatchEvent(None, None),
    GeventDidPatchEvent: lambda: GeventDidPatchEvent(None, None),
    GeventWillPatchEvent: lambda: GeventWillPatchEvent(None, None),
    GeventDidPatchAllEvent: lambda: GeventDidPatchAllEvent({}, {}),
    events.GeventDidPatchBuiltinModulesEvent:
        lambda: events.GeventDidPatchBuiltinModulesEvent({}, {}),
    GeventWillPatchAllEvent: lambda: GeventWillPatchAllEvent({}, {}),
    GeventDidPatchModuleEvent:
        lambda: GeventDidPatchModuleEvent("time", None, None),
    GeventWillPatchModuleEvent:
        lambda: GeventWillPatchModuleEvent("time", None, None, []),
    events.MemoryUsageThresholdExceeded:
        lambda: events.MemoryUsageThresholdExceeded(1, 1, None),
    events.MemoryUsageUnderThreshold:
        lambda: events.MemoryUsageUnderThreshold(1, 1, None, 1),
    events.PeriodicMonitorThreadStartedEvent:
        lambda: events.PeriodicMonitorThreadStartedEvent(None),
    exceptions.HubDestroyed: lambda: exceptions.HubDestroyed(False),
    fileobject.FileObjectPosix: lambda: fileobject.FileObjectPosix(a_file()),
    fileobject.FileObjectThread:
        lambda: fileobject.FileObjectThread(a_file()),
    greenlet.SpawnedLink: lambda: greenlet.SpawnedLink(nothing),
    greenlet.SuccessSpawnedLink: lambda: greenlet.SuccessSpawnedLink(nothing),
    greenlet.FailureSpawnedLink: lambda: greenlet.FailureSpawnedLink(nothing),
    lock.Semaphore: lock.Semaphore,
    lock.BoundedSemaphore: lock.BoundedSemaphore,
    pool.Group: pool.Group,
    pool.Pool: lambda: pool.Pool(1),
    pool.pass_value: lambda: pool.pass_value(nothing),
    queue.Channel: queue.Channel,
    queue.ItemWaiter: lambda: queue.ItemWaiter(None, queue.Queue()),
    queue.SimpleQueue: queue.SimpleQueue,
    queue.Queue: queue.Queue,
    select.PollResult: select.PollResult,
    select.poll: select.poll,
    socket.socket: socket.socket,
    ssl.SSLSocket: tls_socket,
    subprocess.CompletedProcess: lambda: subprocess.CompletedProcess([], 0),
    subprocess.Popen: finished_child,
    threadpool.ThreadPool: worked_pool,
    threadpool.ThreadResult: lambda: worked_pool().spawn(nothing),
    util.GreenletTree: util.GreenletTree.current_tree,
    util.assert_switches: util.assert_switches,
}


@functools.lru_cache(None)
def instance(cls: type) -> object:
    """Return an instance of a class; always the same one."""
    if cls.__module__.startswith("gevent.resolver."):
        return cls()
    for base in cls.__mro__:
        if base in MAKERS:
            return MAKERS[base]()
    return watcher(cls.__name__)
