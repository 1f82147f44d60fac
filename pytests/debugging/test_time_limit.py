"""Tests that hang fail, and leave nothing to the next one."""
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent

SUITE = """
import os, subprocess
import gevent, pytest
from gevent.event import Event
from loop_fixtures import errors, nothing_left

hubs = []

@pytest.mark.time_limit(1)
def test_that_waits(errors):
    hubs.append(gevent.get_hub())
    subprocess.Popen(["sleep", "1000"])
    gevent.spawn(gevent.sleep, 1000)
    Event().wait()

@pytest.mark.time_limit(1)
def test_in_which_another_greenlet_is_busy():
    def work():
        while True:
            pass
    gevent.spawn(work).join()

@pytest.fixture
def endless():
    yield
    gevent.sleep(1000)

@pytest.mark.time_limit(1)
def test_that_is_not_taken_down(endless):
    pass

def test_that_is_all_right():
    assert hubs[0].loop is None
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
"""


def test_what_hangs_fails_and_leaves_nothing(tmp_path):
    (tmp_path / "test_some.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-rA", "--tb=line",
         "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, env=dict(os.environ, PYTHONPATH=str(FOLDER)), text=True,
        stdout=subprocess.PIPE, timeout=140)
    told = {tuple(line.split(" - ")[0].replace("test_some.py::", "").split())
            for line in done.stdout.splitlines() if "::" in line}
    assert {("FAILED", "test_that_waits"),
            ("FAILED", "test_in_which_another_greenlet_is_busy"),
            ("ERROR", "test_that_is_not_taken_down"),
            ("PASSED", "test_that_is_all_right")} <= told, done.stdout
    assert done.stdout.count("TimeLimitExceeded") >= 3
