"""Prints what pyproject.toml requires: to build, to run, and by extras.

    requirements.py [EXTRA...]

One requirement a line.
"""

import sys
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10: pip carries the same parser
    from pip._vendor import tomli as tomllib

__all__ = ["requirements"]


def requirements(extras: list[str]) -> list[str]:
    """Return the requirements of this tree's pyproject.toml."""
    path = Path(__file__).parents[2] / "pyproject.toml"
    settings = tomllib.loads(path.read_text())
    project = settings["project"]
    found = settings["build-system"]["requires"] + project["dependencies"]
    for extra in extras:
        found = found + project["optional-dependencies"][extra]
    return found


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
