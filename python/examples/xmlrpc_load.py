"""An XML-RPC server and thousands of its clients, all of it standard library.

Without arguments: measures the program with 500, 1,000 and 5,000 clients, once
under ``gevent.monkey.patch_all()`` and once on native threads, each measurement
in a process of its own, and prints a table.  Exits 0 when no run under gevent
had an error; native runs are for comparison and may fail to start their threads.

Server and clients share one process, as threads: N clients make 2 N threads and
2 N sockets.  Each client opens one keep-alive connection with its first call;
a barrier holds all of them until every connection stands, a second one keeps
the connections open until the last call is answered.  No client ever retries,
every answer is checked, and the server counts what it accepted.
"""
import sys

if __name__ == "__main__" and "--patched" in sys.argv:
    from gevent import monkey
    monkey.patch_all()

import argparse
import faulthandler
import json
import os
import resource
import socketserver
import subprocess
import threading
import time
import traceback
import xmlrpc.client
import xmlrpc.server

CLIENTS = (500, 1000, 5000)
CALLS = 8
TIME_LIMIT = 300  # seconds a measurement may take
SHOWN_ERRORS = 3
SPARE_FILES = 200


# -- the program: a server and its clients ------------------------------------

class Handler(xmlrpc.server.SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"  # keep-alive


class Server(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    request_queue_size = 4096
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler, logRequests=False)
        self.accepted = 0
        self.open = 0
        self._lock = threading.Lock()
        self.register_function(lambda x, y: x + y, "add")
        self.register_function(gen)

    def process_request(self, request, client_address):
        with self._lock:
            self.accepted += 1
            self.open += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        super().shutdown_request(request)
        with self._lock:
            self.open -= 1


def gen(n):
    """Return *n* bytes that differ from those of any other *n*."""
    seed = b"%d," % n
    return (seed * (n // len(seed) + 1))[:n]


class OneTryTransport(xmlrpc.client.Transport):
    """A keep-alive connection; the library's own one sends a request twice
    when the connection breaks."""

    def request(self, host, handler, request_body, verbose=False):
        return self.single_request(host, handler, request_body, verbose)


class WrongAnswer(Exception):
    pass


def check_call(proxy, client, call):
    """Make the client's call number *call* and check its answer."""
    if call % 2:
        n = 50 + (client * 7 + call * 131) % 3000
        answer, expected = proxy.gen(n), gen(n)
    else:
        answer, expected = proxy.add(client, call), client + call
    if answer != expected:
        raise WrongAnswer(f"client {client}, call {call}: {answer!r:.80}")


class Load:
    """N clients against one server.

    ``errors`` holds the text of every failed client; ``connected``, ``started``
    and ``ended`` are filled by the barriers, so they exist only if all N
    clients came that far.
    """

    def __init__(self, clients, calls, time_limit):
        self.clients = clients
        self.calls = calls
        self.time_limit = time_limit
        self.server = Server()
        self.errors = []
        self.answers = 0
        self.connected = self.started = self.ended = None
        self._lock = threading.Lock()
        self._all_open = threading.Barrier(clients, self._note_open)
        self._all_answered = threading.Barrier(clients, self._note_answered)

    def _note_open(self):
        self.connected = self.server.open
        self.started = time.perf_counter()

    def _note_answered(self):
        self.ended = time.perf_counter()

    def run(self):
        server_thread = threading.Thread(target=self.server.serve_forever)
        server_thread.start()
        threads = []
        try:
            for number in range(self.clients):
                thread = threading.Thread(target=self._client, args=(number,),
                                          daemon=True)
                thread.start()
                threads.append(thread)
        except RuntimeError as error:  # "can't start new thread"
            self._fail(f"client thread {len(threads)}: {error}")
        for thread in threads:
            thread.join()
        self.server.shutdown()
        server_thread.join()
        self.server.server_close()
        if not self.errors:
            self._check_counts()

    def _client(self, number):
        try:
            address = "http://%s:%d" % self.server.server_address
            with xmlrpc.client.ServerProxy(address, OneTryTransport(),
                                           use_builtin_types=True) as proxy:
                check_call(proxy, number, 0)
                self._all_open.wait(self.time_limit)
                for call in range(1, self.calls):
                    check_call(proxy, number, call)
                self._all_answered.wait(self.time_limit)
            with self._lock:
                self.answers += self.calls
        except threading.BrokenBarrierError:
            pass  # told by the client that broke it
        except Exception:
            self._fail(f"client {number}: {traceback.format_exc(limit=-4)}")

    def _fail(self, text):
        with self._lock:
            self.errors.append(text)
        self._all_open.abort()
        self._all_answered.abort()

    def _check_counts(self):
        for what, count, expected in (
                ("answers", self.answers, self.clients * self.calls),
                ("connections open at once", self.connected, self.clients),
                ("connections accepted", self.server.accepted, self.clients)):
            if count != expected:
                self.errors.append(f"{what}: {count}, not {expected}")


# -- one measurement ------------------------------------------------------------

def allow_files(count):
    """Raise the limit of open files to *count*, or say why it cannot be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY:
        hard = max(hard, count)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    except (ValueError, OSError) as error:
        raise SystemExit(f"{count} open files are needed, {soft} are allowed, "
                         f"and raising the limit failed: {error}; "
                         "see `ulimit -Hn`") from None


def peak_memory():
    """Return the peak resident memory of this process, in MiB."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2 ** 20


def measure(clients, calls, time_limit):
    """Run one load in this process; print its figures as one line of JSON."""
    faulthandler.dump_traceback_later(time_limit, exit=True)
    allow_files(2 * clients + SPARE_FILES)
    begun = time.perf_counter()
    load = Load(clients, calls, time_limit)
    load.run()
    figures = {"errors": len(load.errors), "shown": load.errors[:SHOWN_ERRORS],
               "memory": peak_memory()}
    if load.ended is not None:
        figures["connect"] = load.started - begun
        figures["rate"] = clients * (calls - 1) / (load.ended - load.started)
    faulthandler.cancel_dump_traceback_later()
    print(json.dumps(figures), flush=True)
    if load.errors:
        os._exit(0)  # clients that wait in a call would keep the process


# -- the table -------------------------------------------------------------------

def run_measurement(clients, patched, options):
    """Measure in a process of its own; return its figures (see `measure`)."""
    command = [sys.executable, os.path.abspath(__file__), "--measure",
               "--clients", str(clients), "--calls", str(options.calls),
               "--time-limit", str(options.time_limit)]
    if patched:
        command.append("--patched")
    try:
        done = subprocess.run(command, capture_output=True, text=True,
                              timeout=options.time_limit + 30)
    except subprocess.TimeoutExpired:
        return failed(f"did not end within {options.time_limit + 30} s")
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = done.stderr.strip().splitlines()
    return failed(f"exit status {done.returncode}:\n  "
                  + "\n  ".join(lines[:40]))


def failed(text):
    return {"errors": 1, "shown": [text]}


def print_row(clients, name, figures):
    def cell(key, form):
        return format(figures[key], form) if key in figures else "-"
    print(f"{clients:>7,}  {name:<8} {cell('connect', '.2f'):>11}"
          f" {cell('rate', ',.0f'):>11} {figures['errors']:>7}"
          f" {cell('memory', ',.0f'):>9}", flush=True)
    for text in figures["shown"]:
        print("         " + text.strip().replace("\n", "\n         "))


def main(options):
    print("XML-RPC: one process, a server and N keep-alive clients, "
          f"{options.calls} calls each, {sys.implementation.name} "
          "%d.%d.%d" % sys.version_info[:3])
    print(f"{'clients':>7}  {'threads':<8} {'connect, s':>11}"
          f" {'requests/s':>11} {'errors':>7} {'peak MiB':>9}", flush=True)
    errors = 0
    for clients in options.clients or CLIENTS:
        figures = run_measurement(clients, True, options)
        errors += figures["errors"]
        print_row(clients, "gevent", figures)
        if options.native:
            figures = run_measurement(clients, False, options)
            print_row(clients, "native", figures)
    if errors:
        raise SystemExit(f"FAILED: {errors} errors under gevent")
    print("0 errors under gevent")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="XML-RPC load on the standard library, "
                    "under gevent and on native threads")
    parser.add_argument("--clients", type=int, action="append", metavar="N",
                        help="measure N clients (default: %s)"
                             % ", ".join(map(str, CLIENTS)))
    parser.add_argument("--calls", type=int, default=CALLS,
                        help="calls a client makes (default: %(default)s)")
    parser.add_argument("--time-limit", type=int, default=TIME_LIMIT,
                        metavar="S",
                        help="seconds a measurement may take "
                             "(default: %(default)s)")
    parser.add_argument("--no-native", dest="native", action="store_false",
                        help="leave the native threads out")
    parser.add_argument("--measure", action="store_true",
                        help="measure here and print JSON")
    parser.add_argument("--patched", action="store_true",
                        help="with --measure: under gevent")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse_arguments()
    if arguments.measure:
        measure(arguments.clients[0], arguments.calls, arguments.time_limit)
    else:
        main(arguments)
