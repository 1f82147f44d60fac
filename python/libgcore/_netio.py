"""Transfers on non-blocking descriptors in which "would block" is ``None``.

The plain Python twin of the accelerator's ``netio.c``: the same names, the
same answers. A transfer that fails otherwise raises ``OSError``.
"""
import os

__all__ = ['sock_recv', 'sock_recv_into', 'sock_recv_waiting', 'sock_send',
           'sock_send_waiting', 'fd_read', 'fd_write']


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


def sock_recv_waiting(sock, size: int, flags: int, _watcher,
                      _timeout) -> 'bytes | None':
    """Receive; ``None`` where the caller must wait: here, always."""
    return sock_recv(sock, size, flags)


def sock_send_waiting(sock, data, flags: int, _watcher,
                      _timeout) -> 'int | None':
    """Send; ``None`` where the caller must wait: here, always."""
    return sock_send(sock, data, flags)


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
