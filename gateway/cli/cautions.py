"""What a settings file allows and still hurts one day, in sentences. What is refused lives in `gateway.settings`."""

from __future__ import annotations

from gateway.settings import Settings

NOBODY_LEFT = "no [last_resort] recipients: when an alert reaches nobody, nobody is told"
NO_PROVIDER = "no [[providers]]: nothing can be sent"


def warnings_of(settings: Settings) -> list[str]:
    """What is allowed and still dangerous, in sentences."""
    found = []
    if not settings.last_resort.recipients:
        found.append(NOBODY_LEFT)
    if not settings.providers:
        found.append(NO_PROVIDER)
    return found
