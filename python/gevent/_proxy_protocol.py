"""The header by which a proxy tells who its client is (PROXY protocol 1, 2).

It precedes everything else on a connection, TLS included. Not one byte more
than it is read.
"""

from __future__ import annotations

import ipaddress
import re
import socket as __socket__
import struct

__all__ = ["read_client_address"]

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_MAX_LINE = 107  # of version 1
_MAX_V2 = 4096  # bytes after the fixed part
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_KINDS = {"TCP4": ipaddress.IPv4Address, "TCP6": ipaddress.IPv6Address}


def read_client_address(sock, address):
    """Read the header from *sock*; the address of the client.

    It is *address*, the proxy's own, where the header names none: of its
    health checks. Raises `ValueError` for anything but a header and `OSError`
    as the socket does.
    """
    start = _exactly(sock, len(_SIGNATURE))
    if start == _SIGNATURE:
        return _version_2(sock, address)
    if start.startswith(b"PROXY "):
        return _version_1(_rest_of_line(sock, start), address)
    raise ValueError(f"No PROXY header: {start!r}")


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


def _version_1(line, address):
    if not line.endswith(b"\r\n"):
        raise ValueError(f"PROXY header without CRLF: {line!r}")
    words = line[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return address
    if len(words) != 6 or words[1] not in _KINDS:
        raise ValueError(f"Bad PROXY header: {line!r}")
    _, kind, source, target, source_port, target_port = words
    host = str(_KINDS[kind](source))
    _KINDS[kind](target)
    _port(target_port)
    return _address(host, _port(source_port))


def _port(text):
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError(f"Bad port in PROXY header: {text!r}")
    return int(text)


def _address(host, port):
    return (host, port, 0, 0) if ":" in host else (host, port)


def _version_2(sock, address):
    command, family, length = struct.unpack("!BBH", _exactly(sock, 4))
    if command not in (0x20, 0x21) or length > _MAX_V2:
        raise ValueError("Bad PROXY header of version 2")
    data = _exactly(sock, length)
    if command == 0x20:  # local: the proxy speaks for itself
        return address
    if family == 0x11 and length >= 12:
        host = __socket__.inet_ntop(__socket__.AF_INET, data[:4])
        return _address(host, struct.unpack("!H", data[8:10])[0])
    if family == 0x21 and length >= 36:
        host = __socket__.inet_ntop(__socket__.AF_INET6, data[:16])
        return _address(host, struct.unpack("!H", data[32:34])[0])
    if family in (0x11, 0x21):
        raise ValueError("PROXY header of version 2 too short")
    return address  # Unix sockets and what else has no such address
