"""Every test here ends by checking that it left no descriptor open and no
child unreaped."""
import os

import gevent
import pytest
from descriptor_fixtures import SETTLING_TURNS, nothing_left  # noqa: F401


def has_child():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_child_left():
    yield
    for _ in range(SETTLING_TURNS):
        if not has_child():
            return
        gevent.sleep(0.005)
    raise AssertionError("a child was left")
