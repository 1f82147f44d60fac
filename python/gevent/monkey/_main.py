"""
The command line of `gevent.monkey`.
"""
import sys

__all__ = [
    'main',
]

_USAGE = """\
gevent.monkey - monkey patch the standard modules to use gevent.

USAGE: python -m gevent.monkey [MONKEY OPTIONS] [--module] (script|module) \
[SCRIPT OPTIONS]

Patches all modules, as patch_all() does, and runs the script: a file, or a
folder or archive that holds a __main__.py. With --module, runs the module of
that name instead.

MONKEY OPTIONS:
  --verbose      show what is patched, and where modules come from
  --no-MODULE    do not patch this module, such as --no-thread
  --MODULE       patch this module, and none that is not named likewise

MODULE is one of: %s
"""


def _get_script_help():
    """The text that explains the command line, and the arguments of
    `patch_all` that it knows (list of str)."""
    from inspect import signature
    from gevent import monkey
    names = [name for name, parameter
             in signature(monkey.patch_all).parameters.items()
             if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    return _USAGE % ', '.join(names), names


class _UsageError(Exception):
    pass


def _parse(argv, names):
    """Split the command line *argv*.

    :return: the arguments of `patch_all` (dict), the other options (set of
        str), and the rest of *argv*.
    """
    chosen, options, argv = {}, set(), list(argv)
    while argv and argv[0].startswith('--'):
        option = argv.pop(0)[2:]
        if option in ('verbose', 'module'):
            options.add(option)
        elif option.startswith('no-') and option[3:] in names:
            chosen[option[3:]] = False
        elif option in names:
            chosen[option] = True
        else:
            raise _UsageError('Cannot patch %r' % (option,))
    if any(chosen.values()):
        # What some arguments say has no meaning without others.
        chosen = {name: chosen.get(name, name in ('aggressive', 'Event'))
                  for name in names}
        chosen['dns'] = chosen['dns'] or chosen['socket']
    return chosen, options, argv


def _be_verbose(chosen):
    import os
    import pprint
    print('gevent.monkey.patch_all(%s)' % ', '.join(
        '%s=%r' % item for item in chosen.items()))
    print('sys.version=%s' % (sys.version.strip().replace('\n', ' ')))
    print('sys.path=%s' % pprint.pformat(sys.path))
    print('sys.modules=%s' % pprint.pformat(sorted(sys.modules)))
    print('cwd=%s' % os.getcwd())


def _put_folder_of_script_first(script):
    # As the interpreter does when it starts a script by itself.
    import os
    if os.path.isfile(script) and not getattr(sys.flags, 'safe_path', False):
        sys.path.insert(0, os.path.dirname(os.path.abspath(script)))


def main():
    """Do what the command line, ``sys.argv``, asks for.

    :return: what `runpy` returns.
    """
    script_help, names = _get_script_help()
    try:
        chosen, options, argv = _parse(sys.argv[1:], names)
    except _UsageError as error:
        sys.exit(script_help + '\n' + str(error))
    if not argv:
        print(script_help)
        return None

    from gevent import monkey
    if 'verbose' in options:
        _be_verbose(chosen)
    sys.argv[:] = argv
    if 'module' not in options:
        _put_folder_of_script_first(argv[0])
    monkey.patch_all(**chosen)

    import runpy
    run = runpy.run_module if 'module' in options else runpy.run_path
    return run(argv[0], run_name='__main__')
