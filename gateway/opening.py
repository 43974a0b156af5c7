"""Opens the store that the settings name, and says which setting it was where it does not open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from channels.plainly import plainly
from gateway.settings import StoreSettings
from gateway.store.engine import PostgresStore, SqliteStore, open_store
from gateway.store.errors import StoreOfAnotherVersion, StoreUnavailable

ASK = ". Is it running, and is this its address?"
HINTS: Final[Mapping[str, str]] = {
    "password authentication failed": "it answers: are user and password right?",
    "no encryption": "it answers: does it want TLS (?ssl=require), or does pg_hba.conf leave this user or address out?",
    "rejected SSL upgrade": "it answers, and speaks no TLS: ssl=disable behind the ?",
    "permission denied for schema": "it answers: the user has to own the database",
    "invalid username-password pair": "it answers: are user and password right?",
    "WRONGPASS": "it answers: are user and password right?",
    "NOAUTH": "it answers, and wants a password: redis://:PASSWORD@HOST",
    "Authentication required": "it answers, and wants a password: redis://:PASSWORD@HOST",
    "without any password configured": "it answers, and knows no password: leave it out of the URL",
    "has no permissions": "it answers, and this user may not do what the queue needs",
    "DB index is out of range": "it answers, and has no database of this number",
}
"""What PostgreSQL and Redis say of who they let in, and what is meant."""


async def opened(settings: StoreSettings, *, upward: bool = False) -> SqliteStore | PostgresStore:
    """The store, locked where only one process may have it, with its tables. Older ones are brought up to date where that is meant
    (`upward`): whoever only looks must not take the way back. Raises StoreError."""
    url = settings.url.get_secret_value()
    try:
        return await open_store(url, pool_size=settings.pool_size, pool_wait_s=settings.pool_wait_s, upward=upward)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"store.url: {store_refusal(url, error)}") from error
    except StoreOfAnotherVersion as error:
        raise StoreOfAnotherVersion(f"store.url: {error}") from error


def store_refusal(url: str, error: Exception) -> str:
    """Why the store cannot be opened, in the words of people; never the password."""
    told = plainly(str(error))
    if url.startswith("sqlite:///"):
        return f"{url.removeprefix('sqlite:///')} cannot be opened: {told}"
    parts = urlsplit(url)
    where = f"{parts.hostname or 'localhost'}:{_port(url)}"
    if "nobody listens" in told or "no such host" in told or "timed out" in told:
        return f"PostgreSQL at {where} cannot be reached: {told}{'' if told.endswith('?') else ASK}"
    return f"PostgreSQL at {where} refused: {told}{_hint(told)}"


def queue_refusal(url: str, error: Exception) -> str:
    """Why the queue does not work, in the words of people; never the password."""
    parts = urlsplit(url)
    where = f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    told = plainly(str(error)).removeprefix("Redis ")
    reached, _, why = told.partition(": ")
    asked = ASK if reached == "cannot be reached" and not why.endswith("?") else _hint(why)
    return f"Redis at {where} {told}{asked}"


def _hint(told: str) -> str:
    """What a person would look at first, for what servers say who answer and refuse."""
    for said, hint in HINTS.items():
        if said in told:
            return f" ({hint})"
    return ""


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or 5432
    except ValueError:
        return 5432
