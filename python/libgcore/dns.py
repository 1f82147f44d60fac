"""
Name lookup on the hub, without a thread.

A `Resolver` has the functions of the :mod:`socket` module, which answer as the
system's do, and `Resolver.query` for records of any type. While one of them
waits for a name server, other greenlets run; a ``Timeout`` or a kill ends the
wait at once.

A resolver serves the hub of the thread that makes it; `get_resolver` returns
one that a thread's greenlets share.
"""
import os
from errno import EAFNOSUPPORT as _EAFNOSUPPORT
from errno import EINVAL as _EINVAL
from typing import Iterable, NamedTuple

import _socket
from libgcore._binding import ffi, lib
from libgcore._engine import ACCELERATED, get_hub
from libgcore._lookup import gaierror_of, herror_of, look_up, text_of
from libgcore.dns_records import TYPES, read_record, type_number

if ACCELERATED:
    from libgcore._accel import Names as _Names
else:
    from libgcore._plain_names import Names as _Names

__all__ = ['Answer', 'Resolver', 'TYPES', 'get_resolver']

_NS = 1000000000
_AF_INET, _AF_UNSPEC = _socket.AF_INET, _socket.AF_UNSPEC
_NI_NUMERICHOST = _socket.NI_NUMERICHOST
_NI_NUMERICSERV = _socket.NI_NUMERICSERV
_NI_NAMEREQD = _socket.NI_NAMEREQD
_BROADCAST = b'255.255.255.255'


class Answer(NamedTuple):
    """What `Resolver.query` returns."""
    #: The name at the end of the aliases.
    name: str
    #: Seconds that all of it may still be kept.
    ttl: int
    #: The records, of `libgcore.dns_records`, with the aliases that led there.
    records: list


class Resolver(_Names):
    """
    Asks the name servers of the system's configuration, after its hosts file,
    in the order that ``nsswitch.conf`` gives.

    What is ``None`` below is as the system's configuration has it. Times are
    in seconds.

    :param loop: of the hub that it serves; the calling thread's where left
        out.
    :param servers: addresses of name servers, a str (separated by commas) or
        several; each may have a port: ``192.0.2.1:5353``,
        ``[2001:db8::1]:5353``.
    :param timeout: how long to wait for a server, at first.
    :param tries: how often to ask each server.
    :param ndots: names with so many dots are tried as they are, first.
    :param domains: what to append to other names: a str or several.
    :param lookups: where to look, in that order: ``f`` the hosts file, ``b``
        name servers.
    :param rotate: whether to spread questions over the servers.
    :param flags: a sum of ``GCORE_RESOLVER_`` flags of ``gcore/dns.h``.
    :param udp_port: of servers that are given without one; also *tcp_port*.
    :param local_ip: the address to ask from.
    :param local_device: the network device to ask through.
    :param hosts_path: the hosts file; also *resolv_path*, *nsswitch_path*.
    :param cache: whether to keep answers for their time to live.
    :param cache_size: how many of them.
    :param cache_bytes: how much memory they may take.
    :param cache_ttl: the longest that an answer is kept.
    :param negative_ttl: the longest that it is kept that there is none.
    :param in_flight: how many questions may be on the way at a time; more
        wait for their turn.
    :param edns_size: the longest answer by UDP to ask for, in bytes.
    :raise ValueError: if one of them makes no sense.
    """

    def __init__(self, loop=None, *,
                 servers: 'str | Iterable[str] | None' = None,
                 timeout: 'float | None' = None, tries: 'int | None' = None,
                 ndots: 'int | None' = None,
                 domains: 'str | Iterable[str] | None' = None,
                 lookups: 'str | None' = None, rotate: 'bool | None' = None,
                 flags: int = 0, udp_port: 'int | None' = None,
                 tcp_port: 'int | None' = None, local_ip: 'str | None' = None,
                 local_device: 'str | None' = None,
                 hosts_path: 'str | None' = None,
                 resolv_path: 'str | None' = None,
                 nsswitch_path: 'str | None' = None, cache: bool = False,
                 cache_size: 'int | None' = None,
                 cache_bytes: 'int | None' = None,
                 cache_ttl: 'float | None' = None,
                 negative_ttl: 'float | None' = None,
                 in_flight: 'int | None' = None,
                 edns_size: 'int | None' = None):
        options = _Options()
        options.set_text('servers', _list(servers))
        options.set_text('domains', _list(domains))
        options.set_text('lookups', lookups)
        options.set_text('local_ip', local_ip)
        options.set_text('local_device', local_device)
        options.set_text('hosts_path', hosts_path)
        options.set_text('resolv_path', resolv_path)
        options.set_text('nsswitch_path', nsswitch_path)
        options.set_seconds('timeout', timeout)
        options.set_seconds('cache_ttl', cache_ttl)
        options.set_seconds('negative_ttl', negative_ttl)
        options.set_number('flags',
                           flags | (lib.GCORE_RESOLVER_CACHE if cache else 0))
        options.set_number('tries', tries)
        options.set_number('ndots', -1 if ndots == 0 else ndots)
        options.set_number('rotate', _three_way(rotate))
        options.set_number('udp_port', udp_port)
        options.set_number('tcp_port', tcp_port)
        options.set_number('cache_size', cache_size)
        options.set_number('cache_bytes', cache_bytes)
        options.set_number('in_flight', in_flight)
        options.set_number('edns_size', edns_size)
        loop = loop or get_hub().loop
        self._resolver = options.make_resolver(loop.engine)
        self._open(int(ffi.cast('uintptr_t', self._resolver)), loop)

    def __repr__(self):
        return '<%s.%s at %#x servers=%r>' % (
            type(self).__module__, type(self).__name__, id(self), self.servers)

    @property
    def servers(self) -> str:
        """The name servers that are asked, separated by commas or blanks;
        empty when it is closed. May be set, also to a list."""
        return text_of(lib.gcore_resolver_servers(self._resolver)) or ''

    @servers.setter
    def servers(self, servers: 'str | Iterable[str] | None'):
        text = _list(servers)
        error = lib.gcore_resolver_set_servers(
            self._resolver, ffi.NULL if text is None else text.encode())
        if error:
            raise _options_error(error, 'servers', servers)

    def close(self):
        """Give back its sockets. Lookups that go on fail. Idempotent."""
        lib.gcore_resolver_close(self._resolver)

    def after_fork(self):
        """Make it work in a forked child; lookups that went on there fail.
        It notices a fork by itself when it is used."""
        error = lib.gcore_resolver_after_fork(self._resolver)
        if error:
            raise gaierror_of(error)

    def clear_cache(self):
        """Forget the answers kept, and what the configuration files say."""
        lib.gcore_resolver_clear(self._resolver)

    def statistics(self) -> 'dict[str, int]':
        """Counters since it was made; see ``gcore_resolver_stats``."""
        stats = ffi.new('gcore_resolver_stats *')
        stats.size = ffi.sizeof('gcore_resolver_stats')
        lib.gcore_resolver_counters(self._resolver, stats)
        return {name: getattr(stats, name)
                for name, _ in ffi.typeof('gcore_resolver_stats').fields
                if name != 'size'}

    # The functions of the socket module

    def getaddrinfo(self, host, port, family=0, type=0, proto=0,
                    flags=0) -> list:
        """As :func:`socket.getaddrinfo`, with numbers in place of enums."""
        return self._getaddrinfo(host, port, family, type, proto, flags)

    def gethostbyname(self, hostname, family=_AF_INET) -> str:
        """As :func:`socket.gethostbyname`, of a *family*'s addresses."""
        address = self._first_address(hostname, family)
        if address is None:  # the system does not wait for these
            return _socket.gethostbyname(hostname)
        return address

    def gethostbyname_ex(self, hostname, family=_AF_INET) -> tuple:
        """As :func:`socket.gethostbyname_ex`, of a *family*'s addresses."""
        node = _node(hostname)
        if not node or node == b'<broadcast>':
            return _socket.gethostbyname_ex(hostname)
        result, answer = look_up(self._resolver, hostname,
                                 lib.gcore_dns_gethostbyname, node, family)
        if answer is not None:
            return _host(answer)
        if _parse_address(node) is None:
            raise gaierror_of(result)
        # The system reads addresses before it asks for their names.
        self.gethostbyname(node, family)
        raise herror_of(result)

    def gethostbyaddr(self, ip_address) -> tuple:
        """As :func:`socket.gethostbyaddr`, which takes a name, too."""
        node = _node(ip_address)
        if not node:
            return _socket.gethostbyaddr(ip_address)
        if node == b'<broadcast>':
            node = _BROADCAST
        address = _parse_address(node)
        if address is None:
            first = self._first_address(ip_address, _AF_UNSPEC)
            address = _parse_address(first.encode())
        result, answer = look_up(self._resolver, ip_address,
                                 lib.gcore_dns_gethostbyaddr, address)
        if answer is None:
            raise herror_of(result)
        if answer.addresses[0].family != address.family:
            # So the system does with an IPv4 address in IPv6's form.
            raise OSError(_EAFNOSUPPORT, os.strerror(_EAFNOSUPPORT))
        return _host(answer)

    def getnameinfo(self, sockaddr, flags) -> 'tuple[str, str]':
        """As :func:`socket.getnameinfo`."""
        if flags & _NI_NUMERICHOST:
            return _socket.getnameinfo(sockaddr, flags)
        # Checks the arguments, too.
        numeric, port = _socket.getnameinfo(
            sockaddr,
            (flags | _NI_NUMERICHOST | _NI_NUMERICSERV) & ~_NI_NAMEREQD)
        address = _parse_address(numeric.encode())
        address.port = int(port)
        result, answer = look_up(self._resolver, sockaddr,
                                 lib.gcore_dns_getnameinfo, address, flags)
        if answer is None:
            raise gaierror_of(result)
        return text_of(answer.name), text_of(answer.service)

    # Records

    def query(self, name: 'str | bytes', type: 'str | int' = 'A',
              timeout: 'float | None' = None) -> Answer:
        """Ask name servers for the records of a name.

        Neither the hosts file nor the search list is looked at.

        :param type: a record type's name (``'MX'``) or number.
        :param timeout: seconds until :exc:`TimeoutError`.
        :raise socket.gaierror: ``EAI_NONAME``: no such name; ``EAI_NODATA``:
            it has no record of that type; ``EAI_AGAIN``: no server answered.
        """
        if isinstance(name, str):
            name = name.encode()
        deadline = lib.GCORE_FOREVER
        if timeout is not None:
            deadline = lib.gcore_clock() + int(timeout * _NS)
        result, answer = look_up(self._resolver, name, lib.gcore_dns_query,
                                 name, type_number(type), deadline=deadline)
        if answer is None:
            raise gaierror_of(result)
        return Answer(text_of(answer.name), answer.ttl,
                      [read_record(answer.records[i])
                       for i in range(answer.record_count)])


def get_resolver() -> Resolver:
    """The resolver that greenlets of the calling thread share, with a cache;
    made on first use."""
    loop = get_hub().loop
    resolver = getattr(loop, '_shared_resolver', None)
    if resolver is None:
        resolver = loop._shared_resolver = Resolver(cache=True)
    return resolver


class _Options:
    """A ``gcore_resolver_options`` in the making."""

    def __init__(self):
        self._options = ffi.new('gcore_resolver_options *')
        self._options.size = ffi.sizeof('gcore_resolver_options')
        self._given = {}
        self._texts = []

    def set_text(self, name, text):
        if text is not None:
            self._given[name] = text
            self._texts.append(ffi.new('char[]', text.encode()))
            setattr(self._options, name, self._texts[-1])

    def set_number(self, name, number):
        if number is not None:
            self._given[name] = number
            try:
                setattr(self._options, name, number)
            except OverflowError:
                raise _options_error(0, name, number) from None

    def set_seconds(self, name, seconds):
        if seconds is not None:
            self.set_number(name, int(seconds * _NS))

    def make_resolver(self, engine):
        out = ffi.new('gcore_resolver **')
        error = lib.gcore_resolver_new(ffi.cast('gcore_hub *', engine),
                                       self._options, out)
        if error:
            raise _options_error(error, 'one of the options', self._given)
        return out[0]


def _options_error(error, name, value):
    if error in (0, -_EINVAL):
        return ValueError('a resolver cannot be made so: %s: %r'
                          % (name, value))
    return gaierror_of(error)


def _list(texts):
    return texts if texts is None or isinstance(texts, str) else ','.join(
        texts)


def _three_way(wish):
    return 0 if wish is None else 1 if wish else -1


def _node(host):
    """The bytes to ask for; ``None`` where that is the system's to refuse."""
    if isinstance(host, str):
        host = host.encode('idna')
    if not isinstance(host, (bytes, bytearray)) or 0 in host:
        return None
    return bytes(host)


def _parse_address(text):
    address = ffi.new('gcore_dns_address *')
    return None if lib.gcore_dns_parse_address(text, address) else address


def _host(answer):
    return (text_of(answer.name),
            [text_of(answer.aliases[i]) for i in range(answer.alias_count)],
            [text_of(answer.addresses[i].text).partition('%')[0]
             for i in range(answer.address_count)])
