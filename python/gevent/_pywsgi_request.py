"""The head of a request: its lines, its headers, and where its body ends.

Whatever two parties could understand differently is refused here and nowhere
else: two lengths that differ, a space before a colon, a line without a
carriage return, a transfer coding other than "chunked". Three things that many
programs send in spite of RFC 9112 pass unless the server is strict:
``Content-Length`` beside ``Transfer-Encoding: chunked`` (the chunks count),
HTTP/1.1 without ``Host``, and folded header lines. The connection ends after
the response to such a request.
"""

from __future__ import annotations

import re
from http import client

__all__ = ["OldMessage", "headers_factory"]

#: Limits on a head; a server may set others.
MAX_REQUEST_LINE = 8192
MAX_HEADER_LINE = 65536
MAX_HEADERS = 100

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NOT_IN_LINE = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
_VERSION = re.compile(r"HTTP/([01])\.([0-9])")
_DIGITS = re.compile(r"[0-9]+")
# What a name means is the application's business.
_HOST = re.compile(
    r"(?:[^\0- \x7f-\xff\"#,/<>?@\\^`{|}\[\]:]*"
    r"|\[[^\0- \x7f-\xff\"#,/<>?@\\^`{|}\[\]]*\])(?::[0-9]*)?")


class InvalidRequest(ValueError):
    """The head of a request is not what HTTP, or the server, allows.

    *status* is the status of the answer.
    """

    def __init__(self, message, status="400 Bad Request"):
        super().__init__(message)
        self.formatted_message = message
        self.status = status


# The first line

def parse_request_line(line):
    """`(method, target, version)`; the version is ``"HTTP/0.9"`` where there
    is none. *line* is text without its end."""
    words = line.split(" ")
    if NOT_IN_LINE.search(line) or "\t" in line or not 2 <= len(words) <= 3:
        raise InvalidRequest(f"Invalid request line: {line!r}")
    method, target = words[:2]
    if not TOKEN.fullmatch(method) or not target:
        raise InvalidRequest(f"Invalid HTTP method: {line!r}")
    if len(words) == 2:
        if method != "GET":
            raise InvalidRequest(f"Expected GET method; got {line!r}")
        return method, target, "HTTP/0.9"
    if _VERSION.fullmatch(words[2]) is None:
        raise InvalidRequest(f"Invalid http version: {line!r}")
    return method, target, words[2]


# Headers

class OldMessage(client.HTTPMessage):
    """The headers of a request."""

    #: Whether a header came in several lines.
    folded = False

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

    # As the base class's, which looks for encodings that there are not.

    def get_all(self, name, failobj=None):
        """The values of all headers *name*, or *failobj*."""
        name = name.lower()
        return [value for key, value in self._headers
                if key.lower() == name] or failobj

    def get(self, name, failobj=None):
        """The value of the first header *name*, or *failobj*."""
        name = name.lower()
        for key, value in self._headers:
            if key.lower() == name:
                return value
        return failobj

    @property
    def typeheader(self):
        """The value of Content-Type, or None."""
        return self.get("content-type")


def _header_lines(fp):
    """The lines of a head up to the empty one, without their ends."""
    while True:
        line = fp.readline(MAX_HEADER_LINE + 1)
        if len(line) > MAX_HEADER_LINE:
            raise InvalidRequest("Header line too long")
        if not line.endswith(b"\r\n"):
            raise InvalidRequest(
                f"Header line without CRLF: {line[:80]!r}" if line
                else "Connection closed within the headers")
        line = line[:-2].decode("latin-1")
        if not line:
            return
        if NOT_IN_LINE.search(line):
            raise InvalidRequest(
                f"Control character in header line: {line[:80]!r}")
        yield line


def headers_factory(fp, *_args, max_headers=MAX_HEADERS, max_bytes=None):
    """Read headers from the binary file *fp*; an `OldMessage`.

    Raises `ValueError` for anything that is not a list of headers, for more
    than *max_headers*, and for more than *max_bytes* of them.
    """
    fields = []
    folded = False
    size = 0
    for line in _header_lines(fp):
        size += len(line) + 2
        if max_bytes is not None and size > max_bytes:
            raise InvalidRequest("Headers too long",
                                 "431 Request Header Fields Too Large")
        if line[0] in " \t":
            if not fields:
                raise InvalidRequest("Folded line without a header")
            fields[-1][1] += " " + line.strip(" \t")
            folded = True
            continue
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name):
            raise InvalidRequest(f"Invalid header line: {line[:80]!r}")
        if len(fields) == max_headers:
            raise InvalidRequest(f"got more than {max_headers} headers")
        fields.append([name, value.strip(" \t")])
    message = OldMessage()
    message._headers = [(name, value.strip(" \t")) for name, value in fields]
    message.folded = folded
    return message


def tokens(message, name):
    """The comma-separated elements of all headers *name*, in lower case."""
    return [token.strip(" \t").lower()
            for value in message.get_all(name, ())
            for token in value.split(",")]


# Framing

def body_framing(method, version, headers, strict):
    """`(content_length, chunked, last)`: the announced length in bytes or
    None, whether the body comes in chunks, and whether the connection must
    end after the response."""
    # What follows a CONNECT is a tunnel's to whoever stands between.
    last = headers.folded or version == "HTTP/0.9" or method == "CONNECT"
    if headers.folded and strict:
        raise InvalidRequest("Folded header line")
    if not _has_host(headers) and version == "HTTP/1.1":
        if strict:
            raise InvalidRequest("HTTP/1.1 without Host")
        last = True
    length = _content_length(headers)
    if length and method == "HEAD":
        raise InvalidRequest("Unexpected Content-Length")
    chunked = _is_chunked(version, headers)
    if chunked and length is not None:
        if strict:
            raise InvalidRequest("Content-Length and Transfer-Encoding")
        last = True
    return length, chunked, last


def _has_host(headers):
    hosts = headers.get_all("Host", ())
    if len(hosts) > 1:
        raise InvalidRequest("More than one Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise InvalidRequest(f"Invalid Host: {hosts[0][:80]!r}")
    return bool(hosts)


def _content_length(headers):
    lengths = set(headers.get_all("Content-Length", ()))
    found = None
    for length in lengths:
        if not _DIGITS.fullmatch(length) or len(length) > 18:
            raise InvalidRequest(f"Invalid Content-Length: {length[:80]}")
        if found not in (None, int(length)):
            raise InvalidRequest("Content-Lengths that differ")
        found = int(length)
    return found


def _is_chunked(version, headers):
    codings = headers.get_all("Transfer-Encoding", ())
    if not codings:
        return False
    if len(codings) > 1 or codings[0].lower() != "chunked":
        raise InvalidRequest(f"Unsupported Transfer-Encoding: {codings}")
    if version != "HTTP/1.1":
        raise InvalidRequest(f"Transfer-Encoding in {version}")
    return True
