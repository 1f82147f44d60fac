"""The loop, under the module names that programs and freezers know."""

__all__ = []
