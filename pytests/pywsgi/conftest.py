import pytest
from descriptor_fixtures import nothing_left
from serving_fixtures import quiet
from raw_http import LOCAL, Log

from gevent import pywsgi
from gevent._pywsgi_engine import AVAILABLE

__all__ = ["nothing_left", "quiet", "serve"]


@pytest.fixture(params=["engine", "handlers"] if AVAILABLE else ["handlers"])
def reader(request):
    """Who reads requests: the engine, or a greenlet each connection."""
    return request.param


@pytest.fixture
def serve(quiet, reader):
    """A function that starts a server with an application; returns it."""
    servers = []

    def start(application, **arguments):
        arguments.setdefault("use_engine", reader == "engine")
        arguments.setdefault("log", Log())
        arguments.setdefault("error_log", Log())
        server = arguments.pop("server_class", pywsgi.WSGIServer)(
            LOCAL, application, **arguments)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()
