"""Serves a request of a kind as often as it has allocations, another one of
which fails each time: ``memory_program.py LIBRARY KIND``.

The server is the main thread's, the client a native one. Prints, for each
allocation, what the client got.
"""
import gc
import io
import socket
import sys
import tempfile
import threading

from failing_memory import FailingMemory

import gevent
from gevent import _pywsgi_engine, pywsgi

PATIENCE = 10  # seconds without a byte: a connection hangs
WARM = 100  # requests before
ROUNDS = 20
BODY = bytes(range(256)) * 1200
FILE = tempfile.NamedTemporaryFile()
FILE.write(BODY)
FILE.flush()


class Forgetful(io.StringIO):
    def write(self, text):
        return len(text)


# Applications

def begin(start_response, *headers):
    return start_response("200 OK", [("Content-Type", "text/plain"),
                                     ("X-Latin", "caf\xe9"), *headers])


def hello(environ, start_response):
    begin(start_response)
    return [b"ok"]


def many(environ, start_response):
    headers = [["X-%d" % number, "v" * 100] for number in range(50)]
    begin(start_response, *map(tuple, headers))
    return [b"a", bytearray(b"b"), b"c"]


def stream(environ, start_response):
    begin(start_response)
    for _ in range(3):
        yield BODY


def write(environ, start_response):
    send = begin(start_response, ("Content-Length", str(2 * len(BODY))))
    send(BODY)
    return iter([BODY])


def upload(environ, start_response):
    body = environ["wsgi.input"]
    size = len(body.readline()) + len(body.read(5)) + len(body.read())
    begin(start_response)
    return [str(size).encode()]


def file(environ, start_response):
    begin(start_response)
    return environ["wsgi.file_wrapper"](open(FILE.name, "rb"))


def early_error(environ, start_response):
    begin(start_response)
    raise LookupError("no")


def late_error(environ, start_response):
    begin(start_response)(b"some")
    try:
        raise LookupError("no")
    except LookupError:
        start_response("500 Error", [], sys.exc_info())


class Closed(list):
    def close(self):
        raise OverflowError("close")


CLOSED = Closed([b"some", b"more"])


def close_error(environ, start_response):
    begin(start_response)
    return CLOSED


def silent(environ, start_response):
    return []


def environment(environ, start_response):
    begin(start_response)
    return [repr(sorted(environ)).encode()]


def upgrade(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"no"]


HEAD = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def post(*headers, body):
    return (b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            + b"".join(header + b"\r\n" for header in headers) + b"\r\n"
            + body)


KINDS = {
    "hello": (hello, HEAD),
    "head": (hello, HEAD.replace(b"GET", b"HEAD")),
    "many": (many, HEAD),
    "stream": (stream, HEAD),
    "write": (write, HEAD),
    "upload": (upload, post(b"Content-Length: %d" % len(BODY), body=BODY)),
    "whole": (lambda environ, start: hello(environ, start)
              if len(environ["wsgi.input"].read()) == len(BODY) else None,
              post(b"Content-Length: %d" % len(BODY), body=BODY)),
    "chunked": (upload, post(
        b"Transfer-Encoding: chunked",
        body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))),
    "bad-chunk": (upload, post(b"Transfer-Encoding: chunked",
                               body=b"5\r\nabcdeX\r\n0\r\n\r\n")),
    "file": (file, HEAD),
    "early-error": (early_error, HEAD),
    "late-error": (late_error, HEAD),
    "close-error": (close_error, HEAD),
    "silent": (silent, HEAD),
    "environment": (environment, (
        b"GET /caf%C3%A9?a=b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 0\r\nCookie: a=b\r\n"
        b"Cookie: c=d\r\nX-One: 1\r\nX-One: 2\r\nX-Folded: a\r\n   b\r\n"
        b"X-" + b"long" * 100 + b": x\r\nX_Under: 1\r\n\r\n")),
    "refused": (hello, b"GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
    "refused-body": (hello, b"HEAD / HTTP/1.1\r\nHost: h\r\n"
                            b"Connection: close\r\nContent-Length: 2\r\n\r\n"
                            b"ab"),
    "upgrade": (upgrade, (
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n")),
    "told": (hello, HEAD),
    "own-environ": (hello, HEAD),
}


#: Where the interpreter itself leaves something behind: what fails there is
#: the Python code of a handler.
BY_PYTHON = {"upgrade"}


class OwnEnviron(pywsgi.WSGIServer):
    environ_class = pywsgi.Environ


def arguments_for(kind):
    if kind == "told":
        return {"log": Forgetful(), "metrics_path": "/metrics",
                "access_log_format": "%(h)s %(r)s %({host}i)s"}
    return {"log": None}


# The client

def exchange(port, data):
    """What comes back until the end, or the name of an error."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(PATIENCE)
            sock.sendall(data)
            while piece := sock.recv(1 << 16):
                answer += piece
    except ConnectionError:
        pass
    except TimeoutError:
        return b"hangs, after " + answer[:200]
    return answer


class Client(threading.Thread):
    """Asks *server* with its first allocation failing, the next one and so on;
    again until nothing more is left, as it is in caches at first."""

    def __init__(self, memory, server, kind):
        super().__init__(daemon=True)
        self.memory = memory
        self.server = server
        self.kind = kind
        self.served = threading.get_ident()
        self.go_on = threading.Event()
        self.failure = None

    def run(self):
        self.go_on.wait()
        try:
            self.check()
        except BaseException as ex:
            self.failure = ex
        finally:
            self.server.loop.run_callback_threadsafe(over.set)

    def check(self):
        _, answer = self.once(1)  # the first request of the hub
        assert not answer.startswith(b"hangs"), answer
        for _ in range(WARM):
            self.usual = self.once(0)[1][:12]
        before, grown = 0, 1
        for _ in range(ROUNDS):
            self.round()
            after = self.blocks()
            grown, before = after - before, after
            print("blocks left:", grown, flush=True)
            if grown <= 0 or self.kind in BY_PYTHON:
                return
        raise AssertionError(f"each round leaves something: {grown} blocks")

    def blocks(self):
        self.once(0)
        gc.collect()
        sys._clear_type_cache()
        return sys.getallocatedblocks()

    def round(self):
        k = count = 1
        while count >= k:
            print(k, end=" ", flush=True)
            count, answer = self.once(k)
            print(count, answer[:40], flush=True)
            assert not answer.startswith(b"hangs"), (k, answer)
            _, after = self.once(0)
            assert after.startswith(self.usual), (k, after)
            k += 1

    def once(self, k):
        self.memory.arm(self.served, k)
        answer = exchange(self.server.server_port, KINDS[self.kind][1])
        return self.memory.disarm(), answer


def left_over(server):
    """What is of an exchange still, once all are over."""
    gc.collect()
    kinds = (_pywsgi_engine.EngineHandler, _pywsgi_engine.EngineInput,
             pywsgi.WSGIHandler)
    alive = [found for found in gc.get_objects() if isinstance(found, kinds)]
    counters = server._http.counters()
    return alive, counters["active"], counters["waiting"]


if __name__ == "__main__":
    path, kind = sys.argv[1:]
    errors = Forgetful()
    gevent.get_hub().handle_error = lambda *_: None
    over = gevent.event.Event()
    make = OwnEnviron if kind == "own-environ" else pywsgi.WSGIServer
    server = make(("127.0.0.1", 0), KINDS[kind][0], error_log=errors,
                  **arguments_for(kind))
    server.start()
    client = Client(FailingMemory(path), server, kind)
    client.start()
    server.loop.run_callback(client.go_on.set)
    sys.stderr = errors
    over.wait()
    sys.stderr = sys.__stderr__
    if client.failure is not None:
        raise client.failure
    for _ in range(100):
        left = left_over(server)
        if left == ([], 0, 0):
            break
        gevent.sleep(0.05)
    assert left == ([], 0, 0), left
    print("done")
