"""Loaded by every interpreter that runs upstream's test files.

It adds two things and alters nothing: the packages ``gevent.tests`` and
``gevent.testing``, where the installed gevent has none of its own, and a record
of what each unittest test came to, since the outcome of a file is compared per
test.  Both work by import hooks, so no module is imported earlier than the test
file itself would import it.
"""
import os
import sys
from importlib.machinery import PathFinder


class TestPackages:
    """Finds ``gevent.tests`` and ``gevent.testing`` in *folder*."""

    names = ("gevent.tests", "gevent.testing")

    def __init__(self, folder):
        self.folder = folder

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            return PathFinder.find_spec(name, [self.folder], target)
        return None


class RecordResults:
    """Wraps ``unittest.TestResult`` as soon as it is defined, so that each
    outcome becomes a line ``outcome<TAB>test id`` of the file *path*."""

    def __init__(self, path):
        self.path = path
        self.process = os.getpid()

    def find_spec(self, name, path=None, target=None):
        if name != "unittest.result":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        spec.loader = _AfterLoading(spec.loader, self.wrap)
        return spec

    def wrap(self, module):
        result = module.TestResult
        for method, outcome in (
                ("startTest", "started"), ("addSuccess", "ok"),
                ("addFailure", "fail"), ("addError", "error"),
                ("addSkip", "skip"), ("addExpectedFailure", "expected failure"),
                ("addUnexpectedSuccess", "unexpected success")):
            setattr(result, method,
                    self.recording(getattr(result, method), outcome))
        result.addSubTest = self.recording_subtest(result.addSubTest)

    def recording(self, method, outcome):
        def wrapper(result, test, *args):
            self.write(outcome, test)
            return method(result, test, *args)
        return wrapper

    def recording_subtest(self, method):
        def wrapper(result, test, subtest, error):
            self.write("ok" if error is None else "fail", subtest)
            return method(result, test, subtest, error)
        return wrapper

    def write(self, outcome, test):
        if os.getpid() != self.process:
            return  # a fork of the test process
        line = "%s\t%s\n" % (outcome, test.id().replace("\n", " "))
        record = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(record, line.encode("utf-8", "backslashreplace"))
        finally:
            os.close(record)


class _AfterLoading:
    """A loader that calls *after* with the loaded module."""

    def __init__(self, loader, after):
        self._loader = loader
        self._after = after

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        self._after(module)


if "UPSTREAM_TEST_PACKAGES" in os.environ:
    sys.meta_path.append(TestPackages(os.environ["UPSTREAM_TEST_PACKAGES"]))
if "UPSTREAM_TEST_RECORD" in os.environ:
    # taken out: what the test file starts itself is not recorded
    sys.meta_path.insert(0, RecordResults(os.environ.pop("UPSTREAM_TEST_RECORD")))
