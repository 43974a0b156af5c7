"""What a call that was not answered means: total over all statuses, causes and losses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.causes import CAUSES, LOSSES, RETRY_AFTER_MAX_S, STATUSES, Kind, Verdict, verdict
from ivr.sip.events import Lost, Refusal
from ivr.sip.headers import Reason

ALL_STATUSES = range(300, 700)
ALL_CAUSES = range(1, 128)
OTHERS = (Kind.TRUNK, Kind.BROKEN)


def q850(cause: int) -> Reason:
    return Reason(protocol="Q.850", cause=cause)


def of(status: int, *causes: int, retry_after_s: float | None = None) -> Verdict:
    reasons = tuple(q850(cause) for cause in causes)
    return verdict(Refusal(status=status, reasons=reasons, retry_after_s=retry_after_s))


def is_whole(row: Verdict) -> None:
    assert row.code
    assert row.code == row.code.lower().replace(" ", "_")
    assert isinstance(row.kind, Kind)
    assert row.retry_after_s is None or 0 <= row.retry_after_s <= RETRY_AFTER_MAX_S


def test_total_over_statuses_and_causes() -> None:
    for status in ALL_STATUSES:
        is_whole(of(status))
        for cause in ALL_CAUSES:
            is_whole(of(status, cause))


@pytest.mark.parametrize("lost", list(Lost))
def test_total_over_losses(lost: Lost) -> None:
    is_whole(verdict(Refusal(lost=lost)))
    assert verdict(Refusal(lost=lost, status=486, reasons=(q850(17),))) == LOSSES[lost]


def test_nothing_told_at_all() -> None:
    is_whole(verdict(Refusal()))


def test_one_code_has_one_kind() -> None:
    kinds: dict[str, set[Kind]] = {}
    for row in (*STATUSES.values(), *CAUSES.values(), *LOSSES.values(), *map(of, ALL_STATUSES)):
        kinds.setdefault(row.code, set()).add(row.kind)
    assert {code: kind for code, kind in kinds.items() if len(kind) > 1} == {}


@pytest.mark.parametrize("status", range(500, 600))
def test_servers_that_fail_are_the_trunk(status: int) -> None:
    assert of(status).kind in OTHERS


@pytest.mark.parametrize("status", [401, 402, 403, 407])
def test_trunk_that_refuses_us(status: int) -> None:
    assert of(status).kind is Kind.BROKEN


@pytest.mark.parametrize("cause", [2, 3])
@pytest.mark.parametrize("status", [404, 480, 500, 503, 603])
def test_no_route_is_the_trunk(status: int, cause: int) -> None:
    assert of(status, cause).kind in OTHERS


def test_forbidden_stays_forbidden_whatever_the_cause() -> None:
    assert {of(403, cause) for cause in ALL_CAUSES} == {of(403)}


@pytest.mark.parametrize("status", [410, 603, 604, 607, 608])
def test_their_side_refuses_for_good(status: int) -> None:
    assert of(status).kind is Kind.NEVER


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "unknown_number", Kind.NUMBER),
        (480, "unreachable", Kind.LATER),
        (484, "incomplete_number", Kind.NUMBER),
        (486, "busy", Kind.LATER),
        (487, "no_answer", Kind.LATER),
        (488, "no_common_codec", Kind.BROKEN),
        (503, "congested", Kind.TRUNK),
        (600, "busy", Kind.LATER),
    ],
)
def test_statuses(status: int, code: str, kind: Kind) -> None:
    assert (of(status).code, of(status).kind) == (code, kind)


@pytest.mark.parametrize(
    ("lost", "kind"),
    [
        (Lost.NO_RESPONSE, Kind.TRUNK),
        (Lost.TRANSPORT_FAILED, Kind.TRUNK),
        (Lost.STALLED, Kind.TRUNK),
        (Lost.RING_TIME_OVER, Kind.LATER),
        (Lost.STOPPED, Kind.LATER),
        (Lost.MEDIA_REFUSED, Kind.BROKEN),
    ],
)
def test_losses(lost: Lost, kind: Kind) -> None:
    assert verdict(Refusal(lost=lost)).kind is kind


def test_unknown_statuses_are_taken_as_their_class() -> None:
    for status in set(ALL_STATUSES) - set(STATUSES):
        kind = {3: (Kind.NUMBER,), 4: (Kind.BROKEN,), 5: OTHERS, 6: (Kind.NEVER,)}[status // 100]
        assert of(status).kind in kind, status


@pytest.mark.parametrize("status", [404, 480, 487, 500, 503, 603, 499])
@pytest.mark.parametrize(("cause", "code"), [(1, "unknown_number"), (17, "busy"), (19, "no_answer"), (34, "congested")])
def test_cause_is_more_precise_than_a_folded_status(status: int, cause: int, code: str) -> None:
    assert of(status, cause).code == code


@pytest.mark.parametrize("status", [403, 407, 410, 484, 488, 607, 608])
def test_cause_changes_no_status_that_speaks_for_itself(status: int) -> None:
    assert of(status, 17) == of(status)


@pytest.mark.parametrize("cause", [16, 31, 127])
def test_cause_that_says_nothing(cause: int) -> None:
    assert of(480, cause) == of(480)
    assert of(480, cause, 17).code == "busy"


def test_first_cause_counts_and_other_protocols_do_not() -> None:
    assert of(480, 17, 1).code == "busy"
    other = Reason(protocol="SIP", cause=17)
    assert verdict(Refusal(status=480, reasons=(other,))) == of(480)
    assert verdict(Refusal(status=480, reasons=(other, Reason(protocol="q.850", cause=17)))).code == "busy"
    assert verdict(Refusal(status=480, reasons=(Reason(protocol="Q.850", cause=None),))) == of(480)


@pytest.mark.parametrize(
    ("status", "asked", "expected"),
    [
        (503, 30.0, 30.0),
        (503, 0.0, 0.0),
        (503, 1e9, RETRY_AFTER_MAX_S),
        (486, 300.0, 300.0),
        (486, 5.0, 60.0),  # a phone that is busy is not called again sooner than we would ourselves
        (480, 1e9, RETRY_AFTER_MAX_S),
    ],
)
def test_retry_after(status: int, asked: float, expected: float) -> None:
    row = of(status, retry_after_s=asked)
    assert row.retry_after_s == expected
    assert (row.code, row.kind) == (of(status).code, of(status).kind)


@given(
    status=st.one_of(st.none(), st.integers(0, 999)),
    lost=st.one_of(st.none(), st.sampled_from(Lost)),
    reasons=st.lists(
        st.builds(Reason, protocol=st.sampled_from(["Q.850", "SIP", ""]), cause=st.integers(0, 999)), max_size=4
    ),
    retry_after_s=st.one_of(st.none(), st.floats(0, 1e9)),
)
def test_total(status: int | None, lost: Lost | None, reasons: list[Reason], retry_after_s: float | None) -> None:
    row = verdict(Refusal(status=status, lost=lost, reasons=tuple(reasons), retry_after_s=retry_after_s))
    is_whole(row)
    if retry_after_s is not None and lost is None:
        assert row.retry_after_s is not None
        assert row.retry_after_s >= min(retry_after_s, RETRY_AFTER_MAX_S)
