"""Tracebacks that can be pickled and that hold no frames.

A finished greenlet keeps the traceback of its error for later ``get()``
calls; the frames, with all their locals, must not live as long.
"""
import sys
from types import TracebackType

__all__ = ['Traceback', 'dump_traceback', 'load_traceback']

class _Code:
    """What is kept of a code object."""

    __slots__ = ('co_filename', 'co_name', 'co_firstlineno')

    def __init__(self, code):
        self.co_filename = code.co_filename
        self.co_name = code.co_name
        self.co_firstlineno = code.co_firstlineno

    def __getstate__(self):
        return (self.co_filename, self.co_name, self.co_firstlineno)

    def __setstate__(self, state):
        self.co_filename, self.co_name, self.co_firstlineno = state


class _Frame:
    """What is kept of a frame."""

    __slots__ = ('f_code', 'f_globals', 'f_lineno', 'f_back')

    def __init__(self, frame):
        self.f_code = _Code(frame.f_code)
        self.f_globals = {
            name: frame.f_globals[name]
            for name in ('__file__', '__name__') if name in frame.f_globals
        }
        self.f_lineno = frame.f_lineno
        self.f_back = None

    def __getstate__(self):
        return (self.f_code, self.f_globals, self.f_lineno)

    def __setstate__(self, state):
        self.f_code, self.f_globals, self.f_lineno = state
        self.f_back = None

    def clear(self):
        """Nothing to clear: there are no locals."""


class Traceback:
    """A picklable copy of a traceback."""

    __slots__ = ('tb_frame', 'tb_lineno', 'tb_next')

    tb_lasti = -1

    def __init__(self, tb):
        self.tb_frame = _Frame(tb.tb_frame)
        self.tb_lineno = tb.tb_lineno
        self.tb_next = None

    @classmethod
    def copy(cls, tb):
        """A copy of a whole chain."""
        first = last = cls(tb)
        tb = tb.tb_next
        while tb is not None:
            last.tb_next = cls(tb)
            last = last.tb_next
            tb = tb.tb_next
        return first

    def __getstate__(self):
        return (self.tb_frame, self.tb_lineno, self.tb_next)

    def __setstate__(self, state):
        self.tb_frame, self.tb_lineno, self.tb_next = state

    def as_traceback(self):
        """A real traceback with the same files, names and lines."""
        chain = []
        entry = self
        while entry is not None:
            chain.append(entry)
            entry = entry.tb_next
        result = None
        for entry in reversed(chain):
            result = TracebackType(result, _real_frame(entry), 0,
                                   entry.tb_lineno)
        return result


def _raiser():
    raise _Marker()


class _Marker(Exception):
    pass


def _real_frame(entry):
    """A frame whose code has the entry's file and name."""
    code = _raiser.__code__
    changes = {
        'co_filename': entry.tb_frame.f_code.co_filename,
        'co_name': entry.tb_frame.f_code.co_name,
        'co_firstlineno': max(entry.tb_lineno - 1, 1),
    }
    if hasattr(code, 'co_qualname'):
        changes['co_qualname'] = entry.tb_frame.f_code.co_name
    code = code.replace(**changes)
    namespace = dict(entry.tb_frame.f_globals)
    namespace['_Marker'] = _Marker
    try:
        exec(code, namespace)  # pylint:disable=exec-used
    except _Marker:
        tb = sys.exc_info()[2].tb_next
        return tb.tb_frame
    raise AssertionError('not reached')  # pragma: no cover


def dump_traceback(tb):
    """A copy of `tb` that can be kept and pickled; None for None."""
    if tb is None:
        return None
    return Traceback.copy(tb)


def load_traceback(copy):
    """The traceback that :func:`dump_traceback` copied."""
    if copy is None or isinstance(copy, TracebackType):
        return copy
    return copy.as_traceback()
