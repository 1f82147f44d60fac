"""A greenlet's life: states, results, how it can be ended."""
import functools
import gc
import pickle
import weakref

import gevent
import greenlet
import pytest
from gevent import Greenlet, GreenletExit, Timeout
from gevent.event import Event
from gevent.exceptions import LoopExit


def fail(error):
    raise error


def test_it_is_a_greenlet_of_the_hub():
    made = Greenlet(int)
    assert isinstance(made, greenlet.greenlet)
    assert made.parent is gevent.get_hub()
    made.start()
    made.join()


def test_states_from_birth_to_success():
    states = []

    def work():
        states.append((bool(made), made.started, made.ready(), made.dead))
        return 'result'
    made = Greenlet(work)
    assert not made and not made.started and not made.ready()
    assert made.value is None and not made.successful()
    made.start()
    assert made and made.started and not made.dead
    assert made.get() == 'result' == made.value
    assert states == [(True, True, False, False)]
    assert made.ready() and made.successful() and made.dead
    assert not made and not made.started
    assert made.exception is None and made.exc_info is None


def test_a_failure_is_kept_and_raised_by_get(errors):
    error = ValueError('broken')
    made = gevent.spawn(fail, error)
    made.join()
    assert made.ready() and not made.successful() and made.value is None
    assert made.exception is error
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            made.get()
        assert caught.value is error
    assert made.exc_info[0] is ValueError and made.exc_info[1] is error
    assert made.exc_info[2] is not None
    assert [entry[0] for entry in errors] == [made]


def test_the_traceback_of_a_failure_can_be_pickled(errors):
    made = gevent.spawn(fail, KeyError('x'))
    made.join()
    names, traceback = [], made.exc_info[2]
    while traceback is not None:
        names.append(traceback.tb_frame.f_code.co_name)
        traceback = traceback.tb_next
    assert names[-1] == 'fail'
    assert pickle.loads(pickle.dumps(made.exc_info[1])).args == ('x',)


def test_returning_an_exit_is_success():
    made = gevent.spawn(fail, GreenletExit('bye'))
    made.join()
    assert made.successful() and isinstance(made.value, GreenletExit)
    assert made.value.args == ('bye',) and made.get() is made.value


def test_get_without_blocking_raises_an_empty_timeout():
    made = gevent.spawn(gevent.sleep, 0)
    with pytest.raises(Timeout) as caught:
        made.get(block=False)
    assert str(caught.value) == ''
    made.join()


def test_get_and_join_within_a_time():
    made = gevent.spawn(Event().wait)
    with pytest.raises(Timeout) as caught:
        made.get(timeout=0.001)
    assert caught.value.seconds == 0.001
    assert made.join(timeout=0.001) is None and not made.ready()
    made.kill()


def test_what_it_ran_is_dropped_at_its_end():
    class Argument:
        pass
    argument = Argument()
    gone = weakref.ref(argument)
    made = gevent.spawn(lambda value: None, argument)
    assert made.args == (argument,)
    made.join()
    del argument
    gc.collect()
    assert gone() is None and made.args == () and not made.kwargs


def test_a_finished_greenlet_runs_no_more():
    log = []
    made = gevent.spawn(log.append, 1)
    made.join()
    made.start()
    gevent.sleep(0)
    assert log == [1]


def test_run_and_underscore_run_can_be_overridden():
    class One(Greenlet):
        def __init__(self, value):
            Greenlet.__init__(self)
            self.number = value

        def _run(self):
            return self.number + 1

    class Other(Greenlet):
        def run(self):
            gevent.sleep(0)
            Greenlet.run(self)

    assert One.spawn(1).get() == 2
    assert Other.spawn(lambda: 'ran').get() == 'ran'


def test_what_cannot_be_called_is_refused_at_once():
    for make in (gevent.spawn, gevent.spawn_raw, Greenlet,
                 lambda it: gevent.spawn_later(1, it)):
        with pytest.raises(TypeError):
            make('not callable')


def test_spawn_raw_makes_a_plain_greenlet(turns):
    log = []
    made = gevent.spawn_raw(log.append, 1)
    assert type(made) is not Greenlet and isinstance(made, greenlet.greenlet)
    turns()
    assert log == [1] and made.dead


def test_start_later_starts_later():
    log = []
    late = gevent.spawn_later(0.002, log.append, 'late')
    assert late.started
    soon = gevent.spawn(log.append, 'soon')
    gevent.joinall([late, soon])
    assert log == ['soon', 'late']


def test_one_to_start_later_can_be_cancelled():
    made = gevent.spawn_later(1000, int)
    made.kill()
    assert made.dead and isinstance(made.value, GreenletExit)


# -- killing

def test_killed_before_it_ran():
    log, linked = [], []
    made = gevent.spawn(log.append, 1)
    made.rawlink(linked.append)
    assert made.kill() is None
    gevent.sleep(0)
    assert made.dead and log == [] and linked == [made]
    assert made.successful() and isinstance(made.get(), GreenletExit)


def test_killed_while_it_waits():
    log = []

    def work():
        try:
            Event().wait()
        finally:
            log.append('left')
    made = gevent.spawn(work)
    gevent.sleep(0)
    made.kill()
    assert log == ['left'] and made.successful()
    assert made.exception is None and isinstance(made.value, GreenletExit)


@pytest.mark.parametrize('exception, args', [
    (ValueError, ()), (ValueError('x'), ('x',)),
    ((ValueError, ValueError('y'), None), ('y',))],
    ids=['class', 'instance', 'tuple'])
def test_killed_with_an_exception(errors, exception, args):
    made = gevent.spawn(Event().wait)
    gevent.sleep(0)
    made.kill(exception)
    assert type(made.exception) is ValueError
    assert made.exception.args == args and not made.successful()


def test_kill_without_blocking_comes_later():
    made = gevent.spawn(Event().wait)
    gevent.sleep(0)
    assert made.kill(block=False) is None
    assert not made.dead
    gevent.sleep(0)
    assert made.dead


def test_the_time_of_a_kill_limits_the_waiting_only():
    release = Event()

    def stubborn():
        try:
            Event().wait()
        except GreenletExit:
            release.wait()
            raise
    made = gevent.spawn(stubborn)
    gevent.sleep(0)
    assert made.kill(timeout=0.001) is None
    assert not made.dead
    release.set()
    made.join()
    assert made.successful()


def test_killing_oneself_raises_at_the_call():
    log = []

    def work():
        try:
            made.kill()
        except GreenletExit:
            log.append('raised')
            raise
    made = gevent.spawn(work)
    made.join()
    assert log == ['raised'] and made.successful()


def test_gevent_kill_takes_plain_greenlets_too():
    log = []

    def work():
        try:
            gevent.sleep(1000)
        except GreenletExit:
            log.append('killed')
    made = gevent.spawn_raw(work)
    gevent.sleep(0)
    gevent.kill(made)
    gevent.sleep(0)
    assert log == ['killed'] and made.dead


def test_killall_cancels_what_has_not_started():
    log = []
    greenlets = [gevent.spawn(log.append, n) for n in range(3)]
    gevent.killall(greenlets)
    assert log == [] and all(made.dead for made in greenlets)


def test_killall_raises_when_its_time_is_over():
    release = Event()

    def stubborn():
        while not release.is_set():
            try:
                release.wait()
            except GreenletExit:
                pass
    made = gevent.spawn(stubborn)
    gevent.sleep(0)
    with pytest.raises(Timeout):
        gevent.killall([made], timeout=0.001)
    release.set()
    made.join()


# -- links

def test_links_are_called_in_order_by_the_hub():
    log = []
    made = gevent.spawn(int)
    for n in range(3):
        made.rawlink(lambda it, n=n: log.append(
            (n, it, gevent.getcurrent())))
    made.join()
    gevent.sleep(0)
    hub = gevent.get_hub()
    assert log == [(n, made, hub) for n in range(3)]


def test_link_calls_in_a_greenlet_of_its_own():
    log = []
    made = gevent.spawn(int)
    made.link(lambda it: log.append((it, gevent.getcurrent())))
    made.join()
    gevent.sleep(0)
    assert log[0][0] is made
    assert log[0][1] not in (gevent.get_hub(), made, gevent.getcurrent())


def test_links_for_one_kind_of_end(errors):
    log = []
    good, bad = gevent.spawn(int), gevent.spawn(fail, ValueError())
    for made in good, bad:
        made.link_value(lambda it: log.append(('value', it)))
        made.link_exception(lambda it: log.append(('exception', it)))
    gevent.joinall([good, bad])
    gevent.sleep(0)
    gevent.sleep(0)
    assert log == [('value', good), ('exception', bad)]


def test_a_link_made_after_the_end_is_called():
    made = gevent.spawn(int)
    made.join()
    log = []
    made.rawlink(log.append)
    gevent.sleep(0)
    assert log == [made]


def test_an_earlier_link_may_remove_a_later_one():
    log = []
    made = gevent.spawn(int)
    made.rawlink(lambda it: it.unlink(later))

    def later(it):
        log.append(it)
    made.rawlink(later)
    made.join()
    gevent.sleep(0)
    assert log == []


def test_a_failing_link_is_reported_and_the_rest_are_called(errors):
    log = []
    made = gevent.spawn(int)

    def broken(it):
        raise ValueError
    made.rawlink(broken)
    made.rawlink(log.append)
    made.join()
    gevent.sleep(0)
    assert log == [made]
    assert [entry[:2] for entry in errors] == [((broken, made), ValueError)]


# -- names, trees, contexts

def test_names():
    made = Greenlet(int)
    assert made.name == f'Greenlet-{made.minimal_ident}'
    made.name = 'mine'
    assert 'mine' in repr(made)
    small = {Greenlet(int).minimal_ident for _ in range(3)}
    assert all(0 <= ident < 1000 for ident in small)


def test_repr_names_the_call():
    made = gevent.spawn(fail, 1)
    assert 'fail(1)' in repr(made) and hex(id(made)) in repr(made)
    made.kill()
    assert 'fail' in repr(made)


def test_repr_says_which_function():
    for function in ([].append, len, functools.partial(fail, 1),
                     Greenlet.spawn, gevent.get_hub().join):
        assert repr(Greenlet(function)).endswith(': %r>' % (function,))
    assert repr(Greenlet(str.upper)).endswith(': upper>')
    assert repr(Greenlet(lambda: None, 1)).endswith(': <lambda>(1)>')
    assert repr(Greenlet(gevent.sleep, 1)).endswith(': sleep(1)>')


def test_spawn_tree():
    log = {}

    def parent():
        log['parent'] = gevent.getcurrent()
        log['parent'].spawn_tree_locals['key'] = 'value'
        gevent.spawn(child).join()

    def child():
        here = gevent.getcurrent()
        log['spawner'] = here.spawning_greenlet()
        log['locals'] = here.spawn_tree_locals
        log['stack'] = here.spawning_stack.f_code.co_name
    gevent.spawn(parent).join()
    assert log['spawner'] is log['parent']
    assert log['locals'] == {'key': 'value'}
    assert log['stack'] == 'parent'


def test_as_a_context_it_is_joined():
    with gevent.spawn(gevent.sleep, 0.001) as made:
        assert not made.ready()
    assert made.ready()


def test_as_a_context_it_is_killed_when_the_body_raises(errors):
    with pytest.raises(KeyError):
        with gevent.spawn(Event().wait) as made:
            gevent.sleep(0)
            raise KeyError
    assert made.dead and isinstance(made.exception, KeyError)


def test_spawn_callbacks():
    log = []
    Greenlet.add_spawn_callback(log.append)
    try:
        made = gevent.spawn(int)
        raw = gevent.spawn_raw(int)
    finally:
        Greenlet.remove_spawn_callback(log.append)
    Greenlet.spawn(int).join()
    made.join()
    assert log == [made] and raw.dead


# -- waiting for several

def test_joinall_returns_those_that_finished():
    quick, slow = gevent.spawn(int), gevent.spawn(Event().wait)
    assert gevent.joinall([quick, slow], timeout=0.005) == [quick]
    assert gevent.joinall([quick, slow], count=1) == [quick]
    slow.kill()
    assert set(gevent.joinall([quick, slow])) == {quick, slow}


def test_joinall_raises_the_first_failure(errors):
    with pytest.raises(ValueError):
        gevent.joinall([gevent.spawn(int), gevent.spawn(fail, ValueError())],
                       raise_error=True)


def test_wait_returns_in_the_order_of_readiness():
    first, second = Event(), Event()
    gevent.spawn_later(0.001, second.set)
    gevent.spawn_later(0.004, first.set)
    assert gevent.wait([first, second]) == [second, first]


def test_iwait_can_be_left_early():
    quick, slow = gevent.spawn(int), gevent.spawn(Event().wait)
    gevent.sleep(0)
    for ready in gevent.iwait([slow, quick]):
        assert ready is quick
        break
    slow.kill()
    with gevent.iwait([quick]) as ready:
        assert next(ready) is quick


def test_joining_what_nobody_starts_ends_the_wait_by_a_loop_exit():
    made = Greenlet(int)
    with pytest.raises(LoopExit) as caught:
        made.join()
    assert caught.value.args[1] is gevent.get_hub()


# -- who runs when

def joining(log, made, name):
    def join():
        made.join()
        log.append(name)
    return gevent.spawn(join)


def test_a_joiner_runs_in_its_place_among_the_links(turns):
    log = []
    event = Event()
    made = gevent.spawn(event.wait)
    made.rawlink(lambda it: log.append('first link'))
    joining(log, made, 'joiner')
    gevent.sleep(0)
    made.rawlink(lambda it: log.append('last link'))
    event.set()
    turns()
    assert log == ['first link', 'joiner', 'last link']


def test_the_killer_goes_on_as_soon_as_the_victim_has_ended(turns):
    log = []

    def victim():
        try:
            Event().wait()
        finally:
            gevent.spawn(log.append, 'later')
            log.append('victim')
    made = gevent.spawn(victim)
    gevent.sleep(0)
    made.kill()
    log.append('killer')
    turns()
    assert log == ['victim', 'killer', 'later']


def test_joinall_ends_in_the_turn_of_the_last(turns):
    """Also when an earlier one has other links."""
    log = []
    first = gevent.spawn(log.append, 'first')

    def last():
        gevent.spawn(log.append, 'spawned by last')
        log.append('last')
    second = gevent.spawn(last)
    first.rawlink(lambda it: log.append('link'))
    gevent.joinall([first, second])
    log.append('joined')
    assert log == ['first', 'last', 'link', 'spawned by last', 'joined']


def test_killing_oneself_without_blocking_comes_at_the_next_wait():
    log = []

    def work():
        made.kill(block=False)
        log.append('still here')
        gevent.sleep(0)
        log.append('never')
    made = gevent.spawn(work)
    made.join()
    assert log == ['still here'] and isinstance(made.value, GreenletExit)


@pytest.mark.parametrize('how', [
    lambda made: made.join(), lambda made: made.get(),
    lambda made: gevent.joinall([made]), lambda made: gevent.wait([made]),
    lambda made: made.kill(), lambda made: gevent.sleep(0)])
def test_nothing_keeps_one_that_has_ended(how):
    made = gevent.spawn(int)
    gone = weakref.ref(made)
    how(made)
    del made
    assert gone() is None


def test_nothing_keeps_one_that_has_failed(errors):
    gc.collect()
    gc.disable()
    try:
        made = gevent.spawn(fail, ValueError('broken'))
        gone = weakref.ref(made)
        try:
            made.get()
        except ValueError:
            pass
        errors.clear()
        del made
        assert gone() is None
    finally:
        gc.enable()
