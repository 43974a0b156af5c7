"""Which numbers are never called or texted: emergency, dear, in countries not allowed. Pure; channels parse numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, NumberParseException, PhoneNumber, PhoneNumberType

from channels.e164 import AmbiguousNumberError, instead, is_assigned, read, stored, undivided
from channels.e164 import kind as kind_of
from channels.e164 import parsed as parsed_e164
from gateway.dial_strings import international, keys_of, numbers_within

PHONE_CHANNELS = frozenset({"sms", "voice", "fax"})
"""Channels whose addresses are telephone numbers (a voice address may also be a SIP URI)."""

VERDICTS_CACHED_MAX = 32_768
"""A verdict costs 20 µs and more, a remembered one under 1 µs. At some 300 bytes each this many stay below 10 MB, and
they hold the largest broadcast (10,000 recipients) three times over."""

SATELLITE_COUNTRY_CODES = frozenset({870, 881, 882, 883})
"""Inmarsat (870), the global mobile satellite system (881), and international networks, most of them satellite (882,
883): ITU-T E.164, list of assigned country codes."""
_PREMIUM_COUNTRY_CODES = frozenset({979})  # International Premium Rate Service, ITU-T E.169.2
_SHARED_COST_COUNTRY_CODES = frozenset({808})  # International Shared Cost Service, ITU-T E.169.3
_NO_COUNTRY = "001"  # what phonenumbers calls the region of global services (800 freephone, 878 personal numbers)
_UNIVERSAL_EMERGENCY = frozenset({"112", "911"})
"""Understood as emergency calls by every GSM phone and network, whatever the country (3GPP TS 22.101, clause 10.1)."""

_DIGITS_MAX = 32
_GLOBAL = re.compile(r"\+[0-9]{7,20}")
"""Behind an international prefix: so many digits are a number and no extension that begins with zeros."""
SHORT_DIGITS_MAX = 6  # of a short number of a network, in the numbering data
_SIP_USER = re.compile(r"sips?:(?:([^@;?:]*)[^@]*@)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationPolicy:
    """What an installation lets out on one channel.

    `countries`       ISO 3166 codes that may be reached; None is every country. "001" stands for global services.
    `default_region`  where a short number is dialled from: it decides what is an emergency number and what is another short
                      number of the network. As long as it is not known, all of `countries` do.
    `short_codes`     the short codes that may be reached, exactly as addressed.
    `extensions`      the house's own numbers, with an x for any digit: they are no numbers of the network.
    `unlisted_prefixes` ranges that the numbering data does not have yet, with ``+``.
    """

    countries: frozenset[str] | None = None
    default_region: str | None = None
    short_codes: frozenset[str] = frozenset()
    extensions: tuple[str, ...] = ()
    unlisted_prefixes: tuple[str, ...] = ()
    allow_premium: bool = False
    allow_shared_cost: bool = False
    allow_satellite: bool = False

    @property
    def home(self) -> str | None:
        """The country in which short and national numbers are dialled, where there can be only one."""
        if self.default_region is None and self.countries is not None and len(self.countries) == 1:
            return next(iter(self.countries))
        return self.default_region

    def is_extension(self, keys: str) -> bool:
        """Whether the keys are an extension of the house."""
        return any(len(keys) == len(form) and _fits(keys, form) for form in self.extensions)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a destination is refused: a stable `code` and a sentence for the one who submitted it."""

    code: str
    detail: str


def _fits(keys: str, form: str) -> bool:
    return all(key.isdigit() if wanted == "x" else key == wanted for key, wanted in zip(keys, form, strict=True))


def check(address_channel: str, e164: str, policy: DestinationPolicy) -> Refusal | None:
    """None where the address may be reached, else why not; addresses of channels without telephone numbers always may.

    `e164` is the address in its channel's canonical form: ``+33612345678``, a short code, or for voice a SIP or tel URI
    (of a SIP URI the user part, where it is a number). Emergency numbers are refused whatever the policy says.
    Codes: ``emergency_number``, ``premium_number``, ``shared_cost_number``, ``satellite_number``,
    ``country_not_allowed``, ``short_code_not_allowed``, ``unassigned_number``.
    """
    if address_channel not in PHONE_CHANNELS:
        return None
    if address_channel == "voice" and e164[:1] in "0123456789*#":
        # an extension is the exchange's, as the user part of a SIP address is
        return _dialled(e164.partition(";")[0], policy)
    return _verdict(e164, policy)


def countries_of_prefixes(prefixes: Iterable[str]) -> frozenset[str]:
    """ISO codes of the countries that numbers with these prefixes can be in; "" and "+" are the whole world.

    All countries that share a country code count (+1: the United States, Canada, Bermuda, …): a number that no route
    matches goes nowhere anyway. Prefixes of short codes (without +) name no country.
    """
    found: set[str] = set()
    for prefix in prefixes:
        if prefix and not prefix.startswith("+"):
            continue
        digits = prefix.removeprefix("+")
        for country_code, regions in COUNTRY_CODE_TO_REGION_CODE.items():
            if str(country_code).startswith(digits) or digits.startswith(str(country_code)):
                found.update(regions)
    return frozenset(found)


def is_country(code: str) -> bool:
    """Whether `code` is an ISO 3166 country code with a numbering plan, or "001" for global services."""
    return code == _NO_COUNTRY or code in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=VERDICTS_CACHED_MAX)
def _verdict(value: str, policy: DestinationPolicy) -> Refusal | None:
    uri = _SIP_USER.match(value)
    if uri:
        return _dialled(uri[1], policy) if uri[1] else None  # a host alone is no number
    number = undivided(value.removeprefix("tel:").partition(";")[0])
    return _global_number(number, policy) if number.startswith("+") else _short_number(number, policy)


@lru_cache(maxsize=VERDICTS_CACHED_MAX)
def _dialled(user: str, policy: DestinationPolicy) -> Refusal | None:
    """A trunk dials what stands before the @, and an exchange what is no extension of its own: the numbers in there are judged.
    Names are the exchange's."""
    keys = keys_of(user)
    if not keys:
        return None
    if policy.is_extension(keys):
        return _emergency(keys) if _is_emergency(keys, policy) else None
    numbers = numbers_within(keys, policy.home)
    for number, surely in numbers.items():
        if _reaches_emergency(number, policy) if surely else _is_emergency(number, policy):
            return _emergency(keys)
    return next(filter(None, (_number_within(number, policy) for number in numbers)), None)


def _number_within(number: str, policy: DestinationPolicy) -> Refusal | None:
    abroad = international(number, policy.home)
    if any(_is_emergency(one[1:], policy) or _is_emergency_abroad(one[1:]) for one in abroad):
        return _emergency(number)
    whole = [one for one in abroad if _GLOBAL.fullmatch(one)]
    if whole:
        return _global_number(next(filter(is_assigned, whole), whole[0]), policy)
    if policy.home is None:
        return None
    own = f"+{phonenumbers.country_code_for_region(policy.home)}"
    number = next(
        (one.removeprefix(own) for one in abroad if one.startswith(own)), number
    )  # too short for any but a short one
    if number not in policy.short_codes and _is_short(number, policy.home):
        return Refusal(
            code="short_code_not_allowed",
            detail=f"{_shown(number)} is a number of the network in {policy.home}: where it may be called, [destinations] "
            "short_codes names it; where it is an extension of your exchange, `extensions` of the voice provider does",
        )
    try:
        found = stored(read(number, policy.home))
    except (NumberParseException, AmbiguousNumberError):
        return None
    if found is None or _kind(found) == PhoneNumberType.UNKNOWN:
        return None  # an extension
    return _dear(found, policy) or _foreign(found, policy)


def _is_short(number: str, region: str) -> bool:
    """Whether the numbering plan of the region has a short number like this."""
    if len(number) > SHORT_DIGITS_MAX or not number.isdigit():
        return False
    zeros = len(number) - len(number.lstrip("0"))
    short = PhoneNumber(
        country_code=phonenumbers.country_code_for_region(region),
        national_number=int(number),
        italian_leading_zero=zeros > 0,
        number_of_leading_zeros=max(1, zeros),
    )
    return bool(phonenumbers.is_valid_short_number_for_region(short, region))


def _short_number(number: str, policy: DestinationPolicy) -> Refusal | None:
    if _reaches_emergency(number, policy):
        return _emergency(number)
    if number in policy.short_codes:
        return None
    return Refusal(
        code="short_code_not_allowed",
        detail=f"{_shown(number)} is no international number and not among [destinations] short_codes",
    )


def _global_number(number: str, policy: DestinationPolicy) -> Refusal | None:
    digits = number[1:]
    if _is_emergency(digits, policy):
        return _emergency(number)
    try:
        parsed = parsed_e164(number)
    except NumberParseException:
        return _no_country(number)
    if any(
        phonenumbers.is_emergency_number(phonenumbers.national_significant_number(parsed), region)
        for region in phonenumbers.region_codes_for_country_code(parsed.country_code or 0)
    ):
        return _emergency(number)
    return _dear(number, policy) or _foreign(number, policy) or _unassigned(number, policy)


def _unassigned(number: str, policy: DestinationPolicy) -> Refusal | None:
    """A length that is possible does not make a number: what no plan has is nobody's, or another country's."""
    if is_assigned(number) or number.startswith(policy.unlisted_prefixes):
        return None
    meant = instead(number)
    hint = f"; expected {meant}" if meant else "; [destinations] unlisted_prefixes may name a range that is new"
    return Refusal(code="unassigned_number", detail=f"{_shown(number)} is in no numbering plan{hint}")


def _dear(number: str, policy: DestinationPolicy) -> Refusal | None:
    parsed = parsed_e164(number)
    if parsed.country_code in SATELLITE_COUNTRY_CODES and not policy.allow_satellite:
        return Refusal(code="satellite_number", detail=f"{_shown(number)} is a satellite number")
    kind = _kind(number)
    if (
        kind == PhoneNumberType.PREMIUM_RATE or parsed.country_code in _PREMIUM_COUNTRY_CODES
    ) and not policy.allow_premium:
        return Refusal(code="premium_number", detail=f"{_shown(number)} is a premium-rate number")
    if (
        kind == PhoneNumberType.SHARED_COST or parsed.country_code in _SHARED_COST_COUNTRY_CODES
    ) and not policy.allow_shared_cost:
        return Refusal(code="shared_cost_number", detail=f"{_shown(number)} is a shared-cost number")
    return None


def _kind(number: str) -> int:
    """The type of the number; of one with digits too many, the type of what the network would still connect."""
    kind = kind_of(number)
    if kind == PhoneNumberType.UNKNOWN:
        parsed = parsed_e164(number)
        shorter = PhoneNumber(
            country_code=parsed.country_code,
            national_number=parsed.national_number,
            italian_leading_zero=parsed.italian_leading_zero,
            number_of_leading_zeros=parsed.number_of_leading_zeros,
        )
        if phonenumbers.truncate_too_long_number(shorter):
            kind = phonenumbers.number_type(shorter)
    return kind


def _foreign(number: str, policy: DestinationPolicy) -> Refusal | None:
    parsed = parsed_e164(number)
    # A number that the numbering data does not know yet counts for the main country of its country code.
    country = phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )
    if country == _NO_COUNTRY and parsed.country_code in SATELLITE_COUNTRY_CODES:
        return None  # judged by allow_satellite: satellites stand in no country
    if country == _NO_COUNTRY and (policy.countries is None or _NO_COUNTRY not in policy.countries):
        return _no_country(number)
    if policy.countries is None or country in policy.countries:
        return None
    return Refusal(
        code="country_not_allowed",
        detail=f"{_shown(number)} is in {country}, which is not among the allowed countries",
    )


def _reaches_emergency(number: str, policy: DestinationPolicy) -> bool:
    """Whether dialling `number` inside a country can reach its emergency services, whatever digits follow theirs; where no
    country is known, any country's."""
    digits = "".join(character for character in number if character.isdecimal())[:_DIGITS_MAX]
    if digits in _UNIVERSAL_EMERGENCY:
        return True
    regions = _regions(policy)
    if regions:
        return any(phonenumbers.connects_to_emergency_number(digits, region) for region in regions)
    return _is_emergency(digits, policy)


def _is_emergency(digits: str, policy: DestinationPolicy) -> bool:
    """Whether the digits, and nothing else, are an emergency number where they are dialled."""
    if digits in _UNIVERSAL_EMERGENCY:
        return True
    if len(digits) > 6:  # the longest emergency number in the numbering data has six digits
        return False
    regions = _regions(policy) or frozenset(phonenumbers.SUPPORTED_REGIONS)
    return any(phonenumbers.is_emergency_number(digits, region) for region in regions)


def _is_emergency_abroad(digits: str) -> bool:
    """Whether the digits are a country's code and its emergency number: trunks that dial from within take the code away."""
    for length in (1, 2, 3):  # of a country's code
        rest = digits[length:]
        if not rest or len(rest) > SHORT_DIGITS_MAX:
            continue
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]), ())
        if any(rest in _UNIVERSAL_EMERGENCY or phonenumbers.is_emergency_number(rest, one) for one in regions):
            return True
    return False


def _regions(policy: DestinationPolicy) -> frozenset[str]:
    """Where short numbers are dialled: the country of the trunk; as long as nobody named it, those that may be reached."""
    return frozenset({policy.default_region}) if policy.default_region else policy.countries or frozenset()


def _emergency(number: str) -> Refusal:
    return Refusal(code="emergency_number", detail=f"{_shown(number)} reaches emergency services")


def _no_country(number: str) -> Refusal:
    return Refusal(code="country_not_allowed", detail=f"{_shown(number)} belongs to no country")


def _shown(number: str) -> str:
    return number if len(number) <= _DIGITS_MAX else f"{number[:_DIGITS_MAX]}…"
