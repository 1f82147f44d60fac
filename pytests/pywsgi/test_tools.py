"""`python -m gevent.pywsgi`, asked by the clients that everybody has."""
import re
import shutil
import socket
import subprocess
import sys
import time

import pytest
from packages import needs
from ports import free_port

APPLICATION = """
import os

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/upload":
        body = environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d %r" % (len(body), environ["SERVER_PROTOCOL"].encode())]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"piece %d\\n" % n for n in range(1000))
    if path == "/file":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/echo":
        import simple_websocket
        ws = simple_websocket.Server.accept(environ)
        try:
            while True:
                ws.send(ws.receive())
        except simple_websocket.ConnectionClosed:
            return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello " + path.encode("latin-1")]
"""

READERS = {"engine": "", "handlers": """
from gevent.pywsgi import WSGIServer
WSGIServer.use_engine = False
"""}


def has(tool):
    return pytest.mark.skipif(
        shutil.which(tool) is None,
        reason=f"no {tool} (tools/test http installs it)")


@pytest.fixture(scope="module", params=READERS)
def url(request, tmp_path_factory):
    """The address of `python -m gevent.pywsgi`, with the application above."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / "served.py").write_text(READERS[request.param] + APPLICATION)
    with free_port() as port, open(
            folder / "output", "wb") as output, subprocess.Popen(
            [sys.executable, "-m", "gevent.pywsgi", "served:app", "--bind",
             f"127.0.0.1:{port}"], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT) as server:
        try:
            end = time.monotonic() + 120
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert server.poll() is None and time.monotonic() < end, (
                        folder / "output").read_text()
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
            assert server.poll() is None
        finally:
            server.terminate()
    assert "Traceback" not in (folder / "output").read_text()


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True,
                          timeout=140)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def number(pattern, text):
    return int(re.search(pattern, text.decode())[1])


# -- curl ------------------------------------------------------------------------------

@has("curl")
@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl(url, version):
    response = run("curl", "-sSi", version, url + "/a%20b")
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\nhello /a b")
    assert b"Content-Length: 10\r\n" in response
    stream = b"".join(b"piece %d\n" % n for n in range(1000))
    assert run("curl", "-sS", version, url + "/stream") == stream
    assert APPLICATION.encode() in run("curl", "-sS", version, url + "/file")
    head = run("curl", "-sSI", version, url + "/")
    assert b"Content-Length: 7\r\n" in head


@has("curl")
def test_curl_keeps_connections(url):
    out = run("curl", "-sS", "-w", "%{num_connects} ", *[url + "/"] * 5)
    assert out.split() == [b"hello", b"/1", *[b"hello", b"/0"] * 4]


@has("curl")
@pytest.mark.parametrize("arguments, version", [
    (["--http1.0"], b"HTTP/1.0"), ([], b"HTTP/1.1"),
    (["-H", "Transfer-Encoding: chunked"], b"HTTP/1.1"),
    (["-H", "Expect: 100-continue", "--expect100-timeout", "40"],
     b"HTTP/1.1"),
    (["-H", "Expect: 100-continue", "--expect100-timeout", "40", "-H",
      "Transfer-Encoding: chunked"], b"HTTP/1.1")])
def test_curl_uploads(url, arguments, version):
    body = b"x" * 2_000_000
    out = run("curl", "-sS", "-X", "POST", "--data-binary", "@-", *arguments,
              url + "/upload", stdin=body)
    assert out == b"%d b'%b'" % (len(body), version)


# -- load ------------------------------------------------------------------------------

@has("ab")
@pytest.mark.parametrize("path", ["/", "/stream"])
def test_ab(url, path):
    count = "20000" if path == "/" else "200"
    out = run("ab", "-q", "-k", "-c", "200", "-n", count, url + path)
    assert number(r"Complete requests: +(\d+)", out) == int(count)
    assert number(r"Failed requests: +(\d+)", out) == 0
    assert b"Non-2xx" not in out
    if path == "/":
        assert number(r"Keep-Alive requests: +(\d+)", out) == int(count)


@has("ab")
def test_ab_without_keep_alive(url):
    out = run("ab", "-q", "-c", "50", "-n", "2000", url + "/")
    assert number(r"Failed requests: +(\d+)", out) == 0


@has("wrk")
@pytest.mark.parametrize("path", ["/", "/stream", "/file"])
def test_wrk(url, path):
    out = run("wrk", "-t", "1", "-c", "50", "-d", "1", url + path)
    assert number(r"(\d+) requests in", out) > 0
    assert b"Socket errors" not in out and b"Non-2xx" not in out


@has("h2load")
def test_h2load(url):
    out = run("h2load", "--h1", "-n", "5000", "-c", "50", "-m", "10", url + "/")
    assert b" 5000 succeeded, 0 failed, 0 errored, 0 timeout" in out
    assert number(r"status codes: (\d+) 2xx", out) == 5000


# -- a websocket -----------------------------------------------------------------------

@needs("websocket-client", "simple-websocket")
def test_websocket_client(url):
    import websocket
    ws = websocket.create_connection(
        url.replace("http:", "ws:") + "/echo", timeout=30)
    for text in ("one", "x" * 100_000):
        ws.send(text)
        assert ws.recv() == text
    ws.close()
