"""Greenlets that can be joined, linked, killed, and asked for their result."""
import types

from greenlet import GreenletExit, getcurrent, greenlet

from gevent._config import config as GEVENT_CONFIG
from gevent._greenlet_primitives import TrackedRawGreenlet
from gevent._hub_local import get_hub_noargs as get_hub
from gevent._hub_primitives import iwait_on_objects, wait_on_objects
from gevent._tblib import dump_traceback, load_traceback
from gevent.timeout import Timeout, expired_timeout
from libgcore import _engine

__all__ = [
    'Greenlet',
    'joinall',
    'killall',
]

iwait = iwait_on_objects
wait = wait_on_objects
_greenlet_is_dead = greenlet.dead.__get__
_Wait = _engine.Wait


# ---- links -----------------------------------------------------------------


class CallbackLink:
    """Stands for a callback among links, and does more than call it.

    Equal to the callback, so that it can be unlinked by that, and shown as it.
    """

    __slots__ = ('callback',)

    def __init__(self, callback):
        self.callback = callback

    def __eq__(self, other):
        if isinstance(other, CallbackLink):
            other = other.callback
        return self.callback == other

    def __hash__(self):
        return hash(self.callback)

    def __repr__(self):
        return repr(self.callback)

    def __str__(self):
        return str(self.callback)

    def __getattr__(self, name):
        if name == 'callback':  # not initialized
            raise AttributeError(name)
        return getattr(self.callback, name)


class SpawnedLink(CallbackLink):
    """Calls a link's callback in a raw greenlet of its own.

    Links run in the hub, where nothing may block; a callback may.
    """

    __slots__ = ()

    def __init__(self, callback):
        if not callable(callback):
            raise TypeError(f'a link is to be called, which {callback!r} '
                            'cannot be')
        super().__init__(callback)

    def __call__(self, source):
        TrackedRawGreenlet(self.callback, get_hub()).switch(source)


class SuccessSpawnedLink(SpawnedLink):
    """A link for success only."""

    __slots__ = ()

    def __call__(self, source):
        if source.successful():
            super().__call__(source)


class FailureSpawnedLink(SpawnedLink):
    """A link for failure only."""

    __slots__ = ()

    def __call__(self, source):
        if not source.successful():
            super().__call__(source)


# ---- where it was spawned --------------------------------------------------


class _SpawnCode:
    """What a stack shows of a code object."""

    __slots__ = ('co_filename', 'co_name', 'co_qualname')

    def __init__(self, code):
        self.co_filename = code.co_filename
        self.co_name = code.co_name
        self.co_qualname = getattr(code, 'co_qualname', code.co_name)

    def co_positions(self):
        """Lines are known, columns are not."""
        return iter(())


class _SpawnFrame:
    """Looks enough like a frame to be printed as one."""

    __slots__ = ('f_code', 'f_lineno', 'f_lasti', 'f_back')

    f_globals = {}
    f_locals = {}

    def __init__(self, code, lasti, back):
        self.f_code = _SpawnCode(code)
        self.f_lineno = _line(code, lasti)
        self.f_lasti = lasti
        self.f_back = back


def _line(code, lasti):
    for start, end, line in code.co_lines():
        if start <= lasti < end:
            return line
    return code.co_firstlineno


def _frames(captured):
    frame = None  # captured: code, instruction, code, instruction, ...
    for index in range(len(captured or ()) - 2, -1, -2):
        frame = _SpawnFrame(captured[index], captured[index + 1], frame)
    return frame


# ---- start states ----------------------------------------------------------


class _StartState:
    """Stands for a start event that has been used up."""

    __slots__ = ('name',)
    pending = False

    def __init__(self, name):
        self.name = name

    def stop(self):
        """There is nothing to stop."""

    close = stop

    def __repr__(self):
        return '<start event: %s>' % self.name


_STARTED = _StartState('completed')
_CANCELLED = _StartState('cancelled')

_spawn_callbacks = []


def _call_spawn_callbacks(gr):
    for callback in list(_spawn_callbacks):
        callback(gr)


_engine.configure_tasks(_STARTED, _CANCELLED, (None, None, None))
_engine.set_tracking(GEVENT_CONFIG.track_greenlet_tree)
GEVENT_CONFIG.greenlet_context  # read once: setting it tells the engine


class Greenlet(_engine.Task):
    """A light-weight cooperatively scheduled task.

    ``Greenlet(run, *args, **kwargs)`` makes one, ``start()`` has it run when
    the caller gives up; ``Greenlet.spawn`` does both.  Subclasses may
    override ``_run``, which is called with the arguments.

    Raises TypeError when `run` is not callable.
    """

    __slots__ = ()

    #: How many callers are kept of where it was spawned.
    spawning_stack_limit = 10

    # The hub looks for it on whoever gives up; subclasses may define it.
    switch_out = None

    @property
    def spawning_stack(self):
        """Where it was spawned: something like a frame, or None."""
        return _frames(self._spawning_stack)

    @spawning_stack.setter
    def spawning_stack(self, value):
        self._spawning_stack = value

    # ---- names -----------------------------------------------------------

    @property
    def minimal_ident(self):
        """A small number, unique among the living greenlets of the hub.

        From the moment it is asked for, the repr shows the name."""
        ident = self.parent.ident_registry.get_ident(self)
        if self._name is None:
            self._name = '%s-%d' % (type(self).__name__, ident)
        return ident

    @property
    def name(self):
        """A name for humans; ``Greenlet-N`` unless assigned."""
        if self._name is None:
            self.minimal_ident  # makes the name
        return self._name

    @name.setter
    def name(self, value):
        self._name = value

    @property
    def loop(self):
        """The loop of the hub it runs in; None when its parent is no hub."""
        return getattr(self.parent, 'loop', None)

    def _format_info(self):
        info = self._formatted_info
        if info is None:
            info = self._formatted_info = self._describe_call()
        return info

    def _describe_call(self):
        function = self._function
        if function is None:
            function = self._run
            if getattr(function, '__self__', None) is self:
                function = function.__func__  # or this would not end
        parts = [repr(arg)[:50] for arg in self.args]
        parts += ['%s=%s' % (key, repr(value)[:50])
                  for key, value in self.kwargs.items()]
        call = '(%s)' % ', '.join(parts) if parts else ''
        return ': ' + _function_name(function) + call

    def __repr__(self):
        name = type(self).__name__
        if self._name is not None:
            name += ' "%s"' % (self._name,)
        try:
            info = self._format_info()
        except AttributeError:  # not completely made
            info = ''
        return '<%s at %s%s>' % (name, hex(id(self)), info)

    # ---- states ----------------------------------------------------------

    @property
    def exc_info(self):
        """The error it ended with as a tuple, or None when there is none."""
        exc_info = self._exc_info
        if exc_info is None or exc_info[1] is None:
            return None
        return (exc_info[0], exc_info[1], load_traceback(exc_info[2]))

    # ---- starting --------------------------------------------------------

    def start_later(self, seconds):
        """Have it run in `seconds`."""
        if self._start_event is None:
            timer = self.parent.loop.timer(seconds)
            self._start_event = timer
            if _spawn_callbacks:
                _call_spawn_callbacks(self)
            timer.start(self.switch)

    @staticmethod
    def add_spawn_callback(callback):
        """Call ``callback(greenlet)`` for each greenlet that is started."""
        _spawn_callbacks.append(callback)
        _engine.set_spawn_callback(_call_spawn_callbacks)

    @staticmethod
    def remove_spawn_callback(callback):
        """Undo :meth:`add_spawn_callback`."""
        if callback in _spawn_callbacks:
            _spawn_callbacks.remove(callback)
        if not _spawn_callbacks:
            _engine.set_spawn_callback(None)

    @classmethod
    def spawn_in_context(cls, context, /, *args, **kwargs):
        """Make one, as ``spawn(*args, **kwargs)``, that runs in `context`, a
        `contextvars.Context`, and start it.

        ``spawn(context=...)`` is an argument of what is run.  Raises
        RuntimeError in the greenlet when another one runs in `context`.
        """
        g = cls(*args, **kwargs)
        g.gr_context = context
        g.start()
        return g

    @classmethod
    def spawn_later(cls, seconds, *args, **kwargs):
        """Make one and start it in `seconds`.

        Raises TypeError when there is nothing callable to run.
        """
        if cls is Greenlet and not args:
            raise TypeError("spawn_later() needs something to run")
        g = cls(*args, **kwargs)
        g.start_later(seconds)
        return g

    # ---- running ---------------------------------------------------------

    def _run(self, *args, **kwargs):
        """Override in subclasses; the default calls what was passed."""
        if self._function is not None:
            return self._function(*args, **kwargs)
        return None

    def _free(self):
        """Drop what only a run needs."""
        self._function = None
        self.args = ()
        self.kwargs = {}

    def _handle_own_error(self, exc_info):
        # Called once the links are told.  From now on the traceback must
        # hold no frames.
        try:
            copy = dump_traceback(exc_info[2])
        except:  # pylint:disable=bare-except
            copy = None  # out of stack or memory: the error itself remains
        self._exc_info = exc_info[0], exc_info[1], copy
        try:
            self.parent.handle_error(self, *exc_info)
        finally:
            del exc_info

    # ---- being ended -----------------------------------------------------

    def _cancel_start(self):
        event = self._start_event
        if event is None:
            self._start_event = _CANCELLED
        elif event is not _STARTED and event is not _CANCELLED:
            event.stop()
            event.close()
            self._start_event = _CANCELLED

    def _forget_start(self):
        if self._start_event is not None:
            self._cancel_start()

    def _never_ran(self):
        return (self._exc_info is None and not _is_active(self)
                and not _greenlet_is_dead(self))

    def _end_before_start(self, *args):
        """Report the end of one that will never run."""
        self._cancel_start()
        if self._exc_info is not None:
            return
        if not args or args == (None,):
            args = (GreenletExit,)
        error = args[1] if len(args) > 1 and args[1] is not None else args[0]
        try:
            if isinstance(error, type):
                error = error()
            if isinstance(error, BaseException):
                kind = type(error)
            else:
                kind, error = TypeError, TypeError(
                    'exceptions must be classes, or instances, not %r'
                    % (error,))
            self._report_error((kind, error, args[2] if len(args) > 2
                                else None))
        finally:
            self._free()

    def _throw_inactive(self, *args):
        # throw() into one that has not run yet, or has ended.
        if self._never_ran():
            self._end_before_start(*args)
            return
        self._cancel_unused_start()
        if not self.dead:
            greenlet.throw(self, *args)

    def _cancel_unused_start(self):
        event = self._start_event
        if event is not None and event is not _STARTED:
            self._cancel_start()

    def _maybe_kill_before_started(self, exception):
        """End it, if it has not run; whether it has ended."""
        if self._never_ran():
            if isinstance(exception, tuple):
                self._end_before_start(*exception)
            else:
                self._end_before_start(exception)
        return self.dead

    def kill(self, exception=GreenletExit, block=True, timeout=None):
        """Raise `exception` in it, from the hub.

        One that has not run never does.  With `block`, wait until it has
        ended, or `timeout` seconds.  `exception` is a class, an instance or
        a tuple as for throw.  Never raises, but for killing oneself: then
        where it waits next, with `block` here.
        """
        if self._maybe_kill_before_started(exception):
            return
        thrown = _Wait(self) if block else None
        self.parent.loop.run_callback(
            _engine.throw_into, [self], _as_throw_args(exception), thrown)
        if block:
            thrown.park()
            self.join(timeout)

    # ---- results ---------------------------------------------------------

    def get(self, block=True, timeout=None):
        """Its value, or raise its error, waiting for its end.

        Raises Timeout after `timeout` seconds, or at once when it has not
        ended and `block` is false.
        """
        if not self.ready():
            if not block:
                raise Timeout()
            if timeout is None or isinstance(timeout, (int, float)):
                self._wait_for_end(timeout)
            else:
                with Timeout.start_new(timeout):
                    self._wait_for_end(None)
        if self._exc_info is None:
            raise expired_timeout(timeout)
        if self._exc_info[1] is None:
            return self.value
        error = self._error_to_raise()
        try:
            del self  # or the traceback, which has this frame, would keep it
            raise error
        finally:
            del error

    def _join_within(self, timeout):
        # join() with something else than seconds: a Timeout.
        timer = Timeout.start_new(timeout)
        try:
            self._wait_for_end(None)
        except Timeout as expired:
            if expired is not timer:
                raise
        finally:
            timer.cancel()

    def _raise_exception(self):
        error = self._error_to_raise()
        try:
            del self
            raise error
        finally:
            del error

    def _error_to_raise(self):
        # Nor may the frames of the copy, whose callers these are.
        _, error, copy = self._exc_info
        del self
        return error.with_traceback(load_traceback(copy))

    # ---- links -----------------------------------------------------------

    def has_links(self):
        """How many links it has."""
        return len(self._links)

    def link(self, callback, SpawnedLink=SpawnedLink):
        """Call ``callback(self)`` in a greenlet of its own at the end."""
        self.rawlink(SpawnedLink(callback))

    def unlink(self, callback):
        """Undo one :meth:`link` or :meth:`rawlink`."""
        self._remove_link(callback)

    def _remove_link(self, callback):
        try:
            self._links.remove(callback)
        except ValueError:
            pass

    def unlink_all(self):
        """Undo all links."""
        del self._links[:]

    def link_value(self, callback, SpawnedLink=SuccessSpawnedLink):
        """As :meth:`link`, for success only."""
        self.link(callback, SpawnedLink=SpawnedLink)

    def link_exception(self, callback, SpawnedLink=FailureSpawnedLink):
        """As :meth:`link`, for failure only."""
        self.link(callback, SpawnedLink=SpawnedLink)

    # ---- as a context manager --------------------------------------------

    def __enter__(self):
        return self

    def __exit__(self, t, v, tb):
        if t is not None:
            self.kill(v if v is not None else t)
            return
        try:
            self.join()
        except BaseException as error:
            self.kill(error)
            raise


def _is_active(g):
    """Whether it has begun to run and has not ended."""
    return greenlet.__bool__(g)


def _function_name(function):
    """How a repr shows a function: by its name, if that says which it is."""
    bound = isinstance(function, (types.MethodType, types.BuiltinMethodType))
    if bound and (function.__module__ or '').startswith('gevent.'):
        # One of the accelerator reads like one in Python.
        bound = not isinstance(function.__self__, types.ModuleType)
    name = None if bound else getattr(function, '__name__', None)
    return repr(function) if name is None else name


def _as_throw_args(exception):
    return exception if isinstance(exception, tuple) else (exception,)


def joinall(greenlets, timeout=None, raise_error=False, count=None):
    """Wait for all `greenlets`, or `count` of them, or `timeout` seconds.

    Returns those that have ended.  With `raise_error`, raises the first
    error one of them ended with.
    """
    if not raise_error:
        return wait(greenlets, timeout=timeout, count=count)
    done = []
    for g in iwait(greenlets, timeout=timeout, count=count):
        if getattr(g, 'exception', None) is not None:
            raise_error_of(g)
        done.append(g)
    return done


def raise_error_of(g):
    """Raise what a greenlet, or anything with `exception`, ended with."""
    if hasattr(g, '_raise_exception'):
        g._raise_exception()  # with its traceback
    raise g.exception


def killall(greenlets, exception=GreenletExit, block=True, timeout=None):
    """Raise `exception` in all `greenlets`, raw ones too.

    Those that have not run never do.  With `block`, wait until all have
    ended; raises Timeout after `timeout` seconds.
    """
    greenlets = [g for g in greenlets if not _ended_unstarted(g, exception)]
    if not greenlets:
        return
    loop = get_hub().loop
    thrown = _Wait(greenlets) if block else None
    loop.run_callback(_engine.throw_into, list(greenlets),
                      _as_throw_args(exception), thrown)
    if not block:
        return
    with Timeout.start_new(timeout):
        thrown.park()
        alive = [g for g in greenlets if not g.dead]
        joinall([g for g in alive if hasattr(g, 'rawlink')])
        while any(not g.dead for g in alive):
            _engine.pause()  # raw ones can only be looked at


def _ended_unstarted(g, exception):
    if isinstance(g, _engine.Task):
        return g._maybe_kill_before_started(exception)
    return g.dead


if _engine.ACCELERATED:
    # Where upstream's compiled classes say they are from, and can be
    # imported from.
    for _class in (Greenlet, SpawnedLink, SuccessSpawnedLink,
                   FailureSpawnedLink):
        _class.__module__ = 'gevent._gevent_cgreenlet'
    del _class
