"""HTTPS: who serves a connection, handshakes that fail or take their time,
records that do not fit requests, and what `ssl` may say meanwhile."""
import ctypes
import gc
import socket as native

import gevent
import pytest
from raw_http import (PEM, TEXT, connect, get, plain, post, show_body,
                      split, talk, trusting, until_end, wait_until)

from gevent import monkey, pywsgi, socket, ssl
from gevent._pywsgi_engine import AVAILABLE
from gevent.pool import Pool

Thread = monkey.get_original("threading", "Thread")

needs_engine = pytest.mark.skipif(
    not AVAILABLE, reason="the engine is the accelerator's")


@pytest.fixture
def way():
    return ("engine" if AVAILABLE else "handlers") + ", TLS"


@pytest.fixture
def context():
    """A server's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


def by_engine(server):
    """How many connections the engine has served."""
    return server._http.counters()["accepted"] if server._http else 0


# -- who serves ------------------------------------------------------------------------

@needs_engine
def test_the_engine_serves(serve, context):
    for arguments in ({"certfile": PEM}, {"certfile": PEM, "keyfile": PEM},
                      {"ssl_context": context}):
        server = serve(plain, **arguments)
        assert talk(server, get()).endswith(b"ok")
        assert by_engine(server) == 1
        wait_until(lambda: not server._http.counters()["connections"])


def overriding(name):
    def method(self, *args):
        return getattr(pywsgi.WSGIServer, name)(self, *args)

    return type("Server", (pywsgi.WSGIServer,), {name: method})


class OtherSocket(ssl.SSLSocket):
    pass


def with_other_sockets(context):
    context.sslsocket_class = OtherSocket


def with_messages(context):
    context._msg_callback = lambda *_: None


@pytest.mark.parametrize("change", [with_other_sockets, with_messages])
def test_contexts_that_a_handler_serves(serve, context, change):
    change(context)
    server = serve(plain, ssl_context=context)
    assert talk(server, get() * 2).count(b"\r\n\r\nok") == 2
    assert by_engine(server) == 0


@pytest.mark.parametrize("arguments", [
    {"do_handshake_on_connect": False}, {"suppress_ragged_eofs": False},
    {"spawn": Pool(5)}, {"use_engine": False},
    {"handler_class": type("Handler", (pywsgi.WSGIHandler,), {})},
    {"server_class": overriding("handle")},
    {"server_class": overriding("wrap_socket_and_handle")}])
def test_what_a_handler_serves(serve, arguments):
    server = serve(plain, **arguments)
    assert talk(server, get() * 2).count(b"\r\n\r\nok") == 2
    assert by_engine(server) == 0


def test_a_handshake_that_ends_after_the_server(serve):
    server = serve(plain)
    with native.create_connection(server.address) as raw:
        wait_until(lambda: len(list(server_sockets(server))) == 1)
        server.close()
        raw.settimeout(20)
        sock = socket.socket(fileno=raw.detach())
        sock = trusting().wrap_socket(sock, server_hostname="localhost")
        with sock:
            sock.sendall(get("/", "Connection: close"))
            assert until_end(sock).endswith(b"ok")
    assert by_engine(server) == 0


def server_sockets(server):
    """Those of connections whose handshake is going on."""
    gc.collect()
    for found in gc.get_objects():
        if (type(found) is ssl.SSLSocket and found.server_side
                and found.fileno() >= 0
                and found.getsockname() == server.address):
            yield found


# -- handshakes ------------------------------------------------------------------------

@pytest.mark.parametrize("said", [
    get(), b"\x16\x03\x01", b"\x16\x03\x01\x00\x05hello", b""])
def test_what_is_no_handshake(serve, quiet, said):
    server = serve(plain)
    with native.create_connection(server.address) as sock:
        sock.sendall(said)
        sock.shutdown(native.SHUT_WR)
        wait_until(lambda: quiet)
        error, = quiet
        assert isinstance(error, OSError)
        sock.settimeout(20)
        try:
            while sock.recv(99):
                pass
        except ConnectionResetError:
            pass
    del quiet[:]
    assert talk(server, get()).endswith(b"ok")
    assert by_engine(server) <= 1


def test_a_client_that_does_not_trust(serve, quiet):
    server = serve(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with native.create_connection(server.address) as raw:
        raw.settimeout(20)
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(socket.socket(fileno=raw.detach()),
                                server_hostname="localhost")
    wait_until(lambda: quiet)
    assert isinstance(quiet.pop(), ssl.SSLError)
    assert talk(server, get()).endswith(b"ok")


def test_slow_handshakes_hold_nobody_up(serve):
    server = serve(plain)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting().wrap_bio(incoming, outgoing,
                                 server_hostname="localhost")
    with native.create_connection(server.address) as silent, \
            socket.create_connection(server.address) as slow:
        slow.settimeout(20)

        def step(function, *args):
            while True:
                try:
                    result = function(*args)
                except ssl.SSLWantReadError:
                    result = None
                for byte in outgoing.read():
                    slow.sendall(bytes([byte]))
                    gevent.sleep(0)
                if result is not None:
                    return result
                assert not incoming.write(slow.recv(65536)) == 0

        step(lambda: client.do_handshake() or True)
        assert talk(server, get()).endswith(b"ok")
        for byte in get("/", "Connection: close"):
            step(client.write, bytes([byte]))
        assert step(client.read, 9999).startswith(b"HTTP/1.1 200 OK")
        assert silent.fileno() >= 0


@pytest.mark.parametrize("use_engine", [True, False])
def test_handshakes_that_do_not_end(serve, quiet, use_engine):
    server = serve(plain, use_engine=use_engine, handshake_timeout=0.01,
                   max_connections=1)
    with socket.create_connection(server.address) as silent:
        silent.settimeout(20)
        assert silent.recv(1) == b""
        server.handshake_timeout = None  # that of a good one may take its time
        assert talk(server, get()).endswith(b"ok")


def test_client_certificates(serve, context, quiet):
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(PEM)
    server = serve(plain, ssl_context=context)
    with connect(server) as sock:
        try:
            sock.sendall(get())
            sock.recv(999)
        except OSError:  # of TLS 1.3 the client learns late
            pass
    wait_until(lambda: quiet)
    assert isinstance(quiet.pop(), ssl.SSLError)
    certified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certified.load_verify_locations(PEM)
    certified.load_cert_chain(PEM)
    raw = socket.create_connection(server.address)
    with certified.wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(get("/", "Connection: close"))
        assert until_end(sock).endswith(b"ok")
    assert by_engine(server) == AVAILABLE


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_names_protocols_versions(serve, context, version):
    asked = []
    context.sni_callback = lambda sock, name, _: asked.append(name)
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.maximum_version = ssl.TLSVersion[version]
    server = serve(plain, ssl_context=context)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(PEM)
    client.set_alpn_protocols(["http/1.1"])
    raw = socket.create_connection(server.address)
    with client.wrap_socket(raw, server_hostname="localhost") as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert sock.version() == version.replace("_", ".")
        sock.sendall(get("/", "Connection: close"))
        assert until_end(sock).endswith(b"ok")
    assert asked == ["localhost"]
    assert by_engine(server) == AVAILABLE


# -- records ---------------------------------------------------------------------------

def test_large_bodies(serve):
    body = bytes(range(256)) * 8000
    server = serve(show_body, log=None)
    with connect(server) as sock:
        sending = gevent.spawn(sock.sendall, post(
            body, f"Content-Length: {len(body)}", "Connection: close"))
        response = until_end(sock)
        sending.get()
    assert split(response)[2] == b"body=" + body


def test_pieces_and_requests_in_records_of_their_own(serve):
    server = serve(show_body)
    request = post(b"abc", "Content-Length: 3") + post(
        b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n",
        "Transfer-Encoding: chunked") + get("/", "Connection: close")
    with connect(server) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            sock.sendall(bytes([byte]))
        assert until_end(sock).count(b"body=abc") == 2


def test_what_comes_with_the_rest_of_a_body(serve):
    # Of it the kernel knows nothing any more.
    def application(environ, start_response):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        body = b"".join(environ["wsgi.input"].read(1) for _ in range(size))
        start_response("200 OK", TEXT)
        return [b"body=" + body]

    server = serve(application)
    head = post(b"", "Content-Length: 40")
    with connect(server) as sock:
        sock.sendall(head)
        gevent.sleep(0.01)
        sock.sendall(b"x" * 40 + get("/", "Connection: close"))
        assert until_end(sock).count(b"body=") == 2


def test_a_file(serve, tmp_path):
    content = bytes(range(256)) * 4000
    (tmp_path / "file").write_bytes(content)

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"),
                                  ("Content-Length", str(len(content)))])
        return environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb"))

    server = serve(application)
    assert split(talk(server, get()))[2] == content


def ragged(server, request):
    """What is answered, and whether TLS told the end."""
    response = b""
    with native_context().wrap_socket(
            socket.create_connection(server.address),
            server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(request)
        try:
            while data := sock.recv(65536):
                response += data
        except (ssl.SSLError, ConnectionResetError):
            return response, False
        return response, True


def half(environ, start_response):
    if environ["PATH_INFO"] == "/short":
        start_response("200 OK", [*TEXT, ("Content-Length", "9")])
        return [b"half"]
    start_response("200 OK", TEXT)
    return halves()


def halves():
    yield b"half"
    raise ZeroDivisionError


@pytest.mark.parametrize("use_engine", [True, False])
def test_the_end_is_told(serve, quiet, use_engine):
    server = serve(plain, use_engine=use_engine)
    for request in (get("/", "Connection: close"), get(version="1.0"),
                    b"nonsense\r\n\r\n",
                    get() + b"GET / HTTP/1.1\r\nHost: a\r\nBad\r\n\r\n"):
        response, told = ragged(server, request)
        assert response.startswith(b"HTTP/1.1 ") and told
    server = serve(half, use_engine=use_engine, wsgi=False)
    for request in (get(), get(version="1.0"), get("/short")):
        response, told = ragged(server, request)
        assert response.startswith(b"HTTP/1.1 200 ") and not told
    del quiet[:]


def test_the_end_of_idle_connections_is_told(serve):
    for use_engine in (AVAILABLE, False):
        server = serve(plain, use_engine=use_engine, idle_timeout=1)
        assert ragged(server, get())[1]
        server = serve(plain, use_engine=use_engine)
        asking = gevent.spawn(ragged, server, get())
        wait_until(lambda: b" 200 " in server.log.getvalue().encode())
        assert server.drain(20) == 0
        assert asking.get()[1]


@needs_engine
def test_ends(serve):
    """With the word of TLS, and without."""
    server = serve(plain)
    for politely in (True, False):
        raw = socket.create_connection(server.address)
        with native_context().wrap_socket(
                raw, server_hostname="localhost",
                suppress_ragged_eofs=False) as sock:
            sock.sendall(get() * 3)
            if politely:
                with pytest.raises(ssl.SSLWantReadError):
                    sock._sslobj.shutdown()
            gevent.sleep(0.01)
            if not politely:
                sock._sock.shutdown(socket.SHUT_WR)
    assert ragged(server, get("/", "Connection: close"))[1]


def native_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # CPython before 3.11.4 takes every end for one that TLS told.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.load_verify_locations(PEM)
    return context


@needs_engine
def test_idle_connections_hold_no_greenlet(serve):
    def alive():
        gc.collect()
        return {id(one) for one in gc.get_objects()
                if isinstance(one, gevent.Greenlet) and not one.dead}

    server = serve(plain)
    before = alive()
    with connect(server) as sock:
        sock.sendall(get())
        assert sock.recv(9999)
        wait_until(lambda: alive() <= before)


def test_an_upgrade(serve):
    seen = []

    def application(environ, start_response):
        start_response("101 Switching Protocols", [
            ("Connection", "Upgrade"), ("Upgrade", "other")])
        file = environ["wsgi.input"]
        while line := file.readline():
            seen.append(line)
            yield line.upper()

    server = serve(application, wsgi=False)
    request = get("/", "Connection: Upgrade", "Upgrade: other")
    with connect(server) as sock:
        sock.sendall(request + b"early\n")
        with sock.makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            assert file.readline() == b"EARLY\n"
            sock.sendall(b"late\n")
            assert file.readline() == b"LATE\n"
    wait_until(lambda: seen == [b"early\n", b"late\n"])


# -- what `ssl` may say ----------------------------------------------------------------

class Scripted:
    """In the place of an object of `_ssl`: plain bytes, but for what a script
    of exceptions and functions says first."""

    def __init__(self, sock, reads=(), writes=()):
        self.sock = sock
        self.reads = list(reads)
        self.writes = list(writes)
        self.ended = False

    def act(self, script):
        if script:
            what = script.pop(0)
            if isinstance(what, BaseException):
                raise what
            return what()
        return None

    def read(self, size):
        said = self.act(self.reads)
        if said is not None:
            return said
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            raise ssl.SSLWantReadError from None

    def write(self, data):
        said = self.act(self.writes)
        if said is not None:
            return said
        return self.sock.send(data)

    def pending(self):
        return 0

    def shutdown(self):
        self.ended = True
        raise ssl.SSLWantReadError


@pytest.fixture
def scripted(serve, quiet):
    """A function that has a server's engine serve a connection by a script,
    and returns that and the other end."""
    server = serve(plain, log=None)
    talk(server, get())
    opened = []

    def start(**scripts):
        ours, theirs = native.socketpair()
        ours.setblocking(False)
        theirs = socket.socket(fileno=theirs.detach())
        theirs.settimeout(20)
        opened.append(theirs)
        ours = socket._realsocket(fileno=ours.detach())
        script = Scripted(ours, **scripts)
        server._http.adopt_tls(script, ours, script)
        return server, script, theirs

    yield start
    for sock in opened:
        sock.close()


def heard(sock):
    try:
        return until_end(sock)
    except ConnectionResetError:
        return b""


@needs_engine
def test_waiting(scripted):
    _, script, sock = scripted(
        reads=[ssl.SSLWantReadError()] * 3,
        writes=[ssl.SSLWantWriteError()] * 3)
    sock.sendall(get() + get("/", "Connection: close"))
    assert heard(sock).count(b"\r\n\r\nok") == 2
    assert script.ended and not script.writes
    assert script.sock.fileno() == -1


@needs_engine
def test_writing_before_reading(scripted):
    # The peer has asked for new keys, which are to be sent first.
    _, script, sock = scripted(reads=[ssl.SSLWantWriteError("new keys")] * 3)
    sock.sendall(get() + get("/", "Connection: close"))
    assert heard(sock).count(b"\r\n\r\nok") == 2
    assert script.ended and not script.reads


@needs_engine
def test_reading_before_writing(scripted, quiet):
    # Nobody renegotiates.
    _, script, sock = scripted(writes=[ssl.SSLWantReadError("new keys")])
    sock.sendall(get())
    assert heard(sock) == b""
    wait_until(lambda: script.sock.fileno() == -1)
    del quiet[:]


@needs_engine
@pytest.mark.parametrize("error", [
    ssl.SSLZeroReturnError("end"), ssl.SSLEOFError("end"),
    ssl.SSLError("bad record"), ConnectionResetError(104, "gone"),
    OSError("odd"), MemoryError()])
def test_errors_of_the_connection(scripted, quiet, error):
    for scripts in ({"reads": [error]}, {"writes": [error]}):
        _, script, sock = scripted(**scripts)
        sock.sendall(get())
        assert b"ok" not in heard(sock)
        wait_until(lambda: script.sock.fileno() == -1)
        assert not quiet or "writes" in scripts
        del quiet[:]  # some are the application's


@needs_engine
@pytest.mark.parametrize("scripts, error", [
    ({"reads": [ZeroDivisionError()]}, ZeroDivisionError),
    ({"writes": [ZeroDivisionError()]}, ZeroDivisionError),
    ({"reads": [lambda: "text"]}, TypeError),
    ({"reads": [lambda: b"x" * 100_000]}, TypeError),
    ({"writes": [lambda: b"x"]}, TypeError),
    ({"writes": [lambda: 100_000]}, ValueError)])
def test_other_errors_are_reported(scripted, quiet, scripts, error):
    # As of a signal handler that ran within the call.
    _, script, sock = scripted(**scripts)
    sock.sendall(get())
    assert heard(sock) == b""
    wait_until(lambda: quiet)
    assert [type(one) for one in quiet] == [error]
    del quiet[:]
    wait_until(lambda: script.sock.fileno() == -1)


@needs_engine
@pytest.mark.parametrize("name", ["reads", "writes"])
def test_a_server_that_is_closed_meanwhile(scripted, name):
    holder = []
    server, script, sock = scripted(
        **{name: [lambda: holder[0].close() or b"" if name == "reads"
                  else holder[0].close() or 1]})
    holder.append(server._http)
    sock.sendall(get())
    assert b"ok" not in heard(sock)
    wait_until(lambda: script.sock.fileno() == -1)
    server._http = None


@needs_engine
def test_callbacks_queued_meanwhile_run(scripted):
    loop = gevent.get_hub().loop
    called = []

    def read():
        loop.run_callback(called.append, 1)
        gc.collect()
        raise ssl.SSLWantReadError

    _, _, sock = scripted(reads=[read])
    wait_until(lambda: called)
    sock.sendall(get("/", "Connection: close"))
    assert heard(sock).endswith(b"ok")


@needs_engine
def test_a_request_dropped_meanwhile(scripted):
    """By another thread, while the engine works; whatever else is queued."""
    held = []

    def read():
        engine = ctypes.CDLL("libgcore.so.0")
        engine.gcore_hub_current.restype = ctypes.c_void_p
        hub = ctypes.c_void_p(engine.gcore_hub_current())
        while engine.gcore_hub_post(hub, engine.gcore_clock, None) == 0:
            pass
        thread = Thread(target=held.clear)
        thread.start()
        thread.join()
        raise ssl.SSLWantReadError

    server, _, _ = scripted()
    server._take_request = held.append
    with connect(server) as sock:
        sock.sendall(get("/", "Connection: Upgrade", "Upgrade: other"))
        wait_until(lambda: held)
        ours, theirs = native.socketpair()
        with theirs:
            ours.setblocking(False)
            ours = socket._realsocket(fileno=ours.detach())
            script = Scripted(ours, reads=[read])
            server._http.adopt_tls(script, ours, script)
            assert b" 500 " in sock.recv(9999)
            assert not held


@needs_engine
def test_what_cannot_be_adopted(scripted):
    server, _, _ = scripted()
    closed = socket._realsocket()
    closed.close()
    for args in ((), (1, 2, 3), (1, closed, 3)):
        with pytest.raises((TypeError, AttributeError, ValueError)):
            server._http.adopt_tls(*args)
    ours, theirs = native.socketpair()
    with ours, theirs:
        engine = server._http
        engine.close()
        with pytest.raises(OSError):
            engine.adopt_tls(1, ours, 3)
        theirs.sendall(b"x")
        ours.setblocking(True)
        assert ours.recv(1) == b"x"
    server._http = None
