"""
The resolver that asks name servers by way of dnspython.

It follows the system's ``resolv.conf`` and hosts file, but not its
``nsswitch.conf``. `gevent.config.resolver_nameservers` and
`gevent.config.resolver_timeout` take precedence. Needs dnspython 2 or newer.

dnspython is imported as a copy whose sockets are gevent's, whether or not the
program is patched.
"""
import sys

import _socket

from gevent._config import config
from gevent._patcher import import_patched
from gevent.resolver import AF_INET, AF_INET6, AF_UNSPEC, AbstractResolver

__all__ = [
    'Resolver',
]


def _while_importing(_name):
    # What dnspython would import later it would take from its other copy.
    from dns import rdata
    rdata.load_all_types()
    return ['resolver', 'reversename', 'exception']


dns = import_patched('dns', _while_importing)
_modules = dns.modules
dns = dns.module
# For whoever looks for it; "dns" itself stays what the program imports.
sys.modules['_g_patched_module_dns'] = dns

resolver = _modules['dns.resolver']
_exception = _modules['dns.exception']
_reversename = _modules['dns.reversename']

gaierror = _socket.gaierror
_EAI_NODATA = getattr(_socket, 'EAI_NODATA', _socket.EAI_NONAME)


def _text(name):
    return str(name).rstrip('.')


class Resolver(AbstractResolver):
    """Name lookup by dnspython.

    :param hub: unused; for the sake of the other resolvers.
    """

    def __init__(self, hub=None):
        self._resolver = resolver.Resolver()
        servers = config.resolver_nameservers
        if servers:
            if isinstance(servers, str):
                servers = [server.strip() for server in servers.split(',')]
            self._resolver.nameservers = servers
        if config.resolver_timeout:
            self._resolver.lifetime = config.resolver_timeout

    @property
    def resolver(self):
        """The ``dns.resolver.Resolver`` that is asked. Assign another one, of
        `gevent.resolver.dnspython.resolver`, to change how."""
        return self._resolver

    @resolver.setter
    def resolver(self, value):
        self._resolver = value

    def close(self):
        """Nothing to do: the sockets are closed after each question."""

    def _lookup(self, name, family):
        canonical, aliases, addresses = None, [], []
        for kind, kind_family in (('A', AF_INET), ('AAAA', AF_INET6)):
            if family in (AF_UNSPEC, kind_family):
                try:
                    answer = self._ask(name, kind)
                except resolver.NoAnswer:
                    continue
                canonical = _text(answer.canonical_name)
                aliases = [_text(each.name)
                           for each in answer.chaining_result.cnames]
                addresses += [record.address for record in answer]
        if not addresses:
            raise gaierror(_EAI_NODATA, 'No address associated with hostname')
        return canonical, aliases, addresses

    def _reverse(self, address):
        name = _reversename.from_address(address.partition('%')[0])
        try:
            return [_text(record.target)
                    for record in self._ask(name, 'PTR')]
        except resolver.NoAnswer:
            return []
        except gaierror as ex:
            if ex.args[0] == _socket.EAI_NONAME:
                return []
            raise

    def _ask(self, name, kind):
        try:
            return self._resolver.resolve(name, kind, search=True)
        except (resolver.NXDOMAIN, _exception.SyntaxError,
                _modules['dns.name'].LabelTooLong):
            raise gaierror(_socket.EAI_NONAME, self.EAI_NONAME_MSG) from None
        except (_exception.Timeout, resolver.NoNameservers, OSError):
            raise gaierror(_socket.EAI_AGAIN, 'Temporary failure in name '
                           'resolution') from None

    getaddrinfo = AbstractResolver.fixup_gaierror(AbstractResolver.getaddrinfo)
    gethostbyname = AbstractResolver.fixup_gaierror(
        AbstractResolver.gethostbyname)
    gethostbyname_ex = AbstractResolver.fixup_gaierror(
        AbstractResolver.gethostbyname_ex)
    gethostbyaddr = AbstractResolver.fixup_gaierror(
        AbstractResolver.gethostbyaddr)
    getnameinfo = AbstractResolver.fixup_gaierror(AbstractResolver.getnameinfo)
