"""An attendant to ask, with people and lines, and what stands in for those who store and raise; no tests."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from channels.conversation import Line, Reply
from gateway.attendant import People, PhoneAttendant
from gateway.held import Keys
from gateway.lines import Lines
from gateway.pins import Guesses, hashed
from gateway.settings import LineSettings, PersonSettings
from gateway.store.engine import Store
from gateway.store.errors import StoreUnavailable
from gateway.store.journal import Journal
from tests.gateway.desk import Desk, MovedClock

ONE, TWO, THREE = (f"+3360000000{n}" for n in (1, 2, 3))
SALT = bytes(16)
SOON_S = 20.0
"""Nothing here takes long; this only ends a test that would wait for ever."""
ADA_PIN, BOB_PIN, FIRE_PIN = "1369", "2480", "9753"
FIRE = LineSettings.model_validate(
    {"name": "fire", "number": "+33140000018", "kind": "alarm", "pin": hashed(FIRE_PIN, SALT), "text": "Fire"}
)
DUTY = LineSettings(name="duty", number="+33140000019", kind="acknowledgement")
FIRE_LINE, DUTY_LINE = Line(kind="alarm", name="fire"), Line(kind="acknowledgement", name="duty")


def person(name: str, *addresses: str, **more: Any) -> PersonSettings:
    return PersonSettings.model_validate({"name": name, "addresses": [f"sms:{one}" for one in addresses], **more})


ADA = person("ada", ONE, TWO, language="fr", number="4725", pin=hashed(ADA_PIN, SALT))
BOB = person("bob", THREE, pin=hashed(BOB_PIN, SALT))
CYD = person("cyd", "+33600000009", number="4900")


class Alarms:
    """Raises what it is told to."""

    def __init__(self) -> None:
        self.raised: list[str] = []
        self.attached: list[tuple[str, bytes]] = []
        self.reference: str | None = "alt_1"
        self.began, self.go_on, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def raise_alarm(self, line: LineSettings) -> str | None:
        self.began.set()
        await self.go_on.wait()
        self.raised.append(line.name)
        self.done.set()
        return self.reference

    async def attach(self, alert_id: str, wav: bytes) -> bool:
        self.attached.append((alert_id, wav))
        return True


class Broken:
    """In a journal's or a store's place: everything fails, or nothing ends."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    async def do(self, command: object, *, urgent: bool = False) -> Reply:
        if self.failure is None:
            await asyncio.Event().wait()
        assert self.failure is not None
        raise self.failure

    read = do


def attendant_of(
    store: Store | Broken,
    journal: Journal | Broken,
    clock: MovedClock,
    *people: PersonSettings,
    guesses: Guesses | None = None,
) -> PhoneAttendant:
    return PhoneAttendant(
        store=cast("Store", store),
        keys=Keys(cast("Journal", journal), clock),
        clock=clock,
        people=People(people or (ADA, BOB, CYD), lambda address: address),
        lines=Lines([FIRE, DUTY], anybody=True),
        alarms=Alarms(),
        guesses=guesses or Guesses(),
        channel="sms",  # the channel that the desk has
    )


def at(desk: Desk, *people: PersonSettings) -> PhoneAttendant:
    return attendant_of(desk.store, desk.journal, desk.clock, *people)


def alone(*people: PersonSettings, clock: MovedClock | None = None, guesses: Guesses | None = None) -> PhoneAttendant:
    """Without a store, for what needs none."""
    broken = Broken(StoreUnavailable("no store"))
    return attendant_of(broken, broken, clock or MovedClock(), *people, guesses=guesses)


def with_alarms(clock: MovedClock | None = None) -> tuple[PhoneAttendant, Alarms]:
    """An attendant without a store, and what raises its alarms."""
    attendant, alarms = alone(clock=clock), Alarms()
    attendant._alarms = alarms
    return attendant, alarms
