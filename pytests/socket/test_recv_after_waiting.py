"""recv() of a socket on which many in a row had to wait: the accelerator then
asks the poller before the socket, or waits at once when the one before emptied
the socket a moment ago. Nobody may notice."""
import socket as stdlib_socket

import gevent
import pytest
from gevent import socket
from gevent.exceptions import ConcurrentObjectUseError

MANY = 20


@pytest.fixture
def pair():
    """Two connected sockets, each of which has waited many times."""
    here, there = socket.socketpair()

    def answer():
        for _ in range(MANY):
            there.send(there.recv(10))
    answering = gevent.spawn(answer)
    for _ in range(MANY):
        here.send(b'.')
        assert here.recv(10) == b'.'
    answering.get(timeout=30)
    yield here, there
    here.close()
    there.close()


@pytest.fixture
def others():
    """What other greenlets and callbacks do is appended here."""
    return []


def test_what_is_there_needs_no_switch(pair, others):
    here, there = pair
    there.send(b'abc')
    gevent.spawn(others.append, 'spawned')
    gevent.get_hub().loop.run_callback(others.append, 'callback')
    assert here.recv(10) == b'abc'
    assert others == []


def test_what_is_there_needs_no_switch_when_others_are_ready(pair, others):
    """The poll that says so finds another greenlet's data, too."""
    here, there = pair
    one, other = socket.socketpair()
    reader = gevent.spawn(lambda: others.append(one.recv(10)))
    gevent.sleep(0.001)  # through a poll, which from then on watches `one`
    other.send(b'first')
    there.send(b'abc')
    assert here.recv(10) == b'abc'
    assert others == []
    reader.get(timeout=30)
    assert others == [b'first']
    one.close()
    other.close()


def empty(here, there):
    """Wait for something, and receive less than was asked for."""
    gevent.spawn(there.send, b'.')
    assert here.recv(10) == b'.'


def test_what_was_sent_since_needs_no_switch(pair, others):
    here, there = pair
    for _ in range(MANY):
        empty(here, there)
        spawned = gevent.spawn(others.append, 'spawned')
        there.send(b'abc')
        assert here.recv(10) == b'abc'
        assert others == []
        spawned.kill()
        empty(here, there)


def test_what_another_greenlet_sent_needs_no_switch(pair, others):
    here, there = pair
    for _ in range(MANY):
        empty(here, there)
        gevent.spawn(there.sendall, b'abc')
        gevent.sleep(0)
        spawned = gevent.spawn(others.append, 'spawned')
        assert here.recv(10) == b'abc'
        assert others == []
        spawned.kill()


class TestJustEmptied:
    """Others are ready, and the socket answers each message: nothing can have
    come by the next recv(), which waits."""

    @pytest.fixture
    def run(self, pair):
        """A function that runs recv() of a greenlet as often as it says, the
        last of them with nothing to come, and returns the greenlet."""
        here, there = pair
        running = []

        def busy():
            while True:
                gevent.sleep(0)

        def answer(received):
            while data := here.recv(10):
                received.append(data)
                here.send(data)

        def run(received):
            running.append(gevent.spawn(busy))
            running.append(gevent.spawn(answer, received))
            for _ in range(MANY):
                there.send(b'.')
                assert there.recv(10) == b'.'
            return running[-1]
        yield run
        gevent.killall(running)

    def test_all_of_it_is_received(self, pair, run):
        received = []
        answering = run(received)
        pair[1].close()
        answering.get(timeout=30)
        assert received == MANY * [b'.']

    def test_timeout(self, pair, run):
        pair[0].settimeout(0.1)
        with pytest.raises(TimeoutError, match='timed out'):
            run([]).get(timeout=30)

    def test_closed(self, pair, run):
        answering = run([])
        pair[0].close()
        with pytest.raises(OSError):
            answering.get(timeout=30)

    def test_killed(self, pair, run):
        answering = run([])
        answering.kill()
        pair[1].send(b'abc')
        assert pair[0].recv(10) == b'abc'


def test_datagrams_that_are_there_need_no_switch(others):
    """One that is shorter than the buffer does not mean that it was the last.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def send_two():
        there.send(b'first')
        there.send(b'second')

    for _ in range(MANY):
        empty(here, there)
    gevent.spawn(send_two)
    assert here.recv(10) == b'first'
    gevent.spawn(others.append, 'spawned')
    assert here.recv(10) == b'second'
    assert others == []
    here.close()
    there.close()


def test_a_wrapped_switch_sees_only_what_gives_up(pair, others, monkeypatch):
    here, there = pair
    plain = type(gevent.get_hub()).switch

    def switch(hub):
        others.append('switch')
        return plain(hub)
    monkeypatch.setattr(type(gevent.get_hub()), 'switch', switch)
    there.send(b'abc')
    assert here.recv(10) == b'abc'
    assert others == []
    gevent.spawn_later(0, there.send, b'def')
    assert here.recv(10) == b'def'
    assert others


def test_end_of_stream(pair):
    here, there = pair
    there.close()
    assert here.recv(10) == b''


def test_error_of_the_connection():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    for _ in range(MANY):
        gevent.spawn_later(0, there.send, b'.')
        assert here.recv(10) == b'.'
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     b'\1\0\0\0\0\0\0\0')
    there.close()
    with pytest.raises(ConnectionResetError):
        here.recv(10)
    here.close()


def test_timeouts(pair):
    here, there = pair
    here.settimeout(0.01)
    with pytest.raises(TimeoutError, match='timed out'):
        here.recv(10)
    there.send(b'abc')
    assert here.recv(10) == b'abc'


def test_no_waiting(pair):
    here, _ = pair
    here.setblocking(False)
    with pytest.raises(BlockingIOError):
        here.recv(10)
    here.setblocking(True)
    with pytest.raises(BlockingIOError):
        here.recv(10, stdlib_socket.MSG_DONTWAIT)


def test_sizes(pair):
    here, there = pair
    with pytest.raises(ValueError, match='negative buffersize'):
        here.recv(-1)
    with pytest.raises(TypeError):
        here.recv('1')
    with pytest.raises(OverflowError):
        here.recv(1 << 70)
    there.send(b'abc')
    assert here.recv(0) == b''
    assert here.recv(2) == b'ab'


def test_a_second_reader_takes_what_is_there(pair, others):
    """Upstream tries first, and so gets what the parked reader has not had
    its turn for."""
    here, there = pair
    reader = gevent.spawn(lambda: others.append(here.recv(10)))
    gevent.sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        here.recv(10)
    there.send(b'abc')
    assert here.recv(10) == b'abc'
    there.send(b'def')
    reader.get(timeout=30)
    assert others == [b'def']


def test_killed_while_waiting(pair):
    here, there = pair
    reader = gevent.spawn(here.recv, 10)
    gevent.sleep(0)
    reader.kill()
    there.send(b'abc')
    assert here.recv(10) == b'abc'


def test_closed_while_waiting(pair):
    here, _ = pair
    reader = gevent.spawn(here.recv, 10)
    gevent.sleep(0)
    here.close()
    with pytest.raises(OSError):
        reader.get(timeout=30)
    with pytest.raises(OSError):
        here.recv(10)


def test_in_the_hub(pair, others):
    """A callback cannot wait, and gets what is there."""
    here, there = pair
    there.send(b'abc')
    gevent.get_hub().loop.run_callback(lambda: others.append(here.recv(10)))
    gevent.sleep(0)
    assert others == [b'abc']


def test_timers_stay_on_time_beside_a_busy_reader(pair, others):
    """A reader that always finds something looks for events itself."""
    here, there = pair
    gevent.spawn_later(0.005, others.append, 'timer')
    while not others:
        there.send(b'.')
        here.recv(1)
        gevent.sleep(0)
    assert others == ['timer']
