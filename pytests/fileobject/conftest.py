"""Every test here ends by checking that it left no descriptor open."""
import os

import pytest
from descriptor_fixtures import nothing_left  # noqa: F401

KINDS = ("FileObjectPosix", "FileObjectThread", "FileObjectBlock")


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
