"""Telling addresses from names."""
import _socket

from gevent._compat import hostname_types

__all__ = [
    'AddressSyntaxError',
    'is_ipv4_addr',
    'is_ipv6_addr',
]


class AddressSyntaxError(ValueError):
    """A text that is no address."""


def _text(host):
    if not isinstance(host, hostname_types):
        return None
    if isinstance(host, str):
        return host
    try:
        return bytes(host).decode('ascii')
    except UnicodeDecodeError:
        return None


def _is_address(family, text):
    if not text:
        return False
    try:
        _socket.inet_pton(family, text)
    except (OSError, ValueError):  # ValueError: a null character
        return False
    return True


def is_ipv4_addr(host) -> bool:
    """Whether *host* (str or bytes) is an IPv4 address in four parts."""
    return _is_address(_socket.AF_INET, _text(host))


def is_ipv6_addr(host) -> bool:
    """Whether *host* (str or bytes) is an IPv6 address, maybe with a scope."""
    text = _text(host)
    return text is not None and _is_address(_socket.AF_INET6,
                                            text.partition('%')[0])
