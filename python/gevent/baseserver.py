"""What all servers share: a listening socket and the spawning of handlers.

The listener is watched for readability. On each wake-up the server reads a
bounded number of requests from it (`do_read`) and hands each to a handler
(`do_handle`). It stops watching while its pool is full, and for a while
after an error.
"""

from __future__ import annotations

import errno
import socket as __socket__
import sys

from gevent.event import Event
from gevent.greenlet import Greenlet
from gevent.hub import get_hub

__all__ = ["BaseServer"]


def _handle_and_close(handle, close, args):
    try:
        return handle(*args)
    finally:
        close(*args)


class BaseServer:
    """Listens, and runs a handler for whatever arrives.

    *listener* is an address (see `parse_address`) or a bound socket.
    *handle* is called with what `do_read` returns; a subclass may define a
    method of that name instead. *spawn* says how: ``'default'`` or any
    callable with the signature of `gevent.spawn`, a pool or an integer (no
    more handlers at a time than it has room for), or None (in the hub,
    where it must not block). Raises `TypeError` and `ValueError` for other
    arguments; binding waits until `start`.
    """

    #: Seconds to pause after an error; doubled up to `max_delay` as long as
    #: errors follow each other.
    min_delay = 0.01
    max_delay = 1

    #: The most requests to take in one wake-up. One process of several on
    #: the same socket should take fewer.
    max_accept = 100

    _spawn = Greenlet.spawn

    #: Seconds that `stop` waits by default.
    stop_timeout = 1

    #: Errors of the listener after which there is no point in going on.
    fatal_errors = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)

    def __init__(self, listener, handle=None, spawn="default"):
        self.pool = self._watcher = self._timer = self._handle = None
        self.loop = get_hub().loop
        self.delay = self.min_delay
        self._stop_event = Event()
        self._stop_event.set()
        try:
            if self.max_accept < 1:
                raise ValueError("max_accept is the number of requests to take "
                                 f"at once, not {self.max_accept!r}")
            self.set_listener(listener)
            self.set_spawn(spawn)
            self.set_handle(handle)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()

    def set_listener(self, listener):
        """Use the socket or the address *listener*.

        Raises `TypeError` for what is neither, or an `SSLSocket`; `ValueError`
        for a text that is no address.
        """
        if not hasattr(listener, "accept"):
            self.family, self.address = parse_address(listener)
            return
        if hasattr(listener, "do_handshake"):
            raise TypeError(
                f"Expected a regular socket, not SSLSocket: {listener!r}")
        self.family = listener.family
        self.address = listener.getsockname()
        self.socket = listener

    def set_spawn(self, spawn):
        """Run handlers by *spawn*; see the class."""
        if isinstance(spawn, int):
            from gevent.pool import Pool
            spawn = Pool(spawn)
        if spawn == "default":
            self.pool = None
            self._spawn = type(self)._spawn
        elif hasattr(spawn, "spawn"):
            self.pool = spawn
            self._spawn = spawn.spawn
        else:
            self.pool = None
            self._spawn = spawn
        if hasattr(self.pool, "full"):
            self.full = self.pool.full

    def set_handle(self, handle):
        """Call *handle* for each request; None keeps the method (`TypeError`
        if there is none)."""
        if handle is not None:
            self.handle = handle
        if not hasattr(self, "handle"):
            raise TypeError("'handle' must be provided")
        self._handle = self.handle

    # Taking requests

    def start_accepting(self):
        """Watch the listener."""
        if self._watcher is None:
            self._watcher = self.loop.io(self.socket.fileno(), 1)
            self._watcher.start(self._do_read)

    def stop_accepting(self):
        """Leave the listener alone; what arrives waits in its backlog."""
        for name in ("_watcher", "_timer"):
            watcher = getattr(self, name)
            if watcher is not None:
                setattr(self, name, None)
                watcher.stop()
                watcher.close()

    def _start_accepting_if_started(self, _semaphore=None):
        if self.started:
            self.start_accepting()

    def _wait_for_room(self):
        """Leave the listener alone until the pool has a free place."""
        self.stop_accepting()
        semaphore = getattr(self.pool, "_semaphore", None)
        if semaphore is None:
            return

        def room(_semaphore):
            semaphore.unlink(room)
            self._start_accepting_if_started()

        semaphore.rawlink(room)

    def _accept_later(self):
        """Pause after an error."""
        if self.delay < 0 or not self.started:
            return
        self.stop_accepting()
        self._timer = self.loop.timer(self.delay)
        self._timer.start(self._start_after_pause)
        self.delay = min(self.max_delay, self.delay * 2)

    def _start_after_pause(self):
        self.stop_accepting()
        self._start_accepting_if_started()

    def _do_read(self):
        for _ in range(self.max_accept):
            if self.full():
                self._wait_for_room()
                return
            try:
                args = self.do_read()
            except BaseException as ex:
                self._read_failed(ex)
                return
            self.delay = self.min_delay
            if not args:
                return
            try:
                self.do_handle(*args)
            except BaseException:
                self.loop.handle_error((args[1:], self), *sys.exc_info())
                self._accept_later()
                return
            if not self.started:
                return

    def _read_failed(self, ex):
        self.loop.handle_error(self, *sys.exc_info())
        if self.is_fatal_error(ex):
            self.close()
            sys.stderr.write(f"ERROR: {self} failed with {ex}\n")
        else:
            self._accept_later()

    def do_handle(self, *args):
        """Have a handler run with *args*, and `do_close` called after it."""
        try:
            if self._spawn is None:
                _handle_and_close(self._handle, self.do_close, args)
            else:
                self._spawn(
                    _handle_and_close, self._handle, self.do_close, args)
        except BaseException:
            self.do_close(*args)
            raise

    def do_close(self, *args):
        """Called with the arguments of a handler that has returned."""

    def do_read(self):
        """Take a request; a tuple of arguments, or None for none there."""
        raise NotImplementedError

    def full(self) -> bool:
        """True when the pool has no room for another handler."""
        return False

    # What it is

    @property
    def server_host(self):
        """The host, as text, that the server is bound to, or None."""
        return self.address[0] if isinstance(self.address, tuple) else None

    @property
    def server_port(self):
        """The port that the server is bound to, or None."""
        return self.address[1] if isinstance(self.address, tuple) else None

    def __repr__(self):
        return (f"<{type(self).__name__} at {hex(id(self))} "
                f"{self._formatinfo()}>")

    def __str__(self):
        return f"<{type(self).__name__} {self._formatinfo()}>"

    def _formatinfo(self):
        info = []
        if hasattr(self, "socket"):
            try:
                info.append(f"fileno={self.socket.fileno()}")
            except Exception as ex:
                info.append(f"fileno={ex}")
        address = getattr(self, "address", None)
        if isinstance(address, tuple) and len(address) == 2:
            info.append("address=%s:%s" % address)
        else:
            info.append(f"address={address}")
        if "handle" in self.__dict__:
            handle = self.handle
            owner = getattr(handle, "__self__", None)
            if owner is self:
                info.append(f"handle=<bound method {handle.__name__} of self>")
            else:
                info.append(f"handle={handle!r}")
        return " ".join(info)

    # Running

    @property
    def started(self) -> bool:
        """True between `start` and `close`."""
        return not self._stop_event.is_set()

    @property
    def closed(self) -> bool:
        """True while there is no listening socket."""
        return not hasattr(self, "socket")

    def init_socket(self):
        """Called by `start`: make the listening socket, if need be."""

    def start(self):
        """Bind, listen, and take requests. Raises `OSError` if the system
        refuses."""
        self.init_socket()
        self._stop_event.clear()
        try:
            self.start_accepting()
        except BaseException:
            self.close()
            raise

    def close(self):
        """Close the listening socket; handlers go on."""
        self._stop_event.set()
        try:
            self.stop_accepting()
        finally:
            sock = self.__dict__.pop("socket", None)
            try:
                if sock is not None:
                    sock.close()
            finally:
                # Handlers are often methods of objects that hold the server.
                for name in ("handle", "_handle", "_spawn", "full"):
                    self.__dict__.pop(name, None)

    def stop(self, timeout=None):
        """Close the listening socket, and wait for the handlers of a pool.

        Those still running after *timeout* seconds (None: `stop_timeout`)
        are killed. Handlers that are not in a pool go on.
        """
        self.close()
        patience = self.stop_timeout if timeout is None else timeout
        if self.pool:
            self.pool.join(timeout=patience)
            self.pool.kill(block=True, timeout=1)

    def serve_forever(self, stop_timeout=None):
        """`start` unless started, and wait until stopped."""
        if not self.started:
            self.start()
        try:
            self._stop_event.wait()
            self._wait_for_end()
        finally:
            # In a greenlet, so that an exception that ends the wait, such
            # as KeyboardInterrupt, does not reach the handlers' join.
            Greenlet.spawn(self.stop, timeout=stop_timeout).join()

    def _wait_for_end(self):
        """The listener is closed: wait for what should still go on."""

    def is_fatal_error(self, ex) -> bool:
        """True for an error of the listener that will not go away."""
        return (isinstance(ex, __socket__.error)
                and ex.errno in self.fatal_errors)


def parse_address(address):
    """`(family, address)` for binding.

    Takes `(host, port)`, where an empty host is every IPv6 address;
    ``'host:port'``, ``'[ipv6]:port'``, ``'port'``, or a port number. Raises
    `TypeError` and `ValueError` for all else.
    """
    if isinstance(address, tuple):
        host = address[0]
        is_ipv6 = not host or ":" in host
        return (__socket__.AF_INET6 if is_ipv6 else __socket__.AF_INET,
                address)
    if isinstance(address, int):
        return __socket__.AF_INET6, ("", address)
    if not isinstance(address, str):
        raise TypeError(f"Expected tuple or string, got {type(address)}")
    host, colon, port = address.rpartition(":")
    family = __socket__.AF_INET
    if host.startswith("[") or not colon:
        family = __socket__.AF_INET6
        host = host.strip("[]")
    if host == "*":
        host = ""
    try:
        return family, (host, int(port))
    except ValueError as ex:
        raise ValueError(
            f"Failed to parse address {address!r}: {ex}") from None


_parse_address = parse_address  # the name that programs know
