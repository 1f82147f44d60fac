"""The run queue of one hub: the plain twin of accel/loop.c."""
import errno
import os
import sys
import time
from collections import deque

from libgcore._binding import ffi, lib
from libgcore._plain_base import (
    FOREVER, NS, check, error_type, is_directly_switchable, plain_switch,
    raise_error,
)
from libgcore._plain_callback import callback
from libgcore._plain_wait import QUEUED, Wait

__all__ = ['Loop']

_SLICE = 50
_BATCH = 256
_IDLE = -lib.GCORE_EIDLE

_forks = 0


def _count_fork():
    global _forks
    _forks += 1


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_count_fork)


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
        check(lib.gcore_hub_new(options, out))
        self._engine = out[0]
        self._batch = ffi.new('gcore_completion[]', _BATCH)
        self._ready = deque()
        self._queue = deque()
        self._tokens = {}  # completion argument -> who is told
        self._next_token = 0
        self._timers = []
        self._parked_waits = {}
        self._prepares, self._checks = [], []  # started watchers
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
            slice_ns = sys.getswitchinterval() * NS
            if lib.gcore_clock() - self._drain_start > slice_ns:
                self._must_poll = True
        return item

    def _take_direct(self):
        while self._parked and not self._must_poll:
            queue = self._ready or self._queue
            item = queue[0] if queue else None
            if type(item) is not Wait:
                return None
            if item._state == QUEUED and (
                    item._error is not None
                    or not is_directly_switchable(item.greenlet)):
                return None
            self._take()
            if item._state == QUEUED:
                return item
        return None

    def _note_switch(self, running_id):
        self.running_id = running_id
        self._switches += 1

    def _run_greenlet(self, target, args, context):
        self._parked = True
        self._note_switch(id(target))
        try:
            plain_switch(target, *args)
        except:  # pylint:disable=bare-except
            self._parked = False
            self._report(context)
        finally:
            self._parked = False
            self._note_switch(0)

    def _report(self, context):
        kind, value, tb = sys.exc_info()
        ends = error_type('HubDestroyed')
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
        count = lib.gcore_hub_poll(engine, batch, _BATCH, lib.GCORE_NOW)
        if count == 0 and block:
            lib.gcore_hub_ref(engine)
            self._polling = True
            try:
                # What another thread queued before it could see `_polling`.
                deadline = lib.GCORE_NOW if self._queue else FOREVER
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

    def _run_around_poll(self, watchers):
        for watcher in list(watchers):
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
        self._run_around_poll(self._prepares)
        if not self.is_open:
            return False
        count = self._poll(not nowait and not self._queue
                           and not self._broken)
        if not self.is_open:
            return False
        if count == _IDLE:
            return bool(self._queue)
        if count < 0 and count != -errno.EINTR:
            raise_error(count)
        self._must_poll = False
        self._drain_start = lib.gcore_hub_now(self._engine)
        self._counter = 0
        if self._checks:
            self._run_around_poll(self._checks)
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
            check(lib.gcore_timer_new(self._engine, out))
            timer = out[0]
        lib.gcore_watch_set_priority(timer, priority)
        lib.gcore_watch_set_keepalive(timer, ref)
        token = self._token(wait)
        check(lib.gcore_watch_start(timer, lib.GCORE_ONCE, deadline,
                                     lib.GCORE_COMPLETE,
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
        check(lib.gcore_hub_release(self._engine))

    def break_(self, how=1):
        """Leave the innermost run() (1), or all (2)."""
        self._broken = how

    def now(self):
        """The loop's time, seconds."""
        self._check()
        return (lib.gcore_hub_now(self._engine) + self._wall_offset) / NS

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

    def poll_next(self):
        """Look for events before anything else that is queued runs."""
        self._must_poll = True

    def forget_fd(self, fd):
        """The descriptor is about to be closed: its watchers complete with
        an error."""
        self._check()
        return check(lib.gcore_hub_forget_fd(
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
