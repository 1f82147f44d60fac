"""DNS records as Python objects: a named tuple a type.

Names are text as in master files, without the last dot; the root is ``.``.
``ttl`` is the number of seconds that a record may still be kept.
"""
from typing import NamedTuple

from libgcore._binding import ffi, lib
from libgcore._lookup import text_of

__all__ = [
    'A', 'AAAA', 'CAA', 'CNAME', 'HTTPS', 'MX', 'NAPTR', 'NS', 'OTHER', 'PTR',
    'SOA', 'SRV', 'SVCB', 'TXT', 'URI', 'TYPES', 'type_number',
]

#: The numbers of the record types, by name.
TYPES = {name: getattr(lib, 'GCORE_DNS_' + name) for name in (
    'A', 'NS', 'CNAME', 'SOA', 'PTR', 'MX', 'TXT', 'AAAA', 'SRV', 'NAPTR',
    'SVCB', 'HTTPS', 'ANY', 'URI', 'CAA')}


def type_number(kind: 'str | int') -> int:
    """The number of a record type, given by name (any case) or number.

    :raise ValueError: when the name is not known.
    """
    if isinstance(kind, str):
        try:
            return TYPES[kind.upper()]
        except KeyError:
            raise ValueError('no DNS record type is named %r; known are %s, '
                             'others go by number'
                             % (kind, ', '.join(TYPES))) from None
    return int(kind)


class A(NamedTuple):
    """An IPv4 address."""
    name: str
    ttl: int
    address: str


class AAAA(NamedTuple):
    """An IPv6 address."""
    name: str
    ttl: int
    address: str


class CNAME(NamedTuple):
    """What *name* is an alias of."""
    name: str
    ttl: int
    target: str


class NS(NamedTuple):
    """A name server of the zone."""
    name: str
    ttl: int
    target: str


class PTR(NamedTuple):
    """The name an address stands for."""
    name: str
    ttl: int
    target: str


class MX(NamedTuple):
    """A host that takes mail; the lowest preference goes first."""
    name: str
    ttl: int
    preference: int
    exchange: str


class SOA(NamedTuple):
    """Where a zone's authority begins; the times are in seconds."""
    name: str
    ttl: int
    primary: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


class SRV(NamedTuple):
    """Where a service is; the lowest priority goes first."""
    name: str
    ttl: int
    priority: int
    weight: int
    port: int
    target: str


class TXT(NamedTuple):
    """Texts, as bytes."""
    name: str
    ttl: int
    strings: 'tuple[bytes, ...]'


class CAA(NamedTuple):
    """Who may issue certificates; flag 128 says that it is critical."""
    name: str
    ttl: int
    flags: int
    tag: str
    value: bytes


class NAPTR(NamedTuple):
    """How to rewrite a name."""
    name: str
    ttl: int
    order: int
    preference: int
    flags: bytes
    services: bytes
    regexp: bytes
    replacement: str


class URI(NamedTuple):
    """A service's URI; the lowest priority goes first."""
    name: str
    ttl: int
    priority: int
    weight: int
    target: str


class SVCB(NamedTuple):
    """How to reach a service; *parameters* are bytes by their key's number."""
    name: str
    ttl: int
    priority: int
    target: str
    parameters: 'dict[int, bytes]'


class HTTPS(NamedTuple):
    """How to reach an HTTP service; see `SVCB`."""
    name: str
    ttl: int
    priority: int
    target: str
    parameters: 'dict[int, bytes]'


class OTHER(NamedTuple):
    """A record of a type that is not known here: its data as it came."""
    name: str
    ttl: int
    type: int
    data: bytes


def _parts(record):
    return [bytes(ffi.buffer(record.parts[i].data, record.parts[i].length))
            for i in range(record.part_count)]


def _target(record):
    return (text_of(record.target),)


def _soa(record):
    return (text_of(record.target), text_of(record.mailbox), record.serial,
            record.refresh, record.retry, record.expire, record.minimum)


def _caa(record):
    tag, value = _parts(record)
    return record.flags, tag.decode('ascii', 'replace'), value


def _parameters(record):
    keys = [record.parts[i].key for i in range(record.part_count)]
    return (record.priority, text_of(record.target),
            dict(zip(keys, _parts(record))))


# The class of a type, and what gives its members behind name and ttl.
_READERS = {TYPES[kind.__name__]: (kind, reader) for kind, reader in (
    (A, _target),
    (AAAA, _target),
    (CNAME, _target),
    (NS, _target),
    (PTR, _target),
    (MX, lambda record: (record.priority, text_of(record.target))),
    (SOA, _soa),
    (SRV, lambda record: (record.priority, record.weight, record.port,
                          text_of(record.target))),
    (TXT, lambda record: (tuple(_parts(record)),)),
    (CAA, _caa),
    (NAPTR, lambda record: (record.priority, record.weight, *_parts(record),
                            text_of(record.target))),
    (URI, lambda record: (record.priority, record.weight,
                          text_of(record.target))),
    (SVCB, _parameters),
    (HTTPS, _parameters),
)}


def read_record(record):
    """The named tuple for a ``gcore_dns_record *``."""
    name, ttl = text_of(record.name), record.ttl
    if record.type not in _READERS:
        return OTHER(name, ttl, record.type, b''.join(_parts(record)))
    kind, reader = _READERS[record.type]
    return kind(name, ttl, *reader(record))
