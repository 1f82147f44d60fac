"""Fixtures for tests of servers; a folder's conftest.py imports those it
wants."""
import gevent
import pytest


@pytest.fixture
def quiet():
    """Nothing is printed; a list of the errors reported to the hub."""
    hub = gevent.get_hub()
    errors = []
    hub.handle_error = lambda context, *error: errors.append(error[1])
    yield errors
    del hub.handle_error
