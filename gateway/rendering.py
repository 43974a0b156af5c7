"""What an alert says: its text by channel and language, and the texts that requests ask for by a template's name."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, tzinfo
from functools import lru_cache

from gateway.alert import Alert
from gateway.attempts import Claim
from gateway.clock import local_time
from templates.catalog import SUBJECT, TEXT, Catalog
from templates.limits import NUMBER_MAX, VARIABLE_CHARS_MAX, VARIABLES_MAX
from templates.render import Template, TemplateError

__all__ = ["TemplateError", "named_templates", "render_alertmanager", "render_named", "rendered", "text_for"]

ALERT = "alert"
ALERTMANAGER = "alertmanager"
OF_OURS = frozenset({ALERT, ALERTMANAGER})
"""Templates whose variables only the gateway has; no request can name them."""

KEPT_CHARS_MAX = 4_000_000
"""Characters of rendered texts that are kept: the e-mails of a broadcast are rendered once, not 10,000 times."""
TEMPLATES_KEPT = 512
"""(channel, language) pairs whose template is remembered; languages come from requests, so they need a bound."""
HEADLINE_CHARS_MAX = 78
"""Characters of a subject made from a text: what fits one line of a header (RFC 5322, 2.1.1)."""

Rendering = tuple[str, str]
"""(subject, text)"""
Value = str | int | float | bool
"""What a request can give to a template."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_CATALOG = Catalog()


# --- an alert on a channel -------------------------------------------------------------------------------------------


def rendered(claim: Claim, channel: str, zone: tzinfo = UTC) -> Rendering:
    """(subject, text) of one attempt's message, in the language of its delivery. Raises TemplateError.

    An alert changes what it says only when others join it, so what took work is kept. Called from one thread only, the event loop's.
    """
    alert = claim.alert
    language = claim.delivery.language or alert.language
    if _verbatim(alert, channel, language):
        return alert.subject, alert.text
    return _KEPT.get(alert, channel, language, zone)


def text_for(alert: Alert, channel: str, language: str, zone: tzinfo = UTC) -> Rendering:
    """(subject, text) that the alert says on a channel in a language, times in a zone; pure, so that what is priced is what is sent.

    An exercise says so first, a sensitive alert only asks to call in. Raises TemplateError.
    """
    if _verbatim(alert, channel, language):
        return alert.subject, alert.text
    values: dict[str, object] = {
        "exercise": alert.exercise,
        "sensitive": alert.sensitive,
        "subject": alert.subject,
        "headline": headline(alert.text),
        "text": alert.text,
        "id": alert.id,
        "reference": alert.reference or "",
        "priority": alert.priority.name.lower(),
        "source": alert.source,
        "time": local_time(alert.created_at, zone),
    }
    template, subject = _alert_templates(channel, language)
    return subject.render(values), template.render(values)


def _verbatim(alert: Alert, channel: str, language: str) -> bool:
    """Whether the template would give the alert's own text unchanged. A test holds this and the templates together."""
    return not alert.exercise and not alert.sensitive and _alert_templates(channel, language)[0].channel == TEXT


@lru_cache(maxsize=TEMPLATES_KEPT)
def _alert_templates(channel: str, language: str) -> tuple[Template, Template]:
    return _own(ALERT, language, channel), _own(ALERT, language, SUBJECT)


def _own(name: str, language: str, channel: str) -> Template:
    template = _CATALOG.find(name, language, channel)
    assert template is not None, f"the catalog comes with {name}.{channel} in English"
    return template


def headline(text: str) -> str:
    """The first line that says something, on one line, cut to HEADLINE_CHARS_MAX."""
    lines = (on_one_line(line) for line in text.splitlines())
    return shortened(next((line for line in lines if line), ""), HEADLINE_CHARS_MAX)


def on_one_line(text: str) -> str:
    """The text without control characters, every run of white space one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shortened(text: str, chars_max: int) -> str:
    """The text, or its beginning and three dots; not the one character for them, which would make an SMS UCS-2."""
    return text if len(text) <= chars_max else text[: chars_max - 3].rstrip() + "..."


class _Kept:
    """The renderings used last, up to KEPT_CHARS_MAX in all."""

    def __init__(self) -> None:
        self._renderings: OrderedDict[tuple[str, ...], Rendering] = OrderedDict()
        self._chars = 0

    def get(self, alert: Alert, channel: str, language: str, zone: tzinfo) -> Rendering:
        key = (alert.id, str(alert.retold_at), channel, language)
        kept = self._renderings.get(key)
        if kept is not None:
            self._renderings.move_to_end(key)
            return kept
        rendering = text_for(alert, channel, language, zone)
        self._renderings[key] = rendering
        self._chars += _chars(key, rendering)
        while self._chars > KEPT_CHARS_MAX:
            self._chars -= _chars(*self._renderings.popitem(last=False))
        return rendering


def _chars(key: tuple[str, ...], rendering: Rendering) -> int:
    return sum(map(len, key)) + sum(map(len, rendering))


_KEPT = _Kept()


# --- texts by name ---------------------------------------------------------------------------------------------------


def named_templates() -> tuple[str, ...]:
    """The names that requests can use."""
    return tuple(name for name in _CATALOG.names if name not in OF_OURS)


def render_named(template: str, variables: Mapping[str, Value], language: str) -> Rendering:
    """(subject, text) of the template that a request names; the subject is empty where the template has none.

    Raises TemplateError naming the field: ``template`` (unknown), ``variables`` (too many) or ``variables.NAME``
    (missing, unknown, of the wrong type, too long).
    """
    found = None if template in OF_OURS else _CATALOG.find(template, language)
    if found is None:
        raise TemplateError("template", f"expected one of {', '.join(named_templates())}")
    subject = _CATALOG.find(template, found.language, SUBJECT)
    takes = found.variables | (subject.variables if subject is not None else frozenset())
    _check_variables(template, takes, variables)
    text = found.render(variables).strip()
    if not text:
        raise TemplateError("variables", f"the template {template} says nothing with these")
    return "" if subject is None else headline(subject.render(variables)), text


def _check_variables(template: str, takes: frozenset[str], variables: Mapping[str, Value]) -> None:
    if len(variables) > VARIABLES_MAX:
        raise TemplateError("variables", f"expected at most {VARIABLES_MAX}")
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise TemplateError("variables", "expected names of lower-case letters, digits and underscores, at most 64")
        field = f"variables.{name}"
        if name not in takes:
            raise TemplateError(field, f"unknown: the template {template} takes {', '.join(sorted(takes)) or 'none'}")
        wrong = _wrong(value)
        if wrong:
            raise TemplateError(field, wrong)


def _wrong(value: object) -> str:
    """What was expected instead of the value; empty where it is right."""
    match value:
        case str() if len(value) > VARIABLE_CHARS_MAX:
            return f"expected at most {VARIABLE_CHARS_MAX} characters"
        case str() if "\x00" in value:
            return "expected a text without NUL"
        case int() | float() if not abs(value) <= NUMBER_MAX:  # not a number is not smaller either
            return f"expected a number between -{NUMBER_MAX} and {NUMBER_MAX}"
        case str() | int() | float():
            return ""
    return "expected a text, a number, true or false"


def render_alertmanager(values: Mapping[str, object], language: str) -> Rendering:
    """(subject, text) of an Alertmanager group, from the values that `gateway.alertmanager` takes from it."""
    subject = _own(ALERTMANAGER, language, SUBJECT).render(values)
    return headline(subject), _own(ALERTMANAGER, language, TEXT).render(values).strip()
