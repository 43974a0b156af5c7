"""What an alert says on a channel: subject and text of one attempt's message."""

from __future__ import annotations

from gateway.attempts import Claim


def rendered(claim: Claim, channel: str) -> tuple[str, str]:
    """(subject, text) for one claim on one channel."""
    alert = claim.alert
    text = f"EXERCISE {alert.text}" if alert.exercise else alert.text
    return alert.subject, text
