"""The parameters of a request's query: none is passed over in silence, and times are asked for by one pair of words everywhere."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Query
from fastapi.dependencies.models import Dependant
from starlette.requests import Request

from gateway.api.problems import ERRORS_MAX, LOC_CHARS_MAX, Problem
from gateway.clock import to_micros

MEANT: Final = {
    "since": "from", "after": "from", "start": "from", "begin": "from", "until": "to", "before": "to", "end": "to",
    "state": "status", "status": "state", "page": "cursor", "next_cursor": "cursor", "offset": "cursor",
    "per_page": "limit", "page_size": "limit", "count": "limit", "max": "limit", "account_id": "account",
    "tenant": "account", "alert_id": "alert", "ref": "reference",
}  # fmt: skip
"""What other interfaces call the same thing."""
YEAR_MIN: Final = 1970  # times are kept as microseconds since then
YEAR_MAX: Final = 9998  # so that a day more is still a time


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Every name and value of the query, in order, empty ones too. Raises Problem (422) where there are too many to look at."""
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=ERRORS_MAX)
    except ValueError:
        detail = f"expected at most {ERRORS_MAX} parameters in the query"
        raise Problem(
            "invalid-request", detail, errors=[{"field": "query", "code": "too_many", "detail": detail}]
        ) from None


def require_known(pairs: Iterable[tuple[str, str]], known: Sequence[str]) -> None:
    """Raises Problem (422) for every parameter that is not known, or that is there twice."""
    errors = []
    for name, times in Counter(name for name, _ in pairs).items():
        if name not in known:
            errors.append(
                {"field": name[:LOC_CHARS_MAX], "code": "unknown_parameter", "detail": _expected(name, known)}
            )
        elif times > 1:
            errors.append({"field": name, "code": "repeated_parameter", "detail": f"expected once, not {times} times"})
    if errors:
        told = f"{errors[0]['field'] or 'a parameter without a name'}: {errors[0]['detail']}"
        raise Problem("invalid-request", told, errors=errors)


def _expected(name: str, known: Sequence[str]) -> str:
    if not known:
        return "this route takes no parameter in the query"
    told = f"expected {', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else f"expected {known[0]}"
    meant = MEANT.get(name.lower(), "")
    close = [meant] if meant in known else difflib.get_close_matches(name.lower()[:LOC_CHARS_MAX], known, 1)
    return f"no such parameter; did you mean {close[0]}? ({told})" if close else f"no such parameter; {told}"


def known_parameters(request: Request) -> None:
    """A dependency: what the query names has to be what the route reads."""
    query = request.scope["query_string"]
    if query:
        require_known(pairs_of(query), _read_by(request.scope["route"].dependant))


def _read_by(dependant: Dependant) -> list[str]:
    """The parameters of the query that a route and its dependencies read."""
    own = [field.alias for field in dependant.query_params]
    return own + [name for each in dependant.dependencies for name in _read_by(each)]


KNOWN: Final = Depends(known_parameters)

# --- times -----------------------------------------------------------------------------------------------------------

DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HOW: Final = "RFC 3339 with its offset, or a date alone for the whole day in UTC"
_TIMES: Final = ["2026-03-01", "2026-03-01T06:00:00Z", "2026-03-01T07:00:00+01:00"]


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time in microseconds: from the first on, before the second; None has no end."""

    first: int | None = None
    before: int | None = None


ALWAYS: Final = Period()


def period(
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=40, description=f"only what is of this time or later: {_HOW}", examples=_TIMES),
    ] = None,
    to: Annotated[
        str | None,
        Query(max_length=40, description=f"only what is of an earlier time, or of this day: {_HOW}", examples=_TIMES),
    ] = None,
) -> Period:
    """A dependency: the span of time that `from` and `to` ask for. Raises Problem (422)."""
    found = Period(first=_micros("from", from_, 0), before=_micros("to", to, 1))
    if found.first is not None and found.before is not None and found.first >= found.before:
        raise _wrong("to", "expected a time after that of from")
    return found


def _micros(name: str, text: str | None, days: int) -> int | None:
    """The time; of a date alone, its midnight so many days later."""
    if text is None:
        return None
    text = text.strip()
    if len(text) > 6 and text[-6] == " ":  # the plus of an offset, as a query that is not quoted brings it
        text = f"{text[:-6]}+{text[-5:]}"
    try:
        whole_day = DATE.fullmatch(text) is not None
        at = datetime.fromisoformat(f"{text}T00:00:00Z" if whole_day else text.upper())
    except ValueError:
        raise _wrong(name, f"expected a time ({_HOW}), such as {_TIMES[1]} or {_TIMES[0]}") from None
    if at.tzinfo is None:
        raise _wrong(name, f"expected an offset from UTC, such as {text}Z")
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise _wrong(name, f"expected a year from {YEAR_MIN} to {YEAR_MAX}")
    return to_micros(at + timedelta(days=days) if whole_day else at)


def _wrong(name: str, detail: str) -> Problem:
    return Problem(
        "invalid-request", f"{name}: {detail}", errors=[{"field": name, "code": "invalid_time", "detail": detail}]
    )


Within = Annotated[Period, Depends(period)]
