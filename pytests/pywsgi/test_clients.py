"""Clients that are many, slow, half gone, or gone."""
import contextlib
import os
import random
import resource
import subprocess as native
import sys

import gevent
import pytest
from raw_http import (PEM, TEXT, connect, get, plain, talk, until_end,
                      wait_until)
from raw_requests import KEPT, TAIL, to

from gevent import socket, ssl, subprocess

MANY = 10_000
SPARE = 200  # descriptors for what else a process has open

FIRST = to("/first", "Content-Length: 3", body=b"abc")
SECOND = to("/second", "Transfer-Encoding: chunked",
            body=b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n")
ALL = FIRST + SECOND + TAIL
WORDS = ["POST /first abc", "POST /second abc", KEPT]
ENDS = [len(FIRST), len(FIRST + SECOND), len(ALL)]

RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: on, for no time


@pytest.fixture
def tell(serve):
    """A server, and the list of what its application has read to the end."""
    seen = []

    def application(environ, start_response):
        body = environ["wsgi.input"].read(-1)
        words = (f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} "
                 f"{body.decode()}")
        seen.append(words)
        start_response("200 OK", TEXT)
        return [words.encode() + b";"]

    return serve(application, log=None), seen


def connected(server):
    sock = connect(server)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def told(response):
    """The words that the application has answered with, and statuses."""
    found = []
    for part in response.split(b"HTTP/1.1 ")[1:]:
        body = part.partition(b"\r\n\r\n")[2]
        found.append(body[:-1].decode() if part.startswith(b"200")
                     else part[:3].decode())
    return found


def whole(place):
    """What the first *place* bytes ask for."""
    return [words for words, end in zip(WORDS, ENDS) if end <= place]


# -- many ------------------------------------------------------------------------------

CLIENT = """
import socket, ssl, sys
port, many = map(int, sys.argv[1:3])
request = b"GET / HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n"

def ask(sock):
    sock.sendall(request)
    response = b""
    while not response.endswith(b"\\r\\n\\r\\nok"):
        data = sock.recv(4096)
        assert data, response
        response += data

idle = []
for number in range(many):
    idle.append(socket.create_connection(("127.0.0.1", port), timeout=60))
    if sys.argv[3:]:
        context = ssl.create_default_context(cafile=sys.argv[3])
        idle[-1] = context.wrap_socket(idle[-1], server_hostname="localhost")
    if number % 2:  # the others have not asked for anything yet
        ask(idle[-1])
print("idle", flush=True)
sys.stdin.readline()
for sock in idle:
    ask(sock)
print("asked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def many_descriptors():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < MANY + SPARE:
        pytest.skip(f"no more than {limits[1]} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (
        max(limits[0], MANY + SPARE), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.time_limit(240)
def test_ten_thousand_idle_connections(serve, many_descriptors):
    # Under TLS, whose handshakes take their time, fewer.
    server = serve(plain, log=None, metrics_path="/metrics", backlog=1024,
                   wsgi=False)

    def connections():
        lines = talk(server, get("/metrics", "Connection: close")).split(b"\n")
        return next(int(line.split()[1]) for line in lines
                    if line.startswith(b"http_connections "))

    many, *pem = (300, PEM) if server.ssl_enabled else (MANY,)
    with subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(server.server_port), str(many),
             *pem],
            stdin=native.PIPE, stdout=native.PIPE) as client:
        assert client.stdout.readline() == b"idle\n"
        assert talk(server, get()).endswith(b"ok")
        assert connections() == many + 1
        client.stdin.write(b"\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"asked\n"
        client.stdin.close()
    wait_until(lambda: connections() == 1)


# -- half gone, and gone ---------------------------------------------------------------

def test_half_closed_anywhere(tell):
    server, seen = tell
    for place in range(len(ALL)):
        seen.clear()
        with connected(server) as sock:
            sock.sendall(ALL[:place])
            sock.shutdown(socket.SHUT_WR)
            answers = told(until_end(sock))
        wanted = whole(place)
        assert answers in (wanted, [*wanted, "400"]), place
        assert seen == wanted, place


def test_reset_anywhere(tell):
    server, seen = tell
    for place in range(1, len(ALL)):
        with connected(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall(ALL[:place])
    assert told(talk(server, TAIL)) == [KEPT]
    assert set(seen) <= set(WORDS)


def test_reset_while_being_answered(serve):
    chunk = b"x" * 100_000

    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        return iter([chunk] * 50)

    server = serve(application, log=None)
    for size in (0, 1, 100, 100_000, 1_000_000):
        with connected(server) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall(get() * 3)
            while size > 0:
                size -= len(sock.recv(size))
    assert talk(server, get()).count(chunk) == 50


# -- slow ------------------------------------------------------------------------------

def test_byte_by_byte_side_by_side(tell):
    server, _ = tell
    choose = random.Random(7)
    left = {connected(server): ALL for _ in range(10)}
    answers = [gevent.spawn(until_end, sock) for sock in left]
    socks = list(left)
    while left:
        sock = choose.choice(list(left))
        size = choose.choice((1, 1, 2, 5))
        try:
            sock.sendall(left[sock][:size])
        finally:
            left[sock] = left[sock][size:]
        if not left[sock]:
            del left[sock]
        gevent.sleep(0)
    gevent.joinall(answers, raise_error=True)
    for sock, answer in zip(socks, answers):
        sock.close()
        assert told(answer.value) == WORDS


def test_a_slow_reader_gets_it_all(serve):
    body = bytes(range(256)) * 8000

    def application(_environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
        return [body[:1_000_000], body[1_000_000:]]

    server = serve(application, log=None)
    with connected(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(get("/", "Connection: close"))
        response = b""
        while data := sock.recv(50_000):
            response += data
            gevent.sleep(0)
    assert response.endswith(b"\r\n\r\n" + body)


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"),
                    reason="needs /proc")
@pytest.mark.parametrize("chunked", [False, True])
def test_slow_readers_share_the_body(serve, chunked):
    """What the application gave is not copied for each of them."""
    body = b"0123456789abcdef" * (3 << 20)
    answers = []

    def application(_environ, start_response):
        answers.append(1)
        start_response("200 OK", TEXT)
        return iter([body]) if chunked else [body]

    server = serve(application, log=None)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connect(server)) for _ in range(4)]
        before = resident_bytes()
        for count, sock in enumerate(socks, 1):
            sock.sendall(get("/", "Connection: close"))
            wait_until(lambda: len(answers) == count)
        assert resident_bytes() - before < 2 * len(body)
        response = b"".join(iter(lambda: socks[0].recv(1 << 20), b""))
        head, _, rest = response.partition(b"\r\n\r\n")
    if not chunked:
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
        assert rest == body
        return
    pieces, place = [None], 0
    while pieces[-1] != b"":
        end = rest.index(b"\r\n", place)
        place = end + 2 + int(rest[place:end], 16)
        pieces.append(rest[end + 2:place])
        assert rest[place:place + 2] == b"\r\n"
        place += 2
    assert place == len(rest)
    assert b"".join(pieces[1:]) == body


def test_a_client_that_asks_and_never_reads(serve):
    # The server stops reading when its answers are not taken.
    served = []

    def application(_environ, start_response):
        served.append(1)
        start_response("200 OK", TEXT)
        return [b"x" * 10_000]

    server = serve(application, log=None)
    asked = 0
    with connected(server) as sock:
        sock.setblocking(False)
        rounds = 0
        while rounds < 50:
            try:
                asked += sock.send(get() * 1000)
                rounds = 0
            except (BlockingIOError, ssl.SSLWantWriteError):
                rounds += 1
                gevent.sleep(0.01)
        assert talk(server, get()).endswith(b"x" * 100)
        assert len(served) < asked / len(get())
    assert asked < 50_000_000


def test_a_client_leaves_under_tls(serve, quiet):
    """In the middle of an answer: that is no error of the application."""
    ended = []

    def application(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            while True:
                yield bytes(1 << 16)
        finally:
            ended.append(1)

    server = serve(application, wsgi=False, certfile=PEM)
    with socket.create_connection(("127.0.0.1", server.server_port)) as peer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(peer) as client:
            client.sendall(get("/"))
            client.recv(100)
    wait_until(lambda: ended)
    assert not quiet
