"""SMS addresses as people write them, as they are stored, and as SMPP carries them. No rule on who may be reached."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import phonenumbers

from channels.channel import InvalidAddressError
from channels.e164 import E164_DIGITS_MAX, AmbiguousNumberError, cleaned, is_e164, read, stored
from channels.sms.encoding import GSM7_CHARACTERS, GSM7_EXTENSION

SHORT_CODE_DIGITS_MAX = 6
"""Digits without "+" up to this length are a short code of the network, not a subscriber's number."""
ALPHANUMERIC_SEPTETS_MAX = 11
"""An alphanumeric sender has ten octets on the air, eleven septets (3GPP TS 23.040 9.1.2.5)."""

_WRITTEN_MAX = 40  # far longer than any number with its separators; keeps the parser's work small
_SHORT_CODE = re.compile(rf"[0-9]{{1,{SHORT_CODE_DIGITS_MAX}}}")
_SENDER_DIGITS_MAX = 20  # source_addr has 21 octets with its NUL (SMPP 3.4 section 5.2.8)
_NUMERIC_SENDER = re.compile(rf"[0-9]{{{SHORT_CODE_DIGITS_MAX + 1},{_SENDER_DIGITS_MAX}}}")
_SEPARATORS = re.compile(r"[\s().\-/]")
_EXPECTED = "expected a number as +<country code><number>, or a short code of at most 6 digits"


@dataclass(frozen=True, kw_only=True, slots=True)
class SmppAddress:
    """An address as SMPP carries it: type of number, numbering plan, digits (SMPP 3.4 sections 5.2.5 to 5.2.9)."""

    ton: int
    npi: int
    digits: str

    def typed(self, ton: int | None, npi: int | None) -> SmppAddress:
        """The same digits with a type and a plan that a provider insists on; None leaves what is usual."""
        if ton is None and npi is None:
            return self
        return replace(self, ton=self.ton if ton is None else ton, npi=self.npi if npi is None else npi)


_TON_UNKNOWN = 0
_TON_INTERNATIONAL = 1
_TON_NETWORK_SPECIFIC = 3
_TON_ALPHANUMERIC = 5
_NPI_UNKNOWN = 0
_NPI_E164 = 1


def parse(raw: str, default_region: str | None) -> str:
    """The canonical form of a recipient's address: E.164 with "+", or the digits of a short code.

    `default_region` is the ISO 3166 code of the country whose national numbers are understood, None for none: those of
    its neighbours that are dialled as national numbers there are, too. A number is taken if its length is possible in its
    country; whether its numbering plan has it is judged with the destination. Digits of other scripts are understood, and
    invisible marks passed over. Raises InvalidAddressError for letters, extensions, and everything else.
    """
    written = cleaned(raw).strip()
    if not written or len(written) > _WRITTEN_MAX:
        raise InvalidAddressError(f"{_shown(raw)}: {_EXPECTED}")
    if any(character.isalpha() for character in written):
        raise InvalidAddressError(f"{_shown(raw)}: {_EXPECTED}, without letters")
    if _SHORT_CODE.fullmatch(written):  # with separators it is more likely the beginning of a number
        return written
    return _parse_number(written, default_region)


def _parse_number(written: str, default_region: str | None) -> str:
    try:
        number = read(written, default_region)
    except AmbiguousNumberError as error:
        raise InvalidAddressError(f"{_shown(written)}: {error}") from error
    except phonenumbers.NumberParseException as error:
        where = (
            f", or one of the region {default_region}"
            if default_region
            else "; for numbers without + the provider's default_region says of which country they are"
        )
        raise InvalidAddressError(f"{_shown(written)}: {_EXPECTED}{where}") from error
    if number.extension:
        raise InvalidAddressError(f"{_shown(written)}: expected a number without extension")
    e164 = stored(number)
    if e164 is None:
        raise InvalidAddressError(f"{_shown(written)}: no number of its country has this length")
    return e164


def to_smpp(address: str) -> SmppAddress:
    """The SMPP form of a canonical address. Raises InvalidAddressError for one that `parse` does not give."""
    if is_e164(address):
        return SmppAddress(ton=_TON_INTERNATIONAL, npi=_NPI_E164, digits=address[1:])
    if _SHORT_CODE.fullmatch(address):
        return SmppAddress(ton=_TON_NETWORK_SPECIFIC, npi=_NPI_UNKNOWN, digits=address)
    raise InvalidAddressError(f"{_shown(address)}: {_EXPECTED}")


def source_address(raw: str) -> SmppAddress:
    """The SMPP form of a configured sender: a number with "+", a short code, longer digits, a name, or "" for the SMSC's.

    Type and plan are what most SMSCs want of that kind: international 1 and 1, a short code 3 and 0, a name 5 and 0. Longer
    digits (a virtual or national number as the SMSC writes it) have the unknown type in the plan of numbers, 0 and 1.

    A name has a letter and at most 11 septets, of characters that are both ASCII (the field's encoding on SMPP) and
    in the GSM alphabet. Raises ValueError with what was expected.
    """
    sender = raw.strip()
    if not sender:
        return SmppAddress(ton=_TON_UNKNOWN, npi=_NPI_UNKNOWN, digits="")
    if sender.startswith("+") or _SHORT_CODE.fullmatch(sender):
        try:
            return to_smpp(_SEPARATORS.sub("", sender))
        except InvalidAddressError:
            raise ValueError(f"sender {_shown(raw)}: expected + and 7 to {E164_DIGITS_MAX} digits") from None
    if _NUMERIC_SENDER.fullmatch(sender):
        return SmppAddress(ton=_TON_UNKNOWN, npi=_NPI_E164, digits=sender)
    if not any(character.isalpha() for character in sender):
        raise ValueError(
            f"sender {_shown(raw)}: expected a number that starts with + and its country code, 1 to {_SENDER_DIGITS_MAX} "
            "digits (a short code, or a number as the provider writes it), or a name with a letter in it"
        )
    for character in sender:
        if not (" " <= character <= "~") or character not in GSM7_CHARACTERS:
            raise ValueError(f"sender {_shown(raw)}: {character!r} cannot be written; expected a to z, A to Z, 0 to 9")
    septets = len(sender) + sum(character in GSM7_EXTENSION for character in sender)
    if septets > ALPHANUMERIC_SEPTETS_MAX:
        most = f"at most {ALPHANUMERIC_SEPTETS_MAX} characters, counting [ ] {{ }} \\ | ^ ~ twice"
        raise ValueError(f"sender {_shown(raw)}: expected {most}")
    return SmppAddress(ton=_TON_ALPHANUMERIC, npi=_NPI_UNKNOWN, digits=sender)


def from_smpp(ton: int, npi: int, digits: str) -> str:  # noqa: ARG001 - the plan is part of the triple, but decides nothing
    """What an SMSC wrote, canonical where its type of number says so, else as it stands. Never raises.

    International digits longer than a short code get their "+"; a "+" or "00" that the SMSC left there is no digit.
    """
    written = digits.replace("\x00", "").strip()
    if ton == _TON_INTERNATIONAL:
        bare = written.removeprefix("+").removeprefix("00")
        if is_e164(f"+{bare}"):
            return f"+{bare}"
    return written


def _shown(raw: str) -> str:
    return repr(raw if len(raw) <= _WRITTEN_MAX else f"{raw[:_WRITTEN_MAX]}…")
