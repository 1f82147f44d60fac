"""Another name of :mod:`gevent._semaphore`."""
from gevent._semaphore import BoundedSemaphore, Semaphore

__all__ = [
    'Semaphore',
    'BoundedSemaphore',
]
