"""What the tests of a file came to, and how two runs of it compare."""
from fnmatch import fnmatchcase

EXIT_STATUS = "(exit status)"
NETWORK_REFUSED = 77  # the exit status of dns/private_network.py


class Run:
    """One run of a test file.

    ``outcomes`` maps each test id, and ``(exit status)``, to an outcome;
    *status* is the exit status, None if the time limit ended the run.
    """

    def __init__(self, tests, status, output):
        self.tests = tests
        self.output = output
        self.network_refused = status == NETWORK_REFUSED and not tests
        if status is None:
            ended = "timed out"
        else:
            ended = "ok" if status == 0 else f"status {status}"
        self.outcomes = dict(tests)
        self.outcomes[EXIT_STATUS] = ended

    def passes(self, test):
        return self.outcomes.get(test) == "ok"

    @property
    def all_skipped(self):
        return bool(self.tests) and set(self.tests.values()) == {"skip"}


class Comparison:
    """A file's run on upstream and its run here.

    ``regressions`` maps the ids of the tests that pass only on upstream to what
    they came to here, but for those that *differences* ({pattern of ids: why})
    explains: they are in ``explained``, id to reason.
    """

    def __init__(self, file, upstream, ours, differences):
        self.file = file
        self.upstream = upstream
        self.ours = ours
        self.tests = len(upstream.tests) or 1  # a script is one test
        self.passed_both = self._count_passed()
        self.regressions = self._find_regressions()
        self.explained = {}
        self.unneeded = []
        self.unsteady = []
        self._explain(differences)

    @property
    def not_run(self):
        """Why this file tells nothing, or an empty text."""
        if self.upstream.network_refused:
            return "a private network is refused here"
        if self.upstream.all_skipped and not self.regressions:
            return "every test is skipped on upstream"
        if not any(map(self.upstream.passes, self.upstream.outcomes)):
            return "nothing passes on upstream"
        return ""

    def _count_passed(self):
        if self.upstream.all_skipped:
            return 0
        tests = self.upstream.tests or [EXIT_STATUS]
        return sum(self.upstream.passes(test) and self.ours.passes(test)
                   for test in tests)

    def _find_regressions(self):
        return {test: self.ours.outcomes.get(test, "missing")
                for test in self.upstream.outcomes
                if self.upstream.passes(test) and not self.ours.passes(test)}

    def _explain(self, differences):
        for pattern, reason in differences.items():
            found = [test for test in self.regressions
                     if fnmatchcase(test, pattern)]
            for test in found:
                self.explained[test] = reason
                del self.regressions[test]
            if not found:
                self.unneeded.append(pattern)
        if self.explained and set(self.regressions) == {EXIT_STATUS}:
            del self.regressions[EXIT_STATUS]  # it tells of the explained

    def repeat(self, run):
        """Keep as regressions only what fails in *run*, another run here, too."""
        self.ours = run
        first, self.regressions = self.regressions, {}
        for test, outcome in first.items():
            if run.passes(test):
                self.unsteady.append(f"{test}: {outcome}")
                self.passed_both += test in self.upstream.tests
            else:
                self.regressions[test] = run.outcomes.get(test, "missing")
