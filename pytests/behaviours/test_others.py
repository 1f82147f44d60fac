"""Behaviours of greenlets, processes, threads, queues, patching, settings,
sockets (sections 3, 6 to 10 and 12) that no other test has."""
import multiprocessing
import pickle
import sys

import gevent
import pytest
from gevent import event, lock, queue, socket, subprocess
from gevent import select as gevent_select


def test_dead_is_about_others(errors):
    unstarted = gevent.spawn(int)
    assert not unstarted.dead
    unstarted.kill()
    assert unstarted.dead
    assert gevent.spawn(lambda: gevent.getcurrent().dead).get() is False


def test_a_failure_is_raised_with_its_traceback(errors):
    def fail():
        raise ValueError("failed")

    failed = gevent.spawn(fail)
    failed.join()
    kind, value, traceback = failed.exc_info
    assert kind is ValueError and value is failed.exception
    with pytest.raises(ValueError) as raised:
        failed._raise_exception()
    assert raised.traceback[-1].name == "fail"
    assert traceback is not None
    assert pickle.loads(pickle.dumps(value)).args == ("failed",)


def test_the_context_of_a_failing_link(errors):
    def link(source):
        raise ValueError("in the link")

    source = gevent.spawn(int)
    source.rawlink(link)
    source.join()
    gevent.sleep(0)
    context, kind, _ = errors[0]
    assert context == (link, source) and kind is ValueError


@pytest.mark.parametrize("wanted", ["1", "0"])
def test_tracking_can_be_turned_off(wanted, run_program):
    done = run_program("""
        import gevent
        made = gevent.spawn(int)
        print(bool(made.spawning_stack),
              made.spawning_greenlet is not None
              and made.spawning_greenlet() is gevent.getcurrent(),
              made.spawn_tree_locals is not None)
    """, GEVENT_TRACK_GREENLET_TREE=wanted)
    assert done.stdout == f"{wanted == '1'} {wanted == '1'} {wanted == '1'}\n"


@pytest.mark.parametrize("environment, backend", [
    ({"GEVENT_BACKEND": "select"}, "select"),
    ({"GEVENT_BACKEND": "poll"}, "poll"),
    ({"LIBEV_FLAGS": "1"}, "select"),
    ({"LIBEV_FLAGS": "2", "GEVENT_BACKEND": "select"}, "select"),
    ({}, "epoll"),
])
def test_backends(environment, backend, run_program, monkeypatch):
    monkeypatch.delenv("GEVENT_BACKEND", raising=False)
    monkeypatch.delenv("LIBEV_FLAGS", raising=False)
    done = run_program("""
        import gevent
        gevent.sleep(0.001)
        print(gevent.get_hub().loop.backend)
    """, **environment)
    assert done.stdout == backend + "\n"


def test_greenlets_survive_a_fork(run_program):
    done = run_program("""
        import gevent
        result = []
        gevent.spawn_later(0.01, result.append, "ran")
        pid = gevent.fork()
        gevent.sleep(0.05)
        if not pid:
            print("child", result, flush=True)
            gevent.os._exit(0)
        gevent.os.waitpid(pid, 0)
        print("parent", result)
    """)
    assert done.stdout == "child ['ran']\nparent ['ran']\n"


def test_pipes_of_children_are_cooperative():
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        from gevent.fileobject import FileObject
        assert isinstance(child.stdout, FileObject)
        reader = gevent.spawn(child.stdout.read)
        child.stdin.write(b"some")
        child.stdin.close()
        assert reader.get(timeout=30) == b"some"
    assert child.returncode == 0
    gevent.os.waitpid(child.pid, 0)


def test_multiprocessing_forks(run_program):
    done = run_program("""
        from gevent import monkey; monkey.patch_all()
        import multiprocessing
        print(multiprocessing.get_start_method())
    """)
    assert done.stdout == "fork\n"
    assert multiprocessing.get_all_start_methods()[0]


def test_locks_need_no_hub(run_program):
    run_program("""
        from gevent import lock, queue, event, _hub_local
        from gevent.thread import LockType
        for make in (lock.Semaphore, lock.BoundedSemaphore, lock.RLock,
                     LockType, event.Event, event.AsyncResult, queue.Queue):
            made = make()
            if hasattr(made, "acquire"):
                made.acquire()
                made.release()
        assert _hub_local.get_hub_if_exists() is None
    """)


def test_use_where_it_is_not_possible(run_program):
    run_program("""
        import gevent, threading
        from gevent.exceptions import InvalidThreadUseError
        pool = gevent.get_hub().threadpool
        seen = []

        def other():
            try:
                pool.spawn(int)
            except InvalidThreadUseError as error:
                seen.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen
    """)


def test_semaphores_return_their_counter():
    semaphore = lock.Semaphore(1)
    assert semaphore.release() == 2
    assert semaphore.wait() == 2
    assert semaphore.acquire() is True


def test_kinds_of_queues():
    assert queue.JoinableQueue is queue.Queue
    for kind in (queue.PriorityQueue, queue.LifoQueue, queue.UnboundQueue):
        assert issubclass(kind, queue.Queue)
    assert issubclass(queue.Queue, queue.SimpleQueue)
    assert not hasattr(queue.SimpleQueue, "join")
    assert not hasattr(queue.SimpleQueue, "shutdown")


def test_a_queue_of_zero_has_no_limit():
    with pytest.warns(DeprecationWarning):
        unlimited = queue.Queue(0)
    assert unlimited.maxsize is None
    unlimited.put_nowait(1)


def test_queues_as_objects():
    made = queue.Queue(items=[1, 2])
    assert len(made) == 2 and made
    assert queue.Queue() and len(queue.Queue()) == 0
    assert queue.Queue[int] and queue.SimpleQueue[int]
    if sys.version_info >= (3, 13):
        import queue as standard
        assert queue.ShutDown is standard.ShutDown
    else:
        assert issubclass(queue.ShutDown, Exception)


def test_names_that_are_replaced(run_program):
    """What `patch_all` replaces where every interpreter has it."""
    run_program("""
        import importlib
        from gevent import monkey
        monkey.patch_all()
        replaced = {
            "_thread": "LockType allocate_lock exit get_ident "
                       "start_new_thread stack_size _local",
            "threading": "Event Lock Thread Timer _CRLock _DummyThread "
                         "_allocate_lock get_ident local",
            "_threading_local": "local",
            "os": "close fork forkpty posix_spawn posix_spawnp waitpid",
            "queue": "Queue PriorityQueue LifoQueue SimpleQueue",
            "select": "poll select",
            "selectors": "DefaultSelector",
            "signal": "signal getsignal set_wakeup_fd",
            "socket": "socket SocketType create_connection fromfd "
                      "socketpair getaddrinfo gethostbyname "
                      "gethostbyname_ex gethostbyaddr getnameinfo getfqdn",
            "ssl": "SSLContext SSLSocket get_server_certificate",
            "subprocess": "Popen call check_call check_output run "
                          "CompletedProcess",
            "time": "sleep",
        }
        for module, names in replaced.items():
            for name in names.split():
                assert monkey.is_object_patched(module, name), (module, name)
                now = getattr(importlib.import_module(module), name)
                assert now is not monkey.get_original(module, name), name
        import threading
        assert threading._CRLock is None
    """)


@pytest.mark.parametrize("variable", ["PURE_PYTHON", "GEVENT_PURE_PYTHON"])
def test_pure_python_is_the_plain_twin(variable, run_program):
    done = run_program("""
        import gevent
        from gevent.event import Event
        print([base.__module__ for base in Event.__mro__])
        gevent.spawn(gevent.sleep, 0.001).join()
    """, **{variable: "1"})
    assert "_accel" not in done.stdout


def test_debug_is_accepted(run_program):
    run_program("import gevent; gevent.sleep(0)", GEVENT_DEBUG="1")


def test_sockets_are_no_standard_sockets():
    import _socket
    import socket as standard
    with socket.socket() as made:
        assert isinstance(made._sock, _socket.socket)
        assert not isinstance(made, standard.socket)


def test_exceptional_conditions_end_no_wait():
    here, there = socket.socketpair()
    with here, there:
        assert gevent_select.select([here], [], [here], 0.01) == ([], [], [])
        there.sendall(b"x")
        assert gevent_select.select([here], [], [here]) == ([here], [], [])


def test_a_send_to_a_full_socket_waits():
    here, there = socket.socketpair()
    with here, there:
        sender = gevent.spawn(here.sendall, b"x" * (1 << 22))
        gevent.sleep(0.01)
        assert not sender.ready()
        received = 0
        while received < 1 << 22:
            received += len(there.recv(1 << 16))
        sender.get(timeout=30)


def test_an_event_among_native_threads():
    import threading
    ready, told = event.Event(), []
    threads = [threading.Thread(target=lambda: told.append(ready.wait(40)))
               for _ in range(3)]
    for thread in threads:
        thread.start()
    gevent.sleep(0.01)
    ready.set()
    while any(thread.is_alive() for thread in threads):
        gevent.sleep(0.001)
    assert told == [True] * 3
