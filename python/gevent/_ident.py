"""Small integers for objects, reused when the objects are gone."""
from heapq import heappop, heappush
from weakref import ref

__all__ = ['IdentRegistry']


class _NumberedRef(ref):
    __slots__ = ('ident', 'key')


class IdentRegistry:
    """Gives each object the smallest free number, until it dies."""

    def __init__(self):
        self._refs = {}  # id(object) -> _NumberedRef
        self._available_idents = []

    def get_ident(self, obj):
        """The number of `obj`; its first call gives it one."""
        numbered = self._refs.get(id(obj))
        if numbered is None:
            numbered = _NumberedRef(obj, self._release)
            numbered.key = id(obj)
            # Those in use are 0 .. n - 1 when none has come back.
            numbered.ident = (heappop(self._available_idents)
                              if self._available_idents else len(self._refs))
            self._refs[numbered.key] = numbered
        return numbered.ident

    def _release(self, numbered):
        if self._refs.get(numbered.key) is numbered:
            del self._refs[numbered.key]
        heappush(self._available_idents, numbered.ident)

    def __iter__(self):
        objects = [numbered() for numbered in list(self._refs.values())]
        return iter([obj for obj in objects if obj is not None])

    def __len__(self):
        return len(self._refs)
