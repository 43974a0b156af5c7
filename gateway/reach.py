"""Whether the steps of one alert try everybody who is named: a step that tries nobody, a recipient whom no step tries. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from gateway.durations import Contradiction
from gateway.identity import folded


class Named(Protocol):
    """A recipient as it was written."""

    @property
    def name(self) -> str: ...
    @property
    def addresses(self) -> Sequence[str]: ...


class Trying(Protocol):
    """A step as it was written: no channels are all, no recipients are the alert's own."""

    @property
    def channels(self) -> Sequence[str]: ...
    @property
    def recipients(self) -> Sequence[Named] | None: ...


def gaps(
    recipients: Sequence[Named], steps: Sequence[Trying], *, read: Callable[[str], str] = str
) -> Iterator[Contradiction]:
    """The steps that try nobody, and the recipients whom no step tries. Without steps everybody is tried.

    A recipient is tried where one of the addresses is, or somebody of the same name: a step may name other addresses of theirs.
    `read` gives an address in the form in which it is compared.
    """
    if not steps:
        return
    addresses: set[str] = set()
    all_tried: list[Named] = []
    for n, step in enumerate(steps):
        own = step.recipients or recipients
        tried = [recipient for recipient in own if any(_tried(step, address) for address in recipient.addresses)]
        if not tried:
            have = ", ".join(sorted({_channel(address) for recipient in own for address in recipient.addresses}))
            detail = f"expected a channel on which somebody of this step has an address ({have}): it would try nobody"
            yield Contradiction(field=("steps", n, "channels"), code="nobody_to_reach", detail=detail)
        all_tried += tried
        addresses.update(map(read, _on_channels(step, tried)))
    left = [n for n, recipient in enumerate(recipients) if addresses.isdisjoint(map(read, recipient.addresses))]
    names = {folded(recipient.name) for recipient in all_tried} - {""} if left else set()
    for n in left:
        if folded(recipients[n].name) not in names:
            detail = (
                "expected a step that tries this recipient: those that name recipients of their own try these alone,"
                " and the others have no channel of theirs"
            )
            yield Contradiction(field=("recipients", n), code="never_tried", detail=detail)


def _on_channels(step: Trying, recipients: Iterable[Named]) -> Iterator[str]:
    return (address for recipient in recipients for address in recipient.addresses if _tried(step, address))


def _tried(step: Trying, address: str) -> bool:
    return not step.channels or _channel(address) in step.channels


def _channel(address: str) -> str:
    return address.partition(":")[0]
