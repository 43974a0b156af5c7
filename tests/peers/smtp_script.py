"""A mail server of a few lines whose replies are the test's: by phase, by session and by how many mails the session has seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from tests.peers.ports import LOOPBACK

TAKEN = {
    "connect": "220 mx.test.example ESMTP",
    "hello": "250 mx.test.example",
    "tls": "220 Go ahead",
    "mail": "250 2.1.0 OK",
    "rcpt": "250 2.1.5 OK",
    "data": "354 Go on",
    "final": "250 2.0.0 Queued",
}
"""What a phase is answered with where the test says nothing else."""


@dataclass(kw_only=True)
class SmtpSession:
    """One connection: its number (from 1), the mails it has taken, and every phase that was answered."""

    number: int
    taken: int = 0
    phases: list[str] = field(default_factory=list)


Reply = Callable[[str, SmtpSession], str]
"""The reply to a phase, "" for the usual one."""


class ScriptedSmtp:
    """Counts sessions and keeps the mails it took."""

    def __init__(self, reply: Reply, offers: Sequence[str]) -> None:
        self.reply = reply
        """May be replaced at any time."""
        self.sessions: list[SmtpSession] = []
        self.mails: list[bytes] = []
        self._offers = offers

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from its greeting to its end."""
        session = SmtpSession(number=len(self.sessions) + 1)
        self.sessions.append(session)
        try:
            if not await self._answer(writer, "connect", session):
                return
            while line := (await reader.readline()).decode("latin-1").strip():
                verb = line.split(" ", 1)[0].split(":", 1)[0].upper()
                phase = {"EHLO": "hello", "HELO": "hello", "STARTTLS": "tls"}.get(verb, verb.lower())
                if verb == "QUIT":
                    writer.write(b"221 2.0.0 Bye\r\n")
                    return
                if verb in ("RSET", "NOOP"):
                    writer.write(b"250 2.0.0 OK\r\n")
                    continue
                if not await self._answer(writer, phase, session):
                    return
                if session.phases[-1] == "data:3":
                    self._keep(await reader.readuntil(b"\r\n.\r\n"))
                    if not await self._answer(writer, "final", session):
                        return
        except (OSError, asyncio.IncompleteReadError):
            return  # the client ended it
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, phase: str, session: SmtpSession) -> bool:
        """Says the phase's reply; False where the session ends with it."""
        reply = self.reply(phase, session) or TAKEN.get(phase, "500 5.5.1 What?")
        session.phases.append(f"{phase}:{reply[0]}")
        if phase == "hello" and reply.startswith("250"):
            lines = [reply[4:], *self._offers]
            said = [f"250{'-' if n < len(lines) - 1 else ' '}{line}" for n, line in enumerate(lines)]
        else:
            said = [reply]
        if phase == "final" and reply.startswith("2"):
            session.taken += 1
        elif phase == "final":
            self.mails.pop()
        writer.write("".join(f"{line}\r\n" for line in said).encode("ascii"))
        await writer.drain()
        return not reply.startswith("421") and not (phase == "connect" and not reply.startswith("2"))

    def _keep(self, octets: bytes) -> None:
        self.mails.append(octets.removesuffix(b"\r\n.\r\n"))


@contextlib.asynccontextmanager
async def scripted_smtp(
    reply: Reply = lambda _phase, _session: "", offers: Sequence[str] = ()
) -> AsyncIterator[tuple[ScriptedSmtp, int]]:
    """The server and its port."""
    script = ScriptedSmtp(reply, offers)
    server = await asyncio.start_server(script.talk, LOOPBACK, 0)
    try:
        yield script, server.sockets[0].getsockname()[1]
    finally:
        server.close()
