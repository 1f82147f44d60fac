"""A TLS server that echoes, a context that trusts it, and a check that no
descriptor is left open."""
import pathlib
import ssl as native

import gevent
import pytest
from descriptor_fixtures import nothing_left  # noqa: F401

#: Key and certificate of localhost, other.localhost and 127.0.0.1.
PEM = str(pathlib.Path(__file__).with_name("localhost.pem"))


@pytest.fixture
def pem():
    return PEM


@pytest.fixture
def server_context():
    from gevent import ssl
    context = ssl.SSLContext(native.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


@pytest.fixture
def client_context():
    from gevent import ssl
    context = ssl.SSLContext(native.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(PEM)
    return context


@pytest.fixture
def serve(server_context):
    """A function that starts a TLS server with a handler; returns it."""
    from gevent.server import StreamServer
    servers = []

    def start(handle, context=server_context):
        server = StreamServer(("127.0.0.1", 0), handle, ssl_context=context)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def pair(server_context, client_context):
    """A function that returns a connected client and server socket."""
    from gevent import socket
    opened = []

    def connect(**arguments):
        ours, theirs = socket.socketpair()
        accepting = gevent.spawn(
            server_context.wrap_socket, theirs, server_side=True)
        client = client_context.wrap_socket(
            ours, server_hostname="localhost", **arguments)
        server = accepting.get(timeout=30)
        opened.extend((client, server))
        return client, server

    yield connect
    for sock in opened:
        sock.close()
