"""Gives the channels that talk with people somebody to ask: one attendant for each, who share what is known about guesses."""

from __future__ import annotations

import structlog

from channels.conversation import Conversing
from gateway.addressing import AddressRefused
from gateway.attendant import People, PhoneAttendant
from gateway.broker import Broker
from gateway.held import Keys
from gateway.lines import Lines
from gateway.phone_alarms import PhoneAlarms
from gateway.pins import Guesses
from gateway.planning import Planner
from gateway.rules import NotTaken, request_of, unreachable
from gateway.settings import RuleSettings
from gateway.settings_people import check_people
from gateway.submission import Submissions

log = structlog.get_logger(__name__)


def attend(broker: Broker) -> None:
    """Hands an attendant to every channel that wants one; says what in the rules reaches nobody. Raises SettingsError where two
    people have one address."""

    def canonical(address: str) -> str:
        try:
            return broker.planner.canonical(address)
        except AddressRefused as refused:
            log.warning("person_not_reachable", address=address, error=str(refused))
            return address

    check_people("the settings", broker.settings.people, canonical)
    submissions = Submissions(broker)
    alarms = PhoneAlarms(broker, submissions)
    people = People(broker.settings.people, canonical)
    broker.names = people.names
    lines = Lines(broker.settings.lines, anybody=bool(people.everybody))
    guesses, keys = Guesses(), Keys(broker.journal, broker.clock)
    for line in broker.settings.lines:
        if line.kind == "alarm" and alarms.rule_for(line) is None:
            log.error("line_without_rule", line=line.name)
    for told in unreachable(broker.settings.rules, broker.planner):
        log.warning("rule_reaches_nobody", detail=told)
    for rule in broker.settings.rules:
        _check_quorum(rule, broker.planner, submissions)
    for provider, channel in broker.channels.items():
        if isinstance(channel, Conversing):
            channel.attend(
                PhoneAttendant(
                    store=broker.store,
                    keys=keys,
                    clock=broker.clock,
                    people=people,
                    lines=lines,
                    alarms=alarms,
                    guesses=guesses,
                    channel=channel.name,
                ),
                alive=broker.breakers[provider].alive,
                joined=broker.dispatchers[provider].joined,
            )


def _check_quorum(rule: RuleSettings, planner: Planner, submissions: Submissions) -> None:
    """Says where a rule asks for more people than it reaches: its alerts then ask for as many as there are."""
    if rule.acknowledgement is None or rule.acknowledgement.quorum is None:
        return
    try:
        people = submissions.able(request_of(rule, planner)[0])
    except NotTaken:
        return  # that it reaches nobody is told already
    if people < rule.acknowledgement.quorum:
        log.error("rule_quorum_too_high", rule=rule.name, quorum=rule.acknowledgement.quorum, people=people)
