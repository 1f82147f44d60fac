"""TLS sockets that do not block the other greenlets.

An `SSLSocket` is a `gevent.socket.socket` with the C object of the standard
library's ``_ssl`` beside it; the C object is told of a non-blocking socket
and says what it wants to wait for. All names of the standard `ssl` are here.

The setters of `ssl.SSLContext` reach the C type through the module's global
``SSLContext``; once that name means our subclass they find themselves
instead, and recurse. So ours run in a namespace where the name keeps its
meaning, and patching puts them into the standard class too: contexts and
subclasses that existed before then work as well.
"""

from __future__ import annotations

import errno
import socket as __socket__
import ssl as __ssl__
from types import FunctionType

from gevent import socket as _gsocket
from gevent._socket3 import socket
from gevent._util import copy_globals

__implements__ = ["SSLContext", "SSLSocket", "get_server_certificate"]
if hasattr(__ssl__, "wrap_socket"):
    __implements__.append("wrap_socket")

__extra__ = ["wrap_socket"]

__imports__ = copy_globals(
    __ssl__, globals(),
    names_to_ignore=__implements__ + __extra__ + ["socket"],
    dunder_names_to_keep=())

__all__ = list(dict.fromkeys(__implements__ + __extra__ + __imports__))

_ssl = __ssl__._ssl
orig_SSLContext = __ssl__.SSLContext
orig_SSLSocket = __ssl__.SSLSocket

SSLError = __ssl__.SSLError
SSLEOFError = __ssl__.SSLEOFError
SSLWantReadError = __ssl__.SSLWantReadError
SSLWantWriteError = __ssl__.SSLWantWriteError
SSL_ERROR_EOF = __ssl__.SSL_ERROR_EOF
CERT_NONE = __ssl__.CERT_NONE
CERT_REQUIRED = __ssl__.CERT_REQUIRED
PROTOCOL_SSLv23 = __ssl__.PROTOCOL_SSLv23
PROTOCOL_TLS_CLIENT = __ssl__.PROTOCOL_TLS_CLIENT


# Contexts

def _setter_that_stays(prop):
    """The property *prop* of `ssl.SSLContext`, immune to patching."""
    func = prop.fset
    namespace = dict(vars(__ssl__), SSLContext=orig_SSLContext)
    return prop.setter(FunctionType(
        func.__code__, namespace, func.__name__,
        func.__defaults__, func.__closure__))


_CONTEXT_PROPERTIES = {
    name: _setter_that_stays(value)
    for name, value in vars(orig_SSLContext).items()
    if isinstance(value, property) and value.fset is not None
}


class SSLContext(orig_SSLContext):
    """As `ssl.SSLContext`; its `wrap_socket` makes a `gevent.ssl.SSLSocket`.
    """

    __slots__ = ()

    vars().update(_CONTEXT_PROPERTIES)

    # Set below, once it exists. A subclass of it may be put here.
    sslsocket_class = None

    def wrap_socket(self, sock, server_side=False,
                    do_handshake_on_connect=True,
                    suppress_ragged_eofs=True,
                    server_hostname=None, session=None):
        """Take over the stream socket *sock* and return an `SSLSocket`."""
        return self.sslsocket_class._create(
            sock=sock, server_side=server_side,
            do_handshake_on_connect=do_handshake_on_connect,
            suppress_ragged_eofs=suppress_ragged_eofs,
            server_hostname=server_hostname,
            context=self, session=session)


def _gevent_did_monkey_patch(*_args, **_kwargs):
    """Make what was made before patching work after it."""
    for name, value in _CONTEXT_PROPERTIES.items():
        setattr(orig_SSLContext, name, value)
    orig_SSLContext.sslsocket_class = SSLSocket


# Sockets

class SSLSocket(socket):
    """A TLS connection; see `ssl.SSLSocket`.

    Made by `SSLContext.wrap_socket` as a rule. With *sock*, takes over its
    descriptor. Waits honour the socket's timeout (seconds) and raise
    `TimeoutError`; a non-blocking one raises `SSLWantReadError` or
    `SSLWantWriteError`.
    """

    def __init__(self, sock=None, keyfile=None, certfile=None,
                 server_side=False, cert_reqs=CERT_NONE,
                 ssl_version=PROTOCOL_SSLv23, ca_certs=None,
                 do_handshake_on_connect=True,
                 family=__socket__.AF_INET, type=__socket__.SOCK_STREAM,
                 proto=0, fileno=None,
                 suppress_ragged_eofs=True, npn_protocols=None, ciphers=None,
                 server_hostname=None,
                 _session=None,
                 _context=None):
        self._sslobj = None
        if _context is None:
            _context = _make_context(
                keyfile, certfile, server_side, cert_reqs, ssl_version,
                ca_certs, ciphers)
            self.keyfile = keyfile
            self.certfile = certfile
            self.cert_reqs = cert_reqs
            self.ssl_version = ssl_version
            self.ca_certs = ca_certs
            self.ciphers = ciphers
        _check_arguments(sock, server_side, server_hostname, _session,
                         _context)
        self._context = _context
        self._session = _session
        self.server_side = server_side
        self.do_handshake_on_connect = do_handshake_on_connect
        self.suppress_ragged_eofs = suppress_ragged_eofs
        self._connected = False
        if sock is not None:
            timeout = sock.gettimeout()
            super().__init__(family=sock.family, type=sock.type,
                             proto=sock.proto, fileno=sock.fileno())
            self.settimeout(timeout)
            sock.detach()
        elif fileno is not None:
            super().__init__(fileno=fileno)
        else:
            super().__init__(family=family, type=type, proto=proto)
        # From here on the descriptor is this socket's to close.
        try:
            self.server_hostname = _context._encode_hostname(server_hostname)
            self._connected = self._is_connected()
            if self._connected:
                self._begin()
        except BaseException:
            self.close()
            raise

    @classmethod
    def _create(cls, sock, server_side=False, do_handshake_on_connect=True,
                suppress_ragged_eofs=True, server_hostname=None,
                context=None, session=None):
        # What ssl.SSLContext.wrap_socket calls.
        return cls(sock=sock, server_side=server_side,
                   do_handshake_on_connect=do_handshake_on_connect,
                   suppress_ragged_eofs=suppress_ragged_eofs,
                   server_hostname=server_hostname,
                   _context=context, _session=session)

    def _is_connected(self):
        try:
            self._sock.getpeername()
        except OSError as ex:
            if ex.errno not in (errno.ENOTCONN, errno.EINVAL):
                raise
            not_connected = ex.errno
        else:
            return True
        # What a peer sent and then hung up must not pass for the content
        # of a TLS connection that never was.
        try:
            data = self._sock.recv(1)
        except OSError as ex:
            if ex.errno not in (errno.ENOTCONN, errno.EINVAL,
                                errno.EAGAIN):
                raise
            return False
        if data:
            reason = "Closed before TLS handshake with data in recv buffer."
            error = SSLError(not_connected, reason)
            error.reason = reason
            error.library = None
            raise error
        return False

    def _begin(self):
        self._sslobj = self._make_sslobj()
        if self.do_handshake_on_connect:
            if self.timeout == 0.0:
                raise ValueError(
                    "do_handshake_on_connect should not be specified "
                    "for non-blocking sockets")
            self.do_handshake()

    def _make_sslobj(self):
        return self._context._wrap_socket(
            self._sock, self.server_side, self.server_hostname,
            owner=self, session=self._session)

    def _extra_repr(self):
        cipher = self.cipher() if self._sslobj is not None else None
        return f" server={self.server_side}, cipher={cipher or ''!r}"

    # Waiting

    def _run(self, operation, what, *args):
        """Call *operation* of the C object until it need not wait."""
        while True:
            try:
                return operation(*args)
            except SSLWantReadError:
                if self.timeout == 0.0:
                    raise
                event = self._read_event
            except SSLWantWriteError:
                if self.timeout == 0.0:
                    raise
                event = self._write_event
            self._wait(event, timeout_exc=TimeoutError(
                f"The {what} operation timed out"))
            if self._sslobj is None:
                raise ValueError(
                    f"{what.capitalize()} on closed or unwrapped SSL socket.")

    def _no_flags(self, flags, name):
        if flags:
            raise ValueError(
                f"non-zero flags not allowed in calls to {name}() on "
                f"{self.__class__}")

    def _refuse(self, name):
        raise ValueError(
            f"{name} not allowed on instances of {self.__class__}")

    def _wrapped(self):
        if self._sslobj is None:
            raise ValueError(f"No SSL wrapper around {self}")
        return self._sslobj

    def _check_connected(self):
        if not self._connected:
            self.getpeername()  # raises the error that tells why

    # Attributes

    @property
    def context(self):
        """The `SSLContext` in use; may be replaced by an SNI callback."""
        return self._context

    @context.setter
    def context(self, context):
        self._context = context
        self._sslobj.context = context

    @property
    def session(self):
        """The `ssl.SSLSession` of a client, or None."""
        return None if self._sslobj is None else self._sslobj.session

    @session.setter
    def session(self, session):
        self._session = session
        if self._sslobj is not None:
            self._sslobj.session = session

    @property
    def session_reused(self):
        """True if the session was reused; None before the handshake."""
        return None if self._sslobj is None else self._sslobj.session_reused

    def dup(self):
        """Not possible: `NotImplementedError`."""
        raise NotImplementedError(
            f"Can't dup() {self.__class__.__name__} instances")

    # Content

    def read(self, nbytes=2014, buffer=None):
        """Read up to *nbytes* bytes and return them, or fill *buffer* and
        return the count; nothing or 0 at the end. Raises `ValueError` when
        closed, `SSLError` for what is no TLS."""
        if self._sslobj is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        args = (nbytes,) if buffer is None else (nbytes, buffer)
        try:
            return self._run(self._sslobj.read, "read", *args)
        except SSLError as ex:
            if ex.args[0] == SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return b"" if buffer is None else 0
            raise

    def write(self, data):
        """Write some of *data*; return how many bytes. Raises `ValueError`
        when closed."""
        if self._sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        return self._run(self._sslobj.write, "write", data)

    def send(self, data, flags=0, timeout=_gsocket.timeout_default):
        """As `socket.send`; in TLS *flags* must be 0."""
        if self._sslobj is None:
            return super().send(data, flags, timeout)
        self._no_flags(flags, "send")
        return self.write(data)

    def sendall(self, data, flags=0):
        """Send all of *data*; the timeout applies to each wait."""
        if self._sslobj is None:
            return super().sendall(data, flags)
        self._no_flags(flags, "sendall")
        with memoryview(data) as view, view.cast("B") as content:
            done, size = 0, len(content)
            while done < size:
                done += self.write(content[done:])
        return None

    def sendto(self, data, flags_or_addr, addr=None):
        """As `socket.sendto`; not allowed in TLS."""
        if self._sslobj is not None:
            self._refuse("sendto")
        if addr is None:
            return super().sendto(data, flags_or_addr)
        return super().sendto(data, flags_or_addr, addr)

    def sendmsg(self, *args, **kwargs):
        """Never allowed: it would bypass TLS."""
        raise NotImplementedError(
            f"sendmsg not allowed on instances of {self.__class__}")

    def recv(self, buflen=1024, flags=0):
        """As `socket.recv`; in TLS *flags* must be 0."""
        if self._sslobj is None:
            return super().recv(buflen, flags)
        self._no_flags(flags, "recv")
        return self.read(buflen) if buflen else b""

    def recv_into(self, buffer, nbytes=None, flags=0):
        """As `socket.recv_into`; in TLS *flags* must be 0."""
        if nbytes is None:
            with memoryview(buffer) as view:
                nbytes = view.nbytes
        if self._sslobj is None:
            return super().recv_into(buffer, nbytes, flags)
        self._no_flags(flags, "recv_into")
        return self.read(nbytes, buffer)

    def recvfrom(self, buflen=1024, flags=0):
        """As `socket.recvfrom`; not allowed in TLS."""
        if self._sslobj is not None:
            self._refuse("recvfrom")
        return super().recvfrom(buflen, flags)

    def recvfrom_into(self, buffer, nbytes=None, flags=0):
        """As `socket.recvfrom_into`; not allowed in TLS."""
        if self._sslobj is not None:
            self._refuse("recvfrom_into")
        return super().recvfrom_into(buffer, nbytes or 0, flags)

    def recvmsg(self, *args, **kwargs):
        """Never allowed: it would bypass TLS."""
        raise NotImplementedError(
            f"recvmsg not allowed on instances of {self.__class__}")

    def recvmsg_into(self, *args, **kwargs):
        """Never allowed: it would bypass TLS."""
        raise NotImplementedError(
            f"recvmsg_into not allowed on instances of {self.__class__}")

    def pending(self):
        """Bytes that can be read without looking at the socket."""
        return 0 if self._sslobj is None else self._sslobj.pending()

    # State of the connection

    def do_handshake(self):
        """Perform the handshake."""
        self._check_connected()
        self._run(self._wrapped().do_handshake, "handshake")

    def shutdown(self, how):
        """Give up TLS, and shut the socket down."""
        self._sslobj = None
        super().shutdown(how)

    def unwrap(self):
        """End TLS in both directions; return the now plain socket.

        A peer that closed the connection instead has ended TLS too.
        """
        try:
            self._run(self._wrapped().shutdown, "shutdown")
        except SSLEOFError:
            pass
        except OSError as ex:
            if ex.errno != 0:  # how OpenSSL 1.1 tells the same
                raise
        self._sslobj = None
        return self

    def _real_close(self, *args, **kwargs):
        self._sslobj = None
        super()._real_close(*args, **kwargs)

    def _real_connect(self, addr, connect):
        if self.server_side:
            raise ValueError("can't connect in server-side mode")
        if self._connected or self._sslobj is not None:
            raise ValueError("attempt to connect already-connected SSLSocket!")
        self._sslobj = self._make_sslobj()
        try:
            result = connect(addr)
            if not result:
                self._connected = True
                if self.do_handshake_on_connect:
                    self.do_handshake()
            return result
        except OSError:
            self._sslobj = None
            raise

    def connect(self, addr):
        """Connect to *addr* and perform the handshake."""
        self._real_connect(addr, super().connect)

    def connect_ex(self, addr):
        """As `connect`; returns an error of connecting as its number."""
        return self._real_connect(addr, super().connect_ex)

    def accept(self):
        """Accept a connection; return an `SSLSocket` and the address."""
        conn, addr = super().accept()
        return self._context.wrap_socket(
            conn, server_side=True,
            do_handshake_on_connect=self.do_handshake_on_connect,
            suppress_ragged_eofs=self.suppress_ragged_eofs), addr

    # What is known of the peer

    def getpeercert(self, binary_form=False):
        """The peer's certificate: a dict, or DER bytes; None without one."""
        self._check_connected()
        return self._wrapped().getpeercert(binary_form)

    if hasattr(orig_SSLSocket, "get_verified_chain"):
        def get_verified_chain(self):
            """DER bytes of each certificate of the verified chain."""
            return _as_der(self._wrapped().get_verified_chain())

        def get_unverified_chain(self):
            """DER bytes of each certificate that the peer sent."""
            return _as_der(self._wrapped().get_unverified_chain())

    def selected_npn_protocol(self):
        """None: NPN is gone from OpenSSL."""
        return None

    def selected_alpn_protocol(self):
        """The protocol that ALPN agreed upon, or None."""
        if self._sslobj is None:
            return None
        return self._sslobj.selected_alpn_protocol()

    def cipher(self):
        """`(name, protocol, bits)` of the cipher in use, or None."""
        return None if self._sslobj is None else self._sslobj.cipher()

    def shared_ciphers(self):
        """The ciphers that client and server have in common, or None."""
        return None if self._sslobj is None else self._sslobj.shared_ciphers()

    def compression(self):
        """The compression in use, or None."""
        return None if self._sslobj is None else self._sslobj.compression()

    def version(self):
        """The protocol version in use, as text, or None."""
        return None if self._sslobj is None else self._sslobj.version()

    for _name in ("group", "client_sigalg", "server_sigalg"):
        if hasattr(_ssl._SSLSocket, _name):
            vars()[_name] = getattr(orig_SSLSocket, _name)
    del _name

    def get_channel_binding(self, cb_type="tls-unique"):
        """Channel binding data as bytes, or None; `ValueError` for an
        unknown type."""
        if cb_type not in __ssl__.CHANNEL_BINDING_TYPES:
            raise ValueError("Unsupported channel binding type")
        if self._sslobj is None:
            return None
        return self._sslobj.get_channel_binding(cb_type)

    def verify_client_post_handshake(self):
        """Ask a TLS 1.3 client for its certificate."""
        return self._wrapped().verify_client_post_handshake()


SSLContext.sslsocket_class = SSLSocket


def _as_der(chain):
    return [] if chain is None else [
        cert.public_bytes(_ssl.ENCODING_DER) for cert in chain]


def _check_arguments(sock, server_side, server_hostname, session, context):
    if sock is not None and sock.getsockopt(
            __socket__.SOL_SOCKET,
            __socket__.SO_TYPE) != __socket__.SOCK_STREAM:
        raise NotImplementedError("only stream sockets are supported")
    if server_side:
        if server_hostname:
            raise ValueError(
                "server_hostname can only be specified in client mode")
        if session is not None:
            raise ValueError("session can only be specified in client mode")
    if context.check_hostname and not server_hostname:
        raise ValueError("check_hostname requires server_hostname")


def _make_context(keyfile, certfile, server_side, cert_reqs, ssl_version,
                  ca_certs, ciphers):
    """A context from the arguments that `wrap_socket` takes without one."""
    if server_side and not certfile:
        raise ValueError(
            "certfile must be specified for server-side operations")
    if keyfile and not certfile:
        raise ValueError("certfile must be specified")
    if cert_reqs != CERT_NONE and not ca_certs:
        raise ValueError(
            "certificates are required from the other side of the "
            "connection, but no CA certs are given to verify them")
    context = SSLContext(ssl_version)
    context.check_hostname = False
    context.verify_mode = cert_reqs
    if ca_certs:
        context.load_verify_locations(ca_certs)
    if certfile:
        context.load_cert_chain(certfile, keyfile)
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def wrap_socket(sock, keyfile=None, certfile=None,
                server_side=False, cert_reqs=CERT_NONE,
                ssl_version=PROTOCOL_SSLv23, ca_certs=None,
                do_handshake_on_connect=True,
                suppress_ragged_eofs=True,
                ciphers=None):
    """Take over *sock*; an `SSLSocket` with a context made on the spot."""
    return SSLSocket(sock=sock, keyfile=keyfile, certfile=certfile,
                     server_side=server_side, cert_reqs=cert_reqs,
                     ssl_version=ssl_version, ca_certs=ca_certs,
                     do_handshake_on_connect=do_handshake_on_connect,
                     suppress_ragged_eofs=suppress_ragged_eofs,
                     ciphers=ciphers)


def get_server_certificate(addr, ssl_version=PROTOCOL_TLS_CLIENT,
                           ca_certs=None,
                           timeout=__socket__._GLOBAL_DEFAULT_TIMEOUT):
    """The certificate, as PEM text, of the server at *addr* (host, port).

    Verified only if *ca_certs* is given. *timeout* is in seconds.
    """
    context = SSLContext(ssl_version)
    context.check_hostname = False
    if ca_certs is None:
        context.verify_mode = CERT_NONE
    else:
        context.verify_mode = CERT_REQUIRED
        context.load_verify_locations(ca_certs)
    with _gsocket.create_connection(addr, timeout=timeout) as sock:
        with context.wrap_socket(sock, server_hostname=addr[0]) as conn:
            return __ssl__.DER_cert_to_PEM_cert(conn.getpeercert(True))
