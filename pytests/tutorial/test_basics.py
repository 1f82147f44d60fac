"""What tutorials teach first: greenlets, their states, time-outs."""
import random
import select
import signal
import socket as standard_socket

import gevent
import pytest
from gevent import Greenlet, Timeout, getcurrent, socket
from gevent import select as gevent_select
from gevent.pool import Pool


def test_two_greenlets_take_turns():
    seen = []

    def foo():
        seen.append("in foo")
        gevent.sleep(0)
        seen.append("in foo again")

    def bar():
        seen.append("to bar")
        gevent.sleep(0)
        seen.append("back to bar")

    gevent.joinall([gevent.spawn(foo), gevent.spawn(bar)])
    assert seen == ["in foo", "to bar", "in foo again", "back to bar"]


def test_names_are_looked_up_at_once():
    names = ["localhost", "127.0.0.1", "127.0.0.2", "127.0.0.3"]
    jobs = [gevent.spawn(socket.gethostbyname, name) for name in names]
    gevent.joinall(jobs, timeout=30)
    assert [job.value for job in jobs] == [
        standard_socket.gethostbyname(name) for name in names]


def test_select_in_several_greenlets():
    seen = []
    here, there = standard_socket.socketpair()

    def waits(name):
        ready = gevent_select.select([here], [], [], 30)
        seen.append((name, ready))

    def works():
        seen.append("works")
        gevent.sleep(0)
        there.sendall(b"x")

    with here, there:
        gevent.joinall([gevent.spawn(waits, 1), gevent.spawn(waits, 2),
                        gevent.spawn(works)])
    assert seen == ["works", (1, ([here], [], [])), (2, ([here], [], []))]
    assert select.select is not gevent_select.select


def test_imap_unordered_is_the_same_each_time():
    def echo(number):
        gevent.sleep(0.001 * (number % 3))
        return number

    runs = [list(Pool(10).imap_unordered(echo, range(10))) for _ in range(4)]
    assert all(sorted(run) == list(range(10)) for run in runs)

    def immediate(number):
        gevent.sleep(0)
        return number

    runs = [list(Pool(10).imap_unordered(immediate, range(10)))
            for _ in range(4)]
    assert runs == [list(range(10))] * 4


def test_ways_to_spawn():
    def echo(message, times=1):
        gevent.sleep(0)
        return message * times

    made = Greenlet(echo, "not started")
    assert not made.started
    made.start()
    jobs = [made, Greenlet.spawn(echo, "a"), gevent.spawn(echo, "b", times=2),
            gevent.spawn(lambda x: x + 1, 2),
            gevent.spawn_later(0.001, echo, "later")]
    gevent.joinall(jobs)
    assert [job.value for job in jobs] == [
        "not started", "a", "bb", 3, "later"]


def test_a_subclass_with_its_own_run():
    class Repeats(Greenlet):
        def __init__(self, message, times):
            super().__init__()
            self.message, self.times = message, times

        def _run(self):
            gevent.sleep(random.random() / 1000)
            return self.message * self.times

    repeats = Repeats("Hi! ", 3)
    repeats.start()
    repeats.join()
    assert repeats.value == "Hi! Hi! Hi! "


def test_states_and_exceptions(errors):
    def win():
        return "You win!"

    def fail():
        raise ValueError("You fail at failing.")

    winner, loser = gevent.spawn(win), gevent.spawn(fail)
    assert winner.started and loser.started
    assert not winner.ready() and not loser.ready()
    gevent.joinall([winner, loser])
    assert winner.value == "You win!" and loser.value is None
    assert winner.ready() and loser.ready()
    assert winner.successful() and not loser.successful()
    assert winner.exception is None
    assert str(loser.exception) == "You fail at failing."
    assert winner.get() == "You win!"
    with pytest.raises(ValueError):
        loser.get()
    assert errors == [(loser, ValueError, loser.exception)]


def test_shutdown_by_sigquit(run_program):
    """A program that waits for ever ends when it is told to."""
    run_program("""
        import gevent, os, signal
        gevent.signal(signal.SIGQUIT, gevent.shutdown)
        forever = gevent.spawn(gevent.sleep, 1000)
        gevent.spawn_later(0.01, os.kill, os.getpid(), signal.SIGQUIT)
        forever.join()
    """, status=0)


def test_killed_by_sigquit(run_program):
    done = run_program("""
        import gevent, os, signal
        forever = gevent.spawn(gevent.sleep, 1000)
        gevent.signal_handler(signal.SIGQUIT, gevent.kill, forever)
        gevent.spawn_later(0.01, os.kill, os.getpid(), signal.SIGQUIT)
        forever.join()
        print(repr(forever.value))
    """)
    assert done.stdout == "GreenletExit()\n"


def wait():
    gevent.sleep(1000)


class TestTimeouts:
    """The ways to limit a time."""

    def test_started_and_cancelled(self):
        timeout = Timeout(0.01)
        timeout.start()
        worker = gevent.spawn(wait)
        with pytest.raises(Timeout) as raised:
            worker.join()
        assert raised.value is timeout
        timeout.cancel()
        worker.kill()

    def test_with_a_type_of_its_own(self):
        class TooLong(Exception):
            pass

        with pytest.raises(TooLong), Timeout(0.01, TooLong):
            wait()

    def test_start_new_around_join(self):
        timer = Timeout(0.01).start()
        worker = gevent.spawn(wait)
        with pytest.raises(Timeout):
            worker.join(timeout=timer)
        worker.kill()

    def test_start_new(self):
        timer = Timeout.start_new(0.01)
        worker = gevent.spawn(wait)
        try:
            with pytest.raises(Timeout):
                worker.get(timeout=timer)
        finally:
            timer.close()
        worker.kill()

    def test_with_timeout(self):
        with pytest.raises(Timeout):
            gevent.with_timeout(0.01, wait)
        assert gevent.with_timeout(0.01, wait, timeout_value="late") == "late"

    def test_silent(self):
        with Timeout(0.01, False):
            wait()
        with Timeout(0.01, False) as timeout:
            pass
        assert not timeout.pending


def test_who_runs():
    greenlets = [gevent.spawn(getcurrent) for _ in range(3)]
    gevent.joinall(greenlets)
    assert [g.value for g in greenlets] == greenlets
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
