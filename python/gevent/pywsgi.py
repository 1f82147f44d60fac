"""A WSGI server.

One greenlet serves one connection by a `WSGIHandler`, whose methods may be
overridden. The head of a response goes out together with the first piece of
its body.

Where a message begins and ends is decided here and nowhere else: whatever
two parties could understand differently (two lengths that differ, a space
before a colon, a line without a carriage return) is answered with 400, and
the connection closed. What many programs send in spite of RFC 9112, a
``Content-Length`` beside ``Transfer-Encoding: chunked`` and folded header
lines, is accepted unless `WSGIServer.strict` is set; after the former the
connection is closed.
"""

from __future__ import annotations

import errno
import re
import sys
import time
import traceback
from collections.abc import Sized
from datetime import datetime
from functools import lru_cache
from http import client
from io import BytesIO
from urllib.parse import unquote_to_bytes

import gevent
from gevent import socket
from gevent.server import StreamServer
from greenlet import GreenletExit

__all__ = [
    "WSGIServer",
    "WSGIHandler",
    "LoggingLogAdapter",
    "Environ",
    "SecureEnviron",
    "WSGISecureEnviron",
]

#: Limits on a request's head.
MAX_REQUEST_LINE = 8192
MAX_HEADER_LINE = 65536
MAX_HEADERS = 100

_MAX_CHUNK_DIGITS = 16
_MAX_CHUNK_EXTENSION = 8192
_JOIN_LIMIT = 1 << 16  # bytes of body that are joined with the head
_DRAIN_SIZE = 1 << 16

_CONTINUE_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_REQUEST_RESPONSE = (b"HTTP/1.1 400 Bad Request\r\n"
                         b"Connection: close\r\nContent-length: 0\r\n\r\n")
_REQUEST_TOO_LONG_RESPONSE = (b"HTTP/1.1 414 Request URI Too Long\r\n"
                              b"Connection: close\r\n"
                              b"Content-length: 0\r\n\r\n")
_INTERNAL_ERROR_BODY = b"Internal Server Error"
_ERRORS = {
    500: ("500 Internal Server Error",
          (("Content-Type", "text/plain"), ("Connection", "close"),
           ("Content-Length", str(len(_INTERNAL_ERROR_BODY)))),
          _INTERNAL_ERROR_BODY),
    400: ("400 Bad Request",
          (("Content-Type", "text/plain"), ("Connection", "close"),
           ("Content-Length", "0")),
          b""),
}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(r"HTTP/([0-9])\.([0-9])")
_DIGITS = re.compile(r"[0-9]+")
_HEX_DIGITS = re.compile(rb"[0-9A-Fa-f]+")
_NOT_IN_LINE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep",
           "Oct", "Nov", "Dec")


@lru_cache(maxsize=4)
def _date_of_second(second):
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(second)
    return (f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:4d} "
            f"{hour:02d}:{minute:02d}:{second:02d} GMT").encode("latin-1")


def format_date_time(timestamp):
    """*timestamp* (seconds since the epoch) as HTTP writes it, in bytes."""
    return _date_of_second(int(timestamp))


class _InvalidClientInput(OSError):
    """The body of a request is not what HTTP allows."""


class _InvalidClientRequest(ValueError):
    """The head of a request is not what HTTP allows."""

    def __init__(self, message):
        super().__init__(message)
        self.formatted_message = message


# Headers

class OldMessage(client.HTTPMessage):
    """The headers of a request."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.status = ""

    def getheader(self, name, default=None):
        """The first value of *name*."""
        return self.get(name, default)

    @property
    def headers(self):
        """The header lines, as they came but for folding."""
        for key, value in self._headers:
            yield f"{key}: {value}\r\n"

    @property
    def typeheader(self):
        """The value of Content-Type, or None."""
        return self.get("content-type")


def _header_lines(fp):
    """The lines of a head up to the empty one, without their ends."""
    while True:
        line = fp.readline(MAX_HEADER_LINE + 1)
        if len(line) > MAX_HEADER_LINE:
            raise _InvalidClientRequest("Header line too long")
        if not line.endswith(b"\r\n"):
            raise _InvalidClientRequest(
                f"Header line without CRLF: {line[:80]!r}" if line
                else "Connection closed within the headers")
        line = line[:-2].decode("latin-1")
        if not line:
            return
        if _NOT_IN_LINE.search(line):
            raise _InvalidClientRequest(
                f"Control character in header line: {line[:80]!r}")
        yield line


def headers_factory(fp, *args):
    """Read headers from the binary file *fp*; an `OldMessage`.

    Raises `ValueError` for anything that is not a list of headers.
    """
    fields = []
    for line in _header_lines(fp):
        if line[0] in " \t":
            if not fields:
                raise _InvalidClientRequest("Folded line without a header")
            fields[-1][1] += " " + line.strip(" \t")
            continue
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise _InvalidClientRequest(f"Invalid header line: {line[:80]!r}")
        if len(fields) == MAX_HEADERS:
            raise _InvalidClientRequest(
                f"got more than {MAX_HEADERS} headers")
        fields.append([name, value.strip(" \t")])
    message = OldMessage()
    message._headers = [(name, value.strip(" \t")) for name, value in fields]
    return message


def _tokens(message, name):
    """The comma-separated elements of all headers *name*, in lower case."""
    values = message.get_all(name, ())
    return [token.strip(" \t").lower()
            for value in values for token in value.split(",")]


# Body of a request

class Input:
    """`wsgi.input`: the body of a request, and no byte beyond it.

    *content_length* bytes of *rfile*, or what is there in chunks. *socket*
    is given if the client waits for leave to send; it gets it when reading
    begins.
    """

    __slots__ = ("rfile", "content_length", "socket", "position",
                 "chunked_input", "chunk_length", "send_100_continue_enabled",
                 "_failure")

    def __init__(self, rfile, content_length, socket=None,
                 chunked_input=False):
        self.rfile = rfile
        self.content_length = content_length or 0
        self.socket = socket
        self.position = 0
        self.chunked_input = chunked_input
        self.chunk_length = -1  # -1: at a chunk's head; 0: at the end
        self.send_100_continue_enabled = True
        self._failure = None

    def _invalid(self, message):
        self._failure = _InvalidClientInput(message)
        return self._failure

    def _send_100_continue(self):
        if self.socket is not None:
            if self.send_100_continue_enabled:
                self.socket.sendall(_CONTINUE_RESPONSE)
            self.socket = None

    def _discard(self):
        """Read what the application did not, so that the next request can
        be read; raise if there is no telling where that begins."""
        if self._failure is not None:  # and the application caught it
            raise self._failure
        if self.socket is not None:
            # It was not told to send the body, and need not.
            self.send_100_continue_enabled = False
        while self.read(_DRAIN_SIZE):
            pass

    # Sized bodies

    def _do_read(self, length=None, use_readline=False):
        left = self.content_length - self.position
        length = left if length is None or length < 0 else min(length, left)
        if not length:
            return b""
        self._send_100_continue()
        read = self.rfile.readline if use_readline else self.rfile.read
        data = read(length)
        self.position += len(data)
        if len(data) < length and not (use_readline and data[-1:] == b"\n"):
            raise self._invalid(
                "unexpected end of file while reading request at position "
                f"{self.position}")
        return data

    # Chunked bodies

    def _line(self, limit, what):
        line = self.rfile.readline(limit)
        if not line.endswith(b"\r\n"):
            if not line.endswith(b"\n") and len(line) < limit:
                raise self._invalid("EOF before chunk end reached")
            raise self._invalid(f"{what} too long or without CRLF")
        return line[:-2]

    def _next_chunk(self):
        """Read a chunk's head; its size."""
        line = self._line(_MAX_CHUNK_DIGITS + _MAX_CHUNK_EXTENSION + 2,
                          "Chunk size")
        size, semicolon, _ = line.partition(b";")
        if semicolon:
            size = size.rstrip(b" \t")
        if not _HEX_DIGITS.fullmatch(size):
            raise self._invalid(f"Non-hex chunk size: {size[:40]!r}")
        if len(size) > _MAX_CHUNK_DIGITS:
            raise self._invalid("Chunk-size too large.")
        self.chunk_length = int(size, 16)
        self.position = 0
        if not self.chunk_length:
            for _ in range(MAX_HEADERS + 1):
                line = self._line(MAX_HEADER_LINE, "Trailer")
                if not line:
                    return 0
                name, colon, _ = line.decode("latin-1").partition(":")
                if not colon or not _TOKEN.fullmatch(name):
                    raise self._invalid(f"Bad trailer: {line[:80]!r}")
            raise self._invalid("Too many trailers")
        return self.chunk_length

    def _chunked_read(self, length=None, use_readline=False):
        if length is not None and length < 0:
            length = None
        self._send_100_continue()
        pieces = []
        while self.chunk_length and length != 0:
            left = self.chunk_length - self.position
            if self.chunk_length < 0:
                if not self._next_chunk():
                    break
                continue
            read = self.rfile.readline if use_readline else self.rfile.read
            data = read(left if length is None else min(length, left))
            if not data:
                raise self._invalid("EOF before chunk end reached")
            pieces.append(data)
            self.position += len(data)
            if length is not None:
                length -= len(data)
            if self.position == self.chunk_length:
                if self._line(2, "Chunk"):
                    raise self._invalid("Chunk longer than its size")
                self.chunk_length = -1
            if use_readline and data.endswith(b"\n"):
                break
        return b"".join(pieces)

    # What WSGI asks for

    def read(self, length=None):
        """Up to *length* bytes (all without it); nothing at the end."""
        if self.chunked_input:
            return self._chunked_read(length)
        return self._do_read(length)

    def readline(self, size=None):
        """A line, or *size* bytes of it."""
        if self.chunked_input:
            return self._chunked_read(size, True)
        return self._do_read(size, True)

    def readlines(self, hint=None):
        """All lines."""
        return list(self)

    def __iter__(self):
        return self

    def next(self):
        """The next line."""
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    __next__ = next


class _UpgradableInput(Input):
    """`wsgi.input` of a request to change the protocol.

    Once the application has agreed (101), what it reads is no longer HTTP.
    """

    __slots__ = ("handler",)

    def _http(self):
        return not self.handler.connection_upgraded

    def read(self, length=None):
        if self._http():
            return super().read(length)
        return self.rfile.read(-1 if length is None else length)

    def readline(self, size=None):
        if self._http():
            return super().readline(size)
        return self.rfile.readline(-1 if size is None else size)

    def _discard(self):
        if self._http():
            super()._discard()


class WSGIHandler:
    """Serves the requests of one connection.

    *sock* is the connection, *address* the client's, *server* a
    `WSGIServer`; *rfile* a binary file to read from instead of *sock*.
    """

    protocol_version = "HTTP/1.1"

    def MessageClass(self, *args):
        """Read the headers of a request."""
        return headers_factory(*args)

    # The response
    status = None  # bytes
    _orig_status = None  # as the application gave it
    response_headers = None  # list of (bytes, bytes)
    code = None
    provided_date = None
    provided_content_length = None
    close_connection = False
    time_start = 0  # seconds since the epoch
    time_finish = 0
    headers_sent = False
    response_use_chunked = False
    connection_upgraded = False
    response_length = 0  # bytes sent, the head included
    _body_left = None  # of the announced length
    result = None

    # The request
    environ = None
    application = None
    requestline = None
    wsgi_input = None
    content_length = 0
    headers = headers_factory(BytesIO(b"\r\n"))
    request_version = None
    command = None
    path = None
    _chunked_request = False

    #: Not worth a word: the client has gone.
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET)

    #: Raised when an application breaks the rules of WSGI.
    ApplicationError = AssertionError

    def __init__(self, sock, address, server, rfile=None):
        self.socket = sock
        self.client_address = address
        self.server = server
        self.rfile = sock.makefile("rb", -1) if rfile is None else rfile

    # Connection

    def handle(self):
        """Serve requests until the connection ends."""
        try:
            while self.socket is not None:
                self.time_start = time.time()
                self.time_finish = 0
                result = self.handle_one_request()
                if result is None:
                    break
                if result is not True:
                    self._refuse(*result)
                    break
        finally:
            self._end()

    def _refuse(self, status, response):
        """Answer what was not even a request."""
        self.status = self._orig_status = status
        self.response_length = 0
        try:
            self.socket.sendall(response)
        except OSError as ex:
            if ex.errno not in self.ignored_socket_errors:
                raise
        if not self.time_finish:
            self.time_finish = time.time()
        self.log_request()

    def _end(self):
        sock, rfile = self.socket, self.rfile
        self.socket = None
        if sock is not None:
            # Unread input would turn the end into a reset, and the client
            # might not see the response.
            raw = getattr(sock, "_sock", None)
            try:
                if raw is not None:
                    raw.settimeout(0)
                    raw.recv(_DRAIN_SIZE)
            except (OSError, ValueError):
                pass
            sock.close()
        try:
            rfile.close()
        except OSError:
            pass
        # Handlers tend to be part of cycles.
        for name in ("socket", "rfile", "environ", "wsgi_input"):
            self.__dict__.pop(name, None)

    # Request

    def read_requestline(self):
        """The first line of a request, as text; empty at the end."""
        return self.rfile.readline(MAX_REQUEST_LINE).decode("latin-1")

    def handle_one_request(self):
        """Read a request and answer it.

        Returns True if another may follow, None if not, or a status and a
        whole response (bytes) for what is no request.
        """
        if self.rfile.closed:
            return None
        try:
            self.requestline = line = self.read_requestline()
        except OSError:  # the client has gone
            return None
        if not line:
            return None
        self.response_length = 0
        self.status = self._orig_status = None
        if len(line) >= MAX_REQUEST_LINE:
            return "414", _REQUEST_TOO_LONG_RESPONSE
        try:
            if not self.read_request(line):
                return "400", _BAD_REQUEST_RESPONSE
        except OSError as ex:
            if ex.errno in self.ignored_socket_errors:
                return None
            self._handle_client_error(ex)
            return "400", _BAD_REQUEST_RESPONSE
        except Exception as ex:
            self._handle_client_error(ex)
            return "400", _BAD_REQUEST_RESPONSE
        self.environ = self.get_environ()
        self.application = self.server.application
        self.handle_one_response()
        if (self.close_connection or self.connection_upgraded
                or self.rfile.closed):
            return None
        return True

    def read_request(self, raw_requestline):
        """Parse the first line and read the headers; true if all is well."""
        if not raw_requestline.endswith("\r\n"):
            raise _InvalidClientRequest(
                f"Request line without CRLF: {raw_requestline[:80]!r}")
        self.requestline = line = raw_requestline[:-2]
        self._read_request_line(line)
        self.headers = (self.MessageClass(self.rfile, 0)
                        if self.request_version != "HTTP/0.9"
                        else OldMessage())
        self.close_connection = self._is_last()
        self._find_body()
        return True

    def _read_request_line(self, line):
        words = line.split(" ")
        if _NOT_IN_LINE.search(line) or not 2 <= len(words) <= 3:
            raise _InvalidClientRequest(f"Invalid request line: {line!r}")
        self.command, self.path = words[:2]
        if not _TOKEN.fullmatch(self.command) or not self.path:
            raise _InvalidClientRequest(f"Invalid HTTP method: {line!r}")
        if len(words) == 2:
            if self.command != "GET":
                raise _InvalidClientRequest(
                    f"Expected GET method; got {line!r}")
            self.request_version = "HTTP/0.9"
            return
        version = _VERSION.fullmatch(words[2])
        if version is None or version[1] not in "01":
            raise _InvalidClientRequest(f"Invalid http version: {line!r}")
        self.request_version = words[2]

    def _is_last(self):
        """True if the client will not send another request."""
        tokens = _tokens(self.headers, "Connection")
        if self.request_version < "HTTP/1.1":
            return "keep-alive" not in tokens or "close" in tokens
        return "close" in tokens

    def _find_body(self):
        """Decide where the body ends, or refuse."""
        headers = self.headers
        if len(headers.get_all("Host", ())) > 1:
            raise _InvalidClientRequest("More than one Host")
        lengths = set(headers.get_all("Content-Length", ()))
        self.content_length = None
        self._chunked_request = False
        for length in lengths:
            if not _DIGITS.fullmatch(length):
                raise _InvalidClientRequest(
                    f"Invalid Content-Length: {length}")
            if self.content_length not in (None, int(length)):
                raise _InvalidClientRequest("Content-Lengths that differ")
            self.content_length = int(length)
        if self.content_length and self.command == "HEAD":
            raise _InvalidClientRequest("Unexpected Content-Length")
        codings = headers.get_all("Transfer-Encoding", ())
        if not codings:
            return
        if len(codings) > 1 or codings[0].lower() != "chunked":
            raise _InvalidClientRequest(
                f"Unsupported Transfer-Encoding: {codings}")
        if self.request_version != "HTTP/1.1":
            raise _InvalidClientRequest(
                f"Transfer-Encoding in {self.request_version}")
        if lengths:
            if self.server.strict:
                raise _InvalidClientRequest(
                    "Content-Length and Transfer-Encoding")
            self.close_connection = True
        self._chunked_request = True

    def _upgrade_requested(self):
        return (self.request_version == "HTTP/1.1"
                and "upgrade" in _tokens(self.headers, "Connection")
                and "Upgrade" in self.headers)

    def _make_input(self):
        body = self.content_length or self._chunked_request
        upgrade = self._upgrade_requested()
        if upgrade and not body and "websocket" in _tokens(
                self.headers, "Upgrade"):
            return self.rfile
        waits = (self.request_version == "HTTP/1.1"
                 and self.headers.get("Expect", "").lower() == "100-continue")
        kind = _UpgradableInput if upgrade else Input
        source = kind(self.rfile, self.content_length,
                      self.socket if waits and body else None,
                      self._chunked_request)
        if upgrade:
            source.handler = self
        return source

    def get_environ(self):
        """The environment of the request, a dict."""
        env = self.server.get_environ()
        env["REQUEST_METHOD"] = self.command
        path, _, query = self.path.partition("?")
        env["PATH_INFO"] = unquote_latin1(path)
        env["QUERY_STRING"] = query
        headers = self.headers
        if headers.typeheader is not None:
            env["CONTENT_TYPE"] = headers.typeheader
        if self.content_length is not None:
            env["CONTENT_LENGTH"] = str(self.content_length)
        env["SERVER_PROTOCOL"] = self.request_version
        address = self.client_address
        if isinstance(address, tuple):
            env["REMOTE_ADDR"] = str(address[0])
            env["REMOTE_PORT"] = str(address[1])
        for key, value in self._headers():
            if key in env:
                separator = "; " if key == "HTTP_COOKIE" else ","
                env[key] += separator + value
            else:
                env[key] = value
        self.wsgi_input = env["wsgi.input"] = self._make_input()
        env["wsgi.input_terminated"] = True
        return env

    def _headers(self):
        for name, value in self.headers.items():
            # An underscore would pass for the hyphen of another header.
            key = name.upper().replace("-", "_")
            if "_" not in name and key not in ("CONTENT_TYPE",
                                               "CONTENT_LENGTH"):
                yield "HTTP_" + key, value

    # Response

    def handle_one_response(self):
        """Run the application on `environ`, and log."""
        self.time_start = time.time()
        self.time_finish = 0
        self.status = self._orig_status = None
        self.response_headers = None
        self.code = None
        self.headers_sent = False
        self.result = None
        self.response_use_chunked = False
        self.connection_upgraded = False
        self.response_length = 0
        self._body_left = None
        try:
            self.run_application()
            self._discard_input()
        except _InvalidClientInput as ex:
            self._handle_client_error(ex)
            self._send_error_response_if_possible(400)
        except OSError as ex:
            if ex.errno in self.ignored_socket_errors:
                self.close_connection = True
            else:
                self.handle_error(*sys.exc_info())
        except BaseException:
            self.handle_error(*sys.exc_info())
        finally:
            self.time_finish = time.time()
            self.log_request()

    def _discard_input(self):
        discard = getattr(self.wsgi_input, "_discard", None)
        if discard is not None:
            discard()

    def run_application(self):
        """Call the application and send what it returns."""
        assert self.result is None
        try:
            self.result = self.application(self.environ, self.start_response)
            self.process_result()
        finally:
            close = getattr(self.result, "close", None)
            try:
                if close is not None:
                    close()
            finally:
                # It may hold much, and be part of a cycle.
                self.result = None

    def process_result(self):
        """Send all pieces of `result`, and the end of the body."""
        for data in self._pieces():
            if data:
                self.write(data)
        if self.status and not self.headers_sent:
            self.write(b"")
        if self.response_use_chunked:
            self._sendall(b"0\r\n\r\n")
        if self._body_left:
            # The client would take the next response for the rest.
            self.close_connection = True

    def _pieces(self):
        result = self.result
        if (type(result) in (list, tuple) and len(result) > 1
                and type(self).write is WSGIHandler.write
                and all(type(data) is bytes for data in result)
                and sum(map(len, result)) <= _JOIN_LIMIT):
            return (b"".join(result),)
        return result

    def start_response(self, status, headers, exc_info=None):
        """See WSGI; returns `write`.

        *status* and *headers* are text. Raises `ValueError` for line ends
        in them, and `ApplicationError` for a response that cannot be.
        """
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        code = int(status.split(" ", 1)[0])
        response_headers = [
            (_header_bytes(name, "name"), _header_bytes(value, "value"))
            for name, value in headers]
        status_bytes = _header_bytes(status, "status")
        connection = None
        self.provided_date = None
        self.provided_content_length = None
        for name, value in response_headers:
            name = name.lower()
            if name == b"date":
                self.provided_date = value
            elif name == b"content-length":
                self.provided_content_length = value
            elif name == b"connection":
                connection = value.lower()
        if (code in (204, 304)
                and self.provided_content_length not in (None, b"0")):
            raise self.ApplicationError(
                f"Invalid Content-Length for {code} response: "
                f"{self.provided_content_length!r} (must be absent or zero)")
        if connection is None:
            if self.request_version == "HTTP/1.0":
                response_headers.append(
                    (b"Connection", b"close" if self.close_connection
                     else b"keep-alive"))
        elif connection == b"close":
            self.close_connection = True
        self.status = status_bytes
        self._orig_status = status
        self.code = code
        self.response_headers = response_headers
        self.connection_upgraded = code == 101
        return self.write

    def finalize_headers(self):
        """Add to `response_headers` what the application left to us."""
        headers = self.response_headers
        if self.provided_date is None:
            headers.append((b"Date", format_date_time(time.time())))
        # Framing is the server's business.
        headers[:] = [header for header in headers
                      if header[0].lower() != b"transfer-encoding"]
        if self.code in (204, 304) or self.code == 101:
            return
        if self.provided_content_length is not None:
            return
        if isinstance(self.result, Sized):
            length = sum(map(len, self.result))
            headers.append((b"Content-Length", b"%d" % length))
            self.provided_content_length = b"%d" % length
        elif self.request_version == "HTTP/1.1":
            headers.append((b"Transfer-Encoding", b"chunked"))
            self.response_use_chunked = self.command != "HEAD"
        else:
            # The end of the connection is the end of the body.
            self.close_connection = True
            headers[:] = [
                (name, b"close" if name.lower() == b"connection" else value)
                for name, value in headers]

    def write(self, data):
        """Send a piece of the body (bytes), and the head before the first."""
        if self.headers_sent:
            self._sendall(self._framed(data))
            return
        if not self.status:
            raise self.ApplicationError(
                "The application did not call start_response()")
        if data and self.code in (204, 304):
            raise self.ApplicationError(
                f"The {self.code} response must have no body")
        self.finalize_headers()
        self._body_left = self._announced_length()
        head = [b"HTTP/1.1 ", self.status, b"\r\n"]
        for name, value in self.response_headers:
            head += name, b": ", value, b"\r\n"
        head.append(b"\r\n")
        body = self._framed(data)
        self.headers_sent = True
        if len(body) <= _JOIN_LIMIT:
            self._sendall(b"".join([*head, body]))
        else:
            self._sendall(b"".join(head))
            self._sendall(body)

    def _announced_length(self):
        length = self.provided_content_length
        if isinstance(length, bytes) and length.isdigit():
            return int(length)
        return None

    def _framed(self, data):
        """*data* as it is to be sent."""
        if not data:
            return b""
        if isinstance(data, str):
            raise TypeError("The body of a response is made of bytes")
        if self.command == "HEAD":
            self._body_left = None
            return b""
        if self.response_use_chunked:
            return b"%x\r\n%b\r\n" % (len(data), data)
        if self._body_left is not None:
            if len(data) > self._body_left:
                # It must not pass for the next response.
                self.close_connection = True
                data = data[:self._body_left]
            self._body_left -= len(data)
        return data

    def _sendall(self, data):
        if not data:
            return
        try:
            self.socket.sendall(data)
        except OSError as ex:
            self.status = "socket error: %s" % ex
            if self.code:
                # What the log shows is what the client might have seen.
                self._orig_status = self.status
            self.close_connection = True
            raise
        self.response_length += len(data)

    # Errors and logs

    def _handle_client_error(self, ex):
        if not isinstance(ex, (_InvalidClientInput, _InvalidClientRequest,
                               ValueError)):
            traceback.print_exc()
        self.log_error("Invalid request (from %s): %s",
                       self.client_address, ex)

    def handle_error(self, t, v, tb):
        """Report an error of the application; answer 500 if it is not too
        late for that."""
        if not issubclass(t, GreenletExit):
            context = self.environ
            if not isinstance(context, self.server.secure_environ_class):
                context = self.server.secure_environ_class(context or {})
            self.server.loop.handle_error(context, t, v, tb)
        self._send_error_response_if_possible(500)

    def _send_error_response_if_possible(self, error_code):
        if self.response_length or self.connection_upgraded:
            self.close_connection = True
            return
        status, headers, body = _ERRORS[error_code]
        self.headers_sent = False
        self.response_use_chunked = False
        self.result = (body,)
        try:
            self.start_response(status, list(headers))
            self.write(body)
        except OSError:
            pass
        finally:
            self.result = None
            self.close_connection = True

    def log_error(self, msg, *args):
        """Write a line to the server's `error_log`."""
        try:
            message = msg % args
        except Exception:
            message = f"{msg!r} {args!r}"
        try:
            self.server.error_log.write(f"{self.socket}: {message}\n")
        except Exception:
            traceback.print_exc()

    def log_request(self):
        """Write a line to the server's `log`."""
        self.server.log.write(self.format_request() + "\n")

    def format_request(self):
        """The line that `log_request` writes."""
        now = datetime.now().replace(microsecond=0)
        length = self.response_length or "-"
        seconds = (f"{self.time_finish - self.time_start:.6f}"
                   if self.time_finish else "-")
        address = self.client_address
        if isinstance(address, tuple):
            address = address[0]
        line = (self.requestline or "").rstrip("\r\n")
        status = self._orig_status or self.status or "000"
        if isinstance(status, bytes):
            status = status.decode("latin-1")
        return (f'{address or "-"} - - [{now}] "{line}" '
                f'{status.split()[0]} {length} {seconds}')


def _header_bytes(text, what):
    if not isinstance(text, str):
        raise TypeError(f"The {what} of a header or status must be text, "
                        f"not {text!r}")
    if _NOT_IN_LINE.search(text):
        raise ValueError(f"carriage return or newline in header {what}: "
                         f"{text!r}")
    return text.encode("latin-1")


def unquote_latin1(text):
    """*text* without percent escapes, each byte a character."""
    return unquote_to_bytes(text.encode("latin-1")).decode("latin-1")


# Logs

class _NoopLog:
    """Forgets what is written to it."""

    def write(self, *args, **kwargs):
        pass

    def flush(self):
        pass

    def writelines(self, *args, **kwargs):
        pass


class LoggingLogAdapter:
    """Lets a `logging.Logger` pass for a file; lines are logged at *level*.

    Has the attributes of the logger.
    """

    __slots__ = ("_logger", "_level")

    def __init__(self, logger, level=20):
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "_level", level)

    def write(self, msg):
        """Log *msg*."""
        self._logger.log(self._level, msg)

    def flush(self):
        """Nothing to do."""

    def writelines(self, lines):
        """Log each of *lines*."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._logger, name)

    def __setattr__(self, name, value):
        setattr(self._logger, name, value)

    def __delattr__(self, name):
        delattr(self._logger, name)


# Environments

class Environ(dict):
    """A dict that can be a WSGI environment; pickles as a plain dict."""

    __slots__ = ()

    def copy(self):
        """A shallow copy of the same class."""
        return self.__class__(self)

    def iteritems(self):
        """As `items`."""
        return self.items()

    def __reduce_ex__(self, proto):
        return dict, (), None, None, iter(self.items())


class SecureEnviron(Environ):
    """An environment that keeps its values out of logs.

    With `secure_repr` off it shows as a dict. Otherwise only the keys of
    `whitelist_keys` show; others are masked, or with `print_masked_keys`
    off counted.
    """

    default_secure_repr = True
    default_whitelist_keys = ()
    default_print_masked_keys = True

    __slots__ = ("secure_repr", "whitelist_keys", "print_masked_keys")

    def __getattr__(self, name):
        if name in SecureEnviron.__slots__:
            return getattr(type(self), "default_" + name)
        raise AttributeError(name)

    def __repr__(self):
        if not self.secure_repr:
            return dict.__repr__(self)
        if not self.whitelist_keys:
            return (f"<pywsgi.{type(self).__name__} dict "
                    f"(keys: {len(self)}) at {id(self)}>")
        if self.print_masked_keys:
            return repr({key: value if key in self.whitelist_keys
                         else "<MASKED>" for key, value in self.items()})
        shown = {key: value for key, value in self.items()
                 if key in self.whitelist_keys}
        hidden = len(self) - len(shown)
        if not hidden:
            return repr(shown)
        return f"{repr(shown)[:-1]}, (hidden keys: {hidden})}}"

    __str__ = __repr__


class WSGISecureEnviron(SecureEnviron):
    """The environment that error reports show."""

    default_whitelist_keys = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST")
    default_print_masked_keys = False


# Server

class WSGIServer(StreamServer):
    """Serves a WSGI *application*.

    *log* and *error_log* get a line a request and a line an error: files,
    loggers, None for nothing, ``'default'`` for standard error. *environ*
    is added to the environment of each request. The rest is as for
    `StreamServer`.
    """

    #: Serves a connection.
    handler_class = WSGIHandler

    log = None
    error_log = None

    #: Class of environments.
    environ_class = dict

    #: Class of environments in error reports.
    secure_environ_class = WSGISecureEnviron

    #: Refuse everything that RFC 9112 allows to refuse.
    strict = False

    base_env = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "gevent/%d.%d Python/%d.%d" % (
            gevent.version_info[:2] + sys.version_info[:2]),
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }

    def __init__(self, listener, application=None, backlog=None,
                 spawn="default", log="default", error_log="default",
                 handler_class=None, environ=None, **ssl_args):
        if handler_class is not None:
            self.handler_class = handler_class
        super().__init__(listener, backlog=backlog, spawn=spawn, **ssl_args)
        if application is not None:
            self.application = application
        self.log = _as_log(log, 20)
        self.error_log = _as_log(error_log, 40)
        self.set_environ(environ)
        self.set_max_accept()

    def set_environ(self, environ=None):
        """Begin each request with `base_env` and *environ*."""
        if environ is not None:
            self.environ = environ
        update = getattr(self, "environ", None)
        self.environ = self.environ_class(self.base_env)
        self.environ["wsgi.url_scheme"] = (
            "https" if self.ssl_enabled else "http")
        if update is not None:
            self.environ.update(update)
        if self.environ.get("wsgi.errors") is None:
            self.environ["wsgi.errors"] = (
                sys.stderr if self.error_log is None else self.error_log)

    def set_max_accept(self):
        """Leave connections to other processes, if there are any."""
        if self.environ.get("wsgi.multiprocess"):
            self.max_accept = 1

    def get_environ(self):
        """A new environment."""
        return self.environ_class(self.environ)

    def init_socket(self):
        """Bind and listen, if need be."""
        super().init_socket()
        self.update_environ()

    def update_environ(self):
        """Put the server's name and port into the environment."""
        address = self.address
        if isinstance(address, tuple):
            if "SERVER_NAME" not in self.environ:
                try:
                    name = socket.getfqdn(address[0])
                except OSError:
                    name = str(address[0])
                self.environ["SERVER_NAME"] = name
            self.environ.setdefault("SERVER_PORT", str(address[1]))
        else:
            self.environ.setdefault("SERVER_NAME", "")
            self.environ.setdefault("SERVER_PORT", "")

    def handle(self, sock, address):
        """Serve a connection."""
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # not TCP
            pass
        self.handler_class(sock, address, self).handle()


def _as_log(log, level):
    if log is None:
        return _NoopLog()
    if log == "default":
        return sys.stderr
    if hasattr(log, "write"):
        return log
    if hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    raise TypeError(f"Expected a file, a logger or None, got {log!r}")


def _main():
    import argparse
    import importlib
    parser = argparse.ArgumentParser()
    parser.add_argument("app", help="dotted name of WSGI app callable "
                                    "[module:callable]")
    parser.add_argument("-b", "--bind", help="The socket to bind",
                        default=":8080")
    options = parser.parse_args()
    module, _, name = options.app.partition(":")
    application = importlib.import_module(module)
    for part in (name or "app").split("."):
        application = getattr(application, part)
    WSGIServer(options.bind, application).serve_forever()


if __name__ == "__main__":
    _main()
