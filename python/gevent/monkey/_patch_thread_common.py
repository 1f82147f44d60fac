"""
Patching threads, on every version of Python.

Besides replacing names, what exists already has to be told that greenlets are
threads now: the main thread gets the identity of the main greenlet, and locks
that Python code has made and that are held by it get that owner.
"""
import sys

from greenlet import getcurrent

from gevent.events import DoNotPatch
from gevent.events import GeventDidPatchModuleEvent
from gevent.events import GeventWillPatchModuleEvent
from gevent.monkey import api
from gevent.monkey._util import _check_availability
from gevent.monkey._util import _notify_patch
from gevent.monkey._util import _patch_module
from gevent.monkey._util import _queue_warning

__all__ = [
    'BasePatcher',
]


def _main_greenlet():
    # Of this native thread.
    greenlet = getcurrent()
    while greenlet.parent is not None:
        greenlet = greenlet.parent
    return greenlet


class BasePatcher:
    """One call of `gevent.monkey.patch_thread`."""

    def __init__(self, patch_threading, patch_threading_local, patch_event,
                 patch_logging, patch_existing_locks, _warnings):
        self.patch_threading = patch_threading
        self.patch_threading_local = patch_threading_local
        self.patch_event = patch_event
        self.patch_logging = patch_logging
        self.patch_existing_locks = patch_existing_locks
        self._warnings = _warnings

        self.gevent_thread, self.thread, _ = _check_availability('thread')
        self.gevent_threading, self.threading, _ = _check_availability(
            'threading')

    def __call__(self):
        """Patch.

        :return: was it done? (bool)
        """
        self.native_ident = self.thread.get_ident()
        try:
            self._announce()
        except DoNotPatch:
            return False
        # Asked for under the old identity: later there may be another answer.
        thread = self.threading.current_thread()
        on_main = isinstance(thread, self.threading._MainThread)
        first_time = not self._is_patched()

        self._patch_names('thread')
        if self.patch_threading:
            self._patch_names('threading')
            if self.patch_event:
                from gevent.event import Event
                api.patch_item(self.threading, 'Event', Event)
            if first_time:
                self.gevent_threading._adapt_thread_class(
                    api.get_original('threading', 'Thread'))
            if self.patch_logging:
                self._renew_logging_locks()
            if self.patch_existing_locks and first_time:
                self._take_over_locks()
        if self.patch_threading_local:
            self._patch_threading_local()
        if self.patch_threading and first_time:
            if on_main:
                self._take_over_main_thread(thread)
            else:
                _queue_warning(
                    'Monkey-patching not on the main thread; '
                    'threading.main_thread().join() will hang from a greenlet',
                    self._warnings)
            self._patch_shutdown(None if on_main
                                 else self.threading.main_thread())
        self._report()
        return True

    def _is_patched(self):
        return self.threading.get_ident is self.gevent_threading.get_ident

    # Both modules are announced before one of them is patched, so that nothing
    # or all is done, and reported when both are ready.

    def _announce(self):
        self._will_patch(self.gevent_thread, self.thread)
        if self.patch_threading:
            self._will_patch(self.gevent_threading, self.threading)

    def _will_patch(self, source, target):
        api._call_module_hook(source, 'will', target, source.__implements__,
                              self._warnings)
        _notify_patch(GeventWillPatchModuleEvent(
            target.__name__, source, target, source.__implements__),
                      self._warnings)

    def _report(self):
        self._did_patch('thread', self.gevent_thread, self.thread)
        if self.patch_threading:
            self._did_patch('threading', self.gevent_threading, self.threading)

    def _did_patch(self, name, source, target):
        api._call_module_hook(source, 'did', target, source.__implements__,
                              self._warnings)
        _notify_patch(GeventDidPatchModuleEvent(name, source, target),
                      self._warnings)

    def _patch_names(self, name):
        _patch_module(name, _warnings=self._warnings,
                      _notify_will_subscribers=False,
                      _notify_did_subscribers=False,
                      _call_hooks=False)

    def _patch_threading_local(self):
        _threading_local = __import__('_threading_local')
        from gevent.local import local
        api.patch_item(_threading_local, 'local', local)

    # -- what exists already

    def _renew_logging_locks(self):
        logging = sys.modules.get('logging')
        if logging is None or self._is_greenlet_lock(logging._lock):
            return
        api.patch_item(logging, '_lock', self.threading.RLock())
        for reference in logging._handlerList:
            handler = reference() if callable(reference) else reference
            if handler is not None and handler.lock:
                handler.lock = self.threading.RLock()

    def _is_greenlet_lock(self, lock):
        return isinstance(getattr(lock, '_block', None),
                          self.gevent_thread.LockType)

    def _take_over_locks(self):
        # Of another native thread's locks one cannot know whether it is about
        # to use them.
        if len(self.threading._active) == 1:
            self._take_over_rlocks()
            self._take_over_module_locks()

    def _take_over_rlocks(self):
        import gc
        kind = self.threading._PyRLock
        for each in gc.get_objects():
            # Not isinstance: that one would call code of proxies.
            if type(each) is kind:
                self._take_over_rlock(each)

    def _take_over_rlock(self, rlock):
        if self._is_greenlet_lock(rlock):
            return
        rlock._block = self.gevent_thread.allocate_lock()
        if rlock._owner is not None:
            rlock._block.acquire()
            rlock._owner = self._new_ident(rlock._owner)

    def _take_over_module_locks(self):
        # Of the modules that are being imported right now.
        from importlib import _bootstrap
        for reference in list(_bootstrap._module_locks.values()):
            lock = reference()
            if getattr(lock, 'owner', None) is None:
                continue
            lock.owner = self._new_ident(lock.owner)
            if not lock.wakeup.locked():
                # A greenlet that imports the same module will wait here.
                lock.wakeup = self.gevent_thread.allocate_lock()

    def _new_ident(self, ident):
        return (id(_main_greenlet()) if ident == self.native_ident else ident)

    def _take_over_main_thread(self, main_thread):
        main_greenlet = _main_greenlet()
        active = self.threading._active
        active.pop(main_thread._ident, None)
        main_thread._ident = id(main_greenlet)
        active[main_thread._ident] = main_thread
        self._make_main_thread_joinable(main_thread)

    def _patch_shutdown(self, stray_main_thread):
        api.patch_item(
            self.threading, '_shutdown',
            self.gevent_threading._shutdown_function(
                self.threading._shutdown, stray_main_thread))

    def _make_main_thread_joinable(self, main_thread):
        raise NotImplementedError
