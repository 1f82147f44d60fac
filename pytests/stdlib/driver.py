"""Run one test module of the standard library under patching.

    python driver.py MODULE RECORD [--only FILE]

Each test becomes lines ``outcome<TAB>test id`` of the file RECORD, "started"
before its fixtures run. Tests that are in the record already are left out, so
that a run that hung goes on where it stopped; with ``--only``, all but those
whose ids are lines of FILE are.
"""
from gevent import get_hub, monkey

# At the top, so that what multiprocessing spawns, which imports this file, is
# patched as well.
monkey.patch_all()

import os
import sys
import unittest
from pathlib import Path

import library

library.add_distribution()

LOCAL_NAMES = {"", "localhost", "ip6-localhost", "::", "::1", "0.0.0.0"}


class Record:
    """The file of outcomes, written by this process only."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._process = os.getpid()

    def write(self, outcome, name):
        if os.getpid() == self._process:
            line = "%s\t%s\n" % (outcome, name.replace("\n", " "))
            os.write(self._file, line.encode("utf-8", "backslashreplace"))


class Result(unittest.TestResult):
    """Writes what each test came to; a test is as bad as its worst subtest."""

    def __init__(self, record):
        super().__init__()
        self._record = record

    def addSuccess(self, test):
        self._record.write("ok", test.id())

    def addSkip(self, test, reason):
        self._record.write("skip", test.id())

    def addExpectedFailure(self, test, err):
        self._record.write("expected failure", test.id())

    def addUnexpectedSuccess(self, test):
        self._record.write("unexpected success", test.id())

    def addFailure(self, test, err):
        self._tell("fail", test, err)

    def addError(self, test, err):
        self._tell("error", test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._tell("fail", test, err)

    def _tell(self, outcome, test, err):
        self._record.write(outcome, test.id())
        text = self._exc_info_to_string(err, test)
        print("=== %s: %s\n%s" % (outcome, test.id(), text), file=sys.stderr,
              flush=True)


class Suite(unittest.TestSuite):
    """A suite that records a test before the fixtures that it needs run."""

    def __init__(self, tests, record):
        super().__init__(tests)
        self._record = record

    def _tearDownPreviousClass(self, test, result):
        if test is not None:
            self._record.write("started", test.id())
        super()._tearDownPreviousClass(test, result)


def flatten(suite):
    for test in suite:
        try:
            iter(test)
        except TypeError:
            yield test
        else:
            yield from flatten(test)


def stay_on_loopback():
    """Fail what would leave this machine as it fails without a network."""
    import socket
    local = LOCAL_NAMES | {socket.gethostname()}

    def check(event, arguments):
        if event in ("socket.getaddrinfo", "socket.gethostbyname",
                     "socket.gethostbyaddr"):
            host = arguments[0]
            if isinstance(host, bytes):
                host = host.decode("ascii", "replace")
            if host is None or host in local or is_local(host):
                return
            raise socket.gaierror(socket.EAI_AGAIN,
                                  "only the loopback is to be used")
        if event == "socket.connect":
            address = arguments[1]
            if isinstance(address, tuple) and isinstance(address[0], str) \
                    and is_foreign(address[0]):
                raise OSError(101, "only the loopback is to be used")

    def is_local(host):
        return (host.startswith(("127.", "fe80:")) or is_number(host)
                or host.endswith((".invalid", ".localhost")))

    def is_number(host):
        return host.replace(".", "").isdigit() or ":" in host

    def is_foreign(host):
        return is_number(host) and not (
            host in LOCAL_NAMES or host.startswith(("127.", "fe80:")))

    sys.addaudithook(check)


def set_up_support():
    from test import support
    support.verbose = 0
    support.use_resources = {"network": None}
    if hasattr(support, "set_match_tests"):
        support.set_match_tests(None)


def read_ids(path):
    return {line.split("\t", 1)[-1] for line
            in Path(path).read_text(encoding="utf-8").splitlines()}


def main(name, path, only=None):
    set_up_support()
    stay_on_loopback()
    done = read_ids(path)
    # Some tests want the lowest free descriptors: those of the hub, made when
    # first needed, are not to be among them.
    get_hub()
    record = Record(path)
    try:
        suite = unittest.defaultTestLoader.loadTestsFromName(name)
    except unittest.SkipTest:
        record.write("skip", name)
        suite = ()
    tests = list(flatten(suite))
    tests = [test for test in tests if test.id() not in done]
    if only is not None:
        wanted = read_ids(only)
        tests = [test for test in tests if test.id() in wanted]
    Suite(tests, record).run(Result(record))
    record.write("ok", "(end of the tests)")


if __name__ == "__main__":
    arguments = [argument for argument in sys.argv[1:]
                 if argument != "--only"]
    # Some tests read the arguments.
    del sys.argv[1:]
    main(*arguments)
