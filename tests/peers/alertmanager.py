"""The real Alertmanager of Debian: its configuration, API and process. What it posts to is not its business."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.peers.ports import LOOPBACK, free_port
from tests.peers.processes import ChildProcess, find_binary

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Alertmanager:
    """A running Alertmanager with one webhook receiver, without a cluster, that waits no longer than it must.

    `bearer_token` is sent as `Authorization: Bearer …`. Durations are Alertmanager's own (``100ms``).
    """

    def __init__(
        self,
        webhook_url: str,
        *,
        bearer_token: str | None = None,
        group_by: Sequence[str] = ("alertname",),
        group_wait: str = "50ms",
        group_interval: str = "200ms",
        repeat_interval: str = "1h",
    ) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-alertmanager-"))
        webhook: dict[str, Any] = {"url": webhook_url, "send_resolved": True}
        if bearer_token is not None:
            webhook["http_config"] = {"authorization": {"type": "Bearer", "credentials": bearer_token}}
        configuration = {
            "route": {
                "receiver": "webhook",
                "group_by": list(group_by),
                "group_wait": group_wait,
                "group_interval": group_interval,
                "repeat_interval": repeat_interval,
            },
            "receivers": [{"name": "webhook", "webhook_configs": [webhook]}],
        }
        file = self._directory / "alertmanager.yml"
        file.write_text(json.dumps(configuration))  # JSON is YAML
        file.chmod(0o600)
        self._process = ChildProcess(
            [
                find_binary("prometheus-alertmanager", "prometheus-alertmanager"),
                f"--config.file={file}",
                f"--storage.path={self._directory / 'storage'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
            ready_port=self.port,
        )

    def start(self) -> Self:
        """Starts it and returns once it takes connections."""
        self._process.start()
        return self

    def stop(self) -> None:
        """Ends it and removes its files."""
        self._process.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def output(self) -> str:
        """Its last log lines: why a webhook was refused, for example."""
        return self._process.output

    async def ready(self) -> bool:
        """Whether it says that it can take alerts (``/-/ready``)."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(f"{self.url}/-/ready") as response:
            return response.status == 200

    async def fire(self, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> None:
        """One firing alert, as a monitoring system posts it."""
        await self.post_alerts([{"labels": dict(labels), "annotations": dict(annotations or {})}])

    async def resolve(self, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None) -> None:
        """The same alert is over: it ends now."""
        now = datetime.now(UTC).isoformat()
        await self.post_alerts([{"labels": dict(labels), "annotations": dict(annotations or {}), "endsAt": now}])

    async def post_alerts(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Posts alerts unchanged to its API v2. Raises AssertionError with its answer if it refuses them."""
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(f"{self.url}/api/v2/alerts", json=list(alerts)) as response,
        ):
            assert response.status == 200, f"Alertmanager refused the alerts: {await response.text()}"
