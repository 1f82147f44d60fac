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

CONNECTED, NO_ANSWER = b'\x01', b'\x02'  # of `tcp_state`

_INTERNET = (__socket__.AF_INET, __socket__.AF_INET6)
_TCP_INFO = getattr(__socket__, 'TCP_INFO', None)
_TCP_PATIENCE = 127.0  # after which the kernel, too, has a connection time out

_lines = WeakValueDictionary()


def may_ask_again(sock):
    """Whether *sock*, about to connect, can take its request back: it would
    lose the port that it is bound to."""
    return sock.family in _INTERNET and sock.getsockname()[1] == 0


def tcp_state(sock):
    """The state of *sock*'s connection: of those below, another, or ``None``
    if it is not TCP, or the system does not say.

    The handshake with a listener of the same machine is over when connect()
    returns, if it has room.
    """
    if _TCP_INFO is None or sock.family not in _INTERNET:
        return None
    try:
        return sock.getsockopt(__socket__.IPPROTO_TCP, _TCP_INFO, 1)
    except OSError:
        return None


def is_on_this_machine(sock, address):
    """Whether *sock* is about to connect to an *address* of this machine."""
    return sock.getsockname()[0] == address[0]


def patience(sock):
    """The seconds that connecting *sock* may take without a timeout, or
    ``None``."""
    return _TCP_PATIENCE if sock.family in _INTERNET else None


def line_for(address):
    """The lock whose owner is the first in this thread's line for *address*."""
    return _lines.setdefault((get_hub(), repr(address)), Semaphore())
