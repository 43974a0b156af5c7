"""[[people]] and [[lines]]: who proves who they are, and what answers when we are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.pins import hashed
from gateway.settings import LineSettings
from gateway.settings_references import PIN_ALONE_MAX
from tests.gateway.settings_desk import CARRIER, Desk

PIN = hashed("1369", bytes(range(16)))
ADA = f'[[people]]\nname = "ada"\naddresses = ["sms:+33612345678"]\nnumber = "4725"\npin = "{PIN}"\n'
FIRE = f'[[lines]]\nname = "fire"\nnumber = "+33140000018"\nkind = "alarm"\npin = "{PIN}"\ntext = "Fire"\n'
DUTY = '[[lines]]\nname = "duty"\nnumber = "+33140000019"\nkind = "acknowledgement"\n'
RAISED = '[[rules]]\nname = "alarms"\nsource = "phone"\naccount = "acme"\nrecipients = ["sms:+33612345678"]\n'
"""Whatever the line is called."""
HEAD = CARRIER + RAISED
ALARM = "an alarm line needs a text and a pin"
OWN = "pin, text and record_s are for alarm lines"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def without(table: str, key: str) -> str:
    return "".join(row for row in table.splitlines(keepends=True) if not row.startswith(f"{key} ="))


def test_people_and_lines_are_read(desk: Desk) -> None:
    settings = desk.load(HEAD + ADA + FIRE + "record_s = 30\n" + DUTY)
    (ada,) = settings.people
    assert (ada.name, ada.number, ada.pin_hash, ada.addresses) == ("ada", "4725", PIN, ("sms:+33612345678",))
    fire, duty = settings.lines
    assert (fire.kind, fire.record_s, fire.pin_hash) == ("alarm", 30, PIN)
    assert (duty.kind, duty.pin_hash, duty.text) == ("acknowledgement", "", "")
    assert PIN not in repr(settings)


@pytest.mark.parametrize("source", ['{env = "PIN"}', '{file = "pin"}'])
def test_a_pin_comes_from_elsewhere_too(desk: Desk, source: str) -> None:
    (desk.folder / "pin").write_text(PIN + "\n")
    settings = desk.load(HEAD + ADA.replace(f'"{PIN}"', source) + FIRE.replace(f'"{PIN}"', source), PIN=PIN)
    assert settings.people[0].pin_hash == settings.lines[0].pin_hash == PIN


@pytest.mark.parametrize("pin", ["1369", "scrypt:x", PIN[:-1], PIN + "x", "md5:1369"])
@pytest.mark.parametrize("table", [ADA, FIRE])
def test_a_pin_has_to_be_hashed_and_is_not_repeated(desk: Desk, table: str, pin: str) -> None:
    found = desk.problems(HEAD + table.replace(PIN, pin))
    assert any(".pin: expected a hashed PIN; `tocsin pins hash` makes one" in one for one in found)
    assert pin not in "".join(found)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (ADA + without(ADA, "number"), "people[1].name: people[0] is called"),
        (ADA + ADA.replace('"ada"', '"bob"'), "people[1].number: people[0] has the number"),
        (FIRE + FIRE.replace("018", "017"), "lines[1].name: lines[0] is called"),
        (FIRE + DUTY.replace("019", "018"), "lines[1].number: lines[0] has the number"),
        (FIRE + DUTY + FIRE.replace('"fire"', '"fire-2"'), "lines[2].number: lines[0] has the number"),
    ],
)
def test_names_and_numbers_are_one_s_own(desk: Desk, tables: str, said: str) -> None:
    (problem,) = desk.problems(HEAD + tables)
    assert said in problem


def test_people_without_numbers_are_no_duplicates(desk: Desk) -> None:
    nobody = without(ADA, "number")
    assert len(desk.load(HEAD + nobody + nobody.replace('"ada"', '"bob"')).people) == 2


def test_only_so_many_people_are_known_by_a_pin_alone(desk: Desk) -> None:
    nobody = without(ADA, "number")
    tables = [nobody.replace('"ada"', f'"p{n}"').replace("+336", f"+336{n}") for n in range(PIN_ALONE_MAX)]
    assert len(desk.load(HEAD + "".join(tables) + ADA).people) == PIN_ALONE_MAX + 1
    (problem,) = desk.problems(HEAD + "".join(tables) + nobody)
    assert "people[50].number: missing: at most 50 people may have a PIN and no number, and 51 have" in problem


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (without(FIRE, "pin"), f"lines[0]: {ALARM}"),
        (without(FIRE, "text"), f"lines[0]: {ALARM}"),
        (FIRE.replace(PIN, ""), f"lines[0]: {ALARM}"),
        (FIRE.replace('"Fire"', '""'), f"lines[0]: {ALARM}"),
        (DUTY + f'pin = "{PIN}"\n', f"lines[0]: {OWN}"),
        (DUTY + 'text = "Fire"\n', f"lines[0]: {OWN}"),
        (DUTY + "record_s = 5\n", f"lines[0]: {OWN}"),
        (DUTY.replace('"acknowledgement"', '"alert"'), "lines[0].kind: expected one of"),
        (FIRE + "record_s = 121\n", "lines[0].record_s: expected an integer from 0 to 120"),
        (FIRE + "record_s = -1\n", "lines[0].record_s: expected an integer from 0 to 120"),
        (FIRE.replace("+33140000018", "anna"), "lines[0].number: "),
        (FIRE.replace("+33140000018", ""), "lines[0].number: "),
        (FIRE.replace("+33140000018", "01 40 00 00 1x"), "lines[0].number: "),
        (FIRE.replace("+33140000018", "1 " * 21), "lines[0].number: "),
        (FIRE.replace("+33140000018", "1" * 21), "lines[0].number: "),
        (FIRE.replace('"Fire"', f'"{"x" * 1_001}"'), "lines[0].text: "),
        (FIRE.replace('"fire"', '"fire alarm"'), "lines[0].name: "),
        (without(FIRE, "kind"), "lines[0].kind: missing"),
        (FIRE + "pins = 1\n", 'lines[0].pins: unknown key, did you mean "pin"?'),
        (ADA.replace('"4725"', '"4725*"'), "people[0].number: "),
        (ADA.replace('"4725"', '"+33612345678"'), "people[0].number: "),
        (ADA.replace('"4725"', f'"{"1" * 13}"'), "people[0].number: "),
        (without(ADA, "addresses"), "people[0].addresses: missing"),
        (ADA.replace('["sms:+33612345678"]', "[]"), "people[0].addresses: "),
        (ADA.replace("sms:+336", "+336"), "people[0].addresses[0]: expected an address"),
        (ADA.replace("sms:+336", "voice:+336"), 'people[0].addresses[0]: no provider serves the channel "voice"'),
        (ADA.replace('"ada"', '""'), "people[0].name: "),
    ],
)
def test_wrong_tables_are_refused_at_their_key(desk: Desk, table: str, said: str) -> None:
    (problem,) = desk.problems(HEAD + table)
    assert f": {said}" in problem


def test_a_line_without_a_pin_is_refused_wherever_it_is_made() -> None:
    with pytest.raises(ValueError, match="every wrong number raises it"):
        LineSettings.model_validate({"name": "fire", "number": "1", "kind": "alarm", "text": "Fire"})
