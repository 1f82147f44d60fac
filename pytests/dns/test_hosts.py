"""The hosts file: for each name in an awkward one, what the system says."""
import pytest

HOSTS = (
    "127.0.0.1 localhost\n"
    "::1\tlocalhost ip6-localhost\n"
    "# 192.0.2.99 commented\n"
    "   192.0.2.1   one one.lan\t# and a remark\n"
    "192.0.2.2\ttabbed\t\ttabbed.lan\n"
    "2001:db8::3 six six.lan\n"
    "192.0.2.4 both\n2001:db8::4 both\n"
    "192.0.2.5 twice\n192.0.2.6 twice\n192.0.2.5 twice\n"
    "192.0.2.7 MixedCase\n"
    "192.0.2.8#no-space before\n"
    "192.0.2.9 dotted.\n"
    "192.0.2 short\n"
    "not-an-address nobody\n"
    "192.0.2.400 too-large\n"
    "192.0.2.10\n"
    "\n   \n\t\n"
    "fe80::11%lo scoped\n"
    "::ffff:192.0.2.12 mapped\n"
    "192.0.2.13 alias-of-one one\n"
    "192.0.2.14 carriage\r\n"
    "192.0.2.15 " + " ".join(f"many-{i}" for i in range(40)) + "\n"
    "192.0.2.16 " + "l" * 63 + "." + "m" * 63 + "\n"
    "192.0.2.17 under_score -dash dash-\n"
    "2001:db8::18 only-six\n"
    "192.0.2.19 last"  # no newline
)
COMPARE = """
import _socket as system
import socket

import gevent
from gevent import socket as ours

NAMES = ("localhost ip6-localhost commented one ONE one.lan tabbed tabbed.lan "
         "six six.lan both twice mixedcase MixedCase no-space before dotted "
         "dotted. short nobody too-large scoped mapped alias-of-one carriage "
         "many-0 many-39 under_score -dash dash- only-six last one. last. "
         "missing").split() + ["l" * 63 + "." + "m" * 63]


def answer(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return type(error), error.args


different = []
gevent.get_hub().exception_stream = None
for name in NAMES:
    for function, *arguments in (
            ("getaddrinfo", name, 80, 0, system.SOCK_STREAM),
            ("getaddrinfo", name, 80, system.AF_INET, system.SOCK_STREAM),
            ("getaddrinfo", name, 80, system.AF_INET6, system.SOCK_STREAM),
            ("getaddrinfo", name, 80, 0, system.SOCK_STREAM, 0,
             system.AI_CANONNAME),
            ("gethostbyname", name), ("gethostbyname_ex", name),
            ("gethostbyaddr", name)):
        theirs = answer(getattr(socket, function), *arguments)
        mine = answer(getattr(ours, function), *arguments)
        if theirs != mine:
            different.append((function, arguments))
            print(function, arguments)
            print("   the system:", theirs)
            print("   here:      ", mine)
for number in range(1, 20):
    for address in (f"192.0.2.{number}", f"2001:db8::{number}"):
        for function, *arguments in (
                ("gethostbyaddr", address), ("getnameinfo", (address, 80), 0)):
            theirs = answer(getattr(socket, function), *arguments)
            mine = answer(getattr(ours, function), *arguments)
            if theirs != mine:
                different.append((function, arguments))
                print(function, arguments)
                print("   the system:", theirs)
                print("   here:      ", mine)
assert not different, len(different)
"""


@pytest.mark.parametrize("resolver", ["thread", "dnspython", "ares"])
def test_as_the_system(run_in_private_network, resolver):
    if resolver == "dnspython":
        pytest.importorskip("dns")
    run_in_private_network(COMPARE, files={"/etc/hosts": HOSTS},
                           GEVENT_RESOLVER=resolver)
