"""`libgcore.dns.Resolver.query`: records of each type."""
import socket
import time

import pytest
from libgcore import dns, dns_records


# type: the values that the server has, the members that come back
RECORDS = {
    "A": (["192.0.2.1"], ("192.0.2.1",)),
    "AAAA": (["2001:db8::1"], ("2001:db8::1",)),
    "NS": (["ns.test"], ("ns.test",)),
    "PTR": (["host.test"], ("host.test",)),
    "MX": ([[10, "mail.test"]], (10, "mail.test")),
    "TXT": ([["one", "two;\xe9", ""]], ((b"one", b"two;\xe9", b""),)),
    "SOA": ([["ns.test", "root.ns.test", 1, 2, 3, 4, 5]],
            ("ns.test", "root.ns.test", 1, 2, 3, 4, 5)),
    "SRV": ([[1, 2, 5060, "sip.test"]], (1, 2, 5060, "sip.test")),
    "CAA": ([[128, "issue", "ca.test"]], (128, "issue", b"ca.test")),
    "NAPTR": ([[1, 2, "u", "E2U+sip", "!^.*$!sip:a@b!", ""]],
              (1, 2, b"u", b"E2U+sip", b"!^.*$!sip:a@b!", ".")),
    "URI": ([[1, 2, "https://a.test/"]], (1, 2, "https://a.test/")),
    "SVCB": ([[1, "svc.test", [3, "01bb"]]],
             (1, "svc.test", {3: b"\x01\xbb"})),
    "HTTPS": ([[1, "", [1, "026832"], [4, "c0000201"]]],
              (1, ".", {1: b"\x02h2", 4: b"\xc0\0\2\1"})),
}
TABLE = {
    "all.test": {"ttl": 300, **{kind: values for kind, (values, _)
                                in RECORDS.items()}},
    "alias.test": {"CNAME": ["all.test"], "ttl": 20},
    "only-a.test": {"A": ["192.0.2.1"]},
    "drop.test": {"fault": "drop"},
}


@pytest.fixture(scope="module")
def table_server(request):
    from nameserver import NameServer
    with NameServer(TABLE) as server:
        yield server


@pytest.fixture
def resolver(table_server):
    resolver = dns.Resolver(servers=table_server.address, timeout=30)
    yield resolver
    resolver.close()


@pytest.mark.parametrize("kind", RECORDS)
def test_each_type(resolver, kind):
    answer = resolver.query("all.test", kind)
    assert answer.name == "all.test"
    record, = answer.records
    assert isinstance(record, getattr(dns_records, kind))
    assert tuple(record)[2:] == RECORDS[kind][1]
    assert record.name == "all.test" and 290 <= record.ttl <= 300
    assert record.ttl - 1 <= answer.ttl <= record.ttl


def test_a_type_by_number_and_in_small_letters(resolver):
    assert resolver.query("all.test", 15).records == resolver.query(
        "all.test", "mx").records
    with pytest.raises(ValueError, match="MX"):
        resolver.query("all.test", "NO-TYPE")


def test_all_types_at_once(resolver):
    found = resolver.query("all.test", "ANY").records
    assert {type(record).__name__ for record in found} == set(RECORDS)


def test_the_way_there(resolver):
    answer = resolver.query("alias.test", "MX")
    assert answer.name == "all.test" and answer.ttl <= 20
    alias, record = answer.records
    assert alias[0] == "alias.test" and alias.target == "all.test"
    assert isinstance(alias, dns_records.CNAME)
    assert record.exchange == "mail.test"
    assert resolver.query("alias.test", "CNAME").records[0].target == (
        "all.test")


def test_that_there_is_none(resolver):
    with pytest.raises(socket.gaierror) as it:
        resolver.query("only-a.test", "MX")
    assert it.value.errno == socket.EAI_NODATA
    with pytest.raises(socket.gaierror) as it:
        resolver.query("nothing.test", "MX")
    assert it.value.errno == socket.EAI_NONAME


def test_time_out(resolver):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        resolver.query("drop.test", "MX", timeout=0.05)
    assert 0.05 <= time.monotonic() - began < 25


def test_a_shared_one(hub_resolver):
    assert hub_resolver.query("all.test", "TXT").records[0].strings[0] == (
        b"one")
    assert dns.get_resolver() is hub_resolver


@pytest.fixture
def hub_resolver(table_server):
    resolver = dns.get_resolver()
    resolver.servers = table_server.address
    yield resolver
    resolver.servers = None
