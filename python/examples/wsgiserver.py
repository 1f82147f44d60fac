"""Serve one page, and 404 for all others.

    python wsgiserver.py [HOST:PORT]
"""
import sys

from gevent.pywsgi import WSGIServer


def application(environ, start_response):
    headers = [("Content-Type", "text/html")]
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", headers)
        return [b"<b>hello world</b>"]
    start_response("404 Not Found", headers)
    return [b"<h1>Not Found</h1>"]


if __name__ == "__main__":
    listener = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8088"
    print(f"Serving on http://{listener}", flush=True)
    WSGIServer(listener, application).serve_forever()
