"""What strangers do to the listeners of `tocsin serve`, and what the others notice of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from tests.channels.email.test_hostile_mails import HOSTILE
from tests.peers.ports import free_port
from tests.peers.smtp_script import scripted_smtp
from tests.scenarios.installation import smtp
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
