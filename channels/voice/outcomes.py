"""What a call's result is to the broker. Pure: the meaning of statuses and causes is in `ivr.causes`."""

from __future__ import annotations

from datetime import datetime

from channels.conversation import Decision
from channels.outcome import Delivered, PermanentFailure, Reason, RetryLater, SentPart
from channels.voice.phone import Item
from ivr.call import CallResult
from ivr.causes import Kind, verdict
from ivr.flow import FAILED
from ivr.menu import HUNG_UP, TOO_LONG

_DECIDED = {Decision.ACKNOWLEDGED: "acknowledged", Decision.TAKEN: "taken_in_charge", Decision.DECLINED: "declined"}
NOBODY_PROVED = "pin_wrong"
"""The word of a dialogue in which no right PIN was entered."""


def cancelled(by: str) -> RetryLater:
    """The attempt was taken back before it was answered."""
    reason = Reason(code="cancelled", detail=f"completed elsewhere by {by}" if by else "called off")
    return RetryLater(reason=reason, everywhere=True)


def refused(result: CallResult, *, foreign: bool) -> RetryLater | PermanentFailure:
    """The outcome of a call that was not answered. `foreign`: it was not our trunk that was asked."""
    refusal = result.refusal
    assert refusal is not None
    found = verdict(refusal)
    said = "" if refusal.status is None else f"{refusal.status} {refusal.phrase}".strip()
    causes = ", ".join(str(reason) for reason in refusal.reasons)
    detail = " ".join(part for part in (said or refusal.phrase, f"({causes})" if causes else "") if part)
    reason = Reason(code=found.code, detail=detail, alarm=not foreign and found.kind in (Kind.BROKEN, Kind.TRUNK))
    match found.kind:
        case Kind.LATER:
            return RetryLater(reason=reason, not_before_s=found.retry_after_s, everywhere=True)
        case Kind.TRUNK:
            return RetryLater(reason=reason, not_before_s=found.retry_after_s, unreachable=not foreign, elsewhere=True)
        case Kind.NEVER:
            return PermanentFailure(reason=reason, everywhere=True)
        case Kind.NUMBER | Kind.BROKEN:
            return PermanentFailure(reason=reason)


def answered(result: CallResult, item: Item, *, unproved: bool, billed: bool, at: datetime) -> Delivered | RetryLater:
    """The outcome for one alert of a call that was answered. `unproved`: a PIN was asked for and not given; `billed`: the call's
    minutes are this one's."""
    minutes = result.started_minutes if billed else 0
    parts = (SentPart(n=1, provider_message_id=result.call_id, units=minutes),)
    detail = f"{result.duration_s:.0f} s" + (", an answering machine" if result.machine else "")
    if item.decision is not None:
        return Delivered(at=at, code=_DECIDED[item.decision], detail=detail, parts=parts)
    if item.stopped is not None:
        return Delivered(at=at, code="completed_elsewhere", detail=detail, parts=parts)
    reason = _untold(result, item, unproved=unproved)
    if reason is not None:
        return RetryLater(reason=reason, everywhere=True)
    code = "completed_elsewhere" if result.result == "completed_elsewhere" else "answered_no_key"
    if item.pressed:
        code = "answered"
    if not item.heard and code == "answered_no_key":
        detail += ", the text was not heard to its end"
    return Delivered(at=at, code=code, detail=detail, parts=parts)


def _untold(result: CallResult, item: Item, *, unproved: bool) -> Reason | None:
    """Why the person was not told of this alert, or could not answer, so that they are to be called again."""
    if result.unanswered:
        return Reason(
            code="no_answer", detail="answered by the network, and then only ringing or a busy tone was heard"
        )
    if result.media_lost:
        return Reason(code="no_audio", detail="answered, and nothing was heard of the other side")
    if item.pressed:
        return (
            Reason(code="key_not_recorded", detail="a key came, and could not be stored") if item.unrecorded else None
        )
    could_be_told = item.spoken if item.begun else result.spoken
    if not could_be_told or result.result == FAILED:
        return Reason(code="text_not_spoken", detail="answered, but the text could not be spoken")
    if unproved or result.result == NOBODY_PROVED:
        return Reason(code="answered_wrong_pin", detail="answered, and told nothing without the right PIN")
    if not item.begun and result.result in (HUNG_UP, TOO_LONG):
        return Reason(code="hung_up_early", detail="answered, and over before the text had begun")
    if not item.heard and result.result == HUNG_UP and not result.by_remote:
        return Reason(code="cut_off", detail="answered, and cut off in the text, not by them")
    return None
