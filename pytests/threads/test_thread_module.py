"""gevent.thread: greenlets behind the interface of _thread."""
import _thread
import io

import gevent
import pytest
from gevent import thread
from gevent.event import Event


def test_start_new_thread():
    finished = Event()
    seen = []

    def work(*args, **kwargs):
        seen.append((args, kwargs, thread.get_ident()))
        finished.set()

    ident = thread.start_new_thread(work, (1, 2), {"a": 3})
    assert not seen, "runs only when the starter waits"
    assert finished.wait(10)
    assert seen == [((1, 2), {"a": 3}, ident)]


@pytest.mark.parametrize("arguments", [(1, ()), (print, 1), (print, (), 1)])
def test_start_new_thread_with_bad_arguments(arguments):
    with pytest.raises(TypeError):
        thread.start_new_thread(*arguments)


def test_get_ident():
    assert thread.get_ident() == id(gevent.getcurrent())
    greenlet = gevent.spawn(thread.get_ident)
    assert thread.get_ident(greenlet) == greenlet.get() == id(greenlet)


def test_exit():
    greenlet = gevent.spawn(thread.exit)
    greenlet.join()
    assert isinstance(greenlet.value, gevent.GreenletExit)


def test_stack_size_is_that_of_native_threads():
    before = thread.stack_size(0x80000)
    # Asking without an argument sets the default again, natively, too.
    assert thread.stack_size() == 0x80000
    assert _thread.stack_size(before) == 0
    with pytest.raises(ValueError):
        thread.stack_size(5)


def test_names_of_the_native_module():
    for name in thread.__imports__:
        assert getattr(thread, name) is getattr(_thread, name)


# -- joinable threads

def test_joinable_thread():
    seen = []
    handle = thread._ThreadHandle()
    assert handle.ident is None and not handle.is_done()
    with pytest.raises(RuntimeError, match="not started"):
        handle.join()
    returned = thread.start_joinable_thread(
        lambda: seen.append(thread.get_ident()), handle)
    assert returned is handle and not handle.is_done()
    handle.join()
    assert handle.is_done() and seen == [handle.ident]
    handle.join()
    with pytest.raises(RuntimeError, match="already started"):
        thread.start_joinable_thread(print, handle)


def test_joinable_thread_makes_its_handle():
    handle = thread.start_joinable_thread(lambda: None)
    handle.join(10)
    assert handle.is_done()
    with pytest.raises(TypeError):
        thread.start_joinable_thread(print, handle=1)


def test_join_gives_up():
    go_on = Event()
    handle = thread.start_joinable_thread(go_on.wait)
    handle.join(0.001)
    handle.join(0)
    assert not handle.is_done()
    go_on.set()
    handle.join(-1)
    assert handle.is_done()


def test_join_of_oneself():
    handle = thread._make_thread_handle(thread.get_ident())
    assert not handle.is_done()
    with pytest.raises(RuntimeError, match="current thread"):
        handle.join()
    handle._set_done()
    handle.join()
    assert handle.is_done()


def test_failing_thread_is_done(monkeypatch):
    errors = io.StringIO()
    monkeypatch.setattr(gevent.get_hub(), "exception_stream", errors)
    handle = thread.start_joinable_thread(lambda: 1 / 0, daemon=False)
    handle.join(10)
    assert handle.is_done()
    assert "ZeroDivisionError" in errors.getvalue()
    assert handle not in thread._non_daemon_handles


def test_a_thread_that_was_not_started_does_not_end():
    handle = thread._ThreadHandle()
    for call in (handle.join, handle._set_done):
        with pytest.raises(RuntimeError, match="thread not started"):
            call()
