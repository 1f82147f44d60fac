"""Each resolver beside the system's functions, in a network of its own: the
same answers, exceptions of the same type, code and text."""
import pytest

COMPARE = '''
import _socket as system
import socket
import sys

import gevent
from gevent import socket as ours

AI, NI = (
    lambda *names: sum(getattr(system, "AI_" + name) for name in names),
    lambda *names: sum(getattr(system, "NI_" + name) for name in names))
HOSTS = ("one.test", "two.test", "six.test", "alias.test", "TWO.Test",
         "one.test.", b"one.test", "m\\xfcller.test", "many.test",
         "nothing.test", "text.test", "localhost", "this-machine",
         "ip6-localhost", "192.0.2.1", "127.0.0.1", "::1", "2001:db8::6",
         "<broadcast>", "", "1.2.3", "127.1", "0x7f.1", "1.2.3.400", "a..b",
         "." * 3, "x" * 64 + ".test", "fe80::1%lo", "::ffff:192.0.2.1")


def calls():
    for host in HOSTS:
        yield "getaddrinfo", (host, 80)
        yield "gethostbyname", (host,)
        yield "gethostbyname_ex", (host,)
        yield "gethostbyaddr", (host,)
        yield "getaddrinfo", (host, "http", 0, system.SOCK_STREAM)
        yield "getaddrinfo", (host, None, system.AF_INET)
        yield "getaddrinfo", (host, 0, system.AF_INET6, system.SOCK_DGRAM)
        yield "getaddrinfo", (host, 80, 0, system.SOCK_STREAM, 0,
                              AI("CANONNAME"))
        yield "getaddrinfo", (host, 80, 0, 0, system.IPPROTO_TCP,
                              AI("NUMERICHOST"))
        yield "getaddrinfo", (host, 80, system.AF_INET6, 0, 0,
                              AI("V4MAPPED"))
        yield "getaddrinfo", (host, 80, system.AF_INET6, 0, 0,
                              AI("V4MAPPED", "ALL"))
    yield "getaddrinfo", (None, 80)
    yield "getaddrinfo", (None, "http", 0, 0, 0, AI("PASSIVE"))
    yield "getaddrinfo", (None, None)
    for port in ("http", "domain", "no-such-service", "80", b"80", b"http",
                 65535, 65536, -1, 1 << 40, None, ""):
        yield "getaddrinfo", ("one.test", port)
        yield "getaddrinfo", ("127.0.0.1", port)
    for family in (255, 255000, -1):
        yield "getaddrinfo", ("one.test", 80, family)
    for kind, protocol in ((system.SOCK_STREAM, system.IPPROTO_UDP),
                           (system.SOCK_RAW, 0), (77, 0), (0, 132),
                           (0, system.IPPROTO_UDP)):
        yield "getaddrinfo", ("one.test", 80, 0, kind, protocol)
        yield "getaddrinfo", ("one.test", "http", 0, kind, protocol)
    yield "getaddrinfo", ("one.test", 80, 0, 0, 0, AI("NUMERICSERV"))
    yield "getaddrinfo", ("one.test", "http", 0, 0, 0, AI("NUMERICSERV"))
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.99", "127.0.0.1",
                    "127.0.0.2", "127.0.0.77", "2001:db8::6", "::1",
                    "2001:db8::99", "one.test", "nothing.test"):
        for port in (80, 0, 65536, -1, "http", None):
            yield "getnameinfo", ((address, port), 0)
        yield "gethostbyaddr", (address,)
        for flags in (NI("NUMERICHOST"), NI("NUMERICSERV"), NI("NAMEREQD"),
                      NI("NUMERICHOST", "NUMERICSERV"), NI("DGRAM"),
                      NI("NOFQDN"), NI("NUMERICHOST", "NAMEREQD"), 1 << 20):
            yield "getnameinfo", ((address, 53), flags)
    yield "getnameinfo", (("::1", 80, 0, 0), 0)
    yield "getnameinfo", (("::1", 80, 1 << 20, 0), 0)
    yield "getnameinfo", (("fe80::1", 80, 0, 1), NI("NUMERICHOST"))
    yield "getnameinfo", ((), 0)
    yield "getnameinfo", (["127.0.0.1", 80], 0)
    for wrong in (None, 5, [], object):
        yield "gethostbyname", (wrong,)
        yield "gethostbyname_ex", (wrong,)
        yield "gethostbyaddr", (wrong,)
        yield "getaddrinfo", (wrong, 80)
        yield "getaddrinfo", ("one.test", wrong)
    yield "gethostbyname", ("nul\\0.test",)
    yield "getaddrinfo", ("nul\\0.test", 80)
    yield "getaddrinfo", ("one.test", "nul\\0")


def answer(function, arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return type(error), error.args


def compare():
    gevent.get_hub().exception_stream = None
    different = 0
    for name, arguments in calls():
        theirs = answer(getattr(socket, name), arguments)
        mine = answer(getattr(ours, name), arguments)
        if alike(name, arguments, theirs, mine):
            continue
        different += 1
        print(name, arguments)
        print("   the system:", repr(theirs)[:300])
        print("   here:      ", repr(mine)[:300])
    print("RESOLVER", type(gevent.get_hub().resolver).__module__)
    sys.exit(different > 0)
'''
EXACTLY = '''
def alike(name, arguments, theirs, mine):
    if arguments[5:] == (AI("V4MAPPED", "ALL"),) and "localhost" in str(arguments[0]):
        return True  # which of the loopback addresses come twice
    if isinstance(theirs, tuple) and theirs[0] is TypeError:
        return mine[0] is TypeError
    return repr(theirs) == repr(mine)

compare()
'''


@pytest.mark.parametrize("resolver, module", [
    ("thread", "thread"), ("block", "blocking"), ("ares", "ares")])
def test_the_same_in_every_respect(run_in_private_network, resolver, module):
    output = run_in_private_network(COMPARE + EXACTLY,
                                    GEVENT_RESOLVER=resolver)
    assert f"RESOLVER gevent.resolver.{module}" in output


# dnspython leaves the order of addresses to the server, answers with all names
# of an address, and looks up a name that is given to getnameinfo.
AS_FAR_AS_IT_GOES = """
def alike(name, arguments, theirs, mine):
    if isinstance(theirs, tuple) and theirs[0] is TypeError:
        return mine[0] in (TypeError, socket.gaierror)
    if name == "getaddrinfo" and type(theirs) is type(mine) is list:
        return (sorted(entry[4] for entry in theirs)
                == sorted(entry[4] for entry in mine))
    if name == "getaddrinfo" and type(mine) is tuple:
        return theirs[0] is mine[0]
    if name == "getnameinfo" and arguments[0][:1] in (("one.test",),
                                                      ("nothing.test",)):
        return True
    if name == "gethostbyaddr" and str(arguments[0]).lower() in (
            "two.test", "192.0.2.2", "::ffff:192.0.2.1"):
        return True
    return repr(theirs) == repr(mine)

compare()
"""


def test_dnspython(run_in_private_network):
    pytest.importorskip("dns")
    output = run_in_private_network(COMPARE + AS_FAR_AS_IT_GOES,
                                    GEVENT_RESOLVER="dnspython")
    assert "RESOLVER gevent.resolver.dnspython" in output
