"""E-mail through a real postfix: proven by its delivery notices, refused, bounced, and tried again."""

from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest

from tests.peers.postfix import BOUNCE_DOMAIN, BOUNCING, DELIVERED, GREYLISTED, UNKNOWN, Postfix, running_postfix
from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import OpenDesk, OpenInsideDesk
from tests.scenarios.desk import WITHIN_S
from tests.scenarios.installation import Table, smpp, smtp


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    with running_postfix() as peer:
        yield peer


def mail_over(postfix: Postfix, **keys: Any) -> Table:
    """The provider whose reports come back to us."""
    reports = {"bounce_listen": f"127.0.0.1:{postfix.bounce_port}", "bounce_address": f"tocsin@{BOUNCE_DOMAIN}"}
    return smtp("mail", postfix.port, **reports, **keys)


def received(postfix: Postfix, subject: str) -> list[Message]:
    """The mails in the duty officer's mailbox with this subject."""
    mails = [message_from_bytes(content) for content in postfix.delivered_mails()]
    return [mail for mail in mails if mail["Subject"] == subject]


async def test_a_mail_is_delivered_and_proven(postfix: Postfix, desk_with: OpenDesk) -> None:
    desk = await desk_with(mail_over(postfix))
    alert = await desk.alert(
        "Pressure low in boiler 2.\nCall the plant.", subject="Boiler 2 proven", to=f"email:{DELIVERED}"
    )
    (delivery,) = await alert.delivered()
    assert [(provider, outcome) for provider, outcome, _ in delivery.attempts] == [("mail", "accepted")]
    (mail,) = received(postfix, "Boiler 2 proven")
    (body,) = [part for part in mail.walk() if not part.is_multipart()]
    content = body.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert "Pressure low in boiler 2." in content.decode()
    await desk.ledger_adds_up(spent="0.001")


async def test_an_unknown_mailbox_fails_at_once(postfix: Postfix, desk_with: OpenDesk) -> None:
    desk = await desk_with(mail_over(postfix))
    alert = await desk.alert("Pressure low", to=f"email:{UNKNOWN}")
    delivery = await alert.only("failed")
    assert delivery.attempts == (("mail", "failed", "invalid_destination"),)
    await alert.became("failed")
    await desk.ledger_adds_up(spent="0")


async def test_a_bounce_fails_later(postfix: Postfix, desk_with: OpenDesk) -> None:
    desk = await desk_with(mail_over(postfix))
    alert = await desk.alert("Pressure low", to=f"email:{BOUNCING}")
    delivery = await alert.only("failed")
    assert (delivery.attempts, delivery.code) == ((("mail", "accepted", "accepted"),), "5.1.1")
    await desk.ledger_adds_up(spent="0.001")  # charged on accepted, as the tariff says


async def test_a_greylisting_server_is_asked_again_until_the_deadline(
    postfix: Postfix, inside_desk_with: OpenInsideDesk
) -> None:
    """However few attempts there are before another provider would be asked: there is none."""
    desk = await inside_desk_with(mail_over(postfix), delivery={"attempts_max": 1})
    alert = await desk.alert("Pressure low", to=f"email:{GREYLISTED}")

    async def asked_thrice() -> bool:
        (delivery,) = await alert.deliveries()
        return len(delivery.attempts) >= 3

    await eventually(asked_thrice, WITHIN_S, what="a third attempt")
    desk.clock.move(days=2)
    delivery = await alert.only("expired")
    assert set(delivery.attempts) == {("mail", "retry_later", "greylisted")}
    await desk.ledger_adds_up(spent="0")


async def test_one_of_three_recipients_is_refused_and_the_others_are_reached(
    postfix: Postfix, smsc: NodeSmsc, desk_with: OpenDesk
) -> None:
    desk = await desk_with(mail_over(postfix), smpp("carrier-a", smsc.port))
    alert = await desk.alert(
        "Pressure low",
        subject="Three recipients",
        to=[f"email:{DELIVERED}", f"email:{UNKNOWN}", "sms:+33612345678"],
    )
    await alert.became("completed")
    assert {delivery.address: delivery.state for delivery in await alert.deliveries()} == {
        f"email:{DELIVERED}": "delivered",
        f"email:{UNKNOWN}": "failed",
        "sms:+33612345678": "delivered",
    }
    await desk.ledger_adds_up(spent="0.046")
