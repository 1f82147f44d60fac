"""The name under which freezers know `gevent.ssl`."""

from gevent.ssl import *  # noqa: F403
from gevent.ssl import SSLContext, SSLSocket, __all__, orig_SSLContext

__all__ = list(__all__)
