"""The transfers that say None for "would block": the accelerator's and the
plain twin's, by the same tests."""
import _socket
import errno
import os
import subprocess
import sys

import gevent
import pytest

from libgcore import _engine, _netio

IMPLEMENTATIONS = [_netio]
if hasattr(_engine.implementation, 'sock_recv'):
    IMPLEMENTATIONS.append(_engine.implementation)


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda module: module.__name__)
def netio(request):
    return request.param


@pytest.fixture
def pair():
    one, other = _socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    yield one, other
    one.close()
    other.close()


def test_recv(netio, pair):
    assert netio.sock_recv(pair[0], 10) is None
    pair[1].send(b'abc')
    assert netio.sock_recv(pair[0], 2, _socket.MSG_PEEK) == b'ab'
    assert netio.sock_recv(pair[0], 10) == b'abc'
    pair[1].close()
    assert netio.sock_recv(pair[0], 10) == b''


@pytest.mark.parametrize('size', [16384, 16385, 100000])
def test_recv_of_more_than_there_is(netio, pair, size):
    assert netio.sock_recv(pair[0], size) is None
    pair[1].send(b'abc')
    assert netio.sock_recv(pair[0], size) == b'abc'


def test_recv_of_exactly_what_is_there(netio, pair):
    pair[1].send(b'x' * 20000)
    assert netio.sock_recv(pair[0], 20000) == b'x' * 20000


def test_recv_into(netio, pair):
    buffer = bytearray(4)
    assert netio.sock_recv_into(pair[0], buffer) is None
    pair[1].send(b'abcdef')
    assert netio.sock_recv_into(pair[0], buffer) == 4
    assert netio.sock_recv_into(pair[0], memoryview(buffer), 1) == 1
    assert buffer == b'ebcd'
    with pytest.raises(ValueError):
        netio.sock_recv_into(pair[0], buffer, 5)
    with pytest.raises(TypeError):
        netio.sock_recv_into(pair[0], b'1234')


@pytest.mark.parametrize('data', [b'abc', bytearray(b'abc'),
                                  memoryview(b'abc'), b'x' * 17000])
def test_send(netio, pair, data):
    assert netio.sock_send(pair[0], data) == len(data)
    assert pair[1].recv(20000) == bytes(data)


def test_send_until_full(netio, pair):
    sent = 0
    while True:
        count = netio.sock_send(pair[0], b'x' * 1000000)
        if count is None:
            break
        sent += count
    assert sent
    pair[1].close()
    with pytest.raises(BrokenPipeError):
        netio.sock_send(pair[0], b'x')


def datagrams(family, address=None):
    sock = _socket.socket(family, _socket.SOCK_DGRAM)
    if address is not None:
        sock.bind(address)
    sock.settimeout(30)
    return sock


AUDITED = """
import _socket, importlib, sys
netio = importlib.import_module(sys.argv[1])
sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
sys.addaudithook(lambda event, args: event == 'socket.sendto' and print(
    event, args == (sock, ('127.0.0.1', 9))))
netio.sock_sendto(sock, b'x', 0, ('127.0.0.1', 9))
"""


@pytest.mark.parametrize('family, host', [
    (_socket.AF_INET, '127.0.0.1'), (_socket.AF_INET, 'localhost'),
    (_socket.AF_INET6, '::1')])
def test_sendto(netio, family, host):
    try:
        receiver = datagrams(family, (host, 0))
    except OSError:
        pytest.skip('this machine has no %s' % host)
    sender = datagrams(family)
    port = receiver.getsockname()[1]
    assert netio.sock_sendto(sender, b'abc', 0, (host, port)) == 3
    data, source = receiver.recvfrom(10)
    assert (data, source[1]) == (b'abc', sender.getsockname()[1])
    assert netio.sock_sendto(sender, b'', 0, receiver.getsockname()) == 0


def test_sendto_until_full(netio, tmp_path):
    path = str(tmp_path / 'datagrams')
    receiver = datagrams(_socket.AF_UNIX, path)
    sender = datagrams(_socket.AF_UNIX)
    sender.setblocking(False)
    while netio.sock_sendto(sender, b'x', 0, path) is not None:
        pass
    assert receiver.recv(10) == b'x'


@pytest.mark.parametrize('address, error', [
    (('127.0.0.1', 65536), OverflowError), (('127.0.0.1', -1), OverflowError),
    (('127.0.0.1', '1'), TypeError), (('127.0.0.1\0', 1), TypeError),
    (('127.0.0.1',), TypeError), (None, TypeError), ('x', TypeError),
    (('127.0.0.1', 0), OSError)])
def test_sendto_bad_address(netio, address, error):
    sender = datagrams(_socket.AF_INET)
    with pytest.raises(error):
        netio.sock_sendto(sender, b'x', 0, address)
    with pytest.raises(TypeError):
        netio.sock_sendto(sender, 'x', 0, ('127.0.0.1', 1))
    with pytest.raises(OverflowError):
        netio.sock_sendto(sender, b'x', 1 << 40, ('127.0.0.1', 1))


def test_sendto_is_audited(netio):
    # A hook cannot be taken away again: in a process of its own.
    done = subprocess.run(
        [sys.executable, '-c', AUDITED, netio.__name__], timeout=140,
        capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('socket.sendto True\n', '')


@pytest.mark.parametrize('call, error', [
    (lambda n, s: n.sock_recv(s, -1), ValueError),
    (lambda n, s: n.sock_recv(s, 'x'), TypeError),
    (lambda n, s: n.sock_recv(s), TypeError),
    (lambda n, s: n.sock_recv(s, 1, 1 << 40), OverflowError),
    (lambda n, s: n.sock_recv(None, 1), AttributeError),
    (lambda n, s: n.sock_send(s, 'x'), TypeError),
    (lambda n, s: n.sock_send(s, None), TypeError),
    (lambda n, s: n.sock_recv_into(s, 'x'), TypeError),
    (lambda n, s: n.fd_read(99999, 1), OSError),
    (lambda n, s: n.fd_write(99999, b'x'), OSError),
    (lambda n, s: n.fd_read('x', 1), TypeError)])
def test_bad_arguments(netio, pair, call, error):
    with pytest.raises(error):
        call(netio, pair[0])


def test_closed(netio, pair):
    pair[0].close()
    for call in (lambda: netio.sock_recv(pair[0], 1),
                 lambda: netio.sock_recv_into(pair[0], bytearray(1)),
                 lambda: netio.sock_send(pair[0], b'x')):
        with pytest.raises(OSError) as it:
            call()
        assert it.value.errno == errno.EBADF


def test_what_is_no_socket_has_its_methods_called(netio):
    class Fake:
        def recv(self, *args):
            return args

        def send(self, *args):
            raise BlockingIOError

        def recv_into(self, *args):
            raise KeyError

    assert netio.sock_recv(Fake(), 5, 1) == (5, 1)
    assert netio.sock_send(Fake(), b'x', 0) is None
    with pytest.raises(KeyError):
        netio.sock_recv_into(Fake(), bytearray(1), 0, 0)


def test_does_not_block_on_a_blocking_socket(pair):
    if len(IMPLEMENTATIONS) < 2:
        pytest.skip('there is no accelerator')
    pair[0].setblocking(True)
    assert IMPLEMENTATIONS[1].sock_recv(pair[0], 1) is None


def test_pipes(netio):
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        assert netio.fd_read(reading, 10) is None
        assert netio.fd_write(writing, bytearray(b'abc')) == 3
        assert netio.fd_read(reading, 10) == b'abc'
        while netio.fd_write(writing, b'x' * 100000) is not None:
            pass
    finally:
        os.close(reading)
        os.close(writing)


class Blocked(Exception):
    pass


@pytest.fixture
def sock(netio, pair):
    class Socket(netio.SocketBase):
        asked = ()

        def _wait_readable(self, seconds):
            self.asked += (('read', seconds),)
            pair[1].send(b'late')

        def _wait_writable(self, seconds):
            self.asked += (('write', seconds),)
            raise Blocked

    made = Socket()
    made._sock = pair[0]
    made._reader = made._writer = made.timeout = made.hub = None
    return made


def fill(sock):
    with pytest.raises(Blocked):
        while True:
            sock.send(b'x' * 100000)
    sock.asked = ()


def test_a_receive_waits_by_the_method_where_there_is_no_watcher(sock):
    assert sock.recv(10) == b'late'
    assert sock.asked == (('read', None),)


def test_what_is_there_is_received_without_waiting(sock, pair):
    pair[1].send(b'abc')
    assert sock.recv(2) == b'ab'
    assert sock.recv(10, 0) == b'c'
    assert sock.asked == ()


def test_calls_that_must_not_wait_have_no_time(sock):
    fill(sock)
    for flags, timeout in ((_socket.MSG_DONTWAIT, None), (0, 0.0)):
        sock.timeout = timeout
        sock.recv(10, flags)
        with pytest.raises(Blocked):
            sock.send(b'x', flags)
    assert sock.asked == (('read', 0.0), ('write', 0.0)) * 2


def test_a_closed_watcher_is_not_waited_on(sock, pair):
    sock._reader = gevent.get_hub().loop.io(pair[0].fileno(), 1)
    sock._reader.close()
    assert sock.recv(10) == b'late'
    assert sock.asked == (('read', None),)


def test_send_takes_its_timeout_by_place_and_by_name(sock):
    fill(sock)
    sock.timeout = 5
    for call in (lambda: sock.send(b'x', 0, 3),
                 lambda: sock.send(b'x', timeout=3),
                 lambda: sock.send(b'x', flags=0, timeout=3),
                 lambda: sock.send(b'x', 0, ...),
                 lambda: sock.send(b'x')):
        with pytest.raises(Blocked):
            call()
    assert [seconds for _, seconds in sock.asked] == [3, 3, 3, 5, 5]


def test_wrong_arguments_are_type_errors(sock):
    for call in (lambda: sock.recv(), lambda: sock.recv(1, 2, 3),
                 lambda: sock.recv(1, None), lambda: sock.recv('1'),
                 lambda: sock.send(), lambda: sock.send(b'', 0, None, 1),
                 lambda: sock.send(b'', 0, flags=0), lambda: sock.send('x'),
                 lambda: sock.send(b'', color=1)):
        with pytest.raises(TypeError):
            call()


def test_an_unset_member_is_an_attribute_error(netio):
    empty = netio.SocketBase()
    with pytest.raises(AttributeError):
        empty.recv(1)
    empty.timeout = None
    with pytest.raises(AttributeError):
        empty.recv(1)
    with pytest.raises(AttributeError):
        empty.send(b'')
