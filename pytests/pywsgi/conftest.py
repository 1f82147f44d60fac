import traceback
from wsgiref import validate

import pytest
from descriptor_fixtures import nothing_left
from serving_fixtures import quiet
from raw_http import LOCAL, PEM, Log

from gevent import pywsgi
from gevent._pywsgi_engine import AVAILABLE
from gevent._pywsgi_file import FileWrapper

__all__ = ["nothing_left", "quiet", "serve"]


@pytest.fixture(params=["engine", "engine, TLS", "handlers"]
                if AVAILABLE else ["handlers"])
def way(request):
    """Who reads requests (`reader`), and how they come."""
    return request.param


@pytest.fixture
def reader(way):
    """Who reads requests: the engine, or a greenlet each connection."""
    return way.partition(",")[0]


def validated(application):
    """*application*, with the server and it held to WSGI.

    How a result is sent may depend on its class, which is kept.
    """
    def checked(environ, start_response):
        result = validate.validator(application)(environ, start_response)
        if not isinstance(result.original_iterator, (list, FileWrapper)):
            return result
        result.closed = True
        return result.original_iterator

    return checked


@pytest.fixture
def serve(quiet, reader, way):
    """A function that starts a server with an application; returns it.

    Applications that break the rules on purpose are given with ``wsgi=False``.
    """
    servers = []

    def start(application, **arguments):
        arguments.setdefault("use_engine", reader == "engine")
        if arguments.pop("wsgi", True):
            application = validated(application)
        if "TLS" in way and not {"proxy_protocol", "ssl_context"} & set(
                arguments):
            arguments.setdefault("certfile", PEM)
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
    for error in quiet:
        places = traceback.extract_tb(error.__traceback__)
        if places and places[-1].filename == validate.__file__:
            raise error  # a rule was broken
