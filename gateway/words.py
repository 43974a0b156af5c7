"""The one door for what people say about an alert, by key, line or API: put on record, and what it makes of the alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select, update

from gateway import alert as machine
from gateway.alert import Alert, Rule, Words
from gateway.clock import rfc3339
from gateway.escalation import everybody, plan_from_json, recipients_from_json
from gateway.identity import Person, claimed, folded
from gateway.ids import new_id
from gateway.progress import change_alert
from gateway.store import tables
from gateway.store.unit import Unit


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Signal: somebody acknowledged an alert. Where its rule is met by it, `AlertEnded` follows in the same commit."""

    alert_id: str
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """What somebody said. `by` is who it was in their own words, `person` whom they are taken for. `taken`: they take
    it in charge; else they have received it. `key_id` is the key of the API that told it, "" where it was said to us."""

    by: str
    person: Person
    taken: bool
    via: str
    comment: str = ""
    key_id: str = ""


def hear(unit: Unit, alert: Alert, word: Word) -> Alert:
    """Puts the word on record; gives the alert as it is then. Raises AlreadyEnded, and then nothing is on record."""
    unit.flush()  # words of this batch count
    before = said(unit, alert.id)
    after = dict(before)
    identity = word.person.identity
    if identity:
        after[identity] = word.taken or before.get(identity, False)
    changed = machine.acknowledged(alert, _words(before), _words(after), unit.now)
    _record(unit, alert.id, word)
    return alert if changed is alert else change_alert(unit, alert, changed)


def said(unit: Unit, alert_id: str) -> dict[str, bool]:
    """Everybody whose word counts since all were last asked, and whether they took it in charge."""
    t = tables.acknowledgements.c
    found = unit.connection.execute(
        select(t.person, t.taken).where(t.alert_id == alert_id, t.handed_back == 0, t.person != "")
    )
    people: dict[str, bool] = {}
    for person, taken in found:
        people[person] = people.get(person, False) or bool(taken)
    return people


def ask_anew(unit: Unit, alert_id: str) -> None:
    """Everybody is asked again: what was said so far, in this batch as well, stays on record and counts no more."""
    unit.flush()
    t = tables.acknowledgements
    unit.connection.execute(update(t).where(t.c.alert_id == alert_id).values(handed_back=1))


def who_has_it(unit: Unit, alert_id: str) -> str:
    """Who took it in charge last, or said last that they received it; "" where nobody has."""
    t = tables.acknowledgements.c
    counts = (t.alert_id == alert_id, t.handed_back == 0, t.person != "")
    return unit.connection.scalar(select(t.by).where(*counts).order_by(t.taken.desc(), t.id.desc()).limit(1)) or ""


def person_of(alert: Alert, by: str, names: Mapping[str, str]) -> Person:
    """Whom the alert takes somebody for who says through the API that they are `by`. Where one word is enough, the holder of the
    key may give it for anybody; where several people have to, a stranger to the alert does not count. `names` are those of
    people by their addresses."""
    if alert.rule in (Rule.NONE, Rule.ANY):
        return Person(folded(by), by)
    plan, recipients = plan_from_json(alert.steps), recipients_from_json(alert.recipients)
    told = ((address, recipient.person) for recipient in recipients for address in recipient.addresses)
    return claimed(by, names, (*everybody(plan, recipients), *told))


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaker:
    """Whom an alert takes somebody for, and the people among whom that was found out: others may join the alert meanwhile."""

    person: Person
    recipients: str
    steps: str

    @classmethod
    def of(cls, alert: Alert, by: str, names: Mapping[str, str]) -> Speaker:
        """As `person_of`."""
        return cls(person=person_of(alert, by, names), recipients=alert.recipients, steps=alert.steps)

    def among(self, alert: Alert) -> bool:
        """Whether the alert has the same people still."""
        return (self.recipients, self.steps) == (alert.recipients, alert.steps)


def _words(people: Mapping[str, bool]) -> Words:
    return Words(people=len(people), taken=any(people.values()))


def _record(unit: Unit, alert_id: str, word: Word) -> None:
    acknowledgement_id = new_id("ack")
    unit.insert(
        "acknowledgements", acknowledgement_id, alert_id, word.by, word.comment, word.via, word.key_id, unit.now_micros,
        word.person.identity, int(word.taken),
    )  # fmt: skip
    unit.note(
        alert_id,
        {
            "type": "acknowledgement",
            "id": acknowledgement_id,
            "by": word.by,
            "person": word.person.called,
            "taken": word.taken,
            "counts": bool(word.person.identity),
            "via": word.via,
            "at": rfc3339(unit.now),
        },
    )
    unit.signal(Acknowledged(alert_id, word.by))
