"""File objects whose waits are spent in the hub.

Pipes, ttys, sockets and the like are made non-blocking; an operation is
tried first and the hub asked only when it would block. Files on a disk are
always "ready", so a read that would have to wait for the device is first
made harmless: a worker thread reads the same bytes and drops them, which
brings them into the page cache, and then the caller reads them from there.
So no data are lost when the caller is killed meanwhile.
"""

from __future__ import annotations

import io
import os
import stat

from greenlet import getcurrent

from gevent._fileobjectcommon import (
    FileIO,
    FileObjectBase,
    OpenDescriptor,
    WriteIsWriteallMixin,
    cancel_wait_ex,
)
from gevent._hub_local import get_hub_if_exists
from gevent.hub import get_hub

__all__ = [
    "FileObjectPosix",
    "GreenFileDescriptorIO",
    "GreenOpenDescriptor",
]

_READ, _WRITE = 1, 2
_DISK_STEP = 1 << 20  # bytes that one trip to the worker thread brings in
_COPY_STEP = 1 << 17  # bytes of a whole file that are copied at a time
_PIPE_STEP = 1 << 16  # what a pipe holds
_NOWAIT = getattr(os, "RWF_NOWAIT", None)


def _bring_into_cache(fd, size, offset):
    os.pread(fd, size, offset)


class GreenFileDescriptorIO(FileIO):
    """A raw file that waits in the hub.

    *file* is a path or a descriptor, *mode* and *closefd* are as for
    `io.FileIO`, *open_mode* is what `mode` shows. A write may be partial.
    """

    _read_watcher = None
    _write_watcher = None
    _hub = None
    _keep_alive = None
    _close_kept = False
    _closing = False

    def __init__(self, file, mode="r", closefd=True, open_mode=None):
        super().__init__(file, mode, closefd)
        self._open_mode = open_mode or super().mode
        kind = os.fstat(self.fileno()).st_mode
        self._disk = stat.S_ISREG(kind) or stat.S_ISBLK(kind)
        if not self._disk:
            os.set_blocking(self.fileno(), False)

    @classmethod
    def over(cls, fobj, mode, closefd, open_mode):
        """A raw file on the descriptor of the file-like object *fobj*."""
        raw = cls(fobj.fileno(), mode, False, open_mode)
        raw._keep_alive = fobj
        raw._close_kept = closefd
        if hasattr(fobj, "name"):
            raw.name = fobj.name
        else:
            del raw.name
        return raw

    @property
    def mode(self):
        return self._open_mode

    def __repr__(self):
        where = "closed" if self.closed else f"fileno={self.fileno()}"
        return (f"<{type(self).__name__} at 0x{id(self):x} "
                f"{where} mode={self.mode!r}>")

    # Waiting

    def _wait_readable(self):
        """Park the calling greenlet until there is something to read."""
        if self._hub is not get_hub():
            self._change_hub()
        if self._read_watcher is None:
            self._read_watcher = self._hub.loop.io(self.fileno(), _READ)
        self._read_watcher.wait(None)

    def _wait_writable(self):
        """Park the calling greenlet until there is room to write."""
        if self._hub is not get_hub():
            self._change_hub()
        if self._write_watcher is None:
            self._write_watcher = self._hub.loop.io(self.fileno(), _WRITE)
        self._write_watcher.wait(None)

    def _change_hub(self):
        self._close_watchers()
        self._hub = get_hub()

    def _take_watchers(self):
        watchers = [w for w in (self._read_watcher, self._write_watcher)
                    if w is not None]
        self._read_watcher = self._write_watcher = None
        return watchers

    def _close_watchers(self):
        watchers = self._take_watchers()
        if watchers:
            self._on_own_hub(_close_all, watchers)

    def _on_own_hub(self, func, *args):
        """Run *func* on the thread of the hub that the watchers belong to."""
        if self._hub is get_hub_if_exists():
            func(*args)
        else:
            try:
                self._hub.loop.run_callback_threadsafe(func, *args)
            except (AttributeError, ValueError):  # that loop is gone
                func(*args)

    # Disk files

    def _cached(self, size):
        """Let no read of the next *size* bytes wait for the device."""
        hub = get_hub_if_exists()
        if hub is not None and getcurrent() is not hub and size:
            fd = self.fileno()
            offset = os.lseek(fd, 0, os.SEEK_CUR)
            hub.threadpool.apply(_bring_into_cache, (fd, size, offset))

    def _disk_readinto(self, buffer, ahead=0):
        if not self.readable():
            raise io.UnsupportedOperation("File not open for reading")
        with memoryview(buffer) as view, view.cast("B") as data:
            data = data[:_DISK_STEP]
            if _NOWAIT is not None:
                try:
                    return os.preadv(self.fileno(), [data], -1, _NOWAIT)
                except OSError:  # not in memory, or not that kind of file
                    pass
            self._cached(max(len(data), ahead))
            return super().readinto(data)

    # What io.RawIOBase asks for

    def readinto(self, buffer):
        if self._disk:
            return self._disk_readinto(buffer)
        while (count := super().readinto(buffer)) is None:
            self._wait_readable()
        return count

    def read(self, size=-1):
        if size is None or size < 0:
            return self.readall()
        if self._disk:
            buffer = bytearray(min(size, _DISK_STEP))
            count = self._disk_readinto(buffer)
            with memoryview(buffer) as data:
                return bytes(data[:count])
        while (data := super().read(size)) is None:
            self._wait_readable()
        return data

    def readall(self):
        whole = io.BytesIO()
        if self._disk:
            self._copy_rest_to(whole)
        else:
            while chunk := self.read(_PIPE_STEP):
                whole.write(chunk)
        return whole.getvalue()

    def _copy_rest_to(self, whole):
        # Memory that is made for a read is filled with zeros first: not more
        # of it than is needed, and that once.
        fd = self.fileno()
        left = os.fstat(fd).st_size - os.lseek(fd, 0, os.SEEK_CUR)
        size = max(_PIPE_STEP, min(left, _COPY_STEP))
        with memoryview(bytearray(size)) as data:
            while count := self._disk_readinto(data, _DISK_STEP):
                whole.write(data[:count])

    def write(self, data):
        while (count := super().write(data)) is None:
            self._wait_writable()
        return count

    def close(self):
        """Close; greenlets waiting for this file get `cancel_wait_ex`."""
        if self._closing or self.closed:
            return
        self._closing = True
        watchers = self._take_watchers()
        if watchers:
            self._on_own_hub(
                self._hub.cancel_waits_close_and_then,
                watchers, cancel_wait_ex, self._finish_close)
        else:
            self._finish_close()

    def _dealloc_warn(self, source):
        # A buffer may end before a close that waits for others to notice.
        if not self._closing:
            super()._dealloc_warn(source)

    def _finish_close(self):
        kept, self._keep_alive = self._keep_alive, None
        super().close()
        if kept is not None and self._close_kept:
            kept.close()


class GreenFileDescriptorIOWriteall(WriteIsWriteallMixin,
                                    GreenFileDescriptorIO):
    """The same with complete writes."""


def _close_all(watchers):
    for watcher in watchers:
        watcher.close()


class GreenOpenDescriptor(OpenDescriptor):
    """Opens raw files that wait in the hub."""

    def opened_raw(self):
        """Open, and return what lies under the buffer."""
        kind = (GreenFileDescriptorIOWriteall if self.writes_all
                else GreenFileDescriptorIO)
        args = self.fileio_mode, self.closefd, self.mode
        if self.is_fd() or not hasattr(self.fobj, "fileno"):
            return kind(self.fobj, *args)
        return kind.over(self.fobj, *args)

    def buffer_size_for_stream(self, stream):
        """Bytes of buffer for the raw file *stream*."""
        if self.buffering > 1:
            return self.buffering
        return self.default_buffer_size


class FileObjectPosix(FileObjectBase):
    """A file object that waits in the hub.

    Takes the arguments of `OpenDescriptor`; *fobj* must be a path, a
    descriptor, or have a descriptor. Makes the descriptor non-blocking
    unless it is a file on a disk. `fileio` is the raw file.
    """

    default_bufsize = io.DEFAULT_BUFFER_SIZE

    def __init__(self, *args, **kwargs):
        super().__init__(GreenOpenDescriptor(*args, **kwargs))
        stream = self._io
        while not isinstance(stream, GreenFileDescriptorIO):
            stream = getattr(stream, "buffer", None) or stream.raw
        self.fileio = stream

    def _do_close(self, stream, closefd):
        raw = self.fileio
        may_lose_data = not raw.closed and raw.writable()
        try:
            stream.close()
        except RuntimeError:
            # Another greenlet waits inside the buffer, which is therefore
            # locked. Closing what is under it wakes that greenlet.
            raw.close()
            if may_lose_data:
                raise
