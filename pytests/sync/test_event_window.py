"""set() followed by clear() wakes those whose wait begins before set()'s turn
in the run queue, and nobody after."""
import gevent
from gevent.event import Event


def test_who_begins_to_wait_before_its_turn_is_woken():
    event = Event()
    first = gevent.spawn(event.wait)
    gevent.sleep(0)
    late = [gevent.spawn(event.wait) for _ in range(3)]
    event.set()
    event.clear()
    gevent.joinall([first, *late], timeout=5)
    assert [g.value for g in (first, *late)] == [True] * 4


def test_who_begins_to_wait_after_its_turn_is_not():
    event = Event()
    first = gevent.spawn(event.wait)
    gevent.sleep(0)
    event.set()
    event.clear()
    first.join()
    assert event.wait(0.001) is False


def test_without_waiters_nothing_is_pending():
    event = Event()
    event.set()
    event.clear()
    assert event.wait(0.001) is False


def test_a_loop_around_clear_and_wait_lets_others_run():
    event = Event()
    ended = []
    run_callback = gevent.get_hub().loop.run_callback
    run_callback(event.set)
    run_callback(event.set)  # moves its turn behind who is woken
    run_callback(run_callback, ended.append, True)
    for _ in range(1000):
        event.clear()
        event.wait()
        if ended:
            return
    raise AssertionError("it never gave up")
