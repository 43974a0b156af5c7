"""What providers answer and report, for tests of the core: outcomes and receipts by the ids of their parts."""

from __future__ import annotations

from channels.outcome import (
    Accepted,
    Reason,
    Receipt,
    ReceiptDelivered,
    ReceiptFailed,
    ReceiptIntermediate,
    RetryLater,
    SentPart,
)


def accepted(*names: str, first: int = 1) -> Accepted:
    """The provider took the parts from number `first` on, under these ids."""
    return Accepted(parts=parts(*names, first=first))


def parts(*names: str, first: int = 1) -> tuple[SentPart, ...]:
    return tuple(SentPart(n=n, provider_message_id=name) for n, name in enumerate(names, first))


def unanswered(*names: str) -> RetryLater:
    """The link died after bytes left; the parts under `names` had been taken before."""
    return RetryLater(reason=Reason(code="no_answer"), maybe_sent=True, parts=parts(*names))


def throttled(*names: str) -> RetryLater:
    return RetryLater(reason=Reason(code="throttled"), throttled=True, parts=parts(*names))


def delivered(*names: str, address: str = "") -> Receipt:
    return Receipt(provider_message_ids=names, result=ReceiptDelivered(), code="delivered", address=address)


def undelivered(*names: str, address: str = "") -> Receipt:
    return Receipt(provider_message_ids=names, result=ReceiptFailed(), code="undeliverable", address=address)


def enroute(*names: str) -> Receipt:
    return Receipt(provider_message_ids=names, result=ReceiptIntermediate(), code="enroute")
