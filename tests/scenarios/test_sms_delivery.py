"""What becomes of an SMS, seen from the desk, with an SMSC that no one here wrote at the other end."""

from __future__ import annotations

import pytest

from tests.peers.smsc import NodeSmsc
from tests.scenarios.conftest import OpenDesk, StartSmsc
from tests.scenarios.desk import ANNA, numbers
from tests.scenarios.installation import smpp

BOTH = {"channel": "sms", "prefix": "+33", "providers": ["carrier-a", "carrier-b"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Where the installation keeps its alerts; empty for its own SQLite file."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


async def test_an_sms_is_delivered_and_charged_once(smsc: NodeSmsc, desk_with: OpenDesk, store_url: str) -> None:
    desk = await desk_with(smpp("carrier-a", smsc.port), store_url=store_url)
    alert = await desk.alert("Pressure low in boiler 2", to=ANNA)
    (delivery,) = await alert.delivered()
    assert delivery.attempts == (("carrier-a", "accepted", "accepted"),)
    assert (delivery.units, delivery.charged) == (1, "0.045")
    (message,) = await smsc.messages()
    assert (message.source, message.destination, message.text) == ("ALERT", "33612345678", "Pressure low in boiler 2")
    await desk.ledger_adds_up(spent="0.045")


@pytest.mark.parametrize(
    "behaviour",
    [
        {"receipt_first": True},
        {"receipt_first": True, "answer_delay_ms": 100},
        {"ids": "hex_answer"},
        {"ids": "hex_receipt"},
        {"ids": "hex_answer", "receipt_tlvs": False, "receipt_first": True},
        {"receipt_tlvs": False},
        {"receipt_delay_ms": 300},
    ],
    ids=lambda behaviour: " ".join(f"{key}={value}" for key, value in behaviour.items()),
)
async def test_receipts_are_matched_however_they_come(
    start_smsc: StartSmsc, desk_with: OpenDesk, behaviour: dict[str, object]
) -> None:
    smsc = start_smsc(**behaviour)
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Door open", to=numbers(20))
    for delivery in await alert.delivered():
        assert len(delivery.attempts) == 1
    assert (await smsc.stats())["accepted"] == 20
    await desk.ledger_adds_up(spent="0.90")


async def test_undelivered_moves_to_the_second_provider(
    start_smsc: StartSmsc, desk_with: OpenDesk, store_url: str
) -> None:
    deaf, well = start_smsc(undelivered=1000), start_smsc()
    desk = await desk_with(
        smpp("carrier-a", deaf.port), smpp("carrier-b", well.port), routes=[BOTH], store_url=store_url
    )
    alert = await desk.alert("Pump 3 stopped", to=ANNA)
    (delivery,) = await alert.delivered()
    assert [provider for provider, _, _ in delivery.attempts] == ["carrier-a", "carrier-b"]
    assert delivery.provider == "carrier-b"
    await desk.ledger_adds_up(spent="0.045")  # the hold is the most that is ever charged


async def test_undelivered_everywhere_fails_with_the_carriers_word(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    smsc = start_smsc(undelivered=1000)
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Pump 3 stopped", to=ANNA)
    delivery = await alert.only("failed")
    assert delivery.code == "undeliverable"
    await alert.became("failed")
    await desk.ledger_adds_up(spent="0.045")  # charged on accepted, as the tariff says


async def test_a_rejected_message_goes_to_the_next_provider(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    strict, well = start_smsc(reject=1000), start_smsc()
    desk = await desk_with(smpp("carrier-a", strict.port), smpp("carrier-b", well.port), routes=[BOTH])
    (delivery,) = await (await desk.alert("Fire in hall 3", to=ANNA)).delivered()
    assert delivery.attempts == (
        ("carrier-a", "failed", "smpp_rinvdstadr"),
        ("carrier-b", "accepted", "accepted"),
    )
    await desk.ledger_adds_up(spent="0.045")


async def test_a_message_that_all_reject_fails_and_costs_nothing(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    smsc = start_smsc(reject=1000)
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("Fire in hall 3", to=ANNA)
    delivery = await alert.only("failed")
    assert delivery.attempts == (("carrier-a", "failed", "smpp_rinvdstadr"),)
    await desk.ledger_adds_up(spent="0")


async def test_a_throttling_smsc_is_slowed_down_for_and_never_given_up(
    start_smsc: StartSmsc, desk_with: OpenDesk
) -> None:
    smsc = start_smsc(throttle=250)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=5), delivery={"attempts_max": 1})
    alert = await desk.alert("Water in the cellar", to=numbers(20))
    seen = await alert.delivered(within_s=60)
    throttled = [delivery for delivery in seen if len(delivery.attempts) > 1]
    assert throttled
    assert all(delivery.tries == 0 for delivery in seen)  # with one attempt allowed, a throttle that counted would fail
    assert (await smsc.stats())["throttled"] >= 5
    assert {outcome for delivery in throttled for _, outcome, _ in delivery.attempts} == {"retry_later", "accepted"}
    await desk.ledger_adds_up(spent="0.90")


async def test_a_link_that_drops_with_answers_outstanding_loses_nothing(
    start_smsc: StartSmsc, desk_with: OpenDesk, store_url: str
) -> None:
    smsc = start_smsc(answer=False)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=10), store_url=store_url)
    alert = await desk.alert("Gas alarm", to=numbers(40))
    await smsc.received(9)  # all of the window but what is kept for emergencies, not one of them answered
    await smsc.behave(answer=True)
    assert await smsc.drop() == 1
    seen = await alert.delivered()
    assert sum("unsure" in {outcome for _, outcome, _ in delivery.attempts} for delivery in seen) == 9
    stats = await smsc.stats()
    assert stats["distinct"] == 40
    assert stats["duplicates"] <= 9
    await desk.ledger_adds_up(spent="1.80")


async def test_a_link_that_keeps_dropping_loses_nothing(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    smsc = start_smsc(drop_every=25, drop_unanswered=True)
    desk = await desk_with(smpp("carrier-a", smsc.port, window=5), delivery={"attempts_max": 20})
    alert = await desk.alert("Gas alarm", to=numbers(80))
    await alert.delivered(within_s=60)
    stats = await smsc.stats()
    assert stats["drops"] >= 3
    assert stats["distinct"] == 80
    assert stats["duplicates"] <= 5 * stats["drops"]
    await desk.ledger_adds_up(spent="3.60")


async def test_bulk_is_never_sent_twice_when_nobody_knows(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    smsc = start_smsc(answer=False, receipts=False)
    desk = await desk_with(smpp("carrier-a", smsc.port))
    alert = await desk.alert("The canteen is closed", to=ANNA, priority="bulk")
    await smsc.received(1)
    await smsc.drop()
    delivery = await alert.only("failed")
    assert delivery.attempts == (("carrier-a", "unsure", "link_lost"),)
    assert (await smsc.stats())["submits"] == 1
