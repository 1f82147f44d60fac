"""Tasks: the plain twin of accel/task.c."""
import sys
import weakref

from greenlet import GreenletExit, getcurrent, greenlet

from libgcore._plain_base import get_hub
from libgcore._plain_callback import run_switch
from libgcore._plain_wait import Wait

__all__ = [
    'Gather', 'Task', 'configure_tasks', 'set_context_source',
    'set_spawn_callback', 'set_tracking', 'throw_into',
]


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


def _parent_loop(task):
    parent = task.parent
    if parent is None:
        raise AttributeError('the greenlet has no parent, so no hub')
    return parent.loop


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
