"""One message as the submit_sm of its parts, and their answers as one outcome. Pure; nothing is sent here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeGuard

from channels.channel import Message
from channels.outcome import Accepted, Outcome, PermanentFailure, Reason, RetryLater, SentPart
from channels.sms.address import source_address, to_smpp
from channels.sms.concatenation import PARTS_MAX, ReferenceOctets, reference_for, udh
from channels.sms.encoding import MessageTooLongError, Segment, Segmented, segment
from channels.sms.folding import fold_lookalikes
from channels.sms.settings import SmppSettings
from channels.sms.smpp.pdu import SubmitSm
from channels.sms.smpp.receipt import canonical_id
from channels.sms.smpp.status import outcome
from channels.sms.smpp.wire import (
    ESM_UDH,
    NO_TLVS,
    ROK,
    TLV_MESSAGE_PAYLOAD,
    TLV_SAR_REFERENCE,
    TLV_SAR_SEQUENCE,
    TLV_SAR_TOTAL,
    Tlvs,
)

TEXTS_KEPT = 64
"""Texts whose parts are remembered, so that each is cut once: the longest that can be sent take 10 MB in all."""


@dataclass(frozen=True, slots=True)
class Submission:
    """Part `n` of a message as it is submitted; `units` is what it is billed as."""

    n: int
    units: int
    pdu: SubmitSm


class Composer:
    """Makes the submissions of messages as one provider wants them."""

    def __init__(self, settings: SmppSettings) -> None:
        self._settings = settings
        self._segmented = lru_cache(TEXTS_KEPT)(self._cut)  # a text is priced, checked and sent, often to many
        self._source = source_address(settings.source).typed(settings.source_ton, settings.source_npi)
        self._validity = "" if settings.validity_s is None else relative_time(settings.validity_s)

    def units(self, text: str) -> int:
        """How many short messages the text is; the most there can be, for one that is too long to be sent at all."""
        try:
            return self._segmented(text).units
        except MessageTooLongError:
            return PARTS_MAX

    def refusal(self, text: str) -> str:
        """Why the text cannot be sent at all, however it is cut; "" where it can."""
        try:
            self._segmented(text)
        except MessageTooLongError as error:
            return f"expected a text of at most {PARTS_MAX} short messages: {error}"
        return ""

    def compose(self, message: Message) -> list[Submission]:
        """The parts still to be sent, numbered. Raises MessageTooLongError, InvalidAddressError."""
        settings, source = self._settings, self._source
        segmented = self._segmented(message.text)
        destination = to_smpp(message.address).typed(settings.destination_ton, settings.destination_npi)
        reference = 0
        if segmented.count > 1:
            # the SAR parameter always has two octets (SMPP 3.4 section 5.3.2.22): its references collide less
            octets: ReferenceOctets = 2 if settings.concatenation == "sar" else settings.reference_octets
            reference = reference_for(message.reference, octets)
        submissions = []
        for part in segmented.segments:
            if part.n in message.parts_sent:
                continue
            esm_class, short_message, tlvs = self._carry(part, segmented, reference)
            pdu = SubmitSm(
                service_type=settings.service_type,
                source_addr_ton=source.ton,
                source_addr_npi=source.npi,
                source_addr=source.digits,
                dest_addr_ton=destination.ton,
                dest_addr_npi=destination.npi,
                destination_addr=destination.digits,
                esm_class=esm_class,
                validity_period=self._validity,
                registered_delivery=int(settings.registered_delivery),
                data_coding=segmented.data_coding,
                short_message=short_message,
                tlvs=tlvs,
            )
            submissions.append(Submission(part.n, segmented.units if segmented.count == 1 else 1, pdu))
        return submissions

    def _cut(self, text: str) -> Segmented:
        return segment(
            fold_lookalikes(text) if self._settings.fold_lookalikes else text,
            reference_octets=self._settings.reference_octets,
            default_alphabet=self._settings.default_alphabet,
            concatenation=self._settings.concatenation,
        )

    def _carry(self, part: Segment, segmented: Segmented, reference: int) -> tuple[int, bytes, Tlvs]:
        """esm_class, short_message and optional parameters of one part; never a header and SAR parameters together."""
        if segmented.count > 1 and self._settings.concatenation == "udh":
            header = udh(reference, segmented.count, part.n, self._settings.reference_octets)
            return ESM_UDH, header + part.octets, NO_TLVS
        if segmented.count > 1:
            tlvs = {
                TLV_SAR_REFERENCE: reference.to_bytes(2, "big"),
                TLV_SAR_TOTAL: bytes((segmented.count,)),
                TLV_SAR_SEQUENCE: bytes((part.n,)),
            }
            return 0, part.octets, tlvs
        if segmented.units > 1:
            return 0, b"", {TLV_MESSAGE_PAYLOAD: part.octets}
        return 0, part.octets, NO_TLVS


def relative_time(seconds: int) -> str:
    """A validity period as YYMMDDhhmmss000R, relative to the SMSC's clock (section 7.1.1.2); up to 99 days."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"0000{day:02}{hour:02}{minute:02}{second:02}000R"


@dataclass(frozen=True, slots=True)
class Answer:
    """The SMSC answered the submission. `nacked`: it could not even read it."""

    status: int
    message_id: str
    nacked: bool = False


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The submission left, and nobody knows what became of it."""

    timed_out: bool


@dataclass(frozen=True, slots=True)
class NotSent:
    """The submission certainly did not leave. `held`: the pace or the window kept it back for too long."""

    held: bool


SubmitResult = Answer | NoAnswer | NotSent


def verdict(submissions: Sequence[Submission], results: Sequence[SubmitResult]) -> Outcome:
    """The outcome of a message from what became of each of its parts, in order: of several failures the gravest speaks for all.

    A refusal for good comes before an unknown end, that before a fault that may pass, that before a throttle, and the
    link being down last. What was accepted is listed whatever became of the rest.
    """
    parts = tuple(
        [
            SentPart(
                n=submission.n,
                provider_message_id=canonical_id(result.message_id.encode("latin-1")),
                units=submission.units,
            )
            for submission, result in zip(submissions, results, strict=True)
            if _taken(result)
        ]
    )
    if len(parts) == len(results):
        return Accepted(parts=parts)
    failures = [_failure(result, parts) for result in results if not _taken(result)]
    return max(failures, key=_gravity)


def _taken(result: SubmitResult) -> TypeGuard[Answer]:
    return isinstance(result, Answer) and result.status == ROK


def _failure(result: SubmitResult, parts: tuple[SentPart, ...]) -> RetryLater | PermanentFailure:
    match result:
        case Answer():
            return outcome(result.status, parts_sent=parts, detail="generic_nack" if result.nacked else "")
        case NoAnswer():
            code = "answer_timed_out" if result.timed_out else "link_lost"
            return RetryLater(reason=Reason(code=code), maybe_sent=True, parts=parts)
        case NotSent():
            if result.held:
                reason = Reason(code="held_back", detail="no slot in the window or pace of the link came free in time")
                return RetryLater(reason=reason, throttled=True, parts=parts)
            return RetryLater(reason=Reason(code="link_down"), unreachable=True, parts=parts)


def _gravity(failure: RetryLater | PermanentFailure) -> int:
    if isinstance(failure, PermanentFailure):
        return 4
    if failure.maybe_sent:
        return 3
    if failure.unreachable:
        return 0
    return 1 if failure.throttled else 2
