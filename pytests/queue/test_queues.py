"""Queues: order, limits, waiting, tasks, shutting down."""
import heapq
import threading
import warnings
import weakref
from collections import deque
from queue import Empty, Full

import gevent
import pytest
from gevent.exceptions import LoopExit
from gevent.queue import (Channel, JoinableQueue, LifoQueue, PriorityQueue,
                          Queue, ShutDown, SimpleQueue, UnboundQueue)

KINDS = [SimpleQueue, Queue, LifoQueue, PriorityQueue]
WITH_TASKS = [Queue, LifoQueue, PriorityQueue, UnboundQueue]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def call(function, *args):
    """What *function* returns or raises."""
    try:
        return function(*args)
    except Exception as error:
        return type(error)


# -- items ------------------------------------------------------------------------------

@pytest.mark.parametrize('kind,order', [
    (SimpleQueue, [3, 1, 2]), (Queue, [3, 1, 2]), (LifoQueue, [2, 1, 3]),
    (PriorityQueue, [1, 2, 3])])
def test_order(kind, order):
    queue = kind()
    for item in (3, 1, 2):
        queue.put(item)
    assert len(queue) == queue.qsize() == 3
    assert queue.peek() == order[0]
    assert [queue.get() for _ in order] == order
    queue = kind(items=[3, 1, 2])
    assert [queue.get_nowait() for _ in order] == order
    assert queue.empty() and bool(queue)


def test_limit(kind):
    queue = kind(2)
    assert queue.maxsize == 2 and not queue.full()
    queue.put(1)
    queue.put_nowait(2)
    assert queue.full()
    for put in (queue.put_nowait, lambda item: queue.put(item, False),
                lambda item: queue.put(item, timeout=0.001)):
        with pytest.raises(Full):
            put(3)
    queue.get()
    queue.put(3)


def test_empty(kind):
    queue = kind()
    for get in (queue.get_nowait, queue.peek_nowait,
                lambda: queue.get(block=False), lambda: queue.get(timeout=0),
                lambda: queue.get(True, 0.001),
                lambda: queue.peek(timeout=0.001)):
        with pytest.raises(Empty):
            get()
    with pytest.raises(LoopExit):
        queue.get()


def test_negative_timeouts(kind):
    queue = kind(1)
    for function in (lambda: queue.get(timeout=-1),
                     lambda: queue.peek(timeout=-1),
                     lambda: queue.put(1, timeout=-1)):
        with pytest.raises(ValueError):
            function()
    with pytest.raises(Empty):
        queue.get(False, -1)
    with pytest.raises(TypeError):
        queue.get(timeout='x')


def test_a_timeout_object_as_the_limit(kind):
    queue = kind(1)
    limit = gevent.Timeout(0.001)
    with pytest.raises(gevent.Timeout) as caught:
        queue.get(timeout=limit)
    assert caught.value is limit and not limit.pending
    queue.put(1)
    with pytest.raises(ZeroDivisionError):
        queue.put(2, timeout=gevent.Timeout(0.001, ZeroDivisionError))


def test_no_limit():
    for maxsize in (None, -1):
        assert Queue(maxsize).maxsize is None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        assert Queue(0).maxsize is None
    assert [w.category for w in caught] == [DeprecationWarning]
    with pytest.raises(ValueError):
        UnboundQueue(1)
    with pytest.raises(TypeError):
        Queue('x')


def test_iteration_ends_at_the_class():
    queue = Queue(items=[1, 2, StopIteration, 3])
    assert iter(queue) is queue
    assert list(queue) == [1, 2]
    assert queue.get() == 3


def test_copy(kind):
    queue = kind(5, [3, 1, 2])
    other = queue.copy()
    assert type(other) is kind and other.maxsize == 5
    assert [other.get() for _ in range(3)] == [queue.get() for _ in range(3)]


def test_many_items_through_the_ring():
    queue, expected = Queue(), deque()
    for i in range(1000):
        queue.put(i)
        expected.append(i)
        if i % 3 == 0:
            assert queue.get() == expected.popleft()
    assert list(queue.queue) == list(expected)
    assert [queue.get() for _ in range(len(queue))] == list(expected)


def test_objects():
    queue = Queue()
    assert weakref.ref(queue)() is queue
    queue.anything = 1
    assert Queue[int] and SimpleQueue[int] and Channel[int]
    assert JoinableQueue is Queue
    queue.put(1)
    assert 'deque([1])' in repr(queue) and 'tasks=1' in str(queue)


def test_no_items(kind):
    for items in (None, (), [], iter(())):
        assert kind(None, items).empty()


# -- the container ----------------------------------------------------------------------

def test_the_container_can_be_used():
    queue = Queue(items=[1, 2, 3])
    items = queue.queue
    assert isinstance(items, deque) and queue.queue is items
    items.appendleft(0)
    assert queue.qsize() == 4 and queue.get() == 0
    queue.put(4)
    assert list(items) == [1, 2, 3, 4]
    items.clear()
    assert queue.empty()
    queue.queue = deque('ab')
    assert queue.get() == 'a'
    assert isinstance(LifoQueue(items='ab').queue, list)
    assert isinstance(PriorityQueue(items='ab').queue, list)


def test_hooks():
    class Unique(Queue):
        def _init(self, maxsize):
            self.calls = ['init %s' % maxsize]
            self.queue = set()

        def _qsize(self):
            return len(self.queue)

        def _put(self, item):
            self.calls.append('put')
            self.queue.add(item)

        def _get(self):
            self.calls.append('get')
            return self.queue.pop()

    queue = Unique(3)
    queue.put(1)
    queue.put(1)
    assert len(queue) == 1 and queue.get() == 1 and queue.empty()
    assert queue.calls == ['init 3', 'put', 'put', 'get']
    assert queue.unfinished_tasks == 2


def test_hooks_that_extend():
    class Counting(LifoQueue):
        puts = gets = 0

        def _put(self, item):
            self.puts += 1
            super()._put(item)

        def _get(self):
            self.gets += 1
            return super()._get()

    queue = Counting(items=[1])
    queue.put(2)
    assert queue.get() == 2 and queue.get() == 1
    assert (queue.puts, queue.gets) == (1, 2)


def test_hooks_with_items():
    class Mine(Queue):
        def _init(self, maxsize, items=None):
            super()._init(maxsize, [item * 2 for item in items or ()])
    assert list(Mine(None, [1, 2]).queue) == [2, 4]
    assert Mine().empty()


def test_overridden_put_and_get():
    class Mine(Queue):
        def put(self, item, *args, **kwargs):
            super().put(-item, *args, **kwargs)

        def get(self, *args, **kwargs):
            return super().get(*args, **kwargs) * 10
    queue = Mine(2)
    queue.put_nowait(1)
    queue.put(2)
    with pytest.raises(Full):
        queue.put_nowait(3)
    assert queue.get_nowait() == -10 and next(queue) == -20


def test_a_hook_that_fails_leaves_the_waiters_alone():
    class Failing(Queue):
        fail = False

        def _get(self):
            if self.fail:
                raise ZeroDivisionError
            return super()._get()

    queue = Failing()
    getters = [gevent.spawn(call, queue.get) for _ in range(2)]
    gevent.sleep(0)
    queue.fail = True
    queue.put(1)
    gevent.joinall(getters, count=1)
    queue.fail = False
    gevent.joinall(getters)
    assert [g.value for g in getters] == [ZeroDivisionError, 1] or \
        [g.value for g in getters] == [ZeroDivisionError, ZeroDivisionError]


# -- waiting ----------------------------------------------------------------------------

def test_getters_are_served_in_order(kind):
    queue, log = kind(), []
    getters = [gevent.spawn(lambda n=n: log.append((n, queue.get())))
               for n in range(20)]
    gevent.sleep(0)
    assert len(queue.getters) == 20
    for item in range(20):
        queue.put(item)
    gevent.joinall(getters)
    assert [n for n, _ in log] == list(range(20))
    assert sorted(item for _, item in log) == list(range(20))
    assert not queue.getters


def test_putters_are_served_in_order():
    queue, log = Queue(1, ['x']), []
    putters = [gevent.spawn(lambda n=n: (queue.put(n), log.append(n)))
               for n in range(20)]
    gevent.sleep(0)
    assert len(queue.putters) == 20
    assert [queue.get() for _ in range(21)] == ['x', *range(20)]
    gevent.joinall(putters)
    assert log == list(range(20))


def test_producers_and_consumers(kind):
    queue, got = kind(3), []

    def produce(first):
        for item in range(first, first + 100):
            queue.put(item)

    def consume():
        for _ in range(100):
            got.append(queue.get())
            if len(got) % 7 == 0:
                gevent.sleep(0)
    gevent.joinall([gevent.spawn(produce, n * 100) for n in range(4)]
                   + [gevent.spawn(consume) for _ in range(4)])
    assert sorted(got) == list(range(400))


def test_an_item_for_a_killed_getter_goes_to_the_next():
    queue, log = Queue(), []
    getters = [gevent.spawn(lambda: log.append(queue.get()))
               for _ in range(2)]
    gevent.sleep(0)
    getters[0].kill(block=False)
    queue.put('item')
    gevent.joinall(getters, timeout=1)
    assert log == ['item'] and queue.empty()


def test_room_for_a_killed_putter_goes_to_the_next():
    queue = Queue(1, ['x'])
    putters = [gevent.spawn(queue.put, n) for n in range(2)]
    gevent.sleep(0)
    putters[0].kill(block=False)
    assert queue.get() == 'x'
    gevent.joinall(putters)
    assert queue.get() == 1 and queue.empty()


@pytest.mark.parametrize('seconds', [0, 0.001])
def test_an_item_and_a_time_out_at_once(seconds):
    queue = Queue()
    getters = [gevent.spawn(call, queue.get, True, 0.002) for _ in range(20)]
    gevent.sleep(0)
    gevent.get_hub().loop.timer(0.002).start(queue.put, 'item')
    gevent.joinall(getters)
    gevent.sleep(0.01)
    values = [g.value for g in getters]
    assert values.count('item') + len(queue) == 1
    assert values.count(Empty) + values.count('item') == 20


def test_peekers_leave_the_item():
    queue = Queue()
    peekers = [gevent.spawn(queue.peek) for _ in range(3)]
    gevent.sleep(0)
    queue.put('item')
    gevent.joinall(peekers)
    assert [g.value for g in peekers] == ['item'] * 3
    assert queue.get() == 'item'


def test_raising_the_limit_wakes_putters():
    queue = Queue(1, ['x'])
    putters = [gevent.spawn(queue.put, n) for n in range(3)]
    gevent.sleep(0)
    queue.maxsize = 3
    gevent.joinall(putters, count=2)
    assert queue.qsize() == 3
    queue.maxsize = None
    gevent.joinall(putters)
    assert queue.qsize() == 4


# -- in the hub -------------------------------------------------------------------------

def in_hub(function, *args):
    result = []
    gevent.get_hub().loop.run_callback(
        lambda: result.append(call(function, *args)))
    gevent.sleep(0)
    return result[0]


def test_the_hub_never_waits(kind):
    queue = kind(1)
    assert in_hub(queue.get) is Empty
    assert in_hub(queue.put, 1) is None
    assert in_hub(queue.put, 2) is Full
    assert in_hub(queue.get) == 1


def test_the_hub_lets_getters_make_room():
    queue = Queue(1)
    getters = [gevent.spawn(queue.get) for _ in range(2)]
    gevent.sleep(0)

    def put_two():
        queue.put(1)
        queue.put(2)
    assert in_hub(put_two) is None
    gevent.joinall(getters)
    assert [g.value for g in getters] == [1, 2]


def test_the_hub_lets_putters_bring_items():
    queue = Queue(1, ['x'])
    putters = [gevent.spawn(queue.put, n) for n in range(2)]
    gevent.sleep(0)
    assert in_hub(lambda: [queue.get() for _ in range(3)]) == ['x', 0, 1]
    gevent.joinall(putters)


# -- tasks ------------------------------------------------------------------------------

@pytest.mark.parametrize('kind', WITH_TASKS)
def test_join(kind):
    queue = kind(items=[1, 2])
    assert queue.unfinished_tasks == 2
    assert queue.join(timeout=0.001) is False
    joiners = [gevent.spawn(queue.join) for _ in range(2)]
    gevent.sleep(0)
    for _ in range(2):
        queue.get()
        queue.task_done()
    gevent.joinall(joiners)
    assert [g.value for g in joiners] == [True, True]
    assert queue.join() is True
    with pytest.raises(ValueError):
        queue.task_done()


def test_the_count_can_be_given_and_set():
    queue = Queue(unfinished_tasks=3)
    assert queue.unfinished_tasks == 3
    joiner = gevent.spawn(queue.join)
    gevent.sleep(0)
    queue.unfinished_tasks = 0
    assert joiner.get() is True


def test_a_simple_queue_has_no_tasks():
    for name in ('join', 'task_done', 'shutdown', 'unfinished_tasks'):
        assert not hasattr(SimpleQueue(), name)


# -- shutting down ----------------------------------------------------------------------

@pytest.mark.parametrize('kind', WITH_TASKS)
def test_shut_down(kind):
    queue = kind(items=[1])
    queue.shutdown()
    assert queue.is_shutdown
    for put in (queue.put, queue.put_nowait):
        with pytest.raises(ShutDown):
            put(2)
    assert queue.get() == 1
    for get in (queue.get, queue.get_nowait, queue.peek):
        with pytest.raises(ShutDown):
            get()
    assert queue.unfinished_tasks == 1


def test_shut_down_at_once():
    queue = Queue(items=[1, 2, 3])
    joiner = gevent.spawn(queue.join)
    gevent.sleep(0)
    queue.shutdown(immediate=True)
    assert queue.empty() and queue.unfinished_tasks == 0
    assert joiner.get() is True
    with pytest.raises(ShutDown):
        queue.get()


@pytest.mark.parametrize('immediate', [False, True])
def test_shut_down_ends_waiting(immediate):
    full = Queue(1, [1])
    putters = [gevent.spawn(call, full.put, n) for n in range(3)]
    empty = Queue()
    getters = [gevent.spawn(call, empty.get) for _ in range(3)]
    gevent.sleep(0)
    full.shutdown(immediate)
    empty.shutdown(immediate)
    gevent.joinall(putters + getters)
    assert {g.value for g in putters + getters} == {ShutDown}


# -- threads ----------------------------------------------------------------------------

def test_between_threads():
    there, back, count = Queue(5), Queue(5), 300

    def echo():
        for _ in range(count):
            back.put(there.get(timeout=20), timeout=20)
        gevent.get_hub().destroy(destroy_loop=True)
    thread = threading.Thread(target=echo, daemon=True)
    thread.start()
    sender = gevent.spawn(lambda: [there.put(n, timeout=20)
                                   for n in range(count)])
    assert [back.get(timeout=20) for _ in range(count)] == list(range(count))
    sender.get()
    thread.join(20)
    assert not thread.is_alive()


def test_heap_order_is_kept_while_threads_put():
    queue = PriorityQueue()
    threads = [threading.Thread(target=lambda: [queue.put(n)
                                                for n in range(200)])
               for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    items = list(queue.queue)
    assert heapq.nsmallest(3, items) == [0, 0, 0]
    assert [queue.get() for _ in range(600)] == sorted(items)
