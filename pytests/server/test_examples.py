"""The example servers, each as a program of its own."""
import contextlib
import pathlib
import socket
import ssl
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from ports import free_port

TREE = pathlib.Path(__file__).parent.parent.parent
EXAMPLES = TREE / "python" / "examples"
PEM = TREE / "pytests" / "ssl" / "localhost.pem"


@contextlib.contextmanager
def running(name, kind, *arguments):
    """Run an example on a free port; its address."""
    with free_port(kind) as port, subprocess.Popen(
            [sys.executable, EXAMPLES / name, f"127.0.0.1:{port}", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout.readline()
            yield "127.0.0.1", port
        finally:
            process.kill()


def read(url, context=None):
    """Status and body, once the server listens."""
    while True:
        try:
            with urlopen(url, timeout=20, context=context) as page:
                return page.code, page.read()
        except HTTPError as ex:
            with ex:
                return ex.code, ex.read()
        except OSError as ex:
            if not isinstance(getattr(ex, "reason", ex),
                              ConnectionRefusedError):
                raise


def test_udp_server():
    with running("udp_server.py", socket.SOCK_DGRAM) as address:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(0.1)
            sock.connect(address)
            while True:
                try:
                    sock.send(b"fifteen letters")
                    assert sock.recv(99) == b"Received 15 bytes"
                    break
                except (ConnectionRefusedError, TimeoutError):
                    pass  # not yet there


@pytest.mark.parametrize("tls", [False, True])
def test_wsgi_servers(tls):
    program = ("wsgiserver_ssl.py", PEM) if tls else ("wsgiserver.py",)
    context = ssl.create_default_context(cafile=PEM) if tls else None
    with running(program[0], socket.SOCK_STREAM, *program[1:]) as address:
        url = f"http{'s' if tls else ''}://localhost:{address[1]}"
        assert read(url + "/", context) == (200, b"<b>hello world</b>")
        assert read(url + "/x", context) == (404, b"<h1>Not Found</h1>")
        # A client that takes its time holds nobody up.
        with socket.create_connection(address) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            assert read(url + "/", context)[0] == 200


def test_webproxy():
    with running("wsgiserver.py", socket.SOCK_STREAM) as page, \
            running("webproxy.py", socket.SOCK_STREAM) as proxy:
        url = "http://127.0.0.1:%d/" % proxy[1]
        assert b"gevent example" in read(url)[1]
        target = "http://127.0.0.1:%d/" % page[1]
        read(target)
        assert read(url + target) == (200, b"<b>hello world</b>")
        assert read(url + target + "x") == (404, b"<h1>Not Found</h1>")
        assert read(url + "other")[0] == 404
        assert read(url + "http://127.0.0.1:1/")[0] == 502
