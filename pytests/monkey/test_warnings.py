"""What monkey patching warns of."""
import textwrap

import pytest

SHOW = textwrap.dedent("""
    import warnings
    def show(message, category, filename, lineno, *_):
        print(category.__name__, lineno, message)
    warnings.showwarning = show
    warnings.simplefilter('always')
    from gevent import monkey
""")


def warned(run_program, source):
    done = run_program(textwrap.dedent(source).replace("SHOW", SHOW))
    return done.stdout.splitlines()


def test_nothing_to_warn_of(run_program):
    assert warned(run_program, """SHOW
import ssl, threading, logging
monkey.patch_all()
monkey.patch_all()
""") == []


def test_signal_without_os(run_program):
    line, = warned(run_program, """SHOW
monkey.patch_all(os=False)
""")
    assert line.startswith("MonkeyPatchWarning")
    assert "Patching signal but not os" in line


def test_warning_names_the_callers_line(run_program, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("from gevent import monkey\n\n"
                       "monkey.patch_all(os=False)\n")
    done = run_program("""
        import runpy, sys
        runpy.run_path(sys.argv[1], run_name='__main__')
    """, str(program))
    assert f"{program}:3: MonkeyPatchWarning" in done.stderr


def test_ssl_known_by_name(run_program):
    line, = warned(run_program, """SHOW
from ssl import SSLContext
monkey.patch_all()
monkey.patch_all()
""")
    assert "Modules that had direct imports (NOT patched)" in line
    assert "__main__" in line
    assert "Subclasses" not in line and "gevent." not in line


def test_ssl_subclassed(run_program):
    line, = warned(run_program, """SHOW
import ssl
class Mine(ssl.SSLContext): pass
monkey.patch_all()
""")
    assert "Subclasses (NOT patched)" in line and "Mine" in line
    assert "direct imports" not in line and "gevent." not in line


def test_off_main_thread(run_program):
    lines = warned(run_program, """SHOW
import threading
thread = threading.Thread(target=monkey.patch_all)
thread.start()
thread.join()
""")
    assert len(lines) == 2
    assert "outside the main native thread" in lines[0]
    assert "not on the main thread" in lines[1]


def test_category():
    from gevent.monkey import MonkeyPatchWarning
    assert issubclass(MonkeyPatchWarning, RuntimeWarning)


@pytest.mark.parametrize("source, count", [
    ("monkey.patch_all(os=False, signal=False)", 0),
    ("monkey.patch_all(os=False); monkey.patch_all(os=False)", 1),
    ("monkey.patch_all(); monkey.patch_all(ssl=False)", 1),
])
def test_number_of_warnings(run_program, source, count):
    assert len(warned(run_program, "SHOW\n" + source)) == count


def test_where_ssl_was_imported_by_name(run_program, tmp_path):
    (tmp_path / "early.py").write_text(
        "import os\n\ntry:\n    from ssl import SSLContext\nfinally:\n    pass\n")
    line, = warned(run_program, f"""SHOW
import sys
sys.path.insert(0, {str(tmp_path)!r})
import early
monkey.patch_all()
""")
    assert f"'early ({tmp_path}/early.py:4)'" in line


def test_contexts_made_before_patching_do_not_recurse(run_program):
    run_program("""
        import ssl
        from ssl import SSLContext
        context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        class Mine(SSLContext):
            pass
        mine = Mine(ssl.PROTOCOL_TLS_CLIENT)
        import warnings
        warnings.simplefilter('ignore')
        from gevent import monkey; monkey.patch_all()
        for each in (context, mine, SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                     Mine(ssl.PROTOCOL_TLS_SERVER),
                     ssl.create_default_context()):
            each.minimum_version = ssl.TLSVersion.TLSv1_2
            each.options |= ssl.OP_NO_TICKET
            each.verify_flags |= ssl.VERIFY_X509_STRICT
            each.check_hostname = False
            each.verify_mode = ssl.CERT_NONE
    """)
