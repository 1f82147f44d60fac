"""
Patching threads from Python 3.13 on: the end of a thread is told by a handle.
"""
from gevent.monkey._patch_thread_common import BasePatcher

__all__ = [
    'Patcher',
]


class Patcher(BasePatcher):

    def _make_main_thread_joinable(self, main_thread):
        # Done at threading._shutdown.
        setattr(main_thread, self.gevent_threading._HANDLE_NAME,
                self.gevent_thread._make_thread_handle(main_thread.ident))
