"""asyncio under patching, beside greenlets that run."""
import textwrap

import pytest

PROGRAM = textwrap.dedent("""
    from gevent import monkey; monkey.patch_all()
    import asyncio, concurrent.futures, os, socket, sys, threading, time
    import gevent

    ticks = 0

    def tick():
        global ticks
        while True:
            ticks += 1
            gevent.sleep(0.001)

    BODY

    if __name__ == '__main__':
        gevent.spawn(tick)
        loop_in = sys.argv[1]
        if loop_in == 'main':
            asyncio.run(main())
        elif loop_in == 'greenlet':
            gevent.spawn(asyncio.run, main()).get()
        else:
            thread = threading.Thread(target=asyncio.run, args=(main(),))
            thread.start()
            thread.join()
        print('done', ticks > 0)
""")


@pytest.fixture(params=["main", "greenlet", "thread"])
def run_beside(request, run_program):
    """A function that runs the coroutine ``main`` that its argument defines:
    by the main greenlet, another one, or a thread."""
    def run(body):
        body = textwrap.dedent(body)
        done = run_program(PROGRAM.replace("BODY", body), request.param)
        assert done.stdout == "done True\n", done.stdout + done.stderr
    return run


def test_run(run_beside):
    run_beside("""
async def main():
    async def add(one, other):
        await asyncio.sleep(0.01)
        return one + other
    assert await asyncio.gather(*[add(n, n) for n in range(50)]) == [
        n + n for n in range(50)]
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except asyncio.TimeoutError:
        return
    raise SystemExit('no timeout')
""")


def test_to_thread(run_beside):
    run_beside("""
async def main():
    def work(number):
        time.sleep(0.01)
        return number
    got = await asyncio.gather(*[asyncio.to_thread(work, n)
                                 for n in range(20)])
    assert got == list(range(20))
""")


def test_executors(run_beside):
    run_beside("""
async def main():
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(None, sum, (1, 2)) == 3
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        got = await asyncio.gather(*[
            loop.run_in_executor(executor, divmod, n, 3) for n in range(9)])
        assert got == [divmod(n, 3) for n in range(9)]
    event = threading.Event()
    waiting = loop.run_in_executor(None, event.wait, 30)
    await asyncio.sleep(0.01)
    event.set()
    assert await waiting is True
""")


def test_calls_from_threads(run_beside):
    run_beside("""
async def main():
    loop = asyncio.get_running_loop()
    async def twice(number):
        return 2 * number
    def work():
        return asyncio.run_coroutine_threadsafe(twice(21), loop).result(30)
    assert await asyncio.to_thread(work) == 42
""")


def test_subprocesses(run_beside):
    run_beside("""
async def main():
    child = await asyncio.create_subprocess_exec(
        sys.executable, '-c',
        'import sys; sys.stdout.write(sys.stdin.read()[::-1]); sys.exit(3)',
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate(b'abc')
    assert (out, child.returncode) == (b'cba', 3)
    child = await asyncio.create_subprocess_shell('exec sleep 60')
    child.kill()
    assert await child.wait() == -9
    children = [await asyncio.create_subprocess_exec('true')
                for _ in range(5)]
    assert [await child.wait() for child in children] == [0] * 5
""")


def test_streams(run_beside):
    run_beside("""
async def main():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(echo, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    async def ask():
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(b'line\\n')
        answer = await reader.read()
        writer.close()
        return answer
    assert await asyncio.gather(*[ask() for _ in range(20)]) == [
        b'line\\n'] * 20
    # A greenlet's blocking client is served meanwhile, too.
    def blocking():
        with socket.create_connection(('127.0.0.1', port)) as client:
            client.sendall(b'line\\n')
            return client.makefile('rb').read()
    greenlet = gevent.spawn(blocking)
    while not greenlet.ready():
        await asyncio.sleep(0.001)
    assert greenlet.get() == b'line\\n'
    server.close()
    await server.wait_closed()
""")
