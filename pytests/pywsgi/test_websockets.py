"""Connections that packages of the index take over, as they do it.

Each runs in a patched process of its own: a server there, and clients.
"""
import pytest
from packages import needs
from raw_http import PEM

START = """
from gevent import monkey; monkey.patch_all()
import base64, os, ssl, sys
import gevent, websocket
from gevent import socket
from gevent.pywsgi import WSGIServer

way, pem = sys.argv[1:]
tls = "TLS" in way
scheme = "s://localhost:%d" if tls else "://127.0.0.1:%d"
trusting = ssl.create_default_context(cafile=pem)
if tls:
    os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = pem

def serve(application, **arguments):
    arguments.setdefault("log", None)
    arguments.setdefault("use_engine", way != "handlers")
    if tls:
        arguments["certfile"] = pem
    server = WSGIServer(("127.0.0.1", 0), application, **arguments)
    server.start()
    return server

def connect(server, path="/", **arguments):
    return websocket.create_connection(
        "ws" + scheme % server.server_port + path, timeout=30,
        sslopt={"context": trusting}, **arguments)

def at_once(function, number=20):
    jobs = [gevent.spawn(function, n) for n in range(number)]
    gevent.joinall(jobs, raise_error=True)

def check_echo(server, path="/"):
    "Text, bytes, large ones, many clients; the end."
    def talk(number):
        ws = connect(server, path)
        ws.send("text %d" % number)
        assert ws.recv() == "text %d" % number
        for size in (0, 1, 125, 126, 65535, 65536, 1_000_000):
            data = os.urandom(size)
            ws.send_binary(data)
            if size or EMPTY:
                assert ws.recv() == data
        ws.ping("p")
        ws.send("after")
        assert ws.recv() == "after"
        ws.close()
    at_once(talk)

def check_plain(server, path="/plain"):
    "What is no websocket is answered as ever, before and after."
    import http.client
    client = (http.client.HTTPSConnection("localhost", server.server_port,
                                          context=trusting)
              if tls else
              http.client.HTTPConnection("127.0.0.1", server.server_port))
    for _ in range(3):
        client.request("GET", path)
        response = client.getresponse()
        assert (response.status, response.read()) == (200, b"plain")
    client.close()

def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]

EMPTY = True
"""


@pytest.fixture
def run(run_program, way):
    """A function that runs a program after the lines above."""
    return lambda source: run_program(START + source, way, PEM)


@needs("gevent-websocket", "websocket-client")
def test_gevent_websocket(run):
    run("""
from geventwebsocket.handler import WebSocketHandler
EMPTY = False  # it takes them for the end
seen = []

def application(environ, start_response):
    ws = environ.get("wsgi.websocket")
    if ws is None:
        return plain(environ, start_response)
    seen.append(ws.path)
    while (message := ws.receive()) is not None:
        if message:
            ws.send(message)
    return []

server = serve(application, handler_class=WebSocketHandler)
check_plain(server)
check_echo(server, "/room?x=1")
assert seen == ["/room"] * 20
check_plain(server)
""")


@needs("gevent-websocket", "websocket-client", "wsproto")
def test_gevent_websocket_frames_that_come_with_the_request(run):
    run("""
from geventwebsocket.handler import WebSocketHandler
from wsproto import ConnectionType, WSConnection
from wsproto.events import Message, Request
from wsproto.connection import Connection

def application(environ, start_response):
    ws = environ["wsgi.websocket"]
    while (message := ws.receive()) is not None:
        ws.send(message)
    return []

server = serve(application, handler_class=WebSocketHandler)
client = WSConnection(ConnectionType.CLIENT)
frame = Connection(ConnectionType.CLIENT).send(Message("early"))
with socket.create_connection(server.address) as sock:
    sock.settimeout(30)
    if tls:
        sock = trusting.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(client.send(Request(host="h", target="/")) + frame)
    texts = []
    while not texts:
        client.receive_data(sock.recv(4096))
        for event in client.events():
            if isinstance(event, Message):
                texts.append(event.data)
assert texts == ["early"], texts
""")


@needs("gevent-websocket", "websocket-client")
def test_resources(run):
    run("""
from collections import OrderedDict
from geventwebsocket import Resource, WebSocketApplication, WebSocketServer
events = []

class Echo(WebSocketApplication):
    def on_open(self):
        events.append("open")

    def on_message(self, message):
        if message is not None:
            self.ws.send(message)
            others = self.ws.handler.server.clients
            assert self.ws.handler.client_address in others

    def on_close(self, reason):
        events.append("close")

server = WebSocketServer(
    ("127.0.0.1", 0), Resource(OrderedDict([("/echo", Echo),
                                            ("/plain", plain)])), debug=False,
    **({"certfile": pem} if tls else {}))
server.use_engine = way != "handlers"
server.start()
ws = connect(server, "/echo")
ws.send("hello")
assert ws.recv() == "hello"
ws.close()
check_plain(server)
while events != ["open", "close"]:
    gevent.sleep(0.01)
""")


@needs("gevent-websocket", "websocket-client")
def test_subprotocols(run):
    run("""
from geventwebsocket.handler import WebSocketHandler

class Application:
    def app_protocol(self, path):
        return "chat"

    def __call__(self, environ, start_response):
        environ["wsgi.websocket"].send(environ["wsgi.websocket"].protocol
                                       or "none")
        return []

server = serve(Application(), handler_class=WebSocketHandler)
ws = connect(server, subprotocols=["chat", "other"])
assert ws.getsubprotocol() == "chat"
ws.recv()
""")


@needs("simple-websocket", "websocket-client")
def test_simple_websocket(run):
    run("""
import simple_websocket

def application(environ, start_response):
    if "HTTP_UPGRADE" not in environ:
        return plain(environ, start_response)
    ws = simple_websocket.Server.accept(environ)
    try:
        while True:
            ws.send(ws.receive())
    except simple_websocket.ConnectionClosed:
        pass
    return []

server = serve(application, environ={"SERVER_SOFTWARE": "gevent/test"})
check_plain(server)
check_echo(server)
check_plain(server)
""")


@needs("flask-sock", "websocket-client")
def test_flask_sock(run):
    run("""
from flask import Flask
from flask_sock import Sock
app = Flask("app")
sock = Sock(app)

@app.route("/plain")
def plain_page():
    return "plain"

@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())

server = serve(app)
check_plain(server)
check_echo(server, "/echo")
check_plain(server)
""")


@needs("wsproto", "websocket-client")
def test_wsproto_on_the_input(run):
    # Reading from wsgi.input, writing to its socket.
    run("""
from wsproto import ConnectionType, WSConnection
from wsproto.events import (AcceptConnection, BytesMessage, CloseConnection,
                            Ping, Request, TextMessage)

def application(environ, start_response):
    if "HTTP_UPGRADE" not in environ:
        return plain(environ, start_response)
    file = environ["wsgi.input"]
    sock = file.raw._sock
    server = WSConnection(ConnectionType.SERVER)
    server.initiate_upgrade_connection(
        [(name[5:].replace("_", "-").lower().encode(), value.encode())
         for name, value in environ.items() if name.startswith("HTTP_")],
        environ["PATH_INFO"])
    parts = []
    while True:
        for event in server.events():
            if isinstance(event, Request):
                sock.sendall(server.send(AcceptConnection()))
            elif isinstance(event, (TextMessage, BytesMessage)):
                parts.append(event.data)
                if event.message_finished:
                    whole = type(event.data)().join(parts)
                    kind = type(event)
                    parts.clear()
                    sock.sendall(server.send(kind(data=whole)))
            elif isinstance(event, Ping):
                sock.sendall(server.send(event.response()))
            elif isinstance(event, CloseConnection):
                sock.sendall(server.send(event.response()))
                return []
        data = file.read1(65536)
        server.receive_data(data or None)

server = serve(application)
check_plain(server)
check_echo(server)
check_plain(server)
""")


SOCKETIO = """
app = socketio.WSGIApp(sio, plain)
sio.on("double", lambda sid, number: 2 * number)
seen = []
sio.on("disconnect", lambda sid, reason=None: seen.append(sid))
server = serve(app, **arguments)
for transports in (["polling"], ["websocket"], None):
    client = socketio.Client()
    client.connect("http" + scheme % server.server_port,
                   transports=transports, wait_timeout=30)
    assert client.call("double", 21, timeout=30) == 42
    jobs = [gevent.spawn(client.call, "double", n, timeout=30)
            for n in range(10)]
    gevent.joinall(jobs, raise_error=True)
    assert [job.value for job in jobs] == [2 * n for n in range(10)]
    if transports is None:
        while client.transport() != "websocket":
            gevent.sleep(0.01)
    client.disconnect()
while len(seen) < 3:
    gevent.sleep(0.01)
check_plain(server)
"""


@needs("python-socketio", "gevent-websocket", "websocket-client", "requests")
def test_socketio_with_gevent_websocket(run):
    run("""
import socketio
from geventwebsocket.handler import WebSocketHandler
sio = socketio.Server(async_mode="gevent")
arguments = {"handler_class": WebSocketHandler}
""" + SOCKETIO)


@needs("python-socketio", "simple-websocket", "websocket-client", "requests")
def test_socketio_with_simple_websocket(run):
    # As it is where gevent-websocket is not installed.
    run("""
sys.modules["geventwebsocket"] = None
import socketio
sio = socketio.Server(async_mode="gevent")
arguments = {}
""" + SOCKETIO)


@needs("python-engineio", "simple-websocket", "websocket-client", "requests")
def test_engineio(run):
    run("""
sys.modules["geventwebsocket"] = None
import engineio
eio = engineio.Server(async_mode="gevent")
eio.on("message", lambda sid, data: eio.send(sid, data))
server = serve(engineio.WSGIApp(eio, plain))
for transports in (["polling"], ["websocket"], None):
    client = engineio.Client()
    seen = []
    client.on("message", seen.append)
    client.connect("http" + scheme % server.server_port,
                   transports=transports)
    for message in ("text", b"bytes", "x" * 100_000):
        client.send(message)
    while len(seen) < 3:
        gevent.sleep(0.01)
    assert seen == ["text", b"bytes", "x" * 100_000], seen
    client.disconnect()
check_plain(server)
""")
