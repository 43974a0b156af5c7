"""The composition root: settings become store, queue, channels, broker and HTTP. The one module that names concrete channels.

What only some installations use is imported when it is built: each saves time at the start, and memory for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel
from starlette.types import ASGIApp

from channels.channel import Channel
from channels.email.settings import SmtpSettings
from channels.sms.settings import SmppSettings
from channels.voice.settings import SipSettings
from gateway import settings_loading
from gateway.attending import attend
from gateway.broker import Broker, Role
from gateway.clock import SystemClock
from gateway.listener.server import HttpServer
from gateway.opening import opened
from gateway.queue.memory import MemoryQueue
from gateway.queue.port import Queue
from gateway.settings import Provider, Settings
from gateway.settings_loading import Loaded
from gateway.settings_speech import SpeechSettings
from gateway.waiting import told_when_long

log = structlog.get_logger(__name__)

GC_ALLOCATIONS = 20_000  # a tenth less time for a broadcast than with the default of 700, for some MB of memory

PROVIDER_KINDS: dict[tuple[str, str], type[BaseModel]] = {
    ("sms", "smpp"): SmppSettings,
    ("email", "smtp"): SmtpSettings,
    ("voice", "sip"): SipSettings,
}


def examine(path: Path) -> Loaded:
    """The settings in the file, with the keys of every kind of provider there is, examined whole. Raises SettingsError."""
    return settings_loading.examine(path, PROVIDER_KINDS, channel_of=build_channel)


def load_settings(path: Path) -> Settings:
    """The same, without the places at which they stand."""
    return examine(path).settings


def load_part(path: Path, sections: Collection[str], *, secrets_of: str | None = None) -> Settings:
    """The named sections of the settings alone. See `gateway.settings_loading.load_part`."""
    return settings_loading.load_part(path, PROVIDER_KINDS, sections, secrets_of=secrets_of)


def build_channel(provider: Provider, speech: SpeechSettings) -> Channel:
    """The channel of one configured provider."""
    match provider.settings:
        case SmppSettings() as settings:
            from channels.sms.channel import SmsChannel

            return SmsChannel(settings)
        case SmtpSettings() as settings:
            from channels.email.channel import EmailChannel

            return EmailChannel(settings)
        case SipSettings() as settings:
            from channels.voice.channel import VoiceChannel

            return VoiceChannel(settings, speech.plan())
    raise AssertionError(f"no channel for {provider.channel}/{provider.kind}")


def build_channels(settings: Settings) -> Mapping[str, Channel]:
    """One channel for each provider, by the provider's name."""
    return {provider.name: build_channel(provider, settings.speech) for provider in settings.providers}


def build_queue(settings: Settings) -> Queue:
    """The queue that the settings name."""
    url = settings.queue.url.get_secret_value()
    if url == "memory:":
        return MemoryQueue()
    from gateway.queue.redis_streams import RedisStreamsQueue

    return RedisStreamsQueue(url)


STORE_OPENS: Final = "the store: it answers late, its schema is brought up to date, or another process does that"
BROKER_STARTS: Final = "the queue to answer, and what was left open to be read"
"""What a start can wait for, in the order in which it does."""


async def serve(
    settings: Settings,
    http_app: Callable[[Broker], ASGIApp],
    *,
    started: Callable[[str], Awaitable[None]] | None = None,
    role: Role = "all",
) -> None:
    """Runs the gateway until SIGINT or SIGTERM, or until a part of it dies (then that part's error is raised).

    `started` is awaited with the base URL once requests are answered. Raises StoreError where the database cannot be opened.
    """
    # what was imported stays: the collector need not look at it again, and messages make little garbage in cycles
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    async with told_when_long(STORE_OPENS):
        store = await opened(settings.store, upward=True)
    try:
        broker = Broker(
            settings=settings,
            store=store,
            queue=build_queue(settings),
            channels=build_channels(settings),
            clock=SystemClock(),
            role=role,
        )
        attend(broker)
        await _serve(settings, broker, http_app(broker), started)
    finally:
        await store.close()


async def _serve(
    settings: Settings, broker: Broker, app: ASGIApp, started: Callable[[str], Awaitable[None]] | None
) -> None:
    server = HttpServer(app, settings.http)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(broker.run(running.set), name="broker"),
        asyncio.create_task(stop.wait(), name="stop"),
    ]
    try:
        ready = asyncio.create_task(running.wait())
        async with told_when_long(BROKER_STARTS):
            await asyncio.wait({ready, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.is_set():
            tasks.append(asyncio.create_task(server.serve(), name="http"))
            await _wait_listening(server, tasks)
            if server.started and started is not None:
                await started(f"http://{settings.http.host}:{server.port}")
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        server.should_exit = True
        for task in tasks[2:]:
            with contextlib.suppress(Exception):
                await task
        for task in tasks[:2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _wait_listening(server: HttpServer, tasks: Sequence[asyncio.Task[Any]]) -> None:
    while not server.started and not any(task.done() for task in tasks):  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.01)
