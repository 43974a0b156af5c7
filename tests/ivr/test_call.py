"""A call that is up, its clock moved by hand: an extension is dialled before anything is said, and silence is not always an end."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from pathlib import Path as File
from typing import Any, cast

import pytest

from ivr.audio import g711
from ivr.audio.dtmf import KeyBank
from ivr.audio.numeric import np
from ivr.audio.prompts import Prompts
from ivr.audio.sound import Sound, silence
from ivr.call import (
    DIAL_AFTER_S,
    DIALLED_WITHIN_S,
    ECHO_S,
    LIFE_S,
    MEDIA_WATCH_S,
    NOISE_TIMEOUT_S,
    Call,
    CallOptions,
    CallResult,
)
from ivr.flow import parse_flow
from ivr.menu import Dialogue, Event, Interrupted, KeyPressed, Segment, Started
from ivr.rtp.engine import TICK_S, MediaPort
from ivr.rtp.packet import RtpPacket, parse_rtp, written
from ivr.rtp.stream import MediaEvent, MediaStream, PlaybackEnded
from ivr.rtp.telephone_event import EventReceiver, Path
from ivr.sip.message import Request
from tests.ivr.rtp.line import FAR
from tests.ivr.sip.stage import OFFERING, Far, Stage, far_answer, ok, only, requests, sdp_body
from tests.ivr.test_endpoint import Nothing

FLOW = File(__file__).parents[2] / "ivr" / "flows" / "alert.toml"
TIMEOUT_S = 20.0
KEY_S = 0.2
"""A key and the pause behind it."""


class Recorded(Dialogue):
    """Remembers what it was told, and when."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.told: list[tuple[float, Event]] = []

    def receive(self, event: Event, now: float) -> None:
        self.told.append((now, event))
        super().receive(event, now)


class Port:
    """A stream without a socket."""

    def __init__(self, stream: MediaStream) -> None:
        self.stream = stream
        self.hears_reports = False

    def hear_reports(self) -> None:
        self.hears_reports = True

    def close(self) -> None:
        pass


class Talk:
    """A call of ours that the far side has answered with this description."""

    def __init__(self, body: bytes | None = None, **options: Any) -> None:
        self.stage = Stage()
        leg, invite = self.stage.call()
        answer = ok(invite, body=body)
        self.far = Far(self.stage, leg, invite, answer, only(self.stage.hear(answer), "ACK"))
        self.packets: list[RtpPacket] = []
        self.ended: list[CallResult] = []
        self.stream = MediaStream(ssrc=1, sequence=1, timestamp=1, on_event=self._media_event)
        prompts = Prompts()
        flow = parse_flow(FLOW.read_text(encoding="utf-8"), name="alert", prompts=prompts.names)
        self.dialogue = Recorded(flow, languages=["en"], variables={}, call_max_s=600.0)
        self.call = Call(
            leg=leg, port=cast(MediaPort, Port(self.stream)), dialogue=self.dialogue, effects=Nothing(),
            sounds_of=self._sounds_of, options=CallOptions(media_timeout_s=TIMEOUT_S, **options), clock=lambda: self.stage.now,
            ended=self.ended.append, wake=lambda: None, secured=lambda _: None, look_for_keys=lambda _: None,
            background=lambda work: work.close(),
        )  # fmt: skip
        self.began = self.stage.now
        self.call.answered(self.began)

    @staticmethod
    async def _sounds_of(segments: Sequence[Segment]) -> tuple[list[Sound], bool]:
        return [silence(1.0)], True

    def _media_event(self, event: MediaEvent) -> None:
        if isinstance(event, PlaybackEnded):
            self.call.playback_ended(event.playback)

    async def run(self, until: Callable[[], object]) -> float:
        """Ticks until it is so; the seconds since the answer."""
        while not until():
            assert self.stage.now < self.began + 60, "it never is"
            self.stage.advance(TICK_S)
            packets: list[bytes] = []
            self.stream.tick(packets)
            self.packets += [packet for data in packets if (packet := parse_rtp(data))]
            await asyncio.sleep(0)  # what is said is made audible
        return round(self.stage.now - self.began, 3)

    def passed(self, seconds: float) -> bool:
        """Whether so much time has gone by since the answer."""
        return self.stage.now - self.began >= seconds - TICK_S / 2

    def started(self) -> bool:
        """Whether the dialogue has begun."""
        return bool(self.of(Started))

    def of(self, kind: type[Event]) -> list[Event]:
        """What the dialogue was told of this kind."""
        return [event for _, event in self.dialogue.told if isinstance(event, kind)]

    def keys_sent(self) -> str:
        """The keys that the far side has heard, either way."""
        receiver, bank = EventReceiver(), KeyBank()
        slot, keys = bank.add(), ""
        for packet in self.packets:
            if packet.payload_type == 101:
                keys += (
                    receiver.receive(
                        packet.ssrc,
                        packet.timestamp,
                        packet.payload,
                        sequence=packet.sequence,
                        now=0.0,
                        marker=packet.marker,
                    )
                    or ""
                )
            else:
                samples = g711.decoded(packet.payload, "PCMA").reshape(1, 160).astype(np.float32)
                keys += "".join(key for _, key in bank.push([slot], samples))
        return keys

    def hung_up_after(self, seconds: float) -> float | None:
        """When within the next seconds it hangs up; None where it does not."""
        begun = self.stage.now - self.began
        sent = self.stage.advance(seconds)
        first = min((at for at, one in sent if isinstance(one, Request) and one.method == "BYE"), default=None)
        return None if first is None else first - begun

    def say(self, *lines: str, address: str = FAR[0]) -> None:
        """The far side describes its audio anew."""
        self.far.say("INVITE", headers=OFFERING, body=sdp_body(FAR[1], *lines, address=address))
        self.stage.hear(self.far.request("ACK", cseq=self.far.cseq))
        self.call.media_changed()


# --- an extension ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", ["8 101", "8"], ids=["events", "tones"])
async def test_the_extension_is_dialled_before_anything_is_said(formats: str) -> None:
    talk = Talk(sdp_body(formats=formats), keys_after_answer="421", listen_for_greeting=True)
    await talk.run(lambda: talk.passed(DIAL_AFTER_S))
    assert talk.keys_sent() == ""
    begun = await talk.run(talk.started)
    assert talk.keys_sent() == "421"
    assert begun == pytest.approx(DIAL_AFTER_S + 3 * KEY_S + ECHO_S, abs=3 * TICK_S)
    await talk.run(lambda: talk.passed(DIAL_AFTER_S + DIALLED_WITHIN_S + 1))
    assert len(talk.of(Started)) == 1
    assert talk.keys_sent() == "421"


@pytest.mark.parametrize("path", list(Path))
async def test_while_it_is_dialled_nobody_is_there_to_press_keys(path: Path) -> None:
    talk = Talk(sdp_body(formats="8"), keys_after_answer="1")
    for after in (0.0, DIAL_AFTER_S, DIAL_AFTER_S + KEY_S + ECHO_S / 2):  # its own echo, for one
        await talk.run(lambda after=after: talk.passed(after))  # type: ignore[misc]
        talk.call.key("1", Path.INFO)
    await talk.run(talk.started)
    assert talk.of(KeyPressed) == []
    talk.call.key("2", path)  # and the other paths were not shut
    assert talk.of(KeyPressed) == [KeyPressed("2")]


async def test_an_extension_that_cannot_be_sent_holds_nothing_up_for_ever() -> None:
    talk = Talk(sdp_body(FAR[1], "a=inactive"), keys_after_answer="42")
    begun = await talk.run(talk.started)
    assert begun == pytest.approx(DIAL_AFTER_S + DIALLED_WITHIN_S, abs=3 * TICK_S)


async def test_what_was_taken_by_somebody_else_is_not_dialled_for() -> None:
    talk = Talk(keys_after_answer="42")
    talk.call.interrupt("Anna")
    assert talk.of(Interrupted) == [Interrupted("Anna")]
    await talk.run(lambda: talk.passed(DIAL_AFTER_S + 1))
    assert talk.keys_sent() == ""


async def test_without_an_extension_it_begins_at_once() -> None:
    talk = Talk()
    assert talk.started()


# --- silence ---------------------------------------------------------------------------------------------------------


async def test_a_call_that_brings_no_audio_ends() -> None:
    talk = Talk()
    assert talk.hung_up_after(60.0) == pytest.approx(TIMEOUT_S + MEDIA_WATCH_S + LIFE_S, abs=MEDIA_WATCH_S)


@pytest.mark.parametrize(
    ("line", "address"),
    [("a=sendonly", FAR[0]), ("a=inactive", FAR[0]), ("a=recvonly", FAR[0]), ("a=sendrecv", "0.0.0.0")],
)
async def test_on_hold_silence_is_no_end_and_nothing_is_said(line: str, address: str) -> None:
    talk = Talk()
    talk.say(line, address=address)
    assert talk.hung_up_after(10 * TIMEOUT_S) is None
    packets: list[bytes] = []
    talk.stream.tick(packets)
    assert bool(packets) == (line == "a=recvonly")  # who only hears is spoken to
    talk.say("a=sendrecv")
    assert talk.hung_up_after(60.0) == pytest.approx(TIMEOUT_S + MEDIA_WATCH_S + LIFE_S, abs=MEDIA_WATCH_S)


async def test_who_suppresses_silence_may_be_silent_for_longer() -> None:
    talk = Talk()
    talk.stream.receive(written(RtpPacket(13, False, 1, 1, 9, b"\x40")), FAR, talk.stage.now)
    assert talk.hung_up_after(300.0) == pytest.approx(NOISE_TIMEOUT_S + MEDIA_WATCH_S + LIFE_S, abs=MEDIA_WATCH_S)


# --- signs of life where no audio comes ------------------------------------------------------------------------------


def asked(talk: Talk, seconds: float) -> list[Request]:
    """The requests that the far side gets within this time, each once."""
    sent = [one for _, one in talk.stage.advance(seconds) if isinstance(one, Request)]
    return list({one.via.branch: one for one in sent}.values())


@pytest.mark.parametrize("status", [200, 405, 501, 488])
async def test_case_3_11_a_phone_that_sends_no_packets_is_asked_and_heard_by_its_answers(status: int) -> None:
    talk = Talk()
    for _ in range(10):
        options = only(asked(talk, TIMEOUT_S + 2 * MEDIA_WATCH_S), "OPTIONS")
        talk.stage.hear(far_answer(options, status, tag=""))
    assert talk.ended == []


@pytest.mark.parametrize("status", [481, 408])
async def test_who_knows_no_such_call_is_gone(status: int) -> None:
    talk = Talk()
    options = only(asked(talk, TIMEOUT_S + 2 * MEDIA_WATCH_S), "OPTIONS")
    assert requests(talk.stage.hear(far_answer(options, status, tag=""))) == ["BYE"]


@pytest.mark.parametrize("method", ["OPTIONS", "INFO", "UPDATE"])
async def test_case_3_11_what_the_phone_says_by_sip_is_a_sign_of_life(method: str) -> None:
    talk = Talk()
    for _ in range(10):
        assert talk.hung_up_after(TIMEOUT_S - 2 * MEDIA_WATCH_S) is None
        assert talk.far.say(method).status == 200
    assert only(asked(talk, TIMEOUT_S + 2 * MEDIA_WATCH_S), "OPTIONS")
    assert talk.hung_up_after(2 * LIFE_S) is not None


async def test_case_3_11_reports_are_a_sign_of_life() -> None:
    talk = Talk()
    report = struct.pack("!BBHI", 0x80, 201, 1, 7)
    for n in range(20):
        assert talk.hung_up_after(TIMEOUT_S - 2 * MEDIA_WATCH_S) is None
        assert cast(Port, talk.call._port).hears_reports
        talk.stream.reported(report, (FAR[0], FAR[1] + n % 2), talk.stage.now)
    for other in (b"", report[:7], b"\0" + report, struct.pack("!BBHI", 0x80, 8, 1, 7)):
        talk.stream.reported(other, FAR, talk.stage.now + 5)
    talk.stream.reported(report, ("203.0.113.99", FAR[1]), talk.stage.now + 5)
    assert only(asked(talk, TIMEOUT_S + 2 * MEDIA_WATCH_S), "OPTIONS")


async def test_a_phone_that_has_sent_audio_and_sends_no_more_is_not_believed_for_ever() -> None:
    talk = Talk()
    talk.stream.receive(written(RtpPacket(8, False, 1, 160, 9, b"\xd5" * 160)), FAR, talk.stage.now)
    assert talk.stream.counts.received == 1
    for _ in range(60):
        for request in asked(talk, 5.0):
            if request.method == "BYE":
                assert talk.stage.now - talk.began == pytest.approx(NOISE_TIMEOUT_S + TIMEOUT_S, abs=TIMEOUT_S)
                return
            talk.stage.hear(far_answer(request, 200, tag=""))
    raise AssertionError("it never ends")


# --- keys in the sound -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", ["8 101", "8"], ids=["events", "no events"])
@pytest.mark.parametrize(
    ("came", "counted"),
    [
        ((Path.INBAND, Path.INBAND), 2), ((Path.INBAND, Path.RTP), 1), ((Path.RTP, Path.INBAND), 1), ((Path.RTP, Path.RTP), 2),
        ((Path.INBAND, Path.INFO, Path.RTP), 1), ((Path.INBAND, Path.RTP, Path.INBAND, Path.RTP), 2),
    ],
)  # fmt: skip
async def test_case_3_6_keys_are_heard_as_tones_until_an_event_has_come_and_each_press_once(
    formats: str, came: tuple[Path, ...], counted: int
) -> None:
    talk = Talk(sdp_body(formats=formats))
    assert talk.stream.listening
    for path in came:
        talk.call.key("2", path)
    assert talk.of(KeyPressed) == [KeyPressed("2")] * counted
    assert talk.stream.listening == (set(came) == {Path.INBAND})
