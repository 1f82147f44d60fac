"""Event: who waits, in which order they run, and what links see."""
import gc
import threading

import gevent
import pytest
from gevent.event import Event


def waiters(event, log, count, **kwargs):
    def wait(name):
        log.append((name, event.wait(**kwargs)))
    greenlets = [gevent.spawn(wait, name) for name in range(count)]
    gevent.sleep(0)
    return greenlets


def test_everybody_is_woken_in_order():
    event, log = Event(), []
    greenlets = waiters(event, log, 50)
    assert event.linkcount() == 50
    event.set()
    gevent.joinall(greenlets)
    assert log == [(name, True) for name in range(50)]
    assert event.linkcount() == 0


def test_who_was_woken_returns_true_although_cleared():
    event, log = Event(), []
    greenlets = waiters(event, log, 3)
    event.set()
    event.clear()
    gevent.joinall(greenlets)
    assert log == [(0, True), (1, True), (2, True)]
    assert not event.is_set() and not event.ready()


def in_a_thread(function):
    """With a hub of its own, whose memory is free for the next one's."""
    def run():
        hub = gevent.get_hub()
        function()
        hub.destroy(destroy_loop=True)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    del thread
    gc.collect(1)


def test_cleared_again_it_lets_no_later_loop_through():
    event, log = Event(), []

    def set_and_clear():
        for _ in range(200):
            gevent.sleep(0)
        waiter = waiters(event, log, 1)[0]
        event.set()
        event.clear()
        waiter.join()

    for _ in range(5):
        in_a_thread(set_and_clear)
        in_a_thread(lambda: log.append(('later', event.wait(0.001))))
    assert log == 5 * [(0, True), ('later', False)]


def test_one_that_arrives_at_a_set_event_runs_behind():
    event, log = Event(), []
    greenlets = waiters(event, log, 2)
    event.set()
    log.append(('late', event.wait()))
    gevent.joinall(greenlets)
    assert log == [(0, True), (1, True), ('late', True)]


def test_a_set_event_does_not_switch_otherwise():
    event, log = Event(), []
    event.set()
    gevent.spawn(log.append, 'other')
    assert event.wait() is True
    assert log == []
    gevent.sleep(0)


@pytest.mark.parametrize('seconds', [0, -1, 0.001])
def test_timeout(seconds):
    event = Event()
    assert event.wait(seconds) is False
    assert event.wait(timeout=seconds) is False
    assert event.linkcount() == 0


def test_a_timeout_object_as_the_limit():
    event = Event()
    timeout = gevent.Timeout(0.001)
    assert event.wait(timeout) is False
    assert not timeout.pending
    outer = gevent.Timeout.start_new(0.001)
    with pytest.raises(gevent.Timeout) as caught:
        event.wait(gevent.Timeout(60))
    assert caught.value is outer


def test_a_limit_with_an_exception_of_its_own():
    with pytest.raises(ZeroDivisionError):
        Event().wait(gevent.Timeout(0.001, ZeroDivisionError))


def test_a_killed_waiter_leaves_the_list():
    event, log = Event(), []
    greenlets = waiters(event, log, 3)
    greenlets[1].kill()
    assert event.linkcount() == 2
    event.set()
    gevent.joinall(greenlets)
    assert log == [(0, True), (2, True)]


def test_killed_after_it_was_woken():
    event, log = Event(), []
    greenlets = waiters(event, log, 3)
    event.set()
    greenlets[0].kill(block=False)
    greenlets[2].kill(block=False)
    gevent.joinall(greenlets)
    assert event.linkcount() == 0
    assert set(log) <= {(0, True), (1, True), (2, True)}
    assert (1, True) in log


def test_links_run_once_in_order_among_the_waiters():
    event, log = Event(), []
    event.rawlink(lambda source: log.append(('first', source is event)))
    greenlets = waiters(event, log, 1)
    event.rawlink(lambda source: log.append('last'))
    event.set()
    gevent.spawn(log.append, 'spawned').join()
    gevent.joinall(greenlets)
    assert log == [('first', True), (0, True), 'last', 'spawned']
    event.clear()
    event.set()
    gevent.sleep(0)
    assert len(log) == 4


def test_a_link_to_a_set_event_runs_soon():
    event, log = Event(), []
    event.set()
    event.rawlink(log.append)
    assert log == []
    gevent.sleep(0)
    assert log == [event]


def test_a_link_may_remove_a_later_one():
    event, log = Event(), []

    def second(_):
        log.append('second')

    def first(_):
        log.append('first')
        event.unlink(second)
    event.rawlink(first)
    event.rawlink(second)
    event.set()
    gevent.sleep(0)
    assert log == ['first']


def test_unlinked_after_set():
    event, log = Event(), []
    event.rawlink(log.append)
    event.set()
    event.unlink(log.append)
    gevent.sleep(0)
    assert log == []


def test_linked_twice_runs_once_a_set():
    event, log = Event(), []
    event.rawlink(log.append)
    event.rawlink(log.append)

    def link(_):
        log.append('link')
    event.rawlink(link)
    event.rawlink(link)
    event.set()
    gevent.sleep(0)
    assert log.count('link') == 1
    assert event.linkcount() >= 1
    event.unlink(link)
    event.unlink(link)


def test_an_error_in_a_link_is_reported_and_others_run(errors):
    event, log = Event(), []

    def bad(_):
        raise ValueError('bad')
    event.rawlink(bad)
    event.rawlink(log.append)
    event.set()
    gevent.sleep(0)
    assert log == [event]
    (context, kind, value), = errors
    assert context == (bad, event)
    assert kind is ValueError and str(value) == 'bad'


def test_only_callables_can_be_linked():
    event = Event()
    with pytest.raises(TypeError):
        event.rawlink(None)
    event.unlink(None)


def test_gevent_wait_for_events():
    events = [Event() for _ in range(4)]
    gevent.spawn(events[2].set)
    gevent.spawn(events[0].set)
    assert gevent.wait(events, count=2) == [events[2], events[0]]
    assert [event.linkcount() for event in events] == [0] * 4


def test_the_hub_it_belongs_to():
    event = Event()
    assert event.hub is None
    event.wait(0)
    assert event.hub is gevent.get_hub()
    event._at_fork_reinit()
    assert event.hub is None


def test_subclasses_and_attributes():
    class Mine(Event):
        pass
    event = Mine()
    event.anything = 1
    assert event.anything == 1
    assert 'clear' in str(event) and 'Mine' in str(event)
    Event.patched = True
    assert event.patched
    del Event.patched
    assert isinstance(event.isSet(), bool)


def test_many_that_time_out():
    event, log = Event(), []
    greenlets = waiters(event, log, 500, timeout=0.001)
    gevent.joinall(greenlets)
    assert [result for _, result in log] == [False] * 500
    assert event.linkcount() == 0
