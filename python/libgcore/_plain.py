"""The plain Python twin of the accelerator.

The same names and behaviour, over the cffi binding, for interpreters without
the accelerator and for comparison: both are run by the same tests.  What the
accelerator does as one step is several here, so that a signal handler that
raises in the middle of one may lose a wake-up.
"""
import errno
import os
import sys
import threading
import time
import weakref
# Taken before anything can be patched.
from _thread import RLock as _NativeRLock
from collections import deque

from greenlet import GreenletExit, getcurrent, greenlet

from libgcore._binding import ffi, lib

__all__ = [
    'AsyncWatcher', 'Gather', 'HubBase', 'IoWatcher', 'Loop', 'StatWatcher',
    'Task', 'TimerWatcher', 'Wait', 'Watcher', 'cached_chunks', 'callback',
    'configure', 'configure_tasks', 'get_hub', 'get_hub_if_exists', 'install_chunk_cache',
    'pause', 'run_switch', 'set_events_marker', 'set_hub',
    'set_context_source', 'set_spawn_callback', 'set_tracking', 'sleep',
    'throw_into', 'trim_chunks',
]

if lib.gcore_version_number() < (lib.GCORE_VERSION_MAJOR * 10000
                                 + lib.GCORE_VERSION_MINOR * 100
                                 + lib.GCORE_VERSION_PATCH):
    raise ImportError('the loaded libgcore is older than this package')

_SLICE = 50
_BATCH = 256
_ONCE = lib.GCORE_ONCE
_COMPLETE = lib.GCORE_COMPLETE
_NOW = lib.GCORE_NOW
_FOREVER = lib.GCORE_FOREVER
_IDLE = -lib.GCORE_EIDLE
_NS = 1000000000

_threads = threading.local()
_factory = _end_hub = None
_errors = {}
_events_marker = Ellipsis
_plain_switch = greenlet.switch
_forks = 0


def _count_fork():
    global _forks
    _forks += 1


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_count_fork)


def configure(factory, errors, end_hub=None):
    """`factory()` makes a hub for a thread that needs one; `errors` maps
    names to the exception classes raised from here; `end_hub(hub)` is called
    by a thread that ends and has one."""
    global _factory, _errors, _end_hub
    _factory = factory
    _errors = errors
    _end_hub = end_hub


class _ThreadEnd:
    """Goes with the thread that made it."""

    def __init__(self):
        self._thread = threading.get_ident()
        self.hub = None

    def __del__(self):
        if (self.hub is not None and _end_hub is not None
                and self._thread == threading.get_ident()
                and not sys.is_finalizing()):
            _end_hub(self.hub)


def _error(name):
    return _errors.get(name, RuntimeError)


def get_hub():
    """The hub of the calling thread; made on first use."""
    hub = getattr(_threads, 'hub', None)
    if hub is None:
        if _factory is None:
            raise RuntimeError('no hub factory: import gevent first')
        hub = _factory()
        set_hub(hub)
    return hub


def get_hub_if_exists():
    """The hub of the calling thread, or None."""
    return getattr(_threads, 'hub', None)


def set_hub(hub):
    """Make `hub` the calling thread's; None forgets it."""
    _threads.hub = hub
    if not hasattr(_threads, 'end'):
        _threads.end = _ThreadEnd()
    _threads.end.hub = hub


def set_events_marker(marker):
    """The first argument that is replaced by the events."""
    global _events_marker
    _events_marker = marker


def install_chunk_cache():
    """There is none here."""
    return False


def cached_chunks():
    """How many are free: none."""
    return 0


def trim_chunks(keep):  # pylint:disable=unused-argument
    """Nothing to give back."""


def _raise(code):
    if code == -errno.ENOMEM:
        raise MemoryError
    if code == -errno.EINVAL:
        raise ValueError(ffi.string(lib.gcore_error_text(code)).decode())
    if code > -10000:
        raise OSError(-code, os.strerror(-code))
    raise OSError('%s: %s' % (
        ffi.string(lib.gcore_error_name(code)).decode(),
        ffi.string(lib.gcore_error_text(code)).decode()))


def _check(code):
    if code < 0:
        _raise(code)
    return code


def _deadline(seconds):
    seconds = seconds + 0.0  # unlike float(), no text
    if seconds != seconds:
        raise ValueError('a timeout must be a number of seconds, not nan')
    now = lib.gcore_clock()
    if seconds <= 0:
        return now
    if seconds >= 9.0e9:
        return _FOREVER - 1
    return now + int(seconds * _NS)


# ---- switching -------------------------------------------------------------


def _directly_switchable(target):
    kind = type(target)
    attributes = target.__dict__
    return (kind.switch is _plain_switch and greenlet.__bool__(target)
            and 'switch' not in attributes)


class HubBase(greenlet):
    """A greenlet whose ``switch()`` gives up to the run queue."""

    def switch(self):
        """Let other greenlets run until this one is woken."""
        # References to the current greenlet in its own frame would keep it
        # when all others are gone while it is parked.
        ident = id(getcurrent())
        switch_out = getattr(getcurrent(), 'switch_out', None)
        if switch_out is not None:
            switch_out()
        del switch_out
        loop = self.loop if get_hub_if_exists() is self else None
        if not isinstance(loop, Loop):
            return _plain_switch(self)
        wait = loop._take_direct()
        target = self
        if wait is not None:
            target = wait.greenlet
            wait._state = _RESUMED
        try:
            return None if id(target) == ident else _plain_switch(target)
        finally:
            loop._note_switch(ident)


class callback:
    """A function call in the run queue; true while pending or executing."""

    __slots__ = ('callback', 'args', '_starts', '__weakref__')

    def __init__(self, callback, args, _starts=None):
        self.callback = callback
        self.args = args
        self._starts = _starts

    def stop(self):
        """Do not run it."""
        self.callback = self.args = self._starts = None

    close = stop

    def __bool__(self):
        return self.args is not None

    @property
    def pending(self):
        """Whether it has yet to run."""
        return self.callback is not None

    def __repr__(self):
        if self.args is None:
            state = 'stopped'
        elif self.callback is None:  # it runs
            state = 'args=%r' % (self.args,)
        else:
            state = 'pending callback=%r args=%r' % (self.callback, self.args)
        return '<callback at 0x%x %s>' % (id(self), state)

    def _run(self, loop):
        func, args, starts = self.callback, self.args, self._starts
        if func is None or args is None:
            return
        self.callback = None
        try:
            if (starts is not None and type(starts).switch is _plain_switch
                    and 'switch' not in starts.__dict__):
                loop._run_greenlet(starts, args, self)
            else:
                func(*args)
        except:  # pylint:disable=bare-except
            loop._report(self)
        self.args = self._starts = None


def run_switch(loop, target):
    """Queue the start of a greenlet; a callback that can be stopped."""
    loop._check()
    queued = callback(target.switch, (), target)
    loop._push(queued)
    return queued


# ---- waits -----------------------------------------------------------------

_NEW, _PARKED, _QUEUED, _RESUMED, _ENDED = range(5)

#: Held for what threads must not do at the same time; in the accelerator it
#: is the interpreter's lock. Never while switching.
guard = _NativeRLock()


class Wait:
    """One wait of the calling greenlet."""

    __slots__ = ('_loop', 'greenlet', 'value', '_error', 'subject', '_timer',
                 '_state', 'woken', '_since', 'result', '_argument',
                 'abandoned', '__weakref__')

    def __init__(self, subject=None):
        self._loop = get_hub().loop
        self._loop._check()
        self.greenlet = self.value = self._error = self._timer = None
        self.subject = subject
        self._state = _NEW
        self.woken = self.abandoned = False
        self._since = self.result = self._argument = 0

    @property
    def argument(self):
        """What an operation of the engine is given as its argument, so that
        its end wakes this wait."""
        if not self._argument:
            self._argument = self._loop._token(_Operation(self))
        return self._argument

    def discard(self):
        """End the wait: nothing wakes it from now on."""
        if self._state < _RESUMED:
            self.abandoned = self._state != _NEW
            self._state = _ENDED
            self._forget_argument()
            if self._timer is not None:
                self._loop._stop_timer(self._timer)
                self._timer = None

    def _forget_argument(self):
        if self._argument:
            self._loop._tokens.pop(self._argument, None)

    @property
    def hub(self):
        """The hub of the thread that made it."""
        return self._loop.hub

    @property
    def since(self):
        """When it was parked, monotonic seconds."""
        return self._since / _NS

    @property
    def over(self):
        """Whether a wake-up would be refused."""
        return self.woken or self._state > _PARKED

    def park(self, timeout=None, ref=False):
        """Give up until woken: True; False after `timeout` seconds."""
        deadline = _FOREVER if timeout is None else _deadline(timeout)
        loop = self._loop
        loop._check()
        if ref:
            loop.ref()
        try:
            return self._park_until(deadline, True, -1)
        finally:
            if ref and loop.is_open:
                loop.unref()

    def _begin(self):
        if self._state != _NEW:
            raise _error('ConcurrentObjectUseError')(
                'a wait can be parked only once')
        self._loop._check()
        hub = get_hub_if_exists()
        if hub is None or hub.loop is not self._loop:
            raise _error('InvalidThreadUseError')(
                'a wait is parked by the thread that made it')
        with guard:
            if self.woken:
                self._state = _ENDED
                return True
            self.greenlet = getcurrent()
            self._state = _PARKED
            return False

    def _park_until(self, deadline, ref, priority):
        if self._begin():
            return True
        loop = self._loop
        if deadline != _FOREVER:
            self._timer = loop._start_timer(self, deadline, ref, priority)
        return self._park()

    def _park(self):
        loop = self._loop
        self._since = lib.gcore_hub_now(loop._engine)
        loop._parked_waits[self] = None
        try:
            got = loop.hub.switch()
            if self._state != _RESUMED:
                raise _error('InvalidSwitchError')(
                    'Invalid switch into %r: got %r while waiting for %r'
                    % (self.greenlet, got, self.subject or self))
        finally:
            loop._parked_waits.pop(self, None)
            self._state = _ENDED
            self._forget_argument()
            if self._timer is not None:
                loop._stop_timer(self._timer)
                self._timer = None
            # The hub may keep the wait until its next turn.
            self.greenlet = self.subject = None
        return self.woken

    def wake(self, value=None):
        """Resume the greenlet, from any thread; False when it is over."""
        with guard:
            if self.over or not self._loop.is_open:
                return False
            self.woken = True
            self.value = value
            if self._state == _PARKED:
                self._state = _QUEUED
                self._loop._push(self)
            return True

    __call__ = wake

    def _run_now(self):
        # In a callback of the hub: wake and let the greenlet run right now;
        # another thread's is woken only.
        hub = get_hub_if_exists()
        with guard:
            here = (self._state == _PARKED and not self.woken
                    and hub is getcurrent() and hub.loop is self._loop)
            if here:
                self.woken = True
                self._state = _RESUMED
        if not here:
            return self.wake()
        try:
            self.greenlet.switch()
        except:  # pylint:disable=bare-except
            self._loop._report(self.greenlet)
        return True

    def throw(self, error):
        """As wake(), but park() raises `error`."""
        if isinstance(error, type) and issubclass(error, BaseException):
            error = error()
        if not isinstance(error, BaseException):
            raise TypeError('an exception is thrown, not %r' % (error,))
        if self._state != _PARKED or not self.wake():
            return False
        self._error = error
        return True

    def _complete(self):
        if self.woken or self._state != _PARKED:
            return
        self.woken = True
        self._state = _QUEUED
        self._loop._ready.append(self)

    def _fire(self, _result):
        if self._state == _PARKED:  # its time is up
            self._state = _QUEUED
            self._loop._ready.append(self)

    def _run(self, loop):
        if self._state != _QUEUED:
            return
        target = self.greenlet
        try:
            if self._error is not None:
                target.throw(self._error)
                return
            self._state = _RESUMED
            if _directly_switchable(target):
                loop._run_greenlet(target, (), target)
            else:
                target.switch()
        except:  # pylint:disable=bare-except
            loop._report(target)


class _Operation:
    """The end of an operation of the engine that a wait stands for."""

    __slots__ = ('_wait',)

    def __init__(self, wait):
        self._wait = wait

    def _fire(self, result):
        wait = self._wait
        wait.result = result
        if wait._state == _NEW:
            wait.woken = True
        else:
            wait._complete()


def pause(then=None):
    """Let everything run that is queued already; the wait `then`, if not
    None, is woken to run right behind the caller."""
    wait = Wait()
    if not wait._begin():
        wait.wake()
        if then is not None:
            then.wake()
        wait._park()


def sleep(seconds=0, ref=True):
    """Let others run, for at least `seconds`.

    With 0 (or less) what is queued already runs before the caller goes on.
    `ref` says whether the loop stays alive for the sake of this sleep alone.
    """
    if seconds <= 0:
        pause()
        return
    hub = get_hub()
    if isinstance(hub.loop, Loop):
        Wait()._park_until(_deadline(seconds), ref, 0)
        return
    # A hub whose loop attribute was replaced sleeps on what stands there.
    hub.loop.update_now()
    with hub.loop.timer(seconds, 0.0, ref) as timer:
        hub.wait(timer)


def _parent_loop(task):
    parent = task.parent
    if parent is None:
        raise AttributeError('the greenlet has no parent, so no hub')
    return parent.loop


# ---- the loop --------------------------------------------------------------


class Loop:
    """The run queue of one hub and the engine hub that feeds it."""

    hub = None
    error_handler = None
    iteration = 0
    depth = 0
    activecnt = 0
    _engine = ffi.NULL
    _end = None

    def _open(self, backend):
        if self.is_open:
            raise ValueError('the loop is open')
        options = ffi.new('gcore_hub_options *')
        options.size = ffi.sizeof('gcore_hub_options')
        options.backends = backend
        out = ffi.new('gcore_hub **')
        _check(lib.gcore_hub_new(options, out))
        self._engine = out[0]
        self._batch = ffi.new('gcore_completion[]', _BATCH)
        self._ready = deque()
        self._queue = deque()
        self._tokens = {}  # completion argument -> who is told
        self._next_token = 0
        self._timers = []
        self._parked_waits = {}
        self._around = {_KIND_PREPARE: [], _KIND_CHECK: []}
        self._parked = self._must_poll = self._polling = False
        self._switches = self.running_id = 0
        self._counter = self._drain_start = self._broken = 0
        self._taken = 0  # from the queue
        self._fork_generation = _forks
        self._wall_offset = time.time_ns() - lib.gcore_clock()
        self.iteration = self.depth = self.activecnt = 0

    def _close(self):
        if not self.is_open:
            return
        engine, self._engine = self._engine, ffi.NULL
        # What would hold the engine, and its descriptor, as long as somebody
        # is parked.
        for wait in self._parked_waits:
            if wait._timer is not None:
                self._timers.append(wait._timer[0])
                wait._timer = None
        for timer in self._timers:
            lib.gcore_watch_unref(timer)
        self._timers = []
        lib.gcore_hub_close(engine)
        lib.gcore_hub_unref(engine)
        self._queue.clear()
        self._ready.clear()
        self._tokens.clear()

    def __del__(self):
        if self.is_open:
            self._close()

    @property
    def is_open(self):
        """False once destroyed."""
        return self._engine != ffi.NULL

    def _check(self):
        if not self.is_open:
            raise ValueError('operation on destroyed loop')

    @property
    def engine(self):
        """The address of the gcore_hub, for C code that shares it."""
        return int(ffi.cast('uintptr_t', self._engine))

    # -- queueing

    def _push(self, item):
        self._queue.append(item)
        if self._polling and self.is_open:
            lib.gcore_hub_wake(self._engine)

    def run_callback(self, func, *args):
        """Queue a call; returns it as an object with stop() and pending."""
        if not callable(func):
            raise TypeError('a callback must be callable, not %r' % (func,))
        self._check()
        queued = callback(func, args)
        self._push(queued)
        return queued

    run_callback_threadsafe = queue_callback = run_callback

    def _take(self):
        if self._ready:
            return self._ready.popleft()
        if not self._queue:
            return None
        item = self._queue.popleft()
        self._taken += 1
        self._counter += 1
        if self._counter >= _SLICE:
            self._counter = 0
            slice_ns = sys.getswitchinterval() * _NS
            if lib.gcore_clock() - self._drain_start > slice_ns:
                self._must_poll = True
        return item

    def _take_direct(self):
        while self._parked and not self._must_poll:
            queue = self._ready or self._queue
            item = queue[0] if queue else None
            if type(item) is not Wait:
                return None
            if item._state == _QUEUED and (
                    item._error is not None
                    or not _directly_switchable(item.greenlet)):
                return None
            self._take()
            if item._state == _QUEUED:
                return item
        return None

    def _note_switch(self, running_id):
        self.running_id = running_id
        self._switches += 1

    def _run_greenlet(self, target, args, context):
        self._parked = True
        self._note_switch(id(target))
        try:
            _plain_switch(target, *args)
        except:  # pylint:disable=bare-except
            self._parked = False
            self._report(context)
        finally:
            self._parked = False
            self._note_switch(0)

    def _report(self, context):
        kind, value, tb = sys.exc_info()
        ends = _error('HubDestroyed')
        if ends is not RuntimeError and isinstance(value, ends):
            self._broken = 2
            self._end = value
            return
        try:
            self.handle_error(context, kind, value, tb)
        except BaseException as error:  # pylint:disable=broad-except
            if ends is not RuntimeError and isinstance(error, ends):
                self._broken = 2
                self._end = error
                return
            sys.excepthook(type(error), error, error.__traceback__)

    # -- running

    def _drain_ready(self):
        while self._ready:
            self._ready.popleft()._run(self)

    def _drain(self):
        self._must_poll = False
        self._counter = 0
        self._drain_start = lib.gcore_clock()
        while not self._broken:
            if self._must_poll and not self._ready:
                return
            item = self._take()
            if item is None:
                return
            item._run(self)

    def _poll(self, block):
        engine, batch = self._engine, self._batch
        count = lib.gcore_hub_poll(engine, batch, _BATCH, _NOW)
        if count == 0 and block:
            lib.gcore_hub_ref(engine)
            self._polling = True
            try:
                # What another thread queued before it could see `_polling`.
                deadline = _NOW if self._queue else _FOREVER
                count = lib.gcore_hub_poll(engine, batch, _BATCH, deadline)
            finally:
                self._polling = False
                lib.gcore_hub_unref(engine)
        for index in range(count):
            entry = batch[index]
            target = self._tokens.get(int(ffi.cast('uintptr_t', entry.arg)))
            if target is not None:
                target._fire(entry.result)
        return count

    def _run_around_poll(self, kind):
        for watcher in list(self._around[kind]):
            watcher._fire(0)
        self._drain_ready()

    def _turn(self, nowait):
        if not self.is_open:
            return False
        if self._fork_generation != _forks:
            self.reinit()
        self.iteration += 1
        self._drain()
        if self._broken or not self.is_open:
            return True
        self._run_around_poll(_KIND_PREPARE)
        if not self.is_open:
            return False
        count = self._poll(not nowait and not self._queue
                           and not self._broken)
        if not self.is_open:
            return False
        if count == _IDLE:
            return bool(self._queue)
        if count < 0 and count != -errno.EINTR:
            _raise(count)
        self._must_poll = False
        self._drain_start = lib.gcore_hub_now(self._engine)
        self._counter = 0
        if self._around[_KIND_CHECK]:
            self._run_around_poll(_KIND_CHECK)
        return True

    def run(self, nowait=False, once=False):
        """Run until nothing keeps the loop alive; `once`: one turn;
        `nowait`: one that does not block."""
        self._check()
        self.depth += 1
        more = False
        try:
            while True:
                try:
                    more = self._turn(nowait)
                except OSError:
                    raise
                except:  # pylint:disable=bare-except
                    self._report(None)  # a signal handler's
                    more = True
                if nowait or once:
                    self._drain_ready()
                    break
                if not more or self._broken:
                    break
        finally:
            self.depth -= 1
            if self._broken != 2 or not self.depth:
                self._broken = 0
        if self._end is not None:
            end, self._end = self._end, None
            raise end
        return more

    # -- timers for waits

    def _token(self, target):
        self._next_token += 1
        self._tokens[self._next_token] = target
        return self._next_token

    def _start_timer(self, wait, deadline, ref, priority):
        if self._timers:
            timer = self._timers.pop()
        else:
            out = ffi.new('gcore_watch **')
            _check(lib.gcore_timer_new(self._engine, out))
            timer = out[0]
        lib.gcore_watch_set_priority(timer, priority)
        lib.gcore_watch_set_keepalive(timer, ref)
        token = self._token(wait)
        _check(lib.gcore_watch_start(timer, _ONCE, deadline,
                                     _COMPLETE,
                                     ffi.cast('void *', token)))
        return timer, token

    def _stop_timer(self, started):
        timer, token = started
        self._tokens.pop(token, None)
        lib.gcore_watch_stop(timer)
        if self.is_open and len(self._timers) < 4096:
            self._timers.append(timer)
        else:
            lib.gcore_watch_unref(timer)

    # -- the rest

    def ref(self):
        """Keep the loop alive."""
        self._check()
        lib.gcore_hub_retain(self._engine)

    def unref(self):
        """Undo one ref()."""
        self._check()
        _check(lib.gcore_hub_release(self._engine))

    def break_(self, how=1):
        """Leave the innermost run() (1), or all (2)."""
        self._broken = how

    def now(self):
        """The loop's time, seconds."""
        self._check()
        return (lib.gcore_hub_now(self._engine) + self._wall_offset) / _NS

    def update_now(self):
        """Read the clock."""
        self._check()
        lib.gcore_hub_update(self._engine)

    update = update_now

    def reinit(self):
        """Make the loop work in a forked child."""
        self._check()
        if self._fork_generation != _forks:
            self._fork_generation = _forks
            lib.gcore_hub_after_fork(self._engine)

    def wake(self):
        """End a blocked poll, from any thread."""
        if self.is_open:
            lib.gcore_hub_wake(self._engine)

    def forget_fd(self, fd):
        """The descriptor is about to be closed: its watchers complete with
        an error."""
        self._check()
        return _check(lib.gcore_hub_forget_fd(
            self._engine, fd, -errno.EBADF)) > 0

    def waits(self):
        """The waits that are parked, oldest first."""
        return list(self._parked_waits)

    def abandon(self):
        """In the child of a fork: drop what is queued and end all waits, so
        that of the greenlets only the running one goes on.  The others are
        returned; they must be kept, as a greenlet that is forgotten is run
        to its end."""
        waits = self.waits()
        greenlets = [wait.greenlet for wait in waits]
        for wait in waits:
            wait.discard()
        self._parked_waits.clear()
        self._queue.clear()
        return greenlets

    def fileno(self):
        """The backend's descriptor, or None."""
        self._check()
        fd = lib.gcore_hub_backend_fd(self._engine)
        return fd if fd >= 0 else None

    @property
    def backend_int(self):
        """The BACKEND bit in use."""
        self._check()
        return lib.gcore_hub_backend(self._engine)

    @property
    def progress(self):
        """A number that grows as long as nothing that runs keeps the rest
        from running: switches, items run, turns."""
        return self._switches + self._taken + self.iteration

    @property
    def asleep(self):
        """Whether it is blocked in a poll."""
        return self._polling

    @property
    def pendingcnt(self):
        """Items in the run queue."""
        return len(self._ready) + len(self._queue) if self.is_open else 0


# ---- watchers --------------------------------------------------------------

(_KIND_NONE, _KIND_IO, _KIND_TIMER, _KIND_SIGNAL, _KIND_CHILD, _KIND_STAT,
 _KIND_ASYNC, _KIND_IDLE, _KIND_PREPARE, _KIND_CHECK, _KIND_FORK) = range(11)
_IO_MASK = lib.GCORE_READ | lib.GCORE_WRITE
_IO_FRESH = 0x80


def _to_ns(seconds):
    seconds = seconds + 0.0  # unlike float(), no text
    if seconds != seconds:
        raise ValueError('seconds must be a number')
    return int(max(min(seconds, 9.0e9), 0) * _NS)


class Watcher:
    """What all watchers have."""

    _watch = ffi.NULL
    _kind_in_use = _KIND_NONE
    _callback = _args = _token = loop = waiter = None
    _ref = True
    _priority = 0
    _after = _repeat = 0
    active = False
    completed = False
    result = 0
    _pending = False
    _fresh = False

    def _adopt(self, loop, kind, code, out, ref, priority):
        _check(code)
        self.loop = loop
        self._kind_in_use = kind
        self._ref = bool(ref)
        if out is not None:
            self._watch = out[0]
            lib.gcore_watch_set_keepalive(self._watch, self._ref)
        self._set_priority(priority)

    def _check_loop(self, loop):
        if not isinstance(loop, Loop):
            raise TypeError('a watcher is made for a loop, not %r' % (loop,))
        if self.loop is not None:
            raise ValueError('the watcher is made already')
        loop._check()

    def _open(self, kind, loop, value, ref, priority, interval=0.0):
        self._check_loop(loop)
        engine = loop._engine
        out = ffi.new('gcore_watch **')
        code = 0
        if kind == _KIND_SIGNAL:
            code = lib.gcore_signal_new(engine, value, out)
        elif kind == _KIND_CHILD:
            code = lib.gcore_child_new(engine, value, out)
        elif kind == _KIND_STAT:
            code = lib.gcore_stat_new(engine, os.fsencode(value),
                                      _to_ns(interval), out)
        elif kind == _KIND_ASYNC:
            code = lib.gcore_async_new(engine, out)
        elif kind == _KIND_IDLE:
            code = lib.gcore_idle_new(engine, out)
        elif kind == _KIND_FORK:
            code = lib.gcore_fork_new(engine, out)
        elif kind in (_KIND_PREPARE, _KIND_CHECK):
            out = None
        else:
            raise ValueError('no such kind of watcher: %r' % (kind,))
        self._adopt(loop, kind, code, out, ref, priority)

    def __del__(self):
        if self._watch != ffi.NULL:
            lib.gcore_watch_unref(self._watch)

    @property
    def is_open(self):
        """False once closed."""
        return (self.loop is not None and self.loop.is_open
                and (self._watch != ffi.NULL
                     or self._kind_in_use in (_KIND_PREPARE, _KIND_CHECK)))

    def _check_open(self):
        if self.loop is None:
            raise ValueError('the watcher has no loop')
        self.loop._check()
        if not self.is_open:
            raise ValueError('operation on a closed watcher')

    # -- starting and stopping

    def _activate(self, flags, deadline):
        if self._watch != ffi.NULL:
            self._token = self.loop._token(self)
            code = lib.gcore_watch_start(
                self._watch, flags, deadline, _COMPLETE,
                ffi.cast('void *', self._token))
            if code < 0:
                self.loop._tokens.pop(self._token, None)
                _raise(code)
        else:
            self.loop._around[self._kind_in_use].append(self)
            if self._ref:
                self.loop.ref()
        self.active = True
        self._fresh = False
        self.loop.activecnt += 1

    def _deactivate(self):
        self._pending = False
        if not self.active:
            return
        self.active = False
        self.loop.activecnt -= 1
        if self._watch != ffi.NULL:
            self.loop._tokens.pop(self._token, None)
            lib.gcore_watch_stop(self._watch)
        else:
            self.loop._around[self._kind_in_use].remove(self)
            if self._ref and self.loop.is_open:
                self.loop.unref()

    def _start_deadline(self):
        if self._kind_in_use != _KIND_TIMER:
            return _FOREVER
        return lib.gcore_clock() + self._after

    def _check_free(self):
        if self.waiter is not None:
            raise _error('ConcurrentObjectUseError')(
                'This %s is already used by another greenlet: %r'
                % ('socket' if self._kind_in_use == _KIND_IO else 'watcher',
                   self.waiter.greenlet))

    def _set_call(self, func, args):
        if not callable(func):
            raise TypeError('Expected callable, not %r' % (func,))
        self._callback = func
        self._args = args

    def start(self, callback, *args, **kwargs):
        """Call callback(*args) in the hub when the event happens."""
        self._check_open()
        self._check_free()
        if kwargs.get('pass_events') and self._kind_in_use == _KIND_IO:
            args = (_events_marker,) + args
        self._set_call(callback, args)
        if not self.active:
            self._activate(0, self._start_deadline())

    def stop(self):
        """Forget the callback, and what has happened already."""
        self._deactivate()
        self._callback = self._args = None

    def close(self):
        """Stop for good."""
        self.stop()
        if self._watch != ffi.NULL:
            watch, self._watch = self._watch, ffi.NULL
            lib.gcore_watch_close(watch)
            lib.gcore_watch_unref(watch)
        self._kind_in_use = _KIND_NONE

    def feed(self, revents, callback, *args):
        """Pretend that it has happened."""
        self._check_open()
        self._set_call(callback, args)
        self._fire(revents)

    # -- dispatch

    def _fire(self, result):
        self.completed = True
        if self.waiter is not None:
            self.result = result
            self.waiter._complete()
        elif self._pending:
            if self._kind_in_use == _KIND_IO and result > 0 < self.result:
                self.result |= result
            else:
                self.result = result
        else:
            self.result = result
            self._pending = True
            self.loop._ready.append(self)

    def _run(self, loop):
        if not self._pending:
            return
        self._pending = False
        one_shot = (self._kind_in_use == _KIND_CHILD
                    or (self._kind_in_use == _KIND_TIMER
                        and not self._repeat))
        if self.active and one_shot:
            self._deactivate()
        func, args = self._callback, self._args or ()
        if func is None:
            return
        if args and args[0] is _events_marker:
            events = self.result if self.result >= 0 else _IO_MASK
            args = (events,) + args[1:]
        try:
            func(*args)
        except:  # pylint:disable=bare-except
            loop._report(self)
            if self._kind_in_use == _KIND_IO and self._callback is func:
                self.stop()
        if (not self.active and not self._pending
                and self._callback is func):
            self._callback = self._args = None

    # -- waiting

    def wait(self, timeout=None):
        """Park the calling greenlet until the event: True; False when
        `timeout` seconds ran out."""
        self._check_open()
        self._check_free()
        if self.active:
            raise _error('ConcurrentObjectUseError')(
                'This watcher is already used by %r' % (self._callback,))
        deadline = _FOREVER if timeout is None else _deadline(timeout)
        wait = Wait(self)
        if wait._loop is not self.loop:
            raise _error('InvalidThreadUseError')(
                "this watcher belongs to another thread's loop")
        timer = self._kind_in_use == _KIND_TIMER
        self.waiter = wait
        try:
            self._activate(_ONCE,
                           self._start_deadline() if timer else deadline)
            woken = wait._park_until(deadline if timer else _FOREVER, True,
                                     -1)
        finally:
            self.waiter = None
            self._deactivate()
        if not woken or self.result == -errno.ETIMEDOUT:
            return False
        if self.result < 0:
            _raise(self.result)
        return True

    # -- attributes

    def _check_inactive(self, name):
        if self.active:
            raise AttributeError(
                "'%s' is read-only while the watcher is active" % name)
        self._check_open()

    @property
    def pending(self):
        """Whether it has happened and the callback has not run yet."""
        return bool(self._pending or (self._watch != ffi.NULL and
                                      lib.gcore_watch_pending(self._watch)))

    @property
    def ref(self):
        """Whether it keeps the loop alive."""
        return self._ref

    @ref.setter
    def ref(self, value):
        self._check_open()
        value = bool(value)
        if self._watch != ffi.NULL:
            lib.gcore_watch_set_keepalive(self._watch, value)
        elif self.active and value != self._ref:
            (self.loop.ref if value else self.loop.unref)()
        self._ref = value

    def _set_priority(self, priority):
        if priority is None:
            return
        self._priority = max(-2, min(2, int(priority)))
        if self._watch != ffi.NULL:
            lib.gcore_watch_set_priority(self._watch, self._priority)

    @property
    def priority(self):
        """-2 (late) to 2 (early); read-only while active."""
        return self._priority

    @priority.setter
    def priority(self, value):
        self._check_inactive('priority')
        self._set_priority(value)

    @property
    def callback(self):
        """What is called."""
        return self._callback if self._callback is not None else self.waiter

    @callback.setter
    def callback(self, value):
        if value is not None and not callable(value):
            raise TypeError('Expected callable, not %r' % (value,))
        self._callback = value

    @property
    def args(self):
        """With which arguments."""
        return self._args

    @args.setter
    def args(self, value):
        if value is not None and not isinstance(value, tuple):
            raise TypeError('args must be a tuple or None, not %r' % (value,))
        self._args = value


class IoWatcher(Watcher):
    """IoWatcher(loop, fd, events, ref=True, priority=None)"""

    def __init__(self, loop, fd, events, ref=True, priority=None):
        self._check_loop(loop)
        if fd < 0:
            raise ValueError('fd must be non-negative: %r' % (fd,))
        if events & ~(_IO_MASK | _IO_FRESH):
            raise ValueError('illegal event mask: %r' % (events,))
        out = ffi.new('gcore_watch **')
        code = lib.gcore_io_new(loop._engine, fd, events & _IO_MASK, out)
        self._adopt(loop, _KIND_IO, code, out, ref, priority)
        self._fresh = True

    def _change(self, name, fd, events):
        self._check_inactive(name)
        _check(lib.gcore_io_set(self._watch, fd, events))
        self._fresh = True

    @property
    def fd(self):
        """The descriptor; read-only while active."""
        return lib.gcore_io_fd(self._watch) if self._watch else -1

    @fd.setter
    def fd(self, value):
        self._change('fd', value, lib.gcore_io_events(self._watch))

    @property
    def events(self):
        """READ, WRITE or both; read-only while active."""
        events = lib.gcore_io_events(self._watch) if self._watch else 0
        return events | (_IO_FRESH if self._fresh else 0)

    @events.setter
    def events(self, value):
        self._change('events', self.fd, value & _IO_MASK)


class TimerWatcher(Watcher):
    """TimerWatcher(loop, after=0.0, repeat=0.0, ref=True, priority=None)"""

    def __init__(self, loop, after=0.0, repeat=0.0, ref=True, priority=None):
        self._check_loop(loop)
        if repeat < 0:
            raise ValueError('repeat must be positive or zero: %r'
                             % (repeat,))
        self._after, self._repeat = _to_ns(after), _to_ns(repeat)
        out = ffi.new('gcore_watch **')
        code = lib.gcore_timer_new(loop._engine, out)
        self._adopt(loop, _KIND_TIMER, code, out, ref, priority)
        lib.gcore_timer_set_repeat(self._watch, self._repeat)

    def again(self, callback, *args, **_kwargs):
        """Start anew, due after the repeat."""
        self._check_open()
        self._check_free()
        self._set_call(callback, args)
        self._deactivate()
        if not self._repeat:
            self.stop()
            return
        self._activate(0, lib.gcore_clock() + self._repeat)

    @property
    def at(self):
        """When it is due, in the loop's time."""
        if self._watch != ffi.NULL and self.active:
            return (lib.gcore_watch_deadline(self._watch)
                    + self.loop._wall_offset) / _NS
        return self._after / _NS


class AsyncWatcher(Watcher):
    """An event another thread makes."""

    def send(self):
        """Make it happen, from any thread."""
        self._check_open()
        _check(lib.gcore_async_send(self._watch))


class StatWatcher(Watcher):
    """A change of a file's attributes."""

    def _info(self, previous):
        self._check_open()
        info = ffi.new('gcore_file_info *')
        info.size = ffi.sizeof('gcore_file_info')
        look = lib.gcore_stat_previous if previous else lib.gcore_stat_last
        _check(look(self._watch, info))
        if not info.links:
            return None
        return (info.mode, info.inode, info.device, info.links, info.user,
                info.group, info.length, info.accessed // _NS,
                info.modified // _NS, info.changed // _NS)


# ---- tasks -----------------------------------------------------------------


class _Tasks:
    """What configure_tasks and its kin have set."""

    started = cancelled = spawn_callback = None
    success = (None, None, None)
    tracking = True
    context_source = None


def configure_tasks(started, cancelled, success):
    """The objects that stand for used-up start events, and the exc_info of a
    success."""
    _Tasks.started, _Tasks.cancelled = started, cancelled
    _Tasks.success = success


def set_context_source(source):
    """Called for the context of each task that is made; None: they get empty
    ones."""
    _Tasks.context_source = source


def set_tracking(wanted):
    """Whether tasks remember who spawned them."""
    _Tasks.tracking = bool(wanted)


def set_spawn_callback(callback):
    """Called with each task that starts; None for nothing."""
    _Tasks.spawn_callback = callback


def _capture_stack(limit):
    frame = sys._getframe(2)
    if frame.f_globals is globals():  # spawn(), which is C elsewhere
        frame = frame.f_back
    captured = []
    while frame is not None and limit > 0:
        limit -= 1
        captured += frame.f_code, frame.f_lasti
        frame = frame.f_back
    return captured


def _tree_of(spawner):
    tree = getattr(spawner, 'spawn_tree_locals', None)
    if tree is None:
        tree = {}
        if spawner.parent is not None:
            spawner.spawn_tree_locals = tree
    return tree


class Gather:
    """A link that keeps its sources and wakes `wait` once there are
    `count`."""

    __slots__ = ('done', '_wait', '_missing', '_announced')

    def __init__(self, wait, count):
        self.done = []
        self._wait = wait
        self._missing = count
        self._announced = 0  # sources that have ended and will tell it later

    def _add(self, source):
        self.done.append(source)
        self._missing -= 1
        return self._missing == 0

    def __call__(self, source):
        if self._add(source):
            self._wait.wake()

    def _run_now(self, source):
        if self._announced:
            self._announced -= 1
        if self._add(source):
            self._wait._run_now()


def throw_into(greenlets, args, wait):
    """In the hub: throw into each greenlet of the list, then wake `wait` (or
    None)."""
    for target in greenlets:
        if not isinstance(target, greenlet) or greenlet.dead.__get__(target):
            continue
        try:
            target.throw(*args)
        except:  # pylint:disable=bare-except
            get_hub().loop._report(target)
    if wait is not None:
        wait._run_now()


def _is_direct_link(link):
    # One that runs no foreign code may be called by whoever ends, unless that
    # would overtake another source of the same gathering.
    return type(link) is Wait or type(link) is Gather and not link._announced


class Task(greenlet):
    """A greenlet that keeps how it ended."""

    __slots__ = (
        '_function', 'args', 'kwargs', 'value', '_exc_info', '_links',
        '_notifier', '_start_event', '_formatted_info', '_name',
        'spawning_greenlet', 'spawn_tree_locals', '_spawning_stack',
    )

    def __init__(self, run=None, *args, **kwargs):
        greenlet.__init__(self, None, get_hub())
        self._function = run
        if not callable(self._run if run is None else run):
            raise TypeError("The run argument or self._run must be callable")
        self.args = args
        self.kwargs = kwargs
        self.value = self._exc_info = self._notifier = None
        self._start_event = self._formatted_info = self._name = None
        self.spawning_greenlet = self.spawn_tree_locals = None
        self._spawning_stack = None
        self._links = []
        if _Tasks.context_source is not None:
            self.gr_context = _Tasks.context_source()
        if _Tasks.tracking:
            spawner = getcurrent()
            self.spawning_greenlet = weakref.ref(spawner)
            self.spawn_tree_locals = _tree_of(spawner)
            self._spawning_stack = _capture_stack(self.spawning_stack_limit)

    def start(self):
        """Have it run when the caller gives up; once."""
        if self._start_event is None:
            self._start_event = run_switch(_parent_loop(self), self)
            if _Tasks.spawn_callback is not None:
                _Tasks.spawn_callback(self)

    @classmethod
    def spawn(cls, *args, **kwargs):
        """Make one and start it."""
        task = cls(*args, **kwargs)
        task.start()
        return task

    def run(self):
        """Call the function and keep how that ended."""
        event, self._start_event = self._start_event, _Tasks.started
        if event not in (None, _Tasks.started, _Tasks.cancelled):
            event.close()
        try:
            try:
                function = self._function
                if function is None:
                    function = self._run
                result = function(*self.args, **self.kwargs)
            except:  # pylint:disable=bare-except
                self._report_error(sys.exc_info())
            else:
                self._report_result(result)
        finally:
            self._function = None
            self.args = ()
            self.kwargs = {}

    def _report_result(self, result):
        self._exc_info = _Tasks.success
        self.value = result
        self._schedule_links()

    def _report_error(self, exc_info):
        if isinstance(exc_info[1], GreenletExit):
            self._report_result(exc_info[1])
            return
        self._exc_info = exc_info
        self._schedule_links()
        self._handle_own_error(exc_info)

    def rawlink(self, callback):
        """Call ``callback(self)`` in the hub at its end.

        Nothing may block there; prefer link().  Raises TypeError when
        `callback` is not callable.
        """
        if not callable(callback):
            raise TypeError('Expected callable: %r' % (callback,))
        self._links.append(callback)
        if self.ready():
            self._schedule_links()

    def _schedule_links(self):
        links = self._links
        if not links or self._notifier:
            return
        if len(links) == 1 and _is_direct_link(links[0]):
            link = links.pop()
            if type(link) is Wait:
                link.wake()  # its wait may outlast the greenlet
            else:
                link(self)
            return
        self._notifier = _parent_loop(self).run_callback(self._notify_links)
        for link in links:
            if type(link) is Gather:
                link._announced += 1

    def _notify_links(self):
        while self._links:
            link = self._links.pop(0)
            try:
                # A joiner runs in its place among the links.
                if type(link) is Wait:
                    link._run_now()
                elif type(link) is Gather:
                    link._run_now(self)
                else:
                    link(self)
            except:  # pylint:disable=bare-except
                get_hub().loop._report((link, self))
        self._notifier = None

    def throw(self, *args):
        """Raise in it at once, as greenlet.throw; one that has not run yet
        ends."""
        if greenlet.__bool__(self):
            return greenlet.throw(self, *args)
        return self._throw_inactive(*args)

    def __bool__(self):
        return self._start_event is not None and self._exc_info is None

    started = property(__bool__, doc="""Whether it has been started and has
        not ended.""")

    @property
    def dead(self):
        """Whether it has ended, or was killed before it ran."""
        return (greenlet.dead.__get__(self)
                or (self._start_event is _Tasks.cancelled
                    and not greenlet.__bool__(self)))

    def ready(self):
        """Whether it has ended."""
        return self._exc_info is not None or self.dead

    def successful(self):
        """Whether it has ended without an error."""
        return self._exc_info is not None and self._exc_info[1] is None

    @property
    def exception(self):
        """The error it ended with, or None."""
        return None if self._exc_info is None else self._exc_info[1]

    def _wait_for_end(self, timeout):
        wait = Wait(self)
        self._links.append(wait)
        try:
            return wait.park(timeout)
        finally:
            if not wait.woken and wait in self._links:
                self._links.remove(wait)

    def join(self, timeout=None):
        """Wait for its end, or `timeout` seconds."""
        if self.ready():
            return
        if timeout is None or isinstance(timeout, (int, float)):
            self._wait_for_end(timeout)
        else:
            self._join_within(timeout)
