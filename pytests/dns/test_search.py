"""The search list beside the system's functions: what each of three places
says about a name, in all combinations.

Two differences are known. Servers that refuse a domain are asked for the next
one, too; the system goes on only after those that fail. And where servers
failed, the system often says of one family that there is no such name, though
it says of both that it does not know.
"""
import itertools

SAYS = {
    "yes": {"A": ["192.0.2.7"]},
    "six": {"AAAA": ["2001:db8::7"]},
    "nodata": {"TXT": [["nothing", "else"]]},
    "servfail": {"fault": "servfail"},
    "refused": {"fault": "refused"},
    "no": None,
}
RESOLV = ("nameserver 127.0.0.1\nsearch first.test second.test\n"
          "options timeout:1 attempts:1\n")
COMPARE = """
import socket as system
import concurrent.futures

import gevent
from gevent import pool, socket as ours

gevent.get_hub().exception_stream = None
NAMES = @NAMES@
CALLS = [(function, (name,) + more) for name in NAMES
         for function, more in (
             ("getaddrinfo", (80, 0, system.SOCK_STREAM)),
             ("getaddrinfo", (80, system.AF_INET, system.SOCK_STREAM)),
             ("getaddrinfo", (80, system.AF_INET6, system.SOCK_STREAM)),
             ("gethostbyname", ()))]


def answers(module):
    def answer(call):
        try:
            return getattr(module, call[0])(*call[1])
        except OSError as error:
            return type(error), error.args
    return answer


with concurrent.futures.ThreadPoolExecutor(32) as threads:
    theirs = list(threads.map(answers(system), CALLS))
mine = pool.Pool(32).map(answers(ours), CALLS)

def alike(call, one, other):
    says = call[1][0][2:].split("-")
    if repr(one) == repr(other) or "refused" in says[:2]:
        return True
    return (call[1][2:3] != (0,) and {"servfail", "refused"} & set(says)
            and type(one) is type(other) is tuple)


different = 0
for call, one, other in zip(CALLS, theirs, mine):
    if not alike(call, one, other):
        different += 1
        print(*call)
        print("   the system:", one)
        print("   here:      ", other)
assert not different, different
"""


def table(names):
    """Names whose labels say what each place answers: without a dot the
    domains come first, else the name as it is."""
    entries = {}
    for says in itertools.product(SAYS, repeat=3):
        for separator in "-.":
            name = "n" + separator + "-".join(says)
            names.append(name)
            places = (name + ".first.test", name + ".second.test", name)
            for place, answer in zip(places, says):
                if SAYS[answer] is not None:
                    entries[place] = SAYS[answer]
    return entries


def test_all_combinations(run_in_private_network):
    names = []
    entries = table(names)
    run_in_private_network(
        COMPARE.replace("@NAMES@", repr(names)), GEVENT_RESOLVER="ares",
        files={"/etc/resolv.conf": RESOLV, **entries})
