"""The WSGI server: requests as they come over the wire, and responses."""
import io
import logging
import pickle
import struct
import sys

import gevent
import pytest
from raw_http import (LOCAL, TEXT, connect, get, plain, post, show_body,
                      split, talk, wait_until)

from gevent import pywsgi, socket
from gevent.event import Event

# -- the environment -------------------------------------------------------------------

def test_the_environment(serve):
    seen = []

    def application(environ, start_response):
        seen.append(environ)
        return plain(environ, start_response)

    server = serve(application, environ={"my.key": 5}, wsgi=False)
    talk(server, get(
        "/a%20b/%c3?q=%20", "Host: h:1", "X-One: 1", "x-one: 2", "Cookie: a",
        "Cookie: b", "X_One: hidden", "Content-Type: t/t", "Content-Length: 0",
        "Folded: a", "  b"))
    environ, = seen
    address, port = environ["REMOTE_ADDR"], environ["REMOTE_PORT"]
    assert address == "127.0.0.1" and port.isdigit()
    expected = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a b/\xc3",
        "QUERY_STRING": "q=%20", "CONTENT_TYPE": "t/t", "CONTENT_LENGTH": "0",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "h:1",
        "HTTP_X_ONE": "1,2", "HTTP_COOKIE": "a; b", "HTTP_FOLDED": "a b",
        "SERVER_PORT": str(server.server_port), "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if server.ssl_enabled else "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
        "wsgi.input_terminated": True, "wsgi.errors": server.error_log,
        "GATEWAY_INTERFACE": "CGI/1.1", "my.key": 5}
    assert {key: environ[key] for key in expected} == expected
    assert "hidden" not in environ.values()
    assert type(environ) is dict


def test_long_names_of_headers(serve):
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return [environ["HTTP_" + "A" * 300].encode()]

    assert talk(serve(application), get("/", "a" * 300 + ": b")).endswith(
        b"\r\n\r\nb")


def test_one_process_of_several(serve):
    server = serve(plain, environ={"wsgi.multiprocess": True})
    assert server.max_accept == 1
    assert serve(plain).max_accept == 100


# -- responses -------------------------------------------------------------------------

def test_a_sized_result(serve):
    status, headers, body = split(talk(serve(plain), get()))
    assert status == "HTTP/1.1 200 OK"
    assert headers["Content-Length"] == "2"
    assert headers["Date"].endswith("GMT")
    assert body == b"ok"


def test_pieces(serve):
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"one"
        yield b""
        yield b"three"

    server = serve(application)
    _, headers, body = split(talk(server, get()))
    assert headers["Transfer-Encoding"] == "chunked"
    assert body == b"3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"
    _, headers, body = split(talk(server, get(
        "/", "Connection: keep-alive", version="1.0"), closed=False))
    assert headers["Connection"] == "close"
    assert body == b"onethree"


def test_the_write_function(serve):
    def application(_environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"one")
        return [b"two"]

    _, _, body = split(talk(serve(application), get()))
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_head_and_body_are_one_send(serve):
    sends = []

    class Handler(pywsgi.WSGIHandler):

        def _sendall(self, data):
            sends.append(data)
            super()._sendall(data)

    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        return [b"a", b"b", b"c"]

    server = serve(application, handler_class=Handler)
    assert talk(server, get()).endswith(b"\r\n\r\nabc")
    assert len(sends) == 1


def test_responses_without_a_body(serve):
    def application(environ, start_response):
        start_response(environ["PATH_INFO"][1:], [])
        return []

    server = serve(application)
    for status in ("204 No Content", "304 Not Modified"):
        path = "/" + status.replace(" ", "%20")
        response = talk(server, get(path))
        assert response.startswith(b"HTTP/1.1 " + status.encode())
        assert b"ength" not in response and response.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [200, b"200 OK", None])
def test_a_status_is_text(serve, quiet, status):
    def application(_environ, start_response):
        start_response(status, [])
        return []

    response = talk(serve(application, wsgi=False), get())
    assert response.startswith(b"HTTP/1.1 500 ")
    error, = quiet
    assert isinstance(error, UnicodeError)
    assert str(error).endswith(f"the status is {status!r}")


def test_what_follows_connect_is_no_request(serve):
    """To a proxy that tunnels it is the client's."""
    response = talk(serve(plain, wsgi=False),
                    b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n" + get())
    assert response.count(b"HTTP/1.1") == 1
    assert split(response)[1]["Connection"] == "close"


def test_head_requests_get_no_body(serve):
    response = talk(serve(plain), b"HEAD / HTTP/1.1\r\n\r\n")
    _, headers, body = split(response)
    assert headers["Content-Length"] == "2"
    assert body == b""


@pytest.mark.parametrize("length, sent, kept", [
    (3, b"abcdef", b"abc"), (3, b"ab", b"ab"), (0, b"x", b"")])
def test_a_body_that_is_not_as_long_as_announced(serve, length, sent, kept):
    # The next response must not pass for its rest, nor its rest for that.
    def application(_environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", str(length))])
        return [sent]

    response = talk(serve(application), get() * 2, closed=False)
    assert response.count(b"HTTP/1.1") == 1
    assert split(response)[2] == kept


def test_framing_is_the_servers(serve):
    def application(_environ, start_response):
        start_response("200 OK", [*TEXT, ("Transfer-Encoding", "gzip")])
        return [b"x"]

    assert b"gzip" not in talk(serve(application), get())


@pytest.mark.parametrize("status, headers", [
    ("200 OK\r\nX: y", []), ("200 OK", [("A", "b\nC: d")]),
    ("200 OK", [("A\r\nB", "c")]), ("OK", []), ("200 OK", [("A", b"b")]),
    ("200 OK", [("A", "\N{SNOWMAN}")]), ("204 No", [("Content-Length", "1")])])
def test_bad_responses(serve, quiet, status, headers):
    def application(_environ, start_response):
        start_response(status, headers)
        return []

    response = talk(serve(application, wsgi=False), get())
    assert response.startswith(b"HTTP/1.1 500 ")
    assert len(quiet) == 1


@pytest.mark.parametrize("status, headers", [
    ("100 Continue", []), ("199 X", []), ("99 X", []),
    ("200 OK", [("Content-Length", "x")]), ("200 OK", [("A B", "c")]),
    ("200 OK", [("", "c")])])
@pytest.mark.parametrize("result", [[b"a"], (b"a", b"b"), iter([b"a"])])
def test_answers_that_the_engine_refuses(serve, quiet, reader, status, headers,
                                         result):
    if reader == "handlers":
        pytest.skip("handlers send them as they are, as upstream does")

    def application(_environ, start_response):
        start_response(status, headers)
        return result

    server = serve(application, wsgi=False)
    response = talk(server, get() * 2)
    assert response.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert response.count(b"HTTP/1.1 ") == 1
    assert response.endswith(b"\r\n\r\nInternal Server Error")
    error, = quiet
    assert isinstance(error, ValueError) and "malformed" in str(error)
    line, = server.log.lines()
    assert '" 500 ' in line


def test_headers_that_are_lists(serve):
    def application(_environ, start_response):
        start_response("200 OK", [["A", "b"], ["Content-Length", "2"]])
        return [b"ok"]

    response = talk(serve(application, wsgi=False), get())
    assert b"\r\nA: b\r\n" in response and response.endswith(b"ok")


# -- errors of the application ---------------------------------------------------------

def test_an_error_before_the_response(serve, quiet):
    def application(_environ, _start_response):
        raise ZeroDivisionError

    server = serve(application)
    response = talk(server, get() * 2)
    assert response.count(b"HTTP/1.1 500 ") == 1
    assert response.endswith(b"\r\n\r\nInternal Server Error")
    assert [type(error) for error in quiet] == [ZeroDivisionError]
    assert '" 500 ' in server.log.getvalue()


def test_an_error_in_the_response(serve, quiet):
    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        yield b"abc"
        raise ZeroDivisionError

    response = talk(serve(application), get() * 2)
    assert response.endswith(b"\r\n\r\n3\r\nabc\r\n")  # the end is missing
    assert [type(error) for error in quiet] == [ZeroDivisionError]


def test_the_result_is_closed(serve, quiet):
    closed = []

    class Result:

        def __iter__(self):
            yield b"x"
            raise ZeroDivisionError

        def close(self):
            closed.append(True)

    def application(_environ, start_response):
        start_response("200 OK", TEXT)
        return Result()

    talk(serve(application), get())
    assert closed == [True]


def test_nothing_started(serve, quiet):
    assert talk(serve(lambda *_: [b"x"]), get()).startswith(b"HTTP/1.1 500 ")
    assert isinstance(quiet[0], AssertionError)


def test_nothing_said(serve, quiet):
    # The answer to the next request would pass for the missing one.
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/silent":
            return []
        return plain(environ, start_response)

    server = serve(application, wsgi=False)
    for version in ("1.0", "1.1"):
        silent = get("/silent", "Connection: keep-alive", version=version)
        assert talk(server, silent + get(), closed=False) == b""
    assert not quiet


def test_exc_info(serve):
    import sys

    def application(_environ, start_response):
        start_response("200 OK", [*TEXT, ("X", "1")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oops", TEXT, sys.exc_info())
        return [b"sorry"]

    status, headers, body = split(talk(serve(application), get()))
    assert (status, body) == ("HTTP/1.1 500 Oops", b"sorry")
    assert "X" not in headers


# -- the life of a connection ----------------------------------------------------------

def test_requests_follow_each_other(serve):
    server = serve(show_body)
    request = (post(b"one", "Content-Length: 3")
               + post(b"3\r\ntwo\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
               + get())
    response = talk(server, request)
    assert response.count(b"HTTP/1.1 200 OK") == 3
    assert b"body=one" in response and b"body=two" in response


def test_bodies_that_nobody_read(serve):
    request = (post(b"x" * 100_000, "Content-Length: 100000")
               + post(b"3\r\ntwo\r\n0\r\n\r\n", "Transfer-Encoding: chunked")
               + get())
    assert talk(serve(plain), request).count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize("version, header, kept", [
    ("1.1", "X: y", True), ("1.1", "Connection: close", False),
    ("1.1", "Connection: keep-alive, Close", False),
    ("1.0", "X: y", False), ("1.0", "Connection: Keep-Alive", True),
    ("1.0", "Connection: keep-alive, close", False)])
def test_when_a_connection_ends(serve, version, header, kept):
    request = get("/", header, version=version)
    response = talk(serve(plain), request * 2)
    assert response.count(b"HTTP/1.1 200 OK") == 1 + kept
    if version == "1.0":
        assert (b"Connection: keep-alive" in response) == kept


def test_http_0_9(serve, reader):
    if reader == "engine":  # it is refused
        assert talk(serve(plain), b"GET /\r\n\r\n").startswith(
            b"HTTP/1.1 400 ")
        return
    seen = []

    def application(environ, start_response):
        seen.append(environ["SERVER_PROTOCOL"])
        return plain(environ, start_response)

    assert talk(serve(application), b"GET /\r\n").endswith(b"ok")
    assert seen == ["HTTP/0.9"]


def test_100_continue(serve):
    server = serve(show_body)
    request = post(b"", "Content-Length: 3", "Expect: 100-continue")
    with connect(server) as sock:
        sock.settimeout(20)
        sock.sendall(request)
        assert sock.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(999).endswith(b"body=abc")
    for server, expected in ((serve(plain), "100-continue"),
                             (serve(show_body), "100-continue, x")):
        response = talk(server, post(b"abc", "Content-Length: 3",
                                     f"Expect: {expected}"))
        assert b"100 Continue" not in response


def test_no_100_continue_within_a_response(serve):
    def application(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"start")
        return [environ["wsgi.input"].read(-1)]

    for header, body in (("Content-Length: 3", b"abc"),
                         ("Transfer-Encoding: chunked",
                          b"3\r\nabc\r\n0\r\n\r\n")):
        response = talk(serve(application), post(
            body, header, "Expect: 100-continue"))
        assert split(response)[2] == b"5\r\nstart\r\n3\r\nabc\r\n0\r\n\r\n"


def test_no_delay(serve):
    seen = []

    class Handler(pywsgi.WSGIHandler):

        def handle(self):
            seen.append(self.socket.getsockopt(socket.IPPROTO_TCP,
                                               socket.TCP_NODELAY))
            super().handle()

    talk(serve(plain, handler_class=Handler), get())
    assert seen[0]


# -- what is refused -------------------------------------------------------------------

@pytest.mark.parametrize("request_", [
    b"\r\n\r\n", b"GET\r\n", b"GET / HTTP/1.1 x\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n",
    b"GET / HTTP/1.1.1\r\n\r\n", b"GET / HTTP/1\r\n\r\n", b"GET / http/1.1\r\n",
    b"GET / HTTP/1.1\n\r\n", b"G(T / HTTP/1.1\r\n\r\n", b"POST /\r\n",
    b"GET  / HTTP/1.1\r\n\r\n", b"GET /\0 HTTP/1.1\r\n\r\n",
    get("/", "no colon"), get("/", ": x"), get("/", " folded: first"),
    get("/", "a b: c"), get("/", "A: b\0c"), get("/", "A: b\rc"),
    b"GET / HTTP/1.1\r\nA: b\n\r\n", b"GET / HTTP/1.1\nA: b\r\n\r\n",
    get("/", *["A: b"] * 101),
    get("/", "Host: a", "Host: b"), b"GET / HTTP/1.1\r\nA",
    b"HEAD / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    post(b"abc", "Content-Length: -3"), post(b"abc", "Content-Length: +3"),
    post(b"abc", "Content-Length: 3_0"), post(b"abc", "Content-Length: 3, 3"),
    post(b"abc", "Content-Length: 0x3"), post(b"abc", "Content-Length: \xb3"),
    post(b"abc", "Content-Length: "), post(b"abc", "Content-Length : 3"),
    post(b"abc", "Content-Length: 3", "Content-Length: 2"),
    post(b"0\r\n\r\n", "Transfer-Encoding: gzip"),
    post(b"0\r\n\r\n", "Transfer-Encoding: gzip, chunked"),
    post(b"0\r\n\r\n", "Transfer-Encoding: chunked, chunked"),
    post(b"0\r\n\r\n", "Transfer-Encoding: chunked",
         "Transfer-Encoding: chunked"),
    post(b"0\r\n\r\n", "Transfer-Encoding: xchunked"),
    post(b"0\r\n\r\n", "Transfer-Encoding: chunked").replace(b"1.1", b"1.0"),
])
def test_refused(serve, request_):
    server = serve(plain)
    response = talk(server, request_ + get())
    assert response.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 2" not in response
    assert b"\r\nConnection: close\r\n" in response
    wait_until(lambda: server.log.lines())
    assert len(server.error_log.lines()) == 1
    line, = server.log.lines()
    assert '" 400 ' in line


def test_a_long_header_line(serve, reader):
    line = "A: " + "b" * 65536
    response = talk(serve(plain), get("/", line, "Connection: close"))
    status = b"400" if reader == "handlers" else b"200"
    assert response.startswith(b"HTTP/1.1 " + status)


def test_a_long_request_line(serve):
    server = serve(plain)
    response = talk(server, get("/" + "a" * 9000))
    assert response.startswith(b"HTTP/1.1 414 ")
    assert talk(server, get("/" + "a" * 8000)).endswith(b"ok")


BAD_CHUNKS = [
    b"g\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", b"\r\nabc\r\n",
    b"3\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n",
    b"3\r\nabc\n0\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n",
    b"1" * 17 + b"\r\n", b"3;" + b"x" * 9000 + b"\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabc\r\n0\r\nno colon\r\n\r\n", b"3\r\nabc\r\n0\r\nA: b\n\r\n",
]


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunks(serve, body):
    server = serve(show_body)
    request = post(body, "Transfer-Encoding: chunked") + get()
    response = talk(server, request)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.count(b"HTTP/1.1") == 1
    assert len(server.error_log.lines()) == 1


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunks_that_nobody_read(serve, reader, body):
    server = serve(plain)
    request = post(body, "Transfer-Encoding: chunked") + get()
    assert talk(server, request).count(b"HTTP/1.1") == 1
    if reader == "handlers":  # the engine stops reading, no more
        assert len(server.error_log.lines()) == 1


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_bad_chunks_that_the_application_forgives(serve, body):
    def application(environ, start_response):
        try:
            environ["wsgi.input"].read(-1)
        except OSError:
            pass
        return plain(environ, start_response)

    request = post(body, "Transfer-Encoding: chunked") + get()
    assert talk(serve(application), request).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("header, body", [
    ("Content-Length: 9", b"abc"), ("Transfer-Encoding: chunked", b"3\r\nab"),
    ("Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\nA: b\r\n")])
def test_a_body_cut_short(serve, header, body):
    assert talk(serve(show_body), post(body, header)).startswith(
        b"HTTP/1.1 400 ")


def test_both_lengths(serve):
    # Chunks win; whoever saw the length sees no second response.
    request = post(b"3\r\nabc\r\n0\r\n\r\n", "Content-Length: 1000",
                   "Transfer-Encoding: CHUNKED") + get()
    response = talk(serve(show_body), request)
    assert response.endswith(b"body=abc")
    assert response.count(b"HTTP/1.1") == 1

    class Strict(pywsgi.WSGIServer):
        strict = True

    assert talk(serve(show_body, server_class=Strict), request).startswith(
        b"HTTP/1.1 400 ")


# -- wsgi.input ------------------------------------------------------------------------

BODY = b"one\ntwo\n\nlast"


def sized():
    return pywsgi.Input(io.BytesIO(BODY + b"GET /"), len(BODY))


def chunked(size=2):
    data = b"".join(
        b"%x;ext=1\r\n%b\r\n" % (len(BODY[i:i + size]), BODY[i:i + size])
        for i in range(0, len(BODY), size)) + b"0\r\nTrailer: x\r\n\r\nGET /"
    return pywsgi.Input(io.BytesIO(data), None, chunked_input=True)


@pytest.mark.parametrize("make", [
    sized, chunked, lambda: chunked(1), lambda: chunked(100)])
def test_reading_a_body(make):
    assert make().read() == BODY
    assert make().readlines() == BODY.splitlines(True)
    assert list(make()) == BODY.splitlines(True)
    body = make()
    assert body.read(0) == b""
    assert body.read(2) == b"on"
    assert body.readline(1) == b"e"
    assert body.readline() == b"\n"
    assert next(body) == b"two\n"
    assert body.read(-1) == b"\nlast"
    assert body.read() == body.read(5) == body.readline() == b""
    assert list(body) == []
    body = make()
    body.read(1)
    body._discard()
    assert body.rfile.read() == b"GET /"


def read_in_ways(file):
    """Read the whole of `BODY`, as *file*, in a way the path names."""
    return {
        "/all": lambda: [file.read(), file.read(), file.readline()],
        "/none": lambda: [file.read(None), file.read(-1), file.read(1)],
        "/exact": lambda: [file.read(len(BODY)), file.read(len(BODY)),
                           *file],
        "/more": lambda: [file.read(length=len(BODY) + 9), *file.readlines()],
        "/most": lambda: [file.read(sys.maxsize), file.read(2)],
        "/least": lambda: [file.read(-9), file.read(-9)],
        "/nothing": lambda: [file.read(0), file.read(), file.read(0)],
        "/less": lambda: [file.read(3), file.read(), file.read(sys.maxsize)],
        "/line": lambda: [file.readline(), file.read(sys.maxsize)],
        "/lines": lambda: [*file, file.read(), *file],
    }


@pytest.mark.parametrize("framed", [
    post(BODY, f"Content-Length: {len(BODY)}", path="%b"),
    post(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
         "Transfer-Encoding: chunked", path="%b")])
def test_ways_to_read_a_body(serve, framed):
    def application(environ, start_response):
        read = read_in_ways(environ["wsgi.input"])[environ["PATH_INFO"]]
        data = b"".join(read())
        start_response("200 OK", TEXT)
        return [b"read=" + data]

    server = serve(application, wsgi=False)
    for path in read_in_ways(None):
        request = framed.replace(b"%b", path.encode(), 1) + get("/all")
        assert talk(server, request).count(b"read=" + BODY) == 1, path


@pytest.mark.parametrize("bad", [
    lambda file: file.read("1"), lambda file: file.read(1.5),
    lambda file: file.read(1, 2), lambda file: file.read(size=1)])
def test_bad_lengths_to_read(serve, quiet, bad):
    def application(environ, start_response):
        with pytest.raises(TypeError):
            bad(environ["wsgi.input"])
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    server = serve(application, wsgi=False)
    assert talk(server, post(BODY, f"Content-Length: {len(BODY)}")).endswith(
        b"\r\n\r\n" + BODY)


def test_a_read_that_was_interrupted(serve, reader):
    """What had come is lost, and the rest can be read."""
    waited = Event()

    def application(environ, start_response):
        with gevent.Timeout(0.05, False):
            environ["wsgi.input"].read()
            raise AssertionError
        waited.set()
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    if reader == "handlers":
        pytest.skip("what an interrupted read took is not counted by "
                    "the file that handlers read from")
    with connect(serve(application, wsgi=False)) as sock:
        sock.sendall(post(b"lost", "Content-Length: 8", "Connection: close"))
        assert waited.wait(20)
        sock.sendall(b"rest")
        response = b""
        while data := sock.recv(65536):
            response += data
    assert response.endswith(b"rest")


@pytest.mark.parametrize("again", ["read", "readline"])
def test_a_failure_stays(serve, reader, again):
    raised = []

    def application(environ, start_response):
        for _ in range(2):
            try:
                getattr(environ["wsgi.input"], again if raised else "read")()
            except OSError as error:
                raised.append(error)
        start_response("200 OK", TEXT)
        return [b""]

    talk(serve(application, wsgi=False), post(b"ab", "Content-Length: 8"))
    wait_until(lambda: len(raised) == 2)
    assert "unexpected end of file" in str(raised[0])
    assert str(raised[1]) == str(raised[0])
    assert type(raised[1]) is type(raised[0])


@pytest.mark.parametrize("body", [
    post(b"ab", "Content-Length: 8"),
    post(b"5\r\nab", "Transfer-Encoding: chunked"),
    post(b"5\r\nabcde\r\n", "Transfer-Encoding: chunked")])
@pytest.mark.parametrize("resets", [False, True])
def test_a_client_that_goes_amid_its_body(serve, quiet, body, resets):
    """The application hears of it as of a connection that was reset, and
    nobody else does if it deals with that."""
    inside, raised = [], []

    def application(environ, start_response):
        inside.append(environ)
        try:
            environ["wsgi.input"].read()
        except ConnectionResetError as error:
            raised.append(error)
        start_response("200 OK", TEXT)
        return [b""]

    server = serve(application, wsgi=False)
    with connect(server) as sock:
        sock.sendall(body)
        wait_until(lambda: inside)
        if resets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))
    wait_until(lambda: raised)
    wait_until(lambda: server.log.getvalue())  # it is over
    assert isinstance(raised[0], OSError)
    assert server.error_log.getvalue() == ""
    assert not quiet


# -- taking the connection over --------------------------------------------------------

def test_an_upgrade(serve):
    def application(environ, start_response):
        start_response("101 Switching", [("Upgrade", "websocket")])(b"")
        return [environ["wsgi.input"].readline().upper()]

    server = serve(application, wsgi=False)  # WSGI knows no 101
    response = talk(server, get("/", "Connection: keep-alive, Upgrade",
                                "Upgrade: websocket") + b"line\nmore")
    assert response.startswith(b"HTTP/1.1 101 Switching\r\n")
    assert response.endswith(b"\r\n\r\nLINE\n")


@pytest.mark.parametrize("protocol", ["other", "websocket"])
def test_an_upgrade_has_no_end(serve, protocol):
    # Whoever takes the input for terminated would read for ever.
    def application(environ, start_response):
        start_response("200 OK", TEXT)
        return [repr(environ["wsgi.input_terminated"]).encode()]

    server = serve(application)
    upgrade = get("/", "Connection: Upgrade", f"Upgrade: {protocol}")
    assert split(talk(server, upgrade))[2] == b"False"
    assert split(talk(server, get()))[2] == b"True"


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_upgrade_with_a_body(serve, protocol):
    request = post(b"abc", "Connection: Upgrade", f"Upgrade: {protocol}",
                   "Content-Length: 3") + get()
    response = talk(serve(show_body), request)
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert b"body=abc" in response


def test_another_protocol_after_101(serve):
    def application(environ, start_response):
        body = environ["wsgi.input"].read(-1)
        start_response("101 Switching", [("Upgrade", "mine")])(b"")
        return [body + environ["wsgi.input"].readline()]

    request = post(b"abc", "Connection: Upgrade", "Upgrade: mine",
                   "Content-Length: 3") + b"line\n"
    server = serve(application, wsgi=False)
    assert talk(server, request).endswith(b"\r\n\r\nabcline\n")


def test_a_handler_that_takes_over(serve):
    # As gevent-websocket does it.
    class Handler(pywsgi.WSGIHandler):

        def start_response(self, status, headers, exc_info=None):
            write = super().start_response(status, headers, exc_info)
            self.provided_content_length = False
            self.response_use_chunked = False
            self.close_connection = True
            self.provided_date = True
            return write

        def run_application(self):
            self.start_response("101 Switching", [])
            self.write("")
            self.socket.sendall(self.rfile.readline())
            self.result = []

    response = talk(serve(plain, handler_class=Handler), get() + b"raw\n")
    assert response == b"HTTP/1.1 101 Switching\r\n\r\nraw\n"


# -- logs ------------------------------------------------------------------------------

def test_logs(serve):
    server = serve(plain)
    talk(server, get("/a?b"))
    line, = server.log.lines()
    assert line.startswith("127.0.0.1 - - [")
    assert '] "GET /a?b HTTP/1.1" 200 ' in line
    talk(serve(plain, log=None, error_log=None), get() + b"bad\r\n")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version, headers", [
    ("1.0", ""), ("1.0", "Connection: keep-alive\r\n"), ("1.1", "Host: h\r\n"),
    ("1.1", "Connection: close\r\nHost: h\r\n")])
@pytest.mark.parametrize("status", ["200 OK", "404"])
@pytest.mark.parametrize("result", [
    list, iter, lambda _: iter(()), lambda _: [b"ok"]])
def test_logs_tell_the_length_of_the_response(serve, method, version, headers,
                                              status, result):
    def application(_environ, start_response):
        start_response(status, TEXT)
        return result([b"a" * 1000, b"b" * 20])

    server = serve(application, wsgi=False)
    response = talk(server, f"{method} / HTTP/{version}\r\n{headers}\r\n"
                    .encode())
    wait_until(lambda: server.log.getvalue())
    line, = server.log.lines()
    assert line.split('" ')[1].split()[:2] == [status[:3], str(len(response))]


def test_logs_tell_the_status_also_if_the_client_has_gone(serve, quiet):
    """What monitors read there is a number."""
    going = Event()

    def application(_environ, start_response):
        write = start_response("203 So", TEXT)
        write(b"x")
        going.wait()
        while True:
            write(b"x" * 100_000)
            gevent.sleep(0)

    server = serve(application, wsgi=False)
    with connect(server) as sock:
        sock.sendall(get("/"))
        sock.recv(1)
    going.set()
    wait_until(lambda: server.log.getvalue())
    assert '] "GET / HTTP/1.1" 203 ' in server.log.getvalue()


def test_loggers(serve, caplog):
    logger = logging.getLogger("requests")
    logger.setLevel(logging.INFO)
    server = serve(plain, log=logger, error_log=logger)
    with caplog.at_level(logging.INFO):
        talk(server, get() + b"bad\r\n\r\n")
        wait_until(lambda: len(caplog.records) == 3)
    levels = [record.levelno for record in caplog.records]
    assert sorted(levels) == [logging.INFO, logging.INFO, logging.ERROR]
    assert not any("\n" in record.getMessage() for record in caplog.records)
    assert server.log.name == "requests"
    with pytest.raises(TypeError):
        pywsgi.WSGIServer(LOCAL, plain, log=5)


def test_environments_that_keep_secrets():
    environ = pywsgi.WSGISecureEnviron(
        {"HTTP_HOST": "h", "HTTP_COOKIE": "secret"})
    assert repr(environ) == str(environ) == (
        "{'HTTP_HOST': 'h', (hidden keys: 1)}")
    environ.print_masked_keys = True
    assert repr(environ) == "{'HTTP_HOST': 'h', 'HTTP_COOKIE': '<MASKED>'}"
    environ.secure_repr = False
    assert "secret" in repr(environ)
    assert "secret" not in repr(pywsgi.SecureEnviron(environ))
    assert type(environ.copy()) is pywsgi.WSGISecureEnviron
    copied = pickle.loads(pickle.dumps(environ))
    assert copied == environ and type(copied) is dict


def test_an_error_report_keeps_secrets(serve, quiet):
    contexts = []
    hub = gevent.get_hub()
    hub.handle_error = lambda context, *_: contexts.append(repr(context))

    def application(_environ, _start_response):
        raise ZeroDivisionError

    talk(serve(application), get("/", "Cookie: secret"))
    assert len(contexts) == 1 and "secret" not in contexts[0]


def test_headers_factory():
    message = pywsgi.headers_factory(
        io.BytesIO(b"A: b\r\nContent-Type: t/t\r\nA:c\r\n\r\nrest"))
    assert message.get_all("a") == ["b", "c"]
    assert message.getheader("a") == "b"
    assert message.typeheader == "t/t"
    assert list(message.headers) == [
        "A: b\r\n", "Content-Type: t/t\r\n", "A: c\r\n"]


def test_dates():
    assert pywsgi.format_date_time(0) == b"Thu, 01 Jan 1970 00:00:00 GMT"
    assert (pywsgi.format_date_time(1700000000.9)
            == b"Tue, 14 Nov 2023 22:13:20 GMT")
