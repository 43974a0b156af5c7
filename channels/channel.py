"""The port every channel implements, and its vocabulary. No channel's own code lives here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from channels.outcome import LinkHealth, Outcome, Report


class InvalidAddressError(ValueError):
    """The address cannot name a recipient on this channel. The text says what was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capabilities:
    """What a channel can do, as data: the engine reads this and never asks which channel it is."""

    receipts: bool
    """A later receipt proves or disproves delivery. Without receipts `accepted` is the settled end."""
    acknowledges: bool
    """The recipient can acknowledge over this channel itself (a keypad, a button)."""
    concurrent_sends: int
    """How many attempts may be under way at once over one provider (the sum of its windows)."""
    region: str | None = None
    """ISO 3166 code of the country whose national and short numbers the provider dials; None where it takes none, or nobody said."""
    extensions: tuple[str, ...] = ()
    """Numbers of the house behind the provider, with an x for any digit: they are no numbers of the telephone network."""
    interval_s: float = 0.0
    """The longest pause between two messages that its own pace asks for: so long without an outcome says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A file sent with a message, where the channel can carry it (`content` is bounded by the API: 5 MiB in all)."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """The rendered, channel-specific content of one attempt.

    `reference` is stable for a delivery and unique to it; a channel derives from it whatever must be the same on a
    second attempt (an SMS concatenation reference, a Message-ID, an ENVID). `parts_sent` are parts that a former attempt of
    this delivery over the same provider got through: only the others are sent. `attempt` counts the attempts of a delivery; what
    a provider answers too late is reported with it. `patience_s`, where given, says that another provider stands ready: what cannot
    leave within half of it is better given back.
    """

    address: str
    text: str
    reference: str
    subject: str = ""
    language: str = ""
    urgent: bool = False
    attachments: tuple[Attachment, ...] = ()
    parts_sent: frozenset[int] = frozenset()
    attempt: int = 0
    patience_s: float | None = None


ReportSink = Callable[[Sequence[Report]], Awaitable[None]]
"""Takes reports and returns once they are committed; raises when they could not be stored, and then the channel must
not confirm them to the provider, so that it sends them again."""


class Channel(Protocol):
    """One provider of one channel, seen from the broker. Holds connections, never delivery state.

    The class is constructed from its typed settings and does nothing until `run` is started. `send` may be called from
    many tasks at once.
    """

    name: str
    """The channel's name as stored and as written in addresses: ``sms``, ``email``. Never renamed."""
    provider: str
    """The name of the configured provider."""
    capabilities: Capabilities

    def parse_address(self, raw: str) -> str:
        """The canonical form of an address (without ``channel:``). Raises InvalidAddressError."""
        ...

    def billable_units(self, message: Message) -> int:
        """How many units (SMS parts, pages) the message will be charged as; at least 1. Pure."""
        ...

    def refusal(self, message: Message) -> str:
        """Why no attempt of the message can ever succeed, whatever the link and the address: what was expected of its length or
        size; "" where nothing is against it. Pure, and asked before the message is accepted."""
        ...

    async def send(self, message: Message) -> Outcome:
        """One attempt, no retry; bounded in time by the channel's own response time-outs; never raises for what a provider does."""
        ...

    async def run(self, report: ReportSink) -> None:
        """Keeps the links up until cancelled; hands over receipts and inbound messages. On cancellation it ends gracefully
        (unbinds, waits a bounded time for outstanding answers) and then raises CancelledError."""
        ...

    def health(self) -> LinkHealth:
        """How the links stand now; cheap, no I/O."""
        ...

    async def probe(self) -> LinkHealth:
        """Opens a connection of its own, authenticates (bind, EHLO), closes it again. Sends no message. Bounded in time."""
        ...
