"""
Importing a module that uses gevent, in a program that is not patched.
"""
import sys
from importlib import import_module

__all__ = [
    'import_patched',
]

#: The modules of the standard library that gevent has a version of.
MAPPING = {
    'gevent.local': '_threading_local',
    'gevent.socket': 'socket',
    'gevent.select': 'select',
    'gevent.selectors': 'selectors',
    'gevent.ssl': 'ssl',
    'gevent.thread': '_thread',
    'gevent.subprocess': 'subprocess',
    'gevent.os': 'os',
    'gevent.threading': 'threading',
    'gevent.builtins': 'builtins',
    'gevent.signal': 'signal',
    'gevent.time': 'time',
    'gevent.queue': 'queue',
    'gevent.contextvars': 'contextvars',
}


class _SysModulesPatcher:
    """A context in which importing a standard module gives gevent's, and after
    which the modules imported in it are forgotten.

    Another thread that imports meanwhile waits.
    """

    def __init__(self, importing, extra_all=lambda mod_name: ()):
        self._importing = importing
        self._extra_all = extra_all

    def __enter__(self):
        import _imp
        _imp.acquire_lock()
        try:
            replacements = {standard: import_module(own)
                            for own, standard in MAPPING.items()
                            if standard != 'builtins'}
            self._saved = dict(sys.modules)
            for name in list(sys.modules):
                if self._is_importing(name):
                    del sys.modules[name]
            sys.modules.update(replacements)
        except:
            _imp.release_lock()
            raise
        return self

    def _is_importing(self, name):
        return (name == self._importing
                or name.startswith(self._importing + '.'))

    def __exit__(self, t, v, tb):
        import _imp
        try:
            for name in set(sys.modules).difference(self._saved):
                del sys.modules[name]
            sys.modules.update(self._saved)
        finally:
            _imp.release_lock()

    def import_module(self):
        """Import the module, and the further ones of its package that
        ``extra_all`` names."""
        module = import_module(self._importing)
        for name in self._extra_all(self._importing):
            import_module(self._importing + '.' + name)
        return _PatchedModule(module, {
            name: each for name, each in sys.modules.items()
            if self._is_importing(name)})


class _PatchedModule:
    """The result of `import_patched`."""

    def __init__(self, module, modules):
        #: The module (ModuleType).
        self.module = module
        #: It and those of its package (dict of str to ModuleType).
        self.modules = modules


def import_patched(module_name, extra_all=lambda mod_name: ()):
    """Import a fresh copy of the module *module_name*, for which the standard
    modules are those of gevent.

    The copy is not in ``sys.modules``.

    :param extra_all: a function of a module's name that returns the names of
        further modules to import from it.
    :return: an object whose attribute ``module`` is the copy.
    """
    with _SysModulesPatcher(module_name, extra_all) as patcher:
        return patcher.import_module()
