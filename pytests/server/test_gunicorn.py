"""gunicorn with the worker of this package."""
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packages import needs

from gevent._pywsgi_engine import AVAILABLE

pytestmark = needs("gunicorn")

APPLICATION = """
import os
import time

import gevent

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        gevent.sleep(float(environ["QUERY_STRING"]))
    elif path == "/stuck":
        end = time.perf_counter() + 60
        while time.perf_counter() < end:
            pass
    elif path == "/error":
        raise LookupError("of the application")
    elif path == "/environ":
        body = repr({key: value for key, value in environ.items()
                     if isinstance(value, (str, bool))}).encode()
        start_response("200 OK", [])
        return [body]
    elif path == "/hints":
        hint = environ["wsgi.early_hints"]
        hint([("Link", "</a.css>"), (b"Link", b"</b.css>")])
        hint([("X", "2")])
        try:
            hint([("X", "a\\r\\nb")])
        except Exception as ex:
            refused = type(ex).__mro__
        start_response("200 OK", [("Content-Length", "3")])(b"a")
        hint([("X", "too late")])
        return [b"bc" if ValueError in refused else b"no"]
    elif path == "/socket":
        sock = environ["gunicorn.socket"]
        peer = sock.getpeername()
        assert str(peer[1]) == environ["REMOTE_PORT"]
        sock.sendall(b"raw %d" % peer[1])
        raise StopIteration
    elif path == "/close":
        environ["gunicorn.socket"].sendall(b"raw")
        environ["gunicorn.socket"].close()
        raise StopIteration
    elif path == "/reader":
        start_response("200 OK", [("X-Process", str(os.getpid()))])
        return [type(environ["wsgi.input"]).__name__.encode()]
    elif path == "/echo":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return iter([body])
    elif path == "/file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    start_response("200 OK", [("Content-Type", "text/plain"),
                              ("X-Process", str(os.getpid()))])
    return [b"ok"]
"""

STARTING = 60  # seconds
PEM = str(Path(__file__).parent.parent / "ssl" / "localhost.pem")
TLS = [f"keyfile = {PEM!r}", f"certfile = {PEM!r}"]
READER = b"EngineInput" if AVAILABLE else b"Input"

#: Plain, and with TLS.
both_ways = pytest.mark.parametrize("tls", [False, True])


class Gunicorn:
    """A running gunicorn."""

    def __init__(self, folder, process):
        self.folder = folder
        self.process = process
        self.port = None

    def output(self):
        return (self.folder / "output").read_text()

    def until(self, condition):
        end = time.monotonic() + STARTING
        while not (found := condition()):
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.05)
        return found

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port))
        sock.settimeout(STARTING)
        return sock

    def ask(self, target="/", *headers, sock=None):
        """The answer's status, headers and body."""
        with contextlib.ExitStack() as stack:
            if sock is None:
                sock = stack.enter_context(self.connect())
                headers += ("Connection: close",)
            lines = [f"GET {target} HTTP/1.1", "Host: h", *headers, "", ""]
            sock.sendall("\r\n".join(lines).encode())
            return read_answer(sock)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        return self.process.wait(STARTING)


@contextlib.contextmanager
def connected(server, tls, sock=None):
    """A connection, perhaps by TLS."""
    with sock or server.connect() as sock:
        if not tls:
            yield sock
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(sock) as encrypted:
            yield encrypted


def read_answer(sock):
    with sock.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(file.readline(), 16):
                body += file.read(size)
                file.readline()
            file.readline()
        else:
            body = file.read(int(headers.get("content-length", 0)))
    return status, headers, body


@pytest.fixture
def start(tmp_path):
    """Start gunicorn with lines of its configuration."""
    running = []

    def run(*configuration):
        (tmp_path / "app.py").write_text(APPLICATION)
        (tmp_path / "settings.py").write_text("\n".join((
            "worker_class = 'libgcore.gunicorn.Worker'",
            "bind = '127.0.0.1:0'", "control_socket_disable = True",
            *configuration)))
        with open(tmp_path / "output", "wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", "settings.py",
                 "app:application"],
                cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
        it = Gunicorn(tmp_path, process)
        running.append(it)
        it.until(lambda: "Booting worker" in it.output())
        if "Listening at: http" in it.output():
            it.port = int(it.output().partition("Listening at: http")[2]
                          .split("(")[0].strip().rpartition(":")[2])
        return it

    yield run
    for it in running:
        if it.process.poll() is None:
            it.process.kill()
        it.process.wait()


def test_answers_and_stops(start):
    server = start("workers = 2", "accesslog = '-'")
    pids = {server.ask()[1]["x-process"] for _ in range(10)}
    assert str(server.process.pid) not in pids
    status, _, body = server.ask("/file")
    assert (status, body.decode()) == (200, APPLICATION)
    with server.connect() as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: h\r\n"
                     b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert read_answer(sock)[2] == b"abc"
    assert server.ask("/?q=%20")[0] == 200
    server.until(lambda: '"GET /?q=%20 HTTP/1.1" 200 2 "-" "-"'
                 in server.output())
    assert server.stop() == 0


def ask_once(server, tls):
    with connected(server, tls) as sock:
        return server.ask("/", sock=sock)


@both_ways
def test_answers_are_finished(start, tls):
    server = start("graceful_timeout = 50", *TLS * tls)
    with connected(server, tls) as slow, connected(server, tls) as idle:
        assert server.ask(sock=idle)[0] == 200
        slow.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: h\r\n\r\n")
        # so the slow one has been taken up:
        assert ask_once(server, tls)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""
        status, headers, body = read_answer(slow)
        assert (status, body) == (200, b"ok")
        assert headers["connection"] == "close"
    assert server.process.wait(STARTING) == 0


@pytest.mark.skipif(not AVAILABLE, reason="it is the engine that waits")
@both_ways
def test_requests_on_their_way_are_answered(start, tls):
    server = start("from libgcore import gunicorn",
                   "gunicorn._DRAIN_IDLE = 3600 * 10 ** 9", *TLS * tls)
    with connected(server, tls) as kept, connected(server, tls) as fresh:
        assert server.ask(sock=kept)[0] == 200
        assert ask_once(server, tls)[0] == 200  # so the other was accepted
        server.process.send_signal(signal.SIGTERM)
        while server.ask(sock=kept)[1].get("connection") != "close":
            pass  # it has not heard of that
        status, headers, _ = server.ask(sock=fresh)
        assert (status, headers["connection"]) == (200, "close")
    assert server.process.wait(STARTING) == 0


@both_ways
def test_answers_that_take_too_long_are_cut(start, tls):
    server = start("graceful_timeout = 1", *TLS * tls)
    with connected(server, tls) as slow:
        slow.sendall(b"GET /slow?100 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert ask_once(server, tls)[0] == 200
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            assert not slow.recv(100).startswith(b"HTTP/1.1 200")
    assert server.process.wait(STARTING) == 0


def test_it_stops_at_once(start):
    server = start("graceful_timeout = 100")
    with server.connect() as slow:
        slow.sendall(b"GET /slow?100 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert server.ask("/")[0] == 200
        assert server.stop(signal.SIGINT) == 0


def test_workers_end_after_so_many_requests(start):
    server = start("max_requests = 5", "max_requests_jitter = 2")
    pids = {server.ask()[1]["x-process"] for _ in range(20)}
    assert len(pids) > 2
    assert "Autorestarting worker" in server.output()


def test_a_stuck_worker_is_replaced(start):
    server = start("timeout = 2")
    before = server.ask()[1]["x-process"]
    with server.connect() as sock:
        sock.sendall(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
        server.until(lambda: "WORKER TIMEOUT" in server.output())
        with contextlib.suppress(ConnectionError):
            while sock.recv(4096):  # it ends
                pass

    def is_replaced():
        # Until it has ended it may still take a connection.
        with contextlib.suppress(ConnectionError, IndexError):
            return server.ask()[1]["x-process"] != before

    server.until(is_replaced)


def test_a_quiet_worker_is_not(start):
    server = start("timeout = 2")
    before = server.ask()[1]["x-process"]
    time.sleep(4)
    assert server.ask()[1]["x-process"] == before


def test_changed_files_are_loaded(start):
    server = start("reload = True", "reload_engine = 'poll'")
    assert server.ask()[2] == b"ok"
    (server.folder / "app.py").write_text(APPLICATION.replace("ok", "new"))

    def is_new():
        try:
            return server.ask()[2] == b"new"
        except (OSError, ValueError, IndexError):  # between two workers
            return False

    server.until(is_new)


def test_forwarded_headers(start):
    server = start("forwarder_headers = 'SCRIPT_NAME'")
    _, _, body = server.ask("/a/environ?q", "X-Forwarded-Proto: https",
                            "SCRIPT_NAME: /a", "OTHER_NAME: b", "X-Mine: c")
    environ = eval(body)
    expected = {"wsgi.url_scheme": "https", "SCRIPT_NAME": "/a",
                "PATH_INFO": "/environ", "RAW_URI": "/a/environ?q",
                "HTTP_X_MINE": "c", "REMOTE_ADDR": "127.0.0.1",
                "SERVER_NAME": "127.0.0.1", "SERVER_PORT": str(server.port),
                "wsgi.multithread": True, "wsgi.multiprocess": False}
    assert {key: environ.get(key) for key in expected} == expected
    assert environ["SERVER_SOFTWARE"].startswith("gunicorn/")
    assert "b" not in environ.values()
    assert server.ask("/", "X-Forwarded-Proto: https",
                      "X-Forwarded-Ssl: off")[0] == 400


def test_forwarded_headers_of_strangers(start):
    server = start("forwarded_allow_ips = '10.0.0.0/8'")
    environ = eval(server.ask("/environ", "X-Forwarded-Proto: https",
                              "SCRIPT_NAME: /a")[2])
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == ""


def test_refused_names(start):
    server = start("header_map = 'refuse'")
    assert server.ask("/", "A_b: c")[0] == 400
    assert server.ask("/", "A-b: c")[0] == 200


def test_errors_are_logged(start):
    server = start()
    assert server.ask("/error?1")[0] == 500
    server.until(lambda: "LookupError: of the application"
                 in server.output())
    assert "Error handling request /error?1" in server.output()


def test_hooks(start):
    server = start(
        "def pre_request(worker, request):",
        "    worker.log.info('before %s %s', request.method, request.path)",
        "def post_request(worker, request, environ, response):",
        "    worker.log.info('after %s: %s %s', environ['RAW_URI'],"
        "                    response.status, dict(response.headers))")
    server.ask("/path")
    server.until(lambda: "after /path: 200 OK {'Content-Type'"
                 in server.output())
    assert "before GET /path" in server.output()


def test_connections_close(start):
    server = start("keepalive = 0")
    assert server.ask("/", sock=server.connect())[1]["connection"] == "close"


def test_idle_connections_close(start):
    server = start("keepalive = 1")
    with server.connect() as sock:
        status, headers, _ = server.ask(sock=sock)
        assert status == 200 and "connection" not in headers
        assert sock.recv(1) == b""


def test_limits(start):
    server = start("limit_request_line = 100", "limit_request_fields = 4",
                   "limit_request_field_size = 100")
    target = "/" + "x" * (100 - len("GET / HTTP/1.1"))
    for headers in [], ["Connection: Upgrade", "Upgrade: something"]:
        assert server.ask(target, *headers)[0] == 200
        assert server.ask(target + "x", *headers)[0] == 414
    assert server.ask("/", "A: 1", "B: 2", "C: 3")[0] in (400, 431)
    assert server.ask("/", "A: " + "1" * 400)[0] == 431
    assert server.ask("/", "A: 1")[0] == 200


def test_the_limit_of_a_header(start):
    server = start("limit_request_field_size = 200")
    assert server.ask("/", "A: " + "1" * 197)[0] == 200
    assert server.ask("/", "A: " + "1" * 198)[0] == 431
    server = start("limit_request_field_size = 0")
    assert server.ask("/", "A: " + "1" * 20000)[0] == 200


def test_no_limits(start):
    server = start("limit_request_line = 0", "limit_request_fields = 0",
                   "limit_request_field_size = 0", "worker_connections = 0")
    headers = [f"A{number}: 1" for number in range(500)]
    assert server.ask("/" + "x" * 20000, *headers)[0] == 200
    server = start("limit_request_fields = 0")
    assert server.ask("/", *headers)[0] == 200


@pytest.mark.parametrize("target, path, query", [
    ("http://h/environ?a=b", "/environ", "a=b"),
    ("HTTPS://h:80/environ", "/environ", ""),
    ("/environ#x?y", "/environ", ""), ("/environ?a#b", "/environ", "a"),
    ("/environ?http://x/y", "/environ", "http://x/y")])
@pytest.mark.parametrize("headers", [[], ["Connection: Upgrade",
                                          "Upgrade: something"]])
def test_targets(start, target, path, query, headers):
    environ = eval(start().ask(target, *headers)[2])
    assert environ["PATH_INFO"] == path
    assert environ["QUERY_STRING"] == query
    assert environ["RAW_URI"] == target


@both_ways
def test_so_many_connections(start, tls):
    server = start("worker_connections = 2", "keepalive = 50", *TLS * tls)
    with connected(server, tls) as one, connected(server, tls) as two:
        assert server.ask(sock=one)[0] == server.ask(sock=two)[0] == 200
        with server.connect() as three:
            three.settimeout(0.3)
            with pytest.raises(TimeoutError):
                with connected(server, tls, three) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                    sock.recv(1)
        one.close()
        with connected(server, tls) as four:
            assert server.ask(sock=four)[0] == 200
        assert server.ask(sock=two)[0] == 200


def test_a_unix_socket(start, tmp_path):
    start(f"bind = 'unix:{tmp_path / 'socket'}'")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(os.fspath(tmp_path / "socket"))
        sock.sendall(b"GET /environ HTTP/1.1\r\nHost: h\r\n"
                     b"X-Forwarded-Proto: https\r\n\r\n")
        status, _, body = read_answer(sock)
    assert status == 200
    assert eval(body)["wsgi.url_scheme"] == "https"


def test_tls(start):
    server = start(f"keyfile = {PEM!r}", f"certfile = {PEM!r}",
                   "accesslog = '-'")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(server.connect()) as sock:
        environ = eval(server.ask("/environ", sock=sock)[2])
        assert environ["wsgi.url_scheme"] == "https"
        assert environ["RAW_URI"] == "/environ"
        assert server.ask("/reader", sock=sock)[2] == READER
        assert server.ask("/error", sock=sock)[0] == 500
    server.until(lambda: '"GET /environ HTTP/1.1" 200' in server.output())
    assert "Error handling request /error" in server.output()
    assert server.stop() == 0


def test_the_hook_for_tls(start):
    server = start(
        "def ssl_context(settings, usual):",
        "    context = usual()",
        "    context.set_alpn_protocols(['http/1.1'])",
        "    return context", *TLS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(PEM)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(server.connect(),
                             server_hostname="localhost") as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert server.ask("/reader", sock=sock)[2] == READER


def test_reloading_under_tls(start):
    server = start("graceful_timeout = 50", *TLS)
    with connected(server, True) as slow, connected(server, True) as idle:
        before = server.ask(sock=idle)[1]["x-process"]
        slow.sendall(b"GET /slow?2 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert ask_once(server, True)[1]["x-process"] == before
        server.process.send_signal(signal.SIGHUP)
        assert idle.recv(1) == b""
        status, headers, _ = read_answer(slow)
        assert status == 200 and headers["x-process"] == before
        assert headers["connection"] == "close"
    with connected(server, True) as sock:
        status, headers, reader = server.ask("/reader", sock=sock)
        assert status == 200 and headers["x-process"] != before
        assert reader == READER
    assert server.stop() == 0


PROXY_1 = b"PROXY TCP4 10.1.2.3 10.0.0.1 1234 80\r\n"
PROXY_2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
           b"\x0a\1\2\3\x0a\0\0\1\x04\xd2\0\x50")
UPGRADE = ("Connection: Upgrade", "Upgrade: something")


def environ_behind(server, header, *headers, tls=False):
    """Of two requests of a connection that begins with *header*."""
    found = []
    with connected(server, tls) as sock:
        sock.sendall(header)
        for _ in range(2):
            status, _, body = server.ask("/environ", *headers, sock=sock)
            assert status == 200
            found.append(eval(body))
    return found


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("kind, header", [("auto", PROXY_1), ("v1", PROXY_1),
                                          ("auto", PROXY_2), ("v2", PROXY_2)])
def test_a_proxy_header(start, kind, header, tls):
    server = start(f"proxy_protocol = {kind!r}", *TLS * tls)
    for environ in environ_behind(server, header, tls=tls) + environ_behind(
            server, header, *UPGRADE, tls=tls):
        assert environ["REMOTE_ADDR"] == "10.1.2.3"
        assert environ["REMOTE_PORT"] == "1234"
        assert environ["PROXY_PROTOCOL"] == "TCP4"
        assert environ["PROXY_ADDR"] == "10.0.0.1"
        assert environ["PROXY_PORT"] == "80"
    with connected(server, tls) as sock:
        sock.sendall(header)
        assert server.ask("/reader", sock=sock)[2] == READER
    for environ in environ_behind(server, b"", tls=tls):
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert "PROXY_PROTOCOL" not in environ


@pytest.mark.parametrize("allowed, status", [("10.0.0.1", 403),
                                             ("127.0.0.0/8", 200), ("*", 200)])
def test_who_may_send_a_proxy_header(start, allowed, status):
    server = start("proxy_protocol = 'auto'", f"proxy_allow_ips = {allowed!r}")
    assert server.ask()[0] == 200
    with server.connect() as sock:
        sock.sendall(PROXY_1)
        assert server.ask(sock=sock)[0] == status
    assert ("'127.0.0.1' not allowed" in server.output()) == (status == 403)


@pytest.mark.parametrize("kind, header", [
    ("v1", PROXY_2), ("v2", PROXY_1), ("auto", PROXY_1[:-5] + b"\r\n"),
    ("auto", PROXY_1 * 2), ("off", PROXY_1)])
def test_a_proxy_header_that_is_none(start, kind, header):
    server = start(f"proxy_protocol = {kind!r}")
    with server.connect() as sock:
        sock.sendall(header)
        assert server.ask(sock=sock)[0] == 400
    server.until(lambda: "Invalid request" in server.output())


@pytest.mark.parametrize("more", [(), UPGRADE])
@pytest.mark.parametrize("expected, status", [
    ("100-Continue", 200), ("wonders", 417), ("100-continue, wonders", 417)])
def test_expectations_that_cannot_be_met(start, expected, status, more):
    server = start()
    assert server.ask("/", f"Expect: {expected}", *more)[0] == status
    if status == 417:
        server.until(lambda: f"the expectation {expected!r}"
                     in server.output())


@pytest.mark.parametrize("trusted, scheme", [("127.0.0.1", "https"),
                                             ("10.1.2.3", "http")])
def test_whose_forwarded_headers_are_taken(start, trusted, scheme):
    """Of the proxy itself, not of whom it speaks for."""
    server = start("proxy_protocol = 'auto'",
                   f"forwarded_allow_ips = {trusted!r}")
    for environ in environ_behind(server, PROXY_1,
                                  "X-Forwarded-Proto: https"):
        assert environ["wsgi.url_scheme"] == scheme


def read_all(sock):
    answer = b""
    while data := sock.recv(65536):
        answer += data
    return answer


@both_ways
def test_early_hints(start, tls):
    server = start(*TLS * tls)
    with connected(server, tls) as sock:
        sock.sendall(b"GET /hints HTTP/1.1\r\nHost: h\r\n"
                     b"Connection: close\r\n\r\n")
        answer = read_all(sock)
    *hints, last, body = answer.split(b"\r\n\r\n")
    lines = [line for hint in hints for line in hint.split(b"\r\n")
             if not line.startswith(b"Date: ")]
    assert lines == [
        b"HTTP/1.1 103 Early Hints", b"Link: </a.css>", b"Link: </b.css>",
        b"HTTP/1.1 103 Early Hints", b"X: 2"]
    assert last.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"abc"
    with connected(server, tls) as sock:
        sock.sendall(b"GET /hints HTTP/1.0\r\n\r\n")
        assert read_all(sock).startswith(b"HTTP/1.1 200 OK\r\n")


@both_ways
@pytest.mark.parametrize("more", [b"", b"Connection: Upgrade\r\nUpgrade: x\r\n"])
def test_an_answer_by_the_socket(start, tls, more):
    server = start("accesslog = '-'", *TLS * tls)
    for _ in range(3):
        with connected(server, tls) as sock:
            sock.sendall(b"GET /socket HTTP/1.1\r\nHost: h\r\n%s\r\n" % more)
            assert read_all(sock) == b"raw %d" % sock.getsockname()[1]
    with connected(server, tls) as sock:
        assert server.ask("/last", sock=sock)[0] == 200
    server.until(lambda: "GET /last" in server.output())
    assert "Error" not in server.output()
    assert "GET /socket" not in server.output()


@both_ways
def test_a_socket_that_the_application_closes(start, tls):
    server = start(*TLS * tls)
    for _ in range(3):
        with connected(server, tls) as sock:
            sock.sendall(b"GET /close HTTP/1.1\r\nHost: h\r\n\r\n")
            assert read_all(sock) == b"raw"
    assert "Error" not in server.output()
