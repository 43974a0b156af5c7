"""The e-mail channel against a real postfix: what it delivers, refuses, bounces and defers comes back as a receipt."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from uuid import uuid4

import pytest

from channels.channel import Attachment
from channels.email.channel import EmailChannel
from channels.email.settings import SmtpSettings
from channels.outcome import (
    Accepted,
    PermanentFailure,
    Receipt,
    ReceiptDelivered,
    ReceiptFailed,
    ReceiptIntermediate,
    RetryLater,
)
from tests.channels.email.wire import Inbox, message, running, sending, settings
from tests.peers.postfix import (
    BOUNCE_DOMAIN,
    BOUNCING,
    DEFERRED,
    DELIVERED,
    GREYLISTED,
    UNKNOWN,
    Postfix,
    running_postfix,
)


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with running_postfix() as peer:
        yield peer


def over(postfix: Postfix, **keys: object) -> SmtpSettings:
    return settings(
        postfix.port,
        bounce_listen=f"127.0.0.1:{postfix.bounce_port}",
        bounce_address=f"tocsin@{BOUNCE_DOMAIN}",
        response_s=15.0,
        **keys,
    )


async def receipt_of(inbox: Inbox, message_id: str) -> Receipt:
    """The first receipt that names the message."""
    for count in range(1, 20):
        report = (await inbox.wait_for(count))[count - 1]
        if isinstance(report, Receipt) and message_id in report.provider_message_ids:
            return report
    raise AssertionError(f"no receipt names {message_id}")


@pytest.mark.parametrize("verp", [False, True])
async def test_a_delivered_mail_is_proven_end_to_end(postfix: Postfix, verp: bool) -> None:
    inbox = Inbox()
    reference = f"dlv_delivered_{uuid4().hex[:8]}"  # the server is the same for all tests
    plan = Attachment(name="Plan.png", content_type="image/png", content=bytes(range(256)) * 100)
    async with running(EmailChannel(over(postfix, verp=verp)), inbox) as channel:
        text = "Feuer in Halle 3 🔥\n.\nAlle raus"
        outcome = await channel.send(message(reference, address=DELIVERED, text=text, urgent=True, attachments=(plan,)))
        assert isinstance(outcome, Accepted)
        assert outcome.code == "accepted"
        assert outcome.detail.startswith("250 2.0.0 Ok: queued as")
        receipt = await receipt_of(inbox, outcome.parts[0].provider_message_id)
        assert channel.health().facts["dsn"] == "offered"
    assert receipt.result == ReceiptDelivered()
    assert (receipt.code, receipt.address) == ("delivered", DELIVERED)
    mails = [message_from_bytes(content) for content in postfix.delivered_mails()]
    (mail,) = [mail for mail in mails if mail["Message-ID"] == f"<{reference}@example.org>"]
    assert mail["Return-Path"] == f"<tocsin{f'+{reference}' if verp else ''}@{BOUNCE_DOMAIN}>"
    parts = list(mail.walk())
    body = parts[1].get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().splitlines() == text.splitlines()
    assert parts[2].get_payload(decode=True) == plan.content


async def test_an_unknown_mailbox_is_refused_at_once(postfix: Postfix) -> None:
    async with sending(over(postfix)) as channel:
        outcome = await channel.send(message("dlv_unknown", address=UNKNOWN))
    assert isinstance(outcome, PermanentFailure)
    assert outcome.reason.code == "invalid_destination"
    assert outcome.reason.detail.startswith("550 5.1.1")


async def test_a_greylisted_mailbox_is_for_later(postfix: Postfix) -> None:
    async with sending(over(postfix)) as channel:
        outcome = await channel.send(message("dlv_busy", address=GREYLISTED))
    assert isinstance(outcome, RetryLater)
    assert (outcome.reason.code, outcome.unreachable, outcome.maybe_sent) == ("greylisted", False, False)


async def test_a_bounce_is_a_failed_receipt(postfix: Postfix) -> None:
    inbox = Inbox()
    async with running(EmailChannel(over(postfix)), inbox) as channel:
        assert isinstance(await channel.send(message("dlv_bounce", address=BOUNCING)), Accepted)
        receipt = await receipt_of(inbox, "dlv_bounce")
    assert (receipt.result, receipt.code, receipt.address) == (ReceiptFailed(), "5.1.1", BOUNCING)
    assert "user unknown" in receipt.detail


async def test_a_delay_is_an_intermediate_receipt(postfix: Postfix) -> None:
    inbox = Inbox()
    async with running(EmailChannel(over(postfix)), inbox) as channel:
        assert isinstance(await channel.send(message("dlv_delay", address=DEFERRED)), Accepted)
        receipt = await receipt_of(inbox, "dlv_delay")
    assert (receipt.result, receipt.code) == (ReceiptIntermediate(), "delayed")


async def test_a_report_refused_by_our_store_comes_again_from_the_queue(postfix: Postfix) -> None:
    inbox = Inbox(refusals=1)
    async with running(EmailChannel(over(postfix)), inbox) as channel:
        assert isinstance(await channel.send(message("dlv_again", address=DELIVERED)), Accepted)
        assert (await receipt_of(inbox, "dlv_again")).result == ReceiptDelivered()
    assert inbox.refusals == 0


async def test_a_probe_finds_it_up(postfix: Postfix) -> None:
    health = await EmailChannel(over(postfix)).probe()
    assert (health.up, health.facts["dsn"]) == (True, "offered")
