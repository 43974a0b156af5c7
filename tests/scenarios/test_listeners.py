"""What strangers do to the listeners of `tocsin serve`, and what the others notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from pathlib import Path

from ivr.transports import INCOMING_MAX, INCOMING_OF_ONE_MAX
from tests.channels.email.test_hostile_mails import HOSTILE
from tests.peers.kamailio import self_signed
from tests.peers.ports import LOOPBACK, free_port
from tests.peers.smtp_script import scripted_smtp
from tests.peers.waiting import eventually
from tests.scenarios.installation import sip, smtp
from tests.scenarios.served import serving

DUTY = "email:duty@test.example"
STRANGE = "bounces+dlv_0@test.example"
STRANGERS = 60
"""More than the bounce listener has places."""


async def said(reader: asyncio.StreamReader) -> str:
    """What the server says until it hangs up."""
    async with asyncio.timeout(30):
        return (await reader.read()).decode()


async def test_case_7_4_strangers_take_no_place_at_the_bounce_listener(tmp_path: Path) -> None:
    async with scripted_smtp(offers=["DSN"]) as (_, port), contextlib.AsyncExitStack() as stack:
        listen = free_port()
        keys = {"bounce_listen": f"127.0.0.1:{listen}", "bounce_address": "bounces@test.example", "verp": True}
        provider = smtp("mail", port, bounce_peers=["127.0.0.2/32"], **keys)
        gateway = await stack.enter_async_context(serving(tmp_path, provider))
        for _ in range(STRANGERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", listen)
            stack.callback(writer.close)
            assert await said(reader) == "554 5.7.1 Not from this address\r\n"
        refused = 'tocsin_listener_refusals_total{listener="bounces",reason="stranger"}'
        assert await gateway.metric(refused) == STRANGERS

        alert = await gateway.alert(DUTY)
        delivery = await gateway.only(alert, "accepted")
        to = f"bounces+{delivery['id']}@test.example"
        report = (
            b"From: MAILER-DAEMON@mx\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: "
            b"message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; duty@test.example\r\n"
            b"Action: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
        )
        hostile = [
            content[:200_000].replace(b"\r", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
            for content in list(HOSTILE.values())[::6]
        ]
        reader, writer = await asyncio.open_connection("127.0.0.1", listen, local_addr=("127.0.0.2", 0))
        stack.callback(writer.close)
        async with asyncio.timeout(60):
            for content in (*hostile, report):
                assert (await reader.readline()).startswith(b"220" if content is hostile[0] else b"250 2.0.0")
                for command in ("HELO mx", "MAIL FROM:<>", f"RCPT TO:<{to if content is report else STRANGE}>", "DATA"):
                    writer.write(f"{command}\r\n".encode())
                    assert (await reader.readline())[:1] in b"23"
                writer.write(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            assert (await reader.readline()).startswith(b"250 2.0.0")
        assert (await gateway.only(alert, "failed"))["code"] == "5.1.1"
        assert "Traceback" not in gateway.server.output
        assert gateway.server.output.count("listener_refused") == 1


HEAD = b"OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.2:9;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\n"
BROKEN: tuple[bytes, ...] = (
    b"X: " + b"x" * 70_000,
    HEAD + b"X: y\r\n" * 10_000,
    HEAD + b"Content-Length: 999999999\r\n\r\n",
    HEAD + b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000 + HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r" * 70_000,
)
"""What no peer of SIP says over a connection, and what nobody waits the end of."""


async def stranger(port: int, host: str, said: bytes = b"") -> asyncio.StreamReader:
    """A connection from this address that has said this, and says no more."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port, local_addr=(host, 0))
    writer.write(said)
    reader.kept = writer  # type: ignore[attr-defined]  # or it is closed with the last who knows it
    return reader


async def open_ones(readers: list[asyncio.StreamReader]) -> int:
    """How many of the connections are open still."""
    return sum(not reader.at_eof() and reader.exception() is None for reader in readers)


async def asked(port: int, tls: ssl.SSLContext | None) -> bytes:
    """What the trunk, whose address is known, is answered over a new connection."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls)
        kind = b"TLS" if tls else b"TCP"
        writer.write(
            HEAD.replace(b"/TCP", b"/" + kind) + b"Call-ID: %s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n" % kind
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    return answer


def resident_kb(pid: int) -> int:
    """The memory of a process."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0])


async def test_strangers_take_no_place_at_sip_over_connections_even_before_a_handshake(tmp_path: Path) -> None:
    files = self_signed(tmp_path / "tls")
    keys = {"tls_certificate": str(files.certificate), "tls_key": str(files.key), "tls_ca": str(files.certificate)}
    ports = free_port(), free_port()
    tcp, secured = (f"{LOOPBACK}:{port}" for port in ports)
    trunks = (
        sip("tcp", free_port(), transport="tcp", listen=tcp),
        sip("tls", free_port(), transport="tls", listen=secured, **keys),
    )
    client = ssl.create_default_context(cafile=str(files.certificate))
    client.check_hostname = False
    async with serving(tmp_path, *trunks) as gateway:
        before = resident_kb(gateway.server.pid)
        refused = 'tocsin_sip_connections_closed_total{reason="too_many"}'
        taken = 0.0
        for port, tls in zip(ports, (None, client), strict=True):
            # what TLS begins with, as if more came; and heads of SIP that have no end
            begun = b"\x16\x03\x01\x02\x00\x01" if tls else HEAD
            crowd = [await stranger(port, "127.0.0.2", begun) for _ in range(3 * INCOMING_OF_ONE_MAX)]

            async def few(crowd: list[asyncio.StreamReader] = crowd) -> bool:
                return await open_ones(crowd) <= INCOMING_OF_ONE_MAX

            await eventually(few, 30, what="the end of those that are too many of one network")
            for n in range(3, 3 + 2 * INCOMING_MAX // INCOMING_OF_ONE_MAX):
                crowd += [await stranger(port, f"127.0.0.{n}", begun) for _ in range(INCOMING_OF_ONE_MAX)]

            async def bounded(crowd: list[asyncio.StreamReader] = crowd) -> bool:
                return await open_ones(crowd) <= INCOMING_MAX

            await eventually(bounded, 30, what="the end of those that are too many")
            assert (await asked(port, tls)).startswith(b"SIP/2.0 "), port
            assert await gateway.metric(refused) - taken >= 2 * INCOMING_OF_ONE_MAX
            taken = await gateway.metric(refused)
            for reader in crowd:
                reader.kept.close()  # type: ignore[attr-defined]  # see `stranger`
            for said in BROKEN:
                reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls)
                writer.write(said)
                with contextlib.suppress(ConnectionError):
                    async with asyncio.timeout(20):
                        await reader.read()
                writer.close()
            assert (await asked(port, tls)).startswith(b"SIP/2.0 "), port
        assert resident_kb(gateway.server.pid) - before < 64 * 1024
        assert "Traceback" not in gateway.server.output
