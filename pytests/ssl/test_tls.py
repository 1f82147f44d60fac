"""TLS sockets: content, waits, errors, and contexts under patching."""
import os
import ssl as native
import threading

import gevent
import pytest

from gevent import socket, ssl


def echo(conn, _address):
    while data := conn.recv(65536):
        conn.sendall(data)


# -- content -------------------------------------------------------------------------

def test_what_is_sent_arrives(pair):
    client, server = pair()
    assert isinstance(client, ssl.SSLSocket)
    assert isinstance(client, socket.socket)
    data = os.urandom(3_000_000)
    sending = gevent.spawn(client.sendall, data)
    received = bytearray()
    while len(received) < len(data):
        received += server.recv(100_000)
    assert received == data
    sending.get(timeout=30)


def test_both_directions_at_once(pair):
    client, server = pair()
    data = os.urandom(1_000_000)

    def receive(sock):
        received = bytearray()
        while len(received) < len(data):
            received += sock.recv(65536)
        return bytes(received)

    receivers = [gevent.spawn(receive, sock) for sock in (client, server)]
    senders = [gevent.spawn(sock.sendall, data) for sock in (client, server)]
    gevent.joinall(senders, timeout=30, raise_error=True)
    assert [r.get(timeout=30) for r in receivers] == [data, data]


def test_ways_to_receive(pair):
    client, server = pair()
    server.sendall(b"abcdefghij")
    buffer = bytearray(4)
    assert client.recv(0) == b""
    assert client.recv(1) == b"a"
    assert client.pending() == 9
    assert client.recv_into(buffer) == 4
    assert buffer == b"bcde"
    assert client.recv_into(buffer, 2) == 2
    assert buffer == b"fgde"
    assert client.read(2) == b"hi"
    assert client.read(9, buffer) == 1
    assert buffer == b"jgde"
    assert client.pending() == 0
    assert server.write(b"0123") == 4
    assert client.recv(9) == b"0123"


def test_files(pair):
    client, server = pair()
    with server.makefile("w") as out, client.makefile("r") as file:
        out.write("one\ntwo\n")
        out.flush()
        assert file.readline() == "one\n"
        assert file.readline() == "two\n"


def test_memoryviews_and_arrays(pair):
    from array import array
    client, server = pair()
    numbers = array("i", range(1000))
    client.sendall(numbers)
    client.sendall(memoryview(b"abc")[1:])
    received = bytearray()
    while len(received) < 4002:
        received += server.recv(5000)
    assert received == numbers.tobytes() + b"bc"


def test_the_end(pair):
    client, server = pair()
    server.close()
    assert client.recv(1) == b""
    client, server = pair(suppress_ragged_eofs=False)
    server.close()
    # Older interpreters have OpenSSL ignore it in each context.
    if client.context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0):
        assert client.recv(1) == b""
    else:
        with pytest.raises(ssl.SSLError):
            client.recv(1)


def test_unwrap_both_ends(pair):
    client, server = pair()
    unwrapping = gevent.spawn(server.unwrap)
    assert client.unwrap() is client
    assert unwrapping.get(timeout=30) is server
    client.sendall(b"plain")
    assert server.recv(9) == b"plain"
    assert client.cipher() is None
    for use in (client.unwrap, client.do_handshake, client.getpeercert):
        with pytest.raises(ValueError):
            use()
    with pytest.raises(ValueError):
        client.read(1)


def test_unwrap_when_the_peer_closes_instead(pair):
    client, server = pair()
    server.shutdown(socket.SHUT_WR)
    assert client.unwrap() is client
    assert client.cipher() is None


# -- waits ---------------------------------------------------------------------------

def test_others_run_meanwhile(pair):
    client, server = pair()
    waiting = gevent.spawn(client.recv, 1)
    gevent.sleep(0)
    assert not waiting.ready()
    server.sendall(b"x")
    assert waiting.get(timeout=30) == b"x"


def test_timeouts(pair):
    client, server = pair()
    client.settimeout(0.02)
    with pytest.raises(TimeoutError, match="read"):
        client.recv(1)
    with pytest.raises(TimeoutError, match="write"):
        while True:
            client.sendall(bytes(100_000))
    silent, other = socket.socketpair()
    silent.settimeout(0.02)
    context = ssl.SSLContext(native.PROTOCOL_TLS_CLIENT)
    with other, pytest.raises(TimeoutError, match="handshake"):
        context.wrap_socket(silent, server_hostname="localhost")


def test_non_blocking(pair):
    client, server = pair()
    client.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        client.recv(1)
    with pytest.raises(ssl.SSLWantWriteError):
        while True:
            client.send(bytes(100_000))


def test_a_handshake_refused_without_blocking(client_context):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        with pytest.raises(ValueError):
            client_context.wrap_socket(ours, server_hostname="localhost")


def test_a_killed_reader_loses_nothing(pair):
    client, server = pair()
    got = []
    for number in range(50):
        reading = gevent.spawn(lambda: got.append(client.recv(100)))
        gevent.sleep(0)
        server.sendall(b"%d," % number)
        reading.kill()
    server.close()
    while data := client.recv(100):
        got.append(data)
    assert b"".join(got) == b"".join(b"%d," % n for n in range(50))


def test_closed_while_another_waits(pair):
    client, _server = pair()

    def read():
        try:
            return client.recv(1)
        except OSError as ex:
            return ex

    reading = gevent.spawn(read)
    gevent.sleep(0)
    client.close()
    assert isinstance(reading.get(timeout=30), OSError)


def test_a_silent_client_holds_nobody_up(serve, client_context):
    server = serve(echo)
    address = ("127.0.0.1", server.server_port)
    with socket.create_connection(address):
        with client_context.wrap_socket(
                socket.create_connection(address, timeout=30),
                server_hostname="localhost") as client:
            client.sendall(b"x")
            assert client.recv(9) == b"x"


# -- what is refused ------------------------------------------------------------------

def test_calls_that_would_bypass_tls(pair):
    client, _server = pair()
    for use in (lambda: client.recvfrom(1), lambda: client.sendto(b"x", 0),
                lambda: client.recvfrom_into(bytearray(1)),
                lambda: client.recv(1, socket.MSG_PEEK),
                lambda: client.send(b"x", 1), lambda: client.sendall(b"x", 1),
                lambda: client.recv_into(bytearray(1), 1, 1)):
        with pytest.raises(ValueError):
            use()
    for use in (lambda: client.recvmsg(1), lambda: client.sendmsg([b"x"]),
                lambda: client.recvmsg_into([bytearray(1)]), client.dup):
        with pytest.raises(NotImplementedError):
            use()
    with pytest.raises(ValueError):
        client.connect(("127.0.0.1", 1))


def test_bad_arguments(client_context, server_context):
    with socket.socket() as sock:
        for context, arguments in (
                (client_context, {}),
                (server_context, {"server_side": True,
                                  "server_hostname": "localhost"})):
            with pytest.raises(ValueError):
                context.wrap_socket(sock, **arguments)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(NotImplementedError):
            client_context.wrap_socket(sock, server_hostname="localhost")
    with socket.socket() as sock:
        for arguments in ({"server_side": True}, {"keyfile": "x"},
                          {"cert_reqs": ssl.CERT_REQUIRED}):
            with pytest.raises(ValueError):
                ssl.wrap_socket(sock, **arguments)


def test_plain_text_before_the_handshake_is_no_content(server_context):
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    conn, _ = listener.accept()
    client.sendall(b"stolen")
    # A reset: the connection is gone, and the bytes are still there.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      b"\1\0\0\0\0\0\0\0")
    client.close()
    gevent.sleep(0.05)
    with listener, pytest.raises(OSError):
        server_context.wrap_socket(conn, server_side=True).recv(9)
    conn.close()


def test_an_untrusted_server(serve):
    server = serve(echo)
    context = ssl.SSLContext(native.PROTOCOL_TLS_CLIENT)
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", server.server_port))
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(sock, server_hostname="localhost")


def test_socket_that_cannot_be_wrapped_is_closed(client_context):
    plain = socket.socket()
    descriptor = plain.fileno()
    with pytest.raises(UnicodeError) as raised:
        client_context.wrap_socket(plain, server_hostname=".label.empty")
    # Not only when the traceback is gone.
    with pytest.raises(OSError):
        os.fstat(descriptor)
    assert plain.fileno() == -1 and raised.value


# -- connecting ----------------------------------------------------------------------

def test_wrapped_before_connecting(serve, client_context):
    server = serve(echo)
    address = ("127.0.0.1", server.server_port)
    with client_context.wrap_socket(socket.socket(),
                                    server_hostname="localhost") as client:
        assert client.version() is None
        client.connect(address)
        client.sendall(b"x")
        assert client.recv(9) == b"x"
    with client_context.wrap_socket(socket.socket(),
                                    server_hostname="localhost") as client:
        assert client.connect_ex(address) == 0
        assert client.getpeercert()["subject"]
        assert client.getpeercert(True)


def test_accept(server_context, client_context):
    listener = server_context.wrap_socket(
        socket.create_server(("127.0.0.1", 0)), server_side=True)
    accepting = gevent.spawn(listener.accept)
    client = client_context.wrap_socket(
        socket.create_connection(listener.getsockname()),
        server_hostname="localhost")
    conn, address = accepting.get(timeout=30)
    assert address == client.getsockname()
    client.sendall(b"x")
    assert conn.recv(9) == b"x"
    for sock in (conn, client, listener):
        sock.close()


def test_without_a_context(pem):
    ours, theirs = socket.socketpair()
    accepting = gevent.spawn(ssl.wrap_socket, theirs, certfile=pem,
                             server_side=True)
    client = ssl.SSLSocket(ours)
    server = accepting.get(timeout=30)
    assert server.certfile == pem
    client.sendall(b"x")
    assert server.recv(9) == b"x"
    client.close()
    server.close()


def test_a_native_socket_is_taken_over(serve, client_context):
    import socket as plain
    server = serve(echo)
    sock = plain.create_connection(("127.0.0.1", server.server_port))
    with client_context.wrap_socket(
            sock, server_hostname="localhost") as client:
        assert sock.fileno() == -1
        client.sendall(b"x")
        assert client.recv(9) == b"x"


def test_get_server_certificate(serve, pem):
    server = serve(echo)
    for ca_certs in (None, pem):
        assert ssl.get_server_certificate(
            ("localhost", server.server_port), ca_certs=ca_certs
        ).strip() in open(pem).read()


def test_in_another_thread(serve, client_context):
    server = serve(echo)
    got = []

    def talk():
        with client_context.wrap_socket(
                socket.create_connection(("127.0.0.1", server.server_port)),
                server_hostname="localhost") as client:
            client.sendall(b"x")
            got.append(client.recv(9))
        gevent.get_hub().destroy()

    thread = threading.Thread(target=talk)
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.01)
    assert got == [b"x"]


# -- what is known -------------------------------------------------------------------

def test_alpn_ciphers_versions(pair, server_context, client_context):
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    client_context.set_alpn_protocols(["http/1.1"])
    client, server = pair()
    assert client.selected_alpn_protocol() == "http/1.1"
    assert server.selected_alpn_protocol() == "http/1.1"
    assert client.selected_npn_protocol() is None
    assert client.version() == server.version()
    assert client.cipher() == server.cipher()
    assert client.compression() is None
    assert server.shared_ciphers()
    assert client.context is client_context
    assert client.server_hostname == "localhost"
    assert server.server_side and not client.server_side
    with pytest.raises(ValueError):
        client.get_channel_binding("unknown")
    assert "cipher=" in repr(client)


def test_sessions(pair, server_context, client_context):
    for context in (server_context, client_context):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    client, _server = pair()
    assert client.session_reused is False
    again, _server = pair(session=client.session)
    assert again.session_reused is True


def test_callbacks_get_the_socket(pair, server_context, pem):
    other = ssl.SSLContext(native.PROTOCOL_TLS_SERVER)
    other.load_cert_chain(pem)
    seen = []

    def choose(sock, name, context):
        seen.append((sock, name, context))
        sock.context = other

    server_context.sni_callback = choose
    client, server = pair()
    assert seen == [(server, "localhost", server_context)]
    assert server.context is other
    messages = []
    server_context.sni_callback = None
    server_context._msg_callback = lambda *args: messages.append(args)
    _client, server = pair()
    assert messages[0][0] is server


# -- under patching ------------------------------------------------------------------

def test_setters():
    context = ssl.SSLContext(native.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    for name, value in (
            ("options", ssl.OP_NO_TLSv1_3),
            ("verify_flags", ssl.VERIFY_X509_STRICT),
            ("verify_mode", ssl.CERT_NONE),
            ("minimum_version", ssl.TLSVersion.TLSv1_2),
            ("maximum_version", ssl.TLSVersion.TLSv1_2)):
        setattr(context, name, value)
        assert getattr(context, name) & value == value


LATE = """
    import socket, ssl, sys
    from ssl import SSLContext, create_default_context

    class Early(SSLContext):
        pass

    pem = sys.argv[1]
    early = [SSLContext(ssl.PROTOCOL_TLS_CLIENT), create_default_context(),
             Early(ssl.PROTOCOL_TLS_CLIENT)]
    import warnings; warnings.simplefilter('ignore')
    from gevent import monkey; monkey.patch_all()
    import gevent.ssl, gevent.server

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pem)
    server = gevent.server.StreamServer(
        ('127.0.0.1', 0), lambda conn, _: conn.sendall(conn.recv(9)),
        ssl_context=serving)
    server.start()
    late = [SSLContext(ssl.PROTOCOL_TLS_CLIENT), create_default_context(),
            Early(ssl.PROTOCOL_TLS_CLIENT), ssl.create_default_context()]
    for context in early + late:
        context.options |= ssl.OP_NO_TLSv1_3
        context.verify_flags |= ssl.VERIFY_X509_TRUSTED_FIRST
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        context.verify_mode = ssl.CERT_REQUIRED
        context._msg_callback = lambda *args: None
        context.load_verify_locations(pem)
        sock = socket.create_connection(('127.0.0.1', server.server_port))
        with context.wrap_socket(sock, server_hostname='localhost') as conn:
            assert isinstance(conn, gevent.ssl.SSLSocket)
            conn.sendall(b'x')
            assert conn.recv(9) == b'x'
    print('ok', len(early + late))
"""


def test_contexts_made_before_patching_work(run_program, pem):
    assert run_program(LATE, pem).stdout == "ok 7\n"


def test_names():
    for name in vars(native):
        if not name.startswith("__"):
            assert hasattr(ssl, name), name
    import gevent._ssl3
    assert gevent._ssl3.SSLSocket is ssl.SSLSocket


@pytest.mark.skipif(not hasattr(native.SSLSocket, "get_verified_chain"),
                    reason="the interpreter's ssl has none")
def test_chains(pair, pem):
    client, _server = pair()
    expected = [native.PEM_cert_to_DER_cert(
        open(pem).read().partition("-----BEGIN CERT")[2].join(
            ["-----BEGIN CERT", ""]))]
    assert client.get_verified_chain() == expected
    assert client.get_unverified_chain() == expected
