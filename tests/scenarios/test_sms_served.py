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


SENDERS = [
    ("8810", {}, (3, 0)),
    ("8810", {"source_ton": 0, "source_npi": 1}, (0, 1)),
    ("+33612345678", {}, (1, 1)),
    ("+33612345678", {"source_npi": 0}, (1, 0)),
    ("447700900123", {}, (0, 1)),
    ("447700900123", {"source_ton": 2}, (2, 1)),
    ("ALERT", {}, (5, 0)),
    ("ALERT", {"source_npi": 1}, (5, 1)),
    ("", {}, (0, 0)),
]


async def test_case_4_3_a_sender_goes_with_the_type_and_plan_that_the_provider_wants(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    smsc = start_smsc()
    providers = [
        smpp(f"carrier-{n}", smsc.port, source=source, bind_ton=n % 7, bind_npi=n, destination_ton=n % 7, **keys)
        for n, (source, keys, _) in enumerate(SENDERS)
    ]
    prefixes = [f"+3361234567{n}" for n in range(len(SENDERS))]
    routes = [
        {"channel": "sms", "prefix": prefix, "providers": [provider["name"]]}
        for prefix, provider in zip(prefixes, providers, strict=True)
    ]
    async with serving(tmp_path, *providers, routes=routes) as gateway:
        alert = await gateway.alert([f"sms:{prefix}" for prefix in prefixes])
        await gateway.became(alert, "completed")
    messages = {message.destination: message for message in await smsc.messages()}
    for n, (prefix, (source, _, expected)) in enumerate(zip(prefixes, SENDERS, strict=True)):
        message = messages[prefix[1:]]
        assert message.source == source.removeprefix("+")
        assert (message.source_ton, message.source_npi) == expected
        assert (message.destination_ton, message.destination_npi) == (n % 7, 1)
    assert {(bind["addr_ton"], bind["addr_npi"]) for bind in await smsc.binds()} == {
        (n % 7, n) for n in range(len(SENDERS))
    }


async def _confirmed(smsc: NodeSmsc, count: int) -> None:
    """Waits until so many receipts were taken, each the first time."""

    async def so() -> bool:
        return (await smsc.stats())["receipts_answered"] >= count

    await eventually(so, what=f"{count} receipts taken")
    assert (await smsc.stats())["receipts_refused"] == 0
