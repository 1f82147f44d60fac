"""Writes the C source of ``libgcore._binding``, run by the build.

The declarations are read out of the public headers, each time: there is no
second copy that could differ from them. The headers are run through the C
preprocessor with the system headers left out, which gives functions, types
and enumerations; macros that are plain numbers are collected beside that.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

__all__ = ["declarations", "write_source"]

MODULE = "libgcore._binding"

# Numbers, names of ours, the operators between them, and casts such as
# ((int64_t)1): what a macro must consist of to be bound as a constant.
_NUMBER = re.compile(
    r"^(?:\d\w*|INT64_MAX|INT64_C|UINT64_C|GCORE_\w+|u?int\d+_t"
    r"|<<|>>|[-+*|&~()\s])+$"
)
_DEFINE = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(GCORE_\w+)[ \t]+(\S.*)$", re.M)
# The address of a function, as the engine compares it: what cffi has for
# `lib.gcore_complete` is a wrapper with another one.
_COMPLETE = "static gcore_done_fn *const GCORE_COMPLETE;\n"
# The texts of the errors of name lookup, as the standard library has them.
_SYSTEM = ("const char *gai_strerror(int error);\n"
           "const char *hstrerror(int error);\n")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def declarations(include: Path, compiler: str = "cc") -> str:
    """Return what cffi's ``cdef`` is given for the headers under *include*.

    :param include: the folder that holds ``gcore.h``
    :param compiler: a C compiler that preprocesses with ``-E``
    :raises subprocess.CalledProcessError: the headers do not preprocess
    """
    return (_constants(include) + _preprocessed(include, compiler)
            + _COMPLETE + _SYSTEM)


def write_source(include: Path, output: Path, compiler: str = "cc") -> None:
    """Write the extension module's C source to *output*."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(declarations(include, compiler))
    ffi.set_source(MODULE, "#include <gcore.h>\n#include <netdb.h>\n",
                   py_limited_api=True)
    ffi.emit_c_code(str(output))


def _constants(include: Path) -> str:
    numbers: dict[str, bool] = {}
    for header in sorted(include.rglob("*.h")):
        text = _COMMENT.sub("", header.read_text()).replace("\\\n", " ")
        for name, value in _DEFINE.findall(text):
            numbers[name] = _is_number(value, numbers)
    return "".join(
        f"#define {name} ...\n" for name, number in numbers.items() if number
    )


def _is_number(value: str, known: dict[str, bool]) -> bool:
    names = re.findall(r"\bGCORE_\w+", value)
    return bool(_NUMBER.match(value)) and all(known.get(n) for n in names)


def _preprocessed(include: Path, compiler: str) -> str:
    with tempfile.TemporaryDirectory() as empty:
        for header in _system_headers(include):
            path = Path(empty, header)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        command = [
            compiler, "-E", "-P", "-nostdinc", "-I", empty, "-I", str(include),
            "-DGCORE_API=", "-D__attribute__(x)=", str(include / "gcore.h"),
        ]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True
        ).stdout


def _system_headers(include: Path) -> set[str]:
    found: set[str] = set()
    for header in include.rglob("*.h"):
        found.update(re.findall(r"#\s*include\s*<([^>]+)>", header.read_text()))
    return {name for name in found if not (include / name).exists()}


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--include", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--compiler", default="cc")
    options = parser.parse_args()
    write_source(options.include, options.output, options.compiler)


if __name__ == "__main__":
    _main()
