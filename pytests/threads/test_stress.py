"""Eight native threads, each with a hub of its own, use one object at once:
nothing is lost, doubled or overtaken.

``GCORE_STRESS`` is the number of operations a thread; `tools/test full` asks
for 100,000.
"""
import os
import threading

import gevent
import pytest
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore, RLock, Semaphore
from gevent.queue import Channel, Empty, Full, Queue

COUNT = int(os.environ.get("GCORE_STRESS", 2000))
THREADS = 8
LIMIT = 120 + COUNT // 100  # seconds the slowest machine may take for a test
GREENLETS = 2  # in each thread

pytestmark = pytest.mark.time_limit(LIMIT + 30)


def run(*functions):
    """Run each function in a thread of its own, which stays alive while other
    threads may wake it; raise what the first one raised that failed."""
    failures = []

    def with_hub(function):
        hub = gevent.get_hub()
        hub.loop.ref()
        try:
            function()
        except BaseException as error:  # pylint:disable=broad-except
            failures.append(error)
        finally:
            hub.loop.unref()
            hub.destroy(destroy_loop=True)

    threads = [threading.Thread(target=with_hub, args=(function,), daemon=True)
               for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        if failures:
            break
    assert not failures, failures[0]
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore, RLock])
def test_locks_exclude(kind):
    lock = kind()
    inside = [0]
    total = [0]

    def add(count):
        for turn in range(count):
            assert lock.acquire(timeout=LIMIT)
            inside[0] += 1
            assert inside[0] == 1
            before = total[0]
            if not turn % 50:
                gevent.sleep(0)  # the others of the thread get their chance
            total[0] = before + 1
            inside[0] -= 1
            lock.release()

    def several():
        gevent.joinall([gevent.spawn(add, COUNT // GREENLETS)
                        for _ in range(GREENLETS)], raise_error=True)

    run(*[several] * THREADS)
    assert total == [THREADS * (COUNT // GREENLETS) * GREENLETS]


def test_permits_are_neither_lost_nor_doubled():
    semaphore = Semaphore(3)
    inside = []

    def enter():
        for _ in range(COUNT):
            with semaphore:
                inside.append(1)
                assert len(inside) <= 3
                inside.pop()

    run(*[enter] * THREADS)
    assert semaphore.counter == 3 and not inside


@pytest.mark.parametrize("make", [Queue, lambda: Queue(5)],
                         ids=["unbounded", "bounded"])
def test_queues_lose_nothing_and_keep_the_order(make):
    queue = make()
    received = [[] for _ in range(THREADS // 2)]

    def produce(name):
        for number in range(COUNT):
            queue.put((name, number), timeout=LIMIT)

    def consume(into):
        for _ in range(COUNT):
            into.append(queue.get(timeout=LIMIT))

    run(*[lambda name=name: produce(name) for name in range(THREADS // 2)],
        *[lambda into=into: consume(into) for into in received])
    assert queue.empty()
    everything = sorted(item for each in received for item in each)
    assert everything == [(name, number) for name in range(THREADS // 2)
                          for number in range(COUNT)]
    for each in received:
        for name in range(THREADS // 2):
            numbers = [number for who, number in each if who == name]
            assert numbers == sorted(numbers)


def test_queues_with_impatient_users():
    queue = Queue(2)
    sent, received = [], []
    ended = [0]

    def produce():
        for number in range(COUNT // 4):
            try:
                queue.put(number, timeout=0.0001)
            except Full:
                continue
            sent.append(number)
        ended[0] += 1

    def consume():
        while True:
            try:
                received.append(queue.get(timeout=0.0001))
            except Empty:
                if ended[0] == THREADS // 2 and queue.empty():
                    return

    run(*[produce] * (THREADS // 2), *[consume] * (THREADS // 2))
    assert sorted(sent) == sorted(received)


def test_events_wake_everyone():
    rounds = COUNT // THREADS
    events = [Event() for _ in range(rounds)]
    arrived = [[] for _ in range(rounds)]

    def take_part(name):
        for event, names in zip(events, arrived):
            names.append(name)
            if len(names) == THREADS:
                event.set()
            else:
                assert event.wait(LIMIT)

    run(*[lambda name=name: take_part(name) for name in range(THREADS)])
    assert all(sorted(names) == list(range(THREADS)) for names in arrived)


def test_results_reach_everyone():
    rounds = COUNT // THREADS
    results = [AsyncResult() for _ in range(rounds)]
    seen = [[] for _ in range(THREADS)]

    def take_part(name):
        for number, result in enumerate(results):
            if number % THREADS == name:
                result.set(number)
            seen[name].append(result.get(timeout=LIMIT))

    run(*[lambda name=name: take_part(name) for name in range(THREADS)])
    assert seen == [list(range(rounds))] * THREADS


def test_channels_hand_over():
    channel = Channel()
    received = [[] for _ in range(THREADS // 2)]

    def produce():
        for number in range(COUNT):
            channel.put(number)

    def consume(into):
        for _ in range(COUNT):
            into.append(channel.get())

    run(*[produce] * (THREADS // 2),
        *[lambda into=into: consume(into) for into in received])
    everything = sorted(number for each in received for number in each)
    assert everything == sorted(list(range(COUNT)) * (THREADS // 2))
