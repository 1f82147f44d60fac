"""The loop under the name of upstream's second one."""
from gevent._util import copy_globals
from gevent.libev import corecext as _core

__all__ = []

copy_globals(_core, globals(), names_to_ignore=('__all__',))


class loop(_core.loop):
    """:class:`gevent.libev.corecext.loop` by another name."""
