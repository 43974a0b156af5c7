"""The e-mail channel keeps the promises of every channel, over TLS and with a login, towards the simulated mail server."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from channels.channel import Channel
from channels.email import listener, pool, server
from channels.email.channel import EmailChannel
from channels.email.connection import QUIT_S
from channels.email.settings import SmtpSettings
from channels.email.sink import MailSink, SinkBehaviour
from tests.channels.email.wire import BOUNCES, RECIPIENT, SENDER, self_signed
from tests.conformance.channel_suite import ChannelSuite
from tests.conformance.counterpart import PATIENT_S, SLOTS, SLOW_S, WRONG_PASSWORD, Counterpart, Mood, Reports
from tests.peers.ports import LOOPBACK

USERNAME, PASSWORD = "tocsin", "Gehe1m-Pw"

MOODS = {
    Mood.TAKES: SinkBehaviour(),
    Mood.SLOW: SinkBehaviour(answer_delay_s=SLOW_S),
    Mood.REFUSES: SinkBehaviour(refuse={RECIPIENT: "550 5.1.1 No such user"}),
    Mood.BUSY: SinkBehaviour(data_reply="451 4.3.0 Try again later"),
    Mood.THROTTLES: SinkBehaviour(mail_reply="451 4.7.0 Too many messages"),
    Mood.SILENT: SinkBehaviour(answer_delay_s=60),
    Mood.DROPS: SinkBehaviour(drop="data"),
}
ANSWERS = 9
"""For how many things one send may wait `response_s`: a slot, EHLO twice, STARTTLS, AUTH, MAIL, RCPT, DATA, the final dot."""


class ReportGate:
    """Passes on what the sink hands in to the channel that listens now, and counts the answers to whole reports."""

    def __init__(self, listening: Callable[[], int]) -> None:
        self.answers: Counter[bytes] = Counter()
        """By the first digit of the reply that follows the final dot (RFC 5321 4.2.1)."""
        self._listening = listening
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass(reader, writer))
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection(LOOPBACK, self._listening())
            with contextlib.closing(forth):
                ways = [asyncio.create_task(_copy(reader, forth)), asyncio.create_task(self._answer(back, writer))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = False
        while line := await reader.readline():
            if whole:
                self.answers[line[:1]] += 1
            whole = line.startswith(b"354")
            writer.write(line)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(65536):
        writer.write(octets)
        await writer.drain()


class SinkCounterpart:
    """channels.email.sink.MailSink with TLS and a login; its reports come through a gate that counts."""

    to = RECIPIENT
    secrets: tuple[str, ...] = (
        PASSWORD,
        *(b64encode(octets.encode()).decode() for password in (PASSWORD, WRONG_PASSWORD)
          for octets in (password, f"\0{USERNAME}\0{password}")),
    )  # fmt: skip
    ends_within_s = pool.CLOSE_S + QUIT_S + listener.STOP_S + 2 * server.STOP_S

    def __init__(self, certificate: Path, key: Path) -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        self._certificate = certificate
        self._sink = MailSink(tls_context=tls, logins={USERNAME: PASSWORD})
        self._gate = ReportGate(self._bounce_port)
        self._report_to: tuple[str, int] | None = None
        self._channels: list[EmailChannel] = []
        self._port = 0

    def channel(
        self,
        *,
        port: int | None = None,
        password: str | None = None,
        connect_s: float = PATIENT_S,
        response_s: float = PATIENT_S,
    ) -> EmailChannel:
        channel = EmailChannel(
            smtp(
                port or self._port,
                self._certificate,
                password=password or PASSWORD,
                connect_s=connect_s,
                response_s=response_s,
            )
        )
        self._channels.append(channel)
        return channel

    def send_within_s(self, connect_s: float, response_s: float) -> float:
        return connect_s + ANSWERS * response_s

    async def start(self) -> None:
        self._report_to = self._report_to or (LOOPBACK, await self._gate.start())
        await self.behave(Mood.TAKES)
        self._port = await self._sink.start(port=self._port)

    async def stop(self) -> None:
        await self._sink.stop()

    async def end(self) -> None:
        await self._sink.stop()
        await self._gate.stop()

    async def behave(self, mood: Mood) -> None:
        self._sink.behaviour = replace(MOODS[mood], report_to=self._report_to)

    async def messages(self) -> int:
        return self._sink.taken

    async def logins(self) -> int:
        return self._sink.connections // 2  # each greets again after STARTTLS

    async def confirmed(self) -> int:
        return self._gate.answers[b"2"]

    async def refused(self) -> int:
        return self._gate.answers[b"4"]

    def _bounce_port(self) -> int:
        """Where reports are taken now; 1, where nobody is, when no channel runs."""
        return next((channel.bounce_port for channel in self._channels if channel.bounce_port), 1)


def smtp(port: int, certificate: Path | None, **changes: object) -> SmtpSettings:
    """Settings towards a mail server on this port."""
    base: dict[str, object] = {
        "name": "mail",
        "host": LOOPBACK,
        "port": port,
        "sender": SENDER,
        "tls": "starttls",
        "tls_ca": certificate,
        "username": USERNAME,
        "password": PASSWORD,
        "connections": SLOTS,
        "bounce_listen": f"{LOOPBACK}:0",
        "bounce_address": BOUNCES,
    }
    return SmtpSettings.model_validate(base | changes)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


class TestEmailWithSink(ChannelSuite):
    addresses: ClassVar = {
        "duty@example.org": "duty@example.org",
        " Duty.Desk+night@EXAMPLE.org\t": "Duty.Desk+night@example.org",
        "duty@bücher.example": "duty@xn--bcher-kva.example",
        "duty@BÜCHER。example": "duty@xn--bcher-kva.example",
        "root@localhost": "root@localhost",
    }
    address_characters = "aB.@@-_+é\u3002ßxn0 "

    def offline(self) -> Channel:
        return EmailChannel(smtp(1, None))

    def bad_settings(self, password: str) -> None:
        smtp(1, None, password=password, tls="none", host="mail.example.org")

    @pytest.fixture
    async def counterpart(self, certificate: tuple[Path, Path]) -> AsyncIterator[Counterpart]:
        counterpart = SinkCounterpart(*certificate)
        await counterpart.start()
        yield counterpart
        await counterpart.end()


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_with_an_answer_is_not_lost(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio.wait_for, with which the SMTP library waits, may lose it before Python 3.12."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asked = asyncio.Event()

    async def connect(*_: object, **__: object) -> None:
        asked.set()
        await asyncio.wait_for(answer, PATIENT_S)

    monkeypatch.setattr("channels.email.connection.SMTP.connect", connect)
    run = asyncio.create_task(EmailChannel(smtp(1, None)).run(Reports()))
    await asked.wait()
    answer.set_exception(OSError("EOF"))
    for _ in range(turns):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait([run], timeout=PATIENT_S)
    assert run.cancelled()
