"""The cooperative socket, on real sockets."""
import errno
import gc
import io
import os
import pickle
import resource
import socket as stdlib_socket
import struct
import threading
import time
import weakref
from concurrent.futures import Future

import gevent
import pytest

from gevent import _socketcommon, socket
from gevent.exceptions import ConcurrentObjectUseError

BIG = b'0123456789abcdef' * (1 << 16)  # more than any socket buffer here


def no_hub():
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize('make', [
    lambda own: socket.socketpair(),
    lambda own: socket.fromfd(own.fileno(), own.family, own.type),
    lambda own: own.dup(),
])
def test_a_thread_that_gets_no_hub_gets_no_descriptor(make, monkeypatch):
    with socket.socket() as own, monkeypatch.context() as patch:
        before = set(os.listdir('/proc/self/fd'))
        patch.setattr('gevent._socket3.get_hub', no_hub)
        with pytest.raises(OSError):
            make(own)
        assert set(os.listdir('/proc/self/fd')) == before


def receive_all(sock, into):
    while True:
        data = sock.recv(1 << 16)
        if not data:
            return
        into.append(data)


def in_native_thread(function, *args):
    """What *function* returns or raises in a thread of its own, whose hub ends
    with it; other greenlets run meanwhile."""
    result = Future()

    def run():
        try:
            value = function(*args)
        except Exception as ex:
            gevent.get_hub().destroy()
            result.set_exception(ex)
        else:
            gevent.get_hub().destroy()
            result.set_result(value)

    thread = threading.Thread(target=run)
    thread.start()
    while not result.done():
        gevent.sleep(0.001)
    thread.join()
    return result.result()


def fill(sock):
    """Send until the kernel takes no more; what was sent."""
    sent = 0
    sock.setblocking(False)
    try:
        while True:
            sent += sock.send(BIG)
    except BlockingIOError:
        return sent
    finally:
        sock.setblocking(True)


class TestNames:

    def test_is_where_others_look_for_it(self):
        assert socket.socket.__module__ == 'gevent._socket3'
        assert socket.SocketType is socket.socket
        with socket.socket() as sock:
            assert 'gevent._socket3.socket at' in repr(sock)
            assert not isinstance(sock, stdlib_socket.socket)
            assert isinstance(sock._sock, stdlib_socket._socket.socket)

    def test_gives_the_standard_names(self):
        for name in stdlib_socket.__all__:
            if name != 'CAPI':
                assert name in socket.__all__, name
        assert socket.timeout is stdlib_socket.timeout
        assert socket.EWOULDBLOCK == errno.EWOULDBLOCK

    def test_like_the_standard_one_has_no_dict(self):
        with socket.socket() as sock:
            assert not hasattr(sock, '__dict__')
            assert weakref.ref(sock)() is sock
            with pytest.raises(TypeError):
                pickle.dumps(sock)
            with pytest.raises(AttributeError):
                sock.no_such_name

    def test_family_type_proto(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            assert sock.family is socket.AF_INET
            assert sock.type is socket.SOCK_DGRAM
            assert sock.proto == 0

    def test_made_from_a_descriptor_finds_out_what_it_is(self, pair):
        with socket.socket(fileno=os.dup(pair[0].fileno())) as sock:
            assert sock.family == socket.AF_UNIX
            assert sock.type == socket.SOCK_STREAM

    @pytest.mark.parametrize('fileno, error', [
        (-1, ValueError), (99999, OSError), ('x', TypeError)])
    def test_made_from_no_descriptor(self, fileno, error):
        with pytest.raises(error):
            socket.socket(fileno=fileno)

    def test_subclass_stays_in_dup(self, pair):
        class Mine(socket.socket):
            __slots__ = ()

        with Mine(fileno=os.dup(pair[0].fileno())) as sock:
            sock.settimeout(3)
            with sock.dup() as other:
                assert type(other) is Mine
                assert other.gettimeout() == 3


class TestTransfer:

    def test_echo(self, pair):
        def echo():
            while True:
                data = pair[1].recv(100)
                if not data:
                    return
                pair[1].sendall(data)

        greenlet = gevent.spawn(echo)
        for text in (b'a', b'b' * 50, b'c'):
            pair[0].sendall(text)
            assert pair[0].recv(100) == text
        pair[0].shutdown(socket.SHUT_WR)
        greenlet.get()

    def test_what_need_not_wait_does_not_switch(self, pair):
        ran = []
        gevent.spawn(ran.append, 1)
        pair[0].sendall(b'x')
        assert pair[1].recv(1) == b'x'
        assert not ran

    @pytest.mark.parametrize('make', [
        bytes, bytearray, memoryview,
        lambda data: memoryview(data).cast('B').cast('H')])
    def test_sendall_takes_any_buffer_and_much_of_it(self, pair, make):
        received = []
        reader = gevent.spawn(receive_all, pair[1], received)
        assert pair[0].sendall(make(BIG)) is None
        pair[0].shutdown(socket.SHUT_WR)
        reader.get()
        assert b''.join(received) == BIG

    def test_sendall_sends_by_what_send_there_is(self, pair, monkeypatch):
        """A subclass's own, or one put into the class later."""
        sent = []

        def send(sock, data, flags=0, timeout=...):
            sent.append(bytes(data))
            return plain(sock, data, flags, timeout)

        plain = socket.socket.send
        pair[0].sendall(b'plain')
        monkeypatch.setattr(socket.socket, 'send', send)
        pair[0].sendall(b'wrapped')
        assert sent == [b'wrapped']
        assert pair[1].recv(20) == b'plainwrapped'

    def test_receiving_with_much_room(self, pair):
        room = 1 << 20
        sender, receiver = pair
        sender.sendall(b'few')
        assert receiver.recv(room, socket.MSG_PEEK) == b'few'
        assert receiver.recv(room) == b'few'
        data = os.urandom(100_000)
        sender.sendall(data)
        assert receiver.recv(room) == data
        reader = gevent.spawn(receiver.recv, room)
        gevent.sleep(0)
        sender.sendall(data)
        assert reader.get(timeout=20) == data
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(room)
        sender.close()
        assert receiver.recv(room) == b''

    def test_receiving_datagrams_with_much_room(self):
        sender, receiver = socket.socketpair(type=socket.SOCK_DGRAM)
        with sender, receiver:
            for data in (b'', b'few', bytes(60_000)):
                sender.send(data)
                assert receiver.recv(1 << 20) == data

    def test_sendall_by_a_send_as_libraries_write_it(self, pair):
        """No place for a timeout, or one among the keywords."""
        class Counting(socket.socket):
            sends = 0

            def send(self, data, flags=0, **kwargs):
                self.sends += 1
                return super().send(data, flags, **kwargs)

        class WithoutTimeout(Counting):
            def send(self, data, flags=0):
                return super().send(data, flags)

        for kind, seconds in ((Counting, 20), (Counting, None),
                              (WithoutTimeout, None)):
            with kind(fileno=os.dup(pair[0].fileno())) as sock:
                sock.settimeout(seconds)
                sock.sendall(b'some')
                assert sock.sends == 1
            assert pair[1].recv(10) == b'some'

    def test_sendall_takes_arguments_by_name(self, pair):
        pair[0].sendall(data=b'abc', flags=0)
        pair[0].sendall(b'def', flags=socket.MSG_DONTWAIT)
        assert pair[1].recv(10) == b'abcdef'
        with pytest.raises(TypeError):
            pair[0].sendall()
        with pytest.raises(TypeError):
            pair[0].sendall(b'x', length=1)

    def test_sendall_of_nothing(self, pair):
        assert pair[0].sendall(b'') is None
        assert pair[0].sendall(bytearray()) is None

    @pytest.mark.parametrize('method', ['send', 'sendall'])
    @pytest.mark.parametrize('data', ['text', None, 5])
    def test_sends_bytes_only(self, pair, method, data):
        with pytest.raises(TypeError):
            getattr(pair[0], method)(data)

    @pytest.mark.parametrize('size, error', [(-1, ValueError),
                                             ('x', TypeError),
                                             (1.5, TypeError)])
    def test_receives_a_number_of_bytes(self, pair, size, error):
        with pytest.raises(error):
            pair[0].recv(size)

    @pytest.mark.parametrize('size', [1, 16384, 16385, 1 << 20])
    def test_receives_what_is_there(self, pair, size):
        pair[0].sendall(b'x' * 1000)
        assert pair[1].recv(size) == b'x' * min(size, 1000)

    def test_receive_waits_for_large_buffers_too(self, pair, spawn_reader):
        reader = spawn_reader(pair[1], 'recv', 1 << 20)
        pair[0].sendall(b'x')
        assert reader.get() == b'x'

    def test_recv_into(self, pair, spawn_reader):
        buffer = bytearray(5)
        reader = spawn_reader(pair[1], 'recv_into', buffer, 3)
        pair[0].sendall(b'abcdef')
        assert reader.get() == 3
        assert buffer == b'abc\0\0'
        assert pair[1].recv_into(memoryview(buffer)[1:]) == 3
        assert buffer == b'adef\0'

    @pytest.mark.parametrize('arguments, error', [
        ((b'abc',), TypeError), ((bytearray(2), 3), ValueError),
        ((bytearray(2), -1), ValueError), (('x',), TypeError)])
    def test_recv_into_needs_room(self, pair, arguments, error):
        with pytest.raises(error):
            pair[0].recv_into(*arguments)

    def test_flags_reach_the_kernel(self, pair):
        pair[0].send(b'abc')
        assert pair[1].recv(3, socket.MSG_PEEK) == b'abc'
        assert pair[1].recv(3) == b'abc'

    def test_messages_with_descriptors(self, pair):
        with open(os.devnull, 'rb') as file:
            reader = gevent.spawn(socket.recv_fds, pair[1], 10, 1)
            gevent.sleep(0)
            socket.send_fds(pair[0], [b'file'], [file.fileno()])
            data, descriptors, _, _ = reader.get()
        assert data == b'file'
        os.close(*descriptors)

    def test_message_of_several_buffers(self, pair):
        assert pair[0].sendmsg(iter([b'ab', b'cd'])) == 4
        one, other = bytearray(3), bytearray(3)
        assert pair[1].recvmsg_into([one, other])[0] == 4
        assert (one, other) == (b'abc', b'd\0\0')

    def test_datagrams(self, spawn_reader):
        with socket.socket(type=socket.SOCK_DGRAM) as one, \
                socket.socket(type=socket.SOCK_DGRAM) as other:
            one.bind(('127.0.0.1', 0))
            reader = spawn_reader(one, 'recvfrom', 100)
            assert other.sendto(b'hello', one.getsockname()) == 5
            data, address = reader.get()
            assert data == b'hello'
            assert address[1] == other.getsockname()[1]
            other.sendto(b'', one.getsockname())
            assert one.recvfrom_into(bytearray(5))[0] == 0

    def test_sendfile(self, pair, tmp_path):
        path = tmp_path / 'file'
        path.write_bytes(BIG)
        received = []
        reader = gevent.spawn(receive_all, pair[1], received)
        with path.open('rb') as file:
            assert pair[0].sendfile(file, 10, len(BIG) - 20) == len(BIG) - 20
            assert file.tell() == len(BIG) - 10
        pair[0].close()
        reader.get()
        assert b''.join(received) == BIG[10:-10]

    def test_full_duplex(self, pair):
        received = [], []
        greenlets = [gevent.spawn(receive_all, sock, into)
                     for sock, into in zip(pair, received)]
        senders = [gevent.spawn(sock.sendall, BIG) for sock in pair]
        gevent.joinall(senders, raise_error=True)
        for sock in pair:
            sock.shutdown(socket.SHUT_WR)
        gevent.joinall(greenlets, raise_error=True)
        assert [b''.join(each) for each in received] == [BIG, BIG]


class TestKill:

    def test_a_killed_receive_leaves_the_data_in_the_kernel(
            self, pair, spawn_reader):
        reader = spawn_reader(pair[1])
        pair[0].sendall(b'precious')
        reader.kill()  # in the same turn as the data
        assert isinstance(reader.value, gevent.GreenletExit)
        assert pair[1].recv(100) == b'precious'

    def test_a_timeout_in_a_receive_leaves_the_socket_usable(self, pair):
        with gevent.Timeout(0.001, False):
            pair[1].recv(1)
            pytest.fail('there is nothing to receive')
        pair[0].send(b'x')
        assert pair[1].recv(1) == b'x'

    def test_each_byte_is_received_once_whoever_is_killed(self, pair):
        """Kills of readers race with data, many times."""
        count, received = 300, []

        def reader():
            while True:
                received.append(pair[1].recv(1))

        greenlet = gevent.spawn(reader)
        for number in range(count):
            pair[0].send(bytes([number % 256]))
            if number % 3 == 0:
                gevent.sleep(0)
            if number % 2 == 0:
                greenlet.kill(block=number % 4 == 0)
                greenlet = gevent.spawn(reader)
        while len(received) < count:
            gevent.sleep(0.001)
        greenlet.kill()
        assert b''.join(received) == bytes(n % 256 for n in range(count))

    def test_a_killed_connect_can_be_closed(self):
        with socket.socket() as server, socket.socket() as filler, \
                socket.socket() as client:
            server.bind(('127.0.0.1', 0))
            server.listen(0)
            filler.connect(server.getsockname())
            greenlet = gevent.spawn(client.connect, server.getsockname())
            gevent.sleep(0)
            greenlet.kill()
            assert greenlet.ready()


class TestClose:

    @pytest.mark.parametrize('method, arguments', [
        ('recv', (10,)), ('recv_into', (bytearray(1),)),
        ('recvfrom', (10,)), ('recvmsg', (10,))])
    def test_wakes_a_reader(self, pair, spawn_reader, errors, method,
                            arguments):
        reader = spawn_reader(pair[0], method, *arguments)
        pair[0].close()
        with pytest.raises(OSError, match='closed in another greenlet') as it:
            reader.get()
        assert it.value.errno == errno.EBADF

    def test_wakes_an_acceptor(self, listener, spawn_reader, errors):
        acceptor = gevent.spawn(listener.accept)
        gevent.sleep(0)
        listener.close()
        with pytest.raises(OSError) as it:
            acceptor.get()
        assert it.value.errno == errno.EBADF

    def test_wakes_a_writer(self, pair, errors, wait_until):
        writer = gevent.spawn(pair[0].sendall, BIG * 4)
        wait_until(lambda: pair[0]._write_event.callback is not None)
        pair[0].close()
        with pytest.raises(OSError) as it:
            writer.get()
        assert it.value.errno == errno.EBADF

    def test_wakes_both(self, pair, errors, wait_until, spawn_reader):
        reader = spawn_reader(pair[0])
        writer = gevent.spawn(pair[0].sendall, BIG * 4)
        wait_until(lambda: pair[0]._write_event.callback is not None)
        pair[0].close()
        for greenlet in (reader, writer):
            with pytest.raises(OSError):
                greenlet.get()

    def test_gives_the_descriptor_back(self, pair, spawn_reader, errors):
        fd = pair[0].fileno()
        reader = spawn_reader(pair[0])
        pair[0].close()
        reader.join()
        gevent.sleep(0)
        with pytest.raises(OSError):
            os.fstat(fd)

    def test_does_nothing_the_second_time(self, pair):
        pair[0].close()
        pair[0].close()
        assert pair[0].closed
        assert pair[0].fileno() == -1
        assert pair[0].detach() == -1

    @pytest.mark.parametrize('call', [
        lambda s: s.recv(1), lambda s: s.recv_into(bytearray(1)),
        lambda s: s.send(b'x'), lambda s: s.sendall(b'x'),
        lambda s: s.sendall(bytearray(b'x')),
        lambda s: s.sendto(b'x', 'x'), lambda s: s.recvfrom(1),
        lambda s: s.recvmsg(1), lambda s: s.sendmsg([b'x']),
        lambda s: s.accept(), lambda s: s.connect('x'), lambda s: s.dup(),
        lambda s: s.getsockname(), lambda s: s.getpeername(),
        lambda s: s.shutdown(2), lambda s: s.listen(),
        lambda s: s.getsockopt(1, 1), lambda s: s.ref,
        lambda s: s.get_inheritable()])
    def test_afterwards_nothing_works(self, pair, call):
        pair[0].close()
        with pytest.raises(OSError) as it:
            call(pair[0])
        assert it.value.errno == errno.EBADF

    def test_afterwards_it_still_tells_what_it_was(self, pair):
        pair[0].settimeout(2)
        pair[0].close()
        assert pair[0].family == socket.AF_UNIX
        assert pair[0].gettimeout() == 2
        assert '[closed]' in repr(pair[0])

    def test_a_reused_descriptor_is_watched_afresh(self, spawn_reader, errors):
        """Closing wakes who waited; the number's next owner gets its events."""
        for _ in range(20):
            one, other = socket.socketpair()
            fds = {one.fileno(), other.fileno()}
            reader = spawn_reader(one)
            one.close()
            other.close()
            with pytest.raises(OSError):
                reader.get()
            gevent.sleep(0)
            one, other = socket.socketpair()
            with one, other:
                assert {one.fileno(), other.fileno()} == fds
                reader = spawn_reader(one)
                other.send(b'x')
                assert reader.get() == b'x'

    def test_a_descriptor_closed_behind_our_back(self, spawn_reader):
        """Neither aborts nor starves whoever gets the number next."""
        one, other = socket.socketpair()
        reader = spawn_reader(one)
        fds = {one.fileno(), other.fileno()}
        os.close(one._sock.detach())
        other.close()
        newer = socket.socketpair()
        with newer[0], newer[1]:
            assert {sock.fileno() for sock in newer} == fds
            second = spawn_reader(newer[0])
            newer[1].send(b'x')
            assert second.get() == b'x'
            reader.kill()
            one.close()
            newer[1].send(b'y')
            assert newer[0].recv(1) == b'y'

    def test_shutdown_wakes_a_reader(self, pair, spawn_reader, errors):
        reader = spawn_reader(pair[0])
        pair[0].shutdown(socket.SHUT_RD)
        with pytest.raises(OSError) as it:
            reader.get()
        assert it.value.errno == errno.EBADF

    def test_detach_keeps_the_descriptor(self, pair, spawn_reader, errors):
        reader = spawn_reader(pair[0])
        fd = pair[0].detach()
        with pytest.raises(OSError):
            reader.get()
        assert pair[0].fileno() == -1
        with socket.socket(fileno=fd) as sock:
            sock.send(b'x')
            assert pair[1].recv(1) == b'x'

    def test_garbage_is_closed(self):
        one, other = socket.socketpair()
        with pytest.warns(ResourceWarning):
            del one
            gc.collect()
        with other:
            assert other.recv(1) == b''

    def test_as_a_context_manager(self):
        with socket.socket() as sock:
            pass
        assert sock.closed


class TestTimeout:

    def test_of_a_receive(self, pair):
        pair[0].settimeout(0.01)
        for call in (lambda: pair[0].recv(1),
                     lambda: pair[0].recv_into(bytearray(1)),
                     lambda: pair[0].recvfrom(1),
                     lambda: pair[0].recvmsg(1)):
            with pytest.raises(socket.timeout, match='timed out'):
                call()

    def test_of_an_accept(self, listener):
        listener.settimeout(0.01)
        with pytest.raises(socket.timeout):
            listener.accept()

    def test_of_a_send(self, pair):
        fill(pair[0])
        pair[0].settimeout(0.01)
        with pytest.raises(socket.timeout):
            pair[0].send(b'x')
        pair[0].settimeout(None)
        with pytest.raises(socket.timeout):
            pair[0].send(b'x', 0, 0.01)

    def test_of_sendall_is_for_all_of_it(self, pair, wait_until):
        """A reader that takes a little at a time does not extend it."""
        sent = fill(pair[0])
        done = []

        def sip():
            while not done:
                pair[1].recv(1 << 14)
                gevent.sleep(0.02)

        reader = gevent.spawn(sip)
        pair[0].settimeout(0.1)
        begin = time.monotonic()
        with pytest.raises(socket.timeout):
            pair[0].sendall(BIG * 8)
        assert time.monotonic() - begin >= 0.1
        done.append(1)
        reader.join()
        assert sent

    def test_zero_means_not_to_wait(self, pair):
        pair[0].setblocking(False)
        assert pair[0].gettimeout() == 0.0
        assert not pair[0].getblocking()
        with pytest.raises(BlockingIOError):
            pair[0].recv(1)
        with pytest.raises(BlockingIOError):
            pair[0].recvfrom(1)
        fill(pair[0])
        pair[0].setblocking(False)
        with pytest.raises(BlockingIOError):
            pair[0].send(b'x')
        with pytest.raises(socket.timeout):
            pair[0].sendall(b'x')

    def test_data_that_is_there_is_received_with_any_timeout(self, pair):
        pair[1].send(b'abc')
        for timeout in (0, 1e-9, 5, None):
            pair[0].settimeout(timeout)
            assert pair[0].recv(3, socket.MSG_PEEK) == b'abc'

    def test_a_flag_of_one_call_means_not_to_wait(self, pair):
        flag = socket.MSG_DONTWAIT
        for call in (lambda: pair[0].recv(1, flag),
                     lambda: pair[0].recv_into(bytearray(1), 1, flag),
                     lambda: pair[0].recvfrom(1, flag),
                     lambda: pair[0].recvfrom_into(bytearray(1), 1, flag),
                     lambda: pair[0].recvmsg(1, 0, flag),
                     lambda: pair[0].recvmsg_into([bytearray(1)], 0, flag)):
            for _ in range(2):
                with pytest.raises(BlockingIOError):
                    call()
        fill(pair[0])
        for call in (lambda: pair[0].send(b'x', flag),
                     lambda: pair[0].sendmsg([b'x'], [], flag)):
            with pytest.raises(BlockingIOError):
                call()

    @pytest.mark.parametrize('value, error', [(-1, ValueError),
                                              ('1', TypeError),
                                              (object(), TypeError)])
    def test_bad_ones(self, pair, value, error):
        with pytest.raises(error):
            pair[0].settimeout(value)

    def test_the_default_one(self, listener):
        socket.setdefaulttimeout(7)
        try:
            with socket.socket() as client:
                assert client.gettimeout() == 7
                client.connect(listener.getsockname())
                with listener.accept()[0] as sock:
                    assert sock.gettimeout() == 7
        finally:
            socket.setdefaulttimeout(None)

    def test_is_not_inherited_by_what_is_accepted(self, listener):
        listener.settimeout(30)
        with socket.create_connection(listener.getsockname()):
            with listener.accept()[0] as sock:
                assert sock.gettimeout() is None

    def test_of_makefile(self, pair):
        pair[0].settimeout(0.01)
        with pair[0].makefile('rb') as file:
            with pytest.raises(socket.timeout):
                file.readline()
            with pytest.raises(OSError, match='timed out'):
                file.readline()


class TestConcurrentUse:

    def test_a_second_reader_is_refused(self, pair, spawn_reader):
        reader = spawn_reader(pair[0])
        for _ in range(2):
            with pytest.raises(ConcurrentObjectUseError,
                               match='This socket is already used by another'):
                pair[0].recv(1)
        pair[1].send(b'x')
        assert reader.get() == b'x'

    def test_a_reader_and_a_writer_are_not(self, pair, spawn_reader,
                                           wait_until):
        reader = spawn_reader(pair[0])
        writer = gevent.spawn(pair[0].sendall, BIG)
        wait_until(lambda: pair[0]._write_event.callback is not None)
        received = []
        gevent.spawn(receive_all, pair[1], received)
        writer.get()
        pair[1].send(b'x')
        assert reader.get() == b'x'
        pair[0].close()
        wait_until(lambda: sum(map(len, received)) == len(BIG))

    def test_two_sockets_of_one_file_have_a_reader_each(self, pair,
                                                         spawn_reader):
        with pair[0].dup() as twin:
            readers = [spawn_reader(pair[0], 'recv', 1),
                       spawn_reader(twin, 'recv', 1)]
            pair[1].send(b'ab')
            assert sorted(each.get() for each in readers) == [b'a', b'b']

    def test_used_in_another_thread_where_it_need_not_wait(self, pair):
        pair[1].send(b'x')
        assert in_native_thread(pair[0].recv, 1) == b'x'

    def test_used_in_another_thread_where_it_waits(self, pair):
        gevent.spawn(pair[1].send, b'x')
        assert in_native_thread(pair[0].recv, 1) == b'x'
        pair[0].settimeout(0.01)
        with pytest.raises(socket.timeout):
            in_native_thread(pair[0].recv, 1)

    @pytest.mark.parametrize('call', [
        lambda sock: sock.close(), lambda sock: os.close(sock.detach()),
        lambda sock: sock.shutdown(socket.SHUT_RDWR)])
    def test_closed_in_another_thread(self, pair, spawn_reader, errors, call):
        reader = spawn_reader(pair[0])
        in_native_thread(call, pair[0])
        with pytest.raises(OSError) as it:
            reader.get()
        assert it.value.errno == errno.EBADF

    def test_closed_in_another_thread_when_nobody_waits(self, pair):
        pair[1].send(b'x')
        assert pair[0]._read_event is pair[0]._read_event
        in_native_thread(pair[0].close)
        with pytest.raises(ConnectionResetError):
            pair[1].recv(1)  # what was sent has not been received

    def test_made_in_a_thread_that_has_ended(self, errors):
        one, other = in_native_thread(socket.socketpair)
        with one, other:
            one.settimeout(0.01)
            with pytest.raises(socket.timeout):
                one.recv(1)
            one.settimeout(None)
            gevent.spawn(other.send, b'x')
            assert one.recv(1) == b'x'
            reader = gevent.spawn(one.recv, 1)
            gevent.sleep(0)
            one.close()
            with pytest.raises(OSError) as it:
                reader.get()
            assert it.value.errno == errno.EBADF


class TestMakefile:

    def test_keeps_the_socket_open(self, pair):
        file = pair[0].makefile('rwb')
        fd = pair[0].fileno()
        pair[0].close()
        file.write(b'line\n')
        file.flush()
        assert pair[1].recv(100) == b'line\n'
        pair[1].sendall(b'answer\n')
        assert file.readline() == b'answer\n'
        file.close()
        with pytest.raises(OSError):
            os.fstat(fd)

    def test_waits_for_lines(self, pair):
        with pair[0].makefile('r', encoding='utf-8') as file:
            reader = gevent.spawn(file.readline)
            gevent.sleep(0)
            pair[1].send('gr\u00fc'.encode()[:3])
            gevent.sleep(0)
            pair[1].send('gr\u00fc'.encode()[3:] + b'n\n')
            assert reader.get() == 'gr\u00fcn\n'

    @pytest.mark.parametrize('mode', ['q', 'rx', ''])
    def test_modes(self, pair, mode):
        if mode == '':
            with pair[0].makefile(mode) as file:
                assert isinstance(file, io.TextIOWrapper)
        else:
            with pytest.raises(ValueError):
                pair[0].makefile(mode)

    def test_unbuffered(self, pair):
        with pair[0].makefile('rb', 0) as file:
            pair[1].send(b'abc')
            assert file.read(2) == b'ab'
            assert file.read(2) == b'c'


class TestConnect:

    def test_by_address_and_by_name(self, listener):
        port = listener.getsockname()[1]
        for host in ('127.0.0.1', b'127.0.0.1', 'localhost', ''):
            with socket.socket() as client:
                client.connect((host, port))
                listener.accept()[0].close()

    def test_literal_addresses_do_not_switch(self, listener):
        ran = []
        gevent.spawn(ran.append, 1)
        with socket.socket() as client:
            client.setblocking(False)
            assert client.connect_ex(listener.getsockname()) in (
                0, errno.EINPROGRESS)
        assert not ran

    def test_refused(self, hub):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            address = unused.getsockname()
            with socket.socket() as client:
                with pytest.raises(ConnectionRefusedError):
                    client.connect(address)
            with socket.socket() as client:
                assert client.connect_ex(address) == errno.ECONNREFUSED

    @pytest.mark.parametrize('address, error', [
        ('host', TypeError), (('host',), TypeError), ((None, 1), TypeError),
        (('127.0.0.1', 'x'), TypeError), (('127.0.0.1', 99999), OverflowError),
        (('127.0.0.1', -1), OverflowError)])
    def test_to_no_address(self, address, error):
        with socket.socket() as client:
            with pytest.raises(error):
                client.connect(address)
            with pytest.raises(error):
                client.connect_ex(address)

    def test_time_out(self):
        with socket.socket() as server, socket.socket() as filler:
            server.bind(('127.0.0.1', 0))
            server.listen(0)
            filler.connect(server.getsockname())
            with socket.socket() as client:
                client.settimeout(0.01)
                with pytest.raises(socket.timeout):
                    client.connect(server.getsockname())
            with socket.socket() as client:
                client.settimeout(0.01)
                assert client.connect_ex(
                    server.getsockname()) == errno.EAGAIN

    def test_a_full_unix_backlog_is_waited_for(self, tmp_path):
        path = str(tmp_path / 'socket')
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(0)
            with socket.socket(socket.AF_UNIX) as first, \
                    socket.socket(socket.AF_UNIX) as second:
                first.connect(path)
                second.settimeout(0.01)
                with pytest.raises(socket.timeout):
                    second.connect(path)
                second.settimeout(None)
                connecting = gevent.spawn(second.connect, path)
                gevent.sleep(0)
                accepted = [server.accept()[0]]
                connecting.get()
                accepted.append(server.accept()[0])
                for sock in accepted:
                    sock.close()

    def test_connect_ex_does_not_call_connect(self, listener):
        class Mine(socket.socket):
            def connect(self, *args):
                raise AssertionError('not this')

        with Mine() as client:
            assert client.connect_ex(listener.getsockname()) == 0
        listener.accept()[0].close()

    def test_closed_meanwhile(self, errors):
        with socket.socket() as server, socket.socket() as filler:
            server.bind(('127.0.0.1', 0))
            server.listen(0)
            filler.connect(server.getsockname())
            client = socket.socket()
            connecting = gevent.spawn(client.connect, server.getsockname())
            gevent.sleep(0)
            client.close()
            with pytest.raises(OSError) as it:
                connecting.get()
            assert it.value.errno == errno.EBADF

    def test_create_connection(self, listener):
        with socket.create_connection(('localhost', listener.getsockname()[1]),
                                      timeout=3) as client:
            assert client.gettimeout() == 3
            listener.accept()[0].close()

    def test_create_connection_from_an_address(self, listener):
        with socket.create_connection(listener.getsockname(),
                                      source_address=('127.0.0.2', 0)) as it:
            assert it.getsockname()[0] == '127.0.0.2'
        listener.accept()[0].close()

    def test_create_connection_refused(self):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(unused.getsockname())
            if hasattr(__builtins__, 'ExceptionGroup'):
                with pytest.raises(ExceptionGroup) as it:
                    socket.create_connection(unused.getsockname(),
                                             all_errors=True)
                assert len(it.value.exceptions) == 1

    def test_create_connection_closes_what_fails(self):
        """A kill in the middle leaves no socket: the fixture looks."""
        with socket.socket() as server, socket.socket() as filler:
            server.bind(('127.0.0.1', 0))
            server.listen(0)
            filler.connect(server.getsockname())
            greenlet = gevent.spawn(socket.create_connection,
                                    server.getsockname())
            gevent.sleep(0)
            greenlet.kill()


class TestMany:

    def test_connections(self, listener):
        """A few hundred at once, each with a greenlet on both sides."""
        count = 400

        def serve(sock):
            with sock:
                while True:
                    data = sock.recv(100)
                    if not data:
                        return
                    sock.sendall(data)

        def accept():
            for _ in range(count):
                gevent.spawn(serve, listener.accept()[0])

        def client(number):
            with socket.create_connection(listener.getsockname()) as sock:
                all_there.wait()
                for turn in range(3):
                    text = b'%d %d' % (number, turn)
                    sock.sendall(text)
                    if sock.recv(100) != text:
                        return 0
                return 1

        from gevent.event import Event
        all_there = Event()
        acceptor = gevent.spawn(accept)
        clients = [gevent.spawn(client, number) for number in range(count)]
        acceptor.get()
        all_there.set()
        gevent.joinall(clients, raise_error=True)
        assert sum(each.value for each in clients) == count

    def test_a_small_backlog_does_not_overflow(self, monkeypatch):
        """Who connects lets listeners of the same process accept, and those
        who serve go on."""
        count, begun, accepted, served = 100, 0, 0, 0
        in_backlog, unserved = [], []
        is_connected = _socketcommon._is_connected

        def counted(sock):
            nonlocal begun
            begun += 1
            in_backlog.append(begun - accepted)
            unserved.append(begun - served)
            return is_connected(sock)

        monkeypatch.setattr(_socketcommon, '_is_connected', counted)
        with socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen(20)
            address = listener.getsockname()

            def serve(peer):
                nonlocal served
                served += 1
                peer.close()

            def accept():
                nonlocal accepted
                for _ in range(count):
                    gevent.spawn(serve, listener.accept()[0])
                    accepted += 1

            def client():
                socket.create_connection(address).close()

            acceptor = gevent.spawn(accept)
            gevent.joinall([gevent.spawn(client) for _ in range(count)],
                           raise_error=True)
            acceptor.get()
        assert begun == count
        assert max(in_backlog) < 20
        assert max(unserved) < 40

    def test_a_timeout_before_its_turn_to_connect(self, listener):
        address = listener.getsockname()
        socket.create_connection(address).close()
        gevent.sleep(0)
        gate = gevent.get_hub()._connect_gate
        taken = 0
        while gate.acquire(blocking=False):
            taken += 1
        with pytest.raises(socket.timeout, match='timed out'):
            socket.create_connection(address, timeout=0.01)
        for _ in range(taken):
            gate.release()
        socket.create_connection(address).close()

    def test_a_peer_that_resets_at_once(self, listener):
        """connect() has succeeded then; the next call tells."""
        def reset():
            peer = listener.accept()[0]
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack('ii', 1, 0))
            peer.close()

        for _ in range(10):
            gevent.spawn(reset)
            gevent.sleep(0)
            with socket.create_connection(listener.getsockname()) as client:
                with pytest.raises(ConnectionResetError):
                    client.recv(1)

    def test_a_receiver_of_datagrams_gets_its_turn(self):
        """Many who send one each do not overflow its buffer."""
        count, sent, received, most = 400, 0, 0, 0
        with socket.socket(type=socket.SOCK_DGRAM) as receiver, \
                socket.socket(type=socket.SOCK_DGRAM) as sender:
            receiver.bind(('127.0.0.1', 0))
            address = receiver.getsockname()

            def receive():
                nonlocal received
                while True:
                    receiver.recv(10)
                    received += 1

            def send():
                nonlocal sent, most
                sender.sendto(b'x', address)
                sent += 1
                most = max(most, sent - received)

            receiving = gevent.spawn(receive)
            gevent.joinall([gevent.spawn(send) for _ in range(count)],
                           raise_error=True)
            receiving.kill()
        assert most < 50

    def test_descriptors_run_out(self, listener, wait_until):
        """accept and socket() say EMFILE, and work again afterwards."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        taken = []
        client = socket.socket()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
            with pytest.raises(OSError) as it:
                while True:
                    taken.append(socket.socket())
            assert it.value.errno == errno.EMFILE
            with pytest.raises(OSError) as it:
                client.connect(listener.getsockname())
                listener.accept()
            assert it.value.errno == errno.EMFILE
            with pytest.raises(OSError):
                socket.socketpair()
            with pytest.raises(OSError):
                client.dup()
            taken.pop().close()
            listener.accept()[0].close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for sock in taken:
                sock.close()
            client.close()

    def test_descriptors_above_those_of_select(self):
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limits[1] < 2000:
            pytest.skip('too few descriptors are allowed')
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, limits[1]))
        one, other = stdlib_socket.socketpair()
        try:
            os.dup2(one.fileno(), 1500)
            with socket.socket(fileno=1500) as sock:
                reader = gevent.spawn(sock.recv, 1)
                gevent.sleep(0)
                other.send(b'x')
                assert reader.get() == b'x'
        finally:
            one.close()
            other.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class TestWaiting:

    def test_wait_read_and_write(self, pair):
        socket.wait_write(pair[0].fileno())
        with pytest.raises(socket.timeout):
            socket.wait_read(pair[0].fileno(), timeout=0.01)
        with pytest.raises(KeyError):
            socket.wait_read(pair[0].fileno(), 0.01, KeyError())
        pair[1].send(b'x')
        socket.wait_read(pair[0].fileno())
        socket.wait_readwrite(pair[0].fileno())

    def test_cancel_wait(self, pair, spawn_reader, errors):
        reader = spawn_reader(pair[0])
        socket.cancel_wait(pair[0]._read_event)
        with pytest.raises(OSError) as it:
            reader.get()
        assert it.value.errno == errno.EBADF
        pair[1].send(b'x')
        assert pair[0].recv(1) == b'x'

    def test_ref_lets_the_loop_end(self, pair, spawn_reader):
        assert pair[0].ref
        pair[0].ref = False
        assert not pair[0].ref
        spawn_reader(pair[0])
        assert gevent.wait(timeout=10)  # nothing else is left to wait for

    def test_a_native_thread_has_sockets_of_its_own(self):
        def thread():
            one, other = socket.socketpair()
            with one, other:
                reader = gevent.spawn(one.recv, 1)
                gevent.sleep(0)
                other.send(b'x')
                return reader.get()

        assert in_native_thread(thread) == b'x'
