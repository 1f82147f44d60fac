"""What the runners share that compare this package with upstream."""
import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DID_NOT_END = "did not end"
# From best to worst: a test that is recorded more than once keeps its worst.
ORDER = ("started", "ok", "expected failure", "skip", "unexpected success",
         "fail", "error", "crash", "hang")


def read_record(path):
    """Return {test id: outcome} of the record file *path*."""
    outcomes = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        outcome, test = line.split("\t", 1)
        known = outcomes.get(test, ORDER[0])
        outcomes[test] = max(known, outcome, key=ORDER.index)
    return {test: DID_NOT_END if outcome == "started" else outcome
            for test, outcome in outcomes.items()}


def read_table(path):
    """Return the lines of the table *path*, split into columns."""
    return [line.split("\t") for line in path.read_text().splitlines()
            if line and not line.startswith("#")]


def end_session(process):
    """End what a test process left running, and itself if it hangs."""
    if process.poll() is None:
        # faulthandler is on: this writes the stacks to the output
        process.send_signal(signal.SIGABRT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def output_of(*command):
    """Return what *command* prints, or end with its error text."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed, "
                         f"exit status {done.returncode}")
    return done.stdout.strip()


def upstream_python(python):
    """Return the interpreter of the pinned upstream environment that has the
    version of *python*."""
    tool = ROOT / "tools" / "upstream-env"
    if not tool.exists():
        raise SystemExit("give --upstream-python: the interpreter of an "
                         "environment with the upstream release")
    version = output_of(python, "-c", "import sys; "
                        "print('%d.%d' % sys.version_info[:2])")
    return output_of(tool, "pinned", "--python", version).splitlines()[-1]
