"""TCP (and TLS, and Unix) stream servers, and UDP servers."""

from __future__ import annotations

import os
import socket as __socket__
import sys
from collections.abc import Callable
from typing import NamedTuple

from gevent._proxy_protocol import read_client_address
from gevent.baseserver import BaseServer
from gevent.lock import Semaphore
from gevent.socket import socket as _GeventSocket
from gevent.timeout import Timeout

__all__ = ["StreamServer", "DatagramServer"]

# Elsewhere SO_REUSEADDR means that another process may steal the port.
DEFAULT_REUSE_ADDR = None if sys.platform == "win32" else 1

_DATAGRAM_SIZE = 8192


class StreamServer(BaseServer):
    """Accepts connections and calls `handle(socket, address)` for each.

    The socket is closed when the handler returns. *backlog* is for `listen`,
    and not allowed with a socket as *listener*. Any other keyword turns TLS
    on: *ssl_context* and arguments of `SSLContext.wrap_socket`, or those of
    `gevent.ssl.wrap_socket`. `reuse_port`, `proxy_protocol` and
    `proxy_timeout` may be given as arguments, too.
    """

    #: Connections that may wait to be accepted.
    backlog = 128

    reuse_addr = DEFAULT_REUSE_ADDR

    #: Whether other processes may listen on the same address; the system
    #: spreads connections over them.
    reuse_port = False

    #: Whether each connection begins with a proxy's header (versions 1 and 2)
    #: that names the client. Only where none but the proxy can connect.
    proxy_protocol = False

    #: Seconds that the header may take.
    proxy_timeout = 5

    def __init__(self, listener, handle=None, backlog=None, spawn="default",
                 **ssl_args):
        _take_options(self, ssl_args, "reuse_port", "proxy_protocol",
                      "proxy_timeout")
        super().__init__(listener, handle=handle, spawn=spawn)
        try:
            self._set_ssl(ssl_args)
            if backlog is not None:
                if hasattr(self, "socket"):
                    raise TypeError("backlog must be None when a socket "
                                    "instance is passed")
                self.backlog = backlog
        except BaseException:
            self.close()
            raise

    def _set_ssl(self, ssl_args):
        self.ssl_args = None
        if not ssl_args:
            return
        ssl_args.setdefault("server_side", True)
        if "ssl_context" in ssl_args:
            self.wrap_socket = ssl_args.pop("ssl_context").wrap_socket
        else:
            from gevent.ssl import wrap_socket
            self.wrap_socket = wrap_socket
        self.ssl_args = ssl_args

    @property
    def ssl_enabled(self) -> bool:
        """True if the server speaks TLS."""
        return self.ssl_args is not None

    def set_listener(self, listener):
        """Use the socket or the address *listener*."""
        super().set_listener(listener)
        if isinstance(self.__dict__.get("socket"), __socket__.SocketType):
            self.socket.setblocking(False)

    def init_socket(self):
        """Bind and listen, if need be."""
        if not hasattr(self, "socket"):
            self.socket = self._make_listener()
            self.address = self.socket.getsockname()
        self._handle = self._usual_handle()

    def _usual_handle(self):
        handle = (self.wrap_socket_and_handle if self.ssl_args
                  else self.handle)
        if not self.proxy_protocol:
            return handle
        return _AfterProxyHeader(handle, self.proxy_timeout, self.loop)

    def _make_listener(self):
        if not self.reuse_port:
            return self.get_listener(self.address, self.backlog, self.family)
        sock = _bound(self.address, self.family, __socket__.SOCK_STREAM,
                      self.reuse_addr, reuse_port=True)
        return _listening(sock, self.backlog)

    @classmethod
    def get_listener(cls, address, backlog=None, family=None):
        """A socket that listens on *address*."""
        if backlog is None:
            backlog = cls.backlog
        sock = _bound(address, family, __socket__.SOCK_STREAM, cls.reuse_addr)
        return _listening(sock, backlog)

    def do_read(self):
        """Accept: `(socket, address)`, or None."""
        sock = self.socket
        try:
            fd, address = getattr(sock, "_sock", sock)._accept()
        except BlockingIOError:  # another process took it
            return None
        try:
            return (_GeventSocket(sock.family, sock.type, sock.proto,
                                  fileno=fd), address)
        except BaseException:
            os.close(fd)
            raise

    def do_close(self, sock, *args):
        """Close the connection."""
        sock.close()

    def wrap_socket_and_handle(self, client_socket, address):
        """Perform the TLS handshake, then call the handler."""
        with self.wrap_socket(client_socket, **self.ssl_args) as ssl_socket:
            return self.handle(ssl_socket, address)


class _AfterProxyHeader(NamedTuple):
    """Calls *handle* with the address that a proxy tells."""

    handle: Callable
    seconds: float | None
    loop: object

    def __call__(self, sock, address):
        try:
            with Timeout(self.seconds, TimeoutError("No PROXY header came")):
                address = read_client_address(sock, address)
        except (ValueError, OSError):
            # Whoever connected is no proxy; the error tells how to mend that.
            self.loop.handle_error((address, self), *sys.exc_info())
            return None
        return self.handle(sock, address)


class DatagramServer(BaseServer):
    """Receives datagrams and calls `handle(data, address)` for each.

    Of a datagram *data* is the first 8192 bytes at most. `reuse_port` may be
    given as an argument, too.
    """

    reuse_addr = DEFAULT_REUSE_ADDR

    #: As of `StreamServer`.
    reuse_port = False

    def __init__(self, *args, **kwargs):
        _take_options(self, kwargs, "reuse_port")
        super().__init__(*args, **kwargs)
        self._writelock = Semaphore()

    def init_socket(self):
        """Bind, if need be."""
        if not hasattr(self, "socket"):
            self.socket = self._make_listener()
            self.address = self.socket.getsockname()
        self._socket = getattr(self.socket, "_sock", self.socket)

    def _make_listener(self):
        if not self.reuse_port:
            return self.get_listener(self.address, self.family)
        return _bound(self.address, self.family, __socket__.SOCK_DGRAM,
                      self.reuse_addr, reuse_port=True)

    @classmethod
    def get_listener(cls, address, family=None):
        """A datagram socket bound to *address*."""
        return _bound(address, family, __socket__.SOCK_DGRAM, cls.reuse_addr)

    def do_read(self):
        """Receive: `(data, address)`, or None."""
        try:
            return self._socket.recvfrom(_DATAGRAM_SIZE)
        except BlockingIOError:
            return None

    def sendto(self, *args):
        """As `socket.sendto`, one greenlet at a time."""
        with self._writelock:
            return self.socket.sendto(*args)


def _take_options(server, arguments, *names):
    """Move those *arguments* that are options to attributes of *server*."""
    for name in names:
        if name in arguments:
            setattr(server, name, arguments.pop(name))


# Known by these names to programs that fork their servers: what listens is made
# before.

def _tcp_listener(address, backlog=50, reuse_addr=None,
                  family=__socket__.AF_INET):
    """A socket that listens on *address* and does not block."""
    sock = _bound(address, family, __socket__.SOCK_STREAM, reuse_addr)
    sock.setblocking(False)
    return _listening(sock, backlog)


def _udp_socket(address, backlog=50, reuse_addr=None,
                family=__socket__.AF_INET):
    """A datagram socket bound to *address*; *backlog* means nothing to it."""
    return _bound(address, family, __socket__.SOCK_DGRAM, reuse_addr)


def _bound(address, family, kind, reuse_addr, reuse_port=False):
    sock = _GeventSocket(
        family=__socket__.AF_INET if family is None else family, type=kind)
    try:
        if reuse_addr is not None:
            sock.setsockopt(__socket__.SOL_SOCKET, __socket__.SO_REUSEADDR,
                            reuse_addr)
        if reuse_port:
            sock.setsockopt(__socket__.SOL_SOCKET, __socket__.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as ex:
        sock.close()
        if ex.strerror:
            ex.strerror += f": {address!r}"
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _listening(sock, backlog):
    try:
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock
