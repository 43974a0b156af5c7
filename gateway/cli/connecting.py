"""Asks everything that the settings name whether it works: store, accounts, queue, providers, speech. Sends no message."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import text

from channels.channel import Channel
from channels.email.settings import SmtpSettings
from channels.plainly import plainly
from channels.sms.settings import SmppSettings
from channels.voice.settings import SipSettings
from gateway.app import build_channels, build_queue
from gateway.opening import queue_refusal, store_refusal
from gateway.queue.port import QueueUnavailable
from gateway.settings import Settings
from gateway.settings_loading import Loaded
from gateway.store.engine import PostgresStore, SqliteStore, can_be_brought_up, schema_refusal
from gateway.store.errors import StoreError
from gateway.store.reading import accounts_among

ANSWER_S = 90.0
"""The longest a part may take to answer: a bind and its unbind, each with the provider's own time-out."""
SPEECH_WORDS_PER_MINUTE = 150
CANNOT_MAKE = "PostgreSQL answers, and this user may make no tables there: the user has to own the database"
REFUSED_BINDS = {
    "ESME_RINVSYSID": "it answers, and does not know this system_id",
    "ESME_RINVPASWD": "it answers, and this is not the password",
    "ESME_RALYBND": "it answers, and says that somebody is bound as this system_id already",
    "ESME_RBINDFAIL": "it answers, and lets nobody bind with these",
}
"""What an SMSC says of a bind, in words (SMPP 3.4, 5.1.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one part of the installation said."""

    part: str
    up: bool
    detail: str


async def connect_to_everything(loaded: Loaded) -> list[Finding]:
    """Asks every part at the same time."""
    settings = loaded.settings
    asked = [_store(loaded), _queue(settings)]
    settings_of = {provider.name: provider.settings for provider in settings.providers}
    asked += [_provider(name, channel, settings_of[name]) for name, channel in build_channels(settings).items()]
    if any(isinstance(provider.settings, SipSettings) for provider in settings.providers):
        asked.append(_speech(settings))
    store, *others = await asyncio.gather(*asked)
    return [*store, *(one for found in others for one in found)]


async def _speech(settings: Settings) -> list[Finding]:
    """Whether the engine chosen speaks, a word in each language that it has a voice of its own for."""
    from ivr.audio.speech import SpeechUnavailable

    part, chosen = "speech", settings.speech.engine
    speaker = settings.speech.plan().speaker(SPEECH_WORDS_PER_MINUTE)
    try:
        for language in settings.speech.voices or ("en",):
            await speaker.say("1", language)
            if speaker.engine != chosen:
                detail = f"{chosen} does not speak {language}; {speaker.engine} would"
                return [Finding(part=part, up=False, detail=detail)]
    except SpeechUnavailable as error:
        return [Finding(part=part, up=False, detail=f"{error}; calls would play fixed prompts")]
    finally:
        await speaker.close()
    return [Finding(part=part, up=True, detail=f"{chosen} speaks")]


async def _provider(name: str, channel: Channel, settings: BaseModel) -> list[Finding]:
    part, did = f"provider {name}", _what_is_done(settings)
    try:
        async with asyncio.timeout(ANSWER_S):
            health = await channel.probe()
    except TimeoutError:
        return [Finding(part=part, up=False, detail=f"{did}: no answer within {ANSWER_S:.0f} s")]
    facts = ", ".join(f"{what}: {value}" for what, value in health.facts.items() if value)
    if health.up:
        return [Finding(part=part, up=True, detail=f"{did}: {health.detail or facts or 'answers'}")]
    told = next((words for code, words in REFUSED_BINDS.items() if code in health.detail), "")
    refusal = plainly(health.detail) if health.detail else facts or "no answer"
    return [Finding(part=part, up=False, detail=f"{did}: {refusal}{f' ({told})' if told else ''}")]


def _what_is_done(settings: BaseModel) -> str:
    match settings:
        case SmppSettings():
            return f"bind to {_at(settings.host, settings.port)} as {settings.system_id}"
        case SmtpSettings():
            who = f" and login as {settings.username}" if settings.username else ""
            return f"greeting of {_at(settings.host, settings.port)}{who}"
        case SipSettings():
            where = settings.host if settings.port is None else _at(settings.host, settings.port)
            return f"OPTIONS to {where} by {settings.transport}"
    return "asked"


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _queue(settings: Settings) -> list[Finding]:
    part, url = "queue", settings.queue.url.get_secret_value()
    if url == "memory:":
        return [Finding(part=part, up=True, detail="in memory")]
    queue = build_queue(settings)
    try:
        await queue.start()
        await queue.ping()
    except QueueUnavailable as error:
        return [Finding(part=part, up=False, detail=f"queue.url: {queue_refusal(url, error)}")]
    finally:
        await queue.close()
    return [Finding(part=part, up=True, detail="Redis answers")]


async def _store(loaded: Loaded) -> list[Finding]:
    part, url = "store", loaded.settings.store.url.get_secret_value()
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if path is not None and not path.exists():
        made = Finding(part=part, up=True, detail=f"{path} will be created at start")
        return [made, *_accounts(loaded, frozenset())]
    store = SqliteStore(str(path)) if path is not None else PostgresStore(url)
    try:
        await store.read(lambda connection: connection.execute(text("select 1")).all())
        if refusal := await store.read(schema_refusal):
            return [Finding(part=part, up=False, detail=f"store.url: {refusal}")]
        if path is None and not await store.read(can_be_brought_up):
            return [Finding(part=part, up=False, detail=f"store.url: {CANNOT_MAKE}")]
        known = await store.read(accounts_among({rule.account for rule in loaded.settings.rules}))
    except StoreError as error:
        return [Finding(part=part, up=False, detail=f"store.url: {store_refusal(url, error)}")]
    finally:
        await store.close()
    answers = Finding(part=part, up=True, detail=f"{path} can be read" if path is not None else "PostgreSQL answers")
    return [answers, *_accounts(loaded, known)]


def _accounts(loaded: Loaded, known: frozenset[str]) -> list[Finding]:
    """Whether the store has the accounts that rules are charged to."""
    rules = loaded.settings.rules
    if not rules:
        return []
    missing = [
        loaded.told(
            ("rules", n, "account"), f"there is no account {rule.account}: tocsin accounts create {rule.account}"
        )
        for n, rule in enumerate(rules)
        if rule.account not in known
    ]
    names = ", ".join(sorted({rule.account for rule in rules}))
    return [Finding(part="accounts", up=not missing, detail="; ".join(missing) or f"of rules: {names}")]
