"""From a settings file to settings: everything in it is examined at once, by what each table means and by what they say of each other.

What only the machine knows (ports, folders) is `gateway.surroundings`'s, what only the store knows `gateway.serving`'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from channels.listening import listening_at
from gateway import settings_file
from gateway.settings import Provider, ProviderHead, Settings
from gateway.settings_addresses import ChannelOf, check_addresses
from gateway.settings_location import KeyPath, lines_of, nearest_line, written
from gateway.settings_neighbours import check_neighbours
from gateway.settings_problems import Examination, Problem, SettingsError, suggestion
from gateway.settings_references import check_references
from gateway.settings_rules import check_rules

SPOKEN = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
"""A language that providers can be told to speak."""
ProviderKinds = Mapping[tuple[str, str], type[BaseModel]]
"""(channel, kind) -> the model of that kind's own keys; name, channel and kind are among them where it wants them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """Settings, and where in which file they stand."""

    settings: Settings
    file: str
    lines: Mapping[KeyPath, int]
    secret_files: Mapping[KeyPath, Path]
    """The files that secrets were read from, by the place of the secret."""
    plain_secrets: frozenset[KeyPath]
    """The places of secrets that stand in the settings file itself."""
    warnings: tuple[str, ...] = ()
    """What is right and still not as it is meant, in lines."""

    def problem(self, path: KeyPath, text: str) -> Problem:
        """Something that is wrong with what stands at the path."""
        return Problem(key=written(path), line=nearest_line(self.lines, path), text=text)

    def told(self, path: KeyPath, text: str) -> str:
        """The same in one line."""
        return self.problem(path, text).told(self.file)


def load(path: Path, provider_kinds: ProviderKinds, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at `path`. Raises SettingsError naming everything that is wrong with it, but for addresses."""
    return examine(path, provider_kinds, environ).settings


def examine(
    path: Path,
    provider_kinds: ProviderKinds,
    environ: Mapping[str, str] = os.environ,
    *,
    channel_of: ChannelOf | None = None,
) -> Loaded:
    """The settings in the TOML file at `path`, examined whole; the addresses in it with the channels that `channel_of` builds.

    Raises SettingsError naming everything that is wrong.
    """
    text, raw = settings_file.read(path)
    examination = Examination(lines=lines_of(text), folder=path.parent, environ=environ)
    return _examined(path, examination, lines_of(text), raw, provider_kinds, channel_of)


def load_part(
    path: Path,
    provider_kinds: ProviderKinds,
    sections: Collection[str],
    *,
    secrets_of: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """The named sections alone, the others as in an empty file; of [[providers]] only the secrets of the one called `secrets_of`.

    For commands that have no use for the rest: whatever is wrong there is not theirs to say. A table that nobody knows may be one of
    those named, misspelt. Raises SettingsError.
    """
    text, raw = settings_file.read(path)
    raw = {key: value for key, value in raw.items() if key in sections or key not in Settings.model_fields}

    tables = raw.get("providers")

    def needed(at: KeyPath) -> bool:
        if at[0] != "providers":
            return True
        n = at[1]
        return isinstance(tables, list) and isinstance(n, int) and bool(tables[n].get("name") == secrets_of)

    lines = lines_of(text)
    examination = Examination(lines=lines, folder=path.parent, environ=environ, needs=needed)
    return _examined(path, examination, lines, raw, provider_kinds, None).settings


def _examined(
    path: Path,
    examination: Examination,
    lines: Mapping[KeyPath, int],
    raw: dict[str, Any],
    provider_kinds: ProviderKinds,
    channel_of: ChannelOf | None,
) -> Loaded:
    raw = _without_nul(examination, raw, ())
    tables = raw.pop("providers", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        examination.add(("providers",), "expected a list of tables, written [[providers]]")
        tables = []
    providers = _providers(examination, _spoken_as_told(tables, raw, provider_kinds), provider_kinds)
    settings = examination.validated(Settings, raw, ())
    api = None if settings is None else listening_at("listen", "tcp", settings.http.host, settings.http.port)
    check_neighbours(examination, {n: provider.settings for n, provider in providers.items()}, api)
    check_references(examination, raw, tables)
    rules = check_rules(examination, raw)
    if channel_of is not None:
        check_addresses(examination, raw, tables, providers, rules, channel_of)
    if examination.problems or settings is None:
        raise SettingsError(str(path), examination.problems, examination.unexamined)
    return Loaded(
        settings=settings.model_copy(update={"providers": tuple(providers.values())}),
        file=str(path),
        lines=lines,
        secret_files=examination.secret_files,
        plain_secrets=frozenset(examination.plain_secrets),
        warnings=tuple(caution.told(str(path)) for caution in examination.cautions),
    )


def _without_nul(examination: Examination, value: Any, at: KeyPath) -> Any:
    """The same without U+0000, which no file, host or row can be called by; each is told where it stands."""
    match value:
        case dict():
            return {key: _without_nul(examination, item, (*at, key)) for key, item in value.items()}
        case list():
            return [_without_nul(examination, item, (*at, n)) for n, item in enumerate(value)]
        case str() if "\0" in value:
            examination.add_unreadable(at, "expected text without U+0000")
            return value.replace("\0", "\ufffd")
    return value


def _spoken_as_told(
    tables: list[dict[str, Any]], raw: Mapping[str, Any], provider_kinds: ProviderKinds
) -> list[dict[str, Any]]:
    """The tables of providers; those that could name a language and do not have that of [messages]."""
    messages = raw.get("messages")
    language = messages.get("language") if isinstance(messages, dict) else None
    if not isinstance(language, str) or not SPOKEN.fullmatch(language):
        return tables  # what is wrong with it is said where it stands

    def speaks(table: Mapping[str, Any]) -> bool:
        kind = (table.get("channel"), table.get("kind"))
        model = provider_kinds.get(kind) if all(isinstance(one, str) for one in kind) else None  # type: ignore[arg-type] # looked at
        return model is not None and "language" in model.model_fields

    return [{"language": language, **table} if speaks(table) else table for table in tables]


def _providers(
    examination: Examination, tables: list[dict[str, Any]], provider_kinds: ProviderKinds
) -> dict[int, Provider]:
    """The providers that are right, by their place; what is wrong with the others is added to the examination."""
    providers: dict[int, Provider] = {}
    first_at: dict[str, int] = {}
    for n, table in enumerate(tables):
        at: KeyPath = ("providers", n)
        written_head = {key: value for key, value in table.items() if key in ProviderHead.model_fields}
        head = examination.validated(ProviderHead, written_head, at)
        if head is None:
            continue
        if first_at.setdefault(head.name, n) != n:
            examination.add((*at, "name"), f"providers[{first_at[head.name]}] is called {head.name} already")
        model = provider_kinds.get((head.channel, head.kind))
        if model is None:
            _add_unknown_kind(examination, head, at, provider_kinds)
            continue
        keys = {key: value for key, value in table.items() if key not in written_head or key in model.model_fields}
        settings = examination.validated(model, keys, at)
        if settings is not None:
            providers[n] = Provider(name=head.name, channel=head.channel, kind=head.kind, settings=settings)
    return providers


def _add_unknown_kind(examination: Examination, head: ProviderHead, at: KeyPath, provider_kinds: ProviderKinds) -> None:
    channels = {channel for channel, _ in provider_kinds}
    if head.channel not in channels:
        examination.add((*at, "channel"), f"unknown channel{suggestion(head.channel, channels)}")
        return
    kinds = {kind for channel, kind in provider_kinds if channel == head.channel}
    examination.add((*at, "kind"), f"unknown kind of {head.channel} provider{suggestion(head.kind, kinds)}")
