"""select, poll and selectors, cooperative."""
import errno
import os
import resource
import select as standard
import selectors as standard_selectors

import gevent
import pytest

from gevent import select, selectors, socket


@pytest.fixture
def high_descriptor():
    """A pipe's reading end above what select can take, and its writing end."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 2000:
        pytest.skip('too few descriptors are allowed')
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, limits[1]))
    reading, writing = os.pipe()
    os.dup2(reading, 1500)
    yield 1500, writing
    for fd in (reading, writing, 1500):
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def ran_meanwhile(call):
    """Whether another greenlet ran during *call*."""
    ran = []
    gevent.spawn(ran.append, 1)
    call()
    return bool(ran)


class TestSelect:

    def test_what_is_ready_is_told_after_others_ran(self, pair):
        # A loop around it, as asyncore has it, would starve them.
        assert ran_meanwhile(
            lambda: select.select([], [pair[0]], [], 10))
        pair[0].send(b'x')
        assert select.select([pair[1], pair[0].fileno()],
                             [pair[1]], []) == ([pair[1]], [pair[1]], [])

    def test_waits(self, pair):
        gevent.spawn(pair[0].send, b'x')
        assert select.select([pair[1], pair[1].fileno()], [], []) == (
            [pair[1], pair[1].fileno()], [], [])

    def test_waits_for_room(self, pair):
        pair[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                pair[0].send(b'x' * 100000)

        def empty():
            pair[1].setblocking(False)
            with pytest.raises(BlockingIOError):
                while True:
                    pair[1].recv(100000)

        gevent.spawn(empty)
        assert select.select([], [pair[0]], []) == ([], [pair[0]], [])

    def test_time_out(self, pair):
        assert select.select([pair[0]], [], [pair[0]], 0.01) == ([], [], [])
        assert select.select([], [], [], 0.01) == ([], [], [])

    def test_asking_again_and_again_lets_others_run(self, pair):
        assert ran_meanwhile(lambda: select.select([pair[0]], [], [], 0))

    @pytest.mark.parametrize('arguments, error', [
        (([-1], [], [], 1), ValueError), (([object()], [], []), TypeError),
        ((['x'], [], []), TypeError), ((5, [], []), TypeError),
        (([], [], [], -1), ValueError), (([], [], [], 'x'), TypeError)])
    def test_bad_arguments(self, arguments, error):
        with pytest.raises(error):
            select.select(*arguments)

    def test_iterators(self, pair):
        assert select.select(iter(()), iter([pair[0]]), ()) == (
            [], [pair[0]], [])

    def test_the_end_of_a_stream_is_readable(self, pair):
        gevent.spawn(pair[0].close)
        assert select.select([pair[1]], [], [])[0] == [pair[1]]

    def test_closed_while_waiting(self, pair):
        fd = os.dup(pair[0].fileno())
        from gevent.os import close
        gevent.spawn(close, fd)
        assert select.select([fd], [], [])[0] == [fd]

    def test_descriptors_of_any_size(self, high_descriptor):
        reading, writing = high_descriptor
        gevent.spawn(os.write, writing, b'x')
        assert select.select([reading], [], [])[0] == [reading]

    def test_killed(self, pair):
        greenlet = gevent.spawn(select.select, [pair[0]], [], [])
        gevent.sleep(0)
        greenlet.kill()
        assert greenlet.ready()


class TestPoll:

    def test_answers_as_the_kernel_does(self, pair):
        poll, real = select.poll(), standard.poll()
        pair[1].send(b'x')
        for fd in pair:
            poll.register(fd)
            real.register(fd)
        assert poll.poll() == real.poll()
        poll.unregister(pair[1])
        pair[1].close()
        poll.register(pair[0], select.POLLIN)
        assert poll.poll(0)[0][1] & select.POLLHUP

    def test_waits(self, pair):
        poll = select.poll()
        poll.register(pair[0], select.POLLIN)
        for timeout in (None, -1, 60000):
            gevent.spawn(pair[1].send, b'x')
            assert poll.poll(timeout) == [(pair[0].fileno(), select.POLLIN)]
            pair[0].recv(1)

    def test_time_out(self, pair):
        poll = select.poll()
        poll.register(pair[0], select.POLLIN)
        assert poll.poll(10.5) == []
        assert ran_meanwhile(lambda: poll.poll(0))

    def test_modify(self, pair):
        poll = select.poll()
        poll.register(pair[0], select.POLLIN | select.POLLOUT)
        assert poll.poll()
        poll.modify(pair[0], select.POLLIN)
        assert not poll.poll(0)
        with pytest.raises(OSError) as it:
            poll.modify(pair[1], select.POLLIN)
        assert it.value.errno == errno.ENOENT

    def test_unregister(self, pair):
        poll = select.poll()
        with pytest.raises(KeyError):
            poll.unregister(pair[0])
        poll.register(pair[0])
        poll.unregister(pair[0])
        assert not poll.poll(0)

    def test_not_open(self):
        poll = select.poll()
        poll.register(9999, select.POLLIN)
        assert poll.poll() == [(9999, select.POLLNVAL)]

    def test_closed_while_waiting(self, pair):
        from gevent.os import close
        fd = os.dup(pair[0].fileno())
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        gevent.spawn(close, fd)
        (ready, events), = poll.poll()
        assert ready == fd
        assert events & (select.POLLNVAL | select.POLLIN)

    @pytest.mark.parametrize('fd, error', [('x', TypeError), (-1, ValueError)])
    def test_bad_descriptors(self, fd, error):
        with pytest.raises(error):
            select.poll().register(fd)


    def test_one_greenlet_at_a_time(self, pair):
        poll = select.poll()
        poll.register(pair[0], select.POLLIN)
        waiting = gevent.spawn(poll.poll, 20000)
        gevent.sleep(0)
        with pytest.raises(RuntimeError, match='concurrent poll'):
            poll.poll(0)
        pair[1].send(b'x')
        assert waiting.get() == [(pair[0].fileno(), select.POLLIN)]
        assert poll.poll(0)


@pytest.mark.skipif(not hasattr(standard, 'epoll'), reason='no epoll here')
class TestEpoll:

    def test_answers_as_the_kernel_does(self, pair):
        with select.epoll() as epoll, standard.epoll() as real:
            pair[1].send(b'x')
            for fd in pair:
                epoll.register(fd)
                real.register(fd)
            assert sorted(epoll.poll()) == sorted(real.poll())
            for fd in pair:
                epoll.modify(fd, select.EPOLLIN)
            assert epoll.poll(maxevents=1) == [
                (pair[0].fileno(), select.EPOLLIN)]
            epoll.unregister(pair[0])
            assert epoll.poll(0) == []
        assert epoll.closed

    @pytest.mark.parametrize('timeout', [None, -1, 60])
    def test_waits(self, pair, timeout):
        with select.epoll() as epoll:
            epoll.register(pair[0], select.EPOLLIN)
            gevent.spawn(pair[1].send, b'x')
            assert epoll.poll(timeout) == [
                (pair[0].fileno(), select.EPOLLIN)]

    def test_time_out(self, pair):
        with select.epoll() as epoll:
            epoll.register(pair[0], select.EPOLLIN)
            assert epoll.poll(0.01) == []
            assert ran_meanwhile(lambda: epoll.poll(0))

    def test_an_edge_is_told_once(self, pair):
        with select.epoll() as epoll:
            epoll.register(pair[0], select.EPOLLIN | select.EPOLLET)
            pair[1].send(b'x')
            assert epoll.poll(20)
            assert not epoll.poll(0)
            gevent.spawn(pair[1].send, b'x')
            assert epoll.poll(20)

    def test_several_greenlets_wait(self, pair):
        with select.epoll() as epoll:
            epoll.register(pair[0], select.EPOLLIN | select.EPOLLONESHOT)
            waiting = [gevent.spawn(epoll.poll, 20) for _ in range(3)]
            for count in range(1, 4):
                gevent.sleep(0)
                pair[1].send(b'x')
                gevent.wait(waiting, count=count, timeout=20)
                assert sum(map(len, (greenlet.get() for greenlet in waiting
                                     if greenlet.ready()))) == count
                epoll.modify(pair[0], select.EPOLLIN | select.EPOLLONESHOT)
                pair[0].recv(1)

    def test_closed_while_waiting(self, pair):
        epoll = select.epoll()
        epoll.register(pair[0], select.EPOLLIN)
        waiting = gevent.spawn(epoll.poll)
        gevent.sleep(0)
        epoll.close()
        epoll.close()
        with pytest.raises(OSError) as it:
            waiting.get()
        assert it.value.errno == errno.EBADF
        with pytest.raises(ValueError):
            epoll.poll()
        with pytest.raises(ValueError), epoll:
            pass

    def test_of_a_descriptor(self, pair):
        with standard.epoll() as real:
            real.register(pair[0], select.EPOLLIN)
            epoll = select.epoll.fromfd(os.dup(real.fileno()))
            gevent.spawn(pair[1].send, b'x')
            assert epoll.poll(20)
            epoll.close()

    def test_the_standard_selector_on_it(self, pair):
        class Selector(standard_selectors.EpollSelector):
            _selector_cls = select.epoll
        with Selector() as selector:
            key = selector.register(pair[0], standard_selectors.EVENT_READ)
            gevent.spawn(pair[1].send, b'x')
            assert selector.select() == [(key, standard_selectors.EVENT_READ)]

    def test_bad_arguments(self):
        with pytest.raises(TypeError):
            select.epoll(flags='x')
        with select.epoll() as epoll:
            for count in (0, -2):
                with pytest.raises(ValueError):
                    epoll.poll(0, count)


class TestSelector:

    @pytest.fixture(params=['epoll', 'poll'])
    def selector(self, request, monkeypatch):
        if request.param == 'poll':
            monkeypatch.setattr(selectors, '_HAS_EPOLL', False)
        with selectors.DefaultSelector() as selector:
            yield selector

    def test_is_one_of_the_standard_kind(self, selector):
        assert isinstance(selector, standard_selectors.BaseSelector)

    def test_waits(self, selector, pair):
        key = selector.register(pair[0], selectors.EVENT_READ, 'data')
        for timeout in (None, 60):
            gevent.spawn(pair[1].send, b'x')
            assert selector.select(timeout) == [(key, selectors.EVENT_READ)]
            assert selector.select(timeout) == [(key, selectors.EVENT_READ)]
            pair[0].recv(1)
            assert selector.select(0) == []
        assert key.data == 'data'

    def test_both_directions(self, selector, pair):
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        key = selector.register(pair[0], both)
        assert selector.select() == [(key, selectors.EVENT_WRITE)]
        pair[1].send(b'x')
        assert selector.select() == [(key, both)]
        key = selector.modify(pair[0], selectors.EVENT_READ, 1)
        assert selector.select() == [(key, selectors.EVENT_READ)]

    def test_time_out(self, selector, pair):
        selector.register(pair[0], selectors.EVENT_READ)
        for timeout in (0, -1, 0.01):
            assert selector.select(timeout) == []
        assert ran_meanwhile(lambda: selector.select(0))

    def test_of_nothing(self, selector):
        assert selector.select(0.01) == []

    def test_many(self, selector):
        pairs = [socket.socketpair() for _ in range(100)]
        for one, other in pairs:
            selector.register(one, selectors.EVENT_READ)
        for one, other in pairs[::2]:
            other.send(b'x')
        ready = [key.fileobj for key, _ in selector.select()]
        assert set(ready) == {one for one, _ in pairs[::2]}
        for each in pairs:
            for sock in each:
                sock.close()

    def test_registering_while_another_greenlet_waits(self, pair):
        with selectors.DefaultSelector() as selector:
            greenlet = gevent.spawn(selector.select)
            gevent.sleep(0)
            key = selector.register(pair[0], selectors.EVENT_WRITE)
            assert greenlet.get() == [(key, selectors.EVENT_WRITE)]

    def test_two_that_wait(self, selector, pair):
        selector.register(pair[0], selectors.EVENT_READ)
        greenlets = [gevent.spawn(selector.select) for _ in range(2)]
        gevent.sleep(0)
        pair[1].send(b'x')
        for greenlet in greenlets:
            assert len(greenlet.get()) == 1

    def test_files_are_always_ready(self, tmp_path, pair):
        path = tmp_path / 'file'
        path.write_bytes(b'')
        with selectors.DefaultSelector() as selector, path.open() as file:
            key = selector.register(file, selectors.EVENT_READ)
            selector.register(pair[0], selectors.EVENT_READ)
            assert selector.select() == [(key, selectors.EVENT_READ)]
            selector.unregister(file)
            assert selector.select(0) == []

    def test_closed_files_can_be_unregistered(self, selector):
        one, other = socket.socketpair()
        selector.register(one, selectors.EVENT_READ)
        one.close()
        selector.unregister(one)
        other.close()
        assert selector.select(0) == []

    @pytest.mark.parametrize('fileobj, events, error', [
        (-1, 1, ValueError), ('x', 1, ValueError), (0, 0, ValueError),
        (0, 8, ValueError), (9999, 1, OSError)])
    def test_bad_arguments(self, fileobj, events, error):
        with selectors.DefaultSelector() as selector:
            with pytest.raises(error):
                selector.register(fileobj, events)
            assert not selector.get_map()

    def test_closed(self, pair):
        selector = selectors.DefaultSelector()
        selector.register(pair[0], selectors.EVENT_READ)
        selector.close()
        selector.close()
        assert selector.get_map() is None
        with pytest.raises(Exception):
            selector.select(0)

    def test_closed_while_waiting(self, pair, errors):
        selector = selectors.DefaultSelector()
        selector.register(pair[0], selectors.EVENT_READ)
        greenlet = gevent.spawn(selector.select)
        gevent.sleep(0)
        selector.close()
        with pytest.raises(OSError):
            greenlet.get()

    def test_killed(self, selector, pair):
        selector.register(pair[0], selectors.EVENT_READ)
        greenlet = gevent.spawn(selector.select)
        gevent.sleep(0)
        greenlet.kill()
        pair[1].send(b'x')
        assert selector.select()


def test_names():
    for name in dir(standard):
        assert hasattr(select, name), name
    for name in dir(standard_selectors):
        assert hasattr(selectors, name), name
    assert select.error is OSError
    assert selectors.DefaultSelector is selectors.GeventSelector
