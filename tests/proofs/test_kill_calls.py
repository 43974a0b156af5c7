"""kill -9 while phones ring, while calls are up and after a key: whoever has still to hear of an alert is called again."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Connection, select

from gateway import administration
from gateway.clock import SystemClock
from gateway.store import tables
from gateway.store.engine import open_store
from ivr.phone import Behaviour, PhoneSimulator, SimulatedCall
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.waiting import eventually
from tests.proofs.server import ACCOUNT, Server
from tests.scenarios.installation import sip

MINUTE_MICROS = 100_000
CALL_MAX_S = 180
"""Three minutes are held for a call, so that one that is charged too much shows."""
SETTLED_S = 20.0
"""What a kill left behind of an alert that has ended is settled long before its deadline."""
WITHIN_S = 45.0
KILLS_MIN, KILLS = 3, 6
LOOP_S = 25.0
"""No kill begins later where there were enough; what follows it takes some ten seconds more."""
ALERTS_A_ROUND = 3
ALERTS_MIN = 2 * ALERTS_A_ROUND
UP_S = (0.1, 3.0)
START_S = (0.2, 1.2)
KILLED_STARTING = 0.3
_TOCSIN = Path(sys.executable).parent / "tocsin"

RINGS = Behaviour(answer_s=None)
LISTENS = Behaviour(answer_s=0.1, keys="", greeting="nothing")
PRESSES = Behaviour(answer_s=0.1, keys_s=0.5, again_s=0.7, greeting="nothing")
"""Skips the greeting with its first 1; the second one acknowledges."""
CONGESTED = Behaviour(status=503, answer_s=0.05)
_UNDER_WAY = ("offered", "answered", "pressed")


class Exchange:
    """Phones that outlive the gateway. What each of them does may change between two calls."""

    def __init__(self, does: Callable[[str], Behaviour]) -> None:
        self.does = does
        self.calls: list[SimulatedCall] = []
        self.port = free_port()
        self._broken: list[SimulatedCall] = []
        self._phones: PhoneSimulator | None = None

    async def open(self) -> None:
        """Takes calls from now on, at the same port as before."""
        self._phones = PhoneSimulator(lambda number: self.does(number), port=self.port, told=self._told)
        await self._phones.open()

    async def close(self) -> None:
        """Everybody hangs up."""
        self._broken += [call for call in self.calls if call.state in _UNDER_WAY]
        if self._phones is not None:
            await self._phones.close()

    def calls_by_number(self) -> Counter[str]:
        """How many calls each number had."""
        return Counter(call.number for call in self.calls)

    def heard_out(self) -> set[str]:
        """The numbers that had a call which was answered and which the gateway ended."""
        return {call.number for call in self.calls if call.state == "ended" and call not in self._broken}

    def all_are(self, state: str, numbers: Collection[str]) -> bool:
        """Whether each of the numbers has a call in this state."""
        return set(numbers) <= {call.number for call in self.calls if call.state == state}

    def _told(self, call: SimulatedCall) -> None:
        if call.state == "offered":
            self.calls.append(call)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What the store says. `deliveries` are (alert, number, state, settled, captured)."""

    alerts: dict[str, tuple[str, bool]]
    deliveries: list[tuple[str, str, str, bool, int]]
    acknowledgements: Counter[str]
    balances: dict[str, int]

    @property
    def acknowledged(self) -> set[str]:
        """The ids of the alerts that somebody has."""
        return {alert_id for alert_id, (status, _) in self.alerts.items() if status == "acknowledged"}

    def numbers(self, alert_ids: set[str]) -> set[str]:
        """The numbers of these alerts."""
        return {number for alert_id, number, *_ in self.deliveries if alert_id in alert_ids}


class Bench:
    """A gateway that is killed, the phones that it calls, and the alerts that it answered 202."""

    def __init__(self, server: Server, phones: Exchange, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.phones = phones
        self.session = session
        self.taken: list[str] = []
        self._number = 33_612_000_000

    def people(self, count: int) -> list[str]:
        """So many numbers that nobody has been called at."""
        first, self._number = self._number + 1, self._number + count
        return [f"+{number}" for number in range(first, self._number + 1)]

    async def alert(self, *numbers: str) -> str:
        """Submits an alert that any of them may acknowledge. Gives its id."""
        body = {
            "text": "Fire in hall three", "recipients": [f"voice:{number}" for number in numbers],
            "priority": "emergency", "acknowledgement": {"rule": "any"},
        }  # fmt: skip
        async with self.session.post("/v1/alerts", json=body) as answer:
            assert answer.status == 202, await answer.text()
            alert_id = str((await answer.json())["id"])
        self.taken.append(alert_id)
        return alert_id

    async def shown(self, alert_id: str) -> dict[str, Any]:
        """What the API shows of an alert."""
        async with self.session.get(f"/v1/alerts/{alert_id}") as answer:
            body: dict[str, Any] = await answer.json()
            assert answer.status == 200, body
            return body

    async def timeline(self, alert_id: str) -> list[tuple[str, object]]:
        """The kinds of the lines, each with what tells it from its like."""
        async with self.session.get(f"/v1/alerts/{alert_id}/timeline") as answer:
            lines = (await answer.json())["items"]
        return [(line["kind"], line.get("code", line.get("attempt"))) for line in lines]

    async def acknowledged(self, *alert_ids: str) -> None:
        """Waits until somebody has each of these alerts."""
        for alert_id in alert_ids:

            async def so(alert_id: str = alert_id) -> bool:
                return str((await self.shown(alert_id))["status"]) == "acknowledged"

            try:
                await eventually(so, WITHIN_S, what="an acknowledgement")
            except AssertionError as error:
                shown = await self.shown(alert_id)
                numbers = {delivery["address"].partition(":")[2] for delivery in shown["deliveries"]}
                calls = [
                    (call.number, call.state, call.pressed) for call in self.phones.calls if call.number in numbers
                ]
                raise AssertionError(f"{error}: {shown}, {calls}\n{self.server.output}") from None

    async def calls_are(self, state: str, *numbers: str) -> None:
        """Waits until each of these phones has a call in this state."""
        await eventually(lambda: self.phones.all_are(state, numbers), WITHIN_S, what=f"{state} of {len(numbers)} calls")

    async def kill(self, *, people_stay: bool = False) -> Found:
        """kill -9. Nobody speaks any more, and people hang up, unless they stay on the dead line and press their keys there.
        Gives what was committed."""
        await self.server.kill()
        if not people_stay:
            await self.phones.close()
            await self.phones.open()
        return await self.found()

    async def start_and_press(self) -> None:
        """Starts it again; whoever is called from now on presses 1."""
        self.phones.does = lambda _: PRESSES
        await self.server.start()

    async def found(self) -> Found:
        """Reads the database of a gateway that does not run."""
        store = await open_store(self.server.store_url)
        try:
            return await store.read(_read)
        finally:
            await store.close()

    async def ended_well(self) -> Found:
        """Waits until nothing is under way, stops the gateway and checks every promise."""

        async def nothing_under_way() -> bool:
            shown = [await self.shown(alert_id) for alert_id in self.taken]
            states = {delivery["state"] for alert in shown for delivery in alert["deliveries"]}
            return not states & {"queued", "sending", "unsure"}

        await self.acknowledged(*self.taken)
        await eventually(nothing_under_way, SETTLED_S, what="the end of all deliveries")
        await self.server.stop()
        found = await self.found()
        assert set(found.alerts) == set(self.taken)
        assert found.alerts == dict.fromkeys(self.taken, ("acknowledged", True))
        assert [one for one in found.deliveries if not one[3]] == []
        assert found.balances[f"held:{ACCOUNT}"] == 0
        heard_out = self.phones.heard_out()
        for _, number, _, _, captured in found.deliveries:
            assert captured <= (MINUTE_MICROS if number in heard_out else 0), (number, captured)
        assert found.balances[f"revenue:{ACCOUNT}"] == sum(captured for *_, captured in found.deliveries)
        await self._ledger_verifies()
        return found

    async def _ledger_verifies(self) -> None:
        words = ["ledger", "verify", "--config", str(self.server.settings)]
        verify = await asyncio.create_subprocess_exec(
            _TOCSIN, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await verify.communicate()
        assert verify.returncode == 0, said.decode()


def _read(connection: Connection) -> Found:
    a, d, b = tables.alerts.c, tables.deliveries.c, tables.balances.c
    alerts = connection.execute(select(a.id, a.status, a.ended_at))
    deliveries = connection.execute(
        select(d.alert_id, d.address, d.state, d.settled_at, d.captured_micros).order_by(d.id)
    )
    return Found(
        alerts={row.id: (row.status, row.ended_at is not None) for row in alerts},
        deliveries=[
            (row.alert_id, row.address.partition(":")[2], row.state, row.settled_at is not None, row.captured_micros)
            for row in deliveries
        ],
        acknowledgements=Counter(connection.scalars(select(tables.acknowledgements.c.alert_id))),
        balances={row.name: row.amount_micros for row in connection.execute(select(b.name, b.amount_micros))},
    )


def _price(connection: Connection) -> None:
    administration.set_tariff(connection, SystemClock().now(), channel="voice", prefix="", price_micros=MINUTE_MICROS)


@asynccontextmanager
async def _opened(folder: Path, does: Callable[[str], Behaviour]) -> AsyncIterator[Bench]:
    """A gateway that is set up and not yet started, on an address that it has again after each kill."""
    phones = Exchange(does)
    await phones.open()
    trunk = sip("pbx", phones.port, listen=f"{LOOPBACK}:{free_port()}", call_max_s=CALL_MAX_S)
    server = Server(folder, [trunk], delivery={"attempts_max": 50})
    await server.set_up()
    store = await open_store(server.store_url)
    try:
        await store.write(_price)
    finally:
        await store.close()
    try:
        async with server.client() as session:
            yield Bench(server, phones, session)
    finally:
        await server.kill()
        await phones.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with _opened(tmp_path, lambda _: RINGS) as opened:
        yield opened


@pytest.mark.timeout(240)
async def test_killed_while_phones_ring(bench: Bench) -> None:
    await bench.server.start()
    people = [bench.people(2) for _ in range(4)]
    everybody = [number for two in people for number in two]
    for two in people:
        await bench.alert(*two)
    await bench.calls_are("offered", *everybody)
    taken_back, *_ = bench.taken
    url = f"/v1/alerts/{taken_back}/acknowledge"
    async with bench.session.post(url, json={"by": "control room"}) as answer:
        assert answer.status == 200, await answer.text()
    before = await bench.kill()
    assert before.acknowledged == {taken_back}
    assert before.balances[f"held:{ACCOUNT}"] > 0
    called = bench.phones.calls_by_number()
    await bench.start_and_press()
    found = await bench.ended_well()
    assert found.acknowledgements == dict.fromkeys(bench.taken, 1)
    again = bench.phones.calls_by_number() - called
    assert not set(again) & set(people[0])
    assert all(set(again) & set(two) for two in people[1:])


@pytest.mark.timeout(240)
async def test_killed_while_calls_are_up_and_nobody_has_pressed(bench: Bench) -> None:
    bench.phones.does = lambda _: LISTENS
    await bench.server.start()
    people = bench.people(5)
    for number in people:
        await bench.alert(number)
    await bench.calls_are("answered", *people)
    await bench.alert(people[0])  # it is to be told in the call that is up
    before = await bench.kill()
    assert before.acknowledged == set()
    called = bench.phones.calls_by_number()
    assert called == dict.fromkeys(people, 1)
    await bench.start_and_press()
    await bench.acknowledged(*bench.taken)
    for alert_id in bench.taken[: len(people)]:
        words = await bench.timeline(alert_id)
        assert words.index(("outcome", "interrupted")) < words.index(("attempt", 2))
    found = await bench.ended_well()
    assert set(bench.phones.calls_by_number() - called) == set(people)
    assert found.acknowledgements == dict.fromkeys(bench.taken, 1)
    charged = Counter(dict.fromkeys(people, 0))
    for _, number, state, _, captured in found.deliveries:
        assert state in ("delivered", "cancelled")
        charged[number] += captured
    assert set(charged.values()) == {MINUTE_MICROS}  # the call that broke off is not charged, nor one call twice


@pytest.mark.timeout(240)
async def test_killed_just_after_a_key(bench: Bench) -> None:
    quick, *slow = bench.people(5)
    bench.phones.does = lambda number: PRESSES if number == quick else LISTENS
    await bench.server.start()
    for number in slow:
        await bench.alert(number)
    await bench.calls_are("answered", *slow)
    theirs = await bench.alert(quick)
    await bench.acknowledged(theirs)
    before = await bench.kill()
    assert before.acknowledged == {theirs}
    await bench.start_and_press()
    found = await bench.ended_well()
    assert bench.phones.calls_by_number() == dict.fromkeys(slow, 2) | {quick: 1}
    assert found.acknowledgements == dict.fromkeys(bench.taken, 1)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [7])
async def test_killed_at_any_moment(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    began = time.monotonic()

    def anything(_: str) -> Behaviour:
        answer_s, keys_s = chance.uniform(0.05, 1.0), chance.uniform(0.3, 1.5)
        presses = Behaviour(answer_s=answer_s, keys_s=keys_s, again_s=0.7, greeting="nothing")
        return chance.choice([RINGS, LISTENS, CONGESTED, presses, presses, presses])

    bench.phones.does = anything
    had: dict[str, int] = {}  # the calls of each number when its alert was seen to be acknowledged
    kills = 0
    while kills < KILLS_MIN or len(bench.taken) < ALERTS_MIN or (kills < KILLS and time.monotonic() - began < LOOP_S):
        await bench.server.start()
        submitting = asyncio.create_task(_submit(bench, chance))
        await asyncio.sleep(chance.uniform(*UP_S))
        submitting.cancel()
        with suppress(asyncio.CancelledError):
            await submitting
        found = await bench.kill(people_stay=chance.random() < 0.5)
        kills += 1
        if chance.random() < KILLED_STARTING:
            await bench.server.start_and_kill(chance.uniform(*START_S))
            kills += 1
        assert set(bench.taken) <= set(found.alerts)
        bench.taken = list(found.alerts)  # with those whose 202 the kill cut off
        calls = bench.phones.calls_by_number()
        for number in found.numbers(found.acknowledged):
            had.setdefault(number, calls[number])
    await bench.start_and_press()
    found = await bench.ended_well()
    calls = bench.phones.calls_by_number()
    assert {number: calls[number] for number in had} == had
    assert found.acknowledgements == dict.fromkeys(bench.taken, 1)


async def _submit(bench: Bench, chance: random.Random) -> None:
    """Some alerts, to one or two people each, a little apart."""
    with suppress(aiohttp.ClientError):
        for _ in range(ALERTS_A_ROUND):
            await bench.alert(*bench.people(chance.choice([1, 2])))
            await asyncio.sleep(chance.uniform(0, 0.4))
