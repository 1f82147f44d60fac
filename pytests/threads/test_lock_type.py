"""gevent.thread.LockType, the lock of patched programs."""
import _thread

import gevent
import pytest
from gevent import thread
from gevent.thread import LockType, allocate_lock


def test_one_class_under_all_names():
    assert allocate_lock is LockType is thread.lock
    assert LockType.__module__ == "gevent.thread"


def test_acquire_and_release():
    lock = LockType()
    assert not lock.locked()
    assert lock.acquire() is True
    assert lock.locked()
    assert lock.acquire(False) is False
    assert lock.acquire(timeout=0.001) is False
    assert lock.acquire(timeout=0) is False
    lock.release()
    assert lock.acquire(blocking=True, timeout=-1) is True
    lock.release()
    with lock:
        assert lock.locked()
    assert not lock.locked()


def test_release_of_a_free_lock():
    with pytest.raises(_thread.error):
        LockType().release()


def test_release_returns_nothing_as_the_native_one():
    lock = LockType()
    lock.acquire()
    assert lock.release() is None and not lock.locked()


@pytest.mark.parametrize("arguments, error", [
    ((False, 1), ValueError),
    ((True, -2), ValueError),
    ((True, 1e20), OverflowError),
])


def test_bad_arguments(arguments, error):
    lock = LockType()
    with pytest.raises(error):
        lock.acquire(*arguments)
    # As with the native lock.
    with pytest.raises(error):
        _thread.allocate_lock().acquire(*arguments)
    assert not lock.locked()


def test_takes_no_arguments():
    with pytest.raises(TypeError):
        LockType(1)


def test_cannot_be_subclassed():
    with pytest.raises(TypeError):
        class Mine(LockType): # pylint:disable=unused-variable
            pass


def test_waiters_are_served_in_order():
    lock, order = LockType(), []

    def work(name):
        with lock:
            order.append(name)
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(work, i) for i in range(5)], timeout=30)
    assert order == list(range(5))


def test_spinning_lets_the_owner_run():
    lock = LockType()

    def own():
        with lock:
            gevent.sleep(0.01)

    owner = gevent.spawn(own)
    gevent.sleep(0)
    while not lock.acquire(False):
        pass
    assert owner.ready() or not lock.acquire(False)
    lock.release()
    owner.join()


def test_reset_after_fork():
    lock = LockType()
    lock.acquire()
    lock._at_fork_reinit()
    assert not lock.locked()
    assert lock.acquire(False)


def test_released_by_another_native_thread():
    # Not in pytest's own thread alone: a native thread hands the lock over.
    lock = LockType()
    lock.acquire()
    from gevent.monkey import get_original
    get_original("_thread", "start_new_thread")(lock.release, ())
    assert lock.acquire(timeout=30)


def test_locks_between_native_threads(run_program):
    done = run_program("""
        from gevent.monkey import get_original
        start = get_original('_thread', 'start_new_thread')
        from gevent import monkey; monkey.patch_all()
        import gevent, threading
        lock = threading.Lock()
        count = [0]
        done = [gevent.get_hub().loop.async_() for _ in range(3)]

        def work(finished):
            for _ in range(300):
                with lock:
                    n = count[0]
                    if n % 7 == 0:
                        gevent.sleep(0)
                    count[0] = n + 1
            finished.send()

        waits = []
        for watcher in done:
            def wait(watcher=watcher):
                gevent.get_hub().wait(watcher)
            waits.append(gevent.spawn(wait))
        gevent.sleep(0)
        for watcher in done:
            start(work, (watcher,))
        gevent.joinall(waits, timeout=140, raise_error=True)
        print(count[0])
    """)
    assert done.stdout == "900\n"
