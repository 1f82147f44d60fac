"""What all kinds of file object share.

An `OpenDescriptor` checks the arguments of `open()` and builds the stack of
`io` objects (raw, buffer, text) that was asked for. A `FileObjectBase` holds
the top of such a stack, hands out its methods, and forgets it when closed.
The kinds differ in how a wait for the operating system is spent: in the hub
(`gevent._fileobjectposix`), in a worker thread, or not at all.
"""

from __future__ import annotations

import functools
import io
import os
from errno import EBADF

from gevent.hub import get_hub
from gevent.lock import DummySemaphore, Semaphore

__all__ = [
    "FileObjectBase",
    "FileObjectBlock",
    "FileObjectClosed",
    "FileObjectThread",
    "OpenDescriptor",
    "WriteallMixin",
    "cancel_wait_ex",
]


class cancel_wait_ex(OSError):
    """Raised in a greenlet whose file was closed while it waited for it."""

    def __init__(self):
        super().__init__(
            EBADF, "File descriptor was closed in another greenlet")


class FileObjectClosed(OSError):
    """Raised by every use of a `FileObject` that has been closed."""

    def __init__(self):
        super().__init__(EBADF, "Bad file descriptor (FileObject was closed)")


class WriteallMixin:
    """Adds `writeall` to a raw file whose `write` may stop early."""

    def writeall(self, b, /):
        """Write the whole of *b* (bytes-like); returns its size."""
        with memoryview(b) as view, view.cast("B") as data:
            size = len(data)
            done = 0
            while done < size:
                done += super().write(data[done:])
        return size


class WriteIsWriteallMixin(WriteallMixin):
    """Makes `write` complete: for raw files that no buffer stands before."""

    def write(self, b, /):
        """As `writeall`."""
        return self.writeall(b)


class FileIO(io.FileIO):
    """`io.FileIO` that can carry attributes."""


class WriteallFileIO(WriteIsWriteallMixin, FileIO):
    """A `FileIO` whose writes are complete."""


class _Borrowed:
    """A file object that is not ours: `close` leaves it open.

    The `io` wrappers close what they wrap, even when collected as garbage.
    """

    def __init__(self, fobj):
        self._fobj = fobj
        self.closed = False

    def __getattr__(self, name):
        return getattr(self._fobj, name)

    def close(self):
        """Flush and end the loan."""
        if not self.closed:
            self.closed = True
            self._fobj.flush()


class OpenDescriptor:
    """A file to open and how to open it.

    *fobj* is a path, a file descriptor, or a file-like object. *bufsize* and
    *close* are older names of *buffering* and *closefd*. With *atomic_write*
    an unbuffered file writes all it is given. Raises `TypeError` or
    `ValueError` for what `open()` refuses; nothing is opened before
    `opened()` or `opened_raw()`.
    """

    default_buffer_size = io.DEFAULT_BUFFER_SIZE

    def __init__(self, fobj, mode="r", bufsize=None, close=None,
                 encoding=None, errors=None, newline=None,
                 buffering=None, closefd=None, atomic_write=False):
        closefd = self._one_of(close, closefd, True, "close", "closefd")
        buffering = self._one_of(bufsize, buffering, None,
                                 "bufsize", "buffering")
        if not hasattr(fobj, "fileno"):
            if not isinstance(fobj, int):
                fobj = os.fspath(fobj)
            elif isinstance(fobj, bool):
                raise TypeError(f"invalid file: {fobj!r}")
        if not isinstance(mode, str):
            raise TypeError(f"invalid mode: {mode!r}")
        if buffering is not None and not isinstance(buffering, int):
            raise TypeError(f"invalid buffering: {buffering!r}")
        if encoding is not None and not isinstance(encoding, str):
            raise TypeError(f"invalid encoding: {encoding!r}")
        if errors is not None and not isinstance(errors, str):
            raise TypeError(f"invalid errors: {errors!r}")
        self.fobj = fobj
        self.mode = mode
        self.fileio_mode = _raw_mode(mode)
        self.text = "b" not in mode
        if not self.text:
            for value, what in ((encoding, "an encoding"),
                                (errors, "an errors"),
                                (newline, "a newline")):
                if value is not None:
                    raise ValueError(
                        f"binary mode doesn't take {what} argument")
        self.buffering = -1 if buffering is None else buffering
        self.closefd = bool(closefd)
        self.encoding = encoding
        self.errors = errors
        self.newline = newline
        self.atomic_write = atomic_write

    @staticmethod
    def _one_of(old, new, default, old_name, new_name):
        if old is not None and new is not None:
            raise TypeError(f"give {old_name} or {new_name}, not both")
        if new is not None:
            return new
        return default if old is None else old

    def is_fd(self) -> bool:
        """True when the file was given as a descriptor."""
        return isinstance(self.fobj, int)

    def is_buffered(self) -> bool:
        """True unless `buffering=0` was asked for."""
        return self.buffering != 0

    @property
    def writes_all(self) -> bool:
        """True when each write of the raw file has to be complete.

        A buffer keeps account of partial writes; nothing else does.
        """
        return self.fileio_mode != "r" and (
            self.atomic_write or not self.is_buffered())

    def buffer_size_for_stream(self, stream) -> int:
        """Bytes of buffer for the raw file *stream*."""
        if self.buffering > 1:
            return self.buffering
        try:
            size = os.fstat(stream.fileno()).st_blksize
        except (OSError, AttributeError, ValueError):
            return self.default_buffer_size
        return size if size > 1 else self.default_buffer_size

    def opened(self):
        """Open, and return the outermost `io` object."""
        stream = self.opened_raw()
        try:
            stream = self._buffered(stream)
            return self._as_text(stream) if self.text else stream
        except BaseException:
            if stream is not self.fobj:
                stream.close()
            raise

    def opened_raw(self):
        """Open, and return what lies under the buffer."""
        if self.is_fd() or not hasattr(self.fobj, "fileno"):
            kind = WriteallFileIO if self.writes_all else FileIO
            return kind(self.fobj, self.fileio_mode, self.closefd)
        return self._given()

    def _given(self):
        """The file-like object that was handed in, at the right layer."""
        fobj = self.fobj
        if isinstance(fobj, io.TextIOBase) and not self.text:
            raise ValueError(
                "Unable to perform binary IO on top of text IO stream")
        if self.closefd or self._fits(fobj):
            return fobj
        return _Borrowed(fobj)

    def _fits(self, fobj) -> bool:
        """True when *fobj* needs no wrapper of ours."""
        if self.text:
            return isinstance(fobj, io.TextIOBase)
        return not self.is_buffered() or _is_buffer(fobj)

    def _buffered(self, raw):
        if (not self.is_buffered() or _is_buffer(raw)
                or isinstance(raw, io.TextIOBase)):
            return raw
        size = self.buffer_size_for_stream(raw)
        if "+" in self.mode:
            kind = io.BufferedRandom
        elif self.fileio_mode[0] == "r":
            kind = io.BufferedReader
        else:
            kind = io.BufferedWriter
        return kind(raw, size)

    def _as_text(self, stream):
        if isinstance(stream, io.TextIOBase):
            return stream
        line_buffering = self.buffering == 1 or (
            self.buffering < 0 and stream.isatty())
        text = io.TextIOWrapper(
            stream, self.encoding, self.errors, self.newline, line_buffering,
            write_through=not self.is_buffered())
        text.mode = self.mode
        return text


def _is_buffer(fobj) -> bool:
    if isinstance(fobj, _Borrowed):
        fobj = fobj._fobj
    fobj = getattr(fobj, "file", fobj)  # what tempfile wraps
    return isinstance(fobj, io.BufferedIOBase)


def _raw_mode(mode: str) -> str:
    """The mode of the raw file under *mode*; `ValueError` if there is none."""
    flags = set(mode)
    if flags - set("rwaxbtU+") or len(mode) > len(flags):
        raise ValueError(f"invalid mode: {mode!r}")
    if "U" in flags:
        if flags & set("wax+"):
            raise ValueError(
                "mode U cannot be combined with 'x', 'w', 'a', or '+'")
        flags.add("r")
    if {"t", "b"} <= flags:
        raise ValueError("can't have text and binary mode at once")
    kinds = flags & set("rwax")
    if len(kinds) > 1:
        raise ValueError("can't have read/write/append mode at once")
    if not kinds:
        raise ValueError("must have exactly one of read/write/append mode")
    return kinds.pop() + ("+" if "+" in flags else "")


class _ClosedIO:
    """Stands in for the stack of a closed file; keeps its name."""

    def __init__(self, stream):
        try:
            self.name = stream.name
        except AttributeError:
            pass

    def __getattr__(self, name):
        if name == "name":
            raise AttributeError(name)
        raise FileObjectClosed

    def __bool__(self):
        return False


class FileObjectBase:
    """The interface of all file objects.

    Methods of the underlying `io` object are attributes of this one; those
    not named below are found through `__getattr__`.
    """

    _delegate_methods = (
        "fileno", "flush", "read", "read1", "readable", "readinto",
        "readline", "readlines", "seek", "seekable", "tell", "truncate",
        "writable", "write", "writelines",
    )

    def __init__(self, descriptor: OpenDescriptor):
        self._io = descriptor.opened()
        self._close = descriptor.closefd
        self._do_delegate_methods()

    def _do_delegate_methods(self):
        for name in self._delegate_methods:
            method = getattr(self._io, name, None)
            if method is not None:
                setattr(self, name, self._wrap_method(method))

    def _wrap_method(self, method):
        """What `self.<name>` is to be for *method* of the `io` object."""
        return method

    @property
    def io(self):
        """The outermost object of the `io` module."""
        return self._io

    @property
    def closed(self) -> bool:
        """True once `close` was called here or on the `io` object."""
        return isinstance(self._io, _ClosedIO) or self._io.closed

    def close(self):
        """Flush and, unless opened with `closefd=False`, close the file."""
        stream = self._io
        if isinstance(stream, _ClosedIO):
            return
        self._io = _ClosedIO(stream)
        for name in self._delegate_methods:
            self.__dict__.pop(name, None)
        self._do_close(stream, self._close)

    def _do_close(self, stream, closefd):
        if closefd:
            stream.close()
        elif not stream.closed:
            stream.flush()

    def __getattr__(self, name):
        if name == "_io":  # not yet opened, or opening failed
            raise AttributeError(name)
        return getattr(self._io, name)

    def __repr__(self):
        stream = self._io
        what = "closed_fobj" if isinstance(stream, _ClosedIO) else "_fobj"
        return (f"<{type(self).__name__} at 0x{id(self):x} "
                f"{what}={stream!r}{self._extra_repr()}>")

    def _extra_repr(self):
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __iter__(self):
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    next = __next__

    def __bool__(self):
        return True


class FileObjectBlock(FileObjectBase):
    """A file object that blocks the whole thread, for comparison and tests.

    Takes the arguments of `OpenDescriptor`.
    """

    def __init__(self, fobj, *args, **kwargs):
        super().__init__(OpenDescriptor(fobj, *args, **kwargs))


class FileObjectThread(FileObjectBase):
    """A file object whose operations run in a thread pool.

    Takes the arguments of `OpenDescriptor` and:

    *lock*: True (operations one at a time, the default), False, or a
    semaphore to share with others.
    *threadpool*: the pool; the hub's by default.
    """

    def __init__(self, *args, **kwargs):
        lock = kwargs.pop("lock", True)
        threadpool = kwargs.pop("threadpool", None)
        if lock is True:
            lock = Semaphore()
        elif not lock:
            lock = DummySemaphore()
        elif not hasattr(lock, "__enter__"):
            raise TypeError(f"Expected a Semaphore or boolean, got {lock!r}")
        self.lock = lock
        self.threadpool = (get_hub().threadpool if threadpool is None
                           else threadpool)
        # The wrapped methods must not hold this object: its end is what
        # closes a file that nobody closed.
        self._open = [True]
        super().__init__(OpenDescriptor(*args, **kwargs))

    def _extra_repr(self):
        return f" threadpool={self.threadpool!r}"

    def _wrap_method(self, method):
        lock, threadpool, is_open = self.lock, self.threadpool, self._open

        @functools.wraps(method)
        def in_thread(*args, **kwargs):
            with lock:
                if not is_open:
                    raise FileObjectClosed
                return threadpool.apply(method, args, kwargs)

        return in_thread

    def _do_close(self, stream, closefd):
        with self.lock:
            self._open.clear()
            self.threadpool.apply(super()._do_close, (stream, closefd))
