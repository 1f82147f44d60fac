"""What code written for the standard queue reaches into."""
import threading

import gevent
import pytest
from gevent.queue import LifoQueue, PriorityQueue, Queue


@pytest.fixture(params=[Queue, LifoQueue, PriorityQueue])
def queue(request):
    return request.param()


def test_the_names_are_there_and_stay(queue):
    for name in ('mutex', 'not_empty', 'not_full', 'all_tasks_done'):
        assert getattr(queue, name) is getattr(queue, name)
    queue.mutex = lock = threading.Lock()
    assert queue.mutex is lock


def test_clearing_it_as_the_recipe_has_it(queue):
    for item in range(3):
        queue.put(item)
    joiner = gevent.spawn(queue.join)
    gevent.sleep(0)
    with queue.mutex:
        queue.queue.clear()
        queue.all_tasks_done.notify_all()
        queue.unfinished_tasks = 0
    assert joiner.get() is True
    assert queue.empty()


def test_clearing_it_lets_putters_in():
    queue = Queue(1, ['x'])
    putter = gevent.spawn(queue.put, 'y')
    gevent.sleep(0)
    with queue.not_full:
        queue.queue.clear()
        queue.not_full.notify()
    putter.get()
    assert queue.get() == 'y'


def test_waiting_for_an_item_by_the_condition(queue):
    def get():
        with queue.not_empty:
            while not queue._qsize():
                assert queue.not_empty.wait(20)
            return queue._get()
    getter = gevent.spawn(get)
    gevent.sleep(0)
    assert not queue.mutex.locked()
    queue.put('item')
    assert getter.get() == 'item'
    assert not queue.mutex.locked()


def test_putting_by_the_condition(queue):
    getter = gevent.spawn(queue.get)
    gevent.sleep(0)
    with queue.not_full:
        queue._put('item')
        queue.unfinished_tasks += 1
        queue.not_empty.notify()
    assert getter.get() == 'item'
    assert queue.unfinished_tasks == 1


def test_waiting_takes_its_time_and_needs_the_lock(queue):
    with pytest.raises(RuntimeError):
        queue.not_empty.wait()
    with queue.not_empty:
        assert queue.not_empty.wait(0.001) is False
        assert queue.not_empty.wait_for(lambda: False, 0.001) is False
        assert queue.not_empty.wait_for(lambda: 'yes') == 'yes'


def test_a_subclass_with_conditions():
    class Evicting(Queue):
        """Makes room itself, as some clients of message brokers do."""

        def put(self, item, block=True, timeout=None):
            with self.not_full:
                if self.maxsize and self._qsize() >= self.maxsize:
                    self._get()
                self._put(item)
                self.unfinished_tasks += 1
                self.not_empty.notify()
    queue = Evicting(2)
    for item in range(4):
        queue.put(item)
    assert [queue.get(), queue.get()] == [2, 3]
