"""The timeline in words: every kind of line, and reading it again while it grows."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest

from gateway.alert import Status
from gateway.cli.following import ENDINGS
from gateway.cli.moments import moment, shown_time
from gateway.client import ApiClient
from gateway.clock import local_time, rfc3339
from gateway.telling import OVERLAP, PAGE, WORDING, Telling

ROOT = Path(__file__).parents[2]
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def kinds_of_events() -> set[str]:
    """Every kind that the code writes as an event of the timeline: a word, or a constant of gateway's."""
    constants: dict[str, str] = {}
    written: set[str] = set()
    trees = [ast.parse(path.read_text()) for path in (ROOT / "gateway").rglob("*.py")]
    for tree in trees:
        for assigned in tree.body:
            if isinstance(assigned, ast.Assign) and isinstance(assigned.value, ast.Constant):
                names = [target.id for target in assigned.targets if isinstance(target, ast.Name)]
                constants |= dict.fromkeys(names, str(assigned.value.value))
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "event":
                kind = node.args[1]
                if isinstance(kind, ast.Constant):
                    written.add(str(kind.value))
                elif isinstance(kind, ast.Name):
                    written.add(constants[kind.id])
                else:
                    assert ast.unparse(kind) == "str(after.status)"
                    written |= {str(status) for status in Status}
    return written


def test_every_kind_of_line_has_its_words() -> None:
    events = kinds_of_events()
    assert {"declined", "repeated", "expired", "corrected", "last_resort"} <= events
    assert events - set(WORDING) == set()
    sources = re.findall(r'_Source\("(\w+)"', (ROOT / "gateway" / "api" / "timeline.py").read_text())
    assert set(sources) - {"event", "entry"} - set(WORDING) == set()
    assert {str(status) for status in Status} == set(ENDINGS)


class Server(ApiClient):
    """An API that has one alert, with the lines that a test writes."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.lines: list[dict[str, Any]] = []
        self.read = 0

    def write(self, after_s: float, detail: str) -> None:
        line = {"at": rfc3339(BEGAN + timedelta(seconds=after_s)), "kind": "widened", "detail": detail}
        self.lines = sorted([*self.lines, line], key=lambda one: str(one["at"]))

    def get(self, *path: str, **query: str | int | None) -> dict[str, Any]:
        if path[-1] != "timeline":
            return {"status": "active", "ended_at": None, "deliveries": []}
        # as in the API, a cursor is where the line before it stands, whatever comes in between later
        after = str(query["cursor"] or "")
        found = [one for one in self.lines if str(one["at"]) > after]
        page = found[: int(query["limit"] or 0)]
        self.read += len(page)
        return {"items": page, "next_cursor": page[-1]["at"] if len(found) > len(page) else None}


def test_each_line_is_told_once_also_one_that_was_written_late() -> None:
    server = Server()
    telling = Telling(server, "alt_1", currency="EUR")
    assert telling.look().new == []
    told: list[str] = []
    for n in range(1000):
        server.write(n / 10, f"n{n}")
        if n % 7 == 0:
            server.write(n / 10 - OVERLAP.total_seconds() / 2 + 0.01, f"late{n}")
        if n % 50 == 0:
            told += [str(one.line["detail"]) for one in telling.look().new]
    told += [str(one.line["detail"]) for one in telling.look().new]
    assert sorted(told) == sorted(str(line["detail"]) for line in server.lines)


def test_what_is_long_past_is_not_read_again() -> None:
    server = Server()
    telling = Telling(server, "alt_1", currency="EUR")
    for n in range(20 * PAGE):
        server.lines.append({"at": rfc3339(BEGAN + timedelta(seconds=n)), "kind": "widened", "detail": str(n)})
    assert len(telling.look().new) == 20 * PAGE
    server.read = 0
    assert telling.look().new == []
    assert server.read <= 2 * PAGE


def test_no_line_has_a_hole_in_it_and_who_asked_is_in_the_sentence() -> None:
    server = Server()
    server.lines = [
        {"at": rfc3339(BEGAN), "kind": "cancelled", "detail": ""},
        {"at": rfc3339(BEGAN), "kind": "by", "detail": " Anna  Brun\n"},
        {
            "at": rfc3339(BEGAN),
            "kind": "acknowledgement",
            "by": " Ada ",
            "word": "received",
            "via": "api",
            "comment": "a  b",
        },
    ]
    told = [one.text.partition(" s  ")[2] for one in Telling(server, "alt_1", currency="EUR").look().new]
    assert told[1:] == ["status    asked for by Anna Brun", 'answered  Ada has received it, over the API: "a b"']


def test_an_attempt_that_was_interrupted_is_told_as_such() -> None:
    server = Server()
    detail = "Tocsin stopped in the middle of it; it is tried again"
    line = {"kind": "outcome", "delivery": "dlv_1", "address": "voice:+33612345678", "provider": "trunk", "attempt": 1}
    server.lines = [{"at": rfc3339(BEGAN), **line, "outcome": "unsure", "code": "interrupted", "detail": detail}]
    (told,) = Telling(server, "alt_1", currency="EUR").look().new
    assert told.text.endswith(f"cut short voice:+33612345678 over trunk: interrupted, {detail}")


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "something_new", "detail": "of a later version"},
        {"kind": "receipt", "detail": "enroute raw", "delivery": "dlv_1"},
        {"kind": "corrected", "detail": ""},
        {"kind": "acknowledgement", "by": "Anna", "word": "received"},
        {"kind": "accepted"},
    ],
)
def test_a_line_that_is_not_as_expected_is_told_all_the_same(line: dict[str, Any]) -> None:
    server = Server()
    server.lines = [{"at": rfc3339(BEGAN), **line}]
    assert len(Telling(server, "alt_1", currency="EUR").look().new) == 1


PARIS = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 30, 0, 30, tzinfo=PARIS)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", "2026-11-29T23:28:30"),
        ("2h", "2026-11-29T21:30:00"),
        ("3d", "2026-11-26T23:30:00"),
        ("1w", "2026-11-22T23:30:00"),
        ("00:10", "2026-11-29T23:10:00"),
        ("2026-11-30", "2026-11-29T23:00:00"),
        ("2026-11-30T14:30", "2026-11-30T13:30:00"),
        ("2026-11-30 14:30:05Z", "2026-11-30T14:30:05"),
        ("2026-11-30T14:30+05:00", "2026-11-30T09:30:00"),
    ],
)
def test_times_are_read_as_people_say_them(text: str, at: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(at).replace(tzinfo=UTC)


def test_a_day_is_asked_for_whole() -> None:
    day = moment("2026-11-30", NOW), moment("2026-11-30", NOW, whole_day=True)
    assert day[1] - day[0] == timedelta(days=1)
    assert moment("2026-11-30T00:00", NOW, whole_day=True) == day[0]


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-2h", "2 h", "25:00", "12:60", "2026-13-01", "999999w", "1e9s", "٢h"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        moment(text, NOW)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "2026-11-30 16:16:37 UTC"),
        ("Europe/Paris", "2026-11-30 17:16:37 CET (UTC+01:00)"),
        ("Asia/Kolkata", "2026-11-30 21:46:37 IST (UTC+05:30)"),
        ("America/Sao_Paulo", "2026-11-30 13:16:37 UTC-03:00"),
        ("America/St_Johns", "2026-11-30 12:46:37 NST (UTC-03:30)"),
    ],
)
def test_a_time_is_shown_with_its_zone(zone: str, shown: str) -> None:
    assert shown_time("2026-11-30T16:16:37.414141Z", ZoneInfo(zone)) == shown


def test_every_zone_there_is_can_be_shown() -> None:
    for name in available_timezones():
        assert re.search(r"[A-Z]{3}( \(UTC[+-]|[+-]|$)", local_time(BEGAN, ZoneInfo(name))), name
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert local_time(summer, ZoneInfo("Europe/Paris")) == "2026-07-01 14:00 CEST (UTC+02:00)"


def test_where_there_is_no_time_a_dash_is_shown() -> None:
    assert shown_time(None) == "-"
