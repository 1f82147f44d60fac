"""Facts about the interpreter and the platform, for the other modules."""
import os
import sys
from abc import ABC
from os import PathLike, fsdecode, fsencode, fspath
from time import get_clock_info, monotonic, perf_counter
from types import TracebackType

__all__ = [
    'ABC', 'PYPY', 'WIN', 'LINUX', 'OSX', 'MAC', 'PURE_PYTHON', 'PY3',
    'NativeStrIO', 'PathLike', 'fsdecode', 'fsencode', 'fspath',
    'get_clock_info', 'get_this_psutil_process', 'getfilesystemencoding',
    'iteritems', 'itervalues', 'monotonic', 'perf_counter', 'reraise',
    'thread_mod_name',
]

PY3 = True
PY39 = sys.version_info[:2] >= (3, 9)
PY310 = sys.version_info[:2] >= (3, 10)
PY311 = sys.version_info[:2] >= (3, 11)
PY312 = sys.version_info[:2] >= (3, 12)
PY313 = sys.version_info[:2] >= (3, 13)
PY314 = sys.version_info[:2] >= (3, 14)
PYPY = hasattr(sys, 'pypy_version_info')
WIN = sys.platform.startswith('win')
LINUX = sys.platform.startswith('linux')
OSX = MAC = sys.platform == 'darwin'

thread_mod_name = '_thread'


def _pure_python():
    # GEVENT_PURE_PYTHON is our own; PURE_PYTHON is shared with zope packages.
    return any(os.environ.get(name) not in (None, '', '0')
               for name in ('PURE_PYTHON', 'GEVENT_PURE_PYTHON', 'GCORE_PURE'))


PURE_PYTHON = PYPY or _pure_python()

string_types = (str,)
text_type = str
integer_types = (int,)
xrange = range
hostname_types = (str, bytes, bytearray)
native_path_types = (str, bytes)
izip = zip
_fspath = fspath


def iteritems(mapping):
    """The items of a mapping."""
    return mapping.items()


def itervalues(mapping):
    """The values of a mapping."""
    return mapping.values()


def reraise(kind, value, tb=None):
    """Raise `value` with the traceback `tb`."""
    if value.__traceback__ is not tb and isinstance(tb, TracebackType):
        raise value.with_traceback(tb)
    raise value


def getfilesystemencoding():
    """The encoding of file names."""
    return sys.getfilesystemencoding()


def get_this_psutil_process():
    """A psutil.Process for this process, or None without psutil."""
    try:
        from psutil import Process
        return Process()
    except ImportError:
        return None


def __getattr__(name):
    # io is loaded in any interpreter, but StringIO's alias is rarely wanted.
    if name == 'NativeStrIO':
        from io import StringIO
        return StringIO
    raise AttributeError(name)
