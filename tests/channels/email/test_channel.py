"""The e-mail channel against the mail sink over real sockets: every way a dialogue can go."""

from __future__ import annotations

import asyncio
import socket
from email import message_from_bytes

import pytest
from structlog.testing import capture_logs

from channels.channel import Attachment, Channel
from channels.email import sink
from channels.email.channel import EmailChannel
from channels.email.sink import SinkBehaviour
from channels.outcome import (
    Accepted,
    Inbound,
    Outcome,
    PermanentFailure,
    Receipt,
    ReceiptDelivered,
    ReceiptEnded,
    ReceiptFailed,
    ReceiptIntermediate,
    RetryLater,
    SentPart,
)
from tests.channels.email.wire import (
    BOUNCES,
    RECIPIENT,
    SENDER,
    Inbox,
    greeting,
    message,
    running,
    running_sink,
    sending,
    settings,
    until,
)
from tests.peers.ports import free_port

LISTEN = {"bounce_listen": "127.0.0.1:0", "bounce_address": BOUNCES}


def retry(outcome: Outcome) -> RetryLater:
    assert isinstance(outcome, RetryLater), outcome
    return outcome


def permanent(outcome: Outcome) -> PermanentFailure:
    assert isinstance(outcome, PermanentFailure), outcome
    return outcome


def test_it_is_a_channel() -> None:
    channel: Channel = EmailChannel(settings(25, connections=7))
    assert (channel.name, channel.provider) == ("email", "mail")
    assert (channel.capabilities.receipts, channel.capabilities.acknowledges) == (False, False)
    assert channel.capabilities.concurrent_sends == 7
    assert channel.parse_address("Duty@EXAMPLE.org") == "Duty@example.org"
    assert channel.billable_units(message(text="x" * 10_000)) == 1
    assert EmailChannel(settings(25, **LISTEN)).capabilities.receipts


async def test_a_mail_is_taken_with_its_envelope() -> None:
    async with running_sink() as (sink, port), sending(port) as channel:
        outcome = await channel.send(message("dlv_01", subject="Fire", text=".\n..\n.x\n"))
        (mail,) = await sink.wait_for(1)
    assert outcome == Accepted(
        parts=(SentPart(n=1, provider_message_id="dlv_01"),), code="accepted_no_receipt", detail="250 2.0.0 Kept"
    )
    assert (mail.sender, mail.recipients) == (SENDER, (RECIPIENT,))
    assert (mail.envelope_id, mail.ret, mail.notify) == ("dlv_01", "HDRS", "FAILURE,DELAY")
    assert mail.original_recipient == f"rfc822;{RECIPIENT}"
    read = message_from_bytes(mail.content)
    assert (read["Subject"], read["Message-ID"]) == ("Fire", "<dlv_01@example.org>")
    assert read.get_payload(decode=True) == b".\r\n..\r\n.x\r\n"


@pytest.mark.parametrize(("offered", "wanted"), [(False, True), (True, False)])
async def test_without_dsn_no_parameters_are_sent_and_no_receipt_is_announced(offered: bool, wanted: bool) -> None:
    async with running_sink(SinkBehaviour(dsn=offered)) as (sink, port), sending(port, **LISTEN, dsn=wanted) as channel:
        outcome = await channel.send(message())
        (mail,) = await sink.wait_for(1)
    assert isinstance(outcome, Accepted)
    assert outcome.code == "accepted_no_receipt"
    assert (mail.envelope_id, mail.ret, mail.notify, mail.original_recipient) == ("", "", "", "")


@pytest.mark.parametrize("verp", [False, True])
@pytest.mark.parametrize(
    ("action", "result", "code"),
    [
        ("delivered", ReceiptDelivered(), "delivered"),
        ("failed", ReceiptFailed(), "5.1.1"),
        ("delayed", ReceiptIntermediate(), "delayed"),
        ("relayed", ReceiptEnded(), "relayed"),
    ],
)
async def test_the_report_comes_back_as_a_receipt(action: str, result: object, code: str, verp: bool) -> None:
    inbox = Inbox()
    async with running_sink() as (sink, port):
        channel = EmailChannel(settings(port, **LISTEN, verp=verp))
        async with running(channel, inbox):
            sink.behaviour = SinkBehaviour(default_actions=(action,), report_to=("127.0.0.1", channel.bounce_port))
            outcome = await channel.send(message("dlv_42"))
            receipt = await inbox.receipt()
    assert isinstance(outcome, Accepted)
    assert outcome.code == "accepted"
    assert receipt.provider_message_ids[0] == outcome.parts[0].provider_message_id == "dlv_42"
    assert (receipt.result, receipt.code, receipt.address) == (result, code, RECIPIENT)
    assert sink.mails[0].sender == ("bounces+dlv_42@example.org" if verp else BOUNCES)
    assert sink.mails[0].notify == "SUCCESS,FAILURE,DELAY"


async def test_a_report_that_could_not_be_stored_comes_again() -> None:
    inbox = Inbox(refusals=2)
    async with running_sink() as (sink, port), running(EmailChannel(settings(port, **LISTEN)), inbox) as channel:
        sink.behaviour = SinkBehaviour(report_to=("127.0.0.1", channel.bounce_port))
        await channel.send(message("dlv_43"))
        assert isinstance((await inbox.receipt()).result, ReceiptDelivered)
    assert inbox.refusals == 0


async def test_connections_are_shared_reused_and_bounded() -> None:
    async with (
        running_sink(SinkBehaviour(answer_delay_s=0.02)) as (sink, port),
        sending(port, connections=3) as channel,
    ):
        outcomes = await asyncio.gather(*(channel.send(message(f"dlv_{n}")) for n in range(20)))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert sink.connections == 3
        assert channel.health().links_up == 3
        assert channel.health().outstanding == 0


async def test_a_refused_recipient_leaves_the_connection_usable() -> None:
    refuse = {"gone@example.org": "550 5.1.1 No such user"}
    async with running_sink(SinkBehaviour(refuse=refuse)) as (sink, port), sending(port) as channel:
        reason = permanent(await channel.send(message(address="gone@example.org"))).reason
        assert (reason.code, reason.detail, reason.alarm) == ("invalid_destination", "550 5.1.1 No such user", False)
        assert isinstance(await channel.send(message()), Accepted)
        assert sink.connections == 1
        assert channel.health().up


async def test_a_greylisted_recipient_is_tried_later() -> None:
    async with running_sink(SinkBehaviour(greylist=True)) as (_, port), sending(port) as channel:
        first = retry(await channel.send(message()))
        assert (first.reason.code, first.maybe_sent, first.unreachable) == ("greylisted", False, False)
        assert isinstance(await channel.send(message()), Accepted)


@pytest.mark.parametrize(
    ("reply", "code", "throttled"),
    [
        ("421 4.3.2 Shutting down", "service_unavailable", False),
        ("421 4.7.28 Slow down", "throttled", True),
        ("451 4.3.0 Local error", "smtp_451", False),
    ],
)
async def test_a_message_refused_for_now(reply: str, code: str, throttled: bool) -> None:
    async with running_sink(SinkBehaviour(data_reply=reply)) as (sink, port), sending(port) as channel:
        outcome = retry(await channel.send(message()))
        assert (outcome.reason.code, outcome.throttled, outcome.maybe_sent) == (code, throttled, False)
        sink.behaviour = SinkBehaviour()
        assert isinstance(await channel.send(message()), Accepted)
        assert sink.connections == 2  # what refused a message may be the session: it is not kept


async def test_a_refused_sender_is_an_alarm() -> None:
    async with (
        running_sink(SinkBehaviour(mail_reply="550 5.7.1 Sender not allowed")) as (_, port),
        sending(port) as channel,
    ):
        assert permanent(await channel.send(message())).reason.alarm
        assert channel.health().alarm
        assert channel.health().up


@pytest.mark.parametrize(
    ("drop", "maybe_sent", "unreachable"), [("mail", False, True), ("rcpt", False, True), ("data", True, False)]
)
async def test_a_link_that_dies_says_what_may_have_left(drop: str, maybe_sent: bool, unreachable: bool) -> None:
    async with running_sink(SinkBehaviour(drop=drop)) as (sink, port), sending(port) as channel:
        outcome = retry(await channel.send(message()))
        assert (outcome.maybe_sent, outcome.unreachable) == (maybe_sent, unreachable)
        assert outcome.reason.code == "connection_lost"
        assert not channel.health().up
        assert len(sink.mails) == (1 if maybe_sent else 0)


async def test_an_answer_that_does_not_come_in_time_may_have_been_sent() -> None:
    async with running_sink(SinkBehaviour(answer_delay_s=3.0)) as (_, port), sending(port, response_s=0.2) as channel:
        outcome = retry(await channel.send(message()))
    assert (outcome.reason.code, outcome.maybe_sent, outcome.unreachable) == ("response_timeout", True, False)


async def test_nobody_listening_is_unreachable() -> None:
    channel = EmailChannel(settings(free_port()))
    outcome = retry(await channel.send(message()))
    assert (outcome.reason.code, outcome.unreachable, outcome.maybe_sent) == ("connection_refused", True, False)
    assert not channel.health().up


async def test_a_server_that_never_greets_is_unreachable() -> None:
    async with greeting(b"") as port, sending(port, connect_s=0.1) as channel:
        outcome = retry(await channel.send(message()))
    assert (outcome.reason.code, outcome.unreachable) == ("connect_timeout", True)


@pytest.mark.parametrize(
    ("words", "code", "alarm"),
    [
        (b"554 5.7.1 Not you\r\n", "refused_by_policy", True),
        (b"421 4.3.2 Busy\r\n", "service_unavailable", False),
        (b"nonsense\r\n", "smtp_protocol_error", False),
        (b"220 x\r\n", "connection_lost", False),
    ],
)
async def test_bad_greetings(words: bytes, code: str, alarm: bool) -> None:
    async with greeting(words) as port, sending(port) as channel:
        outcome = retry(await channel.send(message()))
    assert (outcome.reason.code, outcome.unreachable, outcome.reason.alarm) == (code, True, alarm)


async def test_a_connection_that_died_while_idle_is_replaced_once() -> None:
    async with running_sink() as (sink, port), sending(port) as channel:
        assert isinstance(await channel.send(message("dlv_1")), Accepted)
        sink.behaviour = SinkBehaviour(mail_reply="421 4.4.2 Idle too long")
        first = retry(await channel.send(message("dlv_2")))
        assert (first.reason.code, first.unreachable) == ("service_unavailable", True)
        assert sink.connections == 2  # the idle one, then one fresh one, and no more
        sink.behaviour = SinkBehaviour()
        assert isinstance(await channel.send(message("dlv_3")), Accepted)


async def test_a_server_that_was_restarted_gets_the_mail_over_a_fresh_connection() -> None:
    async with running_sink() as (sink, port), sending(port) as channel:
        assert isinstance(await channel.send(message("dlv_1")), Accepted)
        await sink.stop()
        await sink.start(port=port)
        assert isinstance(await channel.send(message("dlv_2")), Accepted)
        assert sink.taken == 2


async def test_an_idle_connection_is_left_after_its_time() -> None:
    async with running_sink() as (sink, port):
        channel = EmailChannel(settings(port, idle_s=0.05))
        async with running(channel, Inbox()):
            assert isinstance(await channel.send(message("dlv_1")), Accepted)
            await until(lambda: not (channel.health().links_up))
            assert isinstance(await channel.send(message("dlv_2")), Accepted)
        assert sink.taken == 2


async def test_a_cancelled_send_does_not_leave_its_connection_to_others() -> None:
    async with running_sink(SinkBehaviour(answer_delay_s=5.0)) as (sink, port), sending(port, connections=1) as channel:
        under_way = asyncio.create_task(channel.send(message("dlv_1")))
        await until(lambda: not (not channel.health().outstanding or not sink.connections))
        under_way.cancel()
        with pytest.raises(asyncio.CancelledError):
            await under_way
        assert channel.health().links_up == 0
        sink.behaviour = SinkBehaviour()
        assert isinstance(await channel.send(message("dlv_2")), Accepted)


@pytest.mark.parametrize("address", ["", "duty", "Duty <d@example.org>", "d@example.org>\r\nDATA", "d @example.org"])
async def test_an_address_that_is_none_never_reaches_the_wire(address: str) -> None:
    reason = permanent(await EmailChannel(settings(free_port())).send(message(address=address))).reason
    assert reason.code == "invalid_destination"
    assert "expected" in reason.detail


async def test_sizes_are_bounded_by_us_and_by_the_server() -> None:
    big = Attachment(name="a", content_type="image/png", content=b"x" * 100_000)
    async with running_sink(size_max=50_000) as (sink, port):
        async with sending(port, max_message_bytes=20_000) as channel:
            ours = permanent(await channel.send(message(attachments=(big,))))
        async with sending(port) as channel:
            theirs = permanent(await channel.send(message(attachments=(big,))))
            many = permanent(await channel.send(message(attachments=(big,) * 21)))
        assert sink.taken == 0
    assert (ours.reason.code, theirs.reason.code) == ("message_too_big", "message_too_big")
    assert many.reason.code == "too_many_attachments"


async def test_a_large_attachment_arrives_whole() -> None:
    content = bytes(range(256)) * 8192
    attachment = Attachment(name="plan.png", content_type="image/png", content=content)
    async with running_sink() as (sink, port), sending(port) as channel:
        assert isinstance(await channel.send(message(attachments=(attachment,))), Accepted)
    parts = list(message_from_bytes(sink.mails[0].content).walk())
    assert parts[2].get_payload(decode=True) == content


async def test_a_probe_shows_the_link_and_sends_nothing() -> None:
    async with running_sink() as (sink, port):
        channel = EmailChannel(settings(port))
        assert not channel.health().up
        health = await channel.probe()
        assert health.up
        assert health.facts == {"protection": "none", "dsn": "offered"}
        assert sink.taken == 0
    health = await channel.probe()
    assert not health.up
    assert health.detail.startswith("connection_refused")


async def test_a_stop_waits_for_what_is_under_way_and_refuses_the_rest() -> None:
    async with running_sink(SinkBehaviour(answer_delay_s=0.2)) as (sink, port):
        channel = EmailChannel(settings(port))
        async with running(channel, Inbox()):
            under_way = asyncio.create_task(channel.send(message("dlv_1")))
            await until(lambda: bool(channel.health().outstanding))
        assert isinstance(await under_way, Accepted)
        assert channel.health().links_up == 0
        stopped = retry(await channel.send(message("dlv_2")))
        assert (stopped.reason.code, stopped.unreachable) == ("channel_stopped", True)
        async with running(channel, Inbox()):
            assert isinstance(await channel.send(message("dlv_3")), Accepted)
        assert sink.taken == 2


async def test_a_taken_bounce_port_is_shown_and_does_not_stop_the_sending() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with running_sink() as (_, port):
            channel = EmailChannel(settings(port, bounce_listen=f"127.0.0.1:{taken.getsockname()[1]}"))
            task = asyncio.create_task(channel.run(Inbox()))
            await until(lambda: bool(channel.health().alarm))
            assert "bounce_listen" in channel.health().detail
            assert isinstance(await channel.send(message()), Accepted)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_an_answer_by_mail_is_inbound() -> None:
    inbox = Inbox()
    async with running_sink() as (_, port), running(EmailChannel(settings(port, **LISTEN)), inbox) as channel:
        async with sending(channel.bounce_port, name="person", sender="duty@example.com") as person:
            answer = message(address=BOUNCES, subject="Re: Fire", text="coming")
            assert isinstance(await person.send(answer), Accepted)
        (report,) = await inbox.wait_for(1)
    assert isinstance(report, Inbound)
    assert not isinstance(report, Receipt)
    assert (report.source, report.destination, report.text) == ("duty@example.com", BOUNCES, "Re: Fire\ncoming\n")


async def test_the_simulated_mail_server_says_once_a_minute_that_it_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "MAILS_KEPT", 3)
    kept = sink.MailSink()
    with capture_logs() as logged:
        for n in range(10):
            await kept.take(sink.SinkMail(sender="a@example.org", recipients=("b@example.org",), content=b"%d" % n))
    assert [mail.content for mail in kept.mails] == [b"7", b"8", b"9"]
    assert [(line["event"], line["bound"], line["most"]) for line in logged] == [
        ("listener_bound_reached", "mails_kept", 3)
    ]
