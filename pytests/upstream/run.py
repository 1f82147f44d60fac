"""Run upstream's test files on this package and on upstream itself.

The files are those of ``files.tsv``; they come, with the packages they need,
from the pinned upstream release that `tools/upstream-env` installs into the
build folder.  Each runs in a process of its own, the way upstream's own runner
starts it: first on upstream, then here.  A test that passes there and does not
pass here is a regression, and any regression makes the exit status 1.  What
upstream does is found out anew each time, never stored.

A file that finds regressions runs here once more, by itself, after all others:
upstream's tests measure times, and a busy machine can spoil one.  Tests that
pass then are listed as unsteady.
"""
import argparse
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from outcomes import Comparison, Run
from runs import (
    ROOT, end_session, output_of, read_record, read_table, upstream_python,
)

BUILD = Path(os.environ.get("GCORE_BUILD", ROOT / "build")) / "upstream"
PROCESSES = 2
TIME_LIMIT = 240  # seconds a file may take
# Files that need names get a network of their own, where a name server of ours
# knows what they ask for.
NAMES = HERE / "names.json"
PRIVATE_NETWORK = HERE.parent / "dns" / "private_network.py"
# What upstream's own runner sets for each file, but that bytecode is kept, of
# both sides in one folder: tests that measure time are not to measure how long
# it takes to compile a module.
ENVIRONMENT = {
    "GEVENTTEST_USE_RESOURCES": "-network",
    "PYTHONDEVMODE": "1",
    "PYTHONFAULTHANDLER": "true",
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "default,default::DeprecationWarning,"
                      "default::ResourceWarning,ignore:::site:,"
                      "ignore:::pkgutil:,ignore:::importlib._bootstrap:,"
                      "ignore:::importlib._bootstrap_external:,"
                      "ignore:::dns.namedict:,ignore:::dns.hash:,"
                      "ignore:::dns.zone:",
}


# -- what runs --------------------------------------------------------------------

class File:
    """One line of ``files.tsv``."""

    def __init__(self, area, name, modules, resolver=None):
        self.area = area
        self.name = name
        self.modules = modules.split()
        self.resolver = resolver

    @property
    def stem(self):
        return self.name[:-len(".py")]

    @property
    def title(self):
        return f"{self.name} ({self.resolver})" if self.resolver else self.name

    def environment(self):
        """What the variables of the run are beside `ENVIRONMENT`."""
        if not self.resolver:
            return {}
        return {"GEVENTTEST_USE_RESOURCES": "network",
                "GEVENT_RESOLVER": self.resolver}

    def command(self, python):
        command = [python, "-u", f"-mgevent.tests.{self.stem}"]
        if self.resolver:
            return [sys.executable, "-I", PRIVATE_NETWORK, NAMES, *command]
        return command


def read_files():
    return [File(*columns) for columns in read_table(HERE / "files.tsv")]


def read_differences():
    """Return {file name: {pattern of test ids: reason}}."""
    differences = {}
    for name, pattern, reason in read_table(HERE / "differences.tsv"):
        differences.setdefault(name, {})[pattern] = reason
    return differences


def choose_files(names, areas):
    """Return the files that *names* (with or without ``.py``) and *areas* ask
    for, all of them if neither asks for any."""
    files = read_files()
    known = {file.stem for file in files}
    if not names and not areas:
        return files
    chosen = set()
    for name in names:
        stem = Path(name).name.removesuffix(".py")
        if stem not in known:
            raise SystemExit(f"{name} is not listed in {HERE / 'files.tsv'}")
        chosen.add(stem)
    for area in areas:
        found = {file.stem for file in files if file.area == area}
        if not found:
            raise SystemExit(f"no file of {HERE / 'files.tsv'} has "
                             f"the area {area!r}")
        chosen |= found
    return [file for file in files if file.stem in chosen]


# -- where it runs -----------------------------------------------------------------

class Side:
    """One of the two interpreters, and how it starts a test file."""

    def __init__(self, name, python, packages, build, keep_path):
        self.name = name
        self.python = python
        self.packages = packages
        self.build = build
        self.environment = {
            key: value for key, value in os.environ.items()
            if not key.startswith(("GEVENT", "PYTHON"))}
        self.environment.update(ENVIRONMENT)
        self.environment["PYTHONPYCACHEPREFIX"] = str(build / "bytecode")
        path = [HERE / "shim"]
        if keep_path and os.environ.get("PYTHONPATH"):
            path.append(os.environ["PYTHONPATH"])
        if not keep_path:
            self.environment.pop("PURE_PYTHON", None)
        self.environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        self.environment["UPSTREAM_TEST_PACKAGES"] = str(packages)

    def compile_modules(self):
        """Have the bytecode that most files need, before time is measured."""
        subprocess.run(
            [self.python, "-c", "import encodings.idna, gevent.testing; "
             "from gevent import monkey; monkey.patch_all(); "
             "import gevent.resolver.thread, gevent.threadpool"],
            env=self.environment, timeout=TIME_LIMIT, check=True)

    def run(self, file, time_limit):
        """Run *file* in a process of its own; return its `Run`."""
        folder = self.build / "report"
        folder.mkdir(exist_ok=True)
        report = ".".join(filter(None, (file.stem, file.resolver, self.name)))
        record = folder / f"{report}.outcomes"
        output = folder / f"{report}.txt"
        record.write_text("")
        environment = dict(self.environment, **file.environment(),
                           UPSTREAM_TEST_RECORD=str(record))
        with open(output, "wb") as out:
            process = subprocess.Popen(
                file.command(self.python), env=environment,
                cwd=self.packages / "tests",
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True)
            try:
                status = process.wait(time_limit)
            except subprocess.TimeoutExpired:
                status = None
            end_session(process)
        return Run(read_record(record), status, output)

    def has_modules(self, modules):
        code = ("import importlib.util, sys\n"
                "for name in sys.argv[1:]:\n"
                "    if importlib.util.find_spec(name) is None:\n"
                "        sys.exit(3)\n")
        done = subprocess.run([self.python, "-c", code, *modules],
                              env=self.environment, timeout=60,
                              stderr=subprocess.DEVNULL)
        return done.returncode == 0


def copy_test_packages(python, build):
    """Copy upstream's test packages out of its environment; return where."""
    home, version = output_of(
        python, "-c", "import gevent; print(gevent.__path__[0]);"
                      "print(gevent.__version__)").splitlines()
    target = build / f"tests-{version}"
    if not target.exists():
        unfinished = target.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        for package in ("testing", "tests"):
            shutil.copytree(Path(home) / package, unfinished / package,
                            ignore=shutil.ignore_patterns("__pycache__"))
        # The tests of examples look for them beside a setup.py; upstream's
        # own are not in its release, so ours serve, on both sides.
        (unfinished / "setup.py").touch()
        (unfinished / "examples").symlink_to(ROOT / "python" / "examples")
        unfinished.rename(target)
    return target


# -- the whole run -------------------------------------------------------------------

class Runner:
    def __init__(self, ours, upstream, time_limit):
        self.ours = ours
        self.upstream = upstream
        self.time_limit = time_limit
        self._differences = read_differences()
        self._one_example = threading.Lock()  # they use fixed ports

    def compare(self, file):
        if file.area == "examples":
            with self._one_example:
                return self._compare(file)
        return self._compare(file)

    def _compare(self, file):
        upstream = self.upstream.run(file, self.time_limit)
        ours = self.ours.run(file, self.time_limit)
        return Comparison(file, upstream, ours,
                          self._differences.get(file.name, {}))

    def compare_all(self, files):
        """Yield the comparison of each file, in the order they end."""
        with ThreadPoolExecutor(PROCESSES) as pool:
            jobs = [pool.submit(self.compare, file) for file in files]
            for job in as_completed(jobs):
                yield job.result()

    def repeat(self, comparison):
        comparison.repeat(self.ours.run(comparison.file, self.time_limit))


def print_line(comparison):
    file = comparison.file
    counts = (f"{file.area:<11} {file.title:<46} {comparison.tests:>5} tests"
              f" {comparison.passed_both:>5} passed on both")
    if comparison.not_run:
        counts += f"  not run: {comparison.not_run}"
    if comparison.regressions:
        counts += f"  {len(comparison.regressions)} regressions"
    print(counts, flush=True)


def print_regressions(comparison):
    print(f"\n{comparison.file.title}: see {comparison.ours.output}")
    for name, outcome in comparison.regressions.items():
        print(f"  {outcome:<14} {name}")


def main(options):
    build = options.build.resolve()
    build.mkdir(parents=True, exist_ok=True)
    baseline = options.upstream_python or upstream_python(options.python)
    packages = copy_test_packages(baseline, build)
    upstream = Side("upstream", baseline, packages, build, keep_path=False)
    ours = Side("ours", options.python, packages, build, keep_path=True)
    runner = Runner(ours, upstream, options.time_limit)

    files, absent = [], []
    for file in choose_files(options.files, options.area):
        (files if ours.has_modules(file.modules) else absent).append(file)
    print(f"upstream: {baseline}\nhere:     {options.python}", flush=True)
    upstream.compile_modules()
    ours.compile_modules()
    comparisons = []
    for comparison in runner.compare_all(files):
        print_line(comparison)
        comparisons.append(comparison)
    for comparison in comparisons:
        if comparison.regressions:
            runner.repeat(comparison)
    return summarize(comparisons, absent)


def summarize(comparisons, absent):
    for comparison in comparisons:
        if comparison.regressions:
            print_regressions(comparison)
    unsteady = [f"{c.file.title} {name}" for c in comparisons
                for name in c.unsteady]
    not_run = [f"{c.file.title}: {c.not_run}" for c in comparisons if c.not_run]
    not_run += [f"{file.title}: {' '.join(file.modules)} not here"
                for file in absent]
    explained = [f"{c.file.title} {name}: {reason}" for c in comparisons
                 for name, reason in c.explained.items()]
    unneeded = [f"{c.file.title} {pattern}" for c in comparisons
                for pattern in c.unneeded]
    for title, names in (("unsteady (passed when run again, alone)", unsteady),
                         ("other than upstream, on purpose", explained),
                         ("lines of differences.tsv without use", unneeded),
                         ("not run", not_run)):
        if names:
            print(f"\n{title}:")
            print("\n".join(f"  {name}" for name in names))
    regressions = sum(len(c.regressions) for c in comparisons)
    print(f"\n{len(comparisons) + len(absent) - len(not_run)} files run, "
          f"{len(not_run)} not run, "
          f"{sum(c.passed_both for c in comparisons)} tests passed on both, "
          f"{regressions} regressions")
    return 1 if regressions else 0


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Run upstream's test files here and on upstream.")
    parser.add_argument("files", nargs="*", metavar="FILE",
                        help="a file of files.tsv (default: all of them)")
    parser.add_argument("--area", action="append", default=[],
                        help="all files of an area of files.tsv")
    parser.add_argument("--python", default=sys.executable,
                        help="the interpreter that has this package "
                             "(default: the one that runs this)")
    parser.add_argument("--upstream-python", metavar="PYTHON",
                        help="the interpreter that has the upstream release")
    parser.add_argument("--build", type=Path,
                        default=BUILD,
                        help="folder for all that is made "
                             "(default: %(default)s)")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT,
                        metavar="S", help="seconds a file may take "
                                          "(default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(parse_arguments()))
