"""Alarm lines: whose PIN raises the alarm, once, also for who hangs up at once; and how guessing is borne with there."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from channels.conversation import Line, Proof
from gateway import attendant as module
from gateway import pins
from gateway.pins import PHONE
from tests.gateway.attendant_desk import (
    ADA_PIN,
    BOB_PIN,
    DUTY_LINE,
    FIRE_LINE,
    FIRE_PIN,
    ONE,
    SOON_S,
    alone,
    with_alarms,
)
from tests.gateway.desk import MovedClock


async def test_only_its_own_pin_raises_the_alarm_of_a_line() -> None:
    attendant = alone()
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    for n, wrong in enumerate((ADA_PIN, BOB_PIN, "", "975", f"{FIRE_PIN}#", f"4725*{ADA_PIN}")):
        assert await attendant.authorise(FIRE_LINE, wrong, source=f"b{n}") is Proof.WRONG
    for line in (DUTY_LINE, Line(kind="acknowledgement", name=""), Line(kind="alarm", name="flood")):
        assert await attendant.authorise(line, FIRE_PIN, source="c") is Proof.WRONG
        assert await attendant.authorise(line, "", source="d") is Proof.WRONG


async def test_one_phone_does_not_shut_an_alarm_line_for_long_and_not_for_others() -> None:
    clock = MovedClock()
    attendant, _ = with_alarms(clock)
    answers = [await attendant.authorise(FIRE_LINE, "0000", source="a") for _ in range(PHONE.free + 50)]
    assert answers == [Proof.WRONG] * (PHONE.free - 1) + [Proof.LOCKED] * 51
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="b") is Proof.OK
    for _ in range(20):  # whoever dials again as soon as the wait is over
        clock.move(PHONE.longest_s)
        await attendant.authorise(FIRE_LINE, "0000", source="a")
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="b") is Proof.OK
    clock.move(PHONE.longest_s)
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK


async def test_who_shows_no_number_is_not_shut_out_of_an_alarm_line_by_others_who_do_not() -> None:
    attendant, _ = with_alarms()
    for _ in range(PHONE.free + 5):
        assert await attendant.authorise(FIRE_LINE, "0000", source="unknown") is Proof.WRONG
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="unknown") is Proof.OK


async def test_who_hangs_up_after_the_right_pin_has_raised_the_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    attendant, alarms = with_alarms()
    comparing, compare = threading.Event(), threading.Event()

    def slow(digits: str, stored: str) -> bool:
        comparing.set()
        return compare.wait(SOON_S) and pins.matches(digits, stored)

    monkeypatch.setattr(module, "pins", SimpleNamespace(matches=slow))
    call = asyncio.create_task(attendant.authorise(FIRE_LINE, FIRE_PIN, source="a"))
    await asyncio.to_thread(comparing.wait, SOON_S)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    compare.set()
    async with asyncio.timeout(SOON_S):
        await alarms.done.wait()
    assert alarms.raised == ["fire"]


async def test_who_hangs_up_while_the_alarm_is_being_raised_has_raised_it() -> None:
    attendant, alarms = with_alarms()
    alarms.go_on.clear()
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    call = asyncio.create_task(attendant.raise_alarm(FIRE_LINE, source="a"))
    async with asyncio.timeout(SOON_S):
        await alarms.began.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    alarms.go_on.set()
    async with asyncio.timeout(SOON_S):
        await alarms.done.wait()
    assert alarms.raised == ["fire"]


async def test_nobody_holds_the_phone_until_a_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    attendant, alarms = with_alarms()
    alarms.go_on.clear()
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    monkeypatch.setattr(module, "DECIDE_S", 0.0)
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    alarms.go_on.set()
    async with asyncio.timeout(SOON_S):
        await alarms.done.wait()
    assert alarms.raised == ["fire"]


async def test_a_call_raises_one_alarm_and_none_without_the_pin() -> None:
    attendant, alarms = with_alarms()
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    assert await attendant.authorise(FIRE_LINE, "0000", source="a") is Proof.WRONG
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    assert await attendant.raise_alarm(FIRE_LINE, source="b") is None
    assert await attendant.raise_alarm(FIRE_LINE, source="a") == "alt_1"
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    assert alarms.raised == ["fire"]


async def test_each_of_two_calls_from_one_number_has_an_alarm_of_its_own() -> None:
    attendant, alarms = with_alarms()
    for n in (1, 2):
        alarms.reference = f"alt_{n}"
        await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a")
        await alarms.done.wait()
        alarms.done.clear()
    assert {await attendant.raise_alarm(FIRE_LINE, source="a") for _ in range(2)} == {"alt_1", "alt_2"}
    assert alarms.raised == ["fire", "fire"]


async def test_an_alarm_that_its_caller_does_not_ask_for_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLAIM_S", 0.0)
    attendant, _ = with_alarms()
    await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a")
    later = asyncio.Event()
    asyncio.get_running_loop().call_later(module.CLAIM_S, later.set)
    await later.wait()
    assert not attendant._raising
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None


async def test_a_slow_guess_at_one_line_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    attendant, _ = with_alarms()
    comparing, compare = threading.Event(), threading.Event()

    def slow(digits: str, stored: str) -> bool:
        if digits == "0000":
            comparing.set()
            compare.wait(SOON_S)
        return pins.matches(digits, stored)

    monkeypatch.setattr(module, "pins", SimpleNamespace(matches=slow))
    guess = asyncio.create_task(attendant.identify("0000", source="a"))
    await asyncio.to_thread(comparing.wait, SOON_S)
    async with asyncio.timeout(SOON_S):
        assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
        assert await attendant.check_pin(ONE, ADA_PIN) is Proof.OK
    assert not guess.done()
    compare.set()
    assert await guess is Proof.WRONG


async def test_lines_and_alarms() -> None:
    attendant, alarms = with_alarms()
    assert await attendant.line(["tocsin", "0140000018"]) == FIRE_LINE
    assert await attendant.line(["+33999999999"]) is None
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    assert await attendant.raise_alarm(FIRE_LINE, source="a") == "alt_1"
    assert await attendant.raise_alarm(Line(kind="alarm", name="flood"), source="a") is None
    alarms.reference = None
    assert await attendant.authorise(FIRE_LINE, FIRE_PIN, source="a") is Proof.OK
    assert await attendant.raise_alarm(FIRE_LINE, source="a") is None
    assert alarms.raised == ["fire", "fire"]
    assert await attendant.attach_recording("alt_1", b"RIFF")
    assert alarms.attached == [("alt_1", b"RIFF")]
