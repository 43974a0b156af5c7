"""Messages as submissions, and the answers to them as outcomes. No link is up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.channel import InvalidAddressError, Message
from channels.outcome import Accepted, PermanentFailure, RetryLater, SentPart
from channels.sms.encoding import MessageTooLongError
from channels.sms.settings import SmppSettings
from channels.sms.smpp.behaviour import Handset
from channels.sms.smpp.submission import (
    Answer,
    Composer,
    NoAnswer,
    NotSent,
    Submission,
    SubmitResult,
    relative_time,
    verdict,
)

SETTINGS = SmppSettings.model_validate({"name": "a", "host": "h", "system_id": "u", "password": "p", "source": "ALERT"})


def settings(**changes: object) -> SmppSettings:
    return SmppSettings.model_validate(SETTINGS.model_dump() | changes)


def message(text: str, *, address: str = "+33612345678", parts_sent: frozenset[int] = frozenset()) -> Message:
    return Message(address=address, text=text, reference="dlv_1", parts_sent=parts_sent)


def test_a_short_message_is_one_submit_with_everything_asked_for() -> None:
    composer = Composer(settings(validity_s=3661, service_type="CMT"))
    (submission,) = composer.compose(message("Brand in Halle 3"))
    pdu = submission.pdu
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == ("ALERT", 5, 0)
    assert (pdu.destination_addr, pdu.dest_addr_ton, pdu.dest_addr_npi) == ("33612345678", 1, 1)
    assert (pdu.short_message, pdu.data_coding, pdu.esm_class) == (b"Brand in Halle 3", 0, 0)
    assert (pdu.registered_delivery, pdu.validity_period, pdu.service_type) == (1, "000000010101000R", "CMT")
    assert (submission.n, submission.units) == (1, 1)


def test_receipts_are_not_asked_for_where_nobody_wants_them() -> None:
    (submission,) = Composer(settings(registered_delivery=False)).compose(message("x"))
    assert submission.pdu.registered_delivery == 0


def test_a_header_or_sar_parameters_but_never_both() -> None:
    text = "x" * 400
    for submission in Composer(settings(concatenation="udh")).compose(message(text)):
        assert submission.pdu.esm_class == 0x40
        assert submission.pdu.short_message[:3] == b"\x05\x00\x03"
        assert not submission.pdu.tlvs
    for submission in Composer(settings(concatenation="sar", reference_octets=2)).compose(message(text)):
        assert submission.pdu.esm_class == 0
        assert set(submission.pdu.tlvs) == {0x020C, 0x020E, 0x020F}
        assert submission.pdu.tlvs[0x020E] == b"\x03"


def test_a_payload_is_one_submit_that_is_billed_as_its_parts() -> None:
    (submission,) = Composer(settings(concatenation="payload")).compose(message("x" * 400))
    assert submission.pdu.short_message == b""
    assert submission.pdu.tlvs[0x0424] == b"x" * 400
    assert (submission.n, submission.units) == (1, 3)
    (short,) = Composer(settings(concatenation="payload")).compose(message("x" * 160))
    assert short.pdu.short_message == b"x" * 160


def test_only_parts_that_were_not_sent_are_made_again_and_they_are_the_same() -> None:
    composer = Composer(SETTINGS)
    whole = composer.compose(message("x" * 400))
    rest = composer.compose(message("x" * 400, parts_sent=frozenset({1, 3})))
    assert rest == [whole[1]]
    assert composer.compose(message("hi", parts_sent=frozenset({1}))) == []


def test_lookalikes_are_folded_where_the_settings_say_so() -> None:
    text = "“Stop” – now"
    (as_written,) = Composer(SETTINGS).compose(message(text))
    assert as_written.pdu.data_coding == 8
    (folded,) = Composer(settings(fold_lookalikes=True)).compose(message(text))
    assert (folded.pdu.data_coding, folded.pdu.short_message) == (0, b'"Stop" - now')


def test_what_cannot_be_sent_says_why() -> None:
    with pytest.raises(MessageTooLongError):
        Composer(SETTINGS).compose(message("x" * 40_000))
    with pytest.raises(InvalidAddressError):
        Composer(SETTINGS).compose(message("x", address="nobody"))
    assert Composer(SETTINGS).units("x" * 40_000) == 255
    assert Composer(SETTINGS).units("x" * 161) == 2


@given(st.text(max_size=700), st.sampled_from(["udh", "sar", "payload"]), st.sampled_from([1, 2]))
def test_a_phone_reads_what_was_written(text: str, concatenation: str, reference_octets: int) -> None:
    composer = Composer(settings(concatenation=concatenation, reference_octets=reference_octets))
    handset = Handset(received_max=10)
    submissions = composer.compose(message(text))
    for submission in reversed(submissions):
        handset.receive(submission.pdu, str(submission.n))
    (received,) = handset.received
    assert received.text == text.encode("utf-16-be", "replace").decode("utf-16-be")
    assert sum(submission.units for submission in submissions) == composer.units(text)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(60, "000000000100000R"), (86_399, "000000235959000R"), (30 * 86_400, "000030000000000R")],
)
def test_a_validity_is_written_as_section_7_1_1_2_says(seconds: int, written: str) -> None:
    assert relative_time(seconds) == written


OK, REFUSED, THROTTLED, BUSY, UNBOUND = (
    Answer(0x00, "id"),
    Answer(0x0B, ""),
    Answer(0x58, ""),
    Answer(0x08, ""),
    Answer(0x04, ""),
)
LOST, LATE = NoAnswer(timed_out=False), NoAnswer(timed_out=True)
DOWN, HELD = NotSent(held=False), NotSent(held=True)
(PART,) = Composer(SETTINGS).compose(message("x"))


def judged(*results: SubmitResult) -> tuple[str, object]:
    outcome = verdict([Submission(n, 1, PART.pdu) for n in range(1, len(results) + 1)], results)
    assert isinstance(outcome, Accepted | RetryLater | PermanentFailure)
    return (outcome.code if isinstance(outcome, Accepted) else outcome.reason.code), outcome


def test_all_taken_is_accepted_with_an_id_for_each_part() -> None:
    _, outcome = judged(Answer(0, "a"), Answer(0, " b\0"))
    assert outcome == Accepted(parts=(SentPart(n=1, provider_message_id="a"), SentPart(n=2, provider_message_id="b")))


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((OK, REFUSED, LOST, BUSY, THROTTLED, DOWN), "smpp_rinvdstadr"),
        ((OK, LOST, BUSY, THROTTLED, DOWN), "link_lost"),
        ((OK, DOWN, LATE), "answer_timed_out"),
        ((OK, THROTTLED, BUSY, DOWN), "smpp_rsyserr"),
        ((DOWN, THROTTLED), "smpp_rthrottled"),
        ((DOWN, HELD), "held_back"),
        ((OK, DOWN), "link_down"),
        ((OK, UNBOUND), "smpp_rinvbndsts"),
    ],
)
def test_the_gravest_part_speaks_for_all_and_what_was_taken_is_listed(
    results: tuple[SubmitResult, ...], code: str
) -> None:
    said, outcome = judged(*results)
    assert said == code
    assert isinstance(outcome, RetryLater | PermanentFailure)
    assert [part.n for part in outcome.parts] == [n for n, result in enumerate(results, start=1) if result is OK]


@pytest.mark.parametrize(
    ("result", "flags"),
    [
        (LOST, (True, False, False)),
        (LATE, (True, False, False)),
        (THROTTLED, (False, True, False)),
        (HELD, (False, True, False)),
        (DOWN, (False, False, True)),
        (UNBOUND, (False, False, True)),
        (BUSY, (False, False, False)),
        (Answer(0x02, "", nacked=True), (False, False, False)),
    ],
)
def test_what_is_retried_says_what_is_known(result: SubmitResult, flags: tuple[bool, bool, bool]) -> None:
    _, outcome = judged(result)
    assert isinstance(outcome, RetryLater)
    assert (outcome.maybe_sent, outcome.throttled, outcome.unreachable) == flags


def test_a_generic_nack_is_an_alarm_that_names_itself() -> None:
    _, outcome = judged(Answer(0x02, "", nacked=True))
    assert isinstance(outcome, RetryLater)
    assert outcome.reason.alarm
    assert "generic_nack" in outcome.reason.detail
