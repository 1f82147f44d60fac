"""
The cooperative socket class, and the functions that make sockets.
"""
import os
from errno import EBADF

from gevent import _socketcommon
from gevent._hub_local import get_hub_noargs as get_hub
from gevent._socketcommon import (
    SocketMixin, __dns__, __extensions__, __imports__, __socket__, _socket,
    cancel_wait, cancel_wait_ex, getaddrinfo, getfqdn, gethostbyaddr,
    gethostbyname, gethostbyname_ex, getnameinfo, timeout_default, wait,
    wait_read, wait_readwrite, wait_write,
)

__implements__ = [name for name in _socketcommon._implements
                  if name != 'create_connection']
__all__ = __implements__ + __extensions__ + __imports__

for _name in __imports__:
    globals()[_name] = getattr(__socket__, _name)
del _name

SocketIO = __socket__.SocketIO
_realsocket = _socket.socket
_stdlib_socket = __socket__.socket


class _wrefsocket(_realsocket):
    """The C socket, with room for weak references."""

    __slots__ = ('__weakref__',)


class _closedsocket:
    """Stands where the C socket was, once that is closed or detached."""

    __slots__ = ('family', 'type', 'proto', '_fd', '_fate')

    def __init__(self, sock, fd, fate):
        self.family = sock.family
        self.type = sock.type
        self.proto = sock.proto
        self._fd = fd
        self._fate = fate

    def __getattr__(self, name):
        # Any operation fails; what no socket has is missing here too.
        if not hasattr(_realsocket, name):
            raise AttributeError(
                "'socket' object has no attribute %r" % (name,))
        return self._fail

    @staticmethod
    def _fail(*_args, **_kwargs):
        raise OSError(EBADF, os.strerror(EBADF))

    def __bool__(self):
        return False

    def fileno(self):
        """Always -1."""
        return -1

    def detach(self):
        """Always -1."""
        return -1

    def close(self):
        """Does nothing."""

    def __repr__(self):
        return '<socket object [closed proxy at 0x%x fd=%s %s]>' % (
            id(self), self._fd, self._fate)


class socket(SocketMixin):
    """A cooperative socket, with the interface of the standard `socket.socket`.

    :param family: an ``AF_*`` constant.
    :param type: a ``SOCK_*`` constant.
    :param proto: the protocol number.
    :param fileno: an open socket's descriptor (int), taken over; what is left
        out of the others is found out from it.
    :raise OSError: if there cannot be such a socket.
    """

    # Like the standard library's: no __dict__.
    __slots__ = (
        '_io_refs',
        '_closed',
    )

    _gevent_sock_class = _wrefsocket

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        self._closed = False
        self._io_refs = 0
        if fileno is None:
            if family == -1:
                family = __socket__.AF_INET
            if type == -1:
                type = __socket__.SOCK_STREAM
            if proto == -1:
                proto = 0
        sock = self._gevent_sock_class(family, type, proto, fileno)
        try:
            _realsocket.setblocking(sock, False)
            self._sock = sock
            self._reader = self._writer = None
            self.timeout = _socket.getdefaulttimeout()
            self.hub = get_hub()
        except BaseException:
            if fileno is not None:  # it stays the caller's
                sock.detach()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *args):
        if not self._closed:
            self.close()

    def __repr__(self):
        kind = type(self)
        try:
            details = repr(self._sock)[len('<socket '):]
        except AttributeError:
            details = 'object (not made)>'
        return '<%s.%s%s at 0x%x%s %s' % (
            kind.__module__, kind.__qualname__,
            ' [closed]' if getattr(self, '_closed', False) else '',
            id(self), self._extra_repr(), details)

    def _extra_repr(self):
        return ''

    def __getstate__(self):
        raise TypeError('cannot pickle %r object: a socket belongs to its '
                        'process' % (type(self).__name__,))

    def dup(self):
        """A new socket of the same class for a duplicate of the descriptor."""
        sock = _owner_of(__socket__.dup(self.fileno()), self.__class__,
                         self.family, self.type, self.proto)
        sock.settimeout(self.gettimeout())
        return sock

    def _accept(self):
        # The descriptor and the address of a connection that is there.
        return self._sock._accept()

    def accept(self):
        """Wait for a connection: ``(socket, address of the client)``."""
        fd, address = self._when_readable(0, '_accept')
        sock = _owner_of(fd, socket, self.family, self.type, self.proto)
        # Its O_NONBLOCK says nothing: without a default timeout it waits.
        if __socket__.getdefaulttimeout() is None and self.gettimeout():
            sock.setblocking(True)
        return sock, address

    # The files and their protocol (_io_refs, _decref_socketios) are the
    # standard library's.
    makefile = _stdlib_socket.makefile
    _decref_socketios = _stdlib_socket._decref_socketios

    @property
    def closed(self):
        """Whether `close` was called; open files keep the descriptor."""
        return self._closed

    def close(self):
        """Close the socket, once the files made of it are closed too.

        Greenlets that wait for it get `cancel_wait_ex`, an OSError EBADF.
        """
        self._closed = True
        if self._io_refs <= 0:
            self._real_close()

    def _real_close(self):
        if self._sock:
            self._drop_events_and_close(self._detach_socket('closed'))

    def detach(self):
        """Close the socket but not its descriptor, which is returned."""
        self._closed = True
        if not self._sock:
            return -1
        sock = self._detach_socket('detached')
        self._drop_events_and_close(sock, closefd=False)
        return sock.detach()

    def _detach_socket(self, fate):
        # Leaves a stand-in; the C socket goes to the caller.
        sock = self._sock
        self._sock = _closedsocket(sock, sock.fileno(), fate)
        return sock

    if hasattr(_realsocket, 'recvmsg'):
        def recvmsg(self, bufsize, ancbufsize=0, flags=0, /):
            """recvmsg(bufsize[, ancbufsize[, flags]])
            -> (data, ancdata, msg_flags, address)"""
            return self._when_readable(flags, 'recvmsg', bufsize, ancbufsize,
                                       flags)

        def recvmsg_into(self, buffers, ancbufsize=0, flags=0, /):
            """recvmsg_into(buffers[, ancbufsize[, flags]])
            -> (count, ancdata, msg_flags, address)"""
            # More than one try has to see the same of a generator.
            return self._when_readable(flags, 'recvmsg_into', list(buffers),
                                       ancbufsize, flags)

    if hasattr(_realsocket, 'sendmsg'):
        def sendmsg(self, buffers, ancdata=(), flags=0, address=None):
            """Send what the kernel takes of *buffers*, gathered into one
            message; the number of bytes is returned."""
            return self._when_writable(flags, 'sendmsg', list(buffers),
                                       list(ancdata), flags, address)

    if hasattr(_realsocket, 'sendmsg_afalg'):
        def sendmsg_afalg(self, msg=(), *, op, flags=0, **kwargs):
            """As the standard library's, for AF_ALG sockets."""
            return self._when_writable(flags, 'sendmsg_afalg', list(msg),
                                       op=op, flags=flags, **kwargs)

    _check_sendfile_params = _stdlib_socket._check_sendfile_params
    _sendfile_use_send = _stdlib_socket._sendfile_use_send

    def _sendfile_use_sendfile(self, file, offset=0, count=None):
        # The file may be slow, and only the waiting for the socket lets
        # others run.
        raise __socket__._GiveupOnSendfile()

    def sendfile(self, file, offset=0, count=None):
        """Send the binary *file*, from *offset*, *count* bytes or all of it.

        :return: the number of bytes sent.
        :raise ValueError: for a socket that does not wait, or is no stream.
        """
        return self._sendfile_use_send(file, offset, count)

    def get_inheritable(self):
        """Whether programs that this one starts inherit the descriptor."""
        return os.get_inheritable(self.fileno())

    def set_inheritable(self, inheritable):
        """Let programs that this one starts inherit the descriptor, or not."""
        os.set_inheritable(self.fileno(), inheritable)


SocketType = socket


def _owner_of(fd, kind, family, type, proto):
    """A socket of that *kind* for *fd*, which is closed if there can be
    none."""
    try:
        return kind(family, type, proto, fileno=fd)
    except BaseException:
        os.close(fd)
        raise


def fromfd(fd, family, type, proto=0):
    """A socket for a duplicate of the descriptor *fd*.

    The other arguments are as for :class:`socket`.
    """
    return _owner_of(__socket__.dup(fd), socket, family, type, proto)


if hasattr(_realsocket, 'share'):
    def fromshare(info):
        """A socket from what another's ``share()`` gave."""
        return socket(0, 0, 0, info)

    __implements__.append('fromshare')
    if 'fromshare' in __imports__:
        __imports__.remove('fromshare')


def socketpair(family=None, type=__socket__.SOCK_STREAM, proto=0):
    """Two sockets, connected with each other; AF_UNIX unless told otherwise."""
    if family is None:
        family = getattr(__socket__, 'AF_UNIX', __socket__.AF_INET)
    one, other = _socket.socketpair(family, type, proto)
    return (_owner_of(one.detach(), socket, family, type, proto),
            _owner_of(other.detach(), socket, family, type, proto))
