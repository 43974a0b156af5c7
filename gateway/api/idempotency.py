"""The Idempotency-Key header: what it may be, and answers kept under it by routes that do not go through the journal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, insert, select

from gateway.api.problems import Problem
from gateway.clock import to_micros
from gateway.intake import IdempotencyConflict, IdempotencyKey
from gateway.store import tables

KEY_CHARS_MAX: Final = 200
HEADER: Final = "Idempotency-Key"
REPLAYED: Final = {"Idempotent-Replayed": "true"}


def idempotency_key(
    headers: Iterable[tuple[bytes, bytes]], *, account_id: str, route: str, body: bytes
) -> IdempotencyKey | None:
    """What makes the request the same one, where it has the header: account, route, key, and the body's SHA-256."""
    key = header_of(headers)
    if key is None:
        return None
    return IdempotencyKey(account_id=account_id, route=route, key=key, digest=hashlib.sha256(body).digest())


def header_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The header, if it is there. Raises Problem (400) unless it is once, and 1 to 200 printable ASCII characters."""
    found = [value for name, value in headers if name == b"idempotency-key"]
    if not found:
        return None
    if len(found) > 1 or not 0 < len(found[0]) <= KEY_CHARS_MAX or not all(32 <= byte < 127 for byte in found[0]):
        detail = f"expected one {HEADER} of 1 to {KEY_CHARS_MAX} printable ASCII characters"
        raise Problem("invalid-header", detail, errors=[{"field": HEADER, "code": "invalid", "detail": detail}])
    return found[0].decode()


def answered(connection: Connection, key: IdempotencyKey) -> str | None:
    """The answer stored under the key, or None. Raises IdempotencyConflict where the body was another."""
    t = tables.idempotency.c
    row = connection.execute(
        select(t.digest, t.answer).where(t.account_id == key.account_id, t.route == key.route, t.key == key.key)
    ).first()
    if row is None:
        return None
    if row.digest != key.digest:
        raise IdempotencyConflict(key.key)
    return str(row.answer)


def keep(connection: Connection, now: datetime, key: IdempotencyKey, answer: str) -> None:
    """Stores the answer under the key, in the transaction that did what it tells of."""
    connection.execute(
        insert(tables.idempotency).values(
            account_id=key.account_id,
            route=key.route,
            key=key.key,
            digest=key.digest,
            answer=answer,
            created_at=to_micros(now),
        )
    )
