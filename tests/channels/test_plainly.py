"""Errors in the words of people: as the system and the drivers write them, and as every channel meets them."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from channels.channel import Message
from channels.outcome import RetryLater
from channels.plainly import is_raw, plainly
from gateway.app import PROVIDER_KINDS, build_channels
from gateway.settings_loading import load
from tests.peers.ports import LOOPBACK, free_port
from tests.scenarios.installation import Table, sip, smpp, smtp, write_settings

ADDRESSES = {"sms": "+33612345678", "email": "ada@example.org", "voice": "+33612345678"}
PROVIDERS = (
    smpp("carrier", 1, link_wait_s=1),
    smpp("carrier-tls", 1, link_wait_s=1, tls=True),
    smtp("mail", 1, tls="none"),
    smtp("mail-tls", 1, tls="tls"),
    sip("trunk", 1, transport="tcp"),
)
PLACE = f"{LOOPBACK}:PORT"
SAID = {
    "closed": [f"nobody listens at {PLACE}"],
    "unknown": ["no such host: is the name ", "nowhere.invalid"],
    "breaks_off": [],
    "plain": [],
}
"""What is said of each circumstance by every channel; nothing where the channels differ."""


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("[Errno 111] Connect call failed ('127.0.0.1', 25)", "nobody listens at 127.0.0.1:25"),
        (
            ("Error connecting to mx on port 25: Multiple exceptions: [Errno 111] Connect call failed ('::1', 25, 0, 0), "
            "[Errno 111] Connect call failed ('127.0.0.1', 25)"),
            "nobody listens at [::1]:25 and 127.0.0.1:25",
        ),
        (
            "Error 111 connecting to 127.0.0.1:6379. Connect call failed ('127.0.0.1', 6379).",
            "nobody listens at 127.0.0.1:6379",
        ),
        ("tcp:10.0.0.1:5060: [Errno 113] Connect call failed ('10.0.0.1', 5060)",
         "tcp:10.0.0.1:5060: No route to host: is the address 10.0.0.1:5060 right, and does a firewall let us through?"),
        ("Timed out connecting to mx on port 25",
         "timed out: is the address mx:25 right, and does a firewall let us through?"),
        ("tls_ca: [Errno 2] No such file or directory", "tls_ca: No such file or directory"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)",
         "certificate verify failed: self-signed certificate"),
        ("[Errno 98] error while attempting to bind on address ('127.0.0.1', 5060): address already in use",
         "cannot listen at 127.0.0.1:5060: Address already in use"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 25)"),
         "nobody listens at 127.0.0.1:25"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "the other side broke the connection off"),
        (TimeoutError(), "timed out: is the address right, and does a firewall let us through?"),
        (socket.gaierror(-2, "Name or service not known"), "no such host: is the name right?"),
        ("(sqlite3.OperationalError) database is locked", "database is locked"),
        ("550 no such user", "550 no such user"),
    ],
)  # fmt: skip
def test_an_error_is_said_in_words_and_twice_the_same(raw: str | Exception, said: str) -> None:
    assert plainly(raw) == said
    assert plainly(said) == said
    assert not is_raw(said)


def test_where_it_was_is_said_even_where_the_error_does_not() -> None:
    assert plainly(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "mx:25") == (
        "mx:25 broke the connection off"
    )
    assert plainly(socket.gaierror(-2, "Name or service not known"), "mx:25") == "no such host: is the name mx right?"


@asynccontextmanager
async def met(how: str) -> AsyncIterator[dict[str, Any]]:
    """The keys of a provider whose host is met in this way."""
    if how in ("closed", "unknown"):
        yield {"host": LOOPBACK, "port": free_port()} if how == "closed" else {"host": "nowhere.invalid", "port": 25}
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "plain":
            writer.write(b"SSH-2.0-something else\r\n")
            await writer.drain()
            await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield {"host": LOOPBACK, "port": server.sockets[0].getsockname()[1]}


@pytest.mark.parametrize("how", SAID)
async def test_no_channel_says_anything_as_python_writes_it(how: str, tmp_path: Path) -> None:
    async with met(how) as keys:
        tables: list[Table] = [provider | keys for provider in PROVIDERS]
        settings = load(write_settings(tmp_path / "tocsin.toml", tables), PROVIDER_KINDS)
        found = await asyncio.gather(*(_said_by(channel) for channel in build_channels(settings).values()))
    said = dict(zip((str(table["name"]) for table in tables), found, strict=True))
    expected = [words.replace("PORT", str(keys["port"])) for words in SAID[how]]
    for name, texts in said.items():
        assert texts, name
        assert all(words in text for text in texts for words in expected), (name, texts)
        assert not [text for text in texts if is_raw(text) or "Error" in text or "Exception" in text], (name, texts)


async def _said_by(channel: Any) -> list[str]:
    """What the channel says of a probe, and of a message."""
    texts = [(await channel.probe()).detail]
    if channel.name != "voice":  # that needs an attendant, and says what the probe says
        running = asyncio.create_task(channel.run(None))
        message = Message(address=ADDRESSES[channel.name], text="Fire", reference="dlv_1")
        outcome = await channel.send(message)
        assert isinstance(outcome, RetryLater)
        texts += [outcome.reason.detail, channel.health().detail]
        running.cancel()
        await asyncio.wait([running])
    return texts
