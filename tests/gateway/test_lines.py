"""Which line answers: spellings of one number, extensions, and what answers where no line is called."""

from __future__ import annotations

from typing import Any

import pytest

from channels.conversation import Line
from gateway.lines import Lines
from gateway.pins import hashed
from gateway.settings import LineSettings

PIN = hashed("1234", bytes(16))


def line(name: str, number: str, kind: str = "alarm", **more: Any) -> LineSettings:
    alarm = {"pin": PIN, "text": "Fire"} if kind == "alarm" else {}
    return LineSettings.model_validate({"name": name, "number": number, "kind": kind, **alarm, **more})


FIRE = line("fire", "+33140000018", language="fr", record_s=20)
DUTY = line("duty", "+33140000019", "acknowledgement")
DESK = line("desk", "4711")


def called(*numbers: str, lines: tuple[LineSettings, ...] = (FIRE, DUTY, DESK), anybody: bool = True) -> str | None:
    found = Lines(lines, anybody=anybody).called(numbers)
    return None if found is None else found.name


@pytest.mark.parametrize("number", ["+33140000018", "0033140000018", "33140000018", "0140000018", "140000018"])
@pytest.mark.parametrize(
    "written",
    [
        "+33140000018", "0033140000018", "0140000018", "33140000018", "01 40 00 00 18", "01.40.00.00.18",
        "01-40-00-00-18", "+33 (0)1 40 00 00 18", "01\u00a040\u00a000\u00a000\u00a018", "01\u202f40\u202f00\u202f00\u202f18",
    ],
)  # fmt: skip
def test_spellings_of_one_number(number: str, written: str) -> None:
    assert called(number, lines=(line("fire", written), DUTY)) == "fire"


@pytest.mark.parametrize(
    "number",
    ["+33140000017", "+331400000180", "+44140000018", "0140000", "018", "", "+", "0", "00", "tocsin", "+3314000001"],
)
def test_other_numbers_are_no_line(number: str) -> None:
    assert called(number) is None


@pytest.mark.parametrize(
    "number", ["4711", "+4711", "47110", "14711", "+33140004711", "04711", "711", "*4711", "4711#"]
)
def test_extensions_are_compared_whole(number: str) -> None:
    assert called(number) == ("desk" if number == "4711" else None)


def test_keys_of_a_phone_may_be_an_extension() -> None:
    assert called("*21#", lines=(line("star", "*21#"),)) == "star"
    assert called("21", lines=(line("star", "*21#"),), anybody=False) is None


def test_the_likeliest_number_goes_first() -> None:
    assert called("0140000019", "0140000018") == "duty"
    assert called("tocsin", "0140000018") == "fire"
    assert called("tocsin", "anonymous") is None
    assert called() is None


def test_the_same_spelling_goes_before_a_likely_one() -> None:
    short, long = line("short", "140000018"), line("long", "+33140000018")
    assert called("+33140000018", lines=(short, long)) == "long"
    assert called("140000018", lines=(long, short)) == "short"


def test_what_a_line_says_of_itself() -> None:
    lines = Lines([FIRE, DUTY], anybody=True)
    found = lines.called(["0140000018"])
    assert found == Line(kind="alarm", name="fire", language="fr", record_s=20)
    assert lines.settings_of(found) is FIRE
    assert lines.settings_of(Line(kind="alarm", name="flood")) is None


@pytest.mark.parametrize(
    ("lines", "anybody", "kind"),
    [
        ((), True, "acknowledgement"),  # every number is the people's
        ((FIRE,), True, "acknowledgement"),
        ((FIRE, DUTY), True, None),  # theirs is named
        ((), False, None),
        ((FIRE,), False, None),
    ],
)
def test_what_answers_other_numbers(lines: tuple[LineSettings, ...], anybody: bool, kind: str | None) -> None:
    found = Lines(lines, anybody=anybody).called(["+33199999999", "tocsin"])
    assert (None if found is None else found.kind) == kind
    if found is not None:
        assert Lines(lines, anybody=anybody).settings_of(found) is None  # and no PIN opens an alarm there


def test_an_alarm_line_is_never_the_default() -> None:
    for number in ("4712", "", "+33140000020"):
        found = Lines([FIRE, DESK], anybody=True).called([number])
        assert found is not None
        assert (found.kind, found.name) == ("acknowledgement", "")
