"""SMS through `tocsin serve`, with an SMSC that no one here wrote: what carriers do differently from each other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

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


FORMS = ["dec", "dec0", "hex", "HEX", "hex0", "HEX0"]


@pytest.mark.parametrize("early", [False, True], ids=["after the answer", "before the answer"])
async def test_case_4_1_receipts_find_their_texts_in_whatever_form_both_sides_spell_the_id(
    start_smsc: StartSmsc, tmp_path: Path, early: bool
) -> None:
    smsc = start_smsc(receipt_first=early, answer_delay_ms=50 if early else 0)
    async with serving(tmp_path, smpp("carrier-a", smsc.port)) as gateway:
        for answer in FORMS:
            for receipt in FORMS:
                await smsc.behave(answer_form=answer, receipt_form=receipt)
                alert = await gateway.alert([f"sms:+3361234567{n}" for n in range(5)], text=f"{answer} {receipt}")
                await gateway.became(alert, "completed")
                assert {one["state"] for one in await gateway.deliveries(alert)} == {"delivered"}, (answer, receipt)


@pytest.mark.parametrize(
    ("id_rule", "answer", "receipt"),
    [
        ("exact", "HEX", "HEX"),
        ("casefold", "HEX", "hex"),
        ("strip_zeros", "dec0", "dec"),
        ("hex_to_dec", "dec0", "HEX"),
        ("dec_to_hex", "HEX", "dec0"),
    ],
)
async def test_case_4_1_under_a_rule_of_its_own_the_next_provider_is_asked_when_the_text_was_not_delivered(
    start_smsc: StartSmsc, tmp_path: Path, id_rule: str, answer: str, receipt: str
) -> None:
    sick, well = start_smsc(undelivered=1000, answer_form=answer, receipt_form=receipt), start_smsc()
    providers = smpp("carrier-a", sick.port, id_rule=id_rule), smpp("carrier-b", well.port)
    both = {"channel": "sms", "prefix": "+33", "providers": ["carrier-a", "carrier-b"]}
    async with serving(tmp_path, *providers, routes=[both]) as gateway:
        delivery = await gateway.only(await gateway.alert(ANNA), "delivered")
        assert [attempt["provider"] for attempt in delivery["attempts"]] == ["carrier-a", "carrier-b"]


async def test_case_4_9_receipts_that_nothing_marks_are_read_where_the_provider_is_known_to_send_them(
    start_smsc: StartSmsc, tmp_path: Path
) -> None:
    smsc = start_smsc(receipt_esm_class=0, receipt_tlvs=False)
    async with serving(tmp_path, smpp("carrier-a", smsc.port, unmarked_receipts=True)) as gateway:
        await gateway.only(await gateway.alert(ANNA), "delivered")
        (sent,) = await smsc.messages()
        await smsc.behave(receipts=False)
        alert = await gateway.alert(ANNA, text="Door open")
        second = (await smsc.received(2))[-1].message_id
        forged = f"id:{second} sub:001 dlvrd:001 stat:DELIVRD err:000 text:"
        for source, text in (
            ("33698765432", forged),  # somebody else, who has heard of the id
            ("33612345678", "id:4711 stat:DELIVRD"),  # an id that we never got
            ("33612345678", "On my way"),
        ):
            await smsc.send_mo(source=source, destination="33700000001", text=text)

        await eventually(lambda: _inbound(tmp_path) == 3, what="three messages")
        assert [one["state"] for one in await gateway.deliveries(alert)] == ["accepted"]
        await smsc.send_mo(source="33612345678", destination="33700000001", text=forged)
        await gateway.only(alert, "delivered")
        assert _inbound(tmp_path) == 3
        assert sent.message_id != second


async def test_without_the_setting_such_a_receipt_is_a_message(start_smsc: StartSmsc, tmp_path: Path) -> None:
    smsc = start_smsc(receipt_esm_class=0, receipt_tlvs=False)
    async with serving(tmp_path, smpp("carrier-a", smsc.port)) as gateway:
        alert = await gateway.alert(ANNA)
        await eventually(lambda: _inbound(tmp_path) == 1, what="the message")
        assert [one["state"] for one in await gateway.deliveries(alert)] == ["accepted"]


def _inbound(folder: Path) -> int:
    """How many messages from phones are stored."""
    with closing(sqlite3.connect(f"file:{folder}/tocsin.db?mode=ro", uri=True)) as database:
        return int(database.execute("select count(*) from inbound_messages").fetchone()[0])


async def _confirmed(smsc: NodeSmsc, count: int) -> None:
    """Waits until so many receipts were taken, each the first time."""

    async def so() -> bool:
        return (await smsc.stats())["receipts_answered"] >= count

    await eventually(so, what=f"{count} receipts taken")
    assert (await smsc.stats())["receipts_refused"] == 0
