"""Reads delivery receipts in all the shapes that SMSCs give them (SMPP 3.4 appendix B). Matching them is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from channels.outcome import Receipt, ReceiptDelivered, ReceiptFailed, ReceiptIntermediate, ReceiptResult, Spelling

TLV_RECEIPTED_MESSAGE_ID = 0x001E
TLV_NETWORK_ERROR_CODE = 0x0423
TLV_MESSAGE_PAYLOAD = 0x0424
TLV_MESSAGE_STATE = 0x0427

TEXT_MAX = 2048
"""More of a receipt than this is not read: the form has some 120 characters, vendors add a few fields."""
RAW_MAX = 500
"""What Receipt.raw keeps as evidence."""
ID_MAX = 64
"""SMPP 3.4 section 5.2.23: message_id has at most 64 characters and a NUL."""
CODE_MAX = 32
"""Longest code made from a stat: dashboards group by it, so a vendor's prose must not end up there."""


class IdRule(StrEnum):
    """How the id in a provider's receipts becomes the id that it answered the submission with."""

    EXACT = "exact"
    CASEFOLD = "casefold"
    """The same but for case, on either side."""
    STRIP_ZEROS = "strip_zeros"
    """The same but for leading zeros, on either side."""
    HEX_TO_DEC = "hex_to_dec"
    """The receipt names it in hexadecimal, the response did in decimal. Numbers count, not letters of either case or zeros."""
    DEC_TO_HEX = "dec_to_hex"
    """The receipt names it in decimal, the response did in hexadecimal (as SMPP 3.3 prescribes). Numbers count."""
    ANY = "any"
    """Unknown: everything that it could be, likeliest first."""


_SPELLINGS = {
    IdRule.EXACT: Spelling.EXACT,
    IdRule.CASEFOLD: Spelling.CASE,
    IdRule.STRIP_ZEROS: Spelling.ZEROS,
    IdRule.HEX_TO_DEC: Spelling.FORM,
    IdRule.DEC_TO_HEX: Spelling.FORM,
    IdRule.ANY: Spelling.LIKELY,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    stat: str
    result: ReceiptResult


_DELIVERED, _FAILED, _INTERMEDIATE = ReceiptDelivered(), ReceiptFailed(), ReceiptIntermediate()

# message_state, SMPP 3.4 section 5.2.28 (0 and 9 are of SMPP 5.0 section 4.7.15), and how the text calls it.
# ACCEPTD and UNKNOWN are final in the specification, but many SMSCs send the outcome after them.
_STATES = {
    0: _State(stat="SCHEDULED", result=_INTERMEDIATE),
    1: _State(stat="ENROUTE", result=_INTERMEDIATE),
    2: _State(stat="DELIVRD", result=_DELIVERED),
    3: _State(stat="EXPIRED", result=_FAILED),
    4: _State(stat="DELETED", result=_FAILED),
    5: _State(stat="UNDELIV", result=_FAILED),
    6: _State(stat="ACCEPTD", result=_INTERMEDIATE),
    7: _State(stat="UNKNOWN", result=_INTERMEDIATE),
    8: _State(stat="REJECTD", result=_FAILED),
    9: _State(stat="SKIPPED", result=_FAILED),
}
# What of a stat is told outside of this package: SMPP's own spelling, seven letters long, is nobody's word but SMPP's.
_CODES = {
    "delivrd": "delivered",
    "undeliv": "undeliverable",
    "acceptd": "accepted",
    "rejectd": "rejected",
    "enroute": "en_route",
}
# A stat means what its beginning means; a bare DELIV would take DELIVERY FAILED for a proof.
_RESULTS_BY_PREFIX: tuple[tuple[str, ReceiptResult], ...] = (
    ("DELIVRD", _DELIVERED),
    ("DELIVERED", _DELIVERED),
    ("EXPIR", _FAILED),
    ("DELET", _FAILED),
    ("UNDEL", _FAILED),
    ("REJEC", _FAILED),
    ("SKIP", _FAILED),
    ("FAIL", _FAILED),
    ("SCHED", _INTERMEDIATE),
    ("ENROUTE", _INTERMEDIATE),
    ("ACCEP", _INTERMEDIATE),
    ("UNKN", _INTERMEDIATE),
    ("BUFF", _INTERMEDIATE),
    ("SENT", _INTERMEDIATE),
)


class _Kind(StrEnum):
    RECEIPT = "receipt"
    INTERMEDIATE = "intermediate"
    DELIVERY_ACKNOWLEDGEMENT = "sme_delivery_ack"
    USER_ACKNOWLEDGEMENT = "sme_user_ack"


# esm_class bits 5 to 2, SMPP 3.4 section 5.2.12. The acknowledgements are the other handset's word, no proof of ours.
_ESM_TYPE_MASK = 0b0011_1100
_KINDS = {
    0b0000_0100: _Kind.RECEIPT,
    0b0000_1000: _Kind.DELIVERY_ACKNOWLEDGEMENT,
    0b0001_0000: _Kind.USER_ACKNOWLEDGEMENT,
    0b0010_0000: _Kind.INTERMEDIATE,
    0b0010_0100: _Kind.INTERMEDIATE,
}


def parse_receipt(
    *, esm_class: int, text: bytes | str, tlvs: Mapping[int, bytes], source: str, id_rule: IdRule
) -> Receipt | None:
    """What a deliver_sm or data_sm says about a message of ours, or None where it is an ordinary inbound message.

    `text` is the short_message without header; an empty one is looked for in the message_payload TLV. A receipt is told
    by esm_class, or without that by the TLVs receipted_message_id and message_state together; never by its text alone,
    which anybody with a phone can write. The TLVs win over the text.

    A receipt without an id has no candidates, and one whose state is unknown is intermediate. The dates are left alone:
    they are in the SMSC's local time. Never raises.
    """
    told_by_tlvs = bool(canonical_id(tlvs.get(TLV_RECEIPTED_MESSAGE_ID, b""))) and _state(tlvs) is not None
    kind = _KINDS.get(esm_class & _ESM_TYPE_MASK) or (_Kind.RECEIPT if told_by_tlvs else None)
    if kind is None:
        return None
    written = _readable(text) or _readable(tlvs.get(TLV_MESSAGE_PAYLOAD, b""))
    return _receipt(kind, written, _fields(written), tlvs, source, id_rule)


def parse_unmarked_receipt(*, text: str, source: str, id_rule: IdRule) -> Receipt | None:
    """What an ordinary message says if it has the form of a receipt (appendix B): an id, and a stat that is known.

    Anybody with a phone can write such a text, so this is for providers that are known to mark none, and the id must be one
    of ours to that number. Never raises.
    """
    written = _readable(text)
    fields = _fields(written)
    stat = fields.get("stat", "").upper()
    if not fields.get("id") or not any(stat.startswith(prefix) for prefix, _ in _RESULTS_BY_PREFIX):
        return None
    return _receipt(_Kind.RECEIPT, written, fields, {}, source, id_rule)


def _receipt(
    kind: _Kind, written: str, fields: Mapping[str, str], tlvs: Mapping[int, bytes], source: str, id_rule: IdRule
) -> Receipt:
    stat, result, remark = _verdict(_state(tlvs), fields.get("stat", ""))
    return Receipt(
        provider_message_ids=tuple(_candidates(tlvs, fields.get("id", ""), id_rule)),
        result=result if kind is _Kind.RECEIPT else _INTERMEDIATE,
        code=stat or ("unknown" if kind is _Kind.RECEIPT else kind.value),
        detail=" ".join(filter(None, (_error(fields, tlvs), remark))),
        address=source,
        raw=written[:RAW_MAX],
        spelling=_SPELLINGS[id_rule],
    )


def canonical_id(raw: bytes) -> str:
    """A message id as it is stored and compared, from a response or a TLV: what stands before the first NUL, trimmed.

    At most 64 characters; octets beyond ASCII are read as Latin-1. Never raises.
    """
    return raw.lstrip(b"\x00").split(b"\x00", 1)[0][: ID_MAX + 1].decode("latin-1").strip()[:ID_MAX]


def _readable(text: bytes | str) -> str:
    """The text, bounded. NULs go: a C string ends with one, and a receipt sent as UCS-2 has one in every character."""
    head = text[:TEXT_MAX]
    written = head.decode("latin-1") if isinstance(head, bytes) else head
    return written.replace("\x00", "").strip()


_KEY = re.compile(r"(?<![^\s,;])(id|sub|dlvrd|submit ?date|done ?date|stat|err|text) ?:", re.IGNORECASE)


def _fields(written: str) -> dict[str, str]:
    """The first value of every key, in lower case and without space; a value is one word, the text all that follows.

    What follows `text` once a stat was seen is somebody's message, whatever keys it seems to have.
    """
    fields: dict[str, str] = {}
    keys = list(_KEY.finditer(written))
    for at, key in enumerate(keys):
        name = key[1].lower().replace(" ", "")
        if name == "text" and "stat" in fields:
            break
        end = keys[at + 1].start() if at + 1 < len(keys) else len(written)
        words = written[key.end() : end].split(maxsplit=1)
        fields.setdefault(name, words[0].strip(",;") if words else "")
    return fields


def _state(tlvs: Mapping[int, bytes]) -> _State | None:
    value = tlvs.get(TLV_MESSAGE_STATE, b"")
    return _STATES.get(value[0]) if len(value) == 1 else None


def _verdict(state: _State | None, stat: str) -> tuple[str, ReceiptResult, str]:
    """Code, result and remark of a receipt from what its TLV and its text say; a remark only where they disagree."""
    said = next((result for prefix, result in _RESULTS_BY_PREFIX if stat.upper().startswith(prefix)), None)
    code = re.sub(r"[^a-z0-9_]+", "_", stat.lower())[:CODE_MAX].strip("_")
    code = _CODES.get(code, code)
    if state is None:
        return code, said or _INTERMEDIATE, ""
    if said == state.result:
        return code, said, ""
    word = state.stat.lower()
    return _CODES.get(word, word), state.result, f"stat:{stat[:CODE_MAX]}" if stat else ""


def _error(fields: Mapping[str, str], tlvs: Mapping[int, bytes]) -> str:
    """The network's error: `err` of the text, and the TLV as network type and code (SMPP 3.4 section 5.3.2.31)."""
    written = fields.get("err", "")[:CODE_MAX]
    network = tlvs.get(TLV_NETWORK_ERROR_CODE, b"")
    return " ".join(
        filter(
            None,
            (
                f"err:{written}" if written else "",
                f"network:{network[0]}:{int.from_bytes(network[1:], 'big')}" if len(network) == 3 else "",
            ),
        )
    )


def _candidates(tlvs: Mapping[int, bytes], written: str, rule: IdRule) -> dict[str, None]:
    """What the id may have been in the response, best first, each once.

    The TLV's id is meant; the text's stands in for it, and is a candidate beside it only where nothing is known.
    """
    meant = canonical_id(tlvs.get(TLV_RECEIPTED_MESSAGE_ID, b""))
    named = [meant, written[:ID_MAX]] if rule is IdRule.ANY else [meant or written[:ID_MAX]]
    return dict.fromkeys(candidate for name in named if name for candidate in _forms(name, rule))


_DECIMAL = re.compile(r"[0-9]+")
_HEXADECIMAL = re.compile(r"(?:0[xX])?[0-9A-Fa-f]+")


def _forms(name: str, rule: IdRule) -> Iterator[str]:
    """The ids in a response that a receipt with this id may mean, best first; `Receipt.spelling` says how loosely.

    Under a rule that changes the base the id itself is no candidate unless it cannot be converted: as it stands it
    may well be that of another message.
    """
    hexadecimal = f"{int(name):x}" if _DECIMAL.fullmatch(name) else ""
    decimal = str(int(name, 16)) if _HEXADECIMAL.fullmatch(name) else ""
    match rule:
        case IdRule.DEC_TO_HEX:
            yield hexadecimal or name
        case IdRule.HEX_TO_DEC:
            yield decimal or name
        case IdRule.ANY:
            yield name
            yield from filter(None, (hexadecimal, decimal))
        case _:
            yield name
