"""Wake-ups from other threads: a waiter is woken through its own hub."""
import threading
import time

import gevent
import pytest
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore, RLock, Semaphore
from gevent.queue import Queue

THREADS = 4


@pytest.fixture
def in_thread():
    """Start functions in native threads that have a hub of their own if they
    ask for one; at the end of the test all must have ended well."""
    failures, threads = [], []

    def start(function, *args):
        def run():
            try:
                function(*args)
            except BaseException as error:
                failures.append(error)
            finally:
                hub = gevent._hub_local.get_hub_if_exists()
                if hub is not None:
                    hub.destroy(destroy_loop=True)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        threads.append(thread)
        return thread
    yield start
    for thread in threads:
        wait_for(lambda: not thread.is_alive())
    assert failures == []


def wait_for(condition, seconds=20):
    """Poll *condition* while the hub runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.001)


def keeping_alive(function, *args):
    """Call *function* while a sleeping greenlet keeps the loop alive, as in a
    program that does other things: an object of another thread does not."""
    sleeper = gevent.spawn(gevent.sleep, 60)
    try:
        return function(*args)
    finally:
        sleeper.kill()


def test_event_set_by_a_thread(in_thread):
    event = Event()
    waiters = [gevent.spawn(event.wait, 20) for _ in range(10)]
    gevent.sleep(0)
    in_thread(event.set)
    gevent.joinall(waiters)
    assert [waiter.get() for waiter in waiters] == [True] * 10


def test_event_waited_for_in_two_threads(in_thread):
    event, seen = Event(), []
    started = threading.Barrier(THREADS + 1)

    def wait():
        started.wait()
        seen.append(keeping_alive(event.wait, 20))
    for _ in range(THREADS):
        in_thread(wait)
    started.wait()
    gevent.sleep(0.01)
    event.set()
    wait_for(lambda: len(seen) == THREADS)
    assert seen == [True] * THREADS


def test_result_set_by_a_thread(in_thread):
    result = AsyncResult()
    in_thread(result.set, "value")
    assert result.get(timeout=20) == "value"


def test_exception_set_by_a_thread(in_thread):
    result = AsyncResult()
    in_thread(result.set_exception, KeyError("of the thread"))
    with pytest.raises(KeyError, match="of the thread"):
        result.get(timeout=20)


def test_queue_filled_by_threads(in_thread):
    queue, count = Queue(), 500

    def fill(name):
        for n in range(count):
            queue.put((name, n))
    for name in range(THREADS):
        in_thread(fill, name)
    received = [queue.get(timeout=20) for _ in range(THREADS * count)]
    for name in range(THREADS):
        assert [n for who, n in received if who == name] == list(range(count))


def test_bounded_queue_between_threads(in_thread):
    """Both sides block: putters here, getters there."""
    queue, count, received = Queue(3), 300, []

    def drain():
        for _ in range(count):
            received.append(queue.get(timeout=20))
    in_thread(drain)
    for n in range(count):
        queue.put(n, timeout=20)
    wait_for(lambda: len(received) == count)
    assert received == list(range(count))


def test_semaphore_released_by_a_thread(in_thread):
    semaphore = Semaphore(0)
    in_thread(semaphore.release)
    assert semaphore.acquire(timeout=20)


@pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore, RLock])
def test_lock_excludes_across_threads(in_thread, make):
    lock, holders, seen = make(), [], []

    def work():
        for _ in range(50):
            with lock:
                holders.append(1)
                seen.append(len(holders))
                gevent.sleep(0)
                holders.pop()
    for _ in range(THREADS):
        in_thread(keeping_alive, work)
    greenlets = [gevent.spawn(work) for _ in range(4)]
    keeping_alive(gevent.joinall, greenlets)
    wait_for(lambda: len(seen) == 50 * (THREADS + 4))
    assert set(seen) == {1}


def test_run_callback_threadsafe_wakes_the_loop(hub, in_thread):
    """Also a loop that waits in its poll."""
    came = Event()

    def call():
        time.sleep(0.05)  # let the loop come to its poll; no test of time
        hub.loop.run_callback_threadsafe(came.set)
    in_thread(call)
    assert came.wait(20)


def test_many_threadsafe_callbacks(hub, in_thread):
    """None is lost, and each thread's own come in order."""
    order, count = [], 2000

    def call(name):
        for n in range(count):
            hub.loop.run_callback_threadsafe(order.append, (name, n))
    for name in range(THREADS):
        in_thread(call, name)
    wait_for(lambda: len(order) == THREADS * count)
    for name in range(THREADS):
        assert [n for who, n in order if who == name] == list(range(count))


def test_async_watcher_is_sent_by_a_thread(hub, in_thread):
    came = Event()
    with hub.loop.async_() as watcher:
        watcher.start(came.set)
        in_thread(watcher.send)
        assert came.wait(20)


def test_greenlets_join_across_threads(in_thread):
    made, joined = [], []

    def thread():
        greenlet = gevent.spawn(gevent.sleep, 0.02)
        made.append(greenlet)
        greenlet.join()
        joined.append(greenlet.dead)
    in_thread(thread)
    wait_for(lambda: joined)
    assert made[0].ready() and joined == [True]


def test_other_threads_hub_names_itself_in_loop_exit(in_thread):
    texts = []

    def thread():
        try:
            Event().wait()
        except gevent.exceptions.LoopExit as error:
            texts.append(str(error))
    in_thread(thread)
    wait_for(lambda: texts)
    assert "Hub" in texts[0]
