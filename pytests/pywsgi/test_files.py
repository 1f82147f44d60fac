"""`wsgi.file_wrapper`: what leaves by sendfile, and what is read instead."""
import gzip
import io
import os
import tempfile
from errno import EIO

import gevent
import pytest
from raw_http import TEXT, connect, get, post, split, talk, wait_until

from gevent._pywsgi_file import FileWrapper

CONTENT = bytes(range(256)) * 1200


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def answers(make, *headers, status="200 OK", block_size=8192, written=b""):
    """An application that answers with the file that *make* opens."""
    def application(environ, start_response):
        environ["wsgi.input"].read(-1)
        write = start_response(status, [*TEXT, *headers])
        if written:
            write(written)
        return environ["wsgi.file_wrapper"](make(), block_size)
    return application


def dechunked(body):
    data = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        size = int(size, 16)
        if not size:
            assert body == b"\r\n"
            return data
        data += body[:size]
        assert body[size:size + 2] == b"\r\n"
        body = body[size + 2:]


class Watched(io.FileIO):
    """A file of another class, which is read."""

    closes = 0

    def close(self):
        type(self).closes += not self.closed
        super().close()


def test_a_file(serve, path):
    server = serve(answers(lambda: open(path, "rb")))
    response = talk(server, get() + get("/", "Connection: close"))
    _, headers, body = split(response)
    assert headers["Content-Length"] == str(len(CONTENT))
    assert body.startswith(CONTENT)
    assert split(body[len(CONTENT):])[2] == CONTENT
    wait_until(lambda: len(server.log.lines()) == 2)
    sizes = [int(line.split('" 200 ')[1].split()[0])
             for line in server.log.lines()]
    assert sum(sizes) == len(response)


@pytest.mark.parametrize("make", [
    lambda path: open(path, "rb", buffering=0), lambda path: open(path, "r+b")])
def test_other_files(serve, path, make):
    _, headers, body = split(talk(serve(answers(lambda: make(path))), get()))
    assert (headers["Content-Length"], body) == (str(len(CONTENT)), CONTENT)


def named(content):
    file = tempfile.NamedTemporaryFile()
    file.write(content)
    file.seek(0)
    return file


def unnamed(content):
    file = tempfile.TemporaryFile()
    file.write(b"before" + content)  # in the buffer yet
    file.seek(6)
    return file


@pytest.mark.parametrize("make", [named, unnamed])
def test_temporary_files(serve, make):
    server = serve(answers(lambda: make(b"abc")))
    _, headers, body = split(talk(server, get()))
    assert (headers["Content-Length"], body) == ("3", b"abc")


def test_the_position_counts(serve, path):
    def make():
        file = open(path, "rb")
        assert file.read(100) == CONTENT[:100]
        return file

    _, headers, body = split(talk(serve(answers(make)), get()))
    assert headers["Content-Length"] == str(len(CONTENT) - 100)
    assert body == CONTENT[100:]


def test_nothing_left(serve, path):
    def make():
        file = open(path, "rb")
        file.seek(0, 2)
        return file

    response = talk(serve(answers(make)), get() * 2)
    assert response.count(b"HTTP/1.1 200 OK") == 2
    _, headers, body = split(response)
    assert headers["Content-Length"] == "0" and body.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("length", [0, 1, 5000])
def test_a_part(serve, path, length):
    server = serve(answers(lambda: open(path, "rb"),
                           ("Content-Length", str(length))))
    response = talk(server, get() * 2)
    _, headers, body = split(response)
    assert body[:length] == CONTENT[:length]
    assert split(body[length:])[2] == CONTENT[:length]


def test_shorter_than_announced(serve, path):
    server = serve(answers(lambda: open(path, "rb"),
                           ("Content-Length", str(len(CONTENT) + 1))))
    response = talk(server, get() * 2, closed=False)
    assert response.count(b"HTTP/1.1") == 1  # and then the end
    assert split(response)[2] == CONTENT


def test_head_requests(serve, path):
    Watched.closes = 0
    for make in (lambda: open(path, "rb"), lambda: Watched(path)):
        response = talk(serve(answers(make)),
                        get().replace(b"GET", b"HEAD") * 2)
        assert response.count(b"HTTP/1.1 200 OK") == 2
        assert split(response)[2].startswith(b"HTTP/1.1")
    assert Watched.closes == 2


def test_http_1_0(serve, path):
    response = talk(serve(answers(lambda: open(path, "rb"))),
                    get("/", "Connection: keep-alive", version="1.0") * 2)
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert split(response)[2].startswith(CONTENT)


@pytest.mark.parametrize("make", [
    lambda path: io.BytesIO(CONTENT), Watched,
    lambda path: io.BufferedReader(Watched(path))])
def test_what_is_read(serve, path, make):
    _, headers, body = split(talk(serve(answers(lambda: make(path))), get()))
    assert headers["Transfer-Encoding"] == "chunked"
    assert dechunked(body) == CONTENT


def test_a_file_whose_descriptor_has_something_else(serve, tmp_path):
    path = tmp_path / "file.gz"
    with gzip.open(path, "wb") as file:
        file.write(CONTENT)
    for make in (lambda: gzip.open(path),
                 lambda: io.BufferedReader(gzip.open(path))):
        assert dechunked(split(talk(serve(answers(make)), get()))[2]) == (
            CONTENT)


def test_files_of_the_kernel(serve):
    _, _, body = split(talk(serve(answers(
        lambda: open("/proc/self/cmdline", "rb"))), get()))
    assert dechunked(body)


def test_a_pipe(serve):
    def make():
        out, into = os.pipe()
        os.write(into, CONTENT[:1000])
        os.close(into)
        return open(out, "rb")

    assert dechunked(split(talk(serve(answers(make)), get()))[2]) == (
        CONTENT[:1000])


def test_after_written_pieces(serve, path):
    server = serve(answers(lambda: open(path, "rb"), written=b"first"))
    response = talk(server, get("/", "Connection: close"))
    assert dechunked(split(response)[2]) == b"first" + CONTENT
    server = serve(answers(lambda: open(path, "rb"),
                           ("Content-Length", "10"), written=b"first"))
    assert split(talk(server, get("/", "Connection: close")))[2] == (
        b"first" + CONTENT[:5])
    assert split(talk(serve(answers(lambda: open(path, "rb"),
                                    written=b"first")),
                      get(version="1.0"), closed=False))[2] == (
        b"first" + CONTENT)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_body_allowed(serve, quiet, path, status):
    Watched.closes = 0
    for make in (lambda: open(path, "rb"), lambda: Watched(path)):
        response = talk(serve(answers(make, status=status), wsgi=False),
                        get())
        assert response.startswith(b"HTTP/1.1 500 ")
        assert CONTENT[:100] not in response
    assert Watched.closes == 1 and len(quiet) == 2


def test_a_request_with_a_body(serve, path):
    request = post(b"abc", "Content-Length: 3") * 2
    assert talk(serve(answers(lambda: open(path, "rb"))), request).count(
        CONTENT) == 2


def test_closed_on_every_path(serve, quiet, path):
    Watched.closes = 0

    class Broken(Watched):
        def read(self, size=-1):
            raise OSError(EIO, "broken")

    def not_started(environ, _start_response):
        return environ["wsgi.file_wrapper"](Watched(path))

    talk(serve(answers(lambda: Broken(path))), get())
    talk(serve(not_started), get())
    assert Broken.closes == 1 and Watched.closes == 1 and len(quiet) == 2

    closed = []
    FileWrapper(object()).close()  # nothing to close
    for client_reads in (True, False):
        def make():
            file = open(path, "rb")
            # As Django does it.
            real = file.close
            file.close = lambda: (closed.append(1), real())
            return file
        server = serve(answers(make))
        if client_reads:
            talk(server, get())
        else:
            with connect(server) as sock:
                sock.sendall(get() * 20)
        wait_until(lambda: closed)
        closed.clear()


def test_a_client_that_goes(serve, tmp_path):
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.write(b"x" * 20_000_000)
    opened = []

    def make():
        opened.append(open(path, "rb"))
        return opened[-1]

    server = serve(answers(make))
    with connect(server) as sock:
        sock.sendall(get())
        assert sock.recv(1000)
        assert not opened[0].closed
    wait_until(lambda: opened[0].closed)


def test_a_client_that_does_not_read(serve, quiet, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20_000_000)
    opened = []

    def make():
        opened.append(open(path, "rb"))
        return opened[-1]

    server = serve(answers(make), send_timeout=0.05)
    with connect(server) as sock:
        sock.sendall(get())
        wait_until(lambda: opened and opened[0].closed)


def test_a_greenlet_killed_meanwhile(serve, quiet, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20_000_000)
    seen = []

    def application(environ, start_response):
        seen.append(gevent.getcurrent())
        start_response("200 OK", TEXT)
        seen.append(open(path, "rb"))
        return environ["wsgi.file_wrapper"](seen[-1])

    server = serve(application)
    with connect(server) as sock:
        sock.settimeout(20)
        sock.sendall(get())
        received = len(sock.recv(1000))
        seen[0].kill()
        assert seen[1].closed
        try:
            while data := sock.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < 20_000_000


def test_a_file_that_shrinks(serve, quiet, tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20_000_000)
    server = serve(answers(lambda: open(path, "rb")))
    with connect(server) as sock:
        sock.settimeout(20)
        sock.sendall(get() * 2)
        received = sock.recv(1000)
        os.truncate(path, 1000)
        try:
            while data := sock.recv(1 << 20):
                received += data
        except ConnectionResetError:
            pass
        assert received.count(b"HTTP/1.1 ") == 1
        assert len(received) < 20_000_000


def test_the_wrapper_is_iterable(path):
    file = FileWrapper(open(path, "rb"), 1000)
    assert b"".join(file) == CONTENT
    file.close()
    assert file.filelike.closed
