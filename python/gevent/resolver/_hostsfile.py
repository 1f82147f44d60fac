"""The hosts file: the names a machine knows without asking anyone."""
import os

import _socket

from gevent.resolver._addresses import is_ipv4_addr, is_ipv6_addr

__all__ = [
    'HostsFile',
]


class HostsFile:
    """A hosts file, read again when it has changed.

    :param fname: the path; the system's own where left out.
    """

    def __init__(self, fname='/etc/hosts'):
        self.fname = fname
        self._stamp = None
        self._v4 = {}
        self._v6 = {}
        self._pairs = []
        self._addresses = frozenset()

    def load(self):
        """Read the file, if it has changed. One that is missing is empty."""
        try:
            status = os.stat(self.fname)
        except OSError:
            stamp = None
        else:
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        lines = [] if stamp is None else list(self._parse())
        self._pairs = [(name, address)
                       for address, names in lines for name in names]
        # Libc knows those without a name, too.
        self._addresses = frozenset(_packed(address) for address, _ in lines)
        self._v4, self._v6 = {}, {}
        for name, address in self._pairs:
            table = self._v4 if is_ipv4_addr(address) else self._v6
            table.setdefault(name.lower(), []).append(address)

    def _parse(self):
        try:
            with open(self.fname, encoding='utf-8', errors='replace') as file:
                lines = file.read().splitlines()
        except OSError:
            return
        for line in lines:
            address, *names = line.partition('#')[0].split() or ['']
            if is_ipv4_addr(address) or is_ipv6_addr(address):
                yield address, names

    def lookup(self, name) -> list:
        """The addresses (str) of *name*, IPv4 ones first."""
        self.load()
        name = name.lower()
        return self._v4.get(name, []) + self._v6.get(name, [])

    def has_address(self, address) -> bool:
        """Whether *address* (str) is in the file."""
        self.load()
        return _packed(address) in self._addresses

    def iter_all_host_addr_pairs(self):
        """Iterate over the ``(name, address)`` pairs in the file's order."""
        self.load()
        return iter(self._pairs)


def _packed(address):
    # IPv4 addresses that are written as IPv6 ones are the same.
    if is_ipv4_addr(address):
        address = '::ffff:' + address
    return _socket.inet_pton(_socket.AF_INET6, address.partition('%')[0])
