"""A name server for tests: UDP and TCP on loopback, in a process of its own.

    with NameServer({"www.test": {"A": ["192.0.2.1"]}}) as server:
        ... server.port, server.counts() ...

Its table maps names to what is known of them: record types to lists of values
(see `wire.encode_record`), and, all optional,

    ttl       seconds of the records (60)
    delay     seconds until the answer
    fault     what is wrong with the answer, one of `FAULTS`
    times     the fault spares all but that many first queries

``*`` stands for any name that is not in the table. A name that is not known
does not exist; one that is, without records of the type, has none (both with
an SOA record that makes the lack of it good for ``negative_ttl`` seconds).
CNAME records are followed within the table.
"""
import heapq
import itertools
import json
import os
import selectors
import socket
import subprocess
import struct
import sys
import time

if __name__ == "__main__":  # imported by the tests as a file of their package
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from wire import (NOERROR, NXDOMAIN, REFUSED, SERVFAIL, TYPES, Question,
                  encode_record, encode_response)

NEGATIVE_TTL = 30
MOST_KNOWN = 100000

# Each takes the server, the question and the right answer; what it returns is
# sent in place of that, None: nothing.


def _garbage(_server, question, _answer):
    return question.id.to_bytes(2, "big") + b"\x85\x80" + b"\xff" * 40


def _pointer_loop(_server, question, _answer):
    # An answer record whose name is a pointer to itself.
    head = encode_response(question, NOERROR)
    record = (struct.pack("!H", 0xc000 | len(head))
              + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x7f\0\0\1")
    return head[:6] + b"\0\1" + head[8:] + record


def _wrong_id(_server, question, answer):
    return (question.id ^ 0x5555).to_bytes(2, "big") + answer[2:]


def _wrong_question(_server, question, answer):
    wire = bytearray(question.wire)
    wire[1] ^= 0x01  # another first letter
    return answer[:12] + bytes(wire) + answer[12 + len(wire):]


def _cut(_server, _question, answer):
    return answer[:-3]


FAULTS = {
    "drop": lambda server, question, answer: None,
    "servfail": lambda server, question, answer: encode_response(
        question, SERVFAIL),
    "refused": lambda server, question, answer: encode_response(
        question, REFUSED),
    "garbage": _garbage,
    "pointer-loop": _pointer_loop,
    "wrong-id": _wrong_id,
    "wrong-question": _wrong_question,
    "cut": _cut,
    # Those below are matters of how it is sent.
    "wrong-port": lambda server, question, answer: answer,
    "truncate": lambda server, question, answer: answer,
    "slow-tcp": lambda server, question, answer: answer,
    "close-tcp": lambda server, question, answer: answer,
    "die": lambda server, question, answer: os._exit(3),
}
# UDP answers say that they are truncated, so that the query comes by TCP.
_BY_TCP = ("truncate", "slow-tcp", "close-tcp")


class Zone:
    """The table, and how often each question came."""

    def __init__(self, table):
        self.table = {name.lower().rstrip("."): entry
                      for name, entry in table.items()}
        self.counts = {}

    def entry(self, name):
        return self.table.get(name, self.table.get("*"))

    @staticmethod
    def key(question):
        return f"{question.name} {question.type}"

    def count(self, question):
        key = self.key(question)
        self.counts[key] = self.counts.get(key, 0) + 1
        return self.counts[key]

    def answer(self, question):
        """Return the response code and the answer's records."""
        name, records = question.name, []
        for _ in range(32):  # a chain may be a loop
            entry = self.entry(name)
            if entry is None:
                return (NOERROR if records else NXDOMAIN), records
            ttl = entry.get("ttl", 60)
            kinds = ([kind for kind in TYPES if kind in entry]
                     if question.type == "ANY" else [question.type])
            found = [encode_record(name, kind, ttl, value)
                     for kind in kinds for value in entry.get(kind, ())]
            records += found
            alias = entry.get("CNAME")
            if found or not alias or question.type == "CNAME":
                break
            records.append(encode_record(name, "CNAME", ttl, alias[0]))
            name = alias[0].lower().rstrip(".")
        return NOERROR, records

    def respond(self, question):
        code, records = self.answer(question)
        authority = []
        if not records:
            authority = [encode_record(
                "test", "SOA", NEGATIVE_TTL,
                ["ns.test", "root.test", 1, 2, 3, 4, NEGATIVE_TTL])]
        return encode_response(question, code, records, authority)

    def fault(self, question, times_asked):
        entry = self.entry(question.name) or {}
        if times_asked > entry.get("times", times_asked):
            return None
        return entry.get("fault")

    def delay(self, question):
        return (self.entry(question.name) or {}).get("delay", 0)


class Server:
    """The sockets, and what is to be sent later."""

    def __init__(self, zone, address, port):
        self.zone = zone
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = address
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server((address, port),
                                             family=self.family)
        self.port = self.listener.getsockname()[1]
        self.udp = self._udp_socket(self.port)
        self.stranger = self._udp_socket(0)
        self.known = {}  # questions without their number, and the answers
        self.later = []
        self.order = itertools.count()
        self.selector.register(self.udp, selectors.EVENT_READ, self.on_udp)
        self.selector.register(self.listener, selectors.EVENT_READ,
                               self.on_connection)
        self.selector.register(sys.stdin.buffer.raw, selectors.EVENT_READ,
                               self.on_command)
        self.running = True

    def _udp_socket(self, port):
        sock = socket.socket(self.family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        sock.bind((self.address, port))
        sock.setblocking(False)
        return sock

    def run(self):
        while self.running:
            timeout = None
            if self.later:
                timeout = max(0, self.later[0][0] - time.monotonic())
            for key, _ in self.selector.select(timeout):
                key.data()
            while self.later and self.later[0][0] <= time.monotonic():
                _, _, send, arguments = heapq.heappop(self.later)
                send(*arguments)

    def after(self, seconds, send, *arguments):
        if seconds:
            heapq.heappush(self.later, (time.monotonic() + seconds,
                                        next(self.order), send, arguments))
        else:
            send(*arguments)

    def on_command(self):
        if sys.stdin.buffer.raw.readline() == b"counts\n":
            print(json.dumps(self.zone.counts), flush=True)
        else:  # the end: whoever started this has gone, or is done
            self.running = False

    def on_udp(self):
        for _ in range(64):
            try:
                message, client = self.udp.recvfrom(4096)
            except BlockingIOError:
                return
            except OSError:
                continue  # a client that went away before its answer came
            known = self.known.get(message[2:])
            if known is not None:
                key, answer = known
                self.zone.counts[key] += 1
                self.send(self.udp, message[:2] + answer, client)
            else:
                self.on_message(message, client)

    def on_message(self, message, client):
        question = Question(message)
        fault = self.zone.fault(question, self.zone.count(question))
        delay = self.zone.delay(question)
        answer = self.zone.respond(question)
        if fault in _BY_TCP or len(answer) > question.payload:
            answer = encode_response(question, NOERROR, truncated=True)
        elif fault:
            answer = FAULTS[fault](self, question, answer)
        elif not delay and len(self.known) < MOST_KNOWN:
            self.known[message[2:]] = self.zone.key(question), answer[2:]
        sock = self.stranger if fault == "wrong-port" else self.udp
        if answer is not None:
            self.after(delay, self.send, sock, answer, client)

    @staticmethod
    def send(sock, answer, client):
        try:
            sock.sendto(answer, client)
        except OSError:
            pass  # the client has gone

    def on_connection(self):
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        received = bytearray()
        self.selector.register(
            connection, selectors.EVENT_READ,
            lambda: self.on_stream(connection, received))

    def on_stream(self, connection, received):
        try:
            data = connection.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.hang_up(connection)
            return
        received += data
        while len(received) >= 2:
            size = int.from_bytes(received[:2], "big")
            if len(received) < 2 + size:
                return
            message = bytes(received[2:2 + size])
            del received[:2 + size]
            self.on_stream_message(connection, message)

    def on_stream_message(self, connection, message):
        question = Question(message)
        times = self.zone.count(question)
        fault = self.zone.fault(question, times)
        answer = self.zone.respond(question)
        if fault and fault not in _BY_TCP:
            answer = FAULTS[fault](self, question, answer)
        if answer is None:
            return
        wire = len(answer).to_bytes(2, "big") + answer
        delay = self.zone.delay(question)
        if fault == "close-tcp":
            self.after(delay, self.send_stream, connection,
                       wire[:len(wire) // 2])
            self.after(delay, self.hang_up, connection)
        elif fault == "slow-tcp":
            for at in range(0, len(wire), 8):
                self.after(delay + at / 2000, self.send_stream, connection,
                           wire[at:at + 8])
        else:
            self.after(delay, self.send_stream, connection, wire)

    @staticmethod
    def send_stream(connection, data):
        try:
            connection.sendall(data)
        except OSError:
            pass  # the client has gone

    def hang_up(self, connection):
        if connection.fileno() >= 0:
            self.selector.unregister(connection)
            connection.close()


class NameServer:
    """The server's process, seen from a test.

    :param table: see above.
    :param address: where it listens.
    :param port: 0 for any; both protocols get the same one.
    """

    def __init__(self, table, address="127.0.0.1", port=0):
        self.process = subprocess.Popen(
            [sys.executable, "-I", __file__, address, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._write(json.dumps(table).encode() + b"\n")
        line = self._read()
        if not line:
            raise RuntimeError("the name server did not start: see above")
        self.port = int(line)
        host = f"[{address}]" if ":" in address else address
        self.address = f"{host}:{self.port}"

    # Not through the process's files: the test may be patched.
    def _write(self, data):
        while data:
            data = data[os.write(self.process.stdin.fileno(), data):]

    def _read(self):
        data = b""
        while not data.endswith(b"\n"):
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                break
            data += part
        return data

    def counts(self):
        """How often each question came: {"name TYPE": number}."""
        self._write(b"counts\n")
        return json.loads(self._read())

    def count(self, name, kind="A"):
        """How often *name* was asked for."""
        return self.counts().get(f"{name.lower()} {kind}", 0)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def main(address, port):
    table = json.loads(sys.stdin.buffer.raw.readline())
    for _ in range(50):
        try:
            server = Server(Zone(table), address, int(port))
            break
        except OSError:  # the number is free for one protocol only
            if int(port):
                raise
    print(server.port, flush=True)
    server.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
