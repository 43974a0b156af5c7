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
async def test_nothing_that_was_answered_202_is_lost(store: str, tmp_path: Path) -> None:
    words = ["-m", "tests.proofs.kill_loop", "--kills", str(KILLS), "--store", store, "--seed", "7", "--json"]
    out, said = tmp_path / "out", tmp_path / "said"
    with out.open("wb") as to_out, said.open("wb") as to_said:
        loop = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=to_out, stderr=to_said, cwd=_ROOT)
        try:
            async with asyncio.timeout(WITHIN_S):
                await loop.wait()
        except TimeoutError:
            raise AssertionError(f"not done within {WITHIN_S:g} s: {said.read_text()}") from None
        finally:
            if loop.returncode is None:
                loop.terminate()  # it ends its server and its SMSC
                await loop.wait()
    assert out.read_text(), said.read_text()
    verdict = json.loads(out.read_text())
    assert verdict["broken"] == []
    assert loop.returncode == 0
    assert (verdict["kills"], verdict["store"]) == (KILLS, store)
    assert verdict["alerts"] > KILLS
    assert verdict["duplicates"] <= verdict["attempts_in_flight"] <= verdict["duplicates_bound"]


_ROOT = Path(__file__).parents[2]
