"""
What monkey patching raises and warns of.
"""

__all__ = [
    'MonkeyPatchWarning',
]


class MonkeyPatchWarning(RuntimeWarning):
    """The category of the warnings about monkey patching."""


class _BadImplements(AttributeError):
    """Raised when *module*, the source of a patch, does not say by its
    ``__implements__`` what it replaces."""

    def __init__(self, module):
        super().__init__("Module %r has a bad or missing value for "
                         "__implements__" % (module,))
