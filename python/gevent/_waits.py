"""What parked greenlets wait for, since when, and who could wake them.

All of it is worked out from the waits that a loop knows, when a report is
asked for.
"""
from time import monotonic

from greenlet import greenlet as RawGreenlet

from gevent._waiter import Waiter, parked
from libgcore import _engine

__all__ = ['describe_deadlocks', 'describe_loop', 'describe_waits']


class _Waiting:
    """One parked greenlet."""

    def __init__(self, greenlet, subject, since):
        self.greenlet = greenlet
        self.subject = subject
        self.seconds = max(0.0, monotonic() - since)

    def waker(self, waiting):
        """The greenlet that alone can end the wait, or None.

        :param waiting: all that is parked, by the id of the greenlet.
        """
        subject = self.subject
        if isinstance(subject, (list, tuple)) and len(subject) == 1:
            subject = subject[0]
        if isinstance(subject, RawGreenlet):
            return subject
        if not getattr(subject, 'counter', 1):
            return _greenlet_of(getattr(subject, '_holder', 0), waiting)
        return None

    def describe(self, waiting):
        """What it waits for, in words (str)."""
        subject = self.subject
        if subject is None:
            return 'sleeps for %s' % _seconds(self.seconds)
        return 'waits for %s for %s; %s' % (
            _name(subject), _seconds(self.seconds), self._hint(waiting))

    def _hint(self, waiting):
        subject = self.subject
        if hasattr(subject, 'acquire'):
            holder = self.waker(waiting)
            if holder is not None:
                return 'held by %s' % _name(holder)
            return 'to be woken by release()'
        if hasattr(subject, 'woken_by'):
            return 'to be woken by ' + subject.woken_by
        for kinds, hint in _HINTS:
            if isinstance(subject, kinds):
                return hint
        if hasattr(subject, 'put') and hasattr(subject, 'get'):
            also = ', task_done()' if hasattr(subject, 'task_done') else ''
            return 'to be woken by put()%s or get() of another greenlet' % also
        if hasattr(subject, 'set'):
            return 'to be woken by set()'
        return 'to be woken by what links to it tell'


_HINTS = (
    (RawGreenlet, 'which has to end'),
    (_engine.Watcher, 'to be woken by the loop'),
    ((list, tuple), 'which have to be ready'),
    (Waiter, 'to be woken by switch() or throw() of the hub'),
)


def _name(obj):
    if isinstance(obj, (list, tuple)):
        return '%d objects (%s%s)' % (
            len(obj), ', '.join(map(_name, obj[:3])),
            ', ...' if len(obj) > 3 else '')
    try:
        return repr(obj)
    except Exception:  # pylint:disable=broad-except
        return object.__repr__(obj)


def _seconds(seconds):
    return '%.3g s' % seconds


def _parked(loops):
    """All that is parked in *loops*, by the id of the greenlet."""
    waits = [(wait.greenlet, wait.subject, wait.since)
             for loop in loops for wait in getattr(loop, 'waits', list)()]
    waits += [(waiter.greenlet, _subject_of(waiter), waiter.since)
              for waiter in list(parked.values())
              if waiter.hub.loop in loops]
    return {id(wait[0]): _Waiting(*wait)
            for wait in waits if wait[0] is not None}


def _subject_of(waiter):
    return waiter if waiter.subject is None else waiter.subject


def _greenlet_of(ident, waiting):
    """The greenlet with that id, if it is parked or its thread's root."""
    if ident in waiting:
        return waiting[ident].greenlet
    from gevent.hub import hub_ident_registry
    roots = [hub.parent for hub in hub_ident_registry]
    return next((root for root in roots if id(root) == ident), None)


def _all_loops():
    from gevent.hub import hub_ident_registry
    return [hub.loop for hub in hub_ident_registry if hub.loop is not None]


def _cycles(waiting):
    """Greenlets that wait for one another, each cycle as a list."""
    cycles = []
    seen = set()
    for start in waiting.values():
        path = []
        current = start
        while current is not None and id(current.greenlet) not in seen:
            seen.add(id(current.greenlet))
            path.append(current)
            waker = current.waker(waiting)
            current = waiting.get(id(waker)) if waker is not None else None
        if current in path:
            cycles.append(path[path.index(current):])
    return cycles


def _deadlocks(waiting):
    return ['deadlock: %s' % ', '.join(
        '%s waits for %s%s' % (
            _name(each.greenlet), _name(each.subject),
            ', held by %s' % _name(each.waker(waiting))
            if hasattr(each.subject, 'acquire') else '')
        for each in cycle) for cycle in _cycles(waiting)]


def describe_waits():
    """What all greenlets that are parked wait for: a dict of str, by the id
    of the greenlet."""
    waiting = _parked(_all_loops())
    return {ident: each.describe(waiting) for ident, each in waiting.items()}


def describe_deadlocks():
    """A line for each set of greenlets that wait for one another (list of
    str)."""
    return _deadlocks(_parked(_all_loops()))


def describe_loop(loop):
    """A line for each parked greenlet of *loop*, and one for each set of them
    that wait for one another (list of str)."""
    waiting = _parked([loop])
    return ['%s %s' % (_name(each.greenlet), each.describe(waiting))
            for each in waiting.values()] + _deadlocks(waiting)
