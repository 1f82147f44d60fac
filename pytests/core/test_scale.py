"""Many: starts, yields, sleepers.  Counts decide, never times."""
import gevent
from gevent.event import Event


def test_many_starts_neither_recurse_nor_grow_the_stack(run_program):
    """100,000 times spawn and join, on a C stack of 512 KiB, under a low limit
    of recursion."""
    run_program("""
        import os, resource, sys
        if "child" not in sys.argv:
            limit = 512 * 1024
            resource.setrlimit(resource.RLIMIT_STACK, (limit, limit))
            os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], "",
                                      "child"])
    """, CHAIN)


CHAIN = """
import sys
import gevent
sys.setrecursionlimit(200)
count = 0
def work():
    global count
    count += 1
for _ in range(100000):
    gevent.spawn(work).join()
assert count == 100000

# the same from inside greenlets: each is started by one that blocks
def parent(times):
    for _ in range(times):
        gevent.spawn(work).join()
gevent.joinall([gevent.spawn(parent, 1000) for _ in range(100)])
assert count == 200000
"""


def test_spawned_stacks_do_not_grow():
    """What greenlet saves of a blocked greenlet's C stack stays the same."""
    event = Event()

    def saved():
        greenlet = gevent.spawn(event.wait)
        gevent.sleep(0)
        sizes.append(greenlet._stack_saved)
        greenlets.append(greenlet)
    sizes, greenlets = [], []
    for _ in range(1000):
        gevent.spawn(saved).join()
    event.set()
    gevent.joinall(greenlets)
    assert max(sizes) <= 2 * min(sizes) + 4096


def test_yielding_greenlets_leave_a_sleeper_on_time():
    """5,000 greenlets that always yield; a sleeper's timer gets through after
    a bounded number of their turns."""
    sleeps, turns, done = 10, 0, []

    def yielder():
        nonlocal turns
        while not done:
            turns += 1
            gevent.sleep(0)

    def sleeper():
        for _ in range(sleeps):
            gevent.sleep(0.001)
            marks.append(turns)
        done.append(True)
    marks = []
    greenlets = [gevent.spawn(yielder) for _ in range(5000)]
    gevent.sleep(0)
    gevent.spawn(sleeper).join()
    gevent.joinall(greenlets)
    gaps = [after - before for before, after in zip(marks, marks[1:])]
    assert len(gaps) == sleeps - 1
    # a slice of 5 ms ends every drain: some 25,000 turns of 0.2 us
    assert max(gaps) < 1_000_000


def test_many_blocked_greenlets_wake_once_each():
    event, woken = Event(), []
    greenlets = [gevent.spawn(lambda n=n: (event.wait(), woken.append(n)))
                 for n in range(20000)]
    gevent.sleep(0)
    event.set()
    gevent.joinall(greenlets)
    assert woken == list(range(20000))


def test_many_timers_wake_once_each():
    woken = []

    def work(n):
        gevent.sleep(0.001 * (n % 7))
        woken.append(n)
    gevent.joinall([gevent.spawn(work, n) for n in range(5000)])
    assert sorted(woken) == list(range(5000))


def test_deep_greenlets_keep_their_frames():
    """Greenlets blocked at different depths resume where they were."""
    def descend(levels, value):
        if levels:
            local = (levels, value)
            result = descend(levels - 1, value)
            assert local == (levels, value)
            return result
        gevent.sleep(0.001)
        gevent.sleep(0)
        return value
    greenlets = [gevent.spawn(descend, n % 100, n) for n in range(500)]
    gevent.joinall(greenlets)
    assert [greenlet.get() for greenlet in greenlets] == list(range(500))


def test_load_example(run_program):
    """A small load; `tools/run` does the large ones."""
    import subprocess
    import sys
    from pathlib import Path
    example = (Path(__file__).parents[2] / "python" / "examples"
               / "xmlrpc_load.py")
    done = subprocess.run(
        [sys.executable, str(example), "--clients", "100", "--calls", "4",
         "--time-limit", "60", "--no-native"],
        capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors under gevent" in done.stdout
