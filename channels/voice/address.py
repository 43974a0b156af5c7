"""Voice addresses as written and as stored, and how a trunk is asked for a number. No rule on who may be called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import phonenumbers

from channels.channel import InvalidAddressError
from channels.e164 import AmbiguousNumberError, cleaned, parsed, read, stored, undivided
from ivr.sip.uri import SipUri, parse_uri

DialForm = Literal["+", "00", "0"]
"""How a trunk wants international numbers: E.164 with plus, with the prefix 00, or numbers of its own country with a 0 instead
of the country code (others then with 00)."""

WRITTEN_MAX = 254
"""As long as an e-mail address, which a SIP address looks like (RFC 5321, 4.5.3.1.3 without its brackets)."""
EXTENSION_DIGITS_MAX = 20
"""Keys dialled after the answer: a menu's choices and an extension."""

_EXTENSION = re.compile(r"[0-9*#]{1,20}")
_LOCAL = re.compile(r"[1-9*#][0-9*#]{0,11}")
_EXT = re.compile(r";ext=", re.IGNORECASE)
_DIALPLAN = frozenset("&/|$:\\{}")
"""Exchanges put the user part into commands of their own: ``100&SIP/trunk/0899…`` would call two, one of them unjudged."""
_EXPECTED = (
    "expected +<country code><number>, an extension of the exchange such as 4711, either with ;ext=<digits> behind it, "
    "or sip:user@host"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VoiceAddress:
    """A parsed address: exactly one of `number` (E.164 with plus), `extension` and `uri`; `keys` are dialled once it is answered."""

    number: str = ""
    extension: str = ""
    uri: str = ""
    keys: str = ""

    def __str__(self) -> str:
        """The canonical form."""
        return (self.number or self.extension or self.uri) + (f";ext={self.keys}" if self.keys else "")


def parse(raw: str, *, default_region: str | None, allowed_domains: frozenset[str]) -> VoiceAddress:
    """What the address names. `default_region` is the country whose national numbers are understood; a SIP address is taken
    where its domain is among `allowed_domains` (lower case). Raises InvalidAddressError."""
    written = raw.strip()
    if not written or len(written) > WRITTEN_MAX:
        raise InvalidAddressError(f"{_shown(raw)}: {_EXPECTED}")
    if written[:4].lower() == "sip:" or written[:5].lower() == "sips:":
        return _sip(written, allowed_domains)
    number, *rest = _EXT.split(written, maxsplit=1)
    number = cleaned(number).strip()
    if number[:4].lower() == "tel:":
        number = number[4:]
    keys = rest[0] if rest else ""
    if rest and not _EXTENSION.fullmatch(keys):
        raise InvalidAddressError(f"{_shown(raw)}: expected 1 to {EXTENSION_DIGITS_MAX} digits after ;ext=")
    digits = undivided(number)
    if _LOCAL.fullmatch(digits) and (default_region is None or len(digits) <= 6 or not digits.isdigit()):
        return VoiceAddress(extension=digits, keys=keys)
    return VoiceAddress(number=_number(raw, number, default_region), keys=keys)


def _number(raw: str, written: str, default_region: str | None) -> str:
    if any(character.isalpha() for character in written) or ";" in written:
        raise InvalidAddressError(f"{_shown(raw)}: {_EXPECTED}")
    try:
        number = read(written, default_region)
    except AmbiguousNumberError as error:
        raise InvalidAddressError(f"{_shown(raw)}: {error}") from None
    except phonenumbers.NumberParseException:
        raise InvalidAddressError(f"{_shown(raw)}: {_EXPECTED}") from None
    if number.extension:
        raise InvalidAddressError(f"{_shown(raw)}: expected ;ext={number.extension} for an extension")
    e164 = stored(number)
    if e164 is None:
        raise InvalidAddressError(f"{_shown(raw)}: no number of its country has this length")
    return e164


def _sip(written: str, allowed_domains: frozenset[str]) -> VoiceAddress:
    uri = parse_uri(written)
    if not isinstance(uri, SipUri) or not uri.user or uri.headers:
        raise InvalidAddressError(f"{_shown(written)}: {_EXPECTED}")
    if not _DIALPLAN.isdisjoint(uri.user):
        raise InvalidAddressError(f"{_shown(written)}: expected a user without {' '.join(sorted(_DIALPLAN))}")
    if uri.host.lower() not in allowed_domains:
        raise InvalidAddressError(f"{_shown(uri.host)} is not among the allowed_domains of the provider")
    if "maddr" in uri.params or uri.params.get("transport", "udp") not in ("udp", "tcp", "tls"):
        raise InvalidAddressError(f"{_shown(written)}: expected no parameters but transport=udp, tcp or tls")
    kept = {name: value for name, value in uri.params.items() if name == "transport" and value != "udp"}
    return VoiceAddress(
        uri=str(SipUri(scheme=uri.scheme, user=uri.user, host=uri.host.lower(), port=uri.port, params=kept))
    )


def dialled(number: str, form: DialForm, country: str | None) -> str:
    """An E.164 number in the form that a trunk wants; `country` is the trunk's own, for the form ``0``."""
    if form == "+":
        return number
    if form == "0" and country is not None:
        found = parsed(number)
        if phonenumbers.region_code_for_number(found) == country or found.country_code == (
            phonenumbers.country_code_for_region(country)
        ):
            national = phonenumbers.national_significant_number(found)
            prefix = phonenumbers.ndd_prefix_for_region(country, True) or ""
            return national if national.startswith("0") else prefix + national
    return "00" + number.removeprefix("+")


def _shown(text: str) -> str:
    return repr(f"{text[:40]}…" if len(text) > 40 else text)
