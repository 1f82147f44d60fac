"""`libgcore.dns.Resolver` against a name server that misbehaves as told."""
import socket
import time

import gevent
import pytest
from libgcore import dns


#: Asked again soon, but each time with twice the patience: for a minute in all.
PERSISTENT = {"timeout": 0.2, "tries": 8}
AT_ONCE = 25  # seconds that nothing here takes by far


@pytest.fixture
def resolver_for():
    """A function that makes a resolver which asks the given servers only."""
    made = []

    def make(*servers, **options):
        options.setdefault("timeout", 30)
        options.setdefault("domains", "")
        made.append(dns.Resolver(
            servers=[server.address for server in servers], **options))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def resolver(resolver_for, server):
    return resolver_for(server)


def addresses(resolver, name, family=0):
    return [entry[4][0] for entry in resolver.getaddrinfo(
        name, 80, family, socket.SOCK_STREAM)]


def error_of(function, *args):
    with pytest.raises(OSError) as it:
        function(*args)
    return it.value


class TestAnswers:

    def test_addresses(self, resolver):
        assert addresses(resolver, "one.test") == ["192.0.2.1"]
        assert sorted(addresses(resolver, "two.test")) == [
            "192.0.2.2", "192.0.2.3", "2001:db8::2"]
        assert addresses(resolver, "two.test", socket.AF_INET6) == [
            "2001:db8::2"]
        assert addresses(resolver, "six.test") == ["2001:db8::6"]
        assert resolver.gethostbyname("one.test") == "192.0.2.1"
        assert resolver.gethostbyname("six.test", socket.AF_INET6) == (
            "2001:db8::6")

    def test_aliases(self, resolver):
        assert addresses(resolver, "alias.test") == ["192.0.2.1"]
        assert resolver.getaddrinfo(
            "alias.test", 80, socket.AF_INET, socket.SOCK_STREAM, 0,
            socket.AI_CANONNAME) == [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP,
                 "one.test", ("192.0.2.1", 80))]
        name, aliases, found = resolver.gethostbyname_ex("alias.test")
        assert (name, found) == ("one.test", ["192.0.2.1"])
        assert set(aliases) == {"alias.test", "second.test"}

    def test_a_loop_of_aliases_ends(self, resolver):
        assert isinstance(error_of(resolver.getaddrinfo, "loop.test", 80),
                          socket.gaierror)

    def test_names_of_addresses(self, resolver):
        assert resolver.gethostbyaddr("192.0.2.1") == (
            "one.test", [], ["192.0.2.1"])
        assert resolver.gethostbyaddr("2001:db8::6") == (
            "six.test", [], ["2001:db8::6"])
        assert resolver.getnameinfo(("192.0.2.1", 80), 0) == (
            "one.test", "http")
        assert resolver.getnameinfo(("192.0.2.99", 80), 0) == (
            "192.0.2.99", "http")
        error = error_of(resolver.getnameinfo, ("192.0.2.99", 80),
                         socket.NI_NAMEREQD)
        assert error.errno == socket.EAI_NONAME
        assert isinstance(error_of(resolver.gethostbyaddr, "192.0.2.99"),
                          socket.herror)

    def test_many_addresses_come_by_tcp(self, resolver, names):
        found = addresses(resolver, "many.test", socket.AF_INET)
        assert sorted(found) == sorted(names["many.test"]["A"])

    def test_names_with_other_letters(self, resolver):
        assert addresses(resolver, "m\xfcller.test") == ["192.0.2.20"]
        assert addresses(resolver, b"xn--mller-kva.test") == ["192.0.2.20"]

    def test_none_of_them_needs_the_server(self, resolver, server):
        before = server.counts()
        for host in (None, "192.0.2.7", "127.1", "::1", "localhost"):
            assert resolver.getaddrinfo(host, 80)
        assert resolver.gethostbyname("") == "0.0.0.0"
        assert resolver.gethostbyname("<broadcast>") == "255.255.255.255"
        assert server.counts() == before

    def test_long_names(self, resolver_for, serve):
        longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
        assert len(longest) == 253
        resolver = resolver_for(serve({longest: {"A": ["192.0.2.1"]}}))
        assert addresses(resolver, longest, socket.AF_INET) == ["192.0.2.1"]
        assert isinstance(error_of(resolver.getaddrinfo, longest + "d", 80),
                          socket.gaierror)
        with pytest.raises(UnicodeError):
            resolver.getaddrinfo("a" * 64 + ".test", 80)

    @pytest.mark.parametrize("function, args, kind", [
        ("getaddrinfo", (5, 80), TypeError),
        ("getaddrinfo", ("one.test", 1.5), OSError),
        ("getaddrinfo", ("one.test", 1 << 80), OverflowError),
        ("getaddrinfo", ("one.test", 80, "x"), TypeError),
        ("gethostbyname", (None,), TypeError),
        ("gethostbyname_ex", (5,), TypeError),
        ("gethostbyaddr", ([],), TypeError),
        ("getnameinfo", (["127.0.0.1", 80], 0), TypeError),
        ("getnameinfo", (("127.0.0.1", "http"), 0), TypeError)])
    def test_wrong_types(self, resolver, function, args, kind):
        with pytest.raises(kind):
            getattr(resolver, function)(*args)


class TestErrors:

    @pytest.mark.parametrize("name, code", [
        ("nothing.test", socket.EAI_NONAME),
        ("text.test", socket.EAI_NODATA),
        ("servfail.test", socket.EAI_AGAIN)])
    def test_codes(self, resolver, name, code):
        error = error_of(resolver.getaddrinfo, name, 80)
        assert isinstance(error, socket.gaierror) and error.errno == code
        error = error_of(resolver.gethostbyname, name)
        assert isinstance(error, socket.gaierror) and error.errno == code

    def test_refused(self, resolver):
        assert error_of(resolver.getaddrinfo, "refused.test", 80).errno in (
            socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_NODATA)

    def test_no_server_there(self, resolver_for, serve):
        server = serve({})
        server.close()
        resolver = resolver_for(server, timeout=0.2, tries=1)
        assert error_of(resolver.getaddrinfo, "one.test", 80).errno == (
            socket.EAI_AGAIN)

    @pytest.mark.parametrize("options", [
        {"servers": "no-address"}, {"servers": ["192.0.2.1", "x"]},
        {"udp_port": 70000}, {"tries": -1}, {"timeout": -1},
        {"flags": 1 << 30}, {"lookups": "xyz"}, {"local_ip": "here"}])
    def test_options_that_make_no_sense(self, options):
        with pytest.raises(ValueError):
            dns.Resolver(**options)


class TestFaults:
    """A lookup meets a fault at first, and gets its answer all the same."""

    @pytest.mark.parametrize("fault", [
        "drop", "wrong-id", "wrong-question", "wrong-port"])
    def test_asked_again(self, resolver_for, serve, fault):
        server = serve({"it.test": {"A": ["192.0.2.1"], "fault": fault,
                                    "times": 1}})
        resolver = resolver_for(server, **PERSISTENT)
        assert resolver.gethostbyname("it.test") == "192.0.2.1"
        assert server.count("it.test") > 1

    @pytest.mark.parametrize("fault", [
        "garbage", "pointer-loop", "cut", "servfail", "refused", "drop"])
    def test_another_server_is_asked(self, resolver_for, serve, fault):
        first = serve({"it.test": {"A": ["192.0.2.1"], "fault": fault}})
        second = serve({"it.test": {"A": ["192.0.2.2"]}})
        resolver = resolver_for(first, second, **PERSISTENT)
        try:
            assert resolver.gethostbyname("it.test") == "192.0.2.2"
        except socket.gaierror:
            # What is no answer at all may also be the end.
            assert fault in ("garbage", "pointer-loop", "cut")

    @pytest.mark.parametrize("fault", [
        "garbage", "pointer-loop", "cut", "wrong-id", "wrong-question",
        "wrong-port", "close-tcp"])
    def test_a_fault_for_ever_is_an_error(self, resolver_for, serve, fault):
        server = serve({"it.test": {"A": ["192.0.2.1"], "fault": fault}})
        resolver = resolver_for(server, timeout=0.2, tries=2)
        error = error_of(resolver.gethostbyname, "it.test")
        assert isinstance(error, socket.gaierror)

    def test_truncated(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"],
                                    "fault": "truncate"}})
        assert resolver_for(server).gethostbyname("it.test") == (
            "192.0.2.1")

    def test_slow_tcp(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"],
                                    "fault": "slow-tcp"}})
        assert resolver_for(server).gethostbyname("it.test") == (
            "192.0.2.1")

    def test_a_server_that_dies(self, resolver_for, serve):
        first = serve({"it.test": {"fault": "die"}})
        second = serve({"*": {"A": ["192.0.2.2"]}})
        resolver = resolver_for(first, second, **PERSISTENT)
        assert resolver.gethostbyname("it.test") == "192.0.2.2"
        assert resolver.gethostbyname("other.test") == "192.0.2.2"

    def test_a_late_answer(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"], "delay": 0.3}})
        assert resolver_for(server).gethostbyname("it.test") == (
            "192.0.2.1")


class TestCache:

    def test_answers_are_kept(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server, cache=True)
        for _ in range(10):
            assert resolver.gethostbyname("it.test") == "192.0.2.1"
        assert server.count("it.test") == 1
        assert resolver.statistics()["hits"] == 9

    def test_that_there_is_none_is_kept_too(self, resolver_for, serve):
        server = serve({})
        resolver = resolver_for(server, cache=True)
        for _ in range(10):
            with pytest.raises(socket.gaierror):
                resolver.gethostbyname("it.test")
        assert server.count("it.test") == 1

    def test_not_for_longer_than_they_may(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"], "ttl": 0}})
        resolver = resolver_for(server, cache=True)
        for _ in range(3):
            resolver.gethostbyname("it.test")
        assert server.count("it.test") == 3

    def test_forgotten_on_demand(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server, cache=True)
        resolver.gethostbyname("it.test")
        resolver.clear_cache()
        resolver.gethostbyname("it.test")
        assert server.count("it.test") == 2

    def test_its_size_is_bounded(self, resolver_for, serve):
        resolver = resolver_for(serve({"*": {"A": ["192.0.2.1"]}}),
                                cache=True, cache_size=10)
        for number in range(50):
            resolver.gethostbyname(f"n{number}.test")
        assert resolver.statistics()["cached"] <= 10

    def test_none_without_being_asked_for(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server)
        for _ in range(3):
            resolver.gethostbyname("it.test")
        assert server.count("it.test") == 3


class TestGreenlets:

    def test_others_run_meanwhile(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"], "delay": 0.2}})
        resolver = resolver_for(server)
        asking = gevent.spawn(resolver.gethostbyname, "it.test")
        turns = 0
        while not asking.ready():
            gevent.sleep(0.001)
            turns += 1
        assert asking.get() == "192.0.2.1" and turns > 10

    def test_the_same_question_is_asked_once(self, resolver_for, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"], "delay": 0.2}})
        resolver = resolver_for(server)
        asking = [gevent.spawn(resolver.gethostbyname, "it.test")
                  for _ in range(20)]
        gevent.joinall(asking)
        assert {greenlet.get() for greenlet in asking} == {"192.0.2.1"}
        assert server.count("it.test") == 1

    def test_many_at_a_time(self, resolver_for, serve):
        server = serve({"*": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server, in_flight=50)
        asking = [gevent.spawn(resolver.gethostbyname, f"n{number}.test")
                  for number in range(2000)]
        gevent.joinall(asking)
        assert {greenlet.get() for greenlet in asking} == {"192.0.2.1"}

    def test_a_timeout_ends_it_at_once(self, resolver_for, serve):
        resolver = resolver_for(serve({"it.test": {"fault": "drop"}}))
        began = time.monotonic()
        with pytest.raises(gevent.Timeout):
            with gevent.Timeout(0.05):
                resolver.getaddrinfo("it.test", 80)
        assert time.monotonic() - began < AT_ONCE
        assert resolver.statistics()["pending"] == 0

    def test_so_does_a_kill(self, resolver_for, serve):
        server = serve({"it.test": {"fault": "drop"},
                        "other.test": {"A": ["192.0.2.1"]}})
        resolver = resolver_for(server)
        asking = [gevent.spawn(function, "it.test") for function in (
            resolver.gethostbyname, resolver.gethostbyname_ex,
            resolver.gethostbyaddr, resolver.query)]
        gevent.sleep(0.05)
        gevent.killall(asking, timeout=AT_ONCE)
        assert all(greenlet.dead for greenlet in asking)
        assert resolver.gethostbyname("other.test") == "192.0.2.1"

    def test_one_of_several_that_ask_the_same(self, resolver_for, serve):
        resolver = resolver_for(
            serve({"it.test": {"A": ["192.0.2.1"], "delay": 0.2}}))
        asking = [gevent.spawn(resolver.gethostbyname, "it.test")
                  for _ in range(3)]
        gevent.sleep(0.01)
        asking[0].kill()
        assert asking[1].get() == asking[2].get() == "192.0.2.1"

    def test_closing_ends_what_goes_on(self, resolver_for, serve):
        resolver = resolver_for(serve({"it.test": {"fault": "drop"}}))
        asking = gevent.spawn(error_of, resolver.gethostbyname, "it.test")
        gevent.sleep(0.01)
        resolver.close()
        resolver.close()
        assert isinstance(asking.get(timeout=AT_ONCE), OSError)
        assert isinstance(error_of(resolver.gethostbyname, "one.test"),
                          OSError)

    def test_a_resolver_is_one_hubs(self, resolver):
        def ask():
            with pytest.raises(RuntimeError, match="the hub that it"):
                resolver.gethostbyname("one.test")
            with pytest.raises(RuntimeError, match="the hub that it"):
                resolver.query("one.test")
            gevent.get_hub().destroy(destroy_loop=True)

        gevent.get_hub().threadpool.apply(ask)

    def test_one_may_go_in_another_thread(self, server):
        box = [dns.Resolver(servers=server.address)]
        box[0].gethostbyname("one.test")
        gevent.get_hub().threadpool.apply(box.clear)
        gevent.sleep(0.01)

    def test_threads_have_resolvers_of_their_own(self, server):
        def ask():
            resolver = dns.Resolver(servers=server.address)
            try:
                return [resolver.gethostbyname("one.test") for _ in range(20)]
            finally:
                resolver.close()
                gevent.get_hub().destroy(destroy_loop=True)

        pool = gevent.get_hub().threadpool
        jobs = [pool.spawn(ask) for _ in range(4)]
        for job in jobs:
            assert set(job.get()) == {"192.0.2.1"}


class TestServers:

    def test_they_can_be_changed(self, resolver_for, serve):
        first = serve({"it.test": {"A": ["192.0.2.1"]}})
        second = serve({"it.test": {"A": ["192.0.2.2"]}})
        resolver = resolver_for(first)
        assert resolver.gethostbyname("it.test") == "192.0.2.1"
        resolver.servers = [second.address]
        assert second.address in resolver.servers
        assert resolver.gethostbyname("it.test") == "192.0.2.2"
        with pytest.raises(ValueError):
            resolver.servers = "no-address"

    def test_over_ipv6(self, resolver_for, serve):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
        server = serve({"it.test": {"A": ["192.0.2.1"]}}, address="::1")
        assert resolver_for(server).gethostbyname("it.test") == "192.0.2.1"

    def test_the_search_list(self, resolver_for, serve):
        server = serve({"it.lan.test": {"A": ["192.0.2.1"]},
                        "a.b": {"A": ["192.0.2.2"]},
                        "a.b.lan.test": {"A": ["192.0.2.3"]}})
        resolver = resolver_for(server, domains=["lan.test"], ndots=2)
        assert resolver.gethostbyname("it") == "192.0.2.1"
        assert resolver.gethostbyname("a.b") == "192.0.2.3"
        assert resolver.gethostbyname("a.b.") == "192.0.2.2"
        assert resolver_for(server, domains="lan.test").gethostbyname(
            "a.b") == "192.0.2.2"

    def test_files_of_its_own(self, resolver_for, serve, tmp_path):
        hosts = tmp_path / "hosts"
        hosts.write_text("192.0.2.9 it.test\n")
        server = serve({"it.test": {"A": ["192.0.2.1"]}})
        here = resolver_for(server, hosts_path=str(hosts))
        assert here.gethostbyname("it.test") == "192.0.2.9"
        assert here.gethostbyname_ex("it.test") == (
            "it.test", [], ["192.0.2.9"])
        assert resolver_for(server, hosts_path=str(hosts),
                            lookups="b").gethostbyname("it.test") == (
            "192.0.2.1")
        hosts.write_text("192.0.2.10 it.test\n")
        here.clear_cache()
        assert here.gethostbyname("it.test") == "192.0.2.10"

    def test_resolv_conf(self, serve, tmp_path):
        conf = tmp_path / "resolv.conf"
        conf.write_text("# servers\nnameserver 192.0.2.53\nsearch lan.test\n")
        resolver = dns.Resolver(resolv_path=str(conf))
        assert "192.0.2.53" in resolver.servers
        resolver.close()
