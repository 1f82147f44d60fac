"""Group and Pool: members, limits, and the order of maps."""
import gevent
import pytest
from gevent import GreenletExit, Timeout
from gevent.event import Event
from gevent.pool import Group, Pool, PoolFull


def fail(error):
    raise error


def slowly(n):
    gevent.sleep(0.0005 * (n % 5))
    return n * n


KINDS = [Group, Pool, lambda: Pool(3)]


@pytest.fixture(params=KINDS, ids=['Group', 'Pool', 'Pool(3)'])
def group(request):
    made = request.param()
    yield made
    assert len(made) == 0


def test_members_come_and_go(group):
    made = group.spawn(gevent.sleep, 0.001)
    assert made in group and len(group) == 1 and list(group) == [made]
    group.join()
    assert made not in group and made.ready()


def test_add_and_discard(group):
    made = gevent.Greenlet(int)
    group.add(made)
    assert made in group
    group.discard(made)
    assert made not in group
    group.discard(made)
    group.start(made)
    assert made in group
    group.join()


def test_join_in_time(group):
    made = group.spawn(Event().wait)
    assert group.join(timeout=0.001) is False
    made.kill()
    assert group.join(timeout=30) is True


def test_join_raises_a_failure(group, errors):
    group.spawn(fail, KeyError('x'))
    with pytest.raises(KeyError):
        group.join(raise_error=True)
    group.join()


def test_kill_ends_all(group):
    greenlets = [group.spawn(Event().wait) for _ in range(3)]
    gevent.sleep(0)
    group.kill()
    assert all(isinstance(made.value, GreenletExit) for made in greenlets)


def test_killone(group):
    one, other = group.spawn(Event().wait), group.spawn(Event().wait)
    group.killone(one)
    assert one.dead and not other.dead and other in group
    group.kill()


def test_nothing_is_spawned_while_a_kill_goes_on():
    group = Group()

    def stubborn():
        try:
            Event().wait()
        finally:
            late.append(group.spawn(int))
    late = []
    group.spawn(stubborn)
    gevent.sleep(0)
    group.kill()
    gevent.sleep(0)
    assert len(group) == 0 and late[0].dead


def test_map_keeps_the_order(group):
    assert group.map(slowly, range(20)) == [n * n for n in range(20)]


def test_map_of_nothing(group):
    assert group.map(slowly, []) == []
    assert list(group.imap(slowly, [])) == []
    assert list(group.imap_unordered(slowly, [])) == []


def test_map_raises_the_failure(group, errors):
    with pytest.raises(ZeroDivisionError):
        group.map(lambda n: 1 // n, [1, 0, 2])
    group.join()


def test_map_async(group):
    result = group.map_async(slowly, range(5))
    assert result.get() == [0, 1, 4, 9, 16]
    group.join()


def test_apply(group):
    assert group.apply(lambda a, b=0: (a, b), (1,), {'b': 2}) == (1, 2)
    with pytest.raises(KeyError):
        group.apply(fail, (KeyError(),))


def test_apply_async_calls_back(group):
    log = []
    result = group.apply_async(slowly, (3,), callback=log.append)
    group.join()
    gevent.sleep(0)
    gevent.sleep(0)
    assert log == [9] and result.get() == 9
    group.join()


def test_apply_cb(group):
    log = []
    assert group.apply_cb(slowly, (2,), callback=log.append) == 4
    gevent.sleep(0)
    assert log == [4]
    group.join()


def test_imap_keeps_the_order(group):
    assert list(group.imap(slowly, range(20))) == [n * n for n in range(20)]


def test_imap_of_several_iterables(group):
    pairs = group.imap(lambda a, b: (a, b), [1, 2, 3], 'abc')
    assert list(pairs) == [(1, 'a'), (2, 'b'), (3, 'c')]


def test_imap_raises_where_the_failure_stands(group, errors):
    results = group.imap(lambda n: 1 // n, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert next(results) == 1
    with pytest.raises(StopIteration):
        next(results)


def test_imap_unordered_gives_what_is_ready_first(group):
    release = Event()

    def work(n):
        if n == 0:
            release.wait()
        return n
    results = group.imap_unordered(work, range(3))
    assert {next(results), next(results)} == {1, 2}
    release.set()
    assert next(results) == 0
    assert list(results) == []


def test_imap_unordered_is_the_same_each_time():
    def once():
        return list(Pool(4).imap_unordered(lambda n: n, range(50)))
    assert once() == once()


def test_a_bound_on_results_that_wait(group):
    done = []

    def work(n):
        done.append(n)
        return n
    results = group.imap_unordered(work, range(100), maxsize=2)
    for _ in range(20):
        gevent.sleep(0)
    assert len(done) < 20
    assert sorted(results) == list(range(100))


def test_an_iterable_that_raises_ends_the_map(group, errors):
    def numbers():
        yield 1
        raise KeyError
    results = group.imap(lambda n: n, numbers())
    assert next(results) == 1
    with pytest.raises(KeyError):
        next(results)
    group.join()


# -- limits

def test_no_more_run_than_the_size():
    pool, now, most = Pool(3), [0], [0]

    def work(_n):
        now[0] += 1
        most[0] = max(most[0], now[0])
        gevent.sleep(0)
        now[0] -= 1
    pool.map(work, range(50))
    assert most == [3] and now == [0]


def test_spawn_waits_for_a_place():
    pool, release = Pool(1), Event()
    pool.spawn(release.wait)
    assert pool.full() and pool.free_count() == 0
    waiting = gevent.spawn(pool.spawn, int)
    gevent.sleep(0.001)
    assert not waiting.ready()
    assert pool.wait_available(timeout=0.001) == 0
    release.set()
    waiting.join()
    pool.join()
    assert pool.free_count() == 1 and pool.wait_available() == 1


def test_a_full_pool_refuses_who_will_not_wait():
    pool = Pool(1)
    made = pool.spawn(Event().wait)
    with pytest.raises(PoolFull):
        pool.add(gevent.Greenlet(int), blocking=False)
    with pytest.raises(PoolFull):
        pool.add(gevent.Greenlet(int), timeout=0.001)
    made.kill()


def test_who_waits_for_a_place_can_give_up():
    pool = Pool(1)
    made = pool.spawn(Event().wait)
    with pytest.raises(Timeout):
        with Timeout(0.001):
            pool.spawn(int)
    made.kill()
    pool.join()
    assert pool.free_count() == 1
    pool.apply(int)


def test_bad_sizes():
    with pytest.raises(ValueError):
        Pool(-1)
    empty = Pool(0)
    assert empty.full()


def test_a_greenlet_class_of_ones_own():
    class Mine(gevent.Greenlet):
        pass
    pool = Pool(2, greenlet_class=Mine)
    assert type(pool.spawn(int)) is Mine
    pool.join()


def test_a_pool_inside_a_pool_does_not_stop():
    outer, inner = Pool(2), Pool(2)

    def work(n):
        return sum(inner.map(slowly, range(n)))
    assert outer.map(work, [1, 2, 3]) == [0, 1, 5]


def test_apply_inside_the_full_pool_does_not_stop():
    pool = Pool(1)
    assert pool.apply(lambda: pool.apply(lambda: 'inner')) == 'inner'
