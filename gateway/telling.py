"""An alert's timeline in words, as it happens, for whoever watches: the demo and the command line. Nothing is decided here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from billing.money import format_amount
from gateway.client import ApiClient

PAGE: Final = 200
"""Lines that one request asks for: the most that the API gives."""
OVERLAP: Final = timedelta(seconds=10)
"""How far back a look reads again: a line may be written a moment after a later one, or change while it is young."""

Json = Mapping[str, Any]
Words = tuple[str, str]
"""What happened in one word, and the rest of the sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One line of the timeline: as the API gave it, and for people."""

    line: Json
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What one look at an alert found: the alert as it stands, and the lines that no look before has found."""

    alert: Json
    lines: Sequence[Json]
    new: Sequence[Told]
    """Those of the lines that say something to people."""

    @property
    def status(self) -> str:
        """The alert's status."""
        return str(self.alert["status"])

    @property
    def open(self) -> bool:
        """Whether people are still to be reached, or somebody has still to take it in charge."""
        return self.status == "active" or (self.status == "acknowledged" and self.alert["ended_at"] is None)

    @property
    def unsettled(self) -> int:
        """Deliveries shown that may still cost something."""
        return sum(one["settled_at"] is None for one in self.alert["deliveries"])


class Telling:
    """Reads an alert again and again and gives what is new. `currency` is that of its account."""

    def __init__(self, api: ApiClient, alert_id: str, *, currency: str) -> None:
        self.api = api
        self.alert_id = alert_id
        self._wording = _Wording(currency)
        self._known: set[str] = set()
        self._pages: list[tuple[str | None, datetime | None]] = [(None, None)]
        """Where the pages begin that the next look reads again: the cursor, and the time of the first line."""
        self._began_at: datetime | None = None

    def look(self) -> Look:
        """Raises ApiError, UnreachableError; the next look then finds what this one would have."""
        # the status first: what led to it is on the timeline that is read after it
        alert = self.api.get("v1", "alerts", self.alert_id)
        lines = self._lines()
        return Look(alert=alert, lines=lines, new=[told for line in lines if (told := self._tell(line)) is not None])

    def _lines(self) -> list[Json]:
        """The lines of the last pages, from `OVERLAP` before the last one on, that were not there before."""
        found: list[Json] = []
        cursor: str | None = self._pages[0][0]
        pages: list[tuple[str | None, datetime | None]] = []
        last_at: datetime | None = None
        while True:
            page = self.api.get("v1", "alerts", self.alert_id, "timeline", limit=PAGE, cursor=cursor)
            items = page["items"]
            pages.append((cursor, _at(items[0]) if items else None))
            for line in items:
                last_at = _at(line)
                known = json.dumps(line, sort_keys=True)
                if known not in self._known:
                    self._known.add(known)
                    found.append(line)
            cursor = page["next_cursor"]
            if cursor is None:
                break
        while last_at is not None and len(pages) > 1 and (first := pages[1][1]) is not None:
            if first > last_at - OVERLAP:
                break
            pages.pop(0)
        self._pages = pages
        return found

    def _tell(self, line: Json) -> Told | None:
        at = _at(line)
        self._began_at = self._began_at or at
        words = self._wording.of(line)
        if words is None:
            return None
        after_s = (at - self._began_at).total_seconds()
        return Told(line=line, text=f"  {after_s:6.3f} s  {words[0]:<9} {' '.join(words[1].split())}".rstrip())


def _at(line: Json) -> datetime:
    return datetime.fromisoformat(line["at"])


class _Wording:
    """What a line says to people, or None for those that say little new: an attempt that its outcome follows."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self._addresses: dict[str, str] = {}
        self._failed: set[tuple[str, str]] = set()

    def of(self, line: Json) -> Words | None:
        if "address" in line:
            self._addresses[line["delivery"]] = line["address"]
        found = WORDING.get(line["kind"])
        return _anything(self, line) if found is None else found(self, line)

    def address(self, line: Json, member: str = "delivery") -> str:
        """The address of the delivery that the line is about."""
        known: str = line.get(member, "")
        return self._addresses.get(known, known)

    def money(self, amount: str) -> str:
        return f"{amount} {self._currency}".rstrip()

    def once(self, line: Json) -> bool:
        """Whether this failure of a delivery was not told yet: its last attempt tells it, and its end again."""
        known = (line["delivery"], line["code"])
        new = known not in self._failed
        self._failed.add(known)
        return new


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _by_voice(line: Json) -> bool:
    return str(line.get("address", "")).startswith("voice:")


def _accepted(_: _Wording, line: Json) -> Words:
    if line.get("source") == "api":
        return "accepted", "written to disk, then answered with 202"
    return "accepted", f"written to disk; it came by {line.get('source') or 'an intake'}"


def _attempt(_: _Wording, line: Json) -> Words | None:
    # the end of a call, or what a provider took, says the same
    return ("calling", f"{line['address']} over {line['provider']}") if _by_voice(line) else None


def _sent(_: _Wording, line: Json) -> Words | None:
    if _by_voice(line):
        return None
    part = f", part {line['part']}" if line.get("part", 1) > 1 else ""
    return "sent", f"{line['address']} over {line['provider']}{part}"


def _receipt(wording: _Wording, line: Json) -> Words | None:
    if "state" not in line:  # a word on the way, kept as it came
        return "receipt", _joined(wording.address(line), str(line.get("detail", "")))
    return None if _by_voice(line) else ("receipt", f"{line['address']} {line['state']} ({line['code']})")


OUTCOMES: Final[Mapping[str, str]] = {
    "delivered": "delivered", "retry_later": "not yet", "failed": "failed", "unsure": "unsure", "cancelled": "cancelled",
}  # fmt: skip


def _outcome(wording: _Wording, line: Json) -> Words | None:
    outcome = line["outcome"]
    if outcome in ("accepted", "") or (outcome == "failed" and not wording.once(line)):
        return None
    over = "" if outcome == "delivered" else f"over {line['provider']}:"
    if outcome == "unsure" and line["code"] == "interrupted":
        return "cut short", _joined(line["address"], over, "interrupted,", line["detail"])
    return OUTCOMES.get(outcome, outcome), _joined(line["address"], over, line["code"], line["detail"])


def _settled(wording: _Wording, line: Json) -> Words | None:
    state = line["state"]
    if state in ("delivered", "accepted") or (state == "failed" and not wording.once(line)):
        return None
    return state, _joined(line["address"], line["code"])


def _acknowledged(_: _Wording, line: Json) -> Words:
    comment = line.get("comment", "")
    if line.get("via") == "voice":
        return "answered", f"{line['by']} pressed a key on the phone: {comment or 'acknowledged'}"
    what = "takes it in charge" if line.get("word") == "taken" else "has received it"
    over = "the API" if line.get("via") == "api" else line.get("via")
    return "answered", f"{line['by']} {what}, over {over}" + (f': "{comment}"' if comment else "")


def _of_entry(word: str, rest: str) -> Callable[[_Wording, Json], Words]:
    return lambda wording, line: (
        word, f"{wording.money(line['amount'])}{rest}".replace("ADDRESS", wording.address(line, "cause"))
    )  # fmt: skip


def _status(rest: str) -> Callable[[_Wording, Json], Words]:
    return lambda _, line: ("status", f"{line['kind']}: {rest}")


def _said(word: str, rest: str) -> Callable[[_Wording, Json], Words]:
    def told(wording: _Wording, line: Json) -> Words:
        detail = " ".join(str(line.get("detail", "")).split())
        return word, rest.replace("DETAIL", detail).replace("ADDRESS", wording.address(line))

    return told


def _corrected(wording: _Wording, line: Json) -> Words:
    before, _, after, code = [*str(line.get("detail", "")).split(" "), "", "", "", ""][:4]
    return "corrected", f"{wording.address(line)} is {_joined(after, f'({code})' if code else '')}, no more {before}"


def _absorbed(wording: _Wording, line: Json) -> Words:
    return "absorbed", f"{wording.money(format_amount(int(line['detail'])))} beyond what was held, charged to nobody"


def _step(_: _Wording, line: Json) -> Words | None:
    return ("step", f"step {int(line['detail']) + 1} begins") if str(line.get("detail", "")).isdigit() else None


def _anything(wording: _Wording, line: Json) -> Words:
    return str(line["kind"]).replace("_", " "), _joined(wording.address(line), str(line.get("detail", "")))


WORDING: Final[Mapping[str, Callable[[_Wording, Json], Words | None]]] = {
    "accepted": _accepted,
    "queued": lambda _, __: None,  # what becomes of it follows
    "attempt": _attempt,
    "sent": _sent,
    "outcome": _outcome,
    "receipt": _receipt,
    "settled": _settled,
    "acknowledgement": _acknowledged,
    "hold": _of_entry("held", ", the most that this can cost"),
    "capture": _of_entry("charged", " for ADDRESS"),
    "release": _of_entry("released", " that was not needed"),
    "refund": _of_entry("refunded", ""),
    "absorbed": _absorbed,
    "step": _step,
    "active": _status("people are tried again"),
    "acknowledged": _status("nothing more goes out"),
    "completed": _status("everything is settled, and nobody was asked to acknowledge"),
    "resolved": _status("the trouble is over; nothing more goes out"),
    "cancelled": _status("called off; nothing more goes out"),
    "failed": _status("nobody was reached, and nothing is left to try"),
    "expired": _status("its time passed without the acknowledgement that it asked for"),
    "by": _said("status", "asked for by DETAIL"),
    "declined": _said("declined", "DETAIL cannot act"),
    "everybody_declined": _said("declined", "everybody who was reached"),
    "key_before_the_rise": _said("ignored", "DETAIL answered before the priority rose, and is asked anew"),
    "priority_raised": _said("raised", "the priority is DETAIL now; everybody is asked anew"),
    "widened": _said("widened", "DETAIL"),
    "repeated": _said("repeated", "DETAIL"),
    "corrected": _corrected,
    "sent_anew": _said("sent anew", "ADDRESS, since what was sent failed late"),
    "last_resort": _said("told", "the last resort, by DETAIL"),
    "recorded": _said("recorded", "what the caller said: DETAIL"),
    "callback_parked": _said("callback", "given up after its last try: DETAIL"),
    "callback_retried": _said("callback", "number DETAIL is tried again"),
}
"""Every kind of line, as people read it. A kind that is not here is told as it is written."""
