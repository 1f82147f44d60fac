"""The header by which a proxy tells who its client is (PROXY protocol 1, 2).

It precedes everything else on a connection, TLS included. Not one byte more
than it is read.
"""

from __future__ import annotations

import ipaddress
import re
import socket as __socket__
import struct
from functools import partial
from typing import NamedTuple

__all__ = ["ProxyHeader", "finish_header", "read_client_address"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_MAX_LINE = 107  # of version 1
_MAX_V2 = 4096  # bytes after the fixed part
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_KINDS = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}
_FAMILIES = {0x11: (__socket__.AF_INET, 4), 0x21: (__socket__.AF_INET6, 16)}


class ProxyHeader(NamedTuple):
    """What a header says: addresses, or None where it names none."""

    version: int
    client: tuple | None = None
    target: tuple | None = None


def read_client_address(sock, address):
    """Read the header from *sock*; the address of the client.

    It is *address*, the proxy's own, where the header names none: of its
    health checks. Raises `ValueError` for anything but a header and `OSError`
    as the socket does.
    """
    start = _exactly(sock, len(_SIGNATURE))
    if start == _SIGNATURE:
        header = _version_2(partial(_exactly, sock))
    elif start.startswith(b"PROXY "):
        header = _version_1(_rest_of_line(sock, start))
    else:
        raise ValueError(f"No PROXY header: {start!r}")
    return header.client or address


def finish_header(line, read):
    """A `ProxyHeader`, if *line* begins one, and None if not.

    *line* is the first line of a connection, bytes, and *read* reads exactly
    so many bytes that follow. Raises `ValueError` for a malformed header.
    """
    if line.startswith(b"PROXY "):
        return _version_1(line)
    if line != _SIGNATURE[:2]:
        return None
    if read(len(_SIGNATURE) - 2) != _SIGNATURE[2:]:
        raise ValueError("Empty line before a request")
    return _version_2(read)


def _exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ValueError("Connection closed within the PROXY header")
        data += piece
    return data


def _rest_of_line(sock, line):
    while not line.endswith(b"\n"):
        ahead = sock.recv(_MAX_LINE - len(line), __socket__.MSG_PEEK)
        end = ahead.find(b"\n") + 1 or len(ahead)
        line += _exactly(sock, end or 1)
        if len(line) >= _MAX_LINE and not line.endswith(b"\n"):
            raise ValueError("PROXY header too long")
    return line


def _version_1(line):
    if not line.endswith(b"\r\n") or len(line) > _MAX_LINE:
        raise ValueError(f"PROXY header without CRLF: {line[:80]!r}")
    words = line[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(1)
    if len(words) != 6 or words[1] not in _KINDS:
        raise ValueError(f"Bad PROXY header: {line!r}")
    _, kind, source, target, source_port, target_port = words
    return ProxyHeader(
        1, _address(str(_KINDS[kind](source)), _port(source_port)),
        _address(str(_KINDS[kind](target)), _port(target_port)))


def _port(text):
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError(f"Bad port in PROXY header: {text!r}")
    return int(text)


def _address(host, port):
    return (host, port, 0, 0) if ":" in host else (host, port)


def _version_2(read):
    command, family, length = struct.unpack("!BBH", read(4))
    if command not in (0x20, 0x21) or length > _MAX_V2:
        raise ValueError("Bad PROXY header of version 2")
    data = read(length)
    if command == 0x20 or family not in _FAMILIES:
        # The proxy speaks for itself, or for what has no such address.
        return ProxyHeader(2)
    kind, width = _FAMILIES[family]
    if length < 2 * width + 4:
        raise ValueError("PROXY header of version 2 too short")
    ports = struct.unpack("!HH", data[2 * width:2 * width + 4])
    return ProxyHeader(2, *(
        _address(__socket__.inet_ntop(kind, data[at * width:][:width]), port)
        for at, port in enumerate(ports)))
