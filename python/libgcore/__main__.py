"""``python -m libgcore``: what a C extension needs to share this engine.

    python -m libgcore --cflags        compiler flags
    python -m libgcore --libs          linker flags
    python -m libgcore --cmake-dir     folder for ``-Dgcore_DIR=``
    python -m libgcore --pkgconfig-dir folder for ``PKG_CONFIG_PATH``
    python -m libgcore --version       this library's version

The linker flags name ``libgcore.so.0`` itself, with a run path, since a wheel
carries no symbolic links: a program linked so uses the very file that the
Python package has loaded, and there is one engine in the process.
"""

import argparse
import os
import shlex

__all__ = ["main"]

_HERE = os.path.dirname(os.path.abspath(__file__))


def cflags() -> list[str]:
    """The compiler flags for ``#include <gcore.h>``."""
    return ["-I" + os.path.join(_HERE, "include")]


def libs() -> list[str]:
    """The linker flags for this package's ``libgcore.so.0``."""
    return ["-L" + _HERE, "-l:libgcore.so.0", "-Wl,-rpath," + _HERE]


def main(arguments: list[str] | None = None) -> int:
    """Print what *arguments* (default: the command line's) ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m libgcore",
        description="Flags for building against this package's libgcore.",
    )
    for option, meaning in [
            ("--cflags", "compiler flags"),
            ("--libs", "linker flags"),
            ("--cmake-dir", "folder for -Dgcore_DIR="),
            ("--pkgconfig-dir", "folder for PKG_CONFIG_PATH"),
            ("--version", "this library's version")]:
        parser.add_argument(option, action="store_true", help=meaning)
    options = parser.parse_args(arguments)

    flags: list[str] = []
    if options.cflags:
        flags += cflags()
    if options.libs:
        flags += libs()
    lines = [shlex.join(flags)] if flags else []
    if options.cmake_dir:
        lines.append(os.path.join(_HERE, "cmake", "gcore"))
    if options.pkgconfig_dir:
        lines.append(os.path.join(_HERE, "pkgconfig"))
    if options.version:
        from libgcore import __version__

        lines.append(__version__)
    if not lines:
        parser.print_help()
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
