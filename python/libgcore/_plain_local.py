"""The plain Python twin of the accelerator's greenlet-local objects."""
from weakref import ref as weakref_ref

from greenlet import getcurrent

__all__ = ['Local', 'local_dicts']

_get = object.__getattribute__
_set = object.__setattr__
_records = {}  # id of a greenlet -> _Record
_AFTERWARDS = 0  # stands for a greenlet when there is none any more


class _Record:
    """Which locals have a dictionary for one greenlet."""

    __slots__ = ('reference', 'ident', 'locals')

    def __init__(self, greenlet):
        self.ident = id(greenlet)
        self.locals = {}  # id of a local -> weak reference
        self.reference = weakref_ref(greenlet, self.forget)
        rawlink = getattr(greenlet, 'rawlink', None)
        if rawlink is not None:
            # It tells of its end before it is destroyed.
            rawlink(self.forget)

    def forget(self, _greenlet):
        """The greenlet has ended: drop its dictionaries."""
        if _records.get(self.ident) is self:
            del _records[self.ident]
        for obj in self.live_locals():
            state = _get(obj, '_state')
            state.dicts.pop(self.ident, None)
            if state.owner == self.ident:
                state.owner = None
                _set(obj, '__dict__', {})
        self.locals = {}

    def live_locals(self):
        """Those that have not been destroyed."""
        found = [reference() for reference in list(self.locals.values())]
        return [obj for obj in found if obj is not None]

    def add(self, obj):
        """`obj` has a dictionary for this greenlet now."""
        ident, known = id(obj), self.locals
        known[ident] = weakref_ref(obj, lambda _: known.pop(ident, None))


class _State:
    __slots__ = ('owner', 'dicts', 'args', 'keywords')

    def __init__(self, args, keywords):
        self.owner = None  # id of the greenlet that ran last
        self.dicts = {}  # id of a greenlet -> its attributes
        self.args = args  # None: no __init__ to be run
        self.keywords = keywords


def _enter(obj, state, greenlet):
    # The first time in a greenlet: as if the object was made anew.
    ident = id(greenlet)
    record = _records.get(ident)
    if record is None:
        record = _records[ident] = _Record(greenlet)
    record.add(obj)
    state.dicts[ident] = attributes = {}
    _install(obj, state, ident, attributes)
    if state.args is None:
        return
    try:
        type(obj).__init__(obj, *state.args, **state.keywords)
    except:
        record.locals.pop(id(obj), None)
        state.dicts.pop(ident, None)
        state.owner = None
        raise
    _install(obj, state, ident, attributes)


def _install(obj, state, ident, attributes):
    _set(obj, '__dict__', attributes)
    state.owner = ident


def _keep(obj, state):
    # The interpreter ends and no greenlet can be told from another: what is
    # there has to do, or a dictionary for all that is still to come.
    if state.owner is not None:
        return
    state.dicts[_AFTERWARDS] = attributes = {}
    _install(obj, state, _AFTERWARDS, attributes)
    if state.args is not None:
        type(obj).__init__(obj, *state.args, **state.keywords)


def _switch(obj):
    # Put the current greenlet's dictionary in place.
    state = _get(obj, '_state')
    try:
        greenlet = getcurrent()
    except RuntimeError:
        _keep(obj, state)
        return
    ident = id(greenlet)
    if state.owner != ident:
        attributes = state.dicts.get(ident)
        if attributes is None:
            _enter(obj, state, greenlet)
        else:
            _install(obj, state, ident, attributes)


class Local:
    """An object with other attributes in each greenlet."""

    __slots__ = ('_state', '__dict__', '__weakref__')

    def __new__(cls, *args, **keywords):
        has_init = cls.__init__ is not object.__init__
        if (args or keywords) and not has_init:
            raise TypeError('Initialization arguments are not supported')
        self = object.__new__(cls)
        state = _State(None, None)
        _set(self, '_state', state)
        _switch(self)
        if has_init:
            state.args = args
            state.keywords = keywords
        return self

    def __getattribute__(self, name):
        _switch(self)
        return _get(self, name)

    def __setattr__(self, name, value):
        _refuse_dict(self, name)
        _switch(self)
        _set(self, name, value)

    def __delattr__(self, name):
        _refuse_dict(self, name)
        _switch(self)
        object.__delattr__(self, name)

    def __copy__(self):
        _switch(self)
        state = _get(self, '_state')
        values = dict(_get(self, '__dict__'))
        copy = type(self)(*(state.args or ()), **(state.keywords or {}))
        _switch(copy)
        _get(copy, '__dict__').update(values)
        return copy

    def __reduce_ex__(self, protocol):
        raise TypeError('cannot pickle %r object' % (type(self).__name__,))


def _refuse_dict(obj, name):
    if name == '__dict__':
        raise AttributeError("%r object attribute '__dict__' is read-only"
                             % (type(obj),))


def local_dicts(greenlet):
    """A list of (local, attributes in that greenlet)."""
    record = _records.get(id(greenlet))
    if record is None:
        return []
    return [(obj, _get(obj, '_state').dicts[record.ident])
            for obj in record.live_locals()]
