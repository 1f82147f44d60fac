"""Files, pipes and ttys that do not block the other greenlets.

`FileObject` is the kind chosen by ``gevent.config.fileobject``
(``GEVENT_FILE``). All kinds take::

    FileObject(fobj, mode='r', buffering=None, closefd=None,
               encoding=None, errors=None, newline=None)

*fobj* is a path, a descriptor or a file-like object that has one; the rest
means what it means for `open`. *bufsize* and *close* are older names of
*buffering* and *closefd*.
"""

from gevent._config import config
from gevent._fileobjectcommon import FileObjectBlock, FileObjectThread
from gevent._fileobjectposix import FileObjectPosix

__all__ = [
    "FileObjectPosix",
    "FileObjectThread",
    "FileObjectBlock",
    "FileObject",
]

FileObject = config.fileobject
