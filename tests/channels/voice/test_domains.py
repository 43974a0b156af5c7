"""Where SIP addresses of allowed domains are sent; every other domain leads nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from channels.voice import domains as module
from channels.voice.dialling import trunk_config
from channels.voice.domains import AT_ONCE, Domains
from channels.voice.settings import SipSettings
from ivr.sip.hop import Hop, Transport
from ivr.trunk import Trunk
from tests.peers.waiting import eventually

TRUNK = Hop("udp", "192.0.2.1", 5080)
FOUND = (Hop("udp", "198.51.100.1", 5060), Hop("udp", "198.51.100.2", 5060))


def settings(*allowed: str, **more: Any) -> SipSettings:
    """A trunk, and domains that may be called besides; names as nobody has checked them yet."""
    known = SipSettings.model_validate({"name": "pbx", "host": "192.0.2.1", **more})
    return known.model_copy(update={"allowed_domains": allowed})


class NameServer:
    """In place of DNS: knows what the test tells it, and how many asked at once."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Hop, ...]] = {"example.org": FOUND}
        self.asked: list[str] = []
        self.at_once = self.most = 0

    async def hops_of(
        self, host: str, port: int | None, transport: Transport, random: Callable[[], float]
    ) -> tuple[Hop, ...]:
        self.asked.append(host)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if host not in self.known:
            raise OSError("no such name")
        return self.known[host]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    server = NameServer()
    monkeypatch.setattr(module, "hops_of", server.hops_of)
    return server


async def opened(**more: Any) -> tuple[Domains, Trunk]:
    """The domains as they are once each has been looked up."""
    settings = SipSettings.model_validate({"name": "pbx", "host": "192.0.2.1", "port": 5080, **more})
    trunk = Trunk(trunk_config(settings))
    await trunk.resolve()
    found = Domains(settings)
    keeping = asyncio.create_task(found.keep())
    for _ in range(50):
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait([keeping])
    return found, trunk


@pytest.mark.parametrize("target", ["sip:anna@example.org", "sip:anna@EXAMPLE.org;transport=udp", "sips:a@example.org"])
async def test_an_allowed_domain_is_sent_where_it_is_served(names: NameServer, target: str) -> None:
    domains, trunk = await opened(allowed_domains=["Example.ORG"])
    assert domains.hops(target, trunk) == FOUND
    assert names.asked == ["example.org"]


async def test_a_port_that_is_named_is_taken(names: NameServer) -> None:
    domains, trunk = await opened(allowed_domains=["example.org"])
    assert domains.hops("sip:anna@example.org:5070", trunk) == tuple(Hop("udp", one.host, 5070) for one in FOUND)


async def test_with_a_port_it_is_still_the_domain_that_was_asked_for(names: NameServer) -> None:
    names.known["example.org"] = (Hop("tls", "198.51.100.1", 5061, "example.org"),)
    domains, trunk = await opened(allowed_domains=["example.org"])
    assert domains.hops("sip:anna@example.org:5070", trunk) == (Hop("tls", "198.51.100.1", 5070, "example.org"),)


@pytest.mark.parametrize(
    "target",
    [
        "sip:anna@other.org",
        "sip:anna@example.org.evil.test",
        "sip:anna@evil.test;maddr=example.org",
        "sip:anna@example.org@evil.test",
        "sip:anna@192.0.2.66",
        "tel:+33612345678",
        "mailto:anna@example.org",
        "sip:",
        "",
        "\x00",
    ],
)
async def test_every_other_domain_leads_nowhere(names: NameServer, target: str) -> None:
    domains, trunk = await opened(allowed_domains=["example.org"])
    assert domains.hops(target, trunk) == ()


async def test_before_it_was_looked_up_and_where_nobody_knows_it_a_domain_leads_nowhere(names: NameServer) -> None:
    settings = SipSettings.model_validate({"name": "pbx", "host": "192.0.2.1", "allowed_domains": ["example.org"]})
    assert Domains(settings).hops("sip:anna@example.org", Trunk(trunk_config(settings))) == ()
    domains, trunk = await opened(allowed_domains=["gone.example", "example.org"])
    assert domains.hops("sip:anna@gone.example", trunk) == ()
    assert domains.hops("sip:anna@example.org", trunk) == FOUND  # one that is gone does not hide the others


async def test_what_is_no_name_does_not_hide_the_others() -> None:
    domains = Domains(settings("pbx..example", f"{'a' * 64}.example", "127.0.0.1"))
    keeping = asyncio.create_task(domains.keep())
    trunk = Trunk(trunk_config(settings()))
    await eventually(lambda: domains.hops("sip:anna@127.0.0.1", trunk), what="the address")
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait([keeping])
    assert domains.hops("sip:anna@pbx..example", trunk) == ()


@pytest.mark.parametrize("domain", ["192.0.2.1", "pbx.example"])
async def test_the_trunk_s_own_domain_goes_to_the_trunk(names: NameServer, domain: str) -> None:
    domains, trunk = await opened(domain="PBX.example", allowed_domains=["pbx.example", "192.0.2.1"])
    assert domains.hops(f"sip:4711@{domain}", trunk) == (TRUNK,)
    assert domains.hops(f"sip:4711@{domain}:5080", trunk) == (TRUNK,)
    assert domains.hops(f"sip:4711@{domain}:5070", trunk) == (Hop("udp", "192.0.2.1", 5070),)
    assert names.asked == []


async def test_the_trunk_s_own_domain_has_to_be_allowed_as_well(names: NameServer) -> None:
    domains, trunk = await opened(domain="pbx.example", allowed_domains=["example.org"])
    assert domains.hops("sip:4711@192.0.2.1", trunk) == ()
    assert domains.hops("sip:4711@pbx.example", trunk) == ()


async def test_names_are_looked_up_a_few_at_a_time_and_each_once(names: NameServer) -> None:
    many = [f"d{n}.example" for n in range(30)]
    names.known |= dict.fromkeys(many, FOUND)
    domains, trunk = await opened(allowed_domains=[*many, "D0.example"])
    assert sorted(names.asked) == sorted(many)
    assert names.most == AT_ONCE
    assert domains.hops("sip:a@d29.example", trunk) == FOUND
