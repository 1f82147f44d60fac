"""Packages of the index that use this one, doing what they do.

They are in an environment of their own: ``tools/test downstream``.
"""
import contextlib
import functools
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import packages
import pytest
from ports import free_port

AT_ONCE = 20

APPLICATION = """
import gevent

def application(environ, start_response):
    gevent.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"it works: " + environ["PATH_INFO"].encode()]
"""

# A server for the clients below, in their own process.
PATCHED = """
from gevent import monkey; monkey.patch_all()
import gevent
from gevent.pywsgi import WSGIServer

def application(environ, start_response):
    gevent.sleep(0.05)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"it works"]

server = WSGIServer(("127.0.0.1", 0), application, log=None)
server.start()
url = "http://127.0.0.1:%d/" % server.server_port
"""


needs = functools.partial(packages.needs, command="tools/test downstream")


@pytest.fixture
def port():
    with free_port() as number:
        yield number


@contextlib.contextmanager
def running(*command, folder):
    """Run a command meanwhile; what it prints goes to a file there."""
    with open(folder / "output", "wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=output,
            stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def until(condition, process, folder, seconds=45):
    """Wait for a condition while a process runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < end, (folder / "output").read_text()
        time.sleep(0.05)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def get(port, number):
    url = f"http://127.0.0.1:{port}/{number}"
    return urllib.request.urlopen(url, timeout=30).read()


@needs("gunicorn")
@pytest.mark.parametrize("worker", ["gevent", "gevent_pywsgi"])
def test_gunicorn(worker, port, tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    with running("-m", "gunicorn", "-k", worker, "-b", f"127.0.0.1:{port}",
                 "app:application", folder=tmp_path) as process:
        until(lambda: answers(port), process, tmp_path)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bodies = list(pool.map(lambda number: get(port, number),
                                   range(AT_ONCE)))
        assert bodies == [b"it works: /%d" % n for n in range(AT_ONCE)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=140) == 0, (
            tmp_path / "output").read_text()


@needs("uwsgi")
def test_uwsgi(port, tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    with open(tmp_path / "output", "wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("uwsgi"), "--gevent", "30",
             "--gevent-monkey-patch", "--http-socket", f"127.0.0.1:{port}",
             "--module", "app", "--die-on-term", "-H", sys.prefix],
            cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: answers(port), process, tmp_path)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bodies = list(pool.map(lambda number: get(port, number),
                                   range(AT_ONCE)))
        assert bodies == [b"it works: /%d" % n for n in range(AT_ONCE)]
    finally:
        process.terminate()
        process.wait()


TASKS = """
import os, gevent
from celery import Celery
for name in ("queue", "processed", "results"):
    os.makedirs(name, exist_ok=True)
app = Celery("tasks", broker="filesystem://", backend="file://results")
app.conf.broker_transport_options = {
    "data_folder_in": "queue", "data_folder_out": "queue",
    "processed_folder": "processed", "control_folder": "queue"}

@app.task
def double(number):
    gevent.sleep(0.05)
    return 2 * number
"""

CELERY_CLIENT = """
from tasks import double
results = [double.delay(n) for n in range(20)]
print([result.get(timeout=140, interval=0.1) for result in results])
"""


@needs("celery")
def test_celery(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    with running("-m", "celery", "-A", "tasks", "worker", "-P", "gevent",
                 "-c", "10", "--without-gossip", "--without-mingle",
                 folder=tmp_path) as process:
        output = subprocess.run(
            [sys.executable, "-c", CELERY_CLIENT], cwd=tmp_path, timeout=140,
            stdout=subprocess.PIPE).stdout
        assert output.decode().strip() == str([2 * n for n in range(20)]), (
            tmp_path / "output").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=140) == 0


LOCUST = """
from locust import HttpUser, constant, task

class User(HttpUser):
    wait_time = constant(0)

    @task
    def get(self):
        self.client.get("/")
"""


@needs("locust")
def test_locust(port, tmp_path):
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "users.py").write_text(LOCUST)
    with running("-m", "gevent.pywsgi", "app:application", "-b",
                 f"127.0.0.1:{port}", folder=tmp_path) as process:
        until(lambda: answers(port), process, tmp_path)
        done = subprocess.run(
            [sys.executable, "-m", "locust", "-f", "users.py", "--headless",
             "-u", "10", "-r", "10", "-t", "2s", "--only-summary", "--host",
             f"http://127.0.0.1:{port}"],
            cwd=tmp_path, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0(0.00%)" in done.stderr + done.stdout


@needs("requests", "grequests")
def test_requests(run_program):
    done = run_program(PATCHED + """
import grequests, requests
jobs = [gevent.spawn(requests.get, url) for _ in range(20)]
gevent.joinall(jobs, raise_error=True)
print({job.value.text for job in jobs})
print({r.text for r in grequests.map([grequests.get(url)] * 20, size=5)})
""")
    assert done.stdout == "{'it works'}\n" * 2


@needs("urllib3")
def test_urllib3(run_program):
    done = run_program(PATCHED + """
import urllib3
with urllib3.PoolManager(maxsize=20, block=True) as pool:
    jobs = [gevent.spawn(pool.request, "GET", url) for _ in range(20)]
    gevent.joinall(jobs, raise_error=True)
    print({job.value.data for job in jobs})
""")
    assert done.stdout == "{b'it works'}\n"


@needs("geventhttpclient")
def test_geventhttpclient(run_program):
    done = run_program(PATCHED + """
from geventhttpclient import HTTPClient
client = HTTPClient.from_url(url, concurrency=20)
def get():
    response = client.get("/")
    return response.status_code, bytes(response.read())
jobs = [gevent.spawn(get) for _ in range(20)]
gevent.joinall(jobs, raise_error=True)
print({job.value for job in jobs})
""")
    assert done.stdout == "{(200, b'it works')}\n"


@needs("redis")
def test_redis(run_program):
    """The client, with a server that knows two commands."""
    done = run_program("""
from gevent import monkey; monkey.patch_all()
import gevent, redis
from gevent.server import StreamServer

def serve(connection, address):
    with connection.makefile("rwb") as file:
        while line := file.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(file.readline()[1:])
                words.append(file.read(size + 2)[:-2])
            if words[0] == b"ECHO":
                gevent.sleep(0.05)
                file.write(b"$%d\\r\\n%s\\r\\n" % (len(words[1]), words[1]))
            else:
                file.write(b"+OK\\r\\n")
            file.flush()

server = StreamServer(("127.0.0.1", 0), serve)
server.start()
client = redis.Redis("127.0.0.1", server.server_port, protocol=2)
jobs = [gevent.spawn(client.echo, "%d" % n) for n in range(20)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs] == [b"%d" % n for n in range(20)])
""")
    assert done.stdout == "True\n"


@needs("psycogreen", "psycopg2-binary")
def test_psycogreen(run_program):
    """The driver waits by callback; its server hangs up after a while."""
    done = run_program("""
from gevent import monkey; monkey.patch_all()
import gevent, psycopg2
from gevent.server import StreamServer
from psycogreen.gevent import patch_psycopg
patch_psycopg()

def serve(connection, address):
    connection.recv(100)
    gevent.sleep(0.2)

server = StreamServer(("127.0.0.1", 0), serve)
server.start()
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
ticking = gevent.spawn(tick)
try:
    psycopg2.connect(host="127.0.0.1", port=server.server_port, user="x",
                     sslmode="disable", gssencmode="disable")
except psycopg2.OperationalError:
    print(len(ticks) > 2)
ticking.kill()
""")
    assert done.stdout == "True\n"


@needs("flask-socketio", "gevent-websocket", "websocket-client", "requests")
def test_flask_socketio(run_program):
    done = run_program("""
from gevent import monkey; monkey.patch_all()
import gevent, socket, socketio
from flask import Flask
from flask_socketio import SocketIO

held = socket.socket()
held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
held.bind(("127.0.0.1", 0))
port = held.getsockname()[1]
app = Flask("app")
served = SocketIO(app, async_mode="gevent")
served.on_event("double", lambda number: 2 * number)
gevent.spawn(served.run, app, host="127.0.0.1", port=port)

for transport in ("polling", "websocket"):
    client = socketio.Client()
    client.connect("http://127.0.0.1:%d" % port, transports=[transport],
                   wait_timeout=30, retry=True)
    print(client.transport(), client.call("double", 21, timeout=30))
    client.disconnect()
""")
    assert done.stdout == "polling 42\nwebsocket 42\n"


@needs("gevent-websocket", "websocket-client")
def test_gevent_websocket(run_program):
    done = run_program("""
from gevent import monkey; monkey.patch_all()
import gevent, websocket
from gevent.pywsgi import WSGIServer
from geventwebsocket.handler import WebSocketHandler

def application(environ, start_response):
    ws = environ["wsgi.websocket"]
    while (message := ws.receive()) is not None:
        ws.send("re: " + message)
    return []

server = WSGIServer(("127.0.0.1", 0), application, log=None,
                    handler_class=WebSocketHandler)
server.start()

def talk(number):
    ws = websocket.create_connection(
        "ws://127.0.0.1:%d/" % server.server_port, timeout=30)
    ws.send("%d" % number)
    answer = ws.recv()
    ws.close()
    return answer

jobs = [gevent.spawn(talk, n) for n in range(20)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs] == ["re: %d" % n for n in range(20)])
""")
    assert done.stdout == "True\n"


@needs("pika")
def test_pika(run_program):
    run_program("""
        import gevent, socket
        from pika.adapters.gevent_connection import (
            GeventConnection, _GeventSelectorIOLoop)
        loop = _GeventSelectorIOLoop()
        here, there = socket.socketpair()
        seen = []

        def readable(fd, events):
            seen.append(here.recv(1))
            loop.remove_handler(fd)
            loop.stop()

        loop.add_handler(here.fileno(), readable, loop.READ)
        loop.call_later(0.01, lambda: there.sendall(b"x"))
        loop.start()
        assert seen == [b"x"]
        loop.close()
        assert GeventConnection
    """)


@needs("huey")
def test_huey(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from huey import MemoryHuey
        huey = MemoryHuey()

        @huey.task()
        def double(number):
            gevent.sleep(0.01)
            return 2 * number

        consumer = huey.create_consumer(workers=4, worker_type="greenlet")
        consumer.start()
        results = [double(n) for n in range(20)]
        print([r(blocking=True, timeout=30) for r in results]
              == [2 * n for n in range(20)])
        consumer.stop(graceful=True)
    """)
    assert done.stdout == "True\n"


@needs("dramatiq")
def test_dramatiq(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import dramatiq, gevent
        from dramatiq.brokers.stub import StubBroker
        broker = StubBroker()
        dramatiq.set_broker(broker)
        seen = []

        @dramatiq.actor
        def append(number):
            gevent.sleep(0.01)
            seen.append(number)

        worker = dramatiq.Worker(broker, worker_threads=4)
        worker.start()
        for number in range(20):
            append.send(number)
        broker.join(append.queue_name, timeout=40000)
        worker.join()
        worker.stop()
        print(sorted(seen) == list(range(20)))
    """)
    assert done.stdout == "True\n"


@needs("sqlalchemy")
def test_sqlalchemy(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, sqlalchemy
        from sqlalchemy.pool import QueuePool
        engine = sqlalchemy.create_engine(
            "sqlite://", poolclass=QueuePool, pool_size=2, max_overflow=0,
            connect_args={"check_same_thread": False})

        def select(number):
            with engine.connect() as connection:
                gevent.sleep(0.01)
                return connection.scalar(sqlalchemy.text("select %d" % number))

        jobs = [gevent.spawn(select, n) for n in range(20)]
        gevent.joinall(jobs, raise_error=True)
        print([job.value for job in jobs] == list(range(20)))
    """)
    assert done.stdout == "True\n"


@needs("gipc")
def test_gipc(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import gevent, gipc

def child(reader, writer):
    for _ in range(3):
        writer.put(2 * reader.get())

if __name__ == "__main__":
    with gipc.pipe() as (here_in, there_out), gipc.pipe() as (
            there_in, here_out):
        process = gipc.start_process(
            child, args=(there_in, there_out), daemon=True)
        for number in range(3):
            here_out.put(number)
        print([here_in.get() for _ in range(3)])
        process.join()
        print(process.exitcode)
""")
    printed = subprocess.run([sys.executable, str(program)], timeout=140,
                             capture_output=True, text=True)
    assert printed.stdout == "[0, 2, 4]\n0\n", printed.stderr


@needs("zerorpc")
def test_zerorpc(run_program):
    done = run_program("""
        import gevent, zerorpc

        class Doubles:
            def double(self, number):
                gevent.sleep(0.01)
                return 2 * number

        server = zerorpc.Server(Doubles())
        server.bind("tcp://127.0.0.1:0")
        endpoint = server._events._socket.getsockopt(
            zerorpc.events.zmq.LAST_ENDPOINT).rstrip(b"\\0").decode()
        running = gevent.spawn(server.run)
        client = zerorpc.Client(endpoint, timeout=140)
        jobs = [gevent.spawn(client.double, n) for n in range(20)]
        gevent.joinall(jobs, raise_error=True)
        print([job.value for job in jobs] == [2 * n for n in range(20)])
        client.close()
        server.stop()
        running.kill()
        server.close()
    """)
    assert done.stdout == "True\n"


@needs("sentry-sdk")
def test_sentry(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, sentry_sdk
        from sentry_sdk.utils import get_current_thread_meta, is_gevent
        assert is_gevent()
        events = []
        sentry_sdk.init("http://key@127.0.0.1:1/1",
                        before_send=lambda event, hint: events.append(event))

        def fail():
            with sentry_sdk.new_scope():
                try:
                    1 / 0
                except ZeroDivisionError:
                    sentry_sdk.capture_exception()
                return get_current_thread_meta()

        ident, name = gevent.spawn(fail).get()
        assert events[0]["exception"]["values"][0]["type"] == (
            "ZeroDivisionError")
    """)


@needs("ddtrace")
def test_ddtrace(run_program):
    done = run_program("""
        import ddtrace
        ddtrace.patch(gevent=True)
        from gevent import monkey; monkey.patch_all()
        import gevent, gevent.pool
        from ddtrace.trace import tracer
        tracer.enabled = False

        with tracer.trace("parent") as parent:
            def child():
                gevent.sleep(0)
                with tracer.trace("child") as span:
                    return span.parent_id == parent.span_id

            print(gevent.spawn(child).get(),
                  gevent.spawn_later(0, child).get(),
                  gevent.pool.Pool(2).map(lambda _: child(), range(3)),
                  list(gevent.pool.Group().imap_unordered(
                      lambda _: child(), range(3))))
    """, DD_TRACE_ENABLED="true", DD_INSTRUMENTATION_TELEMETRY_ENABLED="0",
                       DD_REMOTE_CONFIGURATION_ENABLED="0")
    assert done.stdout == (
        "True True [True, True, True] [True, True, True]\n"), done.stderr


GRPC_SERVER = """
import grpc, time
from concurrent import futures

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        def answer(request, context):
            time.sleep(0.05)
            return b"re: " + request
        return grpc.unary_unary_rpc_method_handler(answer)

server = grpc.server(futures.ThreadPoolExecutor(20))
server.add_generic_rpc_handlers((Handler(),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
time.sleep(50)
"""

GRPC_CLIENT = """
import gevent, grpc, sys
channel = grpc.insecure_channel("127.0.0.1:" + sys.argv[1])
call = channel.unary_unary("/some/method")
jobs = [gevent.spawn(call, b"%d" % n) for n in range(20)]
gevent.joinall(jobs, raise_error=True)
print([job.value for job in jobs] == [b"re: %d" % n for n in range(20)])
channel.close()
"""

GRPC_PATCHING = """
from gevent import monkey; monkey.patch_all()
import grpc.experimental.gevent
grpc.experimental.gevent.init_gevent()
"""


@needs("grpcio")
@pytest.mark.parametrize("patching", ["", GRPC_PATCHING],
                         ids=["plain server", "patched server"])
def test_grpc(patching, run_program):
    with subprocess.Popen([sys.executable, "-c", patching + GRPC_SERVER],
                          stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip()
        done = run_program(GRPC_PATCHING + GRPC_CLIENT, port)
        server.kill()
    assert done.stdout == "True\n"


@needs("yappi")
def test_yappi(run_program):
    done = run_program("""
        import gevent, yappi
        yappi.set_context_backend("greenlet")

        def work():
            gevent.sleep(0.01)

        yappi.start()
        gevent.joinall([gevent.spawn(work) for _ in range(3)])
        yappi.stop()
        print([s.ncall for s in yappi.get_func_stats() if s.name == "work"])
        print(len(yappi.get_greenlet_stats()) >= 3)
    """)
    assert done.stdout == "[3]\nTrue\n"


@needs("asyncio-gevent")
def test_asyncio_gevent(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import asyncio, asyncio_gevent, gevent
        asyncio.set_event_loop_policy(asyncio_gevent.EventLoopPolicy())

        async def wait_for_a_greenlet(number):
            await asyncio.sleep(0.01)
            greenlet = gevent.spawn(
                lambda: (gevent.sleep(0.01), 2 * number)[1])
            return await asyncio_gevent.greenlet_to_future(greenlet)

        async def main():
            return await asyncio.gather(*map(wait_for_a_greenlet, range(5)))

        print(asyncio.run(main()))
    """)
    assert done.stdout == "[0, 2, 4, 6, 8]\n"


@needs("psycopg", "pymongo")
def test_drivers_find_themselves_patched(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, psycopg.waiting, pymongo
        assert psycopg.waiting.wait is not psycopg.waiting.wait_c
        client = pymongo.MongoClient("127.0.0.1", 1,
                                     serverSelectionTimeoutMS=300)
        ticks = []

        def tick():
            while True:
                ticks.append(1)
                gevent.sleep(0.01)

        ticking = gevent.spawn(tick)
        try:
            client.admin.command("ping")
        except pymongo.errors.ServerSelectionTimeoutError:
            print(len(ticks) > 1)
        client.close()
        ticking.kill()
    """)
    assert done.stdout == "True\n"


@needs("geventmp")
def test_a_plugin_that_patches_multiprocessing(tmp_path):
    """It puts locks of its own there, which are left as they are."""
    program = tmp_path / "program.py"
    program.write_text("""
from gevent import monkey; monkey.patch_all()
import gevent, multiprocessing

def put(queue, lock):
    with lock:
        queue.put(7)

if __name__ == "__main__":
    queue, lock = multiprocessing.Queue(), multiprocessing.Lock()
    lock.acquire()
    process = multiprocessing.Process(target=put, args=(queue, lock))
    process.start()
    gevent.sleep(0.01)
    lock.release()
    print(queue.get(timeout=140))
    process.join()
    print(process.exitcode)
""")
    printed = subprocess.run([sys.executable, str(program)], timeout=140,
                             capture_output=True, text=True)
    assert printed.stdout == "7\n0\n", printed.stderr


@needs("coverage")
def test_coverage(tmp_path):
    """It keeps a stack for each greenlet, which waits in C must not upset."""
    program = tmp_path / "measured.py"
    program.write_text("""
import gevent
from gevent.event import Event

def work(number):
    gevent.sleep(0.001)
    number += 1
    ready.wait()
    return number

ready = Event()
greenlets = [gevent.spawn(work, n) for n in range(3)]
gevent.sleep(0.02)
ready.set()
print([greenlet.get() for greenlet in greenlets])
""")

    def coverage(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "coverage", *arguments], cwd=tmp_path,
            timeout=140, capture_output=True, text=True)

    run = coverage("run", "--concurrency=gevent", "measured.py")
    assert run.stdout == "[1, 2, 3]\n", run.stderr
    report = coverage("report", "--include=measured.py", "--fail-under=100")
    assert report.returncode == 0, report.stdout


@needs("httpx")
def test_httpx(run_program):
    done = run_program(PATCHED + """
import asyncio, httpx
from gevent.pool import Pool

with httpx.Client() as client:
    print(set(Pool(20).map(lambda _: client.get(url).text, range(20))))

async def get_all():
    async with httpx.AsyncClient() as client:
        answers = [client.get(url) for _ in range(20)]
        return {answer.text for answer in await asyncio.gather(*answers)}

print(gevent.spawn(asyncio.run, get_all()).get())
""")
    assert done.stdout == "{'it works'}\n" * 2


@needs("bottle")
def test_bottle(port, tmp_path):
    (tmp_path / "app.py").write_text("""
from gevent import monkey; monkey.patch_all()
import bottle, gevent, sys

@bottle.route("/<number>")
def answer(number):
    gevent.sleep(0.05)
    return "it works: /" + number

bottle.run(server="gevent", host="127.0.0.1", port=int(sys.argv[1]))
""")
    with running("app.py", str(port), folder=tmp_path) as process:
        until(lambda: answers(port), process, tmp_path)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            bodies = list(pool.map(lambda number: get(port, number),
                                   range(AT_ONCE)))
    assert bodies == [b"it works: /%d" % n for n in range(AT_ONCE)]


@needs("apscheduler")
def test_apscheduler(run_program):
    done = run_program("""
        import gevent
        from apscheduler.schedulers.gevent import GeventScheduler
        from gevent.event import Event
        done, ran = Event(), []

        def job():
            ran.append(1)
            if len(ran) == 3:
                done.set()

        scheduler = GeventScheduler()
        scheduler.add_job(job, "interval", seconds=0.01, max_instances=9)
        running = scheduler.start()
        print(done.wait(140))
        scheduler.shutdown()
        running.join(140)
        print(running.ready())
    """)
    assert done.stdout == "True\nTrue\n", done.stderr


@needs("pyzmq")
def test_zmq_green(run_program):
    done = run_program("""
        import gevent, zmq.green as zmq
        context = zmq.Context()
        answering, asking = context.socket(zmq.REP), context.socket(zmq.REQ)
        port = answering.bind_to_random_port("tcp://127.0.0.1")

        def answer():
            for _ in range(100):
                answering.send(b"re: " + answering.recv())

        gevent.spawn(answer)
        asking.connect("tcp://127.0.0.1:%d" % port)
        for number in range(100):
            asking.send(b"%d" % number)
            assert asking.recv() == b"re: %d" % number
        poller = zmq.Poller()
        poller.register(asking, zmq.POLLIN)
        print(poller.poll(20))
        context.destroy(linger=0)
    """)
    assert done.stdout == "[]\n", done.stderr


@needs("ws4py", "websocket-client")
def test_ws4py(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import gevent, websocket
        from ws4py.server.geventserver import WSGIServer
        from ws4py.server.wsgiutils import WebSocketWSGIApplication
        from ws4py.websocket import EchoWebSocket

        server = WSGIServer(
            ("127.0.0.1", 0),
            WebSocketWSGIApplication(handler_cls=EchoWebSocket))
        server.start()

        def talk(number):
            client = websocket.create_connection(
                "ws://127.0.0.1:%d/" % server.server_port, timeout=30)
            client.send("%d" % number * 50000)
            answer = client.recv()
            client.close()
            return answer == "%d" % number * 50000

        jobs = [gevent.spawn(talk, n) for n in range(10)]
        gevent.joinall(jobs, raise_error=True)
        print(all(job.value for job in jobs))
    """)
    assert done.stdout == "True\n", done.stderr
