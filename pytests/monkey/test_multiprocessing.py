"""multiprocessing under patching, beside greenlets that run."""
import os
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import multiprocessing, os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
import gevent

def square(number):
    return number * number

def answer(questions, answers):
    for question in iter(questions.get, None):
        answers.put((question, os.getpid()))

def use_process(context):
    questions, answers = context.Queue(), context.Queue()
    child = context.Process(target=answer, args=(questions, answers))
    child.start()
    for number in range(20):
        questions.put(number)
    questions.put(None)
    got = [answers.get() for _ in range(20)]
    assert got == [(number, child.pid) for number in range(20)], got
    child.join()
    assert child.exitcode == 0

def use_pool(context):
    with context.Pool(4, maxtasksperchild=5) as pool:
        wanted = [number * number for number in range(15)]
        assert pool.map(square, range(15), 1) == wanted
        assert sorted(pool.imap_unordered(square, range(15))) == wanted

def use_executor(context):
    with ProcessPoolExecutor(3, mp_context=context) as executor:
        assert list(executor.map(square, range(9))) == [
            number * number for number in range(9)]

def echo(end):
    while (message := end.recv_bytes()):
        end.send_bytes(message)

def use_pipe(context):
    # More than the socket holds, so each side waits for the other.
    here, there = context.Pipe()
    child = context.Process(target=echo, args=(there,))
    child.start()
    message = bytes(range(256)) * 4096
    here.send_bytes(message)
    assert here.recv_bytes() == message
    here.send_bytes(b'')
    child.join()

def hold(lock, held, release):
    with lock:
        held.set()
        release.wait()

def use_locks(context):
    for lock in (context.Lock(), context.RLock(), context.Semaphore(1)):
        held, release = context.Event(), context.Event()
        child = context.Process(target=hold, args=(lock, held, release))
        child.start()
        assert held.wait(30)
        assert not lock.acquire(timeout=0.01)
        assert not lock.acquire(False)
        # Let go by another greenlet while this one waits.
        gevent.spawn(release.set)
        assert lock.acquire(timeout=30)
        lock.release()
        child.join()

def tick(ticks):
    while True:
        ticks[0] += 1
        gevent.sleep(0.001)

if __name__ == '__main__':
    context = multiprocessing.get_context(sys.argv[1])
    ticks = [0]
    for _ in range(3):
        gevent.spawn(tick, ticks)
    gevent.spawn(globals()['use_' + sys.argv[2]], context).get()
    assert ticks[0] > 3
    print('done')
"""


@pytest.fixture
def run_file(tmp_path):
    """A function that runs *source*, as a file that children can import."""
    def run(source, *arguments, timeout=140, status=0, **environment):
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(source))
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", path, *arguments],
            env=dict(os.environ, **environment), capture_output=True,
            text=True, timeout=timeout)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout
    return run


@pytest.mark.parametrize("what", ["process", "pool", "executor", "pipe",
                                  "locks"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_from_a_greenlet(run_file, method, what):
    assert run_file(PROGRAM, method, what) == "done\n"


def test_a_child_runs_its_own_greenlet_only(run_file):
    assert sorted(run_file("""
        from gevent import monkey; monkey.patch_all()
        import multiprocessing, os
        import gevent

        def other():
            gevent.sleep(0.001)
            os.write(1, b'other %d\\n' % (os.getpid() == parent))

        def timed():
            with gevent.Timeout(0.001, False):
                gevent.sleep(60)
            os.write(1, b'timed %d\\n' % (os.getpid() == parent))

        def child():
            spawned = gevent.spawn(gevent.sleep, 0.05)
            spawned.join()
            assert spawned.successful()

        parent = os.getpid()
        gevent.spawn(other)
        gevent.spawn(timed)
        gevent.sleep(0)
        gevent.spawn(os.write, 1, b'queued\\n')
        process = multiprocessing.get_context('fork').Process(target=child)
        process.start()
        process.join()
        gevent.sleep(0.05)
        assert process.exitcode == 0
    """).splitlines()) == ["other 1", "queued", "timed 1"]


def test_a_recursive_lock_belongs_to_a_greenlet(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import multiprocessing
        import gevent
        lock = multiprocessing.RLock()
        with lock, lock:
            other = gevent.spawn(lock.acquire, True, 0.01)
            assert other.get() is False
            try:
                gevent.spawn(lock.release).get()
            except AssertionError:
                pass
            else:
                raise SystemExit('another greenlet could release it')
        assert gevent.spawn(lock.acquire).get() is True
    """)


def test_conditions(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import multiprocessing
        import gevent
        for lock in (None, multiprocessing.Lock()):
            condition = multiprocessing.Condition(lock)
            def wait():
                with condition:
                    return condition.wait(30)
            waiting = gevent.spawn(wait)
            gevent.sleep(0.001)
            with condition:
                condition.notify()
            assert waiting.get() is True
    """)


@pytest.mark.parametrize("first", ["", "import multiprocessing.synchronize; "
                                   "import multiprocessing.connection"])
def test_whether_imported_before_or_after(run_program, first):
    run_program(f"""
        {first}
        from gevent import monkey; monkey.patch_all()
        import gevent, multiprocessing, multiprocessing.connection
        assert multiprocessing.connection.__loader__.get_data
        reader, writer = multiprocessing.Pipe(False)
        gevent.spawn(writer.send, 'x')
        assert reader.recv() == 'x'
        queue = multiprocessing.SimpleQueue()
        gevent.spawn(queue.put, 'x')
        assert queue.get() == 'x'
    """)


def test_signals_are_not_blocked_by_passing_descriptors(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, signal
        from multiprocessing import Pipe, reduction
        import multiprocessing.connection
        got = []
        signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
        reader, writer = Pipe(False)
        same = reduction.ForkingPickler.loads(
            reduction.ForkingPickler.dumps(reader))
        writer.send('x')
        assert same.recv() == 'x'
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
        os.kill(os.getpid(), signal.SIGUSR1)
        assert got
    """)


def test_it_is_not_imported_by_patching(run_program):
    run_program("""
        import sys
        from gevent import monkey; monkey.patch_all()
        assert 'multiprocessing' not in sys.modules
    """)


FORK = """
import gevent, os
from gevent import monkey
monkey.patch_all()

def other():
    gevent.sleep(0.01)
    os.write(1, b'other\\n')

def fork():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    gevent.sleep(0.05)
    os.write(1, b'child\\n')

gevent.spawn(other)
gevent.sleep(0)
gevent.spawn(fork).join()
gevent.sleep(0.02)
os.write(1, b'main\\n')
"""


def test_locks_that_dropped_greenlets_were_about_to_take(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, threading
        import gevent
        lock = threading.Lock()
        lock.acquire()
        parked = [gevent.spawn(lock.acquire) for _ in range(3)]
        gevent.sleep(0)
        lock.release()  # the first of them is told, and has not run
        if os.fork():
            assert os.wait()[1] == 0
            raise SystemExit
        assert lock.acquire()
        other = gevent.spawn(lock.acquire)
        gevent.sleep(0)
        lock.release()
        assert other.get() is True
        os._exit(0)
    """, GEVENT_DROP_GREENLETS_ON_FORK="1")


def test_dropped_greenlets_that_were_about_to_connect(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, socket
        import gevent
        listener = socket.create_server(('127.0.0.1', 0), backlog=100)

        def connect():
            socket.create_connection(listener.getsockname(), timeout=20)

        def fork():
            if os.fork():
                assert os.wait()[1] == 0
            else:
                for _ in range(20):
                    connect()
                os._exit(0)

        connecting = [gevent.spawn(connect) for _ in range(20)]
        gevent.spawn(fork).get()
        gevent.joinall(connecting, raise_error=True)
    """, GEVENT_DROP_GREENLETS_ON_FORK="1")


def test_dropped_greenlets_that_were_to_start_later(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import os
        import gevent

        def start():
            assert os.getpid() == parent, 'in the child'

        parent = os.getpid()
        later = [gevent.spawn_later(0.01, start), gevent.spawn(start)]
        never = gevent.Greenlet(start)
        if os.fork():
            gevent.joinall(later, raise_error=True)
            assert os.wait()[1] == 0
            raise SystemExit
        gevent.get_hub().handle_error = lambda *_: os._exit(1)
        gevent.sleep(0.05)
        started = []
        gevent.spawn_later(0.01, started.append, 1).join()
        os._exit(started != [1])
    """, GEVENT_DROP_GREENLETS_ON_FORK="1")


def test_greenlets_live_on_in_a_fork(run_program):
    done = run_program(FORK)
    assert sorted(done.stdout.split()) == [
        "child", "main", "main", "other", "other"]


def test_greenlets_can_be_dropped_in_a_fork(run_program):
    done = run_program(FORK, GEVENT_DROP_GREENLETS_ON_FORK="1")
    assert sorted(done.stdout.split()) == ["child", "main", "other"]
