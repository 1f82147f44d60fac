"""The events of monkey patching, plugins, and modules that patch themselves."""
import sys
import types

import pytest
from zope.interface.verify import verifyObject

from gevent import events, monkey
from gevent.monkey import api

MODULES_IN_ORDER = [
    "os", "_thread", "threading", "time", "socket", "select", "selectors",
    "ssl", "subprocess", "signal", "queue",
]
if sys.version_info >= (3, 14):
    MODULES_IN_ORDER[5:7] = ["selectors", "select"]


@pytest.fixture
def seen():
    """The events since the start of the test."""
    found = []
    events.subscribers.append(found.append)
    yield found
    events.subscribers.remove(found.append)


@pytest.fixture
def modules():
    """A target and a source module, of which nothing stays behind."""
    target = types.ModuleType("some_target")
    target.a, target.b, target.c = 1, 2, 3
    source = types.ModuleType("some_source")
    source.a, source.b = 10, 20
    source.__implements__ = ["a"]
    yield target, source
    monkey.saved.pop("some_target", None)


def test_order_of_events(run_program):
    done = run_program("""
        from gevent import events, monkey

        def show(event):
            print(type(event).__name__, getattr(event, 'module_name', ''))

        events.subscribers.append(show)
        monkey.patch_all(contextvars=True, more=1)
    """)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["GeventWillPatchAllEvent"]
    assert lines[-2:] == [["GeventDidPatchBuiltinModulesEvent"],
                          ["GeventDidPatchAllEvent"]]
    will = [name for kind, name in lines[1:-2]
            if kind == "GeventWillPatchModuleEvent"]
    did = [name for kind, name in lines[1:-2]
           if kind == "GeventDidPatchModuleEvent"]
    assert will == MODULES_IN_ORDER
    assert did == [{"_thread": "thread"}.get(name, name)
                   for name in MODULES_IN_ORDER]
    # Threads are announced together, and reported together.
    assert [name for _, name in lines[3:7]] == [
        "_thread", "threading", "thread", "threading"]


def test_arguments_of_patch_all_in_events(run_program):
    run_program("""
        from gevent import events, monkey
        seen = []
        events.subscribers.append(seen.append)
        monkey.patch_all(ssl=False, more=1)
        for event in (seen[0], seen[-1], seen[-2]):
            arguments = event.patch_all_arguments
            assert arguments['ssl'] is False and arguments['os'] is True
            assert arguments['sys'] is False and 'more' not in arguments
            assert event.patch_all_kwargs == {'more': 1}
            assert event.source is event.target is None
            arguments.clear()
            assert event.patch_all_arguments
        assert seen[0].will_patch_module('os')
        assert not seen[0].will_patch_module('ssl')
        assert not seen[0].will_patch_module('nonsense')
    """)


def test_veto_of_everything(run_program):
    run_program("""
        from gevent import events, monkey

        def veto(event):
            raise events.DoNotPatch

        events.subscribers.append(veto)
        assert monkey.patch_all() is False
        assert not monkey.is_module_patched('time')
    """)


def test_veto_of_one_module(run_program):
    run_program("""
        import threading, _thread
        from gevent import events, monkey

        def veto(event):
            if getattr(event, 'module_name', '') in ('ssl', 'threading'):
                raise events.DoNotPatch

        events.subscribers.append(veto)
        assert monkey.patch_all() is True
        assert monkey.is_module_patched('time')
        # All of the threads, or nothing.
        for name in ('ssl', 'threading', '_thread'):
            assert not monkey.is_module_patched(name)
    """)


def test_errors_of_subscribers_are_raised(run_program):
    run_program("""
        from gevent import events, monkey

        def fail(event):
            raise ValueError('mine')

        events.subscribers.append(fail)
        try:
            monkey.patch_all()
        except ValueError as error:
            assert str(error) == 'mine'
        else:
            raise AssertionError
    """)


@pytest.mark.parametrize("event, interface", [
    (events.EventLoopBlocked(None, 1.0, []), events.IEventLoopBlocked),
    (events.MemoryUsageThresholdExceeded(2, 1, ()),
     events.IMemoryUsageThresholdExceeded),
    (events.MemoryUsageUnderThreshold(1, 2, (), 3),
     events.IMemoryUsageUnderThreshold),
    (events.PeriodicMonitorThreadStartedEvent(None),
     events.IPeriodicMonitorThreadStartedEvent),
    (events.GeventPatchEvent(1, 2), events.IGeventPatchEvent),
    (events.GeventWillPatchEvent(1, 2), events.IGeventWillPatchEvent),
    (events.GeventWillPatchModuleEvent("m", 1, 2, []),
     events.IGeventWillPatchModuleEvent),
    (events.GeventDidPatchModuleEvent("m", 1, 2),
     events.IGeventDidPatchModuleEvent),
    (events.GeventWillPatchAllEvent({}, {}), events.IGeventWillPatchAllEvent),
    (events.GeventDidPatchBuiltinModulesEvent({}, {}),
     events.IGeventDidPatchBuiltinModulesEvent),
    (events.GeventDidPatchAllEvent({}, {}), events.IGeventDidPatchAllEvent),
])
def test_events_implement_their_interfaces(event, interface):
    assert verifyObject(interface, event)
    assert type(event).__name__ in repr(event)


def test_subscribers_are_those_of_zope():
    import zope.event
    assert events.subscribers is zope.event.subscribers


# -- patch_module

def test_patch_module(modules, seen):
    target, source = modules
    assert monkey.patch_module(target, source) is True
    assert (target.a, target.b) == (10, 2)
    assert monkey.saved["some_target"] == {"a": 1}
    assert monkey.get_original("some_target", "a") == 1
    assert [type(event).__name__ for event in seen] == [
        "GeventWillPatchModuleEvent", "GeventDidPatchModuleEvent"]
    assert (seen[0].source, seen[0].target) == (source, target)
    assert seen[0].target_item_names == ["a"]
    # Again: the original stays what it was.
    assert monkey.patch_module(target, source, items=["a", "b"]) is True
    assert monkey.saved["some_target"] == {"a": 1, "b": 2}


def test_subscribers_may_change_the_names(modules):
    target, source = modules

    def add(event):
        if isinstance(event, events.GeventWillPatchModuleEvent):
            event.target_item_names.append("b")

    events.subscribers.append(add)
    try:
        monkey.patch_module(target, source, items=["a"])
    finally:
        events.subscribers.remove(add)
    assert (target.a, target.b) == (10, 20)


def test_patch_module_needs_names(modules):
    target, source = modules
    del source.__implements__
    with pytest.raises(AttributeError, match="__implements__"):
        monkey.patch_module(target, source)
    with pytest.raises(AttributeError, match="nonsense"):
        monkey.patch_module(target, source, items=["nonsense"])
    assert monkey.patch_module(target, source, items=[]) is True
    assert not monkey.is_module_patched("some_target")


def test_new_names_are_not_saved(modules):
    target, source = modules
    source.new = 4
    monkey.patch_module(target, source, items=["new"])
    assert target.new == 4
    assert not monkey.is_module_patched("some_target")


def test_hooks_of_the_source(modules, seen):
    target, source = modules
    calls = []

    def will(target_module, items, warn):
        assert target_module is target and seen == []
        warn("a warning")
        items.append("b")
        calls.append("will")

    def did(target_module, items, warn):
        assert target_module is target and items == ["a", "b"]
        assert callable(warn) and len(seen) == 1
        calls.append("did")

    source._gevent_will_monkey_patch = will
    source._gevent_did_monkey_patch = did
    warned = []
    assert monkey.patch_module(target, source, _warnings=warned) is True
    assert calls == ["will", "did"] and warned == ["a warning"]
    assert (target.a, target.b) == (10, 20)

    with pytest.warns(monkey.MonkeyPatchWarning, match="a warning"):
        del seen[:]
        monkey.patch_module(target, source, items=["a"])


def test_hook_that_patches_by_itself(modules):
    target, source = modules
    requests = []
    source._gevent_do_monkey_patch = requests.append
    assert monkey.patch_module(target, source,
                               _patch_kwargs={"aggressive": True}) is True
    request, = requests
    assert target.a == 1
    assert (request.target_module, request.source_module) == (target, source)
    assert request.items == ["a"]
    assert request.patch_kwargs == {"aggressive": True}
    assert request.get_original("time", "time")
    request.default_patch_items()
    request.remove_item(target, "c", "not there")
    assert target.a == 10 and not hasattr(target, "c")
    assert monkey.saved["some_target"] == {"a": 1, "c": 3}


def test_hook_that_prevents_it(modules, seen):
    target, source = modules

    def will(*_args):
        raise events.DoNotPatch

    source._gevent_will_monkey_patch = will
    assert monkey.patch_module(target, source) is False
    assert target.a == 1 and seen == []


def test_patch_and_remove_item(modules):
    target, _ = modules
    api.patch_item(target, "a", 5)
    api.patch_item(target, "new", 6)
    api.remove_item(target, "b")
    api.remove_item(target, "b")
    assert (target.a, target.new) == (5, 6) and not hasattr(target, "b")
    assert monkey.saved["some_target"] == {"a": 1, "b": 2}


# -- plugins

PLUGIN = """\
calls = []

def told(event):
    calls.append((type(event).__name__, getattr(event, 'module_name', None)))
"""

ENTRY_POINTS = """\
[gevent.plugins.monkey.will_patch_all]
mine = some_plugin:told
[gevent.plugins.monkey.will_patch_module]
mine = some_plugin:told
[gevent.plugins.monkey.did_patch_module]
mine = some_plugin:told
[gevent.plugins.monkey.did_patch_builtins]
mine = some_plugin:told
[gevent.plugins.monkey.did_patch_all]
mine = some_plugin:told
"""


@pytest.fixture
def plugin(tmp_path):
    """A folder with an installed distribution that has a plugin."""
    (tmp_path / "some_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "some_plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: some_plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return tmp_path


def test_plugins_are_told(run_program, plugin):
    run_program("""
        from gevent import monkey
        monkey.patch_all(ssl=False)
        import some_plugin
        names = [name for name, _ in some_plugin.calls]
        assert names[0] == 'GeventWillPatchAllEvent'
        assert names[-2:] == ['GeventDidPatchBuiltinModulesEvent',
                              'GeventDidPatchAllEvent']
        for kind in ('GeventWillPatchModuleEvent', 'GeventDidPatchModuleEvent'):
            assert (kind, 'time') in some_plugin.calls
            assert (kind, 'ssl') not in some_plugin.calls
    """, PYTHONPATH=_path(plugin))


def test_plugins_in_an_archive_are_told(run_program, plugin, tmp_path):
    import zipfile
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(plugin / "some_plugin.py", "some_plugin.py")
        for path in (plugin / "some_plugin-1.dist-info").iterdir():
            out.write(path, "some_plugin-1.dist-info/" + path.name)
    run_program("""
        from gevent import monkey
        monkey.patch_time()
        import some_plugin
        assert len(some_plugin.calls) == 2
    """, PYTHONPATH=_path(archive))


def test_metadata_is_only_read_when_needed(run_program):
    run_program("""
        import sys
        from gevent import monkey
        monkey.patch_all()
        assert 'importlib.metadata' not in sys.modules
    """)


def _path(first):
    import os
    rest = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(first)] + ([rest] if rest else []))
