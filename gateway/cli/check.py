"""`tocsin check`: what is wrong with the settings, and with --connect whether everything they name answers. Sends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from channels.channel import Channel
from channels.voice.settings import SipSettings
from gateway import loop
from gateway.addressing import AddressRefused
from gateway.app import build_channels, build_queue
from gateway.cli.cautions import warnings_of
from gateway.cli.failures import Refused
from gateway.cli.invocation import common_options, this_invocation
from gateway.planning import Planner
from gateway.queue.port import QueueUnavailable
from gateway.rendering import text_for
from gateway.settings import Settings
from gateway.settings_people import check_people
from gateway.store.engine import PostgresStore, SqliteStore
from gateway.store.errors import StoreError

ANSWER_S = 90.0
"""The longest a part may take to answer: a bind and its unbind, each with the provider's own time-out."""


SPEECH_WORDS_PER_MINUTE = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What one part of the installation said."""

    part: str
    up: bool
    detail: str


@click.command()
@click.option("--connect", is_flag=True, help="Bind to every provider, ask store, queue and speech. Sends nothing.")
@common_options
def check(connect: bool) -> None:
    """Read the settings file and say what is wrong with it. Status 3 where it is, 1 where something does not answer."""
    invocation = this_invocation()
    settings = invocation.settings()
    check_people(str(invocation.config_path), settings.people, _canonical(settings))
    warnings = warnings_of(settings)
    document: dict[str, Any] = {"settings": str(invocation.config_path), "warnings": warnings}
    lines = [f"{invocation.config_path}: {_what_there_is(settings)}"]
    findings: list[Finding] = []
    if connect:
        findings = loop.run(_connect(settings))
        document["connections"] = [{"part": one.part, "up": one.up, "detail": one.detail} for one in findings]
        width = max(len(one.part) for one in findings)
        lines += [f"{'ok    ' if one.up else 'FAILED'}  {one.part.ljust(width)}  {one.detail}" for one in findings]
    down = [one.part for one in findings if not one.up]
    if not (down and invocation.json):
        invocation.show(document, lines)
    for warning in warnings:
        click.echo(f"tocsin: WARNING: {warning}", err=True)
    if down:
        raise Refused(f"no answer from {', '.join(down)}", **document)


def _what_there_is(settings: Settings) -> str:
    counts = [("provider", settings.providers), ("route", settings.routes), ("rule", settings.rules)]
    return ", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts)


def _canonical(settings: Settings) -> Callable[[str], str]:
    """Gives addresses as they are stored; what nobody takes stays as it is written."""
    planner = Planner(
        channels=build_channels(settings) if settings.people else {},
        routes=settings.routing,
        destinations=settings.destination_policies,
        available=lambda _: True,
        text_for=text_for,
    )

    def canonical(address: str) -> str:
        try:
            return planner.canonical(address)
        except AddressRefused:
            return address

    return canonical


async def _connect(settings: Settings) -> list[Finding]:
    """Asks every part at the same time."""
    asked = [_store(settings), _queue(settings)]
    asked += [_provider(name, channel) for name, channel in build_channels(settings).items()]
    if any(isinstance(provider.settings, SipSettings) for provider in settings.providers):
        asked.append(_speech(settings))
    return list(await asyncio.gather(*asked))


async def _speech(settings: Settings) -> Finding:
    """Whether the engine chosen speaks, a word in each language that it has a voice of its own for."""
    from ivr.audio.speech import SpeechUnavailable

    part, chosen = "speech", settings.speech.engine
    speaker = settings.speech.plan().speaker(SPEECH_WORDS_PER_MINUTE)
    try:
        for language in settings.speech.voices or ("en",):
            await speaker.say("1", language)
            if speaker.engine != chosen:
                return Finding(
                    part=part, up=False, detail=f"{chosen} does not speak {language}; {speaker.engine} would"
                )
    except SpeechUnavailable as error:
        return Finding(part=part, up=False, detail=f"{error}; calls would play fixed prompts")
    finally:
        await speaker.close()
    return Finding(part=part, up=True, detail=f"{chosen} speaks")


async def _provider(name: str, channel: Channel) -> Finding:
    part = f"provider {name}"
    try:
        async with asyncio.timeout(ANSWER_S):
            health = await channel.probe()
    except TimeoutError:
        return Finding(part=part, up=False, detail=f"no answer within {ANSWER_S:.0f} s")
    facts = ", ".join(f"{what}: {value}" for what, value in health.facts.items() if value)
    return Finding(part=part, up=health.up, detail=health.detail or facts or "answers")


async def _queue(settings: Settings) -> Finding:
    part, url = "queue", settings.queue.url.get_secret_value()
    if url == "memory:":
        return Finding(part=part, up=True, detail="in memory")
    queue = build_queue(settings)
    try:
        await queue.start()
        await queue.ping()
    except QueueUnavailable as error:
        return Finding(part=part, up=False, detail=str(error))
    finally:
        await queue.close()
    return Finding(part=part, up=True, detail="Redis answers")


async def _store(settings: Settings) -> Finding:
    part, url = "store", settings.store.url.get_secret_value()
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if path is not None and not path.exists():
        found = path.parent.is_dir()
        detail = f"{path} will be created at start" if found else f"the folder {path.parent} does not exist"
        return Finding(part=part, up=found, detail=detail)
    store = SqliteStore(str(path)) if path is not None else PostgresStore(url)
    try:
        await store.read(lambda connection: connection.execute(text("select 1")).all())
    except StoreError as error:
        return Finding(part=part, up=False, detail=str(error))
    finally:
        await store.close()
    return Finding(part=part, up=True, detail=f"{path} can be read" if path is not None else "PostgreSQL answers")
