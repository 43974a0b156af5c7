"""A start that takes longer than a moment says what it waits for, and says it again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.store.engine import PostgresStore
from gateway.waiting import told_when_long
from tests.gateway.cli_desk import READY_WITHIN_S, terminal_in
from tests.peers.waiting import eventually


async def test_it_is_said_after_a_moment_and_then_again() -> None:
    with capture_logs() as lines:
        async with told_when_long("the store", after_s=0.001, every_s=0.001):
            await eventually(lambda: len(lines) >= 3)
    assert {(line["event"], line["waits_for"]) for line in lines} == {("start_waits", "the store")}


async def test_what_is_quick_says_nothing() -> None:
    with capture_logs() as lines:
        async with told_when_long("the store"):
            await asyncio.sleep(0)
    assert lines == []


async def test_a_start_that_waits_for_another_process_says_so_and_goes_on(
    postgresql_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal_in(tmp_path, capsys) as terminal:
        terminal.config.write_text(f'[http]\nlisten = "127.0.0.1:0"\n[store]\nurl = "{postgresql_url}"\n')
        other = PostgresStore(postgresql_url)
        server = terminal.child(
            "serve", "--config", str(terminal.config), ready_line="start_waits .*the store: it answers late"
        )
        try:
            async with other._writer.begin() as connection:  # as a process that migrates
                await connection.execute(text("SELECT pg_advisory_xact_lock(7023614)"))
                await asyncio.to_thread(server.start)
                assert "is ready at" not in server.output
            await eventually(lambda: "tocsin is ready at" in server.output, READY_WITHIN_S, what="the start")
        finally:
            await other.close()
            await asyncio.to_thread(server.stop)
