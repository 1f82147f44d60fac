"""python -m gevent.monkey."""
import subprocess
import sys

import pytest

PROGRAM = """\
import sys
from gevent import monkey
print(__name__, sys.argv, sys.path[0])
print(*monkey.saved)
if sys.argv[-1] == 'exit':
    sys.exit(3)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "program.py").write_text("import beside\n" + PROGRAM)
    (tmp_path / "beside.py").write_text("")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text(PROGRAM)
    (package / "__main__.py").write_text(PROGRAM)
    return tmp_path


def monkey(folder, *arguments, status=0):
    done = subprocess.run([sys.executable, "-m", "gevent.monkey", *arguments],
                          cwd=folder, capture_output=True, text=True,
                          timeout=140)
    assert done.returncode == status, done.stdout + done.stderr
    return done


def patched(done):
    return set(done.stdout.splitlines()[-1].split())


def test_script(folder):
    done = monkey(folder, "program.py", "a", "--b")
    assert done.stdout.startswith(
        f"__main__ ['program.py', 'a', '--b'] {folder}\n")
    assert {"os", "socket", "threading", "queue"} <= patched(done)


def test_script_elsewhere_finds_what_is_beside_it(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkey(elsewhere, str(folder / "program.py"))


def test_exit_status(folder):
    monkey(folder, "program.py", "exit", status=3)


def test_leaving_out(folder):
    names = patched(monkey(folder, "--no-thread", "--no-ssl", "program.py"))
    assert not names & {"threading", "_thread", "ssl"}
    assert "socket" in names


def test_choosing(folder):
    names = patched(monkey(folder, "--time", "--socket", "program.py"))
    assert {name for name in names if name[0] != "_"} == {"time", "socket"}


def test_verbose(folder):
    done = monkey(folder, "--verbose", "--no-ssl", "program.py")
    assert done.stdout.startswith("gevent.monkey.patch_all(ssl=False)\n")
    assert "sys.path=" in done.stdout


@pytest.mark.parametrize("target", ["package.module", "package"])
def test_module(folder, target):
    done = monkey(folder, "--module", target, "a")
    assert done.stdout.startswith(f"__main__ ['{target}', 'a']")
    assert "socket" in patched(done)


def test_folder_with_main(folder):
    assert "socket" in patched(monkey(folder, "package"))


def test_nothing_to_do(folder):
    assert "USAGE" in monkey(folder).stdout


@pytest.mark.parametrize("option", ["--nonsense", "--no-nonsense", "--help"])
def test_unknown_option(folder, option):
    done = monkey(folder, option, "program.py", status=1)
    assert f"Cannot patch '{option[2:]}'" in done.stderr


def test_missing_script(folder):
    assert "FileNotFoundError" in monkey(folder, "none.py", status=1).stderr
