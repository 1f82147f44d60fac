"""gevent.threadpool: tasks in native threads."""
import threading
import time

import gevent
import pytest
from gevent import monkey
from gevent.event import Event
from gevent.exceptions import InvalidThreadUseError
from gevent.threadpool import ThreadPool, ThreadPoolExecutor

get_ident = monkey.get_original("_thread", "get_ident")
WAIT = 20  # seconds that nothing here takes


@pytest.fixture
def pool():
    pool = ThreadPool(4)
    yield pool
    pool.kill()
    assert pool.size == 0 and len(pool) == 0


def test_results_and_errors(pool, errors):
    assert pool.spawn(pow, 2, 5).get() == 32
    assert pool.apply(int, ("ff",), {"base": 16}) == 255
    with pytest.raises(ZeroDivisionError):
        pool.apply(divmod, (1, 0))
    assert [error[1] for error in errors] == [ZeroDivisionError]
    assert pool.apply(get_ident) != get_ident()


def test_the_hub_runs_meanwhile(pool):
    ended = Event()
    release = threading.Event()
    waiting = pool.spawn(release.wait, WAIT)
    gevent.spawn(ended.set)
    assert ended.wait(WAIT)
    assert not waiting.ready()
    release.set()
    assert waiting.get(timeout=WAIT) is True


def test_tasks_run_at_once(pool):
    # Each of the four needs the other three.
    barrier = threading.Barrier(4)
    for _ in range(20):
        tasks = [pool.spawn(barrier.wait, WAIT) for _ in range(4)]
        gevent.joinall(tasks, timeout=WAIT)
        assert sorted(task.get(block=False) for task in tasks) == [0, 1, 2, 3]


def test_one_that_is_put_off_begins_while_others_work(pool):
    release = threading.Event()
    others = [pool.spawn(release.wait, WAIT) for _ in range(3)]
    assert pool.apply(release.set) is None  # needs the fourth thread
    assert all(other.get(timeout=WAIT) for other in others)


def test_a_task_begins_although_nothing_polls(pool):
    begun = threading.Event()
    task = pool.spawn(begun.set)
    assert begun.wait(WAIT)  # native: this thread's hub does not run
    task.get()


def test_tasks_wait_for_a_thread():
    pool = ThreadPool(1)
    release = threading.Event()
    order = []
    tasks = [pool.spawn(release.wait, WAIT), pool.spawn(order.append, 1)]
    late = gevent.spawn(lambda: tasks.append(pool.spawn(order.append, 2)))
    gevent.sleep(0)
    assert len(tasks) == 2 and len(pool) == 2
    release.set()
    late.join()
    pool.join()
    assert order == [1, 2] and len(pool) == 0 and not pool
    pool.kill()


def test_threads_without_a_task_end():
    pool = ThreadPool(3, idle_task_timeout=0.01)
    assert pool.map(abs, range(-20, 0)) == list(range(20, 0, -1))
    pool._wait_until(lambda: pool.size == 0)
    assert pool.apply(abs, (-1,)) == 1
    pool.kill()


def test_the_size_can_be_changed(pool):
    pool.size = 3
    assert pool.size == 3
    pool.size = 1
    assert pool.size == 1
    pool.maxsize = 2
    with pytest.raises(ValueError):
        pool.size = 3
    barrier = threading.Barrier(2)
    tasks = [pool.spawn(barrier.wait, WAIT) for _ in range(2)]
    gevent.joinall(tasks, timeout=WAIT)
    assert all(task.ready() for task in tasks)


def test_killed_and_used_again(pool):
    assert pool.apply(abs, (-1,)) == 1
    pool.kill()
    assert pool.size == 0
    assert pool.apply(abs, (-2,)) == 2


def test_what_gives_up_leaves_its_task_alone(pool):
    release = threading.Event()
    giving_up = gevent.spawn(pool.apply, release.wait, (WAIT,))
    gevent.sleep(0)
    assert len(pool) == 1
    giving_up.kill()
    release.set()
    pool.join()
    assert pool.apply(abs, (-3,)) == 3


def test_arguments_are_let_go_before_the_result_comes(pool):
    class Slow:
        def __del__(self):
            time.sleep(0.01)
            gone.append(True)

    gone = []
    assert pool.apply(type, (Slow(),)) is Slow
    assert gone == [True]


def test_another_thread_may_apply_but_not_spawn(pool):
    def elsewhere():
        with pytest.raises(InvalidThreadUseError):
            pool.spawn(abs, -1)
        return pool.apply(get_ident), get_ident()

    inside, outside = gevent.get_hub().threadpool.apply(elsewhere)
    assert inside == outside


def test_a_subclass_sees_what_is_applied():
    class Counting(ThreadPool):
        count = 0

        def spawn(self, func, *args, **kwargs):
            self.count += 1
            return super().spawn(func, *args, **kwargs)

    pool = Counting(1)
    assert pool.apply(abs, (-1,)) == 1 and pool.count == 1
    pool.kill()


def test_tasks_may_use_gevent(pool):
    def task(number):
        gevent.sleep(0.001)
        return gevent.spawn(abs, number).get()

    assert pool.map(task, range(-10, 0)) == list(range(10, 0, -1))


def test_many_tasks_of_many_greenlets(pool):
    count = 200

    def work(number):
        return [pool.apply(pow, (number, 2)) for _ in range(count // 10)]

    greenlets = [gevent.spawn(work, number) for number in range(10)]
    gevent.joinall(greenlets, timeout=WAIT, raise_error=True)
    assert [set(greenlet.value) for greenlet in greenlets] == [
        {number ** 2} for number in range(10)]


def test_executor():
    with ThreadPoolExecutor(2) as executor:
        futures = [executor.submit(pow, 2, number) for number in range(5)]
        assert [future.result(WAIT) for future in futures] == [
            1, 2, 4, 8, 16]
        assert list(executor.map(abs, [-1, -2])) == [1, 2]
        failed = executor.submit(fn_that_takes_fn, fn=1)
        assert failed.result() == 1


def fn_that_takes_fn(fn):
    return fn


def test_a_forked_child_begins_anew(run_program):
    run_program("""
        import gevent, os, time
        from gevent.threadpool import ThreadPool
        pool = ThreadPool(2)
        assert pool.apply(abs, (-1,)) == 1
        running = pool.spawn(time.sleep, 0.2)
        pid = gevent.os.fork()
        if not pid:
            assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
            os._exit(7)
        assert os.waitstatus_to_exitcode(gevent.os.waitpid(pid, 0)[1]) == 7
        running.get()
    """)
