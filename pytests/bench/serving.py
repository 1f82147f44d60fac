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
import resource
import select
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers.py"
POST_SCRIPT = HERE / "post.lua"
IDLE_CONNECTIONS = 4_000
IDLE_TARGET = 2_560  # bytes
STARTING = 20  # seconds a server may take to answer
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (b"POST / HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: %d\r\n\r\n")

#: What a server did: requests and CPU seconds each; `p99` in seconds
Figures = namedtuple("Figures", "rate cpu p99")

#: Another server for a work: *arguments* of servers.py, the interpreter that
#: it runs on, and the ratio of rates or of CPU times to reach (None: shown)
Other = namedtuple("Other", "name arguments side target",
                   defaults=("upstream", None))

#: A work for *ours* and *others*, which take turns
Work = namedtuple("Work", "name client ours others")


def wrk(path="/", connections=50, *arguments):
    """A client: wrk on *path*."""
    return ("wrk", path, connections, arguments)


def post(path, size, connections=50):
    return ("wrk", path, connections, ("-s", str(POST_SCRIPT)), str(size))


def beside_upstream(name, client, target, *options):
    """Work for pywsgi, here and on upstream with TCP_NODELAY."""
    return Work(name, client, ("pywsgi", *options),
                [Other("", ("pywsgi", *options, "--no-delay"), target=target)])


def a_megabyte(name, request):
    """Work for pywsgi that is mostly the kernel's copying: what is to be
    reached is beside upstream as it is installed; with TCP_NODELAY it is
    shown. wrk, which reads 8 KiB at a time, would be the limit."""
    return Work(name, ("bulk", request), ("pywsgi",), [
        Other("as shipped", ("pywsgi",), target=2),
        Other("TCP_NODELAY", ("pywsgi", "--no-delay"))])


HELLO = wrk()
WORKS = (
    Work("echo, 50 connections", ("echo",), ("echo",), [
        Other("", ("echo",), target=1.6),
        Other("uvloop", ("uvloop_echo",), "peers", 0.9)]),
    Work("hello", HELLO, ("pywsgi",), [
        Other("as shipped", ("pywsgi",), target=30),
        Other("TCP_NODELAY", ("pywsgi", "--no-delay"), target=5)]),
    Work("hello, logged", HELLO, ("pywsgi", "--log"), [
        Other("TCP_NODELAY", ("pywsgi", "--log", "--no-delay"))]),
    beside_upstream("hello, 400 connections", wrk("/", 400), 8),
    beside_upstream("a connection a request",
                    wrk("/", 50, "-H", "Connection: close"), 2.5),
    beside_upstream("10 KB down", wrk("/10k"), 2),
    a_megabyte("1 MB down", GET.replace(b"/", b"/1m", 1)),
    beside_upstream("10 KB up", post("/", 10_000), 2),
    a_megabyte("1 MB up", POST % 1_000_000 + b"x" * 1_000_000),
    beside_upstream("1,000 chunks", wrk("/stream"), 2),
    beside_upstream("hello over TLS", ("steady",), 2, "--certificate"),
    beside_upstream("hello, a busy thread", HELLO, 5, "--busy"),
    Work("gunicorn, our worker", HELLO,
         ("gunicorn", "--worker", "libgcore.gunicorn.Worker"),
         [Other("-k gevent", ("gunicorn",), target=3)]),
    Work("gunicorn -k gevent", HELLO, ("gunicorn",),
         [Other("", ("gunicorn",))]),
    Work("flask", HELLO, ("pywsgi_flask",), [
        Other("TCP_NODELAY", ("pywsgi_flask", "--no-delay")),
        Other("granian", ("granian_flask",), "peers"),
        Other("waitress", ("waitress_flask",), "peers"),
        Other("gunicorn gthread", ("gthread_flask",), "peers")]),
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
    found = re.fullmatch(r"([\d.]+)([a-z]+)", text)
    if not found:  # nothing was answered
        return None
    number, unit = found.groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def run_wrk(port, duration, setting, secure, begin, path, connections,
            arguments, size="0"):
    begin()
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


def run_echo(port, duration, setting, _secure, begin, connections=50,
             size=64):
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
    begin()
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


def run_steady(port, duration, setting, secure, begin, connections=50):
    """Requests on connections that are there when the measurement begins:
    handshakes of TLS cost much more than requests do."""
    os.sched_setaffinity(0, {int(setting.client_core)})
    peers = [connect(port) for _ in range(connections)]
    if secure:
        context = ssl._create_unverified_context()
        peers = [context.wrap_socket(peer) for peer in peers]
    begin()
    count, end = 0, time.monotonic() + duration
    while time.monotonic() < end:
        for peer in peers:
            peer.sendall(GET)
        for peer in peers:
            read_hello(peer)
        count += connections
    for peer in peers:
        peer.close()
    return count, None


class BulkPeer:
    """Sends a request again and again, as fast as it is answered."""

    buffer = memoryview(bytearray(1 << 20))

    def __init__(self, port, request):
        self.sock = connect(port)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = self.unsent = memoryview(request)
        self.left = 0  # bytes of the answer
        self.answers = 0

    def send(self):
        with contextlib.suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent):]

    def receive(self):
        with contextlib.suppress(BlockingIOError):
            while size := self.sock.recv_into(self.buffer):
                self.left = (self.left or self.answer_size()) - size
                if not self.left:
                    self.answers += 1
                    self.unsent = self.request
                    self.send()
                if size < len(self.buffer):
                    return
            raise SystemExit("a connection was closed")

    def answer_size(self):
        head = bytes(self.buffer[:1024]).partition(b"\r\n\r\n")[0]
        length = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)[1]
        return len(head) + len(b"\r\n\r\n") + int(length)


def run_bulk(port, duration, setting, _secure, begin, request,
             connections=50):
    os.sched_setaffinity(0, {int(setting.client_core)})
    poll = select.epoll()
    peers = {}
    begin()
    for _ in range(connections):
        peer = BulkPeer(port, request)
        poll.register(peer.sock, select.EPOLLIN | select.EPOLLOUT
                      | select.EPOLLET)
        peers[peer.sock.fileno()] = peer
    end = time.monotonic() + duration
    while time.monotonic() < end:
        for fd, events in poll.poll(0.1):
            if events & select.EPOLLOUT:
                peers[fd].send()
            if events & select.EPOLLIN:
                peers[fd].receive()
    for peer in peers.values():
        peer.sock.close()
    return sum(peer.answers for peer in peers.values()), None


CLIENTS = {"wrk": run_wrk, "echo": run_echo, "steady": run_steady,
           "bulk": run_bulk}


def measure_once(python, arguments, client, setting):
    kind, *rest = client
    secure = "--certificate" in arguments
    with serving(python, arguments, setting) as (process, port):
        began = []

        def begin():
            began[:] = cpu_seconds(process.pid), time.monotonic()

        run = CLIENTS[kind]
        run(port, 1, setting, secure, begin, *rest)  # warm
        count, p99 = run(port, setting.duration, setting, secure, begin, *rest)
        cpu = cpu_seconds(process.pid) - began[0]
        if not count:
            raise SystemExit(f"{arguments}: no request was answered")
        return Figures(count / (time.monotonic() - began[1]),
                       None if "--busy" in arguments else cpu / count, p99)


def connect(port):
    return socket.create_connection(("127.0.0.1", port))


def read_hello(peer):
    answer = b""
    while not answer.endswith(b"Hello, world!\n"):
        data = peer.recv(4096)
        if not data:
            raise SystemExit("a connection was closed")
        answer += data


def idle_bytes(python, setting):
    """Memory that a connection costs that waits for its next request: what
    the server has grown by when it has thousands more of them."""
    peers = []

    def add(count):
        for _ in range(count):
            peer = connect(port)
            peer.sendall(GET)
            read_hello(peer)
            peers.append(peer)

    with serving(python, ("pywsgi",), setting) as (process, port):
        add(200)
        before = resident_bytes(process.pid)
        add(IDLE_CONNECTIONS)
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


def ratio(one, other):
    return None if None in (one, other) else one / other


def compare(work, other, mine, theirs):
    rate, cpu = ratio(mine.rate, theirs.rate), ratio(theirs.cpu, mine.cpu)
    return {"name": f"{work.name}, {other.name}".rstrip(", "),
            "target": other.target, "ours": mine._asdict(),
            "theirs": theirs._asdict(), "rate_ratio": rate, "cpu_ratio": cpu}


def measure(work, setting):
    pythons = {"upstream": setting.upstream_python,
               "peers": setting.peers_python}
    ours, theirs = [], [[] for _ in work.others]
    for _ in range(setting.runs):
        ours.append(measure_once(setting.python, work.ours, work.client,
                                 setting))
        for other, runs in zip(work.others, theirs):
            runs.append(measure_once(pythons[other.side], other.arguments,
                                     work.client, setting))
    return [compare(work, other, median(ours), median(runs))
            for other, runs in zip(work.others, theirs)]


def number(figure, form=".2f"):
    return "-" if figure is None else format(figure, form)


def microseconds(figure):
    return number(figure and figure * 1e6, ".1f")


def result_cells(result):
    ours, theirs = result["ours"], result["theirs"]
    best = max(result["rate_ratio"], result["cpu_ratio"] or 0)
    target = result["target"]
    missed = target is not None and best < target
    return [result["name"], f"{ours['rate']:,.0f}", f"{theirs['rate']:,.0f}",
            number(result["rate_ratio"]),
            microseconds(ours["cpu"]), microseconds(theirs["cpu"]),
            number(result["cpu_ratio"]), ms(ours["p99"]), ms(theirs["p99"]),
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


def raise_descriptor_limit():
    """Also for servers, which inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(setting):
    cores = sorted(os.sched_getaffinity(0))
    setting.server_core, setting.client_core = str(cores[0]), str(cores[-1])
    setting.certificate = make_certificate(setting.folder)
    works = [work for work in WORKS if not setting.rows or any(
        fnmatch.fnmatch(work.name, f"*{pattern}*") for pattern in setting.rows)]
    raise_descriptor_limit()
    print(f"medians of {setting.runs} runs of {setting.duration} s; "
          "ratios: more is better for us\n")
    print_cells(HEADINGS)
    shown, results = [], []
    for work in works:
        for result in measure(work, setting):
            results.append(result)
            shown.append(result_cells(result))
            print_cells(shown[-1])
    if not setting.rows or setting.memory:
        ours, theirs = (idle_bytes(python, setting) for python in (
            setting.python, setting.upstream_python))
        results.append({"name": "idle connection", "ours": ours,
                        "theirs": theirs, "target": IDLE_TARGET})
        print(f"\nmemory of a connection that waits: {ours:,.0f} bytes, "
              f"upstream's {theirs:,.0f}; at most {IDLE_TARGET:,} wanted")
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
    parser.add_argument("--runs", type=int, default=3,
                        help="measurements a row (default: %(default)s)")
    parser.add_argument("--duration", type=int, default=2, metavar="SECONDS",
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
