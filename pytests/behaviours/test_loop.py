"""Behaviours of the loop, its watchers and the hub (sections 1, 2, 5)."""
import gc
import io
import re
import os
import signal
import socket
import sys
import threading
import time
import weakref

import gevent
import pytest
from gevent import Timeout, core, event
from gevent.exceptions import HubDestroyed, LoopExit

KINDS = {
    "io": (0, core.READ), "timer": (1,), "signal": (signal.SIGUSR1,),
    "async_": (), "fork": (), "child": (os.getpid(),), "stat": ("/",),
    "idle": (), "prepare": (), "check": (),
}


def nothing(*arguments):
    """A callback."""


@pytest.fixture(params=KINDS)
def watcher(request, hub):
    made = getattr(hub.loop, request.param)(*KINDS[request.param])
    yield made
    made.stop()
    made.close()


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


def in_thread(function):
    """Return what a function gives in another native thread."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def test_only_the_main_threads_loop_is_the_default(hub):
    assert hub.loop.default and hub.main_hub

    def other():
        made = gevent.get_hub()
        try:
            return made.loop.default, made.main_hub
        finally:
            made.destroy(True)
    assert in_thread(other) == (False, False)


def test_hubs_and_loops_of_ones_own(run_program):
    run_program("""
        import gevent
        from gevent import _hub_local, hub

        class Hub(hub.Hub):
            "Another class of hubs."

        _hub_local.set_default_hub_class(Hub)
        made = gevent.get_hub()
        assert type(made) is Hub and made.loop_class is gevent.config.loop
        assert isinstance(made.loop, gevent.config.loop)
        other = Hub(default=False)
        assert not other.loop.default and other.loop is not made.loop
        hub.set_hub(other)
        assert gevent.get_hub() is other
        gevent.sleep(0.001)
        loop = gevent.config.loop(default=False)
        assert Hub(loop).loop is loop
    """)


def test_switch_interval():
    assert gevent.getswitchinterval is sys.getswitchinterval
    assert gevent.setswitchinterval is sys.setswitchinterval


def test_a_callback_is_true_while_it_runs(hub):
    seen = []
    callback = hub.loop.run_callback(
        lambda: seen.append((bool(callback), callback.pending)))
    assert callback and callback.pending
    gevent.sleep(0)
    assert seen == [(True, False)]
    assert not callback and not callback.pending


def test_a_stopped_callback_does_nothing(hub):
    seen = []
    callback = hub.loop.run_callback(seen.append, 1)
    callback.stop()
    assert not callback.pending
    gevent.sleep(0)
    assert not seen


def test_a_callback_keeps_the_loop_alive(run_program):
    done = run_program("""
        import gevent
        gevent.get_hub().loop.run_callback(print, "called")
        print(gevent.wait())
    """)
    assert done.stdout == "called\nTrue\n"


def test_callbacks_run_before_the_poll(hub, pair):
    here, there = pair
    there.sendall(b"x")
    seen = []
    with hub.loop.io(here.fileno(), core.READ) as readable:
        readable.start(seen.append, "polled")
        hub.loop.run_callback(seen.append, "callback")
        gevent.sleep(0.001)
        readable.stop()
    assert seen[0] == "callback"


def test_priorities():
    with Timeout(30) as timeout:
        assert timeout.timer.priority == -1
    loop = gevent.get_hub().loop
    assert (loop.MINPRI, loop.MAXPRI) == (-2, 2)
    with loop.timer(1) as timer:
        assert timer.priority == 0


def test_sleep_is_not_shorter():
    start = time.monotonic()
    gevent.sleep(0.02)
    assert time.monotonic() - start >= 0.02


def test_update_reads_the_clock(hub):
    before = hub.loop.now()
    with hub.loop.timer(0.01) as timer:
        timer.start(nothing, update=True)
        assert hub.loop.now() >= before
        timer.stop()
    hub.loop.update_now()
    assert hub.loop.now() >= before


@pytest.mark.parametrize("what", [
    "gevent.get_hub().loop.timer(1000, ref=False).start(print)",
    "gevent.Timeout(1000, ref=False).start()",
    "gevent.spawn(gevent.sleep, 1000, ref=False)",
    "gevent.signal_handler(10, print)",
])
def test_what_does_not_hold_the_loop(what, run_program):
    done = run_program(f"""
        import gevent
        kept = {what}
        print(gevent.wait())
    """)
    assert done.stdout == "True\n"


def test_idle_runs_when_nothing_else_does(hub):
    seen = []

    def busy():
        for number in range(3):
            seen.append(number)
            gevent.sleep(0)

    gevent.spawn(busy)
    gevent.idle()
    seen.append("idle")
    assert seen == [0, 1, 2, "idle"]


def test_ref_of_watchers(watcher):
    assert watcher.ref is True
    watcher.ref = False
    assert watcher.ref is False
    watcher.ref = True


def test_stop_drops_the_callback(watcher):
    watcher.start(nothing, 1, 2)
    assert watcher.active is True
    assert (watcher.callback, watcher.args) == (nothing, (1, 2))
    watcher.stop()
    assert watcher.active is False
    assert (watcher.callback, watcher.args) == (None, None)


def test_a_started_watcher_stays(hub):
    fired = event.Event()
    timer = hub.loop.timer(0.001)
    timer.start(fired.set)
    del timer
    gc.collect()
    assert fired.wait(30)


def test_a_watcher_as_a_context(hub):
    with hub.loop.timer(1) as timer:
        timer.start(nothing)
        assert timer.active
    assert not timer.active
    timer.close()  # once more does nothing


def test_events_are_passed(hub, pair):
    here, there = pair
    there.sendall(b"x")
    seen = event.AsyncResult()
    with hub.loop.io(here.fileno(), core.READ) as readable:
        readable.start(lambda *args: seen.set(args), 1, pass_events=True)
        assert seen.get(timeout=30) == (core.READ, 1)
        readable.stop()
        seen = event.AsyncResult()
        readable.start(lambda *args: seen.set(args), core.EVENTS, 1)
        assert seen.get(timeout=30) == (core.READ, 1)
        readable.stop()


def test_watchers_fire(hub, tmp_path):
    loop, seen = hub.loop, set()
    fired = event.Event()

    def fire(name):
        seen.add(name)
        if seen == {"timer", "signal", "async", "idle", "prepare", "check",
                    "stat"}:
            fired.set()

    file = tmp_path / "watched"
    watchers = {
        "timer": loop.timer(0.001), "signal": loop.signal(signal.SIGUSR1),
        "async": loop.async_(), "idle": loop.idle(),
        "prepare": loop.prepare(), "check": loop.check(),
        "stat": loop.stat(str(file), 0.01),
    }
    for name, watcher in watchers.items():
        watcher.start(fire, name)
    watchers["async"].send()
    signal.raise_signal(signal.SIGUSR1)
    gevent.sleep(0.001)
    file.write_text("changed")
    try:
        assert fired.wait(30), seen
    finally:
        for watcher in watchers.values():
            watcher.stop()
            watcher.close()


def test_child_and_fork_watchers_fire(run_program):
    done = run_program("""
        import gevent, os
        hub = gevent.get_hub()
        told = gevent.event.AsyncResult()
        forked = hub.loop.fork(ref=False)
        forked.start(lambda: print("forked", flush=True))
        gevent.sleep(0)
        pid = os.fork()
        if not pid:
            gevent.reinit()
            gevent.sleep(0.001)
            os._exit(7)
        child = hub.loop.child(pid)
        child.start(told.set)
        told.get(timeout=140)
        print(child.pid == child.rpid == pid, child.rstatus >> 8)
        child.close()
    """)
    assert done.stdout == "forked\nTrue 7\n"


def test_a_waiter_keeps_what_comes_early(hub):
    waiter = gevent.hub.Waiter()
    hub.loop.run_callback(waiter.switch, 7)
    gevent.sleep(0)
    assert waiter.ready() and waiter.successful()
    assert waiter.get() == 7
    waiter = gevent.hub.Waiter()
    hub.loop.run_callback(waiter.throw, ValueError("early"))
    gevent.sleep(0)
    assert waiter.ready() and not waiter.successful()
    with pytest.raises(ValueError, match="early"):
        waiter.get()


def test_a_loop_exit_tells_more(hub):
    error = LoopExit("This operation would block forever", hub, ["handle"])
    assert error.hub is hub and error.args[1] is hub
    assert isinstance(error, Exception)
    assert len(repr(error).splitlines()) > 2


def test_waiting_for_nothing_gives_one_boolean(run_program):
    done = run_program("""
        import gevent
        print(list(gevent.iwait(None)))
        gevent.spawn(gevent.sleep, 1000)
        print(list(gevent.iwait(None, timeout=0.01)))
        print(gevent.wait(timeout=0.01))
    """)
    assert done.stdout == "[True]\n[False]\nFalse\n"


def test_waiting_for_some():
    events = [event.Event() for _ in range(3)]
    events[2].set()
    assert gevent.wait(events, count=1) == [events[2]]
    assert gevent.wait(events, timeout=0.01) == [events[2]]
    events[0].set()
    assert set(gevent.wait(events, count=2)) == {events[0], events[2]}


def test_what_is_waited_for_needs_links_only(hub):
    class Ready:
        def rawlink(self, callback):
            hub.loop.run_callback(callback, self)

        def unlink(self, callback):
            pass

    objects = [Ready(), Ready()]
    assert gevent.wait(objects) == objects


def test_handle_error_is_looked_up_each_time(hub, monkeypatch):
    seen = []
    failed = gevent.spawn(int, "x")
    monkeypatch.setattr(hub, "handle_error",
                        lambda *args: seen.append(args[:2]))
    failed.join()
    assert seen == [(failed, ValueError)]


def test_the_context_is_formatted(hub, monkeypatch):
    monkeypatch.setattr(hub, "exception_stream", io.StringIO())
    monkeypatch.setattr(hub, "format_context", lambda context: "<context>")
    gevent.spawn(lambda: int("x")).join()
    printed = hub.exception_stream.getvalue()
    assert printed.startswith("Traceback")
    assert re.search(r"\n\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ "
                     r"<context> failed with ValueError\n\n$", printed)


def test_a_failure_in_compiled_code_has_the_heading_of_a_traceback(
        hub, monkeypatch):
    monkeypatch.setattr(hub, "exception_stream", io.StringIO())
    gevent.spawn(int, "x").join()
    assert hub.exception_stream.getvalue().startswith(
        "Traceback (most recent call last):\n")


def test_the_text_of_a_callback(hub):
    seen = []
    callback = hub.loop.run_callback(lambda *args: seen.append(repr(callback)),
                                     1, 2)
    assert re.match(r"<callback at 0x\w+ pending callback=.* args=\(1, 2\)>$",
                    repr(callback))
    gevent.sleep(0)
    assert re.match(r"<callback at 0x\w+ args=\(1, 2\)>$", seen[0])
    assert repr(callback).endswith(" stopped>")


def test_an_error_without_a_context_reaches_main(run_program):
    done = run_program("""
        import gevent
        hub = gevent.get_hub()
        hub.exception_stream = None
        hub.loop.run_callback(hub.handle_error, None, ValueError,
                              ValueError("for main"), None)
        try:
            gevent.sleep(10)
        except ValueError as error:
            print(error)
    """)
    assert done.stdout == "for main\n"


def test_a_signal_handler_runs_in_a_greenlet():
    told = event.AsyncResult()
    handler = gevent.signal_handler(
        signal.SIGUSR1, lambda: told.set(gevent.getcurrent()))
    try:
        signal.raise_signal(signal.SIGUSR1)
        assert isinstance(told.get(timeout=30), gevent.Greenlet)
    finally:
        handler.cancel()


def test_ending_with_work_left(run_program):
    """Nothing crashes or hangs when the interpreter ends meanwhile."""
    run_program("""
        import gevent, threading
        gevent.get_hub().threadpool.spawn(int)
        for _ in range(10):
            gevent.spawn(gevent.sleep, 1000)
        gevent.get_hub().loop.timer(0.001, 0.001).start(int)

        def other():
            gevent.get_hub().loop.timer(0.0001, 0.0001).start(int)
            gevent.sleep(1000)

        threading.Thread(target=other, daemon=True).start()
        gevent.sleep(0.05)
    """)


def test_destroying_keeps_the_default_loop(run_program):
    run_program("""
        import gevent
        hub = gevent.get_hub()
        loop = hub.loop
        gevent.sleep(0)
        hub.destroy()
        again = gevent.get_hub()
        assert again is not hub and again.loop is loop
        gevent.sleep(0.001)
        again.destroy(destroy_loop=True)
        assert gevent.get_hub().loop is not loop
        gevent.sleep(0.001)
    """)


def test_destroying_a_dead_threads_hub():
    hubs = []

    def other():
        hubs.append(gevent.get_hub())
        gevent.sleep(0.001)

    in_thread(other)
    hubs[0].destroy(destroy_loop=True)
    assert hubs[0].loop is None or not hubs[0].loop.ptr


def test_hub_destroyed_is_an_exit():
    assert issubclass(HubDestroyed, gevent.GreenletExit)
    assert HubDestroyed(True).destroy_loop is True


def test_greenlets_are_weakly_referenced():
    made = gevent.spawn(nothing)
    reference = weakref.ref(made)
    made.join()
    del made
    gevent.sleep(0.001)  # the hub lets go of what it ran last
    gc.collect()
    assert reference() is None
