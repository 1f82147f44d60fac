"""Random sequences of requests, on many connections at a time, in pieces: each
gets its answer, in its order, and nothing of another's.
"""
import http.client
import io
import random

import gevent
import pytest
from raw_http import TEXT, connect

from gevent import socket

CONNECTIONS = 8
SEQUENCES = 10


def answer(environ, start_response):
    """Read the body in one way, and answer with it in another."""
    _, read, reply = environ["PATH_INFO"].split("/")
    body = READS[read](environ["wsgi.input"])
    content = f"{environ['QUERY_STRING']} {body.decode()};".encode()
    return REPLIES[reply](environ, start_response, content)


READS = {
    "all": lambda file: file.read(-1),
    "lines": lambda file: b"".join(file.readlines()),
    "iteration": b"".join,
    "pieces": lambda file: b"".join(iter(lambda: file.read(3), b"")),
    "some": lambda file: file.read(2),
    "nothing": lambda file: b"",
}


def listed(_environ, start_response, content):
    start_response("200 OK", [*TEXT])
    return [content[:5], content[5:]]


def generated(_environ, start_response, content):
    start_response("200 OK", [*TEXT])
    return (content[i:i + 7] for i in range(0, len(content), 7))


def announced(_environ, start_response, content):
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(content)))])
    return iter([content])


def written(_environ, start_response, content):
    write = start_response("200 OK", [*TEXT])
    write(content[:4])
    gevent.sleep(0)
    write(content[4:])
    return []


def filed(environ, start_response, content):
    start_response("200 OK", [*TEXT])
    return environ["wsgi.file_wrapper"](io.BytesIO(content))


REPLIES = {function.__name__: function for function in (
    listed, generated, announced, written, filed)}


class Sequence:
    """The bytes of some requests, and what each is answered."""

    def __init__(self, choose):
        self.choose = choose
        self.data = b""
        self.expected = []
        count = choose.randint(1, 6)
        for number in range(count):
            self.add(number, last=number == count - 1)

    def add(self, number, last):
        choose = self.choose
        read, reply = choose.choice(list(READS)), choose.choice(list(REPLIES))
        body = bytes(choose.choices(b"abc\n", k=choose.choice(
            (0, 1, 5, 50, 5000))))
        seen = READS[read](io.BytesIO(body)).decode()
        method = choose.choice(("POST", "PUT", "GET"))
        if not body and choose.random() < 0.3:
            method = "HEAD"
        lines = [f"{method} /{read}/{reply}?{number} HTTP/1.1", "Host: h"]
        if body and choose.random() < 0.5:
            lines.append("Transfer-Encoding: chunked")
            body = self.chunks(body)
        elif body:
            lines.append(f"Content-Length: {len(body)}")
        if last:
            lines.append("Connection: close")
        self.data += "\r\n".join([*lines, "", ""]).encode() + body
        self.expected.append((method, f"{number} {seen};".encode()))

    def chunks(self, body):
        data = b""
        while body:
            size = self.choose.randint(1, len(body))
            data += b"%x\r\n%b\r\n" % (size, body[:size])
            body = body[size:]
        return data + b"0\r\n\r\n"

    def send(self, sock):
        data = self.data
        while data:
            size = self.choose.choice((1, 10, 100, 1000, 100_000))
            sock.sendall(data[:size])
            data = data[size:]
            gevent.sleep(0)


class Stream:
    """A file for `HTTPResponse`s that follow each other on a socket."""

    def __init__(self, file):
        self.file = file

    def makefile(self, _mode):
        return self

    def __getattr__(self, name):
        return getattr(self.file, name)

    def close(self):
        pass


def converse(server, seed):
    choose = random.Random(seed)
    for _ in range(SEQUENCES):
        sequence = Sequence(choose)
        with connect(server) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sending = gevent.spawn(sequence.send, sock)
            with sock.makefile("rb") as file:
                for method, body in sequence.expected:
                    response = http.client.HTTPResponse(
                        Stream(file), method=method)
                    response.begin()
                    assert response.status == 200
                    assert response.read() == (
                        b"" if method == "HEAD" else body)
                assert file.read() == b""
            sending.get()


@pytest.mark.parametrize("seed", range(2))
def test_random_sequences(serve, seed):
    server = serve(answer, log=None)
    gevent.joinall(
        [gevent.spawn(converse, server, f"{seed} {number}")
         for number in range(CONNECTIONS)], raise_error=True)
