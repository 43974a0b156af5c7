"""Numbers as people and attackers write them, asked of the API: which are taken, as what, and which are refused by what name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.api_desk import ApiDesk, alert, running
from tests.peers.ports import free_ports

FRANCE = """
default_region = "FR"
[[providers]]
name = "pbx"
channel = "voice"
kind = "sip"
host = "127.0.0.1"
port = {port}
listen = "127.0.0.1:0"
options_s = 0
allowed_domains = ["pbx.example"]
"""
BLANKS_AND_MARKS = (
    "\u00a0", "\u202f", "\u2009", "\u2007", "\u200a", "\u3000", "\u200e", "\u200f", "\u202a", "\u202c", "\u2066", "\u2069", "\u200b",
    "\u2060", "\ufeff", "\u00ad", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\ufe0f", "\u061c", "\u034f",
)  # fmt: skip


def voice(country: str = "", more: str = "") -> str:
    written = FRANCE.format(port=free_ports(1))
    return written + (f'country = "{country}"\n' if country else "") + more


async def verdicts(desk: ApiDesk, addresses: list[str]) -> dict[str, str]:
    """Each address as it would be tried, or the code of its refusal."""
    client = desk.client(await desk.key("submitter", "acme"))
    found = {}
    for address in addresses:
        answer = await client.post("/v1/alerts", json=alert(recipients=[address], dry_run=True))
        found[address] = _verdict(answer.status_code, answer.json())
    return found


def _verdict(status: int, answer: Mapping[str, Any]) -> str:
    if status == 200:
        (delivery,) = answer["deliveries"]
        return str(delivery["address"])
    assert status == 422
    (error,) = answer["errors"]
    assert error["field"] == "recipients[0]"
    return str(error["code"])


async def test_case_5_1_what_stands_behind_stars_and_hashes_is_judged_and_so_are_short_numbers(tmp_path: Path) -> None:
    expected = {
        "voice:#31#15": "emergency_number",
        "voice:*31#15": "emergency_number",
        "voice:#31#112": "emergency_number",
        "voice:*#31#17": "emergency_number",
        "voice:118712": "short_code_not_allowed",
        "voice:3900": "short_code_not_allowed",
        "voice:#31#3900": "short_code_not_allowed",
        "voice:*673900": "short_code_not_allowed",
        "voice:3651118712": "invalid_address",
        "voice:sip:118712@pbx.example": "short_code_not_allowed",
        "voice:4711": "voice:4711",
        "voice:101": "voice:101",
        "voice:*804711": "voice:*804711",
        "voice:sip:anna@pbx.example": "voice:sip:anna@pbx.example",
    }
    async with running(tmp_path, more=voice("FR")) as desk:
        assert await verdicts(desk, list(expected)) == expected


async def test_case_5_1_a_house_names_its_extensions_and_the_settings_short_codes(tmp_path: Path) -> None:
    named = 'extensions = ["39xx", "*80xxxx", "15"]\n[destinations]\nshort_codes = ["118712"]\n'
    expected = {
        "voice:118712": "voice:118712",
        "voice:3900": "voice:3900",
        "voice:sip:3901@pbx.example": "voice:sip:3901@pbx.example",
        "voice:*803900": "voice:*803900",
        "voice:3800": "short_code_not_allowed",
        "voice:15": "emergency_number",  # whatever a house calls so
        "voice:#31#3900": "short_code_not_allowed",  # not the house's, the network's
    }
    async with running(tmp_path, more=voice("FR", named)) as desk:
        assert await verdicts(desk, list(expected)) == expected


async def test_case_7_5_no_form_of_dialling_hides_a_number(tmp_path: Path) -> None:
    expected = {
        "voice:*67911": "emergency_number",
        "voice:*1167911": "emergency_number",
        "voice:#31#112": "emergency_number",
        "voice:112#": "emergency_number",
        "voice:sip:0033899701234@pbx.example": "premium_number",
        "voice:sip:01133899701234@pbx.example": "premium_number",
        "voice:sip:+33899701234@pbx.example": "premium_number",
        "voice:sip:00112@pbx.example": "emergency_number",
        "voice:sip:0112@pbx.example": "emergency_number",
        "voice:sip:%2331%23112@pbx.example": "emergency_number",
        "voice:sip:%2331%230033899701234@pbx.example": "premium_number",
        "voice:sip:*67911;x=1@pbx.example": "emergency_number",
        "voice:sip:1-1-2@pbx.example": "emergency_number",
        "voice:sip:1.1,2@pbx.example": "voice:sip:1.1,2@pbx.example",  # a pause in it: eleven, and a two after the answer
        "voice:sip:00881612345678@pbx.example": "satellite_number",
        "voice:sip:0097912345678@pbx.example": "premium_number",
        "voice:sip:+33112@pbx.example": "emergency_number",
        "voice:sip:003315@pbx.example": "emergency_number",
        "voice:sip:+44999@pbx.example": "emergency_number",
        "voice:sip:0111911@pbx.example": "emergency_number",
        "voice:sip:#31#+33112@pbx.example": "emergency_number",
        "voice:sip:+358112@pbx.example": "emergency_number",
    }
    async with running(tmp_path, more=voice()) as desk:  # nobody said in which country the exchange is
        assert await verdicts(desk, list(expected)) == expected


async def test_case_5_2_what_france_dials_as_its_own_and_is_another_country_s_is_stored_as_that(tmp_path: Path) -> None:
    expected = {
        "sms:0692 12 34 56": "sms:+262692123456",
        "sms:0690 12 34 56": "sms:+590690123456",
        "sms:0696 12 34 56": "sms:+596696123456",
        "sms:0694 12 34 56": "sms:+594694123456",
        "sms:0639 01 23 45": "sms:+262639012345",
        "sms:0693 33 12 34": "sms:+262693331234",
        "sms:0590 12 34 56": "sms:+590590123456",
        "sms:0262 12 34 56": "sms:+262262123456",
        "sms:0269 61 23 45": "sms:+262269612345",
        "sms:0596 30 12 34": "sms:+596596301234",
        "sms:0508 41 12 34": "sms:+508411234",
        "sms:06 12 34 56 78": "sms:+33612345678",
        "sms:0639 12 34 56": "unassigned_number",  # of a block of Mayotte's, and not given out
        "sms:+33692123456": "unassigned_number",
        "sms:+33 6 39 12 34 56": "unassigned_number",
        "voice:0692123456": "voice:+262692123456",
        "voice:+33692123456": "unassigned_number",
        "voice:sip:0692123456@pbx.example": "voice:sip:0692123456@pbx.example",
    }
    async with running(tmp_path, more=voice("FR")) as desk:
        assert await verdicts(desk, list(expected)) == expected


async def test_case_5_2_a_range_that_is_too_new_can_be_named(tmp_path: Path) -> None:
    named = '[destinations]\nunlisted_prefixes = ["+336921"]\n'
    async with running(tmp_path, more=named) as desk:
        assert await verdicts(desk, ["sms:+33692123456", "sms:+33692223456"]) == {
            "sms:+33692123456": "sms:+33692123456",
            "sms:+33692223456": "unassigned_number",
        }


async def test_case_5_2_the_refusal_names_the_number_that_was_meant(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        client = desk.client(await desk.key("submitter", "acme"))
        answer = await client.post("/v1/alerts", json=alert(recipients=["sms:+33692123456"]))
        assert "+262692123456" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("country", ["FR", "GB"])
async def test_case_5_4_the_provider_s_country_decides_what_is_an_emergency_number(
    tmp_path: Path, country: str
) -> None:
    expected = {
        "FR": {"voice:101": "voice:101", "voice:999": "voice:999", "voice:15": "emergency_number"},
        "GB": {"voice:101": "short_code_not_allowed", "voice:999": "emergency_number", "voice:15": "voice:15"},
    }[country]
    async with running(tmp_path, more=voice(country)) as desk:
        assert await verdicts(desk, list(expected)) == expected


async def test_case_5_4_each_provider_reads_a_number_in_its_own_country(tmp_path: Path) -> None:
    """Two carriers, each for its own country: the one that would carry the number says what it is."""
    second = """
[[providers]]
name = "carrier-b"
channel = "sms"
kind = "smpp"
host = "127.0.0.1"
port = 1
system_id = "user"
password = "pw"
default_region = "BE"
[[routes]]
channel = "sms"
prefix = "+32"
providers = ["carrier-b"]
[[routes]]
channel = "sms"
prefix = "+33"
providers = ["carrier-a"]
"""
    async with running(tmp_path, more='default_region = "FR"\n' + second) as desk:
        assert await verdicts(desk, ["sms:0612345678", "sms:0470123456", "sms:0478 12 34 56"]) == {
            "sms:0612345678": "sms:+33612345678",  # none of Belgium's has so many digits
            "sms:0470123456": "ambiguous_address",
            "sms:0478 12 34 56": "ambiguous_address",
        }


async def test_case_5_4_blanks_dashes_and_invisible_marks_between_digits_are_taken(tmp_path: Path) -> None:
    written = [f"sms:{mark}06{mark}12{mark}34{mark}56 78{mark}" for mark in BLANKS_AND_MARKS]
    spoken = [f"voice:+33{mark}612345678{mark}" for mark in BLANKS_AND_MARKS]
    expected = dict.fromkeys(written, "sms:+33612345678") | dict.fromkeys(spoken, "voice:+33612345678")
    async with running(tmp_path, more=voice("FR")) as desk:
        assert await verdicts(desk, [*written, *spoken]) == expected
