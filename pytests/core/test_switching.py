"""The limits within which a blocking greenlet may switch to the next one
directly.  Each was found by breaking a prototype; each test fails without it.
"""
import os
import sys
import weakref

import gevent
import greenlet as greenlet_module
import pytest
from gevent import Greenlet, getcurrent, socket
from gevent.event import AsyncResult, Event
from gevent.lock import RLock, Semaphore
from gevent.queue import Channel, Queue
from gevent.timeout import Timeout
from libgcore import _engine


def depth():
    """How many Python frames the caller has under it."""
    frame, count = sys._getframe(1), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


def recurse(levels):
    return levels and 1 + recurse(levels - 1)


# -- only a greenlet that has run is switched to directly ----------------------------

def test_new_greenlet_does_not_inherit_recursion_depth(hub):
    """One that a deep blocker started could go only a little deeper."""
    limit = sys.getrecursionlimit()
    gevent.sleep(0)  # the hub runs, at this depth

    def block_deep(levels):
        if levels:
            return block_deep(levels - 1)
        greenlet = gevent.spawn(recurse, limit // 2)
        greenlet.join()
        return greenlet.get()
    assert block_deep(limit // 2) == limit // 2


def test_spawn_and_join_do_not_nest():
    """A chain of starts, each from the one before, as deep as one."""
    depths = []

    def link(left):
        depths.append(depth())
        if left:
            gevent.spawn(link, left - 1).join()
    gevent.spawn(link, 300).join()
    assert len(depths) == 301
    assert len(set(depths)) == 1


def test_new_greenlets_are_started_by_the_hub(hub):
    switches = traced_switches(
        lambda: gevent.joinall([gevent.spawn(gevent.sleep, 0)
                                for _ in range(5)]))
    starts = [(origin, target) for origin, target, first in switches if first]
    assert len(starts) == 5
    assert all(origin is hub for origin, _ in starts)


def traced_switches(function):
    """Call *function*; return its switches as (from, to, whether to's first)."""
    switches = []
    started = set()

    def trace(event, args):
        if event in ("switch", "throw"):
            origin, target = args
            switches.append((origin, target, not known(target)))
            started.add(target)

    def known(target):
        # the main greenlet and the hub have long run
        return (target in started or target is current
                or target is gevent.get_hub())
    current = getcurrent()
    old = greenlet_module.settrace(trace)
    try:
        function()
    finally:
        greenlet_module.settrace(old)
    return switches


def test_every_switch_is_traced():
    """Profilers and debuggers see who runs, by greenlet.settrace."""
    ran = []

    def work():
        for _ in range(3):
            ran.append(getcurrent())
            gevent.sleep(0)
    switches = traced_switches(
        lambda: gevent.joinall([gevent.spawn(work) for _ in range(3)]))
    for (_, target, _), (origin, _, _) in zip(switches, switches[1:]):
        assert target is origin
    assert set(ran) <= {target for _, target, _ in switches}


def test_a_tracer_sees_who_goes_on():
    """One that keeps a stack for each greenlet changes it at calls and returns
    only; a line before either would count as the other greenlet's."""
    ready, wrong, stack_of = Event(), [], [None]

    def trace(frame, event, argument):
        current = getcurrent()
        if event in ('call', 'return'):
            stack_of[0] = current
        elif (event == 'line' and stack_of[0] is not current
              and frame.f_code.co_filename == __file__):
            wrong.append((frame.f_code.co_name, frame.f_lineno))
        return trace

    def work():
        gevent.sleep(0.001)
        gevent.sleep(0)
        ready.wait()
        return 1

    def wait_for(greenlet):
        greenlet.join()

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        greenlets = [gevent.spawn(work) for _ in range(3)]
        greenlets += [gevent.spawn(wait_for, it) for it in greenlets]
        gevent.sleep(0.02)
        ready.set()
        gevent.joinall(greenlets)
    finally:
        sys.settrace(before)
    assert wrong == []


@pytest.mark.skipif(not _engine.ACCELERATED, reason="waits are not in C")
def test_what_a_tracer_raises_is_raised_where_it_was_called():
    def trace(frame, event, argument):
        if getcurrent() is worker and frame.f_code.co_name == 'resumed':
            raise ZeroDivisionError

    def work():
        with pytest.raises(ZeroDivisionError):
            gevent.sleep(0.01)
        return True

    worker = gevent.spawn(work)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        gevent.sleep(0.02)
    finally:
        sys.settrace(before)
    worker.join()
    assert worker.value


def test_first_block_of_a_thread_starts_its_hub(run_program):
    run_program("""
        import threading, gevent
        order = []
        def thread():
            greenlets = [gevent.spawn(order.append, n) for n in range(3)]
            gevent.joinall(greenlets)
            gevent.sleep(0.001)
            order.append(gevent.get_hub().thread_ident)
            gevent.get_hub().destroy(True)
        t = threading.Thread(target=thread)
        t.start()
        t.join()
        assert order == [0, 1, 2, t.ident], order
    """)


# -- only while the hub is parked at its dispatch point ------------------------------

def test_hub_callback_gets_control_back(hub):
    """A greenlet that a callback switches to, by hand, returns to it when it
    blocks, whoever else is ready."""
    order = []

    def by_hand():
        order.append("by hand")
        gevent.sleep(0)
        order.append("by hand again")

    def ready():
        gevent.sleep(0)
        order.append("ready")
    raw = greenlet_module.greenlet(by_hand, hub)
    others = [gevent.spawn(ready), gevent.spawn(ready)]
    gevent.sleep(0)

    def callback():
        order.append("callback begins")
        raw.switch()
        order.append("callback ends")
    hub.loop.run_callback(callback)
    gevent.joinall(others)
    gevent.sleep(0)
    assert order.index("callback ends") == order.index("by hand") + 1
    assert order[-1] == "by hand again"
    assert order.count("ready") == 2


def test_hub_callback_that_blocks_is_an_error(hub, errors):
    hub.loop.run_callback(gevent.sleep, 0.001)
    gevent.sleep(0.01)
    assert [type_ for _, type_, _ in errors] == [
        gevent.exceptions.BlockingSwitchOutError]


def test_nested_switch_from_an_io_callback(hub):
    """The same with a callback of the poll."""
    reading, writing = os.pipe()
    order = []

    def by_hand():
        order.append("by hand")
        gevent.sleep(0)
        order.append("by hand again")
    raw = greenlet_module.greenlet(by_hand, hub)
    watcher = hub.loop.io(reading, 1)

    def callback():
        watcher.stop()
        raw.switch()
        order.append("callback ends")
    watcher.start(callback)
    os.write(writing, b"x")
    ready = gevent.spawn(gevent.sleep, 0)
    gevent.sleep(0.01)
    ready.join()
    watcher.close()
    os.close(reading)
    os.close(writing)
    assert order == ["by hand", "callback ends", "by hand again"]


# -- callbacks run in the hub; stop() suppresses what is not yet dispatched ----------

def test_plain_callbacks_run_in_the_hub(hub):
    """Also those between two wake-ups."""
    order = []

    def waiter(event, name):
        event.wait()
        order.append((name, getcurrent()))

    def callback(name):
        order.append((name, getcurrent()))
    first, second = Event(), Event()
    greenlets = [gevent.spawn(waiter, first, "first"),
                 gevent.spawn(waiter, second, "second")]
    gevent.sleep(0)
    first.set()
    hub.loop.run_callback(callback, "between")
    second.set()
    hub.loop.run_callback(callback, "after")
    gevent.joinall(greenlets)
    where = dict(order)
    assert where["between"] is hub and where["after"] is hub
    assert where["first"] is greenlets[0] and where["second"] is greenlets[1]


def test_timer_and_io_callbacks_run_in_the_hub(hub):
    reading, writing = os.pipe()
    os.write(writing, b"x")
    seen = []
    with hub.loop.io(reading, 1) as io, hub.loop.timer(0.001) as timer:
        io.start(lambda: (io.stop(), seen.append(getcurrent())))
        timer.start(lambda: seen.append(getcurrent()))
        gevent.sleep(0.02)
    os.close(reading)
    os.close(writing)
    assert seen == [hub, hub]


@pytest.mark.parametrize("end", ["stop", "close"])
def test_stop_suppresses_a_harvested_callback(hub, end):
    """Both are ready in one poll; whichever runs first stops the other."""
    pipes = [os.pipe() for _ in range(2)]
    watchers = [hub.loop.io(reading, 1) for reading, _ in pipes]
    ran = []

    def ready(mine, other):
        ran.append(mine)
        watchers[mine].stop()
        getattr(watchers[other], end)()
    watchers[0].start(ready, 0, 1)
    watchers[1].start(ready, 1, 0)
    for _, writing in pipes:
        os.write(writing, b"x")
    gevent.sleep(0.02)
    for watcher in watchers:
        watcher.close()
    for pipe in pipes:
        os.close(pipe[0])
        os.close(pipe[1])
    assert len(ran) == 1


def test_stop_suppresses_a_timer_of_the_same_turn(hub):
    ran = []
    hub.loop.update_now()
    timers = [hub.loop.timer(0.001), hub.loop.timer(0.001)]

    def ready(mine, other):
        ran.append(mine)
        timers[other].stop()
    timers[0].start(ready, 0, 1, update=False)
    timers[1].start(ready, 1, 0, update=False)
    gevent.sleep(0.01)
    for timer in timers:
        timer.close()
    assert len(ran) == 1


def test_stopped_callback_does_not_run(hub):
    ran = []
    callbacks = [hub.loop.run_callback(ran.append, n) for n in range(3)]
    callbacks[1].stop()
    gevent.sleep(0)
    assert ran == [0, 2]
    assert not any(callback.pending for callback in callbacks)



def test_a_parked_greenlet_nobody_refers_to_is_destroyed(hub):
    """It gets GreenletExit where it waits."""
    seen = []

    def park():
        try:
            hub.switch()
        except gevent.GreenletExit:
            seen.append(True)
            raise

    parked = gevent.spawn_raw(park)
    gevent.sleep(0.001)
    assert parked and not seen
    gone = weakref.ref(parked)
    del parked
    gevent.sleep(0.001)
    assert gone() is None and seen == [True]


def test_a_greenlet_woken_by_the_poll_may_stop_the_next(hub):
    """As above, with greenlets: the one that runs first kills the other, whose
    wake-up has been harvested already; it must see the kill only."""
    pairs = [socket.socketpair() for _ in range(2)]
    seen = []

    def receive(mine):
        try:
            seen.append(pairs[mine][0].recv(1))
        except gevent.GreenletExit:
            seen.append("killed")
            raise
        greenlets[1 - mine].kill(block=False)
    greenlets = [gevent.spawn(receive, n) for n in range(2)]
    gevent.sleep(0)
    for _, peer in pairs:
        peer._sock.send(b"x")
    gevent.joinall(greenlets)
    for pair in pairs:
        for end in pair:
            end.close()
    # a wake-up that is already due may win; nothing may come twice
    assert sorted(map(str, seen)) in (["b'x'", "b'x'"], ["b'x'", "killed"])


# -- every give-up calls hub.switch() --------------------------------------------------

def event_wait():
    event = Event()
    gevent.spawn(event.set)
    event.wait()


def result_get():
    result = AsyncResult()
    gevent.spawn(result.set, 1)
    result.get()


def queue_get():
    queue = Queue()
    gevent.spawn(queue.put, 1)
    queue.get()


def queue_put():
    queue = Queue(1)
    queue.put(1)
    gevent.spawn(queue.get)
    queue.put(2)


def channel_get():
    channel = Channel()
    gevent.spawn(channel.put, 1)
    channel.get()


def channel_put():
    channel = Channel()
    gevent.spawn(channel.get)
    channel.put(1)


def semaphore_acquire():
    semaphore = Semaphore(0)
    gevent.spawn(semaphore.release)
    semaphore.acquire()


def rlock_acquire():
    lock = RLock()

    def hold():
        with lock:
            gevent.sleep(0.001)
    gevent.spawn(hold)
    gevent.sleep(0)
    lock.acquire()


def socket_recv():
    here, there = socket.socketpair()
    gevent.spawn(there.send, b"x")
    here.recv(1)
    here.close()
    there.close()


def watcher_wait():
    hub = gevent.get_hub()
    with hub.loop.timer(0.001) as timer:
        hub.wait(timer)


def kill():
    greenlet = gevent.spawn(gevent.sleep, 9)
    gevent.sleep(0)
    greenlet.kill()


def waiter_get():
    waiter = gevent.hub.Waiter()
    gevent.get_hub().loop.run_callback(waiter.switch, 1)
    waiter.get()


GIVE_UPS = [
    lambda: gevent.sleep(0), lambda: gevent.sleep(0.001), gevent.idle,
    lambda: gevent.spawn(len, ()).join(), lambda: gevent.spawn(len, ()).get(),
    lambda: gevent.joinall([gevent.spawn(len, ())]),
    lambda: gevent.wait([gevent.spawn(len, ())]),
    lambda: gevent.get_hub().threadpool.apply(len, ((),)),
    event_wait, result_get, queue_get, queue_put, channel_get, channel_put,
    semaphore_acquire, rlock_acquire, socket_recv, watcher_wait, waiter_get,
    kill,
]
NAMES = ["sleep(0)", "sleep", "idle", "join", "get", "joinall", "wait",
         "threadpool"] + [f.__name__ for f in GIVE_UPS[8:]]


@pytest.mark.parametrize("give_up", GIVE_UPS, ids=NAMES)
def test_wrapped_hub_switch_sees_it(hub, give_up):
    """Set on the instance, as libraries do, and looked up each time."""
    seen = []
    original = hub.switch

    def switch(*args):
        seen.append(getcurrent())
        return original(*args)
    hub.switch = switch
    try:
        give_up()
    finally:
        del hub.switch
    assert getcurrent() in seen


@pytest.mark.parametrize("give_up", GIVE_UPS, ids=NAMES)
def test_switch_on_the_hub_class_sees_it(give_up, monkeypatch):
    seen = []
    original = gevent.hub.Hub.switch

    def switch(self, *args):
        seen.append(getcurrent())
        return original(self, *args)
    monkeypatch.setattr(gevent.hub.Hub, "switch", switch)
    give_up()
    assert getcurrent() in seen


def test_each_give_up_is_seen_once(hub):
    seen = []
    original = hub.switch

    def switch():
        seen.append(getcurrent())
        return original()

    def work():
        for _ in range(10):
            gevent.sleep(0)
    greenlets = [gevent.spawn(work) for _ in range(3)]
    hub.switch = switch
    try:
        gevent.joinall(greenlets)
    finally:
        del hub.switch
    for greenlet in greenlets:
        assert seen.count(greenlet) == 10


def test_switch_out_is_called_before_others_run():
    order = []

    class Noting(Greenlet):
        def switch_out(self):
            order.append("switch_out")

    def work():
        order.append("work")
        gevent.sleep(0)
        order.append("work again")
    noting = Noting.spawn(work)
    other = gevent.spawn(lambda: order.append("other"))
    gevent.joinall([noting, other])
    assert order == ["work", "switch_out", "other", "work again"]


def test_overridden_switch_is_used(hub):
    """By the hub: some programs swap state there."""
    callers = []

    class Swapping(Greenlet):
        def switch(self, *args, **kwargs):
            callers.append(getcurrent())
            return super().switch(*args, **kwargs)

    event = Event()

    def work():
        gevent.sleep(0)
        event.wait()
        gevent.sleep(0.001)
        return "done"
    swapping = Swapping.spawn(work)
    others = [gevent.spawn(gevent.sleep, 0) for _ in range(3)]
    gevent.sleep(0.005)
    event.set()
    assert swapping.get() == "done"
    gevent.joinall(others)
    assert len(callers) == 4  # start, sleep(0), event, sleep
    assert set(callers) == {hub}


def test_overridden_throw_is_used(hub):
    callers = []

    class Catching(Greenlet):
        def throw(self, *args):
            callers.append((getcurrent(), args[0]))
            return super().throw(*args)
    greenlet = Catching.spawn(gevent.sleep, 10)
    gevent.sleep(0)
    greenlet.kill()
    assert [caller for caller, _ in callers] == [hub]
    assert isinstance(greenlet.value, gevent.GreenletExit)


def test_switch_set_on_the_instance_is_used(hub):
    callers = []
    greenlet = gevent.spawn(gevent.sleep, 0)
    original = greenlet.switch

    def switch(*args):
        callers.append(getcurrent())
        return original(*args)
    greenlet.switch = switch
    greenlet.join()
    assert callers and set(callers) == {hub}


def catch_context(wait):
    """Return what ends *wait*."""
    try:
        wait()
    except BaseException as error:  # whatever is thrown
        return error


def test_exceptions_carry_no_foreign_context():
    """The thrower handles an error of its own meanwhile."""
    victim = gevent.spawn(catch_context, lambda: gevent.sleep(10))
    gevent.sleep(0)
    try:
        raise KeyError("the thrower's own")
    except KeyError:
        victim.kill(RuntimeError("thrown"), block=False)
        gevent.sleep(0)
        error = victim.get()
    assert isinstance(error, RuntimeError)
    assert error.__context__ is None


def test_timeouts_carry_no_foreign_context():
    def wait():
        with Timeout(0.001):
            gevent.sleep(10)
    victim = gevent.spawn(catch_context, wait)
    try:
        raise KeyError("of the greenlet that blocks")
    except KeyError:
        gevent.sleep(0.01)
        error = victim.get()
    assert isinstance(error, Timeout)
    assert error.__context__ is None


def test_errors_of_cancelled_waits_carry_no_foreign_context(hub):
    reading, writing = os.pipe()
    cancelled = RuntimeError("cancelled")
    with hub.loop.io(reading, 1) as watcher:
        victim = gevent.spawn(catch_context, lambda: hub.wait(watcher))
        gevent.sleep(0)
        try:
            raise KeyError("of the greenlet that cancels")
        except KeyError:
            hub.cancel_wait(watcher, cancelled)
            gevent.sleep(0)
            error = victim.get()
    os.close(reading)
    os.close(writing)
    assert error is cancelled
    assert error.__context__ is None


def test_handled_exception_is_each_greenlets_own():
    """sys.exc_info() after a switch is what it was before."""
    def work(name):
        seen = []
        try:
            raise ValueError(name)
        except ValueError as error:
            for _ in range(5):
                gevent.sleep(0)
                seen.append(sys.exc_info()[1] is error)
        seen.append(sys.exc_info() == (None, None, None))
        return seen
    greenlets = [gevent.spawn(work, name) for name in "abc"]
    gevent.joinall(greenlets)
    assert [g.get() for g in greenlets] == [[True] * 6] * 3


# -- late wake-ups -----------------------------------------------------------------------

def test_late_wakeup_does_not_end_a_later_wait():
    """Woken and killed at once: the kill ends the wait, and the wake-up that is
    still queued must not end the next wait of the same greenlet."""
    event, never = Event(), Event()
    seen = []

    def work():
        try:
            event.wait()
            seen.append("woken")
        except gevent.GreenletExit:
            seen.append("killed")
        seen.append(never.wait(0.02))
    greenlet = gevent.spawn(work)
    gevent.sleep(0)
    greenlet.kill(block=False)
    event.set()
    greenlet.join()
    assert seen[-1] is False
    assert seen[0] in ("woken", "killed")


def test_permit_of_a_killed_waiter_is_not_lost():
    semaphore = Semaphore(0)
    victim = gevent.spawn(semaphore.acquire)
    gevent.sleep(0)
    semaphore.release()
    victim.kill()
    if victim.value is True:
        semaphore.release()
    assert semaphore.acquire(timeout=0.5)


def test_item_of_a_killed_getter_is_not_lost():
    queue = Queue()
    victim = gevent.spawn(queue.get)
    gevent.sleep(0)
    queue.put("item")
    victim.kill()
    if victim.value != "item":
        assert queue.get(timeout=0.5) == "item"
