"""Wrong use: the same exception types as gevent, and nothing left behind."""
import os
import socket as native_socket
import time

import gevent
import pytest
from gevent import Timeout, select, socket
from gevent.event import AsyncResult, Event
from gevent.exceptions import ConcurrentObjectUseError, InvalidSwitchError
from gevent.lock import BoundedSemaphore, RLock, Semaphore
from gevent.queue import Channel, Empty, Full, Queue


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def closed_fd():
    fd = os.dup(0)
    os.close(fd)
    return fd


# -- wrong types ------------------------------------------------------------------------

@pytest.mark.parametrize("spawn", [
    gevent.spawn, gevent.spawn_raw, gevent.Greenlet,
    lambda what: gevent.spawn_later(0, what)])
def test_spawn_needs_a_callable(spawn):
    with pytest.raises(TypeError):
        spawn(17)


def test_signal_handler_needs_a_callable():
    with pytest.raises(TypeError):
        gevent.signal_handler(10, 17)


@pytest.mark.parametrize("call", [
    lambda: gevent.sleep("long"), lambda: gevent.sleep(None),
    lambda: Event().wait("long"), lambda: Semaphore().acquire(1, 2, 3),
    lambda: gevent.get_hub().loop.timer("soon"),
    lambda: gevent.get_hub().loop.io("x", 1)])
def test_wrong_types(call):
    with pytest.raises(TypeError):
        call()
        gevent.sleep(0)


@pytest.mark.parametrize("make", [
    lambda loop: loop.timer(1), lambda loop: loop.async_(),
    lambda loop: loop.idle(), lambda loop: loop.prepare(),
    lambda loop: loop.check(), lambda loop: loop.fork(),
    lambda loop: loop.signal(10)])
def test_watcher_start_needs_a_callable(hub, make):
    with make(hub.loop) as watcher:
        with pytest.raises(TypeError):
            watcher.start(17)
        with pytest.raises(TypeError):
            watcher.start(None)
        assert not watcher.active


def test_semaphore_value():
    for make in (Semaphore, BoundedSemaphore):
        with pytest.raises((ValueError, AssertionError)):
            make(-1)


def test_wait_for_objects_without_links():
    with pytest.raises((TypeError, AttributeError)):
        gevent.wait([17])


# -- bad descriptors and closed sockets ------------------------------------------------

def test_io_watcher_of_a_closed_descriptor(hub):
    fd = closed_fd()
    with pytest.raises(OSError):
        with hub.loop.io(fd, 1) as watcher:
            hub.wait(watcher)


def test_io_watcher_of_a_negative_descriptor(hub):
    with pytest.raises(ValueError):
        hub.loop.io(-1, 1)


@pytest.mark.parametrize("events", [0x8000, -1])
def test_io_watcher_with_a_bad_mask(hub, pipe, events):
    with pytest.raises(ValueError):
        hub.loop.io(pipe[0], events)


def test_numbers_too_large_for_the_system(hub, pipe):
    large = 2 ** 32
    for make in (lambda: hub.loop.io(large + pipe[0], 1),
                 lambda: hub.loop.child(large + os.getpid())):
        with pytest.raises(OverflowError):
            make()
    with hub.loop.io(pipe[0], 1) as watcher:
        with pytest.raises(OverflowError):
            watcher.fd = large + pipe[1]
        assert watcher.fd == pipe[0]


def test_pass_events_that_cannot_tell(hub, pipe):
    class Undecided:
        def __bool__(self):
            raise ZeroDivisionError

    with hub.loop.io(pipe[0], 1) as watcher:
        with pytest.raises(ZeroDivisionError):
            watcher.start(print, pass_events=Undecided())
        assert not watcher.active


def test_closed_socket(pair):
    here, _ = pair
    here.close()
    for call in (lambda: here.recv(1), lambda: here.send(b"x"),
                 lambda: here.sendall(b"x"), here.getsockname):
        with pytest.raises(OSError):
            call()


def test_socket_closed_while_a_greenlet_waits(pair):
    here, _ = pair
    waiting = gevent.spawn(here.recv, 1)
    gevent.sleep(0)
    here.close()
    waiting.join()
    assert isinstance(waiting.exception, OSError)


def test_two_greenlets_wait_on_one_watcher(hub, pipe):
    with hub.loop.io(pipe[0], 1) as watcher:
        first = gevent.spawn(socket.wait, watcher)
        gevent.sleep(0)
        with pytest.raises(ConcurrentObjectUseError):
            socket.wait(watcher)
        first.kill()


def test_select_of_a_closed_descriptor():
    with pytest.raises((OSError, ValueError)):
        select.select([closed_fd()], [], [], 0.01)


def test_select_of_something_else():
    with pytest.raises(TypeError):
        select.select(["x"], [], [], 0.01)


def test_wait_read_on_a_closed_native_socket():
    native = native_socket.socket()
    native.close()
    with pytest.raises((OSError, ValueError)):
        socket.wait_read(native.fileno(), timeout=0.01)


# -- times -----------------------------------------------------------------------------

def test_negative_sleep_yields():
    order = []
    greenlet = gevent.spawn(order.append, "other")
    gevent.sleep(-1)
    order.append("here")
    greenlet.join()
    assert order == ["other", "here"]


def test_negative_socket_timeout(pair):
    with pytest.raises(ValueError):
        pair[0].settimeout(-1)
    with pytest.raises((ValueError, TypeError)):
        pair[0].settimeout("soon")


@pytest.mark.parametrize("call", [
    lambda: Queue().get(timeout=-1), lambda: Queue(1).put(1, timeout=-1)])
def test_negative_queue_timeout(call):
    with pytest.raises(ValueError):
        call()


def test_timeouts_of_each_kind(pair):
    pair[0].settimeout(0.001)
    with pytest.raises(socket.timeout, match="timed out"):
        pair[0].recv(1)
    with pytest.raises(Empty):
        Queue().get(timeout=0.001)
    with pytest.raises(Empty):
        Queue().get(block=False)
    queue = Queue(1)
    queue.put(1)
    with pytest.raises(Full):
        queue.put(2, timeout=0.001)
    with pytest.raises(Empty):
        Channel().get(timeout=0.001)
    with pytest.raises(Timeout):
        AsyncResult().get(timeout=0.001)
    assert Event().wait(0.001) is False
    assert Semaphore(0).acquire(timeout=0.001) is False
    greenlet = gevent.spawn(gevent.sleep, 10)
    greenlet.join(timeout=0.001)
    assert not greenlet.dead
    with pytest.raises(Timeout):
        greenlet.get(timeout=0.001)
    greenlet.kill()


def test_timeout_restarted_while_pending():
    with Timeout(10) as timeout:
        with pytest.raises(AssertionError):
            timeout.start()


# -- a greenlet killed while it waits ---------------------------------------------------

WAITS = {
    "sleep": lambda pair: gevent.sleep(10),
    "unreferenced sleep": lambda pair: gevent.sleep(10, ref=False),
    "Event": lambda pair: Event().wait(),
    "Event, timed": lambda pair: Event().wait(10),
    "AsyncResult": lambda pair: AsyncResult().get(timeout=10),
    "Queue get": lambda pair: Queue().get(timeout=10),
    "Queue put": lambda pair: Queue(1, items=[1]).put(1, timeout=10),
    "Channel": lambda pair: Channel().get(timeout=10),
    "Semaphore": lambda pair: Semaphore(0).acquire(timeout=10),
    "socket": lambda pair: pair[0].recv(1),
    "accept": lambda pair: accept(),
    "select": lambda pair: select.select([pair[0]], [], [], 10),
    "poll": lambda pair: poll(pair[0]),
    "join": lambda pair: gevent.spawn_later(10, len).join(),
    "joinall": lambda pair: gevent.joinall([gevent.spawn_later(10, len)], 10),
    "iwait": lambda pair: list(gevent.iwait([Event()], timeout=10)),
    "idle": lambda pair: hold_idle(),
    "with Timeout": lambda pair: with_timeout(),
    "threadpool": lambda pair: gevent.get_hub().threadpool.apply(
        time.sleep, (0.05,)),
}


def accept():
    listener = socket.socket()
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.accept()
    finally:
        listener.close()


def poll(sock):
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    poller.poll(10000)


def hold_idle():
    gevent.idle()
    gevent.sleep(10)


def with_timeout():
    with Timeout(10):
        gevent.sleep(20)


@pytest.mark.parametrize("how", WAITS)
@pytest.mark.parametrize("end", ["kill", "timeout"])
def test_wait_ended_from_outside(pair, how, end):
    """Nothing stays behind in the loop (see `nothing_left`)."""
    started = []

    def work():
        started.extend(o for o in [gevent.getcurrent()])
        WAITS[how](pair)
    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    gevent.sleep(0)
    if end == "kill":
        greenlet.kill()
    else:
        timeout = Timeout(0.001)

        def limited():
            with timeout:
                WAITS[how](pair)
        greenlet.kill()
        greenlet = gevent.spawn(limited)
        greenlet.join()
        assert greenlet.dead
        assert greenlet.exception in (timeout, None)
    collect_later_greenlets()


def collect_later_greenlets():
    """End what `spawn_later` started in a wait."""
    import gc
    for thing in gc.get_objects():
        if (isinstance(thing, gevent.Greenlet) and thing.started
                and thing.parent is gevent.get_hub()):
            thing.kill(block=False)
    gevent.sleep(0)


@pytest.mark.parametrize("how", WAITS)
def test_wait_ended_by_an_exception(pair, how):
    greenlet = gevent.spawn(WAITS[how], pair)
    gevent.sleep(0)
    gevent.sleep(0)
    error = KeyError("thrown")
    if not greenlet.dead:
        greenlet.kill(error, block=True)
        assert greenlet.exception is error
    collect_later_greenlets()


# -- locks ---------------------------------------------------------------------------------

def test_releasing_what_is_not_held():
    with pytest.raises(ValueError):
        BoundedSemaphore(1).release()
    with pytest.raises(RuntimeError):
        RLock().release()


def test_rlock_released_by_another_greenlet():
    lock = RLock()
    holder = gevent.spawn(lock.acquire)
    holder.join()
    with pytest.raises(RuntimeError):
        lock.release()


# -- the wrong place --------------------------------------------------------------------

def test_waiter_used_off_the_hub(hub):
    waiter = gevent.hub.Waiter()
    greenlet = gevent.spawn(waiter.get)
    gevent.sleep(0)
    with pytest.raises(AssertionError):
        waiter.switch(1)
    with pytest.raises(AssertionError):
        waiter.throw(KeyError)
    greenlet.kill()


def test_stat_with_an_interval_below_zero(hub, tmp_path):
    file = tmp_path / 'file'
    file.touch()
    with hub.loop.stat(str(file), interval=-1) as watcher:
        assert watcher.interval == -1
        gevent.spawn_later(0.01, file.write_text, 'changed')
        with gevent.Timeout(20):
            hub.wait(watcher)
        assert watcher.attr.st_size == 7


def test_second_greenlet_in_a_waiter():
    waiter = gevent.hub.Waiter()
    greenlet = gevent.spawn(waiter.get)
    gevent.sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        waiter.get()
    greenlet.kill()


def test_wrong_value_switched_into_a_wait(hub):
    """Whoever switches a waiting greenlet by hand gets it told."""
    def wait():
        with hub.loop.timer(10) as timer:
            hub.wait(timer)
    greenlet = gevent.spawn(wait)
    gevent.sleep(0)
    hub.loop.run_callback(greenlet.switch, "not what it waits for")
    hub.exception_stream, stream = None, hub.exception_stream
    greenlet.join()
    hub.exception_stream = stream
    assert isinstance(greenlet.exception, InvalidSwitchError)


def test_block_in_the_hub(hub, errors):
    for call in (lambda: gevent.sleep(1), lambda: Event().wait(),
                 lambda: Semaphore(0).acquire(), lambda: Queue(1).get(),
                 lambda: AsyncResult().get()):
        hub.loop.run_callback(call)
    gevent.sleep(0.001)
    assert len(errors) == 5
    assert all(issubclass(type_, (AssertionError, RuntimeError, Empty,
                                  gevent.exceptions.BlockingSwitchOutError,
                                  Timeout))
               for _, type_, _ in errors), errors


def test_hub_join_off_main(hub):
    greenlet = gevent.spawn(hub.join)
    hub.exception_stream, stream = None, hub.exception_stream
    greenlet.join()
    hub.exception_stream = stream
    assert isinstance(greenlet.exception, AssertionError)


def test_hub_of_another_thread(hub):
    """Switching to another thread's hub is greenlet's error."""
    import threading
    seen = []

    def thread():
        try:
            hub.switch()
        except BaseException as error:
            seen.append(error)
        made = gevent._hub_local.get_hub_if_exists()
        if made is not None:
            made.destroy(destroy_loop=True)
    other = threading.Thread(target=thread)
    other.start()
    other.join()
    assert len(seen) == 1


def test_watcher_attributes_are_fixed_while_active(hub, pipe):
    with hub.loop.io(pipe[0], 1) as watcher:
        watcher.start(len)
        with pytest.raises(AttributeError):
            watcher.fd = pipe[1]
        with pytest.raises(AttributeError):
            watcher.events = 2
        watcher.stop()


def test_destroyed_loop(run_program):
    done = run_program("""
        import gevent, threading
        def thread():
            hub = gevent.get_hub()
            loop = hub.loop
            hub.destroy(destroy_loop=True)
            for call in (lambda: loop.timer(1), lambda: loop.run_callback(len),
                         loop.run):
                try:
                    call()
                except ValueError:
                    print("ValueError")
                except BaseException as error:
                    print(type(error), error)
                else:
                    print("nothing")
        t = threading.Thread(target=thread)
        t.start()
        t.join()
    """)
    print(done.stdout)
    assert done.stdout.splitlines()


# -- use after fork --------------------------------------------------------------------

def test_child_of_a_fork_goes_on(run_program):
    done = run_program("""
        import gevent, os
        from gevent.event import Event
        event = Event()
        greenlet = gevent.spawn(event.wait)
        gevent.sleep(0.001)
        pid = gevent.os.fork()
        if not pid:
            event.set()
            assert greenlet.get() is True
            gevent.sleep(0.001)
            assert gevent.spawn(len, "abc").get() == 3
            os._exit(7)
        print(os.waitstatus_to_exitcode(gevent.os.waitpid(pid, 0)[1]))
        event.set()
        assert greenlet.get() is True
    """)
    assert done.stdout == "7\n"


def test_native_fork_without_notice(run_program):
    """The loop finds out by itself."""
    done = run_program("""
        import gevent, os
        gevent.sleep(0.001)
        pid = os.fork()
        if not pid:
            gevent.sleep(0.001)
            r, w = os.pipe()
            os.write(w, b"x")
            gevent.get_hub().wait(gevent.get_hub().loop.io(r, 1))
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert done.stdout == "7\n"
