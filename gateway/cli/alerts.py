"""`tocsin alerts`: what is going on, and what whoever is on call says about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, TypeVar

import click

from gateway.alert import Status
from gateway.cli.access import access_options, api_access
from gateway.cli.failures import Refused
from gateway.cli.finding import find_alert, near_reference, required
from gateway.cli.following import Following, wait_options
from gateway.cli.groups import Group
from gateway.cli.invocation import common_options, table, this_invocation
from gateway.cli.moments import read_span, shown_time, zone_here
from gateway.client import ApiError
from gateway.rendering import headline, shortened
from gateway.telling import Telling

LISTED = 50
LISTED_MAX = 100_000
DELIVERIES_LISTED = 100
DELIVERIES_MAX = 200_000
TEXT_CHARS = 60
"""Of a subject or text in a list: a line then fits a wide terminal."""

SOURCES = {
    "api": "the API",
    "alertmanager": "Alertmanager",
    "phone": "a call to an alarm line",
    "last_resort": "an alert that reached nobody",
}
"""Where an alert came from, in words: `tocsin send` speaks to the API, too."""

F = TypeVar("F", bound=Callable[..., Any])
ID_HELP = "ID is the id of an alert, its first or last characters, the id of a delivery, or a reference."


@click.group(cls=Group)
@common_options
def alerts() -> None:
    """List, watch, acknowledge and end alerts."""


@alerts.command(name="list")
@click.option("--status", type=click.Choice([str(one) for one in Status]), help="Only those that stand so.")
@click.option("--account", metavar="ID", help="Only those of this account.")
@click.option("--reference", metavar="TEXT", help="Only those with this reference.")
@click.option(
    "--from", "since", metavar="TIME", help="Made then or later: 2h, 3d, 14:30, 2026-11-30, 2026-11-30T14:30."
)
@click.option("--to", "until", metavar="TIME", help="Made before then, in the same forms, or on that day.")
@click.option("--limit", type=click.IntRange(1, LISTED_MAX), default=LISTED, show_default=True, help="The most listed.")
@click.option("--cursor", metavar="CURSOR", help="Goes on where a list ended, as its last line says.")
@access_options
@common_options
def list_(
    status: str | None,
    account: str | None,
    reference: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
) -> None:
    """List alerts, the latest first."""
    invocation, zone = this_invocation(), zone_here()
    first, last = read_span(since, until, zone)
    wanted = {
        "status": status,
        "account": account,
        "reference": reference,
        "from": None if first is None else first.isoformat(),
        "to": None if last is None else last.isoformat(),
    }
    with api_access(invocation) as api:
        found, following = api.listed("v1", "alerts", limit=limit, cursor=cursor, **wanted)
        near = near_reference(api, reference) if reference and not found and not cursor else ""
    rows = [
        [
            one["id"],
            shown_time(one["created_at"], zone),
            one["status"],
            one["priority"],
            one["reference"] or "-",
            _headline(one),
        ]
        for one in found
    ]
    lines = (
        table(rows, ["ALERT", "MADE", "STATUS", "PRIORITY", "REFERENCE", "TEXT"]) if found else [_none(reference, near)]
    )
    if following is not None:
        lines.append(f"there are older ones: --cursor {following}")
    invocation.show({"alerts": found, "next_cursor": following}, lines)


@alerts.command()
@click.argument("word", metavar="ID")
@click.option(
    "--limit", type=click.IntRange(1, DELIVERIES_MAX), default=DELIVERIES_LISTED, show_default=True,
    help="The most deliveries shown.",
)  # fmt: skip
@access_options
@common_options
def show(word: str, limit: int) -> None:
    """Show an alert: how it stands, who answered, and each delivery.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference.
    """
    invocation = this_invocation()
    with api_access(invocation) as api:
        alert = required(api, find_alert(api, word))
        total = alert["deliveries_total"]
        if limit != DELIVERIES_LISTED:
            alert["deliveries"] = list(api.pages("v1", "alerts", alert["id"], "deliveries", limit=limit))
    lines = [f"{what:<12} {value}" for what, value in _facts(alert, zone_here())]
    lines += ["", *_deliveries(alert["deliveries"])]
    if len(alert["deliveries"]) < total:
        lines.append(f"and {total - len(alert['deliveries'])} more: --limit {total}")
    invocation.show(alert, lines)


@alerts.command()
@click.argument("word", metavar="ID")
@click.option("--follow", is_flag=True, help="Go on until it has ended. Ctrl-C ends the watching, not the alert.")
@wait_options("--follow")
@access_options
@common_options
def timeline(word: str, follow: bool, timeout_s: float | None) -> None:
    """Tell what happened to an alert: sent, ringing, answered by whom, charged.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference.

    With --follow status 0 when it was acknowledged or is over, 4 when it ended without an answer, 5 after --timeout.
    """
    invocation = this_invocation()
    if timeout_s is not None and not follow:
        raise click.UsageError("--timeout is for --follow")
    with api_access(invocation) as api:
        alert = required(api, find_alert(api, word))
        if follow:
            click.get_current_context().exit(Following(invocation, api, alert["id"]).until_ended(timeout_s))
        currency = api.get("v1", "accounts", alert["account"])["currency"]
        look = Telling(api, alert["id"], currency=currency).look()
    document = {"alert": alert["id"], "status": look.status, "timeline": list(look.lines)}
    invocation.show(document, [f"{alert['id']}  {look.status}", "", *(one.text for one in look.new)])


def _verb(command: F) -> F:
    """What the commands share that say something about one alert."""
    named = click.argument("word", metavar="ID")
    once = click.option(
        "--idempotency-key", metavar="KEY", help="Repeated with the same key and content, it is done once."
    )
    return named(once(access_options(common_options(command))))


@alerts.command()
@click.option("--by", required=True, metavar="NAME", help="Who acknowledges, as the alert or [[people]] calls them.")
@click.option("--taken", is_flag=True, help="They take it in charge; without, they have received it.")
@click.option("--comment", default="", metavar="TEXT", help="What they say besides.")
@_verb
def acknowledge(word: str, by: str, taken: bool, comment: str, idempotency_key: str | None) -> None:
    """Say that somebody has received an alert, or takes it in charge.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference. Once its rule is met, nothing more
    goes out.
    """
    body = {"by": by, "taken": taken, "comment": comment}
    alert = _do("acknowledge", word, body, idempotency_key)
    said = next((one for one in reversed(alert["acknowledgements"]) if one["by"] == by), None)
    what = "takes it in charge" if taken else "has received it"
    uncounted = ", and does not count: the alert asks others" if said is not None and not said["counts"] else ""
    this_invocation().show(alert, f"{alert['id']} is {alert['status']}: {by} {what}{uncounted}{_time_left(alert)}")


@alerts.command()
@click.option("--by", default="", metavar="NAME", help="Who says so, for the timeline.")
@_verb
def resolve(word: str, by: str, idempotency_key: str | None) -> None:
    """Say that the trouble is over: nothing more goes out.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference.
    """
    _end("resolve", word, by, idempotency_key)


@alerts.command()
@click.option("--by", default="", metavar="NAME", help="Who calls it off, for the timeline.")
@_verb
def cancel(word: str, by: str, idempotency_key: str | None) -> None:
    """Call an active alert off: what is queued is cancelled, what left goes on to its receipt.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference.
    """
    _end("cancel", word, by, idempotency_key)


@alerts.command()
@click.option("--by", default="", metavar="NAME", help="Who hands it back, for the timeline.")
@_verb
def release(word: str, by: str, idempotency_key: str | None) -> None:
    """Hand an acknowledged alert back: people are tried again.

    ID is the id of an alert, its first or last characters, the id of a delivery, or a reference.
    """
    alert = _do("release", word, {"by": by}, idempotency_key)
    handed = f", handed back by {by}" if by else ""
    this_invocation().show(alert, f"{alert['id']} is {alert['status']} again{handed}: people are tried again")


def _end(verb: str, word: str, by: str, idempotency_key: str | None) -> None:
    alert = _do(verb, word, {"by": by}, idempotency_key)
    this_invocation().show(alert, f"{alert['id']} is {alert['status']}{f' by {by}' if by else ''}")


def _do(verb: str, word: str, body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
    """Says it over the API. Raises Refused in the words of the command line where the alert's status does not let it be done."""
    with api_access(this_invocation()) as api:
        alert_id = find_alert(api, word)
        try:
            return api.post("v1", "alerts", alert_id, verb, body=body, idempotency_key=idempotency_key or "")
        except ApiError as error:
            if error.status == 404:
                raise Refused(f"there is no alert {alert_id}", status=404, problem=error.problem) from error
            if error.problem.get("type") == "/problems/alert-ended":
                raise Refused(
                    f"{alert_id}: {error.problem.get('detail')}; {HINTS[verb]}", **_facts_of(error)
                ) from error
            raise


HINTS = {
    "acknowledge": "there is nothing left to acknowledge",
    "resolve": "there is nothing left to resolve",
    "cancel": "only an active alert is cancelled",
    "release": "only an alert that is acknowledged is released",
}


def _facts_of(error: ApiError) -> dict[str, Any]:
    return {"status": error.status, "problem": error.problem}


def _none(reference: str | None, near: str) -> str:
    """What is said of an empty list."""
    if reference is None:
        return "no alerts"
    there_is = f"; there is {near}" if near and near != reference else ""
    return f"no alerts with the reference {reference}{there_is}"


def _headline(alert: dict[str, Any]) -> str:
    exercise = "EXERCISE " if alert["exercise"] else ""
    return exercise + shortened(headline(alert["subject"] or alert["text"]), TEXT_CHARS)


def _time_left(alert: dict[str, Any]) -> str:
    if alert["confirm_by_at"] is None:
        return ""
    return f"; somebody has to take it in charge (--taken) until {shown_time(alert['confirm_by_at'], zone_here())}"


def _facts(alert: dict[str, Any], zone: tzinfo) -> list[tuple[str, str]]:
    facts = [("alert", alert["id"]), ("status", alert["status"]), ("priority", alert["priority"])]
    facts += [("account", alert["account"]), ("reference", alert["reference"] or "-")]
    facts += [("subject", headline(alert["subject"]))] if alert["subject"] else []
    text = alert["text"].splitlines() or [""]
    facts += [("text" if n == 0 else "", line) for n, line in enumerate(text)]
    facts += [("exercise", "yes")] if alert["exercise"] else []
    facts += [("made", shown_time(alert["created_at"], zone)), ("from", SOURCES.get(alert["source"], alert["source"]))]
    facts += [("starts", shown_time(alert["start_at"], zone))] if alert["start_at"] != alert["created_at"] else []
    facts += (
        [("ended", shown_time(alert["ended_at"], zone))]
        if alert["ended_at"]
        else [("expires", shown_time(alert["expires_at"], zone))]
    )
    facts += [("asks for", "no acknowledgement" if alert["rule"] == "none" else f"acknowledgement by {alert['rule']}")]
    facts += [("take by", shown_time(alert["confirm_by_at"], zone))] if alert["confirm_by_at"] else []
    for one in alert["acknowledgements"]:
        word = "takes it in charge" if one["taken"] else "has received it"
        comment = f': "{headline(one["comment"])}"' if one["comment"] else ""
        counts = "" if one["counts"] else " (does not count)"
        facts.append(("answered", f"{one['by']} {word}{counts}, {shown_time(one['at'], zone)}, {one['via']}{comment}"))
    return facts


def _deliveries(found: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            one["id"],
            one["state"],
            one["code"] or "-",
            one["address"],
            one["recipient"],
            one["provider"] or "-",
            one["charged"],
        ]
        for one in found
    ]
    headings = ["DELIVERY", "STATE", "CODE", "ADDRESS", "RECIPIENT", "PROVIDER", "CHARGED"]
    return table(rows, headings) if found else ["no deliveries yet"]
