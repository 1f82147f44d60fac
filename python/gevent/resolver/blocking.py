"""
The resolver that blocks: the system's functions, called where they are needed.

While one of them waits for an answer no greenlet runs, and a `gevent.Timeout`
does not end it.
"""
import _socket

__all__ = [
    'Resolver',
]


class Resolver:
    """The system's name lookup, as it is."""

    def __init__(self, hub=None):
        """Takes *hub* as the other resolvers do."""

    def close(self):
        """Nothing to do."""

    gethostbyname = staticmethod(_socket.gethostbyname)
    gethostbyname_ex = staticmethod(_socket.gethostbyname_ex)
    getaddrinfo = staticmethod(_socket.getaddrinfo)
    gethostbyaddr = staticmethod(_socket.gethostbyaddr)
    getnameinfo = staticmethod(_socket.getnameinfo)
