"""map, imap, imap_unordered and apply of pools and groups."""
import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group, Pool
from gevent.threadpool import ThreadPool


def double(number):
    return number * 2


def turns(count):
    for _ in range(count):
        gevent.sleep(0)
    return count


@pytest.fixture(params=["group", "pool", "pool of one", "threads"])
def pool(request):
    if request.param != "threads":
        yield {"group": Group, "pool": Pool,
               "pool of one": lambda: Pool(1)}[request.param]()
        return
    threads = ThreadPool(3)
    yield threads
    threads.kill()


def test_results(pool):
    expected = [number * 2 for number in range(40)]
    assert pool.map(double, range(40)) == expected
    assert list(pool.imap(double, range(40))) == expected
    assert sorted(pool.imap_unordered(double, range(40))) == expected
    assert pool.apply(double, (21,)) == 42
    assert pool.apply_async(double, (21,)).get() == 42
    assert pool.map_async(double, range(3)).get() == [0, 2, 4]


def test_nothing_to_do(pool):
    assert pool.map(double, []) == []
    assert list(pool.imap(double, ())) == []
    assert list(pool.imap_unordered(double, ())) == []


def test_order_is_that_of_the_items_or_of_the_ends():
    assert Pool(3).map(turns, [5, 1, 3]) == [5, 1, 3]
    assert list(Pool(3).imap_unordered(turns, [5, 1, 3])) == [1, 3, 5]


def test_several_iterables(pool):
    assert list(pool.imap(pow, [2, 3, 4], [5, 2])) == [32, 9]


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_no_more_results_ahead_than_maxsize(how):
    begun = []
    results = getattr(Pool(10), how)(begun.append, range(100), maxsize=4)
    for taken in range(3):
        for _ in range(20):
            gevent.sleep(0)
        assert len(begun) == 4 + taken
        next(results)
    results.kill()


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_an_error_takes_the_place_of_its_result(how, errors):
    def reciprocal(number):
        return 1 // number

    results = getattr(Pool(1), how)(reciprocal, [1, 0, -1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError) as raised:
        next(results)
    assert any(entry.name == "reciprocal" for entry in raised.traceback)
    assert next(results) == -1
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(results)
    assert len(errors) == 1


def test_an_error_of_the_iterable_comes_last(errors):
    def items():
        yield 1
        raise LookupError("no more")

    found = []
    with pytest.raises(LookupError):
        for each in Pool(2).imap(turns, items()):
            found.append(each)
    assert found == [1]
    with pytest.raises(LookupError):
        list(Pool(2).imap_unordered(turns, items()))
    assert len(errors) == 2  # reported, too, as of every greenlet


def test_apply_in_the_own_pool_does_not_wait_for_room():
    pool = Pool(1)
    assert pool.apply(pool.apply, (double, (4,))) == 8


def test_getting_in_vain_raises_a_timeout_of_these_seconds():
    event = Event()
    waiting = gevent.spawn(event.wait)
    with pytest.raises(gevent.Timeout) as raised:
        waiting.get(timeout=0.01)
    assert raised.value.seconds == 0.01 and "0.01 seconds" in str(raised.value)
    mine = gevent.Timeout(0.01)
    with pytest.raises(gevent.Timeout) as raised:
        waiting.get(timeout=mine)
    assert raised.value is mine
    event.set()
    assert waiting.get(timeout=30) is True


@pytest.mark.parametrize("how", ["imap", "imap_unordered"])
def test_the_results_end_where_no_more_can_be_started(how, errors):
    class TwoAtMost(Group):
        def spawn(self, *args, **kwargs):
            if len(self) == 2:
                raise RuntimeError("no more")
            return super().spawn(*args, **kwargs)

    results = getattr(TwoAtMost(), how)(turns, [1, 1, 1])
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(next(results))
        except (RuntimeError, StopIteration) as error:
            outcomes.append(type(error))
    if how == "imap_unordered":  # the failure came before the results
        outcomes.insert(2, outcomes.pop(0))
    assert outcomes == [1, 1, RuntimeError, StopIteration]
    assert [error[1] for error in errors] == [RuntimeError]
