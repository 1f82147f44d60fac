"""How a hub ends a wait that cannot end, reports errors, and is used again."""
import io
import re
import sys

import gevent
import pytest
from gevent import getcurrent
from gevent.event import AsyncResult, Event
from gevent.exceptions import LoopExit
from gevent.lock import Semaphore
from gevent.queue import Queue


# -- LoopExit ----------------------------------------------------------------------

def test_loop_exit_reaches_main(hub):
    with pytest.raises(LoopExit) as caught:
        Event().wait()
    assert caught.value.args[0] == "This operation would block forever"
    assert caught.value.hub is hub
    assert caught.value.args[1] is hub


def test_loop_exit_is_an_exception():
    assert issubclass(LoopExit, Exception)


def test_hub_works_after_loop_exit():
    for _ in range(3):
        with pytest.raises(LoopExit):
            Queue().get()
    gevent.sleep(0.001)
    assert gevent.spawn(len, "abc").get() == 3


def test_parked_greenlets_survive_loop_exit():
    event = Event()
    greenlet = gevent.spawn(event.wait)
    with pytest.raises(LoopExit):
        Semaphore(0).acquire()
    assert not greenlet.dead
    event.set()
    assert greenlet.get() is True


@pytest.mark.parametrize("make, wait", [
    (Event, "wait"), (AsyncResult, "get"), (Queue, "get"),
    (lambda: Semaphore(0), "acquire")],
    ids=["Event", "AsyncResult", "Queue", "Semaphore"])
def test_loop_exit_says_who_waits_on_what(make, wait):
    subject = make()

    def patient_reader():
        getattr(subject, wait)()
    greenlet = gevent.spawn(patient_reader)
    gevent.sleep(0)
    with pytest.raises(LoopExit) as caught:
        getattr(subject, wait)()
    text = str(caught.value)
    assert "patient_reader" in text
    assert f"{id(subject):x}" in text.lower()
    greenlet.kill()


def test_loop_exit_names_the_hub():
    with pytest.raises(LoopExit) as caught:
        Event().wait()
    assert "Hub" in str(caught.value)


def test_join_returns_true_when_nothing_is_left(hub):
    assert hub.join() is True
    greenlet = gevent.spawn(gevent.sleep, 0.001)
    assert hub.join() is True
    assert greenlet.dead


def test_join_returns_false_on_timeout(hub):
    greenlet = gevent.spawn(gevent.sleep, 10)
    assert hub.join(timeout=0.001) is False
    greenlet.kill()


def test_join_of_an_unstarted_greenlet_alone():
    greenlet = gevent.Greenlet(len, "abc")
    with pytest.raises(LoopExit):
        greenlet.join()


def test_unreferenced_sleep_does_not_keep_the_loop():
    with pytest.raises(LoopExit):
        gevent.sleep(10, ref=False)


# -- errors ------------------------------------------------------------------------

def test_errors_are_printed_with_their_context(hub, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(hub, "exception_stream", stream, raising=False)

    def failing():
        raise ValueError("the text")
    greenlet = gevent.spawn(failing)
    greenlet.join()
    text = stream.getvalue()
    assert "Traceback" in text and "ValueError: the text" in text
    assert "failed with ValueError" in text and repr(greenlet) in text
    with pytest.raises(ValueError):
        greenlet.get()


def test_errors_of_no_one_are_printed_with_the_time(hub, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(hub, "exception_stream", stream, raising=False)
    monkeypatch.setattr(hub, "handle_system_error", lambda *_args: None,
                        raising=False)
    hub.handle_error(None, KeyboardInterrupt, KeyboardInterrupt(), None)
    assert re.fullmatch(
        r"KeyboardInterrupt\n\d{4}-\d\d-\d\dT[\d:]{8}Z\n",
        stream.getvalue())


def test_silent_stream(hub, monkeypatch):
    monkeypatch.setattr(hub, "exception_stream", None, raising=False)
    gevent.spawn(int, "x").join()


def test_error_in_a_callback_is_reported(hub, errors):
    callback = hub.loop.run_callback(int, "x")
    gevent.sleep(0)
    assert [(type_, str(value)) for _, type_, value in errors] == [
        (ValueError, "invalid literal for int() with base 10: 'x'")]
    assert not callback.pending


def test_error_in_an_io_callback_stops_the_watcher(hub, errors):
    import os
    reading, writing = os.pipe()
    os.write(writing, b"x")
    watcher = hub.loop.io(reading, 1)
    watcher.start(int, "x")
    gevent.sleep(0.005)
    assert not watcher.active
    watcher.close()
    os.close(reading)
    os.close(writing)
    assert [type_ for _, type_, _ in errors] == [ValueError]


def test_failing_handle_error_does_not_end_the_loop(run_program):
    done = run_program("""
        import gevent
        hub = gevent.get_hub()
        def broken(*args):
            raise RuntimeError("in handle_error")
        hub.handle_error = broken
        hub.loop.run_callback(int, "x")
        gevent.sleep(0.001)
        print("alive")
    """)
    assert done.stdout == "alive\n"


def test_system_exit_in_a_greenlet_ends_the_program(run_program):
    run_program("""
        import gevent, sys
        def work():
            gevent.sleep(0)
            sys.exit(7)
        gevent.spawn(work)
        gevent.sleep(30)
    """, status=7)


def test_system_exit_in_a_callback_ends_the_program(run_program):
    run_program("""
        import gevent, sys
        gevent.get_hub().loop.run_callback(sys.exit, 7)
        gevent.sleep(30)
    """, status=7)


def test_system_exit_reaches_main_once(hub, errors):
    del hub.handle_error
    gevent.spawn(sys.exit, 3)
    with pytest.raises(SystemExit) as caught:
        gevent.sleep(1)
    assert caught.value.code == 3
    gevent.sleep(0.001)
    hub.handle_error = None  # the fixture takes it away again


def test_greenlet_exit_is_no_error(errors):
    def work():
        raise gevent.GreenletExit("done")
    greenlet = gevent.spawn(work)
    greenlet.join()
    assert str(greenlet.value) == "done" and greenlet.successful()
    assert not errors


# -- more than one hub ---------------------------------------------------------------

def test_one_hub_a_thread(hub):
    import threading
    seen = []

    def thread():
        seen.append(gevent.get_hub())
        gevent.sleep(0.001)
        seen[0].destroy(destroy_loop=True)
    other = threading.Thread(target=thread)
    other.start()
    other.join()
    assert seen[0] is not hub
    assert gevent.get_hub() is hub


def test_destroyed_hub_is_replaced(run_program):
    run_program("""
        import gevent
        first = gevent.get_hub()
        gevent.sleep(0.001)
        first.destroy()
        gevent.sleep(0.001)
        assert gevent.get_hub() is not first
        assert gevent.spawn(len, "abc").get() == 3
    """)


def test_hub_is_parent_of_greenlets(hub):
    def parent():
        return getcurrent().parent
    assert gevent.spawn(parent).get() is hub
    assert hub.parent is getcurrent()
