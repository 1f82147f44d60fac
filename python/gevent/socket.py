"""
Cooperative low-level networking interface.

This module provides socket operations and some related functions, with the
API of the standard :mod:`socket` module. Operations that would block let
other greenlets run until they can be done.
"""
import sys

from gevent import _socketcommon
from gevent._socket3 import *  # noqa: F401,F403
from gevent._socket3 import (
    SocketIO, _closedsocket, _realsocket, _socket, _wrefsocket,
)
from gevent._socketcommon import (
    SocketMixin, __dns__, __extensions__, __imports__, __socket__,
    _resolve_addr, cancel_wait_ex, get_hub, timeout_default, wait,
)
from gevent._util import copy_globals

_GLOBAL_DEFAULT_TIMEOUT = __socket__._GLOBAL_DEFAULT_TIMEOUT

__implements__ = _socketcommon._implements
__all__ = __implements__ + __extensions__ + __imports__


def create_connection(address, timeout=_GLOBAL_DEFAULT_TIMEOUT,
                      source_address=None, *, all_errors=False):
    """Connect to *address*, ``(host, port)``, and return the socket.

    Every address of the host is tried in turn.

    :param timeout: seconds (float), ``None`` for no limit; left out, the
        default timeout.
    :param source_address: ``(host, port)`` to connect from.
    :param all_errors: raise all the errors, in an ExceptionGroup (Python 3.11
        and later), and not only the last.
    :raise OSError: if no address accepts the connection.
    """
    host, port = address
    errors = []
    all_errors = all_errors and sys.version_info >= (3, 11)
    try:
        for family, kind, proto, _, where in getaddrinfo(
                host, port, 0, SOCK_STREAM):
            try:
                return _connected(socket(family, kind, proto), where, timeout,
                                  source_address)
            except error as ex:
                if not all_errors:
                    errors.clear()
                errors.append(ex)
        if not errors:
            raise error('getaddrinfo returns an empty list')
        if all_errors:
            raise ExceptionGroup('create_connection failed', list(errors))
        raise errors[0]
    finally:
        errors.clear()  # an exception refers to this frame


def _connected(sock, address, timeout, source_address):
    # Whatever goes wrong (a Timeout, a kill), the socket does not stay open.
    try:
        if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
            sock.settimeout(timeout)
        if source_address:
            sock.bind(source_address)
        sock.connect(address)
    except BaseException:
        sock.close()
        raise
    return sock


# What the standard module has beside its __all__ (EWOULDBLOCK, AddressInfo).
copy_globals(__socket__, globals(), names_to_ignore=set(globals()))
