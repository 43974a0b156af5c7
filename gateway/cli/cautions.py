"""What a settings file allows and still hurts one day, in sentences. What is refused lives in `gateway.settings`."""

from __future__ import annotations

from channels.voice.cautions import cautions, cautions_of_neighbours
from channels.voice.settings import SipSettings
from gateway.settings import Settings
from gateway.store.locking import cautions as cautions_of_files

NOBODY_LEFT = "no [last_resort] recipients: when an alert reaches nobody, nobody is told"
NO_PROVIDER = "no [[providers]]: nothing can be sent"


def warnings_of(settings: Settings) -> list[str]:
    """What is allowed and still dangerous, in sentences."""
    found = []
    if not settings.last_resort.recipients:
        found.append(NOBODY_LEFT)
    if not settings.providers:
        found.append(NO_PROVIDER)
    found += cautions_of_files(settings.store.url.get_secret_value())
    found += _voice(settings)
    return found


def _voice(settings: Settings) -> list[str]:
    languages = {person.language for person in settings.people} | {line.language for line in settings.lines}
    answered = bool(settings.people or settings.lines)
    trunks = [provider.settings for provider in settings.providers if isinstance(provider.settings, SipSettings)]
    said = [(one.name, text) for one in trunks for text in cautions(one, languages=languages, answered=answered)]
    return [f"provider {name}: {text}" for name, text in (*said, *cautions_of_neighbours(trunks))]
