"""What a WSGI server tells about its work: logs, access lines, counters."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from time import localtime, strftime

__all__ = ["AccessFormat", "LoggingLogAdapter", "METRICS_TYPE", "Metrics",
           "as_log"]

#: Content type of `Metrics.text`.
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class NoopLog:
    """Forgets what is written to it."""

    def write(self, *args, **kwargs):
        pass

    def flush(self):
        pass

    def writelines(self, *args, **kwargs):
        pass


class LoggingLogAdapter:
    """Lets a `logging.Logger` pass for a file; lines are logged at *level*.

    Has the attributes of the logger.
    """

    __slots__ = ("_logger", "_level")

    def __init__(self, logger, level=20):
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "_level", level)

    def write(self, msg):
        """Log *msg*, without the end of its line."""
        self._logger.log(self._level, msg.removesuffix("\n"))

    def flush(self):
        """Nothing to do."""

    def writelines(self, lines):
        """Log each of *lines*."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._logger, name)

    def __setattr__(self, name, value):
        setattr(self._logger, name, value)

    def __delattr__(self, name):
        delattr(self._logger, name)


LoggingLogAdapter.__module__ = "gevent.pywsgi"  # where it is public


def as_log(log, level):
    """A file that forgets, writes to, or logs to *log*; see `WSGIServer`."""
    if log is None:
        return NoopLog()
    if log == "default":
        return sys.stderr
    if hasattr(log, "write"):
        return log
    if hasattr(log, "log"):
        return LoggingLogAdapter(log, level)
    raise TypeError(f"Expected a file, a logger or None, got {log!r}")


class AccessFormat:
    """Makes access lines of the *form* that gunicorn and Apache know.

    ``%(h)s`` client's address, ``l`` and ``u`` a hyphen and the user, ``t``
    the time, ``r`` the first line, ``m`` method, ``U`` path, ``q`` query,
    ``H`` protocol, ``s`` status, ``B`` and ``b`` bytes sent (0 or a hyphen
    for none), ``f`` referer, ``a`` user agent, ``T``, ``M``, ``D`` and ``L``
    the time it took in seconds, milli-, microseconds and seconds with a
    fraction, ``p`` the process, ``{name}i``, ``{name}o`` and ``{name}e`` a
    header of the request, of the response, an item of the environment. What
    is not there is a hyphen.
    """

    def __init__(self, form: str):
        form % _AnyAtom()  # ValueError or TypeError for a bad one
        self.form = form

    def __call__(self, handler):
        """The line for the request that *handler* has answered."""
        return self.form % _Atoms(handler)


class _AnyAtom(dict):
    def __missing__(self, key):
        return "-"


class _Atoms(dict):
    """The atoms of one line, made as they are asked for."""

    def __init__(self, handler):
        self.handler = handler

    def __missing__(self, key):
        if key.startswith("{"):
            value = self._named(key[1:-2].lower(), key[-1:])
        else:
            make = getattr(self, "_" + key, None)
            value = "-" if make is None else make()
        return "-" if value is None else _printable(value)

    def _named(self, name, kind):
        handler = self.handler
        environ = handler.environ or {}
        if kind == "i":
            key = name.upper().replace("-", "_")
            return environ.get("HTTP_" + key, environ.get(key))
        if kind == "e":
            return environ.get(name.upper(), environ.get(name))
        for header, value in handler.response_headers or ():
            if kind == "o" and header.decode("latin-1").lower() == name:
                return value.decode("latin-1")
        return None

    def _environ(self, key):
        return (self.handler.environ or {}).get(key)

    def _seconds(self):
        return max(0.0, self.handler.time_finish - self.handler.time_start)

    def _h(self):
        address = self.handler.client_address
        return address[0] if isinstance(address, tuple) else address or None

    def _u(self):
        return self._environ("REMOTE_USER")

    def _t(self):
        now = localtime(self.handler.time_start)
        return strftime("[%d/%b/%Y:%H:%M:%S %z]", now)

    def _r(self):
        return (self.handler.requestline or "").rstrip("\r\n")

    def _m(self):
        return self.handler.command

    def _U(self):
        return self._environ("PATH_INFO")

    def _q(self):
        return self._environ("QUERY_STRING")

    def _H(self):
        return self.handler.request_version

    def _s(self):
        return str(self.handler.code or "-")

    def _B(self):
        return self.handler.response_length

    def _b(self):
        return self.handler.response_length or "-"

    def _f(self):
        return self._environ("HTTP_REFERER")

    def _a(self):
        return self._environ("HTTP_USER_AGENT")

    def _T(self):
        return int(self._seconds())

    def _M(self):
        return int(self._seconds() * 1e3)

    def _D(self):
        return int(self._seconds() * 1e6)

    def _L(self):
        return f"{self._seconds():.6f}"

    def _p(self):
        return f"<{os.getpid()}>"


def _printable(value):
    """*value*, if it is text without what could pass for another line."""
    if not isinstance(value, str) or value.isprintable() and '"' not in value:
        return value
    return "".join(
        char if char.isprintable() and char != '"'
        else char.encode("unicode_escape").decode() if char != '"' else "\\x22"
        for char in value)


class Metrics:
    """Counters of a server."""

    #: Upper bounds of the histogram of times, in seconds.
    bounds = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0)

    def __init__(self):
        self.requests = {}  # status: number
        self.bytes = 0
        self.seconds = 0.0
        self.within = [0] * (len(self.bounds) + 1)

    def request(self, code: int, length: int, seconds: float):
        """A request was answered with *code*, *length* bytes, in *seconds*."""
        self.requests[code] = self.requests.get(code, 0) + 1
        self.bytes += length
        self.seconds += seconds
        self.within[bisect_left(self.bounds, seconds)] += 1

    def text(self, connections: int) -> str:
        """All counters, and the gauge *connections*, as Prometheus reads
        them."""
        lines = ["# TYPE http_requests_total counter"]
        lines += [f'http_requests_total{{code="{code}"}} {number}'
                  for code, number in sorted(self.requests.items())]
        lines += ["# TYPE http_response_bytes_total counter",
                  f"http_response_bytes_total {self.bytes}",
                  "# TYPE http_connections gauge",
                  f"http_connections {connections}",
                  "# TYPE http_request_seconds histogram"]
        total = 0
        for bound, number in zip((*self.bounds, "+Inf"), self.within):
            total += number
            lines.append(
                f'http_request_seconds_bucket{{le="{bound}"}} {total}')
        lines += [f"http_request_seconds_sum {self.seconds:.6f}",
                  f"http_request_seconds_count {total}"]
        return "\n".join(lines) + "\n"
