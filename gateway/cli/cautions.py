"""What a settings file allows and still hurts one day, in sentences. What is refused lives in `gateway.settings`."""

from __future__ import annotations

from channels.voice.caller_ids import objection
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
    found += _caller_ids(settings)
    return found


def _caller_ids(settings: Settings) -> list[str]:
    found = []
    for provider in settings.providers:
        caller_id = getattr(provider.settings, "caller_id", "")
        said = objection(caller_id)
        if said:
            found.append(f"provider {provider.name}: caller_id {caller_id}: {said}")
    return found
