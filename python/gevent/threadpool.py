"""Running functions in native threads.

For code that blocks and does not cooperate: name lookups by the C library,
file systems, compute-bound extension modules.
"""
from __future__ import annotations

import concurrent.futures
import os
import sys
import threading
from concurrent.futures import _base as cfb
from typing import Callable, Optional
from weakref import ref as weakref_ref

from greenlet import getcurrent

from gevent import monkey
from gevent._hub_local import get_hub_if_exists
from gevent._threading import EmptyTimeout, Queue
from gevent._threading import get_thread_ident, start_new_thread
from gevent._util import Lazy
from gevent.event import AsyncResult, Event
from gevent.exceptions import InvalidThreadUseError
from gevent.hub import get_hub
from gevent.lock import Semaphore
from gevent.pool import GroupMappingMixin
from gevent.timeout import Timeout as GTimeout

__all__ = [
    'ThreadPool',
    'ThreadResult',
    'ThreadPoolExecutor',
]


class ThreadResult:
    """Carries the result of a task from its thread to the hub's.

    :param receiver: called with this object in the hub, when there is a
        result; an `AsyncResult`, for example.
    :param hub: the hub; its loop stays alive until then.
    :param call_when_ready: called before the receiver, if not None.
    """

    __slots__ = ('receiver', 'hub', 'value', 'context', 'exc_info',
                 'async_watcher', '_call_when_ready')

    def __init__(self, receiver, hub, call_when_ready):
        self.receiver = receiver
        self.hub = hub
        self.value = None
        self.context = None
        self.exc_info = ()
        self.async_watcher = None
        self._call_when_ready = call_when_ready
        hub.loop.ref()

    @property
    def exception(self):
        """What the task raised, or None."""
        return self.exc_info[1] if self.exc_info else None

    def successful(self) -> bool:
        """Did the task return?"""
        return self.exception is None

    def set(self, value) -> None:
        """Called in the task's thread: it returned *value*."""
        self.value = value
        self._send()

    def _set_before_waiting(self, value):
        # set(), by a worker that waits for its next task now: the hub is
        # woken when it does.
        self.value = value
        self._send('queue_callback')

    def handle_error(self, context, exc_info) -> None:
        """Called in the task's thread: it raised *exc_info*; *context* is
        what it is reported with."""
        self.context = context
        self.exc_info = exc_info
        self._send()

    def _send(self, how='run_callback_threadsafe'):
        loop = self.hub.loop
        if loop is not None:
            try:
                # Loops of others may have only what ILoop has.
                queue = getattr(loop, how, loop.run_callback_threadsafe)
                queue(self._deliver)
            except ValueError:
                pass  # the loop was destroyed: nobody waits any more

    def _deliver(self):
        hub, receiver, ready = self.hub, self.receiver, self._call_when_ready
        hub.loop.unref()
        try:
            if ready is not None:
                ready()
            if self.exc_info:
                hub.handle_error(self.context, *self.exc_info)
            self.context = None
            if receiver is not None:
                receiver(self)
        finally:
            self.destroy_in_main_thread()

    def destroy_in_main_thread(self) -> None:
        """Let go of everything; called in the hub's thread."""
        self.receiver = None
        self.value = None
        self.exc_info = ()
        self._call_when_ready = None


class _Worker:
    """What one thread of a pool does: the tasks of its queue."""

    def __init__(self, pool):
        self._pool = weakref_ref(pool)
        self._hub = pool.hub
        self._tasks = pool.task_queue
        self._idle_timeout = pool._idle_task_timeout
        self._thread_ident = None

    def __repr__(self):
        ident = self._thread_ident
        return '<ThreadPoolWorker at 0x%x thread_ident=%s threadpool-hub=%s>' % (
            id(self), hex(ident) if ident is not None else None,
            _format_hub(self._hub))

    def run(self):
        """The thread."""
        self._thread_ident = get_thread_ident()
        profile = threading.getprofile()
        trace = threading.gettrace()
        if profile is not None:
            sys.setprofile(profile)
        if trace is not None:
            sys.settrace(trace)
        try:
            while self._run_one():
                pass
        finally:
            _destroy_own_hub()
            self._tell_pool()

    def _run_one(self):
        # False: it is time to end.
        _ignore_blocking()
        try:
            task = self._tasks.get(self._idle_timeout, self._hub.loop)
        except EmptyTimeout:
            return False
        if task is None:
            return False
        func, args, kwargs, result = task
        del task
        try:
            value = func(*args, **kwargs)
        except:  # pylint:disable=bare-except
            result.handle_error((self, func), sys.exc_info())
        else:
            # Not after the hub is owed the result: dropping the last
            # reference to an argument may run anything.
            del func, args, kwargs
            result._set_before_waiting(value)
        return True

    def _tell_pool(self):
        loop = self._hub.loop
        if loop is None:
            return
        try:
            loop.run_callback_threadsafe(_worker_has_ended, self._pool, self)
        except ValueError:
            pass  # the loop was destroyed


def _worker_has_ended(pool_ref, worker):
    pool = pool_ref()
    if pool is not None:
        pool._on_worker_exit(worker)


def _ignore_blocking():
    # Waiting for tasks, and tasks that block, are what the thread is for:
    # the monitor of a hub that a task has made is not to report them.
    hub = get_hub_if_exists()
    if hub is not None:
        hub.name = 'ThreadPool Worker Hub'
        if hub.periodic_monitoring_thread is not None:
            hub.periodic_monitoring_thread.ignore_current_greenlet_blocking()


def _destroy_own_hub():
    # A task that used gevent has made a hub for its thread.
    hub = get_hub_if_exists()
    if hub is not None:
        hub.destroy(True)


def _format_hub(hub):
    if hub is None:
        return '<missing>'
    return '<%s at 0x%x thread_ident=%s>' % (
        hub.__class__.__name__, id(hub), hex(hub.thread_ident))


def _on_fork_of(pool_ref):
    def on_fork():
        pool = pool_ref()
        if pool is not None:
            pool._on_fork()
    return on_fork


class ThreadPool(GroupMappingMixin):
    """Runs functions in native threads of its own.

    :param maxsize: how many threads there are at most (int).
    :param hub: the hub whose greenlets use the pool; by default the current
        one.
    :param idle_task_timeout: after how many seconds without a task a thread
        ends (float); -1: never.

    What a task raises is reported as the error of a greenlet would be, and
    raised for whoever waits for the result. A task may use gevent: it has a
    hub of its thread's own, which lives as long as the thread.
    """

    def __init__(self, maxsize: int, hub=None, idle_task_timeout: float = -1):
        self.hub = hub if hub is not None else get_hub()
        self.pid = os.getpid()
        self.manager = None
        self.task_queue = Queue()
        self._idle_task_timeout = idle_task_timeout
        self._worker_greenlets = set()
        self._stopping = 0  # how many of them have been told to end
        self._changed = Event()  # set when a task or a thread ends
        self._maxsize = 0
        self._available_worker_threads_greenlet_sem = Semaphore(1, self.hub)
        # Not to be kept alive by its own watcher.
        self.fork_watcher = self.hub.loop.fork(ref=False)
        try:
            self._set_maxsize(maxsize)
        except:
            self.fork_watcher.close()
            raise
        self.fork_watcher.start(_on_fork_of(weakref_ref(self)))

    def __repr__(self):
        return '<%s at 0x%x tasks=%s size=%s maxsize=%s hub=%s>' % (
            self.__class__.__name__, id(self), len(self), self.size,
            self.maxsize, _format_hub(self.hub))

    def __len__(self):
        """How many tasks there are that have not ended."""
        return self.task_queue.unfinished_tasks

    # ---- size

    def _get_maxsize(self):
        return self._maxsize

    def _set_maxsize(self, maxsize):
        if not isinstance(maxsize, int):
            raise TypeError('maxsize must be integer: %r' % (maxsize,))
        if maxsize < 0:
            raise ValueError('maxsize must not be negative: %r' % (maxsize,))
        self._available_worker_threads_greenlet_sem.counter += (
            maxsize - self._maxsize)
        self._maxsize = maxsize
        self.adjust()

    maxsize = property(_get_maxsize, _set_maxsize,
                       doc="How many threads there are at most.")

    def _get_size(self):
        return len(self._worker_greenlets)

    def _set_size(self, size):
        if size < 0:
            raise ValueError(
                'Size of the pool cannot be negative: %r' % (size,))
        if size > self._maxsize:
            raise ValueError(
                'Size of the pool cannot be bigger than maxsize: %r > %r'
                % (size, self._maxsize))
        while len(self._worker_greenlets) - self._stopping < size:
            self._add_thread()
        self._stop_threads_beyond(size)
        self._wait_until(lambda: len(self._worker_greenlets) <= size)

    size = property(_get_size, _set_size,
                    doc="How many threads there are. Setting it waits until "
                        "there are no more than that.")

    def adjust(self) -> None:
        """Start as many threads as the tasks need, and end those beyond
        `maxsize` once they are free."""
        wanted = min(self.task_queue.unfinished_tasks, self._maxsize)
        while len(self._worker_greenlets) - self._stopping < wanted:
            self._add_thread()
        self._stop_threads_beyond(self._maxsize)

    def _stop_threads_beyond(self, size):
        while len(self._worker_greenlets) - self._stopping > size:
            self._stopping += 1
            self.task_queue.put_uncounted(None)

    def _add_thread(self):
        worker = _Worker(self)
        self._worker_greenlets.add(worker)
        try:
            start_new_thread(worker.run, ())
        except:
            self._worker_greenlets.discard(worker)
            raise

    def _on_worker_exit(self, worker):
        # In the hub.
        if worker not in self._worker_greenlets:
            return  # of the parent process
        self._worker_greenlets.discard(worker)
        if self._stopping:
            self._stopping -= 1
        self._changed.set()
        self.adjust()

    def _wait_until(self, condition):
        hub = self.hub
        if get_hub_if_exists() is not hub or getcurrent() is hub:
            return  # cannot wait here
        hub.loop.ref()
        try:
            while not condition():
                self._changed.clear()
                self._changed.wait()
        finally:
            if hub.loop is not None:
                hub.loop.unref()

    def join(self) -> None:
        """Wait until all tasks have ended."""
        self._wait_until(lambda: not self.task_queue.unfinished_tasks)

    def kill(self) -> None:
        """Wait until all tasks and threads have ended. The pool can be used
        again."""
        self.size = 0
        self.fork_watcher.close()

    def __del__(self):
        tasks = self.__dict__.get('task_queue')
        if tasks is not None and self.pid == os.getpid():
            for _ in self._worker_greenlets:
                tasks.put_uncounted(None)

    def _on_fork(self):
        # In the child: the threads are gone, with the tasks they were at.
        pid = os.getpid()
        if pid == self.pid:
            return
        self.pid = pid
        waiting = [task for task in self.task_queue.drain()
                   if task is not None]
        lost = self.task_queue.unfinished_tasks - len(waiting)
        for _ in range(lost):
            self.hub.loop.unref()
            self._available_worker_threads_greenlet_sem.release()
        self.task_queue = Queue()
        self._worker_greenlets = set()
        self._stopping = 0
        for task in waiting:
            self.task_queue.put(task)
        self._changed.set()
        self.adjust()

    # ---- tasks

    def spawn(self, func: Callable, *args, **kwargs) -> AsyncResult:
        """Start ``func(*args, **kwargs)`` in a thread.

        Waits when there are tasks for all threads, and one more.

        :return: the result to be.
        :raise InvalidThreadUseError: in another thread than the hub's.
        :raise RuntimeError: when there is no thread, and none can be started.
        """
        return self._submit(func, args, kwargs, None)

    def _submit(self, func, args, kwargs, loop):
        if get_hub_if_exists() is not self.hub:
            raise InvalidThreadUseError(
                'a thread pool is used from the thread of its hub')
        self._available_worker_threads_greenlet_sem.acquire()
        try:
            result = AsyncResult()
            thread_result = ThreadResult(result, self.hub,
                                         self._task_has_ended)
        except:
            self._available_worker_threads_greenlet_sem.release()
            raise
        task = func, args, kwargs, thread_result
        self.task_queue.put(task, loop)
        try:
            self.adjust()
        except RuntimeError:  # the system has no more threads
            if not self._worker_greenlets:
                self._take_back(task)
                raise
        return result

    def _take_back(self, task):
        # While there are no threads.
        for other in self.task_queue.drain():
            if other is not task:
                self.task_queue.put_uncounted(other)
        self.hub.loop.unref()
        task[-1].destroy_in_main_thread()
        self._task_has_ended()

    def apply(self, func: Callable, args=None, kwds=None):
        """Call ``func(*args, **kwds)`` in a thread.

        :return: what it returns; what it raises is raised here.
        """
        loop = self.hub.loop
        if (type(self).spawn is not ThreadPool.spawn or loop is None
                or self._apply_immediately() or loop.pendingcnt):
            return super().apply(func, args, kwds)
        # The caller waits at once, and nothing else is there to run: the
        # hub polls next.
        return self._submit(func, () if args is None else args,
                            {} if kwds is None else kwds, loop).get()

    def _task_has_ended(self):
        # In the hub.
        self.task_queue.task_done()
        self._available_worker_threads_greenlet_sem.release()
        self._changed.set()

    def _apply_immediately(self):
        # Of no use to another thread, which may block as it likes.
        return get_hub_if_exists() is not self.hub

    def _apply_async_cb_spawn(self, callback, result):
        callback(result)

    def _apply_async_use_greenlet(self):
        # spawn() may have to wait.
        return True


class _FutureProxy:
    """An `AsyncResult` as a `concurrent.futures.Future`."""

    def __init__(self, asyncresult):
        self.asyncresult = asyncresult

    # Lazily, because as_completed() and wait() alone need them.

    @Lazy
    def _condition(self):
        if monkey.is_module_patched('threading') or self.done():
            return threading.Condition()
        # The native one would block the hub, and so the result.
        raise AttributeError('_condition')

    @Lazy
    def _waiters(self):
        self.asyncresult.rawlink(self.__when_done)
        return []

    def __when_done(self, _source):
        for waiter in self._waiters:
            if self.successful():
                waiter.add_result(self)
            else:
                waiter.add_exception(self)

    @property
    def _state(self):
        return cfb.FINISHED if self.done() else cfb.RUNNING

    def set_running_or_notify_cancel(self):
        """Runs already; does nothing."""

    def running(self) -> bool:
        """Has it not ended?"""
        return not self.done()

    def result(self, timeout: Optional[float] = None):
        """The value, once there is one, or what the task raised.

        :raise concurrent.futures.TimeoutError: after *timeout* seconds.
        """
        try:
            return self.asyncresult.result(timeout=timeout)
        except GTimeout as ex:
            if timeout is None or ex is self.asyncresult.exception:
                raise
            raise concurrent.futures.TimeoutError() from None

    def exception(self, timeout: Optional[float] = None):
        """What the task raised, or None, once it has ended.

        :raise concurrent.futures.TimeoutError: after *timeout* seconds.
        """
        try:
            self.result(timeout)
        except concurrent.futures.TimeoutError:
            if not self.done():
                raise
        except BaseException:  # pylint:disable=broad-except
            if not self.done():
                raise
        return self.asyncresult.exception

    def add_done_callback(self, fn: Callable) -> None:
        """Call ``fn(self)`` once the task has ended: now, or in the hub."""
        if self.done():
            fn(self)
        else:
            self.asyncresult.rawlink(_DoneCallback(self, fn))

    def rawlink(self, callback) -> None:
        """Call ``callback(self)`` in the hub once the task has ended."""
        self.asyncresult.rawlink(_Wrapped(self, callback))

    def __str__(self):
        return str(self.asyncresult)

    def __getattr__(self, name):
        return getattr(self.asyncresult, name)


class _Wrapped:
    # A link that is called with the future instead of its result.

    __slots__ = ('future', 'callback')

    def __init__(self, future, callback):
        self.future = future
        self.callback = callback

    def __call__(self, _source):
        self.callback(self.future)


class _DoneCallback(_Wrapped):
    # What goes wrong in one is shown and concerns nobody else.

    __slots__ = ()

    def __call__(self, source):
        try:
            super().__call__(source)
        except Exception:  # pylint:disable=broad-except
            get_hub().print_exception((self.callback, self.future),
                                      *sys.exc_info())


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """A `concurrent.futures.ThreadPoolExecutor` on a `ThreadPool`.

    Its threads stay native when the program is patched; greenlets that wait
    for the futures do not block the thread. With `concurrent.futures.wait`
    and ``as_completed`` the futures work only where `threading` is patched.
    """

    def __init__(self, *args, **kwargs):
        """Arguments are those of the base class, *initializer* excluded."""
        super().__init__(*args, **kwargs)
        self._threadpool = ThreadPool(self._max_workers)

    def submit(self, fn: Callable, /, *args, **kwargs):
        """Start ``fn(*args, **kwargs)`` in a thread; returns the future.

        :raise RuntimeError: after `shutdown`.
        """
        with self._shutdown_lock:
            if self._shutdown:
                raise RuntimeError(
                    'cannot schedule new futures after shutdown')
            return _FutureProxy(self._threadpool.spawn(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, **kwargs) -> None:
        """Take no more tasks; with *wait*, wait until all have ended."""
        super().shutdown(wait, **kwargs)
        # None without __init__, as in a failed construction.
        pool = getattr(self, '_threadpool', None)
        if pool is not None and wait:
            pool.kill()
        self._threadpool = None

    kill = shutdown

    def _adjust_thread_count(self):
        # The pool's threads are not the base class's.
        pass
