"""The listener for reports over raw sockets: whom it believes, what it takes, and how it is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest
import structlog

from channels.email import listener as listening
from channels.email import server as serving
from channels.email.listener import BounceListener
from channels.guests import REFUSED
from channels.outcome import Inbound, Report
from tests.channels.email.wire import BOUNCES, WAIT_S, Inbox, settings


class Client:
    """A mail server's side of the dialogue, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def answer(self) -> str:
        """The last line of the next reply; "" at the end of the link."""
        async with asyncio.timeout(WAIT_S):
            while True:
                line = (await self._reader.readline()).decode()
                if line[3:4] != "-":
                    return line.strip()

    async def say(self, *lines: str) -> str:
        """Sends lines, one by one; the answer to the last."""
        answer = ""
        for line in lines:
            self._writer.write(line.encode() + b"\r\n")
            answer = await self.answer()
        return answer

    async def close(self) -> None:
        """Ends the link."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


@contextlib.asynccontextmanager
async def listener(report: Inbox, **keys: object) -> AsyncIterator[BounceListener]:
    bounces = BounceListener(settings(25, bounce_listen="127.0.0.1:0", bounce_address=BOUNCES, **keys), report)
    await bounces.start()
    try:
        yield bounces
    finally:
        await bounces.stop()


@contextlib.asynccontextmanager
async def dialled(bounces: BounceListener, host: str = "127.0.0.1") -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", bounces.port, local_addr=(host, 0)))
    try:
        yield client
    finally:
        await client.close()


def refusals(reason: str) -> float:
    """How many were refused for this reason."""
    return float(REFUSED.labels("bounces", reason)._value.get())


ENVELOPE = ("EHLO mx", "MAIL FROM:<>", f"RCPT TO:<{BOUNCES}>", "DATA")


async def test_a_mail_is_answered_after_it_is_stored() -> None:
    stored = asyncio.Event()

    class Slow(Inbox):
        async def __call__(self, reports: Sequence[Report]) -> None:
            await stored.wait()
            await super().__call__(reports)

    inbox = Slow()
    async with listener(inbox) as bounces, dialled(bounces) as client:
        assert (await client.answer()).startswith("220")
        assert (await client.say(*ENVELOPE)).startswith("354")
        answering = asyncio.create_task(client.say("Subject: s\r\n\r\nt\r\n."))
        await asyncio.wait([answering], timeout=0.05)
        assert not answering.done()
        stored.set()
        assert (await answering).startswith("250 2.0.0")
    assert inbox.reports == [Inbound(source="", destination=BOUNCES, text="s\nt\n")]


async def test_what_cannot_be_stored_is_for_later() -> None:
    inbox = Inbox(refusals=1)
    async with listener(inbox) as bounces, dialled(bounces) as client:
        await client.answer()
        assert (await client.say(*ENVELOPE, "x\r\n.")).startswith("451 4.3.0")
        assert (await client.say(*ENVELOPE[1:], "x\r\n.")).startswith("250")
    assert len(inbox.reports) == 1


async def test_only_the_bounce_address_is_served() -> None:
    async with listener(Inbox()) as bounces, dialled(bounces) as client:
        await client.answer()
        assert (await client.say("EHLO mx", "MAIL FROM:<>", "RCPT TO:<other@example.org>")).startswith("550 5.1.1")
        assert (await client.say(f"RCPT TO:<{BOUNCES.replace('@', '+dlv_1@')}>")).startswith("250")


async def test_recipients_are_bounded() -> None:
    async with listener(Inbox()) as bounces, dialled(bounces) as client:
        await client.answer()
        answer = await client.say(*ENVELOPE[:2], *[ENVELOPE[2]] * (listening.RECIPIENTS_MAX + 1))
        assert answer.startswith("452 4.5.3")


async def test_case_7_4_a_strange_peer_is_told_at_once_and_takes_no_place() -> None:
    async with contextlib.AsyncExitStack() as stack:
        bounces = await stack.enter_async_context(listener(Inbox(), bounce_peers=["127.0.0.2/32"]))
        before = refusals("stranger")
        with structlog.testing.capture_logs() as logged:
            for _ in range(listening.CONNECTIONS_MAX + 3):
                client = await stack.enter_async_context(dialled(bounces))
                assert await client.answer() == "554 5.7.1 Not from this address"
                assert await client.answer() == ""
        assert refusals("stranger") - before == listening.CONNECTIONS_MAX + 3
        assert [(line["event"], line["reason"], line["peer"]) for line in logged] == [
            ("listener_refused", "stranger", "127.0.0.1")
        ]
        believed = await stack.enter_async_context(dialled(bounces, "127.0.0.2"))
        assert (await believed.answer()).startswith("220")


async def test_case_7_4_one_believed_host_leaves_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "CONNECTIONS_OF_ONE_MAX", 2)
    async with contextlib.AsyncExitStack() as stack:
        bounces = await stack.enter_async_context(listener(Inbox()))
        for host, answer in (
            ("127.0.0.2", "220"),
            ("127.0.0.2", "220"),
            ("127.0.0.2", "421 4.7.0"),
            ("127.0.0.3", "220"),
        ):
            client = await stack.enter_async_context(dialled(bounces, host))
            assert (await client.answer()).startswith(answer)


async def test_a_mail_is_kept_as_far_as_it_is_read_whatever_its_lines() -> None:
    inbox = Inbox()
    async with listener(inbox) as bounces, dialled(bounces) as client:
        await client.answer()
        for content in (
            "Subject: s\r\n\r\n..hidden\r\n.x\r\n",  # dots (RFC 5321 4.5.2)
            "Subject: s\r\n\r\n" + "x" * 5_000 + "\r\n",  # one long line
            "Subject: s\r\n\r\nfirst\r\n" + ".\n.\r" * 60_000 + "\r\n",  # more than is kept, and no end in it
            "",
        ):
            await client.say(*ENVELOPE)
            client._writer.write(content.encode() + b".\r\nNOOP\r\n")
            assert (await client.answer()).startswith("250 2.0.0")
            assert (await client.answer()).startswith("250 OK")
    texts = [report.text for report in inbox.reports if isinstance(report, Inbound)]
    assert [text[:10] for text in texts] == ["s\n.hidden\n", "s\n" + "x" * 8, "s\nfirst\n\n.", ""]
    assert texts[0] == "s\n.hidden\nx\n"


async def test_mails_on_their_way_share_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "ROOM_BYTES", 1_000)
    async with listener(Inbox()) as bounces, dialled(bounces) as client:
        await client.answer()
        large = ("x" * 70 + "\r\n") * 20
        for content, answer in ((large, "452 4.3.1"), ("x\r\n", "250"), (large, "452 4.3.1"), ("x\r\n", "250")):
            await client.say(*ENVELOPE)
            client._writer.write(content.encode() + b".\r\n")
            assert (await client.answer()).startswith(answer)


async def test_who_only_makes_mistakes_is_sent_away() -> None:
    async with listener(Inbox()) as bounces, dialled(bounces) as client:
        await client.answer()
        answers = [await client.say("\xff") for _ in range(serving.ERRORS_MAX)]
        assert {answer[:3] for answer in answers} == {"500"}
        assert (await client.answer()).startswith("421 4.7.0")
        assert await client.answer() == ""


async def test_a_mail_that_is_too_big_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "REPORT_BYTES_EXTRA", 0)
    inbox = Inbox()
    async with listener(inbox, max_message_bytes=16 * 1024) as bounces, dialled(bounces) as client:
        await client.answer()
        assert (await client.say(*ENVELOPE, "\r\n".join(["x" * 70] * 300) + "\r\n.")).startswith("552")
        assert (await client.say(*ENVELOPE[1:], "x\r\n.")).startswith("250")
    assert len(inbox.reports) == 1


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "CONNECTIONS_MAX", 1)
    async with listener(Inbox()) as bounces:
        async with dialled(bounces) as one:
            assert (await one.answer()).startswith("220")
            async with dialled(bounces) as other:
                assert (await other.answer()).startswith("421 4.3.2")
                assert await other.answer() == ""
            assert (await one.say("QUIT")).startswith("221")
            assert await one.answer() == ""
        async with dialled(bounces) as again:
            assert (await again.answer()).startswith("220")


async def test_a_silent_peer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "TIMEOUT_S", 0.05)
    async with listener(Inbox()) as bounces, dialled(bounces) as client:
        assert (await client.answer()).startswith("220")
        assert (await client.answer()).startswith("421 4.4.2")
        assert await client.answer() == ""


async def test_a_stop_closes_open_connections_and_waits_for_what_is_being_stored() -> None:
    begun = asyncio.Event()

    class Slow(Inbox):
        async def __call__(self, reports: Sequence[Report]) -> None:
            begun.set()
            await asyncio.sleep(0.05)
            await super().__call__(reports)

    inbox = Slow()
    async with listener(inbox) as bounces, dialled(bounces) as idle, dialled(bounces) as busy:
        await idle.answer()
        await busy.answer()
        await busy.say(*ENVELOPE)
        answering = asyncio.create_task(busy.say("x\r\n."))
        await begun.wait()
        await bounces.stop()
        assert (await answering).startswith("250")
        assert await idle.answer() == ""
    assert len(inbox.reports) == 1


@pytest.mark.parametrize(
    "noise", [b"\xff\xfe\r\n" * 3, b"MAIL FROM:<" + b"x" * 5000 + b">\r\n", b"\0\r\n", b"EHLO\r\n"]
)
async def test_noise_is_survived(noise: bytes) -> None:
    async with listener(Inbox()) as bounces:
        async with dialled(bounces) as client:
            await client.answer()
            client._writer.write(noise)
            assert (await client.answer()).startswith("5")
        async with dialled(bounces) as client:
            assert (await client.answer()).startswith("220")
