"""The hub of a native thread ends with the thread, destroyed or not."""
import threading

import gevent
import pytest
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.queue import Empty, Queue

COUNT_THREADS = """
    import gc, os, sys, threading
    import gevent
    from gevent.threadpool import ThreadPool

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    def hubs():
        gc.collect()
        return sum(isinstance(each, gevent.hub.Hub)
                   for each in gc.get_objects())

    def nothing():
        gevent.sleep(0.0001)
        assert gevent.spawn(abs, -1).get() == 1

    def parked():
        gevent.spawn(gevent.sleep, 100)
        gevent.sleep(0)

    def watching():
        loop = gevent.get_hub().loop
        loop.timer(100).start(print)
        loop.fork(ref=False).start(print)
        gevent.sleep(0)

    def pool():
        assert gevent.get_hub().threadpool.apply(abs, (-1,)) == 1

    def pool_of_its_own():
        assert ThreadPool(2).map(abs, [-1, -2]) == [1, 2]

    def destroyed():
        nothing()
        gevent.get_hub().destroy(destroy_loop=True)

    def failing():
        nothing()
        raise SystemExit

    def run(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    work = globals()[sys.argv[1]]
    gevent.sleep(0)  # this thread's hub
    run(work)
    before = descriptors()
    for _ in range(20):
        run(work)
    # The threads of its pools may take a little longer to end.
    while descriptors() > before or (
            work is not parked and hubs() > 1):
        gevent.sleep(0.001)
"""


@pytest.mark.parametrize("work", [
    "nothing", "watching", "pool", "pool_of_its_own", "destroyed",
    "failing"])
def test_nothing_stays(run_program, work):
    run_program(COUNT_THREADS, work)


def test_descriptors_do_not_stay_where_greenlets_are_parked(run_program):
    run_program(COUNT_THREADS, "parked")


def test_who_has_the_hub_yet_finds_it_destroyed():
    hubs = []

    def work():
        gevent.sleep(0)
        hubs.append(gevent.get_hub())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    hub, = hubs
    assert hub.loop is None and "destroyed" in repr(hub)
    hub.destroy(destroy_loop=True)


def test_objects_of_an_ended_thread_are_of_use():
    made = {}

    def work():
        made["event"] = Event()
        made["event"].wait(0.0001)
        made["lock"] = Semaphore(0)
        made["lock"].acquire(timeout=0.0001)
        made["queue"] = Queue()
        with pytest.raises(Empty):
            made["queue"].get(timeout=0.0001)
        gevent.spawn(made["event"].wait)  # parked there for ever
        gevent.sleep(0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    gevent.spawn(made["queue"].put, 1)
    assert made["queue"].get(timeout=20) == 1
    gevent.spawn(made["lock"].release)
    assert made["lock"].acquire(timeout=20)
    gevent.spawn(made["event"].set)
    assert made["event"].wait(20)


def test_another_hub_may_be_set_meanwhile():
    seen = []

    def work():
        first = gevent.get_hub()
        gevent.hub.set_hub(None)
        second = gevent.get_hub()
        gevent.sleep(0)
        gevent.hub.set_hub(first)
        gevent.sleep(0)
        second.destroy(destroy_loop=True)
        seen.append(first.loop is not None)
        seen.append(first)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] and seen[1].loop is None
