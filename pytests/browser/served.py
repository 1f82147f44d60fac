"""What the page asks for: ``served.py READER [CERTIFICATE]``.

Prints the address; at the end, what the page reports.
"""
import hashlib
import os
import ssl
import sys
import tempfile
from pathlib import Path

import gevent
import simple_websocket
from gevent import monkey
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from gevent.queue import Queue

monkey.patch_all()

PAGE = Path(__file__).with_name("page.html").read_bytes()
IMAGE = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
TEXT = ("Content-Type", "text/plain; charset=utf-8")
NO_STORE = ("Cache-Control", "no-store")
SIZE = 50_000_000

DATA = bytes(range(251)) * (SIZE // 251 + 1)
FILE = tempfile.NamedTemporaryFile()
FILE.write(DATA[:SIZE])
FILE.flush()
SUM = hashlib.sha256(DATA[:SIZE]).hexdigest()

over = Event()
report = []
connections = set()
seen = Queue()
endless = [0]


def body_of(environ):
    return environ["wsgi.input"].read()


def form(environ):
    return environ["REQUEST_METHOD"].encode() + b" " + body_of(environ)


def upload(environ):
    boundary = b"--" + environ["CONTENT_TYPE"].partition(
        "boundary=")[2].encode()
    part = body_of(environ).split(boundary)[1]
    data = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
    return hashlib.sha256(data).hexdigest().encode()


def stream():
    for number in range(5):
        yield b"piece %d" % number
        seen.get(timeout=30)


def events():
    for number in range(5):
        yield b"data: %d\n\n" % number
        gevent.sleep(0)
    yield b"event: end\ndata: \n\n"


def without_end():
    endless[0] += 1
    try:
        while True:
            yield bytes(1 << 16)
            gevent.sleep(0)
    finally:
        endless[0] -= 1


def pieces():
    for at in range(0, SIZE, 1 << 16):
        yield DATA[at:min(at + (1 << 16), SIZE)]


def told(environ):
    report.append(body_of(environ).decode())
    over.set()
    return b""


def echo(environ):
    ws = simple_websocket.Server.accept(environ)
    try:
        while True:
            ws.send(ws.receive())
    except simple_websocket.ConnectionClosed:
        return []


SMALL = {
    "/form": form, "/upload": upload, "/report": told,
    "/connections": lambda _: str(len(connections)).encode(),
    "/seen": lambda environ: seen.put(body_of(environ)) or b"",
    "/endless/running": lambda _: str(endless[0]).encode(),
    "/target": form,
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/":
        start_response("200 OK", [("Content-Type", "text/html"), NO_STORE])
        return [PAGE]
    if path.startswith("/image/"):
        connections.add(environ["REMOTE_PORT"])
        start_response("200 OK", [("Content-Type", "image/svg+xml"), NO_STORE])
        return [IMAGE]
    if path in SMALL:
        answer = SMALL[path](environ)
        start_response("200 OK", [TEXT, NO_STORE])
        return [answer]
    if path == "/redirect":
        start_response("303 See Other", [("Location", "/target")])
        return []
    if path == "/cookie":
        start_response("200 OK", [TEXT, NO_STORE, ("Set-Cookie", "theirs=2")])
        return [environ.get("HTTP_COOKIE", "").encode("latin-1")]
    if path == "/stream":
        start_response("200 OK", [TEXT, NO_STORE])
        return stream()
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream"),
                                  NO_STORE])
        return events()
    if path == "/endless":
        start_response("200 OK", [TEXT, NO_STORE])
        return without_end()
    if path.startswith("/download/"):
        start_response("200 OK", [("X-Sha256", SUM), NO_STORE])
        if path.endswith("pieces"):
            return pieces()
        return environ["wsgi.file_wrapper"](open(FILE.name, "rb"))
    if path == "/echo":
        return echo(environ)
    if path == "/fails":
        raise LookupError("on purpose")
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    start_response("404 Not Found", [TEXT])
    return [b"not found"]


if __name__ == "__main__":
    reader, *certificate = sys.argv[1:]
    arguments = {"log": None, "use_engine": reader == "engine"}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        arguments["ssl_context"] = context
    server = WSGIServer(("127.0.0.1", 0), application, **arguments)
    server.start()
    scheme = "https" if certificate else "http"
    print(f"{scheme}://127.0.0.1:{server.server_port}/", flush=True)
    over.wait()
    left = server.drain(5)
    print(report[0], left, sep="\n", flush=True)
    os._exit(0)
