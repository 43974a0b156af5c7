"""What is measured, a function for each path: it runs the load and gives rows, or raises InvalidRunError where not all arrived.

How the gateway and the load tools are started is in the files beside this one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from channels.channel import Message
from channels.outcome import Accepted, Report
from channels.sms.channel import SmsChannel
from channels.sms.settings import SmppSettings
from tests.bench import acknowledging, calls
from tests.bench.gateway_process import NUMBER_PREFIX, WINDOW, GatewayProcess
from tests.bench.history import multiply
from tests.bench.table import Row, at_least, at_most
from tests.bench.tools import (
    MARK,
    NUMBERS_MAX,
    Arrivals,
    InvalidRunError,
    Load,
    Sample,
    Sink,
    post_many,
    post_request,
)
from tests.peers.postgresql import PostgresqlServer
from tests.peers.waiting import eventually

CONNECTIONS = 50
SINGLE_RATE_MIN = 1_000  # a second
BROADCAST_RATE_MIN = 3_000
START_S_MAX = 2.0
IDLE_BYTES_MAX = 120 * 1_000_000
LATENCY_RATIO_MAX = 1.2

WARM_UP = 200  # messages that are not counted: the first ones meet empty caches and unopened connections
QUIET_S = 0.3  # after the last arrival: something that comes twice comes by then
IDLE_AFTER_S = 1.0  # start-up work is over by then
LATENCY_CONNECTIONS = 4  # few: this asks how long the store takes, not how long the line is
LATENCY_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much is sent. The defaults take some two minutes in all."""

    runs: int = 3
    starts: int = 3
    messages: int = 5_000
    recipients: int = 10_000
    stored_few: int = 1_000
    stored_many: int = 100_000
    round_requests: int = 400
    raw_submits: int = 20_000
    call_runs: int = 5
    calls: int = 1_000
    compared_calls: int = 200
    calls_settled_s: float = 8.0
    calls_up: int = 500
    acknowledged: int = 100


SMOKE = Scale(
    runs=1, starts=1, messages=200, recipients=200, stored_few=60, stored_many=600, round_requests=40, raw_submits=200,
    call_runs=1, calls=20, compared_calls=10, calls_settled_s=4.0, calls_up=20, acknowledged=4,
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Bench:
    """What the paths share: the sink, a folder for databases, the scale, message numbers that are never used twice."""

    sink: Sink
    folder: Path
    scale: Scale
    _used: Iterator[int] = field(default_factory=itertools.count)
    _next: int = 1

    def numbers(self, count: int) -> int:
        """The first of so many fresh message numbers."""
        first, self._next = self._next, self._next + count
        assert self._next <= NUMBERS_MAX
        return first

    def new_folder(self) -> Path:
        """A folder for one gateway."""
        folder = self.folder / str(next(self._used))
        folder.mkdir()
        return folder

    def gateway(self, store_url: str | None = None) -> GatewayProcess:
        """A gateway with an empty database, not started."""
        return GatewayProcess(self.new_folder(), self.sink, store_url=store_url).prepare()


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleRun:
    """One run of path "one message a request"."""

    messages: int
    load: Load
    arrivals: Arrivals
    commits: float
    commands: float
    cpu_s: float

    @property
    def duration_s(self) -> float:
        """From the first request to the last receipt answered and the last callback received."""
        return self.arrivals.last_at - self.load.started_at

    @property
    def rate(self) -> float:
        """Messages a second, the whole way."""
        return self.messages / self.duration_s

    @property
    def cpu_a_message_s(self) -> float:
        """What the gateway itself needed of a core: the figure that neighbours on the machine disturb least."""
        return self.cpu_s / self.messages

    @property
    def note(self) -> str:
        """The run in one line."""
        load = self.load
        return (
            f"{self.rate:,.0f}/s; answered 202: {self.messages / (load.ended_at - load.started_at):,.0f}/s, "
            f"p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms; {self.arrivals.callbacks:,} callbacks; "
            f"{1e3 * self.cpu_a_message_s:.2f} ms of processor a message"
        )


# --- one message a request -------------------------------------------------------------------------------------------


def single(bench: Bench, *, store_url: str | None = None, store_name: str = "SQLite FULL") -> list[Row]:
    """HTTP request, fsync, 202, SMPP submit, receipt, signed callback; and what the journal did meanwhile."""
    path = f"one message a request, {CONNECTIONS} connections, {store_name}"
    runs = _single_runs(bench, store_url)
    best = max(runs, key=lambda run: run.rate)
    commits_rate = best.commits / best.duration_s
    return [
        Row(
            path=path,
            measured=f"{best.rate:,.0f}/s",
            must_reach=f"{SINGLE_RATE_MIN:,}/s",
            verdict=at_least(best.rate, SINGLE_RATE_MIN),
            notes=[run.note for run in runs],
        ),
        Row(path="  answered 202, p50 / p99", measured=f"{best.load.p50_ms:.0f} / {best.load.p99_ms:.0f} ms"),
        Row(
            path="  journal meanwhile",
            measured=f"{commits_rate:,.0f} commits/s, {best.commands / best.commits:.1f} commands each",
        ),
        Row(path="  gateway's processor time", measured=f"{1e3 * best.cpu_a_message_s:.2f} ms a message"),
    ]


def _single_runs(bench: Bench, store_url: str | None) -> list[SingleRun]:
    scale = bench.scale
    with bench.gateway(store_url) as gateway:
        gateway.start()
        submit(bench, gateway, WARM_UP, connections=CONNECTIONS, callbacks=True)
        runs = [_single_run(bench, gateway, scale.messages) for _ in range(scale.runs)]
    _refuse(gateway.audit(WARM_UP + scale.runs * scale.messages))
    return runs


def _single_run(bench: Bench, gateway: GatewayProcess, messages: int) -> SingleRun:
    before, cpu_s = gateway.counters(), gateway.cpu_s
    load, arrivals = submit(bench, gateway, messages, connections=CONNECTIONS, callbacks=True)
    after = gateway.counters()

    def grown(name: str) -> float:
        return after[name] - before[name]

    return SingleRun(
        messages=messages,
        load=load,
        arrivals=arrivals,
        commits=grown("tocsin_journal_commits_total"),
        commands=grown("tocsin_journal_commands_total"),
        cpu_s=gateway.cpu_s - cpu_s,
    )


def submit(
    bench: Bench, gateway: GatewayProcess, messages: int, *, connections: int, callbacks: bool
) -> tuple[Load, Arrivals]:
    """Sends so many alerts of one message and waits until all that follows from them has arrived, exactly once.

    Raises InvalidRunError where something is missing, came twice, was refused, or is signed wrongly.
    """
    document: dict[str, Any] = {"text": f"Pump {MARK} stopped", "recipients": [f"sms:{NUMBER_PREFIX}{MARK}"]}
    if callbacks:
        document["callback_url"] = f"http://127.0.0.1:{bench.sink.http_port}/callbacks/{MARK}"
    bench.sink.reset()
    load = post_many(
        gateway.port,
        connections=connections,
        requests=messages,
        first=bench.numbers(messages),
        request=post_request("/v1/alerts", gateway.key, document),
    )
    arrivals = _arrived(bench.sink, messages, callbacks=callbacks)
    if callbacks:
        _refuse(_wrongly_signed(bench.sink.samples(), gateway.callback_secret))
    return load, arrivals


def _arrived(sink: Sink, messages: int, *, callbacks: bool) -> Arrivals:
    sink.wait(messages, callbacks=callbacks)
    time.sleep(QUIET_S)
    arrivals = sink.arrivals()
    _refuse(arrivals.problems(messages, callbacks=callbacks))
    return arrivals


def _wrongly_signed(samples: Sequence[Sample], secret: str) -> list[str]:
    """Checks signatures as a receiver would, from the documentation alone: HMAC-SHA256 over "timestamp.body"."""
    if not samples:
        return ["no callback was kept whole"]
    for sample in samples:
        signed = f"{sample.timestamp}.{sample.body}".encode()
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(sample.signature, f"sha256={expected}"):
            return [f"a callback is signed wrongly: {sample.body[:200]}"]
        json.loads(sample.body)
    return []


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise InvalidRunError("; ".join(problems))


def single_on_postgresql(bench: Bench) -> list[Row]:
    """The same on a PostgreSQL that writes to disk what it commits."""
    server = PostgresqlServer(durable=True)
    try:
        server.start()
        return single(bench, store_url=server.create_database(), store_name="PostgreSQL durable")
    finally:
        server.close()


# --- one alert to many -----------------------------------------------------------------------------------------------


def broadcast(bench: Bench) -> list[Row]:
    """One alert to many recipients, from the request to the last receipt answered."""
    scale = bench.scale
    with bench.gateway() as gateway:
        gateway.start()
        submit(bench, gateway, WARM_UP, connections=CONNECTIONS, callbacks=False)
        rates = [_broadcast_rate(bench, gateway, scale.recipients) for _ in range(scale.runs)]
    _refuse(gateway.audit(WARM_UP + scale.runs * scale.recipients))
    return [
        Row(
            path=f"one alert to {scale.recipients:,} recipients, all receipts",
            measured=f"{max(rates):,.0f}/s",
            must_reach=f"{BROADCAST_RATE_MIN:,}/s",
            verdict=at_least(max(rates), BROADCAST_RATE_MIN),
            notes=[f"{rate:,.0f}/s" for rate in rates],
        )
    ]


def _broadcast_rate(bench: Bench, gateway: GatewayProcess, recipients: int) -> float:
    first = bench.numbers(recipients)
    addresses = [f"sms:{NUMBER_PREFIX}{number:07d}" for number in range(first, first + recipients)]
    bench.sink.reset()
    began = time.monotonic()
    gateway.post("/v1/alerts", {"text": "Evacuate the building", "recipients": addresses})
    arrivals = _arrived(bench.sink, recipients, callbacks=False)
    return recipients / (arrivals.last_receipt_acked_at - began)


# --- start and memory ------------------------------------------------------------------------------------------------


def start_and_idle(bench: Bench) -> list[Row]:
    """Start to ready and the memory held when idle, the median of some starts."""
    durations, sizes = [], []
    for _ in range(bench.scale.starts):
        with bench.gateway() as gateway:
            durations.append(gateway.start())
            time.sleep(IDLE_AFTER_S)
            sizes.append(gateway.resident_bytes)
    start_s, idle_bytes = statistics.median(durations), statistics.median(sizes)
    return [
        Row(
            path="start to ready",
            measured=f"{start_s:.2f} s",
            must_reach=f"≤ {START_S_MAX:g} s",
            verdict=at_most(start_s, START_S_MAX),
            notes=[f"{each:.2f} s" for each in durations],
        ),
        Row(
            path="idle memory",
            measured=f"{idle_bytes / 1e6:.0f} MB",
            must_reach=f"≤ {IDLE_BYTES_MAX / 1e6:.0f} MB",
            verdict=at_most(idle_bytes, IDLE_BYTES_MAX),
            notes=[f"{each / 1e6:.0f} MB" for each in sizes],
        ),
    ]


# --- latency and what is stored --------------------------------------------------------------------------------------


def latency_with_history(bench: Bench) -> list[Row]:
    """How much longer a submission takes when the database is full of alerts that ended long ago.

    Two gateways take turns, so that whatever else the machine does meets both of them; the median round counts.
    """
    scale = bench.scale
    few, many = _latencies(bench)
    notes = [
        f"p50 {a.p50_ms:.2f} -> {b.p50_ms:.2f} ms, p99 {a.p99_ms:.2f} -> {b.p99_ms:.2f} ms"
        for a, b in zip(few, many, strict=True)
    ]
    rows = []
    for name in ("p50", "p99"):
        low = [getattr(load, f"{name}_ms") for load in few]
        high = [getattr(load, f"{name}_ms") for load in many]
        ratio = statistics.median(b / a for a, b in zip(low, high, strict=True))
        rows.append(
            Row(
                path=f"submit latency, {scale.stored_many:,} stored / {scale.stored_few:,}, {name}",
                measured=f"{ratio:.2f}× ({statistics.median(low):.1f} -> {statistics.median(high):.1f} ms)",
                must_reach=f"≤ {LATENCY_RATIO_MAX:g}×",
                verdict=at_most(ratio, LATENCY_RATIO_MAX),
                notes=notes if name == "p50" else (),
            )
        )
    return rows


def _latencies(bench: Bench) -> tuple[list[Load], list[Load]]:
    scale = bench.scale
    few = bench.gateway()
    with few:
        few.start()
        submit(bench, few, scale.stored_few, connections=CONNECTIONS, callbacks=True)
    many = GatewayProcess(bench.new_folder(), bench.sink)
    many.take_keys_of(few)
    shutil.copyfile(few.database, many.database)
    copies = scale.stored_many // scale.stored_few - 1
    multiply(many.database, copies)
    loads: tuple[list[Load], list[Load]] = ([], [])
    with few, many:
        for gateway in (few, many):
            gateway.start()
            submit(bench, gateway, WARM_UP, connections=LATENCY_CONNECTIONS, callbacks=False)
        for _ in range(LATENCY_ROUNDS):
            for gateway, found in zip((few, many), loads, strict=True):
                load, _ = submit(bench, gateway, scale.round_requests, connections=LATENCY_CONNECTIONS, callbacks=False)
                found.append(load)
    sent = WARM_UP + LATENCY_ROUNDS * scale.round_requests
    _refuse(few.audit(scale.stored_few + sent))
    _refuse(many.audit(scale.stored_few * (copies + 1) + sent))
    return loads


# --- the channel alone -----------------------------------------------------------------------------------------------


def raw_submits(bench: Bench) -> list[Row]:
    """The SMS channel without gateway and store: submissions answered a second over one bind."""
    scale = bench.scale
    rates = []
    for _ in range(scale.runs):
        bench.sink.reset()
        first = bench.numbers(scale.raw_submits)
        duration_s = uvloop.run(_submit_over_channel(bench.sink.smpp_port, first, scale.raw_submits))
        _refuse(bench.sink.arrivals().problems(scale.raw_submits, receipts=False, callbacks=False))
        rates.append(scale.raw_submits / duration_s)
    path = f"SMPP alone, one bind, window {WINDOW}"
    return [Row(path=path, measured=f"{max(rates):,.0f} submits/s", notes=[f"{rate:,.0f}/s" for rate in rates])]


async def _submit_over_channel(port: int, first: int, count: int) -> float:
    settings = SmppSettings.model_validate(
        {"name": "carrier-a", "host": "127.0.0.1", "port": port, "system_id": "bench", "password": "bench"}
        | {"source": "ALERT", "window": WINDOW, "registered_delivery": False}
    )
    channel = SmsChannel(settings)
    numbers = iter(range(first, first + count))

    async def nothing_comes(_reports: Sequence[Report]) -> None:
        raise AssertionError("no receipt was asked for")

    async def send_next() -> None:
        for number in numbers:
            outcome = await channel.send(
                Message(address=f"{NUMBER_PREFIX}{number:07d}", text=f"Pump {number} stopped", reference=str(number))
            )
            if not isinstance(outcome, Accepted):
                raise InvalidRunError(f"a submission ended as {outcome}")

    links = asyncio.create_task(channel.run(nothing_comes))
    try:
        await eventually(lambda: channel.health().up, what="the bind")
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(WINDOW):
                group.create_task(send_next())
        return time.monotonic() - began
    finally:
        links.cancel()
        await asyncio.gather(links, return_exceptions=True)


def many_calls(bench: Bench) -> list[Row]:
    """A thousand calls at once, and what they cost beside another program's."""
    scale = bench.scale
    return calls.rows(
        bench.new_folder(), runs=scale.call_runs, calls=scale.calls, inband_calls=scale.compared_calls,
        settled_s=scale.calls_settled_s,
    )  # fmt: skip


def acknowledgement(bench: Bench) -> list[Row]:
    """From a key to the silence of the alert's other phones."""
    scale = bench.scale
    return acknowledging.rows(bench.new_folder(), bench.sink, crowd=scale.calls_up, alerts=scale.acknowledged)
