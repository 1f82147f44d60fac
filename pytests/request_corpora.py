"""Requests that other servers are tested with: (name, bytes, expected, whether
a PROXY header precedes them).

`tools/fetch-corpora` puts them into a folder; nothing of them is in the tree.
What is expected of a case is the requests that were seen, each with method,
target and body (of llhttp's, its size; of lighttpd's, none), up to where the bytes are refused.
"""
import ast
import json
import re
from pathlib import Path

__all__ = ["gunicorn_cases", "lighttpd_cases", "llhttp_cases"]

_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _unescaped(data):
    for mark, byte in ((b"\\r", b"\r"), (b"\\n", b"\n"), (b"\\t", b"\t"),
                       (b"\\f", b"\f"), (b"\\0", b"\0")):
        data = data.replace(mark, byte)
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), data)


# gunicorn: a file of bytes each, and one of Python beside it

def _expected_by_gunicorn(path):
    from gunicorn.config import Config
    space = {"uri": lambda text: text, "cfg": Config()}
    exec(compile(path.read_text(), path.name, "exec"), space)
    found = space.get("request", space.get("requests"))
    found = found if isinstance(found, list) else [found]
    seen = [(request["method"], request["uri"], request["body"] or b"")
            for request in found if isinstance(request, dict)]
    return seen, space["cfg"].proxy_protocol not in (False, "off")


def gunicorn_cases(folder: Path):
    """Of ``tests/requests``."""
    for path in sorted(folder.glob("*/*.http")):
        data = _unescaped(path.read_bytes().replace(b"\n", b""))
        seen, proxied = _expected_by_gunicorn(path.with_suffix(".py"))
        yield (f"gunicorn/{path.parent.name}/{path.stem}", data, seen,
               proxied)


# llhttp: Markdown with a block of bytes and one of events a case

_META = re.compile(r"<!-- *meta=(\{.*\}) *-->")
_SPAN = re.compile(r'len=(\d+) span\[(\w+)\]="?(.*?)"?$')


def _cases_of(text):
    """(meta, bytes, events), each as text, of a file."""
    meta, block, blocks = None, None, {}
    for line in text.splitlines():
        if block is not None and line != "```":
            block.append(line)
        elif block is not None:
            if kind == "log":
                yield meta, "\n".join(blocks["http"]), block
            blocks[kind], block = block, None
        elif line.startswith("```"):
            kind, block = line[3:], []
        elif found := _META.match(line):
            meta = json.loads(found[1])


def _bytes_of(block):
    data = re.sub(r"\\\n", "", block).replace("\n", "\r\n")
    return _unescaped(data.encode())


def _expected_by_llhttp(events):
    seen = []
    for event in events:
        span = _SPAN.search(event)
        if event.endswith(" message begin"):
            method, target, size = "", "", 0
        elif event.endswith(" message complete"):
            seen.append((method, target, size))
        elif span is None:
            continue
        elif span[2] == "method":
            method += span[3]
        elif span[2] == "url":
            target += span[3]
        elif span[2] == "body":
            size += int(span[1])
    return seen


def llhttp_cases(folder: Path):
    """Of ``test/request``, without those of its lenient modes."""
    for path in sorted(folder.glob("*.md")):
        for number, (meta, block, events) in enumerate(
                _cases_of(path.read_text())):
            if meta["type"] == "request":
                yield (f"llhttp/{path.stem}/{number}", _bytes_of(block),
                       _expected_by_llhttp(events), False)


# lighttpd: C, a call with a status, a title and a string for each case

_CALL = re.compile(r'run_http_request_parse\(r, __LINE__, (\d+),\s*'
                   r'"([^"]*)",\s*CONST_STR_LEN\(((?:\s*"(?:\\.|[^"\\])*")+)')
_LINE = re.compile(rb"([^ ]+) ([^ ]*)")


def lighttpd_cases(folder: Path):
    """Of ``src/t/test_request.c``: a status of 0 says that it is one."""
    text = (folder / "test_request.c").read_text()
    for number, (status, title, strings) in enumerate(_CALL.findall(text)):
        data = ast.literal_eval(f"({strings})").encode("latin-1")
        seen = []
        if status == "0":
            method, target = _LINE.match(data).groups()
            seen = [(method.decode(), target.decode("latin-1"), b"")]
        yield f"lighttpd/{number}: {title}", data, seen, False
