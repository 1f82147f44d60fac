"""
An implementation of the `contextvars` module whose current context belongs to
the greenlet.

The standard module does the same nowadays, since greenlet itself switches
contexts; this one remains for who imports it. It differs in that its classes
can be subclassed.
"""
from collections.abc import Mapping

from gevent._util import _NONE
from gevent.local import local

__all__ = [
    'ContextVar',
    'Context',
    'copy_context',
    'Token',
]

__implements__ = __all__


class _State(local):
    """What is known of the current greenlet."""

    # The context that ContextVar.get and set work with.
    context = None


_state = _State()


def _current_context():
    context = _state.context
    if context is None:
        context = _state.context = Context()
    return context


def copy_context():
    """A copy of the current context (`Context`)."""
    return _current_context().copy()


def _check_key(key):
    if not isinstance(key, ContextVar):
        raise TypeError('ContextVar key was expected, not %r' % (key,))


class Context(Mapping):
    """The values of context variables: a mapping of `ContextVar` to object.

    Changed only by ``ContextVar.set`` and ``reset`` in what `run` calls.
    """

    __slots__ = ('_values', '_outer', '_entered')

    def __init__(self):
        self._values = {}
        self._outer = None
        self._entered = False

    def run(self, function, *args, **kwargs):
        """Call *function* with this as the current context.

        :return: what it returns.
        :raise RuntimeError: when this context is being run already.
        """
        if self._entered:
            raise RuntimeError(
                'cannot enter context: %r is already entered' % (self,))
        self._outer = _state.context
        self._entered = True
        _state.context = self
        try:
            return function(*args, **kwargs)
        finally:
            _state.context = self._outer
            self._outer = None
            self._entered = False

    def copy(self):
        """A context with the same values (`Context`)."""
        other = Context()
        other._values = self._values.copy()
        return other

    def __getitem__(self, key):
        _check_key(key)
        return self._values[key]

    def __contains__(self, key):
        _check_key(key)
        return key in self._values

    def get(self, key, default=None):
        """The value of the variable *key*, or *default*."""
        _check_key(key)
        return self._values.get(key, default)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return iter(self._values)


class ContextVar:
    """A variable that may have another value in each context."""

    __slots__ = ('_name', '_default')

    def __init__(self, name, default=_NONE):
        self._name = name
        self._default = default

    @classmethod
    def __class_getitem__(cls, _):
        return cls

    @property
    def name(self):
        """As given to the constructor."""
        return self._name

    def get(self, default=_NONE):
        """The value in the current context, else *default*, else the default of
        the variable.

        :raise LookupError: when there is none of these.
        """
        values = _current_context()._values
        if self in values:
            return values[self]
        if default is not _NONE:
            return default
        if self._default is not _NONE:
            return self._default
        raise LookupError(self)

    def set(self, value):
        """Make *value* the value in the current context.

        :return: what `reset` needs to undo it (`Token`).
        """
        context = _current_context()
        token = Token(context, self, context._values.get(self, Token.MISSING))
        context._values[self] = value
        return token

    def reset(self, token):
        """Undo the call of `set` that returned *token*.

        :raise RuntimeError: when it has been undone already.
        :raise ValueError: for another variable's token, or another context's.
        """
        token._use(self, _current_context())

    def __repr__(self):
        default = ('' if self._default is _NONE
                   else ' default=%s' % _safe_repr(self, self._default))
        return '<ContextVar name=%r%s at 0x%x>' % (self._name, default, id(self))


# The variables whose repr is being made.
_in_repr = set()


def _safe_repr(var, default):
    # A default may contain its variable.
    if id(var) in _in_repr:
        return '...'
    _in_repr.add(id(var))
    try:
        return repr(default)
    finally:
        _in_repr.discard(id(var))


class Token:
    """What undoes one call of ``ContextVar.set``."""

    #: `old_value` of a variable that had none.
    MISSING = _NONE

    __slots__ = ('_context', '_var', '_old_value', '_used')

    def __init__(self, context, var, old_value):
        self._context = context
        self._var = var
        self._old_value = old_value
        self._used = False

    @property
    def var(self):
        """The variable (`ContextVar`)."""
        return self._var

    @property
    def old_value(self):
        """The value before, or `MISSING`."""
        return self._old_value

    def _use(self, var, context):
        if self._used:
            raise RuntimeError('%r has already been used once' % (self,))
        if self._var is not var:
            raise ValueError(
                '%r was created by a different ContextVar' % (self,))
        if self._context is not context:
            raise ValueError(
                '%r was created in a different Context' % (self,))
        self._used = True
        if self._old_value is self.MISSING:
            context._values.pop(var, None)
        else:
            context._values[var] = self._old_value

    def __repr__(self):
        return '<Token%s var=%r at 0x%x>' % (
            ' used' if self._used else '', self._var, id(self))
