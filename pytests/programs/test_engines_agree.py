"""The accelerator and its plain twin run the same programs in the same order."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('random_programs.py')
EACH = 250


def traces(first, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(first), str(first + EACH)],
        env=dict(os.environ, **environment), capture_output=True, text=True,
        timeout=140, check=True).stdout.splitlines()


@pytest.mark.parametrize('first', range(0, 1000, EACH))
def test_twin(first):
    here, twin = traces(first, GCORE_PURE='0'), traces(first, GCORE_PURE='1')
    assert len(here) == EACH
    for one, other in zip(here, twin, strict=True):
        assert one == other
