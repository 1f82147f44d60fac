"""Files and child processes by way of gevent.os."""
import errno
import os
import signal
import sys
import threading

import gevent
import pytest

from gevent import os as gevent_os
from gevent import socket


@pytest.fixture
def pipe():
    ends = os.pipe()
    for fd in ends:
        gevent_os.make_nonblocking(fd)
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:
            pass


class TestFiles:

    def test_make_nonblocking(self):
        ends = os.pipe()
        assert gevent_os.make_nonblocking(ends[0]) is True
        assert gevent_os.make_nonblocking(ends[0]) is None
        assert not os.get_blocking(ends[0])
        for fd in ends:
            os.close(fd)

    @pytest.mark.parametrize('read, write', [
        (gevent_os.nb_read, gevent_os.nb_write),
        (gevent_os.tp_read, gevent_os.tp_write)])
    def test_more_than_a_pipe_holds(self, read, write):
        ends = os.pipe()
        if read is gevent_os.nb_read:
            for fd in ends:
                gevent_os.make_nonblocking(fd)
        data = memoryview(b'0123456789' * 100000)

        def produce():
            sent = 0
            while sent < len(data):
                sent += write(ends[1], data[sent:sent + 50000])
            os.close(ends[1])

        def consume():
            received = []
            while True:
                part = read(ends[0], 50000)
                if not part:
                    return b''.join(received)
                received.append(part)

        producer = gevent.spawn(produce)
        assert consume() == bytes(data)
        producer.get()
        os.close(ends[0])

    def test_nb_read_of_what_is_there_does_not_switch(self, pipe):
        ran = []
        gevent.spawn(ran.append, 1)
        gevent_os.nb_write(pipe[1], b'x')
        assert gevent_os.nb_read(pipe[0], 10) == b'x'
        assert not ran

    def test_killed_while_reading(self, pipe):
        greenlet = gevent.spawn(gevent_os.nb_read, pipe[0], 10)
        gevent.sleep(0)
        os.write(pipe[1], b'precious')
        greenlet.kill()
        assert gevent_os.nb_read(pipe[0], 10) == b'precious'

    def test_errors(self, pipe):
        for call in (lambda: gevent_os.nb_read(9999, 1),
                     lambda: gevent_os.nb_write(9999, b'x')):
            with pytest.raises(OSError) as it:
                call()
            assert it.value.errno == errno.EBADF
        with pytest.raises(TypeError):
            gevent_os.nb_write(pipe[1], 'x')
        os.close(pipe[0])
        with pytest.raises(BrokenPipeError):
            gevent_os.nb_write(pipe[1], b'x')

    def test_close_wakes_a_reader(self, pipe, errors):
        greenlet = gevent.spawn(gevent_os.nb_read, pipe[0], 10)
        gevent.sleep(0)
        gevent_os.close(pipe[0])
        with pytest.raises(OSError) as it:
            greenlet.get()
        assert it.value.errno == errno.EBADF

    def test_close_twice(self, pipe):
        gevent_os.close(pipe[0])
        with pytest.raises(OSError) as it:
            gevent_os.close(pipe[0])
        assert it.value.errno == errno.EBADF

    @pytest.mark.parametrize('fd, error', [(-1, OSError), (9999, OSError),
                                           ('x', TypeError),
                                           (None, TypeError)])
    def test_close_of_no_descriptor(self, fd, error):
        with pytest.raises(error):
            gevent_os.close(fd)

    def test_a_closed_number_is_watched_afresh(self, errors):
        for _ in range(20):
            ends = os.pipe()
            waiting = gevent.spawn(socket.wait_read, ends[0])
            gevent.sleep(0)
            gevent_os.close(ends[0])
            gevent_os.close(ends[1])
            waiting.join()
            assert waiting.ready()
            again = os.pipe()
            assert again == ends
            waiting = gevent.spawn(socket.wait_read, again[0])
            gevent.sleep(0)
            os.write(again[1], b'x')
            waiting.get()
            for fd in again:
                gevent_os.close(fd)


class TestChildren:

    @pytest.fixture(autouse=True)
    def no_children(self):
        # Results of other tests' children are kept for a minute.
        gevent_os._reap_children(0)
        yield
        gevent_os._reap_children(0)
        assert not gevent_os._watched_children
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    @staticmethod
    def child(status=0, wait_for=None):
        """A child that waits for a byte of a pipe, if told, and exits."""
        pid = gevent_os.fork()
        if not pid:
            if wait_for is not None:
                os.close(wait_for[1])
                os.read(wait_for[0], 1)
            os._exit(status)
        return pid

    @staticmethod
    def let_go(ends):
        os.write(ends[1], b'x')
        for fd in ends:
            os.close(fd)

    def test_waitpid_lets_others_run(self):
        ends = os.pipe()
        pid = self.child(3, ends)
        assert gevent_os.waitpid(pid, os.WNOHANG) == (0, 0)
        assert gevent_os.waitpid(-1, os.WNOHANG) == (0, 0)
        gevent.spawn(self.let_go, ends)
        assert gevent_os.waitpid(pid, 0) == (pid, 3 << 8)

    def test_a_result_is_given_once(self):
        pid = self.child()
        gevent_os.waitpid(pid, 0)
        for options in (0, os.WNOHANG):
            with pytest.raises(ChildProcessError):
                gevent_os.waitpid(pid, options)

    def test_asking_again_and_again_ends(self):
        """Even where nothing gives the loop a turn."""
        pid = self.child(5)
        while True:
            result = gevent_os.waitpid(pid, os.WNOHANG)
            if result != (0, 0):
                break
        assert result == (pid, 5 << 8)

    def test_any_child(self):
        pipes = [os.pipe() for _ in range(3)]
        pids = [self.child(number, ends) for number, ends in enumerate(pipes)]
        for number in (1, 2, 0):
            gevent.spawn(self.let_go, pipes[number])
            assert gevent_os.waitpid(-1, 0) == (pids[number], number << 8)
        with pytest.raises(ChildProcessError):
            gevent_os.waitpid(-1, 0)

    def test_several_greenlets_wait(self):
        ends = os.pipe()
        pid = self.child(1, ends)
        greenlets = [gevent.spawn(gevent_os.waitpid, pid, 0) for _ in range(3)]
        gevent.sleep(0)
        self.let_go(ends)
        assert [each.get() for each in greenlets] == [(pid, 1 << 8)] * 3

    def test_another_thread_sees_it_end_first(self, monkeypatch):
        ends = os.pipe()
        pid = self.child(6, ends)
        results = []

        def wait_there():
            results.append(gevent_os.waitpid(pid, 0))
            gevent.get_hub().destroy(destroy_loop=True)

        def get_hub():
            caller = sys._getframe(1).f_code.co_name
            if caller == '_wait_for_exit' and here == threading.get_ident():
                monkeypatch.undo()
                self.let_go(ends)
                there.join()
            return gevent.get_hub()

        here = threading.get_ident()
        there = threading.Thread(target=wait_there)
        there.start()
        while len(gevent_os._watched_children[pid].loops) < 2:
            gevent.sleep(0.001)
        monkeypatch.setattr(gevent_os, 'get_hub', get_hub)
        assert gevent_os.waitpid(pid, 0) == (pid, 6 << 8)
        assert results == [(pid, 6 << 8)]
        with pytest.raises(ChildProcessError):  # given once
            gevent_os.waitpid(-1, 0)

    def test_an_end_that_two_threads_see_is_told_once(self, monkeypatch):
        told = []
        monkeypatch.setattr(gevent_os, '_on_child_hook',
                            lambda: told.append('told'))
        ends = os.pipe()
        pid = self.child(6, ends)

        def wait_there():
            gevent_os.waitpid(pid, 0)
            gevent.sleep(0.01)
            gevent.get_hub().destroy(destroy_loop=True)

        there = threading.Thread(target=wait_there)
        there.start()
        while len(gevent_os._watched_children[pid].loops) < 2:
            gevent.sleep(0.001)
        gevent.spawn(self.let_go, ends)
        gevent_os.waitpid(pid, 0)
        gevent.get_hub().threadpool.apply(there.join)
        gevent.sleep(0.01)
        assert told == ['told']

    def test_threads_take_the_results_of_any_child(self):
        pids = {self.child(number) for number in range(60)}
        taken, errors = [], []

        def take_all():
            try:
                while True:
                    taken.append(gevent_os.waitpid(-1, 0)[0])
            except ChildProcessError:
                pass
            except BaseException as ex:
                errors.append(ex)
            gevent.get_hub().destroy(destroy_loop=True)

        threads = [threading.Thread(target=take_all) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            gevent.get_hub().threadpool.apply(thread.join)
        assert not errors
        assert sorted(taken) == sorted(pids)

    def test_killed_by_a_signal(self):
        ends = os.pipe()
        pid = self.child(0, ends)
        os.kill(pid, signal.SIGKILL)
        assert gevent_os.waitpid(pid, 0) == (pid, signal.SIGKILL)
        for fd in ends:
            os.close(fd)

    @pytest.mark.parametrize('pid', [1, -2, 2 ** 22])
    def test_of_no_child(self, pid):
        for options in (0, os.WNOHANG):
            with pytest.raises(ChildProcessError):
                gevent_os.waitpid(pid, options)

    def test_of_a_child_that_is_not_watched(self):
        ends = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ends[1])
            os.read(ends[0], 1)
            os._exit(4)
        assert gevent_os.waitpid(pid, os.WNOHANG) == (0, 0)
        gevent.spawn(self.let_go, ends)
        assert gevent_os.waitpid(pid, 0) == (pid, 4 << 8)

    def test_any_of_those_that_are_not_watched(self):
        ends = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(ends[1])
            os.read(ends[0], 1)
            os._exit(4)
        gevent.spawn(self.let_go, ends)
        assert gevent_os.waitpid(-1, 0) == (pid, 4 << 8)

    def test_callback(self, wait_until):
        seen = []
        pid = gevent_os.fork_and_watch(seen.append)
        if not pid:
            os._exit(6)
        wait_until(lambda: seen)
        assert seen[0].rpid == pid
        assert seen[0].rstatus == 6 << 8
        assert gevent_os.waitpid(pid, 0) == (pid, 6 << 8)

    def test_posix_spawn(self):
        for spawn in (gevent_os.posix_spawn, gevent_os.posix_spawnp):
            pid = spawn('/bin/sh', ['sh', '-c', 'exit 7'], os.environ)
            assert gevent_os.waitpid(pid, 0) == (pid, 7 << 8)

    def test_forkpty(self):
        pid, master = gevent_os.forkpty()
        if not pid:
            os._exit(8)
        assert gevent_os.waitpid(pid, 0) == (pid, 8 << 8)
        os.close(master)

    def test_a_dead_childs_result_is_forgotten(self, wait_until):
        pid = self.child()
        wait_until(lambda: gevent_os._watched_children[pid].result)
        gevent_os._reap_children(0)
        assert not gevent_os._ended_children
        with pytest.raises(ChildProcessError):
            gevent_os.waitpid(pid, 0)

    def test_the_hub_works_in_the_child(self, pair):
        pid = gevent_os.fork()
        if not pid:
            status = 1
            try:
                with gevent.Timeout(30):
                    reader = gevent.spawn(pair[1].recv, 10)
                    gevent.sleep(0.001)
                    pair[0].send(b'x')
                    status = 0 if reader.get() == b'x' else 2
            finally:
                os._exit(status)
        assert gevent_os.waitpid(pid, 0) == (pid, 0)
        pair[0].send(b'y')
        assert pair[1].recv(1) == b'y'

    def test_the_child_does_not_watch_the_parents_children(self):
        ends = os.pipe()
        first = self.child(0, ends)
        pid = gevent_os.fork()
        if not pid:
            os._exit(0 if not gevent_os._watched_children else 1)
        assert gevent_os.waitpid(pid, 0) == (pid, 0)
        self.let_go(ends)
        gevent_os.waitpid(first, 0)
