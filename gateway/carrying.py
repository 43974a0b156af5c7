"""Whether the channels can carry an alert at all: what is too long or too large for them is told when it is submitted."""

from __future__ import annotations

from collections.abc import Sequence

from channels.channel import Attachment
from gateway.alert import Alert
from gateway.escalation import Occurrence, Recipient
from gateway.planning import Planner

SURELY_SHORT_CHARS = 1_000
"""Of a text and its subject, without attachments: below every limit that a channel's settings can set (255 short messages, a mail of
16 KiB), whatever is added to it. A longer one is tried on each channel."""


def too_large(
    planner: Planner,
    alert: Alert,
    plan: Sequence[Occurrence],
    recipients: Sequence[Recipient],
    attachments: Sequence[tuple[str, str, bytes]],
) -> tuple[str, str] | None:
    """What of the alert no provider of an address could ever carry, ``text`` or ``attachments``, and the limit; None where all of
    it can be told to all."""
    if not attachments and len(alert.text) + len(alert.subject) <= SURELY_SHORT_CHARS:
        return None
    wrong = planner.refusal(plan, recipients, alert)
    if wrong:
        return "text", wrong
    files = [Attachment(name=name, content_type=kind, content=content) for name, kind, content in attachments]
    wrong = planner.refusal(plan, recipients, alert, files) if files else ""
    return ("attachments", wrong) if wrong else None
