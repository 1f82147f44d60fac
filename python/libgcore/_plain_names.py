"""The plain Python twin of the accelerator's ``names.c``."""
import _socket
from libgcore._binding import ffi, lib
from libgcore._engine import get_hub_if_exists
from libgcore._lookup import gaierror_of, look_up, text_of

__all__ = ['Names']

_INET = _socket.AF_INET
_CANONNAME = _socket.AI_CANONNAME


def _encode_host(host):
    if isinstance(host, str):
        return host.encode('idna')
    return bytes(host) if isinstance(host, bytes) else None


def _service(port):
    if port is None:
        return ffi.NULL
    if isinstance(port, int):
        _check_long(port)
        return b'%d' % port
    if isinstance(port, str):
        return port.encode('utf-8')
    if isinstance(port, bytes):
        return port
    raise OSError('Int or String expected')


def _check_long(number):
    if not -1 << 63 <= number < 1 << 63:
        raise OverflowError('Python int too large to convert to C long')


def _hints(family, kind, protocol, flags):
    hints = ffi.new('gcore_dns_hints *')
    hints.size = ffi.sizeof('gcore_dns_hints')
    hints.family, hints.socktype = family, kind
    hints.protocol, hints.flags = protocol, flags
    return hints


def _address_text(address):
    return text_of(address.text).partition('%')[0]  # as _socket: no scope


def _entry(address, name):
    where = _address_text(address), address.port
    if address.family != _INET:
        where += address.flow, address.scope
    return (address.family, address.socktype, address.protocol, name, where)


class Names:
    """The lookups of a resolver that ought to be quick."""

    _pointer = None

    def _open(self, address, loop):
        """Take over the gcore_resolver there."""
        if self._pointer is not None:
            raise ValueError('the resolver is open')
        self._pointer = ffi.cast('gcore_resolver *', address)
        self._loop = loop

    def __del__(self):
        if self._pointer is None:
            return
        # A resolver is its hub's thread's, the object's end that of any.
        hub = get_hub_if_exists()
        if self._loop.is_open and (hub is None or hub.loop is not self._loop):
            self._loop.run_callback_threadsafe(lib.gcore_resolver_unref,
                                               self._pointer)
        else:
            lib.gcore_resolver_unref(self._pointer)

    def _find(self, host, node, service, hints):
        if self._pointer is None:
            raise ValueError('the resolver is not open')
        result, answer = look_up(self._pointer, host,
                                 lib.gcore_dns_getaddrinfo, node, service,
                                 hints)
        if answer is None:
            raise gaierror_of(result)
        return answer

    def _getaddrinfo(self, host, port, family, type, proto, flags):
        """As ``_socket.getaddrinfo()``."""
        hints = _hints(family, type, proto, flags)
        node = ffi.NULL if host is None else _encode_host(host)
        if node is None:
            raise TypeError('getaddrinfo() argument 1 must be string or None')
        answer = self._find(host, node, _service(port), hints)
        name = text_of(answer.name) if flags & _CANONNAME else None
        return [_entry(answer.addresses[i], '' if i else name or '')
                for i in range(answer.address_count)]

    def _first_address(self, host, family):
        """As ``_socket.gethostbyname()``, of a family; None where that is to
        be asked: for special names and for what is no name."""
        node = _encode_host(host)
        if not node or node.startswith(b'<') or b'\0' in node:
            return None
        answer = self._find(host, node, ffi.NULL, _hints(family, 0, 0, 0))
        return _address_text(answer.addresses[0])
