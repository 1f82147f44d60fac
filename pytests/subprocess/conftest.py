"""Every test here ends by checking that it left no descriptor open and no
child unreaped."""
import os

import pytest
from descriptor_fixtures import nothing_left  # noqa: F401
from loop_fixtures import settle


def has_child():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


@pytest.fixture(autouse=True)
def no_child_left():
    yield
    assert settle(lambda: not has_child()), "a child was left"
