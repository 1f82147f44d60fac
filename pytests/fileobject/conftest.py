"""Every test here ends by checking that it left no descriptor open."""
import gc
import os

import gevent
import pytest

KINDS = ("FileObjectPosix", "FileObjectThread", "FileObjectBlock")
SETTLING_TURNS = 200


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left():
    # Made once and kept: what hub and pool need for themselves.
    gevent.get_hub().threadpool.apply(int)
    before = open_descriptors()
    yield
    for _ in range(SETTLING_TURNS):
        if open_descriptors() <= before:
            return
        gc.collect()
        gevent.sleep(0.005)
    raise AssertionError(f"{open_descriptors() - before} left open")


@pytest.fixture(params=KINDS)
def kind(request):
    """Each class of file objects."""
    from gevent import fileobject
    return getattr(fileobject, request.param)


@pytest.fixture
def pipe():
    """The two ends of a pipe; closed at the end if they still are open."""
    ends = os.pipe()
    known = [os.fstat(fd).st_ino for fd in ends]
    yield ends
    for fd, inode in zip(ends, known):
        try:
            if os.fstat(fd).st_ino == inode:
                os.close(fd)
        except OSError:
            pass
