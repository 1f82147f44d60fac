"""
The standard `multiprocessing` under patching.

It reads and writes its pipes by `os.read` and `os.write`, and waits for its
locks in C, all of which stops the whole thread: the greenlet that would write
what another one reads never runs. So once one of its modules is imported,

* a connection waits in the hub until it can be read or written;
* the locks are asked again and again until they are free, and a lock that can be
  taken repeatedly belongs to a greenlet;
* in the child of a fork only the greenlet goes on that runs the `Process`. The
  others are those that handle a pool or a queue in the parent, and would take
  from its pipes what the parent waits for.
"""
import os
import select
import sys
from importlib import import_module
from time import monotonic
from types import SimpleNamespace

from greenlet import getcurrent

from gevent.hub import sleep
from gevent.select import poll

__all__ = ['install']

# What a pipe or a socket that can be written to takes without blocking.
_PIECE = getattr(select, 'PIPE_BUF', 512)
# Seconds between two questions for a lock.
_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.02


# -- connections

def _wait_for(fd, event):
    waiting = poll()
    waiting.register(fd, event)
    waiting.poll()


def _read(fd, size):
    """`os.read`, letting other greenlets run."""
    while True:
        _wait_for(fd, select.POLLIN)
        try:
            return os.read(fd, size)
        except BlockingIOError:
            pass  # another process was faster


def _write(fd, data):
    """`os.write`, letting other greenlets run."""
    while True:
        _wait_for(fd, select.POLLOUT)
        try:
            return os.write(fd, data[:_PIECE])
        except BlockingIOError:
            pass


def _patch_connection(module):
    connection = module.Connection
    native_send, native_receive = connection._send, connection._recv
    native_init = connection.__init__

    def __init__(self, handle, *args, **kwargs):
        native_init(self, handle, *args, **kwargs)
        # That of a socket of ours does not block, but the process it is passed
        # on to may know nothing of gevent.
        try:
            os.set_blocking(handle, True)
        except OSError:
            pass  # the first use will tell

    def _send(self, buf, write=_write):
        return native_send(self, memoryview(buf), write)

    def _recv(self, size, read=_read):
        return native_receive(self, size, read)

    connection.__init__ = __init__
    connection._send = _send
    connection._recv = _recv


# -- locks

class _Lock:
    """A native semaphore of `multiprocessing` that lets greenlets run."""

    def __init__(self, native, recursive):
        self._native = native
        self._recursive = recursive
        self._owner = None

    def __getattr__(self, name):
        return getattr(self._native, name)

    def acquire(self, block=True, timeout=None):
        """As the native one's."""
        if self._try_acquire():
            return True
        if not block:
            return False
        end = None if timeout is None else monotonic() + timeout
        pause = _SHORTEST_PAUSE
        while True:
            left = pause if end is None else end - monotonic()
            if left <= 0:
                return False
            sleep(min(pause, left))
            if self._try_acquire():
                return True
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _try_acquire(self):
        if self._recursive:
            if self._native._is_mine() and self._owner is not getcurrent():
                return False  # the thread is the same, the greenlet is not
            if not self._native.acquire(False):
                return False
            self._owner = getcurrent()
            return True
        return self._native.acquire(False)

    def release(self):
        """As the native one's."""
        if self._recursive and not self._is_mine():
            raise AssertionError('attempt to release recursive lock not owned '
                                 'by thread')
        self._native.release()
        if self._recursive and not self._native._is_mine():
            self._owner = None

    def _is_mine(self):
        if self._recursive and self._owner is not getcurrent():
            return False
        return self._native._is_mine()

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_exc_info):
        self.release()


def _patch_synchronize(module):
    if module.SemLock.__module__ != module.__name__:
        return  # a plug-in of gevent.plugins.monkey has put others there
    recursive = module.RECURSIVE_MUTEX
    native_make_methods = module.SemLock._make_methods

    def _make_methods(self):
        if not isinstance(self._semlock, _Lock):
            self._semlock = _Lock(self._semlock,
                                  self._semlock.kind == recursive)
        native_make_methods(self)

    module.SemLock._make_methods = _make_methods


# -- forks

class _Process:
    """Tells the children from the process that installs this."""

    def __init__(self):
        self._pid = os.getpid()

    def drop_others_greenlets(self):
        """In the child of a fork: let only the running greenlet go on."""
        if os.getpid() != self._pid:
            from gevent.os import _drop_other_greenlets
            _drop_other_greenlets()


_process = None


def _patch_util(module):
    global _process
    _process = _Process()
    # First of all such functions.
    module.register_after_fork(_process, _Process.drop_others_greenlets)


# -- the thread that passes descriptors on

def _patch_resource_sharer(module):
    # It would block all signals in its thread, which is everybody's.
    module.signal = SimpleNamespace()


# -- when they are imported

_patches = {
    'multiprocessing.connection': _patch_connection,
    'multiprocessing.resource_sharer': _patch_resource_sharer,
    'multiprocessing.synchronize': _patch_synchronize,
    'multiprocessing.util': _patch_util,
}


class _Finder:
    """Finds the modules above as all others do, to patch them when loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """The spec of a module to be patched, None for any other."""
        patch = _patches.get(name)
        if patch is None:
            return None
        for finder in sys.meta_path:
            if finder is not _Finder:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    spec.loader = _Loader(spec.loader, patch)
                    return spec
        return None


class _Loader:
    """A module's own loader, and then its patch."""

    def __init__(self, loader, patch):
        self._loader = loader
        self._patch = patch

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        """As the module's own loader has it."""
        return self._loader.create_module(spec)

    def exec_module(self, module):
        """Run the module and patch it."""
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._patch(module)


def install():
    """Patch what is imported of `multiprocessing`, and the rest when it is."""
    if _Finder in sys.meta_path:
        return
    sys.meta_path.insert(0, _Finder)
    for name, patch in _patches.items():
        if name in sys.modules:
            patch(import_module(name))
