"""ThreadPool: native threads that work for greenlets."""
import gc
import sys
import threading
import time
import weakref

import gevent
import pytest
from gevent import threadpool
from gevent._hub_local import get_hub_if_exists
from gevent.exceptions import InvalidThreadUseError
from gevent.threadpool import ThreadPool, ThreadPoolExecutor, ThreadResult


@pytest.fixture
def pool():
    made = ThreadPool(3)
    yield made
    made.kill()


def fail(error):
    raise error


def test_work_is_done_by_another_thread(pool):
    assert pool.apply(threading.get_ident) != threading.get_ident()


def test_other_greenlets_run_meanwhile(pool):
    release, ticks = threading.Event(), []

    def tick():
        for n in range(5):
            ticks.append(n)
            gevent.sleep(0)
        release.set()
    gevent.spawn(tick)
    assert pool.apply(release.wait, (30,)) is True
    assert ticks == list(range(5))


def test_results_and_failures(pool, errors):
    result = pool.spawn(lambda a, b: a + b, 1, b=2)
    assert result.get() == 3 and result.successful()
    failed = pool.spawn(fail, KeyError('x'))
    with pytest.raises(KeyError):
        failed.get()
    assert [entry[1] for entry in errors] == [KeyError]


def test_a_failure_of_apply_is_raised_once(pool, errors):
    with pytest.raises(KeyError):
        pool.apply(fail, (KeyError(),))


def test_maps(pool):
    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
    assert list(pool.imap(abs, range(-20, 0))) == list(range(20, 0, -1))
    assert sorted(pool.imap_unordered(abs, [-3, 1, -2])) == [1, 2, 3]
    assert pool.map_async(abs, [-1]).get() == [1]


def test_imap_with_a_bound(pool):
    assert list(pool.imap(abs, range(50), maxsize=1)) == list(range(50))


def test_apply_async_calls_back(pool):
    log = []
    pool.apply_async(abs, (-4,), callback=log.append).get()
    gevent.sleep(0)
    gevent.sleep(0)
    assert log == [4]


def test_a_full_pool_makes_spawn_wait():
    pool, release = ThreadPool(1), threading.Event()
    try:
        results = [pool.spawn(release.wait), pool.spawn(release.wait)]
        waiting = gevent.spawn(pool.spawn, int)
        gevent.sleep(0.001)
        assert not waiting.ready()
        release.set()
        assert waiting.get().get() == 0
        gevent.wait(results)
    finally:
        pool.kill()


def test_no_more_threads_than_its_size():
    pool, idents = ThreadPool(2), set()
    try:
        def work(_n):
            idents.add(threading.get_ident())
            time.sleep(0.001)
        pool.map(work, range(20))
        assert 1 <= len(idents) <= 2 and pool.size <= 2
    finally:
        pool.kill()
    assert pool.size == 0


def refuse(*_args):
    raise RuntimeError("can't start new thread")


def test_no_thread_can_be_started(pool, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threadpool, 'start_new_thread', refuse)
        for _ in range(20):  # each gives its place back
            with pytest.raises(RuntimeError):
                pool.spawn(abs, -1)
        with pytest.raises(RuntimeError):
            pool.apply(abs, (-1,))
    assert len(pool) == 0
    with gevent.Timeout(20):
        pool.join()
    assert pool.apply(abs, (-2,)) == 2


def test_no_further_thread_can_be_started(pool, monkeypatch):
    assert pool.apply(abs, (-1,)) == 1
    monkeypatch.setattr(threadpool, 'start_new_thread', refuse)
    results = [pool.spawn(abs, -number) for number in range(3)]
    assert [result.get() for result in results] == [0, 1, 2]


def test_sizes(pool):
    assert pool.maxsize == 3
    pool.maxsize = 5
    assert pool.maxsize == 5
    with pytest.raises(ValueError):
        ThreadPool(-1)
    with pytest.raises((ValueError, TypeError)):
        ThreadPool('many')


def test_join_waits_for_all(pool):
    done = []
    for n in range(5):
        pool.spawn(done.append, n)
    pool.join()
    assert sorted(done) == list(range(5))


def test_it_works_again_after_kill(pool):
    assert pool.apply(abs, (-1,)) == 1
    pool.kill()
    assert pool.size == 0
    assert pool.apply(abs, (-2,)) == 2


def test_apply_from_a_thread_of_no_pool_runs_there(pool):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(
        (threading.get_ident(), pool.apply(threading.get_ident))))
    thread.start()
    thread.join()
    assert seen[0][0] == seen[0][1]


def test_spawn_is_for_the_thread_of_its_hub(pool):
    def work():
        try:
            pool.spawn(int)
        except InvalidThreadUseError:
            return 'refused'
    other = ThreadPool(1)
    try:
        assert other.apply(work) == 'refused'
    finally:
        other.kill()


def test_a_hub_made_by_a_task_goes_with_it(pool):
    def work():
        gevent.sleep(0)
        return weakref.ref(gevent.get_hub())
    assert get_hub_if_exists() is not None
    hub = pool.apply(work)
    pool.join()
    pool.kill()
    gc.collect()
    assert hub() is None


def test_a_task_runs_greenlets_of_its_own(pool):
    def work():
        return [made.get() for made in
                [gevent.spawn(abs, -n) for n in range(3)]]
    assert pool.apply(work) == [0, 1, 2]


def test_profilers_and_tracers_of_the_threading_module(pool):
    seen = []

    def profile(_frame, event, _arg):
        seen.append(event)
    threading.setprofile(profile)
    try:
        made = ThreadPool(1)
        made.apply(abs, (-1,))
        made.kill()
    finally:
        threading.setprofile(None)
    assert seen


def test_idle_threads_end():
    pool = ThreadPool(2, idle_task_timeout=0.01)
    try:
        pool.apply(int)
        deadline = time.monotonic() + 30
        while pool.size and time.monotonic() < deadline:
            gevent.sleep(0.005)
        assert pool.size == 0
        assert pool.apply(abs, (-3,)) == 3
    finally:
        pool.kill()


def test_a_killed_greenlet_leaves_its_task_to_finish(pool):
    release, done = threading.Event(), threading.Event()

    def work():
        release.wait(30)
        done.set()
    made = gevent.spawn(pool.apply, work)
    gevent.sleep(0.001)
    made.kill()
    release.set()
    pool.join()
    assert done.is_set()


def test_arguments_are_let_go_after_the_task(pool):
    class Value:
        pass
    value = Value()
    gone = weakref.ref(value)
    pool.apply(lambda it: None, (value,))
    pool.join()
    del value
    gc.collect()
    assert gone() is None


def test_the_hubs_own_pool():
    hub_pool = gevent.get_hub().threadpool
    assert isinstance(hub_pool, ThreadPool)
    assert hub_pool.apply(abs, (-1,)) == 1


def test_executor():
    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(pow, n, 2) for n in range(5)]
        assert [future.result() for future in futures] == [0, 1, 4, 9, 16]
        failed = executor.submit(fail, KeyError())
        assert isinstance(failed.exception(), KeyError)
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
        log = []
        done = executor.submit(abs, -5)
        done.add_done_callback(lambda future: log.append(future.result()))
        done.result()
        gevent.sleep(0)
        gevent.sleep(0)
        assert log == [5] and done.done()
    with pytest.raises(RuntimeError):
        executor.submit(int)


def test_it_is_exported():
    assert ThreadResult is sys.modules['gevent.threadpool'].ThreadResult
