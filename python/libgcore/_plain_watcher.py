"""Watchers: the plain twin of accel/watcher.c."""
import errno
import os

from libgcore._binding import ffi, lib
from libgcore._plain_base import (
    FOREVER, NS, check, deadline_in, error_type, raise_error,
)
from libgcore._plain_loop import Loop
from libgcore._plain_wait import Wait

__all__ = [
    'AsyncWatcher', 'IoWatcher', 'StatWatcher', 'TimerWatcher', 'Watcher',
    'set_events_marker',
]

(_KIND_NONE, _KIND_IO, _KIND_TIMER, _KIND_SIGNAL, _KIND_CHILD, _KIND_STAT,
 _KIND_ASYNC, _KIND_IDLE, _KIND_PREPARE, _KIND_CHECK, _KIND_FORK) = range(11)
_IO_MASK = lib.GCORE_READ | lib.GCORE_WRITE
_IO_FRESH = 0x80

_events_marker = Ellipsis


def set_events_marker(marker):
    """The first argument that is replaced by the events."""
    global _events_marker
    _events_marker = marker


def _to_ns(seconds):
    seconds = seconds + 0.0  # unlike float(), no text
    if seconds != seconds:
        raise ValueError('seconds must be a number')
    return int(max(min(seconds, 9.0e9), 0) * NS)


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
        check(code)
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

    def _around_poll(self):
        return (self.loop._prepares if self._kind_in_use == _KIND_PREPARE
                else self.loop._checks)

    def _activate(self, flags, deadline):
        if self._watch != ffi.NULL:
            self._token = self.loop._token(self)
            code = lib.gcore_watch_start(
                self._watch, flags, deadline, lib.GCORE_COMPLETE,
                ffi.cast('void *', self._token))
            if code < 0:
                self.loop._tokens.pop(self._token, None)
                raise_error(code)
        else:
            self._around_poll().append(self)
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
            self._around_poll().remove(self)
            if self._ref and self.loop.is_open:
                self.loop.unref()

    def _start_deadline(self):
        if self._kind_in_use != _KIND_TIMER:
            return FOREVER
        return lib.gcore_clock() + self._after

    def _check_free(self):
        if self.waiter is not None:
            raise error_type('ConcurrentObjectUseError')(
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
            raise error_type('ConcurrentObjectUseError')(
                'This watcher is already used by %r' % (self._callback,))
        deadline = FOREVER if timeout is None else deadline_in(timeout)
        wait = Wait(self)
        if wait._loop is not self.loop:
            raise error_type('InvalidThreadUseError')(
                "this watcher belongs to another thread's loop")
        timer = self._kind_in_use == _KIND_TIMER
        self.waiter = wait
        try:
            self._activate(lib.GCORE_ONCE,
                           self._start_deadline() if timer else deadline)
            woken = wait._park_until(deadline if timer else FOREVER, True,
                                     -1)
        finally:
            self.waiter = None
            self._deactivate()
        if not woken or self.result == -errno.ETIMEDOUT:
            return False
        if self.result < 0:
            raise_error(self.result)
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
        check(lib.gcore_io_set(self._watch, fd, events))
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
                    + self.loop._wall_offset) / NS
        return self._after / NS


class AsyncWatcher(Watcher):
    """An event another thread makes."""

    def send(self):
        """Make it happen, from any thread."""
        self._check_open()
        check(lib.gcore_async_send(self._watch))


class StatWatcher(Watcher):
    """A change of a file's attributes."""

    def _info(self, previous):
        self._check_open()
        info = ffi.new('gcore_file_info *')
        info.size = ffi.sizeof('gcore_file_info')
        look = lib.gcore_stat_previous if previous else lib.gcore_stat_last
        check(look(self._watch, info))
        if not info.links:
            return None
        return (info.mode, info.inode, info.device, info.links, info.user,
                info.group, info.length, info.accessed // NS,
                info.modified // NS, info.changed // NS)
