"""Children of every native thread, and what the program has set for SIGCHLD."""
import os
import signal
import threading

import gevent
import pytest

from gevent import os as gevent_os
from gevent import subprocess
from gevent.subprocess import PIPE, Popen
from gevent.threadpool import ThreadPool


def in_a_thread(work):
    """What *work* returns in a native thread, or its exception."""
    answers = []

    def run():
        try:
            answers.append(work())
        except BaseException as error:  # pylint:disable=broad-except
            answers.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.005)
    return answers[0]


def here(work):
    return work()


def fork_and_watch(code):
    pid = gevent_os.fork_and_watch()
    if not pid:
        os._exit(code)
    return pid


def status_of(pid):
    found, status = gevent_os.waitpid(pid, 0)
    assert found == pid
    return os.waitstatus_to_exitcode(status)


def popen():
    return Popen(["sh", "-c", "exit 3"]).wait()


def communicate():
    return Popen(["cat"], stdin=PIPE, stdout=PIPE).communicate(b"text")[0]


def check_output():
    return subprocess.check_output(["echo", "text"])


def fork():
    pid = gevent_os.fork_gevent()
    if not pid:
        os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork_watched():
    return status_of(fork_and_watch(5))


def posix_spawn():
    return status_of(gevent_os.posix_spawn(
        "/bin/sh", ["sh", "-c", "exit 6"], os.environ))


def without_hanging():
    reading, writing = os.pipe()
    pid = gevent_os.fork_and_watch()
    if not pid:
        os.read(reading, 1)
        os._exit(7)
    assert gevent_os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.write(writing, b"x")
    while True:
        found, status = gevent_os.waitpid(pid, os.WNOHANG)
        if found:
            break
        gevent.sleep(0.005)
    os.close(reading)
    os.close(writing)
    return os.waitstatus_to_exitcode(status)


WAYS = {popen: 3, communicate: b"text", check_output: b"text\n", fork: 4,
        fork_watched: 5, posix_spawn: 6, without_hanging: 7}


@pytest.mark.parametrize("run", [here, in_a_thread])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_each_way(way, run):
    assert run(way) == WAYS[way]


@pytest.fixture
def wakeups():
    """A function: the bytes that the wake-up descriptor of signals got."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing)

    def read():
        try:
            return os.read(reading, 1000)
        except BlockingIOError:
            return b""
    yield read
    assert signal.set_wakeup_fd(before) == writing
    os.close(reading)
    os.close(writing)


@pytest.fixture
def handled():
    """The signals that the program's own SIGCHLD handler was called with."""
    signals = []
    before = signal.signal(signal.SIGCHLD,
                           lambda number, _frame: signals.append(number))
    yield signals
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("run", [here, in_a_thread])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_program_hears_of_each(way, run, handled, wakeups):
    run(way)
    while not handled:
        gevent.sleep(0.005)
    assert set(handled) == {signal.SIGCHLD}
    assert set(wakeups()) == {signal.SIGCHLD}


def test_the_handler_may_wait_for_children_itself(handled):
    ended = []
    signal.signal(signal.SIGCHLD,
                  lambda *_: ended.append(os.waitpid(pid, os.WNOHANG)))
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(reading, 1)
        os._exit(9)
    os.write(writing, b"x")
    os.close(reading)
    os.close(writing)
    while (0, 0) in ended or not ended:
        gevent.sleep(0.005)
    assert ended == [(pid, 9 << 8)]


def test_children_of_many_threads_at_once():
    def start_some():
        codes = [Popen(["sh", "-c", "exit %d" % code]) for code in range(5)]
        return [each.wait() for each in codes]

    answers = []
    threads = [threading.Thread(
        target=lambda: answers.append(start_some())) for _ in range(6)]
    for thread in threads:
        thread.start()
    own = start_some()
    while any(thread.is_alive() for thread in threads):
        gevent.sleep(0.005)
    assert answers + [own] == [list(range(5))] * 7


def test_a_thread_ends_before_its_child():
    started = []
    reading, writing = os.pipe()
    in_a_thread(lambda: started.append(Popen(["cat"], stdin=reading)))
    os.close(reading)
    os.close(writing)
    assert started[0].wait() == 0
    assert started[0].poll() == 0


def forget_children_that_ended():
    # waitpid(-1) gives their results, too.
    try:
        while gevent_os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


@pytest.mark.parametrize("wait", [
    lambda pid: gevent_os.waitpid(pid, 0), lambda _: gevent_os.waitpid(-1, 0)])
def test_the_thread_that_watches_ends_before_its_child(wait):
    forget_children_that_ended()
    reading, writing = os.pipe()
    started = []

    def start():
        started.append(gevent_os.fork_and_watch())
        if not started[0]:
            os.read(reading, 1)
            os._exit(8)

    in_a_thread(start)
    os.write(writing, b"x")
    assert wait(started[0]) == (started[0], 8 << 8)
    os.close(reading)
    os.close(writing)


def test_the_thread_that_watches_is_busy():
    busy, over = threading.Event(), threading.Event()
    started = []

    def start():
        started.append(Popen(["true"]))
        busy.set()
        over.wait()  # a native wait: its loop does not run
        return started[0].wait()

    answers = []
    thread = threading.Thread(target=lambda: answers.append(start()))
    thread.start()
    busy.wait()
    assert started[0].wait() == 0
    over.set()
    thread.join()
    assert answers == [0]


def test_started_in_a_pool_of_threads():
    pool = ThreadPool(2)
    assert pool.apply(check_output) == b"text\n"
    assert pool.map(lambda code: subprocess.call(
        ["sh", "-c", "exit %d" % code]), range(4)) == [0, 1, 2, 3]
    pool.kill()
