"""The servers that `serving.py` measures, one a process.

    servers.py KIND [--packages FOLDER] [--certificate FILE] [--busy]
               [--no-delay] [--log] [--worker CLASS]

Serves until it is killed; prints ``port N`` when it is ready. *FOLDER* is where
packages are found that the interpreter does not have.
"""
import argparse
import multiprocessing
import os
import socket
import sys
import threading

BODIES = {"/": b"Hello, world!\n", "/10k": b"x" * 10_000, "/1m": b"x" * 1_000_000}
PIECES = 1_000


def application(environ, start_response):
    """Answers by the path; bodies are read."""
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"piece of the body\n" for _ in range(PIECES))
    if environ["REQUEST_METHOD"] == "POST":
        environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [BODIES[path]]


def flask_application():
    import flask
    app = flask.Flask("bench")
    app.add_url_rule("/", view_func=lambda: "Hello, world!\n")
    return app


def ready(port):
    print("port", port, flush=True)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def make_busy():
    """Compute in another native thread, for ever."""
    def compute():
        while True:
            sum(range(1000))
    threading.Thread(target=compute, daemon=True).start()


# gevent

def serve_echo(_options):
    from gevent.server import StreamServer

    def echo(sock, _address):
        while data := sock.recv(4096):
            sock.sendall(data)

    server = StreamServer(("127.0.0.1", 0), echo)
    server.start()
    ready(server.server_port)
    server.serve_forever()


def serve_pywsgi(options, app=application):
    from gevent import pywsgi

    class NoDelay(pywsgi.WSGIHandler):
        def handle(self):
            self.socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return super().handle()

    arguments = {}
    if options.certificate:
        arguments.update(keyfile=options.certificate,
                         certfile=options.certificate)
    if options.no_delay:
        arguments.update(handler_class=NoDelay)
    log = open(os.devnull, "w") if options.log else None
    server = pywsgi.WSGIServer(("127.0.0.1", 0), app, log=log, backlog=1024,
                               **arguments)
    server.start()
    ready(server.server_port)
    server.serve_forever()


def serve_pywsgi_flask(options):
    serve_pywsgi(options, flask_application())


def serve_gunicorn(options):
    port = free_port()
    ready(port)
    sys.path.insert(0, os.path.dirname(__file__))
    sys.argv = ["gunicorn", "-k", options.worker, "-w", "1",
                "--keep-alive", "60", "--worker-connections", "5000",
                "-b", f"127.0.0.1:{port}", "--log-level", "critical",
                "servers:application"]
    from gunicorn.app.wsgiapp import run
    run()


# Peers

def serve_uvloop_echo(_options):
    import asyncio

    import uvloop

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


def serve_waitress_flask(_options):
    import waitress
    port = free_port()
    ready(port)
    waitress.serve(flask_application(), host="127.0.0.1", port=port)


def serve_granian_flask(_options):
    from granian import Granian
    from granian.constants import Interfaces
    port = free_port()
    ready(port)
    sys.path.insert(0, os.path.dirname(__file__))
    multiprocessing.set_start_method("spawn", force=True)
    Granian("servers:flask_app", address="127.0.0.1", port=port,
            interface=Interfaces.WSGI, log_enabled=False).serve()


def serve_gthread_flask(_options):
    port = free_port()
    ready(port)
    sys.path.insert(0, os.path.dirname(__file__))
    sys.argv = ["gunicorn", "-k", "gthread", "-w", "1", "--threads", "4",
                "-b", f"127.0.0.1:{port}", "--log-level", "critical",
                "servers:flask_app"]
    from gunicorn.app.wsgiapp import run
    run()


def __getattr__(name):
    if name == "flask_app":
        return flask_application()
    raise AttributeError(name)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind")
    parser.add_argument("--packages")
    parser.add_argument("--certificate")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--no-delay", action="store_true")
    parser.add_argument("--log", action="store_true")
    parser.add_argument("--worker", default="gevent")
    options = parser.parse_args()
    if options.packages:
        sys.path.append(options.packages)
        os.environ["PYTHONPATH"] = options.packages  # of child processes
    if options.busy:
        make_busy()
    globals()["serve_" + options.kind](options)


if __name__ == "__main__":
    main()
