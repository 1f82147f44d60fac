"""The concurrency engine libgcore, for Python.

The engine itself is ``libgcore.so.0``; this package loads it and offers the
run queue, waits and watchers that :mod:`gevent` is made of.  ``python -m
libgcore --cflags --libs`` tells C extensions how to link the same engine.
"""

__all__ = ['__version__']

#: The version of the engine.
__version__ = '0.1.0'
