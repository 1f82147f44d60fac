"""gevent.util: what runs, in text."""
import io
import re
import sys

import gevent
import pytest
from gevent import util
from gevent.local import local
from gevent.monkey import get_original


class Mine(local):
    pass


def test_run_info_has_both_parts():
    text = "\n".join(util.format_run_info())
    assert "* Threads" in text and "* Greenlets" in text
    assert "(MainThread) (CURRENT)" in text
    assert "---- Thread boundary" in text
    assert "test_run_info_has_both_parts" in text


def test_stacks_can_be_left_out_or_limited():
    def text(**arguments):
        return "\n".join(util.format_run_info(**arguments))

    def inner():
        gevent.sleep(60)

    def outer():
        inner()

    waiting = gevent.spawn(outer)
    gevent.sleep(0)
    try:
        assert "Running:" in text() and "in outer" in text()
        assert "in outer" not in text(limit=1)
        without = text(thread_stacks=False, greenlet_stacks=False)
        assert "\t...stack elided..." in without
        assert "Running:" not in without and "in inner" not in without
    finally:
        waiting.kill()


def test_current_thread_is_marked_as_told():
    text = "\n".join(util.format_run_info(current_thread_ident=-1))
    assert "(CURRENT)" not in text


def test_print_run_info(capsys):
    out = io.StringIO()
    util.print_run_info(file=out)
    assert "* Greenlets" in out.getvalue()
    util.print_run_info(thread_stacks=False)
    assert "* Greenlets" in capsys.readouterr().err


def test_greenlets_with_all_that_is_known():
    values = Mine()

    def child():
        return "\n".join(util.format_run_info(thread_stacks=False))

    def parent():
        values.some = "value"
        Mine()
        gevent.getcurrent().spawn_tree_locals["in tree"] = 42
        greenlet = gevent.spawn(child)
        greenlet.name = "The child"
        return greenlet.get()

    text = gevent.spawn(parent).get()
    assert '"The child"' in text
    assert text.count("Spawn Tree Locals") == 1
    assert "{'in tree': 42}" in text
    assert "{'some': 'value'}" in text and "Mine" in text
    assert "Spawned at:" in text and "Parent: <Hub" in text
    assert "{}" not in text


# -- trees

@pytest.fixture
def tracked(monkeypatch):
    monkeypatch.setattr(gevent.config.settings["track_greenlet_tree"], "value",
                        True, raising=False)


def plain(tree):
    """The tree without addresses and without what surrounds it."""
    text = tree.format({"running_stacks": False, "spawning_stacks": False,
                        "locals": False})
    return [re.sub("<(Greenlet|Hub|greenlet)[^>]*?(: (\\w+))?>.*",
                   lambda m: m.group(3) or m.group(1), line)
            for line in text.splitlines()]


def test_layout(tracked):
    # root spawns a twice; a spawns b and c; c spawns another b.
    def leaf(*below):
        greenlets = [gevent.spawn(each) for each in below]
        # The function's name stays known because it was asked for.
        assert all(map(repr, greenlets))
        return greenlets

    def b():
        return leaf()

    def a():
        return leaf(b, c)

    def c():
        return leaf(b)

    def root():
        keep.extend(leaf(a, a))
        gevent.sleep(0)
        current = gevent.getcurrent()
        current.greenlet_tree_is_root = True
        for _ in range(3):
            gevent.sleep(0)
        return util.GreenletTree.current_tree()

    keep = []
    tree = leaf(root)[0].get()
    assert tree.is_current_tree and len(tree.child_trees) == 2
    assert plain(tree) == [
        "root",
        " :    Parent: Hub",
        " +--- a",
        " :          Parent: Hub",
        " |    +--- b",
        " :     :          Parent: Hub",
        " |    +--- c",
        " :                Parent: Hub",
        " |         +--- b",
        " :                      Parent: Hub",
        " +--- a",
        "            Parent: Hub",
        "      +--- b",
        "       :          Parent: Hub",
        "      +--- c",
        "                  Parent: Hub",
        "           +--- b",
        "                        Parent: Hub",
    ]
    assert "Parent" not in str(tree)


def test_how_greenlets_ended(tracked):
    def fail():
        raise ValueError("mine")

    gevent.get_hub().NOT_ERROR += (ValueError,)
    try:
        greenlets = [gevent.spawn(f) for f in (lambda: None, lambda: "x" * 90,
                                               fail)]
        gevent.joinall(greenlets)
    finally:
        del gevent.get_hub().NOT_ERROR
    labels = [util.GreenletTree(greenlet).format(False)
              for greenlet in greenlets]
    assert labels[0].endswith(">; finished")
    assert labels[1].endswith(">; finished with value '" + "x" * 29)
    assert labels[2].endswith(">; finished with exception ValueError('mine')")
    unstarted = gevent.Greenlet(print)
    assert util.GreenletTree(unstarted).format(False).endswith("not running")


def test_tree_without_tracking(monkeypatch):
    monkeypatch.setattr(gevent.config.settings["track_greenlet_tree"], "value",
                        False, raising=False)
    tree = gevent.spawn(util.GreenletTree.current_tree).get()
    assert tree.root and "Hub" in tree.format()


def test_ignored_greenlets():
    from greenlet import greenlet

    def ignored():
        inner = greenlet(util.GreenletTree.current_tree)
        inner.parent.greenlet_tree_is_ignored = True
        inner.greenlet_tree_is_root = True
        return inner.switch()

    tree = greenlet(ignored).switch()
    assert tree.child_trees == []
    assert "not running" in str(tree)


def test_attributes_of_the_greenlet():
    greenlet = gevent.spawn(lambda: 42)
    greenlet.join()
    assert util.GreenletTree(greenlet).value == 42


def test_greenlets_of_other_native_threads():
    tree_of_worker = gevent.get_hub().threadpool.apply(
        util.GreenletTree.current_tree)
    mine = util.GreenletTree.current_tree()
    assert tree_of_worker.greenlet is not mine.greenlet


def test_idle_workers_are_recognized():
    def frame_of(ident):
        return sys._current_frames()[ident]

    pool = gevent.get_hub().threadpool
    ident = pool.apply(get_original("_thread", "get_ident"))
    while not util.is_idle_threadpool_worker(frame_of(ident)):
        gevent.sleep(0.001)
    assert not util.is_idle_threadpool_worker(sys._getframe())


# -- the rest

def test_wrap_errors():
    wrapped = util.wrap_errors((ValueError, KeyError), int)
    assert wrapped("3") == 3
    assert isinstance(wrapped("x"), ValueError)
    with pytest.raises(TypeError):
        wrapped(None)
    assert wrapped.__name__ == "int" and wrapped.bit_length is int.bit_length
    assert str(wrapped) == str(int) and repr(wrapped) == repr(int)


def test_clear_stack_frames():
    class Held:
        pass

    import inspect
    import weakref

    def fail():
        held = Held()
        references.append(weakref.ref(held))
        raise ValueError

    references = []
    try:
        fail()
    except ValueError as error:
        frame = error.__traceback__.tb_next.tb_frame
        alive = [references[0]() is not None]
        util.clear_stack_frames(frame)
        alive.append(references[0]() is not None)
    assert alive == [True, False]
    # Those that run are left alone.
    util.clear_stack_frames(inspect.currentframe())
    assert references
