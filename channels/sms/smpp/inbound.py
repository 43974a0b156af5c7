"""What an inbound deliver_sm or data_sm says, as a report: receipt, message, or part of one. Pure; stores nothing."""

from __future__ import annotations

from dataclasses import replace

from channels.outcome import Inbound, InboundPart, Report
from channels.sms.address import from_smpp
from channels.sms.concatenation import Concatenation, split_udh
from channels.sms.encoding import Alphabet, decode
from channels.sms.smpp.pdu import DataSm, DeliverSm, SubmitSm
from channels.sms.smpp.receipt import IdRule, parse_receipt, parse_unmarked_receipt
from channels.sms.smpp.wire import (
    ESM_UDH,
    TLV_MESSAGE_PAYLOAD,
    TLV_SAR_REFERENCE,
    TLV_SAR_SEQUENCE,
    TLV_SAR_TOTAL,
    Tlvs,
)


def report_of(
    request: DeliverSm | DataSm, *, id_rule: IdRule, default_alphabet: Alphabet, unmarked_receipts: bool = False
) -> Report:
    """The report that this PDU carries. With `unmarked_receipts` a whole message in the form of a receipt may be one, which
    whoever knows our messages decides. Never raises."""
    source = from_smpp(request.source_addr_ton, request.source_addr_npi, request.source_addr)
    concatenation, octets = user_data(request)
    receipt = parse_receipt(esm_class=request.esm_class, text=octets, tlvs=request.tlvs, source=source, id_rule=id_rule)
    if receipt is not None:
        return receipt
    destination = from_smpp(request.dest_addr_ton, request.dest_addr_npi, request.destination_addr)
    text = decode(octets, request.data_coding, default_alphabet=default_alphabet)
    if concatenation is None or concatenation.total == 1:
        message = Inbound(source=source, destination=destination, text=text)
        unmarked = parse_unmarked_receipt(text=text, source=source, id_rule=id_rule) if unmarked_receipts else None
        return message if unmarked is None else replace(unmarked, otherwise=message)
    return InboundPart(
        source=source,
        destination=destination,
        reference=concatenation.reference,
        n=concatenation.n,
        total=concatenation.total,
        text=text,
    )


def user_data(request: SubmitSm | DeliverSm | DataSm) -> tuple[Concatenation | None, bytes]:
    """The place of this part in a longer message, if it has one, and its text without header.

    The text is in short_message, or in message_payload where that is empty (section 5.3.2.32); the place in a user data
    header or in the SAR parameters (sections 5.3.2.22 to 24). Never raises.
    """
    octets = b"" if isinstance(request, DataSm) else request.short_message
    octets = octets or request.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")
    if request.esm_class & ESM_UDH:
        return split_udh(octets)
    return _sar(request.tlvs), octets


def _sar(tlvs: Tlvs) -> Concatenation | None:
    total = int.from_bytes(tlvs.get(TLV_SAR_TOTAL, b"")[:1], "big")
    n = int.from_bytes(tlvs.get(TLV_SAR_SEQUENCE, b"")[:1], "big")
    if TLV_SAR_REFERENCE not in tlvs or not 1 <= n <= total:
        return None
    return Concatenation(reference=int.from_bytes(tlvs[TLV_SAR_REFERENCE][:2], "big"), total=total, n=n)
