"""
The resolver that uses the system's functions, in threads of the hub's pool.

The answers are the system's in every respect. A lookup that a Timeout has
ended, or whose greenlet was killed, still occupies its thread until the system
gives up.
"""
import _socket

from gevent._hub_local import get_hub

__all__ = [
    'Resolver',
]


class Resolver:
    """The system's name lookup, in threads.

    :ivar pool: the thread pool of the hub.
    """

    def __init__(self, hub=None):
        hub = get_hub() if hub is None else hub
        self.pool = hub.threadpool
        # That a name is not known is nothing for the hub to report.
        expected = (_socket.gaierror, _socket.herror)
        if not set(expected) <= set(hub.NOT_ERROR):
            hub.NOT_ERROR += expected

    def __repr__(self):
        return '<%s.%s at 0x%x pool=%r>' % (
            type(self).__module__, type(self).__name__, id(self), self.pool)

    def close(self):
        """Nothing to do: the pool is the hub's."""

    def gethostbyname(self, *args):
        """See :func:`socket.gethostbyname`."""
        return self.pool.apply(_socket.gethostbyname, args)

    def gethostbyname_ex(self, *args):
        """See :func:`socket.gethostbyname_ex`."""
        return self.pool.apply(_socket.gethostbyname_ex, args)

    def getaddrinfo(self, *args, **kwargs):
        """See :func:`socket.getaddrinfo`."""
        return self.pool.apply(_socket.getaddrinfo, args, kwargs)

    def gethostbyaddr(self, *args, **kwargs):
        """See :func:`socket.gethostbyaddr`."""
        return self.pool.apply(_socket.gethostbyaddr, args, kwargs)

    def getnameinfo(self, *args, **kwargs):
        """See :func:`socket.getnameinfo`."""
        return self.pool.apply(_socket.getnameinfo, args, kwargs)
