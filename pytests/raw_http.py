"""Applications, requests and responses, byte by byte."""
import contextlib
import functools
import io
import pathlib

import gevent
from gevent import socket, ssl

#: Key and certificate of localhost, for servers.
PEM = str(pathlib.Path(__file__).with_name("ssl") / "localhost.pem")

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


class TLSSocket(ssl.SSLSocket):
    """Of which one direction can be shut, as of a plain one."""

    def shutdown(self, how):
        with contextlib.suppress(ssl.SSLError):  # the peer's end is to come
            self._sslobj.shutdown()
        self._sock.shutdown(how)

    def read(self, nbytes=65536, buffer=None):
        try:
            return super().read(nbytes, buffer)
        except ssl.SSLZeroReturnError:  # both have ended
            return b"" if buffer is None else 0


@functools.cache
def trusting():
    """A client's context that believes `PEM`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(PEM)
    context.sslsocket_class = TLSSocket
    return context


def connect(server):
    """A connection to *server*, under TLS if it speaks that."""
    sock = socket.create_connection(("127.0.0.1", server.server_port))
    sock.settimeout(20)
    if server.ssl_enabled:
        sock = trusting().wrap_socket(sock, server_hostname="localhost")
    return sock


def talk(server, request, closed=True):
    """Send *request*; return all that comes back until the end."""
    with connect(server) as sock:
        sock.sendall(request)
        if closed:
            sock.shutdown(socket.SHUT_WR)
        return until_end(sock)


def until_end(sock):
    """All that the server still sends."""
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
