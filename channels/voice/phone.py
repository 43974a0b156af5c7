"""One phone and the call that is made to it: several alerts are told in it, one after the other. SIP and sound live in `ivr`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from channels.conversation import Attendant, Briefing, Decision, Proof, Reply, Standing, Stop
from ivr.call import CallResult
from ivr.endpoint import Handle
from ivr.menu import Variable

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""The Reason of a call that is taken back since somebody else has the alert (RFC 3326, 3.1): phones show no missed call."""
TOLD_MAX = 20
"""Alerts told in one call: more than anybody can take in."""

DECISIONS = {"acknowledge": Decision.ACKNOWLEDGED, "take": Decision.TAKEN, "decline": Decision.DECLINED}
"""What each effect of a flow decides."""


@dataclass(slots=True, eq=False)
class Item:
    """One alert to be told to this phone: an attempt of ours, or (`attempt` False) another open alert of the same person."""

    briefing: Briefing
    urgent: bool = False
    attempt: bool = True
    chosen: bool = False
    """Whether it was its turn in this call."""
    begun: bool = False
    """Whether its text, or that it cannot be spoken, began to be heard."""
    spoken: bool = True
    """False where it could not be spoken."""
    heard: bool = False
    """Whether it was heard to its end."""
    decision: Decision | None = None
    pressed: bool = False
    """Whether a key for a decision came, whatever became of it."""
    unrecorded: bool = False
    """Whether the last such key could not be stored."""
    stopped: Stop | None = None

    @property
    def waits(self) -> bool:
        """Whether it is still to be told in this call."""
        return not self.chosen and self.stopped is None


def variables_of(briefing: Briefing, language: str) -> dict[str, Variable]:
    """What a flow knows of an alert; `language` is that of texts which name none."""
    return {"text": Variable(briefing.text, briefing.language or language)}


@dataclass(slots=True, eq=False)
class Agenda:
    """What is told in one call, and what was decided: it performs the effects that are about alerts. `find` gives what else is open
    for whoever listens."""

    attendant: Attendant
    find: Callable[[], Awaitable[Sequence[Briefing]]]
    language: str
    address: str = ""
    items: list[Item] = field(default_factory=list)
    current: Item | None = None
    first: Item | None = None
    """The one that was told first: the call is charged to it."""
    looked: bool = False
    unproved: bool = False
    """Whether a PIN was asked for, and not entered rightly: then nothing was told."""
    deciding: set[asyncio.Task[Reply]] = field(default_factory=set)

    def next(self) -> Item | None:
        """The next alert to be told, the urgent ones first; it is the current one from now on."""
        self.current = min((item for item in self.items if item.waits), key=lambda item: not item.urgent, default=None)
        if self.current is not None:
            self.current.chosen = True
        return self.current

    def opening(self) -> Mapping[str, Variable]:
        """The call is answered: chooses what is told first, and gives its variables."""
        self.first = self.next()
        return variables_of((self.first or self.items[0]).briefing, self.language)

    def add(self, item: Item) -> None:
        """One more alert to be told in this call; what was only found to be open gives way to the attempt at it."""
        reference = item.briefing.reference
        self.items = [one for one in self.items if one.chosen or one.attempt or one.briefing.reference != reference]
        self.items.append(item)

    def named(self, reference: str) -> list[Item]:
        """What is told, or was, under this reference."""
        return [item for item in self.items if item.briefing.reference == reference]

    def telling(self, *, whole: bool) -> None:
        """See `ivr.call.Effects`."""
        if self.current is not None:
            self.current.begun = True
            self.current.spoken = whole

    def told(self) -> None:
        """See `ivr.call.Effects`."""
        if self.current is not None:
            self.current.heard = True

    async def settled(self) -> None:
        """Waits until every key that was pressed is answered: people press one and hang up. Bounded by the attendant."""
        while self.deciding:
            await asyncio.wait(self.deciding)

    async def perform(self, effect: str, digits: str, recording: bytes) -> tuple[str, Mapping[str, Variable]]:
        """See `ivr.call.Effects`."""
        del recording
        if effect in DECISIONS:
            return await self._decide(DECISIONS[effect])
        match effect:
            case "next_alert":
                return await self._next_alert()
            case "needs_pin":
                self.unproved = await self.attendant.needs_pin(self.address)
                return ("yes" if self.unproved else "no"), {}
            case "check_pin":
                proof = await self.attendant.check_pin(self.address, digits)
                self.unproved = proof is not Proof.OK
                return proof.value, {}
        raise ValueError(f"no effect {effect}")

    async def _decide(self, decision: Decision) -> tuple[str, Mapping[str, Variable]]:
        item = self.current
        if item is None:
            return "failed", {}
        item.pressed = True
        item.unrecorded = False
        if item.stopped is not None:
            return ("elsewhere" if item.stopped.by else "over"), {"by": Variable(item.stopped.by)}
        task = asyncio.get_running_loop().create_task(self._decided(item, decision))
        self.deciding.add(task)
        task.add_done_callback(self.deciding.discard)
        reply = await asyncio.shield(task)
        item.unrecorded = reply.standing is Standing.FAILED
        return reply.standing.value, {"by": Variable(reply.by)}

    async def _decided(self, item: Item, decision: Decision) -> Reply:
        before, item.decision = item.decision, decision  # at once: the alert may end by it before the answer is here
        recorded = False
        try:
            reply = await self.attendant.decide(item.briefing.reference, decision)
            recorded = reply.standing is Standing.RECORDED
            return reply
        finally:
            if not recorded:
                item.decision = before

    async def _next_alert(self) -> tuple[str, Mapping[str, Variable]]:
        item = self.next()
        if item is None and not self.looked:
            self.looked = True
            known = {one.briefing.reference for one in self.items}
            found = await self.find()
            others = [one for one in found if one.reference not in known]
            self.items += [Item(briefing, attempt=False) for briefing in others[:TOLD_MAX]]
            item = self.next()
        return ("none", {}) if item is None else ("more", variables_of(item.briefing, self.language))


@dataclass(slots=True, eq=False)
class Phone:
    """A phone that is being called. Further alerts for it wait for this call instead of making one of their own."""

    agenda: Agenda
    handle: Handle
    foreign: bool = False
    """Whether it is at somebody else's domain: what fails there says nothing of our trunk."""
    result: CallResult | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def join(self, item: Item) -> None:
        """One more alert for it, told in the call that is under way."""
        self.agenda.add(item)
        if item.urgent:
            self.handle.hasten()

    def missed(self, item: Item) -> bool:
        """Whether others were told in the call, and it was over before this one's turn."""
        return not (item.begun or item.pressed) and any(other.begun for other in self.agenda.items)

    def stop(self, item: Item, stop: Stop) -> None:
        """Takes one alert back: with it the call, where it is about nothing else."""
        if item.stopped is not None or item.decision is not None:
            return  # this person has it, or is just saying so
        item.stopped = stop
        if any(other.attempt and other.waits for other in self.agenda.items):
            return  # the call goes on for another alert; a key for this one is answered with who has it
        if not self.handle.up:
            self.handle.hang_up(ELSEWHERE)
        elif self.agenda.current is not None and self.agenda.current.stopped is not None:
            self.handle.interrupt(stop.by)  # else what is told now was just decided, and the call ends with it
