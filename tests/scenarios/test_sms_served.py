"""SMS through `tocsin serve`, with an SMSC that no one here wrote: what carriers do differently from each other."""

from __future__ import annotations

from pathlib import Path

from tests.peers.smsc import NodeSmsc
from tests.peers.waiting import eventually
from tests.scenarios.conftest import StartSmsc
from tests.scenarios.installation import smpp
from tests.scenarios.served import serving

ANNA = "sms:+33612345678"


async def test_case_4_10_an_answer_under_way_when_the_centre_unbinds_makes_no_duplicate(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    smsc = start_smsc(answer_delay_ms=300)
    async with serving(tmp_path, smpp("carrier-a", smsc.port)) as gateway:
        alert = await gateway.alert(ANNA)
        await smsc.received(1)
        assert await smsc.unbind() == 1
        delivery = await gateway.only(alert, "delivered")
        assert [attempt["outcome"] for attempt in delivery["attempts"]] == ["accepted"]
        await smsc.behave(answer_delay_ms=0)
        await gateway.only(await gateway.alert(ANNA, text="Once more"), "delivered")  # over a new link
        stats = await smsc.stats()
        assert (stats["binds"], stats["submits"], stats["duplicates"]) == (2, 2, 0)


async def test_case_4_7_a_receipt_by_data_sm_with_a_broken_tail_is_read(start_smsc: StartSmsc, tmp_path: Path) -> None:
    smsc = start_smsc(receipt_pdu="data_sm", receipt_tail="14010009ff")
    async with serving(tmp_path, smpp("carrier-a", smsc.port)) as gateway:
        await gateway.only(await gateway.alert(ANNA), "delivered")
        await _confirmed(smsc, 1)


async def _confirmed(smsc: NodeSmsc, count: int) -> None:
    """Waits until so many receipts were taken, each the first time."""

    async def so() -> bool:
        return (await smsc.stats())["receipts_answered"] >= count

    await eventually(so, what=f"{count} receipts taken")
    assert (await smsc.stats())["receipts_refused"] == 0
