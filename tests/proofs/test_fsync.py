"""The 202 leaves after the fsync: read from the system calls of the server, as the kernel saw them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.peers.processes import find_binary
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.installation import smpp

MARK = "what the kernel saw"
CALLS = "fsync,fdatasync,write,pwrite64,writev,sendto,sendmsg"

_WRITTEN = re.compile(r"\b(?:write|pwrite64|writev)\(\d+<[^>]*tocsin\.db-wal>.*= \d+$")
_SYNCED = re.compile(r"\bf(?:data)?sync\(\d+<[^>]*tocsin\.db-wal>\).*= 0$|<\.\.\. f(?:data)?sync resumed>.*= 0$")
_ANSWERED = re.compile(r"\b(?:write|writev|sendto|sendmsg)\(\d+<[^>]*(?:TCP|socket)[^>]*>.*HTTP/1\.1 202")


async def test_the_202_leaves_after_the_commit_is_on_disk(smsc: NodeSmsc, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    strace = [find_binary("strace", "strace"), "-f", "-yy", "-s", "65535", "-e", f"trace={CALLS}", "-o", str(trace)]
    server = Server(tmp_path, [smpp("carrier-a", smsc.port)], wrapper=strace)
    await server.set_up()
    try:
        await server.start()
    except AssertionError as error:
        raise AssertionError(f"strace has to be allowed to trace its child (ptrace; CAP_SYS_PTRACE): {error}") from None
    try:
        async with server.client() as session:
            body = {"text": MARK, "recipients": ["sms:+33612345678"]}
            async with session.post("/v1/alerts", json=body) as answer:
                assert answer.status == 202, await answer.text()
                alert_id = json.loads(await answer.text())["id"]
        await eventually(lambda: alert_id in _text(trace) and "202 Accepted" in _text(trace), 30, what="the trace")
    finally:
        await server.kill()  # tracer and traced: it has nothing more to tell
    lines = _text(trace).splitlines()
    written = next(n for n, line in enumerate(lines) if _WRITTEN.search(line) and alert_id in line)
    answered = next(n for n, line in enumerate(lines) if _ANSWERED.search(line))
    synced = [n for n, line in enumerate(lines) if _SYNCED.search(line) and written < n < answered]
    told = "\n".join(line[:200] for line in lines[max(0, written - 2) : answered + 1])
    assert synced, f"no fsync of the write-ahead log between its write and the answer:\n{told}"


def _text(trace: Path) -> str:
    return trace.read_text(errors="replace") if trace.exists() else ""
