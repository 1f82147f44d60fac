"""`wsgi.input`: the body of a request, as a file."""

from __future__ import annotations

import re
from time import monotonic

from gevent._pywsgi_request import MAX_HEADER_LINE, MAX_HEADERS, TOKEN
from gevent.timeout import Timeout

__all__ = ["Input", "InvalidInput", "TimedFile", "UpgradableInput"]

_MAX_CHUNK_DIGITS = 16
_MAX_CHUNK_EXTENSION = 8192
_MAX_TRAILERS = 65536
_DISCARD_SIZE = 65536
CONTINUE_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"

_HEX_DIGITS = re.compile(rb"[0-9A-Fa-f]+")
_NOT_IN_LINE = re.compile(rb"[\0-\x08\x0a-\x1f\x7f]")


class InvalidInput(OSError):
    """The body of a request is not what HTTP, or the server, allows.

    *status* is the status of the answer.
    """

    status = "400 Bad Request"


class BodyBrokenOff(InvalidInput, ConnectionResetError):
    """The client has gone before the body's end."""


class BodyTooLong(InvalidInput):
    """The body is longer than the server takes."""

    status = "413 Content Too Large"


class BodyTooSlow(InvalidInput):
    """The client does not send the body in time."""

    status = "408 Request Timeout"


class TimedFile:
    """Reads from *file*, but does not wait for ever.

    *timeout*: seconds that the next piece may take. *rate*: bytes a second
    that come on average while they are waited for, after `grace` seconds.
    Either may be None.
    """

    __slots__ = ("_file", "_timeout", "_rate", "_waited", "_received")

    grace = 5  # seconds

    def __init__(self, file, timeout, rate):
        self._file = file
        self._timeout = timeout
        self._rate = rate
        self._waited = 0  # seconds
        self._received = 0  # bytes

    def _seconds_left(self):
        if self._rate is None:
            return self._timeout
        left = max(0, self.grace + self._received / self._rate - self._waited)
        return left if self._timeout is None else min(left, self._timeout)

    def _timed(self, read, length):
        began = monotonic()
        with Timeout(self._seconds_left(), BodyTooSlow("Body too slow")):
            data = read(length)
        self._waited += monotonic() - began
        self._received += len(data)
        return data

    def read(self, length):
        """As `io.BufferedReader.read`."""
        pieces = []
        while length:
            data = self._timed(self._file.read1, length)
            if not data:
                break
            pieces.append(data)
            length -= len(data)
        return b"".join(pieces)

    def readline(self, limit):
        """As `io.BufferedReader.readline`."""
        return self._timed(self._file.readline, limit)


class Input:
    """`wsgi.input`: the body of a request, and no byte beyond it.

    *content_length* bytes of *rfile*, or what is there in chunks. *socket*
    is given if the client waits for leave to send; it gets it when reading
    begins.
    """

    __slots__ = ("rfile", "content_length", "socket", "position",
                 "chunked_input", "chunk_length", "send_100_continue_enabled",
                 "max_body", "_taken", "_failure")

    def __init__(self, rfile, content_length, socket=None,
                 chunked_input=False):
        self.rfile = rfile
        self.content_length = content_length or 0
        self.socket = socket
        self.position = 0
        self.chunked_input = chunked_input
        self.chunk_length = -1  # -1: at a chunk's head; 0: at the end
        self.send_100_continue_enabled = True
        self.max_body = None  # bytes that chunks may have together
        self._taken = 0  # of them, as announced
        self._failure = None

    def _invalid(self, message, kind=InvalidInput):
        self._failure = kind(message)
        return self._failure

    def _send_100_continue(self):
        if self.socket is not None:
            if self.send_100_continue_enabled:
                self.socket.sendall(CONTINUE_RESPONSE)
            self.socket = None

    def _discard(self):
        """Read what the application did not, so that the next request can
        be read; raise if there is no telling where that begins."""
        if isinstance(self._failure, BodyBrokenOff):
            return  # no request follows
        if self._failure is not None:  # and the application caught it
            raise self._failure
        if self.socket is not None:
            # It was not told to send the body, and need not.
            self.send_100_continue_enabled = False
        while self.read(_DISCARD_SIZE):
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
                f"{self.position}", BodyBrokenOff)
        return data

    # Chunked bodies

    def _line(self, limit, what):
        line = self.rfile.readline(limit)
        if not line.endswith(b"\r\n"):
            if not line.endswith(b"\n") and len(line) < limit:
                raise self._invalid("EOF before chunk end reached",
                                    BodyBrokenOff)
            raise self._invalid(f"{what} too long or without CRLF")
        line = line[:-2]
        if _NOT_IN_LINE.search(line):
            raise self._invalid(f"Control character in {what.lower()}")
        return line

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
        self._taken += self.chunk_length
        if self.max_body is not None and self._taken > self.max_body:
            raise self._invalid("Body too long", BodyTooLong)
        if not self.chunk_length:
            self._skip_trailers()
        return self.chunk_length

    def _skip_trailers(self):
        size = 0
        for _ in range(MAX_HEADERS + 1):
            line = self._line(MAX_HEADER_LINE, "Trailer")
            if not line:
                return
            size += len(line)
            name, colon, _ = line.decode("latin-1").partition(":")
            if not colon or not TOKEN.fullmatch(name):
                raise self._invalid(f"Bad trailer: {line[:80]!r}")
            if size > _MAX_TRAILERS:
                break
        raise self._invalid("Too many trailers")

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
                raise self._invalid("EOF before chunk end reached",
                                    BodyBrokenOff)
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
        if self._failure is not None:
            raise self._failure
        if self.chunked_input:
            return self._chunked_read(length)
        return self._do_read(length)

    def readline(self, size=None):
        """A line, or *size* bytes of it."""
        if self._failure is not None:
            raise self._failure
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


class UpgradableInput(Input):
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
