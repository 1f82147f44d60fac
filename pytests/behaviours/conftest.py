"""Every test here leaves the loop as it found it."""
from loop_fixtures import errors, hub, nothing_left, turns  # noqa: F401
