"""Every setting of the inventory: its name, environment variable and default,
and that both the variable and an assignment set it."""
import ast
import re

import pytest
from gevent._config import Config

from api.inventory import rows

SETTINGS = {row.name: row for row in rows()
            if row.module == "gevent.config" and row.kind == "property"}
# A value as the environment gives it, and what it means; by type of setting.
SAMPLES = {
    "Bool": ("yes", True), "Float": ("7.5", 7.5), "Int": ("7", 7),
    "ByteCount": ("2kb", 2048),
}


def environment_name(row):
    return re.match(r"env (\w+);", row.note).group(1)


@pytest.fixture
def bare(monkeypatch):
    """The environment without any setting."""
    for row in SETTINGS.values():
        monkeypatch.delenv(environment_name(row), raising=False)
    return monkeypatch


def test_none_is_missing_and_all_are_described(capsys):
    config = Config()
    assert set(SETTINGS) <= set(dir(config))
    config.print_help()
    printed = capsys.readouterr().out
    for row in SETTINGS.values():
        assert environment_name(row) in printed


@pytest.mark.parametrize("name", SETTINGS)
def test_default(name, bare):
    text = re.search(r"default (.*?)(?: if .*)?; type", SETTINGS[name].note)
    default = ast.literal_eval(text.group(1))
    setting = Config().settings[name]
    if isinstance(default, (list, str)):
        assert setting.default == default
        assert setting.get() is not None
    else:
        assert setting.get() == default


def sample(row):
    kind = re.search(r"type (\w+?)SettingMixin", row.note)
    if kind and kind.group(1) in SAMPLES:
        return SAMPLES[kind.group(1)]
    return None


@pytest.mark.parametrize("name", [n for n in SETTINGS if sample(SETTINGS[n])])
def test_from_the_environment(name, bare):
    text, value = sample(SETTINGS[name])
    bare.setenv(environment_name(SETTINGS[name]), text)
    assert getattr(Config(), name) == value


@pytest.mark.parametrize("name", [n for n in SETTINGS if sample(SETTINGS[n])])
def test_assigned(name, bare):
    _, value = sample(SETTINGS[name])
    config = Config()
    setattr(config, name, value)
    assert getattr(config, name) == value
    config.set(name, value)
    assert getattr(config, name) == value


@pytest.mark.parametrize("name, short, module", [
    ("resolver", "thread", "gevent.resolver.thread"),
    ("resolver", "block", "gevent.resolver.blocking"),
    ("loop", "libev-cext", "gevent.libev.corecext"),
    ("loop", "libev-cffi", "gevent.libev.corecffi"),
    ("fileobject", "posix", "gevent._fileobjectposix"),
    ("fileobject", "thread", "gevent._fileobjectcommon"),
    ("fileobject", "block", "gevent._fileobjectcommon"),
])
def test_short_names(name, short, module, bare):
    bare.setenv(environment_name(SETTINGS[name]), short)
    assert getattr(Config(), name).__module__ == module
