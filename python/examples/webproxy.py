"""Fetch pages for others: /http://HOST/PATH is the page of that address.

    python webproxy.py [HOST:PORT]

The program is written for blocking sockets; patching makes each request a
greenlet.
"""
from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from http.client import HTTPException  # noqa: E402
from urllib.error import HTTPError  # noqa: E402
from urllib.request import urlopen  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402

PAGE = b"""<!doctype html><title>Web proxy - gevent example</title>
<h1>Web proxy - gevent example</h1>
<p>Put an address behind this one: /http://example.org/</p>
"""
TIMEOUT = 20  # seconds
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "te", "trailers", "transfer-encoding", "upgrade", "content-length"}


def application(environ, start_response):
    url = environ["PATH_INFO"][1:]
    if environ["QUERY_STRING"]:
        url += "?" + environ["QUERY_STRING"]
    if not url:
        start_response("200 OK", [("Content-Type", "text/html")])
        return [PAGE]
    if not url.startswith(("http://", "https://")):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"No address of a page\n"]
    return fetch(url, start_response)


def fetch(url, start_response):
    """The page at *url*, as a WSGI response."""
    try:
        try:
            page = urlopen(url, timeout=TIMEOUT)
        except HTTPError as error:  # a page nevertheless
            page = error
        with page:
            body = page.read()
            headers = [(name, value) for name, value in page.headers.items()
                       if name.lower() not in HOP_BY_HOP]
            start_response(f"{page.code} {page.msg}", headers)
            return [body]
    except (OSError, HTTPException, ValueError) as error:
        start_response("502 Bad Gateway", [("Content-Type", "text/plain")])
        return [f"{url}: {error}\n".encode()]


if __name__ == "__main__":
    listener = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8088"
    print(f"Serving on http://{listener}", flush=True)
    WSGIServer(listener, application).serve_forever()
