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
