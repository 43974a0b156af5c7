"""Times on the command line: as people type them, and as they are shown to people. JSON has them as the API does, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import click

from gateway.cli.invocation import this_invocation
from gateway.clock import local_time

_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DATE: Final = re.compile(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}")
EXPECTED: Final = (
    "expected 2h or 3d (so long ago), 14:30 (today), 2026-11-30 or 2026-11-30T14:30, with +01:00 or Z if you like"
)


def read_moment(option: str, text: str | None, zone: tzinfo, *, whole_day: bool = False) -> datetime | None:
    """The time that an option names, in UTC; without an offset it is one of the zone. Raises BadParameter."""
    if text is None:
        return None
    try:
        return moment(text, datetime.now(zone), whole_day=whole_day)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{EXPECTED}, not {text}", param_hint=f"'{option}'") from None


def read_span(since: str | None, until: str | None, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """The times of --from and --to; a date alone is a whole day. Raises BadParameter, also for an end before the beginning."""
    first, last = read_moment("--from", since, zone), read_moment("--to", until, zone, whole_day=True)
    if first is not None and last is not None and last <= first:
        raise click.BadParameter(f"expected a time after that of --from, not {until}", param_hint="'--to'")
    return first, last


def moment(text: str, now: datetime, *, whole_day: bool = False) -> datetime:
    """The time in UTC; `now` says what today is, and in which zone. Of a date alone its end with `whole_day`. Raises ValueError,
    OverflowError."""
    text = text.strip()
    if (ago := _AGO.fullmatch(text)) is not None:
        return (now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})).astimezone(UTC)
    if (clock := _CLOCK.fullmatch(text)) is not None:
        hour, minute, second = (int(part or 0) for part in clock.groups())
        return now.replace(hour=hour, minute=minute, second=second, microsecond=0).astimezone(UTC)
    at = datetime.fromisoformat(text)
    if whole_day and _DATE.fullmatch(text):
        at += timedelta(days=1)
    return (at if at.tzinfo is not None else at.replace(tzinfo=now.tzinfo)).astimezone(UTC)


def shown_time(text: str | None, zone: tzinfo = UTC) -> str:
    """A time of the API's, to the second; "-" where there is none."""
    if text is None:
        return "-"
    return local_time(datetime.fromisoformat(text), zone, seconds=True)


def zone_here() -> tzinfo:
    """The zone in which people are told times: that of the settings, where there are some."""
    invocation = this_invocation()
    if invocation.key is not None and not invocation.config_path.exists():
        return UTC
    return invocation.settings("messages").messages.zone
