"""Every row of the inventory of the public API is there and is callable as
its signature says.

``differences.tsv`` lists the rows that are not: the row, on which interpreters
("all", "3.12-": up to 3.12, "3.13+"), and the reason.  A row listed there that
passes fails, so that the table cannot go stale.
"""
import ast
import importlib
import inspect
import socket
import sys

import pytest

from api.instances import instance
from api.inventory import (
    FOLDER, check_call, locate, rows, signature_text, takes_instance,
)


def concerns(interpreters):
    if interpreters == "all":
        return True
    version = tuple(map(int, interpreters[:-1].split(".")))
    running = sys.version_info[:2]
    return running <= version if interpreters[-1] == "-" else (
        running >= version)


def differences():
    """The rows that differ on this interpreter, and why."""
    found = {}
    for line in (FOLDER / "differences.tsv").read_text().splitlines():
        row_id, interpreters, reason = line.split("\t")
        if concerns(interpreters):
            found[row_id] = reason
    return found


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

ROWS = rows()
DIFFERENCES = differences()


def member(row):
    """Return (owner, object) of a row, by an instance where only instances
    have it."""
    try:
        return locate(row)
    except AttributeError:
        if row.kind != "property" or "." not in row.name:
            raise
    class_name, _, name = row.name.rpartition(".")
    cls = getattr(importlib.import_module(row.module), class_name)
    return cls, getattr(instance(cls), name)


def check_copied(row):
    """The whole of a standard module is there."""
    ours = importlib.import_module(row.module)
    name = row.module.removeprefix("gevent.")
    standard = importlib.import_module(name)
    wanted = vars(standard)
    if row.note.startswith("re-export"):
        wanted = {name: wanted[name] for name in standard.__all__
                  if isinstance(wanted.get(name), (int, str))}
    missing = [name for name in wanted
               if not name.startswith("__") and not hasattr(ours, name)]
    assert not missing


def check_reexport(row, found):
    path = row.value.removeprefix("re-export of ")
    path = path.replace("stdlib ", "").replace(" (where it exists)", "")
    module, _, name = path.replace("__", "").rpartition(".")
    if module:
        original = getattr(importlib.import_module(module), name)
        assert found is original


def check_kind(row, owner, found):
    if row.kind == "class":
        assert inspect.isclass(found) or hasattr(found, "implementedBy")
    elif row.kind in ("function", "method"):
        assert callable(found) or hasattr(found, "getSignatureString")


def check_bases(row, found):
    """Base classes that are public are base classes here."""
    if not row.remark.startswith("bases: ") or not isinstance(found, type):
        return
    ours = {base.__name__ for base in found.__mro__}
    builtin = vars(importlib.import_module("builtins"))
    bases = row.remark.removeprefix("bases: ").partition(";")[0].split(", ")
    for base in bases:
        name = base.rpartition(".")[2].strip("_").replace("orig_", "")
        public = any(name == other.name for other in ROWS)
        assert name in ours or not (public or name in builtin)


def check_origin(row, found):
    """What is defined elsewhere is importable from there too."""
    of_class = isinstance(getattr(found, "__self__", None), type)
    if "defined in " not in row.remark or of_class:
        return
    home = importlib.import_module(row.remark.partition("defined in ")[2])
    names = (row.name, getattr(found, "__name__", row.name))
    assert any(getattr(home, name, None) is found for name in names)


def check_value(row, found):
    text = row.value.removeprefix("class attribute").removeprefix(" ")
    try:
        wanted = ast.literal_eval(text.removeprefix("= "))
    except (SyntaxError, ValueError):
        return
    # Some are filled in later than upstream's source says.
    assert found == wanted or wanted is None


def check_signature(row, owner, found):
    signature = signature_text(row)
    if not signature or not callable(found):
        return
    name = row.name.rpartition(".")[2]
    special = name.startswith("__")  # called by the interpreter
    if special and inspect.ismethoddescriptor(found):
        return
    check_call(found, signature, not takes_instance(owner, name), not special)


def check(row):
    if row.name == "*":
        return check_copied(row)
    if row.note.endswith("(where it exists)") and not hasattr(
            socket, row.name):
        return None
    owner, found = member(row)
    check_kind(row, owner, found)
    if row.note.startswith("re-export"):
        check_reexport(row, found)
    check_signature(row, owner, found)
    check_bases(row, found)
    check_origin(row, found)
    if row.kind == "constant":
        check_value(row, found)
    return None


# Upstream's other loop is none of ours.
IN_MODULES = [row for row in ROWS
              if row.module.startswith("gevent.") or row.module == "gevent"
              if row.module != "gevent.config"
              and "[libuv-cffi]" not in row.name]


@pytest.mark.parametrize("row", IN_MODULES, ids=lambda row: row.id)
def test_row(row):
    if row.id not in DIFFERENCES:
        return check(row)
    with pytest.raises((AssertionError, AttributeError, ImportError)):
        check(row)
    return None
