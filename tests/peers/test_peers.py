"""Every peer starts, answers and ends. What the product does with them is tested elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped, unused-ignore]  # ships no types
import pytest
from aiohttp import web

from tests.peers.alertmanager import Alertmanager
from tests.peers.ports import LOOPBACK, listens
from tests.peers.postgresql import PostgresqlServer
from tests.peers.processes import ChildProcess, find_binary
from tests.peers.smsc import NodeSmsc, reassembled
from tests.peers.waiting import eventually, eventually_sync

BIND_TRANSCEIVER, SUBMIT_SM, DELIVER_SM, ENQUIRE_LINK = 0x09, 0x04, 0x05, 0x15
RESPONSE = 0x80000000
WITHIN_S = 30.0
OK, RTHROTTLED, RX_T_APPN, RINVSYSID = 0x00, 0x58, 0x64, 0x0F


class RawClient:
    """As much SMPP as it takes to try the SMSC, octet by octet and without any of our own code."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._sequence = 0

    async def bind(self) -> int:
        await self.send(BIND_TRANSCEIVER, b"user\0pw\0\0\x34\0\0\0")
        command, status, _, _ = await self.receive()
        assert command == BIND_TRANSCEIVER | RESPONSE
        return status

    async def send(self, command: int, body: bytes, *, status: int = 0, sequence: int | None = None) -> None:
        self._sequence += 1
        number = self._sequence if sequence is None else sequence
        self._writer.write(struct.pack(">IIII", 16 + len(body), command, status, number) + body)
        await self._writer.drain()

    async def submit(self, octets: bytes, *, data_coding: int = 0, esm_class: int = 0, receipt: int = 1) -> None:
        addresses = b"\0\x05\0ALERT\0\x01\x01336000001\0"
        flags = bytes([esm_class, 0, 0, 0, 0, receipt, 0, data_coding, 0])
        await self.send(SUBMIT_SM, addresses + flags + bytes([len(octets)]) + octets)

    async def receive(self) -> tuple[int, int, int, bytes]:
        async with asyncio.timeout(WITHIN_S):
            length, command, status, sequence = struct.unpack(">IIII", await self._reader.readexactly(16))
            return command, status, sequence, await self._reader.readexactly(length - 16)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the SMSC may have cut it before
            await self._writer.wait_closed()


Connect = Callable[[NodeSmsc], Awaitable[RawClient]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens connections that are not bound yet; all of them are closed after the test."""
    async with contextlib.AsyncExitStack() as opened:

        async def open_connection(smsc: NodeSmsc) -> RawClient:
            client = RawClient(*await asyncio.open_connection(smsc.host, smsc.port))
            opened.push_async_callback(client.close)
            return client

        yield open_connection


@pytest.fixture
async def bound(connect: Connect) -> Connect:
    """Opens connections and binds them as transceivers."""

    async def open_bound(smsc: NodeSmsc) -> RawClient:
        client = await connect(smsc)
        assert await client.bind() == OK
        return client

    return open_bound


async def test_postgresql_answers_over_asyncpg(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    assert await connection.fetchval("SELECT 1") == 1
    assert await connection.fetchval("SHOW fsync") == "off"
    await connection.close()


def test_postgresql_gives_every_test_an_empty_database(postgresql: PostgresqlServer) -> None:
    one, other = postgresql.create_database(), postgresql.create_database()
    postgresql.execute("CREATE TABLE t (n int)", database=one.rpartition("/")[2])
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgresql.execute(tables, database=other.rpartition("/")[2]) == "0"
    for url in (one, other):
        postgresql.drop_database(url)


async def test_durable_postgresql_keeps_a_commit_over_kill_9(
    durable_postgresql: PostgresqlServer, durable_postgresql_url: str
) -> None:
    connection = await asyncpg.connect(durable_postgresql_url)
    assert await connection.fetchval("SHOW fsync") == "on"
    await connection.execute("CREATE TABLE kept (n int)")
    await connection.execute("INSERT INTO kept VALUES (42)")
    durable_postgresql.kill()
    connection.terminate()
    durable_postgresql.start()
    connection = await asyncpg.connect(durable_postgresql_url)
    assert await connection.fetchval("SELECT n FROM kept") == 42
    await connection.close()


async def test_smsc_takes_a_connection_and_shows_its_counters(smsc: NodeSmsc) -> None:
    assert listens(smsc.port)
    stats = await smsc.stats()
    assert stats["submits"] == stats["binds"] == 0


async def test_smsc_records_a_message_and_sends_its_receipt_until_it_is_confirmed(
    smsc: NodeSmsc, bound: Connect
) -> None:
    client = await bound(smsc)
    await client.submit(b"Fire in hall \x1b\x65")  # the euro sign of the extension table
    command, status, _, body = await client.receive()
    assert (command, status) == (SUBMIT_SM | RESPONSE, OK)
    message_id = body.rstrip(b"\0").decode()

    command, _, sequence, body = await client.receive()
    assert command == DELIVER_SM
    assert f"id:{message_id} ".encode() in body
    assert b"stat:DELIVRD" in body
    await client.send(DELIVER_SM | RESPONSE, b"\0", status=RX_T_APPN, sequence=sequence)
    command, _, sequence, again = await client.receive()
    assert (command, again) == (DELIVER_SM, body)
    await client.close()

    client = await bound(smsc)  # the receipt outlives the link
    command, _, sequence, again = await client.receive()
    assert (command, again) == (DELIVER_SM, body)
    await client.send(DELIVER_SM | RESPONSE, b"\0", sequence=sequence)
    await smsc.receipts_confirmed(1)

    (message,) = await smsc.received(1)
    assert message.text == "Fire in hall €"
    assert message.short_message == b"Fire in hall \x1b\x65"
    assert (message.source, message.destination, message.message_id) == ("ALERT", "336000001", message_id)
    assert (message.source_ton, message.destination_ton, message.registered_delivery) == (5, 1, 1)
    assert (await smsc.stats())["receipts_refused"] == 1


async def test_smsc_keeps_the_header_of_a_part(smsc: NodeSmsc, bound: Connect) -> None:
    client = await bound(smsc)
    for n, text in ((2, "größe 🔥"), (1, "Feuer, ")):
        header = bytes([5, 0, 3, 0x7F, 2, n])
        await client.submit(header + text.encode("utf-16-be"), data_coding=8, esm_class=0x40, receipt=0)
        assert (await client.receive())[1] == OK
    messages = await smsc.messages()
    assert [message.concatenation for message in messages] == [(0x7F, 2, 2), (0x7F, 2, 1)]
    assert messages[0].user_data == "größe 🔥".encode("utf-16-be")
    assert reassembled(messages) == {"336000001": ["Feuer, größe 🔥"]}
    with pytest.raises(AssertionError, match="incomplete"):
        reassembled(messages[:1])
    assert reassembled([replace(messages[0], outcome="throttled")]) == {}


async def test_smsc_reads_sar_and_payload_tlvs(smsc: NodeSmsc, bound: Connect) -> None:
    client = await bound(smsc)
    fixed = b"\0\0\0112\0\x01\x01336000002\0" + bytes(9) + b"\0"  # sm_length 0
    tlvs = b"\x02\x0c\0\x02\x01\x02" + b"\x02\x0e\0\x01\x01" + b"\x02\x0f\0\x01\x01" + b"\x04\x24\0\x05hello"
    await client.send(SUBMIT_SM, fixed + tlvs)
    assert (await client.receive())[1] == OK
    (message,) = await smsc.messages()
    assert (message.short_message, message.message_payload, message.user_data) == (b"", b"hello", b"hello")
    assert (message.sar, message.concatenation) == ((0x0102, 1, 1), (0x0102, 1, 1))


async def test_smsc_behaves_as_told(start_smsc: Callable[..., NodeSmsc], bound: Connect) -> None:
    smsc = start_smsc(throttle=500, ids="hex_answer", receipt_first=True, receipt_tlvs=False, undelivered=1000)
    client = await bound(smsc)
    await client.submit(b"one")
    (command, _, _, receipt), (_, status, _, answer) = await client.receive(), await client.receive()
    assert (command, status) == (DELIVER_SM, OK)
    assert f"id:{int(answer.rstrip(bytes(1)), 16)} ".encode() in receipt
    assert b"stat:UNDELIV" in receipt
    await client.submit(b"two")
    assert (await client.receive())[1] == RTHROTTLED
    with pytest.raises(AssertionError, match="unknown behaviour"):
        await smsc.behave(sulk=True)

    await smsc.behave(throttle=0, receipt_first=False, drop_every=1, drop_unanswered=True)
    await client.submit(b"three")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.receive()
    stats = await smsc.stats()
    assert (stats["accepted"], stats["throttled"], stats["unanswered"], stats["drops"]) == (2, 1, 1, 1)


async def test_smsc_sends_from_a_phone_once_somebody_is_bound(smsc: NodeSmsc, bound: Connect) -> None:
    await smsc.send_mo(source="336000001", destination="ALERT", text="j'arrive 🚒")
    await smsc.send_mo(source="336000001", destination="ALERT", octets=b"\x01\x02", data_coding=4, udh=b"\x02\x70\x00")
    client = await bound(smsc)
    first, second = await client.receive(), await client.receive()
    assert first[3].endswith("j'arrive 🚒".encode("utf-16-be"))
    assert second[3].endswith(b"\x05\x02\x70\x00\x01\x02")
    assert await smsc.drop() == 1


async def test_smsc_refuses_a_wrong_bind_and_comes_back_on_its_port(
    start_smsc: Callable[..., NodeSmsc], connect: Connect, bound: Connect
) -> None:
    smsc = start_smsc(system_id="somebody", password="secret")
    assert await (await connect(smsc)).bind() == RINVSYSID
    port = smsc.port
    smsc.kill()
    assert not listens(port)
    smsc.start()
    assert smsc.port == port
    await smsc.behave(system_id="", password="")
    client = await bound(smsc)
    await client.send(ENQUIRE_LINK, b"")
    assert (await client.receive())[:2] == (ENQUIRE_LINK | RESPONSE, OK)


async def test_smsc_speaks_tls(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    openssl = find_binary("openssl", "openssl")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2")
    arguments = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject)
    with ChildProcess([openssl, *arguments, "-keyout", key, "-out", certificate]) as request:
        assert request.wait(WITHIN_S) == 0, request.output
    smsc = NodeSmsc(tls_key=key, tls_cert=certificate).start()
    try:
        client = ChildProcess(
            [openssl, "s_client", "-connect", f"{LOOPBACK}:{smsc.port}", "-CAfile", certificate, "-brief"],
            ready_line="Verification: OK",
        )
        with client:
            assert client.matched_line
    finally:
        smsc.stop()


async def test_alertmanager_posts_firing_and_resolved(start_alertmanager: Callable[..., Alertmanager]) -> None:
    posted: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        await posted.put((request.headers["Authorization"], await request.json()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/hook", hook)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    alertmanager = start_alertmanager(f"http://{LOOPBACK}:{runner.addresses[0][1]}/hook", bearer_token="key-1")
    await eventually(alertmanager.ready)
    labels = {"alertname": "DiskFull", "instance": "db-1"}
    await alertmanager.fire(labels, {"summary": "no space left"})
    async with asyncio.timeout(WITHIN_S):
        authorization, body = await posted.get()
        assert authorization == "Bearer key-1"
        assert (body["version"], body["status"]) == ("4", "firing")
        assert body["alerts"][0]["annotations"] == {"summary": "no space left"}
        await alertmanager.resolve(labels)
        _, body = await posted.get()
        assert body["status"] == "resolved"
    await runner.cleanup()


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(AssertionError, match=r"status 3 .*\n.*no such device"):
        ChildProcess(["sh", "-c", "echo no such device >&2; exit 3"], ready_line="ready").start()


def test_a_process_that_never_gets_ready_is_ended() -> None:
    child = ChildProcess(["sh", "-c", "exec sleep 60"], ready_line="ready", ready_within_s=0.2)
    with pytest.raises(AssertionError, match="was not ready"):
        child.start()
    assert not child.running


def test_kill_ends_the_whole_group_and_stop_is_harmless_after_it() -> None:
    child = ChildProcess(["sh", "-c", "sleep 60 & echo child $!; wait"], ready_line=r"child (\d+)").start()
    grandchild = Path("/proc", child.matched_line[1])
    assert grandchild.exists()
    assert child.kill() == -9
    eventually_sync(lambda: gone(grandchild))
    assert child.stop() == -9


def gone(process: Path) -> bool:
    """Whether the process of this folder of /proc has ended."""
    try:
        return "(zombie)" in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_paused_process_can_be_stopped() -> None:
    child = ChildProcess(["sh", "-c", "echo up; exec sleep 60"], ready_line="up").start()
    child.pause()
    assert child.stop() == -15  # asked to end, and not killed when the time for that was over


def test_a_missing_peer_fails_with_the_package_to_install() -> None:
    with pytest.raises(pytest.fail.Exception, match="install the Debian package tocsin-nowhere"):
        find_binary("no-such-program", "tocsin-nowhere")
