"""The check that the build named ``libgcore`` makes when it is imported.

That build puts ``gevent/`` into site-packages without being the distribution
``gevent``, so an installer does not know that the two exclude each other.
"""

import importlib.metadata
import warnings

__all__ = ["warn_if_shared"]


def warn_if_shared() -> None:
    """Warn (RuntimeWarning) when another distribution owns ``gevent/`` too."""
    try:
        version = importlib.metadata.version("gevent")
    except importlib.metadata.PackageNotFoundError:
        return
    warnings.warn(
        f"The distributions libgcore and gevent {version} are both installed "
        "and both hold the package gevent: which files are in use depends on "
        "the order of installation. Uninstall both, then install one.",
        RuntimeWarning,
        stacklevel=3,
    )
