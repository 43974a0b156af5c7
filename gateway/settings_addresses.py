"""Judges every address in the settings as one in a request is judged: read, allowed, carried by a route; and one person's.

Raw tables are read, so that one wrong key does not hide what is wrong elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from channels.channel import Channel
from gateway.addressing import Addresses, AddressRefused
from gateway.escalation import Occurrence, Recipient, deciding
from gateway.namesakes import Namesakes
from gateway.settings import Provider, RecipientSettings, RuleSettings, Settings
from gateway.settings_location import KeyPath
from gateway.settings_problems import Examination
from gateway.settings_references import addresses_in, tables_in
from gateway.settings_speech import SpeechSettings

ChannelOf = Callable[[Provider, SpeechSettings], Channel]
"""Builds the channel of a provider, to read addresses as it does. Nothing is opened."""


def check_addresses(
    examination: Examination,
    raw: Mapping[str, Any],
    tables: Sequence[Mapping[str, Any]],
    providers: Mapping[int, Provider],
    rules: Mapping[int, RuleSettings],
    channel_of: ChannelOf,
) -> None:
    """Adds every address at which nobody could be reached, and people who share one. `providers` are the right ones of `tables`."""
    written = [(path, address) for path, address in addresses_in(raw) if examination.well_formed(*path)]
    served = {table.get("channel") for table in tables}
    judged = [channel for channel in sorted({_channel(address) for _, address in written}) if channel in served]
    wanting = [channel for channel in judged if not _rests_on_right(examination, raw, tables, channel)]
    if wanting:
        examination.unexamined.append(
            f"addresses of the channel {' and '.join(wanting)}: first put right their [[providers]], [[routes]] and [destinations]"
        )
    judged = [channel for channel in judged if channel not in wanting]
    canonical = _reader(examination, raw, providers, judged, channel_of)
    owners: dict[str, tuple[int, str]] = {}
    for path, address in written:
        if _channel(address) not in judged:
            continue
        try:
            stored = canonical(address)
        except AddressRefused as refused:
            told = str(refused)
            examination.add(path, told if _value(address) in told else f"{address}: {told}")
            continue
        if path[0] == "people":
            _check_owner(examination, raw, owners, path, address, stored)
    names = {stored: name for stored, (_, name) in owners.items()}
    for n, rule in rules.items():
        if examination.right("rules", n) and not wanting:
            _check_quorum(examination, n, rule, canonical, names)


def _check_owner(
    examination: Examination,
    raw: Mapping[str, Any],
    owners: dict[str, tuple[int, str]],
    path: KeyPath,
    address: str,
    stored: str,
) -> None:
    """A key that is pressed at an address that two people have would count as that of either."""
    n = path[1]
    assert isinstance(n, int)
    name = str(raw["people"][n].get("name", ""))
    first, called = owners.setdefault(stored, (n, name))
    if first != n:
        text = f"{name} has the address {address}, and people[{first}], {called}, has it already"
        examination.add(path, text)


def _check_quorum(
    examination: Examination, n: int, rule: RuleSettings, canonical: Callable[[str], str], names: Mapping[str, str]
) -> None:
    """Says where a rule asks for more people than it reaches: its alerts then ask for as many as there are."""
    quorum = 0 if rule.acknowledgement is None else rule.acknowledgement.quorum or 0
    namesakes = Namesakes()

    def called(recipients: Sequence[RecipientSettings]) -> tuple[Recipient, ...]:
        found = []
        for one in recipients:
            addresses = tuple(canonical(address) for address in one.addresses)
            found.append(Recipient(person=one.name or addresses[0], language=one.language, addresses=addresses))
        return namesakes.told_apart(found)

    if not quorum:
        return
    recipients = called(rule.recipients)
    steps = [
        Occurrence(
            after_s=step.after_s,
            channels=step.channels,
            recipients=called(step.recipients) if step.recipients else None,
        )
        for step in rule.steps
    ]
    people = len(deciding(steps or [Occurrence(after_s=0)], recipients, names))
    if people < quorum:
        text = f"expected at most {people}, the people whom this rule reaches: its alerts will wait for all of them"
        examination.warn(("rules", n, "acknowledgement", "quorum"), text)


def _reader(
    examination: Examination,
    raw: Mapping[str, Any],
    providers: Mapping[int, Provider],
    judged: Sequence[str],
    channel_of: ChannelOf,
) -> Callable[[str], str]:
    """Gives the form in which an address is stored. Raises AddressRefused."""
    right = {key: raw[key] for key in ("routes", "destinations", "speech") if key in raw and examination.right(key)}
    draft = examination.validated(Settings, right, ()) or Settings()
    draft = draft.model_copy(update={"providers": tuple(providers.values())})
    channels = {
        provider.name: channel_of(provider, draft.speech)
        for provider in providers.values()
        if provider.channel in judged
    }
    return Addresses(channels=channels, routes=draft.routing, destinations=draft.destination_policies).canonical


def _rests_on_right(
    examination: Examination, raw: Mapping[str, Any], tables: Sequence[Mapping[str, Any]], channel: str
) -> bool:
    """Whether what an address of the channel is judged by is right: else the verdict would be about that."""
    return (
        examination.right("destinations")
        and all(examination.right("providers", n) for n, one in enumerate(tables) if one.get("channel") == channel)
        and all(examination.right(*path) for path, route in tables_in(raw, "routes") if route.get("channel") == channel)
    )


def _value(address: str) -> str:
    return address.partition(":")[2]


def _channel(address: str) -> str:
    return address.partition(":")[0]
