"""What upstream's cffi loops share, by name; here all are the one engine's."""

__all__ = []
