"""Every command_status: what the specification's table says, and what becomes of a message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.outcome import PermanentFailure, RetryLater, SentPart
from channels.sms.smpp.status import STATUSES, Action, classify, outcome

# SMPP 3.4 table 5-2 and what the design asks for, written down a second time, in the order of the codes.
TABLE = """
00 ROK ok
01 RINVMSGLEN permanent
02 RINVCMDLEN protocol
03 RINVCMDID protocol
04 RINVBNDSTS bind_state
05 RALYBND already_bound
06 RINVPRTFLG permanent
07 RINVREGDLVFLG permanent
08 RSYSERR retry
0A RINVSRCADR configuration
0B RINVDSTADR permanent
0C RINVMSGID permanent
0D RBINDFAIL bind_refused
0E RINVPASWD bind_refused
0F RINVSYSID bind_refused
11 RCANCELFAIL permanent
13 RREPLACEFAIL permanent
14 RMSGQFUL destination
15 RINVSERTYP configuration
33 RINVNUMDESTS permanent
34 RINVDLNAME permanent
40 RINVDESTFLAG permanent
42 RINVSUBREP permanent
43 RINVESMCLASS permanent
44 RCNTSUBDL permanent
45 RSUBMITFAIL ambiguous
48 RINVSRCTON configuration
49 RINVSRCNPI configuration
50 RINVDSTTON configuration
51 RINVDSTNPI configuration
53 RINVSYSTYP configuration
54 RINVREPFLAG permanent
55 RINVNUMMSGS permanent
58 RTHROTTLED throttled
61 RINVSCHED permanent
62 RINVEXPIRY permanent
63 RINVDFTMSGID permanent
64 RX_T_APPN retry
65 RX_P_APPN permanent
66 RX_R_APPN permanent
67 RQUERYFAIL permanent
C0 RINVOPTPARSTREAM permanent
C1 ROPTPARNOTALLWD permanent
C2 RINVPARLEN permanent
C3 RMISSINGOPTPARAM permanent
C4 RINVOPTPARAMVAL permanent
FE RDELIVERYFAILURE destination
FF RUNKNOWNERR retry
"""
NAMED = {
    int(code, 16): (f"ESME_{name}", Action(action)) for code, name, action in map(str.split, TABLE.strip().splitlines())
}
PARTS = (SentPart(n=1, provider_message_id="7"),)


def test_every_status_up_to_0x5ff() -> None:
    for code in range(0x600):
        status = classify(code)
        expected = NAMED.get(code, (f"0x{code:08X}", Action.AMBIGUOUS))
        assert (status.code, status.name, status.action) == (code, *expected)
    assert set(STATUSES) == set(NAMED)


def test_every_failure_has_an_outcome_that_keeps_the_parts() -> None:
    for code in range(1, 0x600):
        action = classify(code).action
        result = outcome(code, parts_sent=PARTS, detail="said so")
        name = NAMED[code][0].removeprefix("ESME_").lower() if code in NAMED else f"0x{code:08x}"
        assert result.reason.code == f"smpp_{name}"
        assert result.reason.detail.endswith(": said so")
        assert result.parts == PARTS
        permanent = action in (Action.PERMANENT, Action.CONFIGURATION)
        assert isinstance(result, PermanentFailure) is permanent
        assert result.reason.alarm is (action in (Action.CONFIGURATION, Action.BIND_REFUSED, Action.PROTOCOL))
        if isinstance(result, RetryLater):
            assert result.throttled is (action is Action.THROTTLED)
            assert result.unreachable is (action in (Action.BIND_STATE, Action.ALREADY_BOUND, Action.BIND_REFUSED))
            assert result.destination is (action in (Action.DESTINATION, Action.AMBIGUOUS))
            assert not result.maybe_sent  # an answer came


def test_examples_that_people_will_search_for() -> None:
    assert outcome(0x58).reason.code == "smpp_rthrottled"
    assert outcome(0x0B).reason.code == "smpp_rinvdstadr"
    assert outcome(0x400).reason.code == "smpp_0x00000400"
    assert outcome(0x0B).reason.detail == "ESME_RINVDSTADR"
    assert len(outcome(0x0B, detail="x" * 1000).reason.detail) == 500
    with pytest.raises(ValueError, match="ESME_ROK"):
        outcome(0)


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=0xFFFFFFFF))
def test_classification_is_total(code: int) -> None:
    assert classify(code).code == code
    if code:
        assert outcome(code).reason.code.startswith("smpp_")
