"""How a delivery is named on the envelope, pure: its id, xtext (RFC 3461 4) and the VERP-style sender tag."""

from __future__ import annotations

import hashlib
import re

ENVELOPE_ID_MAX = 40
"""Longest id used as it is. RFC 3461 4.4 would allow 100, but the id is also part of the tagged sender, whose local
part has 64 octets (RFC 5321 4.5.3.1.1)."""
BASE_LOCAL_PART_MAX = 64 - 1 - ENVELOPE_ID_MAX
"""Longest local part of a bounce address that still has room for `+` and the id."""

_PLAIN = re.compile(rf"[A-Za-z0-9_-]{{1,{ENVELOPE_ID_MAX}}}")
_XTEXT_HEX = re.compile(r"\+([0-9A-F]{2})")


def envelope_id(reference: str) -> str:
    """The id of a delivery on the wire: ENVID, Message-ID and VERP tag, and the `provider_message_id` of its receipts.

    It is the reference itself where that is safe in all three places (letters, digits, `_`, `-`, at most 40), else a
    digest of it. A second attempt of the same delivery carries the same id: a report of either proves the delivery.
    """
    if _PLAIN.fullmatch(reference):
        return reference
    return "h" + hashlib.sha256(reference.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def xtext(text: str) -> str:
    """RFC 3461 4: everything but printable ASCII without `+` and `=` is written `+HH`."""
    octets = text.encode("utf-8", "surrogatepass")
    return "".join(chr(o) if 33 <= o <= 126 and o not in b"+=" else f"+{o:02X}" for o in octets)


def xtext_decoded(text: str) -> str:
    """The inverse of `xtext`; what is no valid xtext stays as it is. Never raises."""
    return (
        _XTEXT_HEX.sub(lambda match: chr(int(match[1], 16)), text)
        .encode("latin-1", "replace")
        .decode("utf-8", "replace")
    )


def tagged_sender(address: str, tag: str) -> str:
    """The envelope sender that carries a delivery's id: `bounces@example.org` -> `bounces+ID@example.org`."""
    local, _, domain = address.rpartition("@")
    return f"{local}+{tag}@{domain}"


def tag_of(recipient: str, bounce_address: str) -> str | None:
    """The tag of a recipient that is our bounce address: "" without one; None if it is some other address.

    The domain is compared without case, and so is the base of the local part: some mail systems fold it.
    """
    local, _, domain = recipient.rpartition("@")
    base, _, own_domain = bounce_address.rpartition("@")
    if domain.lower() != own_domain.lower():
        return None
    if local.lower() == base.lower():
        return ""
    head = local[: len(base) + 1]
    return local[len(head) :] if head.lower() == f"{base}+".lower() else None
