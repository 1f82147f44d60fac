"""Servers and clients of tutorials: one small protocol three ways, ZeroMQ,
XML-RPC, subprocesses."""
import sys
import threading
from contextlib import closing

import gevent
import pytest
from gevent import socket, subprocess
from gevent.event import AsyncResult
from gevent.pool import Pool
from gevent.server import StreamServer

REQUESTS = 200

SERVER = """
import socket, sys, threading
{patching}
MODE = {mode!r}

def handle(connection):
    with connection, connection.makefile("rwb") as file:
        number = int(file.readline())
        file.write(b"%d\\n" % (2 * number))

def serve(listener, requests):
    workers = []
    for _ in range(requests):
        connection, _ = listener.accept()
        if MODE == "sequential":
            handle(connection)
        elif MODE == "threads":
            workers.append(threading.Thread(target=handle, args=[connection]))
            workers[-1].start()
        else:
            import gevent
            workers.append(gevent.spawn(handle, connection))
    for worker in workers:
        worker.join()

listener = socket.create_server(("127.0.0.1", 0), backlog=512)
print(listener.getsockname()[1], flush=True)
serve(listener, {requests})
"""


def ask(port, number):
    with closing(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.sendall(b"%d\n" % number)
        return int(connection.makefile("rb").readline())


def program(mode):
    patching = "" if mode in ("sequential", "threads") else (
        "from gevent import monkey; monkey.patch_all()")
    return SERVER.format(patching=patching, mode=mode.replace("patched ", ""),
                         requests=REQUESTS)


@pytest.mark.parametrize(
    "mode", ["sequential", "threads", "patched threads", "greenlets"])
def test_a_server_under_many_requests(mode):
    with subprocess.Popen([sys.executable, "-c", program(mode)],
                          stdout=subprocess.PIPE) as server:
        port = int(server.stdout.readline())
        answers = Pool(REQUESTS).map(lambda n: ask(port, n), range(REQUESTS))
        assert answers == [2 * n for n in range(REQUESTS)]
        assert server.wait(timeout=30) == 0


def test_a_stream_server_under_many_requests():
    def handle(connection, address):
        with connection.makefile("rwb") as file:
            file.write(b"%d\n" % (2 * int(file.readline())))

    with closing(StreamServer(("127.0.0.1", 0), handle)) as server:
        server.start()
        answers = Pool(REQUESTS).map(
            lambda n: ask(server.server_port, n), range(REQUESTS))
    assert answers == [2 * n for n in range(REQUESTS)]


def test_zeromq_request_and_reply():
    zmq = pytest.importorskip("zmq.green", reason="pyzmq is not installed")
    context = zmq.Context()
    port = AsyncResult()

    def server():
        with context.socket(zmq.REP) as replies:
            port.set(replies.bind_to_random_port("tcp://127.0.0.1"))
            for _ in range(5):
                replies.send(b"re: " + replies.recv())

    def client():
        with context.socket(zmq.REQ) as requests:
            requests.connect(f"tcp://127.0.0.1:{port.get()}")
            for number in range(5):
                requests.send(b"%d" % number)
                seen.append(requests.recv())

    seen = []
    jobs = [gevent.spawn(server), gevent.spawn(client)]
    gevent.joinall(jobs, raise_error=True, timeout=140)
    context.term()
    assert seen == [b"re: %d" % number for number in range(5)]


def test_xmlrpc_under_patching(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, socketserver, threading, xmlrpc.client
        from xmlrpc.server import SimpleXMLRPCServer

        class Server(socketserver.ThreadingMixIn, SimpleXMLRPCServer):
            request_queue_size = 128

        server = Server(("127.0.0.1", 0), logRequests=False)
        server.register_function(lambda a, b: a + b, "add")
        threading.Thread(target=server.serve_forever).start()

        def client(number):
            address = "http://127.0.0.1:%d" % server.server_address[1]
            with xmlrpc.client.ServerProxy(address) as proxy:
                return proxy.add(number, 1)

        jobs = [gevent.spawn(client, number) for number in range(50)]
        gevent.joinall(jobs, raise_error=True)
        server.shutdown()
        server.server_close()
        print([job.value for job in jobs] == list(range(1, 51)))
    """)
    assert done.stdout == "True\n"


def test_a_child_and_a_ticking_greenlet():
    ticks = []

    def tick():
        while True:
            ticks.append(1)
            gevent.sleep(0.01)

    ticking = gevent.spawn(tick)
    child = subprocess.Popen(["sleep 0.2; uname"], stdout=subprocess.PIPE,
                             shell=True)
    output, _ = child.communicate()
    ticking.kill()
    gevent.os.waitpid(child.pid, 0)
    assert output.rstrip() == b"Linux"
    assert len(ticks) > 1


def test_threads_wait_for_each_other_under_patching(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import queue, threading
        numbers = queue.Queue(2)
        got = []
        taker = threading.Thread(
            target=lambda: [got.append(numbers.get()) for _ in range(5)])
        taker.start()
        for number in range(5):
            numbers.put(number)
        taker.join()
        print(got)
    """)
    assert done.stdout == "[0, 1, 2, 3, 4]\n"
    assert threading.Thread.__module__ == "threading"
