"""Where the interpreter's own test modules are.

Some builds of an interpreter leave out its tests, or some of them; Debian's
package ``libpythonX.Y-testsuite`` has them all.

    python library.py MODULE...

prints what there is of these: a line ``MODULE<TAB>UNIT...`` for each, where a
package has a unit for every test module in it, and a missing one none.
"""
import pkgutil
import sys
from importlib.util import find_spec
from pathlib import Path


def add_distribution():
    """Let `test` have the modules of the distribution's package, too."""
    version = "python%d.%d" % sys.version_info[:2]
    folder = Path("/usr/lib", version, "test")
    try:
        import test
    except ImportError:
        if folder.is_dir():
            sys.path.append(str(folder.parent))
        return
    if folder.is_dir() and str(folder) not in test.__path__:
        test.__path__.append(str(folder))


def units_of(name):
    """The test modules that *name*, a module or package of `test`, has."""
    full_name = "test." + name
    try:
        spec = find_spec(full_name)
    except ImportError:
        spec = None
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [full_name]
    return [f"{full_name}.{module.name}" for module
            in pkgutil.iter_modules(spec.submodule_search_locations)
            if module.name.startswith("test_")]


if __name__ == "__main__":
    add_distribution()
    for name in sys.argv[1:]:
        print(name, *units_of(name), sep="\t")
