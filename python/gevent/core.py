"""The loop, its watchers and libev's constants."""
from gevent._config import config
from gevent._util import copy_globals
from gevent.libev import corecext as _core

__all__ = []

copy_globals(_core, globals())
__all__ = list(_core.__all__)

loop = config.loop
