"""Which caller a request's key belongs to, remembered for a few seconds. What the caller may do lives in `roles`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.administration import authenticate, digest_of
from gateway.api.problems import Problem
from gateway.api.roles import Caller
from gateway.clock import Clock
from gateway.store.engine import Store

FRESH_S: Final = 3.0  # a key revoked by another process is refused within this and one read, well below 5 s
KNOWN_MAX: Final = 10_000  # callers remembered; beyond it all are asked for again
KEY_CHARS_MAX: Final = 200  # ours have 47; more is no key


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float


class KeyRing:
    """The keys seen lately, by the digest of their text: the text itself is never kept."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._asking: dict[bytes, asyncio.Task[Caller | None]] = {}

    async def caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """Who sent the request (RFC 6750 2.1). Raises Problem (401), StoreError."""
        digest = digest_of(_bearer(headers))
        known = self._known.get(digest)
        if known is not None and self._clock.monotonic() < known.until:
            return known.caller
        caller = await self._ask(digest)
        if caller is None:
            raise Problem(
                "unauthorized",
                "this key is not known, or it was revoked",
                headers={"WWW-Authenticate": 'Bearer realm="tocsin", error="invalid_token"'},
            )
        return caller

    async def _ask(self, digest: bytes) -> Caller | None:
        """Reads the key, once for all requests that wait for it."""
        task = self._asking.get(digest)
        if task is None:
            task = self._asking[digest] = asyncio.create_task(self._read(digest))
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(task)

    async def _read(self, digest: bytes) -> Caller | None:
        asked_at = self._clock.monotonic()
        key = await self._store.read(lambda connection: authenticate(connection, digest))
        if key is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        caller = Caller.of(key)
        self._known[digest] = _Known(caller, asked_at + FRESH_S)
        return caller

    def forget(self, key_id: str) -> None:
        """A key was revoked here: it is refused from now on."""
        for digest in [digest for digest, known in self._known.items() if known.caller.key_id == key_id]:
            del self._known[digest]


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() != b"bearer" or not 0 < len(key) <= KEY_CHARS_MAX:
                break
            return key.strip().decode("latin-1")
    raise Problem("unauthorized", "expected the header Authorization: Bearer KEY")
