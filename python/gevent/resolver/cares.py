"""
The channel that the ``ares`` resolver asks name servers through, by callbacks.

`gevent.resolver.ares` is what programs use.
"""
import _socket

from greenlet import greenlet

from gevent._hub_local import get_hub
from libgcore import dns

__all__ = ['channel']

# Of c-ares's flags, those that say what is so anyway: aliases are looked at,
# EDNS is used, no server is made up.
_NEEDLESS_FLAGS = 0x40 | 0x100 | 0x200


class InvalidIP(ValueError):
    """What was to be a name server's address is none."""


class Result:
    """How a lookup ended, for a `channel`'s callbacks."""

    __slots__ = ('value', 'exception')

    def __init__(self, value=None, exception=None):
        self.value = value
        self.exception = exception

    def __repr__(self):
        if self.exception is not None:
            return 'Result(exception=%r)' % (self.exception,)
        return 'Result(value=%r)' % (self.value,)

    def successful(self) -> bool:
        """Whether there is a value."""
        return self.exception is None

    def get(self):
        """The value; raises the exception where there is one."""
        if self.exception is not None:
            raise self.exception
        return self.value


class ares_host_result(tuple):
    """``(name, aliases, addresses)``, and the addresses' family."""

    def __new__(cls, family, iterable):
        self = super().__new__(cls, iterable)
        self.family = family
        return self

    def __getnewargs__(self):
        return self.family, tuple(self)


class channel:
    """
    Name lookup for one loop.

    The methods named as in :mod:`socket` return at once; *callback* is called
    with a `Result` later.

    :param loop: a hub's loop.
    :param flags: a sum of c-ares's flags.
    :param timeout: seconds to wait for a server, at first.
    :param tries: how often to ask each server.
    :param ndots: names with so many dots are tried as they are, first.
    :param udp_port: of servers that are given without a port; *tcp_port* too.
    :param servers: addresses, a str (separated by commas) or several, each
        with a port if need be.
    :param options: others of `libgcore.dns.Resolver`. Answers are kept for
        their time to live, unless *cache* is false.
    :raise InvalidIP: if one of the servers is no address.
    :raise ValueError: if another option makes no sense.

    Numbers may be given as text.
    """

    def __init__(self, loop, flags=None, timeout=None, tries=None, ndots=None,
                 udp_port=None, tcp_port=None, servers=None, **options):
        self.loop = loop
        options.setdefault('cache', True)
        self._names = dns.Resolver(
            loop, flags=int(flags or 0) & ~_NEEDLESS_FLAGS,
            timeout=_number(float, timeout), tries=_number(int, tries),
            ndots=_number(int, ndots), udp_port=_number(int, udp_port),
            tcp_port=_number(int, tcp_port), **options)
        if servers is not None:
            self.set_servers(servers)

    def __repr__(self):
        return '<%s at 0x%x %s>' % (
            type(self).__name__, id(self),
            'destroyed' if self._names is None else self._names.servers)

    @property
    def names(self) -> dns.Resolver:
        """What does the work.

        :raise socket.gaierror: when the channel was destroyed.
        """
        if self._names is None:
            raise _socket.gaierror(_socket.EAI_FAIL,
                                   'the resolver has been closed')
        return self._names

    def destroy(self):
        """Give back the sockets; lookups that go on fail. Idempotent."""
        names, self._names = self._names, None
        if names is not None:
            names.close()

    def set_servers(self, servers=None):
        """Ask other name servers from now on; see *servers* above, or the
        system's where left out."""
        try:
            self.names.servers = servers
        except ValueError:
            raise InvalidIP(servers) from None

    def getaddrinfo(self, callback, name, service, family=0, type=0, proto=0,
                    flags=0):
        """See :func:`socket.getaddrinfo`."""
        _later(callback, self.names.getaddrinfo, name, service, family, type,
               proto, flags)

    def gethostbyname(self, callback, name, family=_socket.AF_INET):
        """Of a host an `ares_host_result`."""
        _later(callback, self._host, self.names.gethostbyname_ex, name, family)

    def gethostbyaddr(self, callback, addr):
        """Of an address an `ares_host_result`."""
        _later(callback, self._host, self.names.gethostbyaddr, addr)

    def getnameinfo(self, callback, sockaddr, flags):
        """See :func:`socket.getnameinfo`."""
        _later(callback, self.names.getnameinfo, sockaddr, flags)

    @staticmethod
    def _host(function, *args):
        found = function(*args)
        six = any(':' in address for address in found[2])
        return ares_host_result(_socket.AF_INET6 if six else _socket.AF_INET,
                                found)


def _number(kind, value):
    return None if value is None else kind(value)


def _later(callback, function, *args):
    def run():
        try:
            result = Result(function(*args))
        except Exception as ex:  # pylint:disable=broad-except
            result = Result(exception=ex)
        callback(result)

    hub = get_hub()
    hub.loop.run_callback(greenlet(run, hub).switch)
