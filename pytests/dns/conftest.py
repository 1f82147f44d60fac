"""What the tests of name lookup share."""
import json
import os
import subprocess
import sys
import textwrap

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import private_network
from loop_fixtures import nothing_left  # noqa: F401
from nameserver import NameServer

#: Names and addresses that most tests ask for.
NAMES = {
    "one.test": {"A": ["192.0.2.1"]},
    "two.test": {"A": ["192.0.2.2", "192.0.2.3"], "AAAA": ["2001:db8::2"]},
    "six.test": {"AAAA": ["2001:db8::6"]},
    "alias.test": {"CNAME": ["second.test"]},
    "second.test": {"CNAME": ["one.test"]},
    "loop.test": {"CNAME": ["pool.test"]},
    "pool.test": {"CNAME": ["loop.test"]},
    "text.test": {"TXT": [["nothing", "else"]]},
    "servfail.test": {"fault": "servfail"},
    "refused.test": {"fault": "refused"},
    "here.test": {"A": ["127.0.0.1"]},
    "many.test": {"A": [f"198.51.{i // 200}.{i % 200 + 1}"
                        for i in range(400)]},
    "xn--mller-kva.test": {"A": ["192.0.2.20"]},
    "1.2.0.192.in-addr.arpa": {"PTR": ["one.test"]},
    "2.2.0.192.in-addr.arpa": {"PTR": ["two.test", "also-two.test"]},
    "6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    ".ip6.arpa": {"PTR": ["six.test"]},
}


@pytest.fixture(scope="session")
def names():
    return NAMES


@pytest.fixture(scope="module")
def server():
    """A name server that knows `NAMES`."""
    with NameServer(NAMES) as server:
        yield server


@pytest.fixture
def serve():
    """A function that starts a name server for a table."""
    running = []

    def start(table, **where):
        running.append(NameServer(table, **where))
        return running[-1]
    yield start
    for each in running:
        each.close()


@pytest.fixture
def run_in_private_network(tmp_path):
    """A function that runs Python source where `NAMES` is all that the system
    knows, and returns its output; a skip where such a network is refused."""
    def run(source, timeout=140, files=None, **environment):
        table = tmp_path / "names.json"
        table.write_text(json.dumps({**NAMES, **(files or {})}))
        done = subprocess.run(
            [sys.executable, private_network.__file__, table,
             sys.executable, "-X", "faulthandler", "-c",
             textwrap.dedent(source)],
            env=dict(os.environ, **environment), capture_output=True,
            text=True, timeout=timeout)
        if done.returncode == private_network.REFUSED:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    return run
