"""The OpenAPI document against the running gateway, by schemathesis: no 5xx, nothing undocumented, answers as described."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.gateway.api_desk import running

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
)
"""All but two: that every request its schema allows is taken (a schema cannot tell that the account can pay, or that a
number is in service), and which 4xx a request gets that its schema forbids (one with a million members is too large, and
what is posted as Alertmanager's is taken in any form: an alarm that is refused is lost)."""
EXAMPLES = 8
SEED = 20260301
BOUND_S = 110


async def test_no_request_breaks_the_contract(tmp_path: Path) -> None:
    async with running(tmp_path, more="[http]\nmax_body_bytes = 262144") as desk:
        run = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            f"{desk.url}/openapi.json",
            f"--header=Authorization: Bearer {desk.administrator}",
            f"--checks={','.join(CHECKS)}",
            f"--max-examples={EXAMPLES}",
            f"--seed={SEED}",
            "--no-color",
            "--output-truncate=true",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(BOUND_S):
                output, _ = await run.communicate()
        finally:
            if run.returncode is None:
                run.kill()
                await run.wait()
        told = "\n".join(line[:500] for line in output.decode(errors="replace").splitlines())
        assert run.returncode == 0, told[-20_000:]
        assert (await desk.anonymous().get("/health/ready")).status_code == 200
