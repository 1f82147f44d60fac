"""
The resolver that asks name servers itself, on the hub: no thread is needed,
and a ``gevent.Timeout`` or a kill ends a lookup at once.

It answers as the system does: from the hosts file and name servers, in the
order of ``nsswitch.conf``, with the servers and the search list of
``resolv.conf``; other sources (mDNS, LDAP, NIS) it does not know. Chosen by
``GEVENT_RESOLVER=ares``. `libgcore.dns.Resolver` does the work.
"""
import os
from weakref import ref

from gevent._config import AresSettingMixin, config
from gevent._hub_local import get_hub
from gevent.resolver import AF_INET, AbstractResolver
from gevent.resolver.cares import channel

__all__ = [
    'Resolver',
]


def _tell_of_fork(reference):
    resolver = reference()
    if resolver is not None:
        resolver._on_fork()


class Resolver(AbstractResolver):
    """
    Name lookup by the engine.

    :param hub: whose lookups these are; the calling thread's if left out.
    :param use_environ: whether the settings of ``gevent.config`` for this
        resolver (``GEVENT_RESOLVER_NAMESERVERS``, ``GEVENTARES_TRIES``, ...)
        count where *kwargs* say nothing.
    :param kwargs: options of `gevent.resolver.cares.channel`.
    """

    cares_class = channel

    def __init__(self, hub=None, use_environ=True, **kwargs):
        self.cares = self.fork_watcher = None
        hub = get_hub() if hub is None else hub
        if use_environ:
            for setting in config.settings.values():
                if isinstance(setting, AresSettingMixin):
                    value = setting.get()
                    if value is not None:
                        kwargs.setdefault(setting.kwarg_name, value)
        self.hub = hub
        self.cares = self.cares_class(hub.loop, **kwargs)
        self.pid = os.getpid()
        self.params = kwargs
        self.fork_watcher = hub.loop.fork(ref=False)
        # The loop keeps what its watchers call: not the resolver.
        self.fork_watcher.start(_tell_of_fork, ref(self))

    def __repr__(self):
        return '<%s.%s at 0x%x ares=%r>' % (
            type(self).__module__, type(self).__name__, id(self), self.cares)

    def __del__(self):
        self.close()

    def _on_fork(self):
        if self.pid != os.getpid():
            self.pid = os.getpid()
            if self.cares is not None:
                self.cares.names.after_fork()

    def close(self):
        """Give back the sockets; lookups that go on fail. Idempotent."""
        if self.cares is not None:
            self.cares.destroy()
        watcher, self.fork_watcher = self.fork_watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def getaddrinfo(self, host, port, family=0, socktype=0, proto=0, flags=0):
        """As :func:`socket.getaddrinfo`, without its enums."""
        return self.cares.names.getaddrinfo(host, port, family, socktype,
                                            proto, flags)

    def gethostbyname(self, hostname, family=AF_INET):
        """The first address of *hostname*."""
        return self.cares.names.gethostbyname(hostname, family)

    def gethostbyname_ex(self, hostname, family=AF_INET):
        """``(name, aliases, addresses)`` of *hostname*."""
        return self.cares.names.gethostbyname_ex(hostname, family)

    def gethostbyaddr(self, ip_address):
        """``(name, aliases, addresses)`` of a host, by address or name."""
        return self.cares.names.gethostbyaddr(ip_address)

    def getnameinfo(self, sockaddr, flags):
        """``(host, service)`` of a socket address."""
        return self.cares.names.getnameinfo(sockaddr, flags)
