"""What people send, and odd bytes in what providers write, on both databases."""

from __future__ import annotations

from channels.outcome import Inbound, InboundPart
from gateway.delivery import State
from tests.gateway import desk as desks
from tests.gateway.answers import accepted, delivered
from tests.gateway.desk import Desk

desk = desks.desk
store_url = desks.store_url


async def test_inbound_parts_in_any_order_make_one_message(desk: Desk) -> None:
    def part(n: int) -> InboundPart:
        return InboundPart(source="+33611", destination="38000", reference=9, n=n, total=3, text="abc"[n - 1])

    await desk.report(part(3), part(3))
    await desk.report(part(1))
    assert await desk.count("inbound_messages") == 0
    await desk.report(part(2), Inbound(source="+33611", destination="38000", text="STOP"))
    assert await desk.count("inbound_parts") == 0
    assert await desk.count("inbound_messages", text="abc") == 1
    assert await desk.count("inbound_messages", text="STOP") == 1


async def test_case_4_8_a_part_with_another_text_begins_a_new_message(desk: Desk) -> None:
    def part(n: int, text: str) -> InboundPart:
        return InboundPart(source="+33611", destination="38000", reference=9, n=n, total=2, text=text)

    await desk.report(part(1, "OLD1 "))
    await desk.report(part(1, "NEW1 "), part(1, "NEW1 "))
    await desk.report(part(2, "NEW2"))
    assert await desk.count("inbound_messages", text="NEW1 NEW2") == 1
    assert await desk.count("inbound_messages", text="OLD1 …") == 1  # what there is of it is not lost
    assert await desk.count("inbound_messages") == 2
    assert await desk.count("inbound_parts") == 0


async def test_what_providers_write_is_stored_whatever_it_contains(desk: Desk) -> None:
    """NUL is no text for PostgreSQL; a receipt or a reply with one must neither be lost nor hold up its neighbours."""
    one = await desk.one()
    claim = await desk.claimed(one)
    await desk.record(claim, accepted("id-1"))
    receipt = delivered("id-1")
    odd = type(receipt)(
        provider_message_ids=receipt.provider_message_ids, result=receipt.result, code="delivered", raw="stat:\0DELIVRD"
    )
    await desk.report(odd, Inbound(source="+33611", destination="38000", text="ok\0"))
    assert await desk.state(one) == State.DELIVERED
    assert await desk.count("inbound_messages", text="ok") == 1
