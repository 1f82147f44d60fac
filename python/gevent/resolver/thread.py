"""
The resolver that uses the system's functions, in threads of the hub's pool.

The answers are the system's in every respect. A lookup that a Timeout has
ended, or whose greenlet was killed, still occupies its thread until the system
gives up.

What is an address already is converted at once, without a thread.
"""
import _socket

from gevent._hub_local import get_hub
from gevent.resolver._addresses import is_ipv4_addr, is_ipv6_addr

__all__ = [
    'Resolver',
]

_NUMERIC = _socket.NI_NUMERICHOST | _socket.NI_NUMERICSERV


def _is_address(host):
    return is_ipv4_addr(host) or is_ipv6_addr(host)


class Resolver:
    """The system's name lookup, in threads."""

    def __init__(self, hub=None):
        self._hub = get_hub() if hub is None else hub
        # That a name is not known is nothing for the hub to report.
        expected = (_socket.gaierror, _socket.herror)
        if not set(expected) <= set(self._hub.NOT_ERROR):
            self._hub.NOT_ERROR += expected

    @property
    def pool(self):
        """The thread pool of the hub."""
        return self._hub.threadpool

    def __repr__(self):
        return '<%s.%s at 0x%x pool=%r>' % (
            type(self).__module__, type(self).__name__, id(self),
            self._hub._threadpool)

    def close(self):
        """Nothing to do: the pool is the hub's."""

    def gethostbyname(self, *args):
        """See :func:`socket.gethostbyname`."""
        if len(args) == 1 and is_ipv4_addr(args[0]):
            return _socket.gethostbyname(*args)
        return self.pool.apply(_socket.gethostbyname, args)

    def gethostbyname_ex(self, *args):
        """See :func:`socket.gethostbyname_ex`."""
        return self.pool.apply(_socket.gethostbyname_ex, args)

    def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        """See :func:`socket.getaddrinfo`."""
        args = host, port, family, type, proto, flags
        if (port is None or isinstance(port, int)) and _is_address(host):
            return _socket.getaddrinfo(*args)
        return self.pool.apply(_socket.getaddrinfo, args)

    def gethostbyaddr(self, *args, **kwargs):
        """See :func:`socket.gethostbyaddr`."""
        return self.pool.apply(_socket.gethostbyaddr, args, kwargs)

    def getnameinfo(self, sockaddr, flags):
        """See :func:`socket.getnameinfo`."""
        if (isinstance(flags, int) and flags & _NUMERIC == _NUMERIC
                and isinstance(sockaddr, tuple) and sockaddr
                and _is_address(sockaddr[0])):
            return _socket.getnameinfo(sockaddr, flags)
        return self.pool.apply(_socket.getnameinfo, (sockaddr, flags))
