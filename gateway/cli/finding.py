"""From what somebody types, an id, a part of one, or a reference, to the one alert that is meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, Final

from gateway.cli.failures import Refused
from gateway.client import ApiClient, ApiError

WHOLE_ID: Final = re.compile(r"alt_[0-9a-v]{26}")
DELIVERY_ID: Final = re.compile(r"dlv_[0-9a-v]{26}")
PART_CHARS_MIN: Final = 4
"""Fewer characters of an id fit by chance."""
SEARCHED_MAX: Final = 1_000
"""Alerts, the latest first, among which a part of an id is looked for: ten requests."""
NAMED_MAX: Final = 5
REFERENCE_CHARS_MAX: Final = 200
OPEN: Final = ("active", "acknowledged")

Json = dict[str, Any]


def find_alert(api: ApiClient, word: str) -> str:
    """The id of the alert. Raises Refused where there is none, or more than one."""
    word = word.strip()
    written = word.partition(":")[0]  # what holds credit for a step is called by the alert's id and more
    if WHOLE_ID.fullmatch(written):
        return written
    if DELIVERY_ID.fullmatch(word):
        return str(api.get("v1", "deliveries", word)["alert"])
    if not word:
        raise Refused("expected the id of an alert, its end, or a reference, not nothing")
    return _by_reference(api, word) or _by_part(api, word) or _nothing(api, word)


def _by_reference(api: ApiClient, word: str) -> str | None:
    """The alert of this reference: the one that is open, else the only one."""
    if len(word) > REFERENCE_CHARS_MAX or "\x00" in word:
        return None
    found = list(api.pages("v1", "alerts", limit=SEARCHED_MAX, reference=word))
    still_open = [one for one in found if one["status"] in OPEN]
    return _only(still_open or found, f"the reference {word}")


def _by_part(api: ApiClient, word: str) -> str | None:
    """The alert whose id begins or ends so, among the latest."""
    part = word.removeprefix("alt_")
    if len(part) < PART_CHARS_MIN or not re.fullmatch(r"[0-9a-v]{1,26}", part):
        return None
    latest = api.pages("v1", "alerts", limit=SEARCHED_MAX)
    whole = [(one, str(one["id"]).removeprefix("alt_")) for one in latest]
    return _only([one for one, id_ in whole if id_.startswith(part) or id_.endswith(part)], word)


def _only(found: list[Json], what: str) -> str | None:
    if len(found) > 1:
        named = ", ".join(f"{one['id']} ({one['status']})" for one in found[:NAMED_MAX])
        more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        raise Refused(f"{what} is that of {len(found)} alerts: {named}{more}", alerts=[one["id"] for one in found])
    return str(found[0]["id"]) if found else None


def near_reference(api: ApiClient, word: str) -> str:
    """The reference among the latest alerts that may be meant, where none is spelled so; "" without one. References are told apart by
    every letter: upstreams may mean different troubles by `pump-3` and `PUMP-3`."""
    latest = api.pages("v1", "alerts", limit=SEARCHED_MAX)
    by_small: dict[str, str] = {}
    for one in latest:
        if one["reference"]:
            by_small.setdefault(one["reference"].strip().lower(), one["reference"])
    small = word.strip().lower()
    close = [small] if small in by_small else get_close_matches(small[:REFERENCE_CHARS_MAX], by_small, n=1)
    return by_small[close[0]] if close else ""


def _nothing(api: ApiClient, word: str) -> str:
    if word.startswith("tok_"):
        raise Refused("that is an API key, which no list shows; `tocsin alerts list` shows the ids of alerts")
    if near := near_reference(api, word):
        raise Refused(f"there is no alert with the id or reference {word}; there is {near}", meant=near)
    raise Refused(
        f"there is no alert with the id or reference {word}, nor one among the latest whose id begins or ends so with at least "
        f"{PART_CHARS_MIN} characters; `tocsin alerts list` shows them"
    )


def required(api: ApiClient, alert_id: str) -> Json:
    """The alert as the API shows it. Raises Refused where there is none."""
    try:
        return api.get("v1", "alerts", alert_id)
    except ApiError as error:
        if error.status == 404:
            raise Refused(f"there is no alert {alert_id}", status=404, problem=error.problem) from error
        raise
