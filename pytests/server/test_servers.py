"""Stream and datagram servers."""
import contextlib
import errno
import os
import socket as native

import gevent
import pytest
from raw_http import LOCAL, PEM, wait_until

from gevent import socket
from gevent.baseserver import BaseServer, parse_address
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import (DatagramServer, StreamServer, _tcp_listener,
                           _udp_socket)


def echo(conn, _address):
    while data := conn.recv(65536):
        conn.sendall(data)


def connect(server):
    sock = socket.create_connection(("127.0.0.1", server.server_port))
    sock.settimeout(20)
    return sock


def ask(server, data=b"x"):
    with connect(server) as sock:
        sock.sendall(data)
        return sock.recv(len(data))


# -- connections ------------------------------------------------------------------------

def test_a_connection_of_which_no_socket_can_be_made(quiet, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    with StreamServer(LOCAL, echo) as server:
        server.start()
        monkeypatch.setattr("gevent.server._GeventSocket", fail)
        with native.create_connection(server.address) as sock:
            wait_until(lambda: quiet)
            sock.settimeout(20)
            assert sock.recv(1) == b""
        monkeypatch.undo()
        assert ask(server) == b"x"
    del quiet[:]


# -- addresses -----------------------------------------------------------------------

@pytest.mark.parametrize("address, family, parsed", [
    (("127.0.0.1", 80), native.AF_INET, ("127.0.0.1", 80)),
    (("", 80), native.AF_INET6, ("", 80)),
    (("::1", 80), native.AF_INET6, ("::1", 80)),
    ("127.0.0.1:80", native.AF_INET, ("127.0.0.1", 80)),
    ("localhost:80", native.AF_INET, ("localhost", 80)),
    ("[::1]:80", native.AF_INET6, ("::1", 80)),
    ("*:80", native.AF_INET, ("", 80)),
    (":80", native.AF_INET, ("", 80)),
    ("80", native.AF_INET6, ("", 80)),
    (80, native.AF_INET6, ("", 80))])
def test_addresses(address, family, parsed):
    assert parse_address(address) == (family, parsed)


@pytest.mark.parametrize("address, error", [
    ("/a/path", ValueError), ("host:port", ValueError), (None, TypeError),
    (1.5, TypeError)])
def test_bad_addresses(address, error):
    with pytest.raises(error):
        parse_address(address)
    with pytest.raises(error):
        StreamServer(address, echo)


def test_an_address_in_use():
    with StreamServer(LOCAL, echo) as first:
        first.start()
        second = StreamServer(first.address, echo)
        with pytest.raises(OSError) as caught:
            second.start()
        assert caught.value.errno == errno.EADDRINUSE
        assert str(first.server_port) in str(caught.value)
        assert not second.started


# -- the life of a server ------------------------------------------------------------

def test_states():
    server = StreamServer("127.0.0.1:0", echo)
    assert not server.started and server.closed
    server.start()
    assert server.started and not server.closed
    assert server.server_host == "127.0.0.1"
    assert server.server_port == server.address[1] != 0
    assert str(server.server_port) in repr(server)
    assert ask(server) == b"x"
    server.stop()
    assert not server.started and server.closed
    server.stop()
    with pytest.raises(OSError):
        connect(server)


def test_serve_forever():
    server = StreamServer(LOCAL, echo)
    serving = gevent.spawn(server.serve_forever)
    wait_until(lambda: server.started)
    assert ask(server) == b"x"
    server.close()
    serving.get(timeout=20)
    server = StreamServer(LOCAL, echo)
    serving = gevent.spawn(server.serve_forever)
    wait_until(lambda: server.started)
    serving.kill()
    assert server.closed


def test_a_listening_socket():
    listener = socket.create_server(LOCAL)
    with StreamServer(listener, echo) as server:
        server.start()
        assert ask(server) == b"x"
    assert listener.fileno() == -1


def test_a_listening_socket_of_the_standard_library():
    listener = native.create_server(LOCAL)
    with StreamServer(listener, echo) as server:
        server.start()
        assert ask(server) == b"x"


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    with StreamServer(listener, echo) as server:
        server.start()
        assert (server.server_host, server.server_port) == (None, None)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_bad_arguments(monkeypatch):
    with pytest.raises(TypeError):
        StreamServer(LOCAL)
    listener = socket.create_server(LOCAL)
    with pytest.raises(TypeError):
        StreamServer(listener, echo, backlog=5)
    assert listener.fileno() == -1
    monkeypatch.setattr(StreamServer, "max_accept", 0)
    with pytest.raises(ValueError):
        StreamServer(LOCAL, echo)


def test_a_tls_socket_is_no_listener():
    from gevent import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with socket.socket() as sock:
        with context.wrap_socket(sock, server_side=True) as listener:
            with pytest.raises(TypeError):
                StreamServer(listener, echo)


# -- handlers ------------------------------------------------------------------------

def test_handle_as_a_method():
    class Server(StreamServer):

        def handle(self, conn, address):
            conn.sendall(address[0].encode())

    with Server(LOCAL) as server:
        server.start()
        with connect(server) as sock:
            assert sock.recv(99) == b"127.0.0.1"
            assert sock.recv(1) == b""


@pytest.mark.parametrize("spawn", [
    "default", gevent.spawn, gevent.spawn_raw, 5, Pool(5)])
def test_ways_to_spawn(spawn):
    with StreamServer(LOCAL, echo, spawn=spawn) as server:
        server.start()
        with connect(server) as first:
            assert ask(server) == b"x"
            first.sendall(b"y")
            assert first.recv(1) == b"y"


def test_one_at_a_time():
    """A bool is a number, as elsewhere."""
    with StreamServer(LOCAL, echo, spawn=True) as server:
        server.start()
        assert server.pool.size == 1
        assert ask(server) == b"x"


def test_in_the_hub():
    with StreamServer(LOCAL, lambda conn, _: conn.send(b"x"),
                      spawn=None) as server:
        server.start()
        with connect(server) as sock:
            assert sock.recv(9) == b"x"
            assert sock.recv(9) == b""


def test_many_clients():
    with StreamServer(LOCAL, echo) as server:
        server.start()
        data = os.urandom(100_000)

        def talk():
            with connect(server) as sock:
                sending = gevent.spawn(sock.sendall, data)
                received = bytearray()
                while len(received) < len(data):
                    received += sock.recv(65536)
                sending.get()
                return received == data

        talks = [gevent.spawn(talk) for _ in range(50)]
        gevent.joinall(talks, timeout=140, raise_error=True)
        assert all(talk.value for talk in talks)


def test_a_full_pool_accepts_later():
    running, go = [], Event()

    def handle(conn, _address):
        running.append(conn)
        go.wait()
        conn.sendall(b"x")

    with StreamServer(LOCAL, handle, spawn=2) as server:
        server.start()
        clients = [connect(server) for _ in range(5)]
        wait_until(lambda: len(running) == 2)
        gevent.sleep(0.02)
        assert len(running) == 2 and server.full()
        go.set()
        for client in clients:
            assert client.recv(1) == b"x"
            client.close()
        assert len(running) == 5


def test_stop_waits_for_a_pool_and_kills_the_rest():
    killed = []

    def handle(conn, _address):
        seconds = float(conn.recv(9))
        try:
            gevent.sleep(seconds)
            conn.sendall(b"x")
        except gevent.GreenletExit:
            killed.append(seconds)

    server = StreamServer(LOCAL, handle, spawn=5)
    server.start()
    quick, slow = connect(server), connect(server)
    quick.sendall(b"0.05")
    slow.sendall(b"600")
    wait_until(lambda: len(server.pool) == 2)
    gevent.sleep(0.01)
    server.stop(timeout=0.5)
    assert quick.recv(1) == b"x"
    assert slow.recv(1) == b""
    assert killed == [600.0]
    quick.close()
    slow.close()


def test_stop_leaves_handlers_without_a_pool():
    server = StreamServer(LOCAL, echo)
    server.start()
    with connect(server) as sock:
        sock.sendall(b"x")
        assert sock.recv(1) == b"x"
        server.stop()
        sock.sendall(b"y")
        assert sock.recv(1) == b"y"


def test_an_error_of_a_handler_closes_its_connection(quiet):
    def handle(_conn, _address):
        raise ZeroDivisionError

    with StreamServer(LOCAL, handle) as server:
        server.start()
        for _ in range(3):
            with connect(server) as sock:
                assert sock.recv(1) == b""
    assert [type(error) for error in quiet] == [ZeroDivisionError] * 3


def test_an_error_of_spawn_closes_the_connection(quiet):
    def spawn(*_args):
        raise ZeroDivisionError

    with StreamServer(LOCAL, echo, spawn=spawn) as server:
        server.start()
        for _ in range(3):
            with connect(server) as sock:
                assert sock.recv(1) == b""
        assert server.delay > server.min_delay
    assert [type(error) for error in quiet] == [ZeroDivisionError] * 3


# -- errors of the listener ----------------------------------------------------------

class Failing(StreamServer):
    """Accepts nothing for a while."""

    errors = ()

    def do_read(self):
        if self.errors:
            raise self.errors.pop()
        return super().do_read()


def test_passing_errors(quiet):
    with Failing(LOCAL, echo) as server:
        server.errors = [OSError(errno.EMFILE, "too many")] * 3
        server.start()
        assert ask(server) == b"x"
        assert server.delay == server.min_delay
    assert len(quiet) == 3


def test_fatal_errors(quiet, capsys):
    server = Failing(LOCAL, echo)
    server.errors = [OSError(errno.EBADF, "gone")]
    server.start()
    with contextlib.suppress(ConnectionResetError):
        connect(server).close()
    wait_until(lambda: server.closed)
    assert "failed with" in capsys.readouterr().err


def test_closed_by_a_handler():
    def handle(conn, _address):
        server.close()

    server = StreamServer(LOCAL, handle, spawn=None)
    server.start()
    with connect(server) as sock:
        assert sock.recv(1) == b""
    assert server.closed


def test_a_base_server_reads_nothing():
    with pytest.raises(NotImplementedError):
        BaseServer(LOCAL, echo).do_read()


# -- TLS -----------------------------------------------------------------------------

def test_tls():
    from gevent import ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(PEM)
    for arguments in ({"ssl_context": context}, {"certfile": PEM}):
        with StreamServer(LOCAL, echo, **arguments) as server:
            assert server.ssl_enabled
            server.start()
            with trusting.wrap_socket(
                    connect(server), server_hostname="localhost") as sock:
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"


def test_a_failed_handshake_closes_the_connection(quiet):
    with StreamServer(LOCAL, echo, certfile=PEM) as server:
        server.start()
        with connect(server) as sock:
            sock.sendall(b"this is no TLS\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(99):
                    pass
        wait_until(lambda: quiet)


# -- datagrams -----------------------------------------------------------------------

def test_datagrams():
    def handle(data, address):
        server.sendto(data.upper(), address)

    with DatagramServer("127.0.0.1:0", handle) as server:
        server.start()
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(20)
            sock.connect(server.address)
            for size in (1, 0, 8192):
                sock.send(b"x" * size)
                assert sock.recv(9000) == b"X" * size


def test_listeners_as_programs_that_fork_make_them():
    with _tcp_listener(LOCAL, backlog=1, reuse_addr=1,
                       family=socket.AF_INET) as sock:
        assert sock.gettimeout() == 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        with pytest.raises(OSError, match="already in use: .*127.0.0.1"):
            _tcp_listener(sock.getsockname())
        with StreamServer(sock, echo) as server:
            server.start()
            assert ask(server) == b"x"
    with _udp_socket(LOCAL) as sock:
        assert sock.gettimeout() is None
        assert sock.type == socket.SOCK_DGRAM
