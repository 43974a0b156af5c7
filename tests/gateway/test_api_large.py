"""Where large work is done: what one request can make long is done neither on the event loop nor in the writer."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import joining, joining_aside, words
from gateway.joining_aside import TRIES, WorkedOut
from gateway.large_work import LARGE
from gateway.planning import PlannedDelivery, Planner
from tests.gateway.api_desk import ApiDesk, alert, running

REST, URGENT = "large-work_0", "large-urgent-work_0"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[ApiDesk]:
    async with running(tmp_path) as found:
        yield found


def numbers(many: int) -> list[str]:
    return [f"sms:+336{n:08}" for n in range(many)]


@pytest.fixture
def planned_in(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The threads in which deliveries are planned."""
    threads: set[str] = set()
    each: Callable[..., Iterator[PlannedDelivery]] = Planner.each

    def noted(self: Planner, *rest: Any) -> Iterator[PlannedDelivery]:
        threads.add(threading.current_thread().name)
        return each(self, *rest)

    monkeypatch.setattr(Planner, "each", noted)
    return threads


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"recipients": numbers(3)}, "MainThread"),
        ({"recipients": numbers(30), "steps": [{"repeat": 20}]}, REST),
        ({"recipients": numbers(LARGE + 1)}, REST),
        ({"recipients": numbers(LARGE + 1), "priority": "emergency"}, REST),
        ({"recipients": numbers(3), "steps": [{}, {"recipients": numbers(300)}, {"recipients": numbers(300)}]}, REST),
    ],
)
async def test_a_dry_run_is_as_large_as_what_it_comes_to(
    desk: ApiDesk, planned_in: set[str], more: dict[str, Any], where: str
) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    answer = await client.post("/v1/alerts", json=alert(dry_run=True, **more))
    assert answer.status_code == 200, answer.text
    assert planned_in == {where}


@pytest.mark.parametrize(("priority", "where"), [("bulk", REST), ("emergency", URGENT)])
async def test_a_large_alert_is_planned_beside_the_loop_and_leaves_when_it_is_written(
    desk: ApiDesk, planned_in: set[str], priority: str, where: str
) -> None:
    client = desk.client(await desk.key("submitter", "acme"))
    body = alert(recipients=numbers(LARGE + 200), priority=priority, acknowledgement={"rule": "none"}, text="x")
    for n in range(4):  # one after the other: each leaves once it is written
        body["text"] = f"{n}"

        async def taken() -> int:
            return (await client.post("/v1/alerts", json=body)).status_code

        assert await desk.until(taken, lambda status: status != 429) in (202, 402)
    assert planned_in == {where}


async def test_an_acknowledgement_among_many_does_not_hold_up_the_writer(
    desk: ApiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    person_of = words.person_of

    def noted(*rest: Any) -> Any:
        threads.append(threading.current_thread().name)
        return person_of(*rest)

    monkeypatch.setattr(words, "person_of", noted)
    monkeypatch.setattr("gateway.lifecycle.person_of", noted)
    client = desk.client(await desk.key("submitter", "acme"))
    people = [{"name": f"Person {n}", "addresses": [number]} for n, number in enumerate(numbers(LARGE))]
    body = alert(recipients=people, priority="emergency", acknowledgement={"rule": "quorum", "quorum": 2})
    taken = await client.post("/v1/alerts", json=body)
    assert taken.status_code == 202, taken.text
    here = f"/v1/alerts/{taken.json()['id']}"
    for by, counts, status in (
        ("a stranger", False, "active"),
        ("Person 7", True, "active"),
        ("PERSON  7", True, "active"),
        ("Person 8", True, "acknowledged"),
    ):
        answer = await client.post(f"{here}/acknowledge", json={"by": by})
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        assert (shown["acknowledgements"][-1]["counts"], shown["status"]) == (counts, status)
    assert threads == [URGENT] * 4


async def test_case_7_12_a_large_join_is_worked_out_beside_the_writer_and_a_small_one_in_it(
    desk: ApiDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noted(*rest: Any) -> Any:
        threads.append(threading.current_thread().name)
        return joining.join(*rest)

    monkeypatch.setattr("gateway.joining_aside.join", noted)
    monkeypatch.setattr("gateway.intake.join", noted)
    client = desk.client(await desk.key("submitter", "acme"))
    everybody = numbers(2 * LARGE + 3)

    async def joined(start: int, end: int, reference: str, **more: Any) -> tuple[str, int]:
        later = [{"after_s": 3_600}]
        body = alert(recipients=everybody[start:end], reference=reference, steps=later, **more)
        answer = await client.post("/v1/alerts", json=body)
        assert answer.status_code == 202, answer.text
        found = answer.json().get("join", {"how": "", "told_total": 0})
        return found["how"], found["told_total"]

    assert await joined(0, LARGE, "many", priority="high") == ("", 0)
    assert await joined(0, 2 * LARGE, "many", priority="high") == ("widened", LARGE)
    assert await joined(5, LARGE + 9, "many", priority="high") == ("repeated", 0)
    assert threads == [REST, REST]
    assert await joined(2 * LARGE - 1, 2 * LARGE + 1, "many", priority="emergency") == ("raised", 2)
    assert threads.pop() == URGENT
    assert await joined(0, 2, "few") == ("", 0)
    assert await joined(1, 3, "few") == ("widened", 1)
    assert threads[2:] not in ([REST], [URGENT])
    threads.clear()

    tries: list[int] = []

    def too_late(*rest: Any) -> dict[str, WorkedOut]:
        tries.append(len(tries))
        found = joining_aside.work_out(*rest)
        if len(tries) == late:
            return found
        return {one: replace(worked, opened=replace(worked.opened, text="else")) for one, worked in found.items()}

    monkeypatch.setattr("gateway.submission.work_out", too_late)
    late = 2
    assert await joined(2 * LARGE, 2 * LARGE + 2, "many", priority="emergency") == ("widened", 1)
    assert threads == [URGENT] * late
    tries.clear()
    threads.clear()
    late = 0
    assert await joined(2 * LARGE + 1, 2 * LARGE + 3, "many", priority="emergency") == ("widened", 1)
    assert threads[:-1] == [URGENT] * TRIES
    assert threads[-1] != URGENT  # it changed each time: the writer has done it
