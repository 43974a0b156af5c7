"""Several alerts in one call: each is decided by a key of its own, and one that was not begun to be told gets its own call."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from gateway.breaker import Circuit
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.phone import Behaviour, PhoneSimulator
from ivr.rtp.stream import MediaStream
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenInsideDesk
from tests.scenarios.desk import WITHIN_S
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
PROMPTS = Prompts()


class Phones(PhoneSimulator):
    """Phones whose people wait for a prompt of ours."""

    def everybody_hangs_up(self) -> None:
        """At once."""
        for leg in list(self._lines):
            leg.hang_up(self._driver.now())
        self._driver.wake()


Played = Callable[[Sequence[Sound]], None]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[[Played], None]:
    """Has somebody told of all that anybody plays."""

    def listens(told: Played) -> None:
        play = MediaStream.play

        def noted(stream: MediaStream, sounds: Sequence[Sound]) -> int:
            told(sounds)
            return play(stream, sounds)

        monkeypatch.setattr(MediaStream, "play", noted)

    return listens


@pytest.fixture
async def open_phones() -> AsyncIterator[Callable[..., Any]]:
    opened: list[Phones] = []

    async def start(*behaviours: Behaviour) -> Phones:
        """Phones that do this in the calls that follow, the last of it ever after."""
        left = itertools.chain(behaviours, itertools.repeat(behaviours[-1]))
        opened.append(Phones(lambda _: next(left)))
        await opened[-1].open()
        return opened[-1]

    yield start
    for phones in opened:
        await phones.close()


async def test_who_hangs_up_before_a_word_of_the_second_alert_is_called_again(
    inside_desk_with: OpenInsideDesk, open_phones: Callable[..., Any], listen: Callable[[Played], None]
) -> None:
    presses = Behaviour(answer_s=0.3, keys_s=0.5, again_s=0.7, greeting="nothing")
    phones = await open_phones(presses)
    another = PROMPTS.sound("next_alert", "en")
    hung_up: list[int] = []

    def hang_up_once(sounds: Sequence[Sound]) -> None:
        if another in sounds and not hung_up:
            hung_up.append(len(phones.calls))
            phones.everybody_hangs_up()

    listen(hang_up_once)
    desk = await inside_desk_with(sip("pbx", phones.port))
    first = await desk.alert("Fire in hall three", to=ANNA, language="en", **URGENT)
    await phones.arrived.wait()
    second = await desk.alert("Gas leak in hall four", to=ANNA, language="en", **URGENT)
    await first.became("acknowledged")
    await second.became("acknowledged")
    assert hung_up == [1]
    assert len(phones.calls) == 2
    seen = await second.only("delivered")
    assert seen.attempts == (("pbx", "delivered", "acknowledged"),)
    assert (seen.units, seen.charged) == (1, "0.10")
    await desk.ledger_adds_up(spent="0.20")


async def test_keys_in_a_row_acknowledge_no_alert_that_was_not_heard(
    inside_desk_with: OpenInsideDesk, open_phones: Callable[..., Any], listen: Callable[[Played], None]
) -> None:
    told: list[str] = []
    names = {PROMPTS.sound(name, "en"): name for name in ("acknowledged", "next_alert", "goodbye")}
    listen(lambda sounds: told.extend(names[sound] for sound in sounds if sound in names))
    impatient = Behaviour(answer_s=0.3, keys_s=0.5, again_s=0.4, greeting="nothing")
    phones = await open_phones(impatient)
    desk = await inside_desk_with(sip("pbx", phones.port))
    first = await desk.alert("Fire in hall three", to=ANNA, language="en", **URGENT)
    await phones.arrived.wait()
    second = await desk.alert("Gas leak in hall four", to=ANNA, language="en", **URGENT)
    await first.became("acknowledged")
    assert await second.status() == "active"
    await second.became("acknowledged")  # by a key that came when its text was under way for a second
    expected = ["acknowledged", "next_alert", "acknowledged"]
    await eventually(lambda: told[:3] == expected, WITHIN_S, what="the word that the second one is acknowledged")
    assert len(phones.calls) == 1


async def test_alerts_that_wait_for_a_call_take_no_line_from_others(
    inside_desk_with: OpenInsideDesk, open_phones: Callable[..., Any]
) -> None:
    rings = Behaviour(answer_s=None)
    phones = await open_phones(rings)
    desk = await inside_desk_with(sip("pbx", phones.port, max_calls=4))
    for n in range(8):
        await desk.alert(f"Fault {n}", to=ANNA)
    await phones.arrived.wait()
    await desk.alert("Fault in the other hall", to="voice:+33612345679")
    async with asyncio.timeout(WITHIN_S):
        while len(phones.calls) < 2:
            phones.arrived.clear()
            await phones.arrived.wait()
    assert {call.number[-1] for call in phones.calls} == {"8", "9"}
    assert phones.calls[0].state == "offered"


async def test_a_trunk_that_rings_is_alive_before_the_call_is_over(
    inside_desk_with: OpenInsideDesk, open_phones: Callable[..., Any]
) -> None:
    phones = await open_phones(Behaviour(answer_s=None))
    desk = await inside_desk_with(sip("pbx", phones.port))
    breaker = desk.broker.breakers["pbx"]
    breaker.circuit = Circuit.HALF_OPEN
    await desk.alert("Fire", to=ANNA, **URGENT)
    await eventually(lambda: breaker.circuit is Circuit.CLOSED, WITHIN_S, what="a closed breaker")
    assert phones.calls[0].state == "offered"
