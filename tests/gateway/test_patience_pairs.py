"""Providers that throttle, mute, flap, refuse, half-answer and answer late, in all pairs, under the whole broker on simulated time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
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
BAD_S = 120.0
BACK_WITHIN_S = 90.0
"""After two minutes of trouble at both: the longest pause of a circuit, the longest wait, and an attempt that hangs."""
BOTH = {"channel": "sms", "prefix": "", "providers": ["carrier-a", "carrier-b"]}
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
        self.receipts.put_nowait(Receipt(provider_message_ids=(name,), result=ReceiptDelivered(), code="delivrd"))
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


def tried(
    first: Behaviour, second: Behaviour, folder: Path, work: Callable[[desks.InsideDesk, list[Simulated]], Any]
) -> None:
    """Runs the work with a broker whose two providers behave so."""

    async def scenario() -> None:
        pair = [Simulated("carrier-a", first), Simulated("carrier-b", second)]

        def channels(_settings: Settings) -> dict[str, Any]:
            return {one.provider: one for one in pair}

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desks, "build_channels", channels)
            patch.setattr(desks, "MovedClock", virtual_time.VirtualClock)
            providers = smpp("carrier-a", 1), smpp("carrier-b", 1)
            async with desks.open_inside_desk(folder, *providers, routes=[BOTH], delivery=DEFAULTS) as desk:
                await work(desk, pair)

    virtual_time.run(scenario())


async def emergency(desk: desks.InsideDesk, n: int) -> tuple[desks.PlacedAlert, str, float]:
    text = f"Fire in hall {n}"
    alert = await desk.alert(text, to=f"sms:+336000001{n:02d}", priority="emergency")
    return alert, text, asyncio.get_running_loop().time()


async def load(desk: desks.InsideDesk) -> None:
    for n in range(BEFORE):
        await desk.alert(f"Newsletter {n}", to=f"sms:+336000002{n:02d}", priority="bulk")


@pytest.mark.parametrize("pair", [(a, b) for a, b in itertools.product(EVERYTHING, EVERYTHING) if "is well" in (a, b)])
@pytest.mark.parametrize("loaded", [False, True], ids=["quiet", "under load"])
def test_an_emergency_reaches_the_healthy_one_of_any_pair_in_time(
    pair: tuple[str, str], loaded: bool, tmp_path: Path
) -> None:
    async def work(desk: desks.InsideDesk, providers: list[Simulated]) -> None:
        begun = asyncio.get_running_loop().time()
        if loaded:
            await load(desk)
        placed = []
        for n, at_s in enumerate(AT_S):
            await asyncio.sleep(max(0.0, begun + at_s - asyncio.get_running_loop().time()))
            placed.append(await emergency(desk, n))
        await asyncio.sleep(2 * PROMISED_S)
        for alert, text, at in placed:
            reached = [one.took[text] for one in providers if text in one.took]
            assert reached, text
            assert min(reached) - at <= PROMISED_S, (text, min(reached) - at)
            assert [one.state for one in await alert.deliveries()] == ["delivered"]

    tried(EVERYTHING[pair[0]], EVERYTHING[pair[1]], tmp_path, work)


@pytest.mark.parametrize("pair", [(kind, kind) for kind in ILL if kind not in ("cuts", "flaps")])
def test_with_both_in_trouble_it_waits_and_reaches_the_first_that_is_well_again(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    async def work(desk: desks.InsideDesk, providers: list[Simulated]) -> None:
        alert, text, _ = await emergency(desk, 0)
        await asyncio.sleep(BAD_S)
        (delivery,) = await alert.deliveries()
        refused = pair == ("blames us", "blames us")  # for good, by both
        if delivery.state == "delivered" or refused:
            assert delivery.state == ("failed" if refused else "delivered")
            return
        assert delivery.state in ("queued", "sending", "unsure", "accepted")
        assert sum(one.sends for one in providers) < 60  # no storm, and no bill for one
        healed = providers[0] if pair[0] != "blames us" else providers[1]
        healed.behaviour = well
        before = asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_WITHIN_S):
                while text not in healed.took:  # noqa: ASYNC110 - on simulated time
                    await asyncio.sleep(0.5)
        assert text in healed.took, (await alert.deliveries(), asyncio.get_running_loop().time() - before)
        await alert.all_are("delivered")

    tried(ILL[pair[0]], ILL[pair[1]], tmp_path, work)
