"""Marks for tests that need packages of the index."""
import importlib.metadata

import pytest


def installed(name):
    """Whether the distribution *name* is there."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def needs(*names, command="tools/test http"):
    """Mark a test that needs packages, which *command* installs."""
    missing = [name for name in names if not installed(name)]
    return pytest.mark.skipif(
        bool(missing), reason=f"not installed: {', '.join(missing)} "
        f"({command} installs them)")
