"""gevent.local: attributes of the greenlet's own."""
import copy
import gc
import threading
import time
import weakref

import gevent
import pytest
from gevent.local import local


class Value:
    pass


def elsewhere(function, *args):
    return gevent.spawn(function, *args).get()


def test_each_greenlet_has_its_own():
    here = local()
    here.name = 'main'
    assert elsewhere(hasattr, here, 'name') is False
    elsewhere(setattr, here, 'name', 'other')
    assert here.name == 'main' and here.__dict__ == {'name': 'main'}


def test_each_thread_has_its_own():
    here, seen = local(), []
    here.name = 'main'
    thread = threading.Thread(
        target=lambda: seen.append(hasattr(here, 'name')))
    thread.start()
    thread.join()
    assert seen == [False]


def test_missing_and_deleted_attributes():
    here = local()
    with pytest.raises(AttributeError) as caught:
        here.name
    assert 'name' in str(caught.value)
    with pytest.raises(AttributeError):
        del here.name
    here.name = 1
    del here.name
    assert not hasattr(here, 'name')


def test_dict_is_read_only():
    here = local()
    with pytest.raises(AttributeError):
        here.__dict__ = {}
    with pytest.raises(AttributeError):
        del here.__dict__


def test_arguments_need_an_init():
    with pytest.raises(TypeError):
        local(1)
    with pytest.raises(TypeError):
        local(key=1)


def test_init_runs_in_each_greenlet_with_the_same_arguments():
    calls = []

    class Mine(local):
        def __init__(self, first, second=None):
            calls.append(gevent.getcurrent())
            self.both = first, second

        def twice(self):
            return self.both * 2
    here = Mine(1, second=2)
    assert here.both == (1, 2)
    assert elsewhere(lambda: here.twice()) == (1, 2, 1, 2)
    assert len(set(calls)) == 2


def test_class_attributes_properties_and_slots():
    class Mine(local):
        __slots__ = ('shared',)
        plain = 'class'

        @property
        def computed(self):
            return self.base + 1
    here = Mine()
    here.shared, here.base = 'slot', 1
    assert here.plain == 'class' and here.computed == 2
    here.plain = 'own'

    def look():
        here.base = 5
        return here.shared, here.plain, here.computed
    assert elsewhere(look) == ('slot', 'class', 6)
    with pytest.raises(AttributeError):
        here.computed = 1


def test_getattr_and_setattr_of_a_subclass():
    class Mine(local):
        def __getattr__(self, name):
            return 'made up ' + name

        def __setattr__(self, name, value):
            super().__setattr__(name, value * 2)
    here = Mine()
    here.number = 2
    assert here.number == 4 and here.other == 'made up other'


def test_values_go_with_the_greenlet():
    here = local()

    def work():
        here.value = value = Value()
        return weakref.ref(value)
    gone = elsewhere(work)
    gevent.sleep(0)
    gc.collect()
    assert gone() is None


def test_values_go_with_the_local():
    here = local()
    here.value = Value()
    gone = weakref.ref(here.value)
    del here
    gc.collect()
    assert gone() is None


def test_values_go_with_the_thread():
    here, gone = local(), []

    def work():
        here.value = Value()
        gone.append(weakref.ref(here.value))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    # Its greenlet is dropped by the main thread, at some later moment.
    for _ in range(1000):
        gc.collect()
        if gone[0]() is None:
            break
        time.sleep(0.001)
    assert gone[0]() is None


def test_a_value_may_refer_to_its_local():
    here = local()
    here.value = Value()
    here.value.back = here
    gone = weakref.ref(here)
    del here
    gc.collect()
    assert gone() is None


def test_a_copy_starts_with_this_greenlets_values():
    class Mine(local):
        def __init__(self, start=0):
            self.start = start
    here = Mine(3)
    here.list = [1]
    other = copy.copy(here)
    assert type(other) is Mine and other.start == 3
    assert other.list is here.list
    other.start = 4
    assert here.start == 3


def test_many_greenlets_share_one_local():
    here = local()

    def work(n):
        here.n = n
        gevent.sleep(0)
        return here.n
    greenlets = [gevent.spawn(work, n) for n in range(1000)]
    gevent.joinall(greenlets)
    assert [made.value for made in greenlets] == list(range(1000))


def test_a_failing_init_fails_at_the_access():
    class Mine(local):
        def __init__(self):
            if gevent.getcurrent() is not main:
                raise KeyError
    main = gevent.getcurrent()
    here = Mine()
    here.x = 1

    def look():
        with pytest.raises(KeyError):
            here.x
    elsewhere(look)


@pytest.mark.parametrize("start", [0, 7])
def test_it_can_be_used_while_the_interpreter_ends(start, run_program):
    """Then no greenlet can be told from another, and who ended is gone."""
    done = run_program("""
        import gevent, sys
        from gevent.local import local

        class Plain(local):
            value = 0

        class Begins(local):
            def __init__(self, value):
                self.value = value

        class Last:
            here = Begins(7) if sys.argv[1] == "7" else Plain()

            def __del__(self):
                print(self.here.value)
                self.here.value = 1
                print(self.here.value)

        last = Last()
        last.itself = last
        gevent.spawn(lambda: last.here.value).join()
        gevent.sleep(0)
        del last
    """, str(start))
    assert done.stdout == f"{start}\n1\n", done.stderr
