"""Child processes that do not block the other greenlets.

`Popen` is the standard library's with three things changed: the pipes are
file objects of ours, the end of the child is told by a watcher of the hub, and
`communicate` gives each pipe to a greenlet, which goes on when its caller
gives up, so that nothing the child wrote is lost. It works in every thread
that has a hub, and leaves SIGCHLD to the program.

A *preexec_fn* is run by a fork made in Python, so that what it raises
arrives here as it was; all other children start through the C code of the
standard library.
"""

from __future__ import annotations

import builtins
import os
import pickle
import signal
import subprocess as __subprocess__
import sys
import traceback
import warnings
from _posixsubprocess import fork_exec
from subprocess import (
    DEVNULL,
    PIPE,
    STDOUT,
    CalledProcessError,
    SubprocessError,
    TimeoutExpired,
    getoutput,
    getstatusoutput,
    list2cmdline,
)
from time import monotonic
from types import FunctionType

from greenlet import getcurrent

from gevent._config import config
from gevent._hub_local import get_hub_if_exists
from gevent._hub_primitives import wait_read
from gevent._util import _NONE
from gevent.event import AsyncResult
from gevent.fileobject import FileObject, FileObjectPosix  # noqa: F401
from gevent.greenlet import Greenlet, joinall, killall
from gevent.hub import get_hub, sleep
from gevent.monkey import get_original

__implements__ = [
    "Popen",
    "call",
    "check_call",
    "check_output",
    "run",
    "CompletedProcess",
    "_use_posix_spawn",
    "_USE_POSIX_SPAWN",
]
# Which of them there is depends on the version.
__implements__ += [name for name in ("_posixsubprocess", "_fork_exec")
                   if hasattr(__subprocess__, name)]

__imports__ = [
    "PIPE",
    "STDOUT",
    "CalledProcessError",
    "DEVNULL",
    "getstatusoutput",
    "getoutput",
    "SubprocessError",
    "TimeoutExpired",
]

__extra__ = [
    "list2cmdline",
    "_subprocess",
    "_winapi",
]

__all__ = __implements__ + __imports__

mswindows = False
_subprocess = getattr(__subprocess__, "_subprocess", _NONE)
_winapi = getattr(__subprocess__, "_winapi", _NONE)
# None says that an error of preexec_fn arrives as it is, not as the
# SubprocessError of the C code.
_posixsubprocess = None
_fork_exec = None
_set_inheritable = os.set_inheritable
os_close = get_original("os", "close")
fork = get_original("os", "fork")
waitpid = get_original("os", "waitpid")
kill = os.kill

# What close_fds means unless it is given.
_PLATFORM_DEFAULT_CLOSE_FDS = object()

# Under patching os.posix_spawn watches its children, as Popen does itself.
_USE_POSIX_SPAWN = False

try:
    MAXFD = os.sysconf("SC_OPEN_MAX")
except (AttributeError, ValueError, OSError):
    MAXFD = 256

_READ_SIZE = 1 << 16  # what a pipe holds
_ERROR_SIZE = 1 << 20  # the most that is read of a child's error


def _use_posix_spawn():
    """False: `Popen` does not need `os.posix_spawn`."""
    return False


_UNPATCHED = dict(vars(__subprocess__), _USE_POSIX_SPAWN=False)


def _gevent_did_monkey_patch(*_args, **_kwargs):
    """Let what began before patching work after it."""
    # A Popen imported earlier finds in its module what it needs.
    native = Popen.__mro__[1]
    start = native._execute_child
    native._execute_child = FunctionType(
        start.__code__, _UNPATCHED, start.__name__, start.__defaults__)
    # The other ways of multiprocessing to start a process bypass everything
    # that is patched.
    if sys.platform == "darwin" or sys.version_info >= (3, 14):
        import multiprocessing
        multiprocessing.set_start_method("fork", force=True)


def call(*popenargs, **kwargs):
    """Run a command, wait for it, and return its exit code.

    Takes the arguments of `Popen` and *timeout* (seconds): the child is
    killed and `TimeoutExpired` raised when it runs longer.
    """
    timeout = kwargs.pop("timeout", None)
    with Popen(*popenargs, **kwargs) as process:
        try:
            return process.wait(timeout=timeout)
        except BaseException:
            process.kill()
            raise


def check_call(*popenargs, **kwargs):
    """As `call`; raises `CalledProcessError` unless the code is 0."""
    retcode = call(*popenargs, **kwargs)
    if retcode:
        cmd = kwargs.get("args")
        raise CalledProcessError(
            retcode, popenargs[0] if cmd is None else cmd)
    return 0


def check_output(*popenargs, **kwargs):
    """Run a command and return what it wrote to its standard output.

    Takes the arguments of `run` but *stdout* and *check*. Raises
    `CalledProcessError` (with `output`) unless the exit code is 0, and
    `ValueError` for these two arguments.
    """
    for name in ("stdout", "check"):
        if name in kwargs:
            raise ValueError(
                f"{name} argument not allowed, it will be overridden.")
    if "input" in kwargs and kwargs["input"] is None:
        # Without it the child would share the caller's standard input.
        text = (kwargs.get("universal_newlines") or kwargs.get("text")
                or kwargs.get("encoding") or kwargs.get("errors"))
        kwargs["input"] = "" if text else b""
    return run(*popenargs, stdout=PIPE, check=True, **kwargs).stdout


class CompletedProcess(__subprocess__.CompletedProcess):
    """What `run` returns: `args`, `returncode`, `stdout`, `stderr`."""


def run(*popenargs, **kwargs):
    """Run a command and return a `CompletedProcess`.

    Takes the arguments of `Popen` and:

    *input*: bytes or text for the child's standard input.
    *capture_output*: pipe `stdout` and `stderr`.
    *timeout*: seconds, then the child is killed and `TimeoutExpired` raised
    with what was read so far.
    *check*: raise `CalledProcessError` unless the exit code is 0.

    Raises `ValueError` for two that say where a stream goes.
    """
    input = kwargs.pop("input", None)
    capture_output = kwargs.pop("capture_output", False)
    timeout = kwargs.pop("timeout", None)
    check = kwargs.pop("check", False)
    if input is not None:
        if kwargs.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        kwargs["stdin"] = PIPE
    if capture_output:
        if (kwargs.get("stdout") is not None
                or kwargs.get("stderr") is not None):
            raise ValueError("stdout and stderr arguments may not be used "
                             "with capture_output.")
        kwargs["stdout"] = kwargs["stderr"] = PIPE
    with Popen(*popenargs, **kwargs) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except TimeoutExpired:
            process.kill()
            # Only for the child: a grandchild may hold the pipes open.
            process.wait()
            raise
        except BaseException:
            process.kill()
            raise
        retcode = process.poll()
        if check and retcode:
            raise CalledProcessError(retcode, process.args,
                                     output=stdout, stderr=stderr)
    return CompletedProcess(process.args, retcode, stdout, stderr)


class Popen(__subprocess__.Popen):
    """A child process; see `subprocess.Popen`.

    `result` is an `AsyncResult` of its exit code. *threadpool* is kept as an
    attribute.
    """

    threadpool = None
    _communicating_greenlets = None

    def __init__(self, args,
                 bufsize=-1, executable=None,
                 stdin=None, stdout=None, stderr=None,
                 preexec_fn=None, close_fds=_PLATFORM_DEFAULT_CLOSE_FDS,
                 shell=False, cwd=None, env=None, universal_newlines=None,
                 startupinfo=None, creationflags=0,
                 restore_signals=True, start_new_session=False,
                 pass_fds=(),
                 encoding=None, errors=None, text=None,
                 group=None, extra_groups=None, user=None,
                 umask=-1, pipesize=-1, process_group=None,
                 threadpool=None):
        if threadpool is not None:
            self.threadpool = threadpool
        _let_others_run()
        self.result = AsyncResult()
        self._bufsize = -1 if bufsize is None else bufsize
        if close_fds is _PLATFORM_DEFAULT_CLOSE_FDS:
            close_fds = True
        newer = {}
        if process_group is not None or sys.version_info >= (3, 11):
            newer["process_group"] = process_group
        self._unopened = {}
        try:
            super().__init__(
                args, bufsize, executable, stdin, stdout, stderr,
                preexec_fn, close_fds, shell, cwd, env, universal_newlines,
                startupinfo, creationflags, restore_signals,
                start_new_session, pass_fds, user=user, group=group,
                extra_groups=extra_groups, encoding=encoding, errors=errors,
                text=text, umask=umask, pipesize=pipesize, **newer)
        except BaseException:
            for fd in self._unopened.values():
                os_close(fd)
            raise

    def __del__(self):
        # The watcher holds this object until the child has ended and is
        # reaped: there is no zombie to warn of, as there is in the standard
        # library.
        pass

    def __repr__(self):
        return (f"<{type(self).__name__} at 0x{id(self):x} pid={self.pid!r} "
                f"returncode={self.returncode!r}>")

    # Starting

    def _get_handles(self, stdin, stdout, stderr):
        (p2cread, p2cwrite,
         c2pread, c2pwrite,
         errread, errwrite) = super()._get_handles(stdin, stdout, stderr)
        for fd in (p2cread, c2pwrite, errwrite):
            _make_blocking(fd)
        self._parent_ends = p2cwrite, c2pread, errread
        self._unopened = {
            name: fd for name, fd in zip(("stdin", "stdout", "stderr"),
                                         self._parent_ends) if fd != -1}
        # Without an end of ours the caller opens no file for it.
        return p2cread, -1, -1, c2pwrite, -1, errwrite

    def _execute_child(self, args, executable, preexec_fn, close_fds,
                       pass_fds, cwd, env, startupinfo, creationflags, shell,
                       p2cread, p2cwrite, c2pread, c2pwrite,
                       errread, errwrite, restore_signals, *identity):
        self._open_pipes()
        args = _argument_list(args, shell, executable)
        if executable is None:
            executable = args[0]
        sys.audit("subprocess.Popen", executable, args, cwd, env)
        child_ends = p2cread, c2pwrite, errwrite
        error_read, error_write = _high_pipe()
        try:
            try:
                if preexec_fn is None:
                    self.pid = _fork_and_exec(
                        args, executable, close_fds,
                        {error_write, *pass_fds}, cwd, env, child_ends,
                        self._parent_ends, (error_read, error_write),
                        restore_signals, identity)
                else:
                    self.pid = fork()
                    if not self.pid:
                        self._be_child(
                            args, executable, preexec_fn, close_fds,
                            pass_fds, cwd, env, child_ends, error_write,
                            restore_signals, identity)
                self._child_created = True
            finally:
                # The real close: that of gevent.os may put it off, and the
                # end of this pipe is what says that all went well.
                os_close(error_write)
            self._close_pipe_fds(p2cread, self._parent_ends[0],
                                 self._parent_ends[1], c2pwrite,
                                 self._parent_ends[2], errwrite)
            try:
                failure = _read_error(error_read)
            except BaseException:
                self._watch()
                raise
        finally:
            os_close(error_read)
        if failure:
            self._reap()
            told = _told_by_c if preexec_fn is None else _told_by_python
            raise told(failure, cwd, executable)
        try:
            self._watch()
        except OSError:  # no descriptor left, say
            kill(self.pid, signal.SIGKILL)
            self._reap()
            raise

    def _reap(self):
        """Wait for a child that is about to exit."""
        try:
            _, status = waitpid(self.pid, 0)
            self.returncode = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            pass

    def _open_pipes(self):
        for name, fd in list(self._unopened.items()):
            setattr(self, name, self._open_pipe(name, fd))
            del self._unopened[name]

    def _open_pipe(self, name, fd):
        # Whatever the configuration says: a thread could not be woken from
        # a read, and there are not many.
        mode = "w" if name == "stdin" else "r"
        if self.text_mode:
            return FileObjectPosix(
                fd, mode, self._bufsize,
                encoding=self.encoding, errors=self.errors)
        if self._bufsize == 1:
            warnings.warn(
                "line buffering (buffering=1) isn't supported in binary mode, "
                "the default buffer size will be used", RuntimeWarning,
                stacklevel=6)
        return FileObjectPosix(fd, mode + "b", self._bufsize)

    def _watch(self):
        """Have `_on_child` called when the child has ended."""
        self._watching_loops = []
        try:
            self._watch_with(get_hub().loop)
        except ProcessLookupError:
            # It is gone, and so is its status: SIGCHLD is ignored. The
            # standard library takes that for success.
            self._ended(0)

    def _watch_with(self, loop):
        if config.disable_watch_children:
            watcher = loop.child(self.pid)
            watcher.start(self._on_child, watcher)
        else:
            from gevent.os import fork_and_watch
            fork_and_watch(self._on_child, loop, True, lambda: self.pid)
        self._watching_loops.append(loop)

    def _watch_here_too(self):
        # The thread that started the child may have ended, or be busy.
        loop = get_hub().loop
        if self.returncode is None and loop not in self._watching_loops:
            try:
                self._watch_with(loop)
            except ProcessLookupError:
                pass  # another loop has got the status, and will tell

    def _on_child(self, watcher):
        watcher.close()
        self._ended(os.waitstatus_to_exitcode(watcher.rstatus))

    def _ended(self, returncode):
        if self.returncode is None:
            self.returncode = returncode
        if not self.result.ready():
            self.result.set(self.returncode)

    def pipe_cloexec(self):
        """A pipe whose ends children do not inherit: `(read, write)`."""
        return os.pipe()

    # Starting with a preexec_fn

    def _be_child(self, args, executable, preexec_fn, close_fds, pass_fds,
                  cwd, env, child_ends, error_write, restore_signals,
                  identity):
        """In the child: become *executable*, or tell why not and exit."""
        failed = None
        try:
            _take_stdio(*child_ends)
            if cwd is not None:
                failed = "chdir"
                os.chdir(cwd)
                failed = None
            _take_identity(restore_signals, *identity)
            preexec_fn()
            keep = sorted({error_write, *map(int, pass_fds)})
            if close_fds:
                self._close_fds(keep, error_write)
            failed = "exec"
            if env is None:
                os.execvp(executable, args)
            else:
                os.execvpe(executable, args, env)
        except BaseException as ex:
            try:
                _write_all(error_write, _pickled(ex, failed))
            except BaseException:
                pass
        finally:
            os._exit(255)

    @classmethod
    def _close_fds(cls, keep, errpipe_write):
        """Close all descriptors above 2 but those in *keep* (sorted)."""
        for path in ("/proc/self/fd", "/dev/fd"):
            if os.path.isdir(path):
                return cls._close_fds_from_path(path, keep, errpipe_write)
        return cls._close_fds_brute_force(keep, errpipe_write)

    @classmethod
    def _close_fds_from_path(cls, path, keep, errpipe_write):
        try:
            fds = [int(name) for name in os.listdir(path)]
        except (ValueError, OSError):
            return cls._close_fds_brute_force(keep, errpipe_write)
        _pass_on(keep, errpipe_write)
        for fd in fds:
            if fd > 2 and fd not in keep:
                _close_quietly(fd)

    @staticmethod
    def _close_fds_brute_force(keep, errpipe_write):
        keep = sorted(fd for fd in keep if fd > 2)
        _pass_on(keep, errpipe_write)
        start = 3
        if keep:
            os.closerange(start, keep[0])
            for fd in range(keep[0], keep[-1]):
                if fd not in keep:
                    _close_quietly(fd)
            start = keep[-1] + 1
        os.closerange(start, MAXFD)

    # Waiting

    def rawlink(self, callback):
        """Have `callback(self)` called in the hub once the child ended."""
        self.result.rawlink(_Link(callback, self))

    def unlink(self, callback):
        """Undo `rawlink`."""
        self.result.unlink(_Link(callback, self))

    def wait(self, timeout=None, _raise_exc=True):
        """Wait for the child to end, for *timeout* seconds at most.

        Returns its exit code (`-N`: killed by signal N). Raises
        `TimeoutExpired`; without *_raise_exc* returns None instead.
        """
        try:
            return super().wait(timeout)
        except TimeoutExpired:
            if _raise_exc:
                raise
            return self.returncode

    def _wait(self, timeout):
        if self.returncode is None:
            if timeout is not None and timeout <= 0:
                self.poll()
            else:
                self._watch_here_too()
                self.result.wait(timeout)
            if self.returncode is None and timeout is not None:
                raise TimeoutExpired(self.args, timeout)
        return self.returncode

    def _internal_poll(self, _deadstate=None, **_kwargs):
        # Looks, and leaves the reaping to the watcher.
        if self.returncode is not None:
            return self.returncode
        try:
            info = os.waitid(os.P_PID, self.pid,
                             os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            # Reaped: the watcher's callback is on its way.
            if getcurrent() is not get_hub_if_exists():
                sleep(0)
            return self.returncode
        if info is not None and self.returncode is None:
            self.returncode = (info.si_status
                               if info.si_code == os.CLD_EXITED
                               else -info.si_status)
        return self.returncode

    def __exit__(self, t, v, tb):
        if self._communicating_greenlets is not None:
            # They hold the locks of the files that are to be closed.
            killall(list(self._communicating_greenlets))
        super().__exit__(t, v, tb)

    # Communicating

    def communicate(self, input=None, timeout=None):
        """Send *input*, read both outputs to the end, wait for the child.

        Returns `(stdout, stderr)`, None for what is not a pipe. Raises
        `TimeoutExpired`, with what was read so far, after *timeout* seconds;
        another call goes on where this one stopped and loses nothing. The
        same holds for a `gevent.Timeout`. Raises `ValueError` for *input* in
        such another call.
        """
        greenlets = self._communicating_greenlets
        if greenlets is None:
            greenlets = self._communicating_greenlets = _Communication(
                self, input)
        elif input:
            raise ValueError("Cannot send input after starting communication")
        self._communication_started = True
        end = None if timeout is None else monotonic() + timeout
        try:
            self._join(greenlets, end, timeout)
        except KeyboardInterrupt:
            # The child got the signal too: give it a moment.
            seconds = self._sigint_wait_secs
            if end is not None:
                seconds = min(seconds, end - monotonic())
            self._sigint_wait_secs = 0
            self._wait_at_most(seconds)
            raise
        return greenlets.outputs()

    def _wait_at_most(self, seconds):
        # By a wait() that a subclass may have written like the standard one.
        try:
            self.wait() if seconds is None else self.wait(timeout=seconds)
        except TimeoutExpired:
            pass

    def _join(self, greenlets, end, timeout):
        joinall(list(greenlets),
                timeout=None if end is None else max(0, end - monotonic()))
        if greenlets.ready():
            greenlets.raise_error()
            left = None if end is None else max(0, end - monotonic())
            self._wait_at_most(left)
        if self.returncode is None or not greenlets.ready():
            stdout, stderr = greenlets.partial_outputs()
            raise TimeoutExpired(self.args, timeout, stdout, stderr)


def _let_others_run():
    # Starting a child takes its time, and who starts many never waits. Once it
    # runs there is no giving up any more: an exception would lose the child.
    hub = get_hub()
    if getcurrent() is not hub:
        hub.loop.poll_next()
        sleep(0)


class _Link:
    """A callback for the child in place of its `AsyncResult`."""

    __slots__ = ("callback", "popen")

    def __init__(self, callback, popen):
        self.callback = callback
        self.popen = popen

    def __call__(self, _result):
        self.callback(self.popen)

    def __eq__(self, other):
        return (isinstance(other, _Link) and self.popen is other.popen
                and self.callback == other.callback)

    def __hash__(self):
        return hash(self.callback)


class _PipeGreenlet(Greenlet):
    """Serves one pipe; keeps an error for whoever communicates."""

    error = None

    def __init__(self, pipe):
        super().__init__()
        self.pipe = pipe

    def _run(self):
        try:
            self._serve()
        except Exception as ex:
            self.error = ex


class _Writer(_PipeGreenlet):
    """Writes the input and closes the pipe."""

    def __init__(self, pipe, input):
        super().__init__(pipe)
        self._input = input

    def _serve(self):
        # A child need not read its input.
        try:
            if self._input:
                self.pipe.write(self._input)
            self.pipe.flush()
        except BrokenPipeError:
            pass
        finally:
            self._input = None
            try:
                self.pipe.close()
            except BrokenPipeError:
                pass


class _Reader(_PipeGreenlet):
    """Reads a pipe to its end and closes it."""

    def __init__(self, pipe, text):
        super().__init__(pipe)
        self._text = text
        self._chunks = []

    def _serve(self):
        try:
            # Whatever else has read from the pipe left a part of what it
            # got in the file object: so read through that, in pieces.
            read = self.pipe.readline if self._text else self._read_some
            while chunk := read():
                self._chunks.append(chunk)
        finally:
            self.pipe.close()

    def _read_some(self):
        read = getattr(self.pipe, "read1", self.pipe.read)
        return read(_READ_SIZE)

    def output(self):
        """All that was read."""
        return ("" if self._text else b"").join(self._chunks)

    def partial(self):
        """What was read so far, always as bytes; None for nothing."""
        if not self._chunks:
            return None
        output = self.output()
        if not self._text:
            return output
        return output.encode(self.pipe.encoding, self.pipe.errors)


class _Communication:
    """The greenlets that serve the pipes of one child."""

    def __init__(self, popen, input):
        text = bool(popen.text_mode)
        self._greenlets = []
        if popen.stdin is not None:
            self._greenlets.append(_Writer(popen.stdin, input))
        self._readers = [
            None if pipe is None else _Reader(pipe, text)
            for pipe in (popen.stdout, popen.stderr)]
        self._greenlets.extend(
            reader for reader in self._readers if reader is not None)
        for greenlet in self._greenlets:
            greenlet.start()

    def __iter__(self):
        return iter(self._greenlets)

    def ready(self):
        """True when all pipes are done with."""
        return all(greenlet.ready() for greenlet in self)

    def raise_error(self):
        """Raise what went wrong, if anything did."""
        for greenlet in self:
            if greenlet.error is not None:
                raise greenlet.error

    def outputs(self):
        """`(stdout, stderr)`."""
        return tuple(None if reader is None else reader.output()
                     for reader in self._readers)

    def partial_outputs(self):
        """`(stdout, stderr)` so far, as bytes."""
        return tuple(None if reader is None else reader.partial()
                     for reader in self._readers)


# Starting a child: helpers of the parent.

def _make_blocking(fd):
    # The child expects a blocking descriptor; one that comes from a file
    # object of ours is not.
    if fd != -1 and not os.get_blocking(fd):
        os.set_blocking(fd, True)


def _argument_list(args, shell, executable):
    if isinstance(args, (str, bytes)):
        args = [args]
    elif isinstance(args, os.PathLike):
        if shell:
            raise TypeError(
                "path-like args is not allowed when shell is true")
        args = [args]
    else:
        args = list(args)
    if shell:
        args = [executable or "/bin/sh", "-c", *args]
    return args


def _high_pipe():
    """A pipe; its write end stays clear of the standard descriptors."""
    read, write = os.pipe()
    low = []
    while write < 3:
        low.append(write)
        write = os.dup(write)
    for fd in low:
        os_close(fd)
    return read, write


def _read_error(fd):
    """What the child wrote before it exited; nothing if it is running."""
    os.set_blocking(fd, False)
    data = b""
    while len(data) < _ERROR_SIZE:
        try:
            part = os.read(fd, _READ_SIZE)
        except BlockingIOError:
            wait_read(fd)
            continue
        if not part:
            break
        data += part
    return data


def _fork_and_exec(args, executable, close_fds, keep, cwd, env, child_ends,
                   parent_ends, error_pipe, restore_signals, identity):
    """Start a child by the C code of the standard library; its pid."""
    gid, gids, uid, umask, new_session, *process_group = identity
    ends = [fd for pair in zip(child_ends, parent_ends) for fd in pair]
    ends[2:] = ends[3], ends[2], ends[5], ends[4]  # the end to read first
    flags = []
    if sys.version_info >= (3, 11) and hasattr(__subprocess__, "_USE_VFORK"):
        flags.append(__subprocess__._USE_VFORK)
    return fork_exec(
        args, _candidates(executable, env), close_fds,
        tuple(sorted(map(int, keep))), cwd, _environment(env), *ends,
        *error_pipe, restore_signals, new_session, *process_group,
        gid, gids, uid, umask, None, *flags)


def _candidates(executable, env):
    """The files that *executable* may mean, as bytes."""
    executable = os.fsencode(executable)
    if os.path.dirname(executable):
        return (executable,)
    return tuple(os.path.join(os.fsencode(folder), executable)
                 for folder in os.get_exec_path(env))


def _environment(env):
    """The mapping *env* as `name=value` bytes."""
    if env is None:
        return None
    lines = []
    for name, value in env.items():
        name = os.fsencode(name)
        if b"=" in name:
            raise ValueError("illegal environment variable name")
        lines.append(name + b"=" + os.fsencode(value))
    return lines


def _told_by_c(data, cwd, executable):
    """The exception that C code describes as `type:errno in hex:text`."""
    try:
        name, number, text = bytes(data).split(b":", 2)
        kind = getattr(builtins, name.decode("ascii"), SubprocessError)
        number = int(number, 16)
        text = text.decode()
    except ValueError:
        return SubprocessError(f"Bad exception data from child: {data!r}")
    if not (issubclass(kind, OSError) and number):
        return kind(text)
    message = os.strerror(number)
    # Before 3.13 a plain "noexec" came from changing the directory only.
    if text == "noexec:chdir" or (text and sys.version_info < (3, 13)):
        return kind(number, message, cwd)
    if text:
        return kind(number, message)
    return kind(number, message, executable)


def _told_by_python(data, cwd, executable):
    """The exception that the child pickled, with its file name."""
    try:
        ex, failed = pickle.loads(data)
    except Exception:
        return SubprocessError(f"Bad exception data from child: {data!r}")
    if isinstance(ex, OSError) and ex.errno and failed:
        ex.filename = cwd if failed == "chdir" else executable
    return ex


# What runs in the child of a fork in Python.

def _pickled(ex, failed):
    ex.child_traceback = "".join(
        traceback.format_exception(type(ex), ex, ex.__traceback__))
    try:
        data = pickle.dumps((ex, failed))
        pickle.loads(data)
    except Exception:
        substitute = SubprocessError(f"Exception in the child: {ex!r}")
        substitute.child_traceback = ex.child_traceback
        data = pickle.dumps((substitute, failed))
    return data


def _write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def _take_stdio(p2cread, c2pwrite, errwrite):
    # First get out of the way of the numbers that are written to.
    if c2pwrite == 0:
        c2pwrite = os.dup(c2pwrite)
    while errwrite in (0, 1):
        errwrite = os.dup(errwrite)
    for source, target in ((p2cread, 0), (c2pwrite, 1), (errwrite, 2)):
        if source == target:
            _set_inheritable(source, True)
        elif source != -1:
            os.dup2(source, target)


def _take_identity(restore_signals, *rest):
    """Apply what the child is to be, in the order of the C code."""
    if sys.version_info >= (3, 11):
        gid, gids, uid, umask, new_session, process_group = rest
    else:
        (gid, gids, uid, umask, new_session), process_group = rest, -1
    if umask >= 0:
        os.umask(umask)
    if restore_signals:
        set_handler = get_original("signal", "signal")
        for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
            if hasattr(signal, name):
                set_handler(getattr(signal, name), signal.SIG_DFL)
    if new_session:
        os.setsid()
    if process_group >= 0:
        os.setpgid(0, process_group)
    if gids is not None:
        os.setgroups(gids)
    if gid is not None:
        os.setregid(gid, gid)
    if uid is not None:
        os.setreuid(uid, uid)


def _pass_on(keep, errpipe_write):
    for fd in keep:
        if fd != errpipe_write:
            _set_inheritable(fd, True)


def _close_quietly(fd):
    try:
        os_close(fd)
    except OSError:
        pass


