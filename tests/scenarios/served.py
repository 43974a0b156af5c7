"""The gateway as anybody starts it, `tocsin serve` on its own loop with its settings file, and what its API shows of an alert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.peers.waiting import eventually
from tests.proofs.server import Server
from tests.scenarios.installation import Table

WITHIN_S = 60.0
"""What is waited for takes a second or two; a loaded machine may need more."""
Json = dict[str, Any]


class Served:
    """A running server. What is asked of it goes over HTTP."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self._http = http

    async def alert(self, to: str | Sequence[str], text: str = "Pump 3 stopped", **more: Any) -> str:
        """Submits an alert and gives its id."""
        body = {"text": text, "recipients": [to] if isinstance(to, str) else list(to), **more}
        async with self._http.post("/v1/alerts", json=body) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["id"])

    async def shown(self, path: str) -> Json:
        """What the API answers to a GET."""
        async with self._http.get(path) as answer:
            assert answer.status == 200, await answer.text()
            found: Json = await answer.json()
            return found

    async def metric(self, series: str) -> float:
        """The value of one series of /metrics; 0 where it is not there."""
        async with self._http.get("/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return next((float(one.rpartition(" ")[2]) for one in lines if one.startswith(f"{series} ")), 0.0)

    async def deliveries(self, alert_id: str) -> list[Json]:
        """The alert's deliveries, oldest first."""
        shown = await self.shown(f"/v1/alerts/{alert_id}")
        return [await self.shown(f"/v1/deliveries/{one['id']}") for one in shown["deliveries"]]

    async def timeline(self, alert_id: str) -> list[Json]:
        """The lines of the alert's timeline."""
        lines: list[Json] = (await self.shown(f"/v1/alerts/{alert_id}/timeline"))["items"]
        return lines

    async def line(self, alert_id: str, kind: str, **members: Any) -> Json:
        """Waits for a line of the timeline of this kind, with these members."""

        async def found() -> Json | None:
            lines = [line for line in await self.timeline(alert_id) if line["kind"] == kind]
            return next((line for line in lines if members.items() <= line.items()), None)

        return await eventually(found, WITHIN_S, what=f"{kind} {members} on the timeline of {alert_id}")

    async def became(self, alert_id: str, status: str) -> None:
        """Waits until the alert has this status."""

        async def so() -> bool:
            return bool((await self.shown(f"/v1/alerts/{alert_id}"))["status"] == status)

        await eventually(so, WITHIN_S, what=f"{status} of {alert_id}")

    async def only(self, alert_id: str, state: str) -> Json:
        """Waits until the alert's one delivery is in this state, and gives it."""
        seen: list[Json] = []

        async def so() -> bool:
            seen[:] = await self.deliveries(alert_id)
            return [one["state"] for one in seen] == [state]

        try:
            await eventually(so, WITHIN_S, what=f"{state} of {alert_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {seen}") from None
        return seen[0]


@asynccontextmanager
async def serving(
    folder: Path,
    *providers: Table,
    routes: Sequence[Table] = (),
    delivery: Mapping[str, Any] | None = None,
    last_resort: Mapping[str, Any] | None = None,
    **lists: Sequence[Table],
) -> AsyncIterator[Served]:
    """`tocsin serve` with these providers, ready; ended at the exit. `lists` are further tables, as `people`."""
    sections = {"delivery": delivery or {}, **({"last_resort": last_resort} if last_resort else {})}
    server = Server(folder, providers, store_url="", wrapper=(), env=None, routes=routes, **sections, **lists)
    await server.set_up()
    try:
        await server.start()
        async with server.client() as http:
            yield Served(server, http)
    finally:
        await server.stop()
