"""`wsgi.file_wrapper`: files as results of applications.

What is left of a regular file leaves by `sendfile`. Only files of `io` itself
are looked behind: the descriptor of another one may hold something else than
what its `read` returns, as that of a `gzip.GzipFile` does.
"""

from __future__ import annotations

import io
import os
import stat
from tempfile import _TemporaryFileWrapper

__all__ = ["FileWrapper"]

_BUFFERED = (io.BufferedReader, io.BufferedRandom)


class FileWrapper:
    """The rest of *filelike* in blocks of *block_size* bytes.

    *filelike* has `read`, and perhaps `close`, which is called at the end.
    """

    __slots__ = ("filelike", "block_size")

    def __init__(self, filelike, block_size: int = 8192):
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self):
        return self

    def __next__(self):
        if data := self.filelike.read(self.block_size):
            return data
        raise StopIteration

    def close(self):
        """Close the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def part(self):
        """`(descriptor, offset, count)` of what is left of a regular file;
        None for anything else."""
        file = self.filelike
        if type(file) is _TemporaryFileWrapper:
            file = file.file
        raw = file.raw if type(file) in _BUFFERED else file
        if type(raw) is not io.FileIO or not raw.readable():
            return None
        fd = raw.fileno()
        status = os.fstat(fd)
        # A file without blocks, as in /proc, may have another size to read.
        if not stat.S_ISREG(status.st_mode) or not status.st_blocks:
            return None
        file.flush()
        offset = file.tell()
        return fd, offset, max(0, os.fstat(fd).st_size - offset)
