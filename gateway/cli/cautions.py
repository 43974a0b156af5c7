"""What a settings file allows and still hurts one day, in sentences. What is refused lives in `gateway.settings_loading`."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from channels.certificates import out_of_date
from channels.voice.cautions import cautions, cautions_of_neighbours
from channels.voice.settings import SipSettings
from gateway.settings import Settings
from gateway.settings_loading import Loaded
from gateway.settings_location import KeyPath
from gateway.settings_rules import PHONE, rule_for_line
from gateway.store.locking import cautions as cautions_of_files

NOBODY_LEFT = "no [last_resort] recipients: when an alert reaches nobody, nobody is told"
NO_PROVIDER = "no [[providers]]: nothing can be sent"
_CERTIFICATES = ("tls_ca", "tls_certificate")
_KEY = "tls_key"


def warnings_of(loaded: Loaded) -> list[str]:
    """What is allowed and still dangerous, in sentences."""
    settings = loaded.settings
    found = []
    if not settings.last_resort.recipients:
        found.append(NOBODY_LEFT)
    if not settings.providers:
        found.append(NO_PROVIDER)
    found += cautions_of_files(settings.store.url.get_secret_value())
    found += _voice(settings)
    found += [loaded.told(path, text) for path, text in (*_unused(settings), *_certificates(loaded), *_open(loaded))]
    return [*found, *loaded.warnings]


def _voice(settings: Settings) -> list[str]:
    languages = {person.language for person in settings.people} | {line.language for line in settings.lines}
    answered = bool(settings.people or settings.lines)
    trunks = [provider.settings for provider in settings.providers if isinstance(provider.settings, SipSettings)]
    said = [(one.name, text) for one in trunks for text in cautions(one, languages=languages, answered=answered)]
    return [f"provider {name}: {text}" for name, text in (*said, *cautions_of_neighbours(trunks))]


def _unused(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """What stands there for nobody: it may be meant for later, or be a slip."""
    routed = {route.channel for route in settings.routes}
    used = {name for route in settings.routes for name in route.providers}
    for n, provider in enumerate(settings.providers):
        if provider.channel in routed and provider.name not in used:
            yield (
                ("providers", n, "name"),
                f"no route names {provider.name}, and {provider.channel} has routes: nothing goes out over it",
            )
    alarms = [line.name for line in settings.lines if line.kind == "alarm"]
    taken = {id(rule_for_line(settings.rules, name)) for name in alarms}
    for n, rule in enumerate(settings.rules):
        if rule.source == PHONE and id(rule) not in taken:
            yield ("rules", n, "name"), "no alarm line of [[lines]] comes to this rule: nothing raises it"


def _certificates(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    """A certificate that ran out refuses the next connection; what else works goes on, so it is no reason not to start."""
    now = datetime.now(UTC)
    for n, provider in enumerate(loaded.settings.providers):
        for key in _CERTIFICATES:
            path = getattr(provider.settings, key, None)
            said = out_of_date(path, now) if isinstance(path, Path) else ""
            if said:
                yield ("providers", n, key), f"the certificate in {path} {said}: TLS will refuse it"


def _open(loaded: Loaded) -> Iterator[tuple[KeyPath, str]]:
    """Secrets that every user of the machine can read."""
    files = dict(loaded.secret_files)
    for n, provider in enumerate(loaded.settings.providers):
        path = getattr(provider.settings, _KEY, None)
        if isinstance(path, Path):
            files["providers", n, _KEY] = path
    for place, path in files.items():
        if _others_read(path):
            yield place, f"others can read the secret in {path}: chmod o-rwx {path}"
    plain = sorted(place for place in loaded.plain_secrets if _is_worth_hiding(loaded.settings, place))
    if plain and _others_read(Path(loaded.file)):
        yield plain[0], f"others can read this file, and a secret stands in it: chmod o-rwx {loaded.file}"


def _is_worth_hiding(settings: Settings, place: KeyPath) -> bool:
    """Whether somebody elsewhere takes the secret: one of a provider on this very machine is a simulator's or a relay's."""
    if place[0] != "providers" or not isinstance(place[1], int):
        return False
    host = str(getattr(settings.providers[place[1]].settings, "host", ""))
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _others_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
