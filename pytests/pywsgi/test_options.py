"""Limits, time limits, draining, what a proxy says, lines and counters."""
import contextlib
import gc
import socket as native
import struct
import sys

import gevent
import pytest
from raw_http import (LOCAL, TEXT, connect, get, plain, post, show_body,
                      split, talk, wait_until)

from gevent import pywsgi, socket
from gevent._pywsgi_input import TimedFile
from gevent.event import Event
from gevent.server import StreamServer


def until_closed(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


# -- limits ----------------------------------------------------------------------------

@pytest.mark.parametrize("option, request_, status", [
    ({"max_request_line": 100}, get("/" + "a" * 100), b"414"),
    ({"max_headers": 2}, get("/", "A: b", "C: d"), b"400"),
    ({"max_header_bytes": 50}, get("/", "A: " + "b" * 50), b"431"),
    ({"max_body": 5}, post(b"123456", "Content-Length: 6"), b"413"),
    ({"max_body": 5}, post(b"3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n",
                           "Transfer-Encoding: chunked"), b"413"),
    ({"strict": True}, get("/", "A: b", " c"), b"400"),
    ({"strict": True}, b"GET / HTTP/1.1\r\n\r\n", b"400")])
def test_limits(serve, option, request_, status):
    response = talk(serve(show_body, **option), request_ + get())
    assert response.startswith(b"HTTP/1.1 " + status)
    assert b"HTTP/1.1 2" not in response
    assert talk(serve(show_body), request_).startswith(b"HTTP/1.1 200")


def test_where_limits_lie(serve):
    """The same, whoever reads."""
    server = serve(show_body, max_request_line=100, max_headers=5,
                   max_header_bytes=200, max_body=10)

    def passes(*requests):
        return [talk(server, request_ + get()).startswith(b"HTTP/1.1 200")
                for request_ in requests]

    rest = len("GET / HTTP/1.1\r\n")
    assert passes(get("/" + "a" * (99 - rest)),
                  get("/" + "a" * (100 - rest))) == [True, False]
    host = len("Host: h\r\n")
    assert passes(*(get("/", *["A: b"] * number)
                    for number in (4, 5))) == [True, False]
    assert passes(*(get("/", "A: " + "b" * (size - host - len("A: \r\n")))
                    for size in (200, 201))) == [True, False]
    assert passes(*(post(b"a" * size, f"Content-Length: {size}")
                    for size in (10, 11))) == [True, False]


@pytest.mark.parametrize("option", [
    "max_request_line", "max_headers", "max_header_bytes", "max_body",
    "max_connections", "min_body_rate", "header_timeout", "idle_timeout",
    "handshake_timeout", "body_timeout", "send_timeout"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_that_could_mean_none(option, value):
    """To some 0 is no limit, to others nothing passes."""
    class Server(pywsgi.WSGIServer):
        pass

    setattr(Server, option, value)
    for make in (lambda: pywsgi.WSGIServer(LOCAL, plain, **{option: value}),
                 lambda: Server(LOCAL, plain)):
        with pytest.raises(ValueError, match=f"{option}.*above 0.*{value}"):
            make()


@pytest.mark.parametrize("option", ["max_request_line", "max_headers"])
def test_limits_that_there_always_are(option):
    with pytest.raises(ValueError, match=f"{option}.*above 0; it is None"):
        pywsgi.WSGIServer(LOCAL, plain, **{option: None})


def test_a_silent_connection_is_closed(serve):
    server = serve(plain, idle_timeout=0.01)
    with connect(server) as sock:
        assert until_closed(sock) == b""
    with connect(server) as sock:
        sock.sendall(get())
        assert until_closed(sock).endswith(b"ok")


def test_so_many_connections(serve):
    server = serve(plain, max_connections=2)
    with connect(server) as one, connect(server) as two:
        for sock in (one, two):
            sock.sendall(get())
            assert sock.recv(9999).endswith(b"ok")
        asking = gevent.spawn(talk, server, get())
        one.sendall(get())
        assert one.recv(9999).endswith(b"ok")
        gevent.sleep(0.05)
        assert not asking.ready()
        two.close()
        assert asking.get().endswith(b"ok")
        for _ in range(5):
            assert talk(server, get()).endswith(b"ok")


def test_a_head_that_does_not_end(serve):
    server = serve(plain, header_timeout=0.01)
    with connect(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        assert until_closed(sock).startswith(b"HTTP/1.1 408 ")
    wait_until(lambda: len(server.error_log.lines()) == 1)


@pytest.mark.parametrize("header, start", [
    ("Content-Length: 3", b"a"), ("Transfer-Encoding: chunked", b"3\r\na")])
def test_a_body_that_does_not_end(serve, header, start):
    server = serve(show_body, body_timeout=0.01)
    with connect(server) as sock:
        sock.sendall(post(start, header))
        assert until_closed(sock).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_is_slow(serve, monkeypatch):
    monkeypatch.setattr("gevent._pywsgi_input.TimedFile.grace", 0.01)
    server = serve(show_body, min_body_rate=1e6)
    with connect(server) as sock:
        sock.sendall(post(b"a", "Content-Length: 3"))
        assert until_closed(sock).startswith(b"HTTP/1.1 408 ")
    body = post(b"abc", "Content-Length: 3") * 2
    assert talk(serve(show_body, min_body_rate=1), body).count(b"=abc") == 2


def test_a_body_for_which_the_application_takes_its_time(monkeypatch):
    now = [0]
    monkeypatch.setattr("gevent._pywsgi_input.monotonic", lambda: now[0])

    class Client:
        def read1(self, _length):
            gevent.sleep(0.001)
            now[0] += 1
            return b"a"

    file = TimedFile(Client(), None, 1)
    for _ in range(20):
        assert file.read(1) == b"a"
        now[0] += 100


def test_a_body_that_is_slower_than_a_byte_a_second(serve, monkeypatch):
    monkeypatch.setattr("gevent._pywsgi_input.TimedFile.grace", 0.01)
    with connect(serve(show_body, min_body_rate=0.9)) as sock:
        sock.sendall(post(b"", "Content-Length: 3"))
        assert until_closed(sock).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_does_not_read(serve):
    ended = Event()

    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        try:
            while True:
                yield b"x" * 1_000_000
        finally:
            ended.set()

    server = serve(application, send_timeout=0.05, error_log=None)
    server.loop.handle_error = lambda *_: None
    try:
        with connect(server) as sock:
            sock.sendall(get())
            assert ended.wait(20)
    finally:
        del server.loop.handle_error


# -- draining --------------------------------------------------------------------------

def test_draining(serve):
    go, inside = Event(), Event()

    def application(environ, start_response):
        inside.set()
        go.wait()
        return plain(environ, start_response)

    server = serve(application)
    with connect(server) as idle, connect(server) as busy:
        busy.sendall(get() * 2)
        inside.wait()
        draining = gevent.spawn(server.drain, 20)
        assert until_closed(idle) == b""
        assert not draining.ready()
        with pytest.raises(OSError):
            connect(server)
        go.set()
        response = until_closed(busy)
    assert response.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close" in response
    assert draining.get() == 0


@pytest.mark.parametrize("arguments", [{}, {"spawn": 5}])
def test_who_serves_waits_for_the_end_of_draining(serve, arguments):
    """Otherwise the program would end, and with it what is drained."""
    go, inside = Event(), Event()

    def application(environ, start_response):
        inside.set()
        go.wait()
        return plain(environ, start_response)

    server = serve(application, **arguments)
    server.stop_timeout = 0.001
    serving = gevent.spawn(server.serve_forever)
    with connect(server) as sock:
        sock.sendall(get())
        inside.wait()
        draining = gevent.spawn(server.drain, 20)
        gevent.sleep(0.05)
        assert not serving.ready()
        go.set()
        assert until_closed(sock).startswith(b"HTTP/1.1 200 OK")
    assert draining.get() == 0
    serving.get(timeout=20)


def test_who_serves_is_interrupted_while_draining(serve):
    inside, over = Event(), Event()

    def application(environ, start_response):
        inside.set()
        over.wait()
        return plain(environ, start_response)

    server = serve(application)
    serving = gevent.spawn(server.serve_forever)
    with connect(server) as sock:
        sock.sendall(get())
        inside.wait()
        draining = gevent.spawn(server.drain, 20)
        gevent.sleep(0.001)
        serving.kill(KeyError)
        with pytest.raises(KeyError):
            serving.get(timeout=20)
        over.set()
        assert until_closed(sock).startswith(b"HTTP/1.1 200 OK")
    assert draining.get() == 0


def test_draining_that_is_killed():
    loop = gevent.get_hub().loop

    def drain():
        inside, over = Event(), Event()

        def application(environ, start_response):
            inside.set()
            over.wait()
            return plain(environ, start_response)

        server = pywsgi.WSGIServer(LOCAL, application, log=None)
        server.start()
        with connect(server) as sock:
            sock.sendall(get())
            inside.wait()
            draining = gevent.spawn(server.drain)
            gevent.sleep(0.001)
            draining.kill()
            over.set()

    def references():
        gevent.sleep(0.001)
        gc.collect()
        return sys.getrefcount(loop)

    drain()
    before = references()
    for _ in range(20):
        drain()
    wait_until(lambda: references() < before + 10)


def test_draining_ends(serve):
    inside = Event()

    def application(_environ, _start_response):
        inside.set()
        Event().wait()

    server = serve(application)
    with connect(server) as sock:
        sock.sendall(get())
        inside.wait()
        assert server.drain(0.01) == 1
        with contextlib.suppress(ConnectionResetError):  # TLS: an end
            assert until_closed(sock)[:13] in (b"", b"HTTP/1.1 500 ")


# -- what a proxy says -----------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H", 12) + bytes(
    [192, 0, 2, 7, 192, 0, 2, 8]) + struct.pack("!HH", 1234, 80)
V2_6 = SIGNATURE + b"\x21\x21" + struct.pack("!H", 39) + native.inet_pton(
    native.AF_INET6, "2001:db8::1") * 2 + struct.pack("!HH", 1234, 80) + b"ext"


def show_peer(environ, start_response):
    start_response("200 OK", TEXT)
    return [f"{environ['REMOTE_ADDR']} {environ['REMOTE_PORT']}".encode()]


@pytest.mark.parametrize("header, peer", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n", b"192.0.2.7 1234"),
    (b"PROXY TCP6 2001:db8::1 ::1 1234 80\r\n", b"2001:db8::1 1234"),
    (V2, b"192.0.2.7 1234"), (V2_6, b"2001:db8::1 1234"),
    (b"PROXY UNKNOWN\r\n", b"127.0.0.1 "),
    (b"PROXY UNKNOWN ::1 ::1 1 2\r\n", b"127.0.0.1 "),
    (SIGNATURE + b"\x20\0\0\0", b"127.0.0.1 "),
    (SIGNATURE + b"\x21\x31\0\x03abc", b"127.0.0.1 ")])
def test_what_a_proxy_says(serve, header, peer):
    server = serve(show_peer, proxy_protocol=True)
    assert split(talk(server, header + get()))[2].startswith(peer)
    with connect(server) as sock:  # byte by byte
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header:
            sock.sendall(bytes([byte]))
            gevent.sleep(0)
        sock.sendall(get("/", "Connection: close"))
        assert split(until_closed(sock))[2].startswith(peer)


@pytest.mark.parametrize("header", [
    get(), b"PROXY TCP4 192.0.2.7 192.0.2.8 1234\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 01234 80\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.8 65536 80\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.8 1 80\r\n",
    b"PROXY UDP4 192.0.2.7 192.0.2.8 1 80\r\n", b"PROXY TCP4 \n",
    b"PROXY " + b"x" * 200, b"PRO", V2[:-1], SIGNATURE + b"\x31\x11\0\0",
    SIGNATURE + b"\x21\x11\0\x01x", SIGNATURE + b"\x21\x11\xff\xff"])
def test_what_no_proxy_says(serve, quiet, reader, header):
    server = serve(show_peer, proxy_protocol=True)
    with connect(server) as sock:
        sock.sendall(header)
        sock.shutdown(socket.SHUT_WR)
        try:
            answer = until_closed(sock)
        except ConnectionResetError:  # not all was read
            answer = b""
    if reader == "handlers":
        assert answer == b""
        assert isinstance(quiet[0], ValueError)
    elif header in (b"PRO", V2[:-1]):  # not all came
        assert answer == b""
    else:
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert "no PROXY header" in server.error_log.getvalue()


def test_what_a_proxy_says_before_an_upgrade(serve, reader):
    server = serve(show_peer, proxy_protocol=True)
    header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 80\r\n"
    assert split(talk(server, header + get(
        "/", "Connection: Upgrade", "Upgrade: x")))[2] == b"192.0.2.7 1234"
    if reader == "engine":
        assert server._http.counters()["accepted"] == 1


def test_a_proxy_that_says_nothing(serve, quiet):
    with connect(serve(plain, proxy_protocol=True,
                       proxy_timeout=0.01)) as sock:
        assert until_closed(sock) == b""


def test_two_on_one_port():
    def first(sock, _address):
        sock.sendall(b"x")

    with StreamServer(LOCAL, first, reuse_port=True) as one:
        one.start()
        with StreamServer(one.address, first, reuse_port=True) as other:
            other.start()
            assert other.server_port == one.server_port
            with connect(one) as sock:
                assert sock.recv(1) == b"x"


# -- lines and counters ----------------------------------------------------------------

def test_access_lines(serve):
    server = serve(plain, access_log_format=(
        '%(h)s %(l)s %(u)s "%(r)s" %(s)s %(B)s %(m)s %(U)s %(q)s %(H)s '
        '"%(f)s" "%(a)s" %({x-y}i)s %({content-type}o)s %({wsgi.version}e)s '
        '%(p)s %(T)s %(nothing)s'))
    response = talk(server, get("/a?b", 'User-Agent: "\x9b', "X-Y: z"))
    line, = server.log.lines()
    assert line.startswith(
        f'127.0.0.1 - - "GET /a?b HTTP/1.1" 200 {len(response)} GET /a b '
        'HTTP/1.1 "-" "\\x22\\x9b" z text/plain (1, 0) <')
    assert line.endswith("> 0 -")
    with pytest.raises(ValueError):
        pywsgi.WSGIServer(LOCAL, plain, access_log_format="%(h")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("result, length", [
    ([b"ok"], "2"), ([b"o", b"k"], "2"), ((b"a" * 99_999,), "99999"),
    ([], "0"), (iter([b"ok"]), "-")])
def test_access_lines_tell_what_was_sent(serve, method, result, length):
    """Whoever said it, and whatever the application does with its
    environment."""
    def application(environ, start_response):
        environ.clear()
        start_response("200 OK", TEXT)
        return result

    server = serve(application, wsgi=False,
                   access_log_format="%(m)s %({content-length}o)s")
    talk(server, get().replace(b"GET", method.encode()))
    wait_until(lambda: server.log.getvalue())
    assert server.log.lines() == [f"{method} {length}"]


def test_access_lines_of_what_is_no_request(serve):
    server = serve(plain, access_log_format="%(m)s %(H)s %(s)s")
    talk(server, b"bad\r\n\r\n")
    wait_until(lambda: server.log.getvalue())
    assert server.log.lines() == ["- - 400"]


def test_counters(serve):
    server = serve(plain, metrics_path="/metrics")
    talk(server, get() * 3 + b"bad\r\n\r\n")
    wait_until(lambda: 400 in server.metrics.requests)
    _, headers, body = split(talk(server, get("/metrics")))
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = body.decode().splitlines()
    assert 'http_requests_total{code="200"} 3' in lines
    assert 'http_requests_total{code="400"} 1' in lines
    assert "http_connections 1" in lines
    assert "http_request_seconds_count 4" in lines
    assert talk(serve(plain), get("/metrics")).endswith(b"ok")
