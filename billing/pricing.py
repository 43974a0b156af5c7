"""How units and a tariff become the amounts to hold and to capture. Where the amounts go lives in `ledger`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from billing.money import MICROS_MAX, Micros
from billing.tariff import PRICE_MICROS_MAX, Tariff

UNITS_MAX: Final = MICROS_MAX // PRICE_MICROS_MAX
"""Most units of one delivery (a million). Far beyond any message; it keeps units × price within an amount."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettledUnits:
    """What became of the units of one delivery, over all its attempts, once none of them can change any more.

    Every unit of every attempt is counted in exactly one field, the one that says most about it:

    `delivered`  proven to have reached the recipient (a receipt, an answered call, a confirmed page).
    `failed`     taken by a provider, which said later that it will not reach the recipient.
    `accepted`   taken by a provider, and no final word since: it gives no receipts, or none came in time.
    `unknown`    may have left, and no answer says whether a provider took it.

    A unit that certainly did not leave, or that was refused when it was offered, is counted nowhere: it costs nothing.
    Raises ValueError for a negative count.
    """

    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    accepted: int = 0

    def __post_init__(self) -> None:
        if min(self.delivered, self.failed, self.unknown, self.accepted) < 0:
            raise ValueError(f"expected counts of units from 0 on, not {self}")


def hold_for(units: int, tariff: Tariff | None) -> Micros:
    """The micros to hold for one delivery of at most `units` units; 0 without a tariff.

    Which route is the dearest, and how many units are possible, is the caller's to know. Raises ValueError unless
    `units` is from 0 to `UNITS_MAX`.
    """
    if not 0 <= units <= UNITS_MAX:
        raise ValueError(f"expected from 0 to {UNITS_MAX} units, not {units}")
    return 0 if tariff is None else units * tariff.price_micros


def charge_for(tariff: Tariff | None, settled: SettledUnits) -> Micros:
    """The micros that the settled units come to under `tariff` (the version frozen at the hold), whatever was held.

    It can exceed the hold, for instance when a second provider took what a first had taken already; `ledger.settle`
    takes it as it is, captures what the hold covers and tells how much we absorb.
    """
    return 0 if tariff is None else _charged_units(tariff, settled) * tariff.price_micros


def _charged_units(tariff: Tariff, settled: SettledUnits) -> int:
    if tariff.charged_on == "accepted":
        known, unknown = settled.delivered + settled.failed + settled.accepted, settled.unknown
    else:
        # A unit that was taken and never reported on has an unknown end here: the delivery is what is asked for.
        known, unknown = settled.delivered, settled.accepted + settled.unknown
    return known + (unknown if tariff.unknown_end == "capture" else 0)
