"""`gevent.lock`, by the name it once had."""
from gevent.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore

__all__ = ['Semaphore', 'BoundedSemaphore', 'DummySemaphore', 'RLock']
