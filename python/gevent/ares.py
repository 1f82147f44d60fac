"""`gevent.resolver.cares`, by the name it once had."""
from gevent.resolver.cares import channel

__all__ = ['channel']
