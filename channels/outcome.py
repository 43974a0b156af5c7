"""The closed set of what one attempt can return, and what a provider can say later. Pure values; nothing is decided here.

Codes, words, ids and addresses are a provider's. Here they become printable, so that they may be stored and shown anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from channels.printable import printable, visible


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why an attempt ended as it did, in words that are stored and shown.

    `code` is stable and lower case (``throttled``, ``invalid_destination``, ``smpp_0x0b``); dashboards group by it.
    `detail` is for people: the provider's own words, at most 500 characters are kept.
    `alarm` marks a fault of our configuration (wrong password, refused sender): an operator should look.
    """

    code: str
    detail: str = ""
    alarm: bool = False

    def __post_init__(self) -> None:
        _make_printable(self, "code", "detail")


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPart:
    """One part of a message that a provider took, with the id its receipt will name. Parts count from 1.

    `units` is what the part is billed as: more than 1 where a provider takes a long message whole and charges its parts.
    """

    n: int
    provider_message_id: str
    units: int = 1

    def __post_init__(self) -> None:
        if not self.provider_message_id.isprintable():  # as every part of every message is
            _make_visible(self, "provider_message_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The provider took every part that was still to be sent. `parts` lists those parts (never empty)."""

    parts: tuple[SentPart, ...]
    code: str = "accepted"
    """What the provider said in taking it ("250 2.0.0 queued"), as a stable code."""
    detail: str = ""

    def __post_init__(self) -> None:
        if self.detail or self.code != "accepted":  # said by nobody: most of all outcomes
            _make_printable(self, "code", "detail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """The attempt itself proves the delivery (a call that was answered, a page confirmed)."""

    at: datetime
    code: str = "delivered"
    detail: str = ""
    parts: tuple[SentPart, ...] = ()
    """What is billed of it: the units really used (started minutes); 0 of one that was told within another's call."""

    def __post_init__(self) -> None:
        _make_printable(self, "code", "detail")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryLater:
    """Not now. Whether and when to try again is decided by the dispatcher, never by a channel.

    `not_before_s`  seconds the provider asked us to wait, when it said so.
    `maybe_sent`    bytes may have left and no answer came: the message may have been delivered.
    `throttled`     the provider asked for a slower pace: does not count as an attempt, and the provider is slowed.
    `unreachable`   the link was down and certainly nothing left: does not count as an attempt, feeds the circuit breaker.
    `elsewhere`     another provider of the route is to be tried at once, where there is one.
    `destination`   it speaks of this recipient alone, and so says nothing of the link: others are sent as before.
    `everywhere`    the recipient's own side said it (a phone that is busy, that nobody answers): no provider would do better now.
    `joined`        it only waited for another attempt, which tells what there is to know of the provider.
    `parts`         the parts that the provider did take before the attempt ended; they are not sent again.
    """

    reason: Reason
    not_before_s: float | None = None
    maybe_sent: bool = False
    throttled: bool = False
    unreachable: bool = False
    elsewhere: bool = False
    destination: bool = False
    everywhere: bool = False
    joined: bool = False
    parts: tuple[SentPart, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PermanentFailure:
    """This provider will never take this message. `parts` were taken before the refusal (they may cost money). `everywhere`:
    the recipient's side refused, so that no other provider would do better."""

    reason: Reason
    everywhere: bool = False
    parts: tuple[SentPart, ...] = ()


Outcome = Accepted | Delivered | RetryLater | PermanentFailure


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptDelivered:
    """The provider proves that the part reached the recipient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptFailed:
    """The provider says that the part will not reach the recipient."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptIntermediate:
    """The provider still works on the part; nothing is decided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiptEnded:
    """The provider passed the part on to where no receipts come from: its last word, and no proof."""


ReceiptResult = ReceiptDelivered | ReceiptFailed | ReceiptIntermediate | ReceiptEnded


class Spelling(StrEnum):
    """In what an id in a receipt may differ from the id that the message was taken under, and mean it all the same."""

    EXACT = "exact"
    CASE = "case"
    ZEROS = "zeros"
    """Leading zeros."""
    FORM = "form"
    """Case and leading zeros."""
    LIKELY = "likely"
    """Case and leading zeros, where the address fits as well: the provider's ways are not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """A message that somebody sent to us over a provider (an SMS reply, say), whole and decoded."""

    source: str
    destination: str
    text: str
    provider_message_id: str = ""

    def __post_init__(self) -> None:
        _make_visible(self, "source", "destination", "provider_message_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A provider's later word on one part of an attempt.

    `provider_message_ids`  candidates for the id, best first: the first that is known wins. Several, because some
                            providers name a message in hexadecimal when they take it and in decimal in the receipt.
    `spelling`              how far each of them may differ from the id that the message was taken under.
    `address`               the recipient's address as the provider wrote it, for telling re-used ids apart; "" unknown.
    `code`                  stable and lower case: ``delivered``, ``undeliverable``, ``5.1.1``.
    `raw`                   the receipt's own text, at most 500 characters, kept as evidence.
    `otherwise`             nothing marks it as a receipt: unless it names a message of ours to that address, it is this one.
    """

    provider_message_ids: tuple[str, ...]
    result: ReceiptResult
    code: str
    detail: str = ""
    address: str = ""
    raw: str = ""
    spelling: Spelling = Spelling.EXACT
    otherwise: Inbound | None = None
    at: datetime | None = None
    """When the provider says it happened (UTC), if that can be trusted; the time of arrival is stored anyway."""

    def __post_init__(self) -> None:
        _make_printable(self, "code", "detail", "raw")
        _make_visible(self, "address")
        if not all(map(str.isprintable, self.provider_message_ids)):
            object.__setattr__(self, "provider_message_ids", tuple(map(visible, self.provider_message_ids)))


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundPart:
    """One part of a longer inbound message; stored until all `total` parts with the same reference are here."""

    source: str
    destination: str
    reference: int
    n: int
    total: int
    text: str

    def __post_init__(self) -> None:
        _make_visible(self, "source", "destination")


@dataclass(frozen=True, kw_only=True, slots=True)
class LateOutcome:
    """What an attempt came to after `Channel.send` had given it up as `maybe_sent`: the provider answered at last.

    `reference` and `attempt` are the message's own (`channels.channel.Message`); `outcome` is of the whole message, as far as it
    is known by now.
    """

    reference: str
    attempt: int
    outcome: Outcome


Report = Receipt | Inbound | InboundPart | LateOutcome


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkHealth:
    """How one provider's links stand, for health pages, metrics and the circuit breaker."""

    up: bool
    detail: str = ""
    alarm: bool = False
    links: int = 0
    links_up: int = 0
    outstanding: int = 0
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _make_printable(self, "detail")
        object.__setattr__(self, "facts", {key: printable(fact) for key, fact in self.facts.items()})


def _make_printable(value: Any, *names: str) -> None:
    """Words: one bounded line each."""
    for name in names:
        words = getattr(value, name)
        if (shown := printable(words)) is not words:  # codes, and details that are not there, are as they were
            object.__setattr__(value, name, shown)


def _make_visible(value: Any, *names: str) -> None:
    """Ids and addresses: two that differ in a blank stay different."""
    for name in names:
        words = getattr(value, name)
        if (shown := visible(words)) is not words:
            object.__setattr__(value, name, shown)
