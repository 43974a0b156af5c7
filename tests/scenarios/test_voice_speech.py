"""The process that speaks is killed, stands still or never speaks: calls go on, keys count, and nobody passes for told."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from channels.voice.channel import VoiceChannel
from ivr.audio.engines import ChildEngine
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound
from ivr.audio.speech import Speaker
from ivr.phone import Behaviour, PhoneSimulator
from ivr.rtp.stream import MediaStream
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenInsideDesk
from tests.scenarios.desk import WITHIN_S, InsideDesk
from tests.scenarios.installation import sip

ANNA = "voice:+33612345678"
URGENT: dict[str, Any] = {"priority": "emergency", "acknowledgement": {"rule": "any"}}
TEXT = "Fire in hall three, section B. The sprinklers run, the doors are closed, the brigade has been called."
LISTENS = Behaviour(answer_s=0.05, keys="", greeting="nothing")
PRESSES = Behaviour(answer_s=0.05, keys_s=0.5, again_s=0.7, greeting="nothing")
"""Skips the greeting with its first 1; the second one acknowledges."""
_STARTS = "import sys, time; sys.stdout.buffer.write(b'TOCSIN/1'); sys.stdout.buffer.flush(); "
DUMB = {
    "ends at once": ("false",),
    "is not there": ("/nowhere/speaks",),
    "talks nonsense": ("echo", "hello"),
    "ends when it is asked": (sys.executable, "-c", _STARTS + "sys.stdin.buffer.read(4)"),
    "never stops": ("yes",),
    "never answers": (sys.executable, "-c", _STARTS + "time.sleep(600)"),
}


class Trunk:
    """Phones, and what the gateway and they played into all calls."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.phones = PhoneSimulator(
            lambda _: self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        )
        self.played: list[Sound] = []

    def does(self, *behaviours: Behaviour) -> None:
        """What the phone does in the calls that follow, the last of them ever after."""
        self.behaviours = list(behaviours)

    def hangs_up(self) -> None:
        """Everybody, at once."""
        for leg in list(self.phones._lines):
            leg.hang_up(self.phones._driver.now())
        self.phones._driver.wake()

    async def plays(self, sound: Sound) -> None:
        """Waits until this is being played to somebody."""
        await eventually(lambda: sound in self.played, WITHIN_S, what="the sound")


@pytest.fixture
async def trunk(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trunk]:
    made, play = Trunk(), MediaStream.play

    def noted(stream: MediaStream, sounds: Sequence[Sound]) -> int:
        made.played += sounds
        return play(stream, sounds)

    monkeypatch.setattr(MediaStream, "play", noted)
    await made.phones.open()
    yield made
    await made.phones.close()


def speaker_of(desk: InsideDesk) -> Speaker:
    """What speaks in this gateway's calls."""
    return cast(VoiceChannel, desk.broker.channels["pbx"])._speaker


def child_of(speaker: Speaker) -> ChildEngine:
    """The process that it has for that."""
    return cast(ChildEngine, speaker.engines[0])


def send(speaker: Speaker, number: signal.Signals) -> int:
    """Sends the speech process a signal. Gives its process id."""
    pid = child_of(speaker).pid
    assert pid is not None
    os.kill(pid, number)
    return pid


async def up(trunk: Trunk, n: int = 1) -> None:
    """Waits until the n-th call is answered."""
    call = await trunk.phones.called(n)
    await call.reached("answered", "pressed", "hung_up", "ended")


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_lost_while_the_text_is_made(
    inside_desk_with: OpenInsideDesk, trunk: Trunk, fatal: signal.Signals
) -> None:
    trunk.does(LISTENS)
    desk = await inside_desk_with(sip("pbx", trunk.phones.port))
    speaker = speaker_of(desk)
    child_of(speaker).answer_s = WITHIN_S if fatal == signal.SIGKILL else 5.0
    await speaker.say("one text before", "en")
    before = send(speaker, signal.SIGSTOP)  # it stands still, so that the text is still being made
    alert = await desk.alert(TEXT, to=ANNA, language="en", **URGENT)
    await up(trunk)
    if fatal == signal.SIGKILL:
        send(speaker, signal.SIGKILL)
    await eventually(lambda: child_of(speaker).pid not in (None, before), WITHIN_S, what="a new speech process")
    spoken = await speaker.say(TEXT, "en")
    await trunk.plays(spoken)
    assert Prompts().sound("text_unreadable", "en") not in trunk.played
    assert await alert.status() == "active"
    assert [call.state for call in trunk.phones.calls] == ["answered"]


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_a_key_acknowledges_while_the_text_is_still_to_come(
    inside_desk_with: OpenInsideDesk, trunk: Trunk, fatal: signal.Signals
) -> None:
    trunk.does(PRESSES)
    desk = await inside_desk_with(sip("pbx", trunk.phones.port))
    speaker = speaker_of(desk)
    child_of(speaker).answer_s = WITHIN_S
    await speaker.say("one text before", "en")
    send(speaker, signal.SIGSTOP)
    alert = await desk.alert(TEXT, to=ANNA, language="en", **URGENT)
    await up(trunk)
    if fatal == signal.SIGKILL:
        send(speaker, signal.SIGKILL)
    await alert.became("acknowledged")
    seen = await alert.only("delivered")
    assert (seen.code, seen.charged) == ("acknowledged", "0.10")
    await desk.ledger_adds_up(spent="0.10")


@pytest.mark.parametrize("fatal", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_lost_while_the_text_is_played(
    inside_desk_with: OpenInsideDesk, trunk: Trunk, fatal: signal.Signals
) -> None:
    trunk.does(Behaviour(answer_s=0.05, keys_s=5.0, again_s=1.0, greeting="nothing"), PRESSES)
    desk = await inside_desk_with(sip("pbx", trunk.phones.port))
    speaker = speaker_of(desk)
    child_of(speaker).answer_s = 1.0
    spoken = await speaker.say(TEXT, "en")
    alert = await desk.alert(TEXT, to=ANNA, language="en", **URGENT)
    await trunk.plays(spoken)
    before = send(speaker, fatal)
    await alert.became("acknowledged")
    seen = await alert.only("delivered")
    assert seen.attempts == (("pbx", "delivered", "acknowledged"),)
    after = await desk.alert("It is out.", to=ANNA, language="en", **URGENT)
    await eventually(lambda: child_of(speaker).pid not in (None, before), WITHIN_S, what="a new speech process")
    await trunk.plays(await speaker.say("It is out.", "en"))
    await after.became("acknowledged")
    assert Prompts().sound("text_unreadable", "en") not in trunk.played


@pytest.mark.parametrize("dumb", list(DUMB))
async def test_what_cannot_be_spoken_is_said_and_tried_again_until_a_key(
    inside_desk_with: OpenInsideDesk, trunk: Trunk, dumb: str
) -> None:
    trunk.does(LISTENS, PRESSES)
    desk = await inside_desk_with(sip("pbx", trunk.phones.port))
    speaker = speaker_of(desk)
    child_of(speaker).command, child_of(speaker).answer_s = DUMB[dumb], 0.3
    alert = await desk.alert(TEXT, to=ANNA, language="en", **URGENT)
    await trunk.plays(Prompts().sound("text_unreadable", "en"))
    trunk.hangs_up()
    await alert.became("acknowledged")
    seen = await alert.only("delivered")
    assert seen.attempts == (("pbx", "retry_later", "text_not_spoken"), ("pbx", "delivered", "acknowledged"))
    assert [call.pressed > 0 for call in trunk.phones.calls] == [False, True]
    await desk.ledger_adds_up()


async def test_who_hangs_up_while_the_text_is_still_being_made_has_not_been_told(
    inside_desk_with: OpenInsideDesk, trunk: Trunk
) -> None:
    trunk.does(Behaviour(answer_s=0.05, keys="", greeting="nothing", hang_up_s=6.0), PRESSES)
    desk = await inside_desk_with(sip("pbx", trunk.phones.port))
    child_of(speaker_of(desk)).command = DUMB["never answers"]  # and is waited for longer than this call lasts
    alert = await desk.alert(TEXT, to=ANNA, language="en", **URGENT)
    await alert.became("acknowledged")
    seen = await alert.only("delivered")
    assert seen.attempts == (("pbx", "retry_later", "text_not_spoken"), ("pbx", "delivered", "acknowledged"))
    await desk.ledger_adds_up()


@pytest.mark.parametrize("rule", ["any", "none"])
async def test_who_was_told_nothing_but_that_there_is_something_has_not_been_reached(
    inside_desk_with: OpenInsideDesk, trunk: Trunk, rule: str
) -> None:
    trunk.does(Behaviour(answer_s=0.05, keys="", greeting="nothing", hang_up_s=4.0))
    desk = await inside_desk_with(sip("pbx", trunk.phones.port), delivery={"attempts_max": 2})
    child_of(speaker_of(desk)).command = DUMB["ends at once"]
    alert = await desk.alert(TEXT, to=ANNA, language="en", priority="emergency", acknowledgement={"rule": rule})
    seen = await alert.only("failed")
    assert seen.attempts == (("pbx", "retry_later", "text_not_spoken"),) * 2
    assert seen.code == "text_not_spoken"
    await alert.became("failed")
    assert len(trunk.phones.calls) == 2
    await desk.ledger_adds_up()
