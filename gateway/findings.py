"""What an audit of the ledger can find: one value a damage, its kind, and what to do about that kind. Nothing is looked for here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from types import MappingProxyType
from typing import Final

PROBLEMS_MAX: Final = 100  # of one check that are named: whoever reads them starts with the first


class FindingKind(StrEnum):
    """What kind of damage it is. The values are shown and stay."""

    FILE = "file"
    SCHEMA = "schema"
    GUARD = "guard"
    RULE = "rule"
    REFERENCE = "reference"
    ACCOUNT = "account"
    BALANCE = "balance"
    ENTRY = "entry"
    CAUSE = "cause"
    TAKEN_BACK = "taken_back"
    HOLD = "hold"
    SETTLEMENT = "settlement"
    DELIVERY = "delivery"
    ALERT = "alert"
    TARIFF = "tariff"


_RESTORE: Final = "put the last backup in its place that verifies, and enter again what came since"
TO_DO: Final = MappingProxyType(
    {
        FindingKind.FILE: "stop Tocsin, keep this file, look at the disk; put the last backup in its place that verifies",
        FindingKind.SCHEMA: "this is not the whole database of Tocsin: look at store.url; else restore a backup",
        FindingKind.GUARD: "somebody dropped or replaced it, and hands could write since: look at everything else that is named here, "
        "restore a backup, or copy the rows into a database that `tocsin migrate` made",
        FindingKind.RULE: f"the row was written with checks turned off: {_RESTORE}",
        FindingKind.REFERENCE: f"what the row names was removed, or never was: {_RESTORE}",
        FindingKind.ACCOUNT: f"the account cannot be reckoned with: {_RESTORE}",
        FindingKind.BALANCE: "entries are the truth: find who changed the balance or removed an entry; " + _RESTORE,
        FindingKind.ENTRY: f"no command writes such an entry: {_RESTORE}",
        FindingKind.CAUSE: "nothing that Tocsin did led to this entry: find who wrote it; a capture is refunded "
        "(`tocsin accounts refund`), the rest needs a backup",
        FindingKind.TAKEN_BACK: "the account has more or less than it paid for: correct it by a top-up or a reversal with a "
        "reason, or restore a backup",
        FindingKind.HOLD: "credit is held that nothing will settle, or less than will be settled: " + _RESTORE,
        FindingKind.SETTLEMENT: "the delivery and its entries tell two stories: believe the entries; refund what was charged wrongly",
        FindingKind.DELIVERY: "the delivery was changed by hand: look at its timeline, refund what was charged wrongly",
        FindingKind.ALERT: "the alert and its deliveries do not account for what was held: look at its timeline",
        FindingKind.TARIFF: "prices of the past cannot be told any more: set the price anew; a backup tells the old ones",
    }
)
"""What to do, by kind: one sentence for whoever is on duty."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One damage: its kind, which row it is about, and what is wrong with it."""

    kind: FindingKind
    row: str
    text: str

    def __str__(self) -> str:
        """One line, whatever a hand wrote into the row."""
        return "".join(sign if sign.isprintable() else "�" for sign in f"{self.row}: {self.text}")

    @property
    def to_do(self) -> str:
        """What to do about it."""
        return TO_DO[self.kind]


def named(found: Iterable[Finding]) -> Iterator[Finding]:
    """The first of what one check found; one more says that there are others."""
    found = iter(found)
    yield from islice(found, PROBLEMS_MAX)
    more = next(found, None)
    if more is not None:
        yield Finding(more.kind, "and more", f"only the first {PROBLEMS_MAX} of this kind are named")
