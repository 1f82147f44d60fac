"""The name under which upstream's compiled ``gevent.greenlet`` is known to
programs that look at ``Greenlet.__module__``."""
from gevent.greenlet import (
    FailureSpawnedLink, Greenlet, SpawnedLink, SuccessSpawnedLink, joinall,
    killall,
)

__all__ = [
    'FailureSpawnedLink', 'Greenlet', 'SpawnedLink', 'SuccessSpawnedLink',
    'joinall', 'killall',
]
