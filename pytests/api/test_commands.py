"""The command lines and the entry points of the inventory."""
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from ports import free_port

from api.inventory import rows

COMMANDS = {row.name for row in rows() if row.module == "(command line)"}
GROUPS = [row.name for row in rows() if row.module == "(entry points)"]

APPLICATION = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"it works"]
"""

PLUGIN = """
def called(event):
    print(type(event).__name__)
"""


@pytest.fixture
def port():
    with free_port() as number:
        yield number


def connected(port, process):
    """Return a connection to a server that is about to start."""
    until = time.monotonic() + 120
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def serve(tmp_path):
    """A function that starts ``python -m ...`` on a free port."""
    started = []

    def start(port, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=tmp_path,
            env=dict(os.environ, PYTHONPATH=str(tmp_path)),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        started.append(process)
        return connected(port, process)
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_all_are_tested_here():
    assert COMMANDS == {
        "python -m gevent.monkey", "python -m gevent.pywsgi",
        "python -m gevent.backdoor", "python -m gevent._config",
        # Upstream ships its tests in the package; ours are in the tree.
        "python -m gevent.tests",
    }


def test_monkey(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import socket, sys\n"
                       "print(socket.socket.__module__, sys.argv[1:])\n")
    printed = subprocess.check_output(
        [sys.executable, "-m", "gevent.monkey", str(program), "a", "b"])
    assert printed == b"gevent._socket3 ['a', 'b']\n"


def test_pywsgi(serve, port, tmp_path):
    (tmp_path / "hello.py").write_text(APPLICATION)
    with serve(port, "gevent.pywsgi", "hello:application",
               "--bind", f"127.0.0.1:{port}") as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"it works")


def test_backdoor(serve, port):
    with serve(port, "gevent.backdoor", str(port), "Welcome!") as connection:
        file = connection.makefile("rw")
        assert "Welcome!" in file.readline()
        file.write("print(6 * 7)\n")
        file.flush()
        assert any("42" in line for line in file)


def test_config():
    printed = subprocess.check_output(
        [sys.executable, "-m", "gevent._config"], stderr=subprocess.DEVNULL)
    settings = [row for row in rows() if row.note.startswith("env ")]
    for row in settings:
        variable = re.match(r"env (\w+);", row.note).group(1)
        assert variable.encode() in printed
    assert settings


def program_for(group):
    """A program in which the event of an entry-point group happens."""
    if group.startswith("gevent.plugins.hub"):
        return ("import gevent; gevent.config.monitor_thread = True\n"
                "gevent.get_hub(); gevent.sleep(0)\n")
    return "from gevent import monkey; monkey.patch_all()"


@pytest.mark.parametrize("group", GROUPS)
def test_entry_points_are_called(group, tmp_path, run_program):
    info = tmp_path / "plugin-1.dist-info"
    info.mkdir()
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nx = plugin:called\n")
    printed = run_program(program_for(group), PYTHONPATH=str(tmp_path)).stdout
    name = group.rpartition(".")[2].replace("_", "").replace(
        "didpatchbuiltins", "didpatchbuiltinmodules")
    assert name in printed.lower(), printed
