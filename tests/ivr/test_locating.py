"""Where a SIP domain is served: the order of SRV records, numeric hosts, and a small name server on UDP."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from ivr.locating import HOPS_MAX, Service, hops_of, in_order
from ivr.sip.hop import Hop


def service(host: str, priority: int = 1, weight: int = 1, port: int = 5060) -> Service:
    """A record."""
    return Service(priority=priority, weight=weight, host=host, port=port)


def first() -> float:
    """Dice that always show the lowest."""
    return 0.0


# --- order -----------------------------------------------------------------------------------------------------------


def test_the_lowest_priority_goes_first_whatever_its_weight() -> None:
    records = [service("c", 30, 65_535), service("a", 10, 0), service("b", 20, 100)]
    for dice in (first, lambda: 0.999999, random.Random(1).random):
        assert [one.host for one in in_order(records, dice)] == ["a", "b", "c"]


@pytest.mark.parametrize(("dice", "expected"), [(0.0, "light"), (0.0999, "light"), (0.1001, "heavy"), (0.999, "heavy")])
def test_weights_share_the_chance(dice: float, expected: str) -> None:
    assert in_order([service("heavy", weight=90), service("light", weight=10)], lambda: dice)[0].host == expected


def test_weights_over_many_calls() -> None:
    dice = random.Random(42).random
    records = [service("a", weight=60), service("b", weight=30), service("c", weight=10), service("never", weight=0)]
    counts = Counter(in_order(records, dice)[0].host for _ in range(5_000))
    assert 2_850 < counts["a"] < 3_150
    assert 1_350 < counts["b"] < 1_650
    assert 400 < counts["c"] < 600
    assert counts["never"] < 10


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.9999999])
def test_every_record_comes_once(dice: float) -> None:
    records = [service(f"h{n}", n % 3, n * 7 % 5) for n in range(20)]
    ordered = in_order(records, lambda: dice)
    assert sorted(ordered, key=str) == sorted(records, key=str)
    assert [one.priority for one in ordered] == sorted(one.priority for one in records)
    assert in_order([], first) == []
    assert len(in_order([service("a", weight=0)] * 2, lambda: dice)) == 2


# --- without a name server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("203.0.113.9", None, Hop("udp", "203.0.113.9", 5060)),
        ("203.0.113.9", None, Hop("tls", "203.0.113.9", 5061, "203.0.113.9")),
        ("203.0.113.9", 5070, Hop("tcp", "203.0.113.9", 5070)),
        ("[2001:db8::1]", None, Hop("udp", "2001:db8::1", 5060)),
        ("2001:db8::1", 5080, Hop("udp", "2001:db8::1", 5080)),
    ],
)
async def test_numeric_hosts(host: str, port: int | None, expected: Hop) -> None:
    assert await hops_of(host, port, expected.transport, first) == (expected,)


@pytest.mark.parametrize("host", ["pbx..example", f"{'a' * 64}.example", f"{'ü' * 64}.example"])
@pytest.mark.parametrize("port", [None, 5060])
async def test_what_is_no_name_leads_nowhere(name_server: NameServer, host: str, port: int | None) -> None:
    with pytest.raises(OSError, match="not the name of a host"):
        await hops_of(host, port, "udp", first)


async def test_localhost_with_a_port_needs_no_name_server() -> None:
    hops = await hops_of("localhost", 5070, "udp", first)
    assert hops[0] in (Hop("udp", "127.0.0.1", 5070), Hop("udp", "::1", 5070))
    assert len(hops) == len(set(hops))
    hosts = [hop.host for hop in hops]
    assert hosts == sorted(hosts, key=lambda one: ":" in one)  # IPv4 first


# --- with one --------------------------------------------------------------------------------------------------------


class NameServer(threading.Thread):
    """Answers SRV questions from a table, and what is not in it with NXDOMAIN."""

    def __init__(self, records: dict[str, list[str]]) -> None:
        super().__init__(daemon=True)
        self.records = records
        self.asked: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def run(self) -> None:
        """Until something that is no question comes."""
        while True:
            data, source = self.socket.recvfrom(2_048)
            if data == b"stop":
                return
            query = dns.message.from_wire(data)
            name = query.question[0].name.to_text()
            self.asked.append(name)
            answer = dns.message.make_response(query)
            if name in self.records:
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *self.records[name]))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self.socket.sendto(answer.to_wire(), source)

    def stop(self) -> None:
        """Ends it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", ("127.0.0.1", self.port))
        self.join(5)
        self.socket.close()


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """The one that is asked in this test."""
    many = [f"10 1 {5_100 + n} 192.0.2.{n}." for n in range(1, 40)]
    server = NameServer(
        {
            "_sip._udp.trunk.test.": ["20 1 5062 localhost.", "10 0 5064 localhost.", "10 1 5066 localhost."],
            "_sips._tcp.trunk.test.": ["1 1 5061 localhost."],
            "_sip._udp.half.test.": ["1 1 5060 missing.invalid.", "2 1 5070 localhost."],
            "_sip._udp.many.test.": many,
            "_sip._tcp.localhost.": ["0 0 0 ."],
        }
    )
    server.start()
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = server.port
    monkeypatch.setattr(dns.asyncresolver, "default_resolver", resolver)
    yield server
    server.stop()


def ports(hops: tuple[Hop, ...]) -> list[int]:
    """In order, each once."""
    return list(dict.fromkeys(hop.port for hop in hops))


async def test_srv_records_are_followed_in_order(name_server: NameServer) -> None:
    assert ports(await hops_of("trunk.test", None, "udp", lambda: 0.5)) == [5066, 5064, 5062]
    secured = await hops_of("trunk.test", None, "tls", lambda: 0.5)
    assert ports(secured) == [5061]
    assert {hop.name for hop in secured} == {"trunk.test"}  # and not localhost, where DNS led to
    assert name_server.asked == ["_sip._udp.trunk.test.", "_sips._tcp.trunk.test."]


async def test_a_port_means_that_no_srv_is_asked_for(name_server: NameServer) -> None:
    assert ports(await hops_of("localhost", 5099, "udp", first)) == [5099]
    assert name_server.asked == []


async def test_without_srv_the_host_itself_is_taken(name_server: NameServer) -> None:
    assert ports(await hops_of("localhost", None, "udp", first)) == [5060]
    assert name_server.asked == ["_sip._udp.localhost."]


async def test_where_the_service_is_said_not_to_be_the_host_is_not_taken(name_server: NameServer) -> None:
    with pytest.raises(OSError, match="no such service"):
        await hops_of("localhost", None, "tcp", first)
    assert ports(await hops_of("localhost", 5060, "tcp", first)) == [5060]


async def test_a_record_without_address_does_not_hide_the_others(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", _only_localhost)
    assert ports(await hops_of("half.test", None, "udp", first)) == [5070]
    with pytest.raises(OSError, match="not known"):
        await hops_of("nowhere.test", None, "udp", first)


async def test_hops_are_bounded(name_server: NameServer) -> None:
    found = await hops_of("many.test", None, "udp", first)
    assert len(found) == len(set(found)) == HOPS_MAX


def _only_localhost(
    host: str, port: int | None, *args: object, **kwargs: object
) -> list[tuple[socket.AddressFamily, int, int, str, tuple[str, int]]]:
    """The system's names, without asking anybody."""
    if host != "localhost":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, 2, 17, "", ("127.0.0.1", port or 0))]
