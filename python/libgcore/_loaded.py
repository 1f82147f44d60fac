"""Says why the engine does not load when a second one is in the way.

The loader knows a library by its name: a process that has loaded a
``libgcore.so.0``, say with a plugin that was linked to one of the system's,
gets that one for this package too, however old it is.
"""

import os

__all__ = ["other_engine", "refuse_other_engine"]


def other_engine() -> "str | None":
    """Return the path of a loaded libgcore that is not this package's."""
    ours = os.path.join(os.path.dirname(__file__), "libgcore.so.0")
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].rstrip("\n")
                     for line in maps if "libgcore.so" in line}
    except OSError:
        return None
    for path in sorted(paths):
        if not (os.path.exists(path) and os.path.samefile(path, ours)):
            return path
    return None


def refuse_other_engine(cause: ImportError) -> None:
    """Raise an ImportError that names the other engine, if there is one.

    :param cause: why the import failed
    """
    path = other_engine()
    if path is not None:
        from libgcore import __version__

        raise ImportError(
            f"this process has already loaded another engine, {path}, which "
            f"does not serve as libgcore {__version__} ({cause}). Import "
            "gevent before what loads it, or link that to this engine: "
            "python -m libgcore --cflags --libs"
        ) from cause
