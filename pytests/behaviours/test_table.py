"""Each statement about how gevent behaves has a test.

``statements.tsv`` has a number (section and statement), the statement, and
the tests that prove it: ``folder/file::function`` or
``folder/file::Class::function``, without their ``test_``.
"""
import ast
from functools import lru_cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SECTIONS = range(1, 13)

STATEMENTS = [line.split("\t")
              for line in (FOLDER / "statements.tsv").read_text().splitlines()]


@lru_cache(None)
def names_in(file):
    """The names of the tests in a file."""
    found = set()
    tree = ast.parse((FOLDER.parent / (file + ".py")).read_text())
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = node.name + "::" if isinstance(node, ast.ClassDef) else ""
        found.update(prefix + each.name.removeprefix("test_")
                     for each in inner if isinstance(each, ast.FunctionDef)
                     and each.name.startswith("test_"))
    return found


def test_statements_are_numbered():
    numbers = [tuple(map(int, number.split(".")))
               for number, _, _ in STATEMENTS]
    wanted = []
    for section in SECTIONS:
        count = sum(first == section for first, _ in numbers)
        assert count
        wanted += [(section, place) for place in range(1, count + 1)]
    assert numbers == wanted


@pytest.mark.parametrize("number, statement, tests", STATEMENTS,
                         ids=[number for number, _, _ in STATEMENTS])
def test_a_test_names_it(number, statement, tests):
    assert statement and tests
    for test in tests.split(" "):
        file, _, name = test.partition("::")
        assert name in names_in(file), test
