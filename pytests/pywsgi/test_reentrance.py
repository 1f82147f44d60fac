"""Applications that turn on the server, on their own greenlet, or on what
they are given, in the middle of a request."""
import gc
import sys
import weakref

import gevent
import pytest
from raw_http import LOCAL, TEXT, connect, get, plain, split, wait_until

from gevent import pywsgi
from gevent._pywsgi_engine import AVAILABLE


def ask(server, *headers):
    """The status and body of an answer, up to the connection's end."""
    with connect(server) as peer:
        peer.settimeout(20)
        peer.sendall(get("/", "Connection: close", *headers, version="1.0"))
        answer = b""
        try:
            while data := peer.recv(65536):
                answer += data
        except ConnectionError:
            pass
    status, _headers, body = split(answer) if answer else ("", {}, b"")
    return status[9:12], body


# The server

@pytest.mark.parametrize("turn", [
    lambda server: server.stop(),
    lambda server: server.stop(0.01),
    lambda server: server.close(),
    lambda server: server.stop_accepting(),
    lambda server: server.drain(0),
    lambda server: gevent.spawn(server.drain),
], ids=["stop", "stop-soon", "close", "stop-accepting", "drain-now", "drain"])
def test_the_server_ends(serve, turn):
    def application(environ, start_response):
        turn(server)
        start_response("200 OK", TEXT)
        return [b"ok"]

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.settimeout(20)
        peer.sendall(get("/", "Connection: close"))
        answer = b""
        try:
            while data := peer.recv(65536):
                answer += data
        except ConnectionError:  # cut
            pass
    # By drain(0) the greenlet that asks for it is among those that it kills.
    assert not answer or split(answer)[2] in (b"ok", b"Internal Server Error")


def test_the_server_restarts(serve):
    def application(environ, start_response):
        server.stop_accepting()
        server.start_accepting()
        start_response("200 OK", TEXT)
        return [b"ok"]

    server = serve(application, wsgi=False)
    for _ in range(3):
        assert ask(server) == ("200", b"ok")


def test_a_server_goes_with_its_last_connection():
    """Which may be served after the server has stopped."""
    server = pywsgi.WSGIServer(LOCAL, plain, log=None)
    server.start()
    gone = weakref.ref(server)
    with connect(server) as peer:
        peer.settimeout(20)
        for _ in range(2):
            peer.sendall(get("/"))
            assert peer.recv(65536).endswith(b"ok")
            server.stop()
    del server
    wait_until(lambda: gc.collect() is None or gone() is None)


# The greenlet

class Deadly:
    """A result in whose *stage* the greenlet is killed."""

    def __init__(self, stage):
        self.stage = stage
        self.pieces = iter([b"a", b"b"])

    def reach(self, stage):
        if stage == self.stage:
            gevent.getcurrent().throw(gevent.GreenletExit)

    def __iter__(self):
        self.reach("iter")
        return self

    def __next__(self):
        self.reach("next")
        return next(self.pieces)

    def close(self):
        self.reach("close")


class DeadlySized(Deadly):
    def __iter__(self):
        self.reach("iter")
        yield b"a"
        self.reach("next")
        yield b"b"

    def __len__(self):
        self.reach("len")
        return 2


@pytest.mark.parametrize("kind", [Deadly, DeadlySized])
@pytest.mark.parametrize("stage", ["iter", "next", "close", "len"])
def test_the_greenlet_is_killed_in_the_result(serve, quiet, kind, stage):
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return kind(stage)

    server = serve(application, wsgi=False)
    for _ in range(3):
        status, body = ask(server)
        assert (status, body) in [("500", b"Internal Server Error"),
                                  ("200", b"ab")]
    assert not quiet
    server.application = plain
    assert ask(server) == ("200", b"ok")


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_the_greenlet_is_killed_from_outside(serve, quiet, begun, later):
    greenlets = []

    def application(environ, start_response):
        if later:
            greenlets.append(gevent.getcurrent())
        write = start_response("200 OK", TEXT)
        if begun:
            write(b"begun")
        if not later:
            greenlets.append(gevent.getcurrent())
        gevent.sleep(60)

    server = serve(application, wsgi=False)
    asked = gevent.spawn(ask, server)
    wait_until(lambda: greenlets)
    gevent.sleep(0)
    greenlets[0].kill()
    status, body = asked.get(timeout=20)
    assert body in (b"begun" if begun else b"Internal Server Error", b"")
    assert not quiet
    server.application = plain
    assert ask(server) == ("200", b"ok")


def test_a_time_limit_ends_a_write(serve, quiet):
    """To a client that does not read."""
    ended = []

    def application(environ, start_response):
        write = start_response("200 OK", TEXT)
        try:
            with gevent.Timeout(0.05):
                while True:
                    write(bytes(1 << 20))
        except gevent.Timeout:
            ended.append(1)
        return []

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.sendall(get("/"))
        wait_until(lambda: ended)
    server.application = plain
    assert ask(server) == ("200", b"ok")


# What the application is given

@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
@pytest.mark.parametrize("name", ["environ", "status"])
@pytest.mark.parametrize("early", [True, False])
def test_attributes_of_the_exchange_go(serve, quiet, name, early):
    def application(environ, start_response):
        exchange = start_response.__self__
        if early:
            delattr(exchange, name)
        start_response("200 OK", TEXT)
        if not early:
            delattr(exchange, name)
        return iter([b"ok"])

    server = serve(application, wsgi=False)
    assert ask(server)[0] in ("200", "")


@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
def test_exchanges_in_cycles_go(serve):
    """Whatever an application makes a part of them."""
    alive = []

    class Status(str):
        def __del__(self):
            alive.remove(1)

    def application(environ, start_response):
        exchange = start_response.__self__
        start_response("200 OK", TEXT)
        exchange.status = Status("200 OK")
        exchange.status.exchange = exchange
        alive.append(1)
        return [b"ok"]

    server = serve(application, wsgi=False)
    assert ask(server) == ("200", b"ok")
    gc.collect()
    assert not alive


class Name(str):
    """Shows in messages, and changes the headers then."""

    headers = ()

    def __repr__(self):
        del self.headers[:]
        gc.collect()
        return "gone"


@pytest.mark.parametrize("bad", [
    lambda name: [name], lambda name: (name, "a\nb"), lambda name: (name, 1),
    lambda name: [name, b"1"], lambda name: (name,), lambda name: name])
def test_headers_change_while_they_are_shown(serve, quiet, bad):
    def application(environ, start_response):
        headers = [("Content-Length", "2")]
        name = Name("Bad")
        name.headers = headers
        headers.append(bad(name))
        headers.append(("Last", "1"))
        start_response("200 OK", headers)
        return [b"ok"]

    server = serve(application, wsgi=False)
    assert ask(server) == ("500", b"Internal Server Error")


def test_a_length_that_fails(serve, quiet):
    """It is not asked for: that there is one says that its items can be."""
    class Result:
        def __len__(self):
            raise KeyError("length")

        def __iter__(self):
            return iter([b"ab", b"c"])

    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return Result()

    assert ask(serve(application, wsgi=False)) == ("200", b"abc")
    assert not quiet


def test_the_same_error_twice(serve, quiet):
    """An error of close() that is the one before is no cause of itself."""
    error = LookupError("always")

    class Result:
        def __iter__(self):
            raise error

        def close(self):
            raise error

    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return Result()

    assert ask(serve(application, wsgi=False))[0] == "500"
    assert quiet == [error]
    assert error.__context__ is None
    assert sys.exc_info() == (None, None, None)
