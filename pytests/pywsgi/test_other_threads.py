"""Applications that give their request to a native thread."""
import gc
import threading

import gevent
import pytest
from gevent.threadpool import ThreadPool
from raw_http import TEXT, connect, post, split, wait_until

from gevent import monkey, pywsgi, socket
from gevent._pywsgi_engine import AVAILABLE

Thread = monkey.get_original("threading", "Thread")


@pytest.fixture
def pool():
    pool = ThreadPool(2)
    yield pool
    pool.kill()


@pytest.fixture(params=[0, 0.1], ids=["at once", "later"])
def ask(request):
    """A function that sends a request, its body perhaps later; the answer."""
    def ask(server, body=b"12345"):
        with connect(server) as peer:
            peer.settimeout(20)
            peer.sendall(post(b"", f"Content-Length: {len(body)}",
                              "Connection: close"))
            gevent.sleep(request.param)
            peer.sendall(body)
            answer = b""
            while data := peer.recv(65536):
                answer += data
        status, headers, sent = split(answer)
        assert status == "HTTP/1.1 200 OK"
        if headers.get("Transfer-Encoding") == "chunked":
            sent = unchunked(sent)
        return sent

    return ask


def unchunked(data):
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        size = int(size, 16)
        if not size:
            return whole
        whole += data[:size]
        data = data[size + 2:]


@pytest.mark.parametrize("read", [
    lambda body: body.read(), lambda body: body.read(3) + body.read(2),
    lambda body: body.readline(), lambda body: b"".join(body)],
    ids=["whole", "pieces", "line", "lines"])
def test_reading(serve, pool, ask, read):
    def application(environ, start_response):
        body = pool.apply(read, (environ["wsgi.input"],))
        start_response("200 OK", TEXT)
        return [body]

    assert ask(serve(application, wsgi=False)) == b"12345"


def test_reading_much(serve, pool, ask):
    body = bytes(range(256)) * 8192

    def application(environ, start_response):
        size = len(pool.apply(environ["wsgi.input"].read))
        start_response("200 OK", TEXT)
        return [str(size).encode()]

    server = serve(application, wsgi=False)
    assert ask(server, body) == str(len(body)).encode()


def test_writing(serve, pool, ask):
    pieces = [bytes([65 + number]) * 100_000 for number in range(20)]

    def application(environ, start_response):
        write = start_response("200 OK", TEXT)
        for piece in pieces:
            pool.apply(write, (piece,))
        return []

    assert ask(serve(application, wsgi=False)) == b"".join(pieces)


def test_a_whole_application(serve, pool, ask):
    def inner(environ, start_response):
        body = environ["wsgi.input"].read()
        start_response("200 OK", TEXT)(b"read=")
        return [body]

    def application(environ, start_response):
        return pool.apply(inner, (environ, start_response))

    assert ask(serve(application, wsgi=False)) == b"read=12345"


def test_errors_are_those_of_the_caller(serve, pool):
    seen = []

    def read(body):
        try:
            body.read()
        except OSError as ex:
            seen.append(ex)
            raise

    def application(environ, start_response):
        pool.apply(read, (environ["wsgi.input"],))

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.sendall(post(b"", "Content-Length: 5"))
        gevent.sleep(0.05)
        peer.shutdown(socket.SHUT_WR)
        assert b" 400 " in peer.recv(65536)
    assert "unexpected end of file" in str(seen[0])


def test_the_hub_is_held_up_meanwhile(serve):
    """What has come can be read though the hub's thread waits as a whole."""
    def application(environ, start_response):
        found = []
        thread = Thread(
            target=lambda: found.append(environ["wsgi.input"].read()))
        thread.start()
        thread.join()
        start_response("200 OK", TEXT)
        return found

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.settimeout(20)
        peer.sendall(post(b"12345", "Content-Length: 5"))
        assert peer.recv(65536).endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
def test_the_last_reference_goes_elsewhere(serve, pool):
    """While the hub's thread polls, and has not answered."""
    held, goes = [], threading.Event()

    def drop():
        goes.wait()
        held.clear()

    def application(environ, start_response):
        held.append(start_response.__self__.request)
        raise gevent.GreenletExit

    class Server(pywsgi.WSGIServer):
        pass

    server = serve(application, wsgi=False, server_class=Server)
    gc.freeze()  # to collect what is made here, not all of the suite
    for _ in range(50):
        with connect(server) as peer:
            peer.sendall(post(b"", "Content-Length: 5"))
            assert b" 500 " in peer.recv(65536)
            dropped = pool.spawn(drop)
            gc.collect()
            goes.set()
            dropped.get()
            goes.clear()
    gc.unfreeze()
    wait_until(lambda: not server._http.counters()["active"])
