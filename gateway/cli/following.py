"""Watching an alert from the command line until it has ended: what is told, how long, and with which exit status."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from billing.money import format_amount, parse_amount
from gateway.cli.access import access_anew
from gateway.cli.invocation import Invocation
from gateway.client import ApiClient, ApiError, UnreachableError
from gateway.telling import Look, Telling

LOOK_AGAIN_S: Final = 0.25
"""Between two looks: at once for people, and some ten requests a second at the most for the server."""
SETTLE_S: Final = 10.0
"""How long the receipts and charges of an alert that has ended are waited for: most come within a second, some in a day."""
UNREACHABLE_S: Final = 120.0
"""How long a server that does not answer is waited for: an upgrade restarts it within seconds."""
UNREACHABLE_AGAIN_S: Final = 1.0

STATUS_NOBODY: Final = 4
"""Exit status: the alert ended without anybody who answered."""
STATUS_OPEN: Final = 5
"""Exit status: the time to wait is over, and the alert is still open."""
STATUS_INTERRUPTED: Final = 130

ENDINGS: Final = {
    "acknowledged": 0, "completed": 0, "resolved": 0,
    "cancelled": STATUS_NOBODY, "failed": STATUS_NOBODY, "expired": STATUS_NOBODY, "active": STATUS_OPEN,
}  # fmt: skip
"""What the exit status says, for each status of an alert."""
SHOWN_MAX: Final = 5
"""Addresses that were not reached and are named in the last line."""
DELIVERIES_MAX: Final = 200_000

Json = dict[str, Any]


def wait_options(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command --timeout, which says how long at the most it watches."""
    return click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help=f"How long to watch at the most, with {what}; the alert itself goes on. Default: until it has ended.",
    )


class Following:
    """Tells of one alert, line by line, until it has ended."""

    def __init__(self, invocation: Invocation, api: ApiClient, alert_id: str) -> None:
        self._invocation = invocation
        self._api = api
        self._id = alert_id
        self._quiet = False

    def until_ended(self, timeout_s: float | None) -> int:
        """The exit status that says how it ended. Ctrl-C and SIGTERM end the watching alone. Raises ApiError, UnreachableError."""
        before = {
            number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            return self._until_ended(timeout_s)
        except KeyboardInterrupt:
            click.echo("", err=True)
            self._say(f"stopped watching; the alert {self._id} goes on", event="stopped")
            return STATUS_INTERRUPTED
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _until_ended(self, timeout_s: float | None) -> int:
        started = time.monotonic()
        account = self._api.get("v1", "alerts", self._id)["account"]
        self._currency = self._api.get("v1", "accounts", account)["currency"]
        telling = Telling(self._api, self._id, currency=self._currency)
        ended_at: float | None = None
        while True:
            look = self._look(telling)
            for told in look.new:
                self._show({"event": "timeline", **told.line}, [told.text])
            now = time.monotonic()
            if not look.open:
                ended_at = now if ended_at is None else ended_at
                if not look.unsettled or now - ended_at >= SETTLE_S:
                    return self._tell_end(look)
            elif timeout_s is not None and now - started >= timeout_s:
                self._say(f"the alert is still {look.status} after {timeout_s:g} s, and goes on", event="timeout")
                return STATUS_OPEN
            time.sleep(LOOK_AGAIN_S)

    def _look(self, telling: Telling) -> Look:
        """The next look, from a server that may be restarted meanwhile."""
        since: float | None = None
        while True:
            try:
                look = telling.look()
                self._quiet = False
                return look
            except (UnreachableError, ApiError) as error:
                gone = isinstance(error, UnreachableError) or error.status in (401, 503)
                since = time.monotonic() if since is None else since
                if not gone or time.monotonic() - since >= UNREACHABLE_S:
                    raise
                if not self._quiet:
                    self._quiet = True
                    self._say(f"{error}; asking again", event="unreachable")
            time.sleep(UNREACHABLE_AGAIN_S)
            fresh = access_anew(self._invocation)
            if fresh is not None:
                self._api = telling.api = fresh

    def _tell_end(self, look: Look) -> int:
        deliveries = list(self._api.pages("v1", "alerts", self._id, "deliveries", limit=DELIVERIES_MAX))
        charged = format_amount(sum(parse_amount(one["charged"]) for one in deliveries))
        people = list(dict.fromkeys(one["by"] for one in look.alert["acknowledgements"] if one["counts"]))
        document = {
            "event": "ended",
            "alert": self._id,
            "status": look.status,
            "acknowledged_by": people,
            "deliveries": len(deliveries),
            "delivered": sum(one["state"] == "delivered" for one in deliveries),
            "unsettled": sum(one["settled_at"] is None for one in deliveries),
            "charged": charged,
            "currency": self._currency,
        }
        self._show(document, ["", *_in_words(document, deliveries)])
        return ENDINGS.get(look.status, STATUS_NOBODY)

    def _show(self, document: Json, lines: Sequence[str]) -> None:
        self._invocation.show(document, lines)
        sys.stdout.flush()  # somebody watches, or a pipe does

    def _say(self, text: str, *, event: str) -> None:
        """A word about the watching itself: beside what is told of the alert."""
        if self._invocation.json:
            self._show({"event": event, "alert": self._id, "text": text}, [])
        else:
            click.echo(f"tocsin: {text}", err=True)


def _in_words(document: Json, deliveries: Sequence[Json]) -> list[str]:
    people = ", ".join(document["acknowledged_by"])
    before = "" if document["status"] == "acknowledged" else ", acknowledged before"
    by = f"{before} by {people}" if people else ""
    total, charged = document["deliveries"], f"{document['charged']} {document['currency']}"
    what = "delivery" if total == 1 else "deliveries"
    lines = [f"{document['status']}{by}: {document['delivered']} of {total} {what} delivered, {charged} charged"]
    lost = [one for one in deliveries if one["state"] in ("failed", "expired")]
    lines += [f"  {one['address']} {one['state']} {one['code']}".rstrip() for one in lost[:SHOWN_MAX]]
    if len(lost) > SHOWN_MAX:
        lines.append(f"  and {len(lost) - SHOWN_MAX} more")
    if document["unsettled"]:
        lines.append(f"  {document['unsettled']} still without a last word: what they cost is not final")
    return lines
