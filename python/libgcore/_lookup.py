"""One lookup of the engine's resolver, from its start to its answer.

What `libgcore.dns` and the plain twin of the accelerator's ``names.c`` share.
"""
import os
from errno import ETIMEDOUT

import _socket
from libgcore._binding import ffi, lib
from libgcore._engine import Wait

__all__ = ['gaierror_of', 'herror_of', 'look_up', 'text_of']

# Numbers of <netdb.h>.
_EAI_SYSTEM = _socket.EAI_SYSTEM
_NETDB_INTERNAL = -1
_OWN_ERRORS = -10000

_COMPLETE = lib.GCORE_COMPLETE
_NOTHING = ffi.NULL


def text_of(chars) -> 'str | None':
    """A C string as str; ``None`` for ``NULL``."""
    return None if chars == _NOTHING else ffi.string(chars).decode('utf-8')


def gaierror_of(result: int) -> OSError:
    """The exception for a lookup's error: ``gaierror``, or what the operating
    system's error is."""
    if result == -ETIMEDOUT:
        return _system_error(result)
    code = lib.gcore_dns_eai(result)
    if code == _EAI_SYSTEM:
        return _system_error(result)
    return _socket.gaierror(code, text_of(lib.gai_strerror(code)))


def herror_of(result: int) -> OSError:
    """As `gaierror_of`, of the functions that raise ``herror``."""
    code = lib.gcore_dns_h_errno(result)
    if code == _NETDB_INTERNAL:
        return _system_error(result)
    return _socket.herror(code, text_of(lib.hstrerror(code)))


def _system_error(result):
    if result <= _OWN_ERRORS:
        return OSError(text_of(lib.gcore_error_text(result)))
    return OSError(-result, os.strerror(-result))


def look_up(resolver, subject, function, *args, deadline=lib.GCORE_FOREVER):
    """Start a lookup and wait for its end.

    :param resolver: the ``gcore_resolver *``, of the calling thread's hub.
    :param subject: what is asked for, for reports.
    :param function: of `lib`; *args* are what it takes between the resolver
        and the deadline (ns).
    :return: ``(result, answer)``: 0 and the ``gcore_dns_result *``, which is
        good as long as the reference; or an error and ``None``.
    """
    wait = Wait(subject)
    _check_hub(resolver, wait)
    out = ffi.new('gcore_lookup **')
    result = function(resolver, *args, deadline, _COMPLETE,
                      ffi.cast('void *', wait.argument), out)
    if result < 0:
        wait.discard()
        return result, None
    lookup = ffi.gc(out[0], lib.gcore_lookup_unref)
    if result > 0:
        wait.discard()
    else:
        result = _wait_for(wait, lookup)
        if result < 0:
            return result, None
    answer = lib.gcore_lookup_result(lookup)
    return 0, ffi.gc(answer, lambda _: lookup)  # which keeps it


def _wait_for(wait, lookup):
    try:
        wait.park()
    except:
        lib.gcore_lookup_cancel(lookup)
        raise
    return wait.result


def _check_hub(resolver, wait):
    engine = ffi.cast('gcore_hub *', wait.hub.loop.engine)
    if lib.gcore_resolver_hub(resolver) != engine:
        raise RuntimeError('a resolver serves the hub that it was made for')
