"""Every test here ends by checking that it left nothing in the loop."""
from loop_fixtures import errors, nothing_left, turns  # noqa: F401
