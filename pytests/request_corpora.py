"""Requests that other servers are tested with: (name, bytes, expected, whether
a PROXY header precedes them).

`tools/fetch-corpora` puts them into a folder; nothing of them is in the tree.
What is expected of a case is the requests that were seen, each with method,
target and body, up to where the bytes are refused. Of llhttp's bodies only the
size is told, of others' but gunicorn's and http-parser's nothing.
"""
import ast
import json
import re
from pathlib import Path

__all__ = ["aiohttp_cases", "gunicorn_cases", "h11_cases",
           "http_parser_cases", "hypercorn_cases", "lighttpd_cases",
           "llhttp_cases", "puma_cases", "tornado_cases", "twisted_cases",
           "waitress_cases"]

_LINE = re.compile(rb"(?:\r\n)*([^ ]+) ([^ ]*)")
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


def _first_line(data):
    """As what is seen: method, target, and no body."""
    method, target = _LINE.match(data).groups()
    return [(method.decode("latin-1"), target.decode("latin-1"), b"")]


def lighttpd_cases(folder: Path):
    """Of ``src/t/test_request.c``: a status of 0 says that it is one."""
    text = (folder / "test_request.c").read_text()
    for number, (status, title, strings) in enumerate(_CALL.findall(text)):
        data = ast.literal_eval(f"({strings})").encode("latin-1")
        seen = _first_line(data) if status == "0" else []
        yield f"lighttpd/{number}: {title}", data, seen, False


# http-parser: C, a structure for each case

_STRINGS = r'((?:\s*"(?:\\.|[^"\\])*")+)'
_FIELD = re.compile(r"\.(raw|request_url|body) *= *" + _STRINGS)
_METHOD = re.compile(r"\.method *= *HTTP_(\w+)")


def http_parser_cases(folder: Path):
    """Of ``test.c``; a method is named as it is in C."""
    text = (folder / "test.c").read_text(encoding="latin-1")
    text = text.partition(" requests[]")[2].partition(" responses[]")[0]
    for message in re.split(r"\{ *\.name *= *", text)[1:]:
        fields = {name: ast.literal_eval(f"({strings})").encode("latin-1")
                  for name, strings in _FIELD.findall(message)}
        method = _METHOD.search(message)[1].replace("MSEARCH", "M-SEARCH")
        yield ("http-parser/" + message.split('"')[1], fields["raw"],
               [(method, fields["request_url"].decode("latin-1"),
                 fields.get("body", b""))], False)


# puma: Ruby, a method for each case, all of which are refused

_RUBY_METHOD = re.compile(r"\n  def (test_\w+)\n(.*?)\n  end", re.S)
_RUBY_STRING = r"""(?:"(?:\\.|[^"\\])*"|'[^']*')"""
_RUBY_NAME = re.compile(
    rf"(\w+) *=\s*(\[.*?\]\.join|{_RUBY_STRING}(?: *\\\s*{_RUBY_STRING})*)",
    re.S)
_RUBY_ASK = re.compile(rf"send_http_and_read ({_RUBY_STRING})")


def _ruby_text(code, names):
    """Strings one after the other, or in an array that is joined to lines."""
    strings = [ast.literal_eval(string)
               for string in re.findall(_RUBY_STRING, code)]
    text = ("\r\n" if code.endswith(".join") else "").join(strings)
    return re.sub(r"#\{(\w+)\}", lambda found: names[found[1]], text)


def puma_cases(folder: Path):
    """Of ``test/test_request_invalid.rb``."""
    text = (folder / "test_request_invalid.rb").read_text()
    start, _, _ = text.partition("def setup")
    shared = {name: _ruby_text(code, {})
              for name, code in _RUBY_NAME.findall(start)}
    for name, code in _RUBY_METHOD.findall(text):
        names = dict(shared)
        for local, value in _RUBY_NAME.findall(code):
            names[local] = _ruby_text(value, names)
        for number, asked in enumerate(_RUBY_ASK.findall(code)):
            yield (f"puma/{name}/{number}",
                   _ruby_text(asked, names).encode("latin-1"), [], False)


# Servers in Python: functions of tests, whose literals are looked at

class _Function:
    """A function of a test; what its expressions say without the rest."""

    def __init__(self, node):
        self.name = node.name
        self._node = node
        self.text = ast.unparse(node)
        self._loops = [loop for loop in ast.walk(node)
                       if isinstance(loop, ast.For)
                       and isinstance(loop.target, ast.Name)]

    def calls(self, name):
        """Calls of a function or method of that name."""
        return [call for call in ast.walk(self._node)
                if isinstance(call, ast.Call)
                and name == getattr(call.func, "attr",
                                    getattr(call.func, "id", None))]

    def assigned(self, name):
        """What a variable is set to, expressions."""
        return [node.value for node in ast.walk(self._node)
                if isinstance(node, ast.Assign)
                and [name] == [getattr(target, "id", None)
                               for target in node.targets]]

    def values(self, expression):
        """Of an expression of literals: its value, or one for each turn of
        the loop around it; none if it is made of anything else."""
        code = compile(ast.Expression(expression), self.name, "eval")
        loops = [loop for loop in self._loops
                 if expression in ast.walk(loop)]
        try:
            turns = ([{loop.target.id: value} for loop in loops[:1]
                      for value in ast.literal_eval(loop.iter)] or [{}])
            return [eval(code, {"__builtins__": {}}, turn) for turn in turns]
        except (NameError, ValueError, AttributeError, TypeError):
            return []


def _functions(path, kind=ast.FunctionDef):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kind) and node.name.startswith("test_"):
            yield _Function(node)


def _refused_or_seen(server, name, datas, refused):
    """Cases of one request each."""
    for number, data in enumerate(datas):
        if data.count(b" HTTP/") == 1 or refused:
            yield (f"{server}/{name}/{number}", data,
                   [] if refused else _first_line(data), False)


def aiohttp_cases(folder: Path):
    """Of ``tests/test_http_parser.py``: whole requests that the parser is fed
    at once."""
    for function in _functions(folder / "test_http_parser.py"):
        fed = [ast.unparse(call) for call in function.calls("feed_data")]
        texts = function.assigned("text")
        if fed != ["parser.feed_data(text)"] or len(texts) != 1:
            continue
        datas = [data for data in function.values(texts[0])
                 if isinstance(data, bytes) and b"\r\n\r\n" in data]
        yield from _refused_or_seen("aiohttp", function.name, datas,
                                    "pytest.raises" in function.text)


_REQUEST = re.compile(rb"^([A-Z]+) ([^ ]+) HTTP/1\.1\r$", re.M)


def hypercorn_cases(folder: Path):
    """Of ``tests/protocol/test_h11.py``: conversations of literals, in which
    every request is seen."""
    for function in _functions(folder / "test_h11.py", ast.AsyncFunctionDef):
        pieces = [keyword.value for call in function.calls("handle")
                  for event in call.args if isinstance(event, ast.Call)
                  for keyword in event.keywords]
        datas = [data for piece in pieces for data in function.values(piece)
                 if isinstance(data, bytes)]
        data = b"".join(datas)
        if len(datas) == len(pieces) and b"\r\n\r\n" in data:
            seen = [(method.decode(), target.decode(), b"")
                    for method, target in _REQUEST.findall(data)]
            yield f"hypercorn/{function.name}", data, seen, False


def h11_cases(folder: Path):
    """Of ``h11/tests/test_io.py``: what a server must not take."""
    for function in _functions(folder / "test_io.py"):
        for number, call in enumerate(function.calls("tr")):
            reader, data, event = call.args
            if (ast.unparse(reader) == "READERS[CLIENT, IDLE]"
                    and ast.unparse(event) == "None"):
                yield from _refused_or_seen(
                    "h11", f"{function.name}/{number}",
                    function.values(data), True)


def tornado_cases(folder: Path):
    """Of ``tornado/test/httpserver_test.py``: one write each."""
    for function in _functions(folder / "httpserver_test.py"):
        written = [call for call in function.calls("write")
                   if ast.unparse(call.func) == "self.stream.write"]
        if len(written) == 1:
            yield from _refused_or_seen(
                "tornado", function.name,
                function.values(written[0].args[0]),
                "400" in function.text or "Malformed" in function.text)


def twisted_cases(folder: Path):
    """Of ``twisted/web/test/test_http.py``: lists of lines that are
    refused."""
    for function in _functions(folder / "test_http.py"):
        for number, call in enumerate(
                function.calls("assertRequestRejected")):
            datas = [b"\r\n".join(lines)
                     for lines in function.values(call.args[0])]
            yield from _refused_or_seen(
                "twisted", f"{function.name}/{number}", datas, True)


def waitress_cases(folder: Path):
    """Of ``tests/test_parser.py``: heads without their last line, some of a
    version that there is not."""
    for function in _functions(folder / "test_parser.py"):
        if not function.name.startswith("test_parse_header"):
            continue
        datas = [data.replace(b" HTTP/8.4", b" HTTP/1.1") + b"\r\n"
                 for expression in function.assigned("data")
                 for data in function.values(expression)
                 if data.endswith(b"\r\n")]
        yield from _refused_or_seen("waitress", function.name, datas,
                                    "Error" in function.text
                                    or "NotImplemented" in function.text)
