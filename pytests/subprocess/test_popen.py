"""Child processes: how they start, end, and talk."""
import errno
import os
import pickle
import signal
import subprocess as native
import sys
import threading
import time

import gevent
import gevent.os
import pytest

from gevent import subprocess
from gevent.subprocess import PIPE, Popen, TimeoutExpired

PYTHON = sys.executable


def script(source):
    return [PYTHON, "-S", "-E", "-c", source]


# -- ending --------------------------------------------------------------------------

def test_exit_codes():
    assert Popen("exit 7", shell=True).wait() == 7
    assert Popen("kill -9 $$", shell=True).wait() == -9
    assert subprocess.call(["true"]) == 0


def test_others_run_between_starts():
    """Who starts many children in a row does not hold up the rest."""
    read, write = os.pipe()
    try:
        started, events = [], []

        def watch():
            gevent.os.nb_read(read, 1)
            events.append(len(started))

        gevent.os.make_nonblocking(read)
        watching = gevent.spawn(watch)
        gevent.sleep(0)
        os.write(write, b"x")
        for _ in range(3):
            started.append(Popen(["true"]))
        for child in started:
            assert child.wait() == 0
        watching.join()
        assert events[0] < 3
    finally:
        os.close(read)
        os.close(write)


def test_a_kill_loses_no_child(monkeypatch):
    """It comes before the child is started, or after."""
    started, children = [], []
    fork_exec = subprocess.fork_exec

    def counted(*args):
        started.append(1)
        return fork_exec(*args)

    monkeypatch.setattr(subprocess, "fork_exec", counted)
    starting = gevent.spawn(lambda: children.append(Popen(["true"])))
    gevent.sleep(0)
    starting.kill()
    assert len(started) == len(children)
    for child in children:
        assert child.wait() == 0


def test_others_run_while_a_child_does():
    turns = []

    def count():
        while True:
            turns.append(1)
            gevent.sleep(0.01)

    counting = gevent.spawn(count)
    assert Popen(["sleep", "0.2"]).wait() == 0
    counting.kill()
    assert len(turns) > 3


def test_wait_with_a_timeout():
    with Popen(["sleep", "60"]) as process:
        for timeout in (0.01, 0, -1):
            with pytest.raises(TimeoutExpired) as caught:
                process.wait(timeout)
            assert caught.value.timeout == timeout
        assert process.wait(0.01, _raise_exc=False) is None
        assert process.poll() is None
        process.terminate()
        assert process.wait(timeout=30) == -signal.SIGTERM
        process.kill()  # gone: nothing happens


def test_a_killed_wait_can_be_repeated():
    with Popen(["sleep", "60"]) as process:
        waiting = gevent.spawn(process.wait)
        gevent.sleep(0)
        waiting.kill()
        with gevent.Timeout(0.01, False):
            process.wait()
        process.kill()
        assert process.wait(30) == -signal.SIGKILL


def test_poll_needs_no_turn_of_the_hub():
    process = Popen(["true"])
    while process.poll() is None:
        time.sleep(0.001)
    assert process.returncode == 0
    assert process.wait() == 0


def test_links_and_the_result():
    process = Popen("exit 3", shell=True)
    seen = []
    process.rawlink(seen.append)
    process.rawlink(seen.pop)
    process.unlink(seen.pop)
    assert gevent.wait([process]) == [process]
    assert seen == [process]
    assert process.result.get() == 3


def test_a_child_keeps_the_loop_alive():
    process = Popen(["sleep", "0.1"])
    assert gevent.wait(timeout=30)
    assert process.returncode == 0


def test_many_at_a_time():
    processes = [Popen(f"exit {n}", shell=True) for n in range(60)]
    assert [p.wait(60) for p in processes] == list(range(60))


def test_in_another_thread():
    results = []

    def run():
        results.append(subprocess.check_output(["echo", "there"]))
        with Popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
            results.append(process.communicate(b"x", timeout=30))
        results.append(Popen("exit 5", shell=True).wait(30))
        gevent.get_hub().destroy()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert results == [b"there\n", (b"x", None), 5]


def test_waited_for_by_another_thread():
    process = Popen(["sleep", "0.1"])
    results = []

    def wait():
        results.append(process.wait(30))
        gevent.get_hub().destroy()

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.01)
    assert results == [0]


def test_the_handler_of_the_program_stays(run_program):
    done = run_program("""
        import signal, os
        calls = []
        signal.signal(signal.SIGCHLD, lambda *args: calls.append(args[0]))
        handler = signal.getsignal(signal.SIGCHLD)
        import gevent
        from gevent import subprocess
        assert subprocess.call(['true']) == 0
        assert subprocess.call(['false']) == 1
        while len(calls) < 2:
            gevent.sleep(0.01)
        assert signal.getsignal(signal.SIGCHLD) is handler
        print('ok')
    """)
    assert done.stdout == "ok\n"


def test_sigchld_ignored(run_program):
    # Then the system keeps no status; the standard library says 0.
    done = run_program("""
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        from gevent import subprocess
        print(subprocess.Popen(['false']).wait(30))
    """)
    assert done.stdout == "0\n"


# -- communicating -------------------------------------------------------------------

def test_both_directions_at_once():
    data = os.urandom(3_000_000)
    with Popen(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.communicate(data) == (data, b"")
        assert process.communicate() == (data, b"")
        assert process.stdin.closed and process.stdout.closed


@pytest.mark.filterwarnings("ignore:line buffering")
@pytest.mark.parametrize("bufsize", [-1, 0, 1, 5])
@pytest.mark.parametrize("text", [False, True])
def test_buffering_and_text(bufsize, text):
    kind = str if text else bytes
    data = "one\ntwo\N{SNOWMAN}\n" * 40_000
    data = data if text else data.encode()
    encoding = "utf-8" if text else None
    with Popen(["cat"], bufsize, stdin=PIPE, stdout=PIPE,
               encoding=encoding) as process:
        output, nothing = process.communicate(data)
    assert output == data
    assert nothing is None
    assert isinstance(output, kind)


def test_input_to_a_child_that_does_not_read():
    data = b"x" * 1_000_000
    with Popen(["true"], stdin=PIPE) as process:
        assert process.communicate(data) == (None, None)
    assert subprocess.run(["true"], input=data).returncode == 0


SLOW = "printf 'one\\ntwo'; sleep 0.5; printf 'three\\n'; printf err >&2"


@pytest.mark.parametrize("text", [False, True])
def test_a_timeout_loses_no_output(text):
    with Popen(SLOW, shell=True, stdout=PIPE, stderr=PIPE,
               text=text) as process:
        timeouts = 0
        while True:
            try:
                output, errors = process.communicate(timeout=0.02)
                break
            except TimeoutExpired as ex:
                timeouts += 1
                assert b"one\ntwothree\n".startswith(ex.output or b"")
    assert timeouts
    assert output == ("one\ntwothree\n" if text else b"one\ntwothree\n")
    assert errors == ("err" if text else b"err")


def test_another_timeout_loses_no_output():
    with Popen(SLOW, shell=True, stdout=PIPE) as process:
        for _ in range(5):
            with gevent.Timeout(0.02, False):
                process.communicate()
        assert process.communicate() == (b"one\ntwothree\n", None)


def test_a_timeout_loses_no_input():
    data = os.urandom(500_000)
    source = ("import sys, time; time.sleep(0.3);"
              "sys.stdout.buffer.write(sys.stdin.buffer.read())")
    with Popen(script(source), stdin=PIPE, stdout=PIPE) as process:
        with pytest.raises(TimeoutExpired):
            process.communicate(data, timeout=0.05)
        with pytest.raises(ValueError):
            process.communicate(data)
        assert process.communicate()[0] == data


@pytest.mark.parametrize("text", [False, True])
def test_what_was_read_ahead_is_not_lost(text):
    with Popen("printf 'a\\nb\\nc'", shell=True, stdout=PIPE,
               stderr=PIPE, text=text) as process:
        first = process.stdout.readline()
        rest, _ = process.communicate(timeout=30)
    assert first + rest == ("a\nb\nc" if text else b"a\nb\nc")


def test_communicating_by_a_wait_of_a_subclass():
    class Child(Popen):
        waits = 0

        def wait(self, timeout=None):
            self.waits += 1
            return super().wait(timeout)

    child = Child(['cat'], stdin=PIPE, stdout=PIPE)
    assert child.communicate(b'some') == (b'some', None)
    assert child.waits == 1
    child = Child(['sleep', '60'], stdout=PIPE)
    with pytest.raises(TimeoutExpired):
        child.communicate(timeout=0.01)
    child.kill()
    assert child.communicate(timeout=20) == (b'', None)
    assert child.wait() == -signal.SIGKILL


def test_output_that_is_not_text():
    with Popen("printf '\\377'", shell=True, stdout=PIPE,
               encoding="utf-8") as process:
        with pytest.raises(UnicodeDecodeError):
            process.communicate()


def test_input_of_the_wrong_type():
    with Popen(["cat"], stdin=PIPE, stdout=PIPE) as process:
        with pytest.raises(TypeError):
            process.communicate("text")


def test_leaving_while_others_read():
    with Popen(["sleep", "60"], stdout=PIPE, stderr=PIPE) as process:
        communicating = gevent.spawn(process.communicate)
        gevent.sleep(0)
        communicating.kill()
        process.kill()
    assert process.stdout.closed and process.stderr.closed


# -- starting ------------------------------------------------------------------------

@pytest.mark.parametrize("arguments", [
    {"args": ["/does/not/exist"]},
    {"args": ["does-not-exist-anywhere"]},
    {"args": ["true"], "cwd": "/does/not/exist"},
    {"args": ["/etc/passwd"]},
    {"args": "true", "shell": True, "cwd": "/does/not/exist"},
    {"args": ["true"], "env": {"a=b": "c"}},
    {"args": []},
    {"args": [1]},
    {"args": ["true"], "bufsize": "1"},
    {"args": ["true"], "stdout": subprocess.STDOUT},
    {"args": ["true"], "startupinfo": 1},
    {"args": ["true"], "stdin": object()},
    {"args": ["true"], "text": True, "universal_newlines": False},
])
def test_errors_are_those_of_the_standard_library(arguments):
    with pytest.raises(Exception) as expected:
        native.Popen(**arguments)
    with pytest.raises(type(expected.value)) as caught:
        Popen(**arguments)
    assert str(caught.value) == str(expected.value)
    if isinstance(expected.value, OSError):
        assert caught.value.errno == expected.value.errno
        assert caught.value.filename == expected.value.filename


# What C code (the locale, readline) puts into the environment is not counted.
REPORT = """
import os
hidden = {'LC_CTYPE', 'LINES', 'COLUMNS'}
print(sorted(set(os.environ) - hidden), os.getcwd(), os.umask(0), os.getsid(0) == os.getpid())
print([fd for fd in range(3, 50) if os.path.exists(f'/proc/self/fd/{fd}')])
"""


@pytest.mark.parametrize("preexec_fn", [None, int])
@pytest.mark.parametrize("arguments", [
    {}, {"cwd": "/"}, {"env": {"A": "b"}}, {"umask": 0o27},
    {"start_new_session": True}, {"close_fds": False},
    {"restore_signals": False}, {"executable": PYTHON},
    {"group": os.getgid(), "user": os.getuid()} if os.getuid() == 0 else {},
])
def test_the_child_is_what_was_asked_for(arguments, preexec_fn):
    command = script(REPORT)
    expected = native.check_output(command, **arguments)
    assert subprocess.check_output(
        command, preexec_fn=preexec_fn, **arguments) == expected


def test_a_start_that_fails_leaves_nothing_open():
    class Failing(Popen):

        def _execute_child(self, *args, **kwargs):
            raise ZeroDivisionError

    for kind in (Failing, Popen):
        with pytest.raises((ZeroDivisionError, FileNotFoundError)):
            kind(["/does/not/exist"], stdin=PIPE, stdout=PIPE, stderr=PIPE)


def test_no_descriptor_left_to_watch_a_child(monkeypatch):
    def fail(*_args):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("gevent.os.fork_and_watch", fail)
    with pytest.raises(OSError, match="Too many open files"):
        Popen(["sleep", "600"], stdin=PIPE, stdout=PIPE)


@pytest.mark.parametrize("preexec_fn", [None, int])
def test_descriptors_handed_on(preexec_fn):
    read, write = os.pipe()
    try:
        command = [PYTHON, "-c", f"import os; os.write({write}, b'here')"]
        assert subprocess.call(command, pass_fds=[write],
                               preexec_fn=preexec_fn) == 0
        assert os.read(read, 9) == b"here"
        assert subprocess.call(command, preexec_fn=preexec_fn,
                               stderr=subprocess.DEVNULL) == 1
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("preexec_fn", [None, int])
def test_standard_streams(preexec_fn, tmp_path):
    with open(tmp_path / "out", "w+b") as file:
        subprocess.check_call(
            "echo out; echo err >&2", shell=True, stdout=file,
            stderr=subprocess.STDOUT, preexec_fn=preexec_fn)
        file.seek(0)
        assert file.read() == b"out\nerr\n"
    with Popen("echo out; echo err >&2", shell=True, stdout=PIPE, stderr=PIPE,
               stdin=subprocess.DEVNULL, preexec_fn=preexec_fn) as process:
        assert process.communicate() == (b"out\n", b"err\n")


def test_the_child_gets_a_blocking_descriptor():
    read, write = os.pipe()
    with gevent.fileobject.FileObject(read, "rb") as file:
        source = "import os; print(os.get_blocking(0))"
        assert subprocess.check_output(
            script(source), stdin=file) == b"True\n"
    os.close(write)


class Unpicklable(Exception):

    def __init__(self, one, two):
        super().__init__(one)


def test_errors_of_preexec_fn_arrive():
    def fail():
        raise ZeroDivisionError("in the child")

    with pytest.raises(ZeroDivisionError, match="in the child") as caught:
        Popen(["true"], preexec_fn=fail)
    assert "raise ZeroDivisionError" in caught.value.child_traceback


def test_errors_that_cannot_travel():
    def fail():
        raise Unpicklable(1, 2)

    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(Unpicklable(1, 2)))
    with pytest.raises(subprocess.SubprocessError, match="Unpicklable"):
        Popen(["true"], preexec_fn=fail)


def test_others_run_during_preexec_fn():
    turns = []

    def count():
        while True:
            turns.append(1)
            gevent.sleep(0.01)

    counting = gevent.spawn(count)
    assert Popen(["true"], preexec_fn=lambda: time.sleep(0.3)).wait() == 0
    counting.kill()
    assert len(turns) > 3


def test_a_start_given_up():
    for _ in range(3):
        starting = gevent.spawn(
            Popen, ["true"], preexec_fn=lambda: time.sleep(0.2))
        gevent.sleep(0)
        starting.kill()
    gevent.wait(timeout=30)


# -- functions -----------------------------------------------------------------------

def test_run():
    done = subprocess.run(["cat"], input=b"x", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x", b"")
    assert isinstance(done, native.CompletedProcess)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.run("echo out; exit 3", shell=True, check=True,
                       stdout=PIPE)
    assert (caught.value.returncode, caught.value.output) == (3, b"out\n")
    with pytest.raises(ValueError):
        subprocess.run(["cat"], input=b"x", stdin=PIPE)
    with pytest.raises(ValueError):
        subprocess.run(["cat"], stdout=PIPE, capture_output=True)


def test_run_with_a_timeout():
    with pytest.raises(TimeoutExpired) as caught:
        subprocess.run("sleep 600 & echo $!; sleep 600", shell=True,
                       timeout=0.3, stdout=PIPE)
    # It did not wait for the grandchild, which holds the pipe.
    os.kill(int(caught.value.output), signal.SIGKILL)


def test_check_call_and_output():
    assert subprocess.check_call(["true"]) == 0
    with pytest.raises(subprocess.CalledProcessError) as caught:
        subprocess.check_call(["false"])
    assert caught.value.cmd == ["false"]
    assert subprocess.check_output(["cat"], input=None) == b""
    assert subprocess.check_output(["cat"], input=None, text=True) == ""
    assert subprocess.check_output(["echo", "a"], text=True) == "a\n"
    for name in ("stdout", "check"):
        with pytest.raises(ValueError):
            subprocess.check_output(["true"], **{name: None})


def test_under_patching(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, subprocess, gevent.subprocess
        assert subprocess.Popen is gevent.subprocess.Popen
        print(subprocess.getoutput('echo a'), os.popen('echo b').read())
        process = subprocess.Popen('exit 4', shell=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]))
        print(process.wait())
    """)
    assert done.stdout.split() == ["a", "b", "4", "4"]


def test_imported_before_patching(run_program):
    done = run_program("""
        from subprocess import PIPE, Popen, check_output
        from gevent import monkey; monkey.patch_all()
        import gevent
        turns = []
        gevent.spawn(lambda: [(turns.append(1), gevent.sleep(0.01))
                              for _ in range(5)])
        assert Popen(['sleep', '0.1']).wait() == 0
        assert turns
        print(Popen(['cat'], stdin=PIPE, stdout=PIPE).communicate(b'x'))
        print(check_output(['echo', 'a'], close_fds=False))
        try:
            Popen(['/does/not/exist'])
        except FileNotFoundError as ex:
            print(ex.filename)
    """)
    assert done.stdout.splitlines() == [
        "(b'x', None)", "b'a\\n'", "/does/not/exist"]


def test_lines_are_no_buffer_of_bytes():
    with pytest.warns(RuntimeWarning, match="line buffering"):
        child = subprocess.Popen(["true"], bufsize=1, stdout=subprocess.PIPE)
    child.communicate()
