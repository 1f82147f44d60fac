"""RLock: ownership by greenlet."""
import threading

import gevent
import pytest
from gevent.lock import RLock


def test_the_owner_takes_it_again():
    lock = RLock()
    assert lock.acquire() and lock.acquire() and lock.acquire(False)
    assert lock._recursion_count() == 3 and lock._is_owned()
    taken = gevent.spawn(lock.acquire, False)
    assert taken.get() is False
    for _ in range(3):
        assert lock.locked()
        lock.release()
    assert not lock.locked() and not lock._is_owned()


def test_who_waits_gets_it_in_order():
    lock, log = RLock(), []

    def work(name):
        with lock:
            with lock:
                log.append(name)
                gevent.sleep(0)
                log.append(name)
    gevent.joinall([gevent.spawn(work, name) for name in 'abc'])
    assert log == list('aabbcc')


def test_only_the_owner_gives_it_back():
    lock = RLock()
    with pytest.raises(RuntimeError):
        lock.release()
    lock.acquire()
    assert isinstance(gevent.spawn(_failing_release, lock).get(), RuntimeError)
    lock.release()


def _failing_release(lock):
    try:
        lock.release()
    except RuntimeError as error:
        return error
    return None


def test_time_out():
    lock = RLock()
    lock.acquire()
    for timeout in (0, 0.001, gevent.Timeout(0.001)):
        assert gevent.spawn(lock.acquire, True, timeout).get() is False
    assert gevent.spawn(lock.acquire, timeout=0.001).get() is False
    lock.release()
    assert lock.acquire(timeout=-1)
    lock.release()


def test_in_a_condition():
    condition, log = threading.Condition(RLock()), []
    gevent.get_hub()
    # Its waiters' locks are native ones here: notify before anybody waits.
    with condition:
        saved = condition._release_save()
        assert not condition._is_owned()
        condition._acquire_restore(saved)
        log.append(condition._is_owned())
    assert log == [True]


def test_between_threads():
    lock, shared = RLock(), [0]

    def work():
        for _ in range(300):
            with lock, lock:
                value = shared[0]
                for _ in range(20):
                    pass
                shared[0] = value + 1
    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert shared == [900]


def test_after_a_fork():
    lock = RLock()
    lock.acquire()
    lock._at_fork_reinit()
    assert not lock.locked() and not lock._is_owned()
    assert lock.acquire()
    lock.release()


def test_it_does_not_make_a_hub(run_program):
    run_program("""
        from gevent.lock import BoundedSemaphore, RLock, Semaphore
        from gevent._hub_local import get_hub_if_exists
        for kind in (RLock, Semaphore, BoundedSemaphore):
            lock = kind()
            assert lock.acquire()
            lock.release()
            with lock:
                pass
        assert get_hub_if_exists() is None
    """)


def test_repr():
    assert 'RLock' in repr(RLock()) and '_count=0' in repr(RLock())
