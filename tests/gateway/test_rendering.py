"""What an alert says, by channel and language; what requests make of templates by name."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import rendering
from gateway.alert import Alert, Priority
from gateway.attempts import Claim
from gateway.delivery import Delivery
from gateway.rendering import TemplateError, headline, named_templates, render_named, rendered, text_for
from gateway.store.rows import Attempt
from templates.catalog import Catalog

NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
ALERT = Alert(
    id="alt_01",
    account_id="acme",
    key_id="key_01",
    priority=Priority.HIGH,
    text="Fire in hall 3\nUse the east door",
    reference="INC-7",
    created_at=NOW,
    start_at=NOW,
    expires_at=NOW,
    look_at=NOW,
)


def claim_of(alert: Alert, address: str, language: str = "") -> Claim:
    delivery = Delivery(
        id="dlv_01", alert_id=alert.id, account_id=alert.account_id, step=0, recipient=0, person="Ann", address=address,
        urgency=1, provider="p", units=1, price_micros=0, hold_micros=0, tariff_id=None, resend=True,
        language=language, created_at=NOW, due_at=NOW, look_at=NOW, deadline_at=NOW,
    )  # fmt: skip
    attempt = Attempt(delivery_id="dlv_01", epoch=1, chain=1, provider="p", started_at=NOW)
    return Claim(delivery=delivery, attempt=attempt, alert=alert, parts_sent=frozenset())


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_KEPT", rendering._Kept())


# An alert on a channel


@given(st.text(min_size=1), st.text(), st.sampled_from(["sms", "voice", "pager", "fcm"]), st.sampled_from(["", "fr"]))
def test_an_sms_says_just_the_text(text: str, subject: str, channel: str, language: str) -> None:
    """What is short-cut is what the template says."""
    alert = replace(ALERT, text=text, subject=subject)
    template = Catalog().find("alert", language, channel)
    assert template is not None
    assert text_for(alert, channel, language) == (subject, text)
    assert template.render({"exercise": False, "sensitive": False, "text": text}) == text


@pytest.mark.parametrize(
    ("channel", "language", "says"),
    [
        ("sms", "", "EXERCISE Fire in hall 3\nUse the east door"),
        ("sms", "fr-CA", "EXERCICE Fire in hall 3\nUse the east door"),
        ("voice", "de", "EXERCISE Fire in hall 3\nUse the east door"),
        ("email", "", "EXERCISE. This is not a real alert.\n\nFire in hall 3\nUse the east door\n\n--------\n"),
        ("email", "fr", "EXERCICE. Ceci n'est pas une alerte réelle.\n\nFire in hall 3\n"),
    ],
)
def test_an_exercise_says_so_first(channel: str, language: str, says: str) -> None:
    subject, text = text_for(replace(ALERT, exercise=True, subject="Drill"), channel, language)
    assert text.startswith(says)
    assert subject == ("EXERCICE : Drill" if language.startswith("fr") else "EXERCISE: Drill")


@pytest.mark.parametrize("channel", ["sms", "email", "voice", "telegram"])
@pytest.mark.parametrize("language", ["", "fr", "xx"])
@pytest.mark.parametrize("exercise", [False, True])
def test_a_sensitive_alert_only_asks_to_call_in(channel: str, language: str, exercise: bool) -> None:
    alert = replace(ALERT, sensitive=True, exercise=exercise, text="S3CRET", subject="S3CRET", reference="S3CRET")
    subject, text = text_for(alert, channel, language)
    assert "S3CRET" not in subject + text
    assert "alt_01" in text
    assert ("call in" in text) or ("rappeler" in text)
    assert text.startswith(("EXERCI", "EXERCI") if exercise else ("You have", "Vous avez"))


def test_an_email_has_a_subject_the_text_and_what_it_is_about() -> None:
    footer = "--------\nAlert:     alt_01\nReference: INC-7\nPriority:  high\nTime:      2031-05-06 07:08 UTC"
    assert text_for(ALERT, "email", "en") == ("Fire in hall 3", f"Fire in hall 3\nUse the east door\n\n{footer}")
    subject, text = text_for(replace(ALERT, subject="Fire!", reference=None), "email", "fr")
    assert subject == "Fire!"
    assert text.endswith("--------\nAlerte :    alt_01\nPriorité :  haute\nHeure :     2031-05-06 07:08 UTC")
    paris = ZoneInfo("Europe/Paris")
    assert text_for(ALERT, "email", "fr", paris)[1].endswith("Heure :     2031-05-06 09:08 CEST (UTC+02:00)")
    assert rendered(claim_of(ALERT, "email:ann@example.org"), "email", paris)[1].endswith("09:08 CEST (UTC+02:00)")


@given(st.text())
def test_a_headline_is_one_short_printable_line(text: str) -> None:
    line = headline(text)
    assert line.isprintable()
    assert len(line) <= 78
    assert line or not "".join(c for c in text if c.isprintable()).strip()


def test_each_delivery_gets_its_own_language() -> None:
    alert = replace(ALERT, exercise=True, language="fr")
    assert rendered(claim_of(alert, "sms:+33612345678"), "sms")[1].startswith("EXERCICE")
    assert rendered(claim_of(alert, "sms:+33612345678", "en"), "sms")[1].startswith("EXERCISE")


def test_what_took_work_is_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = rendering.text_for

    def counted(alert: Alert, channel: str, language: str, zone: tzinfo) -> tuple[str, str]:
        made.append(alert.id)
        return real(alert, channel, language, zone)

    monkeypatch.setattr(rendering, "text_for", counted)
    monkeypatch.setattr(rendering, "KEPT_CHARS_MAX", 700)
    for alert_id in ["a", "a", "b", "a", "c", "d", "e", "f", "g", "h", "a", "h"]:
        rendered(claim_of(replace(ALERT, id=alert_id), "email:ann@example.org"), "email")
    assert made == ["a", "b", "c", "d", "e", "f", "g", "h", "a"]
    kept = rendering._KEPT
    assert kept._chars == sum(rendering._chars(*item) for item in kept._renderings.items()) <= 700
    rendered(claim_of(replace(ALERT, id="long", text="x" * 5_000), "email:ann@example.org"), "email")
    assert (kept._chars, len(kept._renderings)) == (0, 0)


# Texts by name


def test_names_for_requests() -> None:
    assert named_templates() == ("maintenance", "test")
    assert render_named("test", {}, "fr-BE") == (
        "Test du système d'alerte",
        "Ceci est un test du système d'alerte. Aucune action requise.",
    )
    variables: dict[str, Any] = {"system": "ERP", "start": "22:00", "end": 23, "details": "No orders."}
    assert render_named("maintenance", variables, "") == (
        "Maintenance of ERP",
        "Maintenance of ERP from 22:00 to 23. No orders.",
    )


@pytest.mark.parametrize(
    ("template", "variables", "field", "told"),
    [
        ("tset", {}, "template", "expected one of maintenance, test"),
        ("alert", {}, "template", "expected one of maintenance, test"),
        ("../alert", {}, "template", "expected one of"),
        ("maintenance", {"system": "E", "start": "1"}, "variables.end", "missing: the template maintenance takes"),
        ("test", {"notes": "x"}, "variables.notes", "unknown: the template test takes note"),
        ("test", {"No te": "x"}, "variables", "names of lower-case letters"),
        ("test", {f"v{n}": 1 for n in range(51)}, "variables", "at most 50"),
        ("test", {"note": "x" * 2_001}, "variables.note", "at most 2000 characters"),
        ("test", {"note": "\x00"}, "variables.note", "without NUL"),
        ("test", {"note": ["x"]}, "variables.note", "a text, a number, true or false"),
        ("test", {"note": None}, "variables.note", "a text, a number, true or false"),
        ("test", {"note": 10**400}, "variables.note", "a number between"),
        ("test", {"note": float("nan")}, "variables.note", "a number between"),
        ("test", {"note": float("-inf")}, "variables.note", "a number between"),
    ],
)
def test_a_request_is_told_what_is_wrong(template: str, variables: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(TemplateError) as refused:
        render_named(template, variables, "en")
    assert refused.value.field == field
    assert told in refused.value.detail


@given(st.dictionaries(st.sampled_from(["note", "system"]), st.text() | st.integers() | st.floats() | st.booleans()))
def test_whatever_the_variables_only_template_errors_come_out(variables: dict[str, Any]) -> None:
    with contextlib.suppress(TemplateError):
        assert render_named("test", variables, "en")[1].startswith("This is a test")
