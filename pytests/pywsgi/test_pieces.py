"""Pieces of responses. Small ones that follow each other quickly leave together
on the engine, but none is kept from the client; large ones are not copied."""
import io
import os
import socket as native
import struct
import threading
import time

import gevent
import gevent.os
import pytest
from raw_http import TEXT, connect, get, split, talk, wait_until

from gevent import socket
from gevent.event import Event

HOUR = 3600


def receive_until(sock, end):
    data = bytearray()  # which many small pieces do not copy each time
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return bytes(data)


def unchunked(body):
    stream, data = io.BytesIO(body), []
    while size := int(stream.readline(), 16):
        data.append(stream.read(size))
        assert stream.readline() == b"\r\n"
    assert stream.read() == b"\r\n"
    return b"".join(data)


@pytest.fixture(params=["yield", "write"])
def respond(request):
    """A function: an application that sends the pieces a function yields."""
    def by_yield(pieces):
        def application(_environ, start_response):
            start_response("200 OK", TEXT)
            yield from pieces()
        return application

    def by_write(pieces):
        def application(_environ, start_response):
            write = start_response("200 OK", TEXT)
            for piece in pieces():
                write(piece)
            return []
        return application

    return by_yield if request.param == "yield" else by_write


@pytest.mark.parametrize("coalesce", [None, 0, 0.0002, HOUR])
def test_order(serve, respond, coalesce):
    def pieces():
        for i in range(3000):
            yield b"%d," % i
            if i % 500 == 499:
                yield b"x" * 5000

    server = serve(respond(pieces), coalesce=coalesce)
    _, _, body = split(talk(server, get()))
    assert unchunked(body) == b"".join(pieces())


def test_a_client_that_pauses(serve, respond):
    def pieces():
        for i in range(20000):
            yield b"%08d" % i * 25

    server = serve(respond(pieces))
    with connect(server) as sock:
        sock.sendall(get())
        gevent.sleep(0.05)
        data = receive_until(sock, b"\r\n0\r\n\r\n")
    assert unchunked(split(data)[2]) == b"".join(pieces())


def test_pieces_before_a_wait(serve, respond):
    more = Event()

    def pieces():
        for _ in range(100):
            yield b"a"
        yield b"b"
        assert more.wait(20)
        yield b"c"

    server = serve(respond(pieces), coalesce=HOUR)
    with connect(server) as sock:
        sock.sendall(get())
        receive_until(sock, b"\r\nb\r\n")
        more.set()
        receive_until(sock, b"\r\nc\r\n0\r\n\r\n")


def test_pieces_before_a_computation(serve, respond, way):
    """The hub has no turn, and the application does not let go of the GIL
    but when the interpreter asks."""
    come = threading.Event()

    def receive(port):
        with native.create_connection(("127.0.0.1", port), 20) as sock:
            sock.sendall(get())
            data = b""
            while not data.endswith(b"\r\nb\r\n"):
                data += sock.recv(65536)
            come.set()
            while not data.endswith(b"0\r\n\r\n"):
                data += sock.recv(65536)

    def pieces():
        for _ in range(100):
            yield b"a"
        yield b"b"
        end = time.monotonic() + 20
        while not come.is_set() and time.monotonic() < end:
            pass  # computing
        assert come.is_set()

    if "TLS" in way:
        pytest.skip("under TLS each piece is sent at once, none is collected")
    server = serve(respond(pieces))
    client = threading.Thread(target=receive, args=[server.server_port])
    client.start()
    wait_until(lambda: not client.is_alive())
    assert come.is_set()


def test_a_client_that_goes(serve, respond, quiet):
    gone = Event()
    raised = []

    def pieces():
        try:
            for _ in range(100):
                yield b"a"
            gone.wait()
            while True:
                yield b"a"
        except Exception as error:
            raised.append(error)
            raise
        finally:
            raised.append("closed")

    server = serve(respond(pieces))
    with connect(server) as sock:
        sock.sendall(get())
        receive_until(sock, b"1\r\na\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
    gone.set()
    wait_until(lambda: raised)
    assert raised[-1] == "closed"


def test_an_error_behind_pieces(serve, quiet, respond):
    """What was written before has left, and the client sees that the rest is
    missing."""
    def pieces():
        for _ in range(100):
            yield b"a"
        yield b"b"
        raise ArithmeticError("a test")

    server = serve(respond(pieces), coalesce=HOUR)
    response = talk(server, get())
    assert response.endswith(b"1\r\na\r\n1\r\nb\r\n")
    assert isinstance(quiet.pop(), ArithmeticError)


def test_a_fork_behind_pieces(serve, respond, way):
    def pieces():
        for _ in range(100):
            yield b"a"
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        yield b"b"

    if "TLS" in way:
        pytest.skip("under TLS each piece is sent at once, none is collected")
    server = serve(respond(pieces), coalesce=HOUR)
    _, _, body = split(talk(server, get()))
    assert unchunked(body) == b"a" * 100 + b"b"


def count_threads():
    return len(os.listdir("/proc/self/task"))


def test_a_fork_after_pieces(serve, respond, way):
    """It finds no thread of the engine, so that CPython does not warn of it;
    parent and child go on streaming."""
    if "TLS" in way:
        pytest.skip("under TLS each piece is sent at once, none is collected")
    server = serve(respond(lambda: [b"a"] * 1000))

    def ask():
        return unchunked(split(talk(server, get()))[2]) == b"a" * 1000

    gevent.get_hub().threadpool.kill()  # whose threads come and go
    threads = count_threads()
    assert ask()
    pid = gevent.os.fork()
    if pid == 0:
        status = 1
        try:
            server.stop_accepting()  # the parent's, too, listens there
            with gevent.Timeout(30), serve(
                    respond(lambda: [b"a"] * 1000)) as server:
                status = not ask()
        finally:
            os._exit(status)
    # One that had ended might have been counted.
    wait_until(lambda: count_threads() <= threads)
    assert os.waitstatus_to_exitcode(gevent.os.waitpid(pid, 0)[1]) == 0
    assert ask()


# -- large ones ------------------------------------------------------------------------

LARGE = 8_000_000  # more than the kernel takes at once


def large():
    return bytes(range(1, 251)) * (LARGE // 250)


@pytest.mark.parametrize("length", [None, LARGE + 2])
def test_a_large_piece(serve, respond, length):
    def pieces():
        yield b"<"
        yield large()
        yield b">"

    application = respond(pieces)

    def sized(environ, start_response):
        def start(status, headers):
            headers = headers + [("Content-Length", str(length))]
            return start_response(status, headers)
        return application(environ, start if length else start_response)

    _, _, body = split(talk(serve(sized), get()))
    assert (body if length else unchunked(body)) == b"<" + large() + b">"


def test_a_large_piece_given_up(serve, quiet, reader):
    """The client does not read: the application gives up, and the engine does
    not look at the piece any more."""
    ended = Event()

    if reader == "handlers":
        pytest.skip("handlers send pieces by sendall()")

    def application(_environ, start_response):
        write = start_response("200 OK", [*TEXT, ("Content-Length",
                                                  str(LARGE))])
        try:
            with gevent.Timeout(0.05):
                write(large())
        except gevent.Timeout:
            ended.set()
        return []

    with connect(serve(application)) as sock:
        sock.sendall(get())
        assert ended.wait(20)
        size = 0
        try:
            while data := sock.recv(1 << 20):
                size += len(data)
        except OSError:
            pass
        assert size < LARGE


def test_a_client_that_goes_within_a_piece(serve, quiet):
    ended = Event()

    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        try:
            yield large()
        finally:
            ended.set()

    server = serve(application)
    with connect(server) as sock:
        sock.sendall(get())
        assert sock.recv(100)
    assert ended.wait(20)
    assert b"200" in talk(server, get())[:20]
