"""The inventory of the public API, api.tsv, and how a row of it is checked.

A row is ``module <TAB> name <TAB> kind <TAB> note``.  The name may be dotted
(a member of a class) or ``*`` (what the module copies from the standard
library).  The note begins with a signature, a value, or a phrase such as
``re-export of socket.error``; after ``#`` follows where it comes from.
"""
import ast
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

from zope.interface.interface import InterfaceClass

__all__ = [
    "Row", "check_call", "locate", "rows", "signature_text", "takes_instance",
]

FOLDER = Path(__file__).parent

# "name[kind]" is upstream's of one kind of loop, in a module of its own.
MODULE_OF_KIND = {
    "[libev-cffi]": "gevent.libev.corecffi",
    "[ffi]": "gevent._ffi.watcher",
}


class Row(NamedTuple):
    module: str
    name: str
    kind: str
    note: str

    @property
    def id(self) -> str:
        """How the row is named in the table of differences."""
        return f"{self.module}:{self.name}"

    @property
    def value(self) -> str:
        """The note without the remark."""
        return self.note.partition("  # ")[0]

    @property
    def remark(self) -> str:
        """What the note says after ``#``."""
        return self.note.partition("  # ")[2]


def rows() -> list[Row]:
    """Return all rows of the inventory."""
    lines = (FOLDER / "api.tsv").read_text().splitlines()
    return [Row(*line.split("\t")) for line in lines]


def locate(row: Row) -> tuple[object, object]:
    """Return (owner, object) of a row; the owner is a module or a class.

    Raises ImportError or AttributeError when it is not there.
    """
    owner = None
    name, kind, rest = re.match(r"(\w+)(\[\S+\])?(.*)", row.name).groups()
    found = importlib.import_module(MODULE_OF_KIND.get(kind, row.module))
    if kind and name.endswith("Mixin"):  # of a watcher's class
        name = name.removesuffix("Mixin").lower().replace("async", "async_")
        found = importlib.import_module("gevent.core")
    for part in (name + rest).split("."):
        owner, found = found, member(found, part)
    return owner, found


def member(owner: object, name: str) -> object:
    """Return an attribute, of an interface too."""
    if isinstance(owner, InterfaceClass) and name in owner:
        return owner[name]
    return getattr(owner, name)


def signature_text(row: Row) -> str | None:
    """Return the signature in a row, or None if it gives none.

    What stands before it, "classmethod" for one, is left out.
    """
    text = re.sub(r"^(classmethod|staticmethod) ", "", row.value)
    if not text.startswith("(") or text == "(...)":
        return None
    return text


def parse(signature: str) -> ast.arguments:
    """Return the arguments of a signature; types before names, as in Cython,
    are left out."""
    try:
        return ast.parse(f"def f{signature}: pass").body[0].args
    except SyntaxError:
        plain = re.sub(r"\b[\w.]+ (?=\w+ *[,=)])", "", signature)
        return ast.parse(f"def f{plain}: pass").body[0].args


def calls(signature: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of positional arguments, keywords) of calls that must
    bind: each number of positional ones, each keyword alone, all of them.

    That functions which only pass ``*args`` on take any number of them says
    nothing: for those there are none.  Nor are there with what is private.
    """
    if signature in ("(*args)", "(*args, **kwargs)"):
        return
    arguments = parse(signature)
    by_position = [a.arg for a in arguments.posonlyargs + arguments.args]
    only_by_position = len(arguments.posonlyargs)
    if by_position[:1] == ["self"]:
        by_position.pop(0)
    optional = len(arguments.defaults)
    required = len(by_position) - optional
    only_by_keyword = [a.arg for a in arguments.kwonlyargs]
    while optional and by_position[-1].startswith("_"):
        by_position.pop()
        optional -= 1
    needed = [name for name, default in
              zip(only_by_keyword, arguments.kw_defaults) if default is None]

    for count in range(required, len(by_position) + 1):
        yield count, needed
    if arguments.vararg:
        yield len(by_position) + 3, needed
    keywords = by_position[only_by_position:]
    if keywords and not arguments.vararg:
        yield only_by_position, keywords + needed
    for name in by_position[max(required, only_by_position):]:
        yield required, [name, *needed]
    for name in only_by_keyword:
        yield required, list({name, *needed})
    if arguments.kwarg:
        yield len(by_position), [*needed, "some_other_keyword"]


def check_call(function: object, signature: str, bound: bool = True,
               by_name: bool = True) -> None:
    """Check that every call a signature allows binds to a function.

    *bound* is false for what takes the instance first; *by_name* for what is
    only called by position.
    """
    try:
        ours = inspect.signature(function)
    except ValueError:
        # Those of C functions are ours to give, but for the interpreter's.
        assert function.__module__ in sys.stdlib_module_names
        return
    first = [] if bound else [None]
    for count, keywords in calls(signature):
        if keywords and not by_name:
            continue
        try:
            ours.bind(*first, *[None] * count, **dict.fromkeys(keywords))
        except TypeError as error:
            raise AssertionError(
                f"a call with {count} positional arguments and the keywords "
                f"{keywords} is {signature} there, {ours} here") from error


def takes_instance(owner: object, name: str) -> bool:
    """Tell whether an attribute of a class takes the instance first."""
    if not isinstance(owner, type):
        return False
    static = inspect.getattr_static(owner, name)
    return not isinstance(static, (classmethod, staticmethod, type))


