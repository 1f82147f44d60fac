"""Requests that the engine has read, in place of a greenlet a connection.

The engine reads heads and bodies and sends answers; here an application runs
on a request, in a greenlet of its own, on the terms of `WSGIHandler`. What a
request asks to change the protocol for leaves the engine, bytes already read
included, and a `WSGIHandler` serves its connection from then on.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Sized

from gevent import socket
from gevent._pywsgi_file import FileWrapper
from gevent._pywsgi_input import (BodyTooLong, BodyTooSlow, InvalidInput,
                                  TimedFile)
from gevent._pywsgi_log import NoopLog
from gevent._pywsgi_request import NOT_IN_LINE
from greenlet import GreenletExit
from libgcore import _engine

__all__ = ["AVAILABLE", "EngineHandler", "EngineInput", "engine_options",
           "leave_engine"]

#: Whether there is an engine for HTTP: it is the accelerator's.
AVAILABLE = _engine.ACCELERATED

_PIECE = 1 << 18
_JOIN_LIMIT = 1 << 16
_READ_AT_ONCE = 1 << 22  # a body's announced bytes are room made in advance
_HEAD_LIMIT = 1 << 18
_NS = 1_000_000_000
_NO_LIMIT = -1
# Bytes of lines that the engine adds.
_DATE_SIZE = len("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n")
_CHUNKED_SIZE = len("Transfer-Encoding: chunked\r\n")
_CLOSE_SIZE = len("Connection: close\r\n")
_KEEP_SIZE = len("Connection: keep-alive\r\n")

if AVAILABLE:
    from libgcore._accel import (HTTP_KEEP, HTTP_LENIENT, HTTP_REPORT,
                                 HTTP_UPGRADE, HttpServer, http_headers)


def _nanoseconds(seconds):
    return _NO_LIMIT if seconds is None else max(1, int(seconds * _NS))


def engine_options(server):
    """The engine's options for a `WSGIServer`."""
    options = {
        "flags": HTTP_REPORT | (0 if server.strict else HTTP_LENIENT),
        "line_limit": server.max_request_line,
        "field_limit": server.max_headers,
        "head_limit": server.max_header_bytes or _HEAD_LIMIT,
        "body_rate": int(server.min_body_rate or 0) or _NO_LIMIT,
        "body_grace": int(TimedFile.grace * _NS),
        "head_timeout": _nanoseconds(server.header_timeout
                                     or server.idle_timeout),
        "idle_timeout": _nanoseconds(server.idle_timeout),
        "send_timeout": _nanoseconds(server.send_timeout),
        "discard": 1 << 62,
    }
    if server.max_body is not None:
        options["body_limit"] = server.max_body
    return options


# The body of a request

class _Body(io.RawIOBase):
    """Reads what the engine has of a body, and waits for more."""

    def __init__(self, request, timeout):
        self._request = request
        self._timeout = timeout
        self._position = 0
        self.failure = None

    def readable(self):
        return True

    def _piece(self, size):
        if self.failure is not None:
            raise self.failure
        try:
            data = self._request.read(size, self._timeout)
        except OSError as ex:
            self.failure = self._named(ex)
            raise self.failure from None
        self._position += len(data)
        return data

    def _named(self, ex):
        if ex.errno == errno.EBADMSG:
            return InvalidInput("Malformed chunk")
        if ex.errno == errno.EMSGSIZE:
            return BodyTooLong("Body too long")
        if ex.errno == errno.ETIMEDOUT:
            return BodyTooSlow("Body too slow")
        if ex.errno == errno.ECONNRESET:
            return InvalidInput("unexpected end of file while reading request "
                                f"at position {self._position}")
        return ex

    def readinto(self, buffer):
        data = self._piece(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def readall(self):
        pieces = []
        while data := self._piece(_PIECE):
            pieces.append(data)
        return b"".join(pieces)


class EngineInput:
    """`wsgi.input`: the body of a request, and no byte beyond it."""

    __slots__ = ("_request", "_timeout", "_file")

    def __init__(self, request, timeout):
        self._request = request
        self._timeout = timeout
        self._file = None

    @property
    def file(self):
        """The body as a binary file."""
        if self._file is None:
            self._file = io.BufferedReader(
                _Body(self._request, self._timeout), _JOIN_LIMIT)
        return self._file

    @property
    def failure(self):
        """What was wrong with the body, as far as it was read, or None."""
        return None if self._file is None else self._file.raw.failure

    def read(self, length=None):
        """Up to *length* bytes (all without it); nothing at the end."""
        if length is None or length < 0:
            length = self._request.content_length
            if not 0 < length <= _READ_AT_ONCE:
                length = None
        return self.file.read(length)

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

class EngineHandler:
    """Runs the application on one request; for logs like a `WSGIHandler`."""

    __slots__ = (
        "server", "request", "environ", "result", "status", "_orig_status",
        "code", "time_start", "time_finish", "headers_sent", "response_length",
        "_block", "_reason", "_length", "_connection", "_dated", "_left")

    #: As of `WSGIHandler`.
    ApplicationError = AssertionError
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET, errno.ECANCELED)

    def __init__(self, server, request):
        self.server = server
        self.request = request
        self.environ = None
        self.result = None
        self.status = self._orig_status = self.code = None
        self.headers_sent = False
        self.response_length = 0
        self._left = None  # of the announced length
        self.time_start = time.time()
        self.time_finish = 0

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
        return self.environ["REQUEST_METHOD"] if self.environ else None

    @property
    def request_version(self):
        """As in ``HTTP/1.1``."""
        return f"HTTP/1.{self.request.minor}"

    @property
    def response_headers(self):
        """The headers of the application, a list of pairs of bytes."""
        if self.code is None:
            return None
        return [tuple(line.split(b": ", 1))
                for line in self._block.split(b"\r\n")[:-1]]

    # Running

    def handle(self):
        """Answer the request, and log it."""
        server, request = self.server, self.request
        try:
            self.environ = environ = server.get_environ()
            request.fill(environ)
            if request.content_length > 0 and (
                    environ["REQUEST_METHOD"] == "HEAD"):
                raise InvalidInput("Unexpected Content-Length")
            environ["wsgi.input"] = body = EngineInput(
                request, server.body_timeout)
            environ["wsgi.input_terminated"] = True
            self._run(server.application_for(environ), environ)
            if body.failure is not None:  # and the application caught it
                raise body.failure
        except InvalidInput as ex:
            self.log_error("Invalid request (from %s): %s",
                           self.client_address, ex)
            self._send_error(ex.status)
        except OSError as ex:
            if ex.errno not in self.ignored_socket_errors:
                self._handle_error(*sys.exc_info())
            elif not self.headers_sent:
                self.request.abort()
        except BaseException:
            self._handle_error(*sys.exc_info())
        finally:
            self._end()

    def _end(self):
        self.time_finish = time.time()
        server = self.server
        if server.metrics is not None:
            server.metrics.request(self.code or 0, self.response_length,
                                   self.time_finish - self.time_start)
        if type(server.log) is not NoopLog:
            server.log.write(self.format_request() + "\n")

    def format_request(self):
        """The line for the log."""
        return self.server.handler_class.format_request(self)

    def _run(self, application, environ):
        result = application(environ, self.start_response)
        try:
            if type(result) is list and len(result) == 1 and (
                    not self.headers_sent):
                self._send_whole(result[0])
            else:
                self._send_pieces(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def start_response(self, status, headers, exc_info=None):
        """See WSGI; returns `write`."""
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        code, _, reason = status.partition(" ")
        code = int(code)
        if NOT_IN_LINE.search(status):
            raise ValueError("carriage return or newline in header status: "
                             f"{status!r}")
        reason = reason.encode("latin-1")
        block, length, connection, dated = http_headers(
            headers if type(headers) is list else list(headers))
        if code in (204, 304) and length not in (None, "0"):
            raise self.ApplicationError(
                f"Invalid Content-Length for {code} response: "
                f"{length!r} (must be absent or zero)")
        self._block, self._length, self._connection, self._dated = (
            block, length, connection, dated)
        self._reason = reason
        self.status = self._orig_status = status
        self.code = code
        return self.write

    # Sending

    def _head_size(self):
        """Bytes of the head with what the engine adds, but for framing."""
        size = len(self.status) + len(self._block) + 13
        if not self._dated:
            size += _DATE_SIZE
        if self._connection is None:
            if not self.request.flags & HTTP_KEEP:
                size += _CLOSE_SIZE
            elif not self.request.minor:
                size += _KEEP_SIZE
        return size

    def _check(self, data):
        if not self.status:
            raise self.ApplicationError(
                "The application did not call start_response()")
        if isinstance(data, str):
            raise TypeError("The body of a response is made of bytes")
        if data and self.code in (204, 304):
            raise self.ApplicationError(
                f"The {self.code} response must have no body")
        return data if type(data) is bytes else bytes(data)

    def _send_whole(self, data):
        data = self._check(data)
        size = str(len(data))
        if self._length is not None and self._length != size and (
                self.environ["REQUEST_METHOD"] != "HEAD"):
            if len(data) > int(self._length):
                self._end_connection()
            self._start()
            self._piece(data)
            self.request.finish()
            return
        self.headers_sent = True
        if self.environ["REQUEST_METHOD"] == "HEAD":
            if self._length is None:
                self._block += b"Content-Length: %b\r\n" % size.encode()
            data = b""
        elif self._length is None and self.code not in (204, 304):
            self.response_length += 18 + len(size)
        self.request.respond(self.code, self._reason, self._block, data)
        self.response_length += self._head_size() + len(data)

    def _end_connection(self):
        """It must not pass for the next response."""
        if self._connection is None:
            self._block += b"Connection: close\r\n"
            self._connection = "close"

    def _start(self):
        self.headers_sent = True
        self.request.start(self.code, self._reason, self._block)
        self.response_length += self._head_size()
        if self._length is not None and self._length.isdigit():
            self._left = int(self._length)
        elif self.request.minor and self.code not in (204, 304):
            self.response_length += _CHUNKED_SIZE

    def _piece(self, data):
        if not data or self.environ["REQUEST_METHOD"] == "HEAD":
            return
        if self._left is None:
            self.response_length += len(data) + (
                len("%x" % len(data)) + 4 if self.request.minor else 0)
        else:
            data = data[:self._left]
            self._left -= len(data)
            self.response_length += len(data)
        self.request.write(data)

    def write(self, data):
        """Send a piece of the body (bytes), and the head before the first."""
        data = self._check(data)
        if not self.headers_sent:
            self._start()
            if not data:
                self.request.write(b"")
        self._piece(data)

    def _send_file(self, fd, offset, count):
        if not self.headers_sent:
            if self._length is None:
                self._length = str(count)
                self._block += b"Content-Length: %d\r\n" % count
            self._start()
        if self._left is not None:
            count = min(count, self._left)
        if not count or self.environ["REQUEST_METHOD"] == "HEAD":
            return
        self.request.send_file(fd, offset, count)
        self.response_length += count
        if self._left is not None:
            self._left -= count
        elif self.request.minor:
            self.response_length += len("%x" % count) + 4

    def _send_pieces(self, result):
        if type(result) is FileWrapper and self.status and (
                self.code not in (204, 304)):
            part = result.part()
            if part is not None:
                self._send_file(*part)
                self._finish()
                return
        if not self.headers_sent and self.status and isinstance(result, Sized):
            length = sum(map(len, result))
            if length <= _JOIN_LIMIT and type(result) in (list, tuple):
                for data in result:
                    self._check(data)
                self._send_whole(b"".join(result))
                return
            if self._length is None and self.code not in (204, 304):
                self._length = str(length)
                self._block += b"Content-Length: %d\r\n" % length
        for data in result:
            if data:
                self.write(data)
        if not self.status:
            # Nothing was said, so nothing is answered.
            os.close(self.request.take_over()[0])
            return
        if not self.headers_sent:
            self._start()
        self._finish()

    def _finish(self):
        if self._left is None and self.request.minor and (
                self.environ["REQUEST_METHOD"] != "HEAD"
                and self.code not in (204, 304)):
            self.response_length += 5
        self.request.finish()

    # Errors

    def log_error(self, message, *args):
        """Write a line to the server's `error_log`."""
        self.server.handler_class.log_error(self, message, *args)

    @property
    def socket(self):
        """What error lines begin with."""
        return self.request

    def _handle_error(self, kind, value, tb):
        if not issubclass(kind, GreenletExit):
            server = self.server
            context = self.environ
            if not isinstance(context, server.secure_environ_class):
                context = server.secure_environ_class(context or {})
            server.loop.handle_error(context, kind, value, tb)
        self._send_error("500 Internal Server Error")

    def _send_error(self, status):
        if self.headers_sent:
            self._cut()
            return
        body = b"Internal Server Error" if status[:3] == "500" else b""
        try:
            self.start_response(status, [("Content-Type", "text/plain"),
                                         ("Connection", "close")])
            self._send_whole(body)
        except OSError:
            pass


    def _cut(self):
        try:
            self.request.cut()
        except OSError:  # the answer is whole, or the client has gone
            pass


class RefusedRequest(EngineHandler):
    """What the engine has refused, and answered: to be logged."""

    __slots__ = ()

    def handle(self):
        """Log it."""
        request = self.request
        self.code = request.status or None
        self._block = b""
        self.status = self._orig_status = (
            str(request.status) if request.status else None)
        self.log_error("Invalid request (from %s): %s", self.client_address,
                       request.reason)
        self._end()


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


def leave_engine(request):
    """The connection of *request* as `(socket, address, file)`; the file
    reads the request again, and what follows it."""
    fd, after = request.take_over()
    sock = socket.socket(fileno=fd)
    peer = request.peer
    return (sock, peer if peer[0] else "",
            io.BufferedReader(_Replay(sock, request.block + after)))
