"""The six movements one at a time: what they move, what they refuse, and what no movement ever changes."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import ledger
from billing.ledger import FLOWS, REVERSING, Balance, Entry, EntryKind, InsufficientCredit, LedgerError
from billing.money import MICROS_MAX, AmountError

amounts = st.integers(0, MICROS_MAX)


def balance(prepaid_micros: int = 0, held_micros: int = 0, *, floor_micros: int | None = None) -> Balance:
    return Balance(
        account="acme",
        currency="EUR",
        prepaid_micros=prepaid_micros,
        held_micros=held_micros,
        floor_micros=floor_micros,
    )


def entry(kind: EntryKind, amount_micros: int, cause_type: str, cause_id: str, reverses: str | None = None) -> Entry:
    debit, credit = FLOWS[kind]
    return Entry(
        kind=kind,
        cause_type=cause_type,
        cause_id=cause_id,
        debit=f"{debit}:acme",
        credit=f"{credit}:acme",
        amount_micros=amount_micros,
        reverses=reverses,
    )


def capture(amount_micros: int = 45_000) -> Entry:
    return entry(EntryKind.CAPTURE, amount_micros, "delivery", "dlv_1")


def test_the_ledger_accounts_are_named_after_what_they_hold() -> None:
    names = [ledger.prepaid("acme"), ledger.held("acme"), ledger.revenue("acme"), ledger.topups("acme")]
    assert names == ["prepaid:acme", "held:acme", "revenue:acme", "topups:acme"]


def test_the_stored_names_of_the_kinds_do_not_change() -> None:
    assert [str(kind) for kind in EntryKind] == ["topup", "hold", "capture", "release", "refund", "reversal"]
    assert set(FLOWS) == set(EntryKind)


@pytest.mark.parametrize(
    ("kind", "debit", "credit"),
    [
        (EntryKind.TOPUP, ledger.topups("acme"), ledger.prepaid("acme")),
        (EntryKind.HOLD, ledger.prepaid("acme"), ledger.held("acme")),
        (EntryKind.CAPTURE, ledger.held("acme"), ledger.revenue("acme")),
        (EntryKind.RELEASE, ledger.held("acme"), ledger.prepaid("acme")),
        (EntryKind.REFUND, ledger.revenue("acme"), ledger.prepaid("acme")),
        (EntryKind.REVERSAL, ledger.prepaid("acme"), ledger.topups("acme")),
    ],
)
def test_each_kind_moves_from_one_ledger_account_to_one_other(kind: EntryKind, debit: str, credit: str) -> None:
    reverses = "ent_1" if kind in REVERSING else None
    made = entry(kind, 1, "delivery", "dlv_1", reverses)
    assert (made.debit, made.credit, made.account) == (debit, credit, "acme")
    with pytest.raises(LedgerError, match=f"a {kind} goes from"):
        replace(made, debit=credit, credit=debit)
    with pytest.raises(LedgerError, match=f"a {kind} goes from"):
        replace(made, debit=debit.replace("acme", "other"))
    with pytest.raises(LedgerError, match="above 0"):
        replace(made, amount_micros=0)
    with pytest.raises(LedgerError, match="a refund and a reversal reverse"):
        replace(made, reverses=None if reverses else "ent_1")


def test_an_entry_is_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        capture().amount_micros = 1  # type: ignore[misc]  # that it cannot be done is the point


def test_a_key_names_account_cause_and_kind() -> None:
    assert capture().key == ("acme", "delivery", "dlv_1", EntryKind.CAPTURE)


def test_the_same_reference_of_two_accounts_is_two_topups() -> None:
    other = replace(balance(), account="other")
    _, (ours,) = ledger.topup(balance(), amount_micros=1, reference="INV-1")
    _, (theirs,) = ledger.topup(other, amount_micros=1, reference="INV-1")
    assert ours.key != theirs.key


def test_a_topup_adds_to_what_is_free_to_use() -> None:
    after, entries = ledger.topup(balance(-1_500_000, 7), amount_micros=50_000_000, reference="INV-1")
    assert after == balance(48_500_000, 7)
    assert entries == (entry(EntryKind.TOPUP, 50_000_000, "topup", "INV-1"),)


@pytest.mark.parametrize("amount_micros", [0, -1])
def test_a_topup_of_nothing_is_refused(amount_micros: int) -> None:
    with pytest.raises(AmountError, match="above 0"):
        ledger.topup(balance(), amount_micros=amount_micros, reference="INV-1")


def test_an_account_owns_no_more_than_the_largest_amount_held_included() -> None:
    after, _ = ledger.topup(balance(0, 1), amount_micros=MICROS_MAX - 1, reference="INV-1")
    assert after == balance(MICROS_MAX - 1, 1)
    with pytest.raises(AmountError, match=r"at most 1000000000000\.00 EUR"):
        ledger.topup(after, amount_micros=1, reference="INV-2")
    with pytest.raises(AmountError, match="at most"):
        ledger.refund(after, entry=capture(1), entry_id="ent_1", reason_id="rfd_1")


@pytest.mark.parametrize(
    ("prepaid_micros", "floor_micros", "may_go_negative", "available_micros"),
    [
        (45_000, None, False, 45_000),
        (0, None, False, 0),
        (-1, None, False, -1),
        (45_000, -1_000_000, False, 45_000),
        (45_000, -1_000_000, True, 1_045_000),
        (45_000, 0, True, 45_000),
        (-400_000, -1_000_000, True, 600_000),
        (-1_500_000, -1_000_000, True, -500_000),
        (45_000, None, True, MICROS_MAX + 45_000),
        (-MICROS_MAX, None, True, 0),
    ],
)
def test_a_hold_is_exact_to_the_micro(
    prepaid_micros: int, floor_micros: int | None, may_go_negative: bool, available_micros: int
) -> None:
    before = balance(prepaid_micros, 7, floor_micros=floor_micros)
    if available_micros > 0:
        after, entries = ledger.hold(
            before, cause_id="dlv_1", amount_micros=available_micros, may_go_negative=may_go_negative
        )
        expected = balance(prepaid_micros - available_micros, 7 + available_micros, floor_micros=floor_micros)
        assert after == expected
        assert entries == (entry(EntryKind.HOLD, available_micros, "delivery", "dlv_1"),)
    required_micros = max(available_micros, 0) + 1
    with pytest.raises(InsufficientCredit) as refusal:
        ledger.hold(before, cause_id="dlv_1", amount_micros=required_micros, may_go_negative=may_go_negative)
    assert refusal.value.required_micros == required_micros
    assert refusal.value.available_micros == available_micros


@pytest.mark.parametrize("may_go_negative", [False, True])
@pytest.mark.parametrize("prepaid_micros", [0, -5_000_000, 5_000_000])
def test_a_free_delivery_holds_nothing_and_always_goes(prepaid_micros: int, may_go_negative: bool) -> None:
    before = balance(prepaid_micros, floor_micros=0)
    result = ledger.hold(before, cause_id="dlv_1", amount_micros=0, may_go_negative=may_go_negative)
    assert result == (before, ())


def test_a_broadcast_holds_once_for_the_alert() -> None:
    _, entries = ledger.hold(
        balance(90_000), cause_type=ledger.CAUSE_ALERT, cause_id="alt_1", amount_micros=90_000, may_go_negative=False
    )
    assert entries == (entry(EntryKind.HOLD, 90_000, "alert", "alt_1"),)


def test_a_negative_hold_is_refused() -> None:
    with pytest.raises(LedgerError, match="hold of 0 or more"):
        ledger.hold(balance(10), cause_id="dlv_1", amount_micros=-1, may_go_negative=True)


def test_insufficient_credit_says_how_much_and_survives_a_process_boundary() -> None:
    refusal = pickle.loads(pickle.dumps(InsufficientCredit(45_000, -1_500_000)))
    assert str(refusal) == "0.045 required, -1.50 available"
    assert (refusal.required_micros, refusal.available_micros) == (45_000, -1_500_000)


@pytest.mark.parametrize(
    ("hold_micros", "capture_micros", "captured", "released", "absorbed"),
    [
        (90_000, 90_000, 90_000, 0, 0),
        (90_000, 45_000, 45_000, 45_000, 0),
        (90_000, 0, 0, 90_000, 0),
        (90_000, 135_000, 90_000, 0, 45_000),
        (0, 45_000, 0, 0, 45_000),
        (0, 0, 0, 0, 0),
    ],
)
def test_a_settlement_captures_once_and_releases_the_rest(
    hold_micros: int, capture_micros: int, captured: int, released: int, absorbed: int
) -> None:
    before = balance(1_000, 100_000, floor_micros=-5)
    after, entries, absorbed_micros = ledger.settle(
        before, delivery_id="dlv_1", hold_micros=hold_micros, capture_micros=capture_micros
    )
    assert after == balance(1_000 + released, 100_000 - hold_micros, floor_micros=-5)
    assert absorbed_micros == absorbed
    expected = [(EntryKind.CAPTURE, captured), (EntryKind.RELEASE, released)]
    assert entries == tuple(entry(kind, micros, "delivery", "dlv_1") for kind, micros in expected if micros)


@pytest.mark.parametrize(
    ("hold_micros", "capture_micros", "expected"),
    [
        (-1, 0, "0 or more"),
        (0, -1, "0 or more"),
        (101, 50, "held would be -1 micros"),
        (101, 0, "held would be -1 micros"),
    ],
)
def test_a_settlement_that_would_break_the_ledger_is_refused(
    hold_micros: int, capture_micros: int, expected: str
) -> None:
    with pytest.raises(LedgerError, match=expected):
        ledger.settle(balance(5, 100), delivery_id="dlv_1", hold_micros=hold_micros, capture_micros=capture_micros)


def test_a_refund_reverses_a_capture_whole() -> None:
    after, entries = ledger.refund(balance(-45_000, 3), entry=capture(), entry_id="ent_1", reason_id="rfd_1")
    assert after == balance(0, 3)
    assert entries == (entry(EntryKind.REFUND, 45_000, "refund", "rfd_1", reverses="ent_1"),)


@pytest.mark.parametrize("kind", [kind for kind in EntryKind if kind is not EntryKind.CAPTURE])
def test_only_captures_are_refunded(kind: EntryKind) -> None:
    made = entry(kind, 1, "delivery", "dlv_1", "ent_0" if kind in REVERSING else None)
    with pytest.raises(LedgerError, match=f"expected a capture for a refund, not a {kind}"):
        ledger.refund(balance(), entry=made, entry_id="ent_1", reason_id="rfd_1")


def test_a_capture_is_refunded_to_its_own_account_only() -> None:
    with pytest.raises(LedgerError, match="of account other, not of acme"):
        ledger.refund(replace(balance(), account="other"), entry=capture(), entry_id="ent_1", reason_id="rfd_1")


def topup_of(amount_micros: int) -> Entry:
    return entry(EntryKind.TOPUP, amount_micros, "topup", "INV-1")


def test_a_reversal_takes_a_top_up_back_whole() -> None:
    after, entries = ledger.reverse(
        balance(500, 3), entry=topup_of(500), entry_id="ent_1", reason_id="rev_1", may_go_negative=False
    )
    assert after == balance(0, 3)
    assert entries == (entry(EntryKind.REVERSAL, 500, "reversal", "rev_1", reverses="ent_1"),)


@pytest.mark.parametrize(
    ("prepaid_micros", "floor_micros", "may_go_negative", "available_micros"),
    [
        (499, None, False, 499),
        (-1, None, False, -1),
        (499, 0, True, 499),
        (400, -99, True, 499),
        (400, -100, True, None),
        (-(10**9), None, True, None),
    ],
)
def test_what_is_spent_is_taken_back_only_into_a_debt_that_is_allowed(
    prepaid_micros: int, floor_micros: int | None, may_go_negative: bool, available_micros: int | None
) -> None:
    before = balance(prepaid_micros, floor_micros=floor_micros)

    def reverse() -> Balance:
        after, _ = ledger.reverse(
            before, entry=topup_of(500), entry_id="ent_1", reason_id="rev_1", may_go_negative=may_go_negative
        )
        return after

    if available_micros is None:
        assert reverse().prepaid_micros == prepaid_micros - 500
        return
    with pytest.raises(InsufficientCredit) as refusal:
        reverse()
    assert refusal.value.available_micros == available_micros


@pytest.mark.parametrize("kind", [kind for kind in EntryKind if kind is not EntryKind.TOPUP])
def test_only_top_ups_are_reversed(kind: EntryKind) -> None:
    made = entry(kind, 1, "delivery", "dlv_1", "ent_0" if kind in REVERSING else None)
    with pytest.raises(LedgerError, match=f"expected a topup for a reversal, not a {kind}"):
        ledger.reverse(balance(9), entry=made, entry_id="ent_1", reason_id="rev_1", may_go_negative=True)


def test_a_balance_never_holds_less_than_nothing_and_its_floor_is_no_ceiling() -> None:
    with pytest.raises(LedgerError, match="below zero"):
        balance(0, -1)
    with pytest.raises(LedgerError, match="floor of 0 or below"):
        balance(floor_micros=1)


@given(amounts, amounts, amounts, st.booleans())
def test_hold_and_settle_only_ever_take_the_capture(prepaid: int, held: int, charge: int, emergency: bool) -> None:
    try:
        holding, hold_entries = ledger.hold(
            balance(prepaid), cause_id="dlv_1", amount_micros=held, may_go_negative=emergency
        )
    except InsufficientCredit:
        assert held > prepaid
        return
    assert holding.prepaid_micros + holding.held_micros == prepaid
    assert holding.prepaid_micros >= 0 or emergency
    settled, entries, absorbed = ledger.settle(holding, delivery_id="dlv_1", hold_micros=held, capture_micros=charge)
    captured = sum(made.amount_micros for made in entries if made.kind is EntryKind.CAPTURE)
    assert captured == min(charge, held)
    assert captured + absorbed == charge
    assert settled == balance(prepaid - captured, 0)
    assert len({made.key for made in hold_entries + entries}) == len(hold_entries + entries)


@given(amounts, amounts)
def test_a_settlement_makes_the_same_keys_again(held: int, charge: int) -> None:
    once, twice = (
        ledger.settle(balance(0, held), delivery_id="dlv_1", hold_micros=held, capture_micros=charge)[1]
        for _ in range(2)
    )
    assert [made.key for made in once] == [made.key for made in twice]
