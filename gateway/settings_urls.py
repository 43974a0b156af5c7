"""The URLs of store and queue, read as their drivers read them: what a driver would fall over is refused here, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ESCAPED = "in a password @ : / ? # % are written %40 %3A %2F %3F %23 %25"
SQLITE = 'expected "sqlite:///FILE" with nothing behind it: a file takes no options, and its name has no "?"'
POSTGRESQL = f'expected "sqlite:///FILE" or "postgresql://USER:PASSWORD@HOST/DATABASE" (a PORT from 1 to 65535 after HOST; {ESCAPED})'
REDIS = (
    'expected "memory:", "redis://HOST:PORT/DATABASE" or "rediss://…" (TLS); '
    f"PORT is from 1 to 65535, DATABASE a number; {ESCAPED}"
)


def has_host(url: str) -> bool:
    """Whether the URL names a host; False also of brackets that are not closed."""
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


def has_path(url: str) -> bool:
    """Whether the URL has more than a host; False also of brackets that are not closed."""
    try:
        return bool(urlsplit(url).path.strip("/"))
    except ValueError:
        return False


_PARAMETERS: Mapping[str, frozenset[str]] = {
    "ssl": frozenset(("disable", "allow", "prefer", "require", "verify-ca", "verify-full")),
    "target_session_attrs": frozenset(
        ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    ),
    "host": frozenset(),
    "port": frozenset(),
    "passfile": frozenset(),
    "prepared_statement_cache_size": frozenset(),
}
"""What may stand after the `?` of a PostgreSQL URL, and the values; none listed: any that the driver reads."""


_REDIS_OPTIONS = frozenset(
    (
        *("ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"),
        *("socket_connect_timeout", "socket_timeout"),
    )
)
"""What may stand after the `?` of a Redis URL: TLS and times. Protocol, form of answers and connections are the queue's own to set."""


def _options(url: str) -> list[str]:
    """The names of what stands after the `?`."""
    try:
        return [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    except ValueError:  # brackets that are not closed: the driver's own reading tells of them
        return []


def check_sqlite_url(url: str) -> None:
    """Raises ValueError where something stands behind the name of the file: it would become a part of the name."""
    if "?" in url:
        raise ValueError(SQLITE)


def check_redis_url(url: str) -> None:
    """Raises ValueError where redis-py could not use the URL. The text never has a part of it: it holds a password."""
    from redis.asyncio import ConnectionPool  # not needed, and not small, with the queue in memory
    from redis.exceptions import RedisError

    unknown = [name for name in _options(url) if name not in _REDIS_OPTIONS]
    if unknown:
        raise ValueError(f"expected after the ? only {', '.join(sorted(_REDIS_OPTIONS))}")
    try:
        parts = urlsplit(url)
        database = parts.path.strip("/")
        readable = bool(parts.hostname) and parts.port != 0 and (not database or database.isdecimal())
        pool: Any = ConnectionPool.from_url(url)
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        readable = False
    if not readable:
        raise ValueError(REDIS)


def check_postgresql_url(url: str) -> None:
    """Raises ValueError where SQLAlchemy or asyncpg could not use the URL; the text has no value of it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        read = make_url(url).set(drivername="postgresql+asyncpg")
        read.get_dialect()().create_connect_args(read)
    except (ValueError, ArgumentError):
        raise ValueError(POSTGRESQL) from None
    if not read.database or not (read.port is None or 1 <= read.port <= 65_535):
        raise ValueError(POSTGRESQL)
    for name, values in read.query.items():
        allowed = _PARAMETERS.get(name)
        if allowed is None:
            raise ValueError(
                f"expected after the ? only {', '.join(sorted(_PARAMETERS))}"
                + (' (libpq\'s sslmode is "ssl" here)' if name == "sslmode" else "")
            )
        if allowed and values not in allowed:
            raise ValueError(f"expected {name} as one of {', '.join(sorted(allowed))}")
