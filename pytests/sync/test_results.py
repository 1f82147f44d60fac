"""AsyncResult: one value or exception, for everybody who asks."""
import threading
import traceback

import gevent
import pytest
from gevent.event import AsyncResult


class Problem(Exception):
    pass


def test_the_value_is_for_everybody():
    result = AsyncResult()
    getters = [gevent.spawn(result.get) for _ in range(3)]
    waiters = [gevent.spawn(result.wait) for _ in range(3)]
    gevent.sleep(0)
    result.set('value')
    gevent.joinall(getters + waiters)
    assert {g.value for g in getters + waiters} == {'value'}
    assert result.ready() and result.successful()
    assert result.get() == result.get_nowait() == result.result() == 'value'
    assert result.exception is None and result.exc_info == ()


def test_none_is_a_value():
    result = AsyncResult()
    assert not result.ready()
    result.set()
    assert result.ready() and result.successful()
    assert result.get() is None


def test_the_exception_is_raised_for_everybody():
    result, error = AsyncResult(), Problem('x')
    result.set_exception(error)
    for _ in range(2):
        with pytest.raises(Problem) as caught:
            result.get()
        assert caught.value is error
    assert result.ready() and not result.successful()
    assert result.value is None and result.wait() is None
    assert result.exc_info[:2] == (Problem, error)


def test_the_traceback_is_that_of_the_exception():
    def fail():
        raise Problem
    result = AsyncResult()
    try:
        fail()
    except Problem as error:
        result.set_exception(error)
    lengths = []
    for _ in range(3):
        try:
            result.get()
        except Problem as error:
            names = [f.name for f in traceback.extract_tb(error.__traceback__)]
            assert names[-1] == 'fail'
            lengths.append(len(names))
    assert len(set(lengths)) == 1


def test_no_result_in_time():
    result = AsyncResult()
    with pytest.raises(gevent.Timeout) as caught:
        result.get(timeout=0.001)
    assert str(caught.value) == '0.001 seconds'
    for call in (result.get_nowait, lambda: result.get(block=False)):
        with pytest.raises(gevent.Timeout):
            call()
    assert result.wait(timeout=0.001) is None
    assert result.linkcount() == 0


def test_a_timeout_object_as_the_limit():
    limit = gevent.Timeout(0.001)
    with pytest.raises(gevent.Timeout) as caught:
        AsyncResult().get(timeout=limit)
    assert caught.value is limit
    assert AsyncResult().wait(gevent.Timeout(0.001)) is None


def test_as_a_link():
    good = AsyncResult()
    gevent.spawn(lambda: 7).link(good)
    assert good.get() == 7


def test_as_a_link_to_a_failure(errors):
    def fail():
        raise Problem('y')
    bad = AsyncResult()
    gevent.spawn(fail).link(bad)
    with pytest.raises(Problem):
        bad.get()
    assert errors


def test_links():
    result, log = AsyncResult(), []
    result.rawlink(lambda source: log.append(source.value))
    result.set(3)
    gevent.sleep(0)
    assert log == [3]


def test_from_another_thread():
    result = AsyncResult()
    thread = threading.Thread(target=result.set, args=('from a thread',))
    getter = gevent.spawn(result.get, timeout=20)
    gevent.sleep(0)
    thread.start()
    assert getter.get() == 'from a thread'
    thread.join()


def test_like_a_future():
    result = AsyncResult()
    assert not result.done() and not result.cancel()
    assert not result.cancelled()
    result.set_result(1)
    assert result.done()
    assert 'value=1' in str(result)
