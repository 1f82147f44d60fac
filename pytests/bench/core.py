"""Measure this package against upstream gevent: `tools/bench core`.

Each row is measured in a process of its own, nine times, this package
and upstream in turns, and its figure is the median.  The ratio is upstream's
figure by ours, so more is better.  Every row is measured a second time with one
native thread computing in the process.  Nothing here passes or fails: a figure
under its target is marked.
"""
import argparse
import fnmatch
import json
import os
import statistics
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WORKLOADS = Path(__file__).with_name("workloads.py")
RUNS = 9
TIME_LIMIT = 120  # seconds one measurement may take
BUSY_TARGET = 1

# `target`: the ratio to reach; `unit`: of what is measured, "s" or "bytes";
# `against`: the workload on upstream's side, where it is another one
Row = namedtuple("Row", "name workload target unit busy against")


def row(name, workload, target, unit="s", against=None):
    return Row(name, workload, target, unit, False, against or workload)


CALM_ROWS = (
    row("sleep(0), one greenlet", "sleep0_one", 5),
    row("sleep(0), ten greenlets", "sleep0_ten", 4),
    row("spawn + join", "spawn_join", 5),
    row("spawn 10,000 + joinall", "spawn_10000_joinall", 4),
    row("Event ping-pong", "event_ping_pong", 4),
    row("Queue(1) ping-pong", "queue_ping_pong", 4),
    row("Channel ping-pong", "channel_ping_pong", 3),
    row("Semaphore, contended", "semaphore_contended", 3),
    row("with Timeout(10), unused", "timeout_unused", 2),
    row("1-byte echo, socketpair", "socketpair_echo", 1.7),
    row("Pool.map, an item", "pool_map", 3),
    row("Pool.imap, an item", "pool_imap", 3),
    row("Pool.imap_unordered, an item", "pool_imap_unordered", 3),
    row("Pool.apply", "pool_apply", 3),
    row("ThreadPool.apply", "threadpool_apply", 1.5),
    row("ThreadPool.map, an item", "threadpool_map", 1),
    row("run_callback", "run_callback", 1),
    row("Greenlet.link", "greenlet_link", 3),
    row("hub.wait, ready watcher", "hub_wait_ready", 1),
    row("gevent.wait on 1,000, each", "wait_1000", 1),
    row("sendall of 50 MB, StreamServer", "sendall_50_mb", 1),
    row("UDP sendto", "udp_sendto", 1),
    row("Popen + wait", "popen_wait", 4),
    row("Popen + wait, against the standard library's", "popen_wait", 0.67,
        against="native_popen_wait"),
    row("sleep(0) under a tracer", "sleep0_traced", 1),
    row("sleep(0), monitored", "sleep0_monitored", 1),
    row("Semaphore, free", "semaphore_free", 1.2),
    row("Queue put + get", "queue_put_get", 1.2),
    row("local get + set", "local_get_set", 1.2),
    row("local, new in each greenlet", "local_new", 1),
    row("import gevent", "import_gevent", 1),
    row("monkey.patch_all()", "patch_all", 1),
    row("memory, blocked greenlet", "blocked_greenlet_bytes", 1.2, "bytes"),
)
ROWS = CALM_ROWS + tuple(
    row._replace(name=row.name + ", busy thread", target=BUSY_TARGET, busy=True)
    for row in CALM_ROWS if row.against == row.workload)


class Side:
    """One of the two interpreters."""

    def __init__(self, python, keep_path):
        self.python = python
        dropped = ("GEVENT",) if keep_path else ("GEVENT", "PYTHON", "PURE_")
        self.environment = {key: value for key, value in os.environ.items()
                            if not key.startswith(dropped)}
        # an import is measured as it is from the second time on
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def output(self, *arguments):
        """Return what `workloads.py` prints, or end with its error text."""
        command = [self.python, str(WORKLOADS), *arguments]
        try:
            done = subprocess.run(command, env=self.environment, text=True,
                                  capture_output=True, timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{' '.join(command)} did not end within "
                             f"{TIME_LIMIT} s") from None
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed, exit status "
                             f"{done.returncode}:\n{done.stderr}")
        return done.stdout

    def about(self):
        return json.loads(self.output("--about"))

    def figure(self, workload, busy):
        return float(self.output(workload, *["--busy"] * busy))


def upstream_python(python):
    tool = ROOT / "tools" / "upstream-env"
    if not tool.exists():
        raise SystemExit("give --upstream-python: the interpreter of an "
                         "environment with the newest upstream gevent")
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        text=True, stdout=subprocess.PIPE, check=True).stdout.strip()
    done = subprocess.run([tool, "newest", "--python", version],
                          text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{tool} failed, exit status {done.returncode}")
    return done.stdout.split()[-1]


def check_sides(ours, upstream):
    """End the program if comparing the two would mislead."""
    if "+gcore" in upstream["gevent"]:
        raise SystemExit("the upstream interpreter has this package, "
                         f"gevent {upstream['gevent']}")
    if not upstream["compiled"]:
        raise SystemExit("upstream's loop is not the compiled class of "
                         f"gevent.libev.corecext but {upstream['loop']}")
    if ours["python"] != upstream["python"]:
        raise SystemExit("the interpreters differ: "
                         f"{ours['python']} / {upstream['python']}")


def choose_rows(patterns):
    def wanted(row):
        return not patterns or any(
            fnmatch.fnmatch(text, f"*{pattern}*")
            for pattern in patterns for text in (row.name, row.workload))
    rows = [row for row in ROWS if wanted(row)]
    if not rows:
        raise SystemExit(f"no row matches {' '.join(patterns)}")
    return rows


def measure(row, ours, upstream, runs):
    """Return the figures of *row*, measured in turns, as a dict."""
    figures = [(ours.figure(row.workload, row.busy),
                upstream.figure(row.against, row.busy)) for _ in range(runs)]
    our_figures, upstream_figures = zip(*figures)
    mine = statistics.median(our_figures)
    theirs = statistics.median(upstream_figures)
    return {"name": row.name, "ours": mine, "upstream": theirs,
            "ratio": theirs / mine, "target": row.target, "unit": row.unit,
            "missed": theirs / mine < row.target,
            "our_runs": our_figures, "upstream_runs": upstream_figures}


def shown(figure, unit):
    if unit == "bytes":
        return f"{figure:,.0f} B"
    for name, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if figure >= size:
            return f"{figure / size:.2f} {name}"
    return f"{figure * 1e9:.0f} ns"


def print_result(result):
    print(f"{result['name']:<38} {shown(result['ours'], result['unit']):>11}"
          f" {shown(result['upstream'], result['unit']):>11}"
          f" {result['ratio']:>7.2f} {result['target']:>7}"
          f"{'  MISSED' if result['missed'] else ''}", flush=True)


def markdown(about, runs, results):
    """Return the text of a table for the documentation."""
    ours, upstream = about["ours"], about["upstream"]
    lines = [
        f"{ours['machine']}; CPython {ours['python'].split()[0]}, greenlet "
        f"{ours['greenlet']}; gevent {ours['gevent']} here, "
        f"{upstream['gevent']} upstream; medians of {runs} runs.",
        "",
        "| work | here | upstream | ratio | target |",
        "|---|--:|--:|--:|--:|"]
    for result in results:
        missed = " (missed)" if result["missed"] else ""
        lines.append(
            f"| {result['name']} | {shown(result['ours'], result['unit'])}"
            f" | {shown(result['upstream'], result['unit'])}"
            f" | {result['ratio']:.2f} | {result['target']}{missed} |")
    return "\n".join(lines) + "\n"


def main(options):
    ours = Side(options.python, keep_path=True)
    upstream = Side(options.upstream_python or upstream_python(options.python),
                    keep_path=False)
    about = {"ours": ours.about(), "upstream": upstream.about()}
    check_sides(about["ours"], about["upstream"])
    print(f"{about['ours']['machine']}\nCPython {about['ours']['python']}")
    for side, what in about.items():
        print(f"{side}: gevent {what['gevent']}, greenlet {what['greenlet']}, "
              f"{what['loop']}")
    print(f"medians of {options.runs} runs; ratio: upstream / ours\n\n"
          f"{'work':<38} {'ours':>11} {'upstream':>11} {'ratio':>7}"
          f" {'target':>7}", flush=True)
    results = []
    for row in choose_rows(options.rows):
        results.append(measure(row, ours, upstream, options.runs))
        print_result(results[-1])
    missed = [result["name"] for result in results if result["missed"]]
    print(f"\n{len(missed)} of {len(results)} rows miss their target")
    if options.json:
        options.json.write_text(json.dumps(
            {"about": about, "runs": options.runs, "rows": results}, indent=1))
    if options.markdown:
        options.markdown.write_text(markdown(about, options.runs, results))


def at_least_five(text):
    if int(text) < 5:
        raise argparse.ArgumentTypeError("at least 5")
    return int(text)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Measure this package against upstream gevent.")
    parser.add_argument("--rows", action="append", default=[],
                        metavar="PATTERN",
                        help="only rows whose name matches (repeatable)")
    parser.add_argument("--runs", type=at_least_five, default=RUNS,
                        help="measurements a row (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="write all figures there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the table there, too")
    parser.add_argument("--python", default=sys.executable,
                        help="the interpreter that has this package "
                             "(default: the one that runs this)")
    parser.add_argument("--upstream-python", metavar="PYTHON",
                        help="the interpreter that has upstream gevent")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_arguments())
