"""The resolver that programs choose by ``GEVENT_RESOLVER=ares``."""
import os
import socket as standard

import gevent
import pytest
from gevent import socket
from gevent.resolver import ares, cares


@pytest.fixture
def resolver(server):
    resolver = ares.Resolver(servers=server.address)
    yield resolver
    resolver.close()


@pytest.fixture
def hub_resolver(resolver):
    """The same as the hub's."""
    hub = gevent.get_hub()
    before, hub.resolver = hub.resolver, resolver
    yield resolver
    hub.resolver = before


class TestOptions:

    @pytest.mark.parametrize("options", [
        {"servers": "127.0.0.1"}, {"servers": ["127.0.0.1", "::1"]},
        {"servers": "127.0.0.1,10.0.0.1"}, {"servers": "127.0.0.1:5353"},
        {"timeout": 1.5}, {"timeout": "2"}, {"tries": 2}, {"tries": "2"},
        {"ndots": 0}, {"ndots": "1"}, {"flags": 0}, {"flags": "1"},
        {"flags": 0x1d7}, {"udp_port": 53}, {"udp_port": "53"},
        {"tcp_port": 53}, {"domains": "lan.test"}, {"lookups": "fb"},
        {"rotate": True}, {"cache": True}])
    def test_accepted(self, options):
        resolver = ares.Resolver(use_environ=False, **options)
        assert resolver.params == options
        assert resolver.pid == os.getpid()
        assert isinstance(resolver.cares, cares.channel)
        resolver.close()

    @pytest.mark.parametrize("options, error", [
        ({"servers": "bogus"}, cares.InvalidIP),
        ({"servers": ["127.0.0.1", "bogus"]}, cares.InvalidIP),
        ({"timeout": "x"}, ValueError), ({"flags": "USEVC"}, ValueError),
        ({"foo": 1}, TypeError)])
    def test_refused(self, options, error):
        with pytest.raises(error):
            ares.Resolver(use_environ=False, **options)

    def test_the_settings(self, run_program):
        run_program("""
            from gevent.resolver.ares import Resolver
            resolver = Resolver()
            assert resolver.params == {
                'flags': '1', 'timeout': '2', 'tries': '1', 'ndots': '2',
                'udp_port': '55', 'tcp_port': '56',
                'servers': ['1.2.3.4', '5.6.7.8']}, resolver.params
            assert '1.2.3.4' in resolver.cares.names.servers
            assert not Resolver(use_environ=False).params
            assert Resolver(tries=3).params['tries'] == 3
            """, GEVENTARES_TIMEOUT="2", GEVENTARES_FLAGS="1",
            GEVENTARES_SERVERS="1.2.3.4,5.6.7.8", GEVENTARES_TRIES="1",
            GEVENTARES_NDOTS="2", GEVENTARES_UDP_PORT="55",
            GEVENTARES_TCP_PORT="56")

    def test_chosen_by_the_environment(self, run_program, server):
        run_program("""
            import gevent
            from gevent import socket
            resolver = gevent.get_hub().resolver
            assert type(resolver).__module__ == 'gevent.resolver.ares'
            assert gevent.config.resolver is type(resolver)
            assert socket.gethostbyname('one.test') == '192.0.2.1'
            assert resolver.params == {
                'servers': [%r], 'timeout': 4.0, 'cache': True}
            """ % (server.address,), GEVENT_RESOLVER="ares",
            GEVENT_RESOLVER_NAMESERVERS=server.address,
            GEVENT_RESOLVER_TIMEOUT="4", GEVENT_RESOLVER_CACHE="1")

    def test_answers_are_kept_unless_told_otherwise(self, serve):
        server = serve({"it.test": {"A": ["192.0.2.1"]}})
        for cache, expected in ((None, 1), (True, 2), (False, 5)):
            options = {} if cache is None else {"cache": cache}
            resolver = ares.Resolver(servers=server.address, **options)
            for _ in range(3):
                resolver.gethostbyname("it.test")
            resolver.close()
            assert server.count("it.test") == expected

    def test_older_names(self):
        import gevent.ares
        import gevent.resolver_ares
        import gevent.resolver_thread
        from gevent.resolver import thread
        assert gevent.ares.channel is cares.channel
        assert gevent.resolver_ares.Resolver is ares.Resolver
        assert gevent.resolver_thread.Resolver is thread.Resolver


class TestSocketFunctions:

    def test_all_six(self, hub_resolver):
        assert socket.getaddrinfo("one.test", 80, 0, socket.SOCK_STREAM) == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "",
             ("192.0.2.1", 80))]
        assert socket.gethostbyname("one.test") == "192.0.2.1"
        assert socket.gethostbyname_ex("one.test") == (
            "one.test", [], ["192.0.2.1"])
        assert socket.gethostbyaddr("192.0.2.1") == (
            "one.test", [], ["192.0.2.1"])
        assert socket.getnameinfo(("192.0.2.1", 80), 0) == ("one.test",
                                                            "http")
        assert socket.getfqdn("one.test") == "one.test"

    def test_enums(self, hub_resolver):
        entry = socket.getaddrinfo("one.test", 80)[0]
        assert isinstance(entry[0], standard.AddressFamily)
        assert isinstance(entry[1], standard.SocketKind)
        entry = hub_resolver.getaddrinfo("one.test", 80)[0]
        assert type(entry[0]) is type(entry[1]) is int

    def test_keywords(self, resolver):
        assert resolver.getaddrinfo(host="one.test", port=80, family=0,
                                    socktype=1, proto=0, flags=0)
        assert resolver.gethostbyname(hostname="one.test") == "192.0.2.1"

    def test_connecting_by_name(self, hub_resolver):
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        accepting = gevent.spawn(listener.accept)
        client = socket.create_connection(
            ("here.test", listener.getsockname()[1]))
        accepting.get()[0].close()
        client.close()
        listener.close()

    def test_after_closing(self, server):
        resolver = ares.Resolver(servers=server.address)
        resolver.close()
        resolver.close()
        with pytest.raises(socket.gaierror, match="closed"):
            resolver.gethostbyname("one.test")


class TestChannel:

    def call(self, method, *args):
        results = []
        done = gevent.event.Event()

        def callback(result):
            results.append(result)
            done.set()
        method(callback, *args)
        assert not results
        assert done.wait(10)
        return results[0]

    def test_results(self, resolver):
        channel = resolver.cares
        assert self.call(channel.gethostbyname, "one.test").get() == (
            "one.test", [], ["192.0.2.1"])
        result = self.call(channel.gethostbyaddr, "2001:db8::6")
        assert result.successful() and result.value.family == socket.AF_INET6
        assert self.call(channel.getnameinfo, ("192.0.2.1", 80), 0).get() == (
            "one.test", "http")
        assert self.call(channel.getaddrinfo, "one.test", "http", 0,
                         1).get()[0][4] == ("192.0.2.1", 80)

    def test_errors(self, resolver):
        result = self.call(resolver.cares.gethostbyname, "nothing.test")
        assert not result.successful()
        assert isinstance(result.exception, socket.gaierror)
        with pytest.raises(socket.gaierror):
            result.get()


class TestHubs:

    def test_destroying_one_with_questions_on_their_way(self, run_program,
                                                        serve):
        server = serve({"*": {"fault": "drop"}})
        run_program("""
            import gevent
            from gevent import socket

            hub = gevent.get_hub()
            for number in range(20):
                gevent.spawn(socket.gethostbyname, 'n%d.test' % number)
            gevent.sleep(0.05)
            hub.destroy(destroy_loop=True)
            gevent.sleep(0.01)
            assert gevent.get_hub() is not hub
            """, GEVENT_RESOLVER="ares",
            GEVENT_RESOLVER_NAMESERVERS=server.address)

    def test_a_program_may_end_with_some(self, run_program, serve):
        server = serve({"*": {"fault": "drop"}})
        run_program("""
            import gevent
            from gevent import socket
            gevent.spawn(socket.gethostbyname, 'it.test')
            gevent.spawn(socket.gethostbyname_ex, 'it.test')
            gevent.sleep(0.05)
            """, GEVENT_RESOLVER="ares",
            GEVENT_RESOLVER_NAMESERVERS=server.address)

    def test_each_thread_has_its_own(self, run_program, server):
        run_program("""
            from gevent import monkey; monkey.patch_all()
            import gevent, socket
            from gevent.threadpool import ThreadPoolExecutor

            def ask():
                resolver = gevent.get_hub().resolver
                assert type(resolver).__module__ == 'gevent.resolver.ares'
                return [socket.gethostbyname('one.test') for _ in range(20)]

            with ThreadPoolExecutor(4) as pool:
                jobs = [pool.submit(ask) for _ in range(8)]
                assert all(set(job.result()) == {'192.0.2.1'} for job in jobs)
            """, GEVENT_RESOLVER="ares",
            GEVENT_RESOLVER_NAMESERVERS=server.address)


FORK = """
    import os
    import gevent
    from gevent import socket

    def ask(name):
        try:
            return socket.gethostbyname(name)
        except OSError as error:
            return type(error).__name__

    assert ask('one.test') == '192.0.2.1'
    slow = [gevent.spawn(ask, name) for name in (
        'slow.test', 'slow.test', 'slower.test')]
    gevent.sleep(0.05)
    pid = %s
    if pid == 0:
        with gevent.Timeout(20):
            # Answers to the parent's questions are not ours.
            assert ask('one.test') == '192.0.2.1'
            assert ask('slow.test') == '192.0.2.2'
            gevent.joinall(slow)
        os._exit(0)
    with gevent.Timeout(20):
        assert [each.get() for each in slow] == [
            '192.0.2.2', '192.0.2.2', '192.0.2.3']
        assert ask('one.test') == '192.0.2.1'
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """


@pytest.mark.parametrize("fork", ["os.fork()", "gevent.os.fork()"])
def test_fork(run_program, serve, fork):
    server = serve({"one.test": {"A": ["192.0.2.1"]},
                    "slow.test": {"A": ["192.0.2.2"], "delay": 0.5},
                    "slower.test": {"A": ["192.0.2.3"], "delay": 1}})
    source = FORK % fork
    if fork.startswith("gevent"):
        source = source.replace("import gevent\n", "import gevent, gevent.os\n")
        source = source.replace("os.waitpid", "gevent.os.waitpid")
    run_program(source, GEVENT_RESOLVER="ares",
                GEVENT_RESOLVER_NAMESERVERS=server.address)
