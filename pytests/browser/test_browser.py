"""A browser asks a server for everything that pages ask for: see `page.html`,
which checks what it gets, and `served.py`."""
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from packages import needs

PEM = Path(__file__).parent.parent / "ssl" / "localhost.pem"
BROWSER = os.environ.get("GCORE_BROWSER")

pytestmark = [
    needs("simple-websocket", command="tools/test browser"),
    pytest.mark.skipif(not BROWSER, reason="no browser (tools/test browser)")]

OPTIONS = ["--headless", "--no-sandbox", "--no-first-run", "--disable-gpu",
           "--disable-dev-shm-usage", "--disable-background-networking",
           "--disable-component-update", "--disable-sync",
           "--ignore-certificate-errors", "--no-proxy-server"]

CHECKS = ["form", "redirect", "upload", "assets", "stream", "events",
          "websocket", "download", "cancel", "errors", "cookies"]


def start(command, **arguments):
    return subprocess.Popen(command, start_new_session=True, **arguments)


def end(process):
    """End it and what it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


@pytest.mark.time_limit(180)
@pytest.mark.parametrize("reader", ["engine", "handlers"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_page(tmp_path, reader, secure):
    served = Path(__file__).with_name("served.py")
    server = start(
        [sys.executable, served, reader, *[PEM] * secure],
        stdout=subprocess.PIPE, text=True,
        stderr=open(tmp_path / "errors", "w"))
    browser = None
    try:
        address = server.stdout.readline().strip()
        browser = start(
            [BROWSER, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}",
             address],
            stdout=subprocess.DEVNULL, stderr=open(tmp_path / "browser", "w"))
        report, left = server.communicate(timeout=150)[0].splitlines()
    finally:
        for process in filter(None, (browser, server)):
            end(process)
        shutil.rmtree(tmp_path / "profile", ignore_errors=True)
    assert json.loads(report) == dict.fromkeys(CHECKS, "")
    errors = (tmp_path / "errors").read_text()
    assert errors.count("LookupError: on purpose") == 1, errors
    # A browser may open a connection ahead and leave amid its handshake.
    left_early = errors.count("in do_handshake")
    assert errors.count("Traceback") == 1 + left_early, errors
