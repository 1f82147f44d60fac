"""Requests that come together: one greenlet may answer several, which nobody
is to notice."""
import contextvars
import errno
import os
import resource
import sys
import time
from contextlib import ExitStack, suppress

import gevent
import gevent.event
import pytest
from gevent.local import local
from gevent.queue import Queue
from raw_http import (connect, get, plain, post, talk, until_end,
                      wait_until)

from gevent import pywsgi, socket
from gevent._pywsgi_engine import AVAILABLE

TOGETHER = 10


def ask_together(server, *targets):
    """Ask for each of *targets* on a connection of its own, at once; returns
    the bodies, in that order."""
    with ExitStack() as stack:
        peers = [stack.enter_context(connect(server)) for _ in targets]
        for peer, target in zip(peers, targets):
            peer.settimeout(20)
            peer.sendall(get(target, "Connection: close"))
        return [body_of(peer) for peer in peers]


def body_of(peer):
    answer = b""
    while data := peer.recv(65536):
        answer += data
    return answer.partition(b"\r\n\r\n")[2]


def answering(function):
    """An application whose body is the text of *function*(environ)."""
    def application(environ, start_response):
        body = str(function(environ)).encode()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]
    return application


def names(count=TOGETHER):
    return [f"/{number}" for number in range(count)]


@pytest.fixture(params=["default", gevent.spawn_raw], ids=["default", "raw"])
def spawn(request):
    return request.param


def test_locals_are_of_one_request(serve, spawn):
    mine = local()

    def application(environ):
        before = getattr(mine, "path", None)
        mine.path = environ["PATH_INFO"]
        return before

    server = serve(answering(application), spawn=spawn)
    assert ask_together(server, *names()) == [b"None"] * TOGETHER


def test_contexts_are_of_one_request(serve, spawn):
    variable = contextvars.ContextVar("variable", default=None)

    def application(environ):
        before = variable.get()
        variable.set(environ["PATH_INFO"])
        return before

    server = serve(answering(application), spawn=spawn)
    assert ask_together(server, *names()) == [b"None"] * TOGETHER


def test_attributes_of_greenlets_are_of_one_request(serve, spawn):
    def application(environ):
        current = gevent.getcurrent()
        before = getattr(current, "path", None)
        current.path = environ["PATH_INFO"]
        return before

    server = serve(answering(application), spawn=spawn)
    assert ask_together(server, *names()) == [b"None"] * TOGETHER


def test_a_greenlet_that_is_known_to_others_is_not_used_again(serve, spawn):
    known = []

    def application(environ):
        current = gevent.getcurrent()
        seen = current in known
        known.append(current)
        return seen

    server = serve(answering(application), spawn=spawn)
    assert ask_together(server, *names()) == [b"False"] * TOGETHER


def test_links_are_told_at_the_end_of_the_request(serve):
    ended = []

    def application(environ):
        path = environ["PATH_INFO"]
        gevent.getcurrent().link(lambda _source: ended.append(path))
        return len(ended)

    server = serve(answering(application))
    ask_together(server, *names())
    wait_until(lambda: len(ended) == TOGETHER)
    assert sorted(ended) == sorted(names())


def test_a_timeout_that_was_left_does_not_end_the_next_request(serve, quiet):
    def application(environ):
        if environ["PATH_INFO"] == "/0":
            gevent.Timeout.start_new(0.01)
        else:
            gevent.sleep(0.05)
        return "ok"

    server = serve(answering(application))
    assert ask_together(server, *names()) == [b"ok"] * TOGETHER


def test_who_waits_holds_nobody_up(serve):
    go_on = gevent.event.Event()

    def application(environ):
        if environ["PATH_INFO"] == "/last":
            go_on.set()
        return go_on.wait(20)

    server = serve(answering(application))
    bodies = ask_together(server, *names(), "/last")
    assert bodies == [b"True"] * (TOGETHER + 1)


@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
def test_who_computes_lets_others_have_their_turn(serve):
    """Timers run between requests that take long, though all are there."""
    ticks = []

    def application(environ):
        end = time.perf_counter() + 0.03
        while time.perf_counter() < end:
            pass
        return len(ticks)

    def tick():
        while True:
            gevent.sleep(0.001)
            ticks.append(1)

    server = serve(answering(application))
    ticker = gevent.spawn(tick)
    bodies = ask_together(server, *names())
    ticker.kill()
    assert len(set(bodies)) > TOGETHER // 2


def test_a_failure_is_of_one_request(serve, quiet):
    def application(environ):
        if environ["PATH_INFO"] == "/3":
            raise LookupError("three")
        return "ok"

    server = serve(answering(application))
    bodies = ask_together(server, *names())
    assert bodies == [b"ok"] * 3 + [b"Internal Server Error"] + [b"ok"] * 6
    error, = quiet
    assert isinstance(error, LookupError)


@pytest.mark.parametrize("error", [gevent.GreenletExit, SystemExit])
def test_an_exit_is_of_one_request(serve, quiet, error):
    def application(environ):
        if environ["PATH_INFO"] == "/3":
            raise error
        return "ok"

    server = serve(answering(application))
    bodies = ask_together(server, *names())
    assert bodies == [b"ok"] * 3 + [b"Internal Server Error"] + [b"ok"] * 6


def test_errors_are_current_while_they_are_reported(serve):
    hub = gevent.get_hub()
    seen = []
    hub.handle_error = lambda *_: seen.append(sys.exc_info()[1])
    ask_together(serve(answering(lambda _: 1 // 0)), "/")
    assert isinstance(seen[0], ZeroDivisionError)
    assert sys.exc_info() == (None, None, None)


def test_errors_of_close_are_reported_after_those_before(serve, quiet):
    class Result:
        def __iter__(self):
            raise LookupError("of the result")

        def close(self):
            raise OverflowError("of close")

    def application(environ, start_response):
        start_response("200 OK", [])
        return Result()

    ask_together(serve(application, wsgi=False), "/")
    error, = quiet
    assert isinstance(error, OverflowError)
    assert isinstance(error.__context__, LookupError)


@pytest.mark.parametrize("said", [
    ("two hundred", []), ("", []), ("200", [("A", "b\r\nC: d")]),
    ("200 O\nK", []), ("200 OK", ["Abc"]), ("200 OK", [("A", 1)]),
    ("200 OK", [(b"A", "b")]), (b"200 OK", []), ("200 \u20ac", []),
    ("200 OK", [("A", "\u20ac")]), ("200 OK", None)])
def test_what_is_no_answer(serve, quiet, said):
    def application(environ, start_response):
        start_response(*said)
        return [b"never"]

    server = serve(application, wsgi=False)
    assert ask_together(server, "/") == [b"Internal Server Error"]
    assert len(quiet) == 1


def test_an_answer_without_anything_said(serve, quiet):
    server = serve(lambda environ, start_response: [b"body"], wsgi=False)
    assert ask_together(server, "/") == [b"Internal Server Error"]
    assert isinstance(quiet[0], AssertionError)


@pytest.mark.parametrize("exc_info", [
    (None, None, None), (1, 2, 3), (1,), 5])
def test_late_errors_that_are_none(serve, quiet, exc_info):
    def application(environ, start_response):
        start_response("200 OK", [])(b"begun")
        start_response("500 Error", [], exc_info)

    ask_together(serve(application, wsgi=False), "/")
    assert len(quiet) == 1


def test_the_application_may_change(serve):
    server = serve(answering(lambda _: 1))
    assert ask_together(server, "/") == [b"1"]
    server.application = answering(lambda _: 2)
    server.environ["my.key"] = 3
    assert ask_together(server, "/") == [b"2"]
    server.application = answering(lambda environ: environ["my.key"])
    assert ask_together(server, "/") == [b"3"]


def test_environments_of_another_class(serve):
    class Mine(dict):
        pass

    class Server(pywsgi.WSGIServer):
        environ_class = Mine

    class Own(pywsgi.WSGIServer):
        def get_environ(self):
            return {**super().get_environ(), "own": 1}

    def kind(environ):
        return type(environ).__name__, environ.get("own")

    server = serve(answering(kind), server_class=Server, wsgi=False)
    assert ask_together(server, "/") == [b"('Mine', None)"]
    server = serve(answering(kind), server_class=Own, wsgi=False)
    assert ask_together(server, "/") == [b"('dict', 1)"]
    server = serve(answering(kind), wsgi=False)
    assert ask_together(server, "/") == [b"('dict', None)"]
    original = server.get_environ
    server.get_environ = lambda: {**original(), "own": 2}
    assert ask_together(server, "/") == [b"('dict', 2)"]
    del server.get_environ
    assert ask_together(server, "/") == [b"('dict', None)"]


def test_many_headers(serve):
    headers = [(f"Name-{number}", "v" * 100) for number in range(100)]

    def application(environ, start_response):
        start_response("200 OK", headers)
        return [b"ok"]

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.sendall(get("/", "Connection: close"))
        head = b""
        while data := peer.recv(65536):
            head += data
    for name, value in headers:
        assert f"\r\n{name}: {value}\r\n".encode() in head


def test_exchanges_leave_nothing(serve, quiet):
    import gc
    import weakref

    class Body(list):
        __hash__ = object.__hash__

    alive = weakref.WeakSet()

    def application(environ, start_response):
        environ["own"] = start_response, environ
        body = Body([b"o", b"k"])
        alive.add(body)
        environ["body"] = body
        return plain(environ, start_response) and body

    server = serve(application)
    assert ask_together(server, *names()) == [b"ok"] * TOGETHER
    gevent.sleep(0)
    gc.collect()
    assert not alive


@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
@pytest.mark.parametrize("use", [
    lambda exchange: exchange.start(),
    lambda exchange: exchange.announce(3),
    lambda exchange: exchange.write(b"abc"),
    lambda exchange: exchange.answer_whole(b"abc"),
], ids=["start", "announce", "write", "answer_whole"])
def test_an_answer_begins_with_start_response(serve, use):
    """Though the exchange shows a status, which may be assigned."""
    def application(environ, start_response):
        exchange = start_response.__self__
        exchange.status = "200 OK"
        with pytest.raises(AssertionError, match=r"start_response\(\)"):
            use(exchange)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = serve(application, wsgi=False)
    assert ask_together(server, "/") == [b"ok"]


@pytest.fixture
def no_descriptors():
    """A function that uses up all descriptors, and one that gives them back."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []

    def use_up():
        first = os.dup(0)
        taken.append(first)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first + 20, limits[1]))
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))

    def give_back():
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        while taken:
            os.close(taken.pop())

    yield use_up, give_back
    give_back()


@pytest.mark.parametrize("reader", ["engine"] * AVAILABLE)
def test_what_the_server_counts(serve, no_descriptors, way):
    if "TLS" in way:
        pytest.skip("the engine does not accept")
    use_up, give_back = no_descriptors
    server = serve(plain)
    assert ask_together(server, "/", "/") == [b"ok", b"ok"]
    peer = socket.socket()
    use_up()
    peer.connect(("127.0.0.1", server.server_port))
    wait_until(lambda: server._http.counters()["dropped"])
    give_back()
    peer.close()
    counted = server._http.counters()
    assert counted["dropped"] == 1
    assert counted["requests"] == counted["accepted"] == 2
    assert not any(counted[name] for name in (
        "connections", "idle", "refused", "timeouts", "waiting", "active"))


class Broken:
    """A body that ends well, and fails to close."""

    def __iter__(self):
        return iter([b"o", b"k"])

    def close(self):
        raise ValueError("close")


class SizedAndBroken(Broken):

    def __len__(self):
        return 2


@pytest.mark.parametrize("body", [Broken, SizedAndBroken])
def test_a_result_that_fails_to_close(serve, quiet, body):
    """The answer is whole, the error is reported, the connection ends."""
    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body()

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.settimeout(20)
        peer.sendall(get() * 2)
        answer = b""
        while data := peer.recv(65536):
            answer += data
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.endswith(b"ok" if body is SizedAndBroken
                           else b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n")
    assert [str(error) for error in quiet] == ["close"]


def test_a_listener_that_the_program_closed(serve, quiet):
    server = serve(plain)
    server.socket.close()
    server.stop()
    assert server.closed and not server.started
    server.start()
    assert ask_together(server, "/") == [b"ok"]


@pytest.mark.parametrize("framing", [[], [("Content-Length", "9")]])
@pytest.mark.parametrize("error", [errno.EPIPE, errno.ECONNRESET])
def test_a_lost_connection_that_is_not_the_clients(serve, quiet, framing,
                                                   error):
    """One of the application's own: no client waits for the rest for ever."""
    def application(_environ, start_response):
        write = start_response("200 OK", framing)
        write(b"ok")
        raise OSError(error, "the other connection")

    response = talk(serve(application, wsgi=False), get(), closed=False)
    assert response.startswith(b"HTTP/1.1 200 OK")
    assert response.rstrip(b"\r\n").endswith(b"ok")


def test_a_result_that_can_be_read_once(serve):
    """A queue, which has a length as well, and gets items later."""
    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        pieces = Queue()
        pieces.put(b"o")
        gevent.spawn(pieces.put, b"k")
        gevent.spawn_later(0.01, pieces.put, StopIteration)
        return pieces

    response = talk(serve(application, wsgi=False),
                    get("/", "Connection: close"))
    assert response.endswith(b"\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n")


@pytest.mark.parametrize("take", [
    lambda body: body.read(), lambda body: body.read(3), list,
    lambda body: body.readline()])
@pytest.mark.parametrize("header", ["X: y", "Connection: close"])
def test_the_input_ends_with_the_answer(serve, quiet, take, header):
    """For whoever takes what is left of a body at the very end, too."""
    class Result:
        def __init__(self, rest):
            self.rest = rest

        def __iter__(self):
            return iter([b"o", b"k"])

        def close(self):
            while take(self.rest):
                pass

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"),
                                  ("Content-Length", "2")])
        return Result(environ["wsgi.input"])

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.sendall(post(b"body", "Content-Length: 4", header) * 2)
        peer.shutdown(socket.SHUT_WR)
        answers = until_end(peer)
    assert answers.count(b"\r\n\r\nok") == 1 + (header == "X: y")
    assert not quiet and not server.error_log.getvalue()


def test_a_result_with_nothing_to_close(serve, quiet):
    class Pieces(list):
        close = None

    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Pieces([b"o", b"k"])

    server = serve(application, wsgi=False)
    assert ask_together(server, "/", "/") == [b"ok", b"ok"]
    assert not quiet


def test_the_input_is_of_the_known_class(serve):
    server = serve(answering(lambda environ: isinstance(
        environ["wsgi.input"], pywsgi.Input)), wsgi=False)
    assert ask_together(server, "/") == [b"True"]


@pytest.mark.parametrize("request_, chunked, length", [
    (get(), False, 0), (post(b"12345", "Content-Length: 5"), False, 5),
    (post(b"5\r\n12345\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), True, 0)])
def test_the_input_tells_how_it_comes(serve, request_, chunked, length):
    """By attributes that programs look at."""
    told = []

    def application(environ, start_response):
        body = environ["wsgi.input"]
        told.append((body.chunked_input, body.content_length))
        return plain(environ, start_response)

    talk(serve(application, wsgi=False), request_)
    assert told == [(chunked, length)]


def test_the_input_tells_when_the_client_has_gone(serve):
    asked, seen = gevent.event.Event(), gevent.event.AsyncResult()

    def application(environ, start_response):
        with gevent.Timeout(20):
            connection = environ["wsgi.input"].rfile
            asked.set()
            socket.wait_read(connection.fileno())
            with suppress(ConnectionResetError):
                connection.read(1)
            seen.set()
        start_response("200 OK", [])
        return []

    server = serve(application, wsgi=False)
    with connect(server) as peer:
        peer.sendall(get("/"))
        assert asked.wait(20)
        assert not seen.wait(0.01)
    seen.get(timeout=20)
