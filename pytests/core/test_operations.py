"""Waits for operations of the engine: here posts, which complete at once."""
import gevent
import pytest
from libgcore._binding import ffi, lib
from libgcore._engine import Wait


def post(wait):
    engine = ffi.cast('gcore_hub *', gevent.get_hub().loop.engine)
    argument = ffi.cast('void *', wait.argument)
    assert lib.gcore_hub_post(engine, lib.GCORE_COMPLETE, argument) == 0


def test_its_end_wakes_the_wait(hub):
    wait = Wait('a post')
    post(wait)
    assert wait.park(5)
    assert wait.result == 0 and wait.over


def test_it_may_end_before_the_wait_is_parked(hub):
    wait = Wait()
    post(wait)
    gevent.sleep(0.001)
    assert wait.woken
    assert wait.park(5)


def test_one_that_ended_late_wakes_nobody(hub):
    wait = Wait()
    assert not wait.park(0.001)
    other = Wait()
    post(wait)
    assert not other.park(0.01)


def test_a_discarded_wait_cannot_be_parked(hub):
    wait = Wait()
    wait.discard()
    assert wait.over
    with pytest.raises(gevent.exceptions.ConcurrentObjectUseError):
        wait.park(0.001)


def test_many_at_a_time(hub):
    def one():
        wait = Wait()
        post(wait)
        return wait.park(5)

    greenlets = [gevent.spawn(one) for _ in range(500)]
    gevent.joinall(greenlets)
    assert all(greenlet.value for greenlet in greenlets)
