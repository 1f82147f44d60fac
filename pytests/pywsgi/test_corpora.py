"""What other servers are tested with: which requests are seen in it.

Differences from what those servers see are listed in ``corpora.tsv``: case,
reader (``engine``, ``handlers`` or ``both``), requests seen, reason.
"""
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from packages import needs
from raw_http import TEXT, talk
from request_corpora import (aiohttp_cases, gunicorn_cases, h11_cases,
                             http_parser_cases, hypercorn_cases, lighttpd_cases,
                             llhttp_cases, puma_cases, tornado_cases,
                             twisted_cases, waitress_cases)

FOLDER = Path(os.environ.get("GCORE_CORPORA", "/nonexistent"))

#: What of a body is compared; of others, nothing.
SHOWN = {"gunicorn": bytes, "http-parser": bytes, "llhttp": len}

#: So many cases there are at least.
CASES = {gunicorn_cases: 75, llhttp_cases: 75, lighttpd_cases: 75,
         http_parser_cases: 40, puma_cases: 15, aiohttp_cases: 60,
         h11_cases: 7, hypercorn_cases: 6, tornado_cases: 14, twisted_cases: 30,
         waitress_cases: 25}

pytestmark = [
    needs("gunicorn"),
    pytest.mark.skipif(not FOLDER.is_dir(),
                       reason="no corpora (tools/test http fetches them)")]


def differences(reader):
    lines = Path(__file__).with_name("corpora.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {name: int(number) for name, who, number, _reason in rows
            if who in (reader, "both")}


def expected(seen):
    for method, target, body in seen:
        path, _, query = target.partition("?")
        path = unquote_to_bytes(path.encode("latin-1", "replace"))
        yield method, path.decode("latin-1"), query, body


@pytest.fixture
def ask(serve):
    """A function that sends bytes: what the application has seen."""
    seen = []

    def application(environ, start_response):
        body = environ["wsgi.input"].read(-1)
        seen.append((environ["REQUEST_METHOD"], environ["PATH_INFO"],
                     environ["QUERY_STRING"], body))
        start_response("200 OK", TEXT)
        return [b""]

    servers = [serve(application, log=None, proxy_protocol=proxied,
                     wsgi=False)  # targets may be anything
               for proxied in (False, True)]

    def ask(data, proxied):
        seen.clear()
        try:
            talk(servers[proxied], data)
        except ConnectionError:
            pass
        return list(seen)

    return ask


def compare(cases, ask):
    """Names and numbers of requests seen where it is not as expected."""
    found = {}
    for name, data, wanted, proxied in cases:
        shown = SHOWN.get(name.partition("/")[0], lambda body: b"")
        seen = [(*rest, shown(body)) for *rest, body in ask(data, proxied)]
        if seen != list(expected(wanted)):
            found[name] = len(seen)
    return found


@pytest.mark.parametrize("cases", CASES)
def test_what_is_seen(ask, quiet, reader, cases):
    server = cases.__name__.removesuffix("_cases").replace("_", "-")
    if not (FOLDER / server).is_dir():
        pytest.skip(f"{server}'s source was not to be had in that version")
    known = {name: number for name, number in differences(reader).items()
             if name.startswith(server + "/")}
    found = list(cases(FOLDER / server))
    assert len(found) >= CASES[cases]
    assert compare(found, ask) == known
