"""The cache of the interpreter's frame chunks, one of which each greenlet
takes: it keeps some, not without bounds, and few while the hub is idle."""
import pytest

from libgcore import _engine

MOST = 4096
IDLE = 64

pytestmark = pytest.mark.skipif(
    not _engine.CHUNKS_CACHED, reason="chunks are not cached here")

MANY = """
import gevent
from libgcore._engine import CHUNKS_CACHED, cached_chunks, trim_chunks

def pause():  # its frame takes the chunk
    gevent.sleep()

def many(count):
    gevent.joinall([gevent.spawn(pause) for _ in range(count)])
    return cached_chunks()

"""


def numbers(run_program, source, **environment):
    return [int(word) for word in run_program(
        MANY + source, **environment).stdout.split()]


def test_chunks_are_kept_and_given_back(run_program):
    kept, left, none = numbers(run_program, """
print(many(500), trim_chunks(100) or cached_chunks(),
      trim_chunks(0) or cached_chunks())
""")
    assert kept > 100
    assert (left, none) == (100, 0)


def test_not_more_than_so_many(run_program):
    kept, = numbers(run_program, f"print(many({MOST + 1000}))")
    assert 0 < kept <= MOST


def test_an_idle_hub_keeps_few(run_program):
    numbers(run_program, f"""
assert many(500) > {IDLE}
while cached_chunks() > {IDLE}:
    gevent.sleep(1.1)
""")


def test_it_can_be_turned_off(run_program):
    assert numbers(run_program, "print(int(CHUNKS_CACHED), many(500))",
                   GCORE_CHUNK_CACHE="0") == [0, 0]


def test_a_child_has_it_too(run_program):
    child, parent = numbers(run_program, """
import os
many(500)
pid = os.fork()
if not pid:
    print(many(500), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print(many(500))
""")
    assert child > IDLE and parent > IDLE
