"""gevent.util.assert_switches, and the tracers behind it."""
import time

import gevent
import pytest
from greenlet import gettrace
from gevent import util
from gevent._tracer import GreenletTracer, HubSwitchTracer, MaxSwitchTracer


def busy(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.fixture(autouse=True)
def _no_tracer_left():
    before = gettrace()
    yield
    assert gettrace() is before
    assert "switch" not in vars(gevent.get_hub())


@pytest.mark.parametrize("arguments, text", [
    ({}, "To any greenlet in "),
    ({"hub_only": True}, "To the hub in "),
    ({"max_blocking_time": 0.001},
     r"To any greenlet in .* \(max allowed 0.0010 seconds\)"),
    ({"max_blocking_time": 0.001, "hub_only": True},
     r"To the hub in .* \(max allowed 0.0010 seconds\)"),
])
def test_complaint(arguments, text):
    with pytest.raises(AssertionError, match=text) as caught:
        with util.assert_switches(**arguments):
            busy(0.005)
    assert "test_complaint" in str(caught.value)
    assert "* Greenlets" in str(caught.value)


@pytest.mark.parametrize("arguments", [
    {}, {"hub_only": True}, {"max_blocking_time": 60},
    {"max_blocking_time": 60, "hub_only": True},
])
@pytest.mark.parametrize("give_way", [
    lambda: gevent.sleep(0), lambda: gevent.sleep(0.001), gevent.idle,
    lambda: gevent.spawn(gevent.sleep, 0).join(),
])
def test_giving_way(arguments, give_way):
    with util.assert_switches(**arguments) as asserting:
        assert asserting.hub is gevent.get_hub()
        give_way()
    assert asserting.hub is asserting.tracer is None


def test_time_in_the_hub_is_not_counted():
    with util.assert_switches(max_blocking_time=0.2):
        gevent.sleep(0.4)


def test_longest_run_counts():
    with pytest.raises(AssertionError):
        with util.assert_switches(max_blocking_time=0.01):
            gevent.sleep(0)
            busy(0.03)
            gevent.sleep(0)


def test_no_switch_but_quick():
    with util.assert_switches(max_blocking_time=60):
        pass


def test_errors_pass():
    with pytest.raises(KeyError):
        with util.assert_switches():
            raise KeyError


def test_nested():
    with util.assert_switches() as outer:
        with util.assert_switches() as inner:
            assert inner.tracer.previous_trace_function is outer.tracer
            gevent.sleep(0)
        assert gettrace() is outer.tracer


def test_tracer_counts_and_passes_on():
    events = []
    outer = GreenletTracer()
    tracer = GreenletTracer()
    try:
        outer.previous_trace_function = lambda *args: events.append(args)
        assert tracer.active_greenlet is None
        gevent.spawn(lambda: None).join()
        count = tracer.greenlet_switch_counter
        assert count >= 2 and len(events) == count
        assert tracer.active_greenlet is gevent.getcurrent()
        assert tracer.did_block_hub(gevent.get_hub()) is False
        assert tracer.did_block_hub(gevent.get_hub()) == (
            True, gevent.getcurrent())
        tracer.ignore_current_greenlet_blocking()
        assert tracer.did_block_hub(gevent.get_hub()) is False
        tracer.monitor_current_greenlet_blocking()
        assert tracer.did_block_hub(gevent.get_hub())
    finally:
        outer.previous_trace_function = None
        tracer.kill()
        outer.kill()


@pytest.mark.parametrize("kind", [HubSwitchTracer, MaxSwitchTracer])
def test_hub_tracers(kind):
    hub = gevent.get_hub()
    tracer = kind(hub, 0.01)
    try:
        tracer.monitor_current_greenlet_blocking()
        gevent.spawn(lambda: None).join()
        busy(0.02)
        if kind is MaxSwitchTracer:
            gevent.spawn(lambda: None).join()
            assert tracer.max_blocking >= 0.02
        assert tracer.did_block_hub(hub)[0] is True
    finally:
        tracer.kill()
    assert tracer.hub is None
