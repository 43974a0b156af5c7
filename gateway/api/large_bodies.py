"""Bodies that are too large and are not refused: who sends them reads no answers. What is needed is read, the rest forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import MutableMapping
from typing import Any, Final

import structlog
from prometheus_client import Counter
from starlette.types import Receive

from gateway.large_notification import NotificationReader

log = structlog.get_logger(__name__)

READ_IN_PART: Final = frozenset({"/v1/intake/alertmanager"})
LARGE_BODIES = Counter("tocsin_notifications_read_in_part_total", "Notifications larger than max_body_bytes", ["end"])
for _end in ("complete", "cut"):
    LARGE_BODIES.labels(_end)  # there from the start, at 0


PIECE_BYTES: Final = 64 * 1024
"""Read at once: a millisecond, then the others have their turn."""


def read_in_part(receive: Receive, limit: int) -> Receive:
    """A `receive` that gives the whole body at once; of one that is larger than `limit`, a notification of what it begins with."""
    read = False

    async def whole() -> MutableMapping[str, Any]:
        nonlocal read
        if read:
            return await receive()
        read = True
        body, reader, size = bytearray(), NotificationReader(), 0
        large = False
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            piece = message.get("body", b"")
            size += len(piece)
            body += piece
            if large or size > limit:
                await _feed(reader, body)
                body.clear()
                large = True
            if not message.get("more_body", False) or (large and reader.over):
                break
        if not large:
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        LARGE_BODIES.labels("complete" if reader.complete else "cut").inc()
        log.warning("notification_read_in_part", bytes=size, limit=limit, complete=reader.complete)
        return {"type": "http.request", "body": json.dumps(reader.notification()).encode(), "more_body": False}

    return whole


async def _feed(reader: NotificationReader, body: bytearray) -> None:
    for start in range(0, len(body), PIECE_BYTES):
        reader.feed(bytes(body[start : start + PIECE_BYTES]))
        await asyncio.sleep(0)
