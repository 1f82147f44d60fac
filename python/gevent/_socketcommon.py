"""
What cooperative sockets share: waiting, name lookup, and the methods that any
kind of socket has.

A socket owns a non-blocking ``_socket.socket`` (``_sock``). Each method first
tries the call, and only where the kernel would block waits for the descriptor
and tries again. So what need not wait does not switch, and nothing is received
that nobody asked for: whoever kills a greenlet in ``recv``, or passes the
descriptor on, leaves the data in the kernel.

The two watchers, one a direction, are made when first needed and then kept.
"""
import socket as __socket__
from errno import EAGAIN, EALREADY, EBADF, EINPROGRESS, EISCONN, EWOULDBLOCK
from os import strerror
from time import monotonic

from greenlet import getcurrent

from gevent import _hub_primitives
from gevent._hub_local import get_hub_if_exists
from gevent._hub_local import get_hub_noargs as get_hub
from gevent._hub_primitives import wait_on_watcher as wait
from gevent._hub_primitives import wait_read, wait_readwrite, wait_write
from gevent._semaphore import Semaphore
from gevent.exceptions import InvalidThreadUseError
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore import _accel as _netio
else:
    from libgcore import _netio

_socket = __socket__._socket  # pylint:disable=protected-access
_realsocket = _socket.socket

error = _SocketError = __socket__.error
timeout = _timeout_error = __socket__.timeout
gaierror = __socket__.gaierror
# As a plain number: the standard library's flags are slow to combine.
_MSG_DONTWAIT = int(getattr(__socket__, 'MSG_DONTWAIT', 0))
_TCP_INFO = getattr(__socket__, 'TCP_INFO', None)
_ESTABLISHED = b'\x01'  # as the first byte of TCP_INFO
_CONNECTS = 5  # that are begun in a row: the backlog socketserver asks for
AF_INET = __socket__.AF_INET
AF_INET6 = __socket__.AF_INET6
AF_UNIX = getattr(__socket__, 'AF_UNIX', None)
SOL_SOCKET = __socket__.SOL_SOCKET
SO_ERROR = __socket__.SO_ERROR
AddressFamily = __socket__.AddressFamily
SocketKind = __socket__.SocketKind
_intenum_converter = __socket__._intenum_converter
# What it answers, for less: it makes an enum of a number each time.
_families = {int(family): family for family in AddressFamily}
_kinds = {int(kind): kind for kind in SocketKind}

__dns__ = [
    'getaddrinfo',
    'gethostbyname',
    'gethostbyname_ex',
    'gethostbyaddr',
    'getnameinfo',
    'getfqdn',
]

_implements = [
    'create_connection',
    'socket',
    'SocketType',
    'fromfd',
    'socketpair',
] + __dns__

__extensions__ = [
    'cancel_wait',
    'wait_read',
    'wait_write',
    'wait_readwrite',
]

#: The standard module's names that are handed on as they are.
__imports__ = [name for name in __socket__.__all__
               if name not in _implements and name != 'CAPI']

# Either answers None for "would block", which spares an exception.
_recv_into = _netio.sock_recv_into

#: Stands for "the socket's own timeout".
timeout_default = ...

_READ, _WRITE = 1, 2

_hub_primitives.set_default_timeout_error(_timeout_error)


class cancel_wait_ex(error):
    """Raised in a greenlet that waits for a descriptor another one closes."""

    def __init__(self):
        super().__init__(
            EBADF, 'File descriptor was closed in another greenlet')


def cancel_wait(watcher, error=cancel_wait_ex):
    """Raise *error* (exception or class) in the greenlet waiting for *watcher*.

    Nothing happens if no greenlet waits for it.
    """
    get_hub().cancel_wait(watcher, error)


# Name lookup

def gethostbyname(hostname):
    """gethostbyname(host) -> address

    The IPv4 address (str) of *hostname*, looked up by the hub's resolver.
    """
    return get_hub().resolver.gethostbyname(hostname)


def gethostbyname_ex(hostname):
    """gethostbyname_ex(host) -> (name, aliaslist, addresslist)

    The true name, the aliases and the IPv4 addresses of *hostname*.
    """
    return get_hub().resolver.gethostbyname_ex(hostname)


def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    """Resolve *host* and *port* into a list of addrinfo entries.

    Each is a tuple *(family, type, proto, canonname, sockaddr)*. The hub's
    resolver looks the name up.

    :raise socket.gaierror: if there is no answer.
    """
    # Enums in the answer, as the standard library gives them.
    return [
        (_families.get(af, af), _kinds.get(socktype, socktype),
         protocol, canonname, sockaddr)
        for af, socktype, protocol, canonname, sockaddr
        in get_hub().resolver.getaddrinfo(host, port, family, type, proto,
                                          flags)
    ]


def gethostbyaddr(ip_address):
    """gethostbyaddr(ip_address) -> (name, aliaslist, addresslist)

    The true name, the aliases and the addresses of a host given by name or
    address.
    """
    return get_hub().resolver.gethostbyaddr(ip_address)


def getnameinfo(sockaddr, flags):
    """getnameinfo(sockaddr, flags) -> (host, port)

    The host and the service of a socket address.
    """
    return get_hub().resolver.getnameinfo(sockaddr, flags)


def getfqdn(name=''):
    """Get fully qualified domain name from *name*.

    An empty argument means the local host. The first of the host's names that
    has a dot in it is returned, *name* itself where there is none.
    """
    name = name.strip()
    if not name or name in ('0.0.0.0', '::'):
        name = __socket__.gethostname()
    try:
        hostname, aliases, _ = gethostbyaddr(name)
    except error:
        return name
    return next((alias for alias in [hostname, *aliases] if '.' in alias),
                hostname)


def _is_literal(family, host):
    # What the C socket understands without asking anyone: '' is the wildcard
    # address, '<broadcast>' the broadcast one.
    if host in ('', '<broadcast>'):
        return True
    try:
        __socket__.inet_pton(family, host)
    except OSError:
        return False
    return True


def _resolve_addr(sock, address):
    """*address* with its host name, if it has one, replaced by a number.

    :param sock: the C socket that is to connect there.
    :raise socket.gaierror: if the name is not known.
    """
    family = sock.family
    if (family not in (AF_INET, AF_INET6) or not isinstance(address, tuple)
            or len(address) < 2):
        return address
    host, port = address[:2]
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode('ascii')
    elif not isinstance(host, str):
        return address  # a TypeError: the C socket words it best
    if _is_literal(family, host):
        return address
    found = getaddrinfo(host, port, family, sock.type, sock.proto)[0][-1]
    # A flow label or scope in the question is more specific than the answer's.
    return found[:2] + address[2:] if len(address) > 2 else found


def _get_memory(data):
    """*data*, any object with a buffer, as a memoryview of bytes."""
    view = memoryview(data)
    if view.format == 'B' and view.ndim == 1:
        return view
    try:
        return view.cast('B')
    except TypeError:  # a structure
        return memoryview(view.tobytes())


def _would_block():
    return BlockingIOError(EAGAIN, strerror(EAGAIN))


def _is_connected(sock):
    # A listener of this machine has, as a rule, answered when connect() returns
    # to say that it goes on.
    if _TCP_INFO is None or sock.family == AF_UNIX:
        return False
    try:
        state = sock.getsockopt(__socket__.IPPROTO_TCP, _TCP_INFO, 1)
    except error:
        return False  # not TCP
    return state == _ESTABLISHED


def _let_listeners_accept(deadline):
    # Hundreds that connect at once to a listener of this process overflow its
    # backlog. The kernel drops what comes then, and tries again after a second,
    # or never. So the hub polls before others go on, and the queue comes round
    # for those who serve after every few.
    hub = get_hub()
    if getcurrent() is hub:
        return  # cannot wait
    gate = getattr(hub, '_connect_gate', None)
    if gate is None:
        gate = hub._connect_gate = Semaphore(_CONNECTS)
    if not gate.acquire(timeout=deadline.left()):
        raise timeout('timed out')
    hub.loop.run_callback(gate.release)
    hub.loop.poll_next()


def _wait_for(watcher, seconds, timeout_exc=None):
    if watcher is None:
        raise cancel_wait_ex()
    if seconds == 0.0:
        raise _would_block()
    try:
        ready = watcher.wait(seconds)
    except InvalidThreadUseError:
        ready = _wait_in_this_thread(watcher, seconds)
    if not ready:
        raise timeout('timed out') if timeout_exc is None else timeout_exc


def _wait_in_this_thread(watcher, seconds):
    # The socket was made in another one, by whose hub it is watched.
    own = get_hub().loop.io(watcher.fd, watcher.events & (_READ | _WRITE))
    try:
        return own.wait(seconds)
    finally:
        own.close()


class SocketMixin(_netio.SocketBase):
    """The methods of a cooperative socket; `recv`, `send`, `sendall` and
    `sendto` are the base's.

    :ivar hub: the hub of the thread that made the socket.
    :ivar timeout: seconds (float) that an operation may wait; ``None`` for no
        limit, 0.0 for a socket that does not wait.
    """

    __slots__ = ()

    # Waiting

    @property
    def _read_event(self):
        """The watcher for input; ``None`` once the socket is closed."""
        return self._reader or self._make_watcher('_reader', _READ)

    @property
    def _write_event(self):
        """The watcher for output; ``None`` once the socket is closed."""
        return self._writer or self._make_watcher('_writer', _WRITE)

    def _make_watcher(self, slot, events):
        fileno = self._sock.fileno()
        if fileno < 0:
            return None
        hub = get_hub()
        watcher = hub.loop.io(fileno, events)
        if hub is self.hub:  # else it is for one wait in another thread
            setattr(self, slot, watcher)
        return watcher

    def _wait(self, watcher, timeout_exc=None):
        """Wait for *watcher*, as long as the socket's timeout allows.

        :raise: *timeout_exc* (by default ``timeout('timed out')``) when that
            is over, `cancel_wait_ex` when the socket is closed meanwhile.
        :raise gevent.exceptions.ConcurrentObjectUseError: if another greenlet
            waits for it already.
        """
        _wait_for(watcher, self.timeout, timeout_exc)

    def _wait_readable(self, seconds):
        _wait_for(self._reader or self._read_event, seconds)

    def _wait_writable(self, seconds):
        _wait_for(self._writer or self._write_event, seconds)

    def _seconds(self, flags):
        """How long a call with *flags* may wait."""
        return 0.0 if flags & _MSG_DONTWAIT else self.timeout

    def _when_readable(self, flags, method, *args):
        """Call *method* of the C socket; wait and try again while it would
        block."""
        while True:
            try:
                return getattr(self._sock, method)(*args)
            except BlockingIOError:
                seconds = self._seconds(flags)
                if seconds == 0.0:
                    raise
            _wait_for(self._read_event, seconds)

    def _when_writable(self, flags, method, *args, **kwargs):
        """As `_when_readable`, for what sends."""
        while True:
            try:
                return getattr(self._sock, method)(*args, **kwargs)
            except BlockingIOError:
                seconds = self._seconds(flags)
                if seconds == 0.0:
                    raise
            _wait_for(self._write_event, seconds)

    # Life

    def _drop_events_and_close(self, sock, closefd=True):
        """Wake whoever waits with an exception, then close the C socket."""
        watchers = [watcher for watcher in (self._reader, self._writer)
                    if watcher is not None]
        self._reader = self._writer = None
        then = sock.close if closefd else _nothing
        here = get_hub_if_exists()
        if here is not self.hub:
            watchers = self._leave_to_its_thread(watchers, sock, here)
            if watchers:
                self.hub.loop.run_callback_threadsafe(
                    self.hub.cancel_waits_close_and_then, watchers,
                    cancel_wait_ex, then)
                return
        if watchers:
            self.hub.cancel_waits_close_and_then(watchers, cancel_wait_ex,
                                                 then)
        else:
            then()

    def _leave_to_its_thread(self, watchers, sock, here):
        """Which of the *watchers*, of another thread's hub, that thread has to
        close: those in use. The others go with their last reference."""
        fileno = sock.fileno()
        if here is not None and here.loop is not None and fileno >= 0:
            here.loop.closing_fd(fileno)  # who waits in this thread
        if self.hub.loop is None:
            return ()
        return [watcher for watcher in watchers
                if watcher.callback is not None]

    def _cancel_wait(self, watcher):
        if watcher is None:
            return
        if get_hub_if_exists() is self.hub:
            self.hub.cancel_wait(watcher, cancel_wait_ex)
        elif self.hub.loop is not None:
            self.hub.loop.run_callback_threadsafe(
                self.hub.cancel_wait, watcher, cancel_wait_ex)

    def _check_open(self):
        if self._sock.fileno() < 0:
            raise _SocketError(EBADF, strerror(EBADF))

    def _get_ref(self):
        self._check_open()
        return self._read_event.ref or self._write_event.ref

    def _set_ref(self, value):
        self._check_open()
        self._read_event.ref = value
        self._write_event.ref = value

    ref = property(_get_ref, _set_ref, doc="""
        Whether a wait on this socket keeps the hub's loop alive.
        """)

    def settimeout(self, howlong):
        """Let operations wait *howlong* seconds; ``None``: without limit.

        :raise TypeError: for what is no number.
        :raise ValueError: for a negative one.
        """
        if howlong is not None:
            try:
                as_float = howlong.__float__
            except AttributeError:
                raise TypeError('a float is required', howlong,
                                type(howlong)) from None
            howlong = as_float()
            if howlong < 0.0:
                raise ValueError('Timeout value out of range')
        self.timeout = howlong

    def gettimeout(self):
        """The timeout in seconds, or ``None``."""
        return self.timeout

    def setblocking(self, flag):
        """Wait without limit (true *flag*), or not at all."""
        self.timeout = None if flag else 0.0

    def getblocking(self):
        """Whether operations may wait."""
        return self.timeout != 0.0

    def shutdown(self, how):
        """Shut down one or both directions, and wake who waits for them."""
        if how in (__socket__.SHUT_RD, __socket__.SHUT_RDWR):
            self._cancel_wait(self._reader)
        if how in (__socket__.SHUT_WR, __socket__.SHUT_RDWR):
            self._cancel_wait(self._writer)
        self._sock.shutdown(how)

    # What needs no waiting

    @property
    def family(self):
        """The address family."""
        return _intenum_converter(self._sock.family, AddressFamily)

    @property
    def type(self):
        """The kind of socket, without its SOCK_NONBLOCK and SOCK_CLOEXEC."""
        return _intenum_converter(self._sock.type, SocketKind)

    @property
    def proto(self):
        """The protocol number."""
        return self._sock.proto

    def fileno(self):
        """The descriptor, -1 if closed."""
        return self._sock.fileno()

    def getsockname(self):
        """The address of this end."""
        return self._sock.getsockname()

    def getpeername(self):
        """The address of the other end."""
        return self._sock.getpeername()

    def bind(self, address):
        """Give this end an address."""
        return self._sock.bind(address)

    def listen(self, *args):
        """listen([backlog]): accept connections."""
        return self._sock.listen(*args)

    def getsockopt(self, *args):
        """getsockopt(level, option[, buffersize])"""
        return self._sock.getsockopt(*args)

    def setsockopt(self, *args):
        """setsockopt(level, option, value[, optlen])"""
        return self._sock.setsockopt(*args)

    if hasattr(_realsocket, 'ioctl'):
        def ioctl(self, *args):
            """ioctl(cmd, option)"""
            return self._sock.ioctl(*args)

    if hasattr(_realsocket, 'sleeptaskw'):
        def sleeptaskw(self, *args):
            """sleeptaskw()"""
            return self._sock.sleeptaskw(*args)

    # Connecting

    def connect(self, address):
        """Connect to *address*. A host name is looked up by the hub's resolver.

        :raise socket.timeout: if it takes longer than the timeout.
        """
        return self._internal_connect(address, raise_ex=True)

    def connect_ex(self, address):
        """As `connect`, but returns the error number, 0 for success.

        A timeout gives EAGAIN. Lookup errors are raised all the same.
        """
        try:
            return self._internal_connect(address, raise_ex=False) or 0
        except timeout:
            return EAGAIN
        except gaierror:
            raise
        except error as ex:
            if ex.errno is None:
                raise
            return ex.errno

    def _internal_connect(self, address, raise_ex):
        sock = self._sock
        if self.timeout == 0.0:
            return sock.connect(address) if raise_ex else sock.connect_ex(
                address)
        deadline = _Deadline(self.timeout)
        address = _resolve_addr(sock, address)
        pause = 0.001
        _let_listeners_accept(deadline)
        while True:
            result = sock.connect_ex(address)
            if result in (0, EISCONN):
                return None
            if result in (EINPROGRESS, EALREADY):
                connected = _is_connected(sock)
                _wait_for(self._write_event, deadline.left())
                if connected:
                    return None  # what happened since is not for us to tell
                result = sock.getsockopt(SOL_SOCKET, SO_ERROR)
                if not result:
                    continue  # EISCONN tells a connection from a false alarm
            elif result == EWOULDBLOCK and sock.family == AF_UNIX:
                # The peer's backlog is full, and no event tells when it is not.
                pause = _pause(self.hub, pause, deadline)
                continue
            if raise_ex:
                raise _SocketError(result, strerror(result))
            return result

    # Receiving

    def recv_into(self, buffer, nbytes=0, flags=0):
        """Receive into *buffer*; the number of bytes is returned."""
        while (count := _recv_into(self._sock, buffer, nbytes, flags)) is None:
            self._wait_readable(self._seconds(flags))
        return count

    def recvfrom(self, bufsize, flags=0, /):
        """recvfrom(bufsize[, flags]) -> (bytes, address)"""
        return self._when_readable(flags, 'recvfrom', bufsize, flags)

    def recvfrom_into(self, buffer, nbytes=0, flags=0):
        """recvfrom_into(buffer[, nbytes[, flags]]) -> (count, address)"""
        return self._when_readable(flags, 'recvfrom_into', buffer, nbytes,
                                   flags)

    # Sending

    def _send_rest(self, data, sent, flags):
        # Of sendall(), which has sent that many bytes at once.
        view = _get_memory(data)
        if sent < len(view):
            _sendall(self, view[sent:], flags)


def _nothing():
    pass


def _sendall(sock, view, flags):
    # Slices bound the copy that one system call makes.
    slice_size = max(1 << 20, sock.getsockopt(SOL_SOCKET,
                                              __socket__.SO_SNDBUF))
    if sock.timeout == 0.0:
        # One try for each slice, and "timed out" for what is left.
        seconds = _no_time
    else:
        seconds = _Deadline(sock.timeout).left
    while view:
        try:
            view = view[_send_some(sock, view[:slice_size], flags,
                                   seconds()):]
        except BlockingIOError:
            raise timeout('timed out') from None


def _send_some(sock, view, flags, seconds):
    # A subclass's send() need not know of timeouts if there is none.
    if seconds is None:
        return sock.send(view, flags)
    return sock.send(view, flags, timeout=seconds)


def _no_time():
    return 0.0


class _Deadline:
    """The end of a time of *seconds*, from now."""

    __slots__ = ('end',)

    def __init__(self, seconds):
        self.end = None if seconds is None else monotonic() + seconds

    def left(self):
        """The seconds that are left, or ``None`` where there is no end.

        :raise socket.timeout: when it is over.
        """
        if self.end is None:
            return None
        left = self.end - monotonic()
        if left <= 0:
            raise timeout('timed out')
        return left


def _pause(hub, seconds, deadline):
    left = deadline.left()
    timer = hub.loop.timer(seconds if left is None else min(seconds, left))
    try:
        hub.wait(timer)
    finally:
        timer.close()
    return min(seconds * 2, 0.05)
