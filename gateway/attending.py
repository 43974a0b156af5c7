"""Gives the channels that talk with people somebody to ask: one attendant for each, who share what is known about guesses."""

from __future__ import annotations

from channels.conversation import Conversing
from gateway.attendant import People, PhoneAttendant
from gateway.broker import Broker
from gateway.held import Keys
from gateway.lines import Lines
from gateway.phone_alarms import PhoneAlarms
from gateway.pins import Guesses
from gateway.submission import Submissions


def attend(broker: Broker) -> None:
    """Hands an attendant to every channel that wants one."""
    submissions = Submissions(broker)
    alarms = PhoneAlarms(broker, submissions)
    people = People(broker.settings.people, broker.planner.canonical)
    broker.names = people.names
    lines = Lines(broker.settings.lines, anybody=bool(people.everybody))
    guesses, keys = Guesses(), Keys(broker.journal, broker.clock)
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
