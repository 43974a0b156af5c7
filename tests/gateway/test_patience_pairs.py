"""Providers that throttle, mute, flap, refuse, half-answer and answer late, in all pairs, under the whole broker on simulated time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from channels.channel import Capabilities, Message, ReportSink
from channels.outcome import (
    Accepted,
    LinkHealth,
    Outcome,
    PermanentFailure,
    Reason,
    Receipt,
    ReceiptDelivered,
    RetryLater,
    SentPart,
)
from channels.sms.address import parse
from gateway.settings import Settings
from tests.gateway import virtual_time
from tests.scenarios import desk as desks
from tests.scenarios.installation import smpp

PROMISED_S = 15.0
AT_S = (0.0, 3.0, 8.0, 40.0)
"""When emergencies come: at the trouble's beginning, in it, and while trials go on."""
BEFORE = 8
"""Ordinary messages that are under way when the first one comes."""
BAD_S = 60.0
"""How long both are in trouble."""
ALONE_S = 75.0
"""Within which a provider is asked anew that is the only one left, the other having refused for good: its third doubt, and a wait."""
SENDS_MAX = 40
"""To both in a minute: no storm, and no bill for one."""
DEFAULTS = {"unsure_s": 60, "backoff_first_s": 2, "backoff_max_s": 300}

Behaviour = Callable[["Simulated", Message], Awaitable[Outcome]]


@dataclass
class Simulated:
    """A provider that does as `behaviour` says."""

    provider: str
    behaviour: Behaviour
    sends: int = 0
    took: dict[str, float] = field(default_factory=dict)
    """When it took each delivery first."""
    name: str = "sms"
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(receipts=True, acknowledges=False, concurrent_sends=10)
    )
    receipts: asyncio.Queue[Receipt] = field(default_factory=asyncio.Queue)

    def parse_address(self, raw: str) -> str:
        return parse(raw, None)

    def billable_units(self, _message: Message) -> int:
        return 1

    async def send(self, message: Message) -> Outcome:
        self.sends += 1
        return await self.behaviour(self, message)

    def take(self, message: Message) -> Accepted:
        self.took.setdefault(message.text, asyncio.get_running_loop().time())
        name = f"{self.provider}-{self.sends}-{message.attempt}-{message.reference}"
        self.receipts.put_nowait(Receipt(provider_message_ids=(name,), result=ReceiptDelivered(), code="delivered"))
        return Accepted(parts=(SentPart(n=1, provider_message_id=name),))

    async def run(self, report: ReportSink) -> None:
        while True:
            receipt = await self.receipts.get()
            await asyncio.sleep(0.2)
            await report([receipt])

    def health(self) -> LinkHealth:
        return LinkHealth(up=True)

    async def probe(self) -> LinkHealth:
        return self.health()


def answers(outcome: Outcome, after_s: float = 0.05) -> Behaviour:
    async def behave(_provider: Simulated, _message: Message) -> Outcome:
        await asyncio.sleep(after_s)
        return outcome

    return behave


async def well(provider: Simulated, message: Message) -> Outcome:
    await asyncio.sleep(0.05)
    return provider.take(message)


async def slow(provider: Simulated, message: Message) -> Outcome:
    await asyncio.sleep(12)
    return provider.take(message)


async def half(provider: Simulated, message: Message) -> Outcome:
    return await (well if provider.sends % 2 == 0 else MUTE)(provider, message)


async def flapping(provider: Simulated, message: Message) -> Outcome:
    return await (GONE if provider.sends % 2 == 0 else CUT)(provider, message)


def later(**marks: Any) -> RetryLater:
    return RetryLater(reason=Reason(code="trouble"), **marks)


MUTE = answers(later(maybe_sent=True), 30)
GONE = answers(later(unreachable=True), 2)
CUT = answers(later(maybe_sent=True), 1)
ILL: Mapping[str, Behaviour] = {
    "throttles": answers(later(throttled=True)),
    "holds back": answers(later(throttled=True), 3),
    "is mute": MUTE,
    "is gone": GONE,
    "cuts": CUT,
    "flaps": flapping,
    "refuses": answers(later()),
    "is full": answers(later(destination=True)),
    "blames us": answers(PermanentFailure(reason=Reason(code="sender_refused", alarm=True))),
    "half-answers": half,
    "is slow": slow,
}
EVERYTHING = {"is well": well, **ILL}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two providers of one route, the first one asked first; `prefix` of the numbers that go over them."""

    kinds: tuple[str, str]
    providers: tuple[Simulated, Simulated]
    prefix: str

    async def alert(self, desk: desks.InsideDesk, text: str, n: int, priority: str) -> desks.PlacedAlert:
        return await desk.alert(f"{text} {n}, {self.prefix}", to=f"sms:{self.prefix}{n:06d}", priority=priority)

    def took(self, text: str, n: int) -> float | None:
        """When one of them took it first."""
        named = f"{text} {n}, {self.prefix}"
        return min((one.took[named] for one in self.providers if named in one.took), default=None)


Work = Callable[[desks.InsideDesk, Pair], Awaitable[None]]


def tried(kinds: Sequence[tuple[str, str]], folder: Path, work: Work) -> None:
    """Does the work for each pair at the same simulated time, in one gateway with a route for each."""
    pairs = [
        Pair(
            kinds=both,
            providers=(Simulated(f"a-{n}", EVERYTHING[both[0]]), Simulated(f"b-{n}", EVERYTHING[both[1]])),
            prefix=f"+336{n:02d}",
        )
        for n, both in enumerate(kinds)
    ]
    simulated = {one.provider: one for pair in pairs for one in pair.providers}
    routes = [
        {"channel": "sms", "prefix": pair.prefix, "providers": [one.provider for one in pair.providers]}
        for pair in pairs
    ]

    def channels(_settings: Settings) -> dict[str, Any]:
        return dict(simulated)

    async def scenario() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desks, "build_channels", channels)
            patch.setattr(desks, "MovedClock", virtual_time.VirtualClock)
            providers = [smpp(name, 1) for name in simulated]
            async with desks.open_inside_desk(folder, *providers, routes=routes, delivery=DEFAULTS) as desk:
                await asyncio.gather(*(work(desk, pair) for pair in pairs))

    virtual_time.run(scenario())


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("loaded", [False, True], ids=["quiet", "under load"])
def test_an_emergency_reaches_the_healthy_one_of_any_pair_in_time(loaded: bool, tmp_path: Path) -> None:
    async def work(desk: desks.InsideDesk, pair: Pair) -> None:
        begun = now()
        if loaded:
            for n in range(BEFORE):
                await pair.alert(desk, "Newsletter", n, "bulk")
        placed = []
        for n, at_s in enumerate(AT_S):
            await asyncio.sleep(max(0.0, begun + at_s - now()))
            placed.append((now(), await pair.alert(desk, "Fire in hall", n, "emergency")))
        await asyncio.sleep(2 * PROMISED_S)
        for n, (at, alert) in enumerate(placed):
            reached = pair.took("Fire in hall", n)
            assert reached is not None, (pair.kinds, n)
            assert reached - at <= PROMISED_S, (pair.kinds, n, reached - at)
            assert [one.state for one in await alert.deliveries()] == ["delivered"], pair.kinds

    tried([both for both in itertools.product(EVERYTHING, EVERYTHING) if "is well" in both], tmp_path, work)


@pytest.mark.parametrize("first", ILL)
def test_with_both_in_trouble_it_waits_and_reaches_the_first_that_is_well_again(first: str, tmp_path: Path) -> None:
    async def work(desk: desks.InsideDesk, pair: Pair) -> None:
        alert = await pair.alert(desk, "Fire in hall", 0, "emergency")
        await asyncio.sleep(BAD_S)
        (delivery,) = await alert.deliveries()
        refused = pair.kinds == ("blames us", "blames us")  # for good, by both
        if delivery.state == "delivered" or refused:
            assert delivery.state == ("failed" if refused else "delivered"), pair.kinds
            return
        assert delivery.state in ("queued", "sending", "unsure", "accepted"), pair.kinds
        assert sum(one.sends for one in pair.providers) < SENDS_MAX, pair.kinds
        healed = pair.providers[1 if pair.kinds[0] == "blames us" else 0]
        healed.behaviour = well
        within_s = ALONE_S if "blames us" in pair.kinds else PROMISED_S
        before = now()
        while not healed.took and now() - before < within_s:  # noqa: ASYNC110 - on simulated time
            await asyncio.sleep(0.5)
        assert healed.took, (pair.kinds, await alert.deliveries())
        await alert.all_are("delivered")

    tried([(first, second) for second in ILL], tmp_path, work)
