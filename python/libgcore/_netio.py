"""Transfers on non-blocking descriptors in which "would block" is ``None``.

The plain Python twin of the accelerator's ``netio.c`` and ``socket.c``: the same
names, the same answers. A transfer that fails otherwise raises ``OSError``.
"""
import _socket
import itertools
import os

__all__ = ['SocketBase', 'sock_recv', 'sock_recv_into', 'sock_send',
           'sock_sendto', 'fd_read', 'fd_write']

_datagrams = itertools.count(1)
_MSG_DONTWAIT = int(getattr(_socket, 'MSG_DONTWAIT', 0))


def sock_recv(sock, size: int, flags: int = 0) -> 'bytes | None':
    """Receive up to *size* bytes; ``None`` if that would block."""
    try:
        return sock.recv(size, flags)
    except BlockingIOError:
        return None


def sock_recv_into(sock, buffer, size: int = 0,
                   flags: int = 0) -> 'int | None':
    """Receive into *buffer*, at most *size* bytes where that is not 0.

    Returns the number of bytes, or ``None`` if it would block.
    """
    try:
        return sock.recv_into(buffer, size, flags)
    except BlockingIOError:
        return None


def sock_send(sock, data, flags: int = 0) -> 'int | None':
    """Send what the kernel takes of *data*: the number of bytes, or ``None``."""
    try:
        return sock.send(data, flags)
    except BlockingIOError:
        return None


def sock_sendto(sock, data, flags: int, address) -> 'int | None':
    """Send *data* to *address*: the number of bytes, or ``None``."""
    try:
        return sock.sendto(data, flags, address)
    except BlockingIOError:
        return None


class SocketBase:
    """What every cooperative socket has."""

    __slots__ = ('_sock', '_reader', '_writer', 'timeout', 'hub',
                 '__weakref__')

    def recv(self, bufsize, flags=0, /):
        """Receive up to *bufsize* bytes; none of them at the end of the stream.
        """
        seconds = 0.0 if flags & _MSG_DONTWAIT else self.timeout
        while (data := sock_recv(self._sock, bufsize, flags)) is None:
            self._wait_readable(seconds)
        return data

    def send(self, data, flags=0, timeout=...):
        """Send what the kernel takes of *data*; the number of bytes is returned.

        :param timeout: seconds to wait at most, in place of the socket's own.
        """
        seconds = self.timeout if timeout is ... else timeout
        if flags & _MSG_DONTWAIT:
            seconds = 0.0
        while (sent := sock_send(self._sock, data, flags)) is None:
            self._wait_writable(seconds)
        return sent

    def sendall(self, data, flags=0):
        """Send all of *data*; the timeout is for the whole of it.

        :raise socket.timeout: if some of it is left when the timeout is over.
            How much was sent is not known then.
        """
        sent = 0
        # One call for what fits. A subclass that has a `send` of its own
        # (encryption) must not be passed by.
        if type(self).send is SocketBase.send:
            sent = sock_send(self._sock, data, flags) or 0
            if type(data) is bytes and sent == len(data):
                return
        self._send_rest(data, sent, flags)

    def sendto(self, *args):
        """sendto(data[, flags], address) -> count"""
        if len(args) not in (2, 3):
            raise TypeError('sendto() takes 2 to 3 arguments (%d given)'
                            % len(args))
        data, address = args[0], args[-1]
        flags = args[1] if len(args) == 3 else 0
        seconds = 0.0 if flags & _MSG_DONTWAIT else self.timeout
        self._let_a_receiver_run()
        while (sent := sock_sendto(self._sock, data, flags, address)) is None:
            self._wait_writable(seconds)
        return sent

    def _let_a_receiver_run(self):
        # Of many datagrams in one turn some would not fit into the buffer of a
        # receiver in this process.
        if next(_datagrams) % 16 == 0:
            loop = self.hub.loop
            if loop is not None:
                loop.poll_next()


def fd_read(fd: int, size: int) -> 'bytes | None':
    """Read up to *size* bytes from the file *fd*; ``None`` if it would block."""
    try:
        return os.read(fd, size)
    except BlockingIOError:
        return None


def fd_write(fd: int, data) -> 'int | None':
    """Write what the kernel takes of *data*: the number of bytes, or ``None``."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return None
