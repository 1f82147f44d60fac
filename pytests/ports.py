"""Ports for servers that run as programs of their own."""
import contextlib
import socket

__all__ = ["free_port"]


@contextlib.contextmanager
def free_port(kind=socket.SOCK_STREAM):
    """A port of 127.0.0.1 that the system gives to nobody meanwhile, as a
    socket is bound to it. A server can have it: servers reuse addresses. Of
    datagrams it gets all, as the last one that was bound."""
    with socket.socket(type=kind) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
