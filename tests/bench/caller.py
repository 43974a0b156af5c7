"""The process that is measured: the voice channel as the gateway runs it, with so many calls. It reports on stdout, in JSON lines."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from channels.channel import Message
from channels.conversation import Decision, Reply, Standing
from channels.outcome import Report
from channels.voice.channel import VoiceChannel
from channels.voice.settings import SipSettings
from gateway import logs
from gateway.attendant import TrialAttendant
from gateway.serving import allow_many_files
from tests.peers.ports import LOOPBACK
from tests.peers.waiting import eventually

TEXT = (
    "Fire in hall three, section B. The sprinklers run, the doors are closed, the brigade has been called. "
    "Go to the assembly point and report."
)
RAMP_PER_S = 100
"""Calls begun a second: as many as the answers of a big trunk take."""
POLL_S = 0.05


class Desk(TrialAttendant):
    """Takes every decision, as a broker that is quick, and counts them."""

    def __init__(self) -> None:
        self.decided: dict[str, Decision] = {}

    async def decide(self, reference: str, decision: Decision) -> Reply:
        self.decided[reference] = decision
        return Reply(standing=Standing.RECORDED)


def say(event: str, **facts: Any) -> None:
    """One line of the report; with what the process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    known = {"cpu_s": used.ru_utime + used.ru_stime, "rss": _resident()}
    print(json.dumps({"event": event, **known, **facts}), flush=True)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def _report(_: Sequence[Report]) -> None:
    """No report comes from calls."""


async def main(ports: Sequence[int], counts: Sequence[int]) -> None:
    """Places `counts[n]` calls at `ports[n]`, and ends once all are over."""
    allow_many_files()
    desk, total = Desk(), sum(counts)
    channels = [
        _channel(n, port, count, RAMP_PER_S * count / total)
        for n, (port, count) in enumerate(zip(ports, counts, strict=True))
    ]
    for channel in channels:
        channel.attend(desk)
    running = [asyncio.create_task(channel.run(_report)) for channel in channels]
    for channel in channels:
        await eventually(lambda channel=channel: channel.health().up, what="an open channel")  # type: ignore[misc]
    say("ready")
    messages = [
        (channel, Message(address=str(1_000 + n), text=TEXT, reference=f"{c}-{n}", language="en"))
        for c, (channel, count) in enumerate(zip(channels, counts, strict=True))
        for n in range(count)
    ]
    sends = [asyncio.create_task(channel.send(message)) for channel, message in messages]
    highest, told = 0, False
    while not all(send.done() for send in sends):
        up = sum(int(channel.health().facts.get("calls", 0)) for channel in channels)
        highest = max(highest, up)
        if up >= total and not told:
            told = True
            say("up", calls=up)
        if len(desk.decided) >= total:
            say("heard", keys=len(desk.decided))
            break
        await asyncio.sleep(POLL_S)
    outcomes = await asyncio.gather(*sends)
    say("over", keys=len(desk.decided), highest=highest, outcomes=sorted({_word(one) for one in outcomes}))
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _channel(n: int, port: int, count: int, calls_per_s: float) -> VoiceChannel:
    first = 40_000 + n * 4_000
    settings = SipSettings.model_validate(
        {"name": f"trunk{n}", "listen": f"{LOOPBACK}:0", "host": LOOPBACK, "port": port, "max_calls": max(1, count),
         "incoming_max": 0, "calls_per_s": calls_per_s, "options_s": 0,
         "rtp_ports": f"{first}-{first + 3_999}", "media_timeout_s": 300, "wait_for_beep": False, "first_response_s": 20}
    )  # fmt: skip
    return VoiceChannel(settings)


def _word(outcome: Any) -> str:
    return str(getattr(outcome, "code", "") or outcome.reason.code)


if __name__ == "__main__":
    logs.configure("error", "text")
    numbers = [tuple(map(int, word.split(":"))) for word in sys.argv[1:]]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main([port for port, _ in numbers], [count for _, count in numbers]))
