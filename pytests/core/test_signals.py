"""Signal handlers that raise: they reach the main greenlet, and neither a
signal nor a greenlet is lost, however many come."""
import pytest
from libgcore import _engine


def test_keyboard_interrupt_reaches_main(run_program):
    done = run_program("""
        import gevent, os, signal
        def interrupt():
            gevent.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            gevent.sleep(30)
        gevent.spawn(interrupt)
        try:
            gevent.sleep(30)
        except KeyboardInterrupt:
            print("main")
    """)
    assert done.stdout == "main\n"


def test_keyboard_interrupt_while_a_greenlet_computes(run_program):
    """The handler raises in whichever greenlet runs; main gets it all the
    same."""
    done = run_program("""
        import gevent, os, signal, sys
        def compute():
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                pass
        gevent.spawn(compute)
        try:
            gevent.sleep(30)
        except KeyboardInterrupt:
            print("main")
    """)
    assert done.stdout == "main\n"


def test_keyboard_interrupt_without_events(run_program):
    """A signal ends a poll that waits for nothing else."""
    done = run_program("""
        import gevent, os, signal, subprocess, sys
        killer = subprocess.Popen(
            [sys.executable, "-c",
             "import os, signal, time; time.sleep(0.3);"
             "os.kill(%d, signal.SIGINT)" % os.getpid()])
        r, w = os.pipe()
        try:
            gevent.get_hub().wait(gevent.get_hub().loop.io(r, 1))
        except KeyboardInterrupt:
            print("main")
        killer.wait()
    """)
    assert done.stdout == "main\n"


def test_python_handler_runs_in_time(run_program):
    """A handler that does not raise runs although nothing else happens."""
    done = run_program("""
        import gevent, os, signal
        from gevent.event import Event
        seen = []
        signal.signal(signal.SIGALRM, lambda *args: seen.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        while not seen:
            gevent.sleep(0.01)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        gevent.sleep(0.3)
        print(len(seen))
    """)
    assert done.stdout == "2\n"


def test_signal_watcher_runs_a_greenlet(run_program):
    done = run_program("""
        import gevent, os, signal
        from gevent.event import Event
        came = Event()
        def handler(word):
            gevent.sleep(0)  # it may block
            print(word)
            came.set()
        gevent.signal_handler(signal.SIGUSR1, handler, "came")
        timer = gevent.spawn(gevent.sleep, 30)  # handlers hold no loop
        os.kill(os.getpid(), signal.SIGUSR1)
        came.wait()
    """)
    assert done.stdout == "came\n"


STORM = """
    import signal, sys, time
    import gevent
    from gevent.event import Event

    SECONDS = float(sys.argv[1])
    GREENLETS = 20

    class Alarm(Exception):
        pass

    raised = 0
    def handler(signum, frame):
        # Raises in the steps below, in gevent under them, and in the hub, but
        # not between two steps, where this program would not catch it.
        global raised
        if frame is not None and frame.f_code not in between_steps:
            raised += 1
            raise Alarm

    def zero(): gevent.sleep(0)
    def timed(): gevent.sleep(0.0005)
    def wait(): event.wait(0.0005)
    def start(): gevent.spawn(zero).join()

    turns = [0] * GREENLETS
    interrupted = 0
    stop = False
    event = Event()

    def work(number, step):
        global interrupted
        while not stop:
            try:
                step()
            except Alarm:
                interrupted += 1
            turns[number] += 1

    def main():
        global stop
        caught = 0
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            try:
                timed()
            except Alarm:
                caught += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        # the storm is over: whoever is lost makes no turn any more
        before = list(turns)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                timed()
            except Alarm:
                pass
            if all(now > then for now, then in zip(turns, before)):
                break
        lost = [n for n in range(GREENLETS) if turns[n] <= before[n]]
        stop = True
        gevent.joinall(greenlets, timeout=30)
        stuck = [n for n, g in enumerate(greenlets) if not g.dead]
        print("raised", raised, "caught by main", caught, "by others",
              interrupted, "lost", lost, "stuck", stuck, "turns", min(turns))
        assert caught and interrupted
        assert not lost and not stuck

    between_steps = {work.__code__, main.__code__, handler.__code__,
                     sys._getframe().f_code}
    steps = [zero, timed, wait, start]
    gevent.get_hub().exception_stream = None  # main catches them
    signal.signal(signal.SIGALRM, handler)
    greenlets = [gevent.spawn(work, n, steps[n % 4]) for n in range(GREENLETS)]
    gevent.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    main()
"""


@pytest.mark.skipif(
    not _engine.ACCELERATED,
    reason="in Python a handler may raise between two steps that must be one")
def test_storm_of_raising_handlers_loses_no_greenlet(run_program):
    """Ten seconds, 2,000 signals a second."""
    done = run_program(STORM, "10", timeout=140)
    print(done.stdout)
