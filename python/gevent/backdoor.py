"""A Python prompt inside a running program, over TCP.

Whoever can connect can do all that the program can: bind it to a local
address only. ``python -m gevent.backdoor PORT [BANNER]`` starts one.
"""

from __future__ import annotations

import builtins
import socket as __socket__
import sys
from code import InteractiveConsole

from gevent.greenlet import Greenlet
from gevent.hub import getcurrent
from gevent.pool import Pool
from gevent.server import StreamServer

__all__ = ["BackdoorServer"]

_STREAMS = ("stdin", "stdout", "stderr", "displayhook")


class _ConsoleGreenlet(Greenlet):
    """Has standard streams of its own while it runs."""

    streams = None
    _outside = None

    def _enter(self):
        if self.streams is not None and self._outside is None:
            self._outside = [getattr(sys, name) for name in _STREAMS]
            for name, value in zip(_STREAMS, self.streams):
                setattr(sys, name, value)

    def _leave(self):
        if self._outside is not None:
            for name, value in zip(_STREAMS, self._outside):
                setattr(sys, name, value)
            self._outside = None

    def switch(self, *args, **kwargs):
        self._enter()
        return super().switch(*args, **kwargs)

    def throw(self, *args):
        self._enter()
        return super().throw(*args)

    def switch_out(self):
        self._leave()

    def use(self, streams):
        """Have *streams* as the standard ones from now on."""
        self.streams = streams
        self._enter()

    def restore(self):
        """Have the program's streams again."""
        self._leave()
        self.streams = None


class _Stream:
    """A standard stream that is one end of a connection."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, conn):
        self._conn = conn

    def isatty(self):
        return False

    def flush(self):
        pass


class _Output(_Stream):

    def write(self, text):
        self._conn.sendall(text.encode(self.encoding, self.errors))
        return len(text)

    def writelines(self, lines):
        self.write("".join(lines))


class _Input(_Stream):

    def __init__(self, conn):
        super().__init__(conn)
        self._file = conn.makefile("r", encoding=self.encoding,
                                   errors="replace", newline="")

    def readline(self, *args):
        return self._file.readline(*args).replace("\r\n", "\n")

    def close(self):
        self._file.close()


def _send_at_once(conn):
    """Have small writes, as a prompt's are, not wait for one another."""
    try:
        conn.setsockopt(__socket__.IPPROTO_TCP, __socket__.TCP_NODELAY, 1)
    except __socket__.error:  # not TCP
        pass


class BackdoorServer(StreamServer):
    """Gives everyone who connects a prompt.

    Each connection has a copy of the dict *locals* for its variables.
    *banner* is shown first. The rest is as for `StreamServer`.
    """

    def __init__(self, listener, locals=None, banner=None, **server_args):
        group = Pool(greenlet_class=_ConsoleGreenlet)
        super().__init__(listener, spawn=group, **server_args)
        self.locals = {"__doc__": None, "__name__": "__console__"}
        self.locals.update(locals or {})
        self.banner = banner
        #: Where errors of the server itself go; consoles have their own.
        self.stderr = sys.stderr

    def _create_interactive_locals(self):
        return dict(self.locals, __builtins__=builtins, builtins=builtins)

    def handle(self, conn, _address):
        """Serve one console."""
        _send_at_once(conn)
        namespace = self._create_interactive_locals()
        stdin, output = _Input(conn), _Output(conn)

        def show(value):
            if value is not None:
                output.write(f"{value!r}\n")
                builtins._ = value

        console = getcurrent()
        console.use((stdin, output, output, show))
        try:
            InteractiveConsole(namespace).interact(
                banner=self.banner or None, exitmsg="")
        except SystemExit:
            pass
        except __socket__.error:  # hung up
            pass
        finally:
            console.restore()
            stdin.close()
            conn.close()


def _main(argv):
    if not argv or len(argv) > 2:
        sys.exit(f"USAGE: {sys.argv[0]} PORT [banner]")
    banner = argv[1] if len(argv) == 2 else None
    BackdoorServer(("127.0.0.1", int(argv[0])),
                   banner=banner).serve_forever()


if __name__ == "__main__":
    _main(sys.argv[1:])
