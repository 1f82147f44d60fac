"""Semaphore and BoundedSemaphore: order, and permits that never get lost."""
import threading

import gevent
import pytest
from gevent._hub_local import get_hub_if_exists
from gevent.exceptions import LoopExit
from gevent.lock import BoundedSemaphore, DummySemaphore, Semaphore

KINDS = [Semaphore, BoundedSemaphore]


def acquirers(semaphore, log, count, **kwargs):
    def acquire(name):
        if semaphore.acquire(**kwargs):
            log.append(name)
    greenlets = [gevent.spawn(acquire, name) for name in range(count)]
    gevent.sleep(0)
    return greenlets


@pytest.mark.parametrize('kind', KINDS)
def test_counting(kind):
    semaphore = kind(2)
    assert semaphore.acquire() is True and semaphore.acquire(False) is True
    assert semaphore.locked() and not semaphore.ready()
    assert semaphore.acquire(False) is False
    assert semaphore.release() == 1 and semaphore.release() == 2
    assert semaphore.counter == 2


@pytest.mark.parametrize('kind', KINDS)
def test_who_waits_is_served_in_order(kind):
    semaphore, log = kind(20), []
    semaphore.counter = 0
    greenlets = acquirers(semaphore, log, 20)
    for _ in range(20):
        semaphore.release()
    gevent.joinall(greenlets)
    assert log == list(range(20))
    assert semaphore.counter == 0 and semaphore.linkcount() == 0


def test_a_free_permit_goes_to_whoever_asks_first():
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 1)
    semaphore.release()
    assert semaphore.acquire(False) is True
    gevent.sleep(0)
    assert log == [] and semaphore.linkcount() == 1
    semaphore.release()
    gevent.joinall(greenlets)
    assert log == [0]


def test_one_that_finds_it_taken_keeps_its_place(turns):
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 3)
    for _ in range(10):
        semaphore.release()
        assert semaphore.acquire()
        turns(1)
    assert log == []
    for _ in range(3):
        semaphore.release()
    gevent.joinall(greenlets)
    assert log == [0, 1, 2]


def test_one_that_was_told_and_killed_passes_it_on():
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 3)
    greenlets[0].kill(block=False)
    semaphore.release()  # told before the kill gets through
    gevent.joinall(greenlets, timeout=1, count=2)
    assert log == [1]
    semaphore.release()
    gevent.joinall(greenlets)
    assert log == [1, 2] and semaphore.counter == 0


@pytest.mark.parametrize('doomed', range(4))
def test_no_permit_is_lost_whoever_is_killed(doomed):
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 4)
    for _ in range(2):
        semaphore.release()
    greenlets[doomed].kill(block=False)
    for _ in range(2):
        semaphore.release()
    gevent.joinall(greenlets)
    assert semaphore.counter + len(log) == 4


def test_a_time_out_and_a_release_at_once():
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 20, timeout=0.002)
    gevent.get_hub().loop.timer(0.002).start(semaphore.release)
    gevent.joinall(greenlets)
    assert semaphore.counter + len(log) in (0, 1)
    gevent.sleep(0.01)
    assert semaphore.counter + len(log) == 1


@pytest.mark.parametrize('seconds', [0, -1, 0.001])
def test_time_out(seconds):
    semaphore = Semaphore(0)
    assert semaphore.acquire(timeout=seconds) is False
    assert semaphore.wait(seconds) == 0
    assert semaphore.acquire(True, gevent.Timeout(0.001)) is False
    assert semaphore.linkcount() == 0


def test_wait_takes_nothing():
    semaphore, log = Semaphore(0), []

    def wait():
        log.append(semaphore.wait())
    greenlets = [gevent.spawn(wait) for _ in range(3)]
    gevent.sleep(0)
    semaphore.release()
    gevent.joinall(greenlets)
    assert log == [1, 1, 1] and semaphore.counter == 1


def test_raising_the_counter_wakes():
    semaphore, log = Semaphore(0), []
    greenlets = acquirers(semaphore, log, 2)
    semaphore.counter += 2
    gevent.joinall(greenlets)
    assert log == [0, 1] and semaphore.counter == 0


def test_as_a_context_manager():
    semaphore = Semaphore()
    with semaphore as nothing:
        assert nothing is None and semaphore.locked()
    assert semaphore.counter == 1
    with pytest.raises(ZeroDivisionError), semaphore:
        1 / 0
    assert semaphore.counter == 1


def test_links_run_while_there_are_permits(turns):
    semaphore, log = Semaphore(0), []
    semaphore.rawlink(lambda _: log.append('a'))
    semaphore.rawlink(lambda _: log.append('b'))
    turns()
    assert log == []
    semaphore.release()
    turns()
    assert log == ['a', 'b']
    semaphore.rawlink(lambda _: log.append('c'))
    turns()
    assert log[2:] == ['c']


def test_a_link_waits_for_the_next_permit(turns):
    semaphore, log = Semaphore(0), []
    semaphore.rawlink(log.append)
    semaphore.release()
    semaphore.acquire()
    turns()
    assert log == [] and semaphore.linkcount() == 1
    semaphore.release()
    turns()
    assert log == [semaphore]


def test_bounded():
    semaphore = BoundedSemaphore(1)
    with pytest.raises(ValueError):
        semaphore.release()

    class Other(BoundedSemaphore):
        _OVER_RELEASE_ERROR = KeyError
    with pytest.raises(KeyError):
        Other().release()


def test_bounded_forgets_its_hub_when_free():
    semaphore = BoundedSemaphore(1)
    semaphore.acquire()
    semaphore.acquire(timeout=0)
    assert semaphore.hub is gevent.get_hub()
    semaphore.release()
    assert semaphore.hub is None


@pytest.mark.parametrize('kind', KINDS)
def test_bad_values(kind):
    with pytest.raises(ValueError):
        kind(-1)
    for value in (None, 'x'):
        with pytest.raises(TypeError):
            kind(value)
    with pytest.raises(TypeError):
        kind(0).acquire(timeout='x')


def test_nobody_can_release_it():
    with pytest.raises(LoopExit):
        Semaphore(0).acquire()


def test_dummy():
    semaphore = DummySemaphore(3)
    assert semaphore.acquire() and semaphore.acquire(False)
    semaphore.release()
    with semaphore:
        assert semaphore.wait() == 1 and not semaphore.locked()


def test_in_the_hub():
    semaphore, log = Semaphore(1), []

    def in_hub():
        log.append(semaphore.acquire(blocking=False))
        log.append(semaphore.acquire(blocking=False))
        semaphore.release()
    gevent.get_hub().loop.run_callback(in_hub)
    gevent.sleep(0)
    assert log == [True, False]


# -- threads ----------------------------------------------------------------------------

def start_threads(count, function, *args):
    threads = [threading.Thread(target=function, args=args, daemon=True)
               for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def join(threads):
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize('kind', KINDS)
def test_threads_need_no_hub(kind):
    semaphore, hubs, shared = kind(1), [], [0]

    def work():
        for _ in range(500):
            with semaphore:
                value = shared[0]
                for _ in range(20):
                    pass
                shared[0] = value + 1
        hubs.append(get_hub_if_exists())
    join(start_threads(4, work))
    assert hubs == [None] * 4
    assert shared == [2000] and semaphore.counter == 1


def test_a_thread_without_a_hub_times_out():
    semaphore, log = Semaphore(0), []
    join(start_threads(1, lambda: log.append(semaphore.acquire(timeout=0.01))))
    assert log == [False] and semaphore.linkcount() == 0


def test_between_greenlets_and_threads():
    semaphore, shared = Semaphore(1), [0]

    def greenlet():
        for _ in range(200):
            with semaphore:
                value = shared[0]
                gevent.sleep(0)
                shared[0] = value + 1

    def thread():
        try:
            greenlet()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)
    threads = start_threads(2, thread)
    keep_alive = gevent.spawn(gevent.sleep, 60)
    gevent.joinall([gevent.spawn(greenlet) for _ in range(3)])
    while any(thread.is_alive() for thread in threads):
        gevent.sleep(0.001)
    keep_alive.kill()
    assert shared == [1000]


def test_a_waiter_whose_hub_is_gone_is_passed_over():
    semaphore, log = Semaphore(0), []
    waiting = threading.Event()

    def thread():
        waiter = gevent.spawn(semaphore.acquire)
        gevent.sleep(0.001)
        assert semaphore.linkcount() == 1 and not waiter.ready()
        gevent.get_hub().destroy(destroy_loop=True)
        waiting.set()
    join(start_threads(1, thread))
    greenlets = acquirers(semaphore, log, 1)
    semaphore.release()
    gevent.joinall(greenlets, timeout=30)
    assert log == [0]


def test_after_a_fork():
    semaphore = Semaphore(0)
    semaphore.acquire(timeout=0)
    semaphore._at_fork_reinit()
    assert semaphore.hub is None and semaphore.counter == 0
