"""Opens the store that the settings name, and says which setting it was where it does not open."""

from __future__ import annotations

from urllib.parse import urlsplit

from channels.plainly import plainly
from gateway.settings import StoreSettings
from gateway.store.engine import PostgresStore, SqliteStore, open_store
from gateway.store.errors import StoreUnavailable


async def opened(settings: StoreSettings) -> SqliteStore | PostgresStore:
    """The store, locked where only one process may have it, its schema up to date. Raises StoreError."""
    url = settings.url.get_secret_value()
    try:
        return await open_store(url, pool_size=settings.pool_size, pool_wait_s=settings.pool_wait_s)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"store.url: {store_refusal(url, error)}") from error


def store_refusal(url: str, error: Exception) -> str:
    """Why the store cannot be opened, in the words of people; never the password."""
    told = plainly(str(error))
    if url.startswith("sqlite:///"):
        return f"{url.removeprefix('sqlite:///')} cannot be opened: {told}"
    parts = urlsplit(url)
    where = f"{parts.hostname or 'localhost'}:{_port(url)}"
    if "nobody listens" in told or "no such host" in told or "timed out" in told:
        return f"PostgreSQL at {where} cannot be reached: {told}. Is it running, and is this its address?"
    return f"PostgreSQL at {where} refused: {told}"


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or 5432
    except ValueError:
        return 5432
