"""Random programs of greenlets, and the order in which they do what they do.

    random_programs.py FIRST LAST [WITHOUT...]

prints the trace of each seed, one a line, of programs without some operations.

A program is a few greenlets, each with a list of operations on a handful of
events, queues, locks, results and on each other.  It is made from a number
alone, so two engines can be given the same one; what each operation returned,
in which order, is the trace.  Nothing in a program takes time.

Left out is where this package and upstream differ, on purpose: waiting for
several objects of which one is ready, and for an event that is set, does not
let others run if none was woken; a Channel that must not block does not; a link
made after the end runs behind what was queued before it.

For comparison with upstream, leave out UPSTREAM_DIFFERS as well.  Here who
begins to wait between an event's set() and those it wakes, or waits for room in
a queue, goes behind what was queued meanwhile; upstream's hub lets all of them
run in the turn of the first.  And what a Channel gave to a getter that is then
killed is not with its putter any more.
"""
import random
import sys

import gevent
from gevent import GreenletExit, Timeout
from gevent.event import AsyncResult, Event
from gevent.exceptions import LoopExit
from gevent.lock import BoundedSemaphore, RLock, Semaphore
from gevent.pool import Pool
from gevent.queue import (
    Channel, Empty, Full, JoinableQueue, LifoQueue, Queue,
)

ANSWERS = (Empty, Full, Timeout, ValueError, RuntimeError, AssertionError,
           LoopExit)


class Program:
    """One program, made from *seed*; `run` returns its trace."""

    def __init__(self, seed, without=()):
        self.random = random.Random(seed)
        self.operations = [name for name in OPERATIONS if name not in without]
        self.events = [Event(), Event()]
        self.results = [AsyncResult(), AsyncResult()]
        self.locks = [Semaphore(1), Semaphore(0), BoundedSemaphore(2)]
        self.rlock = RLock()
        if 'full queues' in without:
            self.queues = [Queue() for _ in range(6)]
        else:
            self.queues = [Queue(1), Queue(), Queue(2), Channel(),
                           JoinableQueue(1), LifoQueue(2)]
        self.pool = Pool(2)
        self.greenlets = []
        self.trace = []
        self.lists = [self.make_list(depth=0)
                      for _ in range(self.random.randint(2, 5))]

    # -- making

    def make_list(self, depth):
        return [self.make_operation(depth)
                for _ in range(self.random.randint(1, 6))]

    def make_operation(self, depth):
        pick = self.random
        name = pick.choice(self.operations)
        number, other = pick.randrange(6), pick.randrange(6)
        flag = pick.random() < 0.3
        nested = ()
        if name in ('spawn', 'pool_spawn') and depth < 2:
            nested = self.make_list(depth + 1)
        return name, number, other, flag, nested

    # -- running

    def run(self):
        for n, operations in enumerate(self.lists):
            self.greenlets.append(
                gevent.spawn(self.run_list, str(n), operations))
        main = list(self.greenlets)
        self.note('main', self.answer(gevent.joinall, main))
        for greenlet in self.greenlets:
            self.note(greenlet.ready(), greenlet.successful(),
                      shown(greenlet.value))
        self.note([event.is_set() for event in self.events],
                  [queue.qsize() for queue in self.queues],
                  [lock.counter for lock in self.locks], len(self.pool))
        ended = self.trace[:]
        gevent.killall(self.greenlets)
        self.pool.kill()
        return ended

    def note(self, *what):
        self.trace.append(what)

    def answer(self, function, *args, **kwargs):
        """What a call returned or raised, in a form that can be compared."""
        try:
            return shown(function(*args, **kwargs))
        except ANSWERS as error:
            return type(error).__name__

    def run_list(self, name, operations):
        try:
            for n, (operation, number, other, flag, nested) in enumerate(
                    operations):
                self.note(name, n, operation)
                result = getattr(self, operation)(
                    f'{name}.{n}', number, other, flag, nested)
                self.note(name, n, result)
        except GreenletExit:
            self.note(name, 'killed')
            raise
        finally:
            self.note(name, 'end')

    def pick_greenlet(self, number):
        return self.greenlets[number % len(self.greenlets)]

    # -- operations: (name, number, other, flag, nested) -> what is noted

    def sleep(self, *_):
        gevent.sleep(0)

    def event_set(self, _name, number, *_):
        self.events[number % 2].set()

    def event_clear(self, _name, number, *_):
        self.events[number % 2].clear()

    def event_wait(self, _name, number, *_):
        event = self.events[number % 2]
        return event.is_set() or self.answer(event.wait)

    def queue_put(self, name, number, _other, flag, _nested):
        return self.answer(self.queues[number].put, name,
                           block=not flag or number == 3)

    def queue_get(self, _name, number, _other, flag, _nested):
        queue = self.queues[number]
        item = self.answer(queue.get, block=not flag or number == 3)
        if isinstance(queue, JoinableQueue) and item not in ('Empty',
                                                             'LoopExit'):
            self.answer(queue.task_done)
        return item

    def queue_join(self, *_):
        return self.answer(self.queues[4].join)

    def lock_acquire(self, _name, number, _other, flag, _nested):
        return self.answer(self.locks[number % 3].acquire, blocking=not flag)

    def lock_release(self, _name, number, *_):
        return self.answer(self.locks[number % 3].release)

    def rlock_acquire(self, _name, _number, _other, flag, _nested):
        return self.answer(self.rlock.acquire, blocking=not flag)

    def rlock_release(self, *_):
        return self.answer(self.rlock.release)

    def result_set(self, name, number, _other, flag, _nested):
        result = self.results[number % 2]
        if flag:
            result.set_exception(ValueError(name))
        else:
            result.set(name)

    def result_get(self, _name, number, _other, flag, _nested):
        return self.answer(self.results[number % 2].get, block=not flag)

    def join(self, _name, number, *_):
        return self.answer(self.pick_greenlet(number).join)

    def kill(self, _name, number, _other, flag, _nested):
        return self.answer(self.pick_greenlet(number).kill, block=flag)

    def link(self, name, number, *_):
        greenlet = self.pick_greenlet(number)
        if not greenlet.ready():
            greenlet.rawlink(lambda it: self.note(name, 'link', it.ready()))

    def spawn(self, name, _number, _other, _flag, nested):
        self.greenlets.append(gevent.spawn(self.run_list, name, nested))

    def pool_spawn(self, name, _number, _other, _flag, nested):
        return self.answer(self.pool.spawn, self.run_list, name, nested)

    def pool_map(self, name, _number, other, *_):
        def work(n):
            self.note(name, 'work', n)
            gevent.sleep(0)
            return n
        return self.answer(self.pool.map, work, range(other))

    def limited_wait(self, _name, number, other, flag, _nested):
        with Timeout(None):
            return self.event_wait(None, number, other, flag, ())


OPERATIONS = [
    'sleep', 'event_set', 'event_clear', 'event_wait', 'queue_put',
    'queue_get', 'queue_join', 'lock_acquire', 'lock_release',
    'rlock_acquire', 'rlock_release', 'result_set', 'result_get', 'join',
    'kill', 'link', 'spawn', 'pool_spawn', 'pool_map', 'limited_wait',
]
UPSTREAM_DIFFERS = ('event_clear', 'queue_join', 'full queues')


def shown(value):
    """*value* without what differs from run to run."""
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, (int, str, type(None))):
        return value
    return type(value).__name__


def main(first, last, *without):
    gevent.get_hub().exception_stream = None
    for seed in range(int(first), int(last)):
        print(seed, Program(seed, without).run())


if __name__ == '__main__':
    main(*sys.argv[1:])
