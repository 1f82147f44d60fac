"""
Connecting to a listener of this machine whose backlog is full.

Greenlets connect many in a turn of the hub, and the listener, often one of the
same process, accepts when they have all begun. The kernel then drops what its
backlog has no room for. A TCP client hears nothing of it: it asks again after
1, 2, 4, ... seconds, or, where SYN cookies are in use, takes the connection for
made while the listener knows nothing of it. So a client that was dropped takes
its request back and tries again itself, as it has to with a Unix socket, where
the kernel says that there is no room but never when there is.

Those who wait for room form a line, in which only the first one tries: each
listener is asked every few moments, however many there are.
"""
import socket as __socket__
from weakref import WeakValueDictionary

from gevent._hub_local import get_hub_noargs as get_hub
from gevent._semaphore import Semaphore

_INTERNET = (__socket__.AF_INET, __socket__.AF_INET6)
_TCP_INFO = getattr(__socket__, 'TCP_INFO', None)
_SYN_SENT = b'\x02'  # the state, with which TCP_INFO begins
_TCP_PATIENCE = 127.0  # after which the kernel, too, has a connection time out

_lines = WeakValueDictionary()


def may_ask_again(sock):
    """Whether *sock*, about to connect, can take its request back: it would
    lose the port that it is bound to."""
    return (_TCP_INFO is not None and sock.family in _INTERNET
            and sock.getsockname()[1] == 0)


def is_dropped(sock, address):
    """Whether *sock*, which has just asked to connect to the internet address
    *address*, found a full backlog on this machine.

    The handshake with a listener that has room is over when connect() returns.
    """
    if sock.getsockname()[0] != address[0]:
        return False
    try:
        state = sock.getsockopt(__socket__.IPPROTO_TCP, _TCP_INFO, 1)
    except OSError:
        return False  # not TCP
    return state == _SYN_SENT


def patience(sock):
    """The seconds that connecting *sock* may take without a timeout, or
    ``None``."""
    return _TCP_PATIENCE if sock.family in _INTERNET else None


def line_for(address):
    """The lock whose owner is the first in this thread's line for *address*."""
    return _lines.setdefault((get_hub(), repr(address)), Semaphore())
