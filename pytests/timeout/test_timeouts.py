"""Timeouts: whom they hit, what they raise, and who may swallow them."""
import gevent
import pytest
from gevent import Timeout, with_timeout
from gevent.event import AsyncResult, Event
from gevent.queue import Empty, Full, Queue


def test_it_is_no_ordinary_exception():
    assert issubclass(Timeout, BaseException)
    assert not issubclass(Timeout, Exception)


def test_it_raises_itself():
    with pytest.raises(Timeout) as caught:
        with Timeout(0.001) as timer:
            assert timer.pending
            gevent.sleep(10)
    assert caught.value is timer and not timer.pending


@pytest.mark.parametrize('seconds', [0, 0.0, 0.001])
def test_short_times_expire_at_the_next_pass(seconds):
    with pytest.raises(Timeout):
        with Timeout(seconds):
            gevent.sleep(10)


def test_no_seconds_never_expire():
    timer = Timeout(None)
    timer.start()
    gevent.sleep(0.001)
    assert timer.seconds is None
    timer.close()


def test_a_silent_one_swallows_itself_only():
    with Timeout(0.001, False):
        gevent.sleep(10)
    with pytest.raises(Timeout) as caught:
        with Timeout(0.001) as outer:
            with Timeout(10, False):
                gevent.sleep(10)
    assert caught.value is outer


@pytest.mark.parametrize('exception', [KeyError, KeyError('x')],
                         ids=['class', 'instance'])
def test_another_exception_in_its_place(exception):
    with pytest.raises(KeyError):
        with Timeout(0.001, exception):
            gevent.sleep(10)


def test_a_text_only_changes_its_words():
    with pytest.raises(Timeout) as caught:
        with Timeout(0.001, 'too slow') as timer:
            gevent.sleep(10)
    assert caught.value is timer and str(timer) == '0.001 seconds: too slow'


@pytest.mark.parametrize('timer, text', [
    (Timeout(2), '2 seconds'), (Timeout(1), '1 second'), (Timeout(), ''),
    (Timeout(0.01, 'msg'), '0.01 seconds: msg'),
    (Timeout(2, False), '2 seconds (silent)')], ids=str)
def test_text(timer, text):
    assert str(timer) == text


def test_the_inner_of_two_expires_first():
    with Timeout(10) as outer:
        with pytest.raises(Timeout) as caught:
            with Timeout(0.001) as inner:
                gevent.sleep(10)
        assert caught.value is inner and outer.pending
    assert not outer.pending


def test_the_outer_of_two_expires_first():
    with pytest.raises(Timeout) as caught:
        with Timeout(0.001) as outer:
            with Timeout(10) as inner:
                gevent.sleep(10)
    assert caught.value is outer and not inner.pending


def test_it_hits_the_greenlet_that_started_it():
    timer = Timeout(0.001)

    def work():
        timer.start()
        with pytest.raises(Timeout) as caught:
            gevent.sleep(10)
        return caught.value
    assert gevent.spawn(work).get() is timer


def test_started_twice():
    timer = Timeout(10)
    timer.start()
    with pytest.raises(AssertionError):
        timer.start()
    timer.cancel()
    timer.start()
    assert timer.pending
    timer.close()


def test_cancelled_in_time():
    timer = Timeout.start_new(0.001)
    timer.cancel()
    gevent.sleep(0.003)
    assert not timer.pending


def test_start_new_takes_one_that_exists():
    timer = Timeout(10)
    assert Timeout.start_new(timer) is timer and timer.pending
    assert Timeout.start_new(timer) is timer
    timer.close()
    other = Timeout.start_new(10, KeyError)
    assert other.exception is KeyError
    other.close()


def test_they_compare_by_seconds():
    assert Timeout(1) < Timeout(2) and not Timeout(2) < Timeout(1)


def test_the_hook_decides_what_is_thrown():
    class Quiet(Timeout):
        def _on_expiration(self, prev_greenlet, ex):
            log.append((prev_greenlet, ex))
    log = []
    timer = Quiet(0.001)
    timer.start()
    while not log:
        gevent.sleep(0.001)
    assert log == [(gevent.getcurrent(), timer)]
    timer.close()


def test_with_timeout():
    assert with_timeout(10, lambda value: value, 'answer') == 'answer'
    assert with_timeout(0.001, gevent.sleep, 10, timeout_value='late') == 'late'
    with pytest.raises(Timeout):
        with_timeout(0.001, gevent.sleep, 10)


def test_with_timeout_does_not_swallow_anothers():
    def raises():
        raise Timeout(5)
    with pytest.raises(Timeout) as caught:
        with_timeout(10, raises, timeout_value='late')
    assert caught.value.seconds == 5


def test_a_timeout_object_as_the_time_of_a_wait():
    event = Event()
    with pytest.raises(Timeout) as caught:
        with Timeout(0.001) as timer:
            event.wait()
    assert caught.value is timer


def test_what_waits_tells_its_own_time_in_its_own_way():
    made = gevent.spawn(Event().wait)
    assert Event().wait(0.001) is False
    with pytest.raises(Timeout):
        AsyncResult().get(timeout=0.001)
    with pytest.raises(Timeout):
        made.get(timeout=0.001)
    with pytest.raises(Empty):
        Queue().get(timeout=0.001)
    full = Queue(1, items=[1])
    with pytest.raises(Full):
        full.put(2, timeout=0.001)
    made.kill()


def test_many_at_the_same_time():
    def work():
        with Timeout(0.002, False):
            gevent.sleep(10)
            return 'woken'
        return 'expired'
    greenlets = [gevent.spawn(work) for _ in range(200)]
    gevent.joinall(greenlets)
    assert {made.value for made in greenlets} == {'expired'}


def test_one_that_expires_as_its_block_ends_is_not_left_behind():
    for _ in range(50):
        try:
            with Timeout(0):
                gevent.sleep(0)
                gevent.sleep(0)
        except Timeout:
            pass
    gevent.sleep(0.001)
