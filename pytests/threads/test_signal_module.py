"""gevent.signal: SIGCHLD of patched programs."""
import signal as native

import pytest
from gevent import signal


def test_other_signals_are_the_native_ones():
    before = native.getsignal(native.SIGUSR1)
    try:
        assert signal.signal(signal.SIGUSR1, print) == before
        assert signal.getsignal(signal.SIGUSR1) is print
        assert native.getsignal(native.SIGUSR1) is print
    finally:
        native.signal(native.SIGUSR1, before)


@pytest.mark.parametrize("handler", [None, "print", 3.5])
def test_bad_handlers(handler):
    for number in (signal.SIGCHLD, signal.SIGUSR1):
        with pytest.raises(TypeError):
            signal.signal(number, handler)


def test_module_has_what_the_native_one_has():
    for name in dir(native):
        assert hasattr(signal, name) or name.startswith("__"), name


def test_handler_of_sigchld(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, os, signal, socket
        from gevent.event import Event
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        called = Event()
        calls = []

        def handler(*args):
            calls.append(args)
            assert isinstance(gevent.getcurrent(), gevent.Greenlet)
            called.set()

        assert signal.signal(signal.SIGCHLD, handler) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGCHLD) is handler
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        assert signal.set_wakeup_fd(writer.fileno()) == -1
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        assert called.wait(20)
        assert calls[0] == (signal.SIGCHLD, None)
        assert reader.recv(1) == bytes([signal.SIGCHLD])
        assert os.waitpid(pid, 0) == (pid, 0)
        assert signal.set_wakeup_fd(-1) == writer.fileno()

        # Back to the default; children are still waited for.
        assert signal.signal(signal.SIGCHLD, signal.SIG_DFL) is handler
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        del calls[:]
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        _, status = os.waitpid(pid, 0)
        assert os.WEXITSTATUS(status) == 3
        gevent.sleep(0)
        assert calls == []
    """)


def test_pthread_kill_takes_the_identities_of_patched_threads(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, signal, threading

        came = []
        signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
        main = threading.get_ident()

        def kill(ident, times):
            signal.pthread_kill(ident, signal.SIGUSR1)
            with gevent.Timeout(20):
                while len(came) < times:
                    gevent.sleep(0.001)

        kill(main, 1)
        thread = threading.Thread(target=kill, args=(main, 2))
        thread.start()
        thread.join()
        assert len(came) == 2
        kill(monkey.get_original("threading", "get_ident")(), 3)

        # From another native thread.
        get_native_ident = monkey.get_original("_thread", "get_ident")
        native = gevent.get_hub().threadpool.apply(
            lambda: (get_native_ident(),
                     signal.pthread_kill(main, signal.SIGUSR1)))
        assert native[0] != get_native_ident()
        assert len(came) == 4 and gevent.sleep(0) is None
    """)


def test_pthread_kill_of_no_thread(run_program):
    # The native function takes a number for an address.
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import signal, threading
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        for ident in 0, 1, id(object), thread.ident:
            try:
                signal.pthread_kill(ident, 0)
            except ProcessLookupError:
                pass
            else:
                # The greenlet may still be there.
                assert ident == thread.ident
        try:
            signal.pthread_kill("1", 0)
        except TypeError:
            pass
        else:
            raise AssertionError
    """)
