"""Refused destinations, by table: emergency services, dear numbers, satellites, countries, short codes."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from gateway.destinations import DestinationPolicy, check, countries_of_prefixes, is_country

REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
ANYWHERE = DestinationPolicy()
FRANCE = DestinationPolicy(
    countries=frozenset({"FR"}), default_region="FR", short_codes=frozenset({"36179", "112", "15"})
)
DEAR = DestinationPolicy(allow_premium=True, allow_shared_cost=True, allow_satellite=True)


def code(value: str, policy: DestinationPolicy, channel: str = "sms") -> str | None:
    refusal = check(channel, value, policy)
    return refusal.code if refusal else None


@pytest.mark.parametrize(
    ("value", "anywhere", "france"),
    [
        ("+33612345678", None, None),
        ("+33155667788", None, None),  # begins with 15, which is an emergency number only alone
        ("+33112345678", None, None),
        ("+4915112345678", None, "country_not_allowed"),
        ("+262692123456", None, "country_not_allowed"),  # Réunion has a country code of its own
        ("+447700900123", "unassigned_number", "country_not_allowed"),  # in no plan, yet somewhere in +44
        ("+33692123456", "unassigned_number", "unassigned_number"),  # nobody's
        ("+12025550100", None, "country_not_allowed"),
        ("112", "emergency_number", "emergency_number"),
        ("911", "emergency_number", "emergency_number"),  # understood everywhere by GSM networks
        ("15", "emergency_number", "emergency_number"),  # even where short_codes names it
        ("17", "emergency_number", "emergency_number"),
        ("18", "emergency_number", "emergency_number"),
        ("1 1 2", "emergency_number", "emergency_number"),
        ("*112#", "emergency_number", "emergency_number"),
        ("999", "emergency_number", "short_code_not_allowed"),  # Britain's; France connects it to nobody
        ("+112", "emergency_number", "emergency_number"),
        ("+33112", "emergency_number", "emergency_number"),
        ("+3315", "emergency_number", "emergency_number"),
        ("+1911", "emergency_number", "emergency_number"),
        ("+44999", "emergency_number", "emergency_number"),
        ("+33899701234", "premium_number", "premium_number"),
        ("+338997012345678", "premium_number", "premium_number"),  # digits too many: the network ignores them
        ("+19005550100", "premium_number", "premium_number"),
        ("+97912345678", "premium_number", "premium_number"),  # international premium rate
        ("+33825123456", "shared_cost_number", "shared_cost_number"),
        ("+80812345678", "shared_cost_number", "shared_cost_number"),
        ("+870773123456", "satellite_number", "satellite_number"),
        ("+881612345678", "satellite_number", "satellite_number"),
        ("+88299912345", "satellite_number", "satellite_number"),
        ("+883510012345678", "satellite_number", "satellite_number"),
        ("+80012345678", "country_not_allowed", "country_not_allowed"),  # in no country
        ("+878101234567890", "country_not_allowed", "country_not_allowed"),
        ("+999123456", "country_not_allowed", "country_not_allowed"),  # no such country code
        ("+", "country_not_allowed", "country_not_allowed"),
        ("36179", "short_code_not_allowed", None),
        ("36180", "short_code_not_allowed", "short_code_not_allowed"),
        ("0612345678", "short_code_not_allowed", "short_code_not_allowed"),  # the channel makes this +33… beforehand
        ("", "short_code_not_allowed", "short_code_not_allowed"),
    ],
)
def test_what_may_be_reached(value: str, anywhere: str | None, france: str | None) -> None:
    assert code(value, ANYWHERE) == anywhere
    assert code(value, FRANCE) == france


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("+33899701234", None),
        ("+33825123456", None),
        ("+870773123456", None),
        ("+88299912345", None),
        ("112", "emergency_number"),
        ("+97912345678", "country_not_allowed"),  # allowed once "001" is among the countries
    ],
)
def test_what_settings_can_let_through(value: str, refusal: str | None) -> None:
    assert code(value, DEAR) == refusal


def test_global_services_are_a_country_of_their_own() -> None:
    assert code("+80012345678", DestinationPolicy(countries=frozenset({"001"}))) is None


@pytest.mark.parametrize(
    ("value", "refusal"),
    [
        ("+33612345678", None),
        ("tel:+33612345678", None),
        ("tel:+33-899-70-12-34;ext=1", "premium_number"),
        ("tel:112", "emergency_number"),
        ("sip:desk@pbx.example", None),
        ("sip:4711@pbx.example", None),
        ("sip:112.0.0.1", None),  # a host alone
        ("sip:@pbx.example", None),
        ("sip:112@pbx.example", "emergency_number"),
        ("SIP:112;phone-context=+33@pbx.example", "emergency_number"),
        ("sip:%31%31%32@pbx.example", "emergency_number"),
        ("sips:+33899701234:secret@pbx.example", "premium_number"),
        ("sip:0899701234@pbx.example", "premium_number"),  # dialled from France
        ("sip:0612345678@pbx.example", None),
        ("sip:+4915112345678@pbx.example", "country_not_allowed"),
        ("sip:112p1@pbx.example", "emergency_number"),  # a pause, and a one after the answer
        ("sip:112Ww1@pbx.example", "emergency_number"),
        ("sip:0899701234x7@pbx.example", "premium_number"),
        ("sip:112west@pbx.example", None),  # a name
        ("sip:+33115@pbx.example", "short_code_not_allowed"),  # what is short at home is so behind its country's code
        ("sip:0033115@pbx.example", "short_code_not_allowed"),
        ("sip:+334711@pbx.example", None),
    ],
)
def test_numbers_in_voice_addresses_are_judged_too(value: str, refusal: str | None) -> None:
    assert code(value, FRANCE, "voice") == refusal


@pytest.mark.parametrize("channel", ["email", "pager", "slack"])
def test_channels_without_telephone_numbers_are_not_judged(channel: str) -> None:
    assert check(channel, "112", FRANCE) is None


def examples_by_region() -> dict[str, str]:
    """An emergency number of every country for which the numbering data knows one."""
    found = {region: phonenumbers.PhoneMetadata.short_metadata_for_region(region) for region in REGIONS}
    return {
        region: metadata.emergency.example_number
        for region, metadata in found.items()
        if metadata and metadata.emergency and metadata.emergency.example_number
    }


def test_no_country_s_emergency_number_gets_through() -> None:
    examples = examples_by_region()
    assert len(examples) > 200
    for region, example in examples.items():
        named = frozenset({example})
        assert code(example, DestinationPolicy(countries=frozenset({region}), short_codes=named)) == "emergency_number"
        assert code(example, DestinationPolicy(default_region=region, short_codes=named)) == "emergency_number"
        assert code(example, DestinationPolicy(short_codes=named)) == "emergency_number"
        country_code = phonenumbers.country_code_for_region(region)
        assert code(f"+{country_code}{example}", ANYWHERE) == "emergency_number"


@pytest.mark.parametrize(
    ("prefixes", "countries"),
    [
        ([], set()),
        (["+33"], {"FR"}),
        (["+336", "+49"], {"FR", "DE"}),
        (["36179"], set()),
        (["+999"], set()),
        (["+44"], {"GB", "GG", "IM", "JE"}),
        (["+88"], {"001", "BD", "TW"}),
    ],
)
def test_routes_name_countries(prefixes: list[str], countries: set[str]) -> None:
    assert countries_of_prefixes(prefixes) == countries


@pytest.mark.parametrize("prefix", ["", "+"])
def test_a_route_for_everything_names_the_world(prefix: str) -> None:
    assert countries_of_prefixes([prefix]) >= set(phonenumbers.SUPPORTED_REGIONS)


def test_country_codes_are_known() -> None:
    assert is_country("FR")
    assert is_country("001")
    assert not is_country("fr")
    assert not is_country("XX")


@given(
    st.text(max_size=40) | st.from_regex(r"\+?[0-9]{1,20}", fullmatch=True), st.sampled_from([ANYWHERE, FRANCE, DEAR])
)
def test_any_text_gets_a_verdict(value: str, policy: DestinationPolicy) -> None:
    for channel in ("sms", "voice"):
        refusal = check(channel, value, policy)
        assert refusal is None or (refusal.code and len(refusal.detail) < 200)


def dial_strings(digits: str) -> list[str]:
    """Forms in which exchanges, trunks and telephones are asked for the same digits."""
    return [
        digits, f"*31#{digits}", f"#31#{digits}", f"*67{digits}", f"*1167{digits}", f"*21*{digits}#", f"0{digits}", f"{digits}#",
        f"sip:{digits}@pbx.example", f"sip:0{digits}@pbx.example", f"sip:%2331%23{digits}@pbx.example", f"sip:*67{digits}@pbx.example",
    ]  # fmt: skip


def test_no_country_s_emergency_number_gets_through_in_any_form() -> None:
    for region, example in examples_by_region().items():
        for policy in (
            DestinationPolicy(default_region=region),
            DestinationPolicy(countries=frozenset({region})),
            ANYWHERE,
        ):
            passed = [form for form in dial_strings(example) if code(form, policy, "voice") != "emergency_number"]
            assert passed == [], region


@pytest.mark.parametrize("prefix", ["00", "011", "+", "%2B", "*67+", "#31#00"])
def test_no_country_s_premium_number_gets_through_in_any_form(prefix: str) -> None:
    found = {region: phonenumbers.example_number_for_type(region, PhoneNumberType.PREMIUM_RATE) for region in REGIONS}
    for region, example in found.items():
        if example is None or phonenumbers.number_type(example) != PhoneNumberType.PREMIUM_RATE:
            continue
        user = f"{prefix}{phonenumbers.format_number(example, PhoneNumberFormat.E164)[1:]}"
        assert code(f"sip:{user}@pbx.example", ANYWHERE, "voice") in ("premium_number", "emergency_number"), region


def test_no_country_s_short_numbers_get_through_unless_they_are_named() -> None:
    found = {region: phonenumbers.PhoneMetadata.short_metadata_for_region(region) for region in REGIONS}
    examples = {
        region: metadata.short_code.example_number
        for region, metadata in found.items()
        if metadata and metadata.short_code and metadata.short_code.example_number
    }
    assert len(examples) > 200
    for region, example in examples.items():
        here = DestinationPolicy(default_region=region)
        house = DestinationPolicy(default_region=region, extensions=(example,))
        named = DestinationPolicy(default_region=region, short_codes=frozenset({example}))
        for form in (example, f"#31#{example}", f"sip:{example}@pbx.example"):
            assert code(form, here, "voice") in ("short_code_not_allowed", "emergency_number"), (region, form)
        if code(example, here, "voice") == "short_code_not_allowed":
            assert code(example, house, "voice") is None
            assert code(example, named, "voice") is None


@given(st.text("0123456789*#", min_size=1, max_size=12))
def test_a_house_s_extension_is_judged_as_nothing_but_an_emergency_number(keys: str) -> None:
    house = DestinationPolicy(default_region="FR", extensions=(keys,))
    assert code(keys, house, "voice") in (None, "emergency_number")
