"""Gives the channels that talk with people somebody to ask: one attendant for each, who share what is known about guesses."""

from __future__ import annotations

import structlog

from channels.conversation import Conversing
from gateway.attendant import People, PhoneAttendant
from gateway.broker import Broker
from gateway.lines import Lines
from gateway.phone_alarms import PhoneAlarms
from gateway.pins import Guesses
from gateway.planning import AddressRefused
from gateway.rules import unreachable
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
    alarms = PhoneAlarms(broker, Submissions(broker))
    people = People(broker.settings.people, canonical)
    broker.names = people.names
    lines = Lines(broker.settings.lines, anybody=bool(people.everybody))
    guesses = Guesses()
    for line in broker.settings.lines:
        if line.kind == "alarm" and alarms.rule_for(line) is None:
            log.error("line_without_rule", line=line.name)
    for told in unreachable(broker.settings.rules, broker.planner):
        log.warning("rule_reaches_nobody", detail=told)
    for provider, channel in broker.channels.items():
        if isinstance(channel, Conversing):
            channel.attend(
                PhoneAttendant(
                    store=broker.store,
                    journal=broker.journal,
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
