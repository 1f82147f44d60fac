"""What tutorials teach next: events, queues, groups, actors."""
import gevent
import pytest
from gevent.event import AsyncResult, Event
from gevent.local import local
from gevent.lock import BoundedSemaphore
from gevent.pool import Group, Pool
from gevent.queue import Empty, Queue


def test_an_event_wakes_all():
    seen = []
    event = Event()

    def setter():
        seen.append("wait for me")
        gevent.sleep(0.01)
        event.set()

    def waiter(number):
        assert event.wait()
        seen.append(number)

    gevent.joinall([gevent.spawn(setter),
                    *(gevent.spawn(waiter, n) for n in range(5))])
    assert seen == ["wait for me", 0, 1, 2, 3, 4]


def test_a_result_for_all():
    result = AsyncResult()
    gevent.spawn_later(0.01, result.set, "Hello!")
    waiters = [gevent.spawn(result.get) for _ in range(3)]
    gevent.joinall(waiters)
    assert [w.value for w in waiters] == ["Hello!"] * 3


def test_boss_and_workers():
    tasks = Queue()
    done = []

    def worker(name):
        while not tasks.empty():
            done.append((name, tasks.get()))
            gevent.sleep(0)

    def boss():
        for number in range(1, 25):
            tasks.put_nowait(number)

    gevent.spawn(boss).join()
    gevent.joinall([gevent.spawn(worker, name)
                    for name in ("steve", "john", "nancy")])
    assert [number for _, number in done] == list(range(1, 25))
    assert [name for name, _ in done] == ["steve", "john", "nancy"] * 8


def test_boss_and_workers_with_a_bounded_queue():
    tasks = Queue(maxsize=3)
    done, lengths = [], []

    def worker():
        for task in tasks:
            done.append(task)
            gevent.sleep(0)

    def boss():
        for number in range(1, 20):
            tasks.put(number)
            lengths.append(tasks.qsize())
        for _ in range(3):
            tasks.put(StopIteration)

    gevent.joinall([gevent.spawn(boss),
                    *(gevent.spawn(worker) for _ in range(3))],
                   raise_error=True)
    assert sorted(done) == list(range(1, 20))
    assert max(lengths) <= 3


def test_a_worker_that_gives_up_waiting():
    with pytest.raises(Empty):
        Queue().get(timeout=0.01)


def test_group():
    def talk(message):
        for _ in range(3):
            seen.append(message)
            gevent.sleep(0)

    seen = []
    group = Group()
    group.add(gevent.spawn(talk, "bar"))
    group.add(gevent.spawn(talk, "foo"))
    group.join()
    assert seen == ["bar", "foo"] * 3
    assert group.map(lambda n: n * n, range(4)) == [0, 1, 4, 9]
    assert list(group.imap(lambda n: n + 1, range(3))) == [1, 2, 3]


def test_pool_is_bounded():
    at_once = []
    pool = Pool(2)

    def count(_):
        at_once.append(len(pool))
        gevent.sleep(0)

    pool.map(count, range(6))
    assert max(at_once) == 2


def test_locks():
    semaphore = BoundedSemaphore(2)
    inside, most = [], []

    def work(number):
        with semaphore:
            inside.append(number)
            most.append(len(inside))
            gevent.sleep(0)
            inside.remove(number)

    gevent.joinall([gevent.spawn(work, n) for n in range(6)])
    assert max(most) == 2


def test_locals():
    stash = local()

    def first():
        stash.x = 1
        gevent.sleep(0)
        return stash.x

    def second():
        with pytest.raises(AttributeError):
            stash.x
        stash.x = 2
        return stash.x

    jobs = [gevent.spawn(first), gevent.spawn(second)]
    gevent.joinall(jobs)
    assert [job.value for job in jobs] == [1, 2]


class Actor(gevent.Greenlet):
    """Takes what is put into its inbox, one thing after the other."""

    def __init__(self):
        super().__init__()
        self.inbox = Queue()

    def receive(self, message):
        raise NotImplementedError

    def _run(self):
        while True:
            self.receive(self.inbox.get())


def test_actors():
    rally = []

    class Player(Actor):
        def __init__(self, word):
            super().__init__()
            self.word = word

        def receive(self, message):
            rally.append(message)
            if len(rally) == 6:
                over.set()
            self.other.inbox.put(self.word)
            gevent.sleep(0)

    over = Event()
    ping, pong = Player("ping"), Player("pong")
    ping.other, pong.other = pong, ping
    ping.start()
    pong.start()
    ping.inbox.put("start")
    assert over.wait(30)
    gevent.killall([ping, pong])
    assert rally[:5] == ["start", "ping", "pong", "ping", "pong"]
