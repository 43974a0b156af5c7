"""Any sequence of top-ups, holds, settlements, refunds and reversals over several accounts, against a model in plain integers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from billing import ledger
from billing.ledger import CAUSE_TOPUP, Balance, Entry, EntryKind, InsufficientCredit, TransferKey
from billing.pricing import SettledUnits, charge_for, hold_for
from billing.tariff import ChargedOn, Tariff, UnknownEnd

ACCOUNTS = ("acme", "plant", "ward")
accounts = st.sampled_from(ACCOUNTS)
# Small amounts on purpose: balances, floors and prices then meet exactly, again and again.
amounts = st.integers(1, 20)
prices = st.integers(0, 5)
floors = st.none() | st.integers(-10, 0)
counts = st.integers(0, 3)
rules: st.SearchStrategy[tuple[ChargedOn, UnknownEnd]] = st.sampled_from(
    [("accepted", "capture"), ("accepted", "release"), ("delivered", "capture"), ("delivered", "release")]
)


class AlreadyRecorded(Exception):  # noqa: N818 - stands for the unique constraints of the database
    """The transfer, or the reversal, is on record."""


@dataclass(frozen=True, kw_only=True)
class OpenHold:
    account: str
    amount_micros: int
    tariff: Tariff


class LedgerMachine(RuleBasedStateMachine):
    """The real functions change `balances` and `entries`; `floors`, `owned`, `holds`, `settled` are the model's own."""

    def __init__(self) -> None:
        super().__init__()
        self.balances: dict[str, Balance] = {}
        self.floors: dict[str, int | None] = {}
        self.entries: dict[str, Entry] = {}
        self.keys: set[TransferKey] = set()
        self.reversed: set[str] = set()
        self.owned: defaultdict[str, int] = defaultdict(int)
        self.holds: dict[str, OpenHold] = {}
        self.settled: dict[str, tuple[OpenHold, int]] = {}
        self.captures: dict[str, str] = {}
        self.lowest: defaultdict[str, int] = defaultdict(int)
        self.count = 0

    def next_id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def record(self, balance: Balance, entries: tuple[Entry, ...]) -> tuple[str, ...]:
        """Stores a movement whole or not at all, as the database would."""
        reversals = {made.reverses for made in entries if made.reverses is not None}
        if self.keys & {made.key for made in entries} or self.reversed & reversals:
            raise AlreadyRecorded
        self.keys |= {made.key for made in entries}
        self.reversed |= reversals
        stored = {self.next_id("ent"): made for made in entries}
        self.entries |= stored
        self.balances[balance.account] = balance
        return tuple(stored)

    @initialize(chosen=st.fixed_dictionaries(dict.fromkeys(ACCOUNTS, floors)))
    def open_accounts(self, chosen: dict[str, int | None]) -> None:
        self.floors = chosen
        for account, floor_micros in chosen.items():
            self.balances[account] = Balance(
                account=account, currency="EUR", prepaid_micros=0, held_micros=0, floor_micros=floor_micros
            )

    @rule(account=accounts, amount_micros=amounts, reference=st.sampled_from(["INV-1", "INV-2", "INV-3", "INV-4"]))
    def top_up(self, account: str, amount_micros: int, reference: str) -> None:
        result = ledger.topup(self.balances[account], amount_micros=amount_micros, reference=reference)
        paid_before = TransferKey(account, CAUSE_TOPUP, reference, EntryKind.TOPUP) in self.keys
        if paid_before:
            with pytest.raises(AlreadyRecorded):
                self.record(*result)
        else:
            self.record(*result)
            self.owned[account] += amount_micros

    @rule(
        account=accounts,
        units=counts,
        price_micros=prices,
        charging=rules,
        emergency=st.booleans(),
    )
    def hold(
        self, account: str, units: int, price_micros: int, charging: tuple[ChargedOn, UnknownEnd], emergency: bool
    ) -> None:
        charged_on, unknown_end = charging
        tariff = Tariff(
            id=1,
            channel="sms",
            prefix="",
            price_micros=price_micros,
            charged_on=charged_on,
            unknown_end=unknown_end,
        )
        amount_micros = hold_for(units, tariff)
        before, delivery_id = self.balances[account], self.next_id("dlv")
        free_micros = self.owned[account] - self.held_in_model(account)
        limit = self.floors[account] if emergency else 0
        affordable = amount_micros == 0 or limit is None or free_micros - amount_micros >= limit
        if not affordable:
            with pytest.raises(InsufficientCredit) as refusal:
                ledger.hold(before, cause_id=delivery_id, amount_micros=amount_micros, may_go_negative=emergency)
            assert refusal.value.required_micros == amount_micros > refusal.value.available_micros
            return
        result = ledger.hold(before, cause_id=delivery_id, amount_micros=amount_micros, may_go_negative=emergency)
        self.record(*result)
        self.holds[delivery_id] = OpenHold(account=account, amount_micros=amount_micros, tariff=tariff)
        if emergency:
            self.lowest[account] = min(self.lowest[account], result[0].prepaid_micros)

    @precondition(lambda self: self.holds)
    @rule(
        draw=st.data(),
        settled=st.builds(SettledUnits, delivered=counts, failed=counts, unknown=counts, accepted=counts),
    )
    def settle(self, draw: st.DataObject, settled: SettledUnits) -> None:
        delivery_id = draw.draw(st.sampled_from(sorted(self.holds)))
        held = self.holds.pop(delivery_id)
        charge_micros = charge_for(held.tariff, settled)
        balance, entries, absorbed_micros = ledger.settle(
            self.balances[held.account],
            delivery_id=delivery_id,
            hold_micros=held.amount_micros,
            capture_micros=charge_micros,
        )
        stored = self.record(balance, entries)
        captured = min(charge_micros, held.amount_micros)  # an account pays no more than what it agreed to
        assert captured + absorbed_micros == charge_micros
        self.owned[held.account] -= captured
        self.settled[delivery_id] = (held, charge_micros)
        for entry_id in stored:
            if self.entries[entry_id].kind is EntryKind.CAPTURE:
                self.captures[entry_id] = held.account
                assert self.entries[entry_id].amount_micros == captured

    @precondition(lambda self: any(held.amount_micros for held, _ in self.settled.values()))
    @rule(draw=st.data())
    def settle_again(self, draw: st.DataObject) -> None:
        """The same settlement once more has the same keys, so it changes nothing, whatever else is held."""
        delivery_id = draw.draw(
            st.sampled_from(sorted(settled for settled, (held, _) in self.settled.items() if held.amount_micros))
        )
        held, charge_micros = self.settled[delivery_id]
        before = self.balances[held.account]
        with pytest.raises((AlreadyRecorded, ledger.LedgerError)):
            self.record(
                *ledger.settle(
                    before, delivery_id=delivery_id, hold_micros=held.amount_micros, capture_micros=charge_micros
                )[:2]
            )
        assert self.balances[held.account] is before

    @precondition(lambda self: self.captures)
    @rule(draw=st.data())
    def refund(self, draw: st.DataObject) -> None:
        entry_id = draw.draw(st.sampled_from(sorted(self.captures)))
        account, capture = self.captures[entry_id], self.entries[entry_id]
        refunded_before = any(made.reverses == entry_id for made in self.entries.values())
        result = ledger.refund(self.balances[account], entry=capture, entry_id=entry_id, reason_id=self.next_id("rfd"))
        if refunded_before:
            with pytest.raises(AlreadyRecorded):
                self.record(*result)
        else:
            self.record(*result)
            self.owned[account] += capture.amount_micros

    @precondition(lambda self: any(made.kind is EntryKind.TOPUP for made in self.entries.values()))
    @rule(draw=st.data(), allow_debt=st.booleans())
    def reverse(self, draw: st.DataObject, allow_debt: bool) -> None:
        """A top-up goes back whole and once, where what it brought is still free or the floor allows the debt."""
        topups = {entry_id: made for entry_id, made in self.entries.items() if made.kind is EntryKind.TOPUP}
        entry_id = draw.draw(st.sampled_from(sorted(topups)))
        topup, account = topups[entry_id], topups[entry_id].account
        limit = self.floors[account] if allow_debt else 0
        left = self.owned[account] - self.held_in_model(account) - topup.amount_micros

        def reverse() -> tuple[Balance, tuple[Entry, ...]]:
            return ledger.reverse(
                self.balances[account],
                entry=topup,
                entry_id=entry_id,
                reason_id=self.next_id("rev"),
                may_go_negative=allow_debt,
            )

        if limit is not None and left < limit:
            with pytest.raises(InsufficientCredit):
                reverse()
        elif any(made.reverses == entry_id for made in self.entries.values()):
            with pytest.raises(AlreadyRecorded):
                self.record(*reverse())
        else:
            self.record(*reverse())
            self.owned[account] -= topup.amount_micros
            self.lowest[account] = min(self.lowest[account], left)

    def held_in_model(self, account: str) -> int:
        return sum(held.amount_micros for held in self.holds.values() if held.account == account)

    def standing(self) -> dict[str, int]:
        """What stands in each ledger account, from the entries alone."""
        standing: defaultdict[str, int] = defaultdict(int)
        for made in self.entries.values():
            standing[made.debit] -= made.amount_micros
            standing[made.credit] += made.amount_micros
        return standing

    @invariant()
    def all_ledger_accounts_sum_to_zero(self) -> None:
        standing = self.standing()
        for account in self.balances:
            names = (ledger.prepaid, ledger.held, ledger.revenue, ledger.topups)
            assert sum(standing[name(account)] for name in names) == 0
        assert sum(standing.values()) == 0

    @invariant()
    def balances_are_the_net_of_the_entries(self) -> None:
        standing = self.standing()
        for account, balance in self.balances.items():
            assert balance.prepaid_micros == standing[ledger.prepaid(account)]
            assert balance.held_micros == standing[ledger.held(account)]
            assert standing[ledger.revenue(account)] >= 0 >= standing[ledger.topups(account)]

    @invariant()
    def balances_are_what_the_model_says(self) -> None:
        for account, balance in self.balances.items():
            assert balance.held_micros == self.held_in_model(account)
            assert balance.prepaid_micros + balance.held_micros == self.owned[account]

    @invariant()
    def only_emergencies_and_reversals_make_debt_and_only_down_to_the_floor(self) -> None:
        for account, balance in self.balances.items():
            assert balance.prepaid_micros >= self.lowest[account]
            floor_micros = self.floors[account]
            assert balance.floor_micros == floor_micros
            assert floor_micros is None or balance.prepaid_micros >= floor_micros

    @invariant()
    def every_delivery_is_captured_at_most_once_and_settled_whole(self) -> None:
        moved: defaultdict[tuple[str, EntryKind], list[int]] = defaultdict(list)
        for made in self.entries.values():
            moved[made.cause_id, made.kind].append(made.amount_micros)
        for delivery_id, (held, _) in self.settled.items():
            captured, released = moved[delivery_id, EntryKind.CAPTURE], moved[delivery_id, EntryKind.RELEASE]
            assert len(captured) <= 1
            assert len(released) <= 1
            assert sum(captured) + sum(released) == held.amount_micros == sum(moved[delivery_id, EntryKind.HOLD])


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
