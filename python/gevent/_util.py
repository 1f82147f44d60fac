"""Small helpers without a better place."""
import functools

__all__ = ['Lazy', 'LazyOnClass', '_NONE', 'copy_globals', 'gmctime',
           'print_traceback', 'readproperty', 'update_wrapper']

update_wrapper = functools.update_wrapper


class _NoneType:
    """The type of the sentinel for "no value was passed"."""

    __slots__ = ()

    def __repr__(self):
        return '<default value>'


_NONE = _NoneType()


def print_traceback(stream=None):
    """Print the exception that is being handled to *stream*, or to stderr."""
    # Imported when first needed: it takes a sixth of `import gevent`.
    from traceback import print_exc
    print_exc(file=stream)


def copy_globals(source, globs, only_names=None, ignore_missing_names=False,
                 names_to_ignore=(), dunder_names_to_keep=('__implements__',
                                                           '__all__',
                                                           '__imports__'),
                 cleanup_globs=True):
    """Copy names of the module `source` into the dictionary `globs`.

    *only_names* limits them (missing ones raise AttributeError unless
    *ignore_missing_names*); names in *names_to_ignore*, and dunder names that
    are not in *dunder_names_to_keep*, are left out.  Returns the list of
    copied names.
    """
    if only_names:
        names = [(name, getattr(source, name, _NONE)) for name in only_names]
        if not ignore_missing_names:
            for name, value in names:
                if value is _NONE:
                    getattr(source, name)  # raises
        names = [(name, value) for name, value in names if value is not _NONE]
    else:
        names = list(source.__dict__.items())
    copied = []
    for name, value in names:
        if name in names_to_ignore:
            continue
        if name.startswith('__') and name not in dunder_names_to_keep:
            continue
        globs[name] = value
        copied.append(name)
    if cleanup_globs:
        globs.pop('copy_globals', None)
    return copied


class Lazy:
    """A property computed on first use and then kept in the instance."""

    def __init__(self, func):
        self.data = (func, func.__name__)
        functools.update_wrapper(self, func)

    def __get__(self, inst, class_):
        if inst is None:
            return self
        func, name = self.data
        value = func(inst)
        inst.__dict__[name] = value
        return value


class readproperty:
    """A property that assignment to the instance replaces."""

    def __init__(self, func):
        self.func = func
        self.__doc__ = func.__doc__

    def __get__(self, inst, class_):
        if inst is None:
            return self
        return self.func(inst)


class LazyOnClass:
    """A property computed once for the class and then kept there."""

    @classmethod
    def lazy(cls, cls_dict, func):
        """Put one for `func` into a class body's dictionary."""
        cls_dict[func.__name__] = cls(func)

    def __init__(self, func, name=None):
        self.name = name or func.__name__
        self.func = func

    def __get__(self, inst, klass):
        if inst is None:
            return self
        value = self.func(inst)
        setattr(klass, self.name, value)
        return value


def gmctime():
    """The UTC time now, as text: ``2026-11-21T08:29:43Z``."""
    import time
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
