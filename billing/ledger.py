"""The double-entry ledger: balances, entries and the six movements, as pure functions. Nothing is stored here.

**The sign rule.** An entry is one row with a debit and a credit: its amount leaves the ledger account named `debit`
and arrives at the one named `credit`. What stands in a ledger account is what arrived less what left, so that the sum
over all of them is zero by construction, whatever the entries. Prepaid and held are what we owe to the account (below
zero: its debt to us), revenue is what it paid for, top-ups stand below zero by all the money that ever came in.

Each account has its own four ledger accounts, in its one currency: no sum ever mixes currencies. What a provider
charges beyond a hold is ours and moves nothing of the account's, so it is told (`settle`) and is no entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from billing.money import MICROS_MAX, AmountError, Micros, format_amount

CAUSE_TOPUP: Final = "topup"
"""The cause is a top-up, named by its reference, which is unique within the account."""
CAUSE_DELIVERY: Final = "delivery"
"""The cause is a delivery, named by its id."""
CAUSE_ALERT: Final = "alert"
"""The cause is an alert, named by its id: the one hold of a broadcast, which its deliveries settle share by share."""
CAUSE_REFUND: Final = "refund"
"""The cause is somebody's decision to refund one capture, named by the id of that decision."""
CAUSE_REVERSAL: Final = "reversal"
"""The cause is somebody's decision to take back one top-up, named by the id of that decision."""


class EntryKind(StrEnum):
    """What an entry does. The values are stored and shown, and never renamed."""

    TOPUP = "topup"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"
    REVERSAL = "reversal"


REVERSING: Final = MappingProxyType({EntryKind.REFUND: EntryKind.CAPTURE, EntryKind.REVERSAL: EntryKind.TOPUP})
"""Which kind of entry takes back which: each of them once, and whole."""
FLOWS: Final = MappingProxyType(
    {
        EntryKind.TOPUP: ("topups", "prepaid"),
        EntryKind.HOLD: ("prepaid", "held"),
        EntryKind.CAPTURE: ("held", "revenue"),
        EntryKind.RELEASE: ("held", "prepaid"),
        EntryKind.REFUND: ("revenue", "prepaid"),
        EntryKind.REVERSAL: ("prepaid", "topups"),
    }
)
"""From where to where each kind of entry moves its amount, (debit, credit). The schema repeats this table."""


def prepaid(account: str) -> str:
    """The ledger account of what `account` is free to use."""
    return f"prepaid:{account}"


def held(account: str) -> str:
    """The ledger account of what is set aside for deliveries under way."""
    return f"held:{account}"


def revenue(account: str) -> str:
    """The ledger account of what `account` paid for."""
    return f"revenue:{account}"


def topups(account: str) -> str:
    """The ledger account where money comes in from outside."""
    return f"topups:{account}"


class LedgerError(ValueError):
    """A movement that would break the ledger was asked for: a fault of ours, never of the account's."""


class InsufficientCredit(Exception):  # noqa: N818 - it is a verdict and keeps the name of its problem and its code
    """The account cannot pay for the hold.

    `required_micros` is what was asked for, `available_micros` what could have been held: the prepaid balance, or for
    an emergency its distance from the floor. It is below zero where the account is beyond that already.
    """

    def __init__(self, required_micros: Micros, available_micros: Micros) -> None:
        super().__init__(required_micros, available_micros)
        self.required_micros = required_micros
        self.available_micros = available_micros

    def __str__(self) -> str:
        return f"{format_amount(self.required_micros)} required, {format_amount(self.available_micros)} available"


class TransferKey(NamedTuple):
    """What makes a transfer the same one. The database keeps it unique, so that nothing happens twice.

    The account belongs to it because references of top-ups are the account's own: two may both have an ``INV-1``.
    """

    account: str
    cause_type: str
    cause_id: str
    kind: EntryKind


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One immutable movement of `amount_micros` (above 0) from `debit` to `credit`; see the sign rule above.

    `reverses` is the stored id of the entry that a refund or a reversal takes back, unique in the database; None for other kinds.
    Raises LedgerError when kind and ledger accounts do not go together.
    """

    kind: EntryKind
    cause_type: str
    cause_id: str
    debit: str
    credit: str
    amount_micros: Micros
    reverses: str | None = None

    def __post_init__(self) -> None:
        if self.amount_micros <= 0:
            raise LedgerError(f"expected an amount above 0, not {self.amount_micros} micros")
        source, target = FLOWS[self.kind]
        if self.debit != f"{source}:{self.account}" or self.credit != f"{target}:{self.account}":
            raise LedgerError(f"a {self.kind} goes from {source} to {target}, not from {self.debit} to {self.credit}")
        if (self.reverses is not None) != (self.kind in REVERSING):
            raise LedgerError("a refund and a reversal reverse an entry, and nothing else does")

    @property
    def account(self) -> str:
        """The account whose ledger accounts the entry moves between."""
        return self.credit.partition(":")[2]

    @property
    def key(self) -> TransferKey:
        """What the database keeps unique."""
        return TransferKey(self.account, self.cause_type, self.cause_id, self.kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """The net of an account's entries, as one row: what it is free to use and what is held.

    `prepaid_micros`  free to use; below zero is debt.
    `held_micros`     set aside for deliveries under way, never below zero.
    `floor_micros`    how far an emergency may take `prepaid_micros` down (0 or below); None sets no floor, and then
                      only the largest amount there is (`money.MICROS_MAX`) ends it.

    Raises LedgerError.
    """

    account: str
    currency: str
    prepaid_micros: Micros
    held_micros: Micros
    floor_micros: Micros | None = None

    def __post_init__(self) -> None:
        if self.held_micros < 0:
            raise LedgerError(f"account {self.account}: held would be {self.held_micros} micros, below zero")
        if self.floor_micros is not None and self.floor_micros > 0:
            raise LedgerError(f"account {self.account}: expected a floor of 0 or below, not {self.floor_micros} micros")


def topup(balance: Balance, *, amount_micros: Micros, reference: str) -> tuple[Balance, tuple[Entry, ...]]:
    """Adds `amount_micros` to what the account is free to use; `reference` names the payment, once within the account.

    Raises AmountError unless the amount is above 0 and what the account owns stays within `money.MICROS_MAX`.
    """
    if amount_micros <= 0:
        raise AmountError(f"expected a top-up above 0, not {format_amount(amount_micros)}")
    grown = _grown(balance, amount_micros)
    return grown, (_entry(EntryKind.TOPUP, balance.account, CAUSE_TOPUP, reference, amount_micros),)


def hold(
    balance: Balance, *, cause_id: str, amount_micros: Micros, may_go_negative: bool, cause_type: str = CAUSE_DELIVERY
) -> tuple[Balance, tuple[Entry, ...]]:
    """Sets `amount_micros` aside; nothing to hold makes no entry and always succeeds, also in debt.

    Exact: it succeeds if and only if what is free to use stays at or above zero, or with `may_go_negative`
    (emergencies) at or above the floor. The cause is the delivery, or with `CAUSE_ALERT` a broadcast as a whole.
    Raises InsufficientCredit, and LedgerError for a negative amount.
    """
    if amount_micros < 0:
        raise LedgerError(f"expected a hold of 0 or more, not {amount_micros} micros")
    if amount_micros == 0:
        return balance, ()
    available_micros = balance.prepaid_micros - _limit(balance, may_go_negative)
    if amount_micros > available_micros:
        raise InsufficientCredit(amount_micros, available_micros)
    return (
        _moved(balance, to_prepaid_micros=-amount_micros, to_held_micros=amount_micros),
        (_entry(EntryKind.HOLD, balance.account, cause_type, cause_id, amount_micros),),
    )


def settle(
    balance: Balance, *, delivery_id: str, hold_micros: Micros, capture_micros: Micros
) -> tuple[Balance, tuple[Entry, ...], Micros]:
    """Ends a delivery's hold: one capture of at most the hold, then one release of the rest; no entry for a zero.

    `capture_micros` may exceed `hold_micros`; the third value is that excess, which we absorb and the account never
    pays. The keys refuse the same settlement twice, but not a second one of other kinds (first all released, then all
    captured): whoever stores it marks the delivery's hold as settled in the same transaction, if it was not.
    Raises LedgerError for negative amounts and for a hold that exceeds what the account has held.
    """
    if hold_micros < 0 or capture_micros < 0:
        raise LedgerError(f"expected amounts of 0 or more, not hold {hold_micros} and capture {capture_micros} micros")
    captured_micros = min(capture_micros, hold_micros)
    released_micros = hold_micros - captured_micros
    entries = tuple(
        _entry(kind, balance.account, CAUSE_DELIVERY, delivery_id, amount_micros)
        for kind, amount_micros in ((EntryKind.CAPTURE, captured_micros), (EntryKind.RELEASE, released_micros))
        if amount_micros
    )
    settled = (
        _moved(balance, to_prepaid_micros=released_micros, to_held_micros=-hold_micros) if hold_micros else balance
    )
    return settled, entries, capture_micros - captured_micros


def refund(balance: Balance, *, entry: Entry, entry_id: str, reason_id: str) -> tuple[Balance, tuple[Entry, ...]]:
    """Gives a capture back, whole: a reversing entry from revenue to what the account is free to use.

    `entry_id` is the stored id of the capture `entry`; that it is reversed only once is the database's to enforce
    (``unique(reverses)``). `reason_id` names this one refund. The hold it came from stays settled.
    Raises LedgerError for an entry that is no capture or another account's, AmountError beyond `money.MICROS_MAX`.
    """
    _require_reversible(balance, entry, EntryKind.REFUND)
    grown = _grown(balance, entry.amount_micros)
    made = _entry(EntryKind.REFUND, balance.account, CAUSE_REFUND, reason_id, entry.amount_micros, reverses=entry_id)
    return grown, (made,)


def reverse(
    balance: Balance, *, entry: Entry, entry_id: str, reason_id: str, may_go_negative: bool
) -> tuple[Balance, tuple[Entry, ...]]:
    """Takes a top-up back, whole, as if the money had never come: what is left is free to use, or missing.

    What was spent or is held of it cannot be taken back: then the account must be allowed to go below zero, down to its floor, with
    `may_go_negative`. `entry_id` is the stored id of the top-up `entry`, which is reversed only once, as captures are (`refund`).
    Raises LedgerError for an entry that is no top-up or another account's, InsufficientCredit where it is spent.
    """
    _require_reversible(balance, entry, EntryKind.REVERSAL)
    available_micros = balance.prepaid_micros - _limit(balance, may_go_negative)
    if entry.amount_micros > available_micros:
        raise InsufficientCredit(entry.amount_micros, available_micros)
    made = _entry(
        EntryKind.REVERSAL, balance.account, CAUSE_REVERSAL, reason_id, entry.amount_micros, reverses=entry_id
    )
    return _moved(balance, to_prepaid_micros=-entry.amount_micros, to_held_micros=0), (made,)


def _require_reversible(balance: Balance, entry: Entry, by: EntryKind) -> None:
    if entry.kind is not REVERSING[by]:
        raise LedgerError(f"expected a {REVERSING[by]} for a {by}, not a {entry.kind}")
    if entry.account != balance.account:
        raise LedgerError(f"expected an entry of account {balance.account}, not of {entry.account}")


def _limit(balance: Balance, may_go_negative: bool) -> Micros:
    """How low the prepaid balance may go, in micros."""
    if not may_go_negative:
        return 0
    return -MICROS_MAX if balance.floor_micros is None else balance.floor_micros


def _grown(balance: Balance, amount_micros: Micros) -> Balance:
    # The held part counts too: a release must never be the one that goes beyond the bound.
    if balance.prepaid_micros + balance.held_micros + amount_micros > MICROS_MAX:
        raise AmountError(f"expected an account to own at most {format_amount(MICROS_MAX)} {balance.currency}")
    return _moved(balance, to_prepaid_micros=amount_micros, to_held_micros=0)


def _moved(balance: Balance, *, to_prepaid_micros: Micros, to_held_micros: Micros) -> Balance:
    return Balance(
        account=balance.account,
        currency=balance.currency,
        prepaid_micros=balance.prepaid_micros + to_prepaid_micros,
        held_micros=balance.held_micros + to_held_micros,
        floor_micros=balance.floor_micros,
    )


def _entry(
    kind: EntryKind, account: str, cause_type: str, cause_id: str, amount_micros: Micros, *, reverses: str | None = None
) -> Entry:
    source, target = FLOWS[kind]
    return Entry(
        kind=kind,
        cause_type=cause_type,
        cause_id=cause_id,
        debit=f"{source}:{account}",
        credit=f"{target}:{account}",
        amount_micros=amount_micros,
        reverses=reverses,
    )
