"""The table of raw requests, sent to Apache: does it see the same requests?

What ours see stands in the table (`test_framing.py` holds them to it). Here
requests and bodies count, not the statuses of refusals.
"""
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from ports import free_port
from raw_requests import BAD, GOOD, KEPT, LENIENT, TAIL, to

from gevent import socket

APACHE = shutil.which("apache2", path=os.get_exec_path()[0] + ":/usr/sbin")
MODULES = Path("/usr/lib/apache2/modules")

pytestmark = pytest.mark.skipif(
    not (APACHE and MODULES.is_dir()),
    reason="no apache2 (tools/test http installs it)")

CONFIGURATION = """
ServerName h
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/errors
{modules}
User www-data
Group www-data
StartServers 1
HttpProtocolOptions Strict
AllowEncodedSlashes On
KeepAliveTimeout 30
ScriptAliasMatch ^ {folder}/tell
<Directory {folder}>
    AcceptPathInfo On
    Require all granted
</Directory>
"""

SCRIPT = r"""#!/bin/sh
told="<$REQUEST_METHOD $REQUEST_URI $(cat)>"
printf 'Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s' \
    "${#told}" "$told"
"""


def set_up(folder, port):
    modules = "\n".join(
        f"LoadModule {name}_module {MODULES}/mod_{name}.so"
        for name in ("mpm_prefork", "authz_core", "alias", "cgi"))
    (folder / "configuration").write_text(CONFIGURATION.format(
        port=port, folder=folder, modules=modules))
    (folder / "tell").write_text(SCRIPT)
    folder.chmod(0o755)
    (folder / "tell").chmod(0o755)


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def port():
    with free_port() as number, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        set_up(folder, number)
        with subprocess.Popen(
                [APACHE, "-X", "-f", str(folder / "configuration")]) as server:
            try:
                end = time.monotonic() + 30
                while not connects(number):
                    assert server.poll() is None and time.monotonic() < end, (
                        folder / "errors").read_text()
                    time.sleep(0.05)
                yield number
            finally:
                server.terminate()


def ask(port, data):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(20)
        response = b""
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            while piece := sock.recv(65536):
                response += piece
        return response


def seen(response):
    """What the script was told, of each request that reached it."""
    found, parts = [], response.split(b"HTTP/1.1 200 OK\r\n")[1:]
    for part in parts:
        body = part.partition(b"\r\n\r\n")[2]
        start, end = body.find(b"<"), body.find(b">")
        found.append(body[start + 1:end].decode("latin-1"))
    return found


def chunked(*lines, size="3", version="1.1"):
    return to("/", *lines, body=size.encode() + b"\r\nabc\r\n0\r\n\r\n").replace(
        b"/1.1", b"/" + version.encode())


BOTH = ["POST / abc", KEPT]

#: Where Apache sees other requests than the table says: what, and why.
DIFFERENCES = {
    to("/", method="GET").replace(b"Host: h", b"Host:"): (
        [], "an empty Host is none to it"),
    to("/", method="GET").replace(b"/1.1", b"/2.0"): (
        ["GET / ", KEPT], "a later version is read as 1.1"),
    chunked("Transfer-Encoding: gzip, chunked"): (
        BOTH, "it hands on what it cannot decode"),
    chunked("Transfer-Encoding: chunked, chunked"): (
        BOTH, "as if it were one"),
    chunked("Transfer-Encoding: ,chunked"): (
        BOTH, "empty elements of a list are allowed"),
    chunked("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"): (
        BOTH, "as if it were one"),
    chunked("Transfer-Encoding: chunked", version="1.0"): (
        BOTH[:1], "read, and the connection ends"),
    chunked("Transfer-Encoding: chunked", size="3 "): (
        BOTH, "white space after a size is skipped"),
    to("/", method="GET").replace(b"Host: h\r\n", b""): (
        [], "Host must be there"),
    to("/", "X: y", method="GET").replace(b"Host: h\r\n", b""): (
        [], "Host must be there"),
    to("/", "X: y", " z", method="GET"): (
        ["GET / ", KEPT], "the connection stays open"),
    to("/", "X: y", "\tz", method="GET"): (
        ["GET / ", KEPT], "the connection stays open"),
}


def ends_early(raw, found, wanted):
    """Apache may end a connection of HTTP/1.0 though it was asked to keep it."""
    return b" HTTP/1.0\r\n" in raw and found == wanted[:1]


@pytest.mark.parametrize("raw, words", [
    *((raw, [words, KEPT]) for raw, words in GOOD),
    *((raw, []) for raw in BAD),
    *((raw, [words]) for raw, words in LENIENT)])
def test_the_same_requests(port, raw, words):
    wanted, _reason = DIFFERENCES.get(raw, (words, None))
    found = seen(ask(port, raw + TAIL))
    assert found == wanted or ends_early(raw, found, wanted)
