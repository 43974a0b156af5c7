"""From the key to the silence of the other phones: measured at the phones, while hundreds of other calls are up."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from ivr.phone import Behaviour, PhoneSimulator, SimulatedCall
from tests.bench.caller import TEXT
from tests.bench.gateway_process import GatewayProcess
from tests.bench.table import Row, at_most
from tests.bench.tools import InvalidRunError, Sink
from tests.peers.sipp import Sipp, answers_to, expects, invited, reply
from tests.peers.waiting import eventually

MS_MAX = 250.0
EVERY_S = 0.2
"""Between two alerts: five people a second press a key."""
UP_WITHIN_S = 60.0
OVER_WITHIN_S = 60.0
PRESSES = Behaviour(answer_s=0.05, keys="1", keys_s=0.3, again_s=0.7, greeting="nothing")
RINGS = Behaviour(answer_s=None)
SETTINGS = """
[[providers]]
name = "crowd"
channel = "voice"
kind = "sip"
listen = "127.0.0.1:0"
host = "127.0.0.1"
port = {crowd}
options_s = 0
max_calls = 1000
incoming_max = 0
calls_per_s = 100
wait_for_beep = false
media_timeout_s = 300
rtp_ports = "40000-42999"
[[providers]]
name = "duty"
channel = "voice"
kind = "sip"
listen = "127.0.0.1:0"
host = "127.0.0.1"
port = {duty}
max_calls = 400
incoming_max = 0
calls_per_s = 100
wait_for_beep = false
rtp_ports = "43000-44999"
[[routes]]
channel = "voice"
prefix = "+331"
providers = ["crowd"]
[[routes]]
channel = "voice"
prefix = "+336"
providers = ["duty"]
"""


@dataclass(slots=True)
class Watch:
    """When phones pressed, and when their partners stopped ringing."""

    pressed: dict[str, list[float]] = field(default_factory=dict)
    silenced: dict[str, float] = field(default_factory=dict)
    reasons: set[tuple[str, int | None]] = field(default_factory=set)

    def told(self, call: SimulatedCall) -> None:
        """Something happened to a call of the simulated phones."""
        pair = call.number[-5:]
        if call.state == "pressed":
            self.pressed.setdefault(pair, []).append(time.monotonic())
        elif call.state == "cancelled":
            self.silenced[pair] = time.monotonic()
            self.reasons |= {(reason.protocol, reason.cause) for reason in call.reasons}

    def latencies_ms(self) -> list[float]:
        """From the key that acknowledged to the end of the ringing, sorted."""
        return sorted(
            (at - max(press for press in self.pressed[pair] if press <= at)) * 1_000
            for pair, at in self.silenced.items()
        )


def rows(folder: Path, sink: Sink, *, crowd: int, alerts: int) -> list[Row]:
    """The line of the table. Raises InvalidRunError where an alert was not acknowledged or a phone rang on."""
    latencies = asyncio.run(_run(folder, sink, crowd, alerts))
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    return [
        Row(path=f"key → the other phone is silent, {crowd} calls up", measured=f"p50 {p50:.0f} ms, p99 {p99:.0f} ms",
            must_reach=f"p99 ≤ {MS_MAX:.0f} ms", verdict=at_most(p99, MS_MAX),
            notes=[f"{len(latencies)} alerts, the slowest {latencies[-1]:.0f} ms"])
    ]  # fmt: skip


async def _run(folder: Path, sink: Sink, crowd: int, alerts: int) -> list[float]:
    watch = Watch()
    duty = PhoneSimulator(lambda number: PRESSES if number.startswith("+3361") else RINGS, told=watch.told)
    await duty.open()
    listeners = Sipp(
        folder, invited(), reply("180 Ringing"), answers_to(9), expects("BYE", within_ms=240_000), reply("200 OK"),
        calls=crowd, options=["-l", str(crowd + 10)],
    )  # fmt: skip
    try:
        with listeners:
            gateway = GatewayProcess(folder, sink, more=SETTINGS.format(crowd=listeners.port, duty=duty.port))
            await asyncio.to_thread(gateway.prepare)
            with gateway:
                gateway.start()  # from the main thread: a process that another one started ends with that
                await _measure(gateway, crowd, alerts, watch)
                gateway.kill()
    finally:
        await duty.close()
    return watch.latencies_ms()


async def _measure(gateway: GatewayProcess, crowd: int, alerts: int, watch: Watch) -> None:
    everybody = [f"voice:+3314{n:07}" for n in range(crowd)]
    crowd_alert = {"text": TEXT, "recipients": everybody, "acknowledgement": {"rule": "all"}}
    await asyncio.to_thread(gateway.post, "/v1/alerts", crowd_alert)

    async def up() -> bool:
        counters = await asyncio.to_thread(gateway.counters)
        return counters.get("tocsin_calls_up", 0) >= crowd

    await eventually(up, UP_WITHIN_S, what=f"{crowd} calls up")
    posts = []
    for n in range(alerts):
        recipients = [f"voice:+3361{n:07}", f"voice:+3362{n:07}"]
        document = {"text": "Fire in hall three", "priority": "emergency", "recipients": recipients}
        posts.append(asyncio.create_task(asyncio.to_thread(gateway.post, "/v1/alerts", document)))
        await asyncio.sleep(EVERY_S)
    await asyncio.gather(*posts)
    try:
        await eventually(lambda: len(watch.silenced) >= alerts, OVER_WITHIN_S, what="the end of all ringing")
    except AssertionError as error:
        raise InvalidRunError(f"{error}: {len(watch.silenced)} of {alerts}") from error
    if watch.reasons != {("SIP", 200)}:
        raise InvalidRunError(f"calls were taken back with {watch.reasons}, not as completed elsewhere")
    counters = await asyncio.to_thread(gateway.counters)
    if counters.get("tocsin_calls_up", 0) < crowd:
        raise InvalidRunError(
            f"only {counters.get('tocsin_calls_up', 0):.0f} of {crowd} calls were still up at the end"
        )
