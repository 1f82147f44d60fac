"""The native thread that watches a hub."""
import time

import gevent
import greenlet
import pytest
from gevent import _monitor, events
from gevent._monitor import PeriodicMonitoringThread
from gevent._tracer import GreenletTracer, SwitchWatch
from zope.interface.verify import verifyObject


@pytest.fixture
def monitor():
    thread = PeriodicMonitoringThread(gevent.get_hub())
    yield thread
    thread.kill()


@pytest.fixture
def watch():
    """What a monitor asks, with nobody else asking."""
    return SwitchWatch(gevent.get_hub())


@pytest.fixture
def seen():
    found = []
    events.subscribers.append(found.append)
    yield found
    events.subscribers.remove(found.append)


@pytest.fixture
def setting(monkeypatch):
    def change(name, value):
        monkeypatch.setattr(gevent.config.settings[name], "value", value,
                            raising=False)
    return change


def busy_until(condition, limit=20):
    end = time.perf_counter() + limit
    while not condition():
        assert time.perf_counter() < end


def test_interface(monitor):
    assert verifyObject(events.IPeriodicMonitorThread, monitor)
    assert "PeriodicMonitoringThread" in repr(monitor)
    assert monitor.hub is gevent.get_hub()


def test_reports_a_greenlet_that_does_not_give_way(seen, setting):
    setting("max_blocking_time", 0.01)
    hub = gevent.get_hub()
    printed = []

    class Stream:
        def write(self, text):
            # After the event.
            assert seen
            printed.append(text)

    def of_a_greenlet():
        # Others may be reported as well, where the machine is slow.
        return (it for it in seen if isinstance(it.greenlet, gevent.Greenlet))

    hub.exception_stream, before = Stream(), hub.exception_stream
    monitor = PeriodicMonitoringThread(hub)
    try:
        gevent.spawn(busy_until, lambda: any(of_a_greenlet())
                     and "in busy_until" in "".join(printed)).get()
    finally:
        monitor.kill()
        hub.exception_stream = before
    event = next(of_a_greenlet())
    assert isinstance(event, events.EventLoopBlocked)
    assert event.hub is hub and event.blocking_time == 0.01
    text = "".join(printed)
    assert "appears to be blocked" in text and "busy_until" in text


def test_says_nothing_while_the_hub_waits(watch):
    hub = gevent.get_hub()

    def look():
        # What the main greenlet does until the hub waits may be reported.
        silent = 0
        while silent < 10:
            silent = 0 if watch.did_block_hub(hub) else silent + 1

    hub.threadpool.apply(look)


def test_printing_can_be_turned_off(seen, setting, monitor):
    setting("print_blocking_reports", False)
    gevent.sleep(0)
    monitor._greenlet_tracer.did_block_hub(gevent.get_hub())
    shown = []
    monitor._show_blocking_report = lambda *args: shown.append(args)
    monitor.monitor_current_greenlet_blocking()
    greenlet, report = monitor.monitor_blocking(gevent.get_hub())
    assert greenlet is gevent.getcurrent() and report
    assert seen and shown == []
    monitor.ignore_current_greenlet_blocking()
    assert monitor.monitor_blocking(gevent.get_hub()) is None


def test_functions_of_others(monitor):
    calls = []
    monitor.add_monitoring_function(calls.append, 0.01)
    busy_until(lambda: len(calls) > 2)
    assert set(calls) == {gevent.get_hub()}
    monitor.add_monitoring_function(calls.append, 5)
    assert len(monitor.monitoring_functions()) == 2
    monitor.add_monitoring_function(calls.append, None)
    assert len(monitor.monitoring_functions()) == 1
    for bad in ((calls.append, 0), (calls.append, -1), (None, 1)):
        with pytest.raises(ValueError):
            monitor.add_monitoring_function(*bad)


def test_sleep_time_follows_the_periods(monitor, setting):
    assert monitor.calculate_sleep_time() == gevent.config.max_blocking_time
    monitor.add_monitoring_function(print, 0.0001)
    assert monitor.calculate_sleep_time() == monitor.min_sleep_time
    monitor.add_monitoring_function(print, None)
    setting("max_blocking_time", None)
    assert monitor.calculate_sleep_time() == monitor.inactive_sleep_time


def test_memory(monitor, seen, setting, monkeypatch):
    class Process:
        used = 100

        def memory_full_info(self):
            raise PermissionError

        def memory_info(self):
            class Info:
                rss = self.used
            return Info()

    process = Process()
    monkeypatch.setattr(_monitor, "get_this_psutil_process", lambda: process)
    setting("max_memory_usage", 50)
    monitor.install_monitor_memory_usage()
    assert len(monitor.monitoring_functions()) == 2
    hub = gevent.get_hub()

    assert monitor.monitor_memory_usage(hub) is seen[0]
    assert isinstance(seen[0], events.MemoryUsageThresholdExceeded)
    assert (seen[0].mem_usage, seen[0].max_allowed) == (100, 50)
    # Not again for the same.
    assert monitor.monitor_memory_usage(hub) is None
    process.used = 120
    assert monitor.monitor_memory_usage(hub) is seen[1]
    process.used = 20
    assert isinstance(monitor.monitor_memory_usage(hub),
                      events.MemoryUsageUnderThreshold)
    assert seen[2].max_memory_usage == 120
    assert monitor.monitor_memory_usage(hub) is None
    setting("max_memory_usage", None)
    assert monitor.monitor_memory_usage(hub) is None


def test_memory_without_psutil(monitor, setting, monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.setattr(_monitor, "get_this_psutil_process", missing)
    setting("max_memory_usage", 50)
    with pytest.warns(_monitor.MonitorWarning):
        monitor.install_monitor_memory_usage()


def test_enabled_by_the_setting(run_program):
    run_program("""
        import gevent
        from gevent import events
        seen = []
        events.subscribers.append(seen.append)
        hub = gevent.get_hub()
        assert hub.periodic_monitoring_thread is None
        gevent.spawn(gevent.sleep, 0).join()
        monitor = hub.periodic_monitoring_thread
        assert seen[0].monitor is monitor
        hub.destroy()
        assert not monitor.should_run
    """, GEVENT_MONITOR_THREAD_ENABLE="1")


def test_after_fork(run_program):
    run_program("""
        import gevent, gevent.os, os
        gevent.sleep(0.001)
        pid = gevent.os.fork()
        if pid == 0:
            calls = []
            monitor = gevent.get_hub().periodic_monitoring_thread
            monitor.add_monitoring_function(calls.append, 0.005)
            while not calls:
                gevent.sleep(0.001)
            os._exit(0)
        assert gevent.os.waitpid(pid, 0) == (pid, 0)
    """, GEVENT_MONITOR_THREAD_ENABLE="1")


def test_nothing_is_traced(monitor):
    assert greenlet.gettrace() is None


def test_a_callback_of_the_hub_that_blocks_is_reported(seen, setting):
    setting("max_blocking_time", 0.01)
    setting("print_blocking_reports", False)
    hub = gevent.get_hub()
    monitor = PeriodicMonitoringThread(hub)
    try:
        # Others may be reported as well, where the machine is slow.
        hub.loop.run_callback(
            busy_until, lambda: any(it.greenlet is hub for it in seen))
        gevent.sleep(0)
    finally:
        monitor.kill()


def test_callbacks_and_switches_are_progress(watch):
    hub = gevent.get_hub()
    calls = []

    def again():
        calls.append(watch.did_block_hub(hub))
        if len(calls) < 5:
            hub.loop.run_callback(again)

    hub.loop.run_callback(again)
    for _ in range(5):
        gevent.sleep(0)
        assert not watch.did_block_hub(hub)
    assert calls == [False] * 5
    assert watch.did_block_hub(hub) == (True, gevent.getcurrent())


def test_a_loop_without_such_an_account_is_traced():
    class Hub:
        loop = object()

    hub = Hub()
    thread = PeriodicMonitoringThread(hub)
    try:
        assert isinstance(thread._greenlet_tracer, GreenletTracer)
    finally:
        thread.kill()
    assert greenlet.gettrace() is None
