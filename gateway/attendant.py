"""What people on the line are told and asked: the broker's side of `channels.conversation`, for one provider."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import Connection, and_, case, func, or_, select

from channels.conversation import Briefing, Caller, Decision, Line, Proof, Reply, Standing
from gateway import pins
from gateway.alert import Alert, Status
from gateway.clock import Clock
from gateway.decisions import Decide
from gateway.delivery import State
from gateway.held import Keys
from gateway.lines import Lines
from gateway.pins import CROWD, ONE, PHONE, Guesses, Patience
from gateway.rendering import text_for
from gateway.settings import LineSettings, PersonSettings
from gateway.store import rows, tables
from gateway.store.engine import Store

log = structlog.get_logger(__name__)

BRIEFINGS_MAX = 20
"""Alerts told in one call: nobody listens to more."""
TEST = "tst_"
"""How the references of test messages begin."""
CALLERS = "callers"
"""Whoever calls the acknowledgement line, all together; each alarm line has its own."""
WITHHELD = frozenset({"", "unknown", "anonymous", "unavailable", "restricted", "private", "withheld"})
"""What is shown instead of a number: strangers share it, so nothing is counted against it alone."""
CLAIM_S = 60.0
"""How long a call may take from the right PIN to asking for its alarm; it asks at once, unless it has ended."""
DECIDE_S = 10.0
"""Somebody holds the phone: an answer that takes longer is as good as none. What they did is written all the same."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody whom the settings name: with a number or a PIN to prove who they are."""

    name: str
    language: str
    addresses: tuple[str, ...]
    number: str
    pin: str


class People:
    """The people of the settings, by what they are known by."""

    def __init__(self, people: Sequence[PersonSettings], canonical: Callable[[str], str]) -> None:
        self.everybody = tuple(
            Person(
                name=one.name,
                language=one.language,
                number=one.number,
                pin=one.pin_hash,
                addresses=tuple(canonical(address) for address in one.addresses),
            )
            for one in people
        )
        self._by_address = {address: person for person in self.everybody for address in person.addresses}
        self._by_number = {person.number: person for person in self.everybody if person.number}
        self.names = {address: person.name for address, person in self._by_address.items()}
        """Their names, by address."""

    def at(self, address: str) -> Person | None:
        """Who is reached at the address."""
        return self._by_address.get(address)

    def numbered(self, number: str) -> Person | None:
        """Who has this personal number."""
        return self._by_number.get(number)


class Alarms(Protocol):
    """Whoever raises the alarms of lines."""

    async def raise_alarm(self, line: LineSettings) -> str | None:
        """The id of the alert once it is on disk."""
        ...

    async def attach(self, alert_id: str, wav: bytes) -> bool:
        """Whether the recording is with the alert now."""
        ...


class PhoneAttendant:
    """Answers one provider's calls."""

    def __init__(
        self,
        *,
        store: Store,
        keys: Keys,
        clock: Clock,
        people: People,
        lines: Lines,
        alarms: Alarms,
        guesses: Guesses,
        channel: str,
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._people = people
        self._lines = lines
        self._alarms = alarms
        self._guesses = guesses
        self._channel = channel
        self._held: set[asyncio.Task[Any]] = set()
        self._raising: dict[tuple[str, str], list[asyncio.Task[str | None]]] = {}
        """The alarms of calls that have entered the PIN and not asked for their alarm yet, by line and source."""

    def _hold(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Has it done whatever becomes of the call that it is for."""
        task = asyncio.get_running_loop().create_task(work)
        self._held.add(task)
        task.add_done_callback(self._held.discard)
        return task

    # --- decisions ---------------------------------------------------------------------------------------------------

    async def decide(self, reference: str, decision: Decision) -> Reply:
        """See `Attendant.decide`."""
        if reference.startswith(TEST):  # somebody tries the provider: there is no alert behind it
            return Reply(standing=Standing.RECORDED)
        command = Decide(
            delivery_id=reference,
            decision=decision,
            via=self._channel,
            pressed_at=self._clock.now(),
            names=self._people.names,
        )
        try:
            async with asyncio.timeout(DECIDE_S):
                return await asyncio.shield(self._keys.record(command))
        except TimeoutError:  # it is kept, and written as soon as it can be: whoever pressed it may hang up
            log.warning("decision_waits", delivery=reference, decision=decision)
            return Reply(standing=Standing.FAILED)

    # --- what is open ------------------------------------------------------------------------------------------------

    async def briefings(self, address: str) -> Sequence[Briefing]:
        """See `Attendant.briefings`."""
        whole = f"{self._channel}:{address}"
        person = self._people.at(whole)
        return await self._open_for((whole,) if person is None else (whole, *person.addresses), first=whole)

    async def briefings_of(self, caller: Caller) -> Sequence[Briefing]:
        """See `Attendant.briefings_of`."""
        person = next((one for one in self._people.everybody if one.name == caller.id), None)
        return () if person is None else await self._open_for(person.addresses)

    async def _open_for(self, addresses: Sequence[str], *, first: str = "") -> list[Briefing]:
        """Raises StoreError: that nothing could be read is not that nothing is open."""
        found = await self._store.read(lambda connection: _open_alerts(connection, tuple(set(addresses)), first))
        return [
            Briefing(
                reference=delivery_id,
                text=text_for(alert, self._channel, language or alert.language)[1],
                language=language or alert.language,
                exercise=alert.exercise,
            )
            for delivery_id, language, alert in found
        ]

    # --- PINs --------------------------------------------------------------------------------------------------------

    async def needs_pin(self, address: str) -> bool:
        """See `Attendant.needs_pin`."""
        person = self._people.at(f"{self._channel}:{address}")
        return person is not None and bool(person.pin)

    async def check_pin(self, address: str, digits: str) -> Proof:
        """See `Attendant.check_pin`."""
        person = self._people.at(f"{self._channel}:{address}")
        if person is None or not person.pin:
            return Proof.WRONG
        whose = f"called {person.name}"  # apart from calls to us: a stranger who guesses there must not shut out who is called
        async with self._guesses.turn(whose):
            return await self._prove(whose, digits, person.pin)

    async def _prove(self, whose: str, digits: str, stored: str) -> Proof:
        now = self._clock.monotonic()
        if self._guesses.locked(whose, now):
            return Proof.LOCKED
        if await asyncio.to_thread(pins.matches, digits, stored):
            self._guesses.right(whose)
            return Proof.OK
        self._guesses.wrong(whose, now)
        log.warning("wrong_pin", whose=whose)
        return Proof.LOCKED if self._guesses.locked(whose, now) else Proof.WRONG

    # --- calls to us -------------------------------------------------------------------------------------------------

    async def line(self, numbers: Sequence[str]) -> Line | None:
        """See `Attendant.line`."""
        return self._lines.called(numbers)

    async def identify(self, digits: str, *, source: str) -> Caller | Proof:
        """See `Attendant.identify`: ``NUMBER*PIN``, a number alone where its person has no PIN, or a PIN alone."""
        found: list[Person] = []

        async def known() -> bool:
            person = await self._person_with(digits)
            found.extend([] if person is None else [person])
            return person is not None

        proof = await self._guess(source, CALLERS, known)
        if proof is not Proof.OK:
            return proof
        return Caller(id=found[0].name, name=found[0].name, language=found[0].language)

    async def _person_with(self, digits: str) -> Person | None:
        number, star, pin = digits.partition("*")
        person = self._people.numbered(number)
        if person is None:
            return None if star else await asyncio.to_thread(self._with_pin, digits)
        if not person.pin:
            return person
        proved = star and await self._prove(f"caller {person.name}", pin, person.pin) is Proof.OK
        return person if proved else None

    async def _guess(
        self, source: str, everybody: str, right: Callable[[], Awaitable[bool]], patience: Patience = ONE
    ) -> Proof:
        """One guess of a caller: counted against where the call comes from, which callers can forge, and against all of
        them together."""
        who = f"{everybody} from {source}"
        async with self._guesses.turn(everybody):
            now = self._clock.monotonic()
            if self._guesses.locked(who, now) or self._guesses.locked(everybody, now):
                return Proof.LOCKED
            if await right():
                self._guesses.right(who)
                return Proof.OK
            if source.lower() not in WITHHELD:
                self._guesses.wrong(who, now, patience)
            self._guesses.wrong(everybody, now, CROWD)
            log.warning("caller_not_known", source=source)
            return Proof.LOCKED if self._guesses.locked(who, now) else Proof.WRONG

    def _with_pin(self, digits: str) -> Person | None:
        """Who has this PIN, among those who have no number; each comparison takes as long as the other."""
        without_number = [person for person in self._people.everybody if person.pin and not person.number]
        return next((person for person in without_number if pins.matches(digits, person.pin)), None)

    async def authorise(self, line: Line, digits: str, *, source: str) -> Proof:
        """See `Attendant.authorise`."""
        settings = self._lines.settings_of(line)
        if settings is None:
            return Proof.WRONG
        # held: a caller who enters the right PIN and hangs up at once has raised the alarm all the same
        return await asyncio.shield(self._hold(self._authorise(settings, digits, source)))

    async def _authorise(self, settings: LineSettings, digits: str, source: str) -> Proof:
        async def right() -> bool:
            return await asyncio.to_thread(pins.matches, digits, settings.pin_hash)

        proof = await self._guess(source, f"callers of {settings.name}", right, PHONE)
        if proof is Proof.OK:
            log.info("alarm_by_phone", line=settings.name, source=source)
            key = (settings.name, source)
            raising = self._hold(self._alarms.raise_alarm(settings))
            self._raising.setdefault(key, []).append(raising)
            asyncio.get_running_loop().call_later(CLAIM_S, self._forget, key, raising)
        return proof

    async def raise_alarm(self, line: Line, *, source: str) -> str | None:
        """See `Attendant.raise_alarm`: the alarm that the right PIN has begun to raise. Without one there is none; it is never
        raised again."""
        key = (line.name, source)
        waiting = self._raising.get(key)
        if not waiting:
            log.error("alarm_not_authorised", line=line.name, source=source)
            return None
        raising = waiting[-1]  # those before it may be of callers who have hung up
        self._forget(key, raising)
        try:
            async with asyncio.timeout(DECIDE_S):
                return await asyncio.shield(raising)
        except TimeoutError:  # it is still raised, as soon as it can be
            log.error("alarm_waits", line=line.name, source=source)
            return None

    def _forget(self, key: tuple[str, str], raising: asyncio.Task[str | None]) -> None:
        waiting = self._raising.get(key, [])
        if raising in waiting:
            waiting.remove(raising)
        if not waiting:
            self._raising.pop(key, None)

    async def attach_recording(self, reference: str, wav: bytes) -> bool:
        """See `Attendant.attach_recording`."""
        return await self._alarms.attach(reference, wav)


class TrialAttendant:
    """For a provider that is tried without an installation behind it: takes every key, knows nobody."""

    async def decide(self, reference: str, decision: Decision) -> Reply:
        """See `Attendant.decide`."""
        del reference, decision
        return Reply(standing=Standing.RECORDED)

    async def briefings(self, address: str) -> Sequence[Briefing]:
        """See `Attendant.briefings`."""
        del address
        return ()

    async def needs_pin(self, address: str) -> bool:
        """See `Attendant.needs_pin`."""
        del address
        return False

    async def check_pin(self, address: str, digits: str) -> Proof:
        """See `Attendant.check_pin`."""
        del address, digits
        return Proof.WRONG

    async def line(self, numbers: Sequence[str]) -> Line | None:
        """See `Attendant.line`: nobody answers calls to us."""
        del numbers
        return None

    async def identify(self, digits: str, *, source: str) -> Caller | Proof:
        """See `Attendant.identify`."""
        del digits, source
        return Proof.WRONG

    async def briefings_of(self, caller: Caller) -> Sequence[Briefing]:
        """See `Attendant.briefings_of`."""
        del caller
        return ()

    async def authorise(self, line: Line, digits: str, *, source: str) -> Proof:
        """See `Attendant.authorise`."""
        del line, digits, source
        return Proof.WRONG

    async def raise_alarm(self, line: Line, *, source: str) -> str | None:
        """See `Attendant.raise_alarm`."""
        del line, source
        return None

    async def attach_recording(self, reference: str, wav: bytes) -> bool:
        """See `Attendant.attach_recording`."""
        del reference, wav
        return False


def _open_alerts(connection: Connection, addresses: tuple[str, ...], first: str) -> list[tuple[str, str, Alert]]:
    """(delivery, its language, alert) of each open alert that was, or is being, sent to one of the addresses, or could not be:
    who rings back has missed a call. One that was received and that nobody has taken in charge is open as well. Of several
    deliveries of an alert that under way to the address `first` stands for it, else another one to it."""
    d, a = tables.deliveries.c, tables.alerts
    received = and_(a.c.status == Status.ACKNOWLEDGED.value, a.c.confirm_by_at.is_not(None))
    sending = d.state == State.SENDING.value
    likely = case((and_(d.address == first, sending), 0), (d.address == first, 1), (sending, 2), else_=3)
    ranked = (
        select(
            d.id,
            d.language,
            d.alert_id,
            func.row_number().over(partition_by=d.alert_id, order_by=(likely, d.id)).label("n"),
        )
        .join(a, a.c.id == d.alert_id)
        .where(
            a.c.ended_at.is_(None),
            or_(a.c.status == Status.ACTIVE.value, received),
            d.address.in_(addresses),
            d.state != State.CANCELLED.value,
        )
        .subquery()
    )
    statement = (
        select(ranked.c.id, ranked.c.language, *rows.alerts.columns)
        .join(a, a.c.id == ranked.c.alert_id)
        .where(ranked.c.n == 1)
        .order_by(a.c.priority, a.c.id)
        .limit(BRIEFINGS_MAX)
    )
    return [(row[0], row[1], rows.alerts.from_row(row[2:])) for row in connection.execute(statement)]
