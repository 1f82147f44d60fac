"""The classes of watchers, under the name of upstream's module."""
from gevent.libev.corecext import (  # pylint:disable=unused-import
    async_, check, child, fork, idle, io, prepare, signal, stat, timer,
    watcher,
)

# Nothing for an import of everything: some names hide builtin ones.
__all__ = []
