"""
Patching threads up to Python 3.12: the end of a thread is told by a lock.
"""
from gevent.monkey._patch_thread_common import BasePatcher

__all__ = [
    'Patcher',
]


class Patcher(BasePatcher):

    def _make_main_thread_joinable(self, main_thread):
        # Held until threading._shutdown. The native one is released by the
        # interpreter later still, so nobody may wait for it.
        native_lock = main_thread._tstate_lock
        with self.threading._shutdown_locks_lock:
            self.threading._shutdown_locks.discard(native_lock)
        main_thread._tstate_lock = self.gevent_threading._set_sentinel()
        main_thread._tstate_lock.acquire()
