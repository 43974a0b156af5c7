"""The canonical form of an e-mail address, pure. Sending to it and asking whether it exists live elsewhere."""

from __future__ import annotations

import re

import idna

from channels.channel import InvalidAddressError

ADDRESS_OCTETS_MAX = 254
"""RFC 5321 4.5.3.1.3: a path has at most 256 octets, of which two are the angle brackets."""
LOCAL_PART_OCTETS_MAX = 64
"""RFC 5321 4.5.3.1.1."""

# RFC 5321 4.1.2 Dot-string, of RFC 5322 3.2.3 atext. Quoted local parts and non-ASCII ones (RFC 6531) are not taken:
# few mail systems carry them unharmed, and an alarm must not depend on the rest.
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035 2.3.1, RFC 1123 2.1


def parse_address(raw: str) -> str:
    """The address as it is stored and sent: local part untouched (it may be case-sensitive, RFC 5321 2.4), domain in
    lower-case ASCII (IDNA 2008 A-labels).

    Taken are `local@domain` with a dotted domain, and `local@localhost`; no display name, comment, quoted local part or
    address literal. Raises InvalidAddressError with what was expected.
    """
    text = raw.strip(" \t")
    if not text or len(text) > ADDRESS_OCTETS_MAX:
        raise InvalidAddressError(f"expected an e-mail address of 1 to {ADDRESS_OCTETS_MAX} characters")
    local, at, domain = text.rpartition("@")
    if not at:
        raise InvalidAddressError("expected local@domain: there is no @")
    if len(local) > LOCAL_PART_OCTETS_MAX:
        raise InvalidAddressError(f"expected at most {LOCAL_PART_OCTETS_MAX} characters before the @")
    if _LOCAL_PART.fullmatch(local) is None:
        raise InvalidAddressError(
            "expected letters, digits, single dots and !#$%&'*+/=?^_`{|}~- before the @; "
            "no name, no quotes, no spaces, no angle brackets"
        )
    address = f"{local}@{_parse_domain(domain)}"
    if len(address) > ADDRESS_OCTETS_MAX:
        raise InvalidAddressError(f"expected an e-mail address of at most {ADDRESS_OCTETS_MAX} characters")
    return address


def domain_of(address: str) -> str:
    """The domain of a canonical address."""
    return address.rpartition("@")[2]


def _parse_domain(raw: str) -> str:
    domain = raw
    if not raw.isascii():
        try:
            domain = idna.encode(raw, uts46=True).decode("ascii")
        except (UnicodeError, IndexError, ValueError) as error:
            raise InvalidAddressError("expected a domain that IDNA 2008 allows after the @") from error
    domain = domain.lower()
    if domain == "localhost":
        return domain
    labels = domain.split(".")
    if len(labels) < 2 or any(_LABEL.fullmatch(label) is None for label in labels) or labels[-1].isdigit():
        raise InvalidAddressError("expected a full domain such as example.org after the @")
    return domain
