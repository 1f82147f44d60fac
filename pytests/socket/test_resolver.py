"""Name lookup, as far as it needs no network."""
import socket as standard

import gevent
import pytest

from gevent import socket
from gevent.resolver import AbstractResolver, ares, blocking, thread
from gevent.resolver._addresses import is_ipv4_addr, is_ipv6_addr
from gevent.resolver._hostsfile import HostsFile


def answer(function, *args):
    try:
        return function(*args)
    except (OSError, TypeError, OverflowError) as ex:
        return type(ex), ex.args


class Table(AbstractResolver):
    """A resolver whose name server is a table."""

    names = {'one.test': ['192.0.2.1'], 'two.test': ['192.0.2.2', '2001:db8::2']}

    def _lookup(self, name, family):
        found = [each for each in self.names.get(name, ())
                 if family in (0, socket.AF_INET6 if ':' in each
                               else socket.AF_INET)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, 'nobody')
        return name, [], found

    def _reverse(self, address):
        return [name for name, addresses in self.names.items()
                if address in addresses]

    getaddrinfo = AbstractResolver.fixup_gaierror(AbstractResolver.getaddrinfo)


def resolvers():
    yield pytest.param(lambda hub: blocking.Resolver(hub), id='blocking')
    yield pytest.param(lambda hub: thread.Resolver(hub), id='thread')
    yield pytest.param(lambda hub: Table(), id='abstract')
    yield pytest.param(lambda hub: ares.Resolver(hub), id='ares')
    try:
        from gevent.resolver import dnspython
    except ImportError:
        return
    yield pytest.param(lambda hub: dnspython.Resolver(hub), id='dnspython')


@pytest.mark.parametrize('make', list(resolvers()))
@pytest.mark.parametrize('function, args', [
    ('getaddrinfo', ('localhost', 80)),
    ('getaddrinfo', ('127.0.0.1', 80)),
    ('getaddrinfo', ('127.0.0.1', 'http')),
    ('getaddrinfo', ('127.0.0.1', 'no-such-service')),
    ('getaddrinfo', (b'127.0.0.1', None)),
    ('getaddrinfo', ('::1', 80, socket.AF_INET6, socket.SOCK_STREAM)),
    ('getaddrinfo', ('::1', 80, socket.AF_INET)),
    ('getaddrinfo', ('127.0.0.1', 80, 255)),
    ('getaddrinfo', (None, 80)),
    ('getaddrinfo', (None, None)),
    ('getaddrinfo', ('127.0.0.1', 80, 0, 0, 0, socket.AI_CANONNAME)),
    ('getaddrinfo', ('any.name', 80, 0, 0, 0, socket.AI_NUMERICHOST)),
    ('gethostbyname', ('localhost',)),
    ('gethostbyname', ('127.0.0.1',)),
    ('gethostbyname', ('<broadcast>',)),
    ('gethostbyname_ex', ('localhost',)),
    ('gethostbyname_ex', ('127.0.0.1',)),
    ('gethostbyaddr', ('127.0.0.1',)),
    ('gethostbyaddr', ('localhost',)),
    ('getnameinfo', (('127.0.0.1', 80), 0)),
    ('getnameinfo', (('127.0.0.1', 80), socket.NI_NUMERICHOST)),
    ('getnameinfo', (('192.0.2.1', 80),
                     socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)),
    ('getnameinfo', (('127.0.0.1', 70000), 0)),
    ('getnameinfo', (('127.0.0.1', 'http'), 0))])
def test_answers_as_the_system_does(make, hub, errors, function, args):
    resolver = make(hub)
    assert answer(getattr(resolver, function), *args) == answer(
        getattr(standard._socket, function), *args)
    resolver.close()


@pytest.mark.parametrize('function', ['gethostbyname', 'gethostbyname_ex',
                                      'gethostbyaddr'])
@pytest.mark.parametrize('make', list(resolvers()))
def test_names_are_text(make, hub, errors, function):
    for name in (None, 5, []):
        with pytest.raises(TypeError):
            getattr(make(hub), function)(name)


class TestAbstract:

    def test_getaddrinfo(self):
        found = Table().getaddrinfo('two.test', 'http', 0, socket.SOCK_STREAM,
                                    0, socket.AI_CANONNAME)
        assert [(entry[3], entry[4][:2]) for entry in found] == [
            ('two.test', ('192.0.2.2', 80)), ('', ('2001:db8::2', 80))]
        with pytest.raises(socket.gaierror) as it:
            Table().getaddrinfo('three.test', 80)
        assert it.value.args == (socket.EAI_NONAME,
                                 AbstractResolver.EAI_NONAME_MSG)
        with pytest.raises(socket.gaierror):
            Table().getaddrinfo('one.test', 'no-such-service')
        assert Table().getaddrinfo(
            'one.test', None, 0, socket.SOCK_STREAM)[0][4] == ('192.0.2.1', 0)

    def test_mapped_addresses(self):
        def found(flags):
            return [entry[4][0] for entry in Table().getaddrinfo(
                'two.test', 80, socket.AF_INET6, socket.SOCK_STREAM, 0, flags)]
        assert found(socket.AI_V4MAPPED) == ['2001:db8::2']
        assert found(socket.AI_V4MAPPED | socket.AI_ALL) == [
            '2001:db8::2', '::ffff:192.0.2.2']

    def test_short_addresses_are_the_systems(self):
        assert Table().gethostbyname('127.1') == '127.0.0.1'

    def test_gethostby(self):
        assert Table().gethostbyname('two.test') == '192.0.2.2'
        assert Table().gethostbyname_ex(b'two.test') == (
            'two.test', [], ['192.0.2.2'])
        assert Table().gethostbyaddr('192.0.2.1') == (
            'one.test', [], ['192.0.2.1'])
        with pytest.raises(socket.herror):
            Table().gethostbyaddr('192.0.2.77')

    def test_getnameinfo(self):
        flags = socket.NI_NUMERICSERV
        assert Table().getnameinfo(('192.0.2.1', 80), flags) == (
            'one.test', '80')
        assert Table().getnameinfo(('one.test', 80), flags) == (
            'one.test', '80')
        assert Table().getnameinfo(('192.0.2.77', 80), flags) == (
            '192.0.2.77', '80')
        with pytest.raises(socket.gaierror):
            Table().getnameinfo(('192.0.2.77', 80), socket.NI_NAMEREQD)
        with pytest.raises(OSError, match='multiple'):
            Table().getnameinfo(('two.test', 80), 0)


class TestThread:

    def test_an_address_needs_no_thread(self, hub):
        class NoPool:
            loop, NOT_ERROR, _threadpool = hub.loop, hub.NOT_ERROR, None

            @property
            def threadpool(self):
                raise AssertionError('no thread is needed')

        resolver = thread.Resolver(NoPool())
        assert resolver.getaddrinfo('192.0.2.1', 80)
        assert resolver.getaddrinfo('::1', None)
        assert resolver.gethostbyname('192.0.2.1') == '192.0.2.1'

    def test_others_run_meanwhile(self, errors):
        ran = []
        gevent.spawn(ran.append, 1)
        socket.getaddrinfo('localhost', 80)
        assert ran

    def test_a_name_that_is_not_known_is_no_error_of_the_hub(self, hub):
        assert issubclass(socket.gaierror, hub.NOT_ERROR) or hub.resolver

    def test_enums(self):
        family, kind, *_ = socket.getaddrinfo(
            '127.0.0.1', 80, socket.AF_INET, socket.SOCK_STREAM)[0]
        assert family is socket.AF_INET
        assert kind is socket.SOCK_STREAM


def test_addresses():
    assert is_ipv4_addr('127.0.0.1') and is_ipv4_addr(b'127.0.0.1')
    assert is_ipv6_addr('::1') and is_ipv6_addr('fe80::1%lo')
    for text in ('', 'localhost', '1.2.3', '::1::', None, 5, 'ü', b'\xff',
                 '1.2.3.4\0'):
        assert not is_ipv4_addr(text)
        assert not is_ipv6_addr(text)


def test_hosts_file(tmp_path):
    path = tmp_path / 'hosts'
    hosts = HostsFile(str(path))
    assert hosts.lookup('one') == []
    path.write_text('# comment\n192.0.2.1 one One.test # it\n\n'
                    '::1 one\nnot-an-address two\n')
    assert hosts.lookup('ONE') == ['192.0.2.1', '::1']
    assert hosts.lookup('two') == []
    assert list(hosts.iter_all_host_addr_pairs()) == [
        ('one', '192.0.2.1'), ('One.test', '192.0.2.1'), ('one', '::1')]
    assert hosts.has_address('192.0.2.1')
    assert not hosts.has_address('192.0.2.2')
    path.write_text('192.0.2.2 one\n')
    assert hosts.lookup('one') == ['192.0.2.2']


def test_the_one_that_is_missing_gives_way_to_the_next(run_program):
    """A list of wishes goes on to the next."""
    run_program('''
        import gevent
        kind = type(gevent.get_hub().resolver)
        assert kind.__module__ == 'gevent.resolver.thread', kind
        ''', GEVENT_RESOLVER='gevent.no_such.Resolver,thread')
