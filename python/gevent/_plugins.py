"""
Entry points of other distributions that want to be told of gevent's events.

`importlib.metadata` takes longer to import than everything that
`gevent.monkey.patch_all` does together, and hardly any program has such entry
points. So the folders of ``sys.path`` are looked at first, for metadata that
names gevent's groups at all; only when there is some, or when packages may come
from elsewhere than from folders, is `importlib.metadata` asked.
"""
import os
import sys

__all__ = [
    'entry_points',
]

_PREFIX = b'gevent.plugins.'

# sys.path as it was at the last look, and what was found then.
_looked_at = None
_found = ()


def entry_points(group):
    """The entry points of *group* (str) that installed distributions define.

    The result is a sequence of `importlib.metadata.EntryPoint`.
    """
    global _looked_at, _found
    path = tuple(sys.path)
    if path != _looked_at:
        _found = _load() if _may_have_plugins(path) else ()
        _looked_at = path
    return [each for each in _found if each.group == group]


def _load():
    from importlib import metadata
    every = metadata.entry_points()
    return [each for group in every.groups
            if group.startswith('gevent.plugins.')
            for each in every.select(group=group)]


def _may_have_plugins(path):
    return _has_other_finders() or any(map(_folder_may_have_plugins, path))


def _has_other_finders():
    # What finds distributions besides the finder of sys.path.
    return any(hasattr(finder, 'find_distributions')
               and getattr(finder, '__name__', '') != 'PathFinder'
               for finder in sys.meta_path)


def _folder_may_have_plugins(folder):
    try:
        with os.scandir(folder or '.') as entries:
            names = [entry.name for entry in entries
                     if entry.name.endswith(('.dist-info', '.egg-info', '.egg'))]
    except NotADirectoryError:
        return True # an archive
    except OSError:
        return False
    return any(_names_plugins(os.path.join(folder, name)) for name in names
               if not name.startswith('gevent-'))


def _names_plugins(metadata_folder):
    if metadata_folder.endswith('.egg'):
        metadata_folder = os.path.join(metadata_folder, 'EGG-INFO')
    try:
        with open(os.path.join(metadata_folder, 'entry_points.txt'), 'rb') as f:
            return _PREFIX in f.read()
    except OSError:
        return False
