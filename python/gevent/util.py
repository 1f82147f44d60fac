"""
Low-level utilities: what runs and where it waits, in text, and checks that code
gives way.
"""
import functools
import pprint
import sys
import traceback
from time import perf_counter

from greenlet import getcurrent
from greenlet import greenlet as RawGreenlet

from gevent._util import _NONE

__all__ = [
    'format_run_info',
    'print_run_info',
    'GreenletTree',
    'wrap_errors',
    'assert_switches',
]

# How many frames of a stack to show, by default all.
_STACK_LIMIT = None

_RULE = '*' * 80

# Of the repr of what a greenlet returned.
_VALUE_WIDTH = 30


class wrap_errors:
    """A callable that calls *func* and returns, instead of raising them,
    exceptions of certain kinds.

    :param errors: a class of exceptions, or a tuple of them.
    :param func: a callable. What it has besides, this object has, too.
    """

    def __init__(self, errors, func):
        self.__errors = errors
        self.__func = func
        functools.update_wrapper(self, func, updated=())

    def __call__(self, *args, **kwargs):
        try:
            return self.__func(*args, **kwargs)
        except self.__errors as error: # pylint:disable=catching-non-exception
            return error

    def __str__(self):
        return str(self.__func)

    def __repr__(self):
        return repr(self.__func)

    def __getattr__(self, name):
        return getattr(self.__func, name)


def print_run_info(thread_stacks=True, greenlet_stacks=True, limit=_NONE,
                   file=None):
    """Print what `format_run_info` returns, to *file*, by default
    ``sys.stderr``."""
    file = sys.stderr if file is None else file
    for line in format_run_info(thread_stacks=thread_stacks,
                                greenlet_stacks=greenlet_stacks, limit=limit):
        print(line, file=file)


def format_run_info(thread_stacks=True, greenlet_stacks=True, limit=_NONE,
                    current_thread_ident=None):
    """Describe all native threads and all greenlets.

    :param bool thread_stacks: with the stacks of threads?
    :param bool greenlet_stacks: with the stacks of greenlets?
    :param int limit: so many frames of each stack.
    :param int current_thread_ident: the native thread to mark as the current
        one.
    :return: the lines (list of str; a stack is one of them).
    """
    if current_thread_ident is None:
        from gevent.monkey import get_original
        current_thread_ident = get_original('_thread', 'get_ident')()
    if limit is _NONE:
        limit = _STACK_LIMIT
    lines = []
    _format_thread_info(lines, thread_stacks, limit, current_thread_ident)
    _format_greenlet_info(lines, greenlet_stacks, limit)
    return lines


dump_stacks = format_run_info


def is_idle_threadpool_worker(frame):
    """Is *frame* the innermost one of a thread pool's worker that waits for
    something to do? (bool)"""
    return (frame.f_globals.get('__name__'), frame.f_code.co_name) in (
        ('gevent._threading', 'get'), ('libgcore._plain_taskqueue', '_get'))


def _without_own_frames(frame):
    # How the report is made is of no interest.
    while frame.f_globals is globals() and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _thread_names():
    """The name of each native thread that has one (dict of int to str)."""
    import threading
    from gevent.hub import Hub
    from gevent._hub_local import get_hub_if_exists
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    # A patched main thread has the identity of a greenlet.
    hub = get_hub_if_exists()
    if isinstance(hub, Hub) and hub.main_hub:
        names.setdefault(hub.thread_ident, threading.main_thread().name)
    return names


def _format_thread_info(lines, thread_stacks, limit, current_thread_ident):
    names = _thread_names()
    lines.extend((_RULE, '* Threads'))
    for ident, frame in sys._current_frames().items():
        lines.append(_RULE)
        lines.append('Thread 0x%x (%s)%s\n' % (
            ident, names.get(ident),
            ' (CURRENT)' if ident == current_thread_ident else ''))
        if thread_stacks:
            lines.append(''.join(traceback.format_stack(
                _without_own_frames(frame), limit)))
        else:
            lines.append('\t...stack elided...')


def _format_greenlet_info(lines, greenlet_stacks, limit):
    lines.extend((_RULE, '* Greenlets', _RULE))
    details = {
        'running_stacks': greenlet_stacks,
        'running_stack_limit': limit,
    }
    from gevent._waits import describe_deadlocks, describe_waits
    details['waits'] = describe_waits()
    for tree in sorted(GreenletTree.forest(),
                       key=lambda tree: not tree.is_current_tree):
        lines.append('---- Thread boundary')
        lines.extend(tree.format_lines(details))
    lines.extend(describe_deadlocks())


def clear_stack_frames(frame):
    """Clear the local variables of *frame* and of all outer ones that do not
    run any more."""
    while frame is not None:
        try:
            frame.clear()
        except RuntimeError:
            pass # it runs
        frame = frame.f_back


def _ready(greenlet):
    # Raw greenlets do not know of it.
    return getattr(greenlet, 'ready', lambda: False)()


class GreenletTree:
    """
    A greenlet and those it has spawned.

    A greenlet's parent in the tree is the one that spawned it, if that is known
    (``gevent.config.track_greenlet_tree``), else its real parent. A greenlet
    with a true attribute ``greenlet_tree_is_root`` is the root of a tree; one
    with ``greenlet_tree_is_ignored`` is left out.

    Attributes of the greenlet are attributes of this object, too.
    """

    #: The greenlet.
    greenlet = None

    #: Is the current greenlet in this tree? Known only of roots.
    is_current_tree = False

    #: What `format` shows, if not told otherwise.
    DEFAULT_DETAILS = {
        'running_stacks': True,
        'running_stack_limit': _STACK_LIMIT,
        # a dict of str by the id of the greenlet, or True: to be found out
        'waits': True,
        'spawning_stacks': True,
        'locals': True,
    }

    def __init__(self, greenlet):
        self.greenlet = greenlet
        self.child_trees = []

    def __getattr__(self, name):
        return getattr(self.greenlet, name)

    def add_child(self, tree):
        """Make *tree* one of the `child_trees`."""
        if tree is not self:
            self.child_trees.append(tree)

    @property
    def root(self):
        """Is this greenlet without a parent? (bool)"""
        return self.greenlet.parent is None

    # -- text

    def format_lines(self, details=True):
        """The tree as text.

        :param details: True: all of `DEFAULT_DETAILS`; a dict: with these
            changes; False: only the structure.
        :return: list of str.
        """
        if details is True:
            details = {}
        if details is not False:
            details = dict(self.DEFAULT_DETAILS, **details)
            if details['waits'] is True:
                from gevent._waits import describe_waits
                details['waits'] = describe_waits()
        lines = [self._label()]
        lines.extend(' :    ' + line for line in self._own_lines(details))
        lines.extend(text for _, text in self._children_lines(details))
        return lines

    def format(self, details=True):
        """The lines of `format_lines` (str)."""
        return '\n'.join(self.format_lines(details))

    def __str__(self):
        return self.format(False)

    # A line below the root is kept as its kind and its text. What is put before
    # the text, at each level it is handed up, differs by the kind: 'node' for
    # the first line of a greenlet, 'own' for what is told of it.

    def _children_lines(self, details):
        children = sorted(self.child_trees, key=_spawning_order)
        for child in children:
            is_last = child is children[-1]
            yield 'node', ' +--- ' + child._label()
            own_indent = '      ' if is_last else ' :    '
            node_indent = '     ' if is_last else ' |   '
            for line in child._own_lines(details):
                yield 'own', own_indent + '      ' + line
            for kind, line in child._children_lines(details):
                yield kind, (own_indent if kind == 'own'
                             else node_indent) + line

    def _label(self):
        greenlet = self.greenlet
        if not _ready(greenlet):
            return '%s%s' % (greenlet, '' if greenlet else '; not running')
        outcome = ''
        if greenlet.exception is not None:
            outcome = ' with exception %r' % (greenlet.exception,)
        elif greenlet.value is not None:
            outcome = ' with value ' + repr(greenlet.value)[:_VALUE_WIDTH]
        return '%s; finished%s' % (greenlet, outcome)

    def _own_lines(self, details):
        if not details:
            return
        yield 'Parent: %s' % (self.greenlet.parent,)
        wait = details['waits'].get(id(self.greenlet))
        if wait is not None:
            yield wait[0].upper() + wait[1:]
        elif self._has_switched_away():
            yield 'Has switched away; to be resumed by its switch() or throw()'
        limit = details['running_stack_limit']
        if details['running_stacks']:
            yield from _stack_lines('Running:', self._frame(), limit)
        if details['spawning_stacks']:
            yield from _stack_lines(
                'Spawned at:',
                getattr(self.greenlet, 'spawning_stack', None), limit)
        if details['locals']:
            yield from self._spawn_tree_locals_lines()
            yield from self._greenlet_locals_lines()

    def _has_switched_away(self):
        # Of those below a hub; the others are the program's own business.
        from gevent.hub import Hub
        return (isinstance(self.greenlet.parent, Hub)
                and not isinstance(self.greenlet, Hub)
                and self.greenlet is not getcurrent()
                and self.greenlet.gr_frame is not None)

    def _frame(self):
        if self.greenlet is getcurrent():
            return _without_own_frames(sys._getframe())
        return self.greenlet.gr_frame

    def _spawn_tree_locals_lines(self):
        # Only where they come from: greenlets inherit them.
        own = getattr(self.greenlet, 'spawn_tree_locals', None)
        spawner = _spawning_greenlet(self.greenlet)
        if own and own is not getattr(spawner, 'spawn_tree_locals', None):
            yield 'Spawn Tree Locals'
            yield from pprint.pformat(own).splitlines()

    def _greenlet_locals_lines(self):
        from gevent.local import all_local_dicts_for_greenlet
        headed = False
        for (kind, ident), values in all_local_dicts_for_greenlet(
                self.greenlet):
            if not values:
                continue
            if not headed:
                yield 'Greenlet Locals:'
                headed = True
            yield '  Local %s at %s' % (kind, hex(ident))
            for line in pprint.pformat(values).splitlines():
                yield '    ' + line

    # -- making trees

    @classmethod
    def forest(cls):
        """The trees of all greenlets there are, of every native thread (list of
        `GreenletTree`)."""
        return cls._forest()[0]

    @classmethod
    def current_tree(cls):
        """The tree that the current greenlet is in (`GreenletTree`)."""
        return cls._forest()[1]

    @classmethod
    def _forest(cls):
        import gc
        # Made by asking for it, if nobody has done so in this thread.
        current_root = _root_of(getcurrent())
        trees = {}
        roots = []
        for each in gc.get_objects():
            # By its type, as asking a proxy for its class would run code.
            if (issubclass(type(each), RawGreenlet)
                    and not getattr(each, 'greenlet_tree_is_ignored', False)):
                trees[each] = cls(each)
        for greenlet, tree in trees.items():
            parent = _parent_in_tree(greenlet)
            if parent in trees:
                trees[parent].add_child(tree)
            else:
                roots.append(tree)
        current = trees[current_root]
        current.is_current_tree = True
        return roots, current


def _is_root(greenlet):
    return (greenlet.parent is None
            or getattr(greenlet, 'greenlet_tree_is_root', False))


def _root_of(greenlet):
    while not _is_root(greenlet):
        greenlet = greenlet.parent
    return greenlet


def _spawning_greenlet(greenlet):
    reference = getattr(greenlet, 'spawning_greenlet', None)
    return reference() if reference is not None else None


def _parent_in_tree(greenlet):
    if _is_root(greenlet):
        return None
    if not hasattr(greenlet, 'spawning_greenlet'):
        return greenlet.parent
    spawner = _spawning_greenlet(greenlet)
    # It may be gone; then the whole thread stands for it.
    return _root_of(greenlet) if spawner is None else spawner


def _spawning_order(tree):
    return getattr(tree.greenlet, 'minimal_ident', -1)


def _stack_lines(title, frame, limit):
    if frame is None:
        return
    yield title
    for entry in traceback.format_stack(frame, limit):
        yield from entry.splitlines()


class _FailedToSwitch(AssertionError):
    """Raised by `assert_switches`."""


class assert_switches:
    """A context manager that asserts that the code in it gives way to other
    greenlets::

        with assert_switches(max_blocking_time=0.01):
            work()

    :param float max_blocking_time: at least once in so many seconds; without
        it, at least once in all.
    :param bool hub_only: give way to the hub, not just to another greenlet?

    On leaving, raises an `AssertionError` that shows what every greenlet is
    doing. Waiting through gevent gives way to the hub, even when it comes back
    at once because nobody else was ready.
    """

    #: The hub, while it is used.
    hub = None
    #: The tracer, while it is used.
    tracer = None

    def __init__(self, max_blocking_time=None, hub_only=False):
        self.max_blocking_time = max_blocking_time
        self.hub_only = hub_only

    def __enter__(self):
        from gevent import _tracer
        from gevent._hub_local import get_hub
        self.hub = hub = get_hub()
        if self.max_blocking_time is None:
            tracer = _tracer.GreenletTracer()
        elif self.hub_only:
            tracer = _tracer.HubSwitchTracer(hub, self.max_blocking_time)
        else:
            tracer = _tracer.MaxSwitchTracer(hub, self.max_blocking_time)
        self.tracer = tracer
        tracer.monitor_current_greenlet_blocking()
        self._trace_give_ups(hub, tracer)
        self._entered = perf_counter()
        return self

    def _trace_give_ups(self, hub, tracer):
        # A greenlet that gives up may be switched to another one without the
        # hub, or to none; each time hub.switch is called, though.
        replaced = vars(hub).get('switch')
        switch = hub.switch

        def traced_switch():
            tracer('switch', (getcurrent(), hub))
            try:
                return switch()
            finally:
                tracer('switch', (hub, getcurrent()))

        hub.switch = traced_switch

        def restore():
            if replaced is None:
                del hub.switch
            else:
                hub.switch = replaced

        self._restore_switch = restore

    def __exit__(self, t, v, tb):
        hub, self.hub = self.hub, None
        tracer, self.tracer = self.tracer, None
        self._restore_switch()
        tracer.kill()
        did_block = tracer.did_block_hub(hub)
        if t is not None or not did_block:
            return
        raise _FailedToSwitch(self._complaint(tracer, hub, did_block[1]))

    def _complaint(self, tracer, hub, active_greenlet):
        text = 'To the hub' if self.hub_only else 'To any greenlet'
        text += ' in %.4f seconds' % (perf_counter() - self._entered)
        if self.max_blocking_time is not None:
            text += ' (max allowed %.4f seconds)' % self.max_blocking_time
        report = tracer.did_block_hub_report(hub, active_greenlet, {})
        return '\n'.join([text] + report)
