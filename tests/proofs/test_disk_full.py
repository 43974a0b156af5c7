"""A full disk: 503 before anything is accepted, nothing that was accepted is lost, and it goes on when there is room."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select

from gateway.books import verify_ledger
from gateway.store import tables
from gateway.store.engine import open_store
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.proofs.load import all_ended
from tests.proofs.server import Server
from tests.scenarios.installation import smpp

DISK_BYTES = 64 * 1024 * 1024
FIRST, SECOND = range(20), range(20, 40)
_MNT_DETACH = 2  # <sys/mount.h>
_LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is quickly full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if _LIBC.mount(b"tmpfs", bytes(folder), b"tmpfs", 0, f"size={DISK_BYTES}".encode()) != 0:
        reason = os.strerror(ctypes.get_errno())
        pytest.fail(f"a small file system cannot be mounted ({reason}): run this test as root", pytrace=False)
    try:
        yield folder
    finally:
        _LIBC.umount2(bytes(folder), _MNT_DETACH)


@pytest.mark.parametrize("left", [16 * 1024 * 1024, 0], ids=["running out", "full to the last byte"])
async def test_a_full_disk_refuses_and_loses_nothing(smsc: NodeSmsc, small_disk: Path, left: int) -> None:
    server = Server(small_disk, [smpp("carrier-a", smsc.port)])
    await server.set_up()
    await server.start()
    try:
        async with server.client() as session:
            await bound(smsc)
            smsc.pause()  # what becomes of the first alerts is to be written while there is no room
            taken = {n: await taken_as(session, n) for n in FIRST}
            ballast = small_disk / "ballast"
            fill(ballast, left)
            smsc.resume()
            await smsc.receipts_confirmed(len(FIRST)) if left else await smsc.received(len(FIRST))
            await ready(session, 503)
            await refused(session)
            assert json.loads(await text(session, "/health/live"))["status"] == "live"
            if left == 0:
                await eventually(lambda: "outcome_not_recorded" in server.output, 20, what="a commit that failed")
            ballast.unlink()
            await ready(session, 200)
            taken |= {n: await taken_as(session, n) for n in SECOND}
            await all_ended(session, 60)
    finally:
        await server.stop()
    store = await open_store(server.store_url)
    try:
        alerts = select(tables.alerts.c.id, tables.alerts.c.status)
        found = {row.id: row.status for row in await store.read(lambda connection: connection.execute(alerts).all())}
        assert found == dict.fromkeys(taken.values(), "completed")
        assert await store.read(verify_ledger) == []
    finally:
        await store.close()
    stats = await smsc.stats()
    assert (stats["distinct"], stats["duplicates"]) == (len(taken), 0)


async def bound(smsc: NodeSmsc) -> None:
    """Waits for the server's link."""

    async def so() -> bool:
        return (await smsc.stats())["binds"] > 0

    await eventually(so, 20, what="a bind")


def fill(ballast: Path, left: int) -> None:
    """Takes the whole file system but so many bytes, block by block: the server writes at the same time."""
    block = bytes(4096)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # that is: until no block is left
        while _free(ballast.parent) > left:
            file.write(block)


def _free(folder: Path) -> int:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


async def taken_as(session: aiohttp.ClientSession, n: int) -> str:
    """Submits alert `n`, again while it is answered 503. Gives its id."""
    answer: dict[str, Any] = {}

    async def taken() -> bool:
        status, body = await submitted(session, n)
        assert status in (202, 503), body
        answer.update(body)
        return status == 202

    await eventually(taken, 20, what="a 202")
    return str(answer["id"])


async def refused(session: aiohttp.ClientSession) -> None:
    """Alerts are refused in the words of the contract."""
    status, problem = await submitted(session, 1_000)
    assert status == 503, problem
    assert problem["type"] in ("/problems/storage-full", "/problems/unavailable")
    assert problem["status"] == 503


async def ready(session: aiohttp.ClientSession, status: int) -> None:
    """Waits until /health/ready answers this."""

    async def so() -> bool:
        async with session.get("/health/ready") as answer:
            await answer.read()
            return answer.status == status

    await eventually(so, 20, what=f"/health/ready {status}")


async def submitted(session: aiohttp.ClientSession, n: int) -> tuple[int, dict[str, Any]]:
    """Submits alert `n` once, under its own idempotency key. Gives status and body."""
    body = {"text": f"alert {n}", "recipients": [f"sms:+33{600_000_000 + n}"]}
    async with session.post("/v1/alerts", json=body, headers={"Idempotency-Key": f"order-{n}"}) as answer:
        if answer.status == 503:
            assert answer.content_type == "application/problem+json"
            assert "Retry-After" in answer.headers
        found: dict[str, Any] = json.loads(await answer.text())
        return answer.status, found


async def text(session: aiohttp.ClientSession, path: str) -> str:
    """What a GET answers."""
    async with session.get(path) as answer:
        return await answer.text()
