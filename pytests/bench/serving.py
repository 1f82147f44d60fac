"""Measure servers against upstream gevent and others: `tools/bench http`.

Server and client run on a core each, this package and the others in turns; a
figure is the median of the runs. Where the client is the limit, throughput says
little: the server's CPU time a request is measured too, and both ratios shown.
"""
import argparse
import contextlib
import fnmatch
import json
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers.py"
POST_SCRIPT = HERE / "post.lua"
IDLE_CONNECTIONS = 1_000
STARTING = 20  # seconds a server may take to answer

#: What a server did: requests and CPU seconds each; `p99` in seconds
Figures = namedtuple("Figures", "rate cpu p99")

#: *ours* and *theirs* are arguments of servers.py; *target* is the ratio of
#: rates or of CPU times to reach, None: shown only
Row = namedtuple("Row", "name client ours theirs side target",
                 defaults=("upstream", None))


def wrk(path="/", connections=50, *arguments):
    """A client: wrk on *path*."""
    return ("wrk", path, connections, arguments)


def post(path, size, connections=50):
    return ("wrk", path, connections, ("-s", str(POST_SCRIPT)), str(size))


HELLO = wrk()
PYWSGI = ("pywsgi",)
ROWS = (
    Row("echo, 50 connections", ("echo",), ("echo",), ("echo",), target=1.6),
    Row("echo, beside uvloop", ("echo",), ("echo",), ("uvloop_echo",),
        "peers", 0.9),
    Row("hello, beside upstream as shipped", HELLO, PYWSGI, PYWSGI, target=30),
    Row("hello, beside upstream with TCP_NODELAY", HELLO, PYWSGI,
        ("pywsgi", "--no-delay"), target=5),
    Row("hello, 400 connections", wrk("/", 400), PYWSGI,
        ("pywsgi", "--no-delay"), target=8),
    Row("a connection a request",
        wrk("/", 50, "-H", "Connection: close"), PYWSGI,
        ("pywsgi", "--no-delay"), target=2.5),
    Row("10 KB down", wrk("/10k"), PYWSGI, ("pywsgi", "--no-delay"), target=2),
    Row("1 MB down", wrk("/1m"), PYWSGI, ("pywsgi", "--no-delay"), target=2),
    Row("10 KB up", post("/", 10_000), PYWSGI, ("pywsgi", "--no-delay"),
        target=2),
    Row("1 MB up", post("/", 1_000_000), PYWSGI, ("pywsgi", "--no-delay"),
        target=2),
    Row("1,000 chunks", wrk("/stream"), PYWSGI, ("pywsgi", "--no-delay"),
        target=2),
    Row("hello over TLS", HELLO, ("pywsgi", "--certificate"),
        ("pywsgi", "--certificate", "--no-delay"), target=2),
    Row("hello, a busy thread", HELLO, ("pywsgi", "--busy"),
        ("pywsgi", "--busy", "--no-delay"), target=5),
    Row("gunicorn -k gevent", HELLO, ("gunicorn",), ("gunicorn",),
        target=3),
    Row("flask, beside upstream", HELLO, ("pywsgi_flask",),
        ("pywsgi_flask", "--no-delay")),
    Row("flask, beside granian", HELLO, ("pywsgi_flask",),
        ("granian_flask",), "peers"),
    Row("flask, beside waitress", HELLO, ("pywsgi_flask",),
        ("waitress_flask",), "peers"),
    Row("flask, beside gunicorn gthread", HELLO, ("pywsgi_flask",),
        ("gthread_flask",), "peers"),
)


# -- processes ---------------------------------------------------------------

def family(pid):
    """*pid* and its descendants."""
    found = [pid]
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pid):
    """CPU time that *pid* and its descendants have used."""
    total = 0
    for pid in family(pid):
        for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
    return total / 1e9


def resident_bytes(pid):
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def serving(python, arguments, setting):
    """Run a server; `(process, port)`."""
    arguments = list(arguments)
    if "--certificate" in arguments:
        place = arguments.index("--certificate") + 1
        arguments.insert(place, str(setting.certificate))
    process = subprocess.Popen(
        ["taskset", "-c", setting.server_core, python, str(SERVERS),
         *arguments, "--packages", setting.packages],
        stdout=subprocess.PIPE, text=True, start_new_session=True,
        stderr=None if setting.verbose else subprocess.DEVNULL)
    try:
        line = process.stdout.readline()
        if not line.startswith("port "):
            raise SystemExit(f"{' '.join(arguments)}: the server did not start; "
                             "--verbose shows why")
        port = int(line.split()[1])
        wait_until_open(port)
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def wait_until_open(port):
    limit = time.monotonic() + STARTING
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > limit:
                raise SystemExit(f"nobody listens on port {port}") from None
            time.sleep(0.05)


# -- clients -----------------------------------------------------------------

def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def run_wrk(port, duration, setting, secure, path, connections, arguments,
            size="0"):
    done = subprocess.run(
        ["taskset", "-c", setting.client_core, "wrk", "-t1", "--latency",
         f"-c{connections}", f"-d{duration}s", *arguments,
         f"http{'s' * secure}://127.0.0.1:{port}{path}"],
        env=dict(os.environ, SIZE=size), text=True, stdout=subprocess.PIPE,
        check=True).stdout
    if "Non-2xx" in done:
        raise SystemExit(f"errors of the server:\n{done}")
    count = int(re.search(r"(\d+) requests in", done)[1])
    return count, seconds(re.search(r"99%\s+(\S+)", done)[1])


def run_echo(port, duration, setting, _secure, connections=50, size=64):
    """Ping-pong on all connections; the number of rounds."""
    os.sched_setaffinity(0, {int(setting.client_core)})
    message = b"x" * size
    poll = select.epoll()
    peers = {}
    for _ in range(connections):
        peer = socket.create_connection(("127.0.0.1", port))
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(peer, select.EPOLLIN)
        peers[peer.fileno()] = peer
        peer.send(message)
    count, end = 0, time.monotonic() + duration
    while time.monotonic() < end:
        for fd, _event in poll.poll():
            peer = peers[fd]
            peer.recv(size)
            peer.send(message)
            count += 1
    for peer in peers.values():
        peer.close()
    return count, None


CLIENTS = {"wrk": run_wrk, "echo": run_echo}


def measure_once(python, arguments, client, setting, busy):
    kind, *rest = client
    secure = "--certificate" in arguments
    with serving(python, arguments, setting) as (process, port):
        CLIENTS[kind](port, 1, setting, secure, *rest)  # warm
        before, start = cpu_seconds(process.pid), time.monotonic()
        count, p99 = CLIENTS[kind](
            port, setting.duration, setting, secure, *rest)
        cpu = cpu_seconds(process.pid) - before
        if not count:
            raise SystemExit(f"{arguments}: no request was answered")
        return Figures(count / (time.monotonic() - start),
                       float("inf") if busy else cpu / count, p99)


def idle_bytes(python, setting):
    """Memory that a connection costs that waits for its next request."""
    with serving(python, PYWSGI, setting) as (process, port):
        peers = []

        def connect(count):
            for _ in range(count):
                peer = socket.create_connection(("127.0.0.1", port))
                peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                answer = b""
                while not answer.endswith(b"Hello, world!\n"):
                    answer += peer.recv(4096)
                peers.append(peer)

        connect(50)
        before = resident_bytes(process.pid)
        connect(IDLE_CONNECTIONS)
        grown = resident_bytes(process.pid) - before
        for peer in peers:
            peer.close()
        return grown / IDLE_CONNECTIONS


# -- results -----------------------------------------------------------------

def median(runs):
    return Figures(*(None if None in values else statistics.median(values)
                     for values in zip(*runs)))


def ms(figure):
    return "-" if figure is None else f"{figure * 1e3:.1f}"


def measure(row, setting):
    pythons = {"upstream": setting.upstream_python,
               "peers": setting.peers_python}
    ours, theirs = [], []
    busy = "--busy" in row.ours
    for _ in range(setting.runs):
        ours.append(measure_once(setting.python, row.ours, row.client,
                                 setting, busy))
        theirs.append(measure_once(pythons[row.side], row.theirs, row.client,
                                   setting, busy))
    mine, other = median(ours), median(theirs)
    return {"name": row.name, "target": row.target,
            "ours": mine._asdict(), "theirs": other._asdict(),
            "rate_ratio": mine.rate / other.rate,
            "cpu_ratio": None if busy else other.cpu / mine.cpu}


def result_cells(result):
    ours, theirs = result["ours"], result["theirs"]
    cpu = result["cpu_ratio"]
    best = max(result["rate_ratio"], cpu or 0)
    target = result["target"]
    missed = target is not None and best < target
    return [result["name"], f"{ours['rate']:,.0f}", f"{theirs['rate']:,.0f}",
            f"{result['rate_ratio']:.2f}",
            "-" if cpu is None else f"{ours['cpu'] * 1e6:.1f}",
            "-" if cpu is None else f"{theirs['cpu'] * 1e6:.1f}",
            "-" if cpu is None else f"{cpu:.2f}",
            ms(ours["p99"]), ms(theirs["p99"]),
            "-" if target is None else f"{target}{' missed' if missed else ''}"]


HEADINGS = ("work", "requests/s", "theirs", "ratio", "CPU us", "theirs",
            "ratio", "p99 ms", "theirs", "target")


def print_cells(cells):
    print(f"{cells[0]:<40}" + "".join(f"{cell:>11}" for cell in cells[1:]),
          flush=True)


def markdown(rows):
    lines = [HEADINGS, ["---", *["--:"] * (len(HEADINGS) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def make_certificate(folder):
    path = folder / "bench.pem"
    if not path.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-days", "3650", "-subj", "/CN=localhost", "-keyout",
             str(path), "-out", f"{path}.cert"], check=True,
            stderr=subprocess.DEVNULL)
        with path.open("a") as file:
            file.write(Path(f"{path}.cert").read_text())
    return path


def main(setting):
    cores = sorted(os.sched_getaffinity(0))
    setting.server_core, setting.client_core = str(cores[0]), str(cores[-1])
    setting.certificate = make_certificate(setting.folder)
    rows = [row for row in ROWS if not setting.rows or any(
        fnmatch.fnmatch(row.name, f"*{pattern}*") for pattern in setting.rows)]
    print(f"medians of {setting.runs} runs of {setting.duration} s; "
          "ratios: more is better for us\n")
    print_cells(HEADINGS)
    shown, results = [], []
    for row in rows:
        results.append(measure(row, setting))
        shown.append(result_cells(results[-1]))
        print_cells(shown[-1])
    if not setting.rows or setting.memory:
        for name in ("python", "upstream_python"):
            size = idle_bytes(getattr(setting, name), setting)
            results.append({"name": f"idle bytes, {name}", "bytes": size})
            print(f"a connection that waits, {name}: {size:,.0f} bytes")
    if setting.json:
        setting.json.write_text(json.dumps(results, indent=1))
    if setting.markdown:
        setting.markdown.write_text(markdown(shown))


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Measure servers against upstream gevent and others.")
    parser.add_argument("--rows", action="append", default=[],
                        metavar="PATTERN",
                        help="only rows whose name matches (repeatable)")
    parser.add_argument("--memory", action="store_true",
                        help="with --rows: memory of idle connections too")
    parser.add_argument("--runs", type=int, default=5,
                        help="measurements a row (default: %(default)s)")
    parser.add_argument("--duration", type=int, default=5, metavar="SECONDS",
                        help="of a measurement (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true",
                        help="show what the servers write to standard error")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--upstream-python", required=True)
    parser.add_argument("--peers-python", required=True)
    parser.add_argument("--packages", required=True,
                        help="folder with flask and gunicorn")
    parser.add_argument("--folder", type=Path, required=True,
                        help="where a certificate may be written")
    return parser.parse_args()


if __name__ == "__main__":
    main(parse_arguments())
