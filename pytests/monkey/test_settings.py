"""gevent.config: where settings come from and what they accept."""
import os

import pytest

from gevent import _config
from gevent._config import Config, config
from libgcore import _engine

# name, environment variable, text in it, value
FROM_ENVIRONMENT = [
    ("threadpool_idle_task_timeout", "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT",
     "2.5", 2.5),
    ("threadpool_idle_task_timeout", "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT",
     "-1", -1.0),
    ("libev_backend", "GEVENT_BACKEND", "epoll, select", ["epoll", "select"]),
    ("disable_watch_children", "GEVENT_NOWAITPID", "1", True),
    ("drop_greenlets_on_fork", "GEVENT_DROP_GREENLETS_ON_FORK", "1", True),
    ("trace_malloc", "PYTHONTRACEMALLOC", "3", 3),
    ("track_greenlet_tree", "GEVENT_TRACK_GREENLET_TREE", "off", False),
    ("monitor_thread", "GEVENT_MONITOR_THREAD_ENABLE", "yes", True),
    ("max_blocking_time", "GEVENT_MAX_BLOCKING_TIME", "0.3", 0.3),
    ("max_blocking_time", "GEVENT_MAX_BLOCKING_TIME", "", None),
    ("print_blocking_reports", "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS",
     "FALSE", False),
    ("memory_monitor_period", "GEVENT_MONITOR_MEMORY_PERIOD", "7", 7.0),
    ("max_memory_usage", "GEVENT_MONITOR_MEMORY_MAX", "2 mb", 2 * 1024 ** 2),
    ("max_memory_usage", "GEVENT_MONITOR_MEMORY_MAX", "12", 12),
    ("ares_flags", "GEVENTARES_FLAGS", "3", "3"),
    ("ares_servers", "GEVENTARES_SERVERS", "10.0.0.1,10.0.0.2",
     ["10.0.0.1", "10.0.0.2"]),
    ("resolver_nameservers", "GEVENT_RESOLVER_NAMESERVERS",
     "10.0.0.1, 10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
    ("resolver_timeout", "GEVENT_RESOLVER_TIMEOUT", "4", 4.0),
    ("resolver_cache", "GEVENT_RESOLVER_CACHE", "on", True),
    ("resolver_cache", "GEVENT_RESOLVER_CACHE", "", None),
]

DEFAULTS = {
    "threadpool_idle_task_timeout": 5.0,
    "libev_backend": None,
    "disable_watch_children": False,
    "drop_greenlets_on_fork": False,
    "track_greenlet_tree": True,
    "monitor_thread": False,
    "max_blocking_time": 0.1,
    "print_blocking_reports": True,
    "memory_monitor_period": 5.0,
    "max_memory_usage": None,
    "ares_flags": None, "ares_timeout": None, "ares_tries": None,
    "ares_ndots": None, "ares_udp_port": None, "ares_tcp_port": None,
    "ares_servers": None, "resolver_nameservers": None,
    "resolver_timeout": None, "resolver_cache": None,
}


@pytest.fixture(autouse=True)
def _no_settings_in_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("GEVENT", "PYTHONTRACEMALLOC")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name, variable, text, value", FROM_ENVIRONMENT)
def test_setting_is_read_from_environment(monkeypatch, name, variable, text,
                                          value):
    monkeypatch.setenv(variable, text)
    assert getattr(Config(), name) == value


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    assert getattr(Config(), name) == DEFAULTS[name]


def test_setting_is_read_once(monkeypatch):
    config = Config()
    assert config.max_blocking_time == 0.1
    monkeypatch.setenv("GEVENT_MAX_BLOCKING_TIME", "3")
    assert config.max_blocking_time == 0.1
    assert Config().max_blocking_time == 3


@pytest.mark.parametrize("name, value, setter", [
    ("track_greenlet_tree", False, "set_tracking"),
    ("greenlet_context", "inherit", "set_context_source"),
])
def test_only_the_one_in_force_reaches_the_engine(monkeypatch, name, value,
                                                  setter):
    told = []
    monkeypatch.setattr(_engine, setter, told.append)
    setattr(Config(), name, value)
    assert not told
    setattr(config, name, getattr(config, name))
    assert len(told) == 1


def test_importable_settings_take_the_first_that_can_be_imported():
    config = Config()
    config.format_context = ["no.such.thing", "pprint.pformat"]
    assert config.format_context.__name__ == "pformat"
    config.format_context = "no.such.thing,pprint.saferepr"
    assert config.format_context.__name__ == "saferepr"
    config.format_context = repr
    assert config.format_context is repr


def test_importable_setting_is_imported_when_asked_for(monkeypatch):
    monkeypatch.setenv("GEVENT_FORMAT_CONTEXT", "no.such.thing")
    config = Config()
    with pytest.raises(ImportError):
        config.format_context # pylint:disable=pointless-statement
    # It may still be mended.
    config.format_context = repr
    assert config.format_context is repr


def test_empty_variable_of_importable_setting_is_none_at_all(monkeypatch):
    monkeypatch.setenv("GEVENT_FORMAT_CONTEXT", "")
    assert Config().format_context.__name__ == "saferepr"


@pytest.mark.parametrize("name, value, error", [
    ("max_blocking_time", "x", ValueError),
    ("max_blocking_time", -1, ValueError),
    ("max_blocking_time", 0, ValueError),
    ("max_memory_usage", "1.5mb", ValueError),
    ("max_memory_usage", "-1", ValueError),
    ("track_greenlet_tree", "perhaps", ValueError),
    ("threadpool_idle_task_timeout", -2, ValueError),
    ("loop", "nonsense", ImportError),
    ("loop", 42, TypeError),
    ("no_such_setting", 1, AttributeError),
])
def test_bad_values_are_refused(name, value, error):
    with pytest.raises(error):
        Config().set(name, value)


def test_refused_value_changes_nothing():
    config = Config()
    config.max_blocking_time = 2
    with pytest.raises(ValueError):
        config.max_blocking_time = "x"
    assert config.max_blocking_time == 2


def test_names_of_settings():
    config = Config()
    assert sorted(dir(config)) == sorted(config.settings)
    with pytest.raises(AttributeError, match="no_such"):
        config.no_such # pylint:disable=pointless-statement


def test_help_names_every_variable(capsys):
    Config().print_help()
    text = capsys.readouterr().out
    for kind in _config.ALL_SETTINGS:
        assert kind.name in text
        assert kind.environment_key in text


def test_help_from_command_line(run_program):
    done = run_program("""
        import runpy
        runpy.run_module('gevent._config', run_name='__main__')
    """)
    assert "GEVENT_RESOLVER" in done.stdout
