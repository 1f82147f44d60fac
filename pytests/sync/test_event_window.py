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
    gevent.joinall([first, *late], timeout=30)
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
    """However often it was set before: each wait that finds a set() underway
    takes a turn in the queue."""
    event, ended, rounds = Event(), [], []

    def waiter():
        event.wait()
        while not ended:
            rounds.append(None)
            assert len(rounds) < 1000
            event.clear()
            event.wait()
    waiting = gevent.spawn(waiter)
    gevent.sleep(0)
    event.set()
    event.set()
    gevent.spawn(ended.append, True).join()
    event.set()
    waiting.get(timeout=30)
