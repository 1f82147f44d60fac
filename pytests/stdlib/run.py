"""Run the interpreter's own tests under patching, here and on upstream.

The modules are those of ``modules.txt``; each, or each module of a test
package, runs in a process of its own that has called `monkey.patch_all`. A test
that hangs is ended and listed, and the rest of its module goes on in another
process. A test that passes on upstream and does not pass here is a regression;
any regression makes the exit status 1, and so does a module of which no test
passes here.

What upstream does is kept in the build folder, for the versions that were run
and this runner as it is. Regressions are run once more at the end, when nothing
else is: those that pass then are listed as unsteady.
"""
import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from runs import (
    DID_NOT_END, ROOT, end_session, output_of, read_record, read_table,
    upstream_python,
)

BUILD = Path(os.environ.get("GCORE_BUILD", ROOT / "build")) / "stdlib"
DRIVER = HERE / "driver.py"
PROCESSES = 2
END, EXIT = "(end of the tests)", "(exit)"
ENVIRONMENT = {
    "PYTHONDONTWRITEBYTECODE": "1",
    # Many tests wait until there are no more threads than before.
    "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT": "0.02",
}
# Seconds that a process may go on without a test that begins or ends: one that
# uses the processor, and one that only waits.
BUSY_LIMIT = 120
IDLE_LIMIT = 12
IDLE_TICKS = 20  # of a hundredth second


# -- one process ------------------------------------------------------------------

def processor_ticks(session):
    """The processor time of all processes of *session*, in ticks."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks


class Hung(Exception):
    pass


def wait_for_end(process, record):
    """Return the exit status of *process*.

    :raise Hung: when *record* has not grown for too long.
    """
    size, ticks, since, idle_since = -1, 0, 0, 0
    while True:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if record.stat().st_size != size:
            size, since, idle_since = record.stat().st_size, now, now
        used = processor_ticks(process.pid)
        if used > ticks + IDLE_TICKS or used < ticks:
            ticks, idle_since = used, now
        if now - since > BUSY_LIMIT or now - idle_since > IDLE_LIMIT:
            raise Hung


class Side:
    """One of the two interpreters, and how it runs a unit."""

    def __init__(self, name, python, build):
        self.name = name
        self.python = python
        self.build = build
        self.environment = {
            key: value for key, value in os.environ.items()
            if not key.startswith(("GEVENT", "PYTHON"))}
        self.environment.update(ENVIRONMENT)
        build.mkdir(parents=True, exist_ok=True)

    def run(self, unit, only=None):
        """Run the tests of *unit*, or the ids *only*; {id: outcome}."""
        record = self.build / f"{unit}.outcomes"
        output = self.build / f"{unit}.txt"
        if only is not None:
            record = record.with_suffix(".again")
            output = output.with_suffix(".again.txt")
        command = [self.python, "-Xfaulthandler", "-u", DRIVER, unit, record]
        if only is not None:
            wanted = self.build / f"{unit}.wanted"
            wanted.write_text("\n".join(only))
            command += ["--only", wanted]
        record.write_text("")
        with open(output, "wb") as out:
            while self._run_on(command, record, out):
                pass
        return read_record(record)

    def _run_on(self, command, record, out):
        """Run the tests of *record* that are to come; are there any left?"""
        size = record.stat().st_size
        # With a short name, that fits into the address of a socket.
        folder = tempfile.mkdtemp()
        process = subprocess.Popen(
            command, env=self.environment, cwd=folder,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True)
        try:
            status = wait_for_end(process, record)
        except Hung:
            status = None
        end_session(process)
        remove_folder(folder)
        outcome = ("hang" if status is None else
                   "ok" if status == 0 else "crash")
        *_, last = ["", *record.read_text("utf-8").splitlines()]
        with open(record, "a", encoding="utf-8") as file:
            if last.startswith("started\t"):
                print(outcome + last[len("started"):], file=file)
                return True
            if last.endswith("\t" + END) or record.stat().st_size == size:
                print(outcome, EXIT, sep="\t", file=file)
                return False
        return True


def remove_folder(folder):
    # With what the tests left there; a test may have made it unreadable.
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=False)
    subprocess.run(["rm", "-rf", folder], check=False)


class KeptSide(Side):
    """A side whose outcomes are kept."""

    def run(self, unit, only=None):
        record = self.build / f"{unit}.outcomes"
        complete = record.with_suffix(".complete")
        if only is None and complete.exists():
            return read_record(record)
        outcomes = super().run(unit, only)
        if only is None:
            complete.touch()
        return outcomes


def version_key(python):
    """What the outcomes of the interpreter *python* depend on, as a name."""
    versions = output_of(
        python, "-c", "import gevent, greenlet, sys; print('%d.%d.%d' "
        "% sys.version_info[:3], gevent.__version__, greenlet.__version__)")
    digest = hashlib.sha256()
    for name in ("driver.py", "library.py"):
        digest.update((HERE / name).read_bytes())
    return "-".join([*versions.split(), digest.hexdigest()[:8]])


# -- what it comes to ---------------------------------------------------------------

class Comparison:
    """A unit's run on upstream and its run here.

    ``regressions`` maps the ids of the tests that pass only on upstream to what
    they came to here, ``beyond`` those that pass only here to what they came to
    there. What *differences* ({pattern of ids: why}) explains is in
    ``explained``, id to reason.
    """

    def __init__(self, module, unit, upstream, ours, differences):
        self.module = module
        self.unit = unit
        self.upstream = upstream
        self.ours = ours
        self.unsteady = {}
        self.used = set()
        self.explained = {}
        self._explain(differences)

    @staticmethod
    def _passed(outcomes):
        return {test for test, outcome in outcomes.items()
                if outcome == "ok" and is_test(test)}

    @property
    def passed_here(self):
        return self._passed(self.ours)

    @property
    def passed_both(self):
        return self._passed(self.upstream) & self.passed_here

    @property
    def beyond(self):
        return {test: self.upstream.get(test, "not run")
                for test in self.passed_here - self._passed(self.upstream)}

    @property
    def regressions(self):
        return {test: self.ours.get(test, "not run")
                for test, outcome in self.upstream.items() if outcome == "ok"
                and self.ours.get(test) != "ok" and test not in self.explained}

    def _explain(self, differences):
        for pattern, reason in differences.items():
            for test in self.regressions:
                if fnmatchcase(test, pattern):
                    self.explained[test] = reason
                    self.used.add(pattern)

    def repeat(self, side):
        """Run the regressions again; keep as such only what fails again."""
        again = side.run(self.unit, self.regressions)
        for test, outcome in self.regressions.items():
            if again.get(test) == "ok":
                self.unsteady[test] = outcome
                self.ours[test] = "ok"


def is_test(name):
    return name not in (END, EXIT)


def count(outcomes, *kinds):
    return sum(outcome in kinds for test, outcome in outcomes.items()
               if is_test(test))


def print_line(comparison):
    ours, upstream = comparison.ours, comparison.upstream
    line = (f"{comparison.unit.removeprefix('test.'):<46} "
            f"{len(ours.keys() - {END, EXIT}):>5} tests "
            f"{len(comparison.passed_both):>5} passed on both "
            f"{len(comparison.beyond):>4} here only")
    for title, outcomes in (("there", upstream), ("here", ours)):
        hung = count(outcomes, "hang", "crash", DID_NOT_END)
        if hung:
            line += f"  {hung} hang {title}"
    if comparison.regressions:
        line += f"  {len(comparison.regressions)} regressions"
    print(line, flush=True)


def print_list(title, lines):
    if lines:
        print(f"\n{title}:")
        print("\n".join(f"  {line}" for line in lines))


# -- the whole run ------------------------------------------------------------------

def read_modules(names):
    """The modules of ``modules.txt`` that *names* ask for, all for none."""
    lines = (HERE / "modules.txt").read_text().splitlines()
    known = [line for line in lines if line and not line.startswith("#")]
    wanted = [name if name.startswith("test_") else "test_" + name
              for name in names]
    for name in wanted:
        if name.partition(".")[0] not in known:
            raise SystemExit(f"{name} is not listed in {HERE / 'modules.txt'}")
    return wanted or known


def find_units(python, modules):
    """Return {module: [unit]} as the interpreter *python* has them."""
    lines = output_of(python, "-I", HERE / "library.py", *modules).splitlines()
    units = [line.split("\t") for line in lines]
    return {module: found for module, *found in units}


def run_all(units, upstream, ours, differences):
    """Yield the comparison of each unit, in the order they end."""
    def compare(module, unit):
        return Comparison(module, unit, upstream.run(unit), ours.run(unit),
                          differences.get(module, {}))

    with ThreadPoolExecutor(PROCESSES) as pool:
        jobs = [pool.submit(compare, module, unit)
                for module, names in units.items() for unit in names]
        for job in as_completed(jobs):
            yield job.result()


def main(options):
    build = options.build.resolve()
    baseline = options.upstream_python or upstream_python(options.python)
    upstream = KeptSide("upstream", baseline,
                        build / f"upstream-{version_key(baseline)}")
    ours = Side("ours", options.python,
                build / f"ours-{version_key(options.python)}")
    differences = {}
    for module, pattern, reason in read_table(HERE / "differences.tsv"):
        differences.setdefault(module, {})[pattern] = reason

    units = find_units(options.python, read_modules(options.modules))
    print(f"upstream: {baseline}\nhere:     {options.python}", flush=True)
    comparisons = []
    for comparison in run_all(units, upstream, ours, differences):
        print_line(comparison)
        comparisons.append(comparison)
    for comparison in comparisons:
        if comparison.regressions:
            comparison.repeat(ours)
    return summarize(units, comparisons, differences, ours)


def summarize(units, comparisons, differences, ours):
    absent = [module for module, names in units.items() if not names]
    passed = {c.module for c in comparisons if c.passed_here}
    empty = sorted(units.keys() - passed - set(absent))
    used = {(c.module, pattern) for c in comparisons for pattern in c.used}
    unneeded = [f"{module} {pattern}" for module in units
                for pattern in differences.get(module, ())
                if (module, pattern) not in used]

    def lines(attribute):
        return [f"{outcome:<12} {c.unit.removeprefix('test.')}: {test}"
                for c in comparisons
                for test, outcome in getattr(c, attribute).items()]

    beyond = ours.build / "beyond.txt"
    beyond.write_text("".join(line + "\n" for line in lines("beyond")))
    hanging = [f"{'there':<12} {c.unit.removeprefix('test.')}: {test}"
               for c in comparisons for test, outcome in c.upstream.items()
               if outcome in ("hang", "crash") and c.ours.get(test) == "ok"]
    hanging += [f"{'here':<12} {c.unit.removeprefix('test.')}: {test}"
                for c in comparisons for test, outcome in c.ours.items()
                if outcome in ("hang", "crash")]
    print_list("tests that hang", hanging)
    print_list("other than upstream, on purpose", lines("explained"))
    print_list("lines of differences.tsv without use", unneeded)
    print_list("unsteady (passed when run again, alone)", lines("unsteady"))
    print_list("absent from this interpreter", absent)
    print_list("no test passed", empty)
    print_list(f"regressions (see {ours.build})", lines("regressions"))
    regressions = len(lines("regressions"))
    print(f"\n{len(units) - len(absent)} modules run, {len(absent)} absent; "
          f"{sum(len(c.passed_both) for c in comparisons)} tests passed on "
          f"both, {len(lines('beyond'))} here only ({beyond}), "
          f"{regressions} regressions")
    return 1 if regressions or empty else 0


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Run the interpreter's own tests under patching, here and "
                    "on upstream.")
    parser.add_argument("modules", nargs="*", metavar="MODULE",
                        help="a module of modules.txt (default: all of them)")
    parser.add_argument("--python", default=sys.executable,
                        help="the interpreter that has this package "
                             "(default: the one that runs this)")
    parser.add_argument("--upstream-python", metavar="PYTHON",
                        help="the interpreter that has the upstream release")
    parser.add_argument("--build", type=Path, default=BUILD,
                        help="folder for all that is made "
                             "(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse_arguments()))
