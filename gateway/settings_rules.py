"""Checks what [[rules]] promise: after the end of their alerts, to people whom no step tries; and that alarm lines have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.durations import contradictions, life_of
from gateway.escalation import DELIVERIES_MAX, OCCURRENCES_MAX
from gateway.reach import gaps
from gateway.settings import AlertSettings, DeliverySettings, RecipientSettings, RuleSettings
from gateway.settings_problems import Examination, shown

PHONE = "phone"
"""The `source` of rules for alarms that are raised on the telephone."""
LINE_LABEL = "line"
"""The one label that such an alarm has: the name of its line."""

NAMED_MAX = 5  # lines that other rules are for


def rule_for_line(rules: Sequence[RuleSettings], line: str) -> RuleSettings | None:
    """The rule that an alarm of this line is taken by: the first that matches."""
    return next((rule for rule in rules if rule.matches(PHONE, {LINE_LABEL: line})), None)


def check_rules(examination: Examination, raw: Mapping[str, Any]) -> Mapping[int, RuleSettings]:
    """Adds what is wrong with rules that are well formed, and gives these, by their place."""
    rules = _right_rules(examination, raw)
    delivery = raw.get("delivery", {})
    if examination.well_formed("delivery"):
        expiry = examination.validated(DeliverySettings, delivery, ("delivery",))
        for n, rule in rules.items():
            _check_promises(examination, n, rule, expiry or DeliverySettings())
    if len(rules) == len(_list(raw, "rules")) and examination.well_formed("rules"):
        _check_lines(examination, raw, list(rules.values()))
    if examination.well_formed("alerts"):
        limits = examination.validated(AlertSettings, raw.get("alerts", {}), ("alerts",)) or AlertSettings()
        for n, rule in rules.items():
            _check_size(examination, n, rule, limits.recipients_max)
    return rules


def _right_rules(examination: Examination, raw: Mapping[str, Any]) -> dict[int, RuleSettings]:
    found = {}
    for n, table in enumerate(_list(raw, "rules")):
        if isinstance(table, dict) and examination.well_formed("rules", n):
            rule = examination.validated(RuleSettings, table, ("rules", n))
            if rule is not None:
                found[n] = rule
    return found


def _check_promises(examination: Examination, n: int, rule: RuleSettings, delivery: DeliverySettings) -> None:
    asked = rule.acknowledgement
    for found in contradictions(
        [step.turn for step in rule.steps],
        lasts_s=rule.expires_after_s or delivery.expires_after_s.of(rule.priority),
        confirm_within_s=None if asked is None else asked.confirm_within_s,
        life=life_of(rule.priority, rule.expires_after_s),
    ):
        examination.add(("rules", n, *found.field), found.detail)
    for gap in gaps(rule.recipients, rule.steps):
        examination.add(("rules", n, *gap.field), gap.detail)


def _check_size(examination: Examination, n: int, rule: RuleSettings, recipients_max: int) -> None:
    """A rule that asks for more than one alert may is refused when its alarm comes."""
    for place, recipients in (
        (("recipients",), rule.recipients),
        *((("steps", m, "recipients"), step.recipients) for m, step in enumerate(rule.steps)),
    ):
        if len(recipients) > recipients_max:
            text = f"expected at most {recipients_max} recipients, as alerts.recipients_max says, these are {len(recipients)}"
            examination.add(("rules", n, *place), text)
    turns = sum(1 + step.repeat for step in rule.steps)
    if turns > OCCURRENCES_MAX:
        examination.add(
            ("rules", n, "steps"), f"expected at most {OCCURRENCES_MAX} steps, repeats included, these are {turns}"
        )
    tried = sum((1 + step.repeat) * _addresses_of(step.recipients or rule.recipients) for step in rule.steps)
    if tried > DELIVERIES_MAX:
        text = f"expected at most {DELIVERIES_MAX} deliveries, steps and repeats included, these are {tried}"
        examination.add(("rules", n, "steps"), text)


def _addresses_of(recipients: Sequence[RecipientSettings]) -> int:
    return sum(len(recipient.addresses) for recipient in recipients)


def _check_lines(examination: Examination, raw: Mapping[str, Any], rules: Sequence[RuleSettings]) -> None:
    """An alarm line without a rule tells whoever calls with a fire that the alarm could not be raised."""
    for n, line in enumerate(_list(raw, "lines")):
        name = line.get("name") if isinstance(line, dict) else None
        if not isinstance(name, str) or line.get("kind") != "alarm" or rule_for_line(rules, name) is not None:
            continue
        named = [
            test.equals
            for rule in rules
            if rule.source == PHONE
            for label, test in rule.match.items()
            if label == LINE_LABEL and test.equals
        ]
        there = f"; there are rules for {', '.join(shown(one) for one in named[:NAMED_MAX])}" if named else ""
        examination.add(
            ("lines", n, "name"),
            f'no rule raises the alarm of this line: expected [[rules]] with source = "{PHONE}" and'
            f" match = {{ {LINE_LABEL} = {shown(name)} }}{there}",
        )


def _list(raw: Mapping[str, Any], key: str) -> list[Any]:
    found = raw.get(key)
    return found if isinstance(found, list) else []
