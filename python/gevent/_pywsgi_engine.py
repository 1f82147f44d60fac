"""Requests that the engine has read, in place of a greenlet a connection.

The engine reads heads and bodies and sends answers, on the terms of
`WSGIHandler`; what happens on every request is the accelerator's
(`HttpExchange`), the rest of an exchange is here. What a request asks to change
the protocol for leaves the engine, bytes already read included, and a
`WSGIHandler` serves its connection from then on.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from contextlib import suppress

import gevent
from gevent import socket
from gevent._pywsgi_file import FileWrapper
from gevent._pywsgi_input import (BodyBrokenOff, BodyTooLong, BodyTooSlow,
                                  Input, InvalidInput, TimedFile)
from gevent._pywsgi_log import NoopLog
from gevent._threading import Lock
from gevent.exceptions import InvalidThreadUseError
from greenlet import GreenletExit
from libgcore import _engine

__all__ = ["AVAILABLE", "EngineHandler", "EngineInput", "can_serve_tls",
           "end_tls", "engine_options", "leave_engine", "serve_tls"]

#: Whether there is an engine for HTTP: it is the accelerator's.
AVAILABLE = _engine.ACCELERATED

_PIECE = 1 << 18
_BUFFER = 1 << 16
_HEAD_LIMIT = 1 << 18
_NS = 1_000_000_000
_NO_LIMIT = -1
_BESIDE_LINE = 3  # its end, and that `max_request_line` is too much already

if AVAILABLE:
    from libgcore._accel import (HTTP_LENIENT, HTTP_MAY_PROXY,
                                 HTTP_PLAIN_STATUS, HTTP_PROXY, HTTP_REPORT,
                                 HttpExchange, HttpInput, HttpServer)
else:
    HttpExchange = HttpInput = object


def _nanoseconds(seconds):
    return _NO_LIMIT if seconds is None else max(1, int(seconds * _NS))


def engine_options(server):
    """The engine's options for a `WSGIServer`."""
    options = {
        "flags": (HTTP_REPORT | (0 if server.strict else HTTP_LENIENT)
                  | (HTTP_MAY_PROXY if server._may_be_proxied else 0)
                  | (HTTP_PROXY if server.proxy_protocol else 0)
                  | (HTTP_PLAIN_STATUS if server._plain_status else 0)),
        "line_limit": max(1, server.max_request_line - _BESIDE_LINE),
        "field_limit": server.max_headers,
        "head_limit": server.max_header_bytes or _HEAD_LIMIT,
        "body_rate": (_NO_LIMIT if server.min_body_rate is None
                      else max(1, int(server.min_body_rate))),
        "body_grace": int(TimedFile.grace * _NS),
        "head_timeout": _nanoseconds(server.header_timeout
                                     or server.idle_timeout),
        "proxy_timeout": _nanoseconds(server.proxy_timeout),
        "idle_timeout": _nanoseconds(server.idle_timeout),
        "send_timeout": _nanoseconds(server.send_timeout),
        "coalesce": _nanoseconds(server.coalesce),
        "discard": 1 << 62,
    }
    if server.max_body is not None:
        options["body_limit"] = server.max_body
    if server.max_connections is not None:
        options["connections"] = server.max_connections
    return options


# Other threads, to which an application may have given its environment

def in_hub(loop, function, *arguments):
    """What *function* returns, or raises, in the hub of *loop*; the calling
    thread, another one, waits as a whole."""
    task = _Task(function, arguments)
    loop.run_callback_threadsafe(gevent.spawn_raw, task)
    return task.get()


class _Task:
    """A call in another thread."""

    def __init__(self, function, arguments):
        self.call = function, arguments
        self.value = self.error = None
        self.over = Lock()
        self.over.acquire()

    def __call__(self):
        function, arguments = self.call
        try:
            self.value = function(*arguments)
        except BaseException as ex:
            self.error = ex
        self.over.release()

    def get(self):
        """What it returned, or raised."""
        self.over.acquire()
        if self.error is not None:
            raise self.error
        return self.value


# The body of a request

class _Body(io.RawIOBase):
    """Reads what the engine has of a body, and waits for more."""

    def __init__(self, request, timeout):
        self._request = request
        self._timeout = timeout
        self.failure = None

    def readable(self):
        return True

    def _piece(self, size):
        try:
            return self._read(self._request.read, size, self._timeout)
        except InvalidThreadUseError:
            return in_hub(self._request.loop, self._piece, size)

    def _read(self, read, *arguments):
        if self.failure is None:
            try:
                return read(*arguments)
            except OSError as ex:
                self.failure = self._named(ex)
        self._fail()

    def _fail(self):
        # Its traceback would hold this object, and so the request.
        raise type(self.failure)(*self.failure.args) from None

    def failed(self, error):
        """Raise *error* of the engine as what it is called here."""
        self.failure = self._named(error)
        self._fail()

    def _named(self, ex):
        if ex.errno == errno.EBADMSG:
            return InvalidInput("Malformed chunk")
        if ex.errno == errno.EMSGSIZE:
            return BodyTooLong("Body too long")
        if ex.errno == errno.ETIMEDOUT:
            return BodyTooSlow("Body too slow")
        if ex.errno == errno.ECONNRESET:
            return BodyBrokenOff("unexpected end of file while reading request "
                                 f"at position {self._request.received}")
        return ex

    def readinto(self, buffer):
        try:
            return self._read(self._request.readinto, buffer, self._timeout)
        except InvalidThreadUseError:
            return in_hub(self._request.loop, self.readinto, buffer)

    def readall(self):
        pieces = []
        while data := self._piece(_PIECE):
            pieces.append(data)
        return b"".join(pieces)


class _Connection(io.RawIOBase):
    """A connection that the engine serves: to wait until its client sends more
    or hangs up, and to see which."""

    def __init__(self, request):
        self._request = request

    def readable(self):
        return True

    def fileno(self):
        return self._request.fileno()

    def readinto(self, buffer):
        while True:
            try:
                return os.readv(self.fileno(), [buffer])
            except BlockingIOError:
                socket.wait_read(self.fileno())


class EngineInput(HttpInput):
    """`wsgi.input`: the body of a request, and no byte beyond it."""

    __slots__ = ()

    @property
    def __class__(self):
        # For applications that ask whether it is the one that they know.
        return Input

    @property
    def chunked_input(self) -> bool:
        """Whether the body comes in chunks."""
        return self._request.content_length < 0

    @property
    def content_length(self) -> int:
        """Bytes of the body, if it does not come in chunks."""
        return max(0, self._request.content_length)

    @property
    def rfile(self):
        """The connection as a binary file, which is readable when the client
        has hung up; over TLS, what is sent reads encrypted."""
        return io.BufferedReader(_Connection(self._request))

    @property
    def file(self):
        """The body as a binary file."""
        if self._file is None:
            self._file = io.BufferedReader(
                _Body(self._request, self._timeout), _BUFFER)
        return self._file

    @property
    def failure(self):
        """What was wrong with the body, as far as it was read, or None; that
        its client has gone is nothing wrong."""
        failure = None if self._file is None else self._file.raw.failure
        return None if isinstance(failure, BodyBrokenOff) else failure

    def _read_file(self, length):
        """As `read`, where that is not the whole body at once."""
        if length is None or length == sys.maxsize:
            length = -1
        return self.file.read(max(length, -1))

    def _failed(self, error):
        """The engine could not read the whole body."""
        self.file.raw.failed(error)

    def readline(self, size=None):
        """A line, or *size* bytes of it."""
        return self.file.readline(-1 if size is None else size)

    def readlines(self, hint=None):
        """All lines."""
        return self.file.readlines()

    def __iter__(self):
        return self

    def next(self):
        """The next line."""
        line = self.file.readline()
        if not line:
            raise StopIteration
        return line

    __next__ = next


# An answer

class EngineHandler(HttpExchange):
    """Runs the application on one request; for logs like a `WSGIHandler`."""

    __slots__ = ()

    #: As of `WSGIHandler`.
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET, errno.ECANCELED)

    input_class = EngineInput
    file_class = FileWrapper  # of results for `send_file`
    quiet_log = NoopLog  # without which `end` is called

    # What logs ask for

    @property
    def requestline(self):
        """The first line of the request."""
        return self.request.line

    @property
    def client_address(self):
        """Of the client: host and port, or an empty text."""
        peer = self.request.peer
        return peer if peer[0] else ""

    @property
    def command(self):
        """The method."""
        return self.request.line.partition(" ")[0]

    @property
    def request_version(self):
        """As in ``HTTP/1.1``."""
        return f"HTTP/1.{self.request.minor}"

    @property
    def response_headers(self):
        """The headers of the application, a list of pairs of bytes; and the
        length, if it is known."""
        if self.block is None:
            return None
        headers = [tuple(line.split(b": ", 1))
                   for line in self.block.split(b"\r\n")[:-1]]
        if self.length >= 0 and not any(
                name.lower() == b"content-length" for name, _ in headers):
            headers.append((b"Content-Length", b"%d" % self.length))
        return headers

    def end(self):
        """Log the exchange, and count it."""
        server = self.server
        if server.metrics is not None:
            server.metrics.request(self.code, self.response_length,
                                   self.time_finish - self.time_start)
        if type(server.log) is not NoopLog:
            server.log.write(self.format_request() + "\n")

    def format_request(self):
        """The line for the log."""
        return self.server.handler_class.format_request(self)

    def send_file(self, file):
        """Answer with a `FileWrapper`, if `sendfile` may send it."""
        part = file.part()
        if part is None:
            return False
        fd, offset, count = part
        if not self.headers_sent:
            self.announce(count)
            self.start()
        count = self.count(count)
        if count:
            self.request.send_file(fd, offset, count)
        self.finish()
        return True

    def in_hub(self, method, *arguments):
        """Call *method* of it from another thread."""
        return in_hub(self.request.loop, getattr(self, method), *arguments)

    # Errors

    def log_error(self, message, *args):
        """Write a line to the server's `error_log`."""
        self.server.handler_class.log_error(self, message, *args)

    @property
    def socket(self):
        """What error lines begin with."""
        return self.request

    def find_application(self):
        """The application that answers."""
        return self.server.application_for(self.environ)

    def refuse_body(self):
        """A request has a body that it must not have."""
        raise InvalidInput("Unexpected Content-Length")

    def fail(self, ex):
        """Deal with an exception, of the application or of its client."""
        if isinstance(ex, InvalidInput):
            self.log_error("Invalid request (from %s): %s",
                           self.client_address, ex)
            self._send_error(ex.status)
        elif not (isinstance(ex, OSError)
                  and ex.errno in self.ignored_socket_errors):
            self._handle_error(type(ex), ex, ex.__traceback__)
        elif not self.headers_sent:
            self.request.abort()
        else:
            # The application's own connection may be meant.
            with suppress(OSError):
                self.request.cut()

    def _handle_error(self, kind, value, tb):
        if not issubclass(kind, GreenletExit):
            self.report(kind, value, tb)
        self._send_error("500 Internal Server Error")

    def report(self, kind, value, tb):
        """Report an error of the application."""
        server = self.server
        context = self.environ
        if not isinstance(context, server.secure_environ_class):
            context = server.secure_environ_class(context or {})
        server.loop.handle_error(context, kind, value, tb)

    def _send_error(self, status):
        if self.headers_sent:
            self._cut()
            return
        body = b"Internal Server Error" if status[:3] == "500" else b""
        try:
            self.start_response(status, [("Content-Type", "text/plain"),
                                         ("Connection", "close")])
            self.answer_whole(body)
        except OSError:
            pass

    def _cut(self):
        try:
            self.request.cut()
        except OSError:  # the answer is whole, or the client has gone
            server = self.server._http
            if server is not None:
                server.hang_up(self.request)


class RefusedRequest(EngineHandler):
    """What the engine has refused, and answered: to be logged."""

    __slots__ = ()

    command = request_version = None

    def handle(self):
        """Log it."""
        request = self.request
        self.code = request.status
        self.status = str(request.status) if request.status else None
        self.time_start = self.time_finish = time.time()
        self.log_error("Invalid request (from %s): %s", self.client_address,
                       request.reason)
        self.end()


# TLS

def can_serve_tls(sock):
    """Whether the engine may read and write for a TLS connection: nothing of
    Python's is to be called between."""
    from gevent.ssl import SSLSocket
    return (type(sock) is SSLSocket and sock._sslobj is not None
            and sock.do_handshake_on_connect and sock.suppress_ragged_eofs
            and sock.context._msg_callback is None)


def serve_tls(server, sock, gone):
    """Have the engine's *server* serve the connection of an `SSLSocket`; the
    hub calls *gone* when it does so no more."""
    server.adopt_tls(sock, sock._sock, sock._sslobj, gone)


def end_tls(tls):
    """Tell the peer of *tls*, an object of `_ssl`, that no more comes, as far
    as that can be done at once."""
    try:
        tls.shutdown()
    except OSError:  # the peer's own end is not waited for
        pass


# Leaving the engine

class _Replay(io.RawIOBase):
    """Reads *ahead*, and then from *sock*."""

    def __init__(self, sock, ahead):
        self._sock = sock
        self._ahead = ahead

    def readable(self):
        return True

    def readinto(self, buffer):
        if self._ahead:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        return self._sock.recv_into(buffer)


def _socket_of(fd):
    try:
        return socket.socket(fileno=fd)
    except BaseException:
        os.close(fd)
        raise


def leave_engine(request):
    """The connection of *request* as `(socket, address, file)`; the file
    reads the request again, and what follows it."""
    sock, after = request.take_over()
    if isinstance(sock, int):
        sock = _socket_of(sock)
    peer = request.peer
    return (sock, peer if peer[0] else "",
            io.BufferedReader(_Replay(sock, request.block + after)))
