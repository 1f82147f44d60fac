"""The prompt over TCP."""
import sys

import gevent
import pytest

from gevent import socket
from gevent.backdoor import BackdoorServer


@pytest.fixture
def server():
    with BackdoorServer(("127.0.0.1", 0), locals={"answer": 42},
                        banner="hello") as server:
        server.start()
        yield server


class Console:

    def __init__(self, server):
        self.sock = socket.create_connection(
            ("127.0.0.1", server.server_port), timeout=20)

    def read(self, end=">>> "):
        text = ""
        while not text.endswith(end):
            data = self.sock.recv(1)
            if not data:
                return text + "<end>"
            text += data.decode()
        return text[:-len(end)]

    def ask(self, line):
        self.sock.sendall(line.encode() + b"\r\n")
        return self.read()


def test_a_session(server):
    console = Console(server)
    assert console.read() == "hello\n"
    assert console.ask("answer") == "42\n"
    assert console.ask("print('printed')") == "printed\n"
    assert "ZeroDivisionError" in console.ask("1/0")
    assert console.ask("import sys; sys.stderr.flush()") == ""
    assert console.ask("exit()") == "<end>"
    console.sock.close()


def test_small_writes_do_not_wait_for_one_another(monkeypatch):
    delayed = []

    def interact(self, **_kwargs):
        conn = sys.stdout._conn
        delayed.append(conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr("code.InteractiveConsole.interact", interact)
    with BackdoorServer(("127.0.0.1", 0)) as server:
        server.start()
        Console(server).read()
    assert delayed and 0 not in delayed


def test_a_prompt_over_a_unix_socket(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "prompt"))
    listener.listen(1)
    with BackdoorServer(listener) as server:
        server.start()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(str(tmp_path / "prompt"))
            sock.sendall(b"exit()\n")
            assert b">>> " in sock.makefile("rb").read()


def test_sessions_do_not_mix(server):
    streams = sys.stdin, sys.stdout, sys.stderr
    first, second = Console(server), Console(server)
    assert first.read() == second.read() == "hello\n"
    assert first.ask("answer = 1") == ""
    assert second.ask("answer") == "42\n"
    assert second.ask("import gevent; gevent.sleep(0.01); print(5)") == "5\n"
    assert first.ask("answer") == "1\n"
    assert server.locals["answer"] == 42
    assert (sys.stdin, sys.stdout, sys.stderr) == streams
    for console in (first, second):
        console.sock.close()
    server.pool.join(timeout=20)
    assert not server.pool
    assert (sys.stdin, sys.stdout, sys.stderr) == streams


def test_stopped_with_a_session_open(server):
    console = Console(server)
    console.read()
    server.stop(timeout=0.01)
    assert console.read() == "<end>"
    console.sock.close()
    gevent.sleep(0)
