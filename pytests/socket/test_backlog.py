"""Connecting to listeners whose backlog is full."""
import errno

import gevent
import pytest

from gevent import _backlog, socket
from libgcore import _engine

NEEDS_THE_ACCELERATOR = pytest.mark.skipif(
    not _engine.ACCELERATED,
    reason='the plain twin leaves dropped requests to the kernel')


class Full:
    """A listener that has accepted nothing, with a backlog of one."""

    def __init__(self, family, address):
        self.socket = socket.socket(family)
        self.socket.bind(address)
        self.socket.listen(1)
        self.family, self.address = family, self.socket.getsockname()
        self.inside = []
        while not self.is_full():
            pass

    def is_full(self):
        client = self.client()
        client.setblocking(False)
        result = client.connect_ex(self.address)
        if result == errno.EWOULDBLOCK or (
                _backlog.tcp_state(client._sock) == _backlog.NO_ANSWER):
            client.close()
            return True
        self.inside.append(client)
        return False

    def client(self):
        return socket.socket(self.family)

    def accept_all(self, count):
        """Accept those who were there at first and then so many; each of these
        is told its place."""
        for _ in self.inside:
            self.socket.accept()[0].close()
        for place in range(count):
            peer = self.socket.accept()[0]
            peer.sendall(b'%d' % place)
            peer.close()

    def close(self):
        for sock in (self.socket, *self.inside):
            sock.close()


@pytest.fixture(params=['unix', pytest.param('tcp',
                                             marks=NEEDS_THE_ACCELERATOR)])
def full(request, tmp_path):
    if request.param == 'unix':
        listener = Full(socket.AF_UNIX, str(tmp_path / 'listener'))
    else:
        listener = Full(socket.AF_INET, ('127.0.0.1', 0))
    yield listener
    assert waiting(listener) == 0
    listener.close()


def waiting(listener):
    """How many stand in the line for *listener*, the first one included."""
    line = _backlog._lines.get((gevent.get_hub(), repr(listener.address)))
    return 0 if line is None else line.locked() + line.linkcount()


def place_of(listener):
    with listener.client() as client:
        client.connect(listener.address)
        return int(client.recv(10))


def test_first_come_first_served(full, wait_until):
    clients = []
    for number in range(20):
        clients.append(gevent.spawn(place_of, full))
        wait_until(lambda: waiting(full) == number + 1)
    full.accept_all(len(clients))
    assert [client.get() for client in clients] == list(range(20))


def test_only_the_first_tries(full, wait_until, monkeypatch):
    clients = [gevent.spawn(place_of, full) for _ in range(20)]
    wait_until(lambda: waiting(full) == 20)
    tries = []
    one_try = socket.socket._connect_if_there_is_room

    def counted(self, *args):
        tries.append(self)
        return one_try(self, *args)

    monkeypatch.setattr(socket.socket, '_connect_if_there_is_room', counted)
    wait_until(lambda: len(tries) >= 5)
    assert len(set(map(id, tries))) == 1
    full.accept_all(20)
    gevent.joinall(clients, raise_error=True)


def test_timeout(full, wait_until):
    def connect(seconds):
        with full.client() as client:
            client.settimeout(seconds)
            with pytest.raises(socket.timeout):
                client.connect(full.address)
            assert client.connect_ex(full.address) == errno.EAGAIN

    first = gevent.spawn(place_of, full)
    wait_until(lambda: waiting(full) == 1)
    second = gevent.spawn(connect, 0.01)
    second.get()
    assert waiting(full) == 1
    full.accept_all(1)
    assert first.get() == 0


def test_timeout_of_the_first(full):
    with full.client() as client:
        client.settimeout(0.01)
        with pytest.raises(socket.timeout):
            client.connect(full.address)
    assert waiting(full) == 0


def test_an_end_that_means_more_than_a_pause(full):
    """What is raised into the wait is not taken for the end of a pause."""
    with full.client() as client:
        with pytest.raises(socket.timeout, match='mine'):
            with gevent.Timeout(0.01, socket.timeout('mine')):
                client.connect(full.address)


@pytest.mark.parametrize('place', [0, 1])
def test_kill(full, wait_until, place):
    clients = []
    for number in range(3):
        clients.append(gevent.spawn(place_of, full))
        wait_until(lambda: waiting(full) == number + 1)
    clients.pop(place).kill()
    full.accept_all(2)
    assert [client.get() for client in clients] == [0, 1]


def test_the_listener_closes(full, wait_until):
    clients = [gevent.spawn(place_of, full) for _ in range(5)]
    wait_until(lambda: waiting(full) == 5)
    full.socket.close()
    gevent.joinall(clients)
    assert all(isinstance(client.exception, ConnectionRefusedError)
               for client in clients)


def test_a_socket_closes(full, wait_until):
    client = full.client()
    connecting = gevent.spawn(client.connect_ex, full.address)
    wait_until(lambda: waiting(full) == 1)
    client.close()
    assert connecting.get() == errno.EBADF


@pytest.fixture
def full_tcp():
    listener = Full(socket.AF_INET, ('127.0.0.1', 0))
    yield listener
    listener.close()


@NEEDS_THE_ACCELERATOR
def test_patience(full_tcp, monkeypatch):
    full = full_tcp
    monkeypatch.setattr(_backlog, '_TCP_PATIENCE', 0.02)

    def connect():
        with full.client() as client:
            return client.connect_ex(full.address)

    clients = [gevent.spawn(connect) for _ in range(3)]
    assert [client.get() for client in clients] == [errno.ETIMEDOUT] * 3
    assert waiting(full) == 0


@NEEDS_THE_ACCELERATOR
def test_options_stay(full_tcp, wait_until):
    with full_tcp.client() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connecting = gevent.spawn(client.connect, full_tcp.address)
        wait_until(lambda: waiting(full_tcp) == 1)
        full_tcp.accept_all(1)
        connecting.get()
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert client.recv(10) == b'0'


def test_a_bound_socket_keeps_its_port(full_tcp):
    """It would lose it with its request, so that is left to the kernel."""
    with full_tcp.client() as client:
        client.bind(('127.0.0.1', 0))
        name = client.getsockname()
        client.settimeout(0.02)
        with pytest.raises(socket.timeout):
            client.connect(full_tcp.address)
        assert client.getsockname() == name
