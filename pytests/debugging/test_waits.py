"""Reports tell what greenlets wait for, since when, and who could wake them."""
import re

import gevent
import pytest
from gevent import select, socket, util
from gevent.event import AsyncResult, Event
from gevent.lock import RLock, Semaphore
from gevent.queue import Channel, Queue
from gevent.threadpool import ThreadPool


@pytest.fixture
def report():
    """A function: the lines of the report on greenlets that have *text*."""
    def lines(text):
        return [line.strip() for line in "\n".join(
            util.format_run_info(thread_stacks=False,
                                 greenlet_stacks=False)).splitlines()
                if text in line]
    return lines


@pytest.fixture
def spawn():
    """gevent.spawn, for greenlets that are killed afterwards."""
    greenlets = []

    def start(*args):
        greenlets.append(gevent.spawn(*args))
        gevent.sleep(0)
        return greenlets[-1]
    yield start
    gevent.killall(greenlets)


@pytest.mark.parametrize("subject, hint", [
    (Event, r"set\(\)"),
    (AsyncResult, r"set\(\)"),
    (Queue, r"put\(\), task_done\(\) or get\(\)"),
    (Channel, r"put\(\) or get\(\)"),
])
def test_objects(report, spawn, subject, hint):
    waited_for = subject()
    spawn(getattr(waited_for, "wait", None) or waited_for.get)
    assert [line for line in report("Waits for") if re.search(
        r"Waits for <.*%s.* for [\d.e-]+ s; to be woken by %s"
        % (subject.__name__, hint), line)]


def test_the_end_of_a_greenlet_and_of_several(report, spawn):
    first = spawn(gevent.sleep, 60)
    spawn(first.join)
    spawn(gevent.joinall, [first, first])
    joining, = report("which has to end")
    assert "Waits for <Greenlet" in joining and "sleep" in joining
    several, = report("which have to be ready")
    assert "Waits for 2 objects (<Greenlet" in several
    assert report("Sleeps for ")


def test_a_waiter(report, spawn):
    waiter = gevent.hub.Waiter()
    spawn(lambda: waiter.get())
    line, = report("Waiter object at")
    assert re.search(r"Waits for <.* for [\d.e-]+ s; to be woken by switch\(\)", line)
    spawn(next, gevent.iwait([Event(), Event()]))
    line, = report("which have to be ready")
    assert "Waits for 2 objects (<gevent.event.Event" in line


def test_what_switches_away_by_itself(report, spawn):
    assert not report("switched away")
    away = spawn(lambda: gevent.get_hub().switch())
    assert report("Has switched away; to be resumed by its switch()")
    away.kill()
    assert not report("switched away")


def test_descriptors(report, spawn):
    here, there = socket.socketpair()
    poll = select.poll()
    poll.register(here, select.POLLIN)
    for wait in lambda: select.select([here], [], []), poll.poll:
        spawn(wait)
    lines = report("Waits for <readiness of fd %d>" % here.fileno())
    assert len(lines) == 2
    assert all("to be woken by the loop" in line for line in lines)
    there.close()


def test_a_watcher(report, spawn):
    watcher = gevent.get_hub().loop.async_()
    spawn(gevent.get_hub().wait, watcher)
    assert report("to be woken by the loop")


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_who_holds_a_lock(report, spawn, kind):
    lock = kind()

    def hold():
        with lock:
            gevent.sleep(60)

    holder = spawn(hold)
    holder.name = "the holder"
    spawn(lock.acquire)
    line, = report("held by")
    assert 'held by <Greenlet "the holder"' in line
    assert not report("deadlock")


def test_the_main_greenlet_holds_a_lock(report, spawn):
    lock = Semaphore()
    with lock:
        spawn(lock.acquire)
        line, = report("held by")
        assert "held by %s" % gevent.getcurrent() in line


def test_a_cycle_through_joinall(report, spawn):
    lock = Semaphore()
    joined = []

    def hold():
        with lock:
            joined.append(gevent.spawn(lock.acquire))
            gevent.joinall(joined)

    holder = spawn(hold)
    gevent.sleep(0)
    line, = report("deadlock")
    assert line.count("waits for") == 2 and line.count("held by") == 1
    gevent.killall([holder, *joined])


def test_locks_without_a_known_holder(report, spawn):
    lock = Semaphore(0)
    spawn(lock.acquire)
    line, = report("to be woken by release()")
    assert "Semaphore" in line


def test_a_cycle_of_locks_is_named(report, spawn):
    first, second = Semaphore(), Semaphore()

    def take(one, other):
        with one:
            gevent.sleep(0)
            with other:
                raise AssertionError("not reached")

    names = ["left", "right"]
    greenlets = [gevent.spawn(take, first, second),
                 gevent.spawn(take, second, first)]
    for greenlet, name in zip(greenlets, names):
        greenlet.name = name
    for _ in range(5):
        gevent.sleep(0)
    line, = report("deadlock")
    assert re.search(
        'deadlock: <Greenlet "left".*> waits for <Semaphore.*>, held by '
        '<Greenlet "right".*>, <Greenlet "right".*> waits for <Semaphore.*>, '
        'held by <Greenlet "left"', line)
    gevent.killall(greenlets)


def test_a_lock_taken_twice_and_greenlets_joining_each_other(report, spawn):
    lock = Semaphore()

    def twice():
        with lock:
            lock.acquire()

    spawn(twice)
    assert len(report("deadlock")) == 1
    pair = []
    pair.append(gevent.spawn(lambda: pair[1].join()))
    pair.append(gevent.spawn(lambda: pair[0].join()))
    for _ in range(3):
        gevent.sleep(0)
    assert len(report("deadlock")) == 2
    gevent.killall(pair)


def test_greenlets_of_other_threads_are_described(report):
    parked, release = Event(), Event()

    def wait():
        gevent.spawn(parked.set)
        release.wait(60)

    pool = ThreadPool(1)
    task = pool.spawn(wait)
    assert parked.wait(20)
    assert any("Event" in line for line in report("Waits for"))
    release.set()
    task.get()
    pool.kill()


LOOP_EXIT = """
    import gevent, sys
    from gevent.lock import Semaphore

    first, second = Semaphore(), Semaphore()

    def take(one, other):
        with one:
            gevent.sleep(0)
            other.acquire()

    greenlets = [gevent.spawn(take, first, second),
                 gevent.spawn(take, second, first)]
    try:
        gevent.joinall(greenlets)
    except gevent.exceptions.LoopExit as error:
        print(error)
"""


def test_loop_exit_says_who_waits_for_whom(run_program):
    text = run_program(LOOP_EXIT).stdout
    assert text.startswith("This operation would block forever")
    assert "waits for 2 objects" in text and "which have to be ready" in text
    assert text.count("held by <Greenlet") == 4
    assert text.count("deadlock: <Greenlet") == 1
    assert "nothing in this thread can wake them" in text
