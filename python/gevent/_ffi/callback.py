"""What ``loop.run_callback`` returns."""
from libgcore._engine import callback

__all__ = ['callback']
