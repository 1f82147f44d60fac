"""Run a command where a test's name server is the system's.

    python private_network.py TABLE.json COMMAND...

The command gets a network of its own (loopback only) with a `NameServer` on
port 53, and a resolv.conf, nsswitch.conf and hosts file that say so; nobody
else notices. An entry of the table whose name is a path is a file's text. It
needs Linux and user namespaces, or root; where they are
refused the exit status is `REFUSED` and a line on standard error says why.
"""
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from nameserver import NameServer

REFUSED = 77
FILES = {
    "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n",
    "/etc/nsswitch.conf": "hosts: files dns\nservices: files\n"
                          "protocols: files\n",
    "/etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost "
                  "ip6-loopback\n127.0.0.2 this-machine\n",
}

_NEWNS, _NEWUSER, _NEWNET = 0x20000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source, target, flags):
    _check(_libc.mount(source.encode(), target.encode(), None, flags, None),
           f"mount {target}")


def _unshare():
    user, group = os.getuid(), os.getgid()
    flags = _NEWNS | _NEWNET | (_NEWUSER if user else 0)
    _check(_libc.unshare(flags), "unshare")
    if user:
        for name, text in (("setgroups", "deny"),
                           ("uid_map", f"0 {user} 1"),
                           ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _mount("none", "/", _MS_REC | _MS_PRIVATE)


def _start_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, request)


def _cover_files(folder, files):
    for number, (target, text) in enumerate(files.items()):
        source = os.path.join(folder, str(number))
        with open(source, "w", newline="") as file:
            file.write(text)
        _mount(source, target, _MS_BIND)


def main(path, *command):
    with open(path) as file:
        table = json.load(file)
    files = dict(FILES, **{name: table.pop(name) for name in list(table)
                           if name.startswith("/")})
    with tempfile.TemporaryDirectory() as folder:
        try:
            _unshare()
            _start_loopback()
            _cover_files(folder, files)
        except OSError as error:
            print(f"a private network is refused here ({error})",
                  file=sys.stderr)
            return REFUSED
        with NameServer(table, "127.0.0.1", 53):
            return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
