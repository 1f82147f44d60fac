"""
Name lookup.

A resolver has the methods ``gethostbyname``, ``gethostbyname_ex``,
``getaddrinfo``, ``gethostbyaddr``, ``getnameinfo`` of the :mod:`socket` module,
and ``close``. ``GEVENT_RESOLVER`` chooses one; :attr:`gevent.hub.Hub.resolver`
is the hub's.
"""
import _socket
import functools
import sys

from gevent._compat import hostname_types
from gevent.resolver._addresses import is_ipv4_addr, is_ipv6_addr
from gevent.resolver._hostsfile import HostsFile

__all__ = ()

AF_INET = _socket.AF_INET
AF_INET6 = _socket.AF_INET6
AF_UNSPEC = _socket.AF_UNSPEC
AI_CANONNAME = _socket.AI_CANONNAME
AI_NUMERICHOST = _socket.AI_NUMERICHOST
EAI_FAMILY = _socket.EAI_FAMILY
EAI_NONAME = _socket.EAI_NONAME
NI_NAMEREQD = _socket.NI_NAMEREQD
NI_NUMERICHOST = _socket.NI_NUMERICHOST
gaierror = _socket.gaierror
herror = _socket.herror

_HOST_NOT_FOUND = 1

# Names that mean this machine, or no machine.
_SPECIAL_NAMES = frozenset([
    '', 'localhost', 'ip6-localhost', 'ip6-loopback', '<broadcast>'])


class AbstractResolver:
    """What resolvers that ask name servers themselves have in common.

    Addresses, the names of the hosts file and those that mean this machine are
    left to the system's functions, which do not wait for them. For the others
    a subclass provides `_lookup` and `_reverse`.
    """

    HOSTNAME_ENCODING = 'idna'

    if sys.platform == 'darwin':
        EAI_NONAME_MSG = 'nodename nor servname provided, or not known'
    else:
        EAI_NONAME_MSG = 'Name or service not known'
    EAI_FAMILY_MSG = 'ai_family not supported'

    _hosts = HostsFile()

    # For subclasses

    def _lookup(self, name: str, family: int):
        """Ask for the addresses of *name*, which is in ASCII.

        :return: ``(canonical name, [alias], [address])``, all of them str.
        :raise socket.gaierror: if there are none.
        """
        raise NotImplementedError

    def _reverse(self, address: str) -> list:
        """Ask for the names of *address*; none of them if it has none."""
        raise NotImplementedError

    # The functions of the socket module

    def close(self):
        """Free what the resolver holds."""

    @staticmethod
    def fixup_gaierror(func):
        """Decorates a method: its gaierror have the texts of the system's."""
        @functools.wraps(func)
        def resolve(self, *args, **kwargs):
            try:
                return func(self, *args, **kwargs)
            except gaierror as ex:
                code = ex.args[0] if ex.args else None
                if code == EAI_NONAME:
                    ex.args = (code, self.EAI_NONAME_MSG)
                elif code == EAI_FAMILY:
                    ex.args = (code, self.EAI_FAMILY_MSG)
                raise
        return resolve

    def gethostbyname(self, hostname, family=AF_INET):
        """The first address of *hostname*."""
        name = self._name(hostname)
        if name is None:
            return _socket.gethostbyname(hostname)
        return self._lookup(name, family)[2][0]

    def gethostbyname_ex(self, hostname, family=AF_INET):
        """``(name, aliases, addresses)`` of *hostname*."""
        name = self._name(hostname)
        if name is None:
            return _socket.gethostbyname_ex(hostname)
        return self._lookup(name, family)

    def getaddrinfo(self, host, port, family=0, socktype=0, proto=0, flags=0):
        """As :func:`socket.getaddrinfo`, without its enums."""
        name = None if host is None or flags & AI_NUMERICHOST else self._name(
            host)
        if name is None:
            return _socket.getaddrinfo(host, port, family, socktype, proto,
                                       flags)
        # The system knows families, services and kinds of sockets; what is
        # wrong with those is found before anybody is asked.
        if family not in (AF_UNSPEC, AF_INET, AF_INET6):
            raise gaierror(EAI_FAMILY, self.EAI_FAMILY_MSG)
        passed_on = AI_NUMERICHOST | flags & (
            _socket.AI_NUMERICSERV | _socket.AI_V4MAPPED)
        _socket.getaddrinfo('::1' if family == AF_INET6 else '127.0.0.1',
                            port, family, socktype, proto, passed_on)
        canonical, addresses = self._lookup_mapped(name, family, flags)
        found = []
        for address in addresses:
            found += _socket.getaddrinfo(address, port, family, socktype,
                                         proto, passed_on)
        if flags & AI_CANONNAME and found:
            first = found[0]
            found[0] = (*first[:3], canonical, first[4])
        return found

    def _lookup_mapped(self, name, family, flags):
        """The canonical name and the addresses, for AF_INET6 with IPv4 ones
        where *flags* ask for them."""
        if family != AF_INET6 or not flags & _socket.AI_V4MAPPED:
            canonical, _, addresses = self._lookup(name, family)
            return canonical, addresses
        canonical, _, addresses = self._lookup(name, AF_UNSPEC)
        own = [address for address in addresses if ':' in address]
        others = [address for address in addresses if ':' not in address]
        if flags & _socket.AI_ALL:
            return canonical, own + others
        return canonical, own or others

    def gethostbyaddr(self, ip_address):
        """``(name, aliases, addresses)`` of a host, by address or name."""
        name = self._name(ip_address, addresses_too=True)
        if name is None:
            return _socket.gethostbyaddr(ip_address)
        address = name if _is_address(name) else self._lookup(
            name, AF_UNSPEC)[2][0]
        names = self._reverse(address)
        if not names:
            raise herror(_HOST_NOT_FOUND, 'Unknown host')
        return names[0], names[1:], [address]

    def getnameinfo(self, sockaddr, flags):
        """``(host, service)`` of a socket address."""
        if not isinstance(sockaddr, tuple):
            raise TypeError('getnameinfo() argument 1 must be a tuple')
        if len(sockaddr) < 2 or not isinstance(sockaddr[0], str):
            return _socket.getnameinfo(sockaddr, flags)  # a TypeError
        name = self._name(sockaddr[0], addresses_too=True)
        if name is None or (flags & NI_NUMERICHOST and _is_address(name)):
            return _socket.getnameinfo(sockaddr, flags)
        if not _is_address(name):
            _, _, addresses = self._lookup(name, AF_UNSPEC)
            if len(addresses) > 1:
                raise OSError('sockaddr resolved to multiple addresses')
            sockaddr = (addresses[0], *sockaddr[1:])
        # Checks the arguments, and leaves only the host to be asked for.
        numeric, service = _socket.getnameinfo(
            sockaddr, (flags | NI_NUMERICHOST) & ~NI_NAMEREQD)
        if flags & NI_NUMERICHOST:
            return numeric, service
        names = self._reverse(numeric)
        if not names and flags & NI_NAMEREQD:
            raise gaierror(EAI_NONAME, self.EAI_NONAME_MSG)
        return (names[0] if names else numeric), service

    def _name(self, host, addresses_too=False):
        """*host* as a str to ask name servers for, in ASCII.

        ``None`` if the system is to answer: for an address (unless
        *addresses_too*), a special name, one of the hosts file.
        """
        if not isinstance(host, hostname_types):
            raise TypeError('Expected str, bytes or bytearray, not %s'
                            % (type(host).__name__,))
        if isinstance(host, str):
            name = host.encode(self.HOSTNAME_ENCODING).decode('ascii')
        else:
            name = bytes(host).decode('ascii')
        if _is_address(name):
            asked = (addresses_too and not _is_local(name)
                     and not self._hosts.has_address(name))
            return name if asked else None
        if (name.lower() in _SPECIAL_NAMES or _is_short_address(name)
                or self._hosts.lookup(name)):
            return None
        return name


def _is_address(name):
    return is_ipv4_addr(name) or is_ipv6_addr(name)


def _is_short_address(name):
    # One to three numbers, in one of three notations.
    try:
        _socket.inet_aton(name)
    except (OSError, ValueError):  # ValueError: a null character
        return False
    return not any(map(str.isspace, name))


def _is_local(address):
    return address.startswith('127.') or address in (
        '::1', '0.0.0.0', '::', '255.255.255.255')
