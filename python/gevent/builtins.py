"""
The standard `builtins` module. Nothing in it needs a version for greenlets:
since imports are locked by module, not as a whole, `__import__` is left alone.
"""
import builtins as __standard__

from gevent._util import copy_globals

__target__ = 'builtins'

__implements__ = []

__all__ = []

__imports__ = copy_globals(__standard__, globals())
