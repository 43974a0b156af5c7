"""Alertmanager's notifications of any size and form: the first members and all that is said of the group, in bounded memory. Pure.

Alertmanager reads no answers: a notification that is refused is one that nobody hears of, and the larger the outage, the larger it is.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

MEMBERS_MAX = 10_000
"""Members of one notification that are read; the others are counted. Alertmanager's `max_alerts` keeps them fewer."""
KEPT_CHARS_MAX = 4 * 1024 * 1024
"""Of members that are kept whole. Of those beyond, what tells them apart is kept and what describes them is not."""
VALUE_CHARS_MAX = 512 * 1024
"""Of one member, or of one value of the group. No label that Prometheus takes comes near; a larger one ends the reading."""
DIGITS_MAX = 18
"""Of a number that is written as text: what a database takes."""
BYTES_MAX = 512 * 1024 * 1024
"""Of a body that is read to its end, in pieces that are forgotten: twenty times what a million members have."""

GROUP_KEYS = frozenset({
    "receiver", "status", "groupLabels", "commonLabels", "commonAnnotations", "version", "groupKey", "truncatedAlerts",
})  # fmt: skip
"""What is kept of the group; `groupKey` comes after the members (Alertmanager, notify/webhook)."""
_MEMBERS = "alerts"
_LABELS = frozenset({"groupLabels", "commonLabels"})
_STATUS = frozenset({"firing", "resolved"})
_BLANKS = re.compile(r"[ \t\r\n]*")


class _MoreNeeded(Exception):  # noqa: N818 - no error
    """The value is not complete yet."""


class _Broken(Exception):  # noqa: N818 - no error
    """From here on it is no notification."""


class NotificationReader:
    """Takes the bytes of a body piece by piece and gives, at any time, a notification of what has been read so far."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._scan = json.JSONDecoder(strict=False).raw_decode
        self._text = ""
        self._at = 0
        self._step = self._begin
        self._key = ""
        self._known: dict[str, Any] = {}
        self._members: list[dict[str, Any]] = []
        self._kept_chars = 0
        self._left_out = 0
        self._bytes = 0
        self.over = False
        """Nothing more is read: it has ended, is broken or is beyond all bounds."""
        self.complete = False
        """It was read to its end."""
        self.unclear = False
        """Something that it says of alerts is in no form that could be read."""

    def feed(self, data: bytes) -> None:
        """Reads on. Never raises."""
        self._bytes += len(data)
        if self.over:
            return
        self._text = self._text[self._at :] + self._decoder.decode(data)
        self._at = 0
        try:
            while not self.over:
                self._step()
        except _MoreNeeded:
            self.over = len(self._text) - self._at > VALUE_CHARS_MAX or self._bytes > BYTES_MAX
        except _Broken:
            self.over = True

    def notification(self) -> dict[str, Any]:
        """What has been read, in the form that Alertmanager posts. Without its end, where the group's key is, the group is told by
        what its members share."""
        known, shared = self._known, _shared(self._members)
        labels = _texts(known.get("groupLabels"))
        receiver, key = _text(known.get("receiver")), _text(known.get("groupKey"))
        common = _texts(known.get("commonLabels")) or shared
        unclear = self.unclear or known.get("version", "4") not in ("4", 4)
        return {
            "version": "4",
            "status": self._status(),
            "receiver": receiver,
            "groupKey": key or f"unread:{receiver}:{json.dumps(labels or common, sort_keys=True)}",
            "groupLabels": labels,
            "commonLabels": common,
            "commonAnnotations": _texts(known.get("commonAnnotations")),
            "truncatedAlerts": _count(known.get("truncatedAlerts")) + self._left_out,
            _MEMBERS: self._members,
            "unread": unclear or not self.complete,
            "unclear": unclear and self.complete,
        }

    def _status(self) -> str:
        """What it says; where it says neither, a group of which every member is resolved is resolved."""
        said = _word(self._known.get("status"))
        if said in _STATUS:
            return said
        cut = self._left_out or _count(self._known.get("truncatedAlerts"))
        over = self.complete and not self.unclear and self._members and not cut
        return "firing" if not over or any(map(_fires, self._members)) else "resolved"

    @property
    def named(self) -> bool:
        """Whether the group's key was read."""
        return bool(_text(self._known.get("groupKey")))

    @property
    def rest(self) -> str:
        """What follows the end, of the piece in which it came."""
        return self._text[self._at :] if self.complete else ""

    # --- one step of reading each ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._expect("{")
        self._step = self._name

    def _name(self) -> None:
        if self._peek() == "}":
            self._at += 1
            self.over = self.complete = True
            return
        if self._peek() == ",":
            self._at += 1
        key = self._value()
        if not isinstance(key, str):
            raise _Broken
        self._key = key
        self._step = self._colon

    def _colon(self) -> None:
        self._expect(":")
        self._step = self._content

    def _content(self) -> None:
        if self._key == _MEMBERS and self._peek() == "[":
            self._at += 1
            self._step = self._member
            return
        value = self._value()
        if self._key in GROUP_KEYS:
            self._known[self._key] = value
        self.unclear |= self._key == _MEMBERS or (self._key in _LABELS and not _is_map(value))
        self._step = self._name

    def _member(self) -> None:
        if self._peek() == ",":
            self._at += 1
        if self._peek() == "]":
            self._at += 1
            self._step = self._name
            return
        start = self._at
        self._keep(self._value(), self._at - start)

    def _keep(self, posted: Any, chars: int) -> None:
        if not isinstance(posted, dict):
            self.unclear = True
            return
        self.unclear |= not _is_map(posted.get("labels"))
        self._kept_chars += chars
        fires = _fires(posted)
        if len(self._members) == MEMBERS_MAX:
            self._left_out += fires
            return
        member: dict[str, Any] = {
            "status": "firing" if fires else "resolved",
            "labels": _texts(posted.get("labels")),
            "annotations": _texts(posted.get("annotations")),
            "fingerprint": _text(posted.get("fingerprint")),
        }
        if self._kept_chars > KEPT_CHARS_MAX:
            member = _told_apart(member)
        self._members.append(member)

    # --- text --------------------------------------------------------------------------------------------------------

    def _peek(self) -> str:
        self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # it always matches
        if self._at == len(self._text):
            raise _MoreNeeded
        return self._text[self._at]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise _Broken
        self._at += 1

    def _value(self) -> Any:
        """The value that begins here. A number may go on in the next piece, and so may whatever is not complete."""
        self._peek()
        try:
            value, end = self._scan(self._text, self._at)
        except (ValueError, RecursionError):
            raise _MoreNeeded from None
        if end == len(self._text) and not isinstance(value, str | list | dict):
            raise _MoreNeeded
        self._at = end
        return value


def _text(value: Any) -> str:
    """The text, without what no database takes; "" for anything else."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {_text(name): _as_text(text) for name, text in value.items()}


def _as_text(value: Any) -> str:
    """A label's value; one that is no text as JSON has it, and "" for null, as for a label that is not there."""
    if value is None or isinstance(value, str):
        return _text(value)
    try:
        return json.dumps(value)
    except RecursionError:
        return ""


def _is_map(value: Any) -> bool:
    """An empty map of Go may be written as null."""
    return value is None or isinstance(value, dict)


def _count(value: Any) -> int:
    """The number, also where it is written as text; 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) <= DIGITS_MAX:
        return int(value)
    return value if type(value) is int and value >= 0 else 0


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _shared(members: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The labels that all members that were kept whole have in common."""
    labelled = [member["labels"] for member in members if "labels" in member]
    if not labelled:
        return {}
    first, *rest = labelled
    return {name: value for name, value in first.items() if all(labels.get(name) == value for labels in rest)}


def _told_apart(member: dict[str, Any]) -> dict[str, Any]:
    """What is needed to know the member again."""
    kept = ("status", "fingerprint") if member.get("fingerprint") else ("status", "labels")
    return {name: member[name] for name in kept if name in member}


def _fires(member: Any) -> bool:
    return isinstance(member, dict) and _word(member.get("status")) != "resolved"


def with_first_members(posted: dict[str, Any]) -> dict[str, Any]:
    """The notification with no more members than are read; those that fire beyond count as left out by Alertmanager do."""
    members = posted.get(_MEMBERS)
    if not isinstance(members, list) or len(members) <= MEMBERS_MAX:
        return posted
    cut = posted.get("truncatedAlerts", 0)
    beyond = sum(map(_fires, members[MEMBERS_MAX:]))
    total = cut + beyond if type(cut) is int and cut >= 0 else cut  # what is wrong with it is told by whoever validates
    return {**posted, _MEMBERS: members[:MEMBERS_MAX], "truncatedAlerts": total}


def with_goodwill(body: bytes) -> dict[str, Any]:
    """A notification of whatever was posted, in the form that Alertmanager posts. `unclear` where it may have said something else."""
    reader = NotificationReader()
    reader.feed(body.decode(json.detect_encoding(body), "replace").lstrip("\ufeff").encode("utf-8", "replace"))
    posted = reader.notification()
    rest = reader.rest.strip()
    if rest:  # it may be another one, which fires
        posted["status"] = "firing"
    told = posted[_MEMBERS] or posted["status"] == "resolved"
    posted["unclear"] = posted["unread"] = bool(posted["unread"] or not told or rest)
    known = reader.named or posted["groupLabels"] or posted["commonLabels"]
    if rest or not known:
        posted["groupKey"] = f"unread:{hashlib.sha256(body).hexdigest()}"  # nothing tells it from others but all of it
    return posted
