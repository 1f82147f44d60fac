"""What greenlets can wait for and callbacks can be linked to."""
from libgcore import _engine

if _engine.ACCELERATED:
    from libgcore._accel import Linkable as AbstractLinkable
else:
    from libgcore._plain_links import Linkable as AbstractLinkable

__all__ = ['AbstractLinkable']
