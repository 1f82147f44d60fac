"""Applications, requests and responses, byte by byte."""
import io

import gevent
from gevent import socket

LOCAL = ("127.0.0.1", 0)
TEXT = [("Content-Type", "text/plain")]


class Log(io.StringIO):

    def lines(self):
        return self.getvalue().splitlines()


def plain(_environ, start_response):
    start_response("200 OK", TEXT)
    return [b"ok"]


def show_body(environ, start_response):
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", TEXT)
    return [b"body=" + body]


def talk(server, request, closed=True):
    """Send *request*; return all that comes back until the end."""
    with socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        sock.settimeout(20)
        sock.sendall(request)
        if closed:
            sock.shutdown(socket.SHUT_WR)
        response = b""
        while data := sock.recv(65536):
            response += data
        return response


def wait_until(condition):
    """What is refused is logged when the client may know already."""
    for _ in range(2000):
        if condition():
            return
        gevent.sleep(0.005)
    raise AssertionError("never became true")


def get(path="/", *headers, version="1.1"):
    if not any(header.startswith("Host:") for header in headers):
        headers += ("Host: h",)
    lines = [f"GET {path} HTTP/{version}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body, *headers, path="/"):
    lines = [f"POST {path} HTTP/1.1", "Host: h", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def split(response):
    head, _, body = response.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body
