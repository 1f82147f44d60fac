"""In which order things run: one strict FIFO a hub, and what may overtake."""
import os

import gevent
from gevent import getcurrent
from gevent.event import Event
from gevent.queue import Queue


def steps(order, name, count):
    for step in range(count):
        order.append(f"{step}{name}")
        gevent.sleep(0)


def test_sleep_zero_takes_turns():
    order = []
    gevent.joinall([gevent.spawn(steps, order, name, 3) for name in "abc"])
    assert order == ["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c"]


def test_main_greenlet_takes_its_turn():
    order = []
    greenlet = gevent.spawn(steps, order, "g", 3)
    steps(order, "m", 3)
    greenlet.join()
    assert order == ["0m", "0g", "1m", "1g", "2m", "2g"]


def test_spawned_runs_after_the_spawner_gives_up():
    order = []
    greenlet = gevent.spawn(order.append, "spawned")
    order.append("spawner")
    greenlet.join()
    assert order == ["spawner", "spawned"]


def test_spawned_runs_after_what_is_queued():
    order = []

    def parent():
        order.append("parent")
        children.append(gevent.spawn(order.append, "child"))
    children = []
    gevent.joinall([gevent.spawn(parent)]
                   + [gevent.spawn(order.append, n) for n in range(3)])
    gevent.joinall(children)
    assert order == ["parent", 0, 1, 2, "child"]


def test_wakeups_callbacks_and_starts_share_one_queue(hub):
    order = []
    event = Event()

    def waiter(name):
        event.wait()
        order.append(name)
    started = [gevent.spawn(waiter, "started")]
    gevent.sleep(0)
    hub.loop.run_callback(order.append, "callback 1")
    event.set()
    hub.loop.run_callback(order.append, "callback 2")
    started.append(gevent.spawn(order.append, "new"))
    hub.loop.run_callback(order.append, "callback 3")
    gevent.joinall(started)
    # the event tells its waiters from a callback of its own
    assert [o for o in order if o != "started"] == [
        "callback 1", "callback 2", "new", "callback 3"]
    assert order.index("started") > order.index("callback 1")


def test_waiters_wake_in_the_order_they_came():
    order = []
    event = Event()

    def waiter(name):
        event.wait()
        order.append(name)
    greenlets = [gevent.spawn(waiter, n) for n in range(20)]
    gevent.sleep(0)
    event.set()
    gevent.joinall(greenlets)
    assert order == list(range(20))


def test_getters_and_putters_are_served_in_order():
    order = []
    queue = Queue(1)

    def put(n):
        queue.put(n)
        order.append(("put", n))
    putters = [gevent.spawn(put, n) for n in range(6)]
    gevent.sleep(0)
    received = [queue.get() for _ in range(6)]
    gevent.joinall(putters)
    assert received == list(range(6))
    assert order == [("put", n) for n in range(6)]

    def get(n):
        order.append((n, queue.get()))
    order.clear()
    getters = [gevent.spawn(get, n) for n in range(6)]
    gevent.sleep(0)
    for n in range(6):
        queue.put(n)
    gevent.joinall(getters)
    assert order == [(n, n) for n in range(6)]


def test_what_is_queued_during_a_drain_runs_in_it(hub, large_slices):
    """Ten callbacks, each queued by the one before, need one turn only."""
    loop = hub.loop
    turns = []
    done = Event()
    check = loop.check()
    check.start(lambda: turns.append(None))

    def chain(left):
        if left:
            loop.run_callback(chain, left - 1)
        else:
            seen.append(len(turns))
            done.set()
    seen = []
    loop.run_callback(lambda: (seen.append(len(turns)), chain(10)))
    done.wait()
    check.stop()
    check.close()
    assert seen[0] == seen[1]


def test_equal_timers_fire_in_start_order(hub):
    order = []
    hub.loop.update_now()
    timers = [hub.loop.timer(0.01) for _ in range(12)]
    for n, timer in enumerate(timers):
        timer.start(order.append, n, update=False)
    gevent.sleep(0.03)
    for timer in timers:
        timer.close()
    assert order == list(range(12))


def test_timers_fire_by_deadline(hub):
    order = []
    hub.loop.update_now()
    delays = [0.009, 0.001, 0.005, 0.003, 0.007]
    timers = [hub.loop.timer(delay) for delay in delays]
    for delay, timer in zip(delays, timers):
        timer.start(order.append, delay, update=False)
    gevent.sleep(0.03)
    for timer in timers:
        timer.close()
    assert order == sorted(delays)


def test_io_comes_before_a_timeout_of_the_same_turn(hub):
    """Both are due when the loop comes to poll: the data wins."""
    reading, writing = os.pipe()
    result = []

    def read():
        with gevent.Timeout(0.01, False):
            hub.wait(hub_reader)
            result.append("data")
            return
        result.append("timeout")
    hub_reader = hub.loop.io(reading, 1)
    greenlet = gevent.spawn(read)
    gevent.sleep(0)
    os.write(writing, b"x")
    deadline = hub.loop.now() + 0.05
    while hub.loop.now() < deadline:
        hub.loop.update_now()  # the timeout is overdue before any poll
    greenlet.join()
    hub_reader.close()
    os.close(reading)
    os.close(writing)
    assert result == ["data"]


def test_poll_results_come_before_callbacks_left_over(hub, small_slices):
    """A drain that takes long is interrupted by a poll; what that finds does
    not wait for the rest of the drain."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    order = []
    watcher = hub.loop.io(reading, 1)

    def ready():
        order.append("io")
        watcher.stop()
    watcher.start(ready)
    for n in range(1000):
        hub.loop.run_callback(order.append, n)
    gevent.sleep(0)
    watcher.close()
    os.close(reading)
    os.close(writing)
    assert 0 < order.index("io") < 500
    order.remove("io")
    assert order == list(range(1000))


def test_timers_are_not_starved(small_slices):
    """A greenlet that always yields, a timer that must get through."""
    fired = []
    timer = gevent.get_hub().loop.timer(0.001)
    timer.start(fired.append, True)
    turns = 0
    while not fired:
        gevent.sleep(0)
        turns += 1
        assert turns < 500_000
    timer.close()


def test_io_is_not_starved(hub):
    reading, writing = os.pipe()
    os.write(writing, b"x")
    seen = []
    watcher = hub.loop.io(reading, 1)
    watcher.start(seen.append, True)
    turns = 0
    while not seen:
        gevent.sleep(0)
        turns += 1
        assert turns < 500_000
    watcher.stop()
    watcher.close()
    os.close(reading)
    os.close(writing)


def test_yielding_greenlets_starve_neither_timers_nor_io(hub, small_slices):
    """They switch to each other; still every slice ends in a poll."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    seen, turns = set(), 0

    def work():
        nonlocal turns
        while len(seen) < 2:
            turns += 1
            assert turns < 200_000
            gevent.sleep(0)
    with hub.loop.io(reading, 1) as io, hub.loop.timer(0.001) as timer:
        io.start(seen.add, "io")
        timer.start(seen.add, "timer")
        greenlets = [gevent.spawn(work) for _ in range(3)]
        gevent.joinall(greenlets, raise_error=True)
    os.close(reading)
    os.close(writing)
    assert seen == {"io", "timer"}


def test_links_run_in_the_hub_in_list_order(hub):
    order = []
    greenlet = gevent.spawn(lambda: 1)
    for n in range(3):
        greenlet.rawlink(lambda g, n=n: order.append((n, getcurrent() is hub)))
    gevent.joinall([greenlet])
    gevent.sleep(0)
    assert order == [(0, True), (1, True), (2, True)]


def test_kill_is_a_place_in_the_queue():
    order = []

    def victim():
        try:
            gevent.sleep(10)
        finally:
            order.append("victim")
    greenlet = gevent.spawn(victim)
    gevent.sleep(0)
    before = gevent.spawn(order.append, "before")
    greenlet.kill(block=False)
    after = gevent.spawn(order.append, "after")
    gevent.joinall([before, after, greenlet])
    assert order == ["before", "victim", "after"]
