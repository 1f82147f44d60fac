"""Texts of Windows errors; elsewhere only the fallback is of use."""

__all__ = ["formatError"]


class _ErrorFormatter:
    """Formats error numbers by the first means there is."""

    def __init__(self, format_message=None):
        self._format_message = format_message

    @classmethod
    def fromEnvironment(cls):
        """A formatter that asks Windows, if this is Windows."""
        try:
            from ctypes import FormatError
        except ImportError:
            FormatError = None
        return cls(FormatError)

    def formatError(self, errorcode):
        """The text for the Windows error number *errorcode*."""
        if self._format_message is not None:
            return self._format_message(errorcode)
        from os import strerror
        return strerror(errorcode)


formatError = _ErrorFormatter.fromEnvironment().formatError
