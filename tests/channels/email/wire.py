"""What the e-mail tests share: a channel that runs, a sink that listens, and the reports that came."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from channels.channel import Message
from channels.email.channel import EmailChannel
from channels.email.settings import SmtpSettings
from channels.email.sink import MailSink, SinkBehaviour
from channels.outcome import Receipt, Report

SENDER = "tocsin@example.org"
BOUNCES = "bounces@example.org"
RECIPIENT = "duty@example.org"
WAIT_S = 30.0


def settings(port: int, **keys: Any) -> SmtpSettings:
    """Settings for a server on loopback, with short time-outs."""
    defaults: dict[str, Any] = {
        "name": "mail",
        "host": "127.0.0.1",
        "port": port,
        "sender": SENDER,
        "connect_s": 5.0,
        "response_s": 5.0,
    }
    return SmtpSettings(**(defaults | keys))


def message(reference: str = "dlv_01", **fields: Any) -> Message:
    """A message to RECIPIENT."""
    return Message(**({"address": RECIPIENT, "text": "Fire in hall 3", "reference": reference} | fields))


class Inbox:
    """A report sink that keeps what it is given; `refusals` so many times it raises first."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.reports: list[Report] = []
        self._changed = asyncio.Condition()

    async def __call__(self, reports: Sequence[Report]) -> None:
        """The channel's `report`."""
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("the store is down")
        async with self._changed:
            self.reports.extend(reports)
            self._changed.notify_all()

    async def wait_for(self, count: int) -> list[Report]:
        """All reports, once there are `count`."""
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(lambda: len(self.reports) >= count)
        return self.reports

    async def receipt(self) -> Receipt:
        """The first report, which must be a receipt."""
        report = (await self.wait_for(1))[0]
        assert isinstance(report, Receipt)
        return report


@contextlib.asynccontextmanager
async def running_sink(behaviour: SinkBehaviour | None = None, **keys: Any) -> AsyncIterator[tuple[MailSink, int]]:
    """A sink and its port."""
    implicit_tls = keys.pop("implicit_tls", False)
    sink = MailSink(behaviour, **keys)
    port = await sink.start(implicit_tls=implicit_tls)
    try:
        yield sink, port
    finally:
        await sink.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; for what gives no event. Raises TimeoutError after WAIT_S."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is watched is a plain property
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(channel: EmailChannel, report: Inbox) -> AsyncIterator[EmailChannel]:
    """The channel while it runs; with a bounce listener, from the moment that one listens."""
    task = asyncio.create_task(channel.run(report))
    try:
        await asyncio.sleep(0)  # let it begin
        await until(lambda: not channel.capabilities.receipts or channel.bounce_port > 0)
        yield channel
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def sending(to: int | SmtpSettings, **keys: Any) -> AsyncIterator[EmailChannel]:
    """A channel that only sends, to a port or as the settings say; its connections are closed at the end."""
    channel = EmailChannel(to if isinstance(to, SmtpSettings) else settings(to, **keys))
    try:
        yield channel
    finally:
        await channel._pool.close()


@contextlib.asynccontextmanager
async def greeting(octets: bytes) -> AsyncIterator[int]:
    """The port of a server that says only this, and then ends the link; with b"" it waits for the client to end it."""
    tasks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        if not octets:
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.create_task(talk(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        yield int(server.sockets[0].getsockname()[1])
        await asyncio.gather(*tasks)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, fresh from the openssl command."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, *names, "-keyout", str(key), "-out", str(certificate)],
            check=True,
            capture_output=True,
            timeout=30,
        )
    except FileNotFoundError as error:
        raise AssertionError("install the Debian package openssl: this test needs a certificate") from error
    return certificate, key
