"""
Low-level operating system functions, cooperative where they could block.

Files: `nb_read` and `nb_write` wait in the hub for a non-blocking descriptor,
`tp_read` and `tp_write` use the hub's threads and so serve any descriptor.

Processes: what `fork`, `forkpty` and `posix_spawn` start is watched by the
calling thread's loop, so that `waitpid` waits without stopping other greenlets.
A result nobody has asked for is kept for a minute. ``GEVENT_NOWAITPID=1`` turns
the watching off.

In the child of a fork all greenlets of the forking thread go on, unless
``GEVENT_DROP_GREENLETS_ON_FORK=1``: then only the one that forked does, and the
child ends with it.
"""
import os
import sys
from collections import deque
from errno import EAGAIN, EBADF, EINTR
from time import monotonic

from greenlet import getcurrent

from gevent._config import config
from gevent._hub_local import get_hub_if_exists as _get_hub
from gevent._util import copy_globals
from gevent.hub import get_hub, reinit, sleep
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore import _accel as _netio
else:
    from libgcore import _netio

try:
    import fcntl
except ImportError:
    fcntl = None

__implements__ = ['fork', 'close']
__extensions__ = ['tp_read', 'tp_write']

# Not rebound by the patching of the standard module.
_close = os.close
_read = _netio.fd_read
_write = _netio.fd_write
_raw_fork = os.fork

ignored_errors = [EAGAIN, EINTR]

_READABLE, _WRITABLE = 1, 2


# Files

def make_nonblocking(fd):
    """Set the descriptor's O_NONBLOCK.

    :return: ``True`` if it was not set before, else ``None``.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL, 0)
    if flags & os.O_NONBLOCK:
        return None
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    return True


def _retry(transfer, fd, argument, events):
    # `transfer` answers None, or fails with an ignored error, while it would
    # block.
    hub = watcher = None
    try:
        while True:
            try:
                result = transfer(fd, argument)
            except OSError as ex:
                if ex.errno not in ignored_errors:
                    raise
                result = None
            if result is not None:
                return result
            if watcher is None:
                hub = get_hub()
                watcher = hub.loop.io(fd, events)
            hub.wait(watcher)
    finally:
        if watcher is not None:
            watcher.close()


def nb_read(fd, n):
    """Read up to *n* bytes from the non-blocking descriptor *fd*.

    Waits, letting other greenlets run, until there is something to read.

    :return: the bytes; none of them at the end of the file.
    :raise OSError: as `os.read`.
    """
    return _retry(_read, fd, n, _READABLE)


def nb_write(fd, buf):
    """Write bytes of *buf* to the non-blocking descriptor *fd*.

    Waits, letting other greenlets run, until there is room for some of them.

    :return: the number of bytes written.
    :raise OSError: as `os.write`.
    """
    return _retry(_write, fd, buf, _WRITABLE)


def tp_read(fd, n):
    """Read up to *n* bytes from *fd* in a thread of the hub's pool.

    A killed greenlet leaves the thread behind, reading.
    """
    return get_hub().threadpool.apply(os.read, (fd, n))


def tp_write(fd, buf):
    """Write bytes of *buf* to *fd* in a thread of the hub's pool; the number
    of bytes written is returned."""
    return get_hub().threadpool.apply(os.write, (fd, buf))


def close(fd):
    """Close the descriptor *fd*.

    Greenlets that wait for it in the calling thread's hub are woken; most get
    an OSError (EBADF).
    """
    hub = _get_hub()
    if hub is not None and hub.loop is not None and isinstance(fd, int):
        if fd < 0:
            raise OSError(EBADF, os.strerror(EBADF))
        hub.loop.closing_fd(fd)
    return _close(fd)


if fcntl is not None:
    __extensions__ += ['make_nonblocking', 'nb_read', 'nb_write']


# Processes

# Of the parent's, which do not go on in this process. To forget one would run it
# to its end.
_dropped_greenlets = []


def _drop_other_greenlets():
    """In the child of a fork: let none but the running greenlet go on."""
    from gc import get_objects
    from gevent.greenlet import Greenlet
    from gevent.timeout import Timeout
    hub = _get_hub()
    if hub is None or hub.loop is None:
        return
    _dropped_greenlets.extend(hub.loop.abandon())
    hub._connect_gate = None  # with it the calls that would have opened it
    current = getcurrent()
    for each in get_objects():
        # Not isinstance: that one would call code of proxies.
        if issubclass(type(each), Timeout) and each.pending:
            if not each.timer.args or each.timer.args[0] is not current:
                each.cancel()
        elif issubclass(type(each), Greenlet) and each.parent is hub:
            each._forget_start()


def _end_process_with(greenlet):
    # What comes behind it is the main greenlet's, which was dropped.
    def end(_greenlet):
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        os._exit(0)

    link = getattr(greenlet, 'rawlink', None)
    if link is not None:
        link(end)


def _after_fork_in_child():
    reinit()
    if config.drop_greenlets_on_fork:
        _drop_other_greenlets()
        _end_process_with(getcurrent())


def fork_gevent():
    """Fork, and make the hub work in the child.

    The child's greenlets run there too, unless
    ``gevent.config.drop_greenlets_on_fork`` is set; it is not watched by the
    parent.

    :return: 0 in the child, its process id in the parent.
    """
    pid = _raw_fork()
    if not pid:
        _after_fork_in_child()
    return pid


__extensions__.append('fork_gevent')

if hasattr(os, 'forkpty'):
    _raw_forkpty = os.forkpty

    def forkpty_gevent():
        """Fork with a new pseudo-terminal, and make the hub work in the child.

        :return: ``(pid, master)``, the first 0 in the child.
        """
        pid, master = _raw_forkpty()
        if not pid:
            _after_fork_in_child()
        return pid, master

    __implements__.append('forkpty')
    __extensions__.append('forkpty_gevent')

_waitpid = os.waitpid
_WNOHANG = os.WNOHANG


class _Child:
    """A child process that one loop or several watch."""

    __slots__ = ('loops', 'result', 'ended')

    def __init__(self):
        self.loops = []
        self.result = None  # (pid, status) once it has ended
        self.ended = None  # when


# By process id, in the order in which they were started, then ended.
_watched_children = {}
_ended_children = deque()  # the same, once ended, though asked for
_waiting = set()  # Events that the end of a child sets, one of each who waits


def _on_child_hook():
    # What stands for SIGCHLD, which the loop does not need.
    module = sys.modules.get('gevent.signal')
    if module is not None:
        module._on_child_hook()


def _watch_child(pid, callback=None, loop=None, ref=False):
    """Watch the child *pid* with *loop*; *callback* gets the watcher when it
    has ended."""
    child = _Child()
    _watch_with(loop or get_hub().loop, pid, child, callback, ref)
    _watched_children[pid] = child


def _watch_with(loop, pid, child, callback=None, ref=False):
    watcher = loop.child(pid, ref=ref)
    child.loops.append(loop)
    watcher.start(_on_child, watcher, callback, child)


def _watch_here_too(pid, child):
    """Watch *child* with the calling thread's loop as well: the one that does
    may be of a thread that has ended, or is busy."""
    loop = get_hub().loop
    if child.result is None and loop not in child.loops:
        try:
            _watch_with(loop, pid, child)
        except ProcessLookupError:
            pass  # another loop has got the status, and will tell


def _on_child(watcher, callback, child):
    # In each loop that watches it; the first one to see the end tells of it.
    watcher.stop()
    is_news = child.result is None
    if is_news:
        _note_end(watcher.pid, watcher.rstatus, child)
    try:
        if callback is not None:
            callback(watcher)
    finally:
        if is_news:
            _on_child_hook()
        _reap_children()


def _note_end(pid, status, child):
    child.ended = monotonic()
    if _watched_children.get(pid) is child:
        _watched_children[pid] = _watched_children.pop(pid)
    # From here on another thread may take it.
    child.result = (pid, status)
    _ended_children.append(child)
    for exits in list(_waiting):
        exits.set()


def _reap_children(timeout=60):
    """Forget the results of children that ended *timeout* seconds ago."""
    limit = monotonic() - timeout
    while True:
        try:
            child = _ended_children.popleft()
        except IndexError:
            return
        if child.ended > limit:
            _ended_children.appendleft(child)
            return
        pid = child.result[0]
        if _watched_children.get(pid) is child:
            del _watched_children[pid]


def _wait_for_exit(is_over):
    """Wait until *is_over()*, which the end of a watched child may change; the
    loop stays alive for that."""
    from gevent.event import Event
    exits = Event()
    loop = get_hub().loop
    # Children are watched without a reference.
    loop.ref()
    # Before the first look: other threads' loops see children end, too.
    _waiting.add(exits)
    try:
        while not is_over():
            exits.wait()
            exits.clear()
    finally:
        _waiting.discard(exits)
        loop.unref()


def _has_ended(pid):
    # Asks the kernel, and leaves the child's status there.
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG
                         | os.WNOWAIT) is not None
    except (AttributeError, ChildProcessError):
        return False


def _may_wait():
    return getcurrent() is not _get_hub()


def _take_any_result():
    # Another thread may be faster.
    for pid, child in list(_watched_children.items()):
        if child.result is not None and _watched_children.pop(pid, None):
            return child.result
    return None


def _wait_any(options):
    while True:
        result = _take_any_result()
        if result is not None:
            return result
        watched = list(_watched_children.items())
        if not watched:
            return _wait_os(-1, options)
        for pid, child in watched:
            _watch_here_too(pid, child)
        if options & _WNOHANG and not (_may_wait() and any(
                _has_ended(pid) for pid, _ in watched)):
            return 0, 0
        _wait_for_exit(lambda: not _watched_children or any(
            child.result is not None
            for child in list(_watched_children.values())))


def _wait_watched(pid, child, options):
    _watch_here_too(pid, child)
    # One that has ended will be here at the loop's next turn.
    if child.result is None and options & _WNOHANG and not (
            _has_ended(pid) and _may_wait()):
        return 0, 0
    _wait_for_exit(lambda: child.result is not None)
    if _watched_children.get(pid) is child:
        del _watched_children[pid]
    return child.result


def _wait_os(pid, options):
    """The system's waitpid, tried again and again in place of blocking."""
    pause = 0.001
    while True:
        result = _waitpid(pid, options | _WNOHANG)
        if result[0] or options & _WNOHANG:
            return result
        sleep(pause)
        pause = min(pause * 2, 0.05)


def _waitpid_cooperatively(pid, options):
    if pid == -1:
        return _wait_any(options)
    child = _watched_children.get(pid) if pid > 0 else None
    if child is None and pid > 0 and not options:
        # Somebody else's: an error, ended before now, or watched from now on.
        result = _waitpid(pid, _WNOHANG)
        if result[0]:
            return result
        _watch_child(pid)
        child = _watched_children[pid]
    if child is None:
        return _wait_os(pid, options)
    return _wait_watched(pid, child, options)


if config.disable_watch_children:
    def fork(*args, **kwargs):
        """Fork, and make the hub work in the child: see `fork_gevent`."""
        return fork_gevent(*args, **kwargs)

    if hasattr(os, 'forkpty'):
        def forkpty(*args, **kwargs):
            """As `forkpty_gevent`."""
            return forkpty_gevent(*args, **kwargs)
else:
    def waitpid(pid, options):
        """Wait for a child process, letting other greenlets run.

        :param pid: its process id, or -1 for any child.
        :param options: 0 or `os.WNOHANG`.
        :return: ``(pid, status)``; ``(0, 0)`` if none has ended and WNOHANG
            is given.
        :raise ChildProcessError: if there is no such child (any more).
        """
        return _waitpid_cooperatively(pid, options)

    def fork_and_watch(callback=None, loop=None, ref=False, fork=fork_gevent):
        """Fork, and watch the child.

        :param callback: called in the hub, with the child watcher, when the
            child has ended.
        :param loop: the loop that watches; the calling thread's if left out.
        :param ref: whether watching keeps the loop alive (bool).
        :param fork: what forks.
        :return: 0 in the child, its process id in the parent.
        """
        pid = fork()
        if pid:
            _watch_child(pid, callback, loop, ref)
        return pid

    def fork(*args, **kwargs):
        """Fork a child process and watch it, for `waitpid`.

        :return: 0 in the child, its process id in the parent.
        """
        return fork_and_watch(*args, **kwargs)

    __implements__.append('waitpid')
    __extensions__.append('fork_and_watch')

    if hasattr(os, 'forkpty'):
        def forkpty_and_watch(callback=None, loop=None, ref=False,
                              forkpty=forkpty_gevent):
            """Fork with a new pseudo-terminal, and watch the child: see
            `fork_and_watch`.

            :return: ``(pid, master)``.
            """
            master = None

            def fork():
                nonlocal master
                pid, master = forkpty()
                return pid

            return fork_and_watch(callback, loop, ref, fork), master

        def forkpty(*args, **kwargs):
            """Fork with a new pseudo-terminal and watch the child, for
            `waitpid`.

            :return: ``(pid, master)``.
            """
            return forkpty_and_watch(*args, **kwargs)

        __extensions__.append('forkpty_and_watch')

    if hasattr(os, 'posix_spawn'):
        _raw_posix_spawn = os.posix_spawn
        _raw_posix_spawnp = os.posix_spawnp

        def posix_spawn(*args, **kwargs):
            """As `os.posix_spawn`; the child is watched, for `waitpid`."""
            return fork_and_watch(
                fork=lambda: _raw_posix_spawn(*args, **kwargs))

        def posix_spawnp(*args, **kwargs):
            """As `os.posix_spawnp`; the child is watched, for `waitpid`."""
            return fork_and_watch(
                fork=lambda: _raw_posix_spawnp(*args, **kwargs))

        __implements__ += ['posix_spawn', 'posix_spawnp']

    # The parent's children are not the child's.
    os.register_at_fork(after_in_child=_watched_children.clear)
    os.register_at_fork(after_in_child=_ended_children.clear)

def _gevent_did_monkey_patch(*_args):
    from gevent import _multiprocessing
    _multiprocessing.install()


__imports__ = copy_globals(os, globals(), names_to_ignore=set(globals()),
                           dunder_names_to_keep=())
__all__ = sorted(__implements__ + __extensions__)
