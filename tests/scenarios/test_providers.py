"""Providers that go away and come back: alarms go on over the others, and return."""

from __future__ import annotations

from tests.scenarios.conftest import OpenDesk, OpenInsideDesk, StartSmsc
from tests.scenarios.installation import smpp

BOTH = {"channel": "sms", "prefix": "+33", "providers": ["carrier-a", "carrier-b"]}
QUICK_LINK = {"link_wait_s": 0.2}


async def test_while_a_provider_is_down_the_second_one_takes_over_until_it_is_back(
    start_smsc: StartSmsc, inside_desk_with: OpenInsideDesk
) -> None:
    first, second = start_smsc(), start_smsc()
    desk = await inside_desk_with(
        smpp("carrier-a", first.port, **QUICK_LINK), smpp("carrier-b", second.port, **QUICK_LINK), routes=[BOTH]
    )
    (delivery,) = await (await desk.alert("one", to="sms:+33612345678")).delivered()
    assert delivery.provider == "carrier-a"

    first.kill()
    await desk.link_down("carrier-a")
    alerts = [await desk.alert(f"down {n}", to=f"sms:+3361234{n:04d}") for n in range(20)]
    for alert in alerts:
        (delivery,) = await alert.delivered()
        assert delivery.provider == "carrier-b"
        assert delivery.tries == 0  # waiting for a link is not failing
    (delivery,) = await (await desk.alert("while it is known to be down", to="sms:+33612345678")).delivered()
    assert delivery.attempts == (("carrier-b", "accepted", "accepted"),)  # its circuit is open: not even tried

    first.start()
    await desk.link_up("carrier-a")
    (delivery,) = await (await desk.alert("back", to="sms:+33612345678")).delivered()
    assert delivery.attempts == (("carrier-a", "accepted", "accepted"),)
    await desk.ledger_adds_up(spent="1.035")


async def test_an_alarm_waits_for_its_only_provider(start_smsc: StartSmsc, desk_with: OpenDesk) -> None:
    only = start_smsc()
    desk = await desk_with(smpp("carrier-a", only.port, **QUICK_LINK), delivery={"attempts_max": 1})
    only.kill()
    await desk.link_down("carrier-a")
    alert = await desk.alert("Smoke", to="sms:+33612345678")
    only.start()
    (delivery,) = await alert.delivered(within_s=60)
    assert delivery.tries == 0
    await desk.ledger_adds_up(spent="0.045")


async def test_a_provider_that_hangs_is_given_up_and_the_next_one_delivers(
    start_smsc: StartSmsc, desk_with: OpenDesk
) -> None:
    hanging, well = start_smsc(), start_smsc()
    desk = await desk_with(
        smpp("carrier-a", hanging.port, response_s=1, **QUICK_LINK),
        smpp("carrier-b", well.port, **QUICK_LINK),
        routes=[BOTH],
        delivery={"attempts_max": 1},
    )
    hanging.pause()
    try:
        alert = await desk.alert("Smoke", to="sms:+33612345678")
        (delivery,) = await alert.delivered(within_s=60)
    finally:
        hanging.resume()
    assert delivery.attempts == (
        ("carrier-a", "unsure", "answer_timed_out"),
        ("carrier-b", "accepted", "accepted"),
    )
    await desk.ledger_adds_up(spent="0.045")
