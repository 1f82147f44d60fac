"""gevent.monkey.patch_all: what it replaces, in which order, and when."""
import sys

import pytest

PY313 = sys.version_info >= (3, 13)

THREAD_ITEMS = {
    "LockType", "_local", "allocate_lock", "exit", "get_ident", "stack_size",
    "start_new_thread",
} | ({"_ThreadHandle", "_make_thread_handle", "lock",
      "start_joinable_thread"} if PY313 else set())

THREADING_ITEMS = {
    "Event", "Lock", "Thread", "Timer", "_CRLock", "_DummyThread",
    "_allocate_lock", "_shutdown", "get_ident", "local",
} | ({"_ThreadHandle", "_make_thread_handle", "_start_joinable_thread"}
     if PY313 else {"_set_sentinel", "_start_new_thread"})

SAVED = {
    "os": {"close", "fork", "forkpty", "posix_spawn", "posix_spawnp",
           "waitpid"},
    "_thread": THREAD_ITEMS,
    "threading": THREADING_ITEMS,
    "logging": {"_lock"},
    "_threading_local": {"local"},
    "time": {"sleep"},
    "signal": {"getsignal", "pthread_kill", "set_wakeup_fd", "signal"},
    "queue": {"LifoQueue", "PriorityQueue", "Queue", "SimpleQueue"},
}

# These may grow with the version of Python.
SAVED_AT_LEAST = {
    "socket": {"SocketType", "create_connection", "fromfd", "getaddrinfo",
               "getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex",
               "getnameinfo", "socket", "socketpair"},
    "select": {"poll", "select", "epoll"},
    "selectors": {"DefaultSelector"},
    "ssl": {"SSLContext", "SSLSocket", "get_server_certificate"},
    "subprocess": {"CompletedProcess", "Popen", "call", "check_call",
                   "check_output", "run"},
}


def test_what_is_saved(run_program):
    done = run_program("""
        import logging
        from gevent import monkey
        assert monkey.saved == {} and type(monkey.saved) is dict
        assert not monkey.is_anything_patched()
        assert monkey.patch_all() is True
        for module, items in monkey.saved.items():
            if not module.startswith('_gevent'):
                print(module, *items)
                assert monkey.is_module_patched(module)
                for item in items:
                    assert monkey.is_object_patched(module, item)
                    original = monkey.get_original(module, item)
                    assert 'gevent' not in repr(original), original
    """)
    saved = {}
    for line in done.stdout.splitlines():
        module, *items = line.split()
        saved[module] = set(items)
    for module, items in SAVED.items():
        assert saved.pop(module) == items, module
    for module, items in SAVED_AT_LEAST.items():
        assert saved.pop(module) >= items, module
    assert saved == {}


def test_identities(run_program):
    run_program("""
        from gevent import monkey; monkey.patch_all()
        import os, _thread, threading, time, socket, select, selectors
        import ssl, subprocess, signal, queue
        import gevent.os, gevent.thread, gevent.threading, gevent.time
        import gevent.socket, gevent.select, gevent.selectors, gevent.ssl
        import gevent.subprocess, gevent.signal, gevent.queue, gevent.event
        assert time.sleep is gevent.time.sleep is gevent.sleep
        assert socket.socket is gevent.socket.socket
        assert socket.socket.__module__ == 'gevent._socket3'
        assert select.select is gevent.select.select
        assert select.epoll is gevent.select.epoll
        assert selectors.EpollSelector._selector_cls is select.epoll
        assert selectors.DefaultSelector is gevent.selectors.GeventSelector
        assert ssl.SSLContext is gevent.ssl.SSLContext
        assert subprocess.Popen is gevent.subprocess.Popen
        assert signal.signal is gevent.signal.signal
        assert queue.Queue is gevent.queue.Queue
        assert threading.Thread is gevent.threading.Thread
        assert threading.Thread.__module__.startswith('gevent')
        assert threading.Event is gevent.event.Event
        assert threading.Lock is gevent.thread.LockType
        assert type(threading.Lock()).__module__ == 'gevent.thread'
        assert type(threading.RLock()._block) is gevent.thread.LockType
        assert _thread.start_new_thread is gevent.thread.start_new_thread
    """)


def test_sub_modules_bound_afterwards(run_program):
    run_program("""
        import gevent.monkey
        gevent.monkey.patch_all()
        for name in ('event local socket ssl monkey queue lock select selectors'
                     ' thread threading signal subprocess events time hub'
                     ' greenlet timeout os exceptions').split():
            assert getattr(gevent, name).__name__ == 'gevent.' + name
        assert 'patch_all' in vars(gevent.monkey)
    """)


def test_makes_no_hub(run_program):
    run_program("""
        import logging
        from gevent import monkey
        monkey.patch_all()
        from gevent._hub_local import get_hub_if_exists
        assert get_hub_if_exists() is None
        import threading, json.tool
        lock = threading.RLock()
        with lock, threading.Lock():
            pass
        assert get_hub_if_exists() is None
    """)


def test_repeated_calls(run_program):
    run_program("""
        import warnings
        from gevent import monkey, events
        warnings.simplefilter('always')

        def patch(**arguments):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                result = monkey.patch_all(**arguments)
            return result, [str(w.message) for w in caught]

        assert patch(dns=False, unknown=1) == (True, [])
        seen = []
        events.subscribers.append(seen.append)
        assert patch(dns=False, unknown=2) == (None, [])
        originals = {module: dict(items)
                     for module, items in monkey.saved.items()}

        result, messages = patch(dns=False, os=False)
        assert result is None and 'more than once' in messages[0]
        assert seen == []
        assert monkey.saved == originals

        # Only what is new is done.
        result, messages = patch()
        assert result is True and 'more than once' in messages[0]
        patched = [e.module_name for e in seen if hasattr(e, 'module_name')]
        assert patched == ['socket', 'socket'], patched
        import socket
        assert 'gevent' in socket.getaddrinfo.__module__
    """)


@pytest.mark.parametrize("name", [
    "socket", "time", "select", "thread", "os", "ssl", "subprocess", "signal",
    "queue",
])
def test_modules_can_be_left_out(run_program, name):
    run_program("""
        import sys, warnings
        from gevent import monkey
        warnings.simplefilter('ignore')
        name = sys.argv[1]
        assert monkey.patch_all(**{name: False}) is True
        module = '_thread' if name == 'thread' else name
        assert not monkey.is_module_patched(module)
        other = 'time' if name != 'time' else 'socket'
        assert monkey.is_module_patched(other)
        assert not (name == 'thread' and monkey.is_module_patched('threading'))
    """, name)


def test_options_within_modules(run_program):
    run_program("""
        from gevent import monkey
        import threading, select, socket
        native = threading.Event
        monkey.patch_all(Event=False, dns=False, aggressive=False)
        assert threading.Event is native
        assert not monkey.is_object_patched('threading', 'Event')
        assert not monkey.is_object_patched('socket', 'getaddrinfo')
        assert select.epoll
    """)


def test_queue_can_be_kept(run_program):
    run_program("""
        import queue
        native = queue.Queue
        from gevent import monkey
        monkey.patch_all()
        assert queue.Queue is native
        assert queue.SimpleQueue.__module__.startswith('gevent')
    """, GEVENT_MONKEY_DISABLE_QUEUE_QUEUE="1")


def test_single_functions(run_program):
    run_program("""
        from gevent import monkey
        assert monkey.patch_dns() is None
        assert monkey.is_object_patched('socket', 'getaddrinfo')
        assert not monkey.is_object_patched('socket', 'socket')
        monkey.patch_socket(dns=False)
        assert monkey.is_object_patched('socket', 'socket')
        monkey.patch_select(aggressive=False)
        import select
        assert select.epoll
        monkey.patch_thread(threading=False, _threading_local=False)
        assert set(monkey.saved) == {'socket', 'select', '_thread'}
        monkey.patch_thread(Event=False, logging=False)
        import threading
        assert threading.main_thread() is threading.current_thread()
        for name in 'builtins contextvars sys'.split():
            assert getattr(monkey, 'patch_' + name)() is None
        for name in 'time os queue signal subprocess selectors ssl'.split():
            assert getattr(monkey, 'patch_' + name)() is None
            assert monkey.is_module_patched(name)
    """)


def test_importing_goes_on_while_patching(run_program, tmp_path):
    # patch_all in a module that is being imported, by another that is, too.
    (tmp_path / "outer_module.py").write_text(
        "import inner_module\nvalue = inner_module.value\n")
    (tmp_path / "inner_module.py").write_text(
        "from gevent import monkey\nmonkey.patch_all()\nvalue = 3\n")
    run_program("""
        import sys
        sys.path.insert(0, sys.argv[1])
        import outer_module
        assert outer_module.value == 3
    """, str(tmp_path))


def test_importing_by_greenlets(run_program, tmp_path):
    # Two import the same module, which waits in between.
    (tmp_path / "slow_module.py").write_text(
        "import gevent\ngevent.sleep(0.01)\nvalue = 3\n")
    run_program("""
        import sys
        from gevent import monkey; monkey.patch_all()
        import gevent
        sys.path.insert(0, sys.argv[1])

        def load():
            import slow_module
            return slow_module.value

        greenlets = [gevent.spawn(load) for _ in range(3)]
        gevent.joinall(greenlets, timeout=20, raise_error=True)
        assert [g.value for g in greenlets] == [3, 3, 3]
    """, str(tmp_path))


def test_existing_lock_of_futures_is_kept(run_program):
    # gunicorn relies on it: patching does not reach into other modules.
    run_program("""
        import concurrent.futures.thread as futures
        kind = type(futures._global_shutdown_lock)
        assert kind.__module__ == '_thread'
        from gevent import monkey; monkey.patch_all()
        assert type(futures._global_shutdown_lock) is kind
    """)


def test_locks_of_logging(run_program):
    run_program("""
        import logging
        logging.basicConfig()
        from gevent import monkey; monkey.patch_all()
        from gevent.thread import LockType
        assert type(logging._lock._block) is LockType
        handlers = [reference() for reference in logging._handlerList]
        assert handlers
        for handler in handlers:
            assert type(handler.lock._block) is LockType
        logging.getLogger().error('said')
    """)


def test_held_locks_get_their_new_owner(run_program):
    run_program("""
        import threading
        python_lock, c_lock = threading._PyRLock(), threading.RLock()
        free_lock = threading._PyRLock()
        with python_lock, c_lock:
            from gevent import monkey; monkey.patch_all()
            import gevent
            assert python_lock._is_owned()

            def others(lock):
                return lock.acquire(False)

            other = gevent.spawn(others, python_lock)
            other.join()
            assert other.value is False
        other = gevent.spawn(others, python_lock)
        other.join()
        assert other.value is True
        assert not python_lock.acquire(False)
        from gevent.thread import LockType
        assert type(free_lock._block) is LockType
        with free_lock:
            pass
    """)


def test_get_original(run_program):
    run_program("""
        import time
        native_sleep, native_time = time.sleep, time.time
        from gevent import monkey; monkey.patch_time()
        get = monkey.get_original
        assert get('time', 'sleep') is native_sleep
        assert get('time', 'time') is native_time
        assert get('time', ['sleep', 'time']) == [native_sleep, native_time]
        assert get(('no_such_module', 'time'), 'sleep') is native_sleep
        assert get('colorsys', 'rgb_to_yiq').__name__ == 'rgb_to_yiq'
        for bad, error in ((('time', 'nonsense'), AttributeError),
                           (('nonsense', 'sleep'), ImportError)):
            try:
                get(*bad)
            except error:
                pass
            else:
                raise AssertionError(bad)
        assert not monkey.is_module_patched('nonsense')
        assert not monkey.is_object_patched('time', 'time')
    """)


def test_saved_may_be_cleared_by_tests(run_program):
    run_program("""
        from gevent import monkey
        monkey.patch_all()
        monkey.saved.clear()
        assert not monkey.is_anything_patched()
        assert monkey.patch_all() is True
    """)
