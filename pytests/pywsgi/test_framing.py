"""What is a request, and where does it end: the table of raw requests.

Each is followed by another request on the same connection, so that bytes of
one that pass for the other show. The application answers with what it got.
"""
import random

import pytest
from raw_http import TEXT, connect, talk
from raw_requests import BAD, GOOD, KEPT, LENIENT, TAIL, to

from gevent import socket


def tell(environ, start_response):
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", TEXT)
    return [f"<{environ['REQUEST_METHOD']} {environ['PATH_INFO']} "
            .encode("latin-1")
            + body + b">"]


def told(response):
    """What the responses say: an application's words, or a status."""
    found = []
    while response:
        head, _, rest = response.partition(b"\r\n\r\n")
        status = head.split(b" ")[1].decode()
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
        found.append(rest[1:size - 1].decode("latin-1") if status == "200"
                     else status)
        response = rest[size:]
    return found


@pytest.mark.parametrize("raw, words", GOOD)
@pytest.mark.parametrize("strict", [False, True])
def test_good(serve, raw, words, strict):
    assert told(talk(serve(tell, strict=strict), raw + TAIL)) == [words, KEPT]


@pytest.mark.parametrize("raw", BAD)
@pytest.mark.parametrize("strict", [False, True])
def test_bad(serve, raw, strict):
    assert told(talk(serve(tell, strict=strict), raw + TAIL)) == ["400"]


@pytest.mark.parametrize("raw, words", LENIENT)
def test_lenient(serve, raw, words):
    response = talk(serve(tell), raw + TAIL)
    assert told(response) == [words]
    assert b"\r\nConnection: close\r\n" in response
    assert told(talk(serve(tell, strict=True), raw + TAIL)) == ["400"]


def in_pieces(server, pieces):
    with connect(server) as sock:
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        response = b""
        while data := sock.recv(65536):
            response += data
        return response


SPLIT = (to("/", "Content-Length: 3", body=b"abc")
         + to("/", "Transfer-Encoding: chunked",
              body=b"2;x\r\nab\r\n1\r\nc\r\n0\r\nT: u\r\n\r\n") + TAIL)


def test_split_anywhere(serve):
    server = serve(tell, log=None)
    for place in range(1, len(SPLIT)):
        assert told(in_pieces(server, [SPLIT[:place], SPLIT[place:]])) == [
            "POST / abc", "POST / abc", KEPT]


def test_split_at_random(serve):
    choose = random.Random(5)
    server = serve(tell, log=None)
    for _ in range(100):
        places = sorted(choose.sample(range(1, len(SPLIT)), 6))
        pieces = [SPLIT[start:end] for start, end in zip(
            [0, *places], [*places, len(SPLIT)])]
        assert told(in_pieces(server, pieces)) == [
            "POST / abc", "POST / abc", KEPT]
