"""The concurrency engine libgcore, for Python.

The engine itself is ``libgcore.so.0``; this package loads it and offers the
run queue, waits and watchers that :mod:`gevent` is made of.  ``python -m
libgcore --cflags --libs`` tells C extensions how to link the same engine.
"""

from libgcore import _distribution

__all__ = ['__version__']

#: The version of the engine.
__version__ = _distribution.ENGINE_VERSION

if _distribution.NAME != 'gevent':
    from libgcore import _ownership
    _ownership.warn_if_shared()
