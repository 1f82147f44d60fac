"""README.md and docs/*.md beside what they speak of: links, names of files,
options and their defaults, code."""
import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gevent import pywsgi
from gevent._config import Config
from gevent.server import DatagramServer, StreamServer

TREE = Path(__file__).parent.parent.parent
PAGES = [TREE / "README.md", TREE / "CONTRIBUTING.md",
         *sorted((TREE / "docs").glob("*.md"))]
TEXTS = {page.relative_to(TREE).as_posix(): page.read_text() for page in PAGES}
README = TEXTS["README.md"]
COMPILER = shutil.which("cc") or shutil.which("gcc")


def read(path):
    return (TREE / path).read_text()


def cells(line):
    # A bar within code is written with a backslash.
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def rows(text, *head):
    """The rows, lists of cells, of the table whose head begins with *head*."""
    lines = iter(text.splitlines())
    for line in lines:
        if cells(line)[:len(head)] == list(head):
            break
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        yield cells(line)


def code(text):
    """What *text* has in backquotes."""
    return re.findall(r"`([^`]+)`", text)


def blocks(language):
    return [pytest.param(block, id=f"{name}-{number}")
            for name, text in TEXTS.items()
            for number, block in enumerate(re.findall(
                rf"^```{language}\n(.*?)^```", text, re.M | re.S))]


# -- links and files -------------------------------------------------------------------

@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", TEXTS[name], flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            path = TREE / name
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_files_are_there(name):
    places = [TREE, TREE / "libgcore/include", TREE / "libgcore/src",
              TREE / "docs"]
    for path in code(TEXTS[name]):
        if re.fullmatch(r"[\w./-]*/[\w.-]+\.(c|h|py|md|tsv)|[\w-]+\.md",
                        path) and "NAME" not in path:
            assert any((place / path).exists() for place in places), path


def test_the_readme_names_all_pages():
    for name in TEXTS:
        assert name == "README.md" or name in README, name


@pytest.mark.parametrize("folder, page", [
    ("hub", "design-hub"), ("net", "net"), ("http", "http-engine"),
    ("dns", "dns")])
def test_parts_are_complete(folder, page):
    source = f"libgcore/src/{folder}"
    text = TEXTS[f"docs/{page}.md"]
    first = "file" if page == "dns" else f"file (`{source}/`)"
    described = {name for row in rows(text, first) for name in code(row[0])}
    there = {path.name for path in (TREE / source).iterdir()}
    assert described <= there
    assert {name for name in there if name.endswith(".c")} <= described


# -- building and tools ----------------------------------------------------------------

def test_options_of_cmake():
    files = [TREE / "CMakeLists.txt", *(TREE / "tools/cmake").glob("*.cmake")]
    options = set(re.findall(
        r"^(?:option\(|set\((?=\w+ [^\n]*CACHE))(GCORE_\w+)",
        "".join(path.read_text() for path in files), re.M))
    told = README.partition("CMake's options:")[2].partition("\n\n")[0]
    told, _, presets = told.partition("presets")
    assert set(code(told)) == options
    assert set(code(presets)) == {
        preset["name"]
        for preset in json.loads(read("CMakePresets.json"))["configurePresets"]}


def test_areas_of_tests():
    tool = read("tools/test")
    areas, = [row[1] for row in rows(README, "command")
              if row[0].startswith("`tools/test [AREA")]
    usage = tool.partition("set -euo")[0]
    for area in code(areas):
        assert area == "pytests/" or re.search(rf"\b{area}\b", usage), area
        assert area == "pytests/" or re.search(
            rf"^    (\w+ \| )*{area}( \| \w+)*\)", tool, re.M), area


@pytest.mark.parametrize("name", TEXTS)
def test_paths_from_the_top_are_there(name):
    for path in re.findall(r"\b(?<![/.])(?:tools|pytests|ctests|python|libgcore|"
                           r"docs)/(?:[\w./-]*\w)?", TEXTS[name]):
        if not path.endswith(("_plain_NAME.py", "ctests/test_")):
            assert list(TREE.glob(path + "*")), path


# -- settings and arguments ------------------------------------------------------------

def test_arguments_of_servers():
    told = {}
    for names, defaults, _ in rows(TEXTS["docs/serving.md"], "argument"):
        names, defaults = code(names), defaults.split(", ")
        for name, default in zip(names, defaults * len(names)):
            told[name] = ast.literal_eval(default)
    names = {*pywsgi.WSGIServer._options, "reuse_port", "proxy_protocol",
             "proxy_timeout"}
    assert told == {name: getattr(pywsgi.WSGIServer, name) for name in names}
    assert DatagramServer.reuse_port is StreamServer.reuse_port is False


def test_the_command_that_serves():
    text = TEXTS["docs/serving.md"]
    parser = read("python/gevent/pywsgi.py").partition("def _main():")[2]
    for option in re.findall(r'"(--?[\w-]+)"', parser):
        assert f"`{option}" in text, option
    default, = re.findall(r'default="(.*?)"', parser)
    assert f"`{default}`" in text


SETTINGS_OF_OURS = ["drop_greenlets_on_fork", "greenlet_context",
                    "resolver_cache"]


@pytest.mark.parametrize("name", SETTINGS_OF_OURS)
def test_settings(name):
    variable = Config().settings[name].environment_key
    assert f"`{variable}" in TEXTS["docs/compatibility.md"]


# -- options of the HTTP engine --------------------------------------------------------

UNITS = {"s": 10**9, "us": 10**3, "µs": 10**3}


def number(text):
    """What a default is, in bytes and the like or nanoseconds; None for no
    limit."""
    if re.match(r"no(ne)?\b|2\^63-1", text):
        return None
    digits, unit = re.match(r"(\d+)(?: (\w+))?", text).groups()
    return int(digits) * UNITS.get(unit, 1)


def engine_defaults():
    """Of the members of `gcore_http_options`, from the code."""
    struct = re.search(r"typedef struct gcore_http_options \{(.*?)\}",
                       read("libgcore/include/gcore/http.h"), re.S)[1]
    found = dict.fromkeys(re.findall(r"(\w+);", struct))
    del found["size"], found["flags"]
    values = {"SECONDS": lambda count: count * 10**9,
              "MICROSECONDS": lambda count: count * 10**3,
              "INT64_MAX": None, "UINT32_MAX": None}
    for name, text in re.findall(r"set_\w+\(&options->(\w+),\s*(.*)\);",
                                 read("libgcore/src/http/server.c")):
        other = re.fullmatch(r"options->(\w+)", text)
        found[name] = found[other[1]] if other else eval(text, dict(values))
    return found


def test_options_of_the_http_engine():
    told = {}
    for _, options, defaults, _ in rows(TEXTS["docs/http-engine.md"], "",
                                      "option"):
        options = code(options)
        defaults = re.split(r", |; | over ", defaults)
        told.update(zip(options, map(number, defaults * len(options))))
    assert told == engine_defaults()


def test_the_header_tells_the_same_defaults():
    text = read("libgcore/include/gcore/http.h")
    text = text.partition("What a server should be.")[2].partition("*/")[0]
    text = re.sub(r"\n \*\s+", " ", re.sub(r"\n \*   (?=\w)", "\n* ", text))
    defaults = engine_defaults()
    for name, default in defaults.items():
        told = re.search(rf"^\* {name} .*?\((.*?)\)", text, re.M)[1]
        assert told == "head_timeout" or number(told) == default, name


def test_statuses_of_refusals():
    header = read("libgcore/src/http/refusal.h")
    statuses = set(re.findall(r"X\(\w+, (\d+),", header))
    text, = re.findall(r"A refusal is an answer\s+\(([\d,\s]+)\)",
                       TEXTS["docs/http-engine.md"])
    assert set(re.findall(r"\d+", text)) == statuses


# -- code ------------------------------------------------------------------------------

@pytest.mark.parametrize("block", blocks("python"))
def test_python_compiles(block):
    compile(block, "a page", "exec")


def test_the_server_for_all_to_reach():
    text = TEXTS["docs/serving.md"].partition("## Exposed")[2]
    block = re.search(r"^```python\n(.*?)^```", text, re.M | re.S)[1]
    eval(block, {"WSGIServer": pywsgi.WSGIServer, "app": print})


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("block", blocks("c"))
def test_c_compiles(block, tmp_path):
    source = tmp_path / "block.c"
    source.write_text("#include <gcore.h>\n" + block)
    subprocess.run(
        [COMPILER, "-std=c11", "-fsyntax-only", "-Wall", "-Werror",
         "-Wno-unused-function", "-I", str(TREE / "libgcore/include"),
         str(source)], check=True, timeout=120)
