"""The threading module of patched programs."""
import sys

import gevent
import pytest

PATCH = "from gevent import monkey; monkey.patch_all()\n"


@pytest.fixture
def patched(run_program):
    """Run a program that starts by patching everything."""
    import textwrap

    def run(source, *arguments, **keywords):
        return run_program(PATCH + textwrap.dedent(source), *arguments,
                           **keywords)
    return run


def test_threads_are_greenlets(patched):
    patched("""
        import threading, gevent
        seen, go = [], threading.Event()

        def work(n):
            go.wait()
            seen.append((n, threading.get_ident(), gevent.getcurrent()))
            assert threading.current_thread() is threads[n]

        threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
        for thread in threads:
            assert thread.ident is None and not thread.is_alive()
            thread.start()
            assert thread.is_alive()
        assert len(threading.enumerate()) == 21
        go.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive() and 'stopped' in repr(thread)
        assert threading.enumerate() == [threading.main_thread()]
        for n, ident, greenlet in seen:
            assert threads[n].ident == ident == id(greenlet)
            assert isinstance(greenlet, gevent.Greenlet)
    """)


def test_main_thread(patched):
    patched("""
        import threading, gevent
        main = threading.main_thread()
        assert main is threading.current_thread()
        assert main.ident == threading.get_ident() == id(gevent.getcurrent())
        assert threading.enumerate() == [main]
        assert main.is_alive() and main.name == 'MainThread'
        try:
            main.join()
        except RuntimeError:
            pass
        else:
            raise AssertionError
        waiting = gevent.spawn(main.join, 0.001)
        waiting.join(10)
        assert waiting.successful()
    """)


def test_main_thread_when_patched_by_a_greenlet(run_program):
    run_program("""
        import gevent, threading
        from gevent import monkey
        gevent.spawn(monkey.patch_all).get()
        main = threading.main_thread()
        assert main is threading.current_thread()
        assert threading.enumerate() == [main]
    """)


def test_class_defined_before_patching(run_program):
    done = run_program("""
        import threading

        class Mine(threading.Thread):
            def run(self):
                print('runs')

        class MyTimer(threading.Timer):
            pass

        from gevent import monkey; monkey.patch_all()
        for thread in (Mine(), Mine(daemon=True), MyTimer(0.001, print, ('t',))):
            thread.start()
            thread.join(20)
            assert not thread.is_alive()
    """)
    assert done.stdout == "runs\nruns\nt\n"


def test_native_thread_running_while_patching(run_program):
    done = run_program("""
        import threading
        go_on, started = threading.Event(), threading.Event()

        def work():
            started.set()
            go_on.wait(20)

        thread = threading.Thread(target=work)
        thread.start()
        started.wait(20)
        from gevent import monkey; monkey.patch_all()
        assert thread in threading.enumerate()
        go_on.set()
        thread.join(20)
        assert not thread.is_alive()
        # 3.10's looks for itself only under the identity of now.
        import sys
        if sys.version_info >= (3, 11):
            assert threading.enumerate() == [threading.main_thread()]
    """)
    assert done.stderr == ""


def test_patching_in_a_thread(run_program):
    done = run_program("""
        import threading, warnings
        from gevent import monkey
        main = threading.main_thread()

        def work():
            before = threading.current_thread()
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                monkey.patch_all()
            # This one is a bare greenlet now.
            assert threading.current_thread() is not before

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not isinstance(main, threading._DummyThread)
        assert main in threading.enumerate()
    """)
    assert "Traceback" not in done.stdout


def test_timer(patched):
    patched("""
        import threading
        called = []
        timer = threading.Timer(0.001, called.append, (1,))
        timer.start()
        timer.join(20)
        assert called == [1]
        timer = threading.Timer(60, called.append, (2,))
        timer.start()
        timer.cancel()
        timer.join(20)
        assert called == [1] and not timer.is_alive()
        assert isinstance(timer, threading.Thread)
    """)


def test_errors_in_threads(patched):
    done = patched("""
        import threading
        told = []
        threading.excepthook = told.append
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join(20)
        assert told[0].exc_type is ZeroDivisionError
        assert told[0].thread is thread

        def leave():
            raise SystemExit(3)

        thread = threading.Thread(target=leave)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
    """)
    assert done.stderr == ""


def test_misuse(patched):
    patched("""
        import threading
        thread = threading.Thread(target=lambda: None)

        def fails(function, *args):
            try:
                function(*args)
            except RuntimeError:
                return
            raise AssertionError(function)

        fails(thread.join)
        thread.start()
        fails(thread.start)
        fails(setattr, thread, 'daemon', True)
        thread.join()
        fails(threading.current_thread().join)
    """)


def test_failure_to_start(patched):
    patched("""
        import threading
        from unittest import mock
        name = ('_start_joinable_thread'
                if hasattr(threading, '_start_joinable_thread')
                else '_start_new_thread')
        thread = threading.Thread(target=lambda: None)
        with mock.patch.object(threading, name, side_effect=OSError):
            try:
                thread.start()
            except OSError:
                pass
        assert thread not in threading._limbo
    """)


def test_thread_without_references_left(patched):
    patched("""
        import threading, weakref, gc

        class Cycle:
            def __init__(self):
                self.thread = threading.Thread(target=self.run, args=(self,))
                self.thread.start()
            def run(self, _self):
                pass

        gc.disable()
        cycle = Cycle()
        cycle.thread.join()
        reference = weakref.ref(cycle)
        del cycle
        assert reference() is None
    """)


def test_conditions_and_queues(patched):
    patched("""
        import threading, queue
        tasks, results = queue.Queue(3), queue.SimpleQueue()
        ready = threading.Barrier(4)

        def work():
            ready.wait(20)
            for task in iter(tasks.get, None):
                results.put(task * 2)
                tasks.task_done()
            tasks.task_done()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.wait(20)
        for n in range(50):
            tasks.put(n)
        for _ in threads:
            tasks.put(None)
        tasks.join()
        for thread in threads:
            thread.join(20)
        assert sorted(results.get() for _ in range(50)) == [
            2 * n for n in range(50)]
    """)


def test_locals(patched):
    patched("""
        import threading, _threading_local
        for local in (threading.local(), _threading_local.local()):
            local.x = 'main'
            seen = []

            def work():
                seen.append(hasattr(local, 'x'))
                local.x = 'thread'

            thread = threading.Thread(target=work)
            thread.start()
            thread.join(20)
            assert seen == [False] and local.x == 'main'
    """)


# -- greenlets that are no threads

def test_dummy_threads_go_with_their_greenlets(patched):
    patched("""
        import threading, gevent

        def work():
            thread = threading.current_thread()
            assert isinstance(thread, threading._DummyThread)
            assert thread is threading.current_thread()
            assert thread.ident == threading.get_ident()
            assert thread.daemon and thread.is_alive()
            assert thread.name.startswith('Dummy-')
            assert thread in threading.enumerate()

        for _ in range(10):
            greenlet = gevent.spawn(work)
            greenlet.get()
        raw = gevent.spawn_raw(work)
        gevent.sleep(0)
        assert raw.dead
        del raw, greenlet
        gevent.sleep(0)
        assert threading.enumerate() == [threading.main_thread()]
        assert len(threading._dangling) == 1
    """)


def test_dummy_thread_does_not_outlive_native_thread(patched):
    patched("""
        import threading, gevent

        def work():
            return threading.current_thread().ident

        pool = gevent.get_hub().threadpool
        assert pool.apply(work) != threading.get_ident()
        pool.kill()
        names = [thread.name for thread in threading.enumerate()]
        assert 'MainThread' in names
    """)


def test_dummy_thread_without_patching():
    import threading
    from gevent import threading as gthreading
    mine = threading.current_thread()
    thread = gthreading._DummyThread()
    try:
        assert thread.name.startswith("Dummy-")
        assert type(thread) is not threading._DummyThread
        assert thread.is_alive()
    finally:
        threading._active.pop(thread.ident, None)
        threading._active[mine.ident] = mine  # which it took the place of


def test_module_has_what_the_native_one_has():
    import threading
    from gevent import threading as gthreading
    for name in threading.__all__:
        assert hasattr(gthreading, name), name


# -- the end of the program

def test_waits_for_threads_at_exit(patched):
    done = patched("""
        import threading, time

        def work():
            time.sleep(0.05)
            threading.Thread(target=later).start()
            print('work')

        def later():
            time.sleep(0.01)
            print('later')

        threading.Thread(target=work).start()
        print('main')
    """)
    assert done.stdout == "main\nwork\nlater\n"


def test_does_not_wait_for_daemons_and_greenlets(patched):
    done = patched("""
        import threading, gevent

        def work():
            gevent.sleep(60)
            print('never')

        threading.Thread(target=work, daemon=True).start()
        gevent.spawn(work)
        gevent.sleep(0)
    """)
    assert done.stdout == ""


@pytest.mark.parametrize("end, status", [
    ("sys.exit(7)", 7), ("raise ValueError", 1),
    ("gevent.spawn(sys.exit, 7); gevent.sleep(60)", 7),
])
def test_waits_for_threads_however_it_ends(patched, end, status):
    done = patched(f"""
        import threading, time, sys, gevent

        def work():
            time.sleep(0.05)
            print('work')

        threading.Thread(target=work).start()
        {end}
    """, status=status)
    assert done.stdout == "work\n"


def test_joining_the_main_thread(patched):
    done = patched("""
        import threading

        def work(main):
            main.join()
            assert not main.is_alive()
            print('after main')

        threading.Thread(target=work, args=(threading.main_thread(),)).start()
        print('main')
    """)
    assert done.stdout == "main\nafter main\n"


def test_thread_that_waits_for_ever(patched):
    # Nothing could wake it, so the program may as well end.
    patched("""
        import threading
        lock = threading.Lock()
        lock.acquire()
        threading.Thread(target=lock.acquire).start()
    """, timeout=20)


def test_exit_hooks_of_threading(patched):
    done = patched("""
        import threading, concurrent.futures, time
        threading._register_atexit(print, 'hook')
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            assert list(executor.map(abs, [-1, -2])) == [1, 2]
        executor = concurrent.futures.ThreadPoolExecutor(2)
        executor.submit(lambda: (time.sleep(0.01), print('task')))
    """)
    assert sorted(done.stdout.split()) == ["hook", "task"]


# -- fork

def test_fork_in_main_thread(patched):
    done = patched("""
        import os, threading, time

        def work():
            time.sleep(0.01)

        thread = threading.Thread(target=work)
        thread.start()
        pid = os.fork()
        if pid == 0:
            main = threading.main_thread()
            assert main is threading.current_thread()
            assert threading.enumerate() == [main]
            assert not thread.is_alive()
            thread.join()
            other = threading.Thread(target=print, args=('child',))
            other.start()
            other.join()
            # The greenlet itself lives on; it must not complain.
            time.sleep(0.02)
        else:
            assert os.waitpid(pid, 0) == (pid, 0)
            thread.join()
            print('parent')
    """)
    assert done.stdout == "child\nparent\n"
    assert done.stderr == ""


def test_fork_in_a_thread(patched):
    done = patched("""
        import os, sys, threading

        def work():
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0) == (pid, 0)
                print('parent')
                return
            current = threading.current_thread()
            assert current is thread is threading.main_thread()
            assert threading.enumerate() == [current]
            other = threading.Thread(target=print, args=('child',))
            other.start()
            other.join(20)
            sys.stdout.flush()
            os._exit(0)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    """)
    assert done.stdout == "child\nparent\n"
    assert done.stderr == ""


def test_fork_in_a_bare_greenlet(patched):
    done = patched("""
        import gevent, os, sys, threading

        def work():
            threading.current_thread()
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0) == (pid, 0)
                return
            main = threading.main_thread()
            assert main is threading.current_thread() and main.is_alive()
            assert threading.enumerate() == [main]
            print(repr(main))
            sys.stdout.flush()
            os._exit(0)

        gevent.spawn(work).get()
    """)
    assert done.stderr == ""
    if sys.version_info >= (3, 12, 2):
        assert done.stdout.startswith("<_MainThread(MainThread, started")


def test_locks_held_by_others_at_fork(patched):
    patched("""
        import os, threading, logging
        logging.basicConfig()
        lock = threading.Lock()
        os.register_at_fork(after_in_child=lock._at_fork_reinit)
        ready, go_on = threading.Event(), threading.Event()

        def work():
            with lock:
                ready.set()
                go_on.wait()

        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        pid = os.fork()
        if pid == 0:
            assert lock.acquire(timeout=30)
            logging.getLogger().debug('works')
            os._exit(0)
        assert os.waitpid(pid, 0) == (pid, 0)
        go_on.set()
        thread.join()
    """)


def test_handles_are_done_in_the_child():
    # The part of it that Python 3.13 needs, on every version.
    from gevent import thread
    handle = thread.start_joinable_thread(lambda: gevent.sleep(0.001))
    mine = thread._make_thread_handle(thread.get_ident())
    thread._end_others_after_fork()
    assert handle.is_done() and not mine.is_done()
    gevent.sleep(0.01)


def test_what_a_thread_says_of_itself(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import threading
        thread = threading.Thread(target=int)
        assert repr(thread).endswith(", initial)>"), thread
        thread.start()
        assert ", started " in repr(thread), thread
        thread.join()
        assert ", stopped " in repr(thread), thread
    """)
