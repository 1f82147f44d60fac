"""Measure name lookup against upstream gevent: `tools/bench dns`.

It runs in a network of its own, with a name server of ours on loopback. Each
figure is the median of several runs, each in a process of its own, the sides
in turns. Nothing here passes or fails: a figure under its target is marked.

The ares resolvers of both sides keep answers; rows of "new names" ask for each
name once and count processor time, the name server's not among it.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import core

HERE = Path(__file__).resolve().parent
WORKLOADS = HERE / "name_workloads.py"
PRIVATE_NETWORK = HERE.parent / "dns" / "private_network.py"
TABLE = {"*": {"A": ["192.0.2.1"], "ttl": 3600}}
TIME_LIMIT = 300  # seconds a measurement may take
RUNS = 3

# `theirs`: upstream's workload and resolver, or a number of seconds that ours
# is to stay below.
Row = namedtuple("Row", "name workload busy theirs target")


def row(name, workload, theirs, target=None, busy=False):
    return Row(name, workload, busy, theirs, target)


ROWS = (
    row("hosts name, 64 greenlets", "hosts_64", ("hosts_64", "ares"), 3),
    row("hosts name, 64 greenlets", "hosts_64", ("hosts_64", "thread"), 5),
    row("hosts name, one greenlet", "hosts_one", ("hosts_one", "ares"), 1.2),
    row("DNS name, 64 greenlets", "dns_64", ("dns_64", "ares"), 3),
    row("DNS name, 64 greenlets", "dns_64", ("dns_64", "thread"), 5),
    row("DNS name, one greenlet", "dns_one", ("dns_one", "ares"), 1.2),
    row("new DNS names, 64 greenlets, CPU", "fresh_64", ("fresh_64", "ares"),
        1.2),
    row("new DNS names, 64 greenlets, CPU", "fresh_64",
        ("fresh_64", "thread"), 1.2),
    row("new DNS names, one greenlet, CPU", "fresh_one",
        ("fresh_one", "ares"), 1.2),
    row("cached name, one greenlet", "cached", 3e-6),
    row("a million cached, busy thread", "cached_million",
        ("hosts_busy", "ares"), 1, busy=True),
    row("hosts name, busy thread", "hosts_busy", ("hosts_busy", "ares"), 1,
        busy=True),
    row("DNS name, 64 greenlets, busy thread", "dns_busy",
        ("dns_busy", "ares"), 1, busy=True),
)


def seconds(python, workload, resolver, busy):
    """What one lookup takes, or the end of the program."""
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("GEVENT", "PYTHON"))}
    environment["GEVENT_RESOLVER"] = resolver
    done = subprocess.run([python, WORKLOADS, workload, *["--busy"] * busy],
                          env=environment, text=True, capture_output=True,
                          timeout=TIME_LIMIT)
    if done.returncode:
        raise SystemExit(f"{workload} failed:\n{done.stderr}")
    return float(done.stdout.split()[0])


def measure(row, options):
    """Return the medians of both sides."""
    ours, theirs = [], []
    for _ in range(options.runs):
        ours.append(seconds(options.python, row.workload, "ares", row.busy))
        if not isinstance(row.theirs, float):
            theirs.append(seconds(options.upstream_python, *row.theirs,
                                  row.busy))
    return (statistics.median(ours),
            statistics.median(theirs) if theirs else row.theirs)


def print_row(row, ours, theirs):
    ratio, target = theirs / ours, row.target or 1
    peer = ("at most" if isinstance(row.theirs, float)
            else f"upstream, {row.theirs[1]}")
    print(f"{row.name:<38} {core.shown(ours, 's'):>10} {peer:<17}"
          f"{core.shown(theirs, 's'):>10} {ratio:>7.2f} {target:>7}"
          f"{'' if ratio >= target else '  MISSED'}", flush=True)
    return ratio >= target


def run_rows(options):
    print(f"medians of {options.runs} runs; ratio: upstream / ours\n\n"
          f"{'a lookup':<38} {'ours':>10} {'':<17}{'':>10} {'ratio':>7}"
          f" {'target':>7}", flush=True)
    rows = [row for row in ROWS if options.rows in row.name]
    met = sum(print_row(row, *measure(row, options)) for row in rows)
    print(f"\n{len(rows) - met} of {len(rows)} rows miss their target")


def enter_private_network(options):
    """Run this program again, inside; return its exit status."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as table:
        json.dump(TABLE, table)
        table.flush()
        return subprocess.run(
            [sys.executable, PRIVATE_NETWORK, table.name, sys.executable,
             __file__, "--inside", *sys.argv[1:], "--upstream-python",
             options.upstream_python]).returncode


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Measure name lookup against upstream gevent.")
    parser.add_argument("--rows", default="", metavar="TEXT",
                        help="only rows whose name contains it")
    parser.add_argument("--runs", type=int, default=RUNS,
                        help="measurements a row (default: %(default)s)")
    parser.add_argument("--python", default=sys.executable,
                        help="the interpreter that has this package")
    parser.add_argument("--upstream-python", metavar="PYTHON",
                        help="the interpreter that has upstream gevent")
    parser.add_argument("--inside", action="store_true",
                        help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse_arguments()
    if options.inside:
        run_rows(options)
        return 0
    if not options.upstream_python:
        options.upstream_python = core.upstream_python(options.python)
    return enter_private_network(options)


if __name__ == "__main__":
    sys.exit(main())
