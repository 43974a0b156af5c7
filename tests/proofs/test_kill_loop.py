"""The kill -9 loop in short, as the same command that proves it at length."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

KILLS = 8
WITHIN_S = 240.0  # a minute on an idle machine


@pytest.mark.timeout(WITHIN_S + 20)
@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_nothing_that_was_answered_202_is_lost(store: str) -> None:
    words = ["-m", "tests.proofs.kill_loop", "--kills", str(KILLS), "--store", store, "--seed", "7", "--json"]
    loop = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=_ROOT
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            out, said = await loop.communicate()
    finally:
        if loop.returncode is None:
            loop.terminate()  # it ends its server and its SMSC
            await loop.wait()
    assert out, said.decode()
    verdict = json.loads(out)
    assert verdict["broken"] == []
    assert loop.returncode == 0
    assert (verdict["kills"], verdict["store"]) == (KILLS, store)
    assert verdict["alerts"] > KILLS
    assert verdict["duplicates"] <= verdict["attempts_in_flight"] <= verdict["duplicates_bound"]


_ROOT = Path(__file__).parents[2]
