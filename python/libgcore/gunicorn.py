"""A worker for gunicorn: ``gunicorn -k libgcore.gunicorn.Worker app:app``.

Each worker process serves by `gevent.pywsgi.WSGIServer`, whose engine reads
requests and sends answers in C; the standard library is patched, so that an
application may block.

Of gunicorn's settings, those of logging, hooks, limits, forwarded headers,
TLS, PROXY headers, reloading and restarting have their usual meaning, as have
``gunicorn.socket`` and ``wsgi.early_hints`` in the environment, and an
application that raises `StopIteration` because it has answered by that socket.
Requests are always read strictly.
"""

from __future__ import annotations

import ipaddress
import os
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache, partial
from typing import NamedTuple

import gevent
from gevent import monkey, pywsgi, socket
from gevent._proxy_protocol import finish_header
from gevent._pywsgi_engine import EngineHandler, end_tls
from gevent._pywsgi_input import InvalidInput
from gevent._pywsgi_request import NOT_IN_LINE, TOKEN, InvalidRequest
from gevent.event import Event
from gunicorn import SERVER_SOFTWARE
from gunicorn.glogging import Logger
from gunicorn.http.wsgi import WSGIErrorsWrapper
from gunicorn.sock import ssl_context
from gunicorn.workers import base

__all__ = ["Worker"]

_HEARTBEAT = 1.0  # seconds
_DRAIN_IDLE = 1_000_000_000  # nanoseconds
_NO_LIMIT = 1 << 20  # bytes of a line, for a setting of 0
_LINE_END = 2  # bytes; gunicorn does not count them
_MOST_FIELDS = 32768  # as gunicorn's, which is what its 0 means


# What gunicorn's hooks and loggers look at

class _Request:
    """A request, as hooks and access logs know it."""

    def __init__(self, environ):
        self.method = environ["REQUEST_METHOD"]
        self.uri = environ["RAW_URI"]
        self.path = environ["PATH_INFO"]
        self.query = environ["QUERY_STRING"]
        self.version = tuple(
            int(part) for part in environ["SERVER_PROTOCOL"][5:].split("."))
        self.scheme = environ["wsgi.url_scheme"]
        self.body = environ["wsgi.input"]
        self.headers = [
            (key.removeprefix("HTTP_").replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_")
            or key in ("CONTENT_TYPE", "CONTENT_LENGTH")]


class _Response:
    """An answer, likewise."""

    def __init__(self, handler, sent):
        self.status = handler._orig_status or "500"
        self.status_code = handler.code
        self.sent = sent
        self.response_length = sent
        self.headers_sent = handler.headers_sent
        self.headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in handler.response_headers or ()]


# What both kinds of handlers do

class _Proxy(NamedTuple):
    """What a PROXY header has said, and who has sent it."""

    version: int
    address: str
    port: int
    target: str
    target_port: int


class _Forbidden(InvalidInput):
    status = "403 Forbidden"


class _NotToBeMet(InvalidInput):
    status = "417 Expectation Failed"


def _adapt(worker, environ, raw_headers, proxy):
    """Make *environ* what gunicorn's settings ask for, and count the request;
    the application. *raw_headers* returns names and values as they came;
    *proxy* is a `_Proxy` or None."""
    if proxy is None:
        peer = environ.get("REMOTE_ADDR")
    else:
        _take_proxy(worker, environ, proxy)
        peer = proxy.address
    expected = environ.get("HTTP_EXPECT", "100-continue")
    if expected.lower() != "100-continue":
        raise _NotToBeMet(f"Unable to meet the expectation {expected!r}")
    trusted = worker.trusts(peer)
    if trusted:
        _take_scheme(environ, worker.scheme_variables)
    if trusted and worker.forwarder_headers or worker.cfg.header_map != "drop":
        _take_underscored(worker.cfg, environ, raw_headers(),
                          worker.forwarder_headers if trusted else ())
    if environ["PATH_INFO"][:1] != "/" or "#" in environ["RAW_URI"]:
        _take_target(environ)
    if environ["SCRIPT_NAME"]:
        _cut_script_name(environ)
    if worker.asks_before:
        worker.cfg.pre_request(worker, _Request(environ))
    worker.count_request()
    return worker.wsgi


def _take_proxy(worker, environ, proxy):
    if not worker.may_proxy(proxy.address):
        raise _Forbidden(f"Proxy request from {proxy.address!r} not allowed")
    if worker.proxy_version not in ("auto", f"v{proxy.version}"):
        raise InvalidInput(f"PROXY header of version {proxy.version}, not of "
                           f"{worker.proxy_version}")
    if not proxy.target:
        environ["PROXY_PROTOCOL"] = (
            "LOCAL" if proxy.version == 2 else "UNKNOWN")
        return
    environ["PROXY_PROTOCOL"] = "TCP6" if ":" in proxy.target else "TCP4"
    environ["PROXY_ADDR"] = proxy.target
    environ["PROXY_PORT"] = str(proxy.target_port)


def _take_scheme(environ, variables):
    schemes = {
        "https" if environ[name] == secure else "http"
        for name, secure in variables.items() if name in environ}
    if len(schemes) > 1:
        raise InvalidInput("Contradictory scheme headers")
    for scheme in schemes:
        environ["wsgi.url_scheme"] = scheme


def _take_underscored(cfg, environ, headers, allowed):
    """Headers whose names could pass for others in an environment."""
    for name, value in headers:
        if "_" not in name:
            continue
        name = name.upper()
        if name in allowed or "*" in allowed or cfg.header_map == "dangerous":
            key = "HTTP_" + name.replace("-", "_")
            environ["SCRIPT_NAME" if name == "SCRIPT_NAME" else key] = value
        elif cfg.header_map != "drop":
            raise InvalidInput(f"Invalid header name: {name}")


def _take_target(environ):
    """Of a target with a scheme and a host, or a fragment, what remains."""
    target = environ["RAW_URI"].partition("#")[0]
    path, _, query = target.partition("?")
    if path[:1] != "/" and "://" in path:
        host = path.partition("://")[2]
        path = "/" + host.partition("/")[2]
    environ["PATH_INFO"] = pywsgi.unquote_latin1(path)
    environ["QUERY_STRING"] = query


def _cut_script_name(environ):
    name, path = environ["SCRIPT_NAME"], environ["PATH_INFO"]
    if not path.startswith(name):
        raise ValueError(f"The path {path!r} does not begin with SCRIPT_NAME, "
                         f"{name!r}")
    environ["PATH_INFO"] = path[len(name):]


def _head_lines(block):
    """Names and values of a head, from its bytes."""
    for line in block.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            yield name, value.strip(" \t")


def _tell(worker, handler, sent):
    """After an answer: the access log, and the hook."""
    if handler.environ is None or not handler.code:
        return  # the application has answered otherwise
    request = _Request(handler.environ)
    response = _Response(handler, sent)
    took = timedelta(seconds=handler.time_finish - handler.time_start)
    if worker.logs_access:
        worker.log.access(response, request, handler.environ, took)
    if worker.asks_after:
        worker.cfg.post_request(worker, request, handler.environ, response)


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


class _Connection:
    """``gunicorn.socket`` of a request that the engine has read: a socket of
    its own as soon as something is asked of it."""

    __slots__ = ("_request", "_socket")

    def __init__(self, request):
        self._request = request
        self._socket = None

    def __getattr__(self, name):
        if self._socket is None:
            fd = os.dup(self._request.fileno())
            try:
                self._socket = socket.socket(fileno=fd)
            except BaseException:
                os.close(fd)
                raise
        return getattr(self._socket, name)


class _TLSConnection:
    """The same under TLS, of which there is one for both: who ends it takes
    it from the engine."""

    __slots__ = ("_request", "_socket")

    def __init__(self, request):
        self._request = request
        self._socket = request.tls

    def __getattr__(self, name):
        if name in _ENDS:
            with suppress(OSError):  # it has gone already
                self._request.take_over()
        return getattr(self._socket, name)


_ENDS = ("close", "detach", "shutdown", "unwrap")


def _report(worker, handler, error):
    worker.log.error("Error handling request %s",
                     (handler.environ or {}).get("RAW_URI", ""),
                     exc_info=error)


class _Exchange(EngineHandler):
    """Answers by the engine."""

    __slots__ = ()

    def find_application(self):
        kind = _Connection if self.request.tls is None else _TLSConnection
        self.environ["gunicorn.socket"] = kind(self.request)
        self.environ["wsgi.early_hints"] = self._hint
        proxy = self.request.proxy
        return _adapt(self.server.worker, self.environ,
                      partial(_head_lines, self.request.block),
                      proxy and _Proxy(*proxy))

    def _hint(self, headers):
        self.hint([(_text(name), _text(value)) for name, value in headers])

    def fail(self, ex):
        if not isinstance(ex, StopIteration):
            super().fail(ex)
        elif self.headers_sent:
            self._cut()
        else:
            self._leave()

    def _leave(self):
        try:
            sock, _ahead = self.request.take_over()
        except OSError:  # the client has gone
            return
        if isinstance(sock, int):
            os.close(sock)
        else:
            end_tls(sock._sslobj)
            sock.close()

    def report(self, kind, value, tb):
        _report(self.server.worker, self, (kind, value, tb))


class _ToldExchange(_Exchange):
    """The same, for a worker that logs or has hooks."""

    __slots__ = ()

    quiet_log = None

    def end(self):
        _tell(self.server.worker, self, self.body_length)


class _Handler(pywsgi.WSGIHandler):
    """Answers in a greenlet each connection."""

    proxy = None  # a `_Proxy`
    awaits_proxy = False

    def read_requestline(self):
        line = super().read_requestline()
        if not self.awaits_proxy:
            return line
        self.awaits_proxy = False
        try:
            header = finish_header(line.encode("latin-1"), self._exactly)
        except ValueError as ex:
            raise InvalidRequest(str(ex)) from None
        if header is None:
            return line
        self._become_proxied(header)
        return super().read_requestline()

    def _exactly(self, count):
        data = self.rfile.read(count)
        if len(data) < count:
            raise ValueError("Connection closed within the PROXY header")
        return data

    def _become_proxied(self, header):
        own = self.client_address or ("", 0)
        target = header.target or ("", 0)
        self.proxy = _Proxy(header.version, *own[:2], *target[:2])
        self.client_address = header.client or own

    def read_request(self, raw_requestline):
        result = super().read_request(raw_requestline)
        cfg = self.server.worker.cfg
        if not cfg.keepalive:
            self.close_connection = True
        limit = cfg.limit_request_field_size
        if limit and any(len(name) + len(value) + len(": ") > limit
                         for name, value in self.headers.items()):
            raise InvalidRequest("Header field too long",
                                 "431 Request Header Fields Too Large")
        return result

    def run_application(self):
        self.environ["gunicorn.socket"] = self.socket
        self.environ["wsgi.early_hints"] = self._hint
        self.application = _adapt(self.server.worker, self.environ,
                                  self.headers.items, self.proxy)
        try:
            super().run_application()
        except StopIteration:
            self.close_connection = True

    def _hint(self, headers):
        if self.headers_sent or self.request_version < "HTTP/1.1":
            return
        lines = [b"HTTP/1.1 103 Early Hints"]
        for name, value in headers:
            name, value = _text(name), _text(value)
            if not TOKEN.fullmatch(name) or NOT_IN_LINE.search(value):
                raise ValueError(f"no header: {name!r}: {value!r}")
            lines.append(f"{name}: {value}".encode("latin-1"))
        self.socket.sendall(b"\r\n".join([*lines, b"", b""]))

    def finalize_headers(self):
        super().finalize_headers()
        if self.close_connection and not any(
                name.lower() == b"connection"
                for name, _ in self.response_headers):
            self.response_headers.append((b"Connection", b"close"))

    def log_request(self):
        if self.server.worker.is_told:
            _tell(self.server.worker, self,
                  max(0, self.response_length - self._head_size()))

    def _head_size(self):
        fields = sum(len(name) + len(value) + len(": \r\n")
                     for name, value in self.response_headers or ())
        return len(f"HTTP/1.1 {self._orig_status}\r\n\r\n") + fields

    def handle_error(self, t, v, tb):
        if not issubclass(t, gevent.GreenletExit):
            _report(self.server.worker, self, (t, v, tb))
        self._send_error_response_if_possible("500 Internal Server Error")


class _Server(pywsgi.WSGIServer):
    """Serves one listening socket of a worker."""

    handler_class = _Handler
    strict = True
    _plain_status = False

    def __init__(self, worker, listener, **arguments):
        self.worker = worker
        self._exchanges = {
            _Handler: _ToldExchange if worker.is_told else _Exchange}
        self._may_be_proxied = worker.proxy_version != "off"
        self._engine_limits = {
            "requests": 0 if worker.cfg.keepalive else 1,
            "field_bytes": worker.cfg.limit_request_field_size,
            "drain_idle": _DRAIN_IDLE}
        super().__init__(listener, worker.wsgi, log=None,
                         error_log=worker.log.error_log, **arguments)

    def _is_plain(self):
        return False

    def _handler_for(self, sock, address, file=None, request=None):
        handler = super()._handler_for(sock, address, file, request)
        if request is None:
            handler.awaits_proxy = self._may_be_proxied
        elif request.proxy is not None:
            handler.proxy = _Proxy(*request.proxy)
        return handler


# The worker

def _is_changed(cfg, name):
    setting = cfg.settings[name]
    return setting.get() is not setting.default


def _networks(addresses):
    if isinstance(addresses, str):
        addresses = addresses.split(",")
    return [address if address == "*"
            else ipaddress.ip_network(address.strip(), strict=False)
            for address in addresses if address]


def _is_in(address, networks):
    """Whether *address*, text, is in one of *networks*; None, of a Unix
    socket, always is."""
    if not address or "*" in networks:
        return True
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(number in network for network in networks)


def _is_among(addresses):
    """A function that tells whether an address is one of a setting's."""
    networks = _networks(addresses)
    return lru_cache(1024)(lambda address: _is_in(address, networks))


def _proxy_version(setting):
    """Of the PROXY headers that are taken; older gunicorns know no versions,
    and take the first."""
    if isinstance(setting, str):
        return setting
    return "v1" if setting else "off"


class Worker(base.Worker):
    """See the module."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.worker_connections = self.cfg.worker_connections
        self._woken = None

    # Settings that requests ask for

    def _read_settings(self):
        cfg = self.cfg
        self.trusts = _is_among(cfg.forwarded_allow_ips)
        self.may_proxy = _is_among(cfg.proxy_allow_ips)
        self.proxy_version = _proxy_version(cfg.proxy_protocol)
        self.scheme_variables = {
            "HTTP_" + name.upper().replace("-", "_"): value
            for name, value in cfg.secure_scheme_headers.items()}
        self.forwarder_headers = [
            name.upper() for name in cfg.forwarder_headers]
        self.asks_before = (_is_changed(cfg, "pre_request")
                            or self.log.error_log.isEnabledFor(10))
        self.asks_after = _is_changed(cfg, "post_request")
        self.logs_access = self._logs_access()
        self.is_told = self.logs_access or self.asks_after

    def _logs_access(self):
        """Whether the logger does something with accesses."""
        cfg = self.cfg
        return (type(self.log).access is not Logger.access
                or bool(cfg.accesslog or cfg.logconfig or cfg.logconfig_dict
                        or getattr(cfg, "logconfig_json", None)
                        or (cfg.syslog
                            and not cfg.disable_redirect_access_to_syslog)))

    def count_request(self):
        """One more was answered, perhaps the last."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self._stop()

    # Life

    def init_process(self):
        monkey.patch_all()
        self._woken = Event()
        super().init_process()

    def run(self):
        """Serve until told to stop, then let answers end."""
        self._read_settings()
        servers = [self._serve(listener) for listener in self.sockets]
        while self.alive:
            self.notify()
            self._woken.wait(_HEARTBEAT)
            self._look_for_parent()
        self._drain(servers)

    def _serve(self, listener):
        server = self._make_server(listener)
        server.start()
        return server

    def _make_server(self, listener):
        cfg = self.cfg
        bound = getattr(listener, "sock", listener)
        sock = socket.socket(bound.family, bound.type,
                             fileno=os.dup(bound.fileno()))
        arguments = self._limits()
        if cfg.is_ssl:
            arguments["ssl_context"] = ssl_context(cfg)
        return _Server(self, sock, environ=self._environ(bound.getsockname()),
                       **arguments)

    def _limits(self):
        cfg = self.cfg
        fields = min(cfg.limit_request_fields or _MOST_FIELDS, _MOST_FIELDS)
        size = cfg.limit_request_field_size
        return {
            "max_request_line": _LINE_END + 1 + (
                cfg.limit_request_line or _NO_LIMIT),
            "max_headers": fields,
            "max_header_bytes": fields * (size + 2) + 4 if size else None,
            "max_connections": self.worker_connections or None,
            "idle_timeout": cfg.keepalive or None,
            "header_timeout": cfg.timeout or None,
            "handshake_timeout": cfg.timeout or None,
        }

    def _environ(self, name):
        host, port = name[:2] if isinstance(name, tuple) else ("", "")
        return {
            "SERVER_NAME": host, "SERVER_PORT": str(port),
            "SERVER_SOFTWARE": SERVER_SOFTWARE, "RAW_URI": "",
            "SCRIPT_NAME": os.environ.get("SCRIPT_NAME", ""),
            "wsgi.errors": WSGIErrorsWrapper(self.cfg),
            "wsgi.multithread": True,
            "wsgi.multiprocess": self.cfg.workers > 1,
        }

    def _look_for_parent(self):
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            self._stop()

    def _drain(self, servers):
        drains = [gevent.spawn(server.drain, self.cfg.graceful_timeout)
                  for server in servers]
        while len(gevent.wait(drains, timeout=_HEARTBEAT)) < len(drains):
            self.notify()
        cut = sum(drain.get() for drain in drains)
        if cut:
            self.log.warning("Worker graceful timeout (pid:%s), %d "
                             "connections cut", self.pid, cut)

    def _stop(self):
        self.alive = False
        self._woken.set()

    # Signals; their handlers may run in the hub, which cannot wait

    def handle_exit(self, sig, frame):
        """Stop gracefully."""
        self._stop()

    def handle_quit(self, sig, frame):
        """Stop at once."""
        gevent.spawn(super().handle_quit, sig, frame)

    def handle_usr1(self, sig, frame):
        """Reopen log files."""
        gevent.spawn(super().handle_usr1, sig, frame)
