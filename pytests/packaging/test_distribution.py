"""What an installation offers: metadata, build flags, one engine a process."""
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import gevent
import libgcore
from libgcore import _binding, _loaded, _ownership

HERE = Path(libgcore.__file__).parent
COMPILER = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, timeout=140,
                          stdout=subprocess.PIPE, **options).stdout


def compile_shared(target, text, *flags):
    source = target.with_suffix(".c")
    source.write_text(textwrap.dedent(text))
    run(COMPILER, "-shared", "-fPIC", "-o", str(target), str(source), *flags)


def test_the_distribution_is_gevent():
    version = importlib.metadata.version("gevent")
    assert version == gevent.__version__
    assert version.endswith("+gcore." + libgcore.__version__)
    assert _binding.ffi.string(
        _binding.lib.gcore_version()).decode() == libgcore.__version__


def test_requirements_are_those_promised():
    names = {line.split(";")[0].split(">")[0].strip()
             for line in importlib.metadata.requires("gevent")
             if "extra ==" not in line}
    assert names == {"greenlet", "cffi", "zope.event", "zope.interface"}


def test_licenses_of_what_is_compiled_in():
    for name in ("libev", "llhttp"):
        text = (HERE / "licenses" / f"LICENSE.{name}").read_text()
        assert re.search("permission|redistribution", text, re.I)


def test_entry_points_load():
    group = "gevent.plugins.monkey.will_patch_all"
    points = [point for point in importlib.metadata.entry_points(group=group)
              if point.value.startswith("gevent.")]
    assert [point.name for point in points] == ["signal_os_incompat"]
    assert callable(points[0].load())


def test_binding_has_all_that_the_headers_declare():
    declared = run("nm", "-D", "--defined-only", str(HERE / "libgcore.so.0"))
    names = {line.split()[-1].split("@")[0] for line in declared.splitlines()
             if " T " in line}
    assert names
    assert names <= set(dir(_binding.lib))


def test_flags_build_a_program_that_uses_this_engine(tmp_path):
    flags = shlex.split(run(sys.executable, "-m", "libgcore",
                            "--cflags", "--libs"))
    source = tmp_path / "program.c"
    source.write_text("#include <gcore.h>\n#include <stdio.h>\n"
                      "int main(void) { puts(gcore_version()); return 0; }\n")
    run(COMPILER, "-o", str(tmp_path / "program"), str(source), *flags)
    assert run(str(tmp_path / "program")).strip() == libgcore.__version__
    libraries = run("ldd", str(tmp_path / "program"))
    assert str(HERE / "libgcore.so.0") in libraries


@pytest.mark.parametrize("option, file", [
    ("--cmake-dir", "gcore-config.cmake"),
    ("--pkgconfig-dir", "gcore.pc"),
])
def test_folders_for_build_systems(option, file):
    folder = run(sys.executable, "-m", "libgcore", option).strip()
    assert Path(folder, file).is_file()


def test_nothing_asked_for_is_an_error():
    assert subprocess.run([sys.executable, "-m", "libgcore"],
                          stdout=subprocess.DEVNULL, timeout=140
                          ).returncode == 2


def test_an_extension_meets_python_on_one_engine(tmp_path):
    # What the extension allocates shows in what Python's binding counts.
    flags = shlex.split(run(sys.executable, "-m", "libgcore",
                            "--cflags", "--libs"))
    compile_shared(tmp_path / "plugin.so", """
        #include <gcore.h>
        int make(void) { gcore_hub *hub; return gcore_hub_new(0, &hub); }
        """, *flags)
    print_live = """if True:
        import ctypes, sys
        plugin = ctypes.CDLL(sys.argv[1])
        from libgcore._binding import lib
        before = lib.gcore_allocator_live()
        assert plugin.make() == 0
        assert lib.gcore_allocator_live() > before
        from libgcore import _loaded
        assert _loaded.other_engine() is None
        """
    run(sys.executable, "-c", print_live, str(tmp_path / "plugin.so"))


# gcore_version_number() answers 1, which is less than any release's number;
# in the first library nothing else is there.
OLD = """
    int gcore_version_number(void) { return 1; }
    const char *gcore_version(void) { return "0.0.1"; }
    """


@pytest.mark.parametrize("pure", ["", "1"])
def test_another_engine_is_refused_by_name(tmp_path, pure):
    library = tmp_path / "libgcore.so.0"
    compile_shared(library, OLD, "-Wl,-soname,libgcore.so.0")
    result = subprocess.run(
        [sys.executable, "-c", "import ctypes, sys\n"
         "ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)\n"
         "import gevent", str(library)],
        stderr=subprocess.PIPE, text=True, timeout=140,
        env=dict(os.environ, GCORE_PURE=pure))
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert "another engine" in last and str(library) in last


@pytest.mark.parametrize("pure", ["", "1"])
def test_an_older_engine_that_has_each_name_is_refused(tmp_path, pure):
    # A preloaded library's names come before those of the real engine.
    library = tmp_path / "preloaded.so"
    compile_shared(library, OLD)
    result = subprocess.run(
        [sys.executable, "-c", "import gevent"],
        stderr=subprocess.PIPE, text=True, timeout=140,
        env=dict(os.environ, GCORE_PURE=pure, LD_PRELOAD=str(library)))
    assert result.returncode == 1
    assert "older than" in result.stderr.strip().splitlines()[-1]


def test_no_other_engine_here():
    assert _loaded.other_engine() is None
    _loaded.refuse_other_engine(ImportError("unrelated"))


def test_the_build_of_another_name_warns(monkeypatch):
    with pytest.warns(RuntimeWarning, match="libgcore and gevent"):
        _ownership.warn_if_shared()

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    _ownership.warn_if_shared()
