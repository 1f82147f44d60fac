"""
The standard `time` module, with a `sleep` that lets other greenlets run.
"""
import time as __time__

from gevent._util import copy_globals
from gevent.hub import sleep

__implements__ = [
    'sleep',
]

__all__ = __implements__

__imports__ = copy_globals(__time__, globals(), names_to_ignore=__implements__)
