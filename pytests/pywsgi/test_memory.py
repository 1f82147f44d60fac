"""Requests while one of Python's allocations fails, each in turn: the server
goes on, no connection hangs, nothing is left over."""
import os
import subprocess
import sys
from pathlib import Path

import failing_memory
import memory_program
import pytest

from gevent._pywsgi_engine import AVAILABLE

pytestmark = [
    pytest.mark.skipif(not AVAILABLE, reason="handlers are plain Python"),
    pytest.mark.skipif(failing_memory.COMPILER is None,
                       reason="no C compiler")]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return failing_memory.build(tmp_path_factory.mktemp("failing"))


@pytest.mark.time_limit(180)
@pytest.mark.parametrize("kind", memory_program.KINDS)
def test_an_allocation_fails(library, kind):
    program = Path(memory_program.__file__)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", program, library, kind],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
