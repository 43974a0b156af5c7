"""What one unit costs, by channel and address prefix. How units become an amount lives in `pricing`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from billing.money import MICROS_PER_UNIT, Micros, format_amount

ChargedOn: TypeAlias = Literal["accepted", "delivered"]
UnknownEnd: TypeAlias = Literal["capture", "release"]

PRICE_MICROS_MAX: Final = 10**6 * MICROS_PER_UNIT
"""Dearest price of one unit. Times `pricing.UNITS_MAX` it is still an amount (`money.MICROS_MAX`)."""
PREFIX_CHARS_MAX: Final = 256
"""Longest prefix: as long as an e-mail address can be (RFC 5321 4.5.3.1.3), the longest that is charged by prefix."""


class TariffError(ValueError):
    """The tariff, or the set of tariffs, makes no sense. The text says what was expected."""


def usual_unknown_end(channel: str) -> UnknownEnd:
    """What is asked for where nobody says: what may have left is charged. But of a call that broke off on our side nobody
    knows that it was answered, and what is held for it are the minutes of the longest one."""
    return "release" if channel == "voice" else "capture"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tariff:
    """One version of the price of a unit (an SMS part, a page, a started minute). A changed price is a new version.

    `channel`       the channel's stored name: ``sms``.
    `prefix`        how the canonical address begins, without ``channel:``; ``""`` is any address of the channel.
    `price_micros`  micros for one unit; 0 is a price, and means free.
    `charged_on`    ``accepted``: every unit that a provider took is charged, whatever became of it; ``delivered``: only
                    units that are proven to have reached the recipient.
    `unknown_end`   what a unit costs when the fact that `charged_on` asks for will never be known: ``capture`` charges
                    it, ``release`` gives it back. Under ``accepted`` these are units that may have left and were never
                    answered (unsure at the deadline); under ``delivered`` also units that a provider took and for which
                    no receipt came (expired without a receipt, or a provider that gives none).

    `removed`       from this version on there is no price; holds of older versions keep theirs.

    Raises TariffError.
    """

    id: int
    channel: str
    prefix: str
    price_micros: Micros
    charged_on: ChargedOn = "accepted"
    unknown_end: UnknownEnd = "capture"
    version: int = 1
    removed: bool = False

    def __post_init__(self) -> None:
        if not self.channel:
            raise TariffError("expected the name of a channel, such as sms")
        if len(self.prefix) > PREFIX_CHARS_MAX:
            raise TariffError(f"expected a prefix of at most {PREFIX_CHARS_MAX} characters")
        if not 0 <= self.price_micros <= PRICE_MICROS_MAX:
            raise TariffError(
                f"expected a price from 0 to {format_amount(PRICE_MICROS_MAX)}, not {format_amount(self.price_micros)}"
            )
        if self.charged_on not in get_args(ChargedOn):
            raise TariffError(f"expected charged_on to be one of {get_args(ChargedOn)}, not {self.charged_on!r}")
        if self.unknown_end not in get_args(UnknownEnd):
            raise TariffError(f"expected unknown_end to be one of {get_args(UnknownEnd)}, not {self.unknown_end!r}")
        if self.version < 1:
            raise TariffError(f"expected a version from 1 on, not {self.version}")


class TariffTable:
    """The tariffs in force, ready to be asked. Immutable; a change of tariffs makes a new table.

    Built from the latest version of each tariff. Raises TariffError when two have the same channel and prefix: which of
    them counts would be a matter of luck.
    """

    __slots__ = ("_by_prefix", "_lengths")

    def __init__(self, latest: Iterable[Tariff]) -> None:
        by_prefix: dict[tuple[str, str], Tariff] = {}
        lengths: dict[str, set[int]] = {}
        for tariff in latest:
            if tariff.removed:
                continue
            key = (tariff.channel, tariff.prefix)
            if key in by_prefix:
                raise TariffError(
                    f"expected one tariff for {tariff.channel}:{tariff.prefix}, not both "
                    f"{by_prefix[key].id} (version {by_prefix[key].version}) and {tariff.id} (version {tariff.version})"
                )
            by_prefix[key] = tariff
            lengths.setdefault(tariff.channel, set()).add(len(tariff.prefix))
        self._by_prefix = by_prefix
        self._lengths = {channel: tuple(sorted(found, reverse=True)) for channel, found in lengths.items()}

    def price_for(self, channel: str, address: str) -> Tariff | None:
        """The tariff with the longest prefix that `address` (canonical, without ``channel:``) begins with.

        None when no tariff is set for it: then it is free. Takes one look-up for each prefix length in use.
        """
        for length in self._lengths.get(channel, ()):
            tariff = self._by_prefix.get((channel, address[:length]))
            if tariff is not None:
                return tariff
        return None
