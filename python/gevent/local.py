"""Greenlet-local objects.

An object with other attributes in each greenlet::

    mydata = local()
    mydata.number = 42

Other greenlets do not see ``number``. A subclass may have an ``__init__``: it
is called, with the constructor's arguments, in each greenlet that uses the
object; its ``__slots__`` are shared by all. A greenlet's attributes go when
the greenlet ends or is destroyed.
"""
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import Local as _Local
    from libgcore._accel import local_dicts as _local_dicts
else:
    from libgcore._plain_local import Local as _Local
    from libgcore._plain_local import local_dicts as _local_dicts

__all__ = [
    'local',
]


class local(_Local):
    """An object with other attributes in each greenlet.

    Arguments are for the ``__init__`` of a subclass; TypeError without one.
    """

    __slots__ = ()


def all_local_dicts_for_greenlet(greenlet):
    """The greenlet-local attributes of *greenlet*.

    :return: a list of ``((class, id), attributes)``, one for each live
        `local` that the greenlet has used; the dictionaries are those in use.
    """
    return [((type(obj), id(obj)), attributes)
            for obj, attributes in _local_dicts(greenlet)]
