"""Every test here ends by checking that it left no descriptor open and no
child unreaped."""
import gc
import os

import gevent
import pytest

SETTLING_TURNS = 200


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left():
    gevent.get_hub()
    before = open_descriptors()
    yield
    for _ in range(SETTLING_TURNS):
        if open_descriptors() <= before:
            break
        gc.collect()
        gevent.sleep(0.005)
    assert open_descriptors() <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
