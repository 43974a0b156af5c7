"""What a mail server says, as people and logs see it: through `tocsin providers test` and `tocsin serve`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.peers.smtp_script import SmtpSession, scripted_smtp
from tests.scenarios.installation import smtp, write_settings
from tests.scenarios.served import serving

TOCSIN = Path(sys.executable).parent / "tocsin"
DUTY = "email:duty@test.example"
EVIL = "\x1b[2J\a\x7f\b"
"""What SMTP lets through of what a terminal obeys."""
SEEN = "queued as ?[2J??? 7"


async def test_case_7_11_what_a_mail_server_answers_is_printable_in_commands_logs_and_attempts(tmp_path: Path) -> None:
    def reply(asked: str, _session: SmtpSession) -> str:
        return f"250 2.0.0 queued as {EVIL} 7" if asked == "final" else ""

    async with scripted_smtp(reply) as (_, port):
        settings = write_settings(tmp_path / "trial.toml", [smtp("mail", port)])
        for more in ([], ["--json"]):
            words = ("providers", "test", "mail", "--to", DUTY, "--config", str(settings), *more)
            trial = await asyncio.create_subprocess_exec(
                TOCSIN, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path
            )
            told = "".join(one.decode() for one in await trial.communicate())
            assert SEEN in told
            assert told.replace("\n", "").isprintable()
        async with serving(tmp_path, smtp("mail", port)) as gateway:
            delivery = await gateway.only(await gateway.alert(DUTY), "accepted")
            assert delivery["attempts"][-1]["detail"].endswith(SEEN)
            assert gateway.server.output.replace("\n", "").replace("\t", "").isprintable()
