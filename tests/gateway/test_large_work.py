"""Large work: in slices behind what is urgent, one piece at a time, and no more under way than a key may have."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest

from gateway import large_work
from gateway.escalation import (
    READ_AT_ONCE_CHARS,
    Occurrence,
    Recipient,
    plan_from_json,
    plan_to_json,
    recipients_from_json,
    recipients_to_json,
)
from gateway.large_work import ALL_MAX, KEY_MAX, LargeWork, StoppedError, TooMuchUnderWayError, give_way, urgent


@pytest.fixture
async def large() -> AsyncIterator[LargeWork]:
    work = LargeWork()
    yield work
    work.close()


async def test_a_piece_stands_behind_what_is_urgent(large: LargeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_work, "BEHIND_S_MAX", 60.0)
    monkeypatch.setattr(large_work, "SLICE_S", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def piece() -> str:
        begun.set()
        go_on.wait()
        for n in range(3):
            give_way()
            steps.append(str(n))
        return "done"

    doing = asyncio.create_task(large.do(piece))
    await asyncio.to_thread(begun.wait)
    with urgent:
        go_on.set()
        assert await large.do(lambda: "taken", urgently=True) == "taken"  # beside it, and not behind it
        assert steps == []
    assert await doing == "done"
    assert steps == ["0", "1", "2"]


async def test_a_flood_of_urgent_work_does_not_end_the_rest(large: LargeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_work, "BEHIND_S_MAX", 0.001)
    with urgent:
        assert await large.do(lambda: 1) == 1


async def test_pieces_are_done_one_after_the_other(large: LargeWork) -> None:
    at_once, most = 0, 0

    def piece() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(1_000):
            give_way()
        at_once -= 1

    await asyncio.gather(*(large.do(piece) for _ in range(5)))
    assert most == 1


async def test_work_is_given_up_when_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_work, "SLICE_S", 0.0)
    large, begun = LargeWork(), threading.Event()

    def piece() -> None:
        begun.set()
        while True:
            give_way()

    doing = asyncio.create_task(large.do(piece))
    await asyncio.to_thread(begun.wait)
    large.close()
    with pytest.raises(StoppedError):
        await doing


async def test_what_fails_fails_alone(large: LargeWork) -> None:
    def wrong() -> None:
        raise ValueError("of the request")

    with pytest.raises(ValueError, match="of the request"):
        await large.do(wrong)
    assert await large.do(lambda: 1) == 1


async def test_a_key_has_so_many_under_way_and_emergencies_beside_them(large: LargeWork) -> None:
    inside = [large.admit("a", urgently=False) for _ in range(KEY_MAX)]
    with pytest.raises(TooMuchUnderWayError, match=f"at most {KEY_MAX} large requests of one key"):
        large.admit("a", urgently=False)
    inside += [large.admit("a", urgently=True) for _ in range(KEY_MAX)]
    with pytest.raises(TooMuchUnderWayError, match=f"at most {KEY_MAX} large emergencies of one key"):
        large.admit("a", urgently=True)
    large.admit("b", urgently=False)()
    inside[0]()
    inside[0]()  # once is enough
    large.admit("a", urgently=False)
    with pytest.raises(TooMuchUnderWayError):
        large.admit("a", urgently=False)


async def test_all_keys_together_have_a_bound_that_no_emergency_meets(large: LargeWork) -> None:
    for n in range(ALL_MAX):
        large.admit(f"key{n}", urgently=False)
    with pytest.raises(TooMuchUnderWayError, match=f"at most {ALL_MAX} large requests of all keys"):
        large.admit("another", urgently=False)
    large.admit("another", urgently=True)


@pytest.mark.parametrize("many", [0, 1, 499, 500, 501, 5_000])
def test_people_are_read_as_they_were_written_whatever_their_number(many: int) -> None:
    people = tuple(
        Recipient(person=f'Zoé "{n}", ]', language="fr", addresses=(f"sms:+336{n:08}", "email:a@b.fr"))
        for n in range(many)
    )
    text = recipients_to_json(people)
    assert len(json.loads(text)) == many
    assert (len(text) > READ_AT_ONCE_CHARS) == (many == 5_000)
    assert recipients_from_json(text) == people
    plan = (
        Occurrence(after_s=0),
        Occurrence(after_s=1.5, channels=("sms",), recipients=people or None),
        Occurrence(after_s=61.5, channels=("sms",), recipients=people or None),
        Occurrence(after_s=2, part=(0, 1)),
    )
    assert plan_from_json(plan_to_json(plan)) == plan
