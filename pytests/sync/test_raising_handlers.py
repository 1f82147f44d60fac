"""Signal handlers that raise in the middle of what greenlets wait for and
wake each other with: no wake-up is lost.

What must be one step is one only in the accelerator."""
import pytest
from libgcore import _engine

pytestmark = pytest.mark.skipif(not _engine.ACCELERATED,
                                reason="one step only in the accelerator")

STORM = """
    import gevent, signal
    from gevent.event import AsyncResult, Event
    from gevent.lock import RLock, Semaphore
    from gevent.queue import Channel, Queue

    class Storm(Exception):
        pass

    raised = 0

    # Once a call, in whatever runs, until the call is over.
    def handler(signum, frame):
        global raised
        current = gevent.getcurrent()
        if current.__dict__.get('exposed'):
            current.exposed = False
            raised += 1
            raise Storm

    def call(function, *args):
        current = gevent.getcurrent()
        while True:
            try:
                current.exposed = True
                result = function(*args)
                current.exposed = False
                return result
            except Storm:
                pass

    def run(*workers):
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0002)
        workers = [gevent.spawn(worker) for worker in workers]
        call(gevent.joinall, workers, 40)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert all(worker.successful() for worker in workers), workers
        assert raised
        print('ok')
"""


def storm(run_program, body):
    assert run_program(STORM + body).stdout == 'ok\n'


def test_events(run_program):
    storm(run_program, """
    there, back = Event(), Event()

    def ping():
        for i in range(20000):
            call(there.wait); there.clear(); call(back.set)

    def pong():
        for i in range(20000):
            call(there.set); call(back.wait); back.clear()

    run(ping, pong)
    """)


def test_many_waiters_of_one_event(run_program):
    storm(run_program, """
    ROUNDS = 500
    events = [Event() for _ in range(ROUNDS)]

    def wait():
        for event in events:
            call(event.wait)

    def set_all():
        for event in events:
            gevent.sleep(0)
            call(event.set)

    run(set_all, *[wait] * 50)
    """)


def test_results(run_program):
    storm(run_program, """
    results = [AsyncResult() for _ in range(15000)]

    def get():
        for i, result in enumerate(results):
            assert call(result.get) == i

    def set_all():
        for i, result in enumerate(results):
            call(result.set, i)
            if i % 3 == 0:
                gevent.sleep(0)

    run(get, set_all, get)
    """)


def test_permits(run_program):
    # acquire() may have taken a permit and be interrupted on its way out, so
    # that only waiting for one, which takes nothing, can be repeated.
    storm(run_program, """
    semaphore = Semaphore(0)

    def wait():
        for i in range(15000):
            assert call(semaphore.wait) == 1
            gevent.sleep(0)

    def give():
        while not all(w.ready() for w in waiters):
            if semaphore.counter:
                assert semaphore.acquire(blocking=False)
            else:
                semaphore.release()
            gevent.sleep(0)

    waiters = [gevent.spawn(wait) for _ in range(3)]
    run(give)
    gevent.joinall(waiters, raise_error=True)
    """)


def test_queues(run_program):
    # An item that get() has taken may be lost on its way out: what counts
    # is that nobody waits for ever.
    storm(run_program, """
    queue, room, over = Queue(2), Event(), Event()
    ROUNDS = 10000

    def put():
        for i in range(ROUNDS):
            call(queue.put, i)

    def peek_and_get():
        while not over.is_set() or queue.qsize():
            if call(queue.peek) is None:
                queue.get()
                return
            queue.get(block=False)

    def end():
        gevent.joinall([g for g in putters])
        over.set()
        queue.put(None)

    putters = [gevent.spawn(put) for _ in range(3)]
    run(peek_and_get, end)
    """)
