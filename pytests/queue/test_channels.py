"""Channel: put() and get() meet."""
import threading
from queue import Empty, Full

import gevent
import pytest
from gevent.queue import Channel


def test_put_waits_for_get():
    channel, log = Channel(), []

    def get():
        log.append(('got', channel.get()))
        log.append(('got', channel.get()))
    getter = gevent.spawn(get)
    channel.put('a')
    log.append('put a')
    channel.put('b')
    log.append('put b')
    getter.join()
    assert log == [('got', 'a'), 'put a', ('got', 'b'), 'put b']


def test_get_waits_for_put():
    channel, log = Channel(), []

    def put():
        for item in 'ab':
            channel.put(item)
            log.append('put ' + item)
    putter = gevent.spawn(put)
    log.append(channel.get())
    log.append(channel.get())
    assert log == ['a', 'put a', 'b']
    putter.join()
    assert log[-1] == 'put b'


def test_in_order():
    channel, got = Channel(), []
    putters = [gevent.spawn(channel.put, n) for n in range(10)]
    gevent.sleep(0)
    assert channel.balance == 10 and len(channel.putters) == 10
    got = [channel.get() for _ in range(10)]
    gevent.joinall(putters)
    getters = [gevent.spawn(channel.get) for _ in range(10)]
    gevent.sleep(0)
    assert channel.balance == -10 and len(channel.getters) == 10
    for n in range(10):
        channel.put(n)
    gevent.joinall(getters)
    assert got == [g.value for g in getters] == list(range(10))
    assert channel.balance == 0


def test_it_is_always_empty_and_full():
    channel = Channel()
    assert channel.empty() and channel.full() and channel.qsize() == 0
    for call in (channel.get_nowait, lambda: channel.get(timeout=0.001),
                 lambda: channel.get(False)):
        with pytest.raises(Empty):
            call()
    for call in (lambda: channel.put_nowait(1),
                 lambda: channel.put(1, timeout=0.001),
                 lambda: channel.put(1, False)):
        with pytest.raises(Full):
            call()
    assert channel.balance == 0
    with pytest.raises(ValueError):
        Channel(2)


def test_not_waiting_with_somebody_there():
    channel = Channel()
    putter = gevent.spawn(channel.put, 'x')
    gevent.sleep(0)
    assert channel.get_nowait() == 'x'
    putter.get()
    getter = gevent.spawn(channel.get)
    gevent.sleep(0)
    channel.put_nowait('y')
    assert getter.get() == 'y'


def test_a_killed_putter_takes_its_item_along():
    channel = Channel()
    putters = [gevent.spawn(channel.put, n) for n in range(2)]
    gevent.sleep(0)
    putters[0].kill()
    assert channel.get() == 1


def test_an_item_given_to_a_killed_getter_comes_back():
    channel = Channel()
    getters = [gevent.spawn(channel.get) for _ in range(2)]
    gevent.sleep(0)
    getters[0].kill(block=False)
    channel.put('item')  # to the first, who never sees it
    gevent.joinall(getters, timeout=1)
    assert getters[1].value == 'item'


def test_an_item_that_nobody_else_wants_is_offered_again():
    channel = Channel()
    getter = gevent.spawn(channel.get)
    gevent.sleep(0)
    getter.kill(block=False)
    channel.put('item')
    getter.join()
    assert channel.balance == 1
    assert channel.get() == 'item' and channel.balance == 0


def test_iteration():
    channel = Channel()
    putter = gevent.spawn(lambda: [channel.put(item)
                                   for item in (1, 2, StopIteration)])
    assert list(channel) == [1, 2]
    putter.get()


def test_in_the_hub():
    channel, log = Channel(), []

    def in_hub():
        for call in (channel.get, lambda: channel.put('from the hub')):
            try:
                log.append(call())
            except (Empty, Full) as error:
                log.append(type(error))
    gevent.get_hub().loop.run_callback(in_hub)
    gevent.sleep(0)
    getter = gevent.spawn(channel.get)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(in_hub)
    assert getter.get() == 'from the hub'
    putter = gevent.spawn(channel.put, 'to the hub')
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(in_hub)
    putter.get()
    assert log == [Empty, Full, Empty, None, 'to the hub', Full]


def test_between_threads():
    channel = Channel()

    def put():
        for n in range(100):
            channel.put(n, timeout=20)
        gevent.get_hub().destroy(destroy_loop=True)
    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    assert [channel.get(timeout=20) for _ in range(100)] == list(range(100))
    thread.join(20)
    assert not thread.is_alive()


def test_repr():
    channel = Channel()
    getter = gevent.spawn(channel.get)
    gevent.sleep(0)
    assert 'getters[1]' in repr(channel) and 'Channel' in str(channel)
    channel.put(1)
    getter.get()
