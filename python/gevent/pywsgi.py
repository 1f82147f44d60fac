"""A WSGI server.

Where nothing asks for the methods of a handler, the engine reads requests, and
greenlets run the application on them: see `_pywsgi_engine`. Else one greenlet
serves one connection by a `WSGIHandler`, whose methods may be overridden. The
head of a response goes out together with the first piece of its body. Where a
request ends is decided for handlers in `_pywsgi_request` and `_pywsgi_input`;
what is not a request is answered, and the connection closed.
"""

from __future__ import annotations

import errno
import os
import sys
import time
import traceback
import weakref
from collections.abc import Sized
from contextlib import nullcontext
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from ssl import SSLEOFError, SSLZeroReturnError
from urllib.parse import unquote_to_bytes

import gevent
from gevent import _pywsgi_engine as _engine
from gevent import socket
from gevent._pywsgi_file import FileWrapper
from gevent._pywsgi_input import (CONTINUE_RESPONSE, Input, InvalidInput,
                                  TimedFile, UpgradableInput)
from gevent._pywsgi_log import (METRICS_TYPE, AccessFormat, LoggingLogAdapter,
                                Metrics, NoopLog, as_log)
from gevent._pywsgi_request import (MAX_HEADERS, MAX_REQUEST_LINE,
                                    NOT_IN_LINE, InvalidRequest, OldMessage,
                                    body_framing, headers_factory,
                                    parse_request_line, tokens)
from gevent.event import Event
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

_JOIN_LIMIT = 1 << 16  # bytes of body that are joined with the head
_CHUNK_LIMIT = 1 << 18  # bytes of a chunk: it is copied, and may wait long
_DRAIN_SIZE = 1 << 16
_LOOK_AFTER = 1  # seconds: whether a closed server's connections have ended

_NO_LIMIT = nullcontext()
_INTERNAL_ERROR_BODY = b"Internal Server Error"

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


def _within(seconds, error):
    """A context: *error* is raised in it after *seconds*, unless None."""
    return _NO_LIMIT if seconds is None else gevent.Timeout(seconds, error)


class _HeadTooSlow(InvalidRequest):
    """The head of a request did not come in time."""

    def __init__(self):
        super().__init__("Head not complete in time", "408 Request Timeout")


def _refusal(status):
    """The whole response to what is no request."""
    return (f"HTTP/1.1 {status}\r\nConnection: close\r\n"
            "Content-length: 0\r\n\r\n").encode("latin-1")


# Names that programs find here.
_InvalidClientInput = InvalidInput
_InvalidClientRequest = InvalidRequest
_BAD_REQUEST_RESPONSE = _refusal("400 Bad Request")
_REQUEST_TOO_LONG_RESPONSE = _refusal("414 Request URI Too Long")
_CONTINUE_RESPONSE = CONTINUE_RESPONSE
_NoopLog = NoopLog


def _error_response(status):
    """`(status, headers, body)` of the answer to a request that failed."""
    body = _INTERNAL_ERROR_BODY if status.startswith("500") else b""
    return status, [("Content-Type", "text/plain"), ("Connection", "close"),
                    ("Content-Length", str(len(body)))], body


class WSGIHandler:
    """Serves the requests of one connection.

    *sock* is the connection, *address* the client's, *server* a
    `WSGIServer`; *rfile* a binary file to read from instead of *sock*.
    """

    protocol_version = "HTTP/1.1"

    def MessageClass(self, *args):
        """Read the headers of a request."""
        return headers_factory(*args, max_headers=self.server.max_headers,
                               max_bytes=self.server.max_header_bytes)

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
    _is_whole = True  # what was sent, as far as the server knows
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
    _is_last = False  # whatever the client says

    #: True between requests.
    waiting = False

    #: Not worth a word: the client has gone.
    ignored_socket_errors = (errno.EPIPE, errno.ECONNRESET)

    #: Raised when an application breaks the rules of WSGI.
    ApplicationError = AssertionError

    def __init__(self, sock, address, server, rfile=None):
        self.socket = sock
        self.client_address = address
        self.server = server
        self.rfile = sock.makefile("rb", -1) if rfile is None else rfile

    def _tells_of_the_end(self, ex):
        """Whether *ex*, an `OSError`, says that the client has gone."""
        return (ex.errno in self.ignored_socket_errors
                or isinstance(ex, (SSLEOFError, SSLZeroReturnError)))

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
                if self.server.draining:
                    break
        finally:
            self._end()

    def _refuse(self, status, response):
        """Answer what was not even a request."""
        self.status = self._orig_status = status
        self.code = int(status[:3])
        self.response_length = 0
        try:
            self.socket.sendall(response)
        except OSError as ex:
            if not self._tells_of_the_end(ex):
                raise
        if not self.time_finish:
            self.time_finish = time.time()
        self._count()
        self.log_request()

    def _end(self):
        sock, rfile = self.socket, self.rfile
        self.socket = None
        if sock is not None:
            raw = getattr(sock, "_sock", None)
            if raw is not None:
                _end_politely(sock, raw, self._is_whole)
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
        line = self.rfile.readline(self.server.max_request_line)
        return line.decode("latin-1")

    def _await_request(self):
        """Wait for the first byte of a request; false at the end."""
        peek = getattr(self.rfile, "peek", None)
        if peek is None:
            return True
        self.waiting = True
        try:
            with _within(self.server.idle_timeout, False):
                return bool(peek(1))
        finally:
            self.waiting = False
        return False

    def handle_one_request(self):
        """Read a request and answer it.

        Returns True if another may follow, None if not, or a status and a
        whole response (bytes) for what is no request.
        """
        if self.rfile.closed:
            return None
        try:
            if not self._await_request():
                return None
        except OSError:  # the client has gone
            return None
        self.response_length = 0
        self.status = self._orig_status = None
        with _within(self.server.header_timeout, _HeadTooSlow):
            refused = self._read_head()
        if refused is not True:
            return refused
        self.environ = self.get_environ()
        self.application = self.server.application_for(self.environ)
        self.handle_one_response()
        if (self.close_connection or self.connection_upgraded
                or self.rfile.closed):
            return None
        return True

    def _read_head(self):
        """Read the head of a request: as `handle_one_request`."""
        try:
            self.requestline = line = self.read_requestline()
            if not line:
                return None
            if len(line) >= self.server.max_request_line:
                return self._refused("414 Request URI Too Long")
            if self.read_request(line):
                return True
        except InvalidRequest as ex:
            self._handle_client_error(ex)
            return self._refused(ex.status)
        except OSError as ex:
            if self.requestline is None or self._tells_of_the_end(ex):
                return None
            self._handle_client_error(ex)
        except Exception as ex:
            self._handle_client_error(ex)
        return self._refused("400 Bad Request")

    @staticmethod
    def _refused(status):
        return status, _refusal(status)

    def read_request(self, raw_requestline):
        """Parse the first line and read the headers; true if all is well.
        Raises `ValueError` for what is no request, with its `status`."""
        if not raw_requestline.endswith("\r\n"):
            raise InvalidRequest(
                f"Request line without CRLF: {raw_requestline[:80]!r}")
        self.requestline = line = raw_requestline[:-2]
        self.command, self.path, self.request_version = (
            parse_request_line(line))
        self.headers = (self.MessageClass(self.rfile, 0)
                        if self.request_version != "HTTP/0.9"
                        else OldMessage())
        self.content_length, self._chunked_request, self._is_last = (
            body_framing(self.command, self.request_version, self.headers,
                         self.server.strict))
        self.close_connection = self._is_last or self._client_closes()
        limit = self.server.max_body
        if limit is not None and (self.content_length or 0) > limit:
            raise InvalidRequest("Body too long", "413 Content Too Large")
        return True

    def _client_closes(self):
        """True if the client will not send another request."""
        options = tokens(self.headers, "Connection")
        if self.request_version < "HTTP/1.1":
            return "keep-alive" not in options or "close" in options
        return "close" in options

    def _upgrade_requested(self):
        return (self.request_version == "HTTP/1.1"
                and "upgrade" in tokens(self.headers, "Connection")
                and "Upgrade" in self.headers)

    def _make_input(self):
        body = self.content_length or self._chunked_request
        upgrade = self._upgrade_requested()
        if upgrade and not body and "websocket" in tokens(
                self.headers, "Upgrade"):
            return self.rfile
        waits = (self.request_version == "HTTP/1.1"
                 and self.headers.get("Expect", "").lower() == "100-continue")
        kind = UpgradableInput if upgrade else Input
        source = kind(self._body_file(), self.content_length,
                      self.socket if waits and body else None,
                      self._chunked_request)
        source.max_body = self.server.max_body
        if upgrade:
            source.handler = self
        return source

    def _body_file(self):
        server = self.server
        if server.body_timeout is None and server.min_body_rate is None:
            return self.rfile
        return TimedFile(self.rfile, server.body_timeout, server.min_body_rate)

    def get_environ(self):
        """The environment of the request, a dict."""
        env = self.server.get_environ()
        env["REQUEST_METHOD"] = self.command
        path, _, query = self.path.partition("?")
        env["PATH_INFO"] = unquote_latin1(path)
        env["QUERY_STRING"] = query
        if "RAW_URI" in env:  # whoever put it there wants to know
            env["RAW_URI"] = self.path
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
        # What follows a request to upgrade has no end of its own.
        env["wsgi.input_terminated"] = not self._upgrade_requested()
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
        self._is_whole = False
        try:
            self.run_application()
            self._is_whole = not self._body_left
            self._discard_input()
        except InvalidInput as ex:
            self._handle_client_error(ex)
            self._send_error_response_if_possible(ex.status)
        except OSError as ex:
            if self._tells_of_the_end(ex):
                self.close_connection = True
            else:
                self.handle_error(*sys.exc_info())
        except BaseException:
            self.handle_error(*sys.exc_info())
        finally:
            self.time_finish = time.time()
            self._count()
            self.log_request()

    def _count(self):
        metrics = self.server.metrics
        if metrics is not None:
            metrics.request(self.code or 0, self.response_length,
                            self.time_finish - self.time_start)

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
        file = self._file_part()
        if file is not None:
            self.write(b"")
            self._send_file(*file)
        else:
            for data in self._pieces():
                if data:
                    self.write(data)
        if self.status and not self.headers_sent:
            self.write(b"")
        if self.response_use_chunked:
            self._sendall(b"0\r\n\r\n")
        if self._body_left or not (self.status or self.headers_sent):
            # The client would take the next response for the rest, or for
            # this one.
            self.close_connection = True

    def _pieces(self):
        result = self.result
        if (type(result) in (list, tuple) and len(result) > 1
                and type(self).write is WSGIHandler.write
                and all(type(data) is bytes for data in result)
                and sum(map(len, result)) <= _JOIN_LIMIT):
            return (b"".join(result),)
        return result

    def _file_part(self):
        """Of the result, if `sendfile` may send it; or None."""
        if (type(self.result) is FileWrapper and not self.headers_sent
                and self.status and self.code not in (204, 304)
                and type(self.socket) is socket.socket
                and type(self).write is WSGIHandler.write):
            return self.result.part()
        return None

    def _send_file(self, fd, offset, count):
        if self.command == "HEAD":
            self._body_left = None
            return
        if self._body_left is not None:
            count = min(count, self._body_left)
        try:
            for sent in _sendfile(self.socket, fd, offset, count,
                                  self.server.send_timeout):
                self.response_length += sent
                if self._body_left is not None:
                    self._body_left -= sent
        except OSError as ex:
            self._sending_failed(ex)
            raise

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
        status_bytes = _header_bytes(status, "status")
        code = int(status.split(" ", 1)[0])
        response_headers = [
            (_header_bytes(name, "name"), _header_bytes(value, "value"))
            for name, value in headers]
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
            elif self._is_last or self.server.draining:
                self.close_connection = True
                response_headers.append((b"Connection", b"close"))
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
        length = self._result_length()
        if length is not None:
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

    def _result_length(self):
        """Bytes of the whole result, or None."""
        if isinstance(self.result, Sized):
            pieces = iter(self.result)
            if pieces is self.result:  # it gives them only once
                return None
            return sum(map(len, pieces))
        file = self._file_part()
        return None if file is None else file[2]

    def write(self, data):
        """Send a piece of the body (bytes), and the head before the first."""
        if self.headers_sent:
            self._send_body(data)
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
        data, rest = self._split(data)
        body = self._framed(data)
        self.headers_sent = True
        if isinstance(self.wsgi_input, Input):
            # "100 Continue" would pass for a piece of the body.
            self.wsgi_input.send_100_continue_enabled = False
        if len(body) <= _JOIN_LIMIT:
            self._sendall(b"".join([*head, body]))
        else:
            self._sendall(b"".join(head))
            self._sendall(body)
        self._send_body(rest)

    def _send_body(self, data):
        while data:
            data, rest = self._split(data)
            self._sendall(self._framed(data))
            data = rest

    def _split(self, data):
        """What of *data* is one chunk, and the rest."""
        if (not self.response_use_chunked or isinstance(data, str)
                or len(data) <= _CHUNK_LIMIT):
            return data, b""
        view = memoryview(data)
        return view[:_CHUNK_LIMIT], view[_CHUNK_LIMIT:]

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
            if self.server.send_timeout is None:
                self.socket.sendall(data)
            else:
                _send_in_time(self.socket, data, self.server.send_timeout)
        except OSError as ex:
            self._sending_failed(ex)
            raise
        self.response_length += len(data)

    def _sending_failed(self, ex):
        self.status = "socket error: %s" % ex
        self.close_connection = True

    # Errors and logs

    def _handle_client_error(self, ex):
        if not isinstance(ex, (InvalidInput, InvalidRequest,
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
        self._send_error_response_if_possible("500 Internal Server Error")

    def _send_error_response_if_possible(self, status):
        if self.response_length or self.connection_upgraded:
            self.close_connection = True
            return
        status, headers, body = _error_response(status)
        self.headers_sent = False
        self.response_use_chunked = False
        self.result = (body,)
        try:
            self.start_response(status, headers)
            self.write(body)
            self._is_whole = True
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
        log = self.server.log
        if (type(log) is not NoopLog
                or type(self).format_request is not WSGIHandler.format_request):
            log.write(self.format_request() + "\n")

    def format_request(self):
        """The line that `log_request` writes."""
        form = self.server.access_log_format
        if form is not None:
            return form(self)
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


def _send_in_time(sock, data, seconds):
    """Send *data*; `TimeoutError` if the client takes none for *seconds*."""
    data = memoryview(data)
    while data:
        with gevent.Timeout(seconds, TimeoutError(
                errno.ETIMEDOUT, "The client does not read")):
            data = data[sock.send(data):]


def _sendfile(sock, fd, offset, count, seconds):
    """Send *count* bytes of a file, or what there is; yields how many each
    time. `TimeoutError` if the client takes none for *seconds*."""
    while count:
        try:
            sent = os.sendfile(sock.fileno(), fd, offset, count)
        except BlockingIOError:
            socket.wait_write(sock.fileno(), seconds, TimeoutError(
                errno.ETIMEDOUT, "The client does not read"))
            continue
        if not sent:
            return
        yield sent
        offset += sent
        count -= sent


def _header_bytes(text, what):
    if not isinstance(text, str):
        raise UnicodeError("A status, names and values of headers must be text; "
                           f"the {what} is {text!r}")
    if NOT_IN_LINE.search(text):
        raise ValueError(f"carriage return or newline in header {what}: "
                         f"{text!r}")
    return text.encode("latin-1")


def unquote_latin1(text):
    """*text* without percent escapes, each byte a character."""
    return unquote_to_bytes(text.encode("latin-1")).decode("latin-1")


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
    `StreamServer`; besides, these attributes may be given as arguments:
    `strict`, the limits and timeouts, `use_engine`, `access_log_format`,
    `metrics_path`. Raises `ValueError` for a limit that is not above 0.
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

    #: Bytes from which the first line of a request, its end included, is too
    #: long.
    max_request_line = MAX_REQUEST_LINE

    #: Headers that a request may have.
    max_headers = MAX_HEADERS

    #: Bytes that the headers of a request may have together, line ends
    #: included.
    max_header_bytes = None

    #: Bytes that the body of a request may have.
    max_body = None

    #: Seconds that a connection may wait for its next request.
    idle_timeout = None

    #: Seconds that a TLS handshake may take.
    handshake_timeout = None

    #: Seconds that the head of a request may take, from its first byte; on
    #: the engine the first one of a connection from when that was accepted,
    #: and where this is None, `idle_timeout`.
    header_timeout = None

    #: Seconds that the next piece of a body may take.
    body_timeout = None

    #: Bytes a second that a body must have on average while the application
    #: waits for it, after five seconds.
    min_body_rate = None

    #: Seconds for which a client may take nothing of a response.
    send_timeout = None

    #: Seconds that small pieces of a response which follow each other quickly
    #: may wait to be sent together; None or 0: each is sent at once. The
    #: engine's.
    coalesce = 0.0002

    #: Connections at a time; no more are accepted then. Not with a pool.
    max_connections = None

    #: How lines of `log` look: text as gunicorn takes it, see
    #: `_pywsgi_log.AccessFormat`; or a function of the handler.
    access_log_format = None

    #: Where counters are served, as Prometheus reads them.
    metrics_path = None

    #: The counters, if there is a `metrics_path`.
    metrics = None

    #: True once `drain` is called.
    draining = False

    #: Whether the engine may read requests. It does where nothing asks for
    #: the methods of a handler: neither they nor those of the server that
    #: deal with connections are overridden, and there is no pool, nor TLS
    #: after a PROXY header. Under TLS it takes over when the handshake is done.
    use_engine = True

    _http = None  # the engine's server

    #: By handler class, what does its work in the engine.
    _exchanges = {WSGIHandler: _engine.EngineHandler}

    #: More options of the engine.
    _engine_limits = {}

    #: Whether it refuses most with status 400, as upstream does.
    _plain_status = True

    #: Whether it takes PROXY headers, for a subclass to judge.
    _may_be_proxied = False

    _options = (
        "strict", "max_request_line", "max_headers", "max_header_bytes",
        "use_engine", "max_body", "handshake_timeout", "idle_timeout",
        "header_timeout", "body_timeout", "min_body_rate", "send_timeout",
        "coalesce", "max_connections", "access_log_format", "metrics_path")

    base_env = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "gevent/%d.%d Python/%d.%d" % (
            gevent.version_info[:2] + sys.version_info[:2]),
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }

    def __init__(self, listener, application=None, backlog=None,
                 spawn="default", log="default", error_log="default",
                 handler_class=None, environ=None, **ssl_args):
        if handler_class is not None:
            self.handler_class = handler_class
        self._connections = {}  # handler: greenlet
        self._handled = set()  # connections that count for their limit
        self._drained = Event()
        self._drained.set()
        for name in self._options:
            if name in ssl_args:
                setattr(self, name, ssl_args.pop(name))
        _check_limits(self)
        if isinstance(self.access_log_format, str):
            self.access_log_format = AccessFormat(self.access_log_format)
        if self.metrics_path is not None:
            self.metrics = Metrics()
        super().__init__(listener, backlog=backlog, spawn=spawn, **ssl_args)
        if application is not None:
            self.application = application
        self.log = as_log(log, 20)
        self.error_log = as_log(error_log, 40)
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
        self._serve_connection(self._handler_for(sock, address))

    def _handler_for(self, sock, address, file=None, _request=None):
        if file is None:
            return self.handler_class(sock, address, self)
        return self.handler_class(sock, address, self, file)

    def _serve_connection(self, handler):
        self._connections[handler] = gevent.getcurrent()
        try:
            handler.handle()
        finally:
            self._connections.pop(handler, None)

    # By the engine

    def _engine_serves(self):
        return (self.use_engine and _engine.AVAILABLE
                and self.handler_class in self._exchanges
                and self.pool is None
                and self._spawn in _USUAL_SPAWNS
                and self._handle == self._usual_handle()
                and not (self.ssl_enabled and self.proxy_protocol)
                and not _overridden(self)
                and vars(WSGIHandler) == _PLAIN_HANDLER)

    def start_accepting(self):
        """Take connections, as `BaseServer`, or have the engine do so."""
        if self._accepts_from is not None or self._watcher is not None:
            return
        if self.ssl_enabled or not self._engine_serves():
            super().start_accepting()
            return
        self._make_engine()
        fd = self.socket.fileno()
        self._http.listen(fd)
        self._accepts_from = fd

    # How many connections

    def full(self) -> bool:
        """True when there is no room for another connection."""
        return (self.max_connections is not None
                and self._count_connections() >= self.max_connections)

    def _count_connections(self):
        if self._http is None:
            return len(self._handled)
        return len(self._handled) + self._http.counters()["connections"]

    def _wait_for_room(self):
        super()._wait_for_room()
        self._lacks_room = True

    def _look_for_room(self):
        """Go on accepting, after a connection has ended."""
        if self._lacks_room and not self.full():
            self._lacks_room = False
            self._start_accepting_if_started()

    _lacks_room = False

    def do_handle(self, *args):
        """As `BaseServer.do_handle`."""
        if self.max_connections is not None:
            self._handled.add(args[0])
        super().do_handle(*args)

    def do_close(self, sock, *args):
        """Close the connection."""
        self._handled.discard(sock)
        super().do_close(sock, *args)
        self._look_for_room()

    def _make_engine(self):
        if self._http is None:
            self._http = _engine.HttpServer(
                self, self._exchanges[self.handler_class], self._is_plain(),
                **_engine.engine_options(self), **self._engine_limits)
            _with_engine.add(self)

    def wrap_socket_and_handle(self, client_socket, address):
        """Perform the TLS handshake, then serve the connection."""
        sock = None
        with _within(self.handshake_timeout, False):
            sock = self.wrap_socket(client_socket, **self.ssl_args)
        if sock is None:
            return None
        try:
            if (self.started and self._engine_serves()
                    and _engine.can_serve_tls(sock)):
                self._make_engine()
                _engine.serve_tls(self._http, sock, self._look_for_room)
                return None
        except BaseException:
            sock.close()
            raise
        with sock:
            return self.handle(sock, address)

    def __setattr__(self, name, value):
        # A program may assign methods while the server runs.
        super().__setattr__(name, value)
        if self._accepts_from is not None and name in _CONNECTION_NAMES:
            self.stop_accepting()
            self.start_accepting()
        elif self._http is not None and name == "get_environ":
            self._http.plain = self._is_plain()

    def stop_accepting(self):
        """Leave the listener alone; what arrives waits in its backlog."""
        super().stop_accepting()
        fd = self._accepts_from
        if fd is not None:
            self._accepts_from = None
            self._http.forget(fd)

    _accepts_from = None  # the descriptor of the listener, for the engine

    def close(self):
        """Close the listening socket; connections go on."""
        super().close()
        if self._http is not None and not self._end_engine():
            timer = self.loop.timer(_LOOK_AFTER, _LOOK_AFTER, ref=False)
            timer.start(self._end_engine_or_wait, timer)

    def _end_engine(self):
        """Close it if it has nothing to do; true if there is none left."""
        if self._http is not None and self._accepts_from is None and (
                not self._http.counters()["connections"]):
            self._http.close()
            self._http = None
        return self._http is None

    def _end_engine_or_wait(self, timer):
        if self._end_engine() or self._accepts_from is not None:
            timer.close()

    def _is_plain(self):
        """Whether environments and application are as set."""
        return (self.metrics_path is None
                and "get_environ" not in vars(self)
                and type(self).get_environ is WSGIServer.get_environ)

    def _start_work(self, work):
        """Have a greenlet answer what the engine has read."""
        if self._spawn is None:
            work()
        else:
            self._spawn(work)

    def _take_request(self, request):
        """What the engine has refused, or what asks for another protocol."""
        if request.reason is not None:
            _engine.RefusedRequest(self, request).handle()
        elif self._spawn is None:
            self._leave_engine(request)
        else:
            self._spawn(self._leave_engine, request)

    def _leave_engine(self, request):
        sock, address, file = _engine.leave_engine(request)
        try:
            self._serve_connection(
                self._handler_for(sock, address, file, request))
        finally:
            sock.close()

    def application_for(self, environ):
        """The application that answers a request."""
        if (self.metrics_path is not None
                and environ["PATH_INFO"] == self.metrics_path):
            return self._serve_metrics
        return self.application

    def _serve_metrics(self, _environ, start_response):
        start_response("200 OK", [("Content-Type", METRICS_TYPE)])
        connections = len(self._connections)
        if self._http is not None:
            connections += self._http.counters()["connections"]
        return [self.metrics.text(connections).encode()]

    def drain(self, timeout: float | None = None) -> int:
        """Stop gracefully; returns the number of connections cut.

        Nothing is accepted any more, connections without a request are
        closed, and the others after the response they are at. Those left
        after *timeout* seconds (None: however long it takes) are cut. Until
        then `serve_forever` waits, so that it may be a signal's handler.
        """
        self.draining = True
        self._drained.clear()
        try:
            return self._drain(timeout)
        finally:
            self._drained.set()

    def _wait_for_end(self):
        self._drained.wait()

    def _drain(self, timeout):
        self.close()
        end = None if timeout is None else time.monotonic() + timeout
        cut = self._drain_engine(timeout)
        if end is not None:
            timeout = max(0, end - time.monotonic())
        for handler, greenlet in list(self._connections.items()):
            if getattr(handler, "waiting", False):
                _end_waiting(handler.socket, greenlet)
        gevent.wait(list(self._connections.values()), timeout=timeout)
        left = list(self._connections.values())
        gevent.killall(left)
        return len(left) + cut

    def _drain_engine(self, timeout):
        if self._http is None:
            return 0
        engine, self._http = self._http, None
        try:
            engine.drain(timeout)
            return engine.counters()["connections"]
        finally:
            engine.close()


_LIMITS = (
    "max_request_line", "max_headers", "max_header_bytes", "max_body",
    "handshake_timeout", "idle_timeout", "header_timeout", "body_timeout",
    "min_body_rate", "send_timeout", "max_connections")
_ALWAYS_LIMITED = ("max_request_line", "max_headers")


def _check_limits(server):
    """Zero is no limit to some, and lets nothing pass to others: it is
    neither here."""
    for name in _LIMITS:
        value = getattr(server, name)
        if value is None and name not in _ALWAYS_LIMITED:
            continue
        if value is None or value <= 0:
            no_limit = ("" if name in _ALWAYS_LIMITED
                        else ", or None for no limit")
            raise ValueError(f"{name} is a number above 0{no_limit}; "
                             f"it is {value!r}")


#: Servers whose engine may have a thread, which a fork should not find.
_with_engine = weakref.WeakSet()


def _rest_before_fork():
    for server in list(_with_engine):
        if server._http is not None:
            server._http.rest()


os.register_at_fork(before=_rest_before_fork)

#: What `WSGIHandler` was made with: patches take effect.
_PLAIN_HANDLER = dict(vars(WSGIHandler))

_USUAL_SPAWNS = (WSGIServer._spawn, gevent.spawn, gevent.spawn_raw, None)
_CONNECTION_NAMES = frozenset((
    "handle", "_handle", "_spawn", "pool", "handler_class", "use_engine",
    "do_read", "do_handle", "do_close", "full"))
_CONNECTION_METHODS = (
    "handle", "do_read", "do_handle", "do_close", "_do_read", "full",
    "_serve_connection", "start_accepting", "stop_accepting",
    "wrap_socket_and_handle")


def _overridden(server):
    """Whether *server* or a class of it deals with connections."""
    return any(
        name in vars(server)
        or getattr(type(server), name) is not getattr(WSGIServer, name)
        for name in _CONNECTION_METHODS)


def _end_politely(sock, raw, is_whole):
    """Before *sock*, above *raw*, is closed: if the response is whole, have
    TLS say that no more comes, and take unread input away, which would turn
    the end into a reset, so that the client might not see the response."""
    try:
        raw.settimeout(0)
        tls = getattr(sock, "_sslobj", None)
        if tls is not None and is_whole:
            _engine.end_tls(tls)
        raw.recv(_DRAIN_SIZE)
    except (OSError, ValueError):
        pass


def _end_waiting(sock, greenlet):
    """Let *greenlet*, which reads from *sock*, find the end, after what has
    already come."""
    raw = getattr(sock, "_sock", sock)
    try:
        if hasattr(sock, "_sslobj") and not _has_input(raw):
            gevent.kill(greenlet)  # TLS would complain of an end so sudden
        else:
            raw.shutdown(socket.SHUT_RD)
    except OSError:  # the client was faster
        pass


def _has_input(raw):
    try:
        return bool(raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


def _main():
    import argparse
    import importlib
    parser = argparse.ArgumentParser()
    parser.add_argument("app", help="dotted name of WSGI app callable "
                                    "[module:callable]")
    parser.add_argument("-b", "--bind", default=":8080",
                        help="HOST:PORT, [IPV6]:PORT or :PORT, which is every "
                             "IPv4 address (default: %(default)s)")
    options = parser.parse_args()
    module, _, name = options.app.partition(":")
    application = importlib.import_module(module)
    for part in (name or "app").split("."):
        application = getattr(application, part)
    WSGIServer(options.bind, application).serve_forever()


if __name__ == "__main__":
    _main()
